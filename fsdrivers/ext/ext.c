/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * ext2, ext3 and ext4: the driver's table, opening, and the ranges that make a mounter accept the volume.
 *
 * An own parser and not libext2fs, because every byte is hostile here and nothing may ever be written. Reading order:
 * super.c (superblock), layout.c (arithmetic), group.c (descriptors), journal.c and inode.c (the journal's place),
 * state.c (safe to copy?), log.c and replay.c (what the journal would change), swapfile.c
 * (what need not be copied), map.c (used and zero blocks), marks.c and files.c (is all that is in use marked as used?).
 */
#include "fsdrivers/ext/ext.h"

#include "base/span.h"

#include <stdio.h>
#include <string.h>

#define MAX_ARM_BYTES (16U << 20)

int ext_read_blocks(struct ext_volume *v, uint64_t start, uint32_t nr_blocks, void *buf, struct err *e)
{
	uint64_t size = v->sb.block_size;

	return blk_read(v->src, start * size, buf, nr_blocks * size, e);
}

static int ext_probe(struct blk_source *src, struct err *e)
{
	uint8_t magic[2];

	if (src->size < EXT_SUPER_OFFSET + EXT_SUPER_SIZE)
		return 0;
	if (blk_read(src, EXT_SUPER_OFFSET + 0x38, magic, sizeof(magic), e) < 0)
		return -1;
	return magic[0] == (EXT_MAGIC & 0xff) && magic[1] == EXT_MAGIC >> 8;
}

/*
 * The name that libblkid gives it (libblkid/src/superblocks/ext.c): ext2 has no journal, ext3 has one, and neither
 * has a feature that its old driver did not know.
 */
static const char *type_name(const struct ext_super *sb)
{
	uint32_t ro_compat = EXT_RO_SPARSE_SUPER | EXT_RO_LARGE_FILE | EXT_RO_BTREE_DIR;
	uint32_t incompat = EXT_INCOMPAT_FILETYPE | EXT_INCOMPAT_META_BG;
	bool has_journal = sb->compat & EXT_COMPAT_HAS_JOURNAL;

	if (has_journal)
		incompat |= EXT_INCOMPAT_RECOVER;
	if (sb->ro_compat & ~ro_compat || sb->incompat & ~incompat)
		return "ext4";
	return has_journal ? "ext3" : "ext2";
}

static void format_uuid(char *dst, size_t room, const uint8_t u[16])
{
	static const uint8_t nil[16];

	if (!memcmp(u, nil, sizeof(nil)))
		return;
	snprintf(dst, room, "%02x%02x%02x%02x-%02x%02x-%02x%02x-%02x%02x-%02x%02x%02x%02x%02x%02x", u[0], u[1],
		u[2], u[3], u[4], u[5], u[6], u[7], u[8], u[9], u[10], u[11], u[12], u[13], u[14], u[15]);
}

static void fill_info(struct ext_volume *v)
{
	const struct ext_super *sb = &v->sb;
	struct fsd_info *i = &v->base.info;

	snprintf(i->type, sizeof(i->type), "%s", type_name(sb));
	snprintf(i->label, sizeof(i->label), "%s", sb->label);
	format_uuid(i->uuid, sizeof(i->uuid), sb->uuid);
	i->size = sb->nr_blocks * sb->block_size;
	i->block_size = i->sector_size = sb->block_size;
	i->granule = (uint32_t)min_u64(sb->block_size, 4096);
	i->used_bytes = (sb->nr_blocks - min_u64(sb->nr_free_blocks, sb->nr_blocks)) * sb->block_size;
}

static int open_volume(struct ext_volume *v, struct err *e)
{
	uint8_t raw[EXT_SUPER_SIZE];
	uint32_t nr_bad_groups;

	ext_crc_init(&v->crc);
	if (blk_read(v->src, EXT_SUPER_OFFSET, raw, sizeof(raw), e) < 0)
		return err_wrap(e, "reading the ext superblock");
	if (ext_super_decode(&v->crc, raw, &v->sb, e) < 0 || ext_super_check(&v->sb, v->src->size, e) < 0)
		return -1;
	fill_info(v);
	if (ext_groups_read(v, &nr_bad_groups, e) < 0 || ext_journal_read(v, e) < 0)
		return -1;
	return ext_judge(v, nr_bad_groups, e);
}

static void ext_close(struct fsd_volume *fv)
{
	struct ext_volume *v = (struct ext_volume *)fv;

	if (!v)
		return;
	ext_runs_free(&v->journal.body);
	free(v->groups);
	free(v->skips);
	free(v);
}

static int ext_open(const struct blk_set *set, struct fsd_volume **ret, struct err *e)
{
	struct ext_volume *v = alloc_array(1, sizeof(*v));

	if (!v)
		return err_nomem(e, "an ext volume");
	v->base.driver = &fsd_ext;
	v->base.set = *set;
	v->src = set->members[0];
	if (open_volume(v, e) < 0) {
		ext_close(&v->base);
		return -1;
	}
	*ret = &v->base;
	return 0;
}

/* Every superblock copy, in whole sectors, the primary first; the kernel and libblkid take that, e2fsck any. */
static int ext_arm_ranges(struct fsd_volume *fv, fsd_range_fn emit, void *arg, struct err *e)
{
	struct ext_volume *v = (struct ext_volume *)fv;
	const struct ext_super *sb = &v->sb;
	uint32_t sector = v->src->sector_size;
	uint64_t total = 0;

	for (uint32_t g = 0; g < sb->nr_groups; g++) {
		if (!ext_has_super(sb, g))
			continue;
		uint64_t at = g ? ext_super_block(sb, g) * sb->block_size : EXT_SUPER_OFFSET;
		uint64_t start = round_down_u64(at, sector), end = round_up_u64(at + EXT_SUPER_SIZE, sector);
		total += end - start;
		if (total > MAX_ARM_BYTES) /* without sparse_super each group has a copy; the first ones matter */
			break;
		if (emit(arg, 0, start, end - start, e) < 0)
			return -1;
	}
	return 0;
}

const struct fsd_driver fsd_ext = {
	.name = "ext",
	.summary = "ext2, ext3 and ext4",
	.probe = ext_probe,
	.open = ext_open,
	.map = ext_map,
	.arm_ranges = ext_arm_ranges,
	.close = ext_close,
	.replay = ext_replay,
	.volatile_ranges = ext_volatile_ranges,
};
