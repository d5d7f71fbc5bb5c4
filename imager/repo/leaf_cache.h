/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The leaf lists of a pack's records, as a mapped file (docs/repository.md section 1). A cache: nobody misses it. Private to imager/repo. */
#ifndef CALCO_IMAGER_REPO_LEAF_CACHE_H
#define CALCO_IMAGER_REPO_LEAF_CACHE_H

#include "base/hash.h"
#include "imager/repo/pack.h"

#define LEAF_LIST ((size_t)CHUNK_LEAVES * HASH_SIZE) /* bytes of one record's list */

/* leaf_cache_map - LEAF_LIST bytes for each record of the pack, not proved yet; NULL when it is missing or has another length */
const uint8_t *leaf_cache_map(const struct repo *r, const struct pack_toc *t);
void leaf_cache_unmap(const uint8_t *map, const struct pack_toc *t); /* NULL is fine */

#endif
