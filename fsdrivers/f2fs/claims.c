/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Does the SIT know all blocks that files claim? Every node that the NAT has must stand in a valid block, and every block that an inode or
 * a direct node names must be valid, and be named once (f2fs.rst, "Node Address Table", "Index Structure"). Nodes are read in the order
 * in which they lie on the disk, which is one more reading of 4 KiB for each file, of blocks that are copied anyway: 25 ms for 30,000 files
 * in the page cache.
 *
 * That a node is the one that the NAT means is seen by a sum over all of them, which needs no memory: numbers and places, once by the NAT,
 * once by what the nodes say of themselves.
 */
#include "fsdrivers/f2fs/f2fs.h"

#include "base/arith.h"

#define PIECE          (1U << 20)
#define MAX_GAP        (64U << 10) /* read over what lies between two nodes rather than seek */
#define FOOTER_SIZE    24U
#define NAT_ENTRY      9U
#define I_ADDR         360U /* struct f2fs_inode: pointers, or whatever is kept in their place */
#define NR_NIDS        5U
#define INLINE_XATTR   0x01U
#define INLINE_DATA    0x02U
#define INLINE_DENTRY  0x04U
#define EXTRA_ATTR     0x20U
#define DEFAULT_XATTR  50U /* pointers' room for attributes in an inode */
#define XATTR_NODE     (0xffffffffU >> 3)
#define S_IFMT         0170000U
#define S_IFREG        0100000U
#define S_IFDIR        0040000U
#define S_IFLNK        0120000U

struct claims {
	const struct f2fs_volume *v;
	const struct f2fs_bits *valid;
	struct f2fs_bits claimed, nodes;
	uint64_t nr_nodes, nat_sum, node_sum;
	bool has_lost; /* nodes that cannot be read */
};

/* Any function that mixes well will do (this one: the finalizer of MurmurHash3). */
static uint64_t mix(uint32_t nid, uint32_t ino, uint32_t block)
{
	uint64_t x = ((uint64_t)nid << 32 | block) ^ (uint64_t)ino * 0x9e3779b97f4a7c15ULL;

	x = (x ^ x >> 33) * 0xff51afd7ed558ccdULL;
	x = (x ^ x >> 33) * 0xc4ceb9fe1a85ec53ULL;
	return x ^ x >> 33;
}

static int claim(struct claims *c, uint32_t nid, uint32_t block, struct err *e)
{
	uint32_t first = c->v->sb.main;

	if (block < first || block - first >= c->valid->nr)
		return err_set(e, ERR_CORRUPT, 0, "F2FS node %u names block %u, which is not in the main area", nid, block);
	if (!f2fs_bits_test(c->valid, block - first))
		return err_set(e, ERR_CORRUPT, 0, "F2FS node %u uses block %u, which is free in the SIT", nid, block);
	if (!f2fs_bits_set(&c->claimed, block - first))
		return err_set(e, ERR_CORRUPT, 0, "F2FS node %u uses block %u, which something else uses, too", nid, block);
	return 0;
}

/* struct f2fs_nat_entry: version, inode, block. The numbers 0, node_ino and meta_ino are no nodes on disk. */
static int nat_entries(void *arg, uint32_t first, const uint8_t *entries, uint32_t nr, struct err *e)
{
	struct claims *c = arg;

	for (uint32_t i = 0; i < nr; i++) {
		uint32_t nid = first + i, ino = get_le32(entries + i * NAT_ENTRY + 1), block = get_le32(entries + i * NAT_ENTRY + 5);
		if (block == F2FS_NULL_ADDR || block == F2FS_NEW_ADDR || !nid || nid == c->v->sb.node_ino || nid == c->v->sb.meta_ino)
			continue;
		if (claim(c, nid, block, e) < 0)
			return -1;
		f2fs_bits_set(&c->nodes, block - c->v->sb.main);
		c->nr_nodes++;
		c->nat_sum += mix(nid, ino, block);
	}
	return 0;
}

static int claim_all(struct claims *c, uint32_t nid, const uint8_t *addrs, uint32_t nr, struct err *e)
{
	for (uint32_t i = 0; i < nr; i++) {
		uint32_t block = get_le32(addrs + 4UL * i);
		if (block != F2FS_NULL_ADDR && block != F2FS_NEW_ADDR && block != F2FS_COMPRESSED && claim(c, nid, block, e) < 0)
			return -1;
	}
	return 0;
}

