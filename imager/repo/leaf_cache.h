/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The leaf lists of a pack's records (docs/repository.md sections 1 and 4). A cache: nobody misses it. As it lies there it is mapped; that of
 * an encrypted repository is decrypted into memory. Private to imager/repo.
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

/* leaf_cache_map - LEAF_LIST bytes for each record of the pack, not proved yet (zeros where one does not open); NULL when it is missing or has another length */
const uint8_t *leaf_cache_map(const struct repo *r, const struct pack_toc *t);
void leaf_cache_unmap(const uint8_t *map, const struct pack_toc *t); /* NULL is fine */

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
