/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The exFAT driver. The input is the volume without its zeros: 8 bytes of size, then records of 4 bytes sector number
 * (512 bytes) and 512 bytes of content; tests/fuzz/make_exfat_seeds.sh makes such files from real volumes. The checksum
 * of the main boot region is put right before the driver sees it, unless the size's highest bit is set.
 */
#include "tests/fuzz/fsd_fuzz.h"

#include "base/arith.h"
#include "base/span.h"

#define SECTOR   512U
#define RECORD   (4U + SECTOR)
#define MAX_SIZE (32ULL << 20)

struct sparse_source {
	struct blk_source base;
	const uint8_t *records;
	size_t nr;
	uint64_t sum_start, sum_len; /* where the checksum is repeated */
	uint8_t sum[4];
	uint64_t nr_read; /* bytes, to see that work is bounded */
};

static void overlay(uint8_t *buf, uint64_t off, size_t len, uint64_t at, const uint8_t *bytes, size_t n)
{
	uint64_t start = max_u64(at, off), end = min_u64(at + n, off + len);

	if (start < end)
		memcpy(buf + (start - off), bytes + (start - at), end - start);
}

static int sparse_read(struct blk_source *s, uint64_t off, void *buf, size_t len, struct err *e)
{
	struct sparse_source *f = (struct sparse_source *)s;

	(void)e;
	memset(buf, 0, len);
	f->nr_read += len;
	for (size_t i = 0; i < f->nr; i++) {
		const uint8_t *r = f->records + i * RECORD;
		overlay(buf, off, len, (uint64_t)get_le32(r) * SECTOR, r + 4, SECTOR);
	}
	for (uint64_t at = max_u64(off, f->sum_start); at < min_u64(off + len, f->sum_start + f->sum_len); at++)
		((uint8_t *)buf)[at - off] = f->sum[at % 4];
	return 0;
}

static void fix_checksum(struct sparse_source *f)
{
	uint8_t region[11 * 4096];
	uint32_t sum = 0;
	struct err e = ERR_INIT;

	if (f->base.size < 512 || blk_read(&f->base, 0, region, 512, &e) < 0 || region[108] < 9 || region[108] > 12)
		return;
	size_t len = (size_t)11 << region[108];
	if (len > f->base.size || blk_read(&f->base, 0, region, len, &e) < 0)
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
	static const struct blk_source_ops ops = { .read = sparse_read };
	struct sparse_source f = {
		.base = { .ops = &ops, .sector_size = SECTOR, .phys_sector_size = SECTOR, .name = "fuzz" } };

	if (size < 8)
		return 0;
	f.base.size = get_le64(data) % MAX_SIZE;
	f.records = data + 8;
	f.nr = (size - 8) / RECORD;
	if (!(data[7] & 0x80))
		fix_checksum(&f);
	fuzz_source(&fsd_exfat, &f.base);
	/* The FAT through its cache sixteen times, the rest a few times; libblkid looks at both ends. */
	FUZZ_CHECK(f.nr_read <= (16ULL << 20) + 32 * f.base.size);
	return 0;
}
