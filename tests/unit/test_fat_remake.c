/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * A FAT file system made anew for other sectors: fsck.fat has nothing to say, mtools finds every file, and what stays does. Volumes are
 * made by mkfs.fat and filled by mtools.
 */
#include "base/arith.h"
#include "base/span.h"
#include "fsdrivers/fat/remake.h"

#define DRIVER fsd_fat
#include "tests/unit/driver_volume.h"

static void setup(void)
{
	make_folder();
	setenv("MTOOLS_SKIP_CHECK", "1", 1);
	setenv("TZ", "UTC", 1);
}

static void mkfs(unsigned kib, const char *options)
{
	ck_assert_int_eq(run("cd %s; rm -rf * && truncate -s %uK img && mkfs.fat -i 1234ABCD -n 'MY LABEL' %s img >log 2>&1 || { cat log >&2; false; }", dir, kib, options), 0);
}

/* Long names, deep directories, one with several clusters, fragments, empty files, attributes, times. */
static void populate(unsigned kib)
{
	ck_assert_int_eq(run("set -e; cd %s; rm -rf tree; mkdir -p tree/EFI/BOOT tree/many tree/d1/d2/d3/d4/d5/d6/d7/d8 tree/empty\n"
			     "i=0; while [ $i -lt 150 ]; do echo $i > \"tree/many/a rather long name, number $i.txt\"; i=$((i + 1)); done\n"
			     "head -c %u /dev/urandom > tree/EFI/BOOT/BOOTX64.EFI; head -c 30001 /dev/urandom > tree/d1/d2/d3/d4/d5/d6/d7/d8/deep\n"
			     ": > tree/nothing; head -c 4096 /dev/urandom > tree/one; head -c 4097 /dev/urandom > tree/more\n"
			     "printf x > 'tree/d1/\303\244\303\266 \342\202\254'\n"
			     "touch -d 2001-02-03T04:05:06 tree/one; mcopy -m -s -i img tree/* ::", dir, kib * 40), 0);
	/* Holes, and a file over them. */
	ck_assert_int_eq(run("set -e; cd %s; mdel -i img '::many/*number 1*' '::many/*number 3*'; head -c 65536 /dev/urandom > later; mcopy -i img later ::many/later\n"
			     "mattrib -i img +r +h +s ::one; mdeltree -i img ::empty; mmd -i img ::empty2", dir), 0);
}

/* Content of img through the re-make, into "new"; false when it is refused. */
static bool remake(uint32_t sector, struct err *e)
{
	AUTO(blk_source) struct blk_source *src = blk_open(img, 0, false, e);
	struct blk_source *r = fat_remake(src, sector, e);
	char path[96];

	if (!r)
		return false;
	snprintf(path, sizeof(path), "%s/new", dir);
	AUTO_FREE uint8_t *buf = malloc((size_t)r->size), *odd = malloc(70001);
	ck_assert_msg(blk_read(r, 0, buf, (size_t)r->size, e) == 0, "%s", e->msg);
	/* Read in pieces that fit nothing, it is the same. */
	for (uint64_t off = 0, step = 1; off < r->size; off += step, step = (step * 7 + 13) % 70000 + 1) {
		size_t n = (size_t)min_u64(step, r->size - off);
		ck_assert_int_eq(blk_read(r, off, odd, n, e), 0);
		ck_assert_mem_eq(odd, buf + off, n);
	}
	AUTO_CLOSE_FD int fd = open(path, O_CREAT | O_TRUNC | O_WRONLY | O_CLOEXEC, 0600);
	ck_assert_int_eq(write(fd, buf, (size_t)r->size), (ssize_t)r->size);
	blk_close(r);
	return true;
}

/* Every name with its short name, size, attributes and times, and every content. */
static void compare_files(void)
{
	ck_assert_int_eq(run("set -e; cd %s; for f in img new; do\n"
			     "  mdir -a -/ -i $f :: | grep -v 'bytes free\\|^ *[0-9]* files* *[0-9 ]* bytes\\|^Total' > $f.dir; mattrib -/ -i $f :: > $f.attr\n"
			     "  rm -rf $f.files; mkdir $f.files; mcopy -Q -m -s -n -i $f '::*' $f.files; find $f.files -type f -printf '%%P %%s %%TY-%%Tm-%%Td %%TH:%%TM:%%TS\\n' | sort > $f.find\n"
			     "done; diff -r img.files new.files && cmp img.dir new.dir && cmp img.attr new.attr && cmp img.find new.find", dir), 0);
}

