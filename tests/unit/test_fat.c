/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The FAT driver against mkfs.fat, fsck.fat, mtools, and a decoder of its own. */
#include "base/arith.h"
#include "base/span.h"

#define DRIVER fsd_fat
#include "tests/unit/driver_volume.h"

static void setup(void)
{
	make_folder();
	setenv("MTOOLS_SKIP_CHECK", "1", 1);
}

static int probe_img(void)
{
	struct err e = ERR_INIT;
	struct blk_source *src = blk_open(img, 0, false, &e);
	int r = fsd_fat.probe(src, &e);

	blk_close(src);
	return r;
}

static void mkfs(unsigned kib, const char *options)
{
	ck_assert_int_eq(run("rm -f %s && truncate -s %uK %s && mkfs.fat %s %s >/dev/null 2>&1", img, kib, img, options, img), 0);
}

struct fat_case {
	const char *options;
	unsigned kib, bits;
	uint32_t granule;
	unsigned extra_kib; /* the partition goes on behind the file system */
};

static const struct fat_case cases[] = {
	{ "-F 12 -s 1 -f 1", 1440, 12, 512, 0 },
	{ "-F 12 -s 8 -R 3", 8000, 12, 4096, 0 },
	{ "-F 12 -S 4096 -s 1", 3000, 12, 4096, 0 },
	{ "-F 16 -s 1 -a -r 208", 3001, 16, 512, 0 },
	{ "-F 16 -s 4 -R 5 -f 1 -a", 20001, 16, 1024, 7 },
	{ "-F 16 -S 4096 -s 1", 20480, 16, 4096, 64 },
	{ "-F 16 -s 8 -M 0xf0", 18432, 16, 4096, 0 },
	{ "-F 32 -s 1", 36001, 32, 512, 0 },
	{ "-F 32 -s 2 -f 1", 70000, 32, 1024, 1024 },
	/* Fewer than 65525 clusters: mtools takes these as FAT16 */
	{ "-F 32 -s 1 -R 17 -b 12 -a -f 1", 4096, 32, 512, 0 },
	{ "-F 32 -s 8", 32768, 32, 4096, 128 },
	{ "-F 32 -S 4096 -s 2", 20000, 32, 4096, 0 },
	{ "-F 32 -s 128", 66000, 32, 4096, 0 },
};

#define NR_CASES ((int)(sizeof(cases) / sizeof(cases[0])))

/* A decoder that shares nothing with the driver. */
struct plain {
	uint32_t sector, per_cluster, reserved, fats, fat_len, total, data, nr;
};

static struct plain plain_read(void)
{
	uint8_t b[512];
	struct plain p;

	peek(img, 0, b, sizeof(b));
	p.sector = b[11] + b[12] * 256U;
	p.per_cluster = b[13];
	p.reserved = b[14] + b[15] * 256U;
	p.fats = b[16];
	p.total = b[19] + b[20] * 256U ? b[19] + b[20] * 256U : get_le32(b + 32);
	p.fat_len = b[22] + b[23] * 256U ? b[22] + b[23] * 256U : get_le32(b + 36);
	p.data = p.reserved + p.fats * p.fat_len + ((b[17] + b[18] * 256U) * 32 + p.sector - 1) / p.sector;
	p.nr = (p.total - p.data) / p.per_cluster;
	return p;
}

static uint32_t plain_entry(const struct plain *p, unsigned bits, unsigned copy, uint32_t n)
{
	uint64_t base = (uint64_t)(p->reserved + copy * p->fat_len) * p->sector;
	uint8_t b[4] = { 0 };

	peek(img, base + (uint64_t)n * bits / 8, b, bits == 12 ? 2 : bits / 8);
	uint32_t v = get_le32(b);
	return bits == 32 ? v & 0xfffffff : bits == 16 ? v : n & 1 ? v >> 4 : v & 0xfff;
}

