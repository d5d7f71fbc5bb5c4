/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Signatures of an image (docs/format.md section 6), and whether they are those that somebody asked for. */
#ifndef CALCO_IMAGER_IMAGE_SIGS_H
#define CALCO_IMAGER_IMAGE_SIGS_H

#include "base/crypt.h"
#include "base/err.h"
#include "imager/image/manifest.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SIGS_ENTRY_SIZE 104U
#define SIGS_RESERVED   2U /* free entries that a writer leaves for later signers, used ones included */

enum sigs_part { SIGS_CORE, SIGS_ROOT }; /* CSIG, SIGS */

/*
 * sigs_read - the payload of CSIG or SIGS into m->signers; core_hash or root must be there
 *
 * Each entry is free, of an unknown algorithm, or right; else ERR_CORRUPT. Who signed is not judged here.
 */
int sigs_read(struct img_manifest *m, enum sigs_part part, const uint8_t *p, size_t len, struct err *e);

/* sigs_entry - make an entry: the signature of m->core_hash or m->root. @secret, @public_key: Ed25519. */
int sigs_entry(const struct img_manifest *m, enum sigs_part part, const uint8_t secret[32], const uint8_t public_key[32], uint8_t ret[SIGS_ENTRY_SIZE],
	struct err *e);

/* sigs_free_entry - place of the first free entry in a payload, len when there is none */
size_t sigs_free_entry(const uint8_t *p, size_t len);

/* Whom to believe. All zero: everybody. */
struct img_trust {
	const uint8_t (*signers)[CRYPT_KEY_SIZE]; /* one of these must have signed */
	size_t nr_signers;
	uint64_t min_version;                     /* 0: any */
	const uint8_t *lineage;                   /* 16 bytes; NULL: any */
};

/* sigs_is_trusted - is this signer one of those asked for? */
bool sigs_is_trusted(const struct img_signer *s, const struct img_trust *t);

/*
 * sigs_trust_core - version and lineage; and of an image that comes through a pipe the signature of its core, because that of the root comes last
 * sigs_trust_root - the signature of the root
 * @t: NULL: everybody is believed
 *
 * ERR_REFUSED with the reason "old-version", "other-lineage", "not-signed", "other-signer".
 */
int sigs_trust_core(const char *name, const struct img_manifest *m, const struct img_trust *t, bool from_pipe, struct err *e);
int sigs_trust_root(const char *name, const struct img_manifest *m, const struct img_trust *t, struct err *e);

#endif
