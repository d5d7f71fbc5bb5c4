/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Key slots; see slots.h. What a slot of a hostile file can cost has a ceiling before anything is computed. */
#include "imager/image/slots.h"

#include "base/buf.h"
#include "base/random.h"
#include "base/span.h"

#include <stdlib.h>
#include <string.h>

#define HEAD_SIZE    8U
#define SECRETS_SIZE (2 * CRYPT_KEY_SIZE)
#define WRAPPED_SIZE (CRYPT_NONCE_SIZE + SECRETS_SIZE + CRYPT_TAG_SIZE)
#define SALT_SIZE    16U
#define SCRYPT_SIZE  28U
#define MAX_PARAMS   4096U

/* What this program writes. */
#define SCRYPT_LOG_N 17U
#define SCRYPT_R     8U
#define SCRYPT_P     1U
/* What it computes for others. */
#define MAX_MEMORY   ((uint64_t)1 << 28)
#define MAX_WORK     ((uint64_t)1 << 22)

/* One slot in a row. */
struct slot {
	uint8_t kind;
	const uint8_t *bytes, *params, *wrapped;
	uint32_t params_len;
};

static int damaged(struct err *e)
{
	return err_set(e, ERR_CORRUPT, 0, "part 'KEYS' is not a row of key slots");
}

static int check_scrypt(const struct slot *s, struct err *e)
{
	const uint8_t *p = s->params + SALT_SIZE;
	uint32_t log_n = p[0], r = get_le32(p + 4), n_p = get_le32(p + 8);

	if (p[1] || p[2] || p[3] || log_n < 10 || log_n > 20 || r < 1 || r > 32 || n_p < 1 || n_p > 16)
		return damaged(e);
	if (((uint64_t)128 * r) << log_n > MAX_MEMORY || ((uint64_t)r * n_p) << log_n > MAX_WORK)
		return err_set(e, ERR_UNSUPPORTED, 0, "a key slot wants more memory or time for its passphrase than this program gives");
	return 0;
}

/* The slot at *at; moves on. 1, or 0 at the end, or -1. */
static int next_slot(const uint8_t *p, size_t len, size_t *at, struct slot *ret, struct err *e)
{
	static const uint32_t params[] = { [SLOT_SYMMETRIC] = SALT_SIZE, [SLOT_PASSPHRASE] = SCRYPT_SIZE, [SLOT_RECIPIENT] = CRYPT_KEY_SIZE };
	struct span s = span_of(p, len);

	if (*at == len)
		return 0;
	*ret = (struct slot){ .kind = span_u8(&s, *at), .bytes = p + *at, .params_len = span_le32(&s, *at + 4) };
	if (s.bad || ret->params_len > MAX_PARAMS || !span_at(&s, *at + HEAD_SIZE, ret->params_len + WRAPPED_SIZE))
		return damaged(e);
	ret->params = ret->bytes + HEAD_SIZE;
	ret->wrapped = ret->params + ret->params_len;
	*at += HEAD_SIZE + ret->params_len + WRAPPED_SIZE;
	if (ret->kind < SLOT_SYMMETRIC || ret->kind > SLOT_RECIPIENT)
		return 1;
	if (ret->bytes[1] || ret->bytes[2] || ret->bytes[3] || ret->params_len != params[ret->kind])
		return damaged(e);
	return ret->kind == SLOT_PASSPHRASE && check_scrypt(ret, e) < 0 ? -1 : 1;
}

int slots_check(const uint8_t *p, size_t len, struct slots_count *ret, struct err *e)
{
	struct slot s;
	size_t at = 0, nr = 0;
	int r;

	memset(ret, 0, sizeof(*ret));
	while ((r = next_slot(p, len, &at, &s, e)) > 0) {
		size_t *count = s.kind == SLOT_SYMMETRIC ? &ret->nr_symmetric : s.kind == SLOT_PASSPHRASE ? &ret->nr_passphrase :
			s.kind == SLOT_RECIPIENT ? &ret->nr_recipient : &ret->nr_unknown;
		++*count;
		if (++nr > SLOTS_MAX || ret->nr_passphrase > SLOTS_MAX_PASSPHRASE)
			return damaged(e);
	}
	ret->nr_all = nr;
	if (r < 0)
		return -1;
	return nr ? 0 : damaged(e);
}