static void plain_set(const struct plain *p, unsigned bits, unsigned copy, uint32_t n, uint32_t value)
{
	uint64_t base = (uint64_t)(p->reserved + copy * p->fat_len) * p->sector + (uint64_t)n * bits / 8;
	uint8_t b[4] = { 0 };

	peek(img, base, b, bits == 12 ? 2 : bits / 8);
	if (bits == 12) {
		uint32_t old = get_le32(b);
		put_le32(b, 0, n & 1 ? (old & 0xf) | value << 4 : (old & 0xf000) | value);
	} else {
		put_le32(b, 0, value);
	}
	poke(img, base, b, bits == 12 ? 2 : bits / 8);
}

/* One file of some clusters in two pieces, written by hand into a FAT32 root. */
static void plain_file(const struct plain *p)
{
	static const uint32_t chain[] = { 2, 40, 41, 42, 60, 61 };
	uint8_t d[32] = "BYHAND  TXT\x20";

	for (size_t i = 1; i < 6; i++) {
		for (unsigned c = 0; c < p->fats; c++)
			plain_set(p, 32, c, chain[i], i == 5 ? 0x0fffffff : chain[i + 1]);
	}
	put_le16(d, 24, 0x5021);
	put_le16(d, 26, 40);
	put_le32(d, 28, 5 * p->per_cluster * p->sector);
	poke(img, (uint64_t)p->data * p->sector, d, sizeof(d));
}

/* Some hundred files of several sizes, a third of them deleted again, the holes filled with bigger ones. */
static void populate(void)
{
	ck_assert_int_eq(run("set -e; cd %s; rm -rf tree; mkdir -p tree/one/two tree/three; i=0\n"
			     "while [ $i -lt 240 ]; do\n"
			     "  case $((i %% 3)) in 0) d=one;; 1) d=one/two;; *) d=three;; esac\n"
			     "  echo $i-content > tree/$d/f$i; i=$((i + 1)); done\n"
			     "head -c 70000 /dev/urandom > tree/big; head -c 30001 /dev/urandom > tree/one/mid\n"
			     "mcopy -s -i %s tree/* ::", dir, img), 0);
	ck_assert_int_eq(run("mdel -i %s ::three/f*2 ::one/f*3 ::one/two/f*4", img), 0);
	ck_assert_int_eq(run("head -c 21000 /dev/urandom > %s/later && mcopy -i %s %s/later ::three/later", dir, img, dir), 0);
}

static bool unit_used(const struct collected *c, uint64_t off)
{
	return c->used[off / UNIT];
}

/* Every cluster, and everything around the clusters, must be as the plain decoder has it. */
static uint32_t compare_with_plain(const struct fat_case *t, const struct collected *c)
{
	struct plain p = plain_read();
	uint32_t nr_used = 0;
	uint64_t data = (uint64_t)p.data * p.sector, cluster = (uint64_t)p.per_cluster * p.sector;

	for (uint64_t off = 0; off < data; off += UNIT)
		ck_assert(unit_used(c, off));
	for (uint32_t n = 0; n < p.nr; n++) {
		bool used = plain_entry(&p, t->bits, 0, n + 2) != 0;
		nr_used += used;
		for (uint64_t off = 0; off < cluster; off += UNIT)
			ck_assert_msg(unit_used(c, data + n * cluster + off) == used, "cluster %u", n + 2);
	}
	for (uint64_t off = data + p.nr * cluster; off < (uint64_t)p.total * p.sector; off += UNIT)
		ck_assert(!unit_used(c, off));
	for (uint64_t off = (uint64_t)p.total * p.sector; off < c->size; off += UNIT)
		ck_assert(unit_used(c, off));
	return nr_used;
}

