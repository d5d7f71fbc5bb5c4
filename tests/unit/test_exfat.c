/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The exFAT driver against mkfs.exfat, fsck.exfat, tests/tools/exfat.py, and a decoder of its own. */
#include "base/span.h"

#define DRIVER fsd_exfat
#include "tests/unit/driver_volume.h"

#define TOOL "python3 tests/tools/exfat.py"

static void setup(void)
{
	make_folder();
	/* for damaged_metadata */
	ck_assert_int_eq(run(TOOL " make %s/whole0 3000000 cluster=1024 fats=2 active=1 files=60 max=4000 bad=3", dir), 0);
	ck_assert_int_eq(run(TOOL " make %s/whole1 3000000 cluster=512 files=60 deleted=5 dirs=9 max=4000", dir), 0);
}

static void make(unsigned kib, const char *options)
{
	ck_assert_int_eq(run(TOOL " make %s %u %s", img, kib * 1024, options), 0);
}

static void mkfs(unsigned kib, const char *options)
{
	ck_assert_int_eq(run("rm -f %s && truncate -s %uK %s && mkfs.exfat %s %s >%s/mkfs 2>&1", img, kib, img, options, img, dir), 0);
}

static void fix_checksum(void)
{
	ck_assert_int_eq(run(TOOL " sum %s", img), 0);
}

/* A decoder that shares nothing with the driver, for volumes whose bitmap lies in one piece and is named in the root's first cluster. */
struct plain {
	uint32_t sector, cluster, fat, fat_len, heap, nr, root, flags, fats;
	uint64_t sectors;
	uint32_t bitmap[2], upcase;
	uint64_t bitmap_entry, upcase_entry, label_entry, first_file; /* where the entries stand */
};

static uint64_t plain_at(const struct plain *p, uint32_t n)
{
	return (uint64_t)p->heap * p->sector + (uint64_t)(n - 2) * p->cluster;
}

static struct plain plain_read(void)
{
	uint8_t b[512], en[32];
	struct plain p = { .sector = 0 };

	peek(img, 0, b, sizeof(b));
	p.sector = 1U << b[108];
	p.cluster = p.sector << b[109];
	p.sectors = get_le64(b + 72);
	p.fat = get_le32(b + 80);
	p.fat_len = get_le32(b + 84);
	p.heap = get_le32(b + 88);
	p.nr = get_le32(b + 92);
	p.root = get_le32(b + 96);
	p.flags = b[106];
	p.fats = b[110];
	for (uint64_t at = plain_at(&p, p.root); !p.first_file && at < plain_at(&p, p.root) + p.cluster; at += 32) {
		peek(img, at, en, sizeof(en));
		if (en[0] == 0x81) {
			p.bitmap[en[1]] = get_le32(en + 20);
			p.bitmap_entry = at;
		} else if (en[0] == 0x82) {
			p.upcase = get_le32(en + 20);
			p.upcase_entry = at;
		} else if (en[0] == 0x83 || en[0] == 0x03) {
			p.label_entry = at;
		} else if (en[0] == 0x85) {
			p.first_file = at;
		}
	}
	return p;
}

static uint32_t plain_entry(const struct plain *p, uint32_t n)
{
	uint8_t b[4];

	peek(img, ((uint64_t)p->fat + (p->flags & 1) * p->fat_len) * p->sector + (uint64_t)n * 4, b, 4);
	return get_le32(b);
}

static void plain_set(const struct plain *p, uint32_t n, uint32_t value)
{
	uint8_t b[4];

	put_le32(b, 0, value);
	for (unsigned i = 0; i < p->fats; i++)
		poke(img, ((uint64_t)p->fat + i * p->fat_len) * p->sector + (uint64_t)n * 4, b, 4);
}

static bool plain_bit(const struct plain *p, uint32_t n)
{
	uint8_t b;

	peek(img, plain_at(p, p->bitmap[p->flags & 1]) + (n - 2) / 8, &b, 1);
	return b >> (n - 2) % 8 & 1;
}

static void plain_put_bit(const struct plain *p, uint32_t n, bool value)
{
	uint64_t at = plain_at(p, p->bitmap[p->flags & 1]) + (n - 2) / 8;
	uint8_t b;

	peek(img, at, &b, 1);
	b = (uint8_t)(value ? b | 1 << (n - 2) % 8 : b & ~(1 << (n - 2) % 8));
	poke(img, at, &b, 1);
}

/* The first free cluster from n on. */
static uint32_t plain_free(const struct plain *p, uint32_t n)
{
	while (plain_bit(p, n))
		n++;
	ck_assert_uint_lt(n, p->nr + 2);
	return n;
}

static bool cluster_used(const struct plain *p, const struct collected *c, uint32_t n)
{
	return c->used[plain_at(p, n) / UNIT];
}

