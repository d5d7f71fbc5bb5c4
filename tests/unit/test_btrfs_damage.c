/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * btrfs file systems that contradict themselves, with right checksums: each must be refused with the right words, so that the caller takes it
 * whole. And damage that is none, because another copy is good.
 */
#include "tests/unit/btrfs_volume.h"

struct edit {
	const char *command; /* of tests/tools/btrfs_image.py, after the file's name: "VERB REST" */
	enum err_code code;
	const char *text;
};

/* A file system without the kernel: files, folders, DUP metadata, a free space tree. */
static void make_base(const char *options)
{
	clean_up();
	SH("rm -rf tree && mkdir tree && cp /usr/include/*.h tree && head -c 3000000 /dev/urandom >tree/big && truncate -s 120M d0 && "
	   "mkfs.btrfs -q --rootdir tree %s d0 && cp --sparse=always d0 base", options);
}

static void edit(const char *command)
{
	const char *rest = strchr(command, ' ');

	SH("python3 $root/tests/tools/btrfs_image.py %.*s d0%s", (int)(rest - command), command, rest);
}

static void again(void)
{
	SH("cp --sparse=always base d0");
}

static const struct edit edits[] = {
	/* features and flags */
	{ "super 0xBC 8 0x1361", ERR_UNSUPPORTED, "zoned" },
	{ "super 0xBC 8 0x2361", ERR_UNSUPPORTED, "extent tree v2" },
	{ "super 0xBC 8 0x4361", ERR_UNSUPPORTED, "raid stripe tree" },
	{ "super 0xBC 8 0x80000000000361", ERR_UNSUPPORTED, "incompat 0x80000000000000" },
	{ "super 0xBC 8 0x360", ERR_UNSUPPORTED, "before 2009" },
	{ "super 0xB4 8 0x13", ERR_UNSUPPORTED, "compat_ro 0x10" },
	{ "super 0x38 8 0x800000001", ERR_UNSUPPORTED, "being converted" },
	{ "super 0x38 8 0x1000000001", ERR_UNSUPPORTED, "being converted" },
	{ "super 0x38 8 0x200000001", ERR_UNSUPPORTED, "dumped without data" },
	{ "super 0xC4 2 4", ERR_UNSUPPORTED, "unknown type 4" },
	/* the superblock */
	{ "super 0x30 8 4096", ERR_CORRUPT, "contradicts itself" },
	{ "super 0x88 8 0", ERR_CORRUPT, "contradicts itself" },
	{ "super 0x90 4 2048", ERR_CORRUPT, "sectors of 2048" },
	{ "super 0x94 4 131072", ERR_CORRUPT, "nodes of 131072" },
	{ "super 0x94 4 24576", ERR_CORRUPT, "nodes of 24576" },
	{ "super 0x50 8 1", ERR_CORRUPT, "roots" },
	{ "super 0x50 8 0", ERR_CORRUPT, "lies in no chunk" },
	{ "super 0xC6 1 8", ERR_CORRUPT, "roots" },
	{ "super 0xC6 1 1", ERR_CORRUPT, "another tree or level" },
	{ "super 0xC7 1 1", ERR_CORRUPT, "another tree or level" },
	{ "super 0xA4 8 1000", ERR_CORRUPT, "roots" },
	{ "super 0xA4 8 1", ERR_CORRUPT, "another generation" },
	{ "super 0x48 8 1000", ERR_CORRUPT, "another generation" },
	{ "super 0xA0 4 2049", ERR_CORRUPT, "2049 bytes" },
	{ "super 0xA0 4 40", ERR_CORRUPT, "array of system chunks" },
	{ "super 0xA0 4 0", ERR_CORRUPT, "lies in no chunk" },
	{ "super 0x32B 8 255", ERR_CORRUPT, "array of system chunks" },
	{ "super 0x374 8 65536", ERR_CORRUPT, "disagree about the chunk" }, /* the stripe's place */
	{ "super 0x11B 1 0x55", ERR_CORRUPT, "different file systems" },
	{ "super 0x20 1 0x55", ERR_CORRUPT, "different file systems" },
	{ "super 0xD1 8 0x10000000000", ERR_CORRUPT, "of a device that has" },
	{ "super 0xD1 8 4096", ERR_CORRUPT, "of a device that has" },
	{ "super 0xD1 8 0x7000000", ERR_CORRUPT, "for its superblock" },
	{ "super 0x78 8 4096", ERR_CORRUPT, "superblock counts 4096" },
	/* tree blocks */
	{ "wreck 1 all", ERR_CORRUPT, "wrong checksum" },
	{ "wreck 2 all", ERR_CORRUPT, "wrong checksum" },
	{ "wreck 3 all", ERR_CORRUPT, "wrong checksum" },
	{ "wreck 10 all", ERR_CORRUPT, "wrong checksum" },
	{ "header 2 48 8 0x40000", ERR_CORRUPT, "belongs somewhere else" },
	{ "header 2 32 1 1", ERR_CORRUPT, "belongs somewhere else" },
	{ "header 2 80 8 1", ERR_CORRUPT, "another generation" },
	{ "header 2 88 8 5", ERR_CORRUPT, "another tree or level" },
	{ "header 2 100 1 3", ERR_CORRUPT, "another tree or level" },
	{ "header 2 96 4 0xFFFF", ERR_CORRUPT, "number of its items" },
	{ "header 2 96 4 0", ERR_CORRUPT, "disagree about what is free" },
	{ "header 1 118 4 0", ERR_CORRUPT, "items are out of range" },
	{ "header 1 122 4 0xFFFFFFFF", ERR_CORRUPT, "items are out of range" },
	{ "header 1 101 8 0xFFFFFFFF", ERR_CORRUPT, "out of order" },
	/* chunks and devices */
	{ "item 3 228 0 0 8 0", ERR_CORRUPT, "0 bytes in stripes" },
	{ "item 3 228 0 0 8 0x7FFFFFFFFFFFF000", ERR_CORRUPT, "overlaps" },
	{ "item 3 228 0 16 8 4096", ERR_CORRUPT, "in stripes of 4096" },
	{ "item 3 228 0 24 8 0x10001", ERR_UNSUPPORTED, "unknown type 0x10001" },
	{ "item 3 228 0 24 8 0", ERR_UNSUPPORTED, "unknown type 0x0" },
	{ "item 3 228 0 24 8 0x21", ERR_CORRUPT, "1 stripes" },
	{ "item 3 228 0 44 2 9", ERR_CORRUPT, "9 stripes" },
	{ "item 3 228 0 48 8 7", ERR_CORRUPT, "names device 7" },
	{ "item 3 228 0 56 8 1", ERR_CORRUPT, "has a stripe at 1" },
	{ "item 3 228 0 56 8 0x7FFFFFFFFFFFF000", ERR_CORRUPT, "behind its end" },
	{ "item 3 228 1 56 8 0", ERR_CORRUPT, "disagree about the chunk" },
	{ "item 3 228 0 56 8 0x100000", ERR_CORRUPT, "overlaps the one before" },
	{ "item 3 228 0 56 8 0x7000000", ERR_CORRUPT, "device tree and chunk tree" },
	{ "key 3 228 0 - 0x100000", ERR_CORRUPT, "device tree and chunk tree" },
	{ "drop 3 228 0", ERR_CORRUPT, "device tree and chunk tree" },
	{ "item 3 216 0 8 8 0x10000000", ERR_CORRUPT, "for the chunk tree" },
	{ "item 3 216 0 0 8 2", ERR_CORRUPT, "device item" },
	{ "drop 3 216 0", ERR_CORRUPT, "over 0 devices" },
	{ "drop 4 204 1", ERR_CORRUPT, "device tree and chunk tree" },
	{ "drop 4 204 5", ERR_CORRUPT, "lists 5 pieces" },
	{ "key 4 204 5 - 0x7000000", ERR_CORRUPT, "device tree and chunk tree" },
	{ "item 4 204 0 24 8 4096", ERR_CORRUPT, "device tree and chunk tree" },
	/* roots */
	{ "drop 1 132 0", ERR_CORRUPT, "tree 2 is missing" },
	{ "drop 1 132 1", ERR_CORRUPT, "tree 4 is missing" },
	{ "item 1 132 0 238 1 200", ERR_CORRUPT, "tree 2 is out of range" },
	{ "item 1 132 0 176 8 4096", ERR_CORRUPT, "lies in no chunk" },
	{ "item 1 132 0 160 8 1", ERR_CORRUPT, "another generation" },
	{ "item 1 132 2 176 8 0x2000000", ERR_CORRUPT, "begins in a block that is marked as free" }, /* the file tree */
	/* extents and block groups: something is lost, or cannot be */
	{ "drop 2 168 0", ERR_CORRUPT, "disagree about what is free" },
	{ "drop 2 169 0", ERR_CORRUPT, "disagree about what is free" },
	{ "drop 2 168 3", ERR_CORRUPT, "disagree about what is free" },
	{ "key 2 168 0 - 4096", ERR_CORRUPT, "disagree about what is free" },
	{ "key 2 168 0 - 4097", ERR_CORRUPT, "length that cannot be" },
	{ "key 2 168 0 - 0", ERR_CORRUPT, "length that cannot be" },
	{ "key 2 168 0 - 0x40000000", ERR_CORRUPT, "lies in no chunk" },
	{ "key 2 168 0 0x100000 -", ERR_CORRUPT, "lies in no chunk" },
	{ "key 2 168 1 - 0x600000", ERR_CORRUPT, "extent" },
	{ "key 2 169 0 - 8", ERR_CORRUPT, "is no tree block" },
	{ "item 2 168 0 16 8 2", ERR_CORRUPT, "btrfs extent" },
	{ "item 2 168 0 16 8 3", ERR_CORRUPT, "is damaged" },
	{ "item 2 168 0 16 8 0", ERR_CORRUPT, "is damaged" },
	{ "item 2 168 0 0 8 0", ERR_CORRUPT, "is damaged" },
	{ "item 2 168 0 8 8 1000", ERR_CORRUPT, "is damaged" },
	{ "item 2 169 0 16 8 1", ERR_CORRUPT, "is no tree block" },
	{ "item 2 192 0 0 8 4096", ERR_CORRUPT, "counts 4096 bytes" },
	{ "item 2 192 0 16 8 2", ERR_CORRUPT, "contradict each other" },
	{ "key 2 192 0 - 4096", ERR_CORRUPT, "contradict each other" },
	{ "drop 2 192 0", ERR_CORRUPT, "no block group" },
	/* the free space tree */
	{ "drop 10 199 4", ERR_CORRUPT, "disagree about what is free" },
	{ "key 10 199 4 - 4096", ERR_CORRUPT, "disagree about what is free" },
	{ "key 10 199 4 - 4097", ERR_CORRUPT, "damaged item" },
	{ "key 10 199 4 - 0", ERR_CORRUPT, "damaged item" },
	{ "key 10 198 3 - 4096", ERR_CORRUPT, "damaged item" },
};

