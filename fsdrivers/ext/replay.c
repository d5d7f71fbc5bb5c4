/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * What a volume would hold after its journal was replayed (ext4 docs, journal.rst). Nothing is written: the blocks are handed to the caller.
 *
 * One way through the log finds the transactions that are whole, what they revoke and which blocks they hold. A transaction without its commit
 * is the end of the log. Of a wrong checksum it must be told whether it is such an end, or damage in what was once committed; the rules are
 * those of the kernel (fs/jbd2/recovery.c): a commit that is older than the one before belongs to an earlier round through the log. Damage is
 * an error, for half a replay would be worse than none. Then the content of each block that is not revoked is held against its checksum, and
 * the latest of each is handed out, the superblock without the mark that a replay is due, and the journal's superblock as one of an empty log.
 */
#include "fsdrivers/ext/jbd2.h"

#include <string.h>

#define CRC32_POLY 0x04C11DB7U
#define CRC32_TYPE 1U /* of checksums v1 */

#define FAST_TAG_HEAD 9U /* ext4_fc_tl of fs/ext4/fast_commit.h */

/* One block that a transaction holds, and where it stands in the log. */
struct entry {
	struct ext_tag tag;
	uint32_t at, sequence;
	size_t order; /* among all, as they stand in the log */
	bool is_old; /* a later transaction holds it, too */
};

struct revoked {
	uint64_t block;
	uint32_t sequence; /* of this transaction and those before it */
};

struct replay {
	struct ext_log log;
	fsd_patch_fn emit;
	void *arg;
	struct entry *entries;
	struct revoked *revoked;
	size_t nr_entries, nr_revoked;   /* of whole transactions */
	size_t add_entries, add_revoked; /* with those of the transaction under work */
	size_t room_entries, room_revoked;
	uint32_t at, left;               /* the next block of the log, and how many are left of one round */
	uint32_t sequence;               /* of the transaction under work; at last: of the first that is not there */
	uint64_t last_time;              /* when the last whole transaction was committed */
	bool is_doubtful;                /* something of the transaction under work has a wrong checksum */
	bool is_malformed;               /* something of it makes no sense */
	bool has_failed;                 /* the commit before has a wrong checksum, which asynchronous commits may have */
	uint32_t crc;                    /* of the transaction under work, checksums v1 */
	uint8_t *block;                  /* a copy of the block under work: reading on reuses the log's buffer */
	uint8_t *super;                  /* the block with the file system's superblock, until the end */
	struct fsd_replayed sum;
};

static int damaged(const struct replay *r, const char *what, struct err *e)
{
	return err_set(e, ERR_CORRUPT, 0, "its journal is damaged: transaction %u has %s", r->sequence, what);
}

static void *grown(void *list, size_t nr, size_t *room, size_t size, struct err *e)
{
	if (nr < *room)
		return list;
	size_t more = *room ? *room * 2 : 256;
	void *p = reallocarray(list, more, size);
	if (p)
		*room = more;
	else
		err_nomem(e, "the blocks of a journal");
	return p;
}

static int add_entry(struct replay *r, const struct ext_tag *t, struct err *e)
{
	struct entry *list = grown(r->entries, r->add_entries, &r->room_entries, sizeof(*list), e);

	if (!list)
		return -1;
	r->entries = list;
	list[r->add_entries] = (struct entry){ .tag = *t, .at = r->at, .sequence = r->sequence, .order = r->add_entries };
	r->add_entries++;
	return 0;
}

static int add_revoked(struct replay *r, uint64_t block, struct err *e)
{
	struct revoked *list = grown(r->revoked, r->add_revoked, &r->room_revoked, sizeof(*list), e);

	if (!list)
		return -1;
	r->revoked = list;
	list[r->add_revoked++] = (struct revoked){ .block = block, .sequence = r->sequence };
	return 0;
}

/* ---- the way through the log ---- */

/* The CRC-32 of checksums v1: most significant bit first. */
static void add_crc(struct replay *r, const uint8_t *block)
{
	for (uint32_t i = 0; i < r->log.v->sb.block_size; i++) {
		r->crc ^= (uint32_t)block[i] << 24;
		for (int bit = 0; bit < 8; bit++)
			r->crc = r->crc << 1 ^ (r->crc & 0x80000000U ? CRC32_POLY : 0);
	}
}

/* Move on by one block; false after one round: there is no more log. */
static bool step(struct replay *r)
{
	if (!r->left)
		return false;
	r->left--;
	r->at = ext_log_next(&r->log, r->at);
	return true;
}

