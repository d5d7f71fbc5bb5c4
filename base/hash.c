/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * SHA-256 and CRC-32; see hash.h. The algorithm is fetched once for each hasher and the context is used again: fetching
 * it for every 4 KiB leaf costs as much as hashing a KiB.
 */
#include "base/hash.h"

#include <libdeflate.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <stdbool.h>
#include <string.h>

struct hasher {
	EVP_MD *md;
	EVP_MD_CTX *ctx;
	EVP_MD_CTX *inner, *outer; /* HMAC: after the padded key, copied for each digest; NULL: no key */
	bool failed;
};

struct hasher *hasher_new(struct err *e)
{
	struct hasher *h = calloc(1, sizeof(*h));

	/* Where libcrypto could not even set itself up, for want of memory, its functions crash instead of failing. */
	if (h && OPENSSL_init_crypto(0, NULL) == 1 && OSSL_LIB_CTX_get0_global_default()) {
		h->md = EVP_MD_fetch(NULL, "SHA256", NULL);
		h->ctx = EVP_MD_CTX_new();
	}
	if (!h || !h->md || !h->ctx || EVP_DigestInit_ex2(h->ctx, h->md, NULL) != 1) {
		err_set(e, ERR_FAILED, 0, "libcrypto does not offer SHA-256");
		hasher_free(h);
		return NULL;
	}
	return h;
}

static EVP_MD_CTX *after_pad(const struct hasher *h, const uint8_t key[HASH_SIZE], uint8_t pad)
{
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	uint8_t block[64];

	for (size_t i = 0; i < sizeof(block); i++)
		block[i] = (uint8_t)((i < HASH_SIZE ? key[i] : 0) ^ pad);
	bool good = ctx && EVP_DigestInit_ex2(ctx, h->md, NULL) == 1 && EVP_DigestUpdate(ctx, block, sizeof(block)) == 1;
	OPENSSL_cleanse(block, sizeof(block));
	if (good)
		return ctx;
	EVP_MD_CTX_free(ctx);
	return NULL;
}

struct hasher *hasher_new_keyed(const uint8_t *key, struct err *e)
{
	struct hasher *h = hasher_new(e);

	if (!h || !key)
		return h;
	h->inner = after_pad(h, key, 0x36);
	h->outer = after_pad(h, key, 0x5C);
	if (h->inner && h->outer)
		return h;
	hasher_free(h);
	err_nomem(e, "a keyed hash");
	return NULL;
}

void hasher_free(struct hasher *h)
{
	if (!h)
		return;
	EVP_MD_CTX_free(h->inner);
	EVP_MD_CTX_free(h->outer);
	EVP_MD_CTX_free(h->ctx);
	EVP_MD_free(h->md);
	free(h);
}

void hasher_begin(struct hasher *h)
{
	/* A NULL digest keeps the one the context was made for. A context that was not begun must not be used: libcrypto does not check. */
	if (!h->failed)
		h->failed = (h->inner ? EVP_MD_CTX_copy_ex(h->ctx, h->inner) : EVP_DigestInit_ex2(h->ctx, NULL, NULL)) != 1;
}

void hasher_add(struct hasher *h, const void *data, size_t len)
{
	if (!h->failed)
		h->failed = EVP_DigestUpdate(h->ctx, data, len) != 1;
}

void hasher_end(struct hasher *h, uint8_t ret[HASH_SIZE])
{
	unsigned len = 0;

	if (!h->failed)
		h->failed = EVP_DigestFinal_ex(h->ctx, ret, &len) != 1 || len != HASH_SIZE;
	if (!h->failed && h->outer)
		h->failed = EVP_MD_CTX_copy_ex(h->ctx, h->outer) != 1 || EVP_DigestUpdate(h->ctx, ret, HASH_SIZE) != 1 ||
			EVP_DigestFinal_ex(h->ctx, ret, &len) != 1 || len != HASH_SIZE;
	if (h->failed)
		memset(ret, 0, HASH_SIZE);
}

int hasher_check(const struct hasher *h, struct err *e)
{
	return h->failed ? err_set(e, ERR_FAILED, 0, "libcrypto failed to compute a SHA-256") : 0;
}

uint32_t crc32_of(const void *data, size_t len)
{
	return libdeflate_crc32(0, data, len);
}

uint32_t crc32_more(uint32_t crc, const void *data, size_t len)
{
	return libdeflate_crc32(crc, data, len);
}
