/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Cryptography through libcrypto; see crypt.h. */
#include "base/crypt.h"

#include <limits.h>
#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/kdf.h>
#include <openssl/params.h>
#include <string.h>

static int broken(const char *what, struct err *e)
{
	return err_set(e, ERR_FAILED, 0, "libcrypto failed at %s", what);
}

/* Where libcrypto could not even set itself up, for want of memory, its functions crash instead of failing. */
static bool is_usable(void)
{
	return OPENSSL_init_crypto(0, NULL) == 1 && OSSL_LIB_CTX_get0_global_default();
}

void crypt_wipe(void *p, size_t len)
{
	if (p)
		OPENSSL_cleanse(p, len);
}

bool crypt_equal(const void *a, const void *b, size_t len)
{
	return CRYPTO_memcmp(a, b, len) == 0;
}

static int public_of(int type, const uint8_t secret[32], uint8_t ret[32], const char *what, struct err *e)
{
	EVP_PKEY *key = is_usable() ? EVP_PKEY_new_raw_private_key(type, NULL, secret, CRYPT_KEY_SIZE) : NULL;
	size_t len = CRYPT_KEY_SIZE;
	bool good = key && EVP_PKEY_get_raw_public_key(key, ret, &len) == 1 && len == CRYPT_KEY_SIZE;

	EVP_PKEY_free(key);
	return good ? 0 : broken(what, e);
}

int crypt_ed25519_public(const uint8_t secret[32], uint8_t ret[32], struct err *e)
{
	return public_of(EVP_PKEY_ED25519, secret, ret, "Ed25519", e);
}

int crypt_ed25519_sign(const uint8_t secret[32], const void *msg, size_t len, uint8_t ret[CRYPT_SIG_SIZE], struct err *e)
{
	EVP_PKEY *key = is_usable() ? EVP_PKEY_new_raw_private_key(EVP_PKEY_ED25519, NULL, secret, CRYPT_KEY_SIZE) : NULL;
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	size_t sig_len = CRYPT_SIG_SIZE;
	bool good = key && ctx && EVP_DigestSignInit(ctx, NULL, NULL, NULL, key) == 1 && EVP_DigestSign(ctx, ret, &sig_len, msg, len) == 1 &&
		sig_len == CRYPT_SIG_SIZE;

	EVP_MD_CTX_free(ctx);
	EVP_PKEY_free(key);
	return good ? 0 : broken("signing", e);
}

/* A signature that is wrong leaves no error behind, want of memory does: 3.0 says 0 to both. */
static int verify_with(EVP_MD_CTX *ctx, const void *msg, size_t len, const uint8_t *sig, struct err *e)
{
	ERR_clear_error();
	if (EVP_DigestVerify(ctx, sig, CRYPT_SIG_SIZE, msg, len) == 1)
		return 1;
	return ERR_peek_error() ? broken("checking a signature", e) : 0;
}

int crypt_ed25519_verify(const uint8_t public_key[32], const void *msg, size_t len, const uint8_t sig[CRYPT_SIG_SIZE], struct err *e)
{
	EVP_PKEY *key = is_usable() ? EVP_PKEY_new_raw_public_key(EVP_PKEY_ED25519, NULL, public_key, CRYPT_KEY_SIZE) : NULL;
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	int r = -1;

	/* Any 32 bytes are taken for a key here; a wrong one is found by the verification. */
	if (!key || !ctx || EVP_DigestVerifyInit(ctx, NULL, NULL, NULL, key) != 1)
		broken("checking a signature", e);
	else
		r = verify_with(ctx, msg, len, sig, e);
	EVP_MD_CTX_free(ctx);
	EVP_PKEY_free(key);
	return r;
}

int crypt_x25519_public(const uint8_t secret[32], uint8_t ret[32], struct err *e)
{
	return public_of(EVP_PKEY_X25519, secret, ret, "X25519", e);
}

int crypt_x25519_shared(const uint8_t secret[32], const uint8_t peer[32], uint8_t ret[32], struct err *e)
{
	static const uint8_t zeros[CRYPT_KEY_SIZE];
	EVP_PKEY *mine = is_usable() ? EVP_PKEY_new_raw_private_key(EVP_PKEY_X25519, NULL, secret, CRYPT_KEY_SIZE) : NULL;
	EVP_PKEY *theirs = EVP_PKEY_new_raw_public_key(EVP_PKEY_X25519, NULL, peer, CRYPT_KEY_SIZE);
	EVP_PKEY_CTX *ctx = mine && theirs ? EVP_PKEY_CTX_new(mine, NULL) : NULL;
	size_t len = CRYPT_KEY_SIZE;
	int r = -1;

	if (!ctx || EVP_PKEY_derive_init(ctx) != 1 || EVP_PKEY_derive_set_peer(ctx, theirs) != 1)
		broken("X25519", e);
	else if (EVP_PKEY_derive(ctx, ret, &len) != 1 || len != CRYPT_KEY_SIZE || crypt_equal(ret, zeros, CRYPT_KEY_SIZE))
		err_set(e, ERR_CORRUPT, 0, "a public key that gives no shared secret");
	else
		r = 0;
	EVP_PKEY_CTX_free(ctx);
	EVP_PKEY_free(theirs);
	EVP_PKEY_free(mine);
	return r;
}

static int derive(const char *name, const OSSL_PARAM *params, uint8_t *ret, size_t ret_len, struct err *e)
{
	EVP_KDF *kdf = is_usable() ? EVP_KDF_fetch(NULL, name, NULL) : NULL;
	EVP_KDF_CTX *ctx = kdf ? EVP_KDF_CTX_new(kdf) : NULL;
	bool good = ctx && EVP_KDF_derive(ctx, ret, ret_len, params) == 1;

	EVP_KDF_CTX_free(ctx);
	EVP_KDF_free(kdf);
	return good ? 0 : broken(name, e);
}

