/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Published values through our wrappers: RFC 8032, 7748, 5869, 7914, AES-GCM; and what goes wrong with GCM. */
#include "base/crypt.h"
#include "tests/unit/image_util.h"

/* Hexadecimal into bytes; how many. */
static size_t hex(const char *text, uint8_t *ret)
{
	size_t n = 0;

	for (unsigned v; sscanf(text + 2 * n, "%2x", &v) == 1; n++)
		ret[n] = (uint8_t)v;
	return n;
}

static void equals(const uint8_t *got, const char *want)
{
	uint8_t bytes[512];
	size_t n = hex(want, bytes);

	ck_assert_mem_eq(got, bytes, n);
}

/* RFC 8032 §7.1, tests 1 and 3 */
START_TEST(ed25519)
{
	static const char *const cases[][4] = {
		{ "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60",
			"d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a", "",
			"e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b" },
		{ "c5aa8df43f9f837bedb7442f31dcb7b166d38535076f094b85ce3a2e0b4458f7",
			"fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025", "af82",
			"6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac18ff9b538d16f290ae67f760984dc6594a7c15e9716ed28dc027beceea1ec40a" },
	};
	struct err e = ERR_INIT;

	for (size_t i = 0; i < 2; i++) {
		uint8_t secret[32], public_key[32], msg[8], sig[64];
		hex(cases[i][0], secret);
		size_t len = hex(cases[i][2], msg);
		ok(crypt_ed25519_public(secret, public_key, &e), &e);
		equals(public_key, cases[i][1]);
		ok(crypt_ed25519_sign(secret, msg, len, sig, &e), &e);
		equals(sig, cases[i][3]);
		ck_assert_int_eq(crypt_ed25519_verify(public_key, msg, len, sig, &e), 1);
		for (unsigned bit = 0; bit < 512; bit++) {
			sig[bit / 8] ^= (uint8_t)(1U << bit % 8);
			ck_assert_int_eq(crypt_ed25519_verify(public_key, msg, len, sig, &e), 0);
			sig[bit / 8] ^= (uint8_t)(1U << bit % 8);
		}
		msg[0] ^= 1;
		ck_assert_int_eq(crypt_ed25519_verify(public_key, msg, len ? len : 1, sig, &e), 0);
	}
}
END_TEST

/* RFC 7748 §6.1: Bob's side */
START_TEST(x25519)
{
	uint8_t bob[32], alice_public[32], got[32];
	static const uint8_t zeros[32];
	struct err e = ERR_INIT;

	hex("5dab087e624a8a4b79e17f8b83800ee66f3bb1292618b6fd1c2f8b27ff88e0eb", bob);
	hex("8520f0098930a754748b7ddcb43ef75a0dbf3a0d26381af4eba4a98eaa9b4e6a", alice_public);
	ok(crypt_x25519_public(bob, got, &e), &e);
	equals(got, "de9edb7d7b7dc1b4d35b61c2ece435373f8343c85b78674dadfc7e146f882b4f");
	ok(crypt_x25519_shared(bob, alice_public, got, &e), &e);
	equals(got, "4a5d9d5ba4ce2de1728e3bf480350f25e07e21c947d19e3376f09b3c1e161742");
	fails(crypt_x25519_shared(bob, zeros, got, &e), ERR_CORRUPT, &e);
}
END_TEST

/* RFC 5869 appendix A, cases 1 to 3 */
START_TEST(hkdf)
{
	uint8_t ikm[80], salt[80], got[82];
	char info[81] = "";
	struct err e = ERR_INIT;

	memset(ikm, 0x0b, 22);
	for (int i = 0; i < 13; i++)
		salt[i] = (uint8_t)i;
	for (int i = 0; i < 10; i++)
		info[i] = (char)(0xf0 + i);
	ok(crypt_hkdf(ikm, 22, salt, 13, info, got, 42, &e), &e);
	equals(got, "3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf34007208d5b887185865");
	ok(crypt_hkdf(ikm, 22, salt, 0, "", got, 42, &e), &e);
	equals(got, "8da4e775a563c18f715f802a063c5a31b8a11f5c5ee1879ec3454e5f3c738d2d9d201395faa4b61a96c8");
	for (int i = 0; i < 80; i++) {
		ikm[i] = (uint8_t)i;
		salt[i] = (uint8_t)(0x60 + i);
		info[i] = (char)(0xb0 + i);
	}
	ok(crypt_hkdf(ikm, 80, salt, 80, info, got, 82, &e), &e);
	equals(got, "b11e398dc80327a1c8e7f78c596a49344f012eda2d4efad8a050cc4c19afa97c59045a99cac7827271cb41c65e590e09da3275600c2f09b8367793a9aca3db71"
		    "cc30c58179ec3e87c14c01d5c1f3434f1d87");
}
END_TEST

