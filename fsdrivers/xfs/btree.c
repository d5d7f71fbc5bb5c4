/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * B+trees (XFS docs, "Fixed Length Record B+trees"): those of a group with pointers inside the group, those of a file's extents with pointers
 * into the volume. Every block tells its level, its siblings, and from version 5 on where it stands, whose it is, and its checksum.
 *
 * A walk ends: each level has its blocks chained from left to right, and they are visited in that order only, so none comes up twice.
 */
#include "fsdrivers/xfs/xfs.h"

#include <errno.h>
#include <string.h>

const struct xfs_tree xfs_tree_bno = { "free space by place", 0x41425442, 0x41423342, 8, 8, false };
const struct xfs_tree xfs_tree_cnt = { "free space by size", 0x41425443, 0x41423343, 8, 8, false };
const struct xfs_tree xfs_tree_ino = { "inodes", 0x49414254, 0x49414233, 16, 4, false };
const struct xfs_tree xfs_tree_fino = { "free inodes", 0x46494254, 0x46494233, 16, 4, false };
const struct xfs_tree xfs_tree_rmap = { "owners", 0x524D4233, 0x524D4233, 24, 40, false };
const struct xfs_tree xfs_tree_refcount = { "shared blocks", 0x52334643, 0x52334643, 12, 4, false };
const struct xfs_tree xfs_tree_bmap = { "extents", 0x424D4150, 0x424D4133, 16, 8, true };

/* Where the fields of a block stand. */
struct shape {
	uint32_t header, crc, blkno, uuid, owner;
};

static struct shape shape_of(const struct xfs_walk *w)
{
	if (!w->v->sb.has_crc)
		return (struct shape){ .header = w->tree->is_long ? 24 : 16 };
	return w->tree->is_long ? (struct shape){ .header = 72, .crc = 64, .blkno = 24, .uuid = 40, .owner = 56 }
				: (struct shape){ .header = 56, .crc = 52, .blkno = 16, .uuid = 32, .owner = 48 };
}

bool xfs_is_lost(const struct err *e)
{
	return e->code == ERR_FAILED && e->sys_errno != ENOMEM;
}

static int bad_block(const struct xfs_walk *w, uint64_t block, const char *what, struct err *e)
{
	const struct xfs_super *sb = &w->v->sb;

	return err_set(e, ERR_CORRUPT, 0, "xfs tree of %s of %s %llu: block %u of group %llu %s", w->tree->name, w->tree->is_long ? "inode" : "group",
		(unsigned long long)(w->tree->is_long ? w->owner : w->agno), xfs_agblock_of(sb, block), (unsigned long long)xfs_ag_of(sb, block), what);
}

static int check_identity(const struct xfs_walk *w, const uint8_t *buf, uint64_t block, struct err *e)
{
	const struct xfs_super *sb = &w->v->sb;
	struct shape s = shape_of(w);
	uint64_t owner = w->tree->is_long ? w->owner : w->agno;

	if (get_be32(buf) != (sb->has_crc ? w->tree->magic_crc : w->tree->magic))
		return bad_block(w, block, "is none of it", e);
	if (!sb->has_crc)
		return 0;
	if (get_be64(buf + s.blkno) != xfs_byte_of(sb, block) / XFS_BB ||
		(w->tree->is_long ? get_be64(buf + s.owner) : get_be32(buf + s.owner)) != owner || memcmp(buf + s.uuid, sb->meta_uuid, 16) != 0)
		return bad_block(w, block, "belongs elsewhere", e);
	if (!xfs_crc_good(&w->v->crc, buf, sb->block_size, s.crc))
		return bad_block(w, block, "has a wrong checksum", e);
	return 0;
}

static uint64_t pointer(const struct xfs_walk *w, const uint8_t *p)
{
	if (w->tree->is_long)
		return get_be64(p);
	return xfs_fsblock(&w->v->sb, w->agno, get_be32(p));
}

