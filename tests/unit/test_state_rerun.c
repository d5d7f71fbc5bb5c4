/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The state record: what an attempt saves, what a rerun adds to it, and what a power cut leaves of it. */
#include "imager/job/state.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define MIB     ((uint64_t)1 << 20)
#define TARGET  "/nowhere/target"
#define ENTRIES 2048

static char folder[] = "/tmp/calco-state.XXXXXX";
static char path[64];
static const uint8_t root[32] = { 1 };

static struct state *open_state(void)
{
	struct err e = ERR_INIT;
	struct state *s = NULL;

	ck_assert_msg(state_open(path, TARGET, 1024 * MIB, &s, &e) == 0, "%s", e.msg);
	return s;
}

static void save(struct state *s, uint64_t start, char byte)
{
	struct err e = ERR_INIT;
	uint8_t b[512];

	memset(b, byte, sizeof(b));
	ck_assert_msg(state_save(s, start, b, sizeof(b), &e) == 0, "%s", e.msg);
}

/* The kind of entry number i and the first byte it saved; "" behind the last. */
static const char *entry(unsigned i, char *ret_byte)
{
	static char kind[5];
	FILE *f = fopen(path, "rb");

	ck_assert(f && fseek(f, ENTRIES + (long)i * (24 + 512), SEEK_SET) == 0);
	memset(kind, 0, sizeof(kind));
	if (fread(kind, 4, 1, f) == 1) {
		fseek(f, 20, SEEK_CUR);
		ck_assert(fread(ret_byte, 1, 1, f) == 1);
	}
	fclose(f);
	return kind;
}

START_TEST(rerun_keeps_what_was_saved)
{
	struct err e = ERR_INIT;
	struct state *s = open_state();
	char byte;

	save(s, 0, 'a');
	ck_assert(state_sync(s, &e) == 0 && state_mark(s, MIB, &e) == 0);
	state_close(s);
	s = open_state();
	save(s, 0, 'x');         /* saved already */
	save(s, 512, 'x');       /* below the mark: the first attempt may have written it */
	save(s, 512 * MIB, 'b'); /* beyond */
	ck_assert(state_sync(s, &e) == 0);
	state_close(s);
	ck_assert_str_eq(entry(0, &byte), "SAVE");
	ck_assert_int_eq(byte, 'a');
	ck_assert_str_eq(entry(1, &byte), "LATE");
	ck_assert_str_eq(entry(2, &byte), "SAVE");
	ck_assert_int_eq(byte, 'b');
	ck_assert_str_eq(entry(3, &byte), "");
	s = open_state();
	save(s, 512, 'y'); /* known now */
	ck_assert_str_eq(entry(3, &byte), "");
	ck_assert(state_finish(s, root, &e) == 0);
	state_close(s);
	s = open_state();
	save(s, 0, 'c');
	state_close(s);
	ck_assert_str_eq(entry(0, &byte), "SAVE");
	ck_assert_int_eq(byte, 'c'); /* a finished record begins anew */
}
END_TEST

START_TEST(nothing_to_save)
{
	struct err e = ERR_INIT;
	struct state *s = open_state();
	char byte;

	ck_assert(state_sync(s, &e) == 0 && state_mark(s, MIB, &e) == 0);
	ck_assert_str_eq(state_path(s), "");
	state_close(s);
	s = open_state();
	save(s, 0, 'x');
	state_close(s);
	ck_assert_str_eq(entry(0, &byte), "LATE");
	unlink(path);
	s = open_state();
	ck_assert(state_sync(s, &e) == 0 && access(path, F_OK) == 0 && state_finish(s, root, &e) == 0);
	state_close(s);
	ck_assert(access(path, F_OK) < 0);
}
END_TEST

/* A restore that is stopped takes its mark back to what it wrote; what an earlier attempt wrote counts all the same, and so does a mark whose slot is torn. */
START_TEST(settled_mark)
{
	struct err e = ERR_INIT;
	struct state *s = open_state();

	save(s, 0, 'a');
	ck_assert(state_sync(s, &e) == 0 && state_mark(s, MIB, &e) == 0);
	ck_assert_uint_eq(state_get_mark(s), 257 * MIB);
	ck_assert(state_settle(s, 300 * MIB, &e) == 0); /* it never goes up */
	ck_assert_uint_eq(state_get_mark(s), 257 * MIB);
	ck_assert(state_settle(s, 0, &e) == 0);
	state_close(s);
	s = open_state();
	ck_assert_uint_eq(state_get_mark(s), 0);
	ck_assert(state_mark(s, MIB, &e) == 0 && state_settle(s, MIB, &e) == 0);
	state_close(s);
	s = open_state();
	ck_assert_uint_eq(state_get_mark(s), MIB);
	ck_assert(state_mark(s, 2 * MIB, &e) == 0 && state_settle(s, 0, &e) == 0);
	state_close(s);
	s = open_state();
	ck_assert_uint_eq(state_get_mark(s), MIB);
	ck_assert(state_mark(s, 3 * MIB, &e) == 0); /* the 7th, in the second slot; the one that settled is in the first */
	ck_assert(state_settle(s, 3 * MIB, &e) == 0);
	state_close(s);
	FILE *f = fopen(path, "r+b");
	ck_assert(f && fseek(f, 1024, SEEK_SET) == 0 && fputc('x', f) == 'x' && fclose(f) == 0);
	s = open_state();
	ck_assert_uint_eq(state_get_mark(s), 259 * MIB);
	state_close(s);
}
END_TEST

/* What has a similar name, and what is no record, is somebody else's: never overwritten, removed or opened. */
START_TEST(strangers_files)
{
	char part[80];
	struct err e = ERR_INIT;
	struct state *s;

	snprintf(part, sizeof(part), "%s.part", path);
	FILE *f = fopen(part, "wb");
	ck_assert(f && ftruncate(fileno(f), 1024) == 0);
	fclose(f);
	s = open_state();
	save(s, 0, 'a');
	state_close(s);
	ck_assert(access(part, F_OK) == 0);
	ck_assert(truncate(path, 0) == 0 && truncate(path, 4096) == 0);
	ck_assert_int_eq(state_open(path, TARGET, 1024 * MIB, &s, &e), -1);
	ck_assert_int_eq(e.code, ERR_REFUSED);
	unlink(path);
	ck_assert_int_eq(mkfifo(path, 0600), 0);
	ck_assert_int_eq(state_open(path, TARGET, 1024 * MIB, &s, &e), -1);
	ck_assert_int_eq(e.code, ERR_REFUSED);
	ck_assert_int_eq(access(path, F_OK), 0);
	unlink(part);
}
END_TEST

static void clean(void)
{
	unlink(path);
}

int main(void)
{
	Suite *suite = suite_create("state rerun");
	TCase *tc = tcase_create("record");
	SRunner *runner = srunner_create(suite);

	if (!mkdtemp(folder))
		return EXIT_FAILURE;
	snprintf(path, sizeof(path), "%s/record", folder);
	tcase_add_checked_fixture(tc, NULL, clean);
	tcase_add_test(tc, rerun_keeps_what_was_saved);
	tcase_add_test(tc, nothing_to_save);
	tcase_add_test(tc, settled_mark);
	tcase_add_test(tc, strangers_files);
	suite_add_tcase(suite, tc);
	srunner_run_all(runner, CK_ENV);
	int failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	rmdir(folder);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
