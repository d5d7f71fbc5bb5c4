/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Fuzzing the NTFS driver: probe, everything open() does, map and arm_ranges of a volume that the input describes.
 *
 * The input is described in sparse.h. open() itself asks libblkid in the end, which takes a hundred times as long as the
 * rest, so it is called for few inputs only.
 *
 * Built with -DFUZZ_ENGINE for libFuzzer; else a program that replays the files and folders it is given.
 */
#include "fsdrivers/ntfs/ntfs.h"
#include "tests/fuzz/fsd_fuzz.h"
#include "tests/fuzz/sparse.h"

#define MAX_SIZE (1ULL << 31)
#define MAX_READ (64ULL << 20) /* bytes of structures; what the seeds need is far below */

static int check_arm(void *arg, size_t member, uint64_t start, uint64_t len, struct err *e)
{
	uint64_t *total = arg;

	(void)e;
	*total += len;
	FUZZ_CHECK(member == 0 && len && start % SECTOR == 0 && len % SECTOR == 0 && *total <= 64 << 10);
	return 0;
}

static int fuzz_skip(void *arg, size_t member, uint64_t start, uint64_t len, const char *file, struct err *e)
{
	(void)e;
	FUZZ_CHECK(file[0]);
	return fuzz_extent(arg, member, start, len, EXT_USED, e);
}

static void use(struct fsd_volume *v)
{
	struct err e = ERR_INIT;
	uint64_t total = 0;

	FUZZ_CHECK(strlen(v->info.label) < sizeof(v->info.label));
	if (v->driver->volatile_ranges(v, fuzz_skip, v, &e) < 0)
		FUZZ_CHECK(e.code != ERR_NONE && e.msg[0]);
	if (v->driver->map(v, fuzz_extent, v, &e) < 0)
		FUZZ_CHECK(e.code != ERR_NONE && e.msg[0]);
	FUZZ_CHECK(v->driver->arm_ranges(v, check_arm, &total, &e) == 0);
}

/* As fill() in ntfs.c does it, but for libblkid */
static void take_apart(struct sparse_source *f, struct blk_set *set)
{
	struct ntfs_volume *v = calloc(1, sizeof(*v));
	uint8_t raw[NTFS_BOOT_SIZE];
	struct err e = ERR_INIT;

	FUZZ_CHECK(v);
	v->base.driver = &fsd_ntfs;
	v->base.set = *set;
	v->src = &f->base;
	sparse_read(&f->base, 0, raw, sizeof(raw), &e);
	struct span s = span_of(raw, sizeof(raw));
	if (ntfs_boot_read(&s, f->base.size, &v->boot, &e) == 0) {
		v->base.info.size = v->boot.nr_clusters * v->boot.cluster_size;
		v->base.info.granule = (uint32_t)min_u64(v->boot.cluster_size, 4096);
		bool good = ntfs_mft_open(v, &e) == 0 && ntfs_judge(v, &e) == 0;
		/* Maps also of what is not clean, which open() would not read */
		if (good && ntfs_bitmap_read(v, &e) == 0)
			use(&v->base);
		FUZZ_CHECK(f->nr_read <= MAX_READ + 4 * f->base.size);
	}
	fsd_ntfs.close(&v->base);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct blk_source_ops ops = { .read = sparse_read };
	struct fsd_volume *v;
	struct err e = ERR_INIT;

	if (size < 8)
		return 0;
	struct sparse_source f = sparse_source(&ops, data, size, MAX_SIZE);
	struct blk_source *member = &f.base;
	struct blk_set set = { .members = &member, .nr = 1 };
	if (fsd_ntfs.probe(&f.base, &e) != 1)
		return 0;
	take_apart(&f, &set);
	if (data[size - 1] % 64 == 0 && fsd_ntfs.open(&set, &v, &e) == 0) {
		FUZZ_CHECK((v->info.state == FSD_CLEAN) == !v->info.reason[0]);
		use(v);
		fsd_ntfs.close(v);
	}
	return 0;
}
