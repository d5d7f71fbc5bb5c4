/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The superblock (XFS docs, "Superblocks"), and the arithmetic that follows from it. Only the first one counts: those of the other
 * groups are for xfs_repair, and their counters are stale.
 */
#include "fsdrivers/xfs/xfs.h"

#include "fsdrivers/label.h"

#include <stdio.h>

#define MAGIC 0x58465342U /* "XFSB" */

/* sb_versionnum */
#define VERSION_MASK     0x000FU
#define VERSION_SHARED   0x0200U
#define VERSION_LOGV2    0x0400U
#define VERSION_DIRV2    0x2000U
#define VERSION_MOREBITS 0x8000U
/* sb_features2 of version 4: lazysbcount, attr2, projid32bit, ftype */
#define FEATURES2_KNOWN  0x028AU

/* Others could change what the maps of free space mean: each is looked at before it comes here. */
#define RO_COMPAT_KNOWN    (XFS_RO_FINOBT | XFS_RO_RMAPBT | XFS_RO_REFLINK | XFS_RO_INOBTCNT)
#define INCOMPAT_KNOWN     0xFFU /* up to XFS_INCOMPAT_PARENT; not metadir, zoned, zone gaps */
#define LOG_INCOMPAT_KNOWN 0x1U  /* logged extended attributes: of no meaning in a log that is clean */

#define MIN_AG_BLOCKS  64U
#define MIN_AG_BYTES   (1ULL << 24)
#define MAX_AGS        (1U << 20)
#define MAX_LOG_BYTES  (1ULL << 31)
#define MIN_LOG_BLOCKS 256U /* basic blocks; mkfs.xfs makes no log with less than 512 blocks */

bool xfs_super_decode(const uint8_t raw[XFS_SUPER_SIZE], struct xfs_super *sb)
{
	if (get_be32(raw) != MAGIC)
		return false;
	*sb = (struct xfs_super){
		.block_size = get_be32(raw + 4),
		.nr_blocks = get_be64(raw + 8),
		.rt_blocks = get_be64(raw + 16),
		.rt_extents = get_be64(raw + 24),
		.log_start = get_be64(raw + 48),
		.ag_blocks = get_be32(raw + 84),
		.nr_ags = get_be32(raw + 88),
		.log_blocks = get_be32(raw + 96),
		.version = get_be16(raw + 100) & VERSION_MASK,
		.version_bits = get_be16(raw + 100) & ~VERSION_MASK,
		.sector_size = get_be16(raw + 102),
		.inode_size = get_be16(raw + 104),
		.inopb = get_be16(raw + 106),
		.block_log = raw[120],
		.sector_log = raw[121],
		.inode_log = raw[122],
		.inopb_log = raw[123],
		.agblk_log = raw[124],
		.in_progress = raw[126] != 0,
		.nr_free_blocks = get_be64(raw + 144),
	};
	if (sb->version_bits & VERSION_MOREBITS)
		sb->features2 = get_be32(raw + 200);
	sb->has_crc = sb->version == 5;
	sb->has_log_v2 = sb->has_crc || sb->version_bits & VERSION_LOGV2;
	if (sb->has_crc) {
		sb->ro_compat = get_be32(raw + 212);
		sb->incompat = get_be32(raw + 216);
		sb->log_incompat = get_be32(raw + 220);
		sb->lsn = get_be64(raw + 240);
	}
	memcpy(sb->uuid, raw + 32, 16);
	memcpy(sb->meta_uuid, raw + (sb->incompat & XFS_INCOMPAT_META_UUID ? 248 : 32), 16);
	fsd_label_copy(sb->label, sizeof(sb->label), raw + 108, 12);
	return true;
}

static int check_features(const struct xfs_super *sb, struct err *e)
{
	uint32_t ro_compat = sb->ro_compat & ~RO_COMPAT_KNOWN, incompat = sb->incompat & ~INCOMPAT_KNOWN;
	uint32_t log_incompat = sb->log_incompat & ~LOG_INCOMPAT_KNOWN;

	if (sb->version != 4 && sb->version != 5)
		return err_set(e, ERR_UNSUPPORTED, 0, "xfs of version %u", sb->version);
	if (sb->version == 4 && (!(sb->version_bits & VERSION_DIRV2) || sb->version_bits & VERSION_SHARED || sb->features2 & ~FEATURES2_KNOWN))
		return err_set(e, ERR_UNSUPPORTED, 0, "xfs with unknown features (versionnum 0x%x, features2 0x%x)", sb->version_bits, sb->features2);
	if (incompat || ro_compat || log_incompat)
		return err_set(e, ERR_UNSUPPORTED, 0, "xfs with unknown features (incompat 0x%x, ro_compat 0x%x, log_incompat 0x%x)", incompat,
			ro_compat, log_incompat);
	return 0;
}

