/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Helpers of the image tests: a repeatable random generator, errors as assertions, and files in a folder of the test's own. */
#ifndef CALCO_TESTS_UNIT_IMAGE_UTIL_H
#define CALCO_TESTS_UNIT_IMAGE_UTIL_H

#include "base/err.h"

#include <check.h>
#include <dirent.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* xorshift64*: the same numbers everywhere, from a seed that is not 0. */
static inline uint64_t rnd(uint64_t *state)
{
	uint64_t x = *state;

	x ^= x >> 12;
	x ^= x << 25;
	x ^= x >> 27;
	*state = x;
	return x * 0x2545F4914F6CDD1DULL;
}

/* A number in [0, n). */
static inline uint64_t rnd_below(uint64_t *state, uint64_t n)
{
	return (rnd(state) >> 11) % n;
}

static inline void rnd_fill(uint64_t *state, void *p, size_t len)
{
	uint8_t *b = p;

	for (size_t i = 0; i < len; i++)
		b[i] = (uint8_t)(rnd(state) >> 33);
}

/* ok(call, &e): the call returned 0 */
#define ok(call, e) ck_assert_msg((call) == 0, "%s: %s", #call, (e)->msg)
/* fails(call, code, &e): the call returned -1 with this code */
#define fails(call, want, e)                                                                       \
	do {                                                                                       \
		ck_assert_msg((call) == -1, "%s did not fail", #call);                             \
		ck_assert_msg((e)->code == (want), "%s: code %d: %s", #call, (e)->code, (e)->msg); \
	} while (0)

/* temp_dir - make a folder of our own; temp_remove - with all plain files in it */
static inline void temp_dir(char *ret, size_t size, const char *name)
{
	snprintf(ret, size, "/tmp/test_%s.XXXXXX", name);
	ck_assert_ptr_nonnull(mkdtemp(ret));
}

static inline void temp_remove(const char *dir)
{
	DIR *d = opendir(dir);
	char path[4096];

	for (struct dirent *de; d && (de = readdir(d));) {
		snprintf(path, sizeof(path), "%s/%s", dir, de->d_name);
		if (strcmp(de->d_name, ".") && strcmp(de->d_name, "..") && unlink(path) < 0)
			rmdir(path);
	}
	if (d)
		closedir(d);
	rmdir(dir);
}

/* The bytes of a file; free() them. */
static inline uint8_t *file_read(const char *path, size_t *ret_len)
{
	FILE *f = fopen(path, "rb");
	struct stat st;

	ck_assert_ptr_nonnull(f);
	ck_assert_int_eq(fstat(fileno(f), &st), 0);
	uint8_t *p = malloc((size_t)st.st_size + 1);
	ck_assert_ptr_nonnull(p);
	*ret_len = fread(p, 1, (size_t)st.st_size, f);
	ck_assert_uint_eq(*ret_len, (size_t)st.st_size);
	fclose(f);
	return p;
}

static inline void file_write(const char *path, const void *bytes, size_t len)
{
	FILE *f = fopen(path, "wb");

	ck_assert_ptr_nonnull(f);
	ck_assert_uint_eq(fwrite(bytes, 1, len, f), len);
	ck_assert_int_eq(fclose(f), 0);
}

/* run_suite - the usual main() of a test program */
static inline int run_suite(Suite *s)
{
	SRunner *r = srunner_create(s);

	srunner_run_all(r, CK_ENV);
	int failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}

#endif
