/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * btrfs: the driver's table, opening, and the ranges that make a mounter accept the volume.
 *
 * Reading order: super.c (superblocks, features), csum.c (the four checksums), chunk.c (logical addresses to places on devices), tree.c (tree
 * blocks), devices.c (which devices there are), state.c (safe to copy?), map.c (what is in use), space.c (do both books agree?), refs.c (is all in use that is pointed to?).
 *
 * A file system may span several devices. Only a whole set has a map: a stripe that stands elsewhere cannot be left out.
 */
#include "fsdrivers/btrfs/btrfs.h"

#include "fsdrivers/label.h"
#include "fsdrivers/signature.h"

#include <stdio.h>
#include <stdlib.h>

#define GRANULE 4096U

static int btrfs_probe(struct blk_source *src, struct err *e)
{
	uint8_t raw[BTRFS_SUPER_SIZE];

	if (src->size < BTRFS_SUPER_OFFSET + BTRFS_SUPER_SIZE)
		return 0;
	if (blk_read(src, BTRFS_SUPER_OFFSET, raw, sizeof(raw), e) < 0)
		return err_wrap(e, "looking for a btrfs superblock");
	return btrfs_super_magic(raw);
}

static int btrfs_member(struct blk_source *src, struct fsd_member *ret, struct err *e)
{
	struct btrfs_csum csum = { 0 };
	struct btrfs_super sb;

	int r = btrfs_super_read(src, &csum, &sb, e);
	btrfs_csum_release(&csum);
	if (r < 0)
		return -1;
	*ret = (struct fsd_member){
		.number = (uint32_t)min_u64(sb.devid, UINT32_MAX), .nr = (uint32_t)min_u64(sb.nr_devices, UINT32_MAX), .version = sb.generation
	};
	btrfs_format_uuid(ret->set, sizeof(ret->set), sb.fsid);
	return 0;
}

static int read_supers(struct btrfs_volume *v, struct err *e)
{
	const struct blk_set *set = &v->base.set;

	v->supers = alloc_array(set->nr, sizeof(*v->supers));
	if (!v->supers)
		return err_nomem(e, "btrfs superblocks");
	for (size_t i = 0; i < set->nr; i++) {
		if (btrfs_super_read(set->members[i], &v->csum, &v->supers[i], e) < 0)
			return -1;
		if (memcmp(v->supers[i].fsid, v->supers[0].fsid, BTRFS_UUID_SIZE) != 0)
			return err_set(e, ERR_UNSUPPORTED, 0, "'%s' and '%s' belong to different btrfs file systems", blk_name(set->members[0]),
				blk_name(set->members[i]));
		if (!v->sb || v->supers[i].generation > v->sb->generation)
			v->sb = &v->supers[i];
	}
	/* The last one read may have had another type; a file system has one. */
	return btrfs_csum_init(&v->csum, v->sb->csum_type, e);
}

static void describe(struct btrfs_volume *v)
{
	struct fsd_info *i = &v->base.info;
	const struct blk_set *set = &v->base.set;

	snprintf(i->type, sizeof(i->type), "btrfs");
	fsd_label_copy(i->label, sizeof(i->label), v->sb->label, sizeof(v->sb->label));
	btrfs_format_uuid(i->uuid, sizeof(i->uuid), v->sb->fsid);
	for (size_t m = 0; m < set->nr; m++)
		i->size += round_down_u64(min_u64(v->supers[m].dev_size, set->members[m]->size), GRANULE);
	i->block_size = v->sb->sector_size;
	i->granule = GRANULE;
	i->used_bytes = v->sb->bytes_used;
}

/* What can be said about a set that is not whole: the chunk tree may be readable, and names those that are missing. */
static void describe_rest(struct btrfs_volume *v)
{
	struct err ignored = ERR_INIT;

	if (btrfs_super_check(v->sb, UINT64_MAX, &ignored) == 0 && btrfs_read_chunk_tree(v, &ignored) == 0)
		btrfs_judge_devices(v);
}

static int check_supers(struct btrfs_volume *v, struct err *e)
{
	for (size_t i = 0; i < v->base.set.nr; i++) {
		if (btrfs_super_check(&v->supers[i], v->base.set.members[i]->size, e) < 0)
			return -1;
		btrfs_super_copies(v, i);
	}
	return 0;
}

static int check_signatures(struct btrfs_volume *v, struct err *e)
{
	if (v->base.info.state != FSD_CLEAN)
		return 0;
	for (size_t i = 0; i < v->base.set.nr; i++)
		if (fsd_signature_check(v->base.set.members[i], "btrfs", NULL, e) < 0)
			return -1;
	return 0;
}

int btrfs_fill(struct btrfs_volume *v, struct err *e)
{
	const struct fsd_info *i = &v->base.info;

	if (read_supers(v, e) < 0)
		return -1;
	describe(v);
	btrfs_judge_set(v);
	if (i->state != FSD_CLEAN) {
		if (!strcmp(i->reason, "set-member"))
			describe_rest(v);
		return 0;
	}
	if (check_supers(v, e) < 0 || btrfs_read_chunk_tree(v, e) < 0)
		return -1;
	btrfs_judge_devices(v);
	if (i->state != FSD_CLEAN)
		return 0;
	if (btrfs_check_devices(v, e) < 0)
		return -1;
	return btrfs_judge(v, e);
}

static void btrfs_close(struct fsd_volume *volume)
{
	struct btrfs_volume *v = (struct btrfs_volume *)volume;

	if (!v)
		return;
	btrfs_csum_release(&v->csum);
	btrfs_chunks_release(&v->chunks);
	free(v->supers);
	free(v->devices);
	free(v->walked);
	free(v->runs);
	free(v);
}

static int btrfs_open(const struct blk_set *set, struct fsd_volume **ret, struct err *e)
{
	struct btrfs_volume *v = alloc_array(1, sizeof(*v));

	if (!v)
		return err_nomem(e, "a btrfs volume");
	v->base.driver = &fsd_btrfs;
	v->base.set = *set;
	if (btrfs_fill(v, e) < 0 || check_signatures(v, e) < 0) {
		btrfs_close(&v->base);
		return -1;
	}
	*ret = &v->base;
	return 0;
}

/* Every place of a superblock: mounters and libblkid take the first, repair tools any. */
static int btrfs_arm_ranges(struct fsd_volume *volume, fsd_range_fn emit, void *arg, struct err *e)
{
	for (size_t i = 0; i < volume->set.nr; i++)
		for (unsigned copy = 0; copy < BTRFS_NR_SUPERS; copy++)
			if (range_inside(btrfs_super_offset(copy), BTRFS_SUPER_SIZE, volume->set.members[i]->size) &&
				emit(arg, i, btrfs_super_offset(copy), BTRFS_SUPER_SIZE, e) < 0)
				return -1;
	return 0;
}

const struct fsd_driver fsd_btrfs = {
	.name = "btrfs",
	.summary = "btrfs, over one device or several",
	.probe = btrfs_probe,
	.open = btrfs_open,
	.map = btrfs_map,
	.arm_ranges = btrfs_arm_ranges,
	.close = btrfs_close,
	.member = btrfs_member,
	.copies = btrfs_copies,
};