/* ---- the key of a slot */

static int key_of_symmetric(const struct slot *s, const uint8_t key[32], uint8_t ret[32], struct err *e)
{
	return crypt_hkdf(key, CRYPT_KEY_SIZE, s->params, SALT_SIZE, "calco slot key v1", ret, CRYPT_KEY_SIZE, e);
}

static int key_of_passphrase(const struct slot *s, const struct img_keys *k, uint8_t ret[32], struct err *e)
{
	const uint8_t *p = s->params + SALT_SIZE;

	return crypt_scrypt(k->passphrase, k->passphrase_len, s->params, SALT_SIZE, (uint64_t)1 << p[0], get_le32(p + 4), get_le32(p + 8), ret,
		CRYPT_KEY_SIZE, e);
}

/* @secret, @peer: whichever side computes; the salt names both public keys. */
static int key_of_recipient(const uint8_t secret[32], const uint8_t peer[32], const uint8_t ephemeral[32], const uint8_t recipient[32], uint8_t ret[32],
	struct err *e)
{
	uint8_t shared[CRYPT_KEY_SIZE], salt[2 * CRYPT_KEY_SIZE];

	if (crypt_x25519_shared(secret, peer, shared, e) < 0)
		return -1;
	memcpy(salt, ephemeral, CRYPT_KEY_SIZE);
	memcpy(salt + CRYPT_KEY_SIZE, recipient, CRYPT_KEY_SIZE);
	int r = crypt_hkdf(shared, sizeof(shared), salt, sizeof(salt), "calco slot x25519 v1", ret, CRYPT_KEY_SIZE, e);
	crypt_wipe(shared, sizeof(shared));
	return r;
}

/* ---- making */

static int wrap(const struct slot *s, uint8_t *wrapped, const uint8_t key[32], const struct img_seal *seal, struct err *e)
{
	AUTO(crypt_gcm) struct crypt_gcm *g = crypt_gcm_new(e);
	uint8_t secrets[SECRETS_SIZE];

	if (!g || random_bytes(wrapped, CRYPT_NONCE_SIZE, e) < 0 || crypt_gcm_key(g, key, e) < 0)
		return -1;
	memcpy(secrets, seal->master, CRYPT_KEY_SIZE);
	memcpy(secrets + CRYPT_KEY_SIZE, seal->id_key, CRYPT_KEY_SIZE);
	int r = crypt_gcm_seal(g, wrapped, s->bytes, HEAD_SIZE + s->params_len, secrets, sizeof(secrets), wrapped + CRYPT_NONCE_SIZE, e);
	crypt_wipe(secrets, sizeof(secrets));
	return r;
}

/* Fill the parameters, and give the key: k NULL is the passphrase. */
static int fill(uint8_t *params, const struct slot *s, const struct key *k, const struct img_keys *all, uint8_t ret[32], struct err *e)
{
	uint8_t ephemeral[CRYPT_KEY_SIZE];

	if (s->kind != SLOT_RECIPIENT && random_bytes(params, SALT_SIZE, e) < 0)
		return -1;
	if (s->kind == SLOT_SYMMETRIC)
		return key_of_symmetric(s, k->bytes, ret, e);
	if (s->kind == SLOT_PASSPHRASE) {
		params[SALT_SIZE] = SCRYPT_LOG_N;
		put_le32(params, SALT_SIZE + 4, SCRYPT_R);
		put_le32(params, SALT_SIZE + 8, SCRYPT_P);
		return key_of_passphrase(s, all, ret, e);
	}
	if (random_bytes(ephemeral, sizeof(ephemeral), e) < 0)
		return -1;
	int r = crypt_x25519_public(ephemeral, params, e);
	if (r == 0)
		r = key_of_recipient(ephemeral, k->public_bytes, params, k->public_bytes, ret, e);
	crypt_wipe(ephemeral, sizeof(ephemeral));
	return r;
}

