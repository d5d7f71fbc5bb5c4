/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Reading the log of a journal: where its blocks stand, its features, its tags and its checksums (ext4 docs, journal.rst). What they mean
 * is replay.c's business. journal.c has checked the superblock's fields before.
 */
#include "fsdrivers/ext/jbd2.h"

#include <string.h>

#define READ_SIZE        (256U << 10)
#define MIN_LOG_BLOCKS   1024U /* below that the kernel makes no area for fast commits */
#define USUAL_FAST       256U  /* blocks for fast commits where the superblock does not say */
#define CSUM_TYPE_CRC32C 4U

static int find_csum(struct ext_log *l, uint32_t compat, uint32_t incompat, uint8_t type, struct err *e)
{
	unsigned nr = (compat & JBD2_CSUM_V1 ? 1 : 0) + (incompat & JBD2_CSUM_V2 ? 1 : 0) + (incompat & JBD2_CSUM_V3 ? 1 : 0);

	if (nr > 1)
		return err_set(e, ERR_CORRUPT, 0, "it has two kinds of checksums");
	l->csum = compat & JBD2_CSUM_V1 ? JBD2_CSUM_IS_V1 : incompat & JBD2_CSUM_V2 ? JBD2_CSUM_IS_V2 :
		incompat & JBD2_CSUM_V3 ? JBD2_CSUM_IS_V3 : JBD2_CSUM_IS_NONE;
	if (l->csum >= JBD2_CSUM_IS_V2 && type != CSUM_TYPE_CRC32C)
		return err_set(e, ERR_CORRUPT, 0, "it has checksums of an unknown kind (%u)", type);
	return 0;
}

static int decode_super(struct ext_log *l, struct err *e)
{
	struct span s = span_of(l->super, sizeof(l->super));
	bool is_v2 = jbd2_be32(&s, 0x04) == JBD2_SUPER_V2;
	uint32_t compat = is_v2 ? jbd2_be32(&s, 0x24) : 0, incompat = is_v2 ? jbd2_be32(&s, 0x28) : 0;

	l->first = jbd2_be32(&s, 0x14);
	l->sequence = jbd2_be32(&s, 0x18);
	l->start = jbd2_be32(&s, 0x1C);
	l->end = l->len;
	l->is_64bit = incompat & JBD2_64BIT;
	l->is_async = incompat & JBD2_ASYNC_COMMIT;
	l->has_fast = incompat & JBD2_FAST_COMMIT;
	if (find_csum(l, compat, incompat, span_u8(&s, 0x50), e) < 0)
		return -1;
	if (l->has_fast) {
		uint32_t nr = jbd2_be32(&s, 0x54) ? jbd2_be32(&s, 0x54) : USUAL_FAST;
		if (nr < l->len && l->len - nr >= MIN_LOG_BLOCKS)
			l->end = l->len - nr;
	}
	if (l->first >= l->end || (l->start && (l->start < l->first || l->start >= l->end)))
		return err_set(e, ERR_CORRUPT, 0, "its log begins at block %u, outside %u to %u", l->start, l->first, l->end);
	l->seed = ext_crc32c(&l->v->crc, ~0U, l->super + 0x30, 16);
	l->tail_size = l->csum >= JBD2_CSUM_IS_V2 ? 4 : 0;
	l->tag_size = l->csum == JBD2_CSUM_IS_V3 ? 16 : (l->is_64bit ? 12U : 8U) + (l->csum == JBD2_CSUM_IS_V2 ? 2U : 0U);
	return 0;
}

/* The list of runs, and with which block of the journal each of them begins. */
static int find_blocks(struct ext_log *l, struct err *e)
{
	struct ext_inode inode;
	uint64_t nr = 1;

	for (size_t i = 0; i < l->v->journal.body.nr; i++)
		nr += l->v->journal.body.v[i].nr_blocks;
	l->len = (uint32_t)nr; /* journal.c has a limit for it */
	if (ext_inode_read(l->v, l->v->sb.journal_inum, &inode, e) < 0 || ext_inode_runs(l->v, &inode, l->len, &l->runs, e) < 0)
		return -1;
	l->firsts = alloc_array(l->runs.nr, sizeof(*l->firsts));
	l->buf = aligned_alloc(4096, READ_SIZE);
	if (!l->firsts || !l->buf)
		return err_nomem(e, "a journal");
	for (size_t i = 1; i < l->runs.nr; i++)
		l->firsts[i] = l->firsts[i - 1] + (uint32_t)l->runs.v[i - 1].nr_blocks;
	return 0;
}

