/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The group descriptors: read in large pieces, decoded, their checksums verified, and the places they name proved to
 * lie inside the file system without overlapping each other or the copies of superblock and descriptors
 * (ext4 docs, group_descr.rst and checksums.rst).
 */
#include "fsdrivers/ext/ext.h"

#include "base/span.h"

#include <string.h>

#define READ_SIZE (1U << 20)

#define BG_CHECKSUM 0x1E

static bool desc_csum_good(const struct ext_volume *v, uint32_t group, const uint8_t *d)
{
	const struct ext_super *sb = &v->sb;
	static const uint8_t no_checksum[2];
	uint8_t number[4];
	uint16_t want = (uint16_t)(d[BG_CHECKSUM] | d[BG_CHECKSUM + 1] << 8);
	size_t rest = sb->desc_size - BG_CHECKSUM - 2;

	put_le32(number, 0, group);
	if (ext_has_metadata_csum(sb)) {
		uint32_t crc = ext_crc32c(&v->crc, sb->csum_seed, number, 4);
		crc = ext_crc32c(&v->crc, crc, d, BG_CHECKSUM);
		crc = ext_crc32c(&v->crc, crc, no_checksum, 2);
		return (uint16_t)ext_crc32c(&v->crc, crc, d + BG_CHECKSUM + 2, rest) == want;
	}
	uint16_t crc = ext_crc16(&v->crc, 0xFFFF, sb->uuid, sizeof(sb->uuid));
	crc = ext_crc16(&v->crc, crc, number, 4);
	crc = ext_crc16(&v->crc, crc, d, BG_CHECKSUM);
	return ext_crc16(&v->crc, crc, d + BG_CHECKSUM + 2, rest) == want;
}

/*
 * The inodes that may be in use, and the blocks of the inode table that hold them. The rest was never used: the kernel skips it, and where
 * INODE_ZEROED is missing its lazy initialisation writes zeros there at any time after a mount. So zeros are what
 * stands there or what may come to stand there, whether the flag is set or not.
 */
static int inodes_used(const struct ext_super *sb, uint32_t nr_unused, uint32_t group, struct ext_group *g, struct err *e)
{
	if (nr_unused > sb->inodes_per_group)
		return err_set(e, ERR_CORRUPT, 0, "ext group %u says that %u of its %u inodes were never used",
			group, nr_unused, sb->inodes_per_group);
	g->nr_inodes = sb->inodes_per_group;
	if (ext_has_group_csum(sb))
		g->nr_inodes = g->flags & EXT_BG_INODE_UNINIT ? 0 : sb->inodes_per_group - nr_unused;
	g->itable_used = (uint32_t)ceil_div_u64(g->nr_inodes, sb->inodes_per_block);
	return 0;
}

static int decode_desc(struct ext_volume *v, uint32_t group, const uint8_t *d, uint32_t *nr_bad, struct err *e)
{
	const struct ext_super *sb = &v->sb;
	struct ext_group *g = &v->groups[group];
	struct span s = span_of(d, sb->desc_size);
	bool wide = sb->desc_size >= 64;
	uint32_t nr_unused = span_le16(&s, 0x1C);

	g->block_bitmap = span_le32(&s, 0x00);
	g->inode_bitmap = span_le32(&s, 0x04);
	g->inode_table = span_le32(&s, 0x08);
	g->flags = ext_has_group_csum(sb) ? span_le16(&s, 0x12) : 0;
	g->nr_free = span_le16(&s, 0x0C);
	g->block_bitmap_csum = span_le16(&s, 0x18);
	g->inode_bitmap_csum = span_le16(&s, 0x1A);
	if (wide) {
		g->block_bitmap |= (uint64_t)span_le32(&s, 0x20) << 32;
		g->inode_bitmap |= (uint64_t)span_le32(&s, 0x24) << 32;
		g->inode_table |= (uint64_t)span_le32(&s, 0x28) << 32;
		g->nr_free |= (uint32_t)span_le16(&s, 0x2C) << 16;
		nr_unused |= (uint32_t)span_le16(&s, 0x32) << 16;
		g->block_bitmap_csum |= (uint32_t)span_le16(&s, 0x38) << 16;
		g->inode_bitmap_csum |= (uint32_t)span_le16(&s, 0x3A) << 16;
	}
	if (ext_has_group_csum(sb) && !desc_csum_good(v, group, d))
		++*nr_bad;
	return inodes_used(sb, ext_has_group_csum(sb) ? nr_unused : 0, group, g, e);
}

/*
 * With flex_bg anywhere in the file system, without it inside the own group (as ext4_check_descriptors demands).
 * Never at the superblock or before: a table of zeros ends at its first entry, however many groups a superblock
 * claims.
 */