/* Every cluster, and everything around the clusters, must be as the plain decoder has it; nr_bad clusters are left out. */
static uint32_t compare_with_plain(const struct collected *c, uint32_t nr_bad)
{
	struct plain p = plain_read();
	uint32_t nr_used = 0, left_out = 0;
	uint64_t heap = (uint64_t)p.heap * p.sector, end = plain_at(&p, p.nr + 2), size = p.sectors * p.sector;

	for (uint64_t off = 0; off < heap; off += UNIT)
		ck_assert(c->used[off / UNIT]);
	for (uint32_t n = 2; n < p.nr + 2; n++) {
		bool used = plain_bit(&p, n), is_left_out = used && !cluster_used(&p, c, n);
		nr_used += used;
		left_out += is_left_out;
		ck_assert(!is_left_out || plain_entry(&p, n) == 0xfffffff7);
		for (uint64_t off = 0; off < p.cluster; off += UNIT)
			ck_assert_msg(c->used[(plain_at(&p, n) + off) / UNIT] == (used && !is_left_out), "cluster %u", n);
	}
	ck_assert_uint_eq(left_out, nr_bad);
	for (uint64_t off = end; off < size; off += UNIT)
		ck_assert_int_eq(c->used[off / UNIT], size - end >= p.cluster);
	for (uint64_t off = size; off < c->size; off += UNIT)
		ck_assert(c->used[off / UNIT]);
	return nr_used - left_out;
}

static void check_copy(const struct opened *o, const struct collected *c, bool has_fsck)
{
	char copy[96];

	snprintf(copy, sizeof(copy), "%s/copy", dir);
	copy_used(o->v, c, copy);
	if (has_fsck)
		ck_assert_int_eq(run("fsck.exfat -n %s >%s/fsck 2>&1 && grep -q clean %s/fsck", copy, dir, dir), 0);
	ck_assert_int_eq(run(TOOL " list %s >%s/a && " TOOL " list %s >%s/b && cmp %s/a %s/b", img, dir, copy, dir, dir, dir), 0);
	unlink(copy);
}

struct exfat_case {
	unsigned kib;
	const char *options;
	uint32_t cluster, granule;
	unsigned extra_kib; /* the partition goes on behind the file system */
};

static const struct exfat_case mkfs_cases[] = {
	{ 20480, "", 4096, 4096, 0 },
	{ 20001, "", 4096, 4096, 0 },
	{ 2049, "-c 512 -b 512", 512, 512, 0 },
	{ 20001, "-c 1K -b 4K", 1024, 1024, 3 },
	{ 60000, "-c 32K -b 64K", 32768, 4096, 7 },
	{ 70000, "-c 1M -L x", 1 << 20, 4096, 64 },
	{ 170000, "-c 32M -L Etikett", 32 << 20, 4096, 0 },
	{ 40000, "--pack-bitmap -c 8K", 8192, 4096, 0 },
	{ 300000, "-f", 32768, 4096, 0 },
};

#define NR_MKFS ((int)(sizeof(mkfs_cases) / sizeof(mkfs_cases[0])))

START_TEST(mkfs_volumes)
{
	const struct exfat_case *t = &mkfs_cases[_i];
	struct opened o;

	mkfs(t->kib, t->options);
	ck_assert_int_eq(run("truncate -s +%uK %s", t->extra_kib, img), 0);
	open_img(&o);
	struct collected c = collect(o.v);
	uint32_t nr_used = compare_with_plain(&c, 0);
	const struct fsd_info *info = &o.v->info;
	ck_assert_str_eq(info->type, "exfat");
	ck_assert_int_eq(info->state, FSD_CLEAN);
	ck_assert_str_eq(info->notice, "");
	if (info->block_size != t->cluster)
		ck_assert_msg(!t->options[0] || !strcmp(t->options, "-f"), "cluster %u", info->block_size);
	ck_assert_uint_eq(info->granule, t->granule);
	struct plain p = plain_read();
	ck_assert_uint_eq(info->size, p.sectors * p.sector);
	ck_assert_uint_eq(info->used_bytes, (uint64_t)p.heap * p.sector + (uint64_t)nr_used * info->block_size);
	ck_assert_int_eq(run("[ \"$(blkid -p -o value -s UUID %s)\" = %s ]", img, info->uuid), 0);
	check_copy(&o, &c, true);
	collected_release(&c);
	close_img(&o);
}
END_TEST

struct made_case {
	unsigned kib;
	const char *options;
	uint32_t granule, nr_bad;
	bool has_fsck; /* fsck.exfat knows one FAT only */
	unsigned extra_kib;
};

