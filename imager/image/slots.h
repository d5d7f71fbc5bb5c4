/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Key slots (docs/format.md section 8): the image's secrets, locked for each who may open it. */
#ifndef CALCO_IMAGER_IMAGE_SLOTS_H
#define CALCO_IMAGER_IMAGE_SLOTS_H

#include "base/err.h"
#include "imager/image/keys.h"
#include "imager/image/seal.h"

#include <stdbool.h>

#define SLOTS_MAX            64U
#define SLOTS_MAX_PASSPHRASE 8U

enum slot_kind { SLOT_SYMMETRIC = 1, SLOT_PASSPHRASE = 2, SLOT_RECIPIENT = 3 };

/* What a user has. Borrowed. */
struct img_keys {
	const struct key *keys;
	size_t nr_keys;
	const uint8_t *passphrase; /* NULL: none */
	size_t passphrase_len;
};

static inline bool img_keys_given(const struct img_keys *k)
{
	return k->nr_keys || k->passphrase;
}

/*
 * slots_make - a slot for each key and for the passphrase: s->slots
 *
 * ERR_USAGE for a key that cannot encrypt (one for signing), and for none at all: nothing is ever sealed that nobody can open.
 */
int slots_make(struct img_seal *s, const struct img_keys *k, struct err *e);

/* slots_add - as slots_make(), behind those that are there; slots_remove - number n, from 0. ERR_USAGE: too many, or no such slot; s is unchanged then. */
int slots_add(struct img_seal *s, const struct img_keys *k, struct err *e);
int slots_remove(struct img_seal *s, size_t n, struct err *e);

/* slots_kind - of number n, from 0: enum slot_kind, or one that is not known; 0: there is no such slot. The slots were checked. */
unsigned slots_kind(const uint8_t *p, size_t len, size_t n);

/* How many slots of which kind there are. */
struct slots_count {
	size_t nr_symmetric, nr_passphrase, nr_recipient, nr_unknown;
	size_t nr_all;
};

/* slots_check - is a hostile payload of KEYS a row of slots within its ceilings? ERR_CORRUPT; ERR_UNSUPPORTED for a passphrase that costs too much */
int slots_check(const uint8_t *p, size_t len, struct slots_count *ret, struct err *e);

/* slots_open - with what a user has. 1: *ret is owned by the caller; 0: no slot opens; -1: as slots_check(), or libcrypto failed */
int slots_open(const uint8_t *p, size_t len, const struct img_keys *k, struct img_seal **ret, struct err *e);

#endif
