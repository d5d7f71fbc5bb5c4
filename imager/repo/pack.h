/* SPDX-License-Identifier: GPL-3.0-or-later */
/* A pack's table of contents, and writing a pack (docs/repository.md section 1). */
#ifndef CALCO_IMAGER_REPO_PACK_H
#define CALCO_IMAGER_REPO_PACK_H

#include "imager/image/chunkmap.h"
#include "imager/image/format.h"
#include "imager/image/locations.h"
#include "imager/repo/repo.h"

#include <stddef.h>

#define PACK_MAX_RECORDS ((uint64_t)1 << 32)

/* One record as the table of contents tells it. */
struct pack_entry {
	uint8_t id[32];
	struct img_record_name name;
	uint64_t offset; /* of the header */
	uint64_t lends;  /* bitmap of the leaves its payload holds */
	uint32_t len;    /* header and payload */
	uint8_t kind;    /* enum fmt_record_kind */
};

struct pack_toc {
	uint8_t id[16];
	struct pack_entry *entries; /* ascending by offset */
	uint64_t nr;
	uint64_t file_len;
};

/* pack_toc_read - from a finished pack, everything checked: ERR_CORRUPT; a pack that is not there is ERR_CORRUPT too. Owned by the caller. */
struct pack_toc *pack_toc_read(const struct repo *r, const uint8_t pack[16], struct err *e);
void pack_toc_free(struct pack_toc *t);
AUTO_DEFINE(pack_toc, pack_toc_free)

/* pack_toc_find - the record at this offset, NULL when none begins there */
const struct pack_entry *pack_toc_find(const struct pack_toc *t, uint64_t offset);

/* packs_list - the ids of all finished packs, ascending; retired ones are left out unless asked for. *ret: free() */
int packs_list(const struct repo *r, bool with_retired, uint8_t (**ret)[16], size_t *ret_nr, struct err *e);
/* pack_is_retired - nothing needed it when it was looked at; it will go */
bool pack_is_retired(const struct repo *r, const uint8_t pack[16]);

struct pack_writer;

/* pack_writer_open - a new pack under "new", locked while it is written */
struct pack_writer *pack_writer_open(const struct repo *r, struct err *e);

/*
 * pack_writer_put - one record behind the others
 * @head: chunk, id, lengths, CRC as they are to be; origin and number too if @keep_name, else they are set: this pack, the next number. What is
 * encrypted keeps its name always, as it was encrypted with it.
 * @lends: bitmap of the leaves that the payload holds
 * @leaves: the hashes of the chunk's leaves, for the cache; NULL: not known
 * @ret: where it lies; .pack is not set
 */
int pack_writer_put(struct pack_writer *w, struct fmt_record *head, bool keep_name, const uint8_t *payload, uint64_t lends,
	const uint8_t leaves[CHUNK_LEAVES][32], struct pack_entry *ret, struct err *e);

/* pack_writer_finish - table of contents, trailer, flush, rename. A pack without records disappears. Its id stays what it was. */
int pack_writer_finish(struct pack_writer *w, struct err *e);

const uint8_t *pack_writer_id(const struct pack_writer *w);
uint64_t pack_writer_bytes(const struct pack_writer *w);
uint64_t pack_writer_nr(const struct pack_writer *w);
/* pack_writer_close - without a finish what was written stays under "new" for the next writer to adopt, unless it is next to nothing */
void pack_writer_close(struct pack_writer *w);
AUTO_DEFINE(pack_writer, pack_writer_close)

/*
 * packs_adopt - packs that were begun and whose writers are gone are finished: their whole records stay
 *
 * Everything else under "new" that nobody holds is removed. *ret_bytes: what became of use again.
 */
int packs_adopt(const struct repo *r, uint64_t *ret_bytes, struct err *e);

#endif