START_TEST(copy_passes_fsck)
{
	const struct fat_case *t = &cases[_i];
	struct opened o;
	char word[32];

	mkfs(t->kib, t->options);
	struct plain p = plain_read();
	bool has_mtools = t->bits != 32 || p.nr >= 65525;
	if (has_mtools)
		populate();
	else
		plain_file(&p);
	ck_assert_int_eq(run("truncate -s +%uK %s", t->extra_kib, img), 0);
	/* It counts the free clusters and compares with FSInfo, which a file made by hand does not touch: 1 */
	ck_assert_int_eq(run("fsck.fat -n %s > %s/fsck 2>&1", img, dir), has_mtools ? 0 : 1);
	open_img(&o);
	struct collected c = collect(o.v);
	uint32_t nr_used = compare_with_plain(t, &c);
	const struct fsd_info *info = &o.v->info;
	ck_assert_str_eq(info->type, "vfat");
	ck_assert_int_eq(info->state, FSD_CLEAN);
	ck_assert_str_eq(info->notice, "");
	snprintf(word, sizeof(word), "FAT%u,", t->bits);
	ck_assert_msg(strncmp(info->detail, word, strlen(word)) == 0, "%s", info->detail);
	ck_assert_uint_eq(info->granule, t->granule);
	ck_assert_uint_eq(info->size, (uint64_t)p.total * p.sector);
	ck_assert_uint_eq(info->sector_size, p.sector);
	ck_assert_uint_eq(info->block_size, p.per_cluster * p.sector);
	ck_assert_uint_eq(info->used_bytes, (uint64_t)p.data * p.sector + (uint64_t)nr_used * info->block_size);
	/* fsck.fat ends with "img: 242 files, 500/2847 clusters" */
	ck_assert_int_eq(run("grep -q 'files, %u/%u clusters' %s/fsck", nr_used, p.nr, dir), 0);

	char copy[96];
	snprintf(copy, sizeof(copy), "%s/copy", dir);
	copy_used(o.v, &c, copy);
	ck_assert_int_eq(run("cd %s; fsck.fat -n copy > fsck.copy 2>&1; sed -i 's/^copy:/img:/' fsck.copy; "
			     "sed -i 's|^%s:|img:|' fsck; cmp fsck fsck.copy", dir, img), 0);
	if (has_mtools)
		ck_assert_int_eq(run("cd %s; rm -rf a b; mkdir a b; mcopy -Q -s -n -i img '::*' a && mcopy -Q -s -n -i copy '::*' b && diff -r a b && "
				     "[ $(find a -type f | wc -l) -gt 150 ]", dir), 0);
	collected_release(&c);
	close_img(&o);
}
END_TEST

START_TEST(arm_ranges_are_the_boot_sectors)
{
	struct opened o;

	mkfs(8192, "-F 16 -s 1");
	open_img(&o);
	struct collected c = collect(o.v);
	ck_assert_uint_eq(c.nr_arm, 1);
	ck_assert(c.arm[0].start == 0 && c.arm[0].len == 512);
	collected_release(&c);
	close_img(&o);

	mkfs(8192, "-F 32 -s 1 -b 9");
	open_img(&o);
	c = collect(o.v);
	ck_assert_uint_eq(c.nr_arm, 2);
	ck_assert(c.arm[1].start == 9 * 512 && c.arm[1].len == 512);
	collected_release(&c);
	/* Sectors of the device that are larger than those of the file system */
	o.src->sector_size = 4096;
	c = collect(o.v);
	ck_assert_uint_eq(c.nr_arm, 2);
	ck_assert(c.arm[0].start == 0 && c.arm[0].len == 4096 && c.arm[1].start == 4096 && c.arm[1].len == 4096);
	collected_release(&c);
	close_img(&o);
}
END_TEST

