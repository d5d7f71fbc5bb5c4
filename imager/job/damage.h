/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The list of what verify found, merged and bounded. Private to imager/job. */
#ifndef CALCO_IMAGER_JOB_DAMAGE_H
#define CALCO_IMAGER_JOB_DAMAGE_H

#include "imager/image/manifest.h"
#include "imager/image/reader.h"
#include "imager/job/job.h"

/* damage_add - append; one that continues the last (same place, same words) makes it longer. Memory is bounded by VERIFY_MAX_DAMAGES. */
int damage_add(struct verify_result *r, const struct damage *d, struct err *e);

/* damage_on_disk - a damage of bytes of a disk, with its volume's name. @what: formatted words */
int damage_on_disk(struct verify_result *r, const struct img_manifest *m, size_t region, uint64_t start, uint64_t len, const char *what,
	struct err *e);

/* damage_at_place - a damage of the image file itself. @message: the reader's; the image's name in front of it is cut off */
int damage_at_place(struct verify_result *r, const char *image, const struct img_place *place, const char *message, struct err *e);

#endif
