/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * What a repository holds already, for a capture: chunks by their id, records by their name, and leaves of the versions it is based on
 * by their hash. Filled by one thread, then only read, by any.
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
};

/* known_open - the tables of contents of all packs that are not retired; damaged ones are told and left out */
struct known *known_open(const struct repo *r, const struct progress *p, struct err *e);
void known_close(struct known *k);
AUTO_DEFINE(known, known_close)

/*
 * known_add_base - leaves of the records that a version refers to can be lent from now on
 *
 * Only records whose leaf lists are in the cache, and are proved by their chunk's id, take part.
 */
int known_add_base(struct known *k, const struct img_reader *base, const struct progress *p, struct err *e);

/* known_chunk - the record of a chunk with this id; false when there is none */
bool known_chunk(const struct known *k, const uint8_t id[32], struct known_record *ret);
/* known_name - the record of this name */
bool known_name(const struct known *k, const struct img_record_name *name, struct known_record *ret);
/* known_leaf - a record that holds a leaf with this hash itself, and which of its leaves it is */
bool known_leaf(const struct known *k, const uint8_t hash[32], struct known_record *ret, unsigned *ret_leaf);

#endif
