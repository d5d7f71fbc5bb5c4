/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Adapt a GPT to a larger disk: what "sgdisk --move-second-header" does, as patches over the table as captured.
 *
 * Everything is computed from the intact copy (UEFI 2.10 §5.3.2): the primary header gets new AlternateLBA and
 * LastUsableLBA, the backup is laid out anew as array and header in the last sectors. Reserved bytes of the header are
 * carried over.
 */
#include "imager/disk/pt_internal.h"

#include "base/arith.h"
#include "base/span.h"

#include <stdlib.h>
#include <string.h>

/* Both copies, joined: nothing that was read from a disk is longer. */
#define MAX_STRUCTURE (4ULL * PT_MAX_ENTRIES * GPT_MAX_ENTRY)

/* Places in sectors of the table. */
struct adapt {
	const struct pt_table *t;
	struct blk_source *src;
	uint32_t ss;
	uint64_t old_size;                       /* bytes */
	uint64_t old_last, new_last;             /* last sector of the disk */
	uint64_t nr_array, first_array, first_new_array;
	struct gpt_copy live;
	struct pt_patch *patches;
	size_t nr;
};

/* Takes bytes, in any case. */
static int add_patch(struct adapt *a, uint64_t start, uint8_t *bytes, size_t len, struct err *e)
{
	struct pt_patch *p = bytes ? reallocarray(a->patches, a->nr + 1, sizeof(*p)) : NULL;

	if (!p) {
		free(bytes);
		return err_nomem(e, "the adapted partition table");
	}
	a->patches = p;
	a->patches[a->nr++] = (struct pt_patch){ .start = start, .len = len, .bytes = bytes };
	return 0;
}

static int load_live(struct adapt *a, struct err *e)
{
	const struct pt_table *t = a->t;
	uint64_t header = t->gpt_primary_ok ? t->gpt_header : t->gpt_backup_header;
	uint64_t entries = t->gpt_primary_ok ? t->gpt_entries : t->gpt_backup_entries;

	if (!t->gpt_primary_ok && !t->gpt_backup_ok)
		return err_set(e, ERR_CORRUPT, 0, "no copy of the GPT of '%s' is intact", blk_name(a->src));
	if (pt_gpt_load(a->src, a->ss, header / a->ss, &a->live, e) < 0)
		return -1;
	if (!a->live.is_ok)
		return err_set(e, ERR_CORRUPT, 0, "the GPT of '%s' is damaged: %s", blk_name(a->src), a->live.why);
	if (a->live.entries_lba != entries / a->ss)
		return err_set(e, ERR_CORRUPT, 0, "the GPT of '%s' is not the one that was captured", blk_name(a->src));
	return 0;
}

/* The sector behind the last partition. No entry that was read wraps, but this table may come from an image. */
static uint64_t end_of_partitions(const struct adapt *a)
{
	uint64_t end = 0;

	for (size_t i = 0; i < a->t->nr; i++) {
		uint64_t this_end;
		if (!add_u64(a->t->entries[i].start, a->t->entries[i].len, &this_end))
			return UINT64_MAX;
		end = max_u64(end, ceil_div_u64(this_end, a->ss));
	}
	return end;
}

/* Where everything goes, and does it fit? */
static int lay_out(struct adapt *a, uint64_t new_size, struct err *e)
{
	uint64_t end = end_of_partitions(a);

	a->nr_array = pt_gpt_array_sectors(&a->live, a->ss);
	a->first_array = a->t->gpt_entries / a->ss;
	uint64_t least = max_u64(end, min_u64(a->live.first_usable, UINT64_MAX - 1) + 1);
	least = max_u64(least, a->first_array + a->nr_array);
	if (a->new_last < a->nr_array || a->new_last - a->nr_array < least) {
		err_set(e, ERR_REFUSED, 0, "no room for the backup GPT: partitions end at sector %llu, a disk of %llu bytes has %llu",
			(unsigned long long)end, (unsigned long long)new_size, (unsigned long long)a->new_last + 1);
		err_reason(e, "too-small");
		return err_hint(e, "at least %llu sectors of %u bytes are needed", (unsigned long long)(least + a->nr_array + 1), a->ss);
	}
	a->first_new_array = a->new_last - a->nr_array;
	if (a->first_array < 2 || (!a->t->gpt_primary_ok && a->first_array + a->nr_array > a->live.first_usable))
		return err_set(e, ERR_CORRUPT, 0, "the GPT of '%s' has no room for its primary entries", blk_name(a->src));
	return 0;
}