int crypt_hkdf(const void *input, size_t input_len, const void *salt, size_t salt_len, const char *info, uint8_t *ret, size_t ret_len, struct err *e)
{
	char digest[] = "SHA256";
	OSSL_PARAM params[] = {
		OSSL_PARAM_construct_utf8_string(OSSL_KDF_PARAM_DIGEST, digest, 0),
		OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_KEY, (void *)input, input_len),
		OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_SALT, (void *)salt, salt_len),
		OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_INFO, (void *)info, strlen(info)),
		OSSL_PARAM_construct_end(),
	};

	return derive("HKDF", params, ret, ret_len, e);
}

int crypt_scrypt(const void *pass, size_t pass_len, const void *salt, size_t salt_len, uint64_t n, uint32_t r, uint32_t p, uint8_t *ret, size_t ret_len,
	struct err *e)
{
	uint64_t most = 128 * n * r + 128 * (uint64_t)r * p + ((uint64_t)1 << 20); /* its own limit is 32 MiB */
	OSSL_PARAM params[] = {
		OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_PASSWORD, (void *)pass, pass_len),
		OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_SALT, (void *)salt, salt_len),
		OSSL_PARAM_construct_uint64(OSSL_KDF_PARAM_SCRYPT_N, &n),
		OSSL_PARAM_construct_uint32(OSSL_KDF_PARAM_SCRYPT_R, &r),
		OSSL_PARAM_construct_uint32(OSSL_KDF_PARAM_SCRYPT_P, &p),
		OSSL_PARAM_construct_uint64(OSSL_KDF_PARAM_SCRYPT_MAXMEM, &most),
		OSSL_PARAM_construct_end(),
	};

	if (derive("SCRYPT", params, ret, ret_len, e) < 0)
		return err_hint(e, "a passphrase needs %llu MiB of memory", (unsigned long long)(most >> 20));
	return 0;
}

struct crypt_gcm {
	EVP_CIPHER *cipher;
	EVP_CIPHER_CTX *ctx;
	bool has_key;
};

struct crypt_gcm *crypt_gcm_new(struct err *e)
{
	struct crypt_gcm *g = calloc(1, sizeof(*g));

	if (g && is_usable()) {
		g->cipher = EVP_CIPHER_fetch(NULL, "AES-256-GCM", NULL);
		g->ctx = EVP_CIPHER_CTX_new();
	}
	if (g && g->cipher && g->ctx)
		return g;
	crypt_gcm_free(g);
	broken("AES-256-GCM", e);
	return NULL;
}

void crypt_gcm_free(struct crypt_gcm *g)
{
	if (!g)
		return;
	EVP_CIPHER_CTX_free(g->ctx);
	EVP_CIPHER_free(g->cipher);
	free(g);
}

int crypt_gcm_key(struct crypt_gcm *g, const uint8_t key[32], struct err *e)
{
	/* One context serves both directions; the nonce comes with each message. */
	g->has_key = EVP_CipherInit_ex2(g->ctx, g->cipher, key, NULL, 1, NULL) == 1;
	return g->has_key ? 0 : broken("AES-256-GCM", e);
}

static bool begin(struct crypt_gcm *g, const uint8_t *nonce, const void *aad, size_t aad_len, size_t len, int seal)
{
	int n;

	return g->has_key && len <= INT_MAX && aad_len <= INT_MAX && EVP_CipherInit_ex2(g->ctx, NULL, NULL, nonce, seal, NULL) == 1 &&
		(!aad_len || EVP_CipherUpdate(g->ctx, NULL, &n, aad, (int)aad_len) == 1);
}

int crypt_gcm_seal(struct crypt_gcm *g, const uint8_t nonce[CRYPT_NONCE_SIZE], const void *aad, size_t aad_len, const uint8_t *in, size_t len, uint8_t *out,
	struct err *e)
{
	uint8_t none[CRYPT_TAG_SIZE];
	int n = 0, rest = 0;

	if (!begin(g, nonce, aad, aad_len, len, 1) || (len && EVP_CipherUpdate(g->ctx, out, &n, in, (int)len) != 1) ||
		EVP_CipherFinal_ex(g->ctx, none, &rest) != 1 || (size_t)n != len || rest ||
		EVP_CIPHER_CTX_ctrl(g->ctx, EVP_CTRL_AEAD_GET_TAG, CRYPT_TAG_SIZE, out + len) != 1)
		return broken("encrypting", e);
	return 0;
}

int crypt_gcm_open(struct crypt_gcm *g, const uint8_t nonce[CRYPT_NONCE_SIZE], const void *aad, size_t aad_len, const uint8_t *in, size_t len, uint8_t *out,
	struct err *e)
{
	uint8_t none[CRYPT_TAG_SIZE], tag[CRYPT_TAG_SIZE];
	int n = 0, rest = 0;

	if (len < CRYPT_TAG_SIZE)
		return 0;
	len -= CRYPT_TAG_SIZE;
	memcpy(tag, in + len, sizeof(tag));
	if (!begin(g, nonce, aad, aad_len, len, 0) || (len && EVP_CipherUpdate(g->ctx, out, &n, in, (int)len) != 1) || (size_t)n != len ||
		EVP_CIPHER_CTX_ctrl(g->ctx, EVP_CTRL_AEAD_SET_TAG, CRYPT_TAG_SIZE, tag) != 1) {
		crypt_wipe(out, len);
		return broken("decrypting", e);
	}
	if (EVP_CipherFinal_ex(g->ctx, none, &rest) == 1)
		return 1;
	crypt_wipe(out, len);
	return 0;
}
