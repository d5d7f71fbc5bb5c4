/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Patches over a source: what is read at all their borders, and what is refused. */
#include "base/overlay.h"

#include <check.h>
#include <string.h>

#define SIZE 4096U

static uint8_t below[SIZE], want[SIZE];
static struct blk_source *mem;
static struct blk_overlay *o;
static struct err e;

static void open_overlay(void)
{
	memset(below, 'b', sizeof(below));
	memcpy(want, below, sizeof(want));
	e = (struct err)ERR_INIT;
	mem = blk_mem(below, SIZE, 512, "below", &e);
	ck_assert_ptr_nonnull(mem);
	o = blk_overlay_new(mem, &e);
	ck_assert_ptr_nonnull(o);
}

static void close_overlay(void)
{
	blk_overlay_free(o);
	blk_close(mem);
}

static void put(uint64_t off, uint8_t byte, size_t len)
{
	uint8_t bytes[SIZE];

	memset(bytes, byte, len);
	memcpy(want + off, bytes, len);
	ck_assert_int_eq(blk_overlay_put(o, off, bytes, len, &e), 0);
	memset(bytes, 0, sizeof(bytes)); /* it was copied */
}

static void check_all(void)
{
	static const uint64_t borders[] = { 0, 1, 511, 512, 513, 600, 1023, 1024, 1025, 1535, 1536, 2048, 3000, 4095, 4096 };
	uint8_t got[SIZE];

	for (size_t i = 0; i < sizeof(borders) / sizeof(borders[0]); i++)
		for (size_t k = i; k < sizeof(borders) / sizeof(borders[0]); k++) {
			size_t len = (size_t)(borders[k] - borders[i]);
			ck_assert_int_eq(blk_read(blk_overlay_source(o), borders[i], got, len, &e), 0);
			ck_assert_int_eq(memcmp(got, want + borders[i], len), 0);
		}
}

START_TEST(test_read)
{
	open_overlay();
	ck_assert_uint_eq(blk_overlay_source(o)->size, SIZE);
	check_all();
	put(1024, '3', 512);
	put(0, '1', 1);
	put(512, '2', 512);
	put(4095, '4', 1);
	put(77, 'x', 0);
	ck_assert_int_eq(blk_overlay_seal(o, &e), 0);
	check_all();
	put(2048, '5', 1000);
	ck_assert_int_eq(blk_overlay_seal(o, &e), 0);
	check_all();
	ck_assert_int_eq(below[0], 'b');
	close_overlay();
}
END_TEST

START_TEST(test_refused)
{
	open_overlay();
	ck_assert_int_eq(blk_overlay_put(o, SIZE - 1, "xy", 2, &e), -1);
	ck_assert_int_eq(e.code, ERR_CORRUPT);
	ck_assert_int_eq(blk_overlay_put(o, ~0ULL, "xy", 2, &e), -1);
	put(100, '1', 10);
	put(109, '2', 10);
	ck_assert_int_eq(blk_overlay_seal(o, &e), -1);
	ck_assert_int_eq(e.code, ERR_CORRUPT);
	ck_assert(blk_read(blk_overlay_source(o), SIZE - 1, want, 2, &e) < 0);
	close_overlay();
}
END_TEST

int main(void)
{
	Suite *s = suite_create("overlay");
	TCase *t = tcase_create("overlay");

	tcase_add_test(t, test_read);
	tcase_add_test(t, test_refused);
	suite_add_tcase(s, t);
	SRunner *r = srunner_create(s);
	srunner_run_all(r, CK_ENV);
	int failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