/* The header for one of the two places. */
static int patch_header(struct adapt *a, bool is_primary, struct err *e)
{
	uint8_t *h = alloc_array(1, a->ss);

	if (!h)
		return err_nomem(e, "the adapted partition table");
	memcpy(h, a->live.header, a->ss);
	put_le64(h, 0x18, is_primary ? 1 : a->new_last);
	put_le64(h, 0x20, is_primary ? a->new_last : 1);
	put_le64(h, 0x30, a->first_new_array - 1);
	put_le64(h, 0x48, is_primary ? a->first_array : a->first_new_array);
	put_le32(h, 0x10, pt_gpt_header_crc(h, a->live.header_size));
	return add_patch(a, (is_primary ? 1 : a->new_last) * a->ss, h, a->ss, e);
}

static int patch_array(struct adapt *a, uint64_t lba, struct err *e)
{
	uint8_t *b = alloc_array(a->nr_array, a->ss);

	if (b)
		memcpy(b, a->live.entries, (size_t)a->live.nr_entries * a->live.entry_size);
	return add_patch(a, lba * a->ss, b, (size_t)a->nr_array * a->ss, e);
}

/* The slot that protects the whole disk: the only one in use, or in a hybrid MBR one that reaches the old end. */
static int protective_slot(const struct adapt *a, const struct mbr *m)
{
	int i = pt_mbr_protective(m);

	if (i < 0 || m->slot[i].first_lba != 1)
		return -1;
	if (a->t->is_hybrid && m->slot[i].nr_sectors < a->old_last)
		return -1;
	return i;
}

static int patch_mbr(struct adapt *a, struct err *e)
{
	uint8_t *sector = alloc_array(1, a->ss);
	uint64_t size = min_u64(a->new_last, UINT32_MAX);

	if (!sector)
		return err_nomem(e, "the adapted partition table");
	if (blk_read(a->src, 0, sector, a->ss, e) < 0) {
		free(sector);
		return -1;
	}
	struct mbr m = pt_mbr_decode(sector);
	int i = protective_slot(a, &m);
	if (i < 0 || m.slot[i].nr_sectors == size) {
		free(sector);
		return 0;
	}
	size_t at = 446 + (size_t)i * 16;
	pt_mbr_put_chs(sector + at + 5, a->new_last);
	put_le32(sector, at + 12, (uint32_t)size);
	return add_patch(a, 0, sector, a->ss, e);
}

static int add_zeros(struct adapt *a, uint64_t start, uint64_t end, struct err *e)
{
	return add_patch(a, start, alloc_array(1, (size_t)(end - start)), (size_t)(end - start), e);
}

/* [r.start, r.end) without what is in keep (sorted, apart) */
static int zero_around(struct adapt *a, struct range r, const struct range *keep, size_t nr_keep, struct err *e)
{
	uint64_t pos = r.start, end = r.start + r.len;

	for (size_t i = 0; i < nr_keep && pos < end; i++) {
		uint64_t keep_end = keep[i].start + keep[i].len;
		if (keep_end <= pos)
			continue;
		if (keep[i].start >= end)
			break;
		if (keep[i].start > pos && add_zeros(a, pos, keep[i].start, e) < 0)
			return -1;
		pos = keep_end;
	}
	return pos < end ? add_zeros(a, pos, end, e) : 0;
}

