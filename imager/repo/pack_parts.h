/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What reading, writing and adopting packs share. Private to imager/repo. */
#ifndef CALCO_IMAGER_REPO_PACK_PARTS_H
#define CALCO_IMAGER_REPO_PACK_PARTS_H

#include "base/buf.h"
#include "base/hash.h"
#include "imager/repo/pack.h"

#define PTOC_ENTRY 80U
#define LEAF_LIST  ((size_t)CHUNK_LEAVES * HASH_SIZE) /* bytes of one record's leaf list in the cache */

/* pack_toc_encode - the payload of PTOC, appended; pack_toc_hash - of all of it */
int pack_toc_encode(const struct pack_entry *entries, uint64_t nr, struct buf *ret, struct err *e);
int pack_toc_hash(const struct buf *toc, uint8_t ret[HASH_SIZE], struct err *e);

/*
 * pack_end - behind the last record: table of contents, trailer, flush, and the pack gets its name
 * @fd: of "new/NEW.pack", at its end (end bytes); @leaves: of "new/NEW.leaves", or -1: nr lists, becomes the cache
 */
int pack_end(const struct repo *r, const uint8_t id[16], int fd, uint64_t end, const struct pack_entry *entries, uint64_t nr, const char *new_name,
	struct err *e);

/* pack_new_path - "new/ID.pack", "new/ID.leaves" */
void pack_new_path(const char *id, const char *ending, char *ret, size_t size);

/* pack_reserve - room for one more entry; false when memory is gone */
bool pack_reserve(struct pack_entry **entries, uint64_t nr, uint64_t *room);

#endif
