/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Reading the present chunks of disks in large sequential pieces: the first stage of capture, of read-back and of
 * verify --against. A batch is up to BATCH_CHUNKS neighbouring chunks in one buffer. Private to imager/job.
 */
#ifndef CALCO_IMAGER_JOB_BATCH_H
#define CALCO_IMAGER_JOB_BATCH_H

#include "base/blk.h"
#include "base/err.h"
#include "imager/image/manifest.h"

#include <stdbool.h>
#include <stdint.h>

struct chunk_set;
struct twins;

#define BATCH_CHUNKS 4U

struct batch {
	unsigned nr;
	struct img_cursor at[BATCH_CHUNKS];
	uint8_t *data;        /* BATCH_CHUNKS × CHUNK_SIZE, aligned for O_DIRECT; owned */
	uint64_t bytes;       /* used bytes the batch stands for, for progress */
};

/* batch_init, batch_release - the buffer of one batch */
int batch_init(struct batch *b, struct err *e);
void batch_release(struct batch *b);

/* batch_chunk - the buffer of chunk k */
static inline uint8_t *batch_chunk(const struct batch *b, unsigned k)
{
	return b->data + (size_t)k * CHUNK_SIZE;
}

struct batch_reader {
	const struct img_manifest *m;
	struct blk_source *const *disks;  /* one for each disk of the image */
	const uint64_t *shift;            /* NULL, or for each disk: subtracted from the image's offsets */
	bool want_zero;                   /* zero extents are read too (a target), else only used ones (a source) */
	size_t only_region;               /* SIZE_MAX: all */
	const struct chunk_set *only;     /* NULL: all */
	bool whole_leaves;                /* with want_zero: what shares a leaf with a wanted byte is read, too */
	/* Unreadable bytes: NULL: an error ends it. Else they read as zero and are reported here, sector by sector, ascending. */
	int (*bad)(void *arg, uint32_t disk, uint64_t start, uint64_t len, struct err *e);
	/* NULL, or where else to look for them, without shift: what is found there is reported as found instead. */
	const struct twins *twins;
	int (*found)(void *arg, uint32_t disk, uint64_t start, uint64_t len, struct err *e);
	void *bad_arg;
	struct img_cursor at;             /* the chunk read last; img_cursor_begin() first */
	bool has_next;                    /* at was moved to a chunk that is not read yet */
	uint64_t read_bytes;
};

/* batch_next - fill the next batch: 1, 0 at the end, -1. What lies between the wanted extents of a chunk is undefined: mask it. One thread. */
int batch_next(struct batch_reader *r, struct batch *b, struct err *e);

#endif