/* Everything that must not be zeroed, in whole sectors. Room for the partitions and three more. */
static size_t list_kept(const struct adapt *a, struct range *keep)
{
	uint64_t ss = a->ss;
	size_t nr = 0;

	keep[nr++] = (struct range){ .start = 0, .len = 2 * ss };
	keep[nr++] = (struct range){ .start = a->first_array * ss, .len = a->nr_array * ss };
	keep[nr++] = (struct range){ .start = a->first_new_array * ss, .len = (a->nr_array + 1) * ss };
	for (size_t i = 0; i < a->t->nr; i++) {
		/* lay_out() found that all of them end before the new array. */
		uint64_t start = a->t->entries[i].start / ss * ss;
		uint64_t end = ceil_div_u64(a->t->entries[i].start + a->t->entries[i].len, ss) * ss;
		keep[nr++] = (struct range){ .start = start, .len = end - start };
	}
	return pt_ranges_join(keep, nr);
}

/* The structures without what stays is the old backup, whatever its size and place. */
static int patch_old_backup(struct adapt *a, struct err *e)
{
	const struct pt_table *t = a->t;
	AUTO_FREE struct range *keep = alloc_array(t->nr + 3, sizeof(*keep));

	if (!keep)
		return err_nomem(e, "the adapted partition table");
	size_t nr_keep = list_kept(a, keep);
	for (size_t i = 0; i < t->nr_structures; i++) {
		struct range r = t->structures[i];
		if (r.start % a->ss || r.len > MAX_STRUCTURE || !range_inside(r.start, r.len, a->old_size))
			return err_set(e, ERR_CORRUPT, 0, "the partition table of '%s' has bytes at an impossible place",
				blk_name(a->src));
		r.len -= r.len % a->ss; /* an array that ends in the odd bytes behind the last sector */
		if (zero_around(a, r, keep, nr_keep, e) < 0)
			return -1;
	}
	return 0;
}

static int by_start(const void *pa, const void *pb)
{
	const struct pt_patch *a = pa, *b = pb;

	return a->start < b->start ? -1 : a->start > b->start;
}

static int adapt_gpt(struct adapt *a, uint64_t new_size, struct err *e)
{
	if (load_live(a, e) < 0 || lay_out(a, new_size, e) < 0)
		return -1;
	if (patch_mbr(a, e) < 0 || patch_header(a, true, e) < 0)
		return -1;
	if (!a->t->gpt_primary_ok && patch_array(a, a->first_array, e) < 0)
		return -1;
	if (patch_old_backup(a, e) < 0 || patch_array(a, a->first_new_array, e) < 0 || patch_header(a, false, e) < 0)
		return -1;
	qsort(a->patches, a->nr, sizeof(*a->patches), by_start);
	return 0;
}

int pt_adapt(struct blk_source *structures, const struct pt_table *t, uint64_t old_size, uint64_t new_size,
	struct pt_patch **ret, size_t *ret_nr, struct err *e)
{
	struct adapt a = { .t = t, .src = structures, .ss = t->sector_size, .old_size = old_size };
	int r = 0;

	if (!pt_is_sector_size(a.ss))
		return err_set(e, ERR_CORRUPT, 0, "a partition table for sectors of %u bytes is impossible", a.ss);
	if (new_size < old_size)
		return err_set(e, ERR_REFUSED, 0, "a partition table for %llu bytes does not fit a disk of %llu",
			(unsigned long long)old_size, (unsigned long long)new_size);
	if (t->kind == PT_GPT && old_size / a.ss != new_size / a.ss) {
		a.old_last = old_size / a.ss ? old_size / a.ss - 1 : 0;
		a.new_last = new_size / a.ss - 1;
		r = adapt_gpt(&a, new_size, e);
	}
	pt_gpt_copy_free(&a.live);
	if (r < 0) {
		pt_patches_free(a.patches, a.nr);
		return -1;
	}
	*ret = a.patches;
	*ret_nr = a.nr;
	return 0;
}

void pt_patches_free(struct pt_patch *p, size_t nr)
{
	for (size_t i = 0; p && i < nr; i++)
		free(p[i].bytes);
	free(p);
}
