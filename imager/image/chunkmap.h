/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The three states of every granule of one region, kept per chunk (docs/format.md sections 1 and 3, "extents").
 *
 * Memory goes with the used chunks, not with the disk: 4 bytes for each chunk of a GiB that holds anything, and two
 * bitmaps only for chunks of mixed state. Built by adding extents in any order, then frozen, then only read (from any
 * thread).
 */
#ifndef CALCO_IMAGER_IMAGE_CHUNKMAP_H
#define CALCO_IMAGER_IMAGE_CHUNKMAP_H

#include "base/auto.h"
#include "base/err.h"
#include "base/extent.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define CHUNK_SIZE 262144U
#define LEAF_SIZE  4096U
#define CHUNK_LEAVES (CHUNK_SIZE / LEAF_SIZE)

/* The numbers are those of a run's kind in the format. */
enum cmap_kind { CMAP_ABSENT, CMAP_USED, CMAP_ZERO, CMAP_BITMAP, CMAP_BITMAP_ZERO };

struct cmap_chunk {
	enum cmap_kind kind;
	uint32_t len;        /* bytes of the chunk inside the region: CHUNK_SIZE but for the last */
	const uint8_t *used; /* bitmaps, NULL unless kind is CMAP_BITMAP or CMAP_BITMAP_ZERO */
	const uint8_t *zero; /* NULL unless kind is CMAP_BITMAP_ZERO */
};

struct chunk_map;

/* cmap_new - all unused. @len: bytes of the region, not 0. @granule_log2: 9..12. NULL and *e on failure. */
struct chunk_map *cmap_new(uint64_t len, unsigned granule_log2, struct err *e);
void cmap_free(struct chunk_map *m);
AUTO_DEFINE(chunk_map, cmap_free)

/*
 * cmap_add - add an extent; used wins over zero wins over unused
 *
 * Bytes from the region's start; must lie inside (-1, ERR_CORRUPT). Used ranges are widened to granules, zero ranges
 * narrowed and what falls off becomes used. Not after cmap_freeze().
 */
int cmap_add(struct chunk_map *m, uint64_t start, uint64_t len, enum ext_state state, struct err *e);

/* cmap_set_run - for decoders: chunks [first, first+nr) of an empty map, inside it, become CMAP_ABSENT, CMAP_USED or CMAP_ZERO */
int cmap_set_run(struct chunk_map *m, uint64_t first, uint64_t nr, enum cmap_kind kind, struct err *e);

/* cmap_set_bitmaps - for decoders: chunk i becomes CMAP_BITMAP or CMAP_BITMAP_ZERO. Bitmaps of cmap_bitmap_bytes(); ERR_CORRUPT if not canonical. */
int cmap_set_bitmaps(struct chunk_map *m, uint64_t i, enum cmap_kind kind, const uint8_t *used, const uint8_t *zero, struct err *e);

/* cmap_freeze - make every chunk canonical (a full bitmap becomes CMAP_USED, ...) and count what is present */
void cmap_freeze(struct chunk_map *m);

uint64_t cmap_nr_chunks(const struct chunk_map *m);     /* positions of the grid */
uint64_t cmap_nr_present(const struct chunk_map *m);    /* after cmap_freeze() */
uint64_t cmap_bytes(const struct chunk_map *m, enum ext_state state); /* EXT_USED or EXT_ZERO; after cmap_freeze() */
unsigned cmap_granule_log2(const struct chunk_map *m);
size_t cmap_bitmap_bytes(const struct chunk_map *m);
uint64_t cmap_len(const struct chunk_map *m);
/* cmap_memory - bytes that what was added costs, at any time; for those who decode hostile maps */
uint64_t cmap_memory(const struct chunk_map *m);

/* cmap_get - chunk i. The bitmaps are borrowed from the map. */
void cmap_get(const struct chunk_map *m, uint64_t i, struct cmap_chunk *ret);

/* cmap_next_present - the first present chunk at or behind i, or cmap_nr_chunks() */
uint64_t cmap_next_present(const struct chunk_map *m, uint64_t i);

/* cmap_present_index - the place of chunk i among the present chunks of the map; after cmap_freeze() */
uint64_t cmap_present_index(const struct chunk_map *m, uint64_t i);

/* cmap_run - how many chunks from i on have the same kind (at least 1; whole empty GiB at a time); *ret_kind is that kind */
uint64_t cmap_run(const struct chunk_map *m, uint64_t i, enum cmap_kind *ret_kind);

/* cmap_state_run - length in bytes of the run of equal state that begins at byte off of chunk c; *ret_state is that state */
uint32_t cmap_state_run(const struct chunk_map *m, const struct cmap_chunk *c, uint32_t off, enum ext_state *ret_state);

/* cmap_leaf_run - the run of leaves from off on (a leaf's start) of which each has a used or zero byte, or none has; returns its length in bytes */
uint32_t cmap_leaf_run(const struct chunk_map *m, const struct cmap_chunk *c, uint32_t off, bool *ret_wanted);

/* cmap_mask_leaves - clear in buf (CHUNK_SIZE bytes) the leaves without a used or zero byte; behind c->len all is cleared */
void cmap_mask_leaves(const struct chunk_map *m, const struct cmap_chunk *c, uint8_t *buf);

/* cmap_mask - clear in buf (CHUNK_SIZE bytes) what is not used, or with keep_zero only what is unused; behind c->len all is cleared */
void cmap_mask(const struct chunk_map *m, const struct cmap_chunk *c, uint8_t *buf, bool keep_zero);

/* cmap_is_masked - is every byte of buf (CHUNK_SIZE) zero that is not used? */
bool cmap_is_masked(const struct chunk_map *m, const struct cmap_chunk *c, const uint8_t *buf);

/* cmap_equal - same length, granule and state of every chunk */
bool cmap_equal(const struct chunk_map *a, const struct chunk_map *b);

#endif
