/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The superblock: decoding (ext4 docs, super.rst) and every check that later code relies on. The relations are those
 * that the kernel demands before it mounts (fs/ext4/super.c, ext4_fill_super and its helpers).
 */
#include "fsdrivers/ext/ext.h"

#include "base/span.h"

/*
 * Features under which bitmaps, descriptors and the journal mean what this driver thinks they mean. Unknown
 * ro_compat bits are refused as well: a driver that may only read such a volume must not claim to know its free
 * space (has_snapshot and replica change it). Unknown compat bits are free of that by definition.
 */
#define KNOWN_INCOMPAT                                                                                     \
	(EXT_INCOMPAT_FILETYPE | EXT_INCOMPAT_RECOVER | EXT_INCOMPAT_JOURNAL_DEV | EXT_INCOMPAT_META_BG |  \
		EXT_INCOMPAT_EXTENTS | EXT_INCOMPAT_64BIT | EXT_INCOMPAT_MMP | EXT_INCOMPAT_FLEX_BG |      \
		EXT_INCOMPAT_EA_INODE | EXT_INCOMPAT_DIRDATA | EXT_INCOMPAT_CSUM_SEED |                    \
		EXT_INCOMPAT_LARGEDIR | EXT_INCOMPAT_INLINE_DATA | EXT_INCOMPAT_ENCRYPT | EXT_INCOMPAT_CASEFOLD)
#define KNOWN_RO_COMPAT                                                                                    \
	(EXT_RO_SPARSE_SUPER | EXT_RO_LARGE_FILE | EXT_RO_BTREE_DIR | EXT_RO_HUGE_FILE | EXT_RO_GDT_CSUM | \
		EXT_RO_DIR_NLINK | EXT_RO_EXTRA_ISIZE | EXT_RO_QUOTA | EXT_RO_BIGALLOC |                   \
		EXT_RO_METADATA_CSUM | EXT_RO_READONLY | EXT_RO_PROJECT | EXT_RO_SHARED_BLOCKS |           \
		EXT_RO_VERITY | EXT_RO_ORPHAN_PRESENT)

#define MAX_LOG_BLOCK   6U          /* 64 KiB */
#define MAX_LOG_CLUSTER 19U         /* 512 MiB, the largest that mke2fs makes */
#define MAX_GROUPS      (1U << 24)  /* 2 PiB of usual groups; bounds what a hostile superblock can make us allocate */
#define CSUM_TYPE_CRC32C 1

static void decode_geometry(struct span *s, struct ext_super *sb)
{
	sb->nr_inodes = span_le32(s, 0x00);
	sb->nr_blocks = span_le32(s, 0x04);
	sb->nr_free_blocks = span_le32(s, 0x0C);
	sb->first_data_block = span_le32(s, 0x14);
	sb->log_block = span_le32(s, 0x18);
	sb->log_cluster = span_le32(s, 0x1C);
	sb->blocks_per_group = span_le32(s, 0x20);
	sb->clusters_per_group = span_le32(s, 0x24);
	sb->inodes_per_group = span_le32(s, 0x28);
	sb->inode_size = sb->rev ? span_le16(s, 0x58) : 128;
	sb->reserved_gdt_blocks = span_le16(s, 0xCE);
	sb->desc_size = 32;
	sb->first_meta_bg = span_le32(s, 0x104);
	sb->backup_bgs[0] = span_le32(s, 0x24C);
	sb->backup_bgs[1] = span_le32(s, 0x250);
	if (sb->incompat & EXT_INCOMPAT_64BIT) {
		sb->desc_size = span_le16(s, 0xFE);
		sb->nr_blocks |= (uint64_t)span_le32(s, 0x150) << 32;
		sb->nr_free_blocks |= (uint64_t)span_le32(s, 0x158) << 32;
	}
}

static void decode_journal(struct span *s, struct ext_super *sb)
{
	span_copy(s, 0xD0, sb->journal_uuid, sizeof(sb->journal_uuid));
	sb->journal_inum = span_le32(s, 0xE0);
	sb->journal_dev = span_le32(s, 0xE4);
	sb->journal_backup_type = span_u8(s, 0xFD);
	for (size_t i = 0; i < 17; i++)
		sb->journal_backup[i] = span_le32(s, 0x10C + 4 * i);
}