static void fsck_new(void)
{
	ck_assert_int_eq(run("fsck.fat -n %s/new > %s/fsck 2>&1 || { cat %s/fsck >&2; false; }", dir, dir, dir), 0);
	ck_assert_int_eq(run("[ $(wc -l < %s/fsck) -eq 2 ] || { cat %s/fsck >&2; false; }", dir, dir), 0); /* the version, and the count */
}

struct plain {
	uint32_t sector, per_cluster, reserved, fats, root, fat_len, total, nr, bits, serial;
	uint8_t media, label[11];
};

static struct plain plain_read(const char *name)
{
	char path[96];
	uint8_t b[512];
	struct plain p;

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	peek(path, 0, b, sizeof(b));
	p = (struct plain){ .sector = get_le16(b + 11), .per_cluster = b[13], .reserved = get_le16(b + 14), .fats = b[16], .root = get_le16(b + 17),
		.total = get_le16(b + 19) ? get_le16(b + 19) : get_le32(b + 32), .media = b[21] };
	p.fat_len = get_le16(b + 22) ? get_le16(b + 22) : get_le32(b + 36);
	p.nr = (p.total - p.reserved - p.fats * p.fat_len - p.root * 32 / p.sector) / p.per_cluster;
	p.bits = !get_le16(b + 22) ? 32 : p.nr < 4085 ? 12 : 16;
	p.serial = get_le32(b + (p.bits == 32 ? 67 : 39));
	memcpy(p.label, b + (p.bits == 32 ? 71 : 43), 11);
	return p;
}

static void compare_boot_sectors(uint32_t sector)
{
	struct plain a = plain_read("img"), b = plain_read("new");

	ck_assert_uint_eq(b.sector, sector);
	ck_assert_uint_eq(a.bits, b.bits);
	ck_assert_uint_eq(a.serial, b.serial);
	ck_assert_uint_eq(a.serial, 0x1234ABCD);
	ck_assert_uint_eq(a.fats, b.fats);
	ck_assert_uint_eq(a.media, b.media);
	ck_assert_mem_eq(a.label, b.label, 11);
	ck_assert_uint_le((uint64_t)b.total * b.sector, (uint64_t)a.total * a.sector);
	ck_assert_uint_ge(b.per_cluster * b.sector, sector);
	if (b.bits != 32)
		ck_assert_uint_eq(b.root * 32 % sector, 0);
}

struct remake_case {
	unsigned kib;
	const char *options;
	uint32_t to, cluster; /* bytes; 0: as it was */
};

static const struct remake_case cases[] = {
	{ 2000, "-F 12 -s 1", 4096, 4096 },
	{ 8000, "-F 12 -s 8 -R 3 -f 1", 4096, 0 },
	{ 20000, "-F 16 -s 1 -r 208 -a", 4096, 4096 },
	{ 40001, "-F 16 -s 2 -f 1 -a", 4096, 4096 },
	{ 65536, "-F 16 -s 4 -R 5", 4096, 4096 },
	{ 100000, "-F 16 -s 32", 4096, 0 },
	{ 160000, "-F 16 -s 64 -M 0xf0", 4096, 0 },
	{ 160000, "-F 16 -s 64", 1024, 0 },
	{ 300000, "-F 32 -s 1", 4096, 4096 },
	{ 300001, "-F 32 -s 8 -f 1 -R 77 -b 12", 4096, 0 },
	{ 540000, "-F 32 -s 16", 4096, 0 },
	{ 90000, "-F 32 -s 1", 1024, 1024 },
	{ 8000, "-F 12 -S 4096 -s 1", 512, 0 },
	{ 20480, "-F 16 -S 4096 -s 1", 512, 0 },
	{ 60000, "-F 16 -S 4096 -s 2", 512, 0 },
	{ 300000, "-F 32 -S 4096 -s 1", 512, 0 },
	{ 20480, "-F 16 -s 1", 512, 0 }, /* the same size: in order, in one piece */
};

