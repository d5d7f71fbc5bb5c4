/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Records that a capture refers to instead of storing them again: a version must not be born with damage that was there before, while the
 * disk still has the right content. What a new composed record is built on is read; of the others, which are as much as all that the disk
 * holds, some, and all of them as soon as one is bad. Private to imager/repo.
 */
#ifndef CALCO_IMAGER_REPO_REUSE_H
#define CALCO_IMAGER_REPO_REUSE_H

#include "imager/image/chunk.h"
#include "imager/image/composed.h"
#include "imager/image/packs.h"
#include "imager/repo/known.h"

struct reuse {
	struct known *known;     /* borrowed */
	struct img_packs *packs; /* borrowed; where the records are read from */
	bool sealed;             /* the repository is encrypted */
	unsigned every;          /* one of so many is read */
	uint64_t random;         /* which ones */
};

/*
 * reuse_lender - is there a sound record of this name? Any thread
 * @codec: of the caller's thread, for the repository; @payload: CHUNK_PAYLOAD_MAX, overwritten
 *
 * A record is sound when it is what the table of contents says, with the right checksum, and authentic where it is encrypted. It is read at the first call, then that is remembered;
 * one that cannot be read is bad, and not known any more.
 */
bool reuse_lender(const struct reuse *u, struct chunk_codec *codec, const struct img_record_name *name, uint8_t *payload);

/*
 * reuse_chunk - a record of this chunk; false when there is none that can be used. Any thread. @codec, @payload: as above
 *
 * It, and what lends to it, is read or trusted; known_chunk() tells the same record from then on.
 */
bool reuse_chunk(const struct reuse *u, struct chunk_codec *codec, const uint8_t id[32], struct known_record *ret, uint8_t *payload);

/*
 * reuse_note_damage - what was found to be bad is noted for those who come after. Under the lock; all chunks were looked at.
 *
 * Only what could be read and is wrong: what cannot be read today may be readable tomorrow. *ret_nr: how many are bad that were not noted before.
 */
int reuse_note_damage(const struct reuse *u, const struct repo *r, struct chunk_codec *codec, uint8_t *payload, uint64_t *ret_nr, struct err *e);

/* reuse_helpers - what a composed record refers to. @codec, @payload: as above; *ret points into one of them */
int reuse_helpers(const struct reuse *u, struct chunk_codec *codec, const struct known_record *r, uint8_t *payload, struct composed *ret, struct err *e);

#endif
