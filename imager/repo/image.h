/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Opening what a user calls an image, wherever it lies. */
#ifndef CALCO_IMAGER_REPO_IMAGE_H
#define CALCO_IMAGER_REPO_IMAGE_H

#include "imager/image/reader.h"

/*
 * image_open - a file, a version in a repository ("DIR::NAME", "DIR::NAME@3", "DIR::NAME@tag"), or with fd >= 0 what comes from there
 *
 * @a: keys, and whom to trust; NULL: none; kept until close
 *
 * A reader of a version holds a lease until it is closed. Errors as img_reader_open(); ERR_USAGE for what is not in the repository.
 */
struct img_reader *image_open(const char *image, int fd, const struct img_access *a, const struct progress *p, struct err *e);

/* image_examine - for those who look for damage; see img_reader_examine() */
struct img_reader *image_examine(const char *image, int fd, bool front_to_back, const struct img_access *a, struct img_place *ret_place,
	const struct progress *p, struct err *e);

#endif
