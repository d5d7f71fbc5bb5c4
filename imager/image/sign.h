/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Adding a signature to a finished image, in place (docs/format.md section 6). */
#ifndef CALCO_IMAGER_IMAGE_SIGN_H
#define CALCO_IMAGER_IMAGE_SIGN_H

#include "base/err.h"
#include "imager/image/keys.h"
#include "imager/image/manifest.h"

#include <stdbool.h>

struct img_access;

struct img_sign_result {
	char name[65];
	uint64_t version;
	uint8_t root[32];
	bool was_signed; /* by this key already: nothing was changed */
	bool in_head;    /* its core is signed too: a pipe can be judged before anything is written */
	bool recovered;  /* a signing that was cut short was finished first */
};

/*
 * img_sign - sign root and core of an image file
 * @k: KEY_SIGN_SECRET
 * @a: NULL, or with what the image is opened
 *
 * The head, the tail and the root are checked first; the content is not read. What will change is written to IMAGE.sign beside it and flushed before the
 * image is touched: cut short at any moment, the image is either as it was, or the next img_sign() finishes it. The image's length changes only where it has no
 * room reserved for signatures. ERR_REFUSED "in-use" while another program writes the image.
 */
int img_sign(const char *path, const struct img_access *a, const struct key *k, struct img_sign_result *ret, struct err *e);

#endif
