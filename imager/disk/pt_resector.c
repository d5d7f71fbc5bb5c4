/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * A GPT for a disk with sectors of another size: everything in it counts in sectors, so all of it is written anew (UEFI 2.10 §5.2.3, §5.3),
 * as patches. Partitions stay at their bytes; what was the table and is not any more becomes zero.
 */
#include "imager/disk/pt_internal.h"

#include "base/arith.h"
#include "base/span.h"

#include <libdeflate.h>
#include <stdlib.h>
#include <string.h>

/* Places in new sectors, but for what says otherwise. */
struct resector {
	const struct pt_table *t;
	struct blk_source *src;
	uint32_t was, ss;                        /* sector sizes */
	uint64_t last;                           /* sector of the disk */
	uint64_t nr_array, first_array, first_new_array, first_usable;
	struct gpt_copy live;
	uint8_t *array;                          /* nr_array sectors: the entries as they will be */
	struct pt_patch *patches;
	size_t nr;
};

/* Takes bytes, in any case. */
static int add_patch(struct resector *r, uint64_t start, uint8_t *bytes, size_t len, struct err *e)
{
	struct pt_patch *p = bytes ? reallocarray(r->patches, r->nr + 1, sizeof(*p)) : NULL;

	if (!p) {
		free(bytes);
		return err_nomem(e, "the rewritten partition table");
	}
	r->patches = p;
	r->patches[r->nr++] = (struct pt_patch){ .start = start, .len = len, .bytes = bytes };
	return 0;
}

static int misfit(const struct resector *r, const struct pt_entry *en, const char *verb, uint64_t at, struct err *e)
{
	err_set(e, ERR_REFUSED, 0, "partition %u%s%s%s %s at byte %llu, which is no whole sector of %u bytes", en->number, en->name[0] ? " ('" : "",
		en->name, en->name[0] ? "')" : "", verb, (unsigned long long)at, r->ss);
	err_hint(e, "move or resize it to a multiple of %u bytes and capture anew, or use a target with sectors of %u bytes", r->ss, r->was);
	return err_reason(e, "sector-size");
}

static int no_room(const struct resector *r, const char *what, struct err *e)
{
	err_set(e, ERR_REFUSED, 0, "no room for %s of a GPT for sectors of %u bytes: partitions lie there", what, r->ss);
	err_hint(e, "use a target with sectors of %u bytes", r->was);
	return err_reason(e, "sector-size");
}

static int load_live(struct resector *r, struct err *e)
{
	const struct pt_table *t = r->t;
	uint64_t header = t->gpt_primary_ok ? t->gpt_header : t->gpt_backup_header;

	if (!t->gpt_primary_ok && !t->gpt_backup_ok)
		return err_set(e, ERR_CORRUPT, 0, "no copy of the GPT of '%s' is intact", blk_name(r->src));
	if (pt_gpt_load(r->src, r->was, header / r->was, &r->live, e) < 0)
		return -1;
	if (!r->live.is_ok || r->live.header_size > r->ss)
		return err_set(e, ERR_CORRUPT, 0, "the GPT of '%s' is damaged: %s", blk_name(r->src),
			r->live.is_ok ? "its header is too long" : r->live.why);
	return 0;
}

/* Every partition at whole sectors, and none where the primary copy will be. */
static int check_partitions(const struct resector *r, uint64_t *ret_first, uint64_t *ret_end, struct err *e)
{
	*ret_first = UINT64_MAX;
	*ret_end = 0;
	for (size_t i = 0; i < r->t->nr; i++) {
		const struct pt_entry *en = &r->t->entries[i];
		uint64_t end;
		if (!add_u64(en->start, en->len, &end))
			return err_set(e, ERR_CORRUPT, 0, "partition %u ends at an impossible place", en->number);
		if (en->start % r->ss)
			return misfit(r, en, "begins", en->start, e);
		if (end % r->ss)
			return misfit(r, en, "ends", end, e);
		*ret_first = min_u64(*ret_first, en->start / r->ss);
		*ret_end = max_u64(*ret_end, end / r->ss);
	}
	return 0;
}