static const struct made_case made_cases[] = {
	{ 3000, "cluster=512", 512, 0, true, 0 },
	{ 3001, "cluster=512 seed=2 gap=3 dirs=40", 512, 0, true, 5 },
	{ 8003, "cluster=4096", 512, 0, true, 0 },
	{ 8000, "cluster=4096 sector=4096", 4096, 0, true, 64 },
	{ 9001, "cluster=1024 sector=1024 files=700 max=2500 dirs=60", 1024, 0, true, 0 },
	{ 20000, "cluster=8192 sector=2048 gap=5", 2048, 0, true, 0 },
	{ 40000, "cluster=65536 seed=3", 512, 0, true, 0 },
	{ 6000, "clusters=1000 seed=4", 512, 0, true, 0 },
	{ 6000, "junk=2 clusters=1003 deleted=60", 512, 0, true, 0 },
	{ 6000, "bad=7", 512, 7, true, 0 },
	{ 6000, "fats=2", 512, 0, false, 0 },
	{ 6000, "fats=2 second=9", 512, 0, false, 0 },
	{ 6000, "fats=2 active=1 second=9 bad=2", 512, 2, false, 3 },
};

#define NR_MADE ((int)(sizeof(made_cases) / sizeof(made_cases[0])))

START_TEST(volumes_with_files)
{
	const struct made_case *t = &made_cases[_i];
	struct opened o;

	make(t->kib, t->options);
	ck_assert_int_eq(run("truncate -s +%uK %s", t->extra_kib, img), 0);
	if (t->has_fsck)
		ck_assert_int_eq(run("fsck.exfat -n %s >%s/fsck 2>&1", img, dir), 0);
	open_img(&o);
	struct collected c = collect(o.v);
	uint32_t nr_used = compare_with_plain(&c, t->nr_bad);
	const struct fsd_info *info = &o.v->info;
	char notice[100] = "";
	if (t->nr_bad)
		snprintf(notice, sizeof(notice), "%u clusters marked bad were left out", t->nr_bad);
	ck_assert_str_eq(info->notice, notice);
	ck_assert_int_eq(info->state, FSD_CLEAN);
	ck_assert_str_eq(info->label, "Volume");
	ck_assert_str_eq(info->uuid, "12AB-34EF");
	ck_assert_uint_ge(info->granule, t->granule);
	struct plain p = plain_read();
	ck_assert_uint_eq(info->used_bytes, (uint64_t)p.heap * p.sector + (uint64_t)nr_used * info->block_size);
	check_copy(&o, &c, t->has_fsck);
	/* What was found is found again. */
	struct collected again = collect(o.v);
	ck_assert_mem_eq(c.used, again.used, c.size / UNIT);
	ck_assert_str_eq(info->notice, notice);
	collected_release(&again);
	collected_release(&c);
	close_img(&o);
}
END_TEST

START_TEST(arm_ranges_are_the_boot_regions)
{
	struct opened o;

	make(6000, "");
	open_img(&o);
	struct collected c = collect(o.v);
	ck_assert_uint_eq(c.nr_arm, 1);
	ck_assert(c.arm[0].start == 0 && c.arm[0].len == 24 * 512);
	collected_release(&c);
	close_img(&o);
	make(8000, "sector=4096");
	open_img(&o);
	c = collect(o.v);
	ck_assert(c.nr_arm == 1 && c.arm[0].start == 0 && c.arm[0].len == 24 * 4096);
	collected_release(&c);
	close_img(&o);
}
END_TEST

static void expect_label(const struct plain *p, const uint8_t *units, unsigned nr, const char *label)
{
	uint8_t en[24] = { 0x83, (uint8_t)nr };
	struct opened o;

	memcpy(en + 2, units, nr > 11 ? 22 : nr * 2);
	poke(img, p->label_entry, en, sizeof(en));
	open_img(&o);
	ck_assert_str_eq(o.v->info.label, label);
	close_img(&o);
}

START_TEST(labels_are_safe_text)
{
	struct opened o;

	make(6000, "label=Größe");
	open_img(&o);
	ck_assert_str_eq(o.v->info.label, "Größe");
	close_img(&o);
	struct plain p = plain_read();
	expect_label(&p, (const uint8_t *)"A\0B\0C\0D\0E\0F\0G\0H\0I\0J\0K\0", 255, "ABCDEFGHIJK");
	expect_label(&p, (const uint8_t *)"\x34\xd8\x1e\xdd", 2, "𝄞");
	expect_label(&p, (const uint8_t *)"\x1e\xddx\0\x34\xd8", 3, "\xef\xbf\xbdx\xef\xbf\xbd");
	expect_label(&p, (const uint8_t *)"\x1b\0[\0" "2\0J\0", 4, "\xef\xbf\xbd[2J");
	expect_label(&p, (const uint8_t *)"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff", 11,
		"\uffff\uffff\uffff\uffff\uffff\uffff\uffff\uffff\uffff\uffff\uffff");
	expect_label(&p, (const uint8_t *)"", 0, "");
	poke(img, p.label_entry, "\3", 1); /* there, but not in use */
	open_img(&o);
	ck_assert_str_eq(o.v->info.label, "");
	close_img(&o);
}
END_TEST

