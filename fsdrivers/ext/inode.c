/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Reading one inode and finding its blocks, by extent tree or by indirect blocks (ext4 docs, inodes.rst, ifork.rst,
 * blockmap.rst). The journal, folders on the way to swap files, and these
 * are looked up this way (for all files see files.c); whatever is unusual for it (holes, unwritten extents, wrong
 * checksums) is an error here, and the caller then keeps
 * the file whole.
 */
#include "fsdrivers/ext/ext.h"

#include "base/span.h"

#include <string.h>

#define MAX_EXTENT_NODES  4096U
#define MAX_RUNS          65536U

#define I_CHECKSUM_LO 0x7C
#define I_EXTRA_ISIZE 0x80
#define I_CHECKSUM_HI 0x82

static uint32_t inode_seed(const struct ext_volume *v, uint32_t number, uint32_t generation)
{
	uint8_t b[8];

	put_le32(b, 0, number);
	put_le32(b, 4, generation);
	return ext_crc32c(&v->crc, v->sb.csum_seed, b, sizeof(b));
}

bool ext_inode_csum_good(const struct ext_volume *v, uint32_t number, uint8_t *raw)
{
	struct span s = span_of(raw, v->sb.inode_size);
	bool has_hi = v->sb.inode_size > 128 && span_le16(&s, I_EXTRA_ISIZE) >= 4;
	uint32_t want = span_le16(&s, I_CHECKSUM_LO);

	if (has_hi) {
		want |= (uint32_t)span_le16(&s, I_CHECKSUM_HI) << 16;
		put_le16(raw, I_CHECKSUM_HI, 0);
	}
	put_le16(raw, I_CHECKSUM_LO, 0);
	uint32_t crc = ext_crc32c(&v->crc, inode_seed(v, number, span_le32(&s, 0x64)), raw, v->sb.inode_size);
	return want == (has_hi ? crc : crc & 0xFFFF);
}

void ext_inode_decode(const struct ext_super *sb, uint32_t number, const uint8_t *raw, struct ext_inode *ret)
{
	struct span s = span_of(raw, sb->inode_size);

	*ret = (struct ext_inode){
		.number = number,
		.generation = span_le32(&s, 0x64),
		.flags = span_le32(&s, 0x20),
		.mode = span_le16(&s, 0x00),
		.nr_links = span_le16(&s, 0x1A),
		.size = span_le32(&s, 0x04) | (uint64_t)span_le32(&s, 0x6C) << 32,
		.xattr_block = span_le32(&s, 0x68),
	};
	if (sb->incompat & EXT_INCOMPAT_64BIT)
		ret->xattr_block |= (uint64_t)span_le16(&s, 0x76) << 32;
	span_copy(&s, 0x28, ret->i_block, sizeof(ret->i_block));
}

int ext_inode_read(struct ext_volume *v, uint32_t number, struct ext_inode *ret, struct err *e)
{
	const struct ext_super *sb = &v->sb;

	if (number == 0 || number > sb->nr_inodes)
		return err_set(e, ERR_CORRUPT, 0, "inode %u does not exist", number);
	uint32_t group = (number - 1) / sb->inodes_per_group, index = (number - 1) % sb->inodes_per_group;
	if (index / sb->inodes_per_block >= v->groups[group].itable_used)
		return err_set(e, ERR_CORRUPT, 0, "inode %u lies in the unused part of its table", number);
	AUTO_FREE uint8_t *raw = alloc_array(1, sb->inode_size);
	if (!raw)
		return err_nomem(e, "an inode");
	uint64_t off = v->groups[group].inode_table * sb->block_size + (uint64_t)index * sb->inode_size;
	if (blk_read(v->src, off, raw, sb->inode_size, e) < 0)
		return err_wrap(e, "reading inode %u", number);
	ext_inode_decode(sb, number, raw, ret);
	if (ext_has_metadata_csum(sb) && !ext_inode_csum_good(v, number, raw))
		return err_set(e, ERR_CORRUPT, 0, "inode %u has a wrong checksum", number);
	return 0;
}

struct walk {
	struct ext_volume *v;
	const struct ext_inode *inode;
	struct ext_runs *runs;
	uint64_t nr_blocks, done;  /* blocks of the file wanted, and found so far */
	uint32_t nr_nodes;         /* blocks of the tree read so far */
	bool takes_unwritten;      /* extents that are there, but were never written, count */
};

static int walk_found(struct walk *w, uint64_t start, uint64_t nr, struct err *e)
{
	const struct ext_super *sb = &w->v->sb;

	nr = min_u64(nr, w->nr_blocks - w->done);
	if (start < sb->first_data_block || !range_inside(start, nr, sb->nr_blocks))
		return err_set(e, ERR_CORRUPT, 0, "inode %u names block %llu, which is out of range",
			w->inode->number, (unsigned long long)start);
	w->done += nr;
	return ext_runs_add(w->runs, start, nr, MAX_RUNS, e);
}

static uint8_t *walk_read(struct walk *w, uint64_t block, struct err *e)
{
	uint8_t *buf = alloc_array(1, w->v->sb.block_size);

	if (!buf) {
		err_nomem(e, "a block of pointers");
		return NULL;
	}
	if (block < w->v->sb.first_data_block || block >= w->v->sb.nr_blocks)
		err_set(e, ERR_CORRUPT, 0, "inode %u names block %llu, which is out of range", w->inode->number,
			(unsigned long long)block);
	else if (ext_read_blocks(w->v, block, 1, buf, e) == 0)
		return buf;
	free(buf);
	return NULL;
}