static int lay_out(struct resector *r, uint64_t new_size, struct err *e)
{
	uint64_t first, end, moved = r->t->gpt_entries != 2ULL * r->was;

	if (check_partitions(r, &first, &end, e) < 0)
		return -1;
	/* An array that somebody moved makes room for something else (a boot loader of a small board): it stays at its bytes. */
	r->first_array = moved ? r->t->gpt_entries / r->ss : 2;
	r->nr_array = pt_gpt_array_sectors(&r->live, r->ss);
	if ((moved && r->t->gpt_entries % r->ss) || r->first_array < 2 || r->first_array + r->nr_array > first)
		return no_room(r, "the entries", e);
	/* Directly behind the entries, as usual, or where somebody left a gap, at the same byte. */
	uint64_t usable = r->live.first_usable <= UINT64_MAX / r->was ? ceil_div_u64(r->live.first_usable * r->was, r->ss) : UINT64_MAX;
	if (r->live.first_usable == r->t->gpt_entries / r->was + pt_gpt_array_sectors(&r->live, r->was))
		usable = 0;
	r->first_usable = max_u64(min_u64(usable, first), r->first_array + r->nr_array);
	if (r->last < r->nr_array || r->last - r->nr_array < end || r->last - r->nr_array <= r->first_usable) {
		err_set(e, ERR_REFUSED, 0, "no room for the backup GPT: partitions end at sector %llu, a disk of %llu bytes has %llu of %u bytes",
			(unsigned long long)end, (unsigned long long)new_size, (unsigned long long)r->last + 1, r->ss);
		err_hint(e, "at least %llu sectors of %u bytes are needed", (unsigned long long)(max_u64(end, r->first_usable + 1) + r->nr_array + 1), r->ss);
		return err_reason(e, "too-small");
	}
	r->first_new_array = r->last - r->nr_array;
	return 0;
}

/* The entries with their places in new sectors. Those that pt_read() left out mean nothing to anybody; they could not be converted. */
static int convert_entries(struct resector *r, struct err *e)
{
	static const uint8_t unused[16];

	if (!(r->array = alloc_array(r->nr_array, r->ss)))
		return err_nomem(e, "the rewritten partition table");
	memcpy(r->array, r->live.entries, (size_t)r->live.nr_entries * r->live.entry_size);
	for (uint32_t i = 0; i < r->live.nr_entries; i++) {
		uint8_t *p = r->array + (size_t)i * r->live.entry_size;
		const struct pt_entry *en = NULL;
		for (size_t k = 0; k < r->t->nr && !en; k++)
			en = r->t->entries[k].number == i + 1 ? &r->t->entries[k] : NULL;
		if (en) {
			put_le64(p, 0x20, en->start / r->ss);
			put_le64(p, 0x28, (en->start + en->len) / r->ss - 1);
		} else if (memcmp(p, unused, sizeof(unused))) {
			err_set(e, ERR_REFUSED, 0, "partition %u has an impossible place, which cannot be said in sectors of %u bytes", i + 1, r->ss);
			err_hint(e, "repair the table, for example with gdisk, and capture anew");
			return err_reason(e, "sector-size");
		}
	}
	return 0;
}

static int patch_array(struct resector *r, uint64_t lba, struct err *e)
{
	uint8_t *b = alloc_array(r->nr_array, r->ss);

	if (b)
		memcpy(b, r->array, (size_t)(r->nr_array * r->ss));
	return add_patch(r, lba * r->ss, b, (size_t)(r->nr_array * r->ss), e);
}

static int patch_header(struct resector *r, bool is_primary, struct err *e)
{
	uint8_t *h = alloc_array(1, r->ss);

	if (!h)
		return err_nomem(e, "the rewritten partition table");
	memcpy(h, r->live.header, r->live.header_size);
	put_le64(h, 0x18, is_primary ? 1 : r->last);
	put_le64(h, 0x20, is_primary ? r->last : 1);
	put_le64(h, 0x28, r->first_usable);
	put_le64(h, 0x30, r->first_new_array - 1);
	put_le64(h, 0x48, is_primary ? r->first_array : r->first_new_array);
	put_le32(h, 0x58, libdeflate_crc32(0, r->array, (size_t)r->live.nr_entries * r->live.entry_size));
	put_le32(h, 0x10, pt_gpt_header_crc(h, r->live.header_size));
	return add_patch(r, (is_primary ? 1 : r->last) * r->ss, h, r->ss, e);
}

/* Boot code and signature stay; the rest of a larger sector, where the old header stood, is cleared. */
static int patch_mbr(struct resector *r, struct err *e)
{
	uint8_t *sector = alloc_array(1, r->ss);

	if (!sector)
		return err_nomem(e, "the rewritten partition table");
	if (blk_read(r->src, 0, sector, MBR_SIZE, e) < 0) {
		free(sector);
		return -1;
	}
	struct mbr m = pt_mbr_decode(sector);
	int i = pt_mbr_protective(&m);
	size_t at = 446 + (size_t)(i < 0 ? 0 : i) * 16;
	memset(sector + 446, 0, 64);
	sector[at] = i < 0 ? 0 : m.slot[i].boot;
	sector[at + 2] = 2; /* cylinder 0, head 0, sector 2 */
	sector[at + 4] = MBR_TYPE_GPT;
	pt_mbr_put_chs(sector + at + 5, r->last);
	put_le32(sector, at + 8, 1);
	put_le32(sector, at + 12, (uint32_t)min_u64(r->last, UINT32_MAX));
	return add_patch(r, 0, sector, r->ss, e);
}