START_TEST(names_are_read)
{
	struct opened o;

	for (unsigned bits = 12; bits <= 32; bits += bits == 12 ? 4 : 16) {
		char options[64];
		snprintf(options, sizeof(options), "-F %u -s 1 -i 12ab34ef -n BOOT", bits);
		mkfs(bits == 12 ? 1440 : bits == 16 ? 8192 : 40000, options);
		open_img(&o);
		ck_assert_str_eq(o.v->info.uuid, "12AB-34EF");
		ck_assert_str_eq(o.v->info.label, "BOOT");
		close_img(&o);
		/* The entry in the root directory wins; mlabel changes both, so the boot sector is put back. */
		uint8_t boot[512];
		peek(img, 0, boot, sizeof(boot));
		ck_assert_int_eq(run("mlabel -i %s '::other one'", img), 0);
		poke(img, 0, boot, sizeof(boot));
		open_img(&o);
		ck_assert_str_eq(o.v->info.label, "OTHER ONE");
		close_img(&o);
		struct plain p = plain_read();
		uint64_t root = (uint64_t)(p.reserved + p.fats * p.fat_len) * p.sector;
		poke(img, root, "\x05" "AB\x80 C", 6);
		open_img(&o);
		ck_assert_str_eq(o.v->info.label, "?AB? CONE");
		close_img(&o);
		poke(img, root, "\xe5", 1);
		open_img(&o);
		ck_assert_str_eq(o.v->info.label, "BOOT");
		close_img(&o);
	}
	mkfs(1440, "-F 12");
	open_img(&o);
	ck_assert_str_eq(o.v->info.label, "");
	close_img(&o);
}
END_TEST

/* A FAT32 root of several clusters whose label is in the third; then a root whose chain is a loop. */
START_TEST(label_is_found_along_the_chain)
{
	struct opened o;
	uint8_t entries[512];

	mkfs(40000, "-F 32 -s 1");
	struct plain p = plain_read();
	memset(entries, 0xe5, sizeof(entries));
	for (unsigned n = 2; n < 5; n++)
		poke(img, (uint64_t)(p.data + n - 2) * 512, entries, sizeof(entries));
	poke(img, (uint64_t)(p.data + 2) * 512 + 64, "THIRD      \x08", 12);
	memset(entries, 0, 32);
	poke(img, (uint64_t)(p.data + 2) * 512 + 64 + 12, entries, 20);
	for (unsigned c = 0; c < 2; c++) {
		plain_set(&p, 32, c, 2, 3);
		plain_set(&p, 32, c, 3, 4);
		plain_set(&p, 32, c, 4, 0x0fffffff);
	}
	open_img(&o);
	ck_assert_str_eq(o.v->info.label, "THIRD");
	close_img(&o);
	plain_set(&p, 32, 0, 3, 2);
	open_img(&o);
	ck_assert_str_eq(o.v->info.label, "");
	close_img(&o);
}
END_TEST

static void expect_state(enum fsd_state state, const char *reason)
{
	struct opened o;

	open_img(&o);
	ck_assert_int_eq(o.v->info.state, state);
	ck_assert_str_eq(o.v->info.reason, reason);
	ck_assert_int_eq(o.v->info.advice[0] != 0, state != FSD_CLEAN);
	close_img(&o);
}

START_TEST(dirty_marks)
{
	static const struct { unsigned bits, kib, state_off; uint32_t clean, dirty, errors; } t[] = {
		{ 16, 8192, 0x25, 0xffff, 0x7fff, 0xbfff },
		{ 32, 40000, 0x41, 0x0fffffff, 0x07ffffff, 0x0bffffff },
	};

	for (size_t i = 0; i < 2; i++) {
		char options[32];
		snprintf(options, sizeof(options), "-F %u -s 1", t[i].bits);
		mkfs(t[i].kib, options);
		struct plain p = plain_read();
		expect_state(FSD_CLEAN, "");
		plain_set(&p, t[i].bits, 0, 1, t[i].dirty);
		plain_set(&p, t[i].bits, 1, 1, t[i].dirty);
		expect_state(FSD_DAMAGED, "dirty");
		plain_set(&p, t[i].bits, 0, 1, t[i].errors);
		expect_state(FSD_DAMAGED, "errors");
		plain_set(&p, t[i].bits, 0, 1, t[i].clean);
		poke(img, t[i].state_off, "\1", 1);
		expect_state(FSD_DAMAGED, "dirty");
		poke(img, t[i].state_off, "\2", 1);
		expect_state(FSD_DAMAGED, "errors");
		/* What fsck.fat repairs is clean for the driver too. */
		plain_set(&p, t[i].bits, 0, 1, t[i].dirty);
		plain_set(&p, t[i].bits, 1, 1, t[i].dirty);
		poke(img, t[i].state_off, "\1", 1);
		ck_assert_int_le(run("fsck.fat -a %s >/dev/null 2>&1", img), 1);
		expect_state(FSD_CLEAN, "");
	}
	/* FAT12 has no such bits in its table, only the byte. */
	mkfs(1440, "-F 12");
	struct plain p = plain_read();
	plain_set(&p, 12, 0, 1, 0x3ff);
	plain_set(&p, 12, 1, 1, 0x3ff);
	expect_state(FSD_CLEAN, "");
	poke(img, 0x25, "\1", 1);
	expect_state(FSD_DAMAGED, "dirty");
	/* An old boot sector without the extended fields has code there. */
	poke(img, 0x26, "\0", 1);
	expect_state(FSD_CLEAN, "");
}
END_TEST