int ext_log_open(struct ext_log *l, struct ext_volume *v, struct err *e)
{
	*l = (struct ext_log){ .v = v };
	if (find_blocks(l, e) < 0)
		return -1;
	if (blk_read(v->src, ext_log_place(l, 0) * v->sb.block_size, l->super, sizeof(l->super), e) < 0)
		return err_wrap(e, "reading the superblock of the ext journal");
	return decode_super(l, e);
}

void ext_log_close(struct ext_log *l)
{
	ext_runs_free(&l->runs);
	free(l->firsts);
	free(l->buf);
	*l = (struct ext_log){ 0 };
}

static size_t run_of(const struct ext_log *l, uint32_t at)
{
	size_t lo = 0, hi = l->runs.nr;

	while (hi - lo > 1) {
		size_t mid = lo + (hi - lo) / 2;
		if (l->firsts[mid] <= at)
			lo = mid;
		else
			hi = mid;
	}
	return lo;
}

uint64_t ext_log_place(const struct ext_log *l, uint32_t at)
{
	size_t run = run_of(l, at);

	return l->runs.v[run].start + (at - l->firsts[run]);
}

/* Ahead as far as it stands in one piece; where that fails, the block alone. */
const uint8_t *ext_log_read(struct ext_log *l, uint32_t at, struct err *e)
{
	uint32_t size = l->v->sb.block_size;

	if (at < l->buf_first || at - l->buf_first >= l->buf_nr) {
		size_t run = run_of(l, at);
		uint64_t left = l->runs.v[run].nr_blocks - (at - l->firsts[run]);
		uint32_t nr = (uint32_t)min_u64(left, READ_SIZE / size);
		l->buf_nr = 0;
		if (ext_read_blocks(l->v, ext_log_place(l, at), nr, l->buf, e) < 0) {
			nr = 1;
			if (ext_read_blocks(l->v, ext_log_place(l, at), 1, l->buf, e) < 0) {
				err_wrap(e, "reading block %u of the ext journal", at);
				return NULL;
			}
		}
		l->buf_first = at;
		l->buf_nr = nr;
	}
	return l->buf + (size_t)(at - l->buf_first) * size;
}

bool ext_log_tag(const struct ext_log *l, const uint8_t *block, size_t *off, struct ext_tag *ret)
{
	struct span s = span_of(block, l->v->sb.block_size - l->tail_size);
	size_t at = *off;

	if (at > s.len || l->tag_size > s.len - at)
		return false;
	ret->block = jbd2_be32(&s, at);
	ret->flags = jbd2_be32(&s, at + 4) & 0xFFFF;
	ret->csum = l->csum == JBD2_CSUM_IS_V3 ? jbd2_be32(&s, at + 12) : jbd2_be32(&s, at + 4) >> 16;
	if (l->is_64bit)
		ret->block |= (uint64_t)jbd2_be32(&s, at + 8) << 32;
	/* A UUID follows where it is another one than before; a last tag ends the descriptor. */
	*off = ret->flags & JBD2_TAG_LAST ? SIZE_MAX : at + l->tag_size + (ret->flags & JBD2_TAG_SAME_UUID ? 0 : 16);
	return true;
}

/* CRC-32C over a block in which the checksum itself counts as zero. */
static bool csum_good(const struct ext_log *l, const uint8_t *block, size_t len, size_t at)
{
	static const uint8_t none[4];
	struct span s = span_of(block, len);
	uint32_t crc = ext_crc32c(&l->v->crc, l->seed, block, at);

	crc = ext_crc32c(&l->v->crc, crc, none, 4);
	return ext_crc32c(&l->v->crc, crc, block + at + 4, len - at - 4) == jbd2_be32(&s, at);
}

bool ext_log_tail_good(const struct ext_log *l, const uint8_t *block)
{
	uint32_t size = l->v->sb.block_size;

	return !l->tail_size || csum_good(l, block, size, size - 4);
}

bool ext_log_commit_good(const struct ext_log *l, const uint8_t *block)
{
	return l->csum < JBD2_CSUM_IS_V2 || csum_good(l, block, l->v->sb.block_size, 0x10);
}

bool ext_log_content_good(const struct ext_log *l, const struct ext_tag *t, uint32_t sequence, const uint8_t *content)
{
	uint8_t number[4];

	if (l->csum < JBD2_CSUM_IS_V2)
		return true;
	jbd2_put_be32(number, 0, sequence);
	uint32_t crc = ext_crc32c(&l->v->crc, ext_crc32c(&l->v->crc, l->seed, number, 4), content, l->v->sb.block_size);
	return t->csum == (l->csum == JBD2_CSUM_IS_V3 ? crc : crc & 0xFFFF);
}
