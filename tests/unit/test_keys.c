/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Key files: written, read, refused; never overwritten, never readable by others. */
#include "imager/image/keys.h"
#include "tests/unit/image_util.h"

static char dir[64], path[96];

static void setup(void)
{
	temp_dir(dir, sizeof(dir), "keys");
	snprintf(path, sizeof(path), "%s/key", dir);
}

static void teardown(void)
{
	temp_remove(dir);
}

static void put(const char *text, size_t len)
{
	FILE *f = fopen(path, "wb");

	ck_assert_ptr_nonnull(f);
	ck_assert_uint_eq(fwrite(text, 1, len, f), len);
	fclose(f);
}

START_TEST(there_and_back)
{
	static const enum key_kind kinds[] = { KEY_SIGN_SECRET, KEY_BOX_SECRET, KEY_SYMMETRIC };
	struct key k, half, back;
	struct err e = ERR_INIT;
	struct stat st;

	umask(0);
	ok(key_new(kinds[_i], "who\nit is", &k, &e), &e);
	ck_assert_str_eq(k.comment, "who it is");
	ok(key_write(path, &k, &e), &e);
	ck_assert_int_eq(stat(path, &st), 0);
	ck_assert_uint_eq(st.st_mode & 07777, 0600);
	fails(key_write(path, &k, &e), ERR_REFUSED, &e);
	ck_assert_str_eq(e.reason, "exists");
	ok(key_read(path, &back, NULL, &e), &e);
	ck_assert_mem_eq(&k, &back, sizeof(k));
	ck_assert_int_eq(key_public(&k, &half), k.kind != KEY_SYMMETRIC);
	if (k.kind == KEY_SYMMETRIC)
		return;
	uint8_t a[KEY_FINGERPRINT_SIZE], b[KEY_FINGERPRINT_SIZE];
	ok(key_fingerprint(&k, a, &e), &e);
	ok(key_fingerprint(&half, b, &e), &e);
	ck_assert_mem_eq(a, b, sizeof(a));
	ck_assert(!key_is_secret(&half) && memcmp(half.bytes, k.bytes, 32));
	unlink(path);
	ok(key_write(path, &half, &e), &e);
	ck_assert_int_eq(stat(path, &st), 0);
	ck_assert_uint_eq(st.st_mode & 07777, 0644);
}
END_TEST

/* A line made with base64, sha256sum and the seed of RFC 8032 test 1. */
#define LINE "calco-public-ed25519 11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURrEi/1K"
START_TEST(known_line)
{
	struct key k;
	struct err e = ERR_INIT;
	char line[KEY_LINE_MAX];
	uint8_t signer[32];

	ok(key_parse("x", LINE " a comment", &k, &e), &e);
	ck_assert_uint_eq(k.bytes[0], 0xd7);
	ck_assert_str_eq(k.comment, "a comment");
	ok(key_line(&k, line, &e), &e);
	ck_assert_str_eq(line, LINE " a comment");
	ok(key_read_signer(LINE, signer, NULL, &e), &e);
	ck_assert_mem_eq(signer, k.bytes, 32);
	ok(key_read_signer(strchr(LINE, ' ') + 1, signer, NULL, &e), &e);
	put("# of the lab\r\n\r\n" LINE "\r\n", strlen("# of the lab\r\n\r\n" LINE "\r\n"));
	ok(key_read_signer(path, signer, NULL, &e), &e);
	ck_assert_mem_eq(signer, k.bytes, 32);
}
END_TEST

/* Every mistyped character is found, and no message repeats a key. */
START_TEST(refused)
{
	static const char *const bad[] = { "", "\n", "hello", "calco-public-ed25519", "calco-public-ed25519 ", "calco-public-rsa abc", LINE "A", LINE "\n" LINE,
		"calco-secret-ed25519 11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURrEi/1K", "calco-public-ed25519 ================================================" };
	char line[] = LINE;
	struct key k;
	struct err e = ERR_INIT;

	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
		put(bad[i], strlen(bad[i]));
		fails(key_read(path, &k, NULL, &e), ERR_USAGE, &e);
		ck_assert_ptr_null(strstr(e.msg, "11qY"));
	}
	for (size_t i = 21; i < strlen(line); i++) {
		char was = line[i];
		line[i] = was == 'q' ? 'r' : 'q';
		fails(key_parse("x", line, &k, &e), ERR_USAGE, &e);
		line[i] = was;
	}
	put("a\0b", 3);
	fails(key_read(path, &k, NULL, &e), ERR_USAGE, &e);
	fails(key_read("/nonexistent", &k, NULL, &e), ERR_USAGE, &e);
	fails(key_read(dir, &k, NULL, &e), ERR_USAGE, &e);
	ok(key_new(KEY_BOX_SECRET, NULL, &k, &e), &e);
	unlink(path);
	ok(key_write(path, &k, &e), &e);
	uint8_t signer[32];
	fails(key_read_signer(path, signer, NULL, &e), ERR_USAGE, &e);
}
END_TEST

START_TEST(passphrases)
{
	static const struct { const char *file, *want; } cases[] = {
		{ "horse", "horse" }, { "horse\n", "horse" }, { "horse\r\n", "horse" }, { "horse\n\n", "horse\n" }, { " ho rse \n", " ho rse " } };
	struct err e = ERR_INIT;
	uint8_t *p;
	size_t len;

	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		put(cases[i].file, strlen(cases[i].file));
		ok(key_passphrase(path, &p, &len, NULL, &e), &e);
		ck_assert_uint_eq(len, strlen(cases[i].want));
		ck_assert_mem_eq(p, cases[i].want, len);
		free(p);
	}
	put("\n", 1);
	fails(key_passphrase(path, &p, &len, NULL, &e), ERR_USAGE, &e);
	fails(key_passphrase("/nonexistent", &p, &len, NULL, &e), ERR_USAGE, &e);
	char *large = calloc(1, 70000);
	put(large, 70000);
	fails(key_passphrase(path, &p, &len, NULL, &e), ERR_USAGE, &e);
	free(large);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("keys");
	TCase *tc = tcase_create("keys");
	SRunner *sr = srunner_create(s);

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_loop_test(tc, there_and_back, 0, 3);
	tcase_add_test(tc, known_line);
	tcase_add_test(tc, refused);
	tcase_add_test(tc, passphrases);
	suite_add_tcase(s, tc);
	srunner_run_all(sr, CK_ENV);
	int failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed != 0;
}
