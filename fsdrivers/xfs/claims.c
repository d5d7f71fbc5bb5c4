/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Is nothing that is in use also called free? The trees of free space may have lost their truth, in version 4 without a checksum that tells,
 * and a copy that believes them loses data. So what stands at known places, the blocks of all trees, the inodes of the trees of inodes, and
 * every block that these name are looked up, as xfs_repair does. That costs a read of all inodes and trees, which are copied anyway.
 *
 * What the medium cannot read tells nothing here, and is no reason to fail: the capture deals with lost sectors itself.
 */
#include "fsdrivers/xfs/xfs.h"

#include <errno.h>
#include <string.h>

#define CHUNK        64U /* inodes for each record of the tree of inodes */
#define PER_HOLE     4U  /* inodes for each bit of a hole mask */
#define MAX_SECTOR   32768U

int xfs_claim(const struct xfs_volume *v, uint64_t fsblock, uint64_t nr, const char *who, uint64_t number, struct err *e)
{
	const struct xfs_super *sb = &v->sb;
	uint32_t agno = (uint32_t)xfs_ag_of(sb, fsblock), free_block;

	if (xfs_space_has(&v->spaces[agno], xfs_agblock_of(sb, fsblock), (uint32_t)nr, &free_block))
		return err_set(e, ERR_CORRUPT, 0, "block %u of xfs group %u is used by %s %llu, but called free", free_block, agno, who,
			(unsigned long long)number);
	return 0;
}

/* ---- trees and free list of a group ---- */

struct tree_claim {
	const struct xfs_volume *v;
	uint32_t agno;
};

static int claim_tree_block(void *arg, uint64_t fsblock, struct err *e)
{
	const struct tree_claim *t = arg;

	return xfs_claim(t->v, fsblock, 1, "a tree of group", t->agno, e);
}

static int claim_tree(struct xfs_volume *v, uint32_t agno, const struct xfs_tree *tree, struct xfs_root root, struct err *e)
{
	struct tree_claim t = { v, agno };
	struct xfs_walk w = {
		.v = v, .tree = tree, .agno = agno, .without_leaves = true, .pass_lost = true, .on_block = claim_tree_block, .arg = &t };
	int r = root.levels ? xfs_walk_tree(&w, root, e) : 0;

	xfs_walk_end(&w);
	return r;
}

/*
 * The free list: blocks set aside for the trees, which are in none. Kernels of different ages disagreed about the length of the ring by
 * one (XFS docs, "AG Free List"); the next mount then gives up what is in it. Such a list tells nothing.
 */
static int claim_free_list(struct xfs_volume *v, uint32_t agno, uint8_t *buf, struct err *e)
{
	const struct xfs_super *sb = &v->sb;
	const struct xfs_ag *ag = &v->ags[agno];
	uint32_t header = sb->has_crc ? 36 : 0, room = (sb->sector_size - header) / 4;
	struct err lost = ERR_INIT;

	if (ag->fl_first >= room || ag->fl_last >= room || ag->fl_count > room)
		return err_set(e, ERR_CORRUPT, 0, "the free list of xfs group %u goes from %u to %u of %u", agno, ag->fl_first, ag->fl_last, room);
	if (!ag->fl_count || (ag->fl_last + room - ag->fl_first) % room + 1 != ag->fl_count)
		return 0;
	if (xfs_ag_sector(v, agno, 3, buf, &lost) < 0) {
		*e = lost;
		return xfs_is_lost(&lost) ? 0 : -1;
	}
	for (uint32_t i = 0; i < ag->fl_count; i++) {
		uint64_t block = xfs_fsblock(sb, agno, get_be32(buf + header + 4UL * ((ag->fl_first + i) % room)));
		if (!xfs_is_inside(sb, block, 1))
			return err_set(e, ERR_CORRUPT, 0, "the free list of xfs group %u names block %llu", agno, (unsigned long long)block);
		if (xfs_claim(v, block, 1, "the free list of group", agno, e) < 0)
			return -1;
	}
	return 0;
}

static int check_group(struct xfs_volume *v, uint32_t agno, uint8_t *buf, struct err *e)
{
	const struct xfs_ag *ag = &v->ags[agno];

	if (claim_tree(v, agno, &xfs_tree_bno, ag->bno, e) < 0 || claim_tree(v, agno, &xfs_tree_cnt, ag->cnt, e) < 0 ||
		claim_tree(v, agno, &xfs_tree_rmap, ag->rmap, e) < 0 || claim_tree(v, agno, &xfs_tree_refcount, ag->refcount, e) < 0 ||
		claim_tree(v, agno, &xfs_tree_fino, ag->fino, e) < 0)
		return -1;
	return claim_free_list(v, agno, buf, e);
}

/* ---- inodes ---- */

struct inode_walk {
	struct xfs_volume *v;
	uint32_t agno;
	uint32_t end;             /* behind the last chunk, an inode number inside the group */
	uint64_t nr, nr_free;
	uint8_t *buf;             /* a chunk */
	struct xfs_inode_check check;
};

static int claim_inode_tree(void *arg, uint64_t fsblock, struct err *e)
{
	const struct inode_walk *w = arg;

	return xfs_claim(w->v, fsblock, 1, "the inodes of group", w->agno, e);
}

