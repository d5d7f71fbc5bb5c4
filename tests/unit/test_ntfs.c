/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The NTFS driver against mkntfs, ntfsclone, ntfsfix and ntfscat: maps, names, states. */
#include "tests/unit/ntfs_volume.h"

struct ntfs_case {
	const char *options;
	unsigned kib;
	uint32_t sector, cluster, record, granule;
	unsigned extra; /* the partition goes on behind the file system, bytes */
};

static const struct ntfs_case cases[] = {
	{ "-c 512", 8192, 512, 512, 1024, 512, 0 },
	{ "-c 512", 9001, 512, 512, 1024, 512, 512 * 3 },
	{ "-c 1024", 20001, 512, 1024, 1024, 1024, 0 },
	{ "-c 2048 -s 1024", 20003, 1024, 2048, 1024, 2048, 1024 },
	{ "", 32768, 512, 4096, 1024, 4096, 0 },
	{ "", 32769, 512, 4096, 1024, 4096, 512 * 7777 },
	{ "-c 4096 -s 2048", 30002, 2048, 4096, 2048, 4096, 0 },
	{ "-c 4096 -s 4096", 40000, 4096, 4096, 4096, 4096, 0 },
	{ "-c 65536 -s 4096", 65000, 4096, 65536, 4096, 4096, 8192 },
	{ "-c 65536", 100001, 512, 65536, 1024, 4096, 0 },
	{ "-c 131072", 130000, 512, 131072, 1024, 4096, 512 },
	{ "-c 524288", 250000, 512, 524288, 1024, 4096, 0 },
	{ "-c 2097152", 1000000, 512, 2097152, 1024, 4096, 0 },
};

/* Files in the record, in one run and in several, and a root folder that needs blocks of its own. */
static void populate(void)
{
	ck_assert_int_eq(run("cd %s && i=0; while [ $i -lt 24 ]; do head -c $((i * i * 97)) /dev/urandom > file && ntfscp -q img file "
			     "/a-file-with-a-long-name-$i || exit 1; i=$((i + 1)); done >/dev/null 2>&1", dir), 0);
	put_file("/big", "head -c 700001 /dev/urandom");
	put_file("/a-file-with-a-long-name-3", "head -c 150000 /dev/urandom");
	put_file("/a-file-with-a-long-name-5", "true");
}

static bool unit_used(const struct collected *c, uint64_t off)
{
	return c->used[off / UNIT];
}

/* Used is what ntfsclone saves, the 8 KiB of $Boot, and everything behind the last whole cluster. */
static uint64_t compare_with_ntfsclone(const struct plain *p, const struct collected *c)
{
	uint8_t *used = clusters_of_ntfsclone(p);
	uint64_t nr_used = 0;

	for (uint64_t n = 0; n < p->nr; n++) {
		nr_used += used[n];
		for (uint64_t off = n * p->cluster; off < (n + 1) * p->cluster; off += UNIT)
			ck_assert_msg(unit_used(c, off) == used[n], "cluster %llu", (unsigned long long)n);
	}
	for (uint64_t off = p->nr * p->cluster; off < c->size; off += UNIT)
		ck_assert(unit_used(c, off));
	free(used);
	return nr_used;
}

static void same_word_as_blkid(const char *field, const char *word)
{
	ck_assert_int_eq(run("[ \"$(blkid -p -o value -s %s %s)\" = '%s' ]", field, img, word), 0);
}

static bool is_armed(const struct collected *c, uint64_t start, uint64_t len)
{
	for (size_t i = 0; i < c->nr_arm; i++)
		if (c->arm[i].start == start && c->arm[i].len == len)
			return true;
	return false;
}

