/* SPDX-License-Identifier: GPL-3.0-or-later */
/* One bit for each cluster. */
#include "fsdrivers/exfat/exfat.h"

#include "base/arith.h"

int exfat_bits_new(struct exfat_bits *b, uint32_t nr, struct err *e)
{
	b->nr = nr;
	b->words = alloc_array((size_t)nr / 64 + 1, sizeof(uint64_t));
	return b->words ? 0 : err_nomem(e, "one bit for each exFAT cluster");
}

void exfat_bits_release(struct exfat_bits *b)
{
	free(b->words);
	b->words = NULL;
}

uint32_t exfat_bits_find(const struct exfat_bits *b, uint32_t from, uint32_t end, bool value)
{
	uint64_t flip = value ? 0 : ~0ULL;

	for (uint64_t at = from; at < end; at = (at / 64 + 1) * 64) {
		uint64_t word = (b->words[at / 64] ^ flip) >> (at % 64);
		if (word)
			return (uint32_t)min_u64(at + (unsigned)__builtin_ctzll(word), end);
	}
	return end;
}

void exfat_bits_put(struct exfat_bits *b, uint32_t first, uint32_t count, bool value)
{
	uint64_t end = (uint64_t)first + count, next;

	for (uint64_t at = first; at < end; at = next) {
		next = min_u64((at / 64 + 1) * 64, end);
		uint64_t mask = ~0ULL >> (64 - (next - at)) << (at % 64);
		if (value)
			b->words[at / 64] |= mask;
		else
			b->words[at / 64] &= ~mask;
	}
}

void exfat_bits_load(struct exfat_bits *b, uint64_t at, const uint8_t *bytes, size_t len)
{
	uint64_t nr_bytes = ceil_div_u64(b->nr, 8);

	for (size_t i = 0; i < len && at + i < nr_bytes; i++) {
		uint64_t byte = bytes[i];
		if (at + i == nr_bytes - 1 && b->nr % 8)
			byte &= (1U << b->nr % 8) - 1;
		if (byte)
			b->words[(at + i) / 8] |= byte << ((at + i) % 8 * 8);
	}
}

void exfat_bits_subtract(struct exfat_bits *b, const struct exfat_bits *other)
{
	for (size_t i = 0; i <= b->nr / 64; i++)
		if (b->words[i] & other->words[i])
			b->words[i] &= ~other->words[i];
}

uint32_t exfat_bits_count(const struct exfat_bits *b)
{
	uint32_t count = 0;

	for (size_t i = 0; i <= b->nr / 64; i++)
		count += (uint32_t)__builtin_popcountll(b->words[i]);
	return count;
}