/* All of them, so that one run tells everything. */
static void expect_errors(const struct edit *list, int nr)
{
	int nr_wrong = 0;

	for (int i = 0; i < nr; i++) {
		again();
		edit(list[i].command);
		nr_wrong += !gives_error(list[i].command, list[i].code, list[i].text);
	}
	ck_assert_int_eq(nr_wrong, 0);
}

START_TEST(contradictions)
{
	struct opened o;

	make_base("");
	open_clean(&o, "0");
	close_members(&o);
	expect_errors(edits, NR(edits));
}
END_TEST

/* Without a free space tree the counts find it, and without them the walk itself. */
START_TEST(lost_extents_without_a_second_book)
{
	static const struct edit lost[] = {
		{ "drop 2 168 0", ERR_CORRUPT, "block group" },
		{ "drop 2 169 1", ERR_CORRUPT, "block group" },
		{ "key 2 168 0 - 4096", ERR_CORRUPT, "block group" },
	};
	struct opened o;

	make_base("-R ^free-space-tree");
	open_clean(&o, "0");
	close_members(&o);
	expect_errors(lost, NR(lost));
}
END_TEST

/* A count of 8 bytes in the data of an item, or in the superblock */
static void lower(const char *read, const char *write, unsigned by)
{
	SH("v=$(python3 -c \"import sys; sys.path.insert(0, '$root/tests/tools'); import btrfs_image as b, struct; i = b.Image('d0'); print(%s - %u)\") && "
	   "python3 $root/tests/tools/btrfs_image.py %s $v", read, by, write);
}

