/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The copies of SIT and NAT that count, read in large pieces, with the entries of their journals put in. */
#include "fsdrivers/f2fs/f2fs.h"

#include "base/arith.h"

#include <string.h>

#define PIECE (1U << 20)

static bool is_second(const struct f2fs_table *t, uint32_t i)
{
	return t->bits[i / 8] >> (7 - i % 8) & 1; /* the highest bit of a byte is the first */
}

uint32_t f2fs_table_run(const struct f2fs_table *t, uint32_t i, uint32_t *ret_nr)
{
	uint32_t segment = i / F2FS_SEG_BLOCKS, end = t->nr_blocks, nr = 1, place = t->start + i;
	bool second = is_second(t, i);

	if (t->is_interleaved) {
		end = (uint32_t)min_u64(end, (segment + 1ULL) * F2FS_SEG_BLOCKS);
		place += segment * F2FS_SEG_BLOCKS;
	}
	while (i + nr < end && is_second(t, i + nr) == second)
		nr++;
	*ret_nr = nr;
	return place + (second ? t->second : 0);
}

static int check_journal(const struct f2fs_table *t, struct err *e)
{
	for (uint32_t j = 0; j < t->nr_journal; j++) {
		uint32_t number = get_le32(t->journal + (size_t)j * (4 + t->entry_size));
		if (number >= t->nr_entries)
			return err_set(e, ERR_CORRUPT, 0, "the F2FS journal of the %s has an entry %u of %u", t->name, number, t->nr_entries);
	}
	return 0;
}

/* Put in what the journal says about the entries of @nr blocks. */
static void overlay(const struct f2fs_table *t, uint32_t block_size, uint32_t first, uint32_t nr, uint8_t *buf)
{
	for (uint32_t j = 0; j < t->nr_journal; j++) {
		const uint8_t *p = t->journal + (size_t)j * (4 + t->entry_size);
		uint32_t number = get_le32(p), block = number / t->per_block;
		if (block >= first && block - first < nr)
			memcpy(buf + (size_t)(block - first) * block_size + number % t->per_block * t->entry_size, p + 4, t->entry_size);
	}
}

int f2fs_table_each(const struct f2fs_volume *v, const struct f2fs_table *t, f2fs_entries_fn fn, void *arg, struct err *e)
{
	AUTO_FREE uint8_t *buf = aligned_alloc(4096, PIECE);
	uint32_t size = v->sb.block_size;

	if (!buf)
		return err_nomem(e, t->name);
	if (check_journal(t, e) < 0)
		return -1;
	for (uint32_t i = 0, nr; i < t->nr_blocks; i += nr) {
		uint32_t place = f2fs_table_run(t, i, &nr);
		nr = (uint32_t)min_u64(nr, PIECE / size);
		if (f2fs_read_blocks(v, place, nr, buf, t->name, e) < 0)
			return -1;
		overlay(t, size, i, nr, buf);
		for (uint32_t b = 0; b < nr; b++) {
			uint32_t first = (i + b) * t->per_block;
			if (fn(arg, first, buf + (size_t)b * size, (uint32_t)min_u64(t->per_block, t->nr_entries - first), e) < 0)
				return -1;
		}
	}
	return 0;
}
