/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The plan of a capture: disks become a manifest without content (which bytes are used, where, of what volume), from metadata only.
 * In two phases: first the regions of every disk, then the volumes in them, which may span regions and disks. Private to imager/job
 * and its tests.
 */
#ifndef CALCO_IMAGER_JOB_PLAN_H
#define CALCO_IMAGER_JOB_PLAN_H

#include "base/blk.h"
#include "base/err.h"
#include "base/progress.h"
#include "imager/image/manifest.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct blk_overlay;
struct twins;

struct plan_options {
	uint32_t sector_size;           /* 0: found out */
	bool raw_gaps;
	const char *const *raw_volumes; /* NULL-terminated, may be NULL; "all" means every volume */
	bool *raw_found;                /* NULL, or one for each of raw_volumes: set when it means a volume */
	const char *const *unlocks;     /* "VOL=FILE", NULL-terminated; may be NULL */
	bool *unlock_found;             /* as raw_found, for containers */
	bool skip_volatile;             /* leave out what swap and hibernation files hold */
	struct twins *twins;            /* NULL, or gets what stands in several places of the disks; to be sorted by the caller */
	struct blk_overlay *const *overlays; /* NULL: journals are not replayed; else one for each disk, through which plan_volumes() reads */
};

/*
 * plan_disk - add one disk to the manifest: its regions, table copies, and the frozen maps of its gaps
 *
 * Notices go to p. Call for each disk in order, then plan_volumes().
 */
int plan_disk(struct img_manifest *m, struct blk_source *src, const struct plan_options *o, const struct progress *p, struct err *e);

/*
 * plan_volumes - find the volumes of all disks, on top of each other where they are, and freeze the maps of their regions
 * @disks: one source for each disk of the manifest
 *
 * A volume that is not safe to copy is ERR_REFUSED with its reason, unless it is taken raw; a word of raw_volumes or unlocks that means none,
 * ERR_USAGE. Then img_manifest_number().
 */
int plan_volumes(struct img_manifest *m, struct blk_source *const *disks, const struct plan_options *o, const struct progress *p, struct err *e);

#endif