START_TEST(a_lie_that_all_books_tell)
{
	make_base("-R ^free-space-tree");
	/* The third tree block of the system or metadata chunk: marked as free in every count */
	edit("drop 2 169 2");
	lower("struct.unpack_from('<Q', i.find(2, 192, 2)[0].data, i.find(2, 192, 2)[1][2])[0]", "item d0 2 192 2 0 8", 16384);
	lower("struct.unpack_from('<Q', i.super, 0x78)[0]", "super d0 0x78 8", 16384);
	ck_assert(gives_error("lie", ERR_CORRUPT, "marked as free"));
}
END_TEST

/* Whatever all books lost, block or data: that something points to it tells. */
START_TEST(lost_but_pointed_to)
{
	static const struct {
		unsigned kind, step;
		const char *text;
	} cases[] = { { 169, 1, "marked as free" }, { 168, 5, "belongs to inode" } };
	int nr_lost = 0, nr_wrong = 0;

	make_base("-R ^free-space-tree");
	for (int i = 0; i < NR(cases); i++) {
		for (unsigned n = 0;; n += cases[i].step, nr_lost++) {
			again();
			if (sh("python3 $root/tests/tools/btrfs_image.py lose d0 %u %u", cases[i].kind, n))
				break;
			nr_wrong += !gives_error("lose", ERR_CORRUPT, cases[i].text);
		}
	}
	ck_assert_int_gt(nr_lost, 15);
	ck_assert_int_eq(nr_wrong, 0);
}
END_TEST