START_TEST(volume_flags)
{
	make(6000, "");
	expect_told(FSD_CLEAN, "", "exFAT, ");
	poke(img, 106, "\2", 1); /* the checksum does not cover it */
	expect_told(FSD_DAMAGED, "dirty", "not unmounted cleanly");
	ck_assert_int_le(run("fsck.exfat -y %s >/dev/null 2>&1", img), 1);
	expect_told(FSD_CLEAN, "", "");
	poke(img, 106, "\4", 1);
	expect_told(FSD_CLEAN, "", "read or write errors");
	poke(img, 106, "\x08", 1); /* ClearToZero means nothing */
	expect_told(FSD_CLEAN, "", "exFAT, ");
	poke(img, 106, "\1", 1);
	expect_failure(ERR_CORRUPT, "active exFAT FAT is number 2 of 1");
	make(6000, "fats=2");
	expect_told(FSD_CLEAN, "", "TexFAT");
}
END_TEST

/* What stands at these places of the main boot region has no part in it but VolumeFlags and PercentInUse. */
START_TEST(damaged_boot_region)
{
	static const struct { uint32_t off; const char *bytes; size_t len; } t[] = {
		{ 0, "\xeb\x3c", 2 }, { 64, "\1", 1 }, { 72, "\1", 1 }, { 80, "\1", 1 }, { 92, "\1\0\0", 3 }, { 96, "\0", 1 },
		{ 105, "\2", 1 }, { 108, "\x0c", 1 }, { 108, "\xff", 1 }, { 109, "\xff", 1 }, { 110, "\3", 1 }, { 200, "x", 1 },
		{ 512, "x", 1 }, { 11 * 512 - 1, "x", 1 }, { 11 * 512, "x", 1 }, { 12 * 512 - 1, "x", 1 },
	};
	uint8_t region[12 * 512];

	make(6000, "");
	peek(img, 0, region, sizeof(region));
	poke(img, 112, "\x63", 1);
	expect_told(FSD_CLEAN, "", "");
	for (size_t i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
		poke(img, t[i].off, t[i].bytes, t[i].len);
		expect_told(FSD_DAMAGED, "errors", "boot region is damaged");
		poke(img, 0, region, sizeof(region));
	}
	poke(img, 92, "\1\0\0", 3);
	ck_assert_int_le(run("fsck.exfat -y %s >/dev/null 2>&1", img), 1);
	expect_told(FSD_CLEAN, "", "");
	/* and the backup, too */
	poke(img, 12 * 512 + 300, "x", 1);
	expect_told(FSD_CLEAN, "", "");
	poke(img, 300, "x", 1);
	expect_failure(ERR_CORRUPT, "checksum of the exFAT boot region");
	poke(img, 0, region, sizeof(region));
	poke(img, 96, "\0\0\0\0", 4);
	expect_failure(ERR_CORRUPT, "root directory begins in cluster 0");
	/* Larger sectors: the backup is elsewhere. */
	make(8000, "sector=4096");
	poke(img, 108, "\x09", 1);
	expect_told(FSD_DAMAGED, "errors", "boot region is damaged");
}
END_TEST

/* Fields that contradict each other, with the right checksum in both regions. */
START_TEST(contradicting_fields)
{
	static const struct { uint32_t off; const char *bytes; size_t len; enum err_code code; const char *words; } t[] = {
		{ 73, "\xff\xff\xff\xff\xff\xff\xff", 7, ERR_CORRUPT, "larger than its partition" },
		{ 73, "\0\0", 2, ERR_CORRUPT, "too few for" },
		{ 80, "\x17", 1, ERR_CORRUPT, "clusters need" },
		{ 81, "\xff\xff\xff", 3, ERR_CORRUPT, "reaches into the clusters" },
		{ 84, "\1\0", 2, ERR_CORRUPT, "clusters need" },
		{ 84, "\xff\xff\xff\xff", 4, ERR_CORRUPT, "reaches into the clusters" },
		{ 88, "\xff\xff\xff\xff", 4, ERR_CORRUPT, "too few for" },
		{ 88, "\x18\0\0\0", 4, ERR_CORRUPT, "reaches into the clusters" },
		{ 92, "\0\0\0\0", 4, ERR_CORRUPT, "with 0 clusters" },
		{ 92, "\xff\xff\xff\xff", 4, ERR_CORRUPT, "with 4294967295 clusters" },
		{ 92, "\xf5\xff\xff\xff", 4, ERR_CORRUPT, "clusters need" },
		{ 96, "\1\0\0\0", 4, ERR_CORRUPT, "root directory begins in cluster 1 of" },
		{ 96, "\xff\xff\xff\xff", 4, ERR_CORRUPT, "root directory begins in cluster" },
		{ 104, "\0\2", 2, ERR_UNSUPPORTED, "revision 2.00" },
		{ 108, "\x08", 1, ERR_CORRUPT, "sectors of 2^8 bytes" },
		{ 108, "\x0d", 1, ERR_CORRUPT, "sectors of 2^13 bytes" },
		{ 109, "\x11", 1, ERR_CORRUPT, "clusters of 2^17 sectors" },
		{ 110, "\0", 1, ERR_CORRUPT, "with 0 FATs" },
		{ 110, "\3", 1, ERR_CORRUPT, "with 3 FATs" },
		{ 110, "\2", 1, ERR_CORRUPT, "reaches into the clusters" },
	};
	uint8_t regions[24 * 512];

	make(6000, "");
	peek(img, 0, regions, sizeof(regions));
	for (size_t i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
		poke(img, t[i].off, t[i].bytes, t[i].len);
		poke(img, 12 * 512 + t[i].off, t[i].bytes, t[i].len);
		if (t[i].off != 108)
			fix_checksum();
		expect_failure(t[i].code, t[i].words);
		poke(img, 0, regions, sizeof(regions));
	}
	ck_assert_int_eq(run("truncate -s -1K %s", img), 0);
	expect_failure(ERR_CORRUPT, "larger than its partition");
}
END_TEST

