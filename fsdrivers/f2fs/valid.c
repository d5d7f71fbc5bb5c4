/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Which blocks of the main area are valid: the SIT (f2fs.rst, "Segment Information Table"). Its blocks have no checksum; so each segment's
 * count is held against its map, and the sums against the checkpoint, as the kernel does before it mounts.
 */
#include "fsdrivers/f2fs/f2fs.h"

#include "base/arith.h"

#define NR_TYPES   6U /* of segments: hot, warm, cold data, then nodes */
#define FIRST_NODE 3U

int f2fs_bits_new(struct f2fs_bits *b, uint64_t nr, struct err *e)
{
	b->nr = nr;
	b->words = alloc_array((size_t)(nr / 64 + 1), sizeof(uint64_t));
	return b->words ? 0 : err_nomem(e, "one bit for each F2FS block");
}

void f2fs_bits_release(struct f2fs_bits *b)
{
	free(b->words);
	b->words = NULL;
}

uint64_t f2fs_bits_find(const struct f2fs_bits *b, uint64_t from, bool value)
{
	uint64_t flip = value ? 0 : ~0ULL;

	for (uint64_t at = from; at < b->nr; at = (at / 64 + 1) * 64) {
		uint64_t word = (b->words[at / 64] ^ flip) << (at % 64);
		if (word)
			return min_u64(at + (unsigned)__builtin_clzll(word), b->nr);
	}
	return b->nr;
}

static uint64_t bit_of(uint64_t i)
{
	return 1ULL << (63 - i % 64);
}

bool f2fs_bits_test(const struct f2fs_bits *b, uint64_t i)
{
	return b->words[i / 64] & bit_of(i);
}

bool f2fs_bits_set(struct f2fs_bits *b, uint64_t i)
{
	if (f2fs_bits_test(b, i))
		return false;
	b->words[i / 64] |= bit_of(i);
	return true;
}

struct sums {
	struct f2fs_bits *bits;
	uint64_t nr_valid, nr_nodes;
};

/* struct f2fs_sit_entry: type and count in 16 bits, the map, a time */
static int segment_entry(struct sums *s, uint32_t segno, const uint8_t *entry, struct err *e)
{
	uint32_t head = get_le16(entry), count = head & 0x3ff, type = head >> 10, found = 0;

	for (unsigned i = 0; i < F2FS_MAP_SIZE / 8; i++) {
		uint64_t word = __builtin_bswap64(get_le64(entry + 2 + 8 * i));
		found += (unsigned)__builtin_popcountll(word);
		if (word)
			s->bits->words[(size_t)segno * (F2FS_SEG_BLOCKS / 64) + i] = word;
	}
	if (found != count || (count && type >= NR_TYPES))
		return err_set(e, ERR_CORRUPT, 0, "F2FS segment %u of type %u counts %u valid blocks, its map has %u", segno, type, count, found);
	s->nr_valid += count;
	if (type >= FIRST_NODE)
		s->nr_nodes += count;
	return 0;
}

static int sit_entries(void *arg, uint32_t first, const uint8_t *entries, uint32_t nr, struct err *e)
{
	struct sums *s = arg;

	for (uint32_t i = 0; i < nr; i++)
		if (segment_entry(s, first + i, entries + (size_t)i * 74, e) < 0)
			return -1;
	return 0;
}

/* Blocks that are reserved, but nowhere yet, are counted by the checkpoint and not by the SIT. */
static int check_sums(const struct f2fs_volume *v, const struct sums *s, struct err *e)
{
	if (s->nr_nodes != v->nr_nodes)
		return err_set(e, ERR_CORRUPT, 0, "the F2FS segments have %llu nodes, the checkpoint counts %u", (unsigned long long)s->nr_nodes,
			v->nr_nodes);
	if (s->nr_valid > v->nr_valid)
		return err_set(e, ERR_CORRUPT, 0, "the F2FS segments have %llu valid blocks, the checkpoint counts %llu",
			(unsigned long long)s->nr_valid, (unsigned long long)v->nr_valid);
	return 0;
}

int f2fs_read_valid(const struct f2fs_volume *v, struct f2fs_bits *ret, struct err *e)
{
	struct f2fs_bits bits;
	struct sums s = { .bits = &bits };

	if (f2fs_bits_new(&bits, (uint64_t)v->sb.segs_main * F2FS_SEG_BLOCKS, e) < 0)
		return -1;
	if (f2fs_table_each(v, &v->sit, sit_entries, &s, e) < 0 || check_sums(v, &s, e) < 0) {
		f2fs_bits_release(&bits);
		return -1;
	}
	*ret = bits;
	return 0;
}