START_TEST(copy_is_whole)
{
	const struct ntfs_case *t = &cases[_i];
	struct opened o;

	mkfs(t->kib, t->options);
	populate();
	struct plain p = plain_read();
	ck_assert_uint_eq(p.sector, t->sector);
	ck_assert_uint_eq(p.cluster, t->cluster);
	ck_assert_uint_eq(p.record, t->record);
	ck_assert_int_eq(run("truncate -s +%u %s", t->extra, img), 0);
	open_img(&o);
	struct collected c = collect(o.v);
	uint64_t nr_used = compare_with_ntfsclone(&p, &c);
	const struct fsd_info *info = &o.v->info;
	ck_assert_str_eq(info->type, "ntfs");
	ck_assert_msg(info->state == FSD_CLEAN, "%s", info->detail);
	ck_assert_str_eq(info->notice, "");
	ck_assert_uint_eq(info->granule, t->granule);
	ck_assert_uint_eq(info->block_size, t->cluster);
	ck_assert_uint_eq(info->size, p.nr * p.cluster);
	ck_assert_uint_eq(info->used_bytes, nr_used * p.cluster);
	same_word_as_blkid("UUID", info->uuid);
	same_word_as_blkid("TYPE", "ntfs");
	ck_assert_uint_lt(nr_used, p.nr);

	/* The backup stands behind the last sector that is counted, and is kept and armed. */
	uint8_t boot[512], backup[512];
	peek(img, 0, boot, 512);
	peek(img, p.sectors * p.sector, backup, 512);
	ck_assert_mem_eq(boot, backup, 512);
	ck_assert(unit_used(&c, p.sectors * p.sector));
	ck_assert(is_armed(&c, 0, p.sector) && is_armed(&c, p.sectors * p.sector, p.sector));
	ck_assert_uint_eq(c.nr_arm, 2);

	char copy[96];
	snprintf(copy, sizeof(copy), "%s/copy", dir);
	copy_used(o.v, &c, copy);
	if (!t->extra) /* ntfsfix looks for the backup in the last sector */
		ck_assert_int_eq(run("cd %s && ntfsfix -n copy > fix 2>&1 && ! grep -qi 'bad\\|fail' fix", dir), 0);
	ck_assert_int_eq(run("cd %s && for f in /big /a-file-with-a-long-name-3 /a-file-with-a-long-name-23; do ntfscat img $f > a && "
			     "ntfscat copy $f > b && cmp a b && [ -s a ] || exit 1; done 2>/dev/null", dir), 0);
	collected_release(&c);
	close_img(&o);
}
END_TEST

START_TEST(backups_elsewhere_are_armed)
{
	struct opened o;
	uint8_t boot[512];

	mkfs(16384, "");
	ck_assert_int_eq(run("truncate -s 20000K %s", img), 0);
	struct plain p = plain_read();
	peek(img, 0, boot, sizeof(boot));
	const uint64_t places[] = { p.sectors / 2 * 512, 20000 * KIB - 512, 10000 * KIB };
	for (int i = 0; i < NR(places); i++)
		poke(img, places[i], boot, sizeof(boot));
	open_img(&o);
	struct collected c = collect(o.v);
	for (int i = 0; i < NR(places); i++)
		ck_assert_msg(is_armed(&c, places[i], 512), "%d", i);
	ck_assert_uint_eq(c.nr_arm, 5);
	collected_release(&c);
	close_img(&o);
}
END_TEST

static void set_label(const void *utf16, uint32_t len)
{
	struct rec r = rec_load(3);
	uint32_t off = rec_attr(&r, 0x60);

	rec_resize(&r, off, (0x18 + len + 7) & ~7U);
	put_le32(r.b, off + 0x10, len);
	memcpy(r.b + off + 0x18, utf16, len);
	rec_save(&r);
}

static void expect_label(const char *label)
{
	struct opened o;

	open_img(&o);
	ck_assert_str_eq(o.v->info.label, label);
	close_img(&o);
}