static void decode_csum(const struct ext_crc *c, struct span *s, struct ext_super *sb)
{
	sb->csum_type = span_u8(s, 0x175);
	sb->csum_seed = span_le32(s, 0x270);
	if (!(sb->incompat & EXT_INCOMPAT_CSUM_SEED))
		sb->csum_seed = ext_crc32c(c, ~0U, sb->uuid, sizeof(sb->uuid));
	if (ext_has_metadata_csum(sb) && sb->csum_type == CSUM_TYPE_CRC32C)
		sb->csum_bad = ext_crc32c(c, ~0U, s->p, 0x3FC) != span_le32(s, 0x3FC);
}

int ext_super_decode(const struct ext_crc *c, const uint8_t raw[EXT_SUPER_SIZE], struct ext_super *ret, struct err *e)
{
	struct span s = span_of(raw, EXT_SUPER_SIZE);
	struct ext_super sb = { 0 };

	if (span_le16(&s, 0x38) != EXT_MAGIC)
		return err_set(e, ERR_CORRUPT, 0, "no ext superblock");
	sb.state = span_le16(&s, 0x3A);
	sb.rev = span_le32(&s, 0x4C);
	sb.compat = span_le32(&s, 0x5C);
	sb.incompat = span_le32(&s, 0x60);
	sb.ro_compat = span_le32(&s, 0x64);
	span_copy(&s, 0x68, sb.uuid, sizeof(sb.uuid));
	span_copy(&s, 0x78, sb.label, 16);
	sb.mmp_block = span_le64(&s, 0x168);
	decode_geometry(&s, &sb);
	decode_journal(&s, &sb);
	decode_csum(c, &s, &sb);
	*ret = sb;
	return 0;
}

static int check_features(const struct ext_super *sb, struct err *e)
{
	uint32_t incompat = sb->incompat & ~KNOWN_INCOMPAT, ro_compat = sb->ro_compat & ~KNOWN_RO_COMPAT;

	if (sb->rev > 1)
		return err_set(e, ERR_UNSUPPORTED, 0, "ext file system of unknown revision %u", sb->rev);
	if (sb->incompat & EXT_INCOMPAT_JOURNAL_DEV)
		return err_set(
			e, ERR_UNSUPPORTED, 0, "jbd: the external journal of an ext file system on another device");
	if (incompat && ro_compat)
		return err_set(e, ERR_UNSUPPORTED, 0, "unknown ext features: incompat 0x%x, ro_compat 0x%x",
			incompat, ro_compat);
	if (incompat)
		return err_set(e, ERR_UNSUPPORTED, 0, "unknown ext features: incompat 0x%x", incompat);
	if (ro_compat)
		return err_set(e, ERR_UNSUPPORTED, 0, "unknown ext features: ro_compat 0x%x", ro_compat);
	if (ext_has_metadata_csum(sb) && sb->csum_type != CSUM_TYPE_CRC32C)
		return err_set(e, ERR_UNSUPPORTED, 0, "unknown ext checksum type %u", sb->csum_type);
	return 0;
}

static int check_blocks(struct ext_super *sb, uint64_t src_size, struct err *e)
{
	uint64_t size;

	if (sb->log_block > MAX_LOG_BLOCK)
		return err_set(
			e, ERR_CORRUPT, 0, "ext block size 2^%llu is outside 2^10..2^16", sb->log_block + 10ULL);
	sb->block_size = 1024U << sb->log_block;
	if (!mul_u64(sb->nr_blocks, sb->block_size, &size) || size > src_size)
		return err_set(e, ERR_CORRUPT, 0,
			"file system is larger (%llu blocks of %u bytes) than its partition (%llu bytes)",
			(unsigned long long)sb->nr_blocks, sb->block_size, (unsigned long long)src_size);
	uint32_t first = sb->block_size == 1024 && !(sb->ro_compat & EXT_RO_BIGALLOC);
	if (sb->first_data_block != first)
		return err_set(
			e, ERR_CORRUPT, 0, "ext first data block is %u instead of %u", sb->first_data_block, first);
	if (sb->nr_blocks <= first + 1ULL)
		return err_set(
			e, ERR_CORRUPT, 0, "ext file system of %llu blocks", (unsigned long long)sb->nr_blocks);
	return 0;
}