/* A file extent that is cut short; one that names what is free, or a part of what is in use and more. */
START_TEST(wrong_file_extents)
{
	static const struct edit wrong[] = {
		{ "item 5 108 4 21 8 0x1000", ERR_CORRUPT, "belongs to inode" },
		{ "item 5 108 4 29 8 0x40000000", ERR_CORRUPT, "belongs to inode" },
		{ "item 5 108 4 29 8 0xFFFFFFFFFFFFF000", ERR_CORRUPT, "belongs to inode" },
		{ "wreck 5 all", ERR_CORRUPT, "wrong checksum" },
	};
	struct opened o;

	clean_up();
	SH("rm -rf tree && mkdir tree && for i in 1 2 3 4 5 6; do head -c 10000 /dev/urandom >tree/$i; done && truncate -s 120M d0 && "
	   "mkfs.btrfs -q --rootdir tree d0 && cp --sparse=always d0 base");
	expect_errors(wrong, NR(wrong));
	again();
	edit("wreck 5 0");
	open_clean(&o, "0");
	ck_assert_msg(strstr(o.v->info.notice, "run btrfs scrub"), "%s", o.v->info.notice);
	close_members(&o);
	again();
	edit("item 5 108 4 21 8 0"); /* a hole */
	open_clean(&o, "0");
	close_members(&o);
}
END_TEST

START_TEST(one_good_copy_is_enough)
{
	static const unsigned trees[] = { 1, 2, 3, 4, 10 };
	struct opened o;
	char command[32];

	make_base("");
	for (int i = 0; i < NR(trees); i++) {
		again();
		snprintf(command, sizeof(command), "wreck %u 0", trees[i]);
		edit(command);
		open_clean(&o, "0");
		ck_assert_msg(strstr(o.v->info.notice, "run btrfs scrub"), "%u: %s", trees[i], o.v->info.notice);
		close_members(&o);
		again();
		snprintf(command, sizeof(command), "wreck %u 1", trees[i]);
		edit(command);
		open_clean(&o, "0");
		close_members(&o);
	}
}
END_TEST

