/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The leaf lists of a pack's records (docs/repository.md sections 1 and 4). A cache: nobody misses it. It is read list by list and not mapped: a
 * file that becomes shorter, cannot be read in places, or does not open with the key, is then a list that is not there, and no signal. Private to
 * imager/repo.
 */
#ifndef CALCO_IMAGER_REPO_LEAF_CACHE_H
#define CALCO_IMAGER_REPO_LEAF_CACHE_H

#include "base/file_out.h"
#include "base/hash.h"
#include "imager/image/seal.h"
#include "imager/repo/pack.h"

#define LEAF_LIST ((size_t)CHUNK_LEAVES * HASH_SIZE) /* bytes of one record's list */

/* leaf_cache_size - bytes of the file for so many records */
uint64_t leaf_cache_size(const struct repo *r, uint64_t nr);

/* A cache that is open. Any thread. */
struct leaf_cache;

/* leaf_cache_open - the list of each record of the pack, not proved yet; NULL when the file is missing or has another length. r stays open as long. */
struct leaf_cache *leaf_cache_open(const struct repo *r, const struct pack_toc *t);
void leaf_cache_close(struct leaf_cache *c); /* NULL is fine */
AUTO_DEFINE(leaf_cache, leaf_cache_close)
/* leaf_cache_read - @nr hashes of a record from leaf @first on; false when they cannot be had, also of NULL */
bool leaf_cache_read(struct leaf_cache *c, uint64_t record, unsigned first, unsigned nr, uint8_t *ret);

/* The caches of many packs, of which a few are kept open. Any thread. */
struct leaf_caches;

/* leaf_caches_new - of this repository, which stays open as long. NULL: memory is gone. */
struct leaf_caches *leaf_caches_new(const struct repo *r, struct err *e);
void leaf_caches_free(struct leaf_caches *c);

/* leaf_caches_read - leaf_cache_read() from the cache of a pack, which stays as long; with nr 0: is there one? */
bool leaf_caches_read(struct leaf_caches *c, const struct pack_toc *t, uint64_t record, unsigned first, unsigned nr, uint8_t *ret);

/* Writing one, list by list in the order of the records. */
struct leaf_writer {
	struct file_out *out;  /* borrowed */
	struct seal_box *box;  /* NULL: not encrypted */
	uint8_t pack[16], salt[SEAL_SALT_SIZE];
	uint64_t nr;
};

/* leaf_writer_begin - at the beginning of a file; r is kept. Released also when it fails. */
int leaf_writer_begin(struct leaf_writer *w, const struct repo *r, const uint8_t pack[16], struct file_out *out, struct err *e);
int leaf_writer_put(struct leaf_writer *w, const uint8_t list[CHUNK_LEAVES][HASH_SIZE], struct err *e);
void leaf_writer_release(struct leaf_writer *w);

#endif
