/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * What is held back during a restore: the bytes that make firmware and mounters accept a disk. They are not written with the
 * data but kept here, and written in three stages once everything else stands verified. Private to imager/job.
 */
#ifndef CALCO_IMAGER_JOB_HOLDS_H
#define CALCO_IMAGER_JOB_HOLDS_H

#include "base/blk.h"
#include "base/err.h"
#include "imager/image/chunk.h"
#include "imager/job/expected.h"
#include "imager/job/state.h"

#include <stdbool.h>
#include <stdint.h>

enum hold_stage {
	HOLD_SUPER, /* superblocks of volumes firmware does not start from */
	HOLD_TABLE, /* partition tables and the end of the disk; an MBR sector with the stub in place of its boot code */
	HOLD_BOOT,  /* boot volumes' (UEFI: every FAT's) boot sectors and superblocks, and boot code */
};

struct hold {
	uint32_t disk;
	uint64_t start, len; /* image offsets, whole sectors */
	enum hold_stage stage;
	uint8_t *bytes;      /* what will be written; filled while the data passes by */
};

/* A chunk whose bytes on the target differ from the image's content, because of adaptations or because something is held back. */
struct special_chunk {
	uint64_t present;
	uint8_t id[IMG_ID_SIZE]; /* of the adapted content with held bytes as zero; set when the chunk passes by */
};

struct holds {
	const struct expected *x; /* borrowed */
	struct hold *list;        /* sorted by disk and start, not overlapping */
	size_t nr;
	struct special_chunk *special; /* sorted by present */
	size_t nr_special;
};

/*
 * holds_new - plan what is held back
 * @old: ranges of the targets' own tables (image offsets) that must stay until the new table replaces them
 */
int holds_new(const struct expected *x, const struct img_range *old, size_t nr_old, struct holds **ret, struct err *e);
void holds_free(struct holds *h);
AUTO_DEFINE(holds, holds_free)

/* holds_next - the first held range of a disk that ends behind `at`; NULL when there is none */
const struct hold *holds_next(const struct holds *h, uint32_t disk, uint64_t at);

/* holds_special - the entry of a chunk, NULL when it is an ordinary one */
struct special_chunk *holds_special(const struct holds *h, uint64_t present);

/* holds_take - copy what is held from a chunk's adapted content. Different chunks in different threads are fine. */
void holds_take(const struct holds *h, uint32_t disk, uint64_t start, const uint8_t *content, uint32_t len);

/* holds_clear - set held bytes to zero in a buffer that stands for [start, start+len) */
void holds_clear(const struct holds *h, uint32_t disk, uint64_t start, uint8_t *buf, uint32_t len);

/* holds_write - write one stage to a target, highest offset first (a backup table before the primary one). The caller flushes. */
int holds_write(const struct holds *h, uint32_t disk, enum hold_stage stage, struct blk_sink *sink, struct err *e);

/* holds_see - note what stands where something is held, before anything is written: state_see() */
int holds_see(const struct holds *h, uint32_t disk, struct blk_sink *sink, struct state *state, struct err *e);

/* holds_will_write - before the first holds_write() of a disk: state_will_write() for all stages */
int holds_will_write(const struct holds *h, uint32_t disk, struct state *state, struct err *e);

/* holds_verify - read back what holds_write() wrote and compare: ERR_CORRUPT names the range that differs. After the flush, before the next stage. */
int holds_verify(const struct holds *h, uint32_t disk, enum hold_stage stage, struct blk_sink *sink, struct err *e);

/* holds_stub - replace the 440 bytes of boot code of an MBR sector by a stub that says so and lets the firmware go on (INT 18h) */
void holds_stub(uint8_t *sector);

/*
 * holds_could_leave - can these bytes be what a disarming that was cut short, torn or failed at any byte left of `was`?
 * @start: of both, on the target
 *
 * Every byte is as it was, or cleared, or in the first sector of the stub.
 */
bool holds_could_leave(uint64_t start, const uint8_t *was, const uint8_t *now, size_t len);

#endif
