/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The expected disk = image + adaptations: what must stand on a target of a given size. The one place that knows about
 * adaptations; restore and verify both ask it. Private to imager/job.
 */
#ifndef CALCO_IMAGER_JOB_EXPECTED_H
#define CALCO_IMAGER_JOB_EXPECTED_H

#include "base/auto.h"
#include "base/err.h"
#include "imager/disk/table.h"
#include "imager/image/manifest.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* One disk of the image on one target. */
struct expected_disk {
	uint64_t size;            /* of the target */
	uint64_t shift;           /* subtracted from the image's offsets to get the target's (a single volume on its own device) */
	struct pt_patch *patches; /* new bytes, in the image's offsets, sorted */
	size_t nr_patches;
};

struct expected {
	const struct img_manifest *m; /* borrowed */
	size_t only_region;           /* SIZE_MAX: everything */
	struct expected_disk *disks;  /* m->nr_disks */
};

/*
 * expected_new - plan what the targets will hold
 * @target_sizes: bytes, one for each disk of the image
 * @only_region: SIZE_MAX, or the only region that is of interest (then there are no patches)
 *
 * ERR_REFUSED "too-small" with the exact shortage.
 */
int expected_new(const struct img_manifest *m, const uint64_t *target_sizes, const char *const *names, size_t only_region,
	struct expected **ret, struct err *e);
void expected_free(struct expected *x);
AUTO_DEFINE(expected, expected_free)

/* expected_touches - do adaptations change bytes [start, start+len) of a disk (image offsets)? */
bool expected_touches(const struct expected *x, uint32_t disk, uint64_t start, uint64_t len);

/* expected_adapt - lay the adaptations over len bytes of content that belong at start (image offsets) */
void expected_adapt(const struct expected *x, uint32_t disk, uint64_t start, uint8_t *buf, size_t len);

#endif
