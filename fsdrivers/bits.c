/* SPDX-License-Identifier: GPL-3.0-or-later */
/* One bit for each cluster; see bits.h. There is a word more than nr / 64, so that nr itself has a place, too. */
#include "fsdrivers/bits.h"

#include "base/arith.h"
#include "base/span.h"

#include <string.h>

int fsd_bits_new(struct fsd_bits *b, uint64_t nr, struct err *e)
{
	b->nr = nr;
	b->words = alloc_array((size_t)(nr / 64 + 1), sizeof(*b->words));
	return b->words ? 0 : err_nomem(e, "one bit for each cluster");
}

void fsd_bits_release(struct fsd_bits *b)
{
	free(b->words);
	*b = (struct fsd_bits){ 0 };
}

uint64_t fsd_bits_find(const struct fsd_bits *b, uint64_t from, uint64_t end, bool value)
{
	uint64_t flip = value ? 0 : ~0ULL;

	for (uint64_t at = from; at < end; at = (at / 64 + 1) * 64) {
		uint64_t word = (b->words[at / 64] ^ flip) >> (at % 64);
		if (word)
			return min_u64(at + (unsigned)__builtin_ctzll(word), end);
	}
	return end;
}

bool fsd_bits_next_run(const struct fsd_bits *b, uint64_t from, uint64_t *ret_start, uint64_t *ret_end)
{
	uint64_t start = fsd_bits_find(b, from, b->nr, true);

	if (start >= b->nr)
		return false;
	*ret_start = start;
	*ret_end = fsd_bits_find(b, start, b->nr, false);
	return true;
}

uint64_t fsd_bits_count(const struct fsd_bits *b)
{
	uint64_t count = 0;

	for (uint64_t i = 0; i <= b->nr / 64; i++)
		count += (unsigned)__builtin_popcountll(b->words[i]);
	return count;
}

void fsd_bits_put(struct fsd_bits *b, uint64_t first, uint64_t count, bool value)
{
	uint64_t end = first + count, next;

	for (uint64_t at = first; at < end; at = next) {
		next = min_u64((at / 64 + 1) * 64, end);
		uint64_t mask = ~0ULL >> (64 - (next - at)) << (at % 64);
		if (value)
			b->words[at / 64] |= mask;
		else if (b->words[at / 64] & mask)
			b->words[at / 64] &= ~mask;
	}
}

/* The last piece of a bitmap may end inside a word. */
static uint64_t word_at(const uint8_t *bytes, size_t len, size_t i)
{
	uint8_t last[8] = { 0 };

	if (len - i >= 8)
		return get_le64(bytes + i);
	memcpy(last, bytes + i, len - i);
	return get_le64(last);
}

void fsd_bits_load(struct fsd_bits *b, uint64_t at, const uint8_t *bytes, size_t len)
{
	for (size_t i = 0; i < len && at / 8 + i / 8 <= b->nr / 64; i += 8) {
		uint64_t to = at / 8 + i / 8, word = word_at(bytes, len, i);
		if (to == b->nr / 64)
			word &= (1ULL << b->nr % 64) - 1;
		if (word)
			b->words[to] |= word;
	}
}

void fsd_bits_subtract(struct fsd_bits *ret, const struct fsd_bits *a, const struct fsd_bits *b)
{
	for (uint64_t i = 0; i <= a->nr / 64; i++) {
		uint64_t word = a->words[i] & ~b->words[i];
		if (ret->words[i] != word)
			ret->words[i] = word;
	}
}

int fsd_bits_emit(const struct fsd_bits *b, uint64_t base, uint64_t cluster_size, fsd_extent_fn emit, void *arg, struct err *e)
{
	for (uint64_t start, end = 0; fsd_bits_next_run(b, end, &start, &end);)
		if (emit(arg, 0, base + start * cluster_size, (end - start) * cluster_size, EXT_USED, e) < 0)
			return -1;
	return 0;
}