static int add_slot(struct buf *b, const struct img_seal *seal, enum slot_kind kind, const struct key *k, const struct img_keys *all, struct err *e)
{
	uint32_t params_len = kind == SLOT_SYMMETRIC ? SALT_SIZE : kind == SLOT_PASSPHRASE ? SCRYPT_SIZE : CRYPT_KEY_SIZE;
	uint8_t key[CRYPT_KEY_SIZE], *p = buf_extend(b, HEAD_SIZE + params_len + WRAPPED_SIZE);

	if (!p)
		return err_nomem(e, "the key slots");
	p[0] = (uint8_t)kind;
	put_le32(p, 4, params_len);
	struct slot s = { .kind = (uint8_t)kind, .bytes = p, .params = p + HEAD_SIZE, .params_len = params_len };
	int r = fill(p + HEAD_SIZE, &s, k, all, key, e);
	if (r == 0)
		r = wrap(&s, p + HEAD_SIZE + params_len, key, seal, e);
	crypt_wipe(key, sizeof(key));
	return r;
}

int slots_make(struct img_seal *seal, const struct img_keys *k, struct err *e)
{
	struct buf b = { 0 };
	int r = 0;

	if (!img_keys_given(k))
		return err_set(e, ERR_USAGE, 0, "encryption needs a key or a passphrase");
	if (k->nr_keys + !!k->passphrase > SLOTS_MAX)
		return err_set(e, ERR_USAGE, 0, "an image has at most %u key slots", SLOTS_MAX);
	for (size_t i = 0; r == 0 && i < k->nr_keys; i++) {
		const struct key *one = &k->keys[i];
		if (one->kind == KEY_SIGN_SECRET || one->kind == KEY_SIGN_PUBLIC) {
			err_set(e, ERR_USAGE, 0, "a key of the kind %s signs, it does not encrypt", key_kind_name(one->kind));
			r = err_hint(e, "'calco key new FILE --kind recipient' makes one for encryption");
		} else {
			r = add_slot(&b, seal, one->kind == KEY_SYMMETRIC ? SLOT_SYMMETRIC : SLOT_RECIPIENT, one, k, e);
		}
	}
	if (r == 0 && k->passphrase)
		r = add_slot(&b, seal, SLOT_PASSPHRASE, NULL, k, e);
	if (r < 0) {
		free(b.p);
		return -1;
	}
	free(seal->slots);
	seal->slots = b.p;
	seal->slots_len = b.len;
	return 0;
}

/* ---- changing */

int slots_add(struct img_seal *seal, const struct img_keys *k, struct err *e)
{
	AUTO(img_seal) struct img_seal *more = seal_copy(seal, e); /* the same secrets */
	struct slots_count have, add;

	if (!more || slots_make(more, k, e) < 0 || slots_check(seal->slots, seal->slots_len, &have, e) < 0 ||
	    slots_check(more->slots, more->slots_len, &add, e) < 0)
		return -1;
	if (have.nr_passphrase + add.nr_passphrase > SLOTS_MAX_PASSPHRASE || have.nr_all + add.nr_all > SLOTS_MAX)
		return err_set(e, ERR_USAGE, 0, "there are at most %u key slots, %u of them for passphrases", SLOTS_MAX, SLOTS_MAX_PASSPHRASE);
	uint8_t *grown = realloc(seal->slots, seal->slots_len + more->slots_len);
	if (!grown)
		return err_nomem(e, "the key slots");
	memcpy(grown + seal->slots_len, more->slots, more->slots_len);
	seal->slots = grown;
	seal->slots_len += more->slots_len;
	return 0;
}

/* Number n, from 0; *ret_start is where it begins, *at where it ends. False: there is none. */
static bool find_slot(const uint8_t *p, size_t len, size_t n, size_t *ret_start, size_t *at, struct slot *ret)
{
	struct err ignored = ERR_INIT; /* they were checked */

	*at = 0;
	do {
		*ret_start = *at;
		if (next_slot(p, len, at, ret, &ignored) <= 0)
			return false;
	} while (n--);
	return true;
}