START_TEST(holds_the_same_files)
{
	const struct remake_case *c = &cases[_i];
	struct err e = ERR_INIT;

	mkfs(c->kib, c->options);
	populate(c->kib);
	ck_assert_msg(remake(c->to, &e), "%s", e.msg);
	fsck_new();
	compare_files();
	compare_boot_sectors(c->to);
	struct plain a = plain_read("img"), b = plain_read("new");
	ck_assert_uint_eq(b.per_cluster * b.sector, c->cluster ? c->cluster : a.per_cluster * a.sector);
	ck_assert(b.bits != 32 || b.nr >= 65525);
	/* And the driver: clean, with the label, and nothing of the volume is out of its sight. */
	ck_assert_int_eq(run("cd %s; mv img old; cp new img", dir), 0);
	struct opened o;
	open_img(&o);
	ck_assert_int_eq(o.v->info.state, FSD_CLEAN);
	ck_assert_str_eq(o.v->info.label, "MY LABEL");
	ck_assert_str_eq(o.v->info.notice, "");
	close_img(&o);
	/* The same input gives the same bytes. */
	ck_assert_int_eq(run("cd %s; cp old img; mv new first", dir), 0);
	ck_assert(remake(c->to, &e));
	ck_assert_int_eq(run("cd %s; cmp first new", dir), 0);
}
END_TEST

/* Up to the last cluster; one more file is too much. */
START_TEST(full_volume)
{
	struct err e = ERR_INIT;

	mkfs(20000, "-F 16 -s 8");
	ck_assert_int_eq(run("cd %s; head -c 1600000 /dev/urandom > f; i=0; mmd -i img ::d; while mcopy -i img f ::d/name$i 2>/dev/null; do i=$((i + 1)); done\n"
			     "split -a 3 -b 40000 f piece; for f in piece*; do mcopy -i img $f ::$f 2>/dev/null || break; done; fsck.fat -n img", dir), 0);
	ck_assert_msg(remake(4096, &e), "%s", e.msg);
	fsck_new();
	compare_files();
	/* Small files in clusters of 512 bytes: in such of 4096 they need eight times the room. */
	mkfs(2000, "-F 12 -s 1");
	ck_assert_int_eq(run("cd %s; mkdir t; i=0; while [ $i -lt 600 ]; do echo $i > t/$i; i=$((i + 1)); done; mcopy -s -i img t ::", dir), 0);
	ck_assert(!remake(4096, &e));
	ck_assert_int_eq(e.code, ERR_REFUSED);
	ck_assert_str_eq(e.reason, "sector-size");
	ck_assert_msg(strstr(e.msg, "files of this FAT12 need"), "%s", e.msg);
	ck_assert(remake(1024, &e));
	fsck_new();
	compare_files();
}
END_TEST

START_TEST(types_keep_their_number_of_clusters)
{
	static const struct { unsigned kib; const char *options; bool good; const char *text; } edges[] = {
		{ 256 << 10, "-F 32 -s 1", false, "FAT32 needs at least 65525 clusters" },
		{ 263 << 10, "-F 32 -s 1", true, NULL },
		{ 66000, "-F 32 -s 1", false, "room for 1" },
		{ 66000, "-F 32 -s 8", true, NULL }, /* it had too few before */
		{ 16000, "-F 16 -s 1", false, "FAT16 needs at least 4085 clusters" },
		{ 16440, "-F 16 -s 1", true, NULL },
	};

	for (size_t i = 0; i < sizeof(edges) / sizeof(edges[0]); i++) {
		struct err e = ERR_INIT;
		mkfs(edges[i].kib, edges[i].options);
		bool good = remake(4096, &e);
		ck_assert_msg(good == edges[i].good, "%zu: %s", i, e.msg);
		if (good) {
			ck_assert_uint_eq(plain_read("new").bits, plain_read("img").bits);
			continue;
		}
		ck_assert_int_eq(e.code, ERR_REFUSED);
		ck_assert_str_eq(e.reason, "sector-size");
		ck_assert_msg(strstr(e.msg, edges[i].text) && e.hint[0], "%s", e.msg);
	}
	/* As many clusters as FAT16 and FAT12 may have, and a smaller table then leaves room for more: not used. */
	struct err e = ERR_INIT;
	mkfs(65524 * 4 + 140, "-F 16 -S 4096 -s 1 -f 1 -R 1 -r 128");
	ck_assert_msg(remake(512, &e), "%s", e.msg);
	ck_assert_uint_ge(plain_read("new").nr, 65500);
	ck_assert_uint_le(plain_read("new").nr, 65524);
	fsck_new();
	mkfs(4084 * 4 + 24, "-F 12 -S 4096 -s 1 -f 2 -R 1 -r 128");
	ck_assert_msg(remake(512, &e), "%s", e.msg);
	ck_assert_uint_le(plain_read("new").nr, 4084);
	fsck_new();
}
END_TEST

