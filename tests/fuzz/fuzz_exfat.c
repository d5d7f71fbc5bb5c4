/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The exFAT driver. The input is described in sparse.h. The checksum of the main boot region is put right before the
 * driver sees it, unless the size's highest bit is set.
 */
#include "tests/fuzz/fsd_fuzz.h"
#include "tests/fuzz/sparse.h"

#define MAX_SIZE (32ULL << 20)

struct exfat_source {
	struct sparse_source s;
	uint64_t sum_start, sum_len; /* where the checksum is repeated */
	uint8_t sum[4];
};

static int exfat_read(struct blk_source *s, uint64_t off, void *buf, size_t len, struct err *e)
{
	struct exfat_source *f = (struct exfat_source *)s;

	sparse_read(s, off, buf, len, e);
	for (uint64_t at = max_u64(off, f->sum_start); at < min_u64(off + len, f->sum_start + f->sum_len); at++)
		((uint8_t *)buf)[at - off] = f->sum[at % 4];
	return 0;
}

static void fix_checksum(struct exfat_source *f)
{
	uint8_t region[11 * 4096];
	uint32_t sum = 0;
	struct err e = ERR_INIT;

	if (f->s.base.size < 512 || blk_read(&f->s.base, 0, region, 512, &e) < 0 || region[108] < 9 || region[108] > 12)
		return;
	size_t len = (size_t)11 << region[108];
	if (len > f->s.base.size || blk_read(&f->s.base, 0, region, len, &e) < 0)
		return;
	for (size_t i = 0; i < len; i++)
		if (i != 106 && i != 107 && i != 112)
			sum = (sum << 31 | sum >> 1) + region[i];
	put_le32(f->sum, 0, sum);
	f->sum_start = len;
	f->sum_len = len / 11;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct blk_source_ops ops = { .read = exfat_read };

	if (size < 8)
		return 0;
	struct exfat_source f = { .s = sparse_source(&ops, data, size, MAX_SIZE) };
	if (!(data[7] & 0x80))
		fix_checksum(&f);
	fuzz_source(&fsd_exfat, &f.s.base);
	/* The FAT through its cache sixteen times, the rest a few times; libblkid looks at both ends. */
	FUZZ_CHECK(f.s.nr_read <= (16ULL << 20) + 32 * f.s.base.size);
	return 0;
}
