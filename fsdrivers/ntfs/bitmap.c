/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Which clusters are in use: $Bitmap (NTFS docs, "$Bitmap") without what $BadClus lists. A bad cluster is set in both;
 * it is bad on this disk and not on the next, and nothing can be read from it. Should a file claim one all the same,
 * claims.c finds out.
 */
#include "fsdrivers/ntfs/ntfs.h"

#define PIECE (1U << 20)

static int read_bits(struct ntfs_volume *v, const struct ntfs_stream *s, uint64_t nr_bytes, struct err *e)
{
	AUTO_FREE uint8_t *buf = aligned_alloc(4096, PIECE);

	if (!buf)
		return err_nomem(e, "the allocation bitmap");
	for (uint64_t off = 0; off < nr_bytes; off += PIECE) {
		size_t n = (size_t)min_u64(PIECE, nr_bytes - off);
		if (ntfs_stream_read(v, s, off, buf, n, e) < 0)
			return err_wrap(e, "reading $Bitmap");
		fsd_bits_load(&v->used, off, buf, n);
	}
	return 0;
}

static void clear_bad(struct ntfs_volume *v, const struct ntfs_stream *bad)
{
	uint64_t nr_before = fsd_bits_count(&v->used);

	for (size_t i = 0; i < bad->nr_runs; i++)
		if (bad->runs[i].lcn != NTFS_HOLE)
			fsd_bits_put(&v->used, bad->runs[i].lcn, bad->runs[i].nr, false);
	v->nr_bad = nr_before - fsd_bits_count(&v->used);
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
	int r = fsd_bits_new(&v->used, v->boot.nr_clusters, e) < 0 ? -1 : read_bits(v, &s, nr_bytes, e);
	ntfs_stream_release(&s);
	if (r < 0)
		return -1;
	r = ntfs_stream_open(v, NTFS_FILE_BADCLUS, NTFS_AT_DATA, "$Bad", &s, e);
	if (r > 0)
		clear_bad(v, &s);
	ntfs_stream_release(&s);
	return r < 0 ? -1 : 0;
}
