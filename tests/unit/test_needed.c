/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * What a prune believes. A location table is replaced when records move and no root proves it: one that names other records than the version's
 * chunks need must never make a prune take away the right ones.
 */
#include "imager/repo/helper_lists.h"
#include "imager/repo/maintain.h"
#include "imager/repo/needed.h"
#include "tests/unit/repo_make.h"

static char dir[64];
static struct repo *repo;

/* Three packs: chunks 0 and 1; chunk 2; a record composed of what chunk 2 lends. */
static struct made a[2], b, composed;

static void setup(void)
{
	struct err e = ERR_INIT;

	repo = make_repo(dir, sizeof(dir), "needed");
	make_pack(repo, 0, 2, a);
	make_pack(repo, 2, 1, &b);
	AUTO(pack_writer) struct pack_writer *w = pack_writer_open(repo, &e);
	ck_assert_msg(w != NULL, "%s", e.msg);
	composed = make_composed(w, &b);
	ok(pack_writer_finish(w, &e), &e);
}

static void teardown(void)
{
	remove_repo(repo);
}

static int prune(struct err *e)
{
	struct prune_options o = { .max_unused = 100 };
	struct prune_result ret;

	return repo_prune(repo, &o, &ret, NULL, e);
}

static void expect_refused(const char *where, const char *what)
{
	struct err e = ERR_INIT;

	fails(prune(&e), ERR_CORRUPT, &e);
	ck_assert_msg(strstr(e.msg, where) && strstr(e.msg, what), "%s", e.msg);
	ck_assert(pack_is_there(repo, a[0].pack) && pack_is_there(repo, b.pack) && pack_is_there(repo, composed.pack));
	ck_assert(!pack_is_retired(repo, a[0].pack) && !pack_is_retired(repo, b.pack) && !pack_is_retired(repo, composed.pack));
}

/* Each of them is there, and sound: only the chunk's id tells that it is the wrong one. */
START_TEST(another_record)
{
	const struct made ids[] = { a[0], a[1], b }, at[] = { a[0], a[1], a[1] };

	make_version(repo, 1, 3, ids, at, 0, NULL);
	expect_refused("version 1 of 'lab': chunk 2: ", "another chunk");
}
END_TEST

START_TEST(no_record)
{
	const struct made ids[] = { a[0], b }, at[] = { a[0], { .entry.offset = 0 } };

	make_version(repo, 1, 2, ids, at, 0, NULL);
	expect_refused("version 1 of 'lab': chunk 1: ", "no record");
}
END_TEST

START_TEST(lender_left_out)
{
	const struct made ids[] = { a[0], composed };

	make_version(repo, 1, 2, ids, ids, 0, NULL);
	expect_refused("version 1 of 'lab': chunk 1: ", "leaves out");
}
END_TEST

START_TEST(another_lender)
{
	const struct made ids[] = { a[0], composed };
	struct made wrong = a[1];

	wrong.entry.name = b.entry.name;
	make_version(repo, 1, 2, ids, ids, 1, &wrong);
	expect_refused("version 1 of 'lab': ", "another record");
}
END_TEST

/* Right tables: what they name stays, with the lenders, and the rest goes. */
START_TEST(right_tables)
{
	struct err e = ERR_INIT;
	AUTO(helper_lists) struct helper_lists *lists = helper_lists_new(repo, &e);

	make_version(repo, 1, 1, &composed, &composed, 1, &b);
	AUTO(needed) struct needed *n = needed_find(repo, lists, NULL, &e);
	ck_assert_msg(n != NULL, "%s", e.msg);
	ck_assert_uint_eq(n->nr, 3);
	ck_assert_uint_eq(needed_pack(n, a[0].pack)->needed_bytes, 0);
	ck_assert_uint_eq(needed_pack(n, b.pack)->needed_bytes, b.entry.len);
	ck_assert_uint_eq(needed_pack(n, composed.pack)->needed_bytes, composed.entry.len);
	ok(prune(&e), &e);
	ck_assert(!pack_is_there(repo, a[0].pack) && pack_is_there(repo, b.pack) && pack_is_there(repo, composed.pack));
}
END_TEST

/* Many composed records: each keeps its own list while the lists grow. */
START_TEST(many_lists)
{
	struct err e = ERR_INIT;
	AUTO(helper_lists) struct helper_lists *lists = helper_lists_new(repo, &e);
	AUTO(pack_writer) struct pack_writer *w = pack_writer_open(repo, &e);
	const struct img_record_name *names;
	static struct made many[3000];
	unsigned nr;

	ck_assert(lists && w);
	for (unsigned i = 0; i < 3000; i++) {
		struct made lender = b;
		lender.entry.name.number = i;
		many[i] = make_composed(w, &lender);
	}
	ok(pack_writer_finish(w, &e), &e);
	for (unsigned turn = 0; turn < 2; turn++)
		for (unsigned i = 0; i < 3000; i++) {
			ok(helper_lists_get(lists, many[i].pack, &many[i].entry, &names, &nr, &e), &e);
			ck_assert_uint_eq(nr, 1);
			ck_assert_uint_eq(names[0].number, i);
			ck_assert(!memcmp(names[0].origin, b.entry.name.origin, 16));
		}
	fails(helper_lists_get(lists, b.pack, &b.entry, &names, &nr, &e), ERR_CORRUPT, &e);
}
END_TEST

/* A check tells the same. */
START_TEST(check_finds_it)
{
	const struct made ids[] = { a[0], b }, wrong[] = { a[0], a[1] }, nowhere[] = { a[0], { .entry.offset = 0 } };
	struct check_options o = { .sample = 100, .threads = 1 };
	struct check_result ret;
	struct err e = ERR_INIT;

	make_version(repo, 1, 2, ids, wrong, 0, NULL);
	make_version(repo, 2, 2, ids, nowhere, 0, NULL);
	make_version(repo, 3, 1, &composed, &composed, 0, NULL);
	make_version(repo, 4, 1, &composed, &composed, 1, &b);
	fails(repo_check(repo, &o, &ret, NULL, &e), ERR_CORRUPT, &e);
	ck_assert_uint_eq(ret.nr_versions, 4);
	for (unsigned i = 0; i < 4; i++)
		ck_assert_uint_eq(ret.versions[i].nr_bad, i < 3);
	ck_assert_uint_eq(ret.nr_whole, 1);
	check_result_release(&ret);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("needed");
	TCase *t = tcase_create("needed");

	suite_add_tcase(s, t);
	tcase_set_timeout(t, 120);
	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, another_record);
	tcase_add_test(t, no_record);
	tcase_add_test(t, lender_left_out);
	tcase_add_test(t, another_lender);
	tcase_add_test(t, right_tables);
	tcase_add_test(t, many_lists);
	tcase_add_test(t, check_finds_it);
	return run_suite(s);
}
