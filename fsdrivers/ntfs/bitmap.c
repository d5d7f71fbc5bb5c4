/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Which clusters are in use: $Bitmap (NTFS docs, "$Bitmap") without what $BadClus lists. A bad cluster is set in both;
 * it is bad on this disk and not on the next, and nothing can be read from it. Should a file claim one all the same,
 * claims.c finds out.
 *
 * Only words with a bit are written, so that the memory taken follows the used part of the volume.
 */
#include "fsdrivers/ntfs/ntfs.h"

#include <string.h>

#define PIECE (1U << 20)

static uint64_t word_at(const uint8_t *buf, size_t i, size_t len)
{
	uint8_t last[8] = { 0 };

	if (len - i * 8 >= 8)
		return get_le64(buf + i * 8);
	memcpy(last, buf + i * 8, len - i * 8);
	return get_le64(last);
}

static int read_bits(struct ntfs_volume *v, const struct ntfs_stream *s, uint64_t nr_bytes, struct err *e)
{
	AUTO_FREE uint8_t *buf = aligned_alloc(4096, PIECE);
	unsigned last_bits = v->boot.nr_clusters % 64;

	if (!buf)
		return err_nomem(e, "the allocation bitmap");
	for (uint64_t off = 0; off < nr_bytes; off += PIECE) {
		size_t n = (size_t)min_u64(PIECE, nr_bytes - off);
		if (ntfs_stream_read(v, s, off, buf, n, e) < 0)
			return err_wrap(e, "reading $Bitmap");
		for (size_t i = 0; i * 8 < n; i++) {
			uint64_t word = word_at(buf, i, n);
			bool is_last = off / 8 + i == v->boot.nr_clusters / 64;
			if (is_last) /* what is behind the volume's end is set, and means nothing */
				word &= (1ULL << last_bits) - 1;
			if (word)
				v->used[off / 8 + i] = word;
			v->nr_used += (unsigned)__builtin_popcountll(word);
		}
	}
	return 0;
}

static void clear_bad(struct ntfs_volume *v, const struct ntfs_stream *bad)
{
	for (size_t i = 0; i < bad->nr_runs; i++) {
		const struct ntfs_run *r = &bad->runs[i];
		if (r->lcn == NTFS_HOLE)
			continue;
		for (uint64_t c = r->lcn; c < r->lcn + r->nr; c++) {
			uint64_t bit = 1ULL << (c % 64);
			if (!(v->used[c / 64] & bit))
				continue;
			v->used[c / 64] &= ~bit;
			v->nr_used--;
			v->nr_bad++;
		}
	}
}

int ntfs_bitmap_read(struct ntfs_volume *v, struct err *e)
{
	struct ntfs_stream s = { 0 };
	uint64_t nr_bytes = ceil_div_u64(v->boot.nr_clusters, 8);

	if (ntfs_metadata_open(v, NTFS_FILE_BITMAP, NTFS_AT_DATA, "", &s, e) < 0)
		return -1;
	if (s.initialized < nr_bytes) {
		err_set(e, ERR_CORRUPT, 0, "$Bitmap has %llu bytes for %llu clusters", (unsigned long long)s.initialized,
			(unsigned long long)v->boot.nr_clusters);
		ntfs_stream_release(&s);
		return -1;
	}
	v->used = alloc_array((size_t)(v->boot.nr_clusters / 64 + 1), sizeof(uint64_t));
	int r = v->used ? read_bits(v, &s, nr_bytes, e) : err_nomem(e, "the allocation bitmap");
	ntfs_stream_release(&s);
	if (r < 0)
		return -1;
	r = ntfs_stream_open(v, NTFS_FILE_BADCLUS, NTFS_AT_DATA, "$Bad", &s, e);
	if (r > 0)
		clear_bad(v, &s);
	ntfs_stream_release(&s);
	return r < 0 ? -1 : 0;
}

uint64_t ntfs_bitmap_find(const struct ntfs_volume *v, uint64_t from, bool value)
{
	uint64_t flip = value ? 0 : ~0ULL, nr = v->boot.nr_clusters;

	while (from < nr) {
		uint64_t word = (v->used[from / 64] ^ flip) >> (from % 64);
		if (word)
			return min_u64(from + (unsigned)__builtin_ctzll(word), nr);
		from = (from / 64 + 1) * 64;
	}
	return nr;
}
