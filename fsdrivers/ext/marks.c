/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The blocks that are marked as used, kept while a volume is mapped so that others can be held against them: one bit for each cluster, as
 * on the disk, and no memory for groups in which nothing is marked. That is 32 MiB for a full TiB in blocks of 4 KiB.
 */
#include "fsdrivers/ext/ext.h"

#include "base/span.h"

#include <string.h>

uint32_t ext_next_bit(const uint8_t *map, uint32_t nr, uint32_t from, bool value)
{
	uint64_t flip = value ? 0 : ~0ULL;

	while (from < nr) {
		uint64_t word = (get_le64(map + from / 64 * 8) ^ flip) >> from % 64;
		if (word)
			return (uint32_t)min_u64(nr, from + (uint32_t)__builtin_ctzll(word));
		from = (from | 63) + 1;
	}
	return nr;
}

int ext_marks_init(struct ext_marks *m, const struct ext_super *sb, struct err *e)
{
	*m = (struct ext_marks){ .sb = sb, .maps = alloc_array(sb->nr_groups, sizeof(*m->maps)) };
	return m->maps ? 0 : err_nomem(e, "ext bitmaps");
}

void ext_marks_free(struct ext_marks *m)
{
	for (uint32_t g = 0; m->maps && g < m->sb->nr_groups; g++)
		free(m->maps[g]);
	free(m->maps);
	*m = (struct ext_marks){ 0 };
}

/* A bitmap is a block, whatever part of it is in use. */
static uint8_t *map_of(struct ext_marks *m, uint32_t group, struct err *e)
{
	if (!m->maps[group] && !(m->maps[group] = alloc_array(1, m->sb->block_size)))
		err_nomem(e, "ext bitmaps");
	return m->maps[group];
}

int ext_marks_load(struct ext_marks *m, uint32_t group, const uint8_t *bitmap, struct err *e)
{
	uint32_t nr = m->sb->clusters_per_group;

	if (ext_next_bit(bitmap, nr, 0, true) == nr)
		return 0;
	uint8_t *map = map_of(m, group, e);
	if (!map)
		return -1;
	memcpy(map, bitmap, m->sb->block_size);
	return 0;
}

/* The part of a run that lies in the group of its first block, as bits [*ret_bit, *ret_end); returns its length in blocks. */
static uint64_t bits_of(const struct ext_super *sb, uint64_t start, uint64_t nr, uint32_t *ret_group, uint32_t *ret_bit, uint32_t *ret_end)
{
	uint32_t group = ext_group_of(sb, start);
	uint64_t at = start - ext_group_start(sb, group);
	uint64_t n = min_u64(nr, ext_group_blocks(sb, group) - at);

	*ret_group = group;
	*ret_bit = (uint32_t)(at / sb->cluster_blocks);
	*ret_end = (uint32_t)ceil_div_u64(at + n, sb->cluster_blocks);
	return n;
}

int ext_marks_add(struct ext_marks *m, uint64_t start, uint64_t nr, struct err *e)
{
	uint32_t group, bit, end;

	for (uint64_t n; nr; start += n, nr -= n) {
		n = bits_of(m->sb, start, nr, &group, &bit, &end);
		uint8_t *map = map_of(m, group, e);
		if (!map)
			return -1;
		for (; bit < end; bit++)
			map[bit / 8] |= (uint8_t)(1U << bit % 8);
	}
	return 0;
}

bool ext_marks_has(const struct ext_marks *m, uint64_t start, uint64_t nr, uint64_t *ret_free)
{
	uint32_t group, bit, end;

	for (uint64_t n; nr; start += n, nr -= n) {
		n = bits_of(m->sb, start, nr, &group, &bit, &end);
		uint32_t free_bit = m->maps[group] ? ext_next_bit(m->maps[group], end, bit, false) : bit;
		if (free_bit >= end)
			continue;
		*ret_free = max_u64(start, ext_group_start(m->sb, group) + (uint64_t)free_bit * m->sb->cluster_blocks);
		return false;
	}
	return true;
}
