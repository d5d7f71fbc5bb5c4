/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Fuzzing the XFS driver: probe, everything open() does, map and arm_ranges of a volume that the input describes.
 *
 * The input is described in sparse.h. Hardly any mutation would get past the checksums, so they are put right in whatever the driver
 * reads, unless the highest bit of the size is set. open() itself asks libblkid in the end, which takes a hundred
 * times as long as the rest, so it is called for few inputs only.
 *
 * Built with -DFUZZ_ENGINE for libFuzzer; else a program that replays the files and folders it is given.
 */
#include "fsdrivers/xfs/xfs.h"
#include "tests/fuzz/fsd_fuzz.h"
#include "tests/fuzz/sparse.h"

#define MAX_SIZE (1ULL << 27)
#define MAX_READ (256ULL << 20)

struct xfs_source {
	struct sparse_source s;
	bool fixes_sums;
	uint32_t inode_size;
	const struct crc32c *crc;
};

static void fix_at(struct xfs_source *f, uint8_t *p, size_t len, size_t off)
{
	put_le32(p, off, 0);
	put_le32(p, off, ~crc32c_more(f->crc, ~0U, p, len));
}

/* A record of the log with one header */
static void fix_record(struct xfs_source *f, uint8_t *p, size_t len)
{
	uint32_t n = get_be32(p + 12);

	if (len <= SECTOR || n > len - SECTOR)
		return;
	put_le32(p, 32, 0);
	put_le32(p, 32, ~crc32c_more(f->crc, crc32c_more(f->crc, ~0U, p, 328), p + SECTOR, n));
}

/* What has just been read, by its magic number */
static void fix_sums(struct xfs_source *f, uint8_t *p, size_t len)
{
	static const struct {
		uint32_t magic, off;
	} kinds[] = { { 0x58465342, 224 }, { 0x58414746, 216 }, { 0x58414749, 312 }, { 0x5841464C, 32 }, { 0x41423342, 52 }, { 0x41423343, 52 },
		{ 0x49414233, 52 }, { 0x46494233, 52 }, { 0x524D4233, 52 }, { 0x52334643, 52 }, { 0x424D4133, 64 } };

	if (len < SECTOR)
		return;
	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++)
		if (get_be32(p) == kinds[i].magic)
			fix_at(f, p, len, kinds[i].off);
	if (get_be32(p) == 0xFEEDBABE)
		fix_record(f, p, len);
	if (f->inode_size >= SECTOR && get_be16(p) == 0x494E)
		for (size_t at = 0; at + f->inode_size <= len; at += f->inode_size)
			fix_at(f, p + at, f->inode_size, 100);
}

static int summed_read(struct blk_source *s, uint64_t off, void *buf, size_t len, struct err *e)
{
	struct xfs_source *f = (struct xfs_source *)s;

	sparse_read(s, off, buf, len, e);
	if (f->fixes_sums)
		fix_sums(f, buf, len);
	return 0;
}

static int check_arm(void *arg, size_t member, uint64_t start, uint64_t len, struct err *e)
{
	(void)arg, (void)e;
	FUZZ_CHECK(member == 0 && start == 0 && len >= SECTOR && len <= 32768);
	return 0;
}

static void use(struct fsd_volume *v)
{
	struct err e = ERR_INIT;

	FUZZ_CHECK((v->info.state == FSD_CLEAN) == !v->info.reason[0] && !v->info.reason[0] == !v->info.advice[0]);
	FUZZ_CHECK(strlen(v->info.label) < sizeof(v->info.label));
	FUZZ_CHECK(v->info.granule >= 512 && v->info.granule <= 4096 && is_pow2(v->info.granule));
	FUZZ_CHECK(v->info.size <= v->set.members[0]->size && v->info.used_bytes <= v->info.size);
	if (v->driver->map(v, fuzz_extent, v, &e) < 0)
		FUZZ_CHECK(e.code != ERR_NONE && e.msg[0]);
	FUZZ_CHECK(v->driver->arm_ranges(v, check_arm, NULL, &e) == 0);
}

static void take_apart(struct xfs_source *f, struct blk_set *set)
{
	struct xfs_volume *v = calloc(1, sizeof(*v));
	struct err e = ERR_INIT;

	FUZZ_CHECK(v);
	v->base.driver = &fsd_xfs;
	v->base.set = *set;
	v->src = &f->s.base;
	if (xfs_read(v, &e) == 0)
		use(&v->base);
	else
		FUZZ_CHECK(e.code != ERR_NONE && e.msg[0]);
	FUZZ_CHECK(f->s.nr_read <= MAX_READ + 4 * f->s.base.size);
	fsd_xfs.close(&v->base);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct blk_source_ops ops = { .read = summed_read };
	static struct crc32c crc;
	struct xfs_source f = { .crc = &crc };
	struct blk_source *member = &f.s.base;
	struct blk_set set = { .members = &member, .nr = 1 };
	uint8_t super[SECTOR];
	struct fsd_volume *v;
	struct err e = ERR_INIT;

	if (size < 8)
		return 0;
	if (!crc.table[0][1])
		crc32c_init(&crc);
	f.s = sparse_source(&ops, data, size, MAX_SIZE);
	if (fsd_xfs.probe(&f.s.base, &e) != 1)
		return 0;
	sparse_read(&f.s.base, 0, super, sizeof(super), &e);
	f.inode_size = get_be16(super + 104);
	f.fixes_sums = !(data[7] & 0x80);
	take_apart(&f, &set);
	if (data[size - 1] % 64 == 1 && fsd_xfs.open(&set, &v, &e) == 0) {
		use(v);
		fsd_xfs.close(v);
	}
	return 0;
}
