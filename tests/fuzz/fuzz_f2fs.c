/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The F2FS driver. The input is described in sparse.h. The checksums of superblocks and checkpoints are put right before the driver sees
 * them, unless the size's highest bit is set.
 */
#include "fsdrivers/f2fs/f2fs.h"
#include "tests/fuzz/fsd_fuzz.h"
#include "tests/fuzz/sparse.h"

#define MAX_SIZE (256ULL << 20)
#define BLOCK    4096U
#define MAX_SUMS 6U

struct f2fs_source {
	struct sparse_source s;
	struct {
		uint64_t at;
		uint8_t bytes[4];
	} sums[MAX_SUMS];
	unsigned nr_sums;
};

static int summed_read(struct blk_source *s, uint64_t off, void *buf, size_t len, struct err *e)
{
	struct f2fs_source *f = (struct f2fs_source *)s;

	sparse_read(s, off, buf, len, e);
	for (unsigned i = 0; i < f->nr_sums; i++)
		overlay(buf, off, len, f->sums[i].at, f->sums[i].bytes, 4);
	return 0;
}

static void add_sum(struct f2fs_source *f, uint64_t at, uint32_t sum)
{
	f->sums[f->nr_sums].at = at;
	put_le32(f->sums[f->nr_sums++].bytes, 0, sum);
}

/* A block of a checkpoint; returns how many blocks it says there are. */
static uint32_t fix_checkpoint(struct f2fs_source *f, uint64_t block)
{
	uint8_t buf[BLOCK];
	struct err e = ERR_INIT;

	if (blk_read(&f->s.base, block * BLOCK, buf, BLOCK, &e) < 0)
		return 0;
	uint32_t at = get_le32(buf + 164);
	if (at < 192 || at > BLOCK - 4)
		return 0;
	uint32_t sum = f2fs_crc(F2FS_MAGIC, buf, at);
	if (at < BLOCK - 4)
		sum = f2fs_crc(sum, buf + at + 4, BLOCK - at - 4);
	add_sum(f, block * BLOCK + at, sum);
	return get_le32(buf + 136);
}

static void fix_checksums(struct f2fs_source *f)
{
	uint8_t sb[F2FS_SUPER_SIZE];
	struct err e = ERR_INIT;

	for (unsigned i = 2; i-- > 0;) {
		if (blk_read(&f->s.base, i * BLOCK + F2FS_SUPER_OFFSET, sb, sizeof(sb), &e) < 0)
			return;
		add_sum(f, i * BLOCK + F2FS_SUPER_OFFSET + 3068, f2fs_crc(F2FS_MAGIC, sb, 3068));
	}
	for (unsigned i = 0; i < F2FS_PACKS; i++) {
		uint64_t start = (uint64_t)get_le32(sb + 76) + i * F2FS_SEG_BLOCKS;
		uint32_t total = fix_checkpoint(f, start);
		if (total > 1)
			fix_checkpoint(f, start + total - 1);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct blk_source_ops ops = { .read = summed_read };
	struct f2fs_source f = { .nr_sums = 0 };

	if (size < 8)
		return 0;
	f.s = sparse_source(&ops, data, size, MAX_SIZE);
	if (!(data[7] & 0x80))
		fix_checksums(&f);
	fuzz_source(&fsd_f2fs, &f.s.base);
	/* Tables and nodes once, with gaps between them; libblkid looks at both ends. */
	FUZZ_CHECK(f.s.nr_read <= (16ULL << 20) + 20 * f.s.base.size);
	return 0;
}