static bool cluster_used(const struct plain *p, const struct collected *c, uint32_t n)
{
	return unit_used(c, ((uint64_t)p->data + (uint64_t)(n - 2) * p->per_cluster) * p->sector);
}

START_TEST(bad_clusters_are_left_out)
{
	static const struct { unsigned bits, kib; uint32_t bad; } t[] = {
		{ 12, 1440, 0xff7 }, { 16, 8192, 0xfff7 }, { 32, 40000, 0xaffffff7 },
	};
	struct opened o;

	for (size_t i = 0; i < 3; i++) {
		char options[32];
		snprintf(options, sizeof(options), "-F %u -s 1", t[i].bits);
		mkfs(t[i].kib, options);
		struct plain p = plain_read();
		for (unsigned c = 0; c < 2; c++) {
			plain_set(&p, t[i].bits, c, 20, t[i].bad);
			plain_set(&p, t[i].bits, c, 21, t[i].bad - 1); /* reserved: taken as used */
			plain_set(&p, t[i].bits, c, 22, t[i].bad + 1); /* end of a chain */
			plain_set(&p, t[i].bits, c, p.nr + 1, t[i].bad);
		}
		open_img(&o);
		struct collected c = collect(o.v);
		ck_assert(!cluster_used(&p, &c, 19) && !cluster_used(&p, &c, 20) && !cluster_used(&p, &c, p.nr + 1));
		ck_assert(cluster_used(&p, &c, 21) && cluster_used(&p, &c, 22));
		ck_assert_str_eq(o.v->info.notice, "2 clusters marked bad were left out");
		ck_assert_int_eq(o.v->info.state, FSD_CLEAN);
		collected_release(&c);
		close_img(&o);
	}
}
END_TEST

START_TEST(reserved_bits_do_not_count)
{
	struct opened o;

	mkfs(40000, "-F 32 -s 1");
	struct plain p = plain_read();
	for (unsigned c = 0; c < 2; c++)
		plain_set(&p, 32, c, 30, 0xf0000000);
	open_img(&o);
	struct collected c = collect(o.v);
	ck_assert(!cluster_used(&p, &c, 30));
	ck_assert_str_eq(o.v->info.notice, "");
	collected_release(&c);
	close_img(&o);
}
END_TEST

START_TEST(what_either_copy_uses_is_used)
{
	struct opened o;

	mkfs(8192, "-F 16 -s 1");
	struct plain p = plain_read();
	plain_set(&p, 16, 0, 100, 0xffff);
	plain_set(&p, 16, 1, 200, 0xffff);
	plain_set(&p, 16, 0, 300, 0xfff7); /* bad here, used there */
	plain_set(&p, 16, 1, 300, 0xffff);
	plain_set(&p, 16, 1, 400, 0xfff7); /* bad here, free there */
	open_img(&o);
	struct collected c = collect(o.v);
	ck_assert(cluster_used(&p, &c, 100) && cluster_used(&p, &c, 200) && cluster_used(&p, &c, 300));
	ck_assert(!cluster_used(&p, &c, 400));
	ck_assert_str_eq(o.v->info.notice,
		"1 clusters marked bad were left out; the copies of the FAT differ in 4 entries: what either uses is copied");
	collected_release(&c);
	close_img(&o);
}
END_TEST

