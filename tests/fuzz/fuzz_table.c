/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Fuzz target: a hostile disk is read, divided into regions and adapted to a larger size; what comes out must hold together.
 *
 * Input: one byte of choices, then the disk. The checksums of a GPT would stop a fuzzer at the door, so most choices
 * repair signature, place and checksums of the two headers first.
 */
#include "base/arith.h"
#include "base/span.h"
#include "imager/disk/table.h"
#include "tests/fuzz/fuzz.h"

#include <libdeflate.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CHOICE_PRIMARY 0x01 /* repair the primary header */
#define CHOICE_BACKUP  0x02
#define CHOICE_4096    0x04
#define CHOICE_FORCE   0x08 /* name the sector size instead of letting it be found */
#define CHOICE_RAW     0x10
#define CHOICE_GROWTH  5    /* from this bit: 0..7, how much larger the new disk is */

static void repair_header(uint8_t *disk, size_t size, uint32_t ss, uint64_t lba)
{
	if (!range_inside(lba * ss, ss, size))
		return;
	uint8_t *h = disk + lba * ss;
	uint64_t array = get_le64(h + 0x48), len = (uint64_t)get_le32(h + 0x50) * get_le32(h + 0x54), start;
	uint32_t header_size = get_le32(h + 0x0C);

	memcpy(h, "EFI PART", 8);
	put_le64(h, 0x18, lba);
	if (header_size < 92 || header_size > ss)
		put_le32(h, 0x0C, header_size = 92);
	if (mul_u64(array, ss, &start) && range_inside(start, len, size))
		put_le32(h, 0x58, libdeflate_crc32(0, disk + start, (size_t)len));
	put_le32(h, 0x10, 0);
	put_le32(h, 0x10, libdeflate_crc32(0, h, header_size));
}

static void repair(uint8_t *disk, size_t size, uint8_t choice)
{
	uint32_t ss = choice & CHOICE_4096 ? 4096 : 512;

	if (!(choice & (CHOICE_PRIMARY | CHOICE_BACKUP)) || size < 2 * ss)
		return;
	put_le16(disk, 510, 0xAA55);
	disk[446 + 4] = 0xEE;
	/* Backup first: its array may contain the primary header, hardly the other way round. */
	if (choice & CHOICE_BACKUP)
		repair_header(disk, size, ss, size / ss - 1);
	if (choice & CHOICE_PRIMARY)
		repair_header(disk, size, ss, 1);
}

static void check_table(const struct pt_table *t, uint64_t size)
{
	uint64_t end = 0, start = 0;

	FUZZ_CHECK(t->nr <= PT_MAX_ENTRIES + 4);
	for (size_t i = 0; i < t->nr; i++) {
		FUZZ_CHECK(t->entries[i].start >= start);
		start = t->entries[i].start;
		FUZZ_CHECK(t->entries[i].start + t->entries[i].len >= start);
		FUZZ_CHECK(memchr(t->entries[i].name, 0, sizeof(t->entries[i].name)));
		(void)pt_type_name(t, &t->entries[i]);
		(void)pt_is_boot(t, &t->entries[i]);
	}
	for (size_t i = 0; i < t->nr_structures; i++) {
		FUZZ_CHECK(t->structures[i].len && t->structures[i].start >= end);
		end = t->structures[i].start + t->structures[i].len;
	}
	FUZZ_CHECK(end <= size);
	for (size_t i = 0; i < t->nr_notices; i++)
		FUZZ_CHECK(memchr(t->notices[i], 0, sizeof(t->notices[i])));
}

static void check_regions(struct pt_table *t, uint64_t size, bool raw)
{
	struct err e = ERR_INIT;
	struct pt_region *r;
	size_t nr;
	uint64_t pos = 0;

	FUZZ_CHECK(pt_regions(t, size, raw, &r, &nr, &e) == 0);
	for (size_t i = 0; i < nr; i++) {
		uint64_t used = r[i].start;
		FUZZ_CHECK(r[i].start == pos && r[i].len);
		pos += r[i].len;
		for (size_t k = 0; k < r[i].nr_used; k++) {
			FUZZ_CHECK(r[i].used[k].len && r[i].used[k].start >= used);
			used = r[i].used[k].start + r[i].used[k].len;
			FUZZ_CHECK(used <= pos);
		}
	}
	FUZZ_CHECK(pos == size);
	pt_regions_free(r, nr);
}