static int check_clusters(struct ext_super *sb, struct err *e)
{
	sb->cluster_blocks = 1;
	if (!(sb->ro_compat & EXT_RO_BIGALLOC)) {
		if (sb->log_cluster != sb->log_block)
			return err_set(
				e, ERR_CORRUPT, 0, "ext cluster size differs from the block size without bigalloc");
		sb->clusters_per_group = sb->blocks_per_group;
	} else {
		if (sb->log_cluster < sb->log_block || sb->log_cluster > MAX_LOG_CLUSTER)
			return err_set(e, ERR_CORRUPT, 0, "ext cluster size 2^%llu is out of range",
				sb->log_cluster + 10ULL);
		sb->cluster_blocks = 1U << (sb->log_cluster - sb->log_block);
	}
	if (sb->clusters_per_group == 0 || sb->clusters_per_group > sb->block_size * 8)
		return err_set(e, ERR_CORRUPT, 0, "ext groups of %u clusters do not fit a bitmap block",
			sb->clusters_per_group);
	if (sb->blocks_per_group != (uint64_t)sb->clusters_per_group * sb->cluster_blocks)
		return err_set(e, ERR_CORRUPT, 0, "ext groups of %u blocks are not %u clusters of %u blocks",
			sb->blocks_per_group, sb->clusters_per_group, sb->cluster_blocks);
	return 0;
}

static int check_groups(struct ext_super *sb, struct err *e)
{
	uint64_t nr = ceil_div_u64(sb->nr_blocks - sb->first_data_block, sb->blocks_per_group);

	if (nr > MAX_GROUPS)
		return err_set(e, ERR_CORRUPT, 0, "ext file system of %llu groups", (unsigned long long)nr);
	sb->nr_groups = (uint32_t)nr;
	/* With 64bit the kernel demands 64 bytes or more and a power of two. */
	if (sb->incompat & EXT_INCOMPAT_64BIT &&
		(sb->desc_size < 64 || sb->desc_size > 1024 || !is_pow2(sb->desc_size)))
		return err_set(e, ERR_CORRUPT, 0, "ext group descriptors of %u bytes", sb->desc_size);
	sb->descs_per_block = sb->block_size / sb->desc_size;
	sb->desc_blocks = (uint32_t)ceil_div_u64(nr, sb->descs_per_block);
	if (!(sb->incompat & EXT_INCOMPAT_META_BG))
		sb->first_meta_bg = sb->desc_blocks;
	if (sb->first_meta_bg > sb->desc_blocks)
		return err_set(e, ERR_CORRUPT, 0, "ext first meta group %u is beyond %u", sb->first_meta_bg,
			sb->desc_blocks);
	uint64_t head = ext_super_block(sb, 0) - sb->first_data_block + 1 + (uint64_t)sb->first_meta_bg;
	if (head > ext_group_blocks(sb, 0))
		return err_set(e, ERR_CORRUPT, 0, "ext group descriptors (%u blocks) do not fit the first group",
			sb->first_meta_bg);
	return 0;
}

static int check_inodes(struct ext_super *sb, struct err *e)
{
	if (sb->inode_size < 128 || sb->inode_size > sb->block_size || !is_pow2(sb->inode_size))
		return err_set(e, ERR_CORRUPT, 0, "ext inode size %u", sb->inode_size);
	sb->inodes_per_block = sb->block_size / sb->inode_size;
	if (sb->inodes_per_group < sb->inodes_per_block || sb->inodes_per_group > sb->block_size * 8)
		return err_set(e, ERR_CORRUPT, 0, "ext groups of %u inodes", sb->inodes_per_group);
	if ((uint64_t)sb->nr_groups * sb->inodes_per_group != sb->nr_inodes)
		return err_set(e, ERR_CORRUPT, 0, "ext inode count %u is not %u groups of %u", sb->nr_inodes,
			sb->nr_groups, sb->inodes_per_group);
	sb->itable_blocks = (uint32_t)ceil_div_u64(sb->inodes_per_group, sb->inodes_per_block);
	return 0;
}

int ext_super_check(struct ext_super *sb, uint64_t src_size, struct err *e)
{
	if (check_features(sb, e) < 0 || check_blocks(sb, src_size, e) < 0 || check_clusters(sb, e) < 0 ||
		check_groups(sb, e) < 0 || check_inodes(sb, e) < 0)
		return -1;
	return 0;
}