START_TEST(labels)
{
	uint8_t longest[256];
	char expected[128];

	mkfs(8192, "-L 'Gr\xc3\xbc\xc3\x9f' ");
	expect_label("Gr\xc3\xbc\xc3\x9f");
	mkfs(8192, "");
	expect_label("");
	mkfs(8192, "-L x");
	set_label("\x3d\xd8\x00\xde" "a\0\xac\x20", 8); /* a pair of surrogates, a, euro */
	expect_label("\xf0\x9f\x98\x80" "a\xe2\x82\xac");
	same_word_as_blkid("LABEL", "\xf0\x9f\x98\x80" "a\xe2\x82\xac");
	set_label("\x3d\xd8" "b\0\x00\xde\x3d\xd8", 8); /* three halves of pairs */
	expect_label("\xef\xbf\xbd" "b\xef\xbf\xbd\xef\xbf\xbd");
	set_label("c\0\0\0d", 5);
	expect_label("c");
	for (int i = 0; i < 128; i++)
		put_le16(longest, 2 * (size_t)i, 0x20ac);
	set_label(longest, sizeof(longest));
	expected[0] = '\0';
	for (int i = 0; i < 42; i++)
		strcat(expected, "\xe2\x82\xac");
	expect_label(expected);
}
END_TEST

static void set_volume_flags(uint16_t flags)
{
	struct rec r = rec_load(3);

	put_le16(r.b, rec_attr(&r, 0x70) + 0x18 + 10, flags);
	rec_save(&r);
}

START_TEST(marked_dirty)
{
	mkfs(8192, "");
	expect_state(FSD_CLEAN, "");
	set_volume_flags(0x0001);
	expect_state(FSD_DAMAGED, "dirty");
	set_volume_flags(0x4000);
	expect_state(FSD_DAMAGED, "dirty");
	set_volume_flags(0x8080); /* modified by chkdsk, and something harmless */
	expect_state(FSD_CLEAN, "");
	/* As ntfs-3g sees it */
	ck_assert_int_eq(run("ntfsfix -d %s >/dev/null 2>&1", img), 0);
	expect_state(FSD_CLEAN, "");
}
END_TEST

/* A dirty volume is described without its maps: they may be anything. */
START_TEST(dirty_wins_over_a_bad_bitmap)
{
	struct opened o;

	mkfs(8192, "");
	struct rec r = rec_load(6);
	put_le16(r.b, rec_attr(&r, 0x80) + 0x0C, 0x8000);
	rec_save(&r);
	expect_corrupt("sparse");
	set_volume_flags(1);
	open_img(&o);
	struct collected c = collect(o.v);
	for (uint64_t i = 0; i < c.size / UNIT; i++)
		ck_assert(c.used[i]);
	collected_release(&c);
	close_img(&o);
}
END_TEST

/* The record of the file with this many bytes; ntfs-3g puts files from 64 on */
static struct rec find_file(uint64_t size)
{
	for (unsigned i = 64; i < 120; i++) {
		struct rec r = rec_load(i);
		if (memcmp(r.b, "FILE", 4) == 0 && r.b[0x16] & 1 && get_le64(r.b + rec_attr(&r, 0x80) + 0x30) == size)
			return r;
	}
	ck_abort_msg("the file was not found");
}

START_TEST(hibernated)
{
	static const char asleep[][5] = { "hibr", "HIBR" }, awake[][5] = { "wake", "WAKE", "", "RSTR" };

	for (unsigned many = 0; many < 2; many++) {
		mkfs(16384, "");
		if (many) /* so many names that the root folder has blocks */
			populate();
		put_file("/hiberfil.sys.old", "printf hibr; head -c 70000 /dev/zero");
		expect_state(FSD_CLEAN, "");
		put_file("/hiberfil.sys", "head -c 70007 /dev/urandom");
		expect_state(FSD_CLEAN, "");
		struct rec r = find_file(70007);
		uint64_t at = rec_first_run(&r, rec_attr(&r, 0x80));
		for (int i = 0; i < NR(asleep); i++) {
			poke(img, at, asleep[i], 4);
			expect_state(FSD_HIBERNATED, "hibernated");
		}
		for (int i = 0; i < NR(awake); i++) {
			poke(img, at, awake[i], 4);
			expect_state(FSD_CLEAN, "");
		}
		/* Of what was never written, nothing counts. */
		poke(img, at, "hibr", 4);
		put_le64(r.b, rec_attr(&r, 0x80) + 0x38, 0);
		rec_save(&r);
		expect_state(FSD_CLEAN, "");
	}
	mkfs(16384, "");
	put_file("/hiberfil.sys", "echo short");
	expect_state(FSD_HIBERNATED, "hibernated");
	/* The folder keeps its name as it was written. */
	mkfs(16384, "");
	put_file("/HiberFil.SYS", "printf hibr; head -c 70003 /dev/zero");
	expect_state(FSD_HIBERNATED, "hibernated");
	/* Of an entry that is left over the record says that it is another file now. */
	struct rec r = find_file(70007);
	r.b[0x10]++;
	rec_save(&r);
	expect_state(FSD_CLEAN, "");
}
END_TEST