START_TEST(only_the_active_copy_counts)
{
	struct opened o;

	mkfs(40000, "-F 32 -s 1");
	struct plain p = plain_read();
	plain_set(&p, 32, 0, 100, 0x0fffffff);
	plain_set(&p, 32, 1, 200, 0x0fffffff);
	poke(img, 40, "\x81", 1); /* no mirroring, the second is active */
	open_img(&o);
	struct collected c = collect(o.v);
	ck_assert(!cluster_used(&p, &c, 100) && cluster_used(&p, &c, 200));
	ck_assert_str_eq(o.v->info.notice, "");
	collected_release(&c);
	close_img(&o);
	poke(img, 40, "\x82", 1);
	expect_failure(ERR_CORRUPT, "active FAT is number 3 of 2");
}
END_TEST

START_TEST(contradictions_are_corrupt)
{
	uint8_t b[4];

	mkfs(8192, "-F 16 -s 1");
	struct plain p = plain_read();
	put_le16(b, 0, (uint16_t)(p.fat_len - 1)); /* moves the data, too: one sector more has 256 entries less */
	poke(img, 22, b, 2);
	expect_failure(ERR_CORRUPT, "clusters need");

	mkfs(8192, "-F 16 -s 1");
	ck_assert_int_eq(run("truncate -s 8191K %s", img), 0);
	expect_failure(ERR_CORRUPT, "larger than its partition");

	mkfs(8192, "-F 16 -s 1");
	poke(img, 22, "\xff\xff", 2);
	expect_failure(ERR_CORRUPT, "no room for data");

	mkfs(8192, "-F 16 -s 1");
	memset(b, 0, sizeof(b));
	poke(img, (uint64_t)p.reserved * p.sector, b, 4);
	expect_failure(ERR_CORRUPT, "no FAT behind the boot sector");

	mkfs(40000, "-F 32 -s 1");
	p = plain_read();
	plain_set(&p, 32, 0, 2, 0);
	plain_set(&p, 32, 1, 2, 0);
	expect_failure(ERR_CORRUPT, "root directory lies in a free cluster");
	put_le32(b, 0, p.nr + 2);
	poke(img, 44, b, 4);
	expect_failure(ERR_CORRUPT, "root directory begins in cluster");
	poke(img, 42, "\1", 1);
	expect_failure(ERR_UNSUPPORTED, "version 0.1");
}
END_TEST

/* FAT32 with 64 KiB of reserved sectors and an ISO 9660 descriptor in them. */
START_TEST(a_second_signature_is_refused)
{
	struct opened o;

	mkfs(40000, "-F 32 -s 1 -R 128");
	open_img(&o);
	close_img(&o);
	poke(img, 32768, "\1CD001\1", 7);
	expect_failure(ERR_UNSUPPORTED, "of another file system");
}
END_TEST

