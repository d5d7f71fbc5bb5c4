/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What the stages of a restore share. Private to imager/job; job.h is the public face. */
#ifndef CALCO_IMAGER_JOB_RESTORE_H
#define CALCO_IMAGER_JOB_RESTORE_H

#include "base/blk.h"
#include "imager/image/reader.h"
#include "imager/job/chunk_set.h"
#include "imager/job/disarm.h"
#include "imager/job/expected.h"
#include "imager/job/holds.h"
#include "imager/job/job.h"
#include "imager/job/state.h"

struct restore {
	const struct restore_options *o;
	const struct progress *p;
	struct img_reader *reader;
	struct img_manifest *m; /* borrowed from the reader, handed to the result at the end */
	size_t only_region;
	struct blk_sink *sinks[IMG_MAX_DISKS];
	struct state *states[IMG_MAX_DISKS];
	struct target_layout layouts[IMG_MAX_DISKS];
	struct expected *x;
	struct holds *holds;
	char set_aside[512];    /* the first record that was not of what stands on its target, under its new name; "": none */
	bool disarmed;          /* from here on a target is not what it was */
	uint64_t reached[IMG_MAX_DISKS]; /* data may have been written before this offset of the target; only restore_reach() changes it */
	uint64_t total, done;   /* bytes of the phase that runs, for progress */
	uint64_t written, verified, discarded, nr_chunks;
	/* Of a refresh (refresh.h), else NULL and 0. */
	struct chunk_set *need;       /* the chunks that differ; owned */
	struct img_cursor at;         /* the one fetched last; of the thread that reads the image */
	bool tables_differ, is_same;
	uint64_t scanned, differing;  /* bytes; chunks */
	uint64_t fetched, zeroed;     /* bytes of stored records; bytes made zero */
};

/*
 * restore_reach - before anything before `end` is written to a target, or discarded there; any thread
 *
 * ERR_STOPPED when nothing may be written any more. What disarms the target is not counted: its record brings it back.
 */
int restore_reach(struct restore *rs, uint32_t disk, uint64_t end, struct err *e);

/* restore_write - decode and write every chunk but for what is held back (restore_write.c) */
int restore_write(struct restore *rs, struct err *e);
/* restore_scrub - discard or clear what the image does not use (restore_scrub.c) */
int restore_scrub(struct restore *rs, struct err *e);
/* restore_read_back - read every written chunk from the medium and compare (restore_check.c) */
int restore_read_back(struct restore *rs, struct err *e);
/* restore_advise - the hint of an error that ended it when the target was disarmed already (restore_advice.c) */
void restore_advise(const struct restore *rs, struct err *e);

/* restore_write_around - write bytes [start, start+len) of the image's disk but for what is held back. buf NULL: zeros. (restore_write.c) */
int restore_write_around(struct restore *rs, uint32_t disk, uint64_t start, const uint8_t *buf, uint64_t len, struct err *e);

#endif