/* level 0: ptrs name blocks of the file; else blocks of pointers. Level is at most 3; each leaf makes progress. */
static int walk_pointers(struct walk *w, const uint8_t *ptrs, uint32_t nr, int level, struct err *e)
{
	for (uint32_t i = 0; i < nr && w->done < w->nr_blocks; i++) {
		uint32_t block = get_le32(ptrs + 4UL * i);
		if (!block)
			return err_set(e, ERR_CORRUPT, 0, "inode %u has a hole", w->inode->number);
		if (level == 0) {
			if (walk_found(w, block, 1, e) < 0)
				return -1;
			continue;
		}
		AUTO_FREE uint8_t *buf = walk_read(w, block, e);
		if (!buf || walk_pointers(w, buf, w->v->sb.block_size / 4, level - 1, e) < 0)
			return -1;
	}
	return 0;
}

bool ext_node_csum_good(const struct ext_volume *v, const struct ext_inode *inode, const uint8_t *node)
{
	struct span s = span_of(node, v->sb.block_size);
	size_t tail = 12 + 12 * (size_t)span_le16(&s, 4);
	uint32_t want = span_le32(&s, tail);

	if (s.bad)
		return false;
	return ext_crc32c(&v->crc, inode_seed(v, inode->number, inode->generation), node, tail) == want;
}

static int walk_extents(struct walk *w, struct span s, int depth, struct err *e);

static int walk_index(struct walk *w, uint64_t block, int depth, struct err *e)
{
	if (++w->nr_nodes > MAX_EXTENT_NODES)
		return err_set(e, ERR_CORRUPT, 0, "extent tree of inode %u has more than %u blocks",
			w->inode->number, MAX_EXTENT_NODES);
	AUTO_FREE uint8_t *buf = walk_read(w, block, e);
	if (!buf)
		return -1;
	if (ext_has_metadata_csum(&w->v->sb) && !ext_node_csum_good(w->v, w->inode, buf))
		return err_set(
			e, ERR_CORRUPT, 0, "extent block %llu has a wrong checksum", (unsigned long long)block);
	return walk_extents(w, span_of(buf, w->v->sb.block_size), depth, e);
}

static int walk_extent(struct walk *w, const uint8_t *x, struct err *e)
{
	uint32_t len = get_le16(x + 4);
	uint64_t start = get_le32(x + 8) | (uint64_t)get_le16(x + 6) << 32;

	if (w->takes_unwritten && len > EXT_MAX_INIT_LEN)
		len -= EXT_MAX_INIT_LEN;
	if (len == 0 || len > EXT_MAX_INIT_LEN || get_le32(x) != w->done)
		return err_set(e, ERR_CORRUPT, 0, "inode %u has a hole or an unwritten extent", w->inode->number);
	return walk_found(w, start, len, e);
}

static int walk_extents(struct walk *w, struct span s, int depth, struct err *e)
{
	uint32_t nr = span_le16(&s, 2);
	int own_depth = span_le16(&s, 6);

	if (depth < 0) /* the root says how deep the tree is */
		depth = own_depth;
	if (span_le16(&s, 0) != EXT_EXTENT_MAGIC || nr == 0 || own_depth != depth || depth > EXT_MAX_DEPTH)
		return err_set(e, ERR_CORRUPT, 0, "extent tree of inode %u is damaged", w->inode->number);
	for (uint32_t i = 0; i < nr && w->done < w->nr_blocks; i++) {
		const uint8_t *x = span_at(&s, 12 + 12UL * i, 12);
		if (!x)
			return err_set(e, ERR_CORRUPT, 0, "extent tree of inode %u is cut short", w->inode->number);
		uint64_t child = get_le32(x + 4) | (uint64_t)get_le16(x + 8) << 32;
		if ((depth ? walk_index(w, child, depth - 1, e) : walk_extent(w, x, e)) < 0)
			return -1;
	}
	return 0;
}

static int find_runs(struct ext_volume *v, const struct ext_inode *inode, uint64_t nr_blocks, bool takes_unwritten, struct ext_runs *ret,
	struct err *e)
{
	struct walk w = { .v = v, .inode = inode, .runs = ret, .nr_blocks = nr_blocks, .takes_unwritten = takes_unwritten };
	int r = 0;

	if (inode->flags & EXT_INODE_INLINE_DATA)
		return err_set(e, ERR_CORRUPT, 0, "inode %u holds its data inline", inode->number);
	if (inode->flags & EXT_INODE_EXTENTS) {
		r = walk_extents(&w, span_of(inode->i_block, sizeof(inode->i_block)), -1, e);
	} else {
		r = walk_pointers(&w, inode->i_block, EXT_NR_DIRECT, 0, e);
		for (int level = 1; level <= 3 && r == 0; level++)
			r = walk_pointers(&w, inode->i_block + 4 * (EXT_NR_DIRECT + (unsigned)level - 1), 1, level, e);
	}
	if (r == 0 && w.done < nr_blocks)
		return err_set(e, ERR_CORRUPT, 0, "inode %u ends after %llu of %llu blocks", inode->number,
			(unsigned long long)w.done, (unsigned long long)nr_blocks);
	return r;
}

int ext_inode_runs(struct ext_volume *v, const struct ext_inode *inode, uint64_t nr_blocks, struct ext_runs *ret,
	struct err *e)
{
	return find_runs(v, inode, nr_blocks, false, ret, e);
}

int ext_inode_places(struct ext_volume *v, const struct ext_inode *inode, uint64_t nr_blocks, struct ext_runs *ret, struct err *e)
{
	return find_runs(v, inode, nr_blocks, true, ret, e);
}
