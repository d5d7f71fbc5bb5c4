/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Free space (XFS docs, "AG Free Space B+trees"): each group has two trees with the same extents, one by place, one by size. The first one
 * is read into memory; the second one, the counters of the group's header, and the structures at known places must agree with it.
 */
#include "fsdrivers/xfs/xfs.h"

#include <errno.h>

struct free_read {
	struct xfs_volume *v;
	const struct xfs_ag *ag;
	struct xfs_space *space;
	uint32_t agno;
	uint64_t nr, nr_blocks, sum; /* extents, blocks, and what depends on all of them but not on their order */
	uint32_t end, longest;       /* by place: where the last extent ended */
	uint64_t last;               /* by size: length and start of the last extent */
};

/* Different for every extent, so that two lists with the same sum are the same (splitmix64's last step). */
static uint64_t mix(uint32_t start, uint32_t nr)
{
	uint64_t x = ((uint64_t)start << 32 | nr) + 0x9E3779B97F4A7C15U;

	x = (x ^ x >> 30) * 0xBF58476D1CE4E5B9U;
	x = (x ^ x >> 27) * 0x94D049BB133111EBU;
	return x ^ x >> 31;
}

static int check_extent(struct free_read *f, uint32_t start, uint32_t nr, struct err *e)
{
	if (!nr || start < xfs_head_blocks(&f->v->sb) || !range_inside(start, nr, f->ag->nr_blocks))
		return err_set(e, ERR_CORRUPT, 0, "xfs group %u calls %u blocks at %u free, which is out of range", f->agno, nr, start);
	f->nr++;
	f->nr_blocks += nr;
	f->sum += mix(start, nr);
	return 0;
}

static int add_by_place(void *arg, const uint8_t *recs, uint32_t nr, struct err *e)
{
	struct free_read *f = arg;

	for (uint32_t i = 0; i < nr; i++) {
		uint32_t start = get_be32(recs + 8UL * i), len = get_be32(recs + 8UL * i + 4);
		if (check_extent(f, start, len, e) < 0)
			return -1;
		if (start < f->end)
			return err_set(e, ERR_CORRUPT, 0, "xfs group %u: free extent at block %u is out of order", f->agno, start);
		f->end = start + len;
		f->longest = (uint32_t)max_u64(f->longest, len);
		if (xfs_space_add(f->space, start, len, e) < 0)
			return -1;
	}
	return 0;
}

static int add_by_size(void *arg, const uint8_t *recs, uint32_t nr, struct err *e)
{
	struct free_read *f = arg;

	for (uint32_t i = 0; i < nr; i++) {
		uint32_t start = get_be32(recs + 8UL * i), len = get_be32(recs + 8UL * i + 4);
		uint64_t key = (uint64_t)len << 32 | start;
		if (check_extent(f, start, len, e) < 0)
			return -1;
		if (key <= f->last)
			return err_set(e, ERR_CORRUPT, 0, "xfs group %u: free extent at block %u is out of order by size", f->agno, start);
		f->last = key;
	}
	return 0;
}

static int walk(struct free_read *f, const struct xfs_tree *tree, struct xfs_root root, int (*on_leaf)(void *, const uint8_t *, uint32_t, struct err *),
	struct err *e)
{
	struct xfs_walk w = { .v = f->v, .tree = tree, .agno = f->agno, .on_leaf = on_leaf, .arg = f };
	int r = xfs_walk_tree(&w, root, e);

	xfs_walk_end(&w);
	return r;
}

static int read_group(struct xfs_volume *v, uint32_t agno, struct err *e)
{
	const struct xfs_ag *ag = &v->ags[agno];
	struct free_read f = { .v = v, .ag = ag, .space = &v->spaces[agno], .agno = agno }, by_size = f;

	v->spaces[agno].nr_blocks = ag->nr_blocks;
	if (walk(&f, &xfs_tree_bno, ag->bno, add_by_place, e) < 0 || walk(&by_size, &xfs_tree_cnt, ag->cnt, add_by_size, e) < 0)
		return -1;
	if (f.nr != by_size.nr || f.sum != by_size.sum)
		return err_set(e, ERR_CORRUPT, 0, "xfs group %u: its two trees of free space differ (%llu and %llu extents)", agno,
			(unsigned long long)f.nr, (unsigned long long)by_size.nr);
	if (f.nr_blocks != ag->nr_free || f.longest != ag->longest)
		return err_set(e, ERR_CORRUPT, 0, "xfs group %u has %llu free blocks, %u in a row, and counts %u and %u", agno,
			(unsigned long long)f.nr_blocks, f.longest, ag->nr_free, ag->longest);
	return 0;
}

int xfs_free_read(struct xfs_volume *v, struct err *e)
{
	for (uint32_t i = 0; i < v->sb.nr_ags; i++)
		if (read_group(v, i, e) < 0)
			return -1;
	return 0;
}