/* A restart page as Windows writes it: the log's version, its list of clients, its flags, and its age. */
static void put_restart(uint64_t at, uint16_t major, uint16_t client, uint16_t flags, uint64_t lsn)
{
	uint8_t page[4096] = "RSTR";

	put_le16(page, 4, 0x1E);
	put_le16(page, 6, 9);
	put_le32(page, 0x10, 4096);
	put_le32(page, 0x14, 4096);
	put_le16(page, 0x18, 0x30);
	put_le16(page, 0x1A, major == 1);
	put_le16(page, 0x1C, major);
	put_le64(page, 0x30, lsn);
	put_le16(page, 0x38, 1);
	put_le16(page, 0x3A, 0xFFFF);
	put_le16(page, 0x3C, client);
	put_le16(page, 0x3E, flags);
	for (size_t i = 0; i < 9; i++)
		put_le16(page, i ? i * 512 - 2 : 0x1E, 7);
	poke(img, at, page, sizeof(page));
}

START_TEST(journal)
{
	uint8_t zeros[8192] = { 0 };

	mkfs(16384, "");
	struct rec r = rec_load(2);
	uint64_t log = rec_first_run(&r, rec_attr(&r, 0x80));

	put_restart(log, 1, 0, 2, 100); /* open, with the mark of a clean unmount: Windows XP and later */
	put_restart(log + 4096, 1, 0, 2, 100);
	expect_state(FSD_CLEAN, "");
	put_restart(log, 1, 0xFFFF, 0, 100); /* closed: NT */
	expect_state(FSD_CLEAN, "");
	put_restart(log, 1, 0, 0, 101);
	expect_state(FSD_REPLAYABLE, "dirty-journal");
	put_restart(log, 1, 0, 0, 99); /* the younger one counts */
	expect_state(FSD_CLEAN, "");
	put_restart(log + 4096, 1, 0, 0, 102);
	expect_state(FSD_REPLAYABLE, "dirty-journal");
	put_restart(log, 2, 0, 2, 103); /* fast startup, seen from a volume without hiberfil.sys */
	expect_state(FSD_REPLAYABLE, "dirty-journal");
	put_restart(log, 1, 0, 2, 104);
	expect_state(FSD_CLEAN, "");
	poke(img, log + 1022, "xx", 2); /* written in part: the other one counts */
	expect_state(FSD_REPLAYABLE, "dirty-journal");
	put_restart(log + 4096, 1, 0, 2, 105);
	expect_state(FSD_CLEAN, "");
	poke(img, log, "CHKD", 4);
	poke(img, log + 4096, zeros, 4096);
	expect_state(FSD_REPLAYABLE, "dirty-journal");
	put_restart(log, 1, 0, 0, 101);
	poke(img, log, "CHKD", 4);
	expect_state(FSD_CLEAN, "");
	poke(img, log, zeros, sizeof(zeros));
	expect_state(FSD_REPLAYABLE, "dirty-journal");
	memset(zeros, 0xFF, sizeof(zeros));
	poke(img, log, zeros, sizeof(zeros));
	expect_state(FSD_CLEAN, "");
}
END_TEST

