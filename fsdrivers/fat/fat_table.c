/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The file allocation table: fatgen103, "FAT Data Structure". Read once, in pieces of 256 Ki entries, all copies side by
 * side, into one bit per cluster.
 */
#include "fsdrivers/fat/fat.h"

#include "base/arith.h"

#include <string.h>

#define PIECE_ENTRIES (256U << 10) /* even, so that a piece of FAT12 entries begins at a whole byte; 1 MiB of FAT32 */

struct fat_scan {
	struct blk_source *src;
	const struct fat_layout *l;
	struct fat_table *t;
	uint32_t bad_mark;
	uint8_t *bufs[FAT_MAX_COPIES]; /* the readable copies of the current piece */
	unsigned nr_bufs;
};

static size_t bytes_of(const struct fat_layout *l, uint32_t nr_entries)
{
	return (size_t)ceil_div_u64((uint64_t)nr_entries * l->bits, 8);
}

uint32_t fat_entry(const uint8_t *p, unsigned bits, size_t i)
{
	if (bits == 32)
		return get_le32(p + 4 * i) & 0x0fffffff; /* the upper 4 bits are reserved */
	if (bits == 16)
		return (uint32_t)p[2 * i] | (uint32_t)p[2 * i + 1] << 8;
	uint32_t pair = (uint32_t)p[i + i / 2] | (uint32_t)p[i + i / 2 + 1] << 8;
	return i % 2 ? pair >> 4 : pair & 0xfff;
}

static void mark_piece(struct fat_scan *s, uint32_t first, uint32_t nr)
{
	for (uint32_t i = first < FAT_FIRST_CLUSTER ? FAT_FIRST_CLUSTER - first : 0; i < nr; i++) {
		uint32_t value = fat_entry(s->bufs[0], s->l->bits, i);
		bool is_bad = value == s->bad_mark, is_used = value && !is_bad, differs = false;
		for (unsigned c = 1; c < s->nr_bufs; c++) {
			uint32_t other = fat_entry(s->bufs[c], s->l->bits, i);
			differs |= other != value;
			is_bad |= other == s->bad_mark;
			is_used |= other && other != s->bad_mark;
		}
		s->t->nr_different += differs;
		if (is_used)
			fsd_bits_put(&s->t->used, first + i - FAT_FIRST_CLUSTER, 1, true);
		else
			s->t->nr_bad += is_bad;
	}
}

/* Reads what is readable: the copies are there for that. Fails when no copy has the piece. */
static int read_piece(struct fat_scan *s, uint32_t first, uint32_t nr, struct err *e)
{
	uint64_t off = s->l->fat_start + (uint64_t)first * s->l->bits / 8;
	unsigned nr_read = 0;
	struct err failed = ERR_INIT;

	for (unsigned c = 0; c < s->l->nr_valid_fats; c++) {
		uint64_t copy = off + (s->l->first_fat + c) * s->l->fat_len;
		if (blk_read(s->src, copy, s->bufs[nr_read], bytes_of(s->l, nr), &failed) == 0)
			nr_read++;
	}
	s->nr_bufs = nr_read;
	if (nr_read < s->l->nr_valid_fats)
		s->t->has_unreadable = true;
	if (nr_read)
		return 0;
	*e = failed;
	return err_wrap(e, "reading the FAT");
}

/* A boot sector may outlive its file system; the table behind it tells. Entry 0 is the media byte, filled up by ones. */
static int check_marks(struct fat_scan *s, struct err *e)
{
	uint32_t ones = (1U << (s->l->bits == 32 ? 28 : s->l->bits)) - 1, first = fat_entry(s->bufs[0], s->l->bits, 0);

	if ((first | 0xff) != ones || (first & 0xff) < 0xf0)
		return err_set(e, ERR_CORRUPT, 0, "no FAT behind the boot sector: it begins with 0x%x", first);
	s->t->mark = fat_entry(s->bufs[0], s->l->bits, 1);
	return 0;
}

static int scan(struct fat_scan *s, struct err *e)
{
	uint32_t total = s->l->nr_clusters + FAT_FIRST_CLUSTER;

	for (uint32_t first = 0; first < total; first += PIECE_ENTRIES) {
		uint32_t nr = (uint32_t)min_u64(PIECE_ENTRIES, total - first);
		if (read_piece(s, first, nr, e) < 0)
			return -1;
		if (first == 0 && check_marks(s, e) < 0)
			return -1;
		bool same = true;
		for (unsigned c = 1; c < s->nr_bufs; c++)
			same &= memcmp(s->bufs[0], s->bufs[c], bytes_of(s->l, nr)) == 0;
		if (same)
			s->nr_bufs = 1;
		mark_piece(s, first, nr);
	}
	return 0;
}

int fat_table_read(struct blk_source *src, const struct fat_layout *l, struct fat_table *ret, struct err *e)
{
	struct fat_table t = { .nr_bad = 0 };
	uint32_t bad_mark = l->bits == 32 ? 0x0ffffff7 : l->bits == 16 ? 0xfff7 : 0xff7;
	struct fat_scan s = { .src = src, .l = l, .t = &t, .bad_mark = bad_mark };
	size_t piece = bytes_of(l, (uint32_t)min_u64(PIECE_ENTRIES, l->nr_clusters + FAT_FIRST_CLUSTER));
	AUTO_FREE uint8_t *bufs = alloc_array(l->nr_valid_fats, piece);

	if (!bufs)
		return err_nomem(e, "the allocation table");
	if (fsd_bits_new(&t.used, l->nr_clusters, e) < 0)
		return -1;
	for (unsigned c = 0; c < l->nr_valid_fats; c++)
		s.bufs[c] = bufs + c * piece;
	if (scan(&s, e) < 0) {
		fat_table_release(&t);
		return -1;
	}
	*ret = t;
	return 0;
}

void fat_table_release(struct fat_table *t)
{
	fsd_bits_release(&t->used);
}