static int check_places(const struct ext_super *sb, const struct ext_group *g, uint32_t group, struct err *e)
{
	bool flex = sb->incompat & EXT_INCOMPAT_FLEX_BG;
	uint64_t first = flex ? ext_super_block(sb, 0) + 1 : ext_group_start(sb, group);
	uint64_t nr = flex ? sb->nr_blocks - first : ext_group_blocks(sb, group);

	if (!flex && group == 0) {
		first++;
		nr--;
	}

	if (g->block_bitmap < first || !range_inside(g->block_bitmap - first, 1, nr))
		return err_set(e, ERR_CORRUPT, 0, "block bitmap of ext group %u is out of range (block %llu)", group,
			(unsigned long long)g->block_bitmap);
	if (g->inode_bitmap < first || !range_inside(g->inode_bitmap - first, 1, nr))
		return err_set(e, ERR_CORRUPT, 0, "inode bitmap of ext group %u is out of range (block %llu)", group,
			(unsigned long long)g->inode_bitmap);
	if (g->inode_table < first || !range_inside(g->inode_table - first, sb->itable_blocks, nr))
		return err_set(e, ERR_CORRUPT, 0, "inode table of ext group %u is out of range (block %llu)", group,
			(unsigned long long)g->inode_table);
	return 0;
}

static int decode_all(
	struct ext_volume *v, const uint8_t *buf, uint32_t first, uint32_t nr, uint32_t *nr_bad, struct err *e)
{
	const struct ext_super *sb = &v->sb;

	for (uint32_t i = 0; i < nr && first + i < sb->nr_groups; i++) {
		if (decode_desc(v, first + i, buf + (size_t)i * sb->desc_size, nr_bad, e) < 0)
			return -1;
		if (check_places(sb, &v->groups[first + i], first + i, e) < 0)
			return -1;
	}
	return 0;
}

static int read_descs(struct ext_volume *v, uint32_t *nr_bad, struct err *e)
{
	const struct ext_super *sb = &v->sb;
	uint32_t max = READ_SIZE / sb->block_size;
	AUTO_FREE uint8_t *buf = aligned_alloc(4096, READ_SIZE);

	if (!buf)
		return err_nomem(e, "ext group descriptors");
	for (uint32_t i = 0; i < sb->desc_blocks;) {
		uint64_t start = ext_desc_block(sb, i);
		uint32_t nr = 1;
		while (nr < max && i + nr < sb->desc_blocks && ext_desc_block(sb, i + nr) == start + nr)
			nr++;
		if (ext_read_blocks(v, start, nr, buf, e) < 0)
			return err_wrap(e, "reading the ext group descriptors");
		if (decode_all(v, buf, i * sb->descs_per_block, nr * sb->descs_per_block, nr_bad, e) < 0)
			return -1;
		i += nr;
	}
	return 0;
}

/* The metadata of all groups as numbers that sort by place: block << 2 | kind. Blocks are below 2^54. */
enum { KEY_BLOCK_BITMAP, KEY_INODE_BITMAP, KEY_INODE_TABLE };

static int compare_keys(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return (x > y) - (x < y);
}

/* Does the range touch superblock or descriptor copies? Inode tables may span groups. */
static bool hits_head(const struct ext_super *sb, uint64_t start, uint64_t nr)
{
	uint32_t g = ext_group_of(sb, start), last = ext_group_of(sb, start + nr - 1);

	if (start < ext_group_start(sb, g) + ext_head_blocks(sb, g, false))
		return true;
	while (g < last)
		if (ext_head_blocks(sb, ++g, false))
			return true;
	return false;
}

static int check_overlaps(const struct ext_volume *v, struct err *e)
{
	const struct ext_super *sb = &v->sb;
	size_t nr = (size_t)sb->nr_groups * 3;
	AUTO_FREE uint64_t *keys = alloc_array(nr, sizeof(*keys));

	if (!keys)
		return err_nomem(e, "ext group descriptors");
	for (uint32_t i = 0; i < sb->nr_groups; i++) {
		keys[i * 3UL] = v->groups[i].block_bitmap << 2 | KEY_BLOCK_BITMAP;
		keys[i * 3UL + 1] = v->groups[i].inode_bitmap << 2 | KEY_INODE_BITMAP;
		keys[i * 3UL + 2] = v->groups[i].inode_table << 2 | KEY_INODE_TABLE;
	}
	qsort(keys, nr, sizeof(*keys), compare_keys);
	uint64_t end = 0;
	for (size_t i = 0; i < nr; i++) {
		uint64_t start = keys[i] >> 2, len = (keys[i] & 3) == KEY_INODE_TABLE ? sb->itable_blocks : 1;
		if (start < end || hits_head(sb, start, len))
			return err_set(e, ERR_CORRUPT, 0,
				"ext bitmaps, inode tables or descriptors overlap at block %llu",
				(unsigned long long)start);
		end = start + len;
	}
	return 0;
}

int ext_groups_read(struct ext_volume *v, uint32_t *ret_nr_bad, struct err *e)
{
	uint32_t nr_bad = 0;

	v->groups = alloc_array(v->sb.nr_groups, sizeof(*v->groups));
	if (!v->groups)
		return err_nomem(e, "ext group descriptors");
	if (read_descs(v, &nr_bad, e) < 0 || check_overlaps(v, e) < 0)
		return -1;
	*ret_nr_bad = nr_bad;
	return 0;
}
