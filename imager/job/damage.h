/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The list of what verify found, merged and bounded. Private to imager/job. */
#ifndef CALCO_IMAGER_JOB_DAMAGE_H
#define CALCO_IMAGER_JOB_DAMAGE_H

#include "imager/job/job.h"
#include "imager/image/manifest.h"

/* damage_add - append; one that continues the last (same place, same words) makes it longer. Memory is bounded by VERIFY_MAX_DAMAGES. */
int damage_add(struct verify_result *r, const struct damage *d, struct err *e);

/* damage_on_disk - a damage of bytes of a disk, with its volume's name. @what: formatted words */
int damage_on_disk(struct verify_result *r, const struct img_manifest *m, size_t region, uint64_t start, uint64_t len, const char *what,
	struct err *e);

/* damage_in_file - a damage of the image file itself */
int damage_in_file(struct verify_result *r, uint64_t start, uint64_t len, const char *what, struct err *e);

#endif
