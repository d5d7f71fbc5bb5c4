/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Disarming a target: before the first byte of data is written, nothing on it may be recognised by firmware or a mounter any
 * more, in its own layout as well as in the image's. Partition tables stay until they are replaced. Private to imager/job.
 */
#ifndef CALCO_IMAGER_JOB_DISARM_H
#define CALCO_IMAGER_JOB_DISARM_H

#include "base/blk.h"
#include "base/err.h"
#include "base/progress.h"
#include "imager/disk/table.h"
#include "imager/job/expected.h"
#include "imager/job/state.h"

/* What stands on a target now, as far as it matters. */
struct target_layout {
	struct pt_table *table;   /* owned; NULL when it could not be read as one */
	struct img_range *arm;    /* superblocks and boot sectors of its volumes, target offsets; owned */
	uint32_t nr_arm;
};

/* target_look - find out; what cannot be parsed is simply not listed. Fails only when the target cannot be read, or the job shall stop. */
int target_look(struct blk_sink *sink, const struct progress *p, struct target_layout *ret, struct err *e);
void target_layout_release(struct target_layout *t);

/* A target that is to be disarmed. */
struct disarm {
	const struct expected *x;
	uint32_t disk;            /* of the image; with x->only_region only what lies in that region is touched */
	const struct target_layout *t;
	struct blk_sink *sink;
	struct state *state;
	const struct progress *p; /* asked before each sector whether the job shall stop */
};

/*
 * target_save - save the arm ranges of the old and the new layout and the boot code to the record, with notes by which the target is known again
 * (state_see). The target is only read. The caller syncs the record.
 */
int target_save(const struct disarm *d, struct err *e);

/*
 * target_clear - clear what target_save() saved, put the stub in place of the boot code, and flush
 *
 * Stopped or failed in between, the record brings everything back.
 */
int target_clear(const struct disarm *d, struct err *e);

#endif
