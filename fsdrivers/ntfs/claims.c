/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Does $Bitmap know all clusters that files claim? It has no checksum, and one that lost bits would make an image that
 * lacks data; drivers are known to have left clusters unmarked (ntfs-3g issue 40). So every record of the $MFT in
 * use is read, a piece at a time, and the runs of all its attributes are looked up. That costs a read of the $MFT, a
 * per cent or so of what is in use.
 *
 * Records that extend others are met in the same walk, so attribute lists need not be followed. Time is bounded by
 * the $MFT and by the number of clusters: when more are claimed than there are, some are claimed twice.
 */
#include "fsdrivers/ntfs/ntfs.h"

#include <string.h>

#define PIECE          (1U << 20)
#define FIRST_RESERVED 12U /* records 12..23 belong to no file; mkfs programs disagree about their bits */
#define FIRST_FREE     24U

struct claims {
	struct ntfs_volume *v;
	struct ntfs_stream in_use; /* $MFT's $BITMAP */
	uint64_t nr_claimed;
};

static bool is_bad_list(const struct ntfs_record *r, const struct ntfs_attr *a)
{
	return a->type == NTFS_AT_DATA && !strcmp(a->name, "$Bad") &&
		(r->base ? r->base : r->number) == NTFS_FILE_BADCLUS;
}

static int check_attr(struct claims *c, const struct ntfs_record *r, const struct ntfs_attr *a, struct err *e)
{
	struct ntfs_run_iter it = ntfs_run_iter(c->v, a);
	unsigned long long number = r->number;
	struct ntfs_run run;
	int more;

	while ((more = ntfs_run_next(&it, &run, e)) > 0) {
		if (run.lcn == NTFS_HOLE)
			continue;
		c->nr_claimed += run.nr;
		if (c->nr_claimed > c->v->boot.nr_clusters)
			return err_set(e, ERR_CORRUPT, 0, "files claim more clusters than there are, seen at record %llu of the $MFT", number);
		if (ntfs_skips_other(c->v, &run, r->base ? r->base : r->number))
			return err_set(e, ERR_CORRUPT, 0, "record %llu of the $MFT claims clusters of a page or hibernation file", number);
		uint64_t hole = fsd_bits_find(&c->v->used, run.lcn, run.lcn + run.nr, false);
		if (hole < run.lcn + run.nr)
			return err_set(e, ERR_CORRUPT, 0, "record %llu of the $MFT uses cluster %llu, which $Bitmap calls free%s", number,
				(unsigned long long)hole, c->v->nr_bad ? " or $BadClus bad" : "");
	}
	return more < 0 ? err_wrap(e, "record %llu of the $MFT", number) : 0;
}

static int check_record(struct claims *c, const struct ntfs_record *r, struct err *e)
{
	struct ntfs_attr a;
	size_t pos = 0;
	int more;

	while ((more = ntfs_attr_next(r, &pos, &a, e)) > 0)
		if (!a.is_resident && !is_bad_list(r, &a) && check_attr(c, r, &a, e) < 0)
			return -1;
	return more;
}

/* The bits of the records in a piece; what cannot be read counts as not in use: nothing is claimed by a guess. */
static void read_bits(struct claims *c, uint64_t first, uint64_t nr, uint8_t *bits)
{
	struct err ignored = ERR_INIT;
	uint64_t off = first / 8, len = ceil_div_u64(nr, 8);

	memset(bits, 0, (size_t)len);
	if (off < c->in_use.size)
		ntfs_stream_read(c->v, &c->in_use, off, bits, (size_t)min_u64(len, c->in_use.size - off), &ignored);
}

/* A record that the bitmap of the $MFT calls in use and that is none hides what it claims. */
static int check_buffer(struct claims *c, uint8_t *buf, const uint8_t *bits, uint64_t i, uint64_t number, struct err *e)
{
	struct ntfs_record r;
	bool is_reserved = number >= FIRST_RESERVED && number < FIRST_FREE;

	if (ntfs_record_parse(buf, c->v->boot.record_size, number, &r))
		return r.in_use ? check_record(c, &r, e) : 0;
	if (!is_reserved && bits[i / 8] >> (i % 8) & 1)
		return err_set(e, ERR_CORRUPT, 0, "record %llu of the $MFT is damaged", (unsigned long long)number);
	return 0;
}

/* Where a piece of the $MFT cannot be read, record by record; the capture will report the sectors themselves. */
static int check_piece(struct claims *c, uint64_t first, uint64_t nr, uint8_t *buf, uint8_t *bits, struct err *e)
{
	struct ntfs_volume *v = c->v;
	size_t len = v->boot.record_size;

	read_bits(c, first, nr, bits);
	bool is_whole = ntfs_stream_read(v, &v->mft, first * len, buf, (size_t)nr * len, e) == 0;
	if (!is_whole && e->code != ERR_FAILED)
		return -1;
	for (uint64_t i = 0; i < nr; i++) {
		uint8_t *rec = buf + i * len;
		if (!is_whole && ntfs_stream_read(v, &v->mft, (first + i) * len, rec, len, e) < 0)
			continue;
		if (check_buffer(c, rec, bits, i, first + i, e) < 0)
			return -1;
	}
	return 0;
}

int ntfs_claims_check(struct ntfs_volume *v, struct err *e)
{
	AUTO_FREE uint8_t *buf = aligned_alloc(4096, PIECE);
	uint8_t bits[PIECE / NTFS_STRIDE / 8];
	struct claims c = { .v = v };
	uint64_t nr = v->mft.initialized / v->boot.record_size, step = PIECE / v->boot.record_size;
	int r = 0;

	if (!buf)
		return err_nomem(e, "a piece of the $MFT");
	if (ntfs_metadata_open(v, NTFS_FILE_MFT, NTFS_AT_BITMAP, "", &c.in_use, e) < 0)
		return -1;
	for (uint64_t first = 0; first < nr && r == 0; first += step)
		r = check_piece(&c, first, min_u64(step, nr - first), buf, bits, e);
	ntfs_stream_release(&c.in_use);
	return r;
}