/* The block is the next one of its level. */
static int check_siblings(struct xfs_walk *w, const uint8_t *buf, uint64_t block, uint32_t level, struct err *e)
{
	uint32_t size = w->tree->is_long ? 8 : 4;
	uint64_t left = pointer(w, buf + 8), right = pointer(w, buf + 8 + size);
	bool is_next = w->level[level].is_begun ? left == w->level[level].block && w->level[level].right == block : left == XFS_NO_BLOCK;

	if (!is_next && !w->level[level].is_lost)
		return bad_block(w, block, "is out of order", e);
	w->level[level].is_begun = true;
	w->level[level].is_lost = false;
	w->level[level].block = block;
	w->level[level].right = right;
	return 0;
}

/* Reads into the level's buffer: 1, 0 when the medium lost it and that is to be passed over, -1. */
static int read_block(struct xfs_walk *w, uint64_t block, uint32_t level, struct err *e)
{
	const struct xfs_super *sb = &w->v->sb;
	uint8_t **buf = &w->level[level].buf;
	struct err lost = ERR_INIT;

	if (!*buf && !(*buf = alloc_array(1, sb->block_size)))
		return err_nomem(e, "a block of an xfs tree");
	if (blk_read(w->v->src, xfs_byte_of(sb, block), *buf, sb->block_size, &lost) == 0)
		return 1;
	if (!w->pass_lost || !xfs_is_lost(&lost)) {
		*e = lost;
		return err_wrap(e, "reading the xfs tree of %s", w->tree->name);
	}
	for (uint32_t i = 0; i <= level; i++)
		w->level[i].is_lost = w->level[i].is_begun = true;
	return 0;
}

static int visit(struct xfs_walk *w, uint64_t block, uint32_t level, bool is_root, struct err *e)
{
	const struct xfs_super *sb = &w->v->sb;
	uint32_t header = shape_of(w).header, pointer_size = w->tree->is_long ? 8 : 4;
	uint32_t max = (sb->block_size - header) / (level ? w->tree->key_size + pointer_size : w->tree->rec_size);

	if (!xfs_is_inside(sb, block, 1))
		return err_set(e, ERR_CORRUPT, 0, "xfs tree of %s of %s %llu leads to block %llu, which is out of range", w->tree->name,
			w->tree->is_long ? "inode" : "group", (unsigned long long)(w->tree->is_long ? w->owner : w->agno), (unsigned long long)block);
	if (w->on_block && w->on_block(w->arg, block, e) < 0)
		return -1;
	if (!level && w->without_leaves)
		return 0;
	int r = read_block(w, block, level, e);
	if (r <= 0)
		return r;
	const uint8_t *buf = w->level[level].buf;
	uint32_t nr = get_be16(buf + 6);
	if (check_identity(w, buf, block, e) < 0 || check_siblings(w, buf, block, level, e) < 0)
		return -1;
	if (get_be16(buf + 4) != level || nr > max || (!nr && (level || !is_root)))
		return bad_block(w, block, "has a wrong level or number of records", e);
	if (!level)
		return w->on_leaf ? w->on_leaf(w->arg, buf + header, nr, e) : 0;
	const uint8_t *pointers = buf + header + (size_t)max * w->tree->key_size;
	for (uint32_t i = 0; i < nr; i++)
		if (visit(w, pointer(w, pointers + (size_t)i * pointer_size), level - 1, false, e) < 0)
			return -1;
	return 0;
}

int xfs_walk_child(struct xfs_walk *w, uint64_t fsblock, uint32_t level, struct err *e)
{
	return visit(w, fsblock, level, false, e);
}

int xfs_walk_check(struct xfs_walk *w, struct err *e)
{
	for (uint32_t i = 0; i < XFS_MAX_LEVELS; i++)
		if (w->level[i].is_begun && !w->level[i].is_lost && w->level[i].right != XFS_NO_BLOCK)
			return bad_block(w, w->level[i].block, "is not the last one of its level", e);
	return 0;
}

int xfs_walk_tree(struct xfs_walk *w, struct xfs_root root, struct err *e)
{
	if (visit(w, xfs_fsblock(&w->v->sb, w->agno, root.block), root.levels - 1, true, e) < 0)
		return -1;
	return xfs_walk_check(w, e);
}

void xfs_walk_end(struct xfs_walk *w)
{
	for (uint32_t i = 0; i < XFS_MAX_LEVELS; i++) {
		free(w->level[i].buf);
		w->level[i].buf = NULL;
	}
}
