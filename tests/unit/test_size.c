/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Sizes as text: exact below 10 KiB, one decimal above, and no garbage accepted. */
#include "base/size.h"

#include <check.h>
#include <stdlib.h>

static const struct {
	uint64_t bytes;
	const char *text;
} formats[] = {
	{ 0, "0 bytes" },
	{ 1, "1 byte" },
	{ 512, "512 bytes" },
	{ 10239, "10239 bytes" },
	{ 10240, "10.0 KiB" },
	{ 1536 << 10, "1.5 MiB" },
	{ 1ULL << 30, "1.0 GiB" },
	{ (1ULL << 30) - 1, "1.0 GiB" },
	{ 3ULL << 29, "1.5 GiB" },
	{ 8000000000ULL, "7.5 GiB" },
	{ 1099511627775ULL, "1.0 TiB" },
	{ 1023ULL << 20, "1023.0 MiB" },
	{ UINT64_MAX, "16.0 EiB" },
};

START_TEST(format)
{
	char out[32];

	size_format(formats[_i].bytes, out);
	ck_assert_str_eq(out, formats[_i].text);
}
END_TEST

static const struct {
	const char *text;
	uint64_t bytes;
} parses[] = {
	{ "0", 0 },
	{ "4096", 4096 },
	{ "4096B", 4096 },
	{ "64K", 65536 },
	{ "64k", 65536 },
	{ "64KiB", 65536 },
	{ "64kB", 64000 },
	{ "1GiB", 1ULL << 30 },
	{ "1 GiB", 1ULL << 30 },
	{ "1.5G", 3ULL << 29 },
	{ "0.5K", 512 },
	{ "1.1M", 1153433 },
	{ "500GB", 500000000000ULL },
	{ "2TB", 2000000000000ULL },
	{ "2T", 2ULL << 40 },
	{ "15.5E", 31ULL << 59 },
	{ "18446744073709551615", UINT64_MAX },
};

START_TEST(parse)
{
	struct err e = ERR_INIT;
	uint64_t got = 7;

	ck_assert_msg(size_parse(parses[_i].text, &got, &e) == 0, "%s: %s", parses[_i].text, e.msg);
	ck_assert_uint_eq(got, parses[_i].bytes);
}
END_TEST

static const char *const garbage[] = {
	"", " ", "K", "-1", "+1", " 1", "1 ", "1.", ".5G", "1.5", "1.5B", "1..5G", "1x", "1KK", "1Ki", "1iB", "0x10", "1e3", "1,5G",
	"1  K", "18446744073709551616", "16E", "16777216T", "18447PB", "99999999999999999999999G", "1.00000000000000000000001G",
	"15.99999999999999999999E", "1G\n", "1\xc2\xa0G",
};

START_TEST(refuse)
{
	struct err e = ERR_INIT;
	uint64_t got = 7;

	ck_assert_msg(size_parse(garbage[_i], &got, &e) == -1, "'%s' was taken as %llu", garbage[_i], (unsigned long long)got);
	ck_assert_int_eq(e.code, ERR_USAGE);
	ck_assert_uint_eq(got, 7);
	ck_assert(e.hint[0]);
}
END_TEST

#define NR(a) (int)(sizeof(a) / sizeof((a)[0]))

int main(void)
{
	Suite *s = suite_create("size");
	TCase *t = tcase_create("size");

	tcase_add_loop_test(t, format, 0, NR(formats));
	tcase_add_loop_test(t, parse, 0, NR(parses));
	tcase_add_loop_test(t, refuse, 0, NR(garbage));
	suite_add_tcase(s, t);
	SRunner *r = srunner_create(s);
	srunner_run_all(r, CK_ENV);
	int failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
