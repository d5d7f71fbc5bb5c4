/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Fuzzing the ext driver: probe, open, map and arm_ranges of a volume that the input describes.
 *
 * The input is the volume without its zeros: 8 bytes of size, then records of 4 bytes sector number (512 bytes) and
 * 512 bytes of content; tests/fuzz/make_ext_seeds.sh makes such files from real volumes. Checksums of superblock and
 * of the first group descriptors are put right before the driver sees them, or hardly any input would get past them.
 *
 * Built with -DFUZZ_ENGINE for libFuzzer; else a program that replays the files and folders it is given.
 */
#include "base/span.h"
#include "fsdrivers/ext/ext.h"

#include <stdio.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define SECTOR      512U
#define RECORD      (4U + SECTOR)
#define MAX_PATCHES 128U
#define MAX_SIZE    (1ULL << 44)

struct sparse_source {
	struct blk_source base;
	const uint8_t *records;
	size_t nr;
	struct {
		uint64_t at;
		uint8_t bytes[4];
		size_t len;
	} patches[MAX_PATCHES];
	size_t nr_patches;
	uint64_t nr_read; /* bytes, to see that work is bounded */
};

/* Copy what of [at, at+n) lies in [off, off+len). */
static void overlay(uint8_t *buf, uint64_t off, size_t len, uint64_t at, const uint8_t *bytes, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (at + i >= off && at + i - off < len)
			buf[at + i - off] = bytes[i];
}

static int sparse_read(struct blk_source *s, uint64_t off, void *buf, size_t len, struct err *e)
{
	struct sparse_source *f = (struct sparse_source *)s;

	(void)e;
	memset(buf, 0, len);
	f->nr_read += len;
	for (size_t i = 0; i < f->nr; i++) {
		const uint8_t *r = f->records + i * RECORD;
		uint64_t at = (uint64_t)get_le32(r) * SECTOR;
		if (at < off + len && at + SECTOR > off)
			overlay(buf, off, len, at, r + 4, SECTOR);
	}
	for (size_t i = 0; i < f->nr_patches; i++)
		overlay(buf, off, len, f->patches[i].at, f->patches[i].bytes, f->patches[i].len);
	return 0;
}

static void patch(struct sparse_source *f, uint64_t at, uint32_t value, size_t len)
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

static void fix_checksums(struct sparse_source *f)
{
	static struct ext_crc c;
	uint8_t raw[EXT_SUPER_SIZE], desc[1024];
	struct ext_super sb;
	struct err e = ERR_INIT;

	if (f->base.size < 2048 || blk_read(&f->base, 1024, raw, sizeof(raw), &e) < 0)
		return;
	if (!c.crc16[1])
		ext_crc_init(&c);
	if (ext_super_decode(&c, raw, &sb, &e) < 0 || ext_super_check(&sb, f->base.size, &e) < 0)
		return;
	if (ext_has_metadata_csum(&sb))
		patch(f, 1024 + 0x3FC, ext_crc32c(&c, ~0U, raw, 0x3FC), 4);
	for (uint32_t g = 0; g < sb.nr_groups && g < 64; g++) {
		uint64_t at = ext_desc_block(&sb, g / sb.descs_per_block) * sb.block_size +
			      (uint64_t)(g % sb.descs_per_block) * sb.desc_size;
		if (blk_read(&f->base, at, desc, sb.desc_size, &e) < 0)
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

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct blk_source_ops ops = { .read = sparse_read };
	struct sparse_source f = {
		.base = {.ops = &ops, .sector_size = SECTOR, .phys_sector_size = SECTOR, .name = "fuzz"}};
	struct blk_source *member = &f.base;
	struct blk_set set = { .members = &member, .nr = 1 };
	struct fsd_volume *v;
	struct err e = ERR_INIT;
	uint64_t total = 0;

	if (size < 8)
		return 0;
	f.base.size = get_le64(data) % MAX_SIZE;
	f.records = data + 8;
	f.nr = (size - 8) / RECORD;
	fix_checksums(&f);
	if (fsd_ext.probe(&f.base, &e) == 1 && fsd_ext.open(&set, &v, &e) == 0) {
		if (fsd_ext.map(v, check_extent, v, &e) < 0 && !e.msg[0])
			__builtin_trap();
		fsd_ext.arm_ranges(v, check_range, &total, &e);
		fsd_ext.close(v);
	}
	return 0;
}

#ifndef FUZZ_ENGINE
#include <ftw.h>

static int replay(const char *path, const struct stat *st, int type)
{
	static uint8_t buf[1 << 20];

	(void)st;
	if (type != FTW_F)
		return 0;
	FILE *f = fopen(path, "rb");
	if (!f) {
		perror(path);
		return 1;
	}
	size_t n = fread(buf, 1, sizeof(buf), f);
	fclose(f);
	/* an exact copy on the heap, so that a sanitizer sees each byte read behind the end */
	uint8_t *exact = malloc(n ? n : 1);
	memcpy(exact, buf, n);
	LLVMFuzzerTestOneInput(exact, n);
	free(exact);
	return 0;
}

int main(int argc, char **argv)
{
	for (int i = 1; i < argc; i++)
		if (ftw(argv[i], replay, 16))
			return EXIT_FAILURE;
	return EXIT_SUCCESS;
}
#endif
