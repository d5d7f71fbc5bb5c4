/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * What tree blocks point to (btrfs docs, "Trees"; EXTENT_DATA) must be in use for the extent tree, too: of an extent that this one lost, nothing else
 * would tell that it is missing from the image.
 *
 * Not the trees are walked, which share most of their blocks where there are snapshots: each allocated block is read once, in the order of
 * places. The roots of all trees are allocated (map.c) and so are all children of allocated nodes, hence all blocks of all trees. Of the leaves those
 * with checksums are left out, most of them all: they name no extent.
 */
#include "fsdrivers/btrfs/btrfs.h"

#include <stdlib.h>

#define CSUM_TREE        7ULL
#define QUOTA_TREE       8ULL
#define UUID_TREE        9ULL
#define RAID_STRIPE_TREE 12ULL
#define EXTENT_HEAD      24U /* of an extent item: references, generation, flags */
#define BLOCK_INFO       18U /* behind it where the key does not tell: the first key, the level */
#define INLINE_EXTENT    0U
#define READ_SIZE        (256U << 10)

/* The trees that open() and map() walk themselves, with every block that they have. */
static bool is_walked(uint64_t tree)
{
	return tree <= BTRFS_DEV_TREE || tree == BTRFS_FREE_SPACE_TREE || tree == BTRFS_BLOCK_GROUP_TREE;
}

static bool names_extents(uint64_t tree)
{
	return tree != CSUM_TREE && tree != QUOTA_TREE && tree != UUID_TREE && tree != RAID_STRIPE_TREE;
}

bool btrfs_is_for_refs(const struct btrfs_item *item)
{
	struct span s = item->data;
	bool is_skinny = item->key.type == BTRFS_METADATA_ITEM;
	uint64_t level = is_skinny ? item->key.offset : span_u8(&s, EXTENT_HEAD + BLOCK_INFO - 1);
	size_t ref = EXTENT_HEAD + (is_skinny ? 0 : BLOCK_INFO);
	uint64_t tree = span_le64(&s, ref + 1);

	/* Shared between trees, or told by an item of its own: of which tree it is, only the block itself says. */
	if (s.bad || span_u8(&s, ref) != BTRFS_TREE_BLOCK_REF)
		return true;
	return !is_walked(tree) && (level || names_extents(tree));
}

int btrfs_check_extent_data(const struct btrfs_volume *v, const struct btrfs_item *item, struct err *e)
{
	struct span s = item->data;
	bool is_inline = span_u8(&s, 20) == INLINE_EXTENT;
	uint64_t start = is_inline ? 0 : span_le64(&s, 21), len = is_inline ? 0 : span_le64(&s, 29);

	if (s.bad)
		return err_set(e, ERR_CORRUPT, 0, "the btrfs file extent of inode %llu is cut short", (unsigned long long)item->key.objectid);
	if (!start || btrfs_is_in_run(v, start, len)) /* a hole names none */
		return 0;
	return err_set(e, ERR_CORRUPT, 0, "btrfs extent at %llu belongs to inode %llu, but is marked as free", (unsigned long long)start,
		(unsigned long long)item->key.objectid);
}

/* A block that was checked by itself. */
static int check_targets(const struct btrfs_volume *v, const uint8_t *block, struct err *e)
{
	struct btrfs_item item;
	uint64_t child;

	for (uint32_t i = 0; btrfs_block_child(block, i, &child); i++)
		if (!btrfs_is_block(v, child))
			return err_set(e, ERR_CORRUPT, 0, "btrfs tree block %llu is in use, but marked as free", (unsigned long long)child);
	for (uint32_t i = 0; btrfs_block_item(block, i, &item); i++)
		if (item.key.type == BTRFS_EXTENT_DATA && btrfs_check_extent_data(v, &item, e) < 0)
			return -1;
	return 0;
}

static int look_at(struct btrfs_volume *v, const struct btrfs_chunk *c, uint64_t start, uint32_t nr, uint8_t *buf, struct err *e)
{
	uint32_t size = v->sb->node_size;
	struct err why = ERR_INIT; /* then each by itself, from all copies */
	bool is_read = btrfs_read_logical(v, c, start, buf, (size_t)nr * size, 0, &why) == 0;

	for (uint32_t i = 0; i < nr; i++) {
		uint8_t *block = buf + (size_t)i * size;
		uint64_t logical = start + (uint64_t)i * size;
		if ((!is_read || btrfs_block_check(v, logical, block, &why) < 0) && btrfs_block_read(v, c, logical, block, e) < 0)
			return -1;
		if (check_targets(v, block, e) < 0)
			return -1;
	}
	return 0;
}

static int check_chunk(struct btrfs_volume *v, const struct btrfs_chunk *c, uint8_t *buf, struct err *e)
{
	uint64_t sector = v->sb->sector_size, step = v->sb->node_size / sector, nr_bits = c->len / sector;
	uint32_t most = READ_SIZE / v->sb->node_size;

	for (uint64_t bit = 0; bit < nr_bits;) {
		uint32_t nr = 0;
		if (!c->looks[bit / 64]) {
			bit = (bit / 64 + 1) * 64;
			continue;
		}
		while (nr < most && bit + nr * step < nr_bits && btrfs_bit(c->looks, bit + nr * step))
			nr++;
		if (nr && look_at(v, c, c->start + bit * sector, nr, buf, e) < 0)
			return -1;
		bit += nr ? nr * step : 1;
	}
	return 0;
}

int btrfs_check_refs(struct btrfs_volume *v, struct err *e)
{
	AUTO_FREE uint8_t *buf = aligned_alloc(4096, READ_SIZE);

	if (!buf)
		return err_nomem(e, "btrfs tree blocks");
	for (size_t i = 0; i < v->chunks.nr; i++)
		if (v->chunks.v[i].looks && check_chunk(v, &v->chunks.v[i], buf, e) < 0)
			return -1;
	return 0;
}
