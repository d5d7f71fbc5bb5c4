/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Key files (docs/format.md section 9): one line of text, the kind and 32 bytes. Secrets come from files only, never from the command line, and are
 * never part of a message.
 */
#ifndef CALCO_IMAGER_IMAGE_KEYS_H
#define CALCO_IMAGER_IMAGE_KEYS_H

#include "base/crypt.h"
#include "base/err.h"
#include "base/progress.h"

#include <stdbool.h>
#include <stdint.h>

enum key_kind { KEY_SIGN_SECRET, KEY_SIGN_PUBLIC, KEY_BOX_SECRET, KEY_BOX_PUBLIC, KEY_SYMMETRIC };

#define KEY_LINE_MAX         512 /* with its NUL */
#define KEY_FINGERPRINT_SIZE 16

struct key {
	enum key_kind kind;
	uint8_t bytes[CRYPT_KEY_SIZE]; /* as in the file */
	uint8_t public_bytes[CRYPT_KEY_SIZE]; /* of a pair; zeros for a symmetric key */
	char comment[200];             /* cleaned of control characters */
};

/* key_forget - wipe it */
void key_forget(struct key *k);
static inline void auto_key_(struct key *k)
{
	key_forget(k);
}
#define AUTO_KEY __attribute__((cleanup(auto_key_)))

/* key_new - a random one; kind is KEY_SIGN_SECRET, KEY_BOX_SECRET or KEY_SYMMETRIC */
int key_new(enum key_kind kind, const char *comment, struct key *ret, struct err *e);

/* key_public - the other half of a pair, as a key of its own. False for a symmetric key, which has none. */
bool key_public(const struct key *k, struct key *ret);

bool key_is_secret(const struct key *k);
const char *key_kind_name(enum key_kind kind); /* "calco-secret-ed25519" */

/* key_fingerprint - of the public half; of a symmetric key of itself */
int key_fingerprint(const struct key *k, uint8_t ret[KEY_FINGERPRINT_SIZE], struct err *e);

/* key_line - as it stands in a file, without the line feed. Of a secret key this is the secret: wipe it. */
int key_line(const struct key *k, char ret[KEY_LINE_MAX], struct err *e);

/* key_base64 - the 48 characters of a public key, with a NUL */
int key_base64(const struct key *k, char ret[49], struct err *e);

/* key_parse - one line; @name is for messages, which never repeat the text. ERR_USAGE. */
int key_parse(const char *name, const char *line, struct key *ret, struct err *e);

/*
 * key_read - the one key of a file. ERR_USAGE when there is no such file, or no key or more than one in it.
 * @p: NULL, or asked whether to stop while nobody writes to the pipe that the file is; of the others below too
 */
int key_read(const char *path, struct key *ret, const struct progress *p, struct err *e);

/* key_read_signer - whom to trust: a file with a public or secret signing key, its line, or its base64 alone. Only the public half is kept. */
int key_read_signer(const char *word, uint8_t ret[CRYPT_KEY_SIZE], const struct progress *p, struct err *e);

/*
 * key_write - make a new file of mode 0600 (0644 for a public key), flushed
 *
 * ERR_REFUSED "exists" when there is one: a key is never overwritten. What could not be written whole is removed.
 */
int key_write(const char *path, const struct key *k, struct err *e);

/* key_passphrase - the bytes of a passphrase file without the end of the last line; owned: wipe and free. ERR_USAGE when it is empty or has over 64 KiB. */
int key_passphrase(const char *path, uint8_t **ret, size_t *ret_len, const struct progress *p, struct err *e);

#endif
