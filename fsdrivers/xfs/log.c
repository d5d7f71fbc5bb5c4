/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Is the log clean? (XFS docs, "Journaling Log".) Nothing else tells: a volume that was not unmounted has trees that are behind the truth,
 * and says so in its log only. A copy by those trees would lose files without a word.
 *
 * The log is a ring of basic blocks. Each begins with the number of the round in which it was written (its own first bytes stand in the record's
 * header), or is a header, which has that number in its second word. So in front of the head, where the next record goes, is the number of
 * this round, and from there on that of the round before, or zero where nothing was written yet. Clean is what ends with a record of one
 * operation, "unmounted", right in front of the head, and a log of zeros. Whatever contradicts itself is not clean.
 *
 * xfs_repair and xfs_admin make a log anew: such a record in block 0, without a checksum, and records of the round before from block 512 on.
 * What is left between them is zero.
 *
 * xfs_log_read() looks where the kernel looks (fs/xfs/xfs_log_recover.c): it finds the head by halving, and reads as much around it as can
 * be in flight at once. xfs_log_check() reads the rest.
 */
#include "fsdrivers/xfs/xfs.h"

#include <stdio.h>

#define HEADER_MAGIC   0xFEEDBABEU
#define MAX_RECORD     (256U << 10)
#define PER_HEADER     (32U << 10)   /* bytes of a record whose first words one header block can hold */
#define MAX_HEADERS    (MAX_RECORD / PER_HEADER)
#define WINDOW         (8U * MAX_RECORD / XFS_BB) /* eight records may be in flight */
#define PIECE          2048U         /* basic blocks to read at once */
#define GAP_END        512U          /* in a log made anew */

#define OP_CLIENT_LOG  0xAAU
#define OP_UNMOUNT     0x20U

#define HEADER_SIZE     328U /* bytes that the checksum covers; the same without padding on 32-bit x86 */
#define HEADER_SIZE_386 324U
#define EXT_HEADER_SIZE 260U
#define HEADER_CRC      32U

struct record {
	uint32_t at;           /* of its header */
	uint32_t nr_headers;   /* basic blocks */
	uint32_t len;          /* bytes behind them */
	uint32_t nr_ops;
	uint8_t header[XFS_BB];
};

static int read_blocks(struct xfs_volume *v, uint32_t first, uint32_t nr, void *buf, struct err *e)
{
	if (blk_read(v->src, xfs_byte_of(&v->sb, v->sb.log_start) + (uint64_t)first * XFS_BB, buf, (size_t)nr * XFS_BB, e) < 0)
		return err_wrap(e, "reading the log of xfs");
	return 0;
}

/* The same with a wrap at the log's end. */
static int read_wrapped(struct xfs_volume *v, uint32_t first, uint32_t nr, uint8_t *buf, struct err *e)
{
	uint32_t n = (uint32_t)min_u64(nr, v->log.nr - first);

	if (read_blocks(v, first, n, buf, e) < 0)
		return -1;
	return nr > n ? read_blocks(v, 0, nr - n, buf + (size_t)n * XFS_BB, e) : 0;
}

static uint32_t cycle_of(const uint8_t *block)
{
	return get_be32(block) == HEADER_MAGIC ? get_be32(block + 4) : get_be32(block);
}

static int read_cycle(struct xfs_volume *v, uint32_t at, uint32_t *ret, struct err *e)
{
	uint8_t block[XFS_BB];

	if (read_blocks(v, at, 1, block, e) < 0)
		return -1;
	*ret = cycle_of(block);
	return 0;
}

/* ---- the head ---- */

/* Halve [0, nr) until its first block without the cycle number of the first block is found. */
static int find_head(struct xfs_volume *v, struct err *e)
{
	struct xfs_log *l = &v->log;
	uint32_t lo = 0, hi = l->nr - 1, cycle;

	if (read_cycle(v, 0, &l->cycle, e) < 0 || read_cycle(v, hi, &l->last, e) < 0)
		return -1;
	l->head = l->nr;
	if (l->last == l->cycle) {
		l->head = l->cycle ? l->nr : 0;
		return 0;
	}
	while (lo + 1 < hi) {
		uint32_t mid = lo + (hi - lo) / 2;
		if (read_cycle(v, mid, &cycle, e) < 0)
			return -1;
		if (cycle == l->cycle)
			lo = mid;
		else
			hi = mid;
	}
	l->head = hi;
	return 0;
}

