/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The leaf lists of a pack's records (docs/repository.md section 1). A cache: nobody misses it. It is read piece by piece and not mapped: a file
 * that becomes shorter, or cannot be read in places, is then a list that is not there, and no signal. Private to imager/repo.
 */
#ifndef CALCO_IMAGER_REPO_LEAF_CACHE_H
#define CALCO_IMAGER_REPO_LEAF_CACHE_H

#include "base/hash.h"
#include "imager/repo/pack.h"

#define LEAF_LIST ((size_t)CHUNK_LEAVES * HASH_SIZE) /* bytes of one record's list */

/* leaf_cache_open - the file with LEAF_LIST bytes for each record of the pack, not proved yet; -1 when it is missing or has another length */
int leaf_cache_open(const struct repo *r, const struct pack_toc *t);
/* leaf_cache_read - @nr hashes of a record from leaf @first on; false when they cannot be had, also for fd -1 */
bool leaf_cache_read(int fd, uint64_t record, unsigned first, unsigned nr, uint8_t *ret);

/* The caches of many packs, of which a few are kept open. Any thread. */
struct leaf_caches;

/* leaf_caches_new - of this repository, which stays open as long. NULL: memory is gone. */
struct leaf_caches *leaf_caches_new(const struct repo *r, struct err *e);
void leaf_caches_free(struct leaf_caches *c);

/* leaf_caches_read - leaf_cache_read() from the cache of a pack, which stays as long; with nr 0: is there one? */
bool leaf_caches_read(struct leaf_caches *c, const struct pack_toc *t, uint64_t record, unsigned first, unsigned nr, uint8_t *ret);

#endif
