/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Files of a repository that are made, taken for left over, and opened while others do the same. */
#include "imager/image/access.h"
#include "imager/repo/files.h"
#include "imager/repo/leaf_cache.h"
#include "imager/repo/pack.h"
#include "imager/repo/pack_parts.h"
#include "imager/repo/unfinished.h"

#include "base/hex.h"
#include "base/random.h"

#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static char dir[64];
static struct repo *r;
static struct err e;

static void setup(void)
{
	snprintf(dir, sizeof(dir), "%s/calco-files.XXXXXX", access("/dev/shm", W_OK) ? "/tmp" : "/dev/shm");
	ck_assert_ptr_nonnull(mkdtemp(dir));
	e = (struct err)ERR_INIT;
	ck_assert_msg(repo_init(dir, NULL, &e) == 0, "%s", e.msg);
	ck_assert_msg((r = repo_open(dir, &e)) != NULL, "%s", e.msg);
}

static void teardown(void)
{
	char cmd[100];

	repo_close(r);
	snprintf(cmd, sizeof(cmd), "rm -rf '%s'", dir);
	ck_assert_int_eq(system(cmd), 0);
}

static bool is_there(const char *path)
{
	return faccessat(r->fd, path, F_OK, 0) == 0;
}

/* Others look for what is left over, all the time. */
struct others {
	pthread_t threads[2];
	atomic_bool end;
	bool prunes;
};

static void *look_for_left_overs(void *arg)
{
	struct others *o = arg;
	struct err why = ERR_INIT;
	uint64_t bytes = 0;

	while (!o->end)
		if ((o->prunes ? unfinished_count(r, true, &bytes, &why) : packs_adopt(r, &bytes, &why)) < 0)
			return strdup(why.msg);
	return NULL;
}

static void others_begin(struct others *o)
{
	for (size_t i = 0; i < 2; i++)
		ck_assert_int_eq(pthread_create(&o->threads[i], NULL, look_for_left_overs, o), 0);
}

static void others_end(struct others *o)
{
	o->end = true;
	for (size_t i = 0; i < 2; i++) {
		void *said;
		pthread_join(o->threads[i], &said);
		ck_assert_msg(!said, "%s", (char *)said);
	}
}

/* Whoever has opened a pack has its files, both of them, until he closes it. */
START_TEST(nobody_takes_them)
{
	struct others o = { .prunes = _i };
	char pack[64], leaves[64], hex[33];

	others_begin(&o);
	for (int n = 0; n < 3000; n++) {
		struct pack_writer *w = pack_writer_open(r, &e);
		ck_assert_msg(w != NULL, "%s", e.msg);
		hex_of(pack_writer_id(w), 16, hex);
		pack_new_path(hex, "pack", pack, sizeof(pack));
		pack_new_path(hex, "leaves", leaves, sizeof(leaves));
		for (int k = 0; k < 5; k++) {
			ck_assert_msg(is_there(pack), "the pack %d is gone", n);
			ck_assert_msg(is_there(leaves), "the leaves of pack %d are gone", n);
		}
		pack_writer_close(w);
		ck_assert(!is_there(pack) && !is_there(leaves));
	}
	others_end(&o);
}
END_TEST

