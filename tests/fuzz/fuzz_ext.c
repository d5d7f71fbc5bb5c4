/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Fuzzing the ext driver: probe, open, replay, volatile_ranges, map and arm_ranges of a volume that the input describes.
 *
 * The input is described in sparse.h. Checksums of superblock and of the first group descriptors are put right before
 * the driver sees them, or hardly any input would get past them.
 *
 * Built with -DFUZZ_ENGINE for libFuzzer; else a program that replays the files and folders it is given.
 */
#include "fsdrivers/ext/ext.h"
#include "tests/fuzz/fuzz.h"
#include "tests/fuzz/sparse.h"

#define MAX_PATCHES 128U
#define MAX_SIZE    (1ULL << 44)

struct ext_source {
	struct sparse_source s;
	struct {
		uint64_t at;
		uint8_t bytes[4];
		size_t len;
	} patches[MAX_PATCHES];
	size_t nr_patches;
};

static int ext_read(struct blk_source *s, uint64_t off, void *buf, size_t len, struct err *e)
{
	struct ext_source *f = (struct ext_source *)s;

	sparse_read(s, off, buf, len, e);
	for (size_t i = 0; i < f->nr_patches; i++)
		overlay(buf, off, len, f->patches[i].at, f->patches[i].bytes, f->patches[i].len);
	return 0;
}

static void patch(struct ext_source *f, uint64_t at, uint32_t value, size_t len)
{
	if (f->nr_patches == MAX_PATCHES)
		return;
	f->patches[f->nr_patches].at = at;
	f->patches[f->nr_patches].len = len;
	put_le32(f->patches[f->nr_patches++].bytes, 0, value);
}

static uint16_t desc_csum(const struct ext_crc *c, const struct ext_super *sb, uint32_t group, uint8_t *d)
{
	uint8_t number[4];

	put_le32(number, 0, group);
	if (ext_has_metadata_csum(sb)) {
		put_le16(d, 0x1E, 0);
		return (uint16_t)ext_crc32c(c, ext_crc32c(c, sb->csum_seed, number, 4), d, sb->desc_size);
	}
	uint16_t crc = ext_crc16(c, ext_crc16(c, 0xFFFF, sb->uuid, 16), number, 4);
	return ext_crc16(c, ext_crc16(c, crc, d, 0x1E), d + 0x20, sb->desc_size - 0x20);
}

static void fix_checksums(struct ext_source *f)
{
	static struct ext_crc c;
	uint8_t raw[EXT_SUPER_SIZE], desc[1024];
	struct ext_super sb;
	struct err e = ERR_INIT;

	if (f->s.base.size < 2048 || blk_read(&f->s.base, 1024, raw, sizeof(raw), &e) < 0)
		return;
	if (!c.crc16[1])
		ext_crc_init(&c);
	if (ext_super_decode(&c, raw, &sb, &e) < 0 || ext_super_check(&sb, f->s.base.size, &e) < 0)
		return;
	if (ext_has_metadata_csum(&sb))
		patch(f, 1024 + 0x3FC, ext_crc32c(&c, ~0U, raw, 0x3FC), 4);
	for (uint32_t g = 0; g < sb.nr_groups && g < 64; g++) {
		uint64_t at = ext_desc_block(&sb, g / sb.descs_per_block) * sb.block_size +
			      (uint64_t)(g % sb.descs_per_block) * sb.desc_size;
		if (blk_read(&f->s.base, at, desc, sb.desc_size, &e) < 0)
			return;
		if (ext_has_group_csum(&sb))
			patch(f, at + 0x1E, desc_csum(&c, &sb, g, desc), 2);
	}
}

static int check_extent(void *arg, size_t member, uint64_t start, uint64_t len, enum ext_state state, struct err *e)
{
	const struct fsd_volume *v = arg;

	(void)e;
	if (member || !len || !range_inside(start, len, v->info.size) || start % v->info.granule ||
		len % v->info.granule || state > EXT_USED)
		__builtin_trap();
	return 0;
}

static int check_range(void *arg, size_t member, uint64_t start, uint64_t len, struct err *e)
{
	uint64_t *total = arg;

	(void)e;
	*total += len;
	if (member || !len || start % SECTOR || len % SECTOR || *total > 16U << 20)
		__builtin_trap();
	return 0;
}

static int check_skip(void *arg, size_t member, uint64_t start, uint64_t len, const char *file, struct err *e)
{
	const struct fsd_volume *v = arg;

	(void)e;
	if (member || !len || !range_inside(start, len, v->info.size) || !file[0])
		__builtin_trap();
	return 0;
}

static int check_patch(void *arg, size_t member, uint64_t start, const void *bytes, size_t len, struct err *e)
{
	const struct fsd_volume *v = arg;
	const uint8_t *b = bytes;
	volatile uint8_t sum = 0;

	(void)e;
	if (member || !len || !range_inside(start, len, v->info.size))
		__builtin_trap();
	for (size_t i = 0; i < len; i++)
		sum ^= b[i];
	return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct blk_source_ops ops = { .read = ext_read };
	struct fsd_volume *v;
	struct err e = ERR_INIT;
	uint64_t total = 0;

	if (size < 8)
		return 0;
	struct ext_source f = { .s = sparse_source(&ops, data, size, MAX_SIZE) };
	struct blk_source *member = &f.s.base;
	struct blk_set set = { .members = &member, .nr = 1 };
	fix_checksums(&f);
	if (fsd_ext.probe(member, &e) == 1 && fsd_ext.open(&set, &v, &e) == 0) {
		struct fsd_replayed sum;
		if (v->info.can_replay && fsd_ext.replay(v, check_patch, v, &sum, &e) < 0 && !e.msg[0])
			__builtin_trap();
		if (v->info.state == FSD_CLEAN && fsd_ext.volatile_ranges(v, check_skip, v, &e) < 0 && !e.msg[0])
			__builtin_trap();
		if (fsd_ext.map(v, check_extent, v, &e) < 0 && !e.msg[0])
			__builtin_trap();
		fsd_ext.arm_ranges(v, check_range, &total, &e);
		fsd_ext.close(v);
	}
	return 0;
}