START_TEST(root_chain)
{
	struct opened o;

	make(3000, "cluster=512");
	struct plain p = plain_read();
	uint32_t second = plain_entry(&p, p.root);
	plain_set(&p, p.root, p.root);
	expect_failure(ERR_CORRUPT, "two entries for the allocation bitmap");
	plain_set(&p, p.root, second);
	uint32_t third = plain_entry(&p, second);
	plain_set(&p, second, second);
	expect_failure(ERR_CORRUPT, "the chain of the root directory does not end");
	plain_set(&p, second, third);
	plain_set(&p, p.root, 1);
	expect_failure(ERR_CORRUPT, "is followed by 0x1");
	plain_set(&p, p.root, 0xfffffff7);
	expect_failure(ERR_CORRUPT, "is followed by 0xfffffff7");
	plain_set(&p, p.root, p.nr + 2);
	expect_failure(ERR_CORRUPT, "is followed by");
	plain_set(&p, p.root, second);
	open_img(&o);
	close_img(&o);
	plain_put_bit(&p, second, false);
	expect_failure(ERR_CORRUPT, "the root directory lies in a free cluster");
}
END_TEST

START_TEST(bitmap_and_upcase_table)
{
	uint8_t b[8], entries[64];

	make(6000, "");
	struct plain p = plain_read();
	/* too short by a byte, too long for the volume, elsewhere, missing, there twice */
	peek(img, p.bitmap_entry, entries, 64);
	put_le64(b, 0, (p.nr + 7) / 8 - 1);
	poke(img, p.bitmap_entry + 24, b, 8);
	expect_failure(ERR_CORRUPT, "the allocation bitmap has");
	put_le64(b, 0, (uint64_t)p.nr * p.cluster + 1);
	poke(img, p.bitmap_entry + 24, b, 8);
	expect_failure(ERR_CORRUPT, "do not fit into");
	memset(b, 0xff, 8);
	poke(img, p.bitmap_entry + 24, b, 8);
	expect_failure(ERR_CORRUPT, "do not fit into");
	put_le64(b, 0, 2 * p.cluster); /* more than its chain */
	poke(img, p.bitmap_entry + 24, b, 8);
	expect_failure(ERR_CORRUPT, "is followed by 0xffffffff");
	poke(img, p.bitmap_entry, entries, 64);
	put_le32(b, 0, 1);
	poke(img, p.bitmap_entry + 20, b, 4);
	expect_failure(ERR_CORRUPT, "no cluster 1");
	poke(img, p.bitmap_entry, entries, 64);
	poke(img, p.bitmap_entry, "\1", 1);
	expect_failure(ERR_CORRUPT, "no allocation bitmap");
	poke(img, p.bitmap_entry, "\x81\1", 2); /* of the second FAT, which there is none of */
	expect_failure(ERR_CORRUPT, "no allocation bitmap");
	poke(img, p.bitmap_entry, entries, 64);
	poke(img, p.upcase_entry, entries, 32);
	expect_failure(ERR_CORRUPT, "two entries for the allocation bitmap");
	poke(img, p.bitmap_entry, entries, 64);
	plain_put_bit(&p, p.bitmap[0], false);
	expect_failure(ERR_CORRUPT, "the allocation bitmap lies in a free cluster (2)");
	plain_put_bit(&p, p.bitmap[0], true);
	plain_put_bit(&p, p.upcase, false);
	expect_failure(ERR_CORRUPT, "the up-case table lies in a free cluster");
	plain_put_bit(&p, p.upcase, true);
	plain_put_bit(&p, p.root, false);
	expect_failure(ERR_CORRUPT, "the root directory lies in a free cluster");

	make(6000, "fats=2 active=1");
	p = plain_read();
	plain_put_bit(&p, p.bitmap[0], false);
	expect_failure(ERR_CORRUPT, "the allocation bitmap lies in a free cluster");
	plain_put_bit(&p, p.bitmap[0], true);
	plain_put_bit(&p, p.bitmap[1], false);
	expect_failure(ERR_CORRUPT, "the second allocation bitmap lies in a free cluster");
}
END_TEST

