/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Runs of clusters, as an attribute lists them: NTFS docs, "Data Runs". Each begins with a byte whose halves say how
 * many bytes its length and its place take; the place is signed and counts from the run before.
 */
#include "fsdrivers/ntfs/ntfs.h"

#define MAX_BYTES 8U

/* n bytes, little-endian */
static uint64_t read_number(struct span *s, size_t off, unsigned n)
{
	uint64_t value = 0;

	for (unsigned i = 0; i < n; i++)
		value |= (uint64_t)span_u8(s, off + i) << (8 * i);
	return value;
}

/* The same with its sign carried up, still as an unsigned number: sums wrap, and what comes out is checked. */
static uint64_t read_signed(struct span *s, size_t off, unsigned n)
{
	uint64_t value = read_number(s, off, n);

	if (n < 8 && value >> (8 * n - 1))
		value |= ~0ULL << (8 * n);
	return value;
}

int ntfs_run_next(struct ntfs_run_iter *it, struct ntfs_run *ret, struct err *e)
{
	uint8_t head = span_u8(&it->s, it->pos);
	unsigned nr_bytes = head & 0x0F, lcn_bytes = head >> 4;

	if (!it->s.bad && !head)
		return 0;
	ret->nr = read_number(&it->s, it->pos + 1, nr_bytes <= MAX_BYTES ? nr_bytes : 0);
	if (lcn_bytes && lcn_bytes <= MAX_BYTES)
		it->lcn += read_signed(&it->s, it->pos + 1 + nr_bytes, lcn_bytes);
	if (it->s.bad || nr_bytes > MAX_BYTES || lcn_bytes > MAX_BYTES || !ret->nr)
		return err_set(e, ERR_CORRUPT, 0, "a list of runs is damaged");
	ret->lcn = lcn_bytes ? it->lcn : NTFS_HOLE;
	if (lcn_bytes && !range_inside(ret->lcn, ret->nr, it->nr_clusters))
		return err_set(e, ERR_CORRUPT, 0, "%llu clusters at %lld lie outside the volume, which has %llu", (unsigned long long)ret->nr,
			(long long)ret->lcn, (unsigned long long)it->nr_clusters);
	it->pos += 1 + nr_bytes + lcn_bytes;
	return 1;
}