/* 1, 0: the log ends within its blocks, -1 */
static int scan_descriptor(struct replay *r, struct err *e)
{
	size_t off = JBD2_HEADER_SIZE;
	struct ext_tag t;

	r->is_doubtful |= !ext_log_tail_good(&r->log, r->block);
	if (r->log.csum == JBD2_CSUM_IS_V1)
		add_crc(r, r->block);
	while (ext_log_tag(&r->log, r->block, &off, &t)) {
		if (add_entry(r, &t, e) < 0)
			return -1;
		if (r->log.csum == JBD2_CSUM_IS_V1) {
			const uint8_t *content = ext_log_read(&r->log, r->at, e);
			if (!content)
				return -1;
			add_crc(r, content);
		}
		if (!step(r))
			return 0;
	}
	return 1;
}

static int scan_revocation(struct replay *r, struct err *e)
{
	uint32_t size = r->log.v->sb.block_size;
	struct span s = span_of(r->block, size);
	uint32_t width = r->log.is_64bit ? 8 : 4, end = jbd2_be32(&s, JBD2_HEADER_SIZE), at = JBD2_HEADER_SIZE + 4;

	if (!ext_log_tail_good(&r->log, r->block)) {
		r->is_doubtful = true;
		return 1;
	}
	if (end < at || end > size - r->log.tail_size) {
		r->is_malformed = true;
		return 1;
	}
	for (; end - at >= width; at += width) {
		uint64_t block = jbd2_be32(&s, at);
		if (r->log.is_64bit)
			block = block << 32 | jbd2_be32(&s, at + 4);
		if (add_revoked(r, block, e) < 0)
			return -1;
	}
	return 1;
}

/* With checksums v1 a commit need not have one. */
static bool commit_good(const struct replay *r)
{
	struct span s = span_of(r->block, r->log.v->sb.block_size);
	uint8_t type = span_u8(&s, 0x0C), len = span_u8(&s, 0x0D);
	uint32_t want = jbd2_be32(&s, 0x10);

	if (r->log.csum != JBD2_CSUM_IS_V1)
		return ext_log_commit_good(&r->log, r->block);
	return type == CRC32_TYPE ? len == 4 && want == r->crc : !type && !len && !want;
}

static int scan_commit(struct replay *r, struct err *e)
{
	struct span s = span_of(r->block, r->log.v->sb.block_size);
	uint64_t time = (uint64_t)jbd2_be32(&s, 0x30) << 32 | jbd2_be32(&s, 0x34);
	bool good = commit_good(r);

	if ((r->is_doubtful || !good) && time < r->last_time) /* of an earlier round */
		return 0;
	if (r->has_failed) /* this one is there, so the one before was not the last */
		r->sequence--;
	if (r->is_doubtful || r->has_failed || (!good && !r->log.is_async))
		return damaged(r, "a wrong checksum", e);
	if (!good) {
		r->has_failed = true;
		r->sequence++;
		return 1;
	}
	if (r->is_malformed)
		return damaged(r, "a list of revoked blocks that makes no sense", e);
	r->nr_entries = r->add_entries;
	r->nr_revoked = r->add_revoked;
	r->sum.nr_transactions++;
	r->last_time = time;
	r->crc = ~0U;
	r->sequence++;
	return 1;
}

/* 1, 0: this block is not of the log any more, -1 */
static int scan_block(struct replay *r, struct err *e)
{
	const uint8_t *block = ext_log_read(&r->log, r->at, e);
	struct span s = span_of(block, JBD2_HEADER_SIZE);

	if (!block)
		return -1;
	if (jbd2_be32(&s, 0) != JBD2_MAGIC || jbd2_be32(&s, 8) != r->sequence)
		return 0;
	uint32_t type = jbd2_be32(&s, 4);
	memcpy(r->block, block, r->log.v->sb.block_size);
	step(r);
	switch (type) {
	case JBD2_DESCRIPTOR: return scan_descriptor(r, e);
	case JBD2_REVOKE: return scan_revocation(r, e);
	case JBD2_COMMIT: return scan_commit(r, e);
	default: return 0;
	}
}

static int scan(struct replay *r, struct err *e)
{
	int more = r->log.start != 0;

	r->at = r->log.start;
	r->left = r->log.end - r->log.first;
	r->sequence = r->log.sequence;
	r->crc = ~0U;
	while (more > 0 && r->left)
		more = scan_block(r, e);
	if (r->has_failed)
		r->sequence--;
	return more < 0 ? -1 : 0;
}