/* What was the table and is not any more, between what is. */
static int patch_rest(struct resector *r, uint64_t old_size, struct err *e)
{
	uint64_t ss = r->ss;
	struct range keep[3] = { { 0, 2 * ss }, { r->first_array * ss, r->nr_array * ss }, { r->first_new_array * ss, (r->nr_array + 1) * ss } };
	size_t nr_keep = pt_ranges_join(keep, 3);

	for (size_t i = 0; i < r->t->nr_structures; i++) {
		uint64_t pos = r->t->structures[i].start, end = pos + r->t->structures[i].len;
		if (!range_inside(pos, r->t->structures[i].len, old_size) || end - pos > 4ULL * PT_MAX_ENTRIES * GPT_MAX_ENTRY)
			return err_set(e, ERR_CORRUPT, 0, "the partition table of '%s' has bytes at an impossible place", blk_name(r->src));
		for (size_t k = 0; k < r->t->nr; k++)
			if (r->t->entries[k].start < end && pos < r->t->entries[k].start + r->t->entries[k].len)
				return no_room(r, "what lies around it", e);
		for (size_t k = 0; k <= nr_keep && pos < end; k++) {
			uint64_t stop = k < nr_keep ? min_u64(keep[k].start, end) : end;
			if (stop > pos && add_patch(r, pos, alloc_array(1, (size_t)(stop - pos)), (size_t)(stop - pos), e) < 0)
				return -1;
			pos = k < nr_keep ? max_u64(pos, keep[k].start + keep[k].len) : end;
		}
	}
	return 0;
}

static int by_start(const void *pa, const void *pb)
{
	const struct pt_patch *a = pa, *b = pb;

	return a->start < b->start ? -1 : a->start > b->start;
}

static int rewrite(struct resector *r, uint64_t old_size, uint64_t new_size, struct err *e)
{
	if (load_live(r, e) < 0 || lay_out(r, new_size, e) < 0 || convert_entries(r, e) < 0)
		return -1;
	if (patch_mbr(r, e) < 0 || patch_header(r, true, e) < 0 || patch_array(r, r->first_array, e) < 0)
		return -1;
	if (patch_array(r, r->first_new_array, e) < 0 || patch_header(r, false, e) < 0 || patch_rest(r, old_size, e) < 0)
		return -1;
	qsort(r->patches, r->nr, sizeof(*r->patches), by_start);
	return 0;
}

static int refuse_kind(const struct pt_table *t, uint32_t new_sector, struct err *e)
{
	if (t->kind == PT_MBR)
		err_set(e, ERR_REFUSED, 0, "the MBR partition table counts in sectors of %u bytes, and so does the boot code beside it; the target has sectors of %u bytes",
			t->sector_size, new_sector);
	else
		err_set(e, ERR_REFUSED, 0, "a hybrid MBR stands beside the GPT and counts in sectors of %u bytes; the target has sectors of %u bytes",
			t->sector_size, new_sector);
	err_hint(e, "use a target with sectors of %u bytes", t->sector_size);
	return err_reason(e, "sector-size");
}

int pt_resector(struct blk_source *structures, const struct pt_table *t, uint64_t old_size, uint64_t new_size, uint32_t new_sector,
	struct pt_patch **ret, size_t *ret_nr, struct err *e)
{
	struct resector r = { .t = t, .src = structures, .was = t->sector_size, .ss = new_sector };
	int ok = 0;

	*ret = NULL;
	*ret_nr = 0;
	if (t->kind == PT_NONE)
		return 0;
	if (!pt_is_sector_size(r.was) || !pt_is_sector_size(r.ss))
		return err_set(e, ERR_UNSUPPORTED, 0, "a partition table for sectors of %u bytes on sectors of %u", r.was, r.ss);
	if (t->kind == PT_MBR || t->is_hybrid)
		return refuse_kind(t, new_sector, e);
	r.last = max_u64(new_size / r.ss, 1) - 1;
	ok = rewrite(&r, old_size, new_size, e);
	pt_gpt_copy_free(&r.live);
	free(r.array);
	if (ok < 0) {
		pt_patches_free(r.patches, r.nr);
		return -1;
	}
	*ret = r.patches;
	*ret_nr = r.nr;
	return 0;
}
