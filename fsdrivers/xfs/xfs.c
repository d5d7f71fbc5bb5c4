/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * XFS: the driver's table, opening, and the map.
 *
 * An own parser, because every byte is hostile here and nothing may ever be written. Reading order: super.c (superblock and arithmetic),
 * log.c and state.c (safe to copy?), ag.c (headers of the allocation groups), btree.c (trees), free.c and space.c (what is free), claims.c and
 * inode.c (is that believable?).
 *
 * Used is what is not free: headers, trees, inodes, files, and the log, which is copied as it is: it is numbered on by the next mount.
 */
#include "fsdrivers/xfs/xfs.h"

#include "fsdrivers/signature.h"

#include <stdio.h>

#define MAX_GRANULE 4096U
#define MAX_SECTOR  32768U
#define SUPER_CRC   224U

static int xfs_probe(struct blk_source *src, struct err *e)
{
	uint8_t magic[4];

	if (src->size < XFS_SUPER_SIZE)
		return 0;
	if (blk_read(src, 0, magic, sizeof(magic), e) < 0)
		return err_wrap(e, "looking for an xfs superblock");
	return !memcmp(magic, "XFSB", 4);
}

static int read_super(struct xfs_volume *v, struct err *e)
{
	AUTO_FREE uint8_t *raw = alloc_array(1, MAX_SECTOR);
	const struct xfs_super *sb = &v->sb;

	if (!raw)
		return err_nomem(e, "an xfs superblock");
	if (v->src->size < XFS_SUPER_SIZE || blk_read(v->src, 0, raw, XFS_SUPER_SIZE, e) < 0)
		return v->src->size < XFS_SUPER_SIZE ? err_set(e, ERR_CORRUPT, 0, "too small for xfs") : err_wrap(e, "reading the xfs superblock");
	if (!xfs_super_decode(raw, &v->sb))
		return err_set(e, ERR_UNSUPPORTED, 0, "'%s' is not an xfs file system", blk_name(v->src));
	if (xfs_super_check(sb, v->src->size, e) < 0)
		return -1;
	if (blk_read(v->src, 0, raw, sb->sector_size, e) < 0)
		return err_wrap(e, "reading the xfs superblock");
	if (sb->has_crc && !xfs_crc_good(&v->crc, raw, sb->sector_size, SUPER_CRC))
		return err_set(e, ERR_CORRUPT, 0, "the xfs superblock has a wrong checksum");
	return 0;
}

static void describe(struct xfs_volume *v)
{
	const struct xfs_super *sb = &v->sb;
	struct fsd_info *i = &v->base.info;
	const uint8_t *u = sb->uuid;

	snprintf(i->type, sizeof(i->type), "xfs");
	snprintf(i->label, sizeof(i->label), "%s", sb->label);
	snprintf(i->uuid, sizeof(i->uuid), "%02x%02x%02x%02x-%02x%02x-%02x%02x-%02x%02x-%02x%02x%02x%02x%02x%02x", u[0], u[1], u[2], u[3], u[4], u[5],
		u[6], u[7], u[8], u[9], u[10], u[11], u[12], u[13], u[14], u[15]);
	i->size = sb->nr_blocks * sb->block_size;
	i->block_size = sb->block_size;
	i->sector_size = sb->sector_size;
	i->granule = (uint32_t)min_u64(sb->block_size, MAX_GRANULE);
	i->used_bytes = (sb->nr_blocks - min_u64(sb->nr_free_blocks, sb->nr_blocks)) * sb->block_size;
}

/* What is not clean is not captured by its trees, so they are not looked at. */
int xfs_read(struct xfs_volume *v, struct err *e)
{
	struct fsd_info *i = &v->base.info;

	crc32c_init(&v->crc);
	if (read_super(v, e) < 0)
		return -1;
	describe(v);
	if (xfs_judge(v, e) < 0)
		return -1;
	if (i->state != FSD_CLEAN)
		return 0;
	if (xfs_ags_read(v, e) < 0)
		return -1;
	/* The superblock's own counter leaves blocks out that are set aside. */
	i->used_bytes = i->size;
	for (uint32_t a = 0; a < v->sb.nr_ags; a++)
		i->used_bytes -= (uint64_t)v->ags[a].nr_free * v->sb.block_size;
	return 0;
}