/*
 * Fast commits continue the log in an area of their own; each round of them begins there with the number of the transaction that is not
 * committed yet. They change inodes and folders, not blocks, and that is the kernel's to do.
 */
static int refuse_fast_commits(struct replay *r, struct err *e)
{
	if (!r->log.has_fast || !r->log.start)
		return 0;
	for (uint32_t at = r->log.end; at < r->log.len && at - r->log.end < 2; at++) { /* kernels begin at the second one */
		const uint8_t *block = ext_log_read(&r->log, at, e);
		if (!block)
			return -1;
		if (get_le16(block) != FAST_TAG_HEAD || get_le32(block + 8) != r->sequence)
			continue;
		err_set(e, ERR_REFUSED, 0, "its journal holds fast commits, which only the kernel replays");
		err_hint(e, "mount " FSD_DEVICE " and unmount it");
		return err_reason(e, "fast-commit");
	}
	return 0;
}

/* ---- what is to be written where ---- */

static int compare_revoked(const void *a, const void *b)
{
	const struct revoked *x = a, *y = b;

	return (x->block > y->block) - (x->block < y->block);
}

/* By place, in the order of the log. */
static int compare_places(const void *a, const void *b)
{
	const struct entry *x = a, *y = b;

	if (x->tag.block != y->tag.block)
		return x->tag.block < y->tag.block ? -1 : 1;
	return (x->order > y->order) - (x->order < y->order);
}

static int compare_log(const void *a, const void *b)
{
	const struct entry *x = a, *y = b;

	return (x->order > y->order) - (x->order < y->order);
}

/* One revocation for each block, the latest. */
static void merge_revoked(struct replay *r)
{
	struct revoked *v = r->revoked;
	size_t nr = 0;

	if (r->nr_revoked)
		qsort(v, r->nr_revoked, sizeof(*v), compare_revoked);
	for (size_t i = 0; i < r->nr_revoked; i++) {
		if (!nr || v[nr - 1].block != v[i].block)
			v[nr++] = v[i];
		else if (jbd2_is_after(v[i].sequence, v[nr - 1].sequence))
			v[nr - 1].sequence = v[i].sequence;
	}
	r->nr_revoked = nr;
}

static bool is_revoked(const struct replay *r, const struct entry *t)
{
	struct revoked key = { .block = t->tag.block };
	const struct revoked *found = r->nr_revoked ? bsearch(&key, r->revoked, r->nr_revoked, sizeof(key), compare_revoked) : NULL;

	return found && !jbd2_is_after(t->sequence, found->sequence);
}

/* Inside the file system, and not in the journal itself. */
static int check_place(const struct replay *r, const struct entry *t, struct err *e)
{
	const struct ext_super *sb = &r->log.v->sb;
	const struct ext_runs *body = &r->log.v->journal.body;
	size_t lo = 0, hi = body->nr;

	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;
		if (body->v[mid].start + body->v[mid].nr_blocks <= t->tag.block)
			lo = mid + 1;
		else
			hi = mid;
	}
	if (t->tag.block >= sb->first_data_block && t->tag.block < sb->nr_blocks && t->tag.block != ext_log_place(&r->log, 0) &&
		(lo == body->nr || body->v[lo].start > t->tag.block))
		return 0;
	return err_set(e, ERR_CORRUPT, 0, "its journal is damaged: transaction %u changes block %llu, which is out of range", t->sequence,
		(unsigned long long)t->tag.block);
}

/* Drop what is revoked, and see which of several copies is the last one. */
static int choose(struct replay *r, struct err *e)
{
	size_t nr = 0;

	merge_revoked(r);
	for (size_t i = 0; i < r->nr_entries; i++) {
		if (is_revoked(r, &r->entries[i]))
			continue;
		if (check_place(r, &r->entries[i], e) < 0)
			return -1;
		r->entries[nr++] = r->entries[i];
	}
	r->nr_entries = nr;
	if (!nr)
		return 0;
	qsort(r->entries, nr, sizeof(*r->entries), compare_places);
	for (size_t i = 0; i + 1 < nr; i++)
		r->entries[i].is_old = r->entries[i + 1].tag.block == r->entries[i].tag.block;
	qsort(r->entries, nr, sizeof(*r->entries), compare_log);
	return 0;
}

/* ---- handing it out ---- */

