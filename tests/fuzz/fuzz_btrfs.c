/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Fuzzing the btrfs driver: probe, member, everything open() does but for libblkid, map and arm_ranges of a file system that the input
 * describes.
 *
 * The input is the devices without their zeros: 8 bytes of size, then records of 4 bytes sector number (512 bytes) and 512 bytes of content;
 * tests/fuzz/make_btrfs_seeds.sh makes such files from real file systems. Bits 60 and 61 of the size: how many devices there are besides
 * the first; bits 30 and 31 of a sector number: on which. With bit 63 of the size every superblock and tree block gets a right checksum
 * as it is read: else no change would ever come further.
 *
 * Built with -DFUZZ_ENGINE for libFuzzer; else a program that replays the files and folders it is given.
 */
#include "fsdrivers/btrfs/btrfs.h"
#include "tests/fuzz/fsd_fuzz.h"

#define SECTOR      512U
#define RECORD      (4U + SECTOR)
#define MAX_SIZE    (1ULL << 39)
#define MAX_READ    (256ULL << 20)
#define MAX_DEVICES 4U

struct device {
	struct blk_source base;
	struct input *input;
	uint32_t number;
};

struct input {
	const uint8_t *records;
	size_t nr;
	bool fix;
	struct device devices[MAX_DEVICES];
	uint64_t nr_read;
};

static void fix_sum(uint8_t *buf, size_t len)
{
	struct btrfs_csum c = { 0 };
	struct err e = ERR_INIT;
	uint16_t type = len == BTRFS_SUPER_SIZE && btrfs_super_magic(buf) ? get_le16(buf + 0xC4) : 0;

	if (btrfs_csum_init(&c, type, &e) == 0)
		btrfs_csum_set(&c, buf, len);
	btrfs_csum_release(&c);
}

/* Later records win. */
static int device_read(struct blk_source *s, uint64_t off, void *buf, size_t len, struct err *e)
{
	struct device *d = (struct device *)s;
	const struct input *f = d->input;

	(void)e;
	memset(buf, 0, len);
	d->input->nr_read += len;
	for (size_t i = 0; i < f->nr; i++) {
		const uint8_t *r = f->records + i * RECORD;
		uint64_t at = (uint64_t)(get_le32(r) & 0x3FFFFFFF) * SECTOR, start = max_u64(at, off), end = min_u64(at + SECTOR, off + len);
		if (get_le32(r) >> 30 == d->number && start < end)
			memcpy((uint8_t *)buf + (start - off), r + 4 + (start - at), (size_t)(end - start));
	}
	if (f->fix && len >= 4096)
		fix_sum(buf, len);
	return 0;
}

static int check_extent(void *arg, size_t member, uint64_t start, uint64_t len, enum ext_state state, struct err *e)
{
	const struct fsd_volume *v = arg;

	(void)e;
	FUZZ_CHECK(member < v->set.nr);
	uint64_t size = v->set.members[member]->size;
	FUZZ_CHECK(len && start <= size && len <= size - start && state == EXT_USED);
	FUZZ_CHECK(start % 4096 == 0 && ((start + len) % 4096 == 0 || start + len == size));
	return 0;
}

static int check_arm(void *arg, size_t member, uint64_t start, uint64_t len, struct err *e)
{
	const struct fsd_volume *v = arg;

	(void)e;
	FUZZ_CHECK(member < v->set.nr && len == 4096 && start % 4096 == 0);
	return 0;
}

static void use(struct btrfs_volume *v)
{
	const struct fsd_info *i = &v->base.info;
	struct err e = ERR_INIT;
	uint64_t total = 0;

	for (size_t m = 0; m < v->base.set.nr; m++)
		total += v->base.set.members[m]->size;
	FUZZ_CHECK(i->size <= total && i->size % i->granule == 0 && i->granule == 4096);
	FUZZ_CHECK((i->state == FSD_CLEAN) == !i->reason[0] && (i->state == FSD_CLEAN) == !i->advice[0]);
	FUZZ_CHECK(strlen(i->label) < sizeof(i->label) && strlen(i->detail) < sizeof(i->detail) && strlen(i->notice) < sizeof(i->notice));
	if (fsd_btrfs.map(&v->base, check_extent, &v->base, &e) < 0)
		FUZZ_CHECK(e.code == ERR_CORRUPT && e.msg[0]);
	FUZZ_CHECK(fsd_btrfs.arm_ranges(&v->base, check_arm, &v->base, &e) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct blk_source_ops ops = { .read = device_read };
	struct blk_source *members[MAX_DEVICES];
	struct input f = { .records = data + 8 };
	struct fsd_member member;
	struct err e = ERR_INIT;

	if (size < 8)
		return 0;
	uint64_t head = get_le64(data);
	f.nr = (size - 8) / RECORD;
	f.fix = head >> 63;
	struct blk_set set = { .members = members, .nr = (head >> 60 & 3) + 1 };
	for (uint32_t i = 0; i < set.nr; i++) {
		f.devices[i] = (struct device){ .base = { .ops = &ops, .size = head % MAX_SIZE, .sector_size = SECTOR, .phys_sector_size = SECTOR,
			.name = "fuzz" }, .input = &f, .number = i };
		members[i] = &f.devices[i].base;
		if (fsd_btrfs.probe(members[i], &e) != 1)
			return 0;
		if (fsd_btrfs.member(members[i], &member, &e) == 0)
			FUZZ_CHECK(member.nr >= 1 && strlen(member.set) == 36);
	}
	struct btrfs_volume *v = calloc(1, sizeof(*v));
	FUZZ_CHECK(v);
	v->base.driver = &fsd_btrfs;
	v->base.set = set;
	if (btrfs_fill(v, &e) == 0)
		use(v);
	else
		FUZZ_CHECK((e.code == ERR_CORRUPT || e.code == ERR_UNSUPPORTED) && e.msg[0]);
	FUZZ_CHECK(f.nr_read <= MAX_READ);
	fsd_btrfs.close(&v->base);
	return 0;
}