/* hiberfil.sys wins: its advice is the one that helps. */
START_TEST(order_of_states)
{
	mkfs(16384, "");
	struct rec r = rec_load(2);
	put_restart(rec_first_run(&r, rec_attr(&r, 0x80)), 2, 0, 0, 1);
	expect_state(FSD_REPLAYABLE, "dirty-journal");
	set_volume_flags(1);
	expect_state(FSD_DAMAGED, "dirty");
	set_volume_flags(0);
	mkfs(16384, "");
	put_file("/hiberfil.sys", "printf hibr; head -c 70000 /dev/zero");
	set_volume_flags(1);
	expect_state(FSD_HIBERNATED, "hibernated");
}
END_TEST

START_TEST(bad_clusters_are_left_out)
{
	struct opened o;
	uint8_t runs[64] = { 0 };
	uint32_t n;

	mkfs(16384, "");
	struct plain p = plain_read();
	struct rec r = rec_load(8);
	uint32_t off = rec_attr(&r, 0x80); /* the unnamed one, empty */
	off += get_le32(r.b + off + 4);
	ck_assert_uint_eq(r.b[off + 9], 4);
	n = put_hole(runs, 3000);
	n += put_run(runs + n, 3, 3000);
	n += put_hole(runs + n, 197);
	n += put_run(runs + n, 1, 200);
	n += put_hole(runs + n, p.nr - 3201);
	rec_set_runs(&r, off, runs, n + 1);
	rec_save(&r);
	for (uint64_t i = 3000; i < 3003; i++)
		bitmap_bit(&p, i, 1);
	bitmap_bit(&p, 3200, 1);
	bitmap_bit(&p, 3201, 1);
	ck_assert_int_eq(run("ntfsinfo -m %s >/dev/null 2>&1", img), 0);
	open_img(&o);
	ck_assert_str_eq(o.v->info.notice, "4 clusters marked bad were left out");
	struct collected c = collect(o.v);
	for (uint64_t i = 2999; i < 3203; i++)
		ck_assert_int_eq(unit_used(&c, i * 4096), i == 3201);
	collected_release(&c);
	close_img(&o);
	/* A file with one of these clusters would lose data. */
	n = put_run(runs, 1, 3200);
	runs[n] = 0;
	r = rec_load(10);
	off = rec_attr(&r, 0x80);
	put_le64(r.b, off + 0x18, 0);
	rec_set_runs(&r, off, runs, n + 1);
	rec_save(&r);
	expect_corrupt("record 10 of the $MFT uses cluster 3200, which $Bitmap calls free or $BadClus bad");
}
END_TEST

/* A bad sector in the $MFT does not stop the map; the records around it are still looked at. One in $Bitmap is the end. */
START_TEST(unreadable_sectors)
{
	struct err e = ERR_INIT;
	struct fsd_volume *v;

	mkfs(16384, "");
	put_file("/one", "head -c 30000 /dev/urandom");
	put_file("/two", "head -c 50000 /dev/urandom");
	struct plain p = plain_read();
	struct rec one = find_file(30000), two = find_file(50000), bitmap = rec_load(6);
	struct faulty f = faulty_open();
	f.bad[0] = (struct range){ p.mft + one.number * p.record, 512 };
	struct blk_source *src = &f.base;
	struct blk_set set = { &src, 1 };
	ck_assert_msg(fsd_ntfs.open(&set, &v, &e) == 0, "%s", e.msg);
	struct collected c = collect(v);
	ck_assert(unit_used(&c, rec_first_run(&one, rec_attr(&one, 0x80))));
	collected_release(&c);
	fsd_ntfs.close(v);
	bitmap_bit(&p, rec_first_run(&two, rec_attr(&two, 0x80)) / p.cluster, 0);
	ck_assert_msg(fsd_ntfs.open(&set, &v, &e) == 0, "%s", e.msg);
	ck_assert_int_eq(fsd_ntfs.map(v, ignore_extent, NULL, &e), -1);
	ck_assert_msg(strstr(e.msg, "calls free"), "%s", e.msg);
	fsd_ntfs.close(v);
	f.bad[0].start = rec_first_run(&bitmap, rec_attr(&bitmap, 0x80));
	ck_assert_int_eq(fsd_ntfs.open(&set, &v, &e), -1);
	ck_assert_int_eq(e.code, ERR_FAILED);
	ck_assert_msg(strstr(e.msg, "reading $Bitmap"), "%s", e.msg);
	blk_close(f.of);
}
END_TEST

