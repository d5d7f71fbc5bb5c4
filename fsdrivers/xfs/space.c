/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Free extents in memory: a list of 8 bytes for each, or one bit for each block of the group, whichever is smaller. So a large and
 * empty volume takes next to nothing, and one of 1 TiB with blocks of 4 KiB never more than 32 MiB.
 */
#include "fsdrivers/xfs/xfs.h"

#include <string.h>

#define FIRST_ROOM 64U

static void set_bits(uint64_t *bits, uint32_t start, uint32_t nr)
{
	for (uint32_t n; nr; start += n, nr -= n) {
		n = (uint32_t)min_u64(nr, 64 - start % 64);
		bits[start / 64] |= (n == 64 ? ~0ULL : (1ULL << n) - 1) << start % 64;
	}
}

/* The first bit of the wanted value in [from, end), or end. */
static uint32_t find_bit(const struct xfs_space *s, uint32_t from, uint32_t end, bool value)
{
	while (from < end) {
		uint64_t word = (value ? s->bits[from / 64] : ~s->bits[from / 64]) >> from % 64;
		if (word)
			return (uint32_t)min_u64(end, from + (unsigned)__builtin_ctzll(word));
		from += 64 - from % 64;
	}
	return end;
}

static int to_bits(struct xfs_space *s, struct err *e)
{
	s->bits = alloc_array(s->nr_blocks / 64 + 1, sizeof(*s->bits));
	if (!s->bits)
		return err_nomem(e, "xfs free space");
	for (size_t i = 0; i < s->nr; i++)
		set_bits(s->bits, s->v[i].start, s->v[i].nr);
	s->nr = 0;
	free(s->v);
	s->v = NULL;
	return 0;
}

int xfs_space_add(struct xfs_space *s, uint32_t start, uint32_t nr, struct err *e)
{
	if (!s->bits && s->nr == s->room) {
		size_t room = s->room ? 2 * s->room : FIRST_ROOM;
		bool is_too_long = room * sizeof(*s->v) > s->nr_blocks / 8 + FIRST_ROOM * sizeof(*s->v);
		struct xfs_extent *v = is_too_long ? NULL : realloc(s->v, room * sizeof(*v));
		if (v) {
			s->v = v;
			s->room = room;
		} else if (to_bits(s, e) < 0) {
			return -1;
		}
	}
	if (s->bits)
		set_bits(s->bits, start, nr);
	else
		s->v[s->nr++] = (struct xfs_extent){ start, nr };
	return 0;
}

/* The first extent of the list that ends behind from, or s->nr. */
static size_t find_extent(const struct xfs_space *s, uint32_t from)
{
	size_t lo = 0, hi = s->nr;

	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;
		if (s->v[mid].start + s->v[mid].nr > from)
			hi = mid;
		else
			lo = mid + 1;
	}
	return lo;
}

bool xfs_space_next(const struct xfs_space *s, uint32_t from, struct xfs_extent *ret)
{
	if (s->bits) {
		uint32_t start = find_bit(s, from, s->nr_blocks, true);
		*ret = (struct xfs_extent){ start, find_bit(s, start, s->nr_blocks, false) - start };
		return ret->nr != 0;
	}
	size_t i = find_extent(s, from);
	if (i == s->nr)
		return false;
	uint32_t start = (uint32_t)max_u64(s->v[i].start, from);
	*ret = (struct xfs_extent){ start, s->v[i].start + s->v[i].nr - start };
	return true;
}

bool xfs_space_has(const struct xfs_space *s, uint32_t start, uint32_t nr, uint32_t *ret)
{
	uint32_t end = start + nr;

	if (s->bits) {
		*ret = find_bit(s, start, end, true);
		return *ret < end;
	}
	size_t i = find_extent(s, start);
	*ret = i < s->nr ? (uint32_t)max_u64(s->v[i].start, start) : end;
	return *ret < end;
}

void xfs_space_release(struct xfs_space *s)
{
	free(s->v);
	free(s->bits);
	*s = (struct xfs_space){ 0 };
}