START_TEST(plain_files_only)
{
	struct stat st;

	ck_assert_int_eq(mkfifoat(r->fd, "packs/pipe", 0600), 0);
	ck_assert_int_eq(mkdirat(r->fd, "packs/folder", 0700), 0);
	ck_assert_int_eq(symlinkat("../calco-repo", r->fd, "packs/link"), 0);
	ck_assert_int_eq(symlinkat("../packs", r->fd, "images/link"), 0);
	static const char *const odd[] = { "packs/pipe", "packs/folder", "packs/link" };
	static const int flags[] = { O_RDONLY, O_RDWR, O_WRONLY | O_CREAT };
	for (size_t i = 0; i < 9; i++) {
		ck_assert_int_eq(repo_open_file(r, odd[i / 3], flags[i % 3], &e), -1);
		ck_assert_msg(e.code == ERR_CORRUPT && strstr(e.msg, odd[i / 3]), "%s: %s", odd[i / 3], e.msg);
	}
	ck_assert_int_eq(repo_open_file(r, "packs/none", O_RDONLY, &e), -1);
	ck_assert(e.code == ERR_FAILED && e.sys_errno == ENOENT);
	ck_assert_int_eq(repo_open_file(r, "images/none/1.version", O_RDONLY, &e), -1);
	ck_assert(e.code == ERR_FAILED && e.sys_errno == ENOENT);
	ck_assert_int_eq(repo_open_file(r, "images/link/folder", O_RDONLY, &e), -1);
	ck_assert(e.code == ERR_REFUSED && !strcmp(e.reason, "link"));
	ck_assert_int_eq(repo_open_folder(r, "images/link", &e), -1);
	ck_assert(e.code == ERR_REFUSED && !strcmp(e.reason, "link"));
	AUTO_CLOSE_FD int fd = repo_open_file(r, "calco-repo", O_RDONLY, &e);
	ck_assert(fd >= 0 && fstat(fd, &st) == 0 && S_ISREG(st.st_mode));
	AUTO_CLOSE_FD int folder = repo_open_folder(r, "packs/folder", &e);
	ck_assert_int_ge(folder, 0);
}
END_TEST

/* More caches than are kept open, which become shorter in the middle. */
START_TEST(leaf_caches)
{
	enum { NR = 200, RECORDS = 3 };
	struct pack_toc tocs[NR];
	static uint8_t lists[RECORDS][LEAF_LIST];
	uint8_t got[LEAF_LIST];
	char path[64], hex[33];

	struct leaf_caches *c = leaf_caches_new(r, &e);
	ck_assert_ptr_nonnull(c);
	for (unsigned i = 0; i < NR; i++) {
		tocs[i] = (struct pack_toc){ .nr = RECORDS };
		ck_assert_int_eq(random_bytes(tocs[i].id, 16, &e), 0);
		memset(lists, (int)i, sizeof(lists));
		lists[1][5 * HASH_SIZE] = 77;
		snprintf(path, sizeof(path), "leaves/%s", hex_of(tocs[i].id, 16, hex));
		if (i % 10 == 0)
			continue;
		int fd = openat(r->fd, path, O_WRONLY | O_CREAT, 0600);
		ck_assert_int_eq(write(fd, lists, sizeof(lists) - (i % 10 == 1)), (ssize_t)sizeof(lists) - (i % 10 == 1));
		close(fd);
	}
	for (unsigned turn = 0; turn < 3; turn++)
		for (unsigned i = 0; i < NR; i++) {
			bool is_whole = i % 10 > 1;
			ck_assert_int_eq(leaf_caches_read(c, &tocs[i], 0, 0, 0, NULL), is_whole);
			ck_assert_int_eq(leaf_caches_read(c, &tocs[i], 1, 4, 2, got), is_whole);
			ck_assert(!is_whole || (got[0] == i && got[HASH_SIZE] == 77 && got[HASH_SIZE + 1] == i));
		}
	snprintf(path, sizeof(path), "leaves/%s", hex_of(tocs[NR - 1].id, 16, hex));
	ck_assert(leaf_caches_read(c, &tocs[NR - 1], 2, 0, CHUNK_LEAVES, got));
	int fd = openat(r->fd, path, O_WRONLY | O_TRUNC);
	close(fd);
	ck_assert(!leaf_caches_read(c, &tocs[NR - 1], 2, 0, CHUNK_LEAVES, got));
	leaf_caches_free(c);
	leaf_caches_free(NULL);
}
END_TEST

