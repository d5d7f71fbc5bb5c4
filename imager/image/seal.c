/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Sealing and opening; see seal.h. */
#include "imager/image/seal.h"

#include "base/random.h"
#include "base/span.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

struct seal_box {
	const struct img_seal *s; /* borrowed */
	struct crypt_gcm *gcm;
	uint8_t of[16 + SEAL_SALT_SIZE]; /* whose key gcm has: a pack id, and of a table its salt */
	size_t of_len;            /* 0: it has none */
};

struct img_seal *seal_new(struct err *e)
{
	AUTO(img_seal) struct img_seal *s = calloc(1, sizeof(*s));

	if (!s) {
		err_nomem(e, "the keys of the image");
		return NULL;
	}
	if (random_bytes(s->master, sizeof(s->master), e) < 0 || random_bytes(s->id_key, sizeof(s->id_key), e) < 0)
		return NULL;
	return take(&s);
}

struct img_seal *seal_copy(const struct img_seal *s, struct err *e)
{
	AUTO(img_seal) struct img_seal *c = s ? calloc(1, sizeof(*c)) : NULL;

	if (!s)
		return NULL;
	if (!c || !(c->slots = malloc(s->slots_len ? s->slots_len : 1))) {
		err_nomem(e, "the keys of the image");
		return NULL;
	}
	memcpy(c->master, s->master, sizeof(c->master));
	memcpy(c->id_key, s->id_key, sizeof(c->id_key));
	if (s->slots_len)
		memcpy(c->slots, s->slots, s->slots_len);
	c->slots_len = s->slots_len;
	return take(&c);
}

void seal_free(struct img_seal *s)
{
	if (!s)
		return;
	free(s->slots);
	crypt_wipe(s, sizeof(*s));
	free(s);
}

struct seal_box *seal_box_new(const struct img_seal *s, struct err *e)
{
	struct seal_box *b = calloc(1, sizeof(*b));

	if (!b) {
		err_nomem(e, "encryption");
		return NULL;
	}
	b->s = s;
	b->gcm = crypt_gcm_new(e);
	if (b->gcm)
		return b;
	free(b);
	return NULL;
}

void seal_box_free(struct seal_box *b)
{
	if (!b)
		return;
	crypt_gcm_free(b->gcm);
	free(b);
}

/* Almost always the key of the file itself; a record that was copied from elsewhere has another. */
static int use_key(struct seal_box *b, const struct seal_what *w, struct err *e)
{
	uint8_t key[CRYPT_KEY_SIZE], of[sizeof(b->of)];
	size_t of_len = w->salt ? sizeof(of) : 16;

	memcpy(of, w->pack_id, 16);
	if (w->salt)
		memcpy(of + 16, w->salt, SEAL_SALT_SIZE);
	if (b->of_len == of_len && !memcmp(b->of, of, of_len))
		return 0;
	b->of_len = 0;
	int r = crypt_hkdf(b->s->master, sizeof(b->s->master), of, of_len, w->salt ? "calco table key v1" : "calco pack key v1", key, sizeof(key), e);
	if (r == 0)
		r = crypt_gcm_key(b->gcm, key, e);
	crypt_wipe(key, sizeof(key));
	if (r < 0)
		return -1;
	memcpy(b->of, of, of_len);
	b->of_len = of_len;
	return 0;
}

static void nonce_of(const struct seal_what *w, uint8_t ret[CRYPT_NONCE_SIZE])
{
	memcpy(ret, w->type, 4);
	put_le64(ret, 4, w->number);
}

int seal_close(struct seal_box *b, const struct seal_what *w, const uint8_t *in, size_t len, uint8_t *out, struct err *e)
{
	uint8_t nonce[CRYPT_NONCE_SIZE];

	nonce_of(w, nonce);
	return use_key(b, w, e) < 0 ? -1 : crypt_gcm_seal(b->gcm, nonce, w->head, w->head_len, in, len, out, e);
}

int seal_open(struct seal_box *b, const struct seal_what *w, const uint8_t *in, size_t len, uint8_t *out, struct err *e)
{
	uint8_t nonce[CRYPT_NONCE_SIZE];

	nonce_of(w, nonce);
	if (use_key(b, w, e) < 0)
		return -1;
	int r = crypt_gcm_open(b->gcm, nonce, w->head, w->head_len, in, len, out, e);
	if (r == 0)
		return err_set(e, ERR_CORRUPT, 0, "what is encrypted was changed, or exchanged for something else");
	return r < 0 ? -1 : 0;
}