/* What lies behind the file system, and a partition that is no multiple of the sectors. */
START_TEST(the_rest_of_the_partition_stays)
{
	struct err e = ERR_INIT;

	mkfs(20001, "-F 16 -s 2 -a");
	ck_assert_int_eq(run("cd %s; printf behind >> img; truncate -s +5K img; printf end >> img", dir), 0);
	populate(20001);
	ck_assert_msg(remake(4096, &e), "%s", e.msg);
	ck_assert_int_eq(run("cd %s; tail -c +%u img > a; tail -c +%u new > b; cmp a b; [ $(stat -c %%s img) -eq $(stat -c %%s new) ]", dir, 20001 * 1024 + 1,
		20001 * 1024 + 1), 0);
	fsck_new();
	compare_files();
}
END_TEST

/* ---- damage, by a writer of entries of its own ---- */

static uint64_t fat_at(const struct plain *p, unsigned copy, uint32_t n)
{
	return (uint64_t)(p->reserved + copy * p->fat_len) * p->sector + (uint64_t)n * 2;
}

static void set16(uint32_t n, uint16_t value)
{
	struct plain p = plain_read("img");
	uint8_t b[2] = { (uint8_t)value, (uint8_t)(value >> 8) };

	for (unsigned c = 0; c < p.fats; c++)
		poke(img, fat_at(&p, c, n), b, 2);
}

static uint16_t get16(uint32_t n)
{
	struct plain p = plain_read("img");
	uint8_t b[2];

	peek(img, fat_at(&p, 0, n), b, 2);
	return get_le16(b);
}

/* The place of the entry with this short name in the root, or in the directory that begins in a cluster. */
static uint64_t entry_of(uint32_t cluster, const char *name)
{
	struct plain p = plain_read("img");
	uint64_t root = (uint64_t)(p.reserved + p.fats * p.fat_len) * p.sector, data = root + p.root * 32;
	uint8_t d[32];

	for (uint64_t at = cluster ? data + (uint64_t)(cluster - 2) * p.per_cluster * p.sector : root;; at += 32) {
		peek(img, at, d, 32);
		ck_assert_msg(d[0] != 0, "%s is not there", name);
		if (!memcmp(d, name, 11))
			return at;
	}
}

static uint32_t cluster_of(uint64_t entry)
{
	uint8_t d[32];

	peek(img, entry, d, 32);
	return get_le16(d + 26);
}

static void refused_as_damaged(const char *what)
{
	struct err e = ERR_INIT;

	ck_assert_msg(!remake(4096, &e), "%s: taken", what);
	ck_assert_msg(e.code == ERR_CORRUPT && strstr(e.msg, what) && strstr(e.hint, "fsck.fat"), "%s: %s", what, e.msg);
	ck_assert_int_ne(run("fsck.fat -n %s >/dev/null 2>&1", img), 0); /* another one finds it, too */
}

