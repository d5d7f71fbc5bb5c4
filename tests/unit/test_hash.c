/* SPDX-License-Identifier: GPL-3.0-or-later */
/* SHA-256 alone and in lanes, CRC-32, CRC-32C, BLAKE2b: published values, and both ways of SHA-256 against each other. */
#include "base/blake2b.h"
#include "base/crc32c.h"
#include "base/hash.h"
#include "base/hash_lanes.h"

#include <check.h>
#include <stdio.h>
#include <string.h>

#define MAX_MESSAGES 300
#define MAX_LEN      65536

static void hash_one(struct hasher *h, const void *data, size_t len, uint8_t ret[HASH_SIZE])
{
	hasher_begin(h);
	hasher_add(h, data, len);
	hasher_end(h, ret);
}

static void check_hex(const uint8_t hash[HASH_SIZE], const char *hex)
{
	char got[2 * HASH_SIZE + 1];

	for (unsigned i = 0; i < HASH_SIZE; i++)
		snprintf(got + 2 * i, 3, "%02x", hash[i]);
	ck_assert_str_eq(got, hex);
}

/* FIPS 180-4 examples: "abc" and the two-block message. */
START_TEST(published_values)
{
	static const char two_blocks[] = "abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq";
	struct err e = ERR_INIT;
	uint8_t hash[HASH_SIZE];
	AUTO(hasher) struct hasher *h = hasher_new(&e);

	ck_assert_ptr_nonnull(h);
	hash_one(h, "abc", 3, hash);
	check_hex(hash, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
	hash_one(h, two_blocks, strlen(two_blocks), hash);
	check_hex(hash, "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
	ck_assert_int_eq(hasher_check(h, &e), 0);
	ck_assert_uint_eq(crc32_of("123456789", 9), 0xcbf43926);
	ck_assert_uint_eq(crc32_more(crc32_of("1234", 4), "56789", 5), 0xcbf43926);
}
END_TEST

/* RFC 3720 appendix B.4 */
START_TEST(crc32c_published)
{
	uint8_t buf[32] = { 0 };
	struct crc32c c;

	crc32c_init(&c);
	ck_assert_uint_eq(~crc32c_more(&c, ~0U, buf, 32), 0x8a9136aa);
	memset(buf, 0xff, 32);
	ck_assert_uint_eq(~crc32c_more(&c, ~0U, buf, 32), 0x62a8ab43);
	for (unsigned i = 0; i < 32; i++)
		buf[i] = (uint8_t)i;
	ck_assert_uint_eq(~crc32c_more(&c, ~0U, buf, 32), 0x46dd794e);
	for (unsigned i = 0; i <= 32; i++)
		ck_assert_uint_eq(~crc32c_more(&c, crc32c_more(&c, ~0U, buf, i), buf + i, 32 - i), 0x46dd794e);
}
END_TEST

/* RFC 7693 appendix A, and what Python's hashlib says of 256 bits. */
START_TEST(blake2b_published)
{
	static const struct {
		size_t len;
		const char *hex;
	} cases[] = {
		{ 0, "0e5751c026e543b2e8ab2eb06099daa1d1e5df47778f7787faab45cdf12fe3a8" },
		{ 128, "0702c64922fb7635a1b799668a7e89ba9c5fe55ed7bd2fdecb001544073afad9" },
		{ 129, "490091b32bad7b3380c9e593d341bce9b73ff9d4ebcf0091ff932bdff7279897" },
		{ 4064, "3e46e31bb3873360ebbef1a3ec6e6ad8ed41e8ff356532de805e5001e0cc884b" },
	};
	uint8_t buf[4096], digest[BLAKE2B_MAX_SIZE];

	blake2b("abc", 3, digest, 64);
	check_hex(digest, "ba80a53f981c4d0d6a2797b69f12f6e94c212f14685ac4b74b12bb6fdbffa2d1");
	check_hex(digest + 32, "7d87c5392aab792dc252d5de4533cc9518d38aa8dbf1925ab92386edd4009923");
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		for (size_t k = 0; k < cases[i].len; k++)
			buf[k] = (uint8_t)(k * 7 + cases[i].len);
		blake2b(buf, cases[i].len, digest, 32);
		check_hex(digest, cases[i].hex);
	}
}
END_TEST

static void compare(struct hash_lanes *l, struct hasher *h, const uint8_t *const data[], size_t len, size_t n)
{
	static uint8_t got[MAX_MESSAGES + 1][HASH_SIZE];
	uint8_t want[HASH_SIZE];
	struct err e = ERR_INIT;

	memset(got, 0xa5, sizeof(got));
	ck_assert_int_eq(hash_lanes_run(l, data, len, n, got, &e), 0);
	for (size_t i = 0; i < n; i++) {
		hash_one(h, data[i], len, want);
		ck_assert_msg(!memcmp(got[i], want, HASH_SIZE), "message %zu of %zu, %zu bytes", i, n, len);
	}
	memset(want, 0xa5, HASH_SIZE);
	ck_assert_mem_eq(got[n], want, HASH_SIZE);
}

/* RFC 4231, test cases 1 and 2: a key that is shorter than 32 bytes is the same with zeros behind it. */
START_TEST(hmac_published)
{
	static const struct { const char *key; size_t key_len; const char *data; size_t len; const char *want; } cases[] = {
		{ "\x0b\x0b\x0b\x0b\x0b\x0b\x0b\x0b\x0b\x0b\x0b\x0b\x0b\x0b\x0b\x0b\x0b\x0b\x0b\x0b", 20, "Hi There", 8,
			"b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7" },
		{ "Jefe", 4, "what do ya want for nothing?", 28, "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843" },
	};
	struct err e = ERR_INIT;

	for (size_t i = 0; i < 2; i++) {
		uint8_t key[HASH_SIZE] = { 0 }, got[1][HASH_SIZE];
		const uint8_t *data[] = { (const uint8_t *)cases[i].data };
		memcpy(key, cases[i].key, cases[i].key_len);
		AUTO(hasher) struct hasher *h = hasher_new_keyed(key, &e);
		AUTO(hash_lanes) struct hash_lanes *l = hash_lanes_new_keyed(key, &e);
		for (int again = 0; again < 2; again++) {
			hash_one(h, cases[i].data, cases[i].len, got[0]);
			check_hex(got[0], cases[i].want);
		}
		ck_assert_int_eq(hash_lanes_run(l, data, cases[i].len, 1, got, &e), 0);
		check_hex(got[0], cases[i].want);
		ck_assert_int_eq(hasher_check(h, &e), 0);
	}
}
END_TEST

START_TEST(lanes_equal_one_after_the_other)
{
	static const size_t lens[] = {1, 3, 55, 56, 57, 63, 64, 65, 119, 120, 128, 2064, 4095, 4096, 4097, MAX_LEN};
	static const size_t counts[] = {0, 1, 2, 3, 7, 8, 9, 15, 16, 17, 31, 32, 33, 63, 64, 127, 128, 129, 256, 257, MAX_MESSAGES};
	static uint8_t text[MAX_LEN + MAX_MESSAGES];
	const uint8_t *data[MAX_MESSAGES];
	struct err e = ERR_INIT;
	uint32_t x = 1;
	const uint8_t *key = _i ? (const uint8_t *)"a key of thirty-two bytes, no less" : NULL;
	AUTO(hasher) struct hasher *h = hasher_new_keyed(key, &e);
	AUTO(hash_lanes) struct hash_lanes *l = hash_lanes_new_keyed(key, &e);

	ck_assert_ptr_nonnull(h);
	ck_assert_ptr_nonnull(l);
	printf("lanes: %s\n", hash_lanes_are_wide(l) ? "several at once" : "one after the other");
	for (size_t i = 0; i < sizeof(text); i++, x = x * 1664525 + 1013904223)
		text[i] = (uint8_t)(x >> 24);
	for (size_t i = 0; i < MAX_MESSAGES; i++)
		data[i] = text + i; /* different messages, every alignment */
	for (size_t i = 0; i < sizeof(lens) / sizeof(*lens); i++)
		for (size_t k = 0; k < sizeof(counts) / sizeof(*counts); k++)
			if (lens[i] * counts[k] <= 4 << 20)
				compare(l, h, data, lens[i], counts[k]);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("hash");
	TCase *tc = tcase_create("hash");
	SRunner *sr = srunner_create(s);
	int failed;

	tcase_set_timeout(tc, 120);
	tcase_add_test(tc, published_values);
	tcase_add_test(tc, crc32c_published);
	tcase_add_test(tc, blake2b_published);
	tcase_add_test(tc, hmac_published);
	tcase_add_loop_test(tc, lanes_equal_one_after_the_other, 0, 2);
	suite_add_tcase(s, tc);
	srunner_run_all(sr, CK_ENV);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed != 0;
}
