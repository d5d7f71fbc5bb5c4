/* SPDX-License-Identifier: GPL-3.0-or-later */
/* SHA-256 of many messages; see hash_lanes.h. HAVE_IPSEC_MB is set by the Makefile where the library exists (x86-64). */
#include "base/hash_lanes.h"

#include "base/crypt.h"

#include <stdlib.h>
#include <string.h>

#ifdef HAVE_IPSEC_MB
#include <intel-ipsec-mb.h>
#else
typedef struct IMB_MGR IMB_MGR;
#endif

struct hash_lanes {
	struct hasher *hasher; /* one after the other */
	IMB_MGR *wide;         /* several at once; NULL: not on this machine */
	bool is_keyed;         /* HMAC, with the two pads already hashed: */
	uint8_t inner[HASH_SIZE], outer[HASH_SIZE];
};

static int run_single(struct hash_lanes *l, const uint8_t *const data[], size_t len, size_t n, uint8_t ret[][HASH_SIZE], struct err *e)
{
	for (size_t i = 0; i < n; i++) {
		hasher_begin(l->hasher);
		hasher_add(l->hasher, data[i], len);
		hasher_end(l->hasher, ret[i]);
	}
	return hasher_check(l->hasher, e);
}

#ifdef HAVE_IPSEC_MB

static IMB_MGR *open_wide(void)
{
	IMB_ARCH arch = IMB_ARCH_NONE;
	IMB_MGR *m = alloc_mb_mgr(0);

	if (!m)
		return NULL;
	init_mb_mgr_auto(m, &arch);
	if (imb_get_errno(m) || arch == IMB_ARCH_NONE) {
		free_mb_mgr(m);
		return NULL;
	}
	return m;
}

static void close_wide(IMB_MGR *m)
{
	if (m)
		free_mb_mgr(m);
}

/* The state of SHA-256 after a key's padded block, as the library wants it. */
static void hash_pad(IMB_MGR *m, const uint8_t key[HASH_SIZE], uint8_t pad, uint8_t ret[HASH_SIZE])
{
	uint8_t block[64];

	for (size_t i = 0; i < sizeof(block); i++)
		block[i] = (uint8_t)((i < HASH_SIZE ? key[i] : 0) ^ pad);
	IMB_SHA256_ONE_BLOCK(m, block, ret);
	crypt_wipe(block, sizeof(block));
}

static void set_key(struct hash_lanes *l, const uint8_t key[HASH_SIZE])
{
	hash_pad(l->wide, key, 0x36, l->inner);
	hash_pad(l->wide, key, 0x5C, l->outer);
}

static void fill_job(const struct hash_lanes *l, IMB_JOB *job, const uint8_t *data, size_t len, uint8_t ret[HASH_SIZE])
{
	memset(job, 0, sizeof(*job));
	job->cipher_mode = IMB_CIPHER_NULL;
	job->cipher_direction = IMB_DIR_ENCRYPT;
	job->chain_order = IMB_ORDER_HASH_CIPHER;
	job->hash_alg = l->is_keyed ? IMB_AUTH_HMAC_SHA_256 : IMB_AUTH_SHA_256;
	if (l->is_keyed) {
		job->u.HMAC._hashed_auth_key_xor_ipad = l->inner;
		job->u.HMAC._hashed_auth_key_xor_opad = l->outer;
	}
	job->src = data;
	job->msg_len_to_hash_in_bytes = len;
	job->auth_tag_output = ret;
	job->auth_tag_output_len_in_bytes = HASH_SIZE;
}

/*
 * Whether all were computed. Jobs are handed in one by one: the library's calls for bursts mix jobs up when more than its
 * queue of 256 passes through (1.3, seen by the test). Nothing is left in the lanes afterwards: no pointer is used later.
 */
static bool run_wide(const struct hash_lanes *l, const uint8_t *const data[], size_t len, size_t n, uint8_t ret[][HASH_SIZE])
{
	IMB_MGR *m = l->wide;
	size_t good = 0;
	IMB_JOB *job;

	for (size_t i = 0; i < n; i++) {
		fill_job(l, IMB_GET_NEXT_JOB(m), data[i], len, ret[i]);
		for (job = IMB_SUBMIT_JOB(m); job; job = IMB_GET_COMPLETED_JOB(m))
			good += job->status == IMB_STATUS_COMPLETED;
	}
	while ((job = IMB_FLUSH_JOB(m)))
		good += job->status == IMB_STATUS_COMPLETED;
	return good == n;
}

#else

static IMB_MGR *open_wide(void)
{
	return NULL;
}

static void close_wide(IMB_MGR *m)
{
	(void)m;
}

static void set_key(struct hash_lanes *l, const uint8_t key[HASH_SIZE])
{
	(void)l, (void)key;
}

static bool run_wide(const struct hash_lanes *l, const uint8_t *const data[], size_t len, size_t n, uint8_t ret[][HASH_SIZE])
{
	(void)l, (void)data, (void)len, (void)n, (void)ret;
	return false;
}

#endif

/* Every lane of the widest processors (16), twice, on messages that differ. A wrong id would make an image worthless elsewhere. */
static bool agrees_with_libcrypto(struct hash_lanes *l, struct err *e)
{
	enum { LEN = 200, N = 33 };
	uint8_t text[LEN + N], wide[N][HASH_SIZE], single[N][HASH_SIZE];
	const uint8_t *data[N];

	for (unsigned i = 0; i < sizeof(text); i++)
		text[i] = (uint8_t)(i * 7 + i / 32);
	for (unsigned i = 0; i < N; i++)
		data[i] = text + i;
	return run_single(l, data, LEN, N, single, e) == 0 && run_wide(l, data, LEN, N, wide) && !memcmp(wide, single, sizeof(wide));
}

struct hash_lanes *hash_lanes_new(struct err *e)
{
	return hash_lanes_new_keyed(NULL, e);
}

struct hash_lanes *hash_lanes_new_keyed(const uint8_t *key, struct err *e)
{
	struct hash_lanes *l = calloc(1, sizeof(*l));

	if (!l) {
		err_nomem(e, "hashing");
		return NULL;
	}
	l->hasher = hasher_new_keyed(key, e);
	if (!l->hasher) {
		hash_lanes_free(l);
		return NULL;
	}
	l->wide = open_wide();
	l->is_keyed = key != NULL;
	if (l->wide && key)
		set_key(l, key);
	if (l->wide && !agrees_with_libcrypto(l, e)) {
		close_wide(l->wide);
		l->wide = NULL;
	}
	return l;
}

void hash_lanes_free(struct hash_lanes *l)
{
	if (!l)
		return;
	close_wide(l->wide);
	hasher_free(l->hasher);
	crypt_wipe(l, sizeof(*l));
	free(l);
}

int hash_lanes_run(struct hash_lanes *l, const uint8_t *const data[], size_t len, size_t n, uint8_t ret[][HASH_SIZE], struct err *e)
{
	if (l->wide && run_wide(l, data, len, n, ret))
		return 0;
	return run_single(l, data, len, n, ret, e);
}

bool hash_lanes_are_wide(const struct hash_lanes *l)
{
	return l->wide != NULL;
}
