/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * What a refresh has beyond a restore: it looks at the target first, and then writes only what differs. Stages between are those of restore.c.
 * Private to imager/job.
 */
#ifndef CALCO_IMAGER_JOB_REFRESH_H
#define CALCO_IMAGER_JOB_REFRESH_H

#include "imager/job/restore.h"

/*
 * refresh_scan - read what the image uses on the targets and note in rs->need the chunks that differ
 *
 * Nothing is written. What cannot be read differs. rs->is_same: the targets hold the image, there is nothing to do.
 */
int refresh_scan(struct restore *rs, struct err *e);

/*
 * refresh_widen - once it is known that something differs, before disarming: add the chunks that disarming changes
 *
 * These are the chunks with held bytes, which must pass by to be known, and those in which the target's own layout has something to clear.
 */
void refresh_widen(struct restore *rs);

/* refresh_next - move on to the next chunk in rs->need that is not made anew: false when there is none. One thread. */
bool refresh_next(struct restore *rs, struct img_cursor *at);

/* What became of the leaves of a chunk. */
struct refresh_count {
	uint64_t written, zeroed; /* bytes */
};

/*
 * refresh_chunk - write the leaves of a chunk that differ, around what is held; with dry_run only count them
 * @start: of the chunk, image offset; @content: what it should hold, CHUNK_SIZE, held bytes cleared; @have: CHUNK_SIZE, for what it holds
 *
 * Any thread, different chunks. Leaves that become zero are not written but made zero, and counted apart.
 */
int refresh_chunk(struct restore *rs, const struct img_region *reg, const struct cmap_chunk *c, uint64_t start, const uint8_t *content,
	uint8_t *have, struct refresh_count *ret, struct err *e);

#endif
