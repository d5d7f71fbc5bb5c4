/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Checking a repository while others work in it. */
#include "base/hex.h"
#include "imager/repo/check_records.h"
#include "imager/repo/leaf_cache.h"
#include "imager/repo/rebuild.h"
#include "tests/unit/repo_make.h"

#define NR_PACKS 4U

static char dir[64];
static struct repo *repo;

static void setup(void)
{
	repo = make_repo(dir, sizeof(dir), "repo_check");
}

static void teardown(void)
{
	remove_repo(repo);
}

static int no_problem(void *arg, const char *text, struct err *e)
{
	(void)arg;
	(void)e;
	ck_abort_msg("%s", text);
	return 0;
}

static void insert(struct checked_packs *c, const uint8_t id[16])
{
	struct err e = ERR_INIT;
	struct pack_toc *toc = pack_toc_read(repo, id, &e);

	ck_assert_msg(toc != NULL, "%s", e.msg);
	ck_assert_ptr_nonnull(checked_packs_insert(c, toc));
}

static uint8_t *cache_of(const uint8_t id[16], size_t *ret_len, char *path, size_t size)
{
	char hex[33];

	snprintf(path, size, "%s/leaves/%s", dir, hex_of(id, 16, hex));
	return file_read(path, ret_len);
}

/* A pack that another prune makes is found when a version names it, and takes a place before others: their caches are still made of their own records. */
START_TEST(a_pack_comes_between)
{
	uint8_t (*ids)[16];
	struct err e = ERR_INIT;
	struct checked_packs c = { .packs = folder_packs_open(repo, &e) };
	struct check_options o = { .sample = 100, .threads = 1, .rebuild_index = true };
	struct check_result result = { .nr_packs = 0 };
	struct made made[3];
	size_t nr;

	for (unsigned i = 0; i < NR_PACKS; i++)
		make_pack(repo, 10 * i, 3 - i % 3, made);
	ok(packs_list(repo, true, &ids, &nr, &e), &e);
	ck_assert_uint_eq(nr, NR_PACKS);
	for (unsigned i = 0; i < NR_PACKS; i++)
		if (i != (unsigned)_i)
			insert(&c, ids[i]);
	ok(check_records(NULL, &c, &o, &result, no_problem, NULL, NULL, &e), &e);
	insert(&c, ids[_i]);
	for (unsigned i = 0; i < NR_PACKS; i++) {
		char path[PATH_MAX];
		size_t len, new_len;
		AUTO_FREE uint8_t *was = cache_of(ids[i], &len, path, sizeof(path));
		if (i == (unsigned)_i) /* nobody has looked at its records */
			continue;
		ck_assert_int_eq(rebuild_leaves(repo, &c, &c.items[i], NULL, &e), 0);
		ck_assert_int_eq(unlink(path), 0);
		ck_assert_msg(rebuild_leaves(repo, &c, &c.items[i], NULL, &e) == 1, "%s", e.msg);
		AUTO_FREE uint8_t *is = cache_of(ids[i], &new_len, path, sizeof(path));
		ck_assert_uint_eq(new_len, len);
		ck_assert(!memcmp(is, was, len));
	}
	ck_assert_int_eq(rebuild_leaves(repo, &c, &c.items[_i], NULL, &e), 0);
	checked_packs_release(&c);
	check_result_release(&result);
	free(ids);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("repo_check");
	TCase *t = tcase_create("repo_check");

	suite_add_tcase(s, t);
	tcase_set_timeout(t, 120);
	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_loop_test(t, a_pack_comes_between, 0, (int)NR_PACKS);
	return run_suite(s);
}