/* The inactive bitmap and FAT may say anything. */
START_TEST(only_the_active_bitmap_counts)
{
	struct opened o;

	make(6000, "fats=2 active=1");
	struct plain p = plain_read();
	uint32_t n = plain_free(&p, 2);
	p.flags = 0;
	plain_put_bit(&p, n, true);
	plain_put_bit(&p, p.root, false);
	open_img(&o);
	struct collected c = collect(o.v);
	ck_assert(!cluster_used(&p, &c, n) && cluster_used(&p, &c, p.root));
	ck_assert(cluster_used(&p, &c, p.bitmap[0]) && cluster_used(&p, &c, p.bitmap[1]));
	collected_release(&c);
	close_img(&o);
}
END_TEST

/* The first run of clusters in the list of exfat.py that matches: its first cluster and their number. */
static uint32_t place_of(const struct plain *p, const char *pattern, uint32_t *ret_nr)
{
	char path[96];
	unsigned long long start, len;

	snprintf(path, sizeof(path), "%s/place", dir);
	ck_assert_int_eq(run(TOOL " places %s >%s && grep -m 1 -E \"%s\" %s | awk '{ print $(NF - 1), $NF }' >%s.1", img, path, pattern,
				 path, path), 0);
	strcat(path, ".1");
	FILE *f = fopen(path, "r");
	ck_assert(f && fscanf(f, "%llu %llu", &start, &len) == 2);
	fclose(f);
	*ret_nr = (uint32_t)(len / p->cluster);
	return (uint32_t)((start - plain_at(p, 2)) / p->cluster) + 2;
}

START_TEST(files_in_free_clusters)
{
	uint32_t nr;

	make(8003, "");
	struct plain p = plain_read();
	/* the last cluster of a file's first run, the first one of a folder's */
	uint32_t n = place_of(&p, "^f .*/1?1 ", &nr);
	plain_put_bit(&p, n + nr - 1, false);
	char words[64];
	snprintf(words, sizeof(words), "exFAT: its cluster %u is free in the allocation bitmap", n + nr - 1);
	expect_contradiction(words);
	expect_contradiction("'1");
	plain_put_bit(&p, n + nr - 1, true);
	n = place_of(&p, "^d .*folder 7'", &nr);
	plain_put_bit(&p, n, false);
	expect_contradiction("'folder 7': exFAT: its cluster");
	plain_put_bit(&p, n, true);
	struct opened o;
	open_img(&o);
	struct collected c = collect(o.v);
	collected_release(&c);
	close_img(&o);
}
END_TEST

/* A file of one cluster by hand in the root directory, in place of the first one. */
static void put_file(const struct plain *p, uint8_t attributes, uint8_t flags, uint32_t cluster, uint64_t len)
{
	uint8_t b[8];

	poke(img, p->first_file + 4, &attributes, 1);
	poke(img, p->first_file + 32 + 1, &flags, 1);
	put_le32(b, 0, cluster);
	poke(img, p->first_file + 32 + 20, b, 4);
	put_le64(b, 0, len);
	poke(img, p->first_file + 32 + 24, b, 8);
}

START_TEST(broken_files)
{
	struct opened o;

	make(6000, "dirs=0 files=3 deleted=0 max=0");
	struct plain p = plain_read();
	ck_assert_uint_ne(p.first_file, 0);
	uint32_t n = plain_free(&p, p.root), other = n + 1;
	plain_put_bit(&p, n, true);
	plain_put_bit(&p, other, true);
	put_file(&p, 0x20, 3, n, 2 * p.cluster);
	open_img(&o);
	struct collected c = collect(o.v);
	collected_release(&c);
	close_img(&o);
	put_file(&p, 0x20, 3, n, 2 * p.cluster + 1);
	expect_contradiction("is free");
	put_file(&p, 0x20, 3, p.root, p.cluster);
	expect_contradiction("belongs to something else, too");
	put_file(&p, 0x20, 3, 0, 1);
	expect_contradiction("no cluster 0");
	put_file(&p, 0x20, 3, p.nr + 2, 1);
	expect_contradiction("no cluster");
	put_file(&p, 0x20, 3, p.nr + 1, p.cluster + 1);
	expect_contradiction("do not fit into");
	put_file(&p, 0x20, 3, n, UINT64_MAX);
	expect_contradiction("do not fit into");
	put_file(&p, 0x20, 1, n, UINT64_MAX);
	expect_contradiction("do not fit into");
	/* chains: a loop, one that ends early, one that runs into another */
	plain_set(&p, n, other);
	plain_set(&p, other, n);
	put_file(&p, 0x20, 1, n, 3 * p.cluster);
	expect_contradiction("belongs to something else, too");
	plain_set(&p, other, 0xffffffff);
	expect_contradiction("is followed by 0xffffffff");
	plain_set(&p, other, p.upcase);
	expect_contradiction("belongs to something else, too");
	put_file(&p, 0x20, 1, n, 2 * p.cluster);
	open_img(&o);
	c = collect(o.v);
	collected_release(&c);
	close_img(&o);
	/* a directory that holds itself */
	uint8_t set[96];
	put_file(&p, 0x10, 3, n, p.cluster);
	peek(img, p.first_file, set, sizeof(set));
	poke(img, plain_at(&p, n), set, sizeof(set));
	expect_contradiction("belongs to something else, too");
	/* deleted files and empty ones need no clusters */
	poke(img, plain_at(&p, n), "\5", 1);
	poke(img, plain_at(&p, n) + 32, "\x40", 1);
	open_img(&o);
	c = collect(o.v);
	collected_release(&c);
	close_img(&o);
	/* what a vendor adds to a file has clusters, too */
	poke(img, p.first_file + 1, "\3", 1);
	memset(set, 0, 32);
	set[0] = 0xe1;
	set[1] = 3;
	put_le32(set, 20, plain_free(&p, other));
	put_le32(set, 24, 1);
	poke(img, p.first_file + 96, set, 32);
	expect_contradiction("is free");
}
END_TEST