START_TEST(bitlocker_is_named_and_kept_whole)
{
	struct err e = ERR_INIT;
	uint8_t boot[512] = "\xeb\x58\x90-FVE-FS-", meta[512] = "-FVE-FS-";
	struct fsd_volume *v;

	/* libbde documentation, "Volume header": the GUID of Windows 7 and later, and the offsets of the metadata */
	static const uint8_t guid[16] = { 0x3b, 0xd6, 0x67, 0x49, 0x29, 0x2e, 0xd8, 0x4a, 0x83, 0x99, 0xf6, 0xa3, 0x39, 0xe3, 0xd0, 0x01 };
	memcpy(boot + 160, guid, 16);
	for (size_t i = 0; i < 3; i++)
		put_le64(boot, 176 + 8 * i, (1 + i) * MIB);
	put_le16(boot, 11, 512);
	boot[510] = 0x55;
	boot[511] = 0xaa;
	put_le16(meta, 8, 64);
	put_le16(meta, 10, 2);
	ck_assert_int_eq(run("truncate -s 8M %s", img), 0);
	poke(img, 0, boot, sizeof(boot));
	for (uint64_t i = 1; i < 4; i++)
		poke(img, i * MIB, meta, sizeof(meta));
	struct blk_source *src = blk_open(img, 0, false, &e);
	struct blk_set set = { &src, 1 };
	ck_assert_int_eq(fsd_open(&set, false, &v, &e), 0);
	ck_assert_str_eq(v->driver->name, "raw");
	ck_assert_str_eq(v->info.type, "BitLocker");
	ck_assert_msg(strstr(v->info.notice, "locked"), "%s", v->info.notice);
	ck_assert_int_eq(v->info.state, FSD_CLEAN);
	fsd_close(v);
	blk_close(src);
}
END_TEST

START_TEST(a_second_signature_is_refused)
{
	mkfs(16384, "");
	poke(img, 65536 + 64, "_BHRfS_M", 8); /* what is left of a btrfs makes libblkid unsure */
	expect_failure(ERR_UNSUPPORTED, "signatures of ntfs and of another");
}
END_TEST

int main(void)
{
	Suite *s = suite_create("ntfs");
	TCase *tc = tcase_create("ntfs");

	tcase_add_unchecked_fixture(tc, setup, teardown);
	tcase_add_checked_fixture(tc, fresh, NULL);
	tcase_set_timeout(tc, 120);
	tcase_add_loop_test(tc, copy_is_whole, 0, NR(cases));
	tcase_add_test(tc, backups_elsewhere_are_armed);
	tcase_add_test(tc, labels);
	tcase_add_test(tc, marked_dirty);
	tcase_add_test(tc, dirty_wins_over_a_bad_bitmap);
	tcase_add_test(tc, hibernated);
	tcase_add_test(tc, journal);
	tcase_add_test(tc, order_of_states);
	tcase_add_test(tc, bad_clusters_are_left_out);
	tcase_add_test(tc, unreadable_sectors);
	tcase_add_test(tc, bitlocker_is_named_and_kept_whole);
	tcase_add_test(tc, a_second_signature_is_refused);
	suite_add_tcase(s, tc);
	SRunner *r = srunner_create(s);
	srunner_run_all(r, CK_ENV);
	int failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
