/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Decrypting while reading: AES-XTS with the number of the sector as tweak (dm-crypt's "aes-xts-plain64"); see luks.h. */
#include "imager/disk/luks.h"

#include "base/arith.h"
#include "base/span.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <string.h>

#define STEP (64U << 10) /* a multiple of every sector size */

struct luks_source {
	struct blk_source base;
	struct blk_source *of;
	struct luks_payload p;
};

static int decrypt(const struct luks_source *s, EVP_CIPHER_CTX *ctx, uint64_t off, const uint8_t *in, uint8_t *out, size_t len, struct err *e)
{
	uint32_t size = s->p.sector_size;
	uint8_t tweak[16] = { 0 };
	int n;

	for (size_t at = 0; at < len; at += size) {
		put_le64(tweak, 0, s->p.first_iv + (off + at) / 512);
		if (EVP_DecryptInit_ex(ctx, NULL, NULL, NULL, tweak) != 1 || EVP_DecryptUpdate(ctx, out + at, &n, in + at, (int)size) != 1)
			return err_set(e, ERR_FAILED, 0, "libcrypto cannot decrypt '%s'", s->base.name);
	}
	return 0;
}

/* Whole sectors are read and decrypted, what was asked for is copied. */
static int read_with(struct luks_source *s, EVP_CIPHER_CTX *ctx, uint8_t *buf, uint64_t off, uint8_t *to, size_t len, struct err *e)
{
	while (len) {
		uint64_t start = round_down_u64(off, s->p.sector_size);
		size_t n = (size_t)min_u64(round_up_u64(off + len, s->p.sector_size) - start, STEP);
		size_t skip = (size_t)(off - start), take_len = (size_t)min_u64(n - skip, len);
		if (blk_read(s->of, s->p.start + start, buf, n, e) < 0 || decrypt(s, ctx, start, buf, buf + STEP, n, e) < 0)
			return -1;
		memcpy(to, buf + STEP + skip, take_len);
		to += take_len;
		off += take_len;
		len -= take_len;
	}
	return 0;
}

static int luks_read(struct blk_source *src, uint64_t off, void *buf, size_t len, struct err *e)
{
	struct luks_source *s = (struct luks_source *)src;
	const EVP_CIPHER *cipher = s->p.key_len == 64 ? EVP_aes_256_xts() : EVP_aes_128_xts();
	AUTO_FREE uint8_t *work = malloc(2 * STEP);
	EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
	int r = -1;

	if (!work || !ctx)
		err_nomem(e, src->name);
	else if (EVP_DecryptInit_ex(ctx, cipher, NULL, s->p.key, NULL) != 1)
		err_set(e, ERR_FAILED, 0, "libcrypto cannot decrypt '%s'", src->name);
	else
		r = read_with(s, ctx, work, off, buf, len, e);
	EVP_CIPHER_CTX_free(ctx);
	return r;
}

static void luks_close(struct blk_source *src)
{
	luks_forget(&((struct luks_source *)src)->p);
	free(src);
}

struct blk_source *luks_source(struct blk_source *src, const struct luks_payload *p, const char *name, struct err *e)
{
	static const struct blk_source_ops ops = { .read = luks_read, .close = luks_close };

	if (p->start >= src->size || !is_pow2(p->sector_size) || p->sector_size < 512 || p->sector_size > 4096 ||
		(p->key_len != 32 && p->key_len != 64)) {
		err_set(e, ERR_CORRUPT, 0, "the payload of '%s' lies beyond its end", blk_name(src));
		return NULL;
	}
	struct luks_source *s = alloc_array(1, sizeof(*s));
	if (!s) {
		err_nomem(e, name);
		return NULL;
	}
	s->base = *src;
	s->base.ops = &ops;
	s->base.size = round_down_u64(src->size - p->start, p->sector_size);
	if (s->base.sector_size < p->sector_size)
		s->base.sector_size = p->sector_size;
	snprintf(s->base.name, sizeof(s->base.name), "%s", name);
	s->of = src;
	s->p = *p;
	return &s->base;
}

void luks_forget(struct luks_payload *p)
{
	OPENSSL_cleanse(p->key, sizeof(p->key));
}