START_TEST(bad_clusters)
{
	struct opened o;

	make(6000, "junk=0");
	struct plain p = plain_read();
	uint32_t nr, n = plain_free(&p, p.root), file = place_of(&p, "^f .*/", &nr);
	plain_put_bit(&p, n, true);
	plain_set(&p, n, 0xfffffff7);
	plain_put_bit(&p, p.nr + 1, true);
	plain_set(&p, p.nr + 1, 0xfffffff7);
	plain_set(&p, plain_free(&p, n), 0xfffffff7); /* means nothing */
	open_img(&o);
	struct collected c = collect(o.v);
	ck_assert(!cluster_used(&p, &c, n) && !cluster_used(&p, &c, p.nr + 1) && cluster_used(&p, &c, file));
	ck_assert_str_eq(o.v->info.notice, "2 clusters marked bad were left out");
	ck_assert_int_eq(o.v->info.state, FSD_CLEAN);
	collected_release(&c);
	close_img(&o);
	/* Where not all clusters are known, a mark may be an old one: nothing is left out. First a lost cluster */
	uint32_t lost = plain_free(&p, n + 1);
	plain_put_bit(&p, lost, true);
	plain_set(&p, lost, 0);
	open_img(&o);
	c = collect(o.v);
	ck_assert(cluster_used(&p, &c, n) && cluster_used(&p, &c, p.nr + 1) && cluster_used(&p, &c, lost));
	ck_assert_str_eq(o.v->info.notice,
		"2 clusters marked bad are copied, too: 1 clusters are marked as used but belong to nothing");
	collected_release(&c);
	close_img(&o);
	/* An entry of no known kind, an entry set whose beginning or end is missing */
	make(6000, "junk=0 dirs=0 files=3 deleted=0 max=0");
	p = plain_read();
	n = plain_free(&p, p.root);
	plain_put_bit(&p, n, true);
	plain_set(&p, n, 0xfffffff7);
	for (unsigned i = 0; i < 3; i++) {
		poke(img, p.first_file + (i == 2 ? 64 : 0), i == 0 ? "\xa5" : i == 1 ? "\x05" : "\x41", 1);
		open_img(&o);
		c = collect(o.v);
		ck_assert(cluster_used(&p, &c, n));
		ck_assert_msg(strstr(o.v->info.notice, "unknown kinds"), "%s", o.v->info.notice);
		collected_release(&c);
		close_img(&o);
		poke(img, p.first_file + (i == 2 ? 64 : 0), i == 2 ? "\xc1" : "\x85", 1);
	}
}
END_TEST

START_TEST(others_are_not_mine)
{
	static const struct { unsigned off; const char *data; size_t len; } t[] = {
		{ 3, "NTFS    ", 8 }, { 3, "EXFAT  X", 8 }, { 11, "\1", 1 }, { 63, "\1", 1 }, { 510, "\0", 1 }, { 511, "\0", 1 },
	};
	uint8_t boot[512];
	struct err e = ERR_INIT;

	make(6000, "");
	peek(img, 0, boot, sizeof(boot));
	for (size_t i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
		poke(img, t[i].off, t[i].data, t[i].len);
		struct blk_source *src = blk_open(img, 0, false, &e);
		ck_assert_msg(fsd_exfat.probe(src, &e) == 0, "change %zu", i);
		blk_close(src);
		/* The backup alone is no reason: it outlives other file systems. */
		expect_failure(ERR_UNSUPPORTED, "is not an exFAT file system");
		poke(img, 0, boot, sizeof(boot));
	}
	ck_assert_int_eq(run("truncate -s 100 %s", img), 0);
	struct blk_source *src = blk_open(img, 0, false, &e);
	ck_assert_int_eq(fsd_exfat.probe(src, &e), 0);
	blk_close(src);
	/* Cut behind the boot sector */
	make(6000, "");
	ck_assert_int_eq(run("truncate -s 700 %s", img), 0);
	expect_failure(ERR_CORRUPT, "larger than its partition");
}
END_TEST