static int emit_block(struct replay *r, uint64_t block, const uint8_t *content, struct err *e)
{
	uint32_t size = r->log.v->sb.block_size;

	r->sum.nr_blocks++;
	return r->emit(r->arg, 0, block * size, content, size, e);
}

static int emit_entry(struct replay *r, const struct entry *t, struct err *e)
{
	const struct ext_super *sb = &r->log.v->sb;
	const uint8_t *content = ext_log_read(&r->log, t->at, e);

	if (!content)
		return -1;
	if (!ext_log_content_good(&r->log, &t->tag, t->sequence, content))
		return err_set(e, ERR_CORRUPT, 0, "its journal is damaged: block %llu in transaction %u has a wrong checksum",
			(unsigned long long)t->tag.block, t->sequence);
	if (t->is_old)
		return 0;
	uint8_t *to = t->tag.block == EXT_SUPER_OFFSET / sb->block_size ? r->super : r->block;
	memcpy(to, content, sb->block_size);
	if (t->tag.flags & JBD2_TAG_ESCAPED) /* began like a block of the log itself */
		jbd2_put_be32(to, 0, JBD2_MAGIC);
	return to == r->super ? 0 : emit_block(r, t->tag.block, to, e);
}

/* The superblock, as it was replayed or as it is, with nothing left to replay. */
static int emit_super(struct replay *r, struct err *e)
{
	const struct ext_super *sb = &r->log.v->sb;
	uint8_t *raw = r->super + EXT_SUPER_OFFSET % sb->block_size;

	put_le32(raw, 0x60, get_le32(raw + 0x60) & ~EXT_INCOMPAT_RECOVER);
	if (get_le32(raw + 0x64) & EXT_RO_METADATA_CSUM)
		put_le32(raw, 0x3FC, ext_crc32c(&r->log.v->crc, ~0U, raw, 0x3FC));
	return emit_block(r, EXT_SUPER_OFFSET / sb->block_size, r->super, e);
}

/*
 * An empty log. The number behind the one that is not there: the next transaction must not continue those that stand in the log, and what
 * a cut transaction left of that number must not become part of it.
 */
static int emit_journal_super(struct replay *r, struct err *e)
{
	uint8_t *raw = r->log.super;

	jbd2_put_be32(raw, 0x18, r->sequence + 1);
	jbd2_put_be32(raw, 0x1C, 0);
	if (r->log.csum >= JBD2_CSUM_IS_V2)
		jbd2_put_be32(raw, 0xFC, jbd2_super_csum(&r->log.v->crc, raw));
	r->sum.nr_blocks++;
	return r->emit(r->arg, 0, ext_log_place(&r->log, 0) * r->log.v->sb.block_size, raw, JBD2_SUPER_SIZE, e);
}

static int run(struct replay *r, struct err *e)
{
	const struct ext_super *sb = &r->log.v->sb;

	r->block = alloc_array(1, sb->block_size);
	r->super = alloc_array(1, sb->block_size);
	if (!r->block || !r->super)
		return err_nomem(e, "a block of the journal");
	if (scan(r, e) < 0 || refuse_fast_commits(r, e) < 0 || choose(r, e) < 0 ||
		ext_read_blocks(r->log.v, EXT_SUPER_OFFSET / sb->block_size, 1, r->super, e) < 0)
		return -1;
	for (size_t i = 0; i < r->nr_entries; i++)
		if (emit_entry(r, &r->entries[i], e) < 0)
			return -1;
	return emit_super(r, e) < 0 || emit_journal_super(r, e) < 0 ? -1 : 0;
}

int ext_replay(struct fsd_volume *fv, fsd_patch_fn emit, void *arg, struct fsd_replayed *ret, struct err *e)
{
	struct ext_volume *v = (struct ext_volume *)fv;
	struct replay r = { .emit = emit, .arg = arg };

	/* Transactions that no superblock says are due: the kernel would drop them, e2fsck asks. */
	if (!(v->sb.incompat & EXT_INCOMPAT_RECOVER) || v->journal.kind != EXT_JOURNAL_INTERNAL)
		return err_set(e, ERR_UNSUPPORTED, 0, "no journal of its own is due to be replayed");
	if (!v->journal.body.nr)
		return err_set(e, ERR_CORRUPT, 0, "its journal is damaged: %s", v->journal.odd);
	int status = ext_log_open(&r.log, v, e);
	if (status == 0)
		status = run(&r, e);
	if (status == 0)
		*ret = r.sum;
	ext_log_close(&r.log);
	free(r.entries);
	free(r.revoked);
	free(r.block);
	free(r.super);
	return status;
}