START_TEST(copies_of_the_superblock)
{
	static const struct {
		uint64_t off;
		uint8_t value;
		const char *text;
	} cases[] = {
		{ 0x40, 'x', "is missing" },
		{ 0x100, 0xEE, "is damaged" },
	};
	struct opened o;
	uint8_t raw[4096];

	make_base("");
	for (int i = 0; i < NR(cases); i++) {
		again();
		poke(0, 64 * MIB + cases[i].off, &cases[i].value, 1);
		open_clean(&o, "0");
		ck_assert_msg(strstr(o.v->info.notice, cases[i].text) && strstr(o.v->info.notice, "64 MiB"), "%s", o.v->info.notice);
		close_members(&o);
	}
	again();
	edit("super 0x12B 4 0x6c6c6568"); /* a new label: of the same generation, which is no contradiction */
	open_clean(&o, "0");
	ck_assert_str_eq(o.v->info.notice, "");
	ck_assert_str_eq(o.v->info.label, "hell");
	close_members(&o);
	/* The copy is older than the superblock. */
	again();
	struct btrfs_csum csum = { 0 };
	ck_assert_int_eq(btrfs_csum_init(&csum, 0, &o.e), 0);
	peek(0, 64 * MIB, raw, sizeof(raw));
	put_le64(raw, 0x48, get_le64(raw + 0x48) - 1);
	btrfs_csum_set(&csum, raw, sizeof(raw));
	poke(0, 64 * MIB, raw, sizeof(raw));
	open_clean(&o, "0");
	ck_assert_msg(strstr(o.v->info.notice, "another generation"), "%s", o.v->info.notice);
	close_members(&o);
	/* The first one is all that counts. */
	again();
	raw[0x100] ^= 1;
	poke(0, 64 * KIB, raw, sizeof(raw));
	ck_assert(gives_error("primary", ERR_CORRUPT, "wrong checksum"));
}
END_TEST

START_TEST(a_device_that_was_cut)
{
	struct opened o;

	make_base("");
	SH("truncate -s 119M d0");
	ck_assert(gives_error("cut", ERR_CORRUPT, "of a device that has"));
	again();
	SH("truncate -s 130M d0");
	open_clean(&o, "0");
	ck_assert_uint_eq(o.v->info.size, 120 * MIB);
	for (uint64_t u = 120 * MIB / UNIT; u < 130 * MIB / UNIT; u++)
		ck_assert(o.used[0][u]);
	close_members(&o);
}
END_TEST

START_TEST(groups_in_their_own_tree)
{
	static const struct edit broken[] = {
		{ "item 11 192 0 0 8 4096", ERR_CORRUPT, "counts 4096 bytes" },
		{ "drop 11 192 1", ERR_CORRUPT, "no block group" },
		{ "drop 1 132 5", ERR_CORRUPT, "tree 11 is missing" },
		{ "header 11 88 8 10", ERR_CORRUPT, "another tree or level" },
		{ "super 0xB4 8 0", ERR_CORRUPT, "no block group" },
	};
	struct opened o;

	make_base("");
	edit("groups -");
	SH("cp --sparse=always d0 base");
	open_clean(&o, "0");
	close_members(&o);
	expect_errors(broken, NR(broken));
}
END_TEST

START_TEST(not_mine)
{
	struct err e = ERR_INIT;
	struct fsd_volume *v;

	make_base("");
	poke(0, 64 * KIB + 0x40, "x", 1);
	struct blk_source *src = blk_open(at("d0"), 0, false, &e);
	ck_assert_int_eq(fsd_btrfs.probe(src, &e), 0);
	blk_close(src);
	src = blk_mem("short", 5, 512, "short", &e);
	ck_assert_int_eq(fsd_btrfs.probe(src, &e), 0);
	blk_close(src);
	/* Two file systems in one place are nobody's: taken whole */
	again();
	poke(0, 1024 + 0x38, "\x53\xef", 2);
	src = blk_open(at("d0"), 0, false, &e);
	struct blk_set set = { &src, 1 };
	ck_assert_int_eq(fsd_open(&set, false, &v, &e), 0);
	ck_assert_ptr_eq(v->driver, &fsd_raw);
	fsd_close(v);
	blk_close(src);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("btrfs_damage");
	TCase *tc = tcase_create("damage");
	SRunner *sr = srunner_create(s);

	tcase_add_unchecked_fixture(tc, setup, teardown);
	tcase_set_timeout(tc, 300);
	tcase_add_test(tc, contradictions);
	tcase_add_test(tc, lost_extents_without_a_second_book);
	tcase_add_test(tc, a_lie_that_all_books_tell);
	tcase_add_test(tc, lost_but_pointed_to);
	tcase_add_test(tc, wrong_file_extents);
	tcase_add_test(tc, one_good_copy_is_enough);
	tcase_add_test(tc, copies_of_the_superblock);
	tcase_add_test(tc, a_device_that_was_cut);
	tcase_add_test(tc, groups_in_their_own_tree);
	tcase_add_test(tc, not_mine);
	suite_add_tcase(s, tc);
	srunner_run_all(sr, CK_ENV);
	int failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
