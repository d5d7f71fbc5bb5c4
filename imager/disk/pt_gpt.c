/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * GPT: read, check and decode the two copies (UEFI 2.10 §5.3.2 header, §5.3.3 entries).
 *
 * Stricter than UEFI where Linux is (the header's sector number, usable range in order), more lenient where a copy is
 * wanted of what is there: a table for a larger disk (an image cut short) is read, with a notice.
 */
#include "imager/disk/pt_internal.h"

#include "base/arith.h"
#include "base/span.h"
#include "base/utf16.h"

#include <libdeflate.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define GPT_MIN_HEADER 92U
#define GPT_MIN_ENTRY  128U

uint32_t pt_gpt_header_crc(const uint8_t *header, uint32_t header_size)
{
	static const uint8_t zero[4];
	uint32_t crc = libdeflate_crc32(0, header, 0x10);

	crc = libdeflate_crc32(crc, zero, sizeof(zero));
	return libdeflate_crc32(crc, header + 0x14, header_size - 0x14);
}

uint64_t pt_gpt_array_sectors(const struct gpt_copy *c, uint32_t sector_size)
{
	return ceil_div_u64((uint64_t)c->nr_entries * c->entry_size, sector_size);
}

void pt_gpt_copy_free(struct gpt_copy *c)
{
	free(c->header);
	free(c->entries);
	c->header = NULL;
	c->entries = NULL;
}

void pt_gpt_pair_free(struct gpt_pair *g)
{
	pt_gpt_copy_free(&g->primary);
	pt_gpt_copy_free(&g->backup);
}

/* Damage: noted in the copy, not an error. */
static int damaged(struct gpt_copy *c, const char *why)
{
	snprintf(c->why, sizeof(c->why), "%s", why);
	return 0;
}

static void decode_header(struct gpt_copy *c, struct span *s)
{
	c->header_size = span_le32(s, 0x0C);
	c->alternate_lba = span_le64(s, 0x20);
	c->first_usable = span_le64(s, 0x28);
	c->last_usable = span_le64(s, 0x30);
	span_copy(s, 0x38, c->disk_guid, sizeof(c->disk_guid));
	c->entries_lba = span_le64(s, 0x48);
	c->nr_entries = span_le32(s, 0x50);
	c->entry_size = span_le32(s, 0x54);
	c->entries_crc = span_le32(s, 0x58);
}

/* Every relation that the rest of the code relies on; NULL when all hold. */
static const char *check_header(struct gpt_copy *c, struct span *s)
{
	if (memcmp(s->p, "EFI PART", 8))
		return "no GPT header is there";
	c->has_magic = true;
	if (c->header_size < GPT_MIN_HEADER || c->header_size > s->len)
		return "the header's size is impossible";
	if (pt_gpt_header_crc(s->p, c->header_size) != span_le32(s, 0x10))
		return "the header's checksum is wrong";
	if (span_le64(s, 0x18) != c->lba)
		return "the header belongs to another sector";
	if (c->first_usable > c->last_usable)
		return "the usable range is upside down";
	if (!c->nr_entries || c->entry_size < GPT_MIN_ENTRY || !is_pow2(c->entry_size))
		return "the entries' number or size is impossible";
	if (c->nr_entries > PT_MAX_ENTRIES || c->entry_size > GPT_MAX_ENTRY) {
		c->is_too_big = true;
		return "there are too many entries";
	}
	return NULL;
}

static int load_header(struct blk_source *src, uint32_t ss, struct gpt_copy *c, struct err *e)
{
	struct err local = ERR_INIT;

	/* Compared by division: lba * ss might overflow. */
	if (c->lba >= src->size / ss)
		return damaged(c, "it would lie beyond the end of the disk");
	c->header = alloc_array(1, ss);
	if (!c->header)
		return err_nomem(e, "a GPT header");
	if (blk_read(src, c->lba * ss, c->header, ss, &local) < 0)
		return damaged(c, "the header cannot be read");
	struct span s = span_of(c->header, ss);
	decode_header(c, &s);
	const char *why = check_header(c, &s);
	c->header_ok = !why;
	return why ? damaged(c, why) : 0;
}

static int load_entries(struct blk_source *src, uint32_t ss, struct gpt_copy *c, struct err *e)
{
	size_t len = (size_t)c->nr_entries * c->entry_size;
	struct err local = ERR_INIT;

	if (c->entries_lba >= src->size / ss || !range_inside(c->entries_lba * ss, len, src->size))
		return damaged(c, "the entries lie beyond the end of the disk");
	c->entries = alloc_array(c->nr_entries, c->entry_size);
	if (!c->entries)
		return err_nomem(e, "GPT entries");
	if (blk_read(src, c->entries_lba * ss, c->entries, len, &local) < 0)
		damaged(c, "the entries cannot be read");
	else if (libdeflate_crc32(0, c->entries, len) != c->entries_crc)
		damaged(c, "the entries' checksum is wrong");
	else
		c->is_ok = true;
	if (!c->is_ok) {
		free(c->entries);
		c->entries = NULL;
	}
	return 0;
}

int pt_gpt_load(struct blk_source *src, uint32_t sector_size, uint64_t lba, struct gpt_copy *ret, struct err *e)
{
	*ret = (struct gpt_copy){ .lba = lba };
	if (load_header(src, sector_size, ret, e) < 0 || (ret->header_ok && load_entries(src, sector_size, ret, e) < 0)) {
		pt_gpt_copy_free(ret);
		return -1;
	}
	return 0;
}

/*
 * The backup: where the primary says, in the last sector, and where the protective MBR says that the disk once ended
 * (a disk that has grown since, with its primary copy lost). One of another disk, left in the last sector, is no
 * backup of a good primary.
 */
int pt_gpt_find(struct blk_source *src, uint32_t sector_size, const struct mbr_slot *protective, struct gpt_pair *ret,
	struct err *e)
{
	struct gpt_copy *p = &ret->primary, *b = &ret->backup;
	uint64_t last = src->size / sector_size;

	*ret = (struct gpt_pair){ .sector_size = sector_size };
	if (pt_gpt_load(src, sector_size, 1, p, e) < 0)
		return -1;
	last = last ? last - 1 : 0;
	uint64_t ended = protective ? (uint64_t)protective->first_lba + protective->nr_sectors : 0;
	uint64_t try[] = {
		p->header_ok ? p->alternate_lba : last,
		last,
		p->has_magic ? p->alternate_lba : 0,
		ended ? ended - 1 : 0,
	};
	for (size_t i = 0; i < sizeof(try) / sizeof(try[0]) && !b->is_ok; i++) {
		struct gpt_copy c;
		if (try[i] < 2)
			continue;
		if (pt_gpt_load(src, sector_size, try[i], &c, e) < 0) {
			pt_gpt_pair_free(ret);
			return -1;
		}
		bool is_other = p->is_ok && c.is_ok && memcmp(p->disk_guid, c.disk_guid, sizeof(c.disk_guid));
		if (is_other)
			pt_gpt_copy_free(&c);
		else if (c.is_ok || !b->why[0]) {
			pt_gpt_copy_free(b);
			*b = c;
		} else
			pt_gpt_copy_free(&c);
	}
	if (!b->is_ok && !b->why[0])
		damaged(b, "no GPT header is there");
	return 0;
}

/* Numbers that leave here as bytes do not overflow: an entry ends at or before the last multiple of ss below 2^64. */
static int read_entry(const struct gpt_copy *c, uint32_t i, struct pt_table *t, struct err *e)
{
	static const uint8_t unused[16];
	struct span s = span_of(c->entries + (size_t)i * c->entry_size, c->entry_size);
	uint64_t first = span_le64(&s, 0x20), last = span_le64(&s, 0x28), end;
	struct pt_entry en = { .number = i + 1, .attributes = span_le64(&s, 0x30) };

	span_copy(&s, 0x00, en.type_guid, 16);
	span_copy(&s, 0x10, en.guid, 16);
	if (!memcmp(en.type_guid, unused, sizeof(unused)))
		return 0;
	if (last < first || last == UINT64_MAX || !mul_u64(last + 1, t->sector_size, &end)) {
		pt_notice(t, "partition %u ends before it starts, or at an impossible place; it is ignored", i + 1);
		return 0;
	}
	en.start = first * t->sector_size;
	en.len = end - en.start;
	en.active = en.attributes & GPT_ATTR_BOOTABLE;
	utf16_text(s.p + 0x38, 36, en.name, sizeof(en.name));
	if (first < c->first_usable || last > c->last_usable)
		pt_notice(t, "partition %u lies outside the usable range of the GPT", i + 1);
	return pt_add_entry(t, &en, e);
}

static void note_state(const struct gpt_pair *g, uint64_t disk_size, struct pt_table *t)
{
	const struct gpt_copy *p = &g->primary, *b = &g->backup, *live = p->is_ok ? p : b;
	uint64_t nr_sectors = disk_size / g->sector_size;

	if (!p->is_ok)
		pt_notice(t, "the primary GPT is damaged (%s); the backup is used", p->why);
	if (!b->is_ok)
		pt_notice(t, "the backup GPT is missing or damaged (%s)", b->why);
	else if (b->lba != nr_sectors - 1)
		pt_notice(t, "the backup GPT is not at the end of the disk, but in sector %llu", (unsigned long long)b->lba);
	if (p->is_ok && b->is_ok && (p->entries_crc != b->entries_crc || p->nr_entries != b->nr_entries))
		pt_notice(t, "the two copies of the GPT differ; the primary is used");
	if (live->last_usable >= nr_sectors)
		pt_notice(t, "the GPT was made for a larger disk: it uses sectors up to %llu, the disk has %llu",
			(unsigned long long)live->last_usable, (unsigned long long)nr_sectors);
	if (live->entry_size != GPT_MIN_ENTRY)
		pt_notice(t, "GPT entries of %u bytes; most systems know only 128", live->entry_size);
}

/* Where a copy's bytes are. They fit: a copy that is ok was read from there. */
static int add_places(const struct gpt_copy *c, struct pt_table *t, uint64_t *ret_header, uint64_t *ret_entries,
	struct err *e)
{
	uint32_t ss = t->sector_size;

	*ret_header = c->lba * ss;
	*ret_entries = c->entries_lba * ss;
	if (pt_add_structure(t, *ret_header, ss, e) < 0)
		return -1;
	return pt_add_structure(t, *ret_entries, pt_gpt_array_sectors(c, ss) * ss, e);
}

/* A damaged primary copy will be rewritten where it was; if not even that is known, where everyone puts it. */
static int add_damaged_primary(const struct gpt_copy *p, struct pt_table *t, uint64_t disk_size, struct err *e)
{
	uint32_t ss = t->sector_size;
	bool is_known = p->header_ok && p->entries_lba > 1 && p->entries_lba < disk_size / ss;

	t->gpt_header = ss;
	t->gpt_entries = (is_known ? p->entries_lba : 2) * ss;
	if (pt_add_structure(t, ss, ss, e) < 0)
		return -1;
	return is_known ? pt_add_structure(t, t->gpt_entries, pt_gpt_array_sectors(p, ss) * ss, e) : 0;
}

int pt_gpt_read(const struct gpt_pair *g, uint64_t disk_size, struct pt_table *t, struct err *e)
{
	const struct gpt_copy *p = &g->primary, *b = &g->backup, *live = p->is_ok ? p : b;

	t->kind = PT_GPT;
	t->sector_size = g->sector_size;
	t->gpt_primary_ok = p->is_ok;
	t->gpt_backup_ok = b->is_ok;
	t->gpt_nr_entries = live->nr_entries;
	t->gpt_entry_size = live->entry_size;
	memcpy(t->disk_guid, live->disk_guid, sizeof(t->disk_guid));
	note_state(g, disk_size, t);
	if (pt_add_structure(t, 0, t->sector_size, e) < 0)
		return -1;
	int r = p->is_ok ? add_places(p, t, &t->gpt_header, &t->gpt_entries, e) : add_damaged_primary(p, t, disk_size, e);
	if (r < 0)
		return -1;
	if (b->is_ok && add_places(b, t, &t->gpt_backup_header, &t->gpt_backup_entries, e) < 0)
		return -1;
	for (uint32_t i = 0; i < live->nr_entries; i++)
		if (read_entry(live, i, t, e) < 0)
			return -1;
	return 0;
}
