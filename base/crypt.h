/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The cryptographic functions that images need, through libcrypto: Ed25519, X25519, HKDF, scrypt, AES-256-GCM. Thin: what they mean for an
 * image is decided in imager/image. Keys are 32 bytes everywhere; who holds a secret one wipes it with crypt_wipe().
 */
#ifndef CALCO_BASE_CRYPT_H
#define CALCO_BASE_CRYPT_H

#include "base/auto.h"
#include "base/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define CRYPT_KEY_SIZE   32U
#define CRYPT_SIG_SIZE   64U
#define CRYPT_NONCE_SIZE 12U
#define CRYPT_TAG_SIZE   16U

/* crypt_wipe - overwrite a secret, in a way no compiler leaves out. p NULL is fine. */
void crypt_wipe(void *p, size_t len);

/* crypt_equal - compare without telling by the time it takes where they differ */
bool crypt_equal(const void *a, const void *b, size_t len);

/* Ed25519 (RFC 8032): the secret is the seed. */
int crypt_ed25519_public(const uint8_t secret[32], uint8_t ret[32], struct err *e);
int crypt_ed25519_sign(const uint8_t secret[32], const void *msg, size_t len, uint8_t ret[CRYPT_SIG_SIZE], struct err *e);
/* crypt_ed25519_verify - 1 right, 0 wrong (also: no key at all), -1 when libcrypto failed */
int crypt_ed25519_verify(const uint8_t public_key[32], const void *msg, size_t len, const uint8_t sig[CRYPT_SIG_SIZE], struct err *e);

/* X25519 (RFC 7748). A shared secret of zeros is ERR_CORRUPT: the other key was made to give it. */
int crypt_x25519_public(const uint8_t secret[32], uint8_t ret[32], struct err *e);
int crypt_x25519_shared(const uint8_t secret[32], const uint8_t peer[32], uint8_t ret[32], struct err *e);

/* crypt_hkdf - HKDF-SHA-256 (RFC 5869); ret_len at most 255 × 32 */
int crypt_hkdf(const void *input, size_t input_len, const void *salt, size_t salt_len, const char *info, uint8_t *ret, size_t ret_len, struct err *e);

/* crypt_scrypt - RFC 7914. The caller checked the costs: it takes 128 × n × r bytes of memory. */
int crypt_scrypt(const void *pass, size_t pass_len, const void *salt, size_t salt_len, uint64_t n, uint32_t r, uint32_t p, uint8_t *ret, size_t ret_len,
	struct err *e);

/* AES-256-GCM with one key after the other. Belongs to one thread at a time. */
struct crypt_gcm;

struct crypt_gcm *crypt_gcm_new(struct err *e);
void crypt_gcm_free(struct crypt_gcm *g);
AUTO_DEFINE(crypt_gcm, crypt_gcm_free)
int crypt_gcm_key(struct crypt_gcm *g, const uint8_t key[32], struct err *e);

/*
 * crypt_gcm_seal - encrypt len bytes; the tag goes behind them
 * @out: len + CRYPT_TAG_SIZE bytes; may be in
 *
 * A nonce is used once for each key, or everything is lost: the caller's duty.
 */
int crypt_gcm_seal(struct crypt_gcm *g, const uint8_t nonce[CRYPT_NONCE_SIZE], const void *aad, size_t aad_len, const uint8_t *in, size_t len, uint8_t *out,
	struct err *e);

/*
 * crypt_gcm_open - decrypt and check; len counts the tag
 * @out: len - CRYPT_TAG_SIZE bytes; may be in
 *
 * 1 right; 0 not what was sealed with this key, nonce and aad: out is zeroed; -1 when libcrypto failed.
 */
int crypt_gcm_open(struct crypt_gcm *g, const uint8_t nonce[CRYPT_NONCE_SIZE], const void *aad, size_t aad_len, const uint8_t *in, size_t len, uint8_t *out,
	struct err *e);

#endif
