/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Inodes and their extents (XFS docs, "On-disk Inode", "Data Extents"): each has a fork for data and may have one for extended attributes. A fork
 * stands in the inode, as bytes or as a list of extents, or begins a tree of them there.
 */
#include "fsdrivers/xfs/xfs.h"

#include <string.h>

#define MAGIC        0x494EU /* "IN" */
#define CORE_SIZE_V2 100U
#define CORE_SIZE_V3 176U
#define CRC_OFF      100U

#define S_IFMT_  0xF000U
#define S_IFREG_ 0x8000U

#define FLAG_REALTIME  0x0001U /* di_flags */
#define FLAG2_NREXT64  0x0010U /* di_flags2 */

enum format { FORMAT_DEV, FORMAT_LOCAL, FORMAT_EXTENTS, FORMAT_BTREE };

#define REC_SIZE 16U

struct fork {
	const uint8_t *p;
	uint32_t len;
	uint8_t format;
	uint64_t nr_extents;
	bool is_data;
};

static int bad_inode(const struct xfs_inode_check *c, const char *what, struct err *e)
{
	return err_set(e, ERR_CORRUPT, 0, "xfs inode %llu %s", (unsigned long long)c->number, what);
}

/* Of a file that shares no blocks, more extents than the volume has blocks are a lie; so are more blocks of trees of any file. */
static int spend(struct xfs_inode_check *c, uint64_t *left, uint64_t nr, struct err *e)
{
	if (nr > *left)
		return bad_inode(c, "and those before it name more blocks than there are", e);
	*left -= nr;
	return 0;
}

/* Records of 128 bits: unwritten 1, offset 54, block 52, length 21 */
static int check_extents(void *arg, const uint8_t *recs, uint32_t nr, struct err *e)
{
	struct xfs_inode_check *c = arg;

	for (uint32_t i = 0; i < nr; i++) {
		uint64_t hi = get_be64(recs + (size_t)i * REC_SIZE), lo = get_be64(recs + (size_t)i * REC_SIZE + 8);
		uint64_t offset = hi << 1 >> 10, block = (hi & 0x1FF) << 43 | lo >> 21, len = lo & 0x1FFFFF;
		if (!len || offset < c->next_offset || !xfs_is_inside(&c->v->sb, block, len))
			return bad_inode(c, "has an extent that is out of order or out of range", e);
		c->next_offset = offset + len;
		c->nr_extents++;
		if (!(c->v->sb.ro_compat & XFS_RO_REFLINK) && spend(c, &c->blocks_left, len, e) < 0)
			return -1;
		if (xfs_claim(c->v, block, len, "inode", c->number, e) < 0)
			return -1;
	}
	return 0;
}

static int claim_node(void *arg, uint64_t fsblock, struct err *e)
{
	struct xfs_inode_check *c = arg;

	if (spend(c, &c->nodes_left, 1, e) < 0)
		return -1;
	return xfs_claim(c->v, fsblock, 1, "the extents of inode", c->number, e);
}

/* The root: level, number of records, then keys and pointers, each with room for as many as the fork can hold */
static int check_tree(struct xfs_inode_check *c, const struct fork *f, bool *ret_lost, struct err *e)
{
	struct xfs_walk w = { .v = c->v, .tree = &xfs_tree_bmap, .owner = c->number, .pass_lost = true, .on_block = claim_node,
		.on_leaf = check_extents, .arg = c };
	uint32_t max = f->len < 4 ? 0 : (f->len - 4) / 16;
	int r = 0;

	if (!max)
		return bad_inode(c, "has no room for a tree of extents", e);
	uint32_t level = get_be16(f->p), nr = get_be16(f->p + 2);
	if (!level || level >= XFS_MAX_LEVELS || !nr || nr > max)
		return bad_inode(c, "has a damaged tree of extents", e);
	for (uint32_t i = 0; i < nr && r == 0; i++)
		r = xfs_walk_child(&w, get_be64(f->p + 4 + 8UL * max + 8UL * i), level - 1, e);
	if (r == 0)
		r = xfs_walk_check(&w, e);
	for (uint32_t i = 0; i < level; i++)
		*ret_lost = *ret_lost || w.level[i].is_lost;
	xfs_walk_end(&w);
	return r;
}

static int check_fork(struct xfs_inode_check *c, const struct fork *f, struct err *e)
{
	bool is_lost = false;

	c->next_offset = c->nr_extents = 0;
	switch (f->format) {
	case FORMAT_DEV:
		return f->is_data ? 0 : bad_inode(c, "has attributes of no known format", e);
	case FORMAT_LOCAL:
		return 0;
	case FORMAT_EXTENTS:
		if (f->nr_extents > f->len / REC_SIZE)
			return bad_inode(c, "claims more extents than it has room for", e);
		return check_extents(c, f->p, (uint32_t)f->nr_extents, e);
	case FORMAT_BTREE:
		if (check_tree(c, f, &is_lost, e) < 0)
			return -1;
		if (c->nr_extents != f->nr_extents && !is_lost)
			return bad_inode(c, "has another number of extents than it counts", e);
		return 0;
	default:
		return bad_inode(c, "has a fork of no known format", e);
	}
}

static bool is_own(const struct xfs_inode_check *c, const uint8_t *raw)
{
	const struct xfs_super *sb = &c->v->sb;

	if (get_be16(raw) != MAGIC)
		return false;
	if (!sb->has_crc)
		return raw[4] == 1 || raw[4] == 2;
	return raw[4] == 3 && get_be64(raw + 152) == c->number && !memcmp(raw + 160, sb->meta_uuid, 16) &&
		xfs_crc_good(&c->v->crc, raw, sb->inode_size, CRC_OFF);
}

static int check_forks(struct xfs_inode_check *c, const uint8_t *raw, struct err *e)
{
	uint32_t core = raw[4] == 3 ? CORE_SIZE_V3 : CORE_SIZE_V2, room = c->v->sb.inode_size - core, attr_off = raw[82] * 8U;
	bool is_large = raw[4] == 3 && get_be64(raw + 120) & FLAG2_NREXT64;
	struct fork data = {
		.p = raw + core,
		.len = attr_off ? attr_off : room,
		.format = raw[5],
		.nr_extents = is_large ? get_be64(raw + 24) : get_be32(raw + 76),
		.is_data = true,
	};
	struct fork attr = {
		.p = raw + core + attr_off,
		.len = room - attr_off,
		.format = raw[83],
		.nr_extents = is_large ? get_be32(raw + 76) : get_be16(raw + 80),
	};

	if (attr_off > room)
		return bad_inode(c, "has its attributes behind its end", e);
	if (get_be16(raw + 90) & FLAG_REALTIME && (get_be16(raw + 2) & S_IFMT_) == S_IFREG_ && data.nr_extents)
		return bad_inode(c, "is on a realtime device, which this file system does not have", e);
	if (check_fork(c, &data, e) < 0)
		return -1;
	return attr_off ? check_fork(c, &attr, e) : 0;
}

int xfs_inode_check(struct xfs_inode_check *c, const uint8_t *raw, uint64_t number, bool is_free, struct err *e)
{
	c->number = number;
	if (!is_own(c, raw))
		return is_free ? 0 : bad_inode(c, "is damaged", e);
	if (!is_free)
		return check_forks(c, raw, e);
	if (get_be16(raw + 2))
		return bad_inode(c, "is in use, but called free", e);
	return 0;
}
