/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Encryption of an image (docs/format.md section 8): its secrets, and sealing and opening of parts and records with them. How the secrets
 * themselves are locked is in slots.h.
 */
#ifndef CALCO_IMAGER_IMAGE_SEAL_H
#define CALCO_IMAGER_IMAGE_SEAL_H

#include "base/auto.h"
#include "base/crypt.h"
#include "base/err.h"

#include <stddef.h>
#include <stdint.h>

#define SEAL_TAG_SIZE  CRYPT_TAG_SIZE /* a sealed payload is longer by this */
#define SEAL_SALT_SIZE 16U            /* what may be written again has a key of its own each time */

/* The secrets of one image, or of several that share ids. Only read once they are made: any thread may. */
struct img_seal {
	uint8_t master[CRYPT_KEY_SIZE], id_key[CRYPT_KEY_SIZE];
	uint8_t *slots; /* the payload of KEYS; owned */
	size_t slots_len;
};

struct img_seal *seal_new(struct err *e); /* random secrets, no slots yet */
/* seal_copy - of NULL (not encrypted) NULL, with nothing in *e; else NULL when memory is gone */
struct img_seal *seal_copy(const struct img_seal *s, struct err *e);
void seal_free(struct img_seal *s);       /* wipes them; NULL is fine */
AUTO_DEFINE(img_seal, seal_free)

/* Seals and opens with the key of one pack after the other. Belongs to one thread at a time. */
struct seal_box;

/* @s: kept until the box is freed */
struct seal_box *seal_box_new(const struct img_seal *s, struct err *e);
void seal_box_free(struct seal_box *b);
AUTO_DEFINE(seal_box, seal_box_free)

/* What is sealed: its place makes the nonce, its header is authenticated. */
struct seal_what {
	const uint8_t *pack_id; /* 16 bytes: whose key */
	const uint8_t *salt;    /* NULL, or SEAL_SALT_SIZE bytes: of a table, whose key this makes */
	const char *type;       /* four letters; "CHNK" for a record */
	uint64_t number;        /* of the record; 0 for a part */
	const uint8_t *head;    /* the header's bytes before its CRC fields */
	size_t head_len;
};

/* seal_close - len bytes into len + SEAL_TAG_SIZE; out may be in. Never twice for one pack, salt, type and number. */
int seal_close(struct seal_box *b, const struct seal_what *w, const uint8_t *in, size_t len, uint8_t *out, struct err *e);

/*
 * seal_open - len bytes into len - SEAL_TAG_SIZE; out may be in
 *
 * ERR_CORRUPT: damaged, exchanged for something else, or sealed with another key; out is then zeroed.
 */
int seal_open(struct seal_box *b, const struct seal_what *w, const uint8_t *in, size_t len, uint8_t *out, struct err *e);

#endif
