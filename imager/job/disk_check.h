/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Reading a disk and comparing it, chunk by chunk, with the ids of an image: read-back and verify --against. Private to imager/job. */
#ifndef CALCO_IMAGER_JOB_DISK_CHECK_H
#define CALCO_IMAGER_JOB_DISK_CHECK_H

#include "base/err.h"
#include "base/progress.h"
#include "imager/job/batch.h"
#include "imager/job/expected.h"
#include "imager/job/holds.h"

#include <stdint.h>

struct disk_check {
	const struct expected *x;
	const struct holds *holds;            /* NULL, or what is not on the disk yet: read as zero */
	const struct special_chunk *special;  /* chunks with another id than the image's; sorted */
	size_t nr_special;
	struct blk_source *const *disks;
	const struct chunk_set *only;         /* NULL: every present chunk */
	bool whole_leaves;                    /* unused bytes must be zero where they share a leaf with others */
	unsigned threads;
	const char *phase;                    /* for progress */
	uint64_t total;                       /* for progress */
	uint64_t checked;                     /* bytes compared; set by the run */
	uint64_t nr_chunks;                   /* chunks compared; set by the run */
	/* A chunk that differs; content is what the disk holds, masked. Called in order in the caller's thread; -1 ends the run. */
	int (*differs)(void *arg, const struct img_cursor *at, const uint8_t *content, struct err *e);
	/* Unreadable bytes of the disk, NULL: they end the run. From the reading thread. */
	int (*unreadable)(void *arg, uint32_t disk, uint64_t start, uint64_t len, struct err *e);
	void *arg;
};

int disk_check_run(struct disk_check *dc, const struct progress *p, struct err *e);

#endif
