/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Leaving content out on request: what a volume uses, but not for long (swap and hibernation files). Private to imager/job. */
#ifndef CALCO_IMAGER_JOB_PLAN_SKIP_H
#define CALCO_IMAGER_JOB_PLAN_SKIP_H

#include "imager/job/plan_volumes.h"

struct plan_skip {
	size_t member;
	uint64_t start, len; /* bytes of the member, whole leaves */
};

/* Zeroed is empty. */
struct plan_skips {
	struct plan_skip *list; /* owned; sorted by member and start */
	size_t nr, room;
	char what[400];         /* "/swapfile 512.0 MiB, /swap 1.0 GiB" */
	char file[64];          /* the last one met while they are gathered, and its bytes */
	uint64_t file_bytes;
};

/* plan_skips_find - what can be left out of a volume; where that cannot be told, nothing. To be called before its map. */
int plan_skips_find(struct plan_skips *s, struct fsd_volume *fs, struct err *e);

/* plan_skips_keep - emit what of a range is not left out */
int plan_skips_keep(const struct plan_skips *s, size_t member, uint64_t start, uint64_t len, fsd_range_fn emit, void *arg, struct err *e);

/* plan_skips_note - ranges, flag and notice of the volume of a device, of which this is the only member */
int plan_skips_note(const struct plan_skips *s, struct plan *p, size_t dev, struct img_volume *v, struct err *e);

void plan_skips_release(struct plan_skips *s);

#endif