/* Of an encrypted repository: each list opens by itself, and only where it was written. */
START_TEST(sealed_caches)
{
	enum { RECORDS = 5 };
	const struct key key = { .kind = KEY_SYMMETRIC };
	const struct img_access access = { .keys = { .keys = &key, .nr_keys = 1 } };
	static uint8_t file[SEAL_SALT_SIZE + RECORDS * (LEAF_LIST + SEAL_TAG_SIZE)];
	uint8_t lists[RECORDS][CHUNK_LEAVES][HASH_SIZE], got[LEAF_LIST];
	struct pack_toc toc = { .nr = RECORDS, .id = { 1, 2, 3 } };
	struct file_out out = { .fd = -1 };
	struct leaf_writer w;
	char sealed_dir[80], path[64], hex[33];
	size_t list = LEAF_LIST + SEAL_TAG_SIZE;

	snprintf(sealed_dir, sizeof(sealed_dir), "%s/sealed", dir);
	ck_assert_msg(repo_init(sealed_dir, &access.keys, &e) == 0, "%s", e.msg);
	AUTO(repo) struct repo *sealed = repo_open(sealed_dir, &e);
	ck_assert_msg(sealed && repo_use_keys(sealed, &access, &e) == 0, "%s", e.msg);
	ck_assert_uint_eq(leaf_cache_size(sealed, RECORDS), sizeof(file));
	snprintf(path, sizeof(path), "leaves/%s", hex_of(toc.id, 16, hex));
	AUTO_CLOSE_FD int fd = openat(sealed->fd, path, O_RDWR | O_CREAT, 0600);
	ck_assert_int_eq(file_out_open(&out, fd, path, NULL, &e), 0);
	ck_assert_int_eq(random_bytes(lists, sizeof(lists), &e), 0);
	ck_assert_int_eq(leaf_writer_begin(&w, sealed, toc.id, &out, &e), 0);
	for (unsigned i = 0; i < RECORDS; i++)
		ck_assert_int_eq(leaf_writer_put(&w, (const uint8_t(*)[HASH_SIZE])lists[i], &e), 0);
	leaf_writer_release(&w);
	ck_assert_int_eq(file_out_drain(&out, &e), 0);
	file_out_close(&out);
	ck_assert_int_eq(pread(fd, file, sizeof(file), 0), sizeof(file));
	/* Lists 1 and 2 stand in for each other, a bit of list 3 is another. */
	uint8_t *second = file + SEAL_SALT_SIZE + list;
	memcpy(got, second, sizeof(got));
	for (size_t i = 0; i < list; i++) {
		uint8_t b = second[i];
		second[i] = second[list + i];
		second[list + i] = b;
	}
	ck_assert_int_ne(memcmp(got, second, sizeof(got)), 0);
	second[2 * list + 100] ^= 4;
	for (unsigned turn = 0; turn < 2; turn++) {
		struct leaf_caches *c = leaf_caches_new(sealed, &e);
		ck_assert(leaf_caches_read(c, &toc, 0, 0, 0, NULL));
		for (unsigned i = 0; i < 4 * RECORDS; i++) {
			unsigned n = i * 7 % RECORDS, first = i % CHUNK_LEAVES;
			bool opens = !turn || n == 0 || n == 4;
			ck_assert_int_eq(leaf_caches_read(c, &toc, n, first, 3, got), opens);
			ck_assert(!opens || !memcmp(got, lists[n][first], 3 * (size_t)HASH_SIZE));
		}
		leaf_caches_free(c);
		ck_assert_int_eq(pwrite(fd, file, sizeof(file), 0), sizeof(file));
	}
	AUTO(repo) struct repo *locked = repo_open(sealed_dir, &e);
	ck_assert_ptr_null(leaf_cache_open(locked, &toc));
}
END_TEST

int main(void)
{
	Suite *s = suite_create("repo_files");
	TCase *tc = tcase_create("files");

	tcase_set_timeout(tc, 120);
	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_loop_test(tc, nobody_takes_them, 0, 2);
	tcase_add_test(tc, plain_files_only);
	tcase_add_test(tc, leaf_caches);
	tcase_add_test(tc, sealed_caches);
	suite_add_tcase(s, tc);
	SRunner *sr = srunner_create(s);
	srunner_run_all(sr, CK_ENV);
	int failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed != 0;
}
