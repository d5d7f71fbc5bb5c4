/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What reading, writing and adopting packs share. Private to imager/repo. */
#ifndef CALCO_IMAGER_REPO_PACK_PARTS_H
#define CALCO_IMAGER_REPO_PACK_PARTS_H

#include "base/buf.h"
#include "base/hash.h"
#include "imager/repo/leaf_cache.h"
#include "imager/repo/pack.h"

#define PTOC_ENTRY 80U

/* pack_toc_encode - the payload of PTOC, appended; pack_toc_hash - of all of it */
int pack_toc_encode(const struct pack_entry *entries, uint64_t nr, struct buf *ret, struct err *e);
int pack_toc_hash(const struct buf *toc, uint8_t ret[HASH_SIZE], struct err *e);

/*
 * pack_end - behind the last record: table of contents, trailer, flush, and the pack gets its name
 * @fd: of new_name ("new/ID.pack"), at its end (end bytes)
 */
int pack_end(const struct repo *r, const uint8_t id[16], int fd, uint64_t end, const struct pack_entry *entries, uint64_t nr, const char *new_name,
	struct err *e);

/* The whole records of a file, from its beginning. */
struct pack_scan {
	struct pack_entry *entries; /* owned by the caller: free() */
	uint64_t nr, room;
	uint64_t end; /* behind the last whole record */
};

/* pack_scan_records - 1: there are whole records; 0: none, or it is not this pack. Encrypted ones are opened: what is not authentic is not whole. */
struct stream;
int pack_scan_records(const struct repo *r, struct stream *s, const uint8_t id[16], struct pack_scan *ret, struct err *e);

/* pack_put_end - what stands behind the records of a pack; appended to *ret, whose bytes are the caller's also on failure */
int pack_put_end(const struct repo *r, const uint8_t id[16], uint64_t end, const struct pack_entry *entries, uint64_t nr, struct buf *ret, struct err *e);

/* pack_check_features - encrypted like its repository, or not like it? ERR_CORRUPT for a pack in clear, ERR_REFUSED "mixed" for an encrypted one */
int pack_check_features(const struct repo *r, const struct fmt_preamble *pre, struct err *e);

/* pack_new_path - "new/ID.pack", "new/ID.leaves" */
void pack_new_path(const char *id, const char *ending, char *ret, size_t size);

/* pack_reserve - room for one more entry; false when memory is gone */
bool pack_reserve(struct pack_entry **entries, uint64_t nr, uint64_t *room);

#endif
