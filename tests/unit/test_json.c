/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The JSON writer against an independent reader: Python loads each document and compares it with its own literal. */
#include "base/json.h"
#include "base/utf8.h"

#include <check.h>
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* python_says - does Python, loading the document as d, find the expression true? */
static void python_says(const char *document, const char *expression)
{
	char command[1024];

	ck_assert_ptr_nonnull(document);
	snprintf(command, sizeof(command), "python3 -c 'import json, sys; d = json.load(sys.stdin); sys.exit(not (%s))'", expression);
	FILE *p = popen(command, "w");
	ck_assert_ptr_nonnull(p);
	ck_assert_uint_eq(fwrite(document, 1, strlen(document), p), strlen(document));
	ck_assert_msg(pclose(p) == 0, "%s is not true of %s", expression, document);
}

static void write_nested(struct json *j)
{
	json_object(j, NULL);
	json_u64(j, "max", UINT64_MAX);
	json_i64(j, "min", INT64_MIN);
	json_bool(j, "yes", true);
	json_bool(j, "no", false);
	json_null(j, "nothing");
	json_str(j, "missing", NULL);
	json_hex(j, "hex", (const uint8_t *)"\x00\xFF\x1a", 3);
	json_object(j, "empty_object");
	json_end(j);
	json_array(j, "list");
	json_u64(j, NULL, 1);
	json_array(j, NULL);
	json_end(j);
	json_object(j, NULL);
	json_str(j, "a", "b");
	json_end(j);
	json_end(j);
	json_end(j);
}

START_TEST(nesting)
{
	struct json j;
	struct err e = ERR_INIT;

	json_to_buffer(&j, _i == 1);
	write_nested(&j);
	ck_assert_int_eq(json_finish(&j, &e), 0);
	python_says(json_text(&j), "d == {\"max\": 2**64 - 1, \"min\": -2**63, \"yes\": True, \"no\": False, \"nothing\": None, "
		"\"missing\": None, \"hex\": \"00ff1a\", \"empty_object\": {}, \"list\": [1, [], {\"a\": \"b\"}]}");
	if (_i == 0)
		ck_assert_ptr_eq(strchr(json_text(&j), '\n'), json_text(&j) + strlen(json_text(&j)) - 1);
	json_release(&j);
}
END_TEST

static const struct {
	const char *bytes;
	const char *python; /* the same as a Python expression */
} strings[] = {
	{ "", "\"\"" },
	{ "plain", "\"plain\"" },
	{ "quote\" back\\ slash/", "\"quote\" + chr(34) + \" back\" + chr(92) + \" slash/\"" },
	{ "\b\f\n\r\t", "chr(8) + chr(12) + chr(10) + chr(13) + chr(9)" },
	{ "\x01\x1b[31m\x1f\x7f", "chr(1) + chr(27) + \"[31m\" + chr(31) + chr(127)" },
	{ "gr\xC3\xBC\xC3\x9F \xE2\x82\xAC \xF0\x9F\x98\x80", "\"gr\" + chr(252) + chr(223) + \" \" + chr(0x20AC) + \" \" + chr(0x1F600)" },
	{ "\xFF", "chr(0xFFFD)" },
	{ "a\x80z", "\"a\" + chr(0xFFFD) + \"z\"" },
	{ "cut\xE2\x82", "\"cut\" + 2 * chr(0xFFFD)" },
	{ "\xC0\xAF", "2 * chr(0xFFFD)" },             /* overlong '/' */
	{ "\xED\xA0\x80", "3 * chr(0xFFFD)" },         /* a surrogate */
	{ "\xF4\x90\x80\x80", "4 * chr(0xFFFD)" },     /* beyond U+10FFFF */
	{ "\xF4\x8F\xBF\xBF", "chr(0x10FFFF)" },
	{ "\xE0\x9F\xBF", "3 * chr(0xFFFD)" },         /* overlong, three bytes */
};

START_TEST(escaping)
{
	struct json j;
	struct err e = ERR_INIT;
	char expression[256];

	json_to_buffer(&j, false);
	json_object(&j, NULL);
	json_str(&j, strings[_i].bytes, strings[_i].bytes);
	json_end(&j);
	ck_assert_int_eq(json_finish(&j, &e), 0);
	snprintf(expression, sizeof(expression), "d == {%s: %s}", strings[_i].python, strings[_i].python);
	python_says(json_text(&j), expression);
	json_release(&j);
}
END_TEST

START_TEST(doubles)
{
	static const double values[] = { 0.0, 0.1, 1.5, -2.25, 1e300, 1.0 / 3.0, 123456789.0, 5e-324 };
	struct json j;
	struct err e = ERR_INIT;

	json_to_buffer(&j, false);
	json_array(&j, NULL);
	for (size_t i = 0; i < sizeof(values) / sizeof(values[0]); i++)
		json_double(&j, NULL, values[i]);
	json_double(&j, NULL, NAN);
	json_double(&j, NULL, -INFINITY);
	json_end(&j);
	ck_assert_int_eq(json_finish(&j, &e), 0);
	python_says(json_text(&j), "d == [0, 0.1, 1.5, -2.25, 1e300, 1 / 3, 123456789, 5e-324, None, None]");
	json_release(&j);
}
END_TEST

START_TEST(growing)
{
	struct json j;
	struct err e = ERR_INIT;

	json_to_buffer(&j, false);
	json_array(&j, NULL);
	for (unsigned i = 0; i < 20000; i++)
		json_u64(&j, NULL, i);
	json_end(&j);
	ck_assert_int_eq(json_finish(&j, &e), 0);
	python_says(json_text(&j), "d == list(range(20000))");
	json_release(&j);
}
END_TEST

START_TEST(a_full_disk_is_reported)
{
	struct json j;
	struct err e = ERR_INIT;

	FILE *f = fopen("/dev/full", "w");
	ck_assert_ptr_nonnull(f);
	setvbuf(f, NULL, _IONBF, 0);
	json_to_stream(&j, f, true);
	write_nested(&j);
	ck_assert_int_eq(json_finish(&j, &e), -1);
	ck_assert_int_eq(e.code, ERR_FAILED);
	ck_assert_int_eq(e.sys_errno, ENOSPC);
	fclose(f);
}
END_TEST

START_TEST(utf8_never_reads_past_the_end)
{
	/* Every first byte with only itself in view: only ASCII is a whole character. */
	for (unsigned c = 0; c < 256; c++) {
		char *one = malloc(1);
		ck_assert_ptr_nonnull(one);
		*one = (char)c;
		ck_assert_uint_eq(utf8_len(one, 1), c < 0x80 ? 1 : 0);
		free(one);
	}
}
END_TEST

int main(void)
{
	Suite *s = suite_create("json");
	TCase *t = tcase_create("writer");

	tcase_set_timeout(t, 60);
	tcase_add_loop_test(t, nesting, 0, 2);
	tcase_add_loop_test(t, escaping, 0, (int)(sizeof(strings) / sizeof(strings[0])));
	tcase_add_test(t, doubles);
	tcase_add_test(t, growing);
	tcase_add_test(t, a_full_disk_is_reported);
	tcase_add_test(t, utf8_never_reads_past_the_end);
	suite_add_tcase(s, t);

	SRunner *r = srunner_create(s);
	srunner_run_all(r, CK_ENV);
	int failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
