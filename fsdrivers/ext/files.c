/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Is everything that is in use also marked as used? A bitmap may have lost bits and the counters with them, checksums included: then
 * nothing in it tells, and a copy that believes it loses data. So what the layout demands, and every block that an inode names, is
 * held against the bitmaps (ext4 docs, ifork.rst, blockmap.rst), as e2fsck does in its first pass. It costs the reading of the inode tables,
 * which are copied anyway, and of the blocks of extents and pointers of fragmented files.
 *
 * Inodes without links are deleted, or will be by the next mount. What cannot be read tells nothing, and is no reason to fail: the
 * capture itself deals with sectors that are lost.
 */
#include "fsdrivers/ext/ext.h"

#include "base/span.h"

#include <errno.h>

#define READ_SIZE (1U << 20)

struct file_check {
	struct ext_volume *v;
	struct ext_marks *marks;
	struct ext_inode inode;            /* the one under work */
	uint64_t blocks_left;              /* that files may still name: each block of the volume belongs to one of them at most, once */
	uint8_t *nodes[EXT_MAX_DEPTH + 1]; /* one block for each level, made when needed */
};

/* ---- what the layout demands ---- */

/* A group without a bitmap on disk gets its marks here; where there is one it must have them. */
static int demand(struct file_check *c, uint64_t start, uint64_t nr, const char *what, uint32_t of_group, struct err *e)
{
	const struct ext_super *sb = &c->v->sb;
	uint64_t free_block;

	for (uint64_t n; nr; start += n, nr -= n) {
		uint32_t group = ext_group_of(sb, start);
		n = min_u64(nr, ext_group_start(sb, group) + ext_group_blocks(sb, group) - start);
		if (ext_skips_other(c->v, start, n, 0))
			return err_set(e, ERR_CORRUPT, 0, "the %s of ext group %u lies in a swap file", what, of_group);
		if (c->v->groups[group].flags & EXT_BG_BLOCK_UNINIT) {
			if (ext_marks_add(c->marks, start, n, e) < 0)
				return -1;
		} else if (!ext_marks_has(c->marks, start, n, &free_block)) {
			return err_set(e, ERR_CORRUPT, 0, "ext block %llu belongs to the %s of group %u, but is marked as free",
				(unsigned long long)free_block, what, of_group);
		}
	}
	return 0;
}

static int check_layout(struct file_check *c, struct err *e)
{
	const struct ext_super *sb = &c->v->sb;

	for (uint32_t i = 0; i < sb->nr_groups; i++) {
		const struct ext_group *g = &c->v->groups[i];
		uint64_t start = ext_group_start(sb, i);
		/* Blocks reserved for growth are files' business: the resize inode owns them. */
		if (g->flags & EXT_BG_BLOCK_UNINIT && ext_marks_add(c->marks, start, ext_head_blocks(sb, i, true), e) < 0)
			return -1;
		if (demand(c, start, ext_head_blocks(sb, i, false), "superblock or descriptors", i, e) < 0 ||
			demand(c, g->block_bitmap, 1, "bitmaps", i, e) < 0 || demand(c, g->inode_bitmap, 1, "bitmaps", i, e) < 0 ||
			demand(c, g->inode_table, sb->itable_blocks, "inode table", i, e) < 0)
			return -1;
	}
	return 0;
}

/* ---- what files use ---- */

static int check_marked(struct file_check *c, uint64_t start, uint64_t nr, struct err *e)
{
	const struct ext_super *sb = &c->v->sb;
	uint64_t free_block;

	if (start < sb->first_data_block || !range_inside(start, nr, sb->nr_blocks))
		return err_set(e, ERR_CORRUPT, 0, "ext inode %u names block %llu, which is out of range", c->inode.number, (unsigned long long)start);
	if (ext_skips_other(c->v, start, nr, c->inode.number))
		return err_set(e, ERR_CORRUPT, 0, "ext inode %u names blocks of a swap file from block %llu on", c->inode.number, (unsigned long long)start);
	if (!ext_marks_has(c->marks, start, nr, &free_block))
		return err_set(e, ERR_CORRUPT, 0, "ext block %llu is used by inode %u, but marked as free", (unsigned long long)free_block,
			c->inode.number);
	return 0;
}

