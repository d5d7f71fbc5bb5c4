/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The journal's own format, jbd2 (ext4 docs, journal.rst), shared by journal.c, log.c and replay.c. It is big-endian. Blocks of the journal
 * are counted from its superblock, which is block 0; sequence numbers wrap around.
 */
#ifndef CALCO_FSDRIVERS_EXT_JBD2_H
#define CALCO_FSDRIVERS_EXT_JBD2_H

#include "base/span.h"
#include "fsdrivers/ext/ext.h"

#define JBD2_MAGIC        0xC03B3998U
#define JBD2_DESCRIPTOR   1U
#define JBD2_COMMIT       2U
#define JBD2_SUPER_V1     3U
#define JBD2_SUPER_V2     4U
#define JBD2_REVOKE       5U
#define JBD2_SUPER_SIZE   1024U
#define JBD2_HEADER_SIZE  12U

/* s_feature_compat, s_feature_incompat */
#define JBD2_CSUM_V1      0x01U
#define JBD2_64BIT        0x02U
#define JBD2_ASYNC_COMMIT 0x04U
#define JBD2_CSUM_V2      0x08U
#define JBD2_CSUM_V3      0x10U
#define JBD2_FAST_COMMIT  0x20U
#define JBD2_KNOWN        0x3FU /* and revoke */

/* flags of a tag */
#define JBD2_TAG_ESCAPED   1U
#define JBD2_TAG_SAME_UUID 2U
#define JBD2_TAG_LAST      8U

static inline uint32_t jbd2_be32(struct span *s, size_t off)
{
	return __builtin_bswap32(span_le32(s, off));
}

static inline void jbd2_put_be32(uint8_t *b, size_t off, uint32_t v)
{
	put_le32(b, off, __builtin_bswap32(v));
}

/* jbd2_is_after - of two sequence numbers, is a the later one? */
static inline bool jbd2_is_after(uint32_t a, uint32_t b)
{
	return (int32_t)(a - b) > 0;
}

/* journal.c: the checksum that a journal's superblock should have */
uint32_t jbd2_super_csum(const struct ext_crc *c, const uint8_t raw[JBD2_SUPER_SIZE]);

enum jbd2_csum { JBD2_CSUM_IS_NONE, JBD2_CSUM_IS_V1, JBD2_CSUM_IS_V2, JBD2_CSUM_IS_V3 };

/* A journal that is read. */
struct ext_log {
	struct ext_volume *v;
	struct ext_runs runs;           /* its blocks, in its order */
	uint32_t *firsts;               /* for each run the journal's block that it begins with */
	uint8_t super[JBD2_SUPER_SIZE];
	uint32_t len;                   /* blocks of the journal */
	uint32_t first, end;            /* the log goes round in [first, end); behind it may be the area of fast commits */
	uint32_t start, sequence;       /* where its oldest transaction begins (0: it is empty), and that one's number */
	enum jbd2_csum csum;
	bool is_64bit, is_async, has_fast;
	uint32_t seed;                  /* of checksums v2 and v3 */
	size_t tag_size, tail_size;     /* bytes of a tag, and those at a descriptor's end that hold its checksum */
	uint8_t *buf;                   /* blocks read ahead */
	uint32_t buf_first, buf_nr;
};

/* One block that a descriptor announces. */
struct ext_tag {
	uint64_t block;   /* where it belongs in the file system */
	uint32_t flags, csum;
};

/* log.c */
/* ext_log_open - ERR_CORRUPT when the journal's superblock contradicts itself. Close it in any case. */
int ext_log_open(struct ext_log *l, struct ext_volume *v, struct err *e);
void ext_log_close(struct ext_log *l);
/* ext_log_place - the file system's block that holds a block of the journal */
uint64_t ext_log_place(const struct ext_log *l, uint32_t at);
/* ext_log_read - one block of the journal; valid until the next call. NULL and *e */
const uint8_t *ext_log_read(struct ext_log *l, uint32_t at, struct err *e);
/* ext_log_next - the block behind another one in the log */
static inline uint32_t ext_log_next(const struct ext_log *l, uint32_t at)
{
	return at + 1 < l->end ? at + 1 : l->first;
}
/* ext_log_tag - the tag at *off of a descriptor, and *off moved to the next one; false behind the last one */
bool ext_log_tag(const struct ext_log *l, const uint8_t *block, size_t *off, struct ext_tag *ret);
/* with checksums v2 and v3, else always true: of a descriptor or revocation; a commit; the content a tag announces */
bool ext_log_tail_good(const struct ext_log *l, const uint8_t *block);
bool ext_log_commit_good(const struct ext_log *l, const uint8_t *block);
bool ext_log_content_good(const struct ext_log *l, const struct ext_tag *t, uint32_t sequence, const uint8_t *content);

#endif