START_TEST(damaged_ones_are_refused)
{
	uint8_t b[4] = { 0 };

	for (unsigned i = 0; i < 11; i++) {
		mkfs(20480, "-F 16 -s 1");
		ck_assert_int_eq(run("cd %s; head -c 20000 /dev/urandom > a; mcopy -i img a ::A; mcopy -i img a ::B; mmd -i img ::D; mmd -i img ::D/E; : > z; mcopy -i img z ::Z", dir), 0);
		uint64_t a = entry_of(0, "A          "), d = entry_of(0, "D          ");
		uint32_t ca = cluster_of(a), cb = cluster_of(entry_of(0, "B          ")), cd = cluster_of(d);
		if (i == 0) {
			set16(ca + 5, (uint16_t)(cb + 6));
			refused_as_damaged("two chains meet");
		} else if (i == 1) {
			set16(ca + 5, 0);
			refused_as_damaged("free or bad cluster");
		} else if (i == 2) {
			set16(ca + 5, 0xfff0);
			refused_as_damaged("out of the volume");
		} else if (i == 3) {
			set16(ca + 39, (uint16_t)(ca + 2));
			refused_as_damaged("two chains meet");
		} else if (i == 4) {
			set16(9000, 0xffff);
			refused_as_damaged("1 clusters are in use, but belong to no file");
		} else if (i == 5) {
			put_le32(b, 0, 21000);
			poke(img, a + 28, b, 4);
			refused_as_damaged("more or fewer clusters");
		} else if (i == 6) {
			put_le32(b, 0, 19000);
			poke(img, a + 28, b, 4);
			refused_as_damaged("more or fewer clusters");
		} else if (i == 7) {
			struct plain p = plain_read("img");
			put_le16(b, 0, 0xffff);
			poke(img, fat_at(&p, 1, 9000), b, 2);
			refused_as_damaged("the copies of the FAT differ");
		} else if (i == 8) {
			put_le16(b, 0, (uint16_t)cb);
			poke(img, entry_of(cd, ".          ") + 26, b, 2);
			refused_as_damaged("'.' or '..' leads elsewhere");
		} else if (i == 9) {
			put_le16(b, 0, (uint16_t)cb);
			poke(img, entry_of(cd, "..         ") + 26, b, 2);
			refused_as_damaged("'.' or '..' leads elsewhere");
		} else {
			uint16_t was = get16(ca);
			ck_assert_uint_eq(was, ca + 1);
			put_le16(b, 0, (uint16_t)0);
			poke(img, d + 26, b, 2);
			set16(cd, 0);
			refused_as_damaged("out of the volume");
		}
	}
}
END_TEST

/* Bad clusters stay behind. A FAT32 whose copies are not kept equal is read from the active one. */
START_TEST(marks_of_the_old_disk_stay_behind)
{
	struct err e = ERR_INIT;

	mkfs(20480, "-F 16 -s 1");
	populate(20480);
	set16(30000, 0xfff7);
	ck_assert_msg(remake(4096, &e), "%s", e.msg);
	fsck_new();
	compare_files();

	mkfs(300000, "-F 32 -s 1");
	populate(30000);
	struct plain p = plain_read("img");
	uint8_t junk[512];
	memset(junk, 0x55, sizeof(junk));
	poke(img, (uint64_t)p.reserved * p.sector, junk, sizeof(junk));
	ck_assert(!remake(4096, &e));
	poke(img, 40, "\x81", 1);
	ck_assert_msg(remake(4096, &e), "%s", e.msg);
	ck_assert_int_eq(run("cd %s; dd if=img of=img bs=512 conv=notrunc skip=%u seek=%u count=1 status=none", dir, p.reserved + p.fat_len, p.reserved), 0);
	fsck_new();
	compare_files();
}
END_TEST

START_TEST(others_are_not_remade)
{
	struct err e = ERR_INIT;

	ck_assert_int_eq(run("cd %s; truncate -s 8M img; mke2fs -q -F img", dir), 0);
	ck_assert(!remake(4096, &e));
	ck_assert_int_eq(e.code, ERR_UNSUPPORTED);
	ck_assert_int_eq(run("truncate -s 100 %s", img), 0);
	ck_assert(!remake(4096, &e));
	mkfs(20480, "-F 16 -s 1");
	ck_assert(!remake(8192, &e));
	ck_assert_int_eq(e.code, ERR_UNSUPPORTED);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("fat_remake");
	TCase *tc = tcase_create("fat_remake");

	tcase_add_unchecked_fixture(tc, setup, teardown);
	tcase_add_checked_fixture(tc, fresh, NULL);
	tcase_set_timeout(tc, 120);
	tcase_add_loop_test(tc, holds_the_same_files, 0, (int)(sizeof(cases) / sizeof(cases[0])));
	tcase_add_test(tc, full_volume);
	tcase_add_test(tc, types_keep_their_number_of_clusters);
	tcase_add_test(tc, the_rest_of_the_partition_stays);
	tcase_add_test(tc, damaged_ones_are_refused);
	tcase_add_test(tc, marks_of_the_old_disk_stay_behind);
	tcase_add_test(tc, others_are_not_remade);
	suite_add_tcase(s, tc);
	SRunner *r = srunner_create(s);
	srunner_run_all(r, CK_ENV);
	int failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