/* nr inodes that stand one behind the other */
static int check_inodes(struct inode_walk *w, uint32_t first, uint32_t nr, uint64_t is_free, struct err *e)
{
	const struct xfs_super *sb = &w->v->sb;
	uint32_t per_block = 1U << sb->inopb_log, block = first >> sb->inopb_log;
	uint64_t fsblock = xfs_fsblock(sb, w->agno, block), end = ceil_div_u64((uint64_t)first + nr, per_block);
	struct err lost = ERR_INIT;

	if (!xfs_is_inside(sb, fsblock, end - block))
		return err_set(e, ERR_CORRUPT, 0, "xfs inodes %u.. of group %u are out of range", first, w->agno);
	if (xfs_claim(w->v, fsblock, end - block, "the inodes of group", w->agno, e) < 0)
		return -1;
	uint64_t at = xfs_byte_of(sb, fsblock) + (uint64_t)(first & (per_block - 1)) * sb->inode_size;
	if (blk_read(w->v->src, at, w->buf, (size_t)nr * sb->inode_size, &lost) < 0) {
		*e = lost;
		return xfs_is_lost(&lost) ? 0 : -1;
	}
	for (uint32_t i = 0; i < nr; i++) {
		uint64_t number = (uint64_t)w->agno << (sb->agblk_log + sb->inopb_log) | (first + i);
		if (xfs_inode_check(&w->check, w->buf + (size_t)i * sb->inode_size, number, is_free >> i & 1, e) < 0)
			return -1;
	}
	return 0;
}

/* One record (XFS docs, "Inode B+trees", "Sparse Inodes"): 64 inodes, some of which may have no place. */
static int check_chunk(struct inode_walk *w, const uint8_t *rec, struct err *e)
{
	bool may_be_sparse = w->v->sb.incompat & XFS_INCOMPAT_SPINODES;
	uint32_t first = get_be32(rec), holes = may_be_sparse ? get_be16(rec + 4) : 0;
	uint32_t nr = may_be_sparse ? rec[6] : CHUNK, nr_free = may_be_sparse ? rec[7] : get_be32(rec + 4);
	uint64_t is_free = get_be64(rec + 8);

	if (first < w->end || first > UINT32_MAX - CHUNK)
		return err_set(e, ERR_CORRUPT, 0, "xfs inodes %u.. of group %u are out of order", first, w->agno);
	if (nr != CHUNK - PER_HOLE * (unsigned)__builtin_popcount(holes) || nr_free > nr)
		return err_set(e, ERR_CORRUPT, 0, "xfs inodes %u.. of group %u: %u of %u are free, with holes 0x%x", first, w->agno, nr_free, nr, holes);
	w->end = first + CHUNK;
	w->nr += nr;
	w->nr_free += nr_free;
	for (uint32_t i = 0, run; i < CHUNK; i += run) {
		uint32_t is_hole = holes >> i / PER_HOLE & 1;
		for (run = PER_HOLE; i + run < CHUNK && (holes >> (i + run) / PER_HOLE & 1) == is_hole;)
			run += PER_HOLE;
		if (!is_hole && check_inodes(w, first + i, run, is_free >> i, e) < 0)
			return -1;
	}
	return 0;
}

static int check_chunks(void *arg, const uint8_t *recs, uint32_t nr, struct err *e)
{
	for (uint32_t i = 0; i < nr; i++)
		if (check_chunk(arg, recs + 16UL * i, e) < 0)
			return -1;
	return 0;
}

static int check_group_inodes(struct inode_walk *iw, uint32_t agno, struct err *e)
{
	const struct xfs_ag *ag = &iw->v->ags[agno];
	struct xfs_walk w = { .v = iw->v, .tree = &xfs_tree_ino, .agno = agno, .pass_lost = true, .on_block = claim_inode_tree,
		.on_leaf = check_chunks, .arg = iw };
	bool is_lost = false;

	iw->agno = agno;
	iw->end = 0;
	iw->nr = iw->nr_free = 0;
	int r = xfs_walk_tree(&w, ag->ino, e);
	for (uint32_t i = 0; i < XFS_MAX_LEVELS; i++)
		is_lost = is_lost || w.level[i].is_lost;
	xfs_walk_end(&w);
	if (r == 0 && !is_lost && (iw->nr != ag->nr_inodes || iw->nr_free != ag->nr_free_inodes))
		return err_set(e, ERR_CORRUPT, 0, "xfs group %u has %llu inodes, %llu of them free, and counts %u and %u", agno,
			(unsigned long long)iw->nr, (unsigned long long)iw->nr_free, ag->nr_inodes, ag->nr_free_inodes);
	return r;
}

int xfs_claims_check(struct xfs_volume *v, struct err *e)
{
	const struct xfs_super *sb = &v->sb;
	AUTO_FREE uint8_t *buf = alloc_array(1, max_u64((uint64_t)CHUNK * sb->inode_size, MAX_SECTOR));
	struct inode_walk w = { .v = v, .buf = buf, .check = { .v = v, .blocks_left = sb->nr_blocks, .nodes_left = sb->nr_blocks } };

	if (!buf)
		return err_nomem(e, "xfs inodes");
	if (xfs_claim(v, sb->log_start, sb->log_blocks, "the log of group", xfs_ag_of(sb, sb->log_start), e) < 0)
		return -1;
	for (uint32_t i = 0; i < sb->nr_ags; i++)
		if (check_group(v, i, buf, e) < 0)
			return -1;
	for (uint32_t i = 0; i < sb->nr_ags; i++)
		if (check_group_inodes(&w, i, e) < 0)
			return -1;
	return 0;
}