int slots_remove(struct img_seal *seal, size_t n, struct err *e)
{
	size_t start, end;
	struct slot s;

	if (!find_slot(seal->slots, seal->slots_len, n, &start, &end, &s))
		return err_set(e, ERR_USAGE, 0, "there is no key slot %zu", n + 1);
	memmove(seal->slots + start, seal->slots + end, seal->slots_len - end);
	seal->slots_len -= end - start;
	return 0;
}

unsigned slots_kind(const uint8_t *p, size_t len, size_t n)
{
	size_t start, end;
	struct slot s;

	return find_slot(p, len, n, &start, &end, &s) ? s.kind : 0;
}

/* ---- opening */

static int unwrap(const struct slot *s, const uint8_t key[32], struct img_seal *ret, struct err *e)
{
	AUTO(crypt_gcm) struct crypt_gcm *g = crypt_gcm_new(e);
	uint8_t secrets[SECRETS_SIZE];

	if (!g || crypt_gcm_key(g, key, e) < 0)
		return -1;
	int r = crypt_gcm_open(g, s->wrapped, s->bytes, HEAD_SIZE + s->params_len, s->wrapped + CRYPT_NONCE_SIZE, SECRETS_SIZE + CRYPT_TAG_SIZE, secrets, e);
	if (r == 1) {
		memcpy(ret->master, secrets, CRYPT_KEY_SIZE);
		memcpy(ret->id_key, secrets + CRYPT_KEY_SIZE, CRYPT_KEY_SIZE);
	}
	crypt_wipe(secrets, sizeof(secrets));
	return r;
}

/* One slot with one key. 1 opened, 0 not, -1. k NULL: the passphrase. */
static int try_slot(const struct slot *s, const struct key *k, const struct img_keys *all, struct img_seal *ret, struct err *e)
{
	uint8_t key[CRYPT_KEY_SIZE];
	int r;

	if (!k)
		r = key_of_passphrase(s, all, key, e);
	else if (k->kind == KEY_SYMMETRIC)
		r = key_of_symmetric(s, k->bytes, key, e);
	else
		r = key_of_recipient(k->bytes, s->params, s->params, k->public_bytes, key, e);
	if (r < 0)
		return e->code == ERR_CORRUPT ? 0 : -1; /* an ephemeral key that gives no shared secret: not made for anybody */
	r = unwrap(s, key, ret, e);
	crypt_wipe(key, sizeof(key));
	return r;
}

static bool fits(const struct slot *s, const struct key *k)
{
	return k->kind == KEY_SYMMETRIC ? s->kind == SLOT_SYMMETRIC : k->kind == KEY_BOX_SECRET && s->kind == SLOT_RECIPIENT;
}

/* Keys first: a passphrase costs time. */
static int try_all(const uint8_t *p, size_t len, const struct img_keys *k, struct img_seal *ret, struct err *e)
{
	struct slot s;
	int r = 0;

	for (size_t at = 0; next_slot(p, len, &at, &s, e) > 0;)
		for (size_t i = 0; i < k->nr_keys; i++)
			if (fits(&s, &k->keys[i]) && (r = try_slot(&s, &k->keys[i], k, ret, e)) != 0)
				return r;
	for (size_t at = 0; k->passphrase && next_slot(p, len, &at, &s, e) > 0;)
		if (s.kind == SLOT_PASSPHRASE && (r = try_slot(&s, NULL, k, ret, e)) != 0)
			return r;
	return 0;
}

int slots_open(const uint8_t *p, size_t len, const struct img_keys *k, struct img_seal **ret, struct err *e)
{
	struct slots_count count;
	AUTO(img_seal) struct img_seal *s = NULL;

	if (slots_check(p, len, &count, e) < 0)
		return -1;
	if (!(s = calloc(1, sizeof(*s))) || !(s->slots = malloc(len)))
		return err_nomem(e, "the keys of the image");
	memcpy(s->slots, p, len);
	s->slots_len = len;
	int r = try_all(p, len, k, s, e);
	if (r == 1)
		*ret = take(&s);
	return r;
}