static void xfs_close(struct fsd_volume *volume)
{
	struct xfs_volume *v = (struct xfs_volume *)volume;

	if (!v)
		return;
	free(v->ags);
	free(v);
}

static int xfs_open(const struct blk_set *set, struct fsd_volume **ret, struct err *e)
{
	if (set->nr != 1)
		return err_set(e, ERR_UNSUPPORTED, 0, "an xfs file system over %zu devices", set->nr);
	struct xfs_volume *v = alloc_array(1, sizeof(*v));
	if (!v)
		return err_nomem(e, "an xfs volume");
	v->base.driver = &fsd_xfs;
	v->base.set = *set;
	v->src = set->members[0];
	if (xfs_read(v, e) < 0 || fsd_signature_check(v->src, "xfs", NULL, e) < 0) {
		xfs_close(&v->base);
		return -1;
	}
	*ret = &v->base;
	return 0;
}

/* Everything between the free extents of a group */
static int emit_group(struct xfs_volume *v, uint32_t agno, fsd_extent_fn emit, void *arg, struct err *e)
{
	const struct xfs_super *sb = &v->sb;
	uint64_t start = (uint64_t)agno * sb->ag_blocks * sb->block_size;
	uint32_t nr = xfs_ag_length(sb, agno), end = 0;
	struct xfs_extent x;

	while (end < nr) {
		if (!xfs_space_next(&v->spaces[agno], end, &x))
			x = (struct xfs_extent){ nr, 0 };
		if (x.start > end && emit(arg, 0, start + (uint64_t)end * sb->block_size, (uint64_t)(x.start - end) * sb->block_size, EXT_USED, e) < 0)
			return -1;
		end = x.start + x.nr;
	}
	return 0;
}

static int map_groups(struct xfs_volume *v, fsd_extent_fn emit, void *arg, struct err *e)
{
	if (xfs_log_check(v, e) < 0 || xfs_free_read(v, e) < 0 || xfs_claims_check(v, e) < 0)
		return -1;
	for (uint32_t i = 0; i < v->sb.nr_ags; i++)
		if (emit_group(v, i, emit, arg, e) < 0)
			return -1;
	return 0;
}

static int xfs_map(struct fsd_volume *volume, fsd_extent_fn emit, void *arg, struct err *e)
{
	struct xfs_volume *v = (struct xfs_volume *)volume;

	if (!v->ags)
		return emit(arg, 0, 0, v->base.info.size, EXT_USED, e);
	v->spaces = alloc_array(v->sb.nr_ags, sizeof(*v->spaces));
	if (!v->spaces)
		return err_nomem(e, "xfs free space");
	int r = map_groups(v, emit, arg, e);
	for (uint32_t i = 0; i < v->sb.nr_ags; i++)
		xfs_space_release(&v->spaces[i]);
	free(v->spaces);
	v->spaces = NULL;
	return r;
}

/*
 * The first superblock alone: the kernel, libblkid and boot loaders look at no other. xfs_repair can rebuild it from the copies of the other
 * groups, but only when a person calls it; nothing does so by itself, as fsck.xfs(8) does nothing. With many groups the
 * copies are thousands of places all over the disk.
 */
static int xfs_arm_ranges(struct fsd_volume *volume, fsd_range_fn emit, void *arg, struct err *e)
{
	struct xfs_volume *v = (struct xfs_volume *)volume;

	return emit(arg, 0, 0, max_u64(v->sb.sector_size, v->src->sector_size), e);
}

const struct fsd_driver fsd_xfs = {
	.name = "xfs",
	.summary = "XFS",
	.probe = xfs_probe,
	.open = xfs_open,
	.map = xfs_map,
	.arm_ranges = xfs_arm_ranges,
	.close = xfs_close,
};