/* Blocks that belong to the inode alone. Trees that lead to the same blocks again and again end here, too. */
static int check_used(struct file_check *c, uint64_t start, uint64_t nr, struct err *e)
{
	uint64_t cost = max_u64(nr, 1);

	if (cost > c->blocks_left)
		return err_set(e, ERR_CORRUPT, 0, "ext inodes up to %u name more blocks than the file system has", c->inode.number);
	c->blocks_left -= cost;
	return check_marked(c, start, nr, e);
}

/* The device could not read it; our own lack of memory is another matter. */
static bool is_lost(const struct err *e)
{
	return e->code == ERR_FAILED && e->sys_errno != ENOMEM;
}

/* A block of pointers or extents, itself in use: 1, 0 when it cannot be read, -1. */
static int read_node(struct file_check *c, uint64_t block, int level, struct err *e)
{
	uint8_t **node = &c->nodes[level];
	struct err lost = ERR_INIT;

	if (check_used(c, block, 1, e) < 0)
		return -1;
	if (!*node && !(*node = alloc_array(1, c->v->sb.block_size)))
		return err_nomem(e, "a block of pointers");
	if (ext_read_blocks(c->v, block, 1, *node, &lost) == 0)
		return 1;
	if (is_lost(&lost))
		return 0;
	*e = lost;
	return -1;
}

/* level 0: the pointers name blocks of the file, else blocks of pointers of the level below. 0 is a hole. */
static int check_pointers(struct file_check *c, const uint8_t *ptrs, uint32_t nr, int level, struct err *e)
{
	for (uint32_t i = 0, run; i < nr; i += run) {
		uint32_t block = get_le32(ptrs + 4UL * i);
		for (run = 1; block && !level && i + run < nr && get_le32(ptrs + 4UL * (i + run)) == block + run;)
			run++;
		if (!block)
			continue;
		int r = level ? read_node(c, block, level, e) : check_used(c, block, run, e);
		if (r > 0)
			r = check_pointers(c, c->nodes[level], c->v->sb.block_size / 4, level - 1, e);
		if (r < 0)
			return -1;
	}
	return 0;
}

static int check_extents(struct file_check *c, struct span s, int depth, struct err *e);

static int check_child(struct file_check *c, uint64_t block, int depth, struct err *e)
{
	int r = read_node(c, block, depth, e);

	if (r <= 0)
		return r;
	if (ext_has_metadata_csum(&c->v->sb) && !ext_node_csum_good(c->v, &c->inode, c->nodes[depth]))
		return err_set(e, ERR_CORRUPT, 0, "ext extent block %llu of inode %u has a wrong checksum", (unsigned long long)block, c->inode.number);
	return check_extents(c, span_of(c->nodes[depth], c->v->sb.block_size), depth, e);
}

/* depth: levels below this node, -1: as the root says */
static int check_extents(struct file_check *c, struct span s, int depth, struct err *e)
{
	uint32_t nr = span_le16(&s, 2);
	int own_depth = span_le16(&s, 6);

	if (span_le16(&s, 0) != EXT_EXTENT_MAGIC || (depth >= 0 && own_depth != depth) || own_depth > EXT_MAX_DEPTH)
		return err_set(e, ERR_CORRUPT, 0, "ext extent tree of inode %u is damaged", c->inode.number);
	for (uint32_t i = 0; i < nr; i++) {
		const uint8_t *x = span_at(&s, 12 + 12UL * i, 12);
		if (!x)
			return err_set(e, ERR_CORRUPT, 0, "ext extent tree of inode %u is cut short", c->inode.number);
		uint32_t len = get_le16(x + 4);
		uint64_t child = get_le32(x + 4) | (uint64_t)get_le16(x + 8) << 32, start = get_le32(x + 8) | (uint64_t)get_le16(x + 6) << 32;
		len -= len > EXT_MAX_INIT_LEN ? EXT_MAX_INIT_LEN : 0;
		if ((own_depth ? check_child(c, child, own_depth - 1, e) : check_used(c, start, len, e)) < 0)
			return -1;
	}
	return 0;
}