START_TEST(a_second_signature_is_refused)
{
	make(6000, "gap=64");
	poke(img, 32768, "\1CD001\1", 7);
	expect_failure(ERR_UNSUPPORTED, "of another file system");
}
END_TEST

/* What the bitmap says is enough to go on. */
START_TEST(an_unreadable_directory_is_said)
{
	struct err e = ERR_INIT;
	struct fsd_volume *v;
	uint32_t nr;

	make(6000, "bad=1");
	struct plain p = plain_read();
	struct faulty f = faulty_open();
	f.bad[0] = (struct range){ plain_at(&p, place_of(&p, "^d .*folder 7'", &nr)), 512 };
	struct blk_source *src = &f.base;
	struct blk_set set = { &src, 1 };
	ck_assert_msg(fsd_exfat.open(&set, &v, &e) == 0, "%s", e.msg);
	struct collected c = { .size = src->size, .granule = v->info.granule, .used = calloc(src->size / UNIT + 1, 1) };
	ck_assert_int_eq(fsd_exfat.map(v, collect_extent, &c, &e), 0);
	compare_with_plain(&c, 0);
	ck_assert_msg(strstr(v->info.notice, "not all files were held against the allocation bitmap: reading an exFAT directory"), "%s",
		v->info.notice);
	collected_release(&c);
	fsd_exfat.close(v);
	/* Nor is the FAT needed once the bitmap is known: then bad clusters come along. */
	f.bad[0].len = 0;
	ck_assert_msg(fsd_exfat.open(&set, &v, &e) == 0, "%s", e.msg);
	f.bad[0] = (struct range){ (uint64_t)p.fat * p.sector, (uint64_t)p.fat_len * p.sector };
	c = collect(v);
	compare_with_plain(&c, 0);
	ck_assert_msg(strstr(v->info.notice, "bad clusters are not known: reading the exFAT FAT"), "%s", v->info.notice);
	collected_release(&c);
	fsd_exfat.close(v);
	f.bad[0].len = 512;
	/* Without the bitmap there is nothing to go on. */
	f.bad[0].start = plain_at(&p, p.bitmap[0]);
	ck_assert_int_eq(fsd_exfat.open(&set, &v, &e), -1);
	ck_assert_int_eq(e.code, ERR_FAILED);
	ck_assert_msg(strstr(e.msg, "reading the exFAT allocation bitmap"), "%s", e.msg);
	blk_close(f.of);
}
END_TEST

/* Crude damage: the driver answers, and whatever it then calls used lies inside (collect() checks). */
START_TEST(damaged_metadata)
{
	struct opened o;

	ck_assert_int_eq(run("cd %s && rm -f img && cp whole%d img", dir, _i % 2), 0);
	ck_assert_int_eq(run(TOOL " mutate %s %d >%s/damage", img, 1000 + _i, dir), 0);
	if (try_open(&o) == 0) {
		if (fsd_map(o.v, ignore_extent, NULL, &o.e) == 0) {
			struct collected c = collect(o.v);
			collected_release(&c);
		} else {
			ck_assert_int_eq(o.e.code, ERR_CORRUPT);
		}
	} else {
		ck_assert_msg(o.e.code == ERR_CORRUPT || o.e.code == ERR_UNSUPPORTED, "%s", o.e.msg);
	}
	close_img(&o);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("exfat");
	TCase *tc = tcase_create("exfat");

	tcase_add_unchecked_fixture(tc, setup, teardown);
	tcase_add_checked_fixture(tc, fresh, NULL);
	tcase_set_timeout(tc, 120);
	tcase_add_loop_test(tc, mkfs_volumes, 0, NR_MKFS);
	tcase_add_loop_test(tc, volumes_with_files, 0, NR_MADE);
	tcase_add_test(tc, arm_ranges_are_the_boot_regions);
	tcase_add_test(tc, labels_are_safe_text);
	tcase_add_test(tc, volume_flags);
	tcase_add_test(tc, damaged_boot_region);
	tcase_add_test(tc, contradicting_fields);
	tcase_add_test(tc, root_chain);
	tcase_add_test(tc, bitmap_and_upcase_table);
	tcase_add_test(tc, only_the_active_bitmap_counts);
	tcase_add_test(tc, files_in_free_clusters);
	tcase_add_test(tc, broken_files);
	tcase_add_test(tc, bad_clusters);
	tcase_add_test(tc, others_are_not_mine);
	tcase_add_test(tc, a_second_signature_is_refused);
	tcase_add_test(tc, an_unreadable_directory_is_said);
	tcase_add_loop_test(tc, damaged_metadata, 0, 60);
	suite_add_tcase(s, tc);
	SRunner *r = srunner_create(s);
	srunner_run_all(r, CK_ENV);
	int failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