/* A gap of zeros behind the head, as programs leave it; whether there was such a program is seen later, in the record. */
static int find_gap(struct xfs_volume *v, struct err *e)
{
	struct xfs_log *l = &v->log;
	uint32_t cycle;

	l->gap_end = l->head;
	if (!l->last || l->head >= GAP_END || l->nr <= GAP_END)
		return 0;
	if (read_cycle(v, l->head, &cycle, e) < 0)
		return -1;
	if (!cycle)
		l->gap_end = GAP_END;
	return 0;
}

static uint32_t expected_cycle(const struct xfs_log *l, uint32_t at)
{
	return at < l->head ? l->cycle : at < l->gap_end ? 0 : l->last;
}

/* *ret_bad: the first block of [first, first + nr) whose cycle number is not what the head makes of it; the end when there is none */
static int check_cycles(struct xfs_volume *v, uint32_t first, uint32_t nr, uint32_t *ret_bad, struct err *e)
{
	const struct xfs_log *l = &v->log;
	AUTO_FREE uint8_t *buf = alloc_array(PIECE, XFS_BB);
	uint32_t end = first + nr;

	if (!buf)
		return err_nomem(e, "the log of xfs");
	for (uint32_t n; first < end; first += n) {
		n = (uint32_t)min_u64(PIECE, end - first);
		if (read_blocks(v, first, n, buf, e) < 0)
			return -1;
		for (uint32_t i = 0; i < n; i++)
			if (cycle_of(buf + (size_t)i * XFS_BB) != expected_cycle(l, first + i)) {
				*ret_bad = first + i;
				return 0;
			}
	}
	*ret_bad = end;
	return 0;
}

/* The window around the head, with a wrap on both sides. */
static int check_window(struct xfs_volume *v, bool *ret_good, struct err *e)
{
	const struct xfs_log *l = &v->log;
	uint32_t size = (uint32_t)min_u64(2ULL * WINDOW, l->nr), first = (l->head + l->nr - size / 2) % l->nr;
	uint32_t n = (uint32_t)min_u64(size, l->nr - first), bad;

	*ret_good = false;
	if (check_cycles(v, first, n, &bad, e) < 0)
		return -1;
	if (bad < first + n)
		return 0;
	if (check_cycles(v, 0, size - n, &bad, e) < 0)
		return -1;
	*ret_good = bad == size - n;
	return 0;
}

/* ---- the last record ---- */

/* The last header in front of the head; false when there is none within a record's length, or it is no header of this log. */
static int find_record(struct xfs_volume *v, struct record *ret, bool *ret_found, struct err *e)
{
	const struct xfs_log *l = &v->log;
	uint32_t max = (uint32_t)min_u64(MAX_RECORD / XFS_BB + MAX_HEADERS, l->nr);
	uint32_t first = (l->head + l->nr - max) % l->nr;
	AUTO_FREE uint8_t *buf = alloc_array(max, XFS_BB);

	*ret_found = false;
	if (!buf)
		return err_nomem(e, "the log of xfs");
	if (read_wrapped(v, first, max, buf, e) < 0)
		return -1;
	for (uint32_t i = max; i-- > 0;) {
		const uint8_t *h = buf + (size_t)i * XFS_BB;
		if (get_be32(h) != HEADER_MAGIC)
			continue;
		uint32_t version = get_be32(h + 8), size = get_be32(h + 320);
		bool is_large = version & 2 && v->sb.has_log_v2 && size > PER_HEADER;
		*ret = (struct record){
			.at = (first + i) % l->nr,
			.nr_headers = is_large ? (uint32_t)ceil_div_u64(size, PER_HEADER) : 1,
			.len = get_be32(h + 12),
			.nr_ops = get_be32(h + 40),
		};
		memcpy(ret->header, h, XFS_BB);
		*ret_found = version && version <= 3 && ret->nr_headers <= MAX_HEADERS && ret->len && ret->len <= MAX_RECORD;
		return 0;
	}
	return 0;
}

/* Does the header say of itself what its place says, and is it one of this file system? */
static bool is_own_header(const struct xfs_volume *v, const struct record *r)
{
	static const uint8_t nil[16];
	const struct xfs_log *l = &v->log;
	const uint8_t *h = r->header, *uuid = h + 304;
	uint32_t cycle = expected_cycle(l, r->at);
	uint64_t lsn = (uint64_t)cycle << 32 | r->at;

	return get_be32(h + 4) == cycle && get_be64(h + 16) == lsn && get_be64(h + 24) <= lsn &&
		(!memcmp(uuid, v->sb.uuid, 16) || !memcmp(uuid, nil, 16));
}

