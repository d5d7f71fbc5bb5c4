/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * What a repository holds already, for a capture: chunks by their id, records by their name, and leaves of the versions it is based on
 * by their hash. Filled by one thread, then only read, by any; but what state a record is in
 * anybody may tell.
 */
#ifndef CALCO_IMAGER_REPO_KNOWN_H
#define CALCO_IMAGER_REPO_KNOWN_H

#include "imager/image/packs.h"
#include "imager/image/reader.h"
#include "imager/repo/pack.h"

struct known;

/* A record that is there. */
struct known_record {
	const struct pack_toc *toc; /* of its pack */
	const struct pack_entry *entry;
	uint64_t number; /* of it, among all */
};

/* What is known of a record's bytes. It only gets on from one line to the next. */
enum known_state {
	KNOWN_UNREAD,
	KNOWN_SOUND, KNOWN_TRUSTED, KNOWN_BAD, /* trusted: referred to without being read; a bad one is of no use at all */
	KNOWN_COMPLETE, KNOWN_INCOMPLETE,      /* composed, sound; an incomplete one lacks lenders, but can lend what it holds itself */
};

/* known_open - the tables of contents of all packs that are not retired; damaged ones are told and left out. Records that are noted as damaged are bad. */
struct known *known_open(const struct repo *r, const struct progress *p, struct err *e);
void known_close(struct known *k);
AUTO_DEFINE(known, known_close)

/*
 * known_add_base - leaves of the records that a version refers to can be lent from now on
 *
 * Only records whose leaf lists are in the cache, and are proved by their chunk's id, take part.
 */
int known_add_base(struct known *k, const struct img_reader *base, const struct progress *p, struct err *e);

/* known_chunk - a record of the chunk with this id, neither bad nor incomplete; false when there is none */
bool known_chunk(const struct known *k, const uint8_t id[32], struct known_record *ret);
/* known_name - a record of this name that is not bad */
bool known_name(const struct known *k, const struct img_record_name *name, struct known_record *ret);
/* known_leaf - a record, not bad, that holds a leaf with this hash itself, and which of its leaves it is */
bool known_leaf(const struct known *k, const uint8_t hash[32], struct known_record *ret, unsigned *ret_leaf);

enum known_state known_state(const struct known *k, const struct known_record *r);
/* known_tell - what was found out about a record; any thread. Who tells it first decides: returned is what is true from now on. */
enum known_state known_tell(struct known *k, const struct known_record *r, enum known_state state);

/* known_any_bad - was one told to be bad that was not noted? */
bool known_any_bad(const struct known *k);
/* known_next_bad - each bad one, noted or not: *number is 0 at first; false: that was all */
bool known_next_bad(const struct known *k, uint64_t *number, struct known_record *ret);

#endif
