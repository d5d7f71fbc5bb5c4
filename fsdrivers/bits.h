/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * One bit for each cluster of a volume. The words are allocated clear and written only where bits are set, so that the
 * memory taken follows what is in use and not the size of the volume.
 */
#ifndef CALCO_FSDRIVERS_BITS_H
#define CALCO_FSDRIVERS_BITS_H

#include "fsdrivers/fsdriver.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Bit i is bit i % 64 of word i / 64; the bits of the last word from nr on are clear. All zero: none, fit for release. */
struct fsd_bits {
	uint64_t *words;
	uint64_t nr;
};

/* fsd_bits_new - all clear. Release with fsd_bits_release(), which also takes one that was never made. */
int fsd_bits_new(struct fsd_bits *b, uint64_t nr, struct err *e);
void fsd_bits_release(struct fsd_bits *b);

/* fsd_bits_has - is bit i < nr set? */
static inline bool fsd_bits_has(const struct fsd_bits *b, uint64_t i)
{
	return b->words[i / 64] >> (i % 64) & 1;
}

/* fsd_bits_find - the first index in [from, end) whose bit equals @value; @end when there is none. end <= nr */
uint64_t fsd_bits_find(const struct fsd_bits *b, uint64_t from, uint64_t end, bool value);
/* fsd_bits_next_run - the first run of set bits in [from, nr), as [*ret_start, *ret_end); false when there is none */
bool fsd_bits_next_run(const struct fsd_bits *b, uint64_t from, uint64_t *ret_start, uint64_t *ret_end);
/* fsd_bits_count - how many are set */
uint64_t fsd_bits_count(const struct fsd_bits *b);

/* fsd_bits_put - set or clear [first, first + count), which must lie inside */
void fsd_bits_put(struct fsd_bits *b, uint64_t first, uint64_t count, bool value);
/*
 * fsd_bits_load - set the bits that are set in len bytes of a bitmap on disk
 * @at: which byte of it they begin with, a multiple of 8
 *
 * Bit 0 of a byte comes first. What is behind the last cluster is ignored: it means nothing and is set by some.
 */
void fsd_bits_load(struct fsd_bits *b, uint64_t at, const uint8_t *bytes, size_t len);
/* fsd_bits_subtract - into ret what is set in a and not in b; all of one size, ret may be a, or new */
void fsd_bits_subtract(struct fsd_bits *ret, const struct fsd_bits *a, const struct fsd_bits *b);

/* fsd_bits_emit - each run of set bits as a used extent of member 0; bit i is the cluster_size bytes at base + i * cluster_size */
int fsd_bits_emit(const struct fsd_bits *b, uint64_t base, uint64_t cluster_size, fsd_extent_fn emit, void *arg, struct err *e);

#endif