/* Over the header, the headers behind it for as much as there is, and all of the rest; programs that make a log anew leave out the sum. */
static bool is_sum_good(const struct xfs_volume *v, const struct record *r, const uint8_t *buf)
{
	static const uint32_t sizes[] = { HEADER_SIZE, HEADER_SIZE_386 };
	uint32_t want = get_le32(buf + HEADER_CRC), nr_headers = (uint32_t)ceil_div_u64(r->len, PER_HEADER);
	static const uint8_t none[4];

	if (!want)
		return r->at == 0 || !v->sb.has_crc;
	for (size_t i = 0; i < 2; i++) {
		uint32_t crc = crc32c_more(&v->crc, ~0U, buf, HEADER_CRC);
		crc = crc32c_more(&v->crc, crc, none, 4);
		crc = crc32c_more(&v->crc, crc, buf + HEADER_CRC + 4, sizes[i] - HEADER_CRC - 4);
		for (uint32_t j = 1; v->sb.has_log_v2 && j < nr_headers && j < r->nr_headers; j++)
			crc = crc32c_more(&v->crc, crc, buf + (size_t)j * XFS_BB, EXT_HEADER_SIZE);
		if (~crc32c_more(&v->crc, crc, buf + (size_t)r->nr_headers * XFS_BB, r->len) == want)
			return true;
	}
	return false;
}

static int judge_record(struct xfs_volume *v, const struct record *r, struct err *e)
{
	struct xfs_log *l = &v->log;
	uint32_t nr = r->nr_headers + (uint32_t)ceil_div_u64(r->len, XFS_BB);
	AUTO_FREE uint8_t *buf = alloc_array(nr, XFS_BB);

	if (!buf)
		return err_nomem(e, "the log of xfs");
	bool is_gap_known = l->gap_end == l->head || (r->at == 0 && !get_le32(r->header + HEADER_CRC));
	if (nr > l->nr || (r->at + nr) % l->nr != l->head % l->nr || !is_own_header(v, r) || !is_gap_known) {
		snprintf(l->why, sizeof(l->why), "its log ends within a record, or with one that is not its own");
		return 0;
	}
	if (read_wrapped(v, r->at, nr, buf, e) < 0)
		return -1;
	const uint8_t *op = buf + (size_t)r->nr_headers * XFS_BB;
	if (!is_sum_good(v, r, buf)) {
		snprintf(l->why, sizeof(l->why), "the last record of its log has a wrong checksum");
		return 0;
	}
	l->is_clean = r->nr_ops == 1 && op[8] == OP_CLIENT_LOG && op[9] & OP_UNMOUNT;
	if (!l->is_clean)
		snprintf(l->why, sizeof(l->why), "it was not unmounted cleanly: its log must be replayed");
	return 0;
}

bool xfs_lsn_is_possible(const struct xfs_volume *v, uint64_t lsn)
{
	const struct xfs_log *l = &v->log;

	return lsn == UINT64_MAX || lsn <= (l->cycle ? (uint64_t)l->cycle << 32 | l->head : 1ULL << 32);
}

static int read_log(struct xfs_volume *v, struct err *e)
{
	struct xfs_log *l = &v->log;
	struct record r;
	bool is_good;

	*l = (struct xfs_log){ .nr = (uint32_t)((uint64_t)v->sb.log_blocks * v->sb.block_size / XFS_BB) };
	if (find_head(v, e) < 0 || find_gap(v, e) < 0 || check_window(v, &is_good, e) < 0)
		return -1;
	/* Zeros in front of something else, or a step of more than one round */
	if (!is_good || (!l->cycle && l->last) || (l->last && l->last != l->cycle && l->last + 1 != l->cycle)) {
		snprintf(l->why, sizeof(l->why), "its log was not written to its end, or is damaged");
		return 0;
	}
	if (!l->cycle) {
		l->is_clean = true;
		return 0;
	}
	if (find_record(v, &r, &is_good, e) < 0)
		return -1;
	if (is_good)
		return judge_record(v, &r, e);
	snprintf(l->why, sizeof(l->why), "its log ends with no record that can be understood");
	return 0;
}

int xfs_log_read(struct xfs_volume *v, struct err *e)
{
	struct xfs_log *l = &v->log;

	if (read_log(v, e) < 0)
		return -1;
	if (l->is_clean && !xfs_lsn_is_possible(v, v->sb.lsn)) {
		l->is_clean = false;
		snprintf(l->why, sizeof(l->why), "its log is older than its superblock");
	}
	return 0;
}

int xfs_log_check(struct xfs_volume *v, struct err *e)
{
	uint32_t bad;

	if (check_cycles(v, 0, v->log.nr, &bad, e) < 0)
		return -1;
	if (bad < v->log.nr)
		return err_set(e, ERR_CORRUPT, 0, "block %u of the log of xfs is of another round than its neighbours", bad);
	return 0;
}
