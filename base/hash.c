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

void hasher_free(struct hasher *h)
{
	if (!h)
		return;
	EVP_MD_CTX_free(h->ctx);
	EVP_MD_free(h->md);
	free(h);
}

void hasher_begin(struct hasher *h)
{
	/* A NULL digest keeps the one the context was made for. A context that was not begun must not be used: libcrypto does not check. */
	if (!h->failed)
		h->failed = EVP_DigestInit_ex2(h->ctx, NULL, NULL) != 1;
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
