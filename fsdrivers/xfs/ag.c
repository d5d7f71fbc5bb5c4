/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The headers of the allocation groups (XFS docs, "AG Free Space Block", "AG Inode Management", "AG Free List"): one sector each behind
 * the group's superblock.
 */
#include "fsdrivers/xfs/xfs.h"

#include <string.h>

#define MAX_SECTOR 32768U

static const struct header {
	const char *name;
	uint32_t magic;
	uint32_t uuid_off, lsn_off, crc_off; /* of version 5 */
	bool has_v4_magic;
} headers[] = {
	[1] = { "AGF", 0x58414746U, 64, 208, 216, true },
	[2] = { "AGI", 0x58414749U, 296, 320, 312, true },
	[3] = { "AGFL", 0x5841464CU, 8, 24, 32, false },
};

/* Magic, group number, uuid, checksum: what all headers have in common. */
static int check_header(struct xfs_volume *v, const struct header *h, uint32_t agno, const uint8_t *buf, struct err *e)
{
	const struct xfs_super *sb = &v->sb;
	bool is_good = true;

	if (sb->has_crc || h->has_v4_magic)
		is_good = get_be32(buf) == h->magic && get_be32(buf + (h->has_v4_magic ? 8 : 4)) == agno;
	if (!is_good)
		return err_set(e, ERR_CORRUPT, 0, "the %s of xfs group %u is damaged", h->name, agno);
	if (sb->has_crc && memcmp(buf + h->uuid_off, sb->meta_uuid, 16) != 0)
		return err_set(e, ERR_CORRUPT, 0, "the %s of xfs group %u belongs to another file system", h->name, agno);
	if (sb->has_crc && !xfs_crc_good(&v->crc, buf, sb->sector_size, h->crc_off))
		return err_set(e, ERR_CORRUPT, 0, "the %s of xfs group %u has a wrong checksum", h->name, agno);
	if (sb->has_crc && !xfs_lsn_is_possible(v, get_be64(buf + h->lsn_off)))
		return err_set(e, ERR_CORRUPT, 0, "the %s of xfs group %u is newer than the log", h->name, agno);
	return 0;
}

int xfs_ag_sector(struct xfs_volume *v, uint32_t agno, uint32_t nr, uint8_t *buf, struct err *e)
{
	const struct xfs_super *sb = &v->sb;

	if (blk_read(v->src, (uint64_t)agno * sb->ag_blocks * sb->block_size + (uint64_t)nr * sb->sector_size, buf, sb->sector_size, e) < 0)
		return err_wrap(e, "reading the %s of xfs group %u", headers[nr].name, agno);
	return check_header(v, &headers[nr], agno, buf, e);
}

static bool is_root(const struct xfs_super *sb, uint32_t agno, const struct xfs_root *r)
{
	return r->levels && r->levels <= XFS_MAX_LEVELS && xfs_is_inside(sb, xfs_fsblock(sb, agno, r->block), 1);
}

static int read_agf(struct xfs_volume *v, uint32_t agno, uint8_t *buf, struct err *e)
{
	const struct xfs_super *sb = &v->sb;
	struct xfs_ag *a = &v->ags[agno];

	if (xfs_ag_sector(v, agno, 1, buf, e) < 0)
		return -1;
	a->nr_blocks = xfs_ag_length(sb, agno);
	if (get_be32(buf + 4) != 1 || get_be32(buf + 12) != a->nr_blocks)
		return err_set(e, ERR_CORRUPT, 0, "xfs group %u of version %u with %u blocks instead of %u", agno, get_be32(buf + 4),
			get_be32(buf + 12), a->nr_blocks);
	a->bno = (struct xfs_root){ get_be32(buf + 16), get_be32(buf + 28) };
	a->cnt = (struct xfs_root){ get_be32(buf + 20), get_be32(buf + 32) };
	if (sb->ro_compat & XFS_RO_RMAPBT)
		a->rmap = (struct xfs_root){ get_be32(buf + 24), get_be32(buf + 36) };
	if (sb->ro_compat & XFS_RO_REFLINK)
		a->refcount = (struct xfs_root){ get_be32(buf + 88), get_be32(buf + 92) };
	if (!is_root(sb, agno, &a->bno) || !is_root(sb, agno, &a->cnt) || (sb->ro_compat & XFS_RO_RMAPBT && !is_root(sb, agno, &a->rmap)) ||
		(sb->ro_compat & XFS_RO_REFLINK && !is_root(sb, agno, &a->refcount)))
		return err_set(e, ERR_CORRUPT, 0, "the AGF of xfs group %u names roots that cannot be", agno);
	a->fl_first = get_be32(buf + 40);
	a->fl_last = get_be32(buf + 44);
	a->fl_count = get_be32(buf + 48);
	a->nr_free = get_be32(buf + 52);
	a->longest = get_be32(buf + 56);
	if (a->nr_free > a->nr_blocks || a->longest > a->nr_free)
		return err_set(e, ERR_CORRUPT, 0, "xfs group %u counts %u free blocks of %u, %u of them in a row", agno, a->nr_free, a->nr_blocks,
			a->longest);
	return 0;
}

static int read_agi(struct xfs_volume *v, uint32_t agno, uint8_t *buf, struct err *e)
{
	const struct xfs_super *sb = &v->sb;
	struct xfs_ag *a = &v->ags[agno];

	if (xfs_ag_sector(v, agno, 2, buf, e) < 0)
		return -1;
	if (get_be32(buf + 4) != 1 || get_be32(buf + 12) != a->nr_blocks)
		return err_set(e, ERR_CORRUPT, 0, "the AGI of xfs group %u is of version %u, for %u blocks", agno, get_be32(buf + 4), get_be32(buf + 12));
	a->nr_inodes = get_be32(buf + 16);
	a->ino = (struct xfs_root){ get_be32(buf + 20), get_be32(buf + 24) };
	a->nr_free_inodes = get_be32(buf + 28);
	if (sb->ro_compat & XFS_RO_FINOBT)
		a->fino = (struct xfs_root){ get_be32(buf + 328), get_be32(buf + 332) };
	if (!is_root(sb, agno, &a->ino) || (sb->ro_compat & XFS_RO_FINOBT && !is_root(sb, agno, &a->fino)))
		return err_set(e, ERR_CORRUPT, 0, "the AGI of xfs group %u names roots that cannot be", agno);
	return 0;
}

int xfs_ags_read(struct xfs_volume *v, struct err *e)
{
	AUTO_FREE uint8_t *buf = alloc_array(1, MAX_SECTOR);

	v->ags = alloc_array(v->sb.nr_ags, sizeof(*v->ags));
	if (!buf || !v->ags)
		return err_nomem(e, "xfs allocation groups");
	for (uint32_t i = 0; i < v->sb.nr_ags; i++)
		if (read_agf(v, i, buf, e) < 0 || read_agi(v, i, buf, e) < 0)
			return -1;
	return 0;
}