/* Pointers stand between extra attributes and inline extended attributes. */
static int check_inode(struct claims *c, uint32_t nid, const uint8_t *node, struct err *e)
{
	uint32_t nr = (c->v->sb.block_size - I_ADDR - FOOTER_SIZE) / 4 - NR_NIDS, type = get_le16(node) & S_IFMT, in_line = node[3];
	uint32_t extra = 0, xattr = in_line & (INLINE_XATTR | INLINE_DENTRY) ? DEFAULT_XATTR : 0;

	if (in_line & (INLINE_DATA | INLINE_DENTRY) || (type != S_IFREG && type != S_IFDIR && type != S_IFLNK))
		return 0;
	if (in_line & EXTRA_ATTR) {
		extra = get_le16(node + I_ADDR) / 4;
		if (c->v->sb.feature & F2FS_FEATURE_FLEX_XATTR)
			xattr = get_le16(node + I_ADDR + 2);
	}
	if (extra + xattr > nr)
		return err_set(e, ERR_CORRUPT, 0, "F2FS inode %u has attributes of %u and %u bytes, too many", nid, extra * 4, xattr * 4);
	return claim_all(c, nid, node + I_ADDR + 4UL * extra, nr - extra - xattr, e);
}

/* Which kind of node is it? Its number in the file's tree of nodes says so: 0 the inode, 1 and 2 direct, 3 indirect, ... */
static bool is_direct(uint32_t offset, uint32_t per_block)
{
	if (offset == 3 || offset == 4 + per_block || offset == 5 + 2 * per_block)
		return false;
	return offset < 6 + 2 * per_block || (offset - 6 - 2 * per_block) % (per_block + 1);
}

static int check_node(struct claims *c, uint32_t block, const uint8_t *node, struct err *e)
{
	uint32_t per_block = (c->v->sb.block_size - FOOTER_SIZE) / 4;
	const uint8_t *footer = node + c->v->sb.block_size - FOOTER_SIZE;
	uint32_t nid = get_le32(footer), ino = get_le32(footer + 4), offset = get_le32(footer + 8) >> 3;

	c->node_sum += mix(nid, ino, block);
	if (nid == ino)
		return check_inode(c, nid, node, e);
	return offset != XATTR_NODE && is_direct(offset, per_block) ? claim_all(c, nid, node, per_block, e) : 0;
}

static int check_piece(struct claims *c, uint64_t first, uint64_t end, uint8_t *buf, struct err *e)
{
	const struct f2fs_volume *v = c->v;
	struct err lost = ERR_INIT;
	bool is_whole = f2fs_read_blocks(v, v->sb.main + first, end - first, buf, "nodes", &lost) == 0;

	for (uint64_t i = first; i < end; i = f2fs_bits_find(&c->nodes, i + 1, true)) {
		uint8_t *node = buf + (i - first) * v->sb.block_size;
		if (!is_whole && f2fs_read_blocks(v, v->sb.main + i, 1, node, "node", &lost) < 0) {
			c->has_lost = true;
			continue;
		}
		if (check_node(c, v->sb.main + (uint32_t)i, node, e) < 0)
			return -1;
	}
	return 0;
}

static int check_nodes(struct claims *c, struct err *e)
{
	AUTO_FREE uint8_t *buf = aligned_alloc(4096, PIECE);
	uint64_t most = PIECE / c->v->sb.block_size, gap = MAX_GAP / c->v->sb.block_size, end, next;

	if (!buf)
		return err_nomem(e, "a piece of the F2FS nodes");
	for (uint64_t at = f2fs_bits_find(&c->nodes, 0, true); at < c->nodes.nr; at = next) {
		end = at + 1;
		while ((next = f2fs_bits_find(&c->nodes, end, true)) < c->nodes.nr && next - end <= gap && next - at < most)
			end = next + 1;
		if (check_piece(c, at, end, buf, e) < 0)
			return -1;
	}
	return 0;
}

static int check(struct claims *c, struct err *e)
{
	if (f2fs_bits_new(&c->claimed, c->valid->nr, e) < 0 || f2fs_bits_new(&c->nodes, c->valid->nr, e) < 0 ||
		f2fs_table_each(c->v, &c->v->nat, nat_entries, c, e) < 0)
		return -1;
	if (c->nr_nodes != c->v->nr_nodes)
		return err_set(e, ERR_CORRUPT, 0, "the F2FS NAT has %llu nodes, the checkpoint counts %u", (unsigned long long)c->nr_nodes,
			c->v->nr_nodes);
	if (check_nodes(c, e) < 0)
		return -1;
	if (c->node_sum != c->nat_sum && !c->has_lost)
		return err_set(e, ERR_CORRUPT, 0, "there are F2FS nodes that are not those which the NAT means");
	return 0;
}

int f2fs_check_claims(const struct f2fs_volume *v, const struct f2fs_bits *valid, struct err *e)
{
	struct claims c = { .v = v, .valid = valid };
	int r = check(&c, e);

	f2fs_bits_release(&c.claimed);
	f2fs_bits_release(&c.nodes);
	return r;
}