/* The adapted disk is read again: both copies are good and say the same. */
static void check_grown(const uint8_t *disk, size_t size, size_t new_size, const struct pt_table *t, const struct pt_patch *p,
	size_t nr)
{
	uint8_t *grown = calloc(1, new_size);
	struct err e = ERR_INIT;
	struct pt_table *now;
	uint64_t end = 0;

	FUZZ_CHECK(grown);
	memcpy(grown, disk, size);
	for (size_t i = 0; i < nr; i++) {
		FUZZ_CHECK(p[i].len && p[i].start >= end && p[i].start % t->sector_size == 0 && p[i].len % t->sector_size == 0);
		FUZZ_CHECK(range_inside(p[i].start, p[i].len, new_size));
		end = p[i].start + p[i].len;
		memcpy(grown + p[i].start, p[i].bytes, p[i].len);
	}
	struct blk_source *src = blk_mem(grown, new_size, t->sector_size, "grown", &e);
	FUZZ_CHECK(src && pt_read(src, t->sector_size, &now, &e) == 0);
	FUZZ_CHECK(now->kind == PT_GPT && now->gpt_primary_ok && now->gpt_backup_ok && now->nr == t->nr);
	FUZZ_CHECK(!t->nr || !memcmp(now->entries, t->entries, t->nr * sizeof(*t->entries)));
	FUZZ_CHECK(now->gpt_backup_header == (new_size / t->sector_size - 1) * t->sector_size);
	pt_free(now);
	blk_close(src);
	free(grown);
}

/* Written for sectors of another size it is a table with the same partitions. */
static void check_resectored(const uint8_t *disk, size_t size, struct blk_source *src, const struct pt_table *t)
{
	uint32_t sector = t->sector_size == 512 ? 4096 : 512;
	struct err e = ERR_INIT;
	struct pt_table *now;
	struct pt_patch *p;
	size_t nr;

	if (pt_resector(src, t, size, size, sector, &p, &nr, &e) < 0 || !nr)
		return;
	uint8_t *copy = malloc(size);
	FUZZ_CHECK(copy);
	memcpy(copy, disk, size);
	uint64_t end = 0;
	for (size_t i = 0; i < nr; i++) {
		FUZZ_CHECK(p[i].len && p[i].start >= end && p[i].start + p[i].len <= size);
		end = p[i].start + p[i].len;
		memcpy(copy + p[i].start, p[i].bytes, p[i].len);
	}
	struct blk_source *other = blk_mem(copy, size, sector, "other", &e);
	FUZZ_CHECK(other && pt_read(other, sector, &now, &e) == 0);
	FUZZ_CHECK(now->kind == PT_GPT && now->nr == t->nr && now->gpt_primary_ok && now->gpt_backup_ok);
	for (size_t i = 0; i < t->nr; i++)
		FUZZ_CHECK(now->entries[i].start == t->entries[i].start && now->entries[i].len == t->entries[i].len &&
			now->entries[i].number == t->entries[i].number);
	pt_free(now);
	blk_close(other);
	free(copy);
	pt_patches_free(p, nr);
}

static void use_disk(const uint8_t *disk, size_t size, uint8_t choice)
{
	static const size_t growth[8] = { 0, 1, 512, 4096, 5000, 65536, 300000, 1048576 };
	struct err e = ERR_INIT;
	struct blk_source *src = blk_mem(disk, size, 512, "disk", &e);
	size_t new_size = size + growth[choice >> CHOICE_GROWTH], nr;
	struct pt_table *t;
	struct pt_patch *p;

	FUZZ_CHECK(src);
	if (pt_read(src, choice & CHOICE_FORCE ? (choice & CHOICE_4096 ? 4096 : 512) : 0, &t, &e) == 0) {
		check_table(t, size);
		check_regions(t, size, choice & CHOICE_RAW);
		check_regions(t, size / 2, choice & CHOICE_RAW);
		if (pt_adapt(src, t, size, new_size, &p, &nr, &e) == 0) {
			if (nr)
				check_grown(disk, size, new_size, t, p, nr);
			pt_patches_free(p, nr);
		}
		check_resectored(disk, size, src, t);
		pt_free(t);
	}
	blk_close(src);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (!size || size > (1U << 20))
		return 0;
	uint8_t *disk = malloc(size);
	FUZZ_CHECK(disk);
	memcpy(disk, data + 1, size - 1);
	repair(disk, size - 1, data[0]);
	use_disk(disk, size - 1, data[0]);
	free(disk);
	return 0;
}