START_TEST(others_are_not_mine)
{
	uint8_t b[512] = { 0 };
	static const uint8_t togo[16] = { 0x3b, 0xd6, 0x67, 0x49, 0x29, 0x2e, 0xd8, 0x4a, 0x83, 0x99, 0xf6, 0xa3, 0x39, 0xe3, 0xd0, 1 };
	static const uint8_t part[16] = { 0x80, 1, 1, 0, 0x83, 1, 1, 0, 0, 8, 0, 0, 0, 8, 0, 0 };
	static const struct { unsigned off; const void *data; size_t len; } t[] = {
		{ 3, "NTFS    ", 8 }, { 3, "EXFAT   ", 8 }, { 3, "-FVE-FS-", 8 }, { 424, togo, 16 }, { 0x36, "HPFS    ", 8 },
		{ 0x36, "JFS     ", 8 }, { 446, part, 16 }, { 510, "\0\0", 2 }, { 11, "\0\1", 2 }, { 11, "\1\2", 2 }, { 11, "\0\x20", 2 },
		{ 13, "\0", 1 }, { 13, "\3", 1 }, { 14, "\0\0", 2 }, { 16, "\0", 1 }, { 16, "\5", 1 }, { 21, "\xf1", 1 },
	};

	mkfs(40000, "-F 32 -s 1");
	ck_assert_int_eq(probe_img(), 1);
	peek(img, 0, b, sizeof(b));
	for (size_t i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
		poke(img, t[i].off, t[i].data, t[i].len);
		ck_assert_msg(probe_img() == 0, "change %zu", i);
		poke(img, 0, b, sizeof(b));
	}
	/* What grub-install writes to a disk that was one FAT before: its code, the old parameter block, partitions */
	memset(b + 0x5a, 0x90, 446 - 0x5a);
	memcpy(b, "\xeb\x63\x90", 3);
	memcpy(b + 462, part, 16);
	poke(img, 0, b, sizeof(b));
	ck_assert_int_eq(probe_img(), 0);
	/* Text where an MBR has partitions is a boot sector's message. */
	memset(b + 446, 'x', 64);
	poke(img, 0, b, sizeof(b));
	ck_assert_int_eq(probe_img(), 1);
	ck_assert_int_eq(run("truncate -s 511 %s", img), 0);
	ck_assert_int_eq(probe_img(), 0);
	ck_assert_int_eq(run("truncate -s 0 %s", img), 0);
	ck_assert_int_eq(probe_img(), 0);
}
END_TEST

START_TEST(one_readable_copy_is_enough)
{
	struct err e = ERR_INIT;
	struct fsd_volume *v;

	mkfs(8192, "-F 16 -s 1");
	struct plain p = plain_read();
	plain_set(&p, 16, 1, 100, 0xffff);
	struct faulty f = faulty_open();
	f.bad[0] = (struct range){ (uint64_t)(p.reserved + 3) * 512, 512 };
	struct blk_source *src = &f.base;
	struct blk_set set = { &src, 1 };
	ck_assert_msg(fsd_fat.open(&set, &v, &e) == 0, "%s", e.msg);
	ck_assert_str_eq(v->info.notice, "one copy of the FAT is partly unreadable");
	struct collected c = collect(v);
	ck_assert(cluster_used(&p, &c, 100) && !cluster_used(&p, &c, 101));
	collected_release(&c);
	fsd_fat.close(v);
	f.bad[1] = (struct range){ (uint64_t)(p.reserved + p.fat_len) * 512, 512 };
	ck_assert_int_eq(fsd_fat.open(&set, &v, &e), -1);
	ck_assert_int_eq(e.code, ERR_FAILED);
	ck_assert_msg(strstr(e.msg, "reading the FAT"), "%s", e.msg);
	blk_close(f.of);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("fat");
	TCase *tc = tcase_create("fat");

	tcase_add_unchecked_fixture(tc, setup, teardown);
	tcase_add_checked_fixture(tc, fresh, NULL);
	tcase_set_timeout(tc, 60);
	tcase_add_loop_test(tc, copy_passes_fsck, 0, NR_CASES);
	tcase_add_test(tc, arm_ranges_are_the_boot_sectors);
	tcase_add_test(tc, names_are_read);
	tcase_add_test(tc, label_is_found_along_the_chain);
	tcase_add_test(tc, dirty_marks);
	tcase_add_test(tc, bad_clusters_are_left_out);
	tcase_add_test(tc, reserved_bits_do_not_count);
	tcase_add_test(tc, what_either_copy_uses_is_used);
	tcase_add_test(tc, only_the_active_copy_counts);
	tcase_add_test(tc, contradictions_are_corrupt);
	tcase_add_test(tc, a_second_signature_is_refused);
	tcase_add_test(tc, others_are_not_mine);
	tcase_add_test(tc, one_readable_copy_is_enough);
	suite_add_tcase(s, tc);
	SRunner *r = srunner_create(s);
	srunner_run_all(r, CK_ENV);
	int failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