static bool is_log2(uint32_t size, unsigned log, unsigned min, unsigned max)
{
	return log >= min && log <= max && size == 1U << log;
}

static int check_units(const struct xfs_super *sb, struct err *e)
{
	if (!is_log2(sb->block_size, sb->block_log, 9, 16))
		return err_set(e, ERR_CORRUPT, 0, "xfs block size %u, 2^%u", sb->block_size, sb->block_log);
	if (!is_log2(sb->sector_size, sb->sector_log, 9, 15) || sb->sector_size > sb->block_size)
		return err_set(e, ERR_CORRUPT, 0, "xfs sector size %u, 2^%u", sb->sector_size, sb->sector_log);
	if (!is_log2(sb->inode_size, sb->inode_log, sb->has_crc ? 9 : 8, 11) || sb->inode_size > sb->block_size ||
		sb->inopb_log + sb->inode_log != sb->block_log || sb->inopb != 1U << sb->inopb_log)
		return err_set(e, ERR_CORRUPT, 0, "xfs inode size %u, 2^%u, %u in a block", sb->inode_size, sb->inode_log, sb->inopb);
	return 0;
}

static int check_groups(const struct xfs_super *sb, uint64_t src_size, struct err *e)
{
	unsigned long long nr = sb->nr_blocks;

	if (nr > src_size >> sb->block_log)
		return err_set(e, ERR_CORRUPT, 0, "xfs of %llu blocks in a volume of %llu", nr, (unsigned long long)(src_size >> sb->block_log));
	if (sb->ag_blocks < MIN_AG_BLOCKS || !sb->nr_ags || sb->agblk_log > 31 || sb->ag_blocks > 1U << sb->agblk_log ||
		sb->ag_blocks <= 1U << sb->agblk_log >> 1)
		return err_set(e, ERR_CORRUPT, 0, "xfs has %u groups of %u blocks, 2^%u", sb->nr_ags, sb->ag_blocks, sb->agblk_log);
	if (sb->nr_ags > MAX_AGS)
		return err_set(e, ERR_UNSUPPORTED, 0, "xfs with %u allocation groups", sb->nr_ags);
	uint64_t before_last = (uint64_t)(sb->nr_ags - 1) * sb->ag_blocks;
	if (nr < before_last + MIN_AG_BLOCKS || nr > before_last + sb->ag_blocks)
		return err_set(e, ERR_CORRUPT, 0, "xfs of %llu blocks in %u groups of %u", nr, sb->nr_ags, sb->ag_blocks);
	if (sb->nr_ags > 1 && (uint64_t)sb->ag_blocks << sb->block_log < MIN_AG_BYTES)
		return err_set(e, ERR_CORRUPT, 0, "xfs groups of only %u blocks", sb->ag_blocks);
	return 0;
}

static int check_log(const struct xfs_super *sb, struct err *e)
{
	uint64_t bytes = (uint64_t)sb->log_blocks << sb->block_log;

	if (!sb->log_start)
		return 0;
	if (bytes < MIN_LOG_BLOCKS * XFS_BB || bytes > MAX_LOG_BYTES || !xfs_is_inside(sb, sb->log_start, sb->log_blocks))
		return err_set(e, ERR_CORRUPT, 0, "xfs log of %u blocks at %llu", sb->log_blocks, (unsigned long long)sb->log_start);
	return 0;
}

int xfs_super_check(const struct xfs_super *sb, uint64_t src_size, struct err *e)
{
	if (check_features(sb, e) < 0 || check_units(sb, e) < 0 || check_groups(sb, src_size, e) < 0)
		return -1;
	return check_log(sb, e);
}

uint32_t xfs_ag_length(const struct xfs_super *sb, uint32_t agno)
{
	return agno + 1 < sb->nr_ags ? sb->ag_blocks : (uint32_t)(sb->nr_blocks - (uint64_t)agno * sb->ag_blocks);
}

uint32_t xfs_head_blocks(const struct xfs_super *sb)
{
	return (uint32_t)ceil_div_u64(4ULL * sb->sector_size, sb->block_size);
}

bool xfs_is_inside(const struct xfs_super *sb, uint64_t fsblock, uint64_t nr)
{
	uint64_t agno = xfs_ag_of(sb, fsblock), agblock = xfs_agblock_of(sb, fsblock);

	return agno < sb->nr_ags && agblock >= xfs_head_blocks(sb) && range_inside(agblock, nr, xfs_ag_length(sb, (uint32_t)agno));
}

uint64_t xfs_byte_of(const struct xfs_super *sb, uint64_t fsblock)
{
	return (xfs_ag_of(sb, fsblock) * sb->ag_blocks + xfs_agblock_of(sb, fsblock)) * sb->block_size;
}