/* RFC 7914 §12 */
START_TEST(scrypt)
{
	uint8_t got[64];
	struct err e = ERR_INIT;

	ok(crypt_scrypt("password", 8, "NaCl", 4, 1024, 8, 16, got, 64, &e), &e);
	equals(got, "fdbabe1c9d3472007856e7190d01e9fe7c6ad7cbc8237830e77376634b3731622eaf30d92e22a3886ff109279d9830dac727afb94a83ee6d8360cbdfa2cc0640");
	ok(crypt_scrypt("pleaseletmein", 13, "SodiumChloride", 14, 16384, 8, 1, got, 64, &e), &e);
	equals(got, "7023bdcb3afd7348461c06cd81fd38ebfda8fbba904f8e3ea9b543f6545da1f2d5432955613f0fcf62d49705242a9af9e61e85dc0d651e40dfcf017b45575887");
}
END_TEST

/* McGrew and Viega, "The Galois/Counter Mode of Operation", appendix B, test case 16 */
START_TEST(gcm)
{
	uint8_t key[32], nonce[12], text[64], aad[32], got[80], back[64];
	struct err e = ERR_INIT;
	AUTO(crypt_gcm) struct crypt_gcm *g = crypt_gcm_new(&e);

	ck_assert_ptr_nonnull(g);
	hex("feffe9928665731c6d6a8f9467308308feffe9928665731c6d6a8f9467308308", key);
	hex("cafebabefacedbaddecaf888", nonce);
	size_t len = hex("d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a721c3c0c95956809532fcf0e2449a6b525b16aedf5aa0de657ba637b39", text);
	size_t aad_len = hex("feedfacedeadbeeffeedfacedeadbeefabaddad2", aad);
	fails(crypt_gcm_seal(g, nonce, aad, aad_len, text, len, got, &e), ERR_FAILED, &e); /* without a key there is no clear text either */
	ok(crypt_gcm_key(g, key, &e), &e);
	for (int again = 0; again < 2; again++) {
		ok(crypt_gcm_seal(g, nonce, aad, aad_len, text, len, got, &e), &e);
		equals(got, "522dc1f099567d07f47f37a32a84427d643a8cdcbfe5c0c97598a2bd2555d1aa8cb08e48590dbb3da7b08b1056828838c5f61e6393ba7a0abcc9f662"
			    "76fc6ece0f4e1768cddf8853bb2d551b");
		ck_assert_int_eq(crypt_gcm_open(g, nonce, aad, aad_len, got, len + 16, back, &e), 1);
		ck_assert_mem_eq(back, text, len);
	}
}
END_TEST

/* Every bit of nonce, aad, ciphertext and tag counts; what is refused is not given out. In place, and empty. */
START_TEST(gcm_refuses)
{
	uint8_t key[32] = { 7 }, nonce[12] = { 1 }, aad[20] = { 2 }, text[40], sealed[56], back[40];
	static const uint8_t zeros[40];
	struct { uint8_t *p; size_t len; } all[] = { { nonce, 12 }, { aad, 20 }, { sealed, 56 } };
	struct err e = ERR_INIT;
	AUTO(crypt_gcm) struct crypt_gcm *g = crypt_gcm_new(&e);

	memset(text, 'x', sizeof(text));
	ok(crypt_gcm_key(g, key, &e), &e);
	memcpy(sealed, text, sizeof(text));
	ok(crypt_gcm_seal(g, nonce, aad, sizeof(aad), sealed, sizeof(text), sealed, &e), &e);
	for (size_t i = 0; i < 3; i++)
		for (size_t bit = 0; bit < all[i].len * 8; bit++) {
			all[i].p[bit / 8] ^= (uint8_t)(1U << bit % 8);
			memset(back, 'y', sizeof(back));
			ck_assert_int_eq(crypt_gcm_open(g, nonce, aad, sizeof(aad), sealed, sizeof(sealed), back, &e), 0);
			ck_assert_mem_eq(back, zeros, sizeof(back));
			all[i].p[bit / 8] ^= (uint8_t)(1U << bit % 8);
		}
	for (size_t len = 0; len < sizeof(sealed); len++)
		ck_assert_int_eq(crypt_gcm_open(g, nonce, aad, sizeof(aad), sealed, len, back, &e), 0);
	ck_assert_int_eq(crypt_gcm_open(g, nonce, aad, sizeof(aad) - 1, sealed, sizeof(sealed), back, &e), 0);
	ck_assert_int_eq(crypt_gcm_open(g, nonce, aad, sizeof(aad), sealed, sizeof(sealed), sealed, &e), 1);
	ck_assert_mem_eq(sealed, text, sizeof(text));
	ok(crypt_gcm_seal(g, nonce, NULL, 0, text, 0, sealed, &e), &e);
	ck_assert_int_eq(crypt_gcm_open(g, nonce, NULL, 0, sealed, 16, back, &e), 1);
	key[0] ^= 1;
	ok(crypt_gcm_key(g, key, &e), &e);
	ck_assert_int_eq(crypt_gcm_open(g, nonce, NULL, 0, sealed, 16, back, &e), 0);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("crypt");
	TCase *tc = tcase_create("crypt");
	SRunner *sr = srunner_create(s);

	tcase_set_timeout(tc, 60);
	tcase_add_test(tc, ed25519);
	tcase_add_test(tc, x25519);
	tcase_add_test(tc, hkdf);
	tcase_add_test(tc, scrypt);
	tcase_add_test(tc, gcm);
	tcase_add_test(tc, gcm_refuses);
	suite_add_tcase(s, tc);
	srunner_run_all(sr, CK_ENV);
	int failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed != 0;
}