static bool has_blocks(const struct ext_inode *i)
{
	switch (i->mode & EXT_S_IFMT) {
	case EXT_S_IFREG:
	case EXT_S_IFDIR:
		return !(i->flags & EXT_INODE_INLINE_DATA);
	case EXT_S_IFLNK: /* a short one stands in the inode */
		return !(i->flags & EXT_INODE_INLINE_DATA) && (i->size >= sizeof(i->i_block) || i->flags & EXT_INODE_EXTENTS);
	default:
		return false;
	}
}

static int check_inode(struct file_check *c, uint32_t number, uint8_t *raw, struct err *e)
{
	const struct ext_inode *inode = &c->inode;

	ext_inode_decode(&c->v->sb, number, raw, &c->inode);
	if (!inode->nr_links)
		return 0;
	if (ext_has_metadata_csum(&c->v->sb) && !ext_inode_csum_good(c->v, number, raw))
		return err_set(e, ERR_CORRUPT, 0, "ext inode %u has a wrong checksum", number);
	if (inode->xattr_block && check_marked(c, inode->xattr_block, 1, e) < 0)
		return -1;
	if (!has_blocks(inode))
		return 0;
	if (inode->flags & EXT_INODE_EXTENTS)
		return check_extents(c, span_of(inode->i_block, sizeof(inode->i_block)), -1, e);
	int r = check_pointers(c, inode->i_block, EXT_NR_DIRECT, 0, e);
	for (int level = 1; level <= 3 && r == 0; level++)
		r = check_pointers(c, inode->i_block + 4 * (EXT_NR_DIRECT + (unsigned)level - 1), 1, level, e);
	return r;
}

/* The used part of one group's inode table, in large pieces. */
static int check_group(struct file_check *c, uint32_t group, uint8_t *buf, struct err *e)
{
	const struct ext_super *sb = &c->v->sb;
	const struct ext_group *g = &c->v->groups[group];
	uint32_t end_block = (uint32_t)ceil_div_u64(g->nr_inodes, sb->inodes_per_block);

	for (uint32_t at = 0, nr; at < end_block; at += nr) {
		struct err lost = ERR_INIT;
		nr = (uint32_t)min_u64(READ_SIZE / sb->block_size, end_block - at);
		if (ext_read_blocks(c->v, g->inode_table + at, nr, buf, &lost) < 0) {
			if (is_lost(&lost))
				continue;
			*e = lost;
			return -1;
		}
		uint32_t first = at * sb->inodes_per_block;
		uint32_t end = (uint32_t)min_u64(g->nr_inodes - first, (uint64_t)nr * sb->inodes_per_block);
		for (uint32_t i = 0; i < end; i++)
			if (check_inode(c, group * sb->inodes_per_group + first + i + 1, buf + (size_t)i * sb->inode_size, e) < 0)
				return -1;
	}
	return 0;
}

int ext_check_files(struct ext_volume *v, struct ext_marks *marks, uint8_t *buf, struct err *e)
{
	struct file_check c = { .v = v, .marks = marks, .blocks_left = v->sb.nr_blocks };

	int r = check_layout(&c, e);
	for (uint32_t i = 0; r == 0 && i < v->sb.nr_groups; i++)
		r = check_group(&c, i, buf, e);
	for (size_t i = 0; i < sizeof(c.nodes) / sizeof(c.nodes[0]); i++)
		free(c.nodes[i]);
	return r;
}
