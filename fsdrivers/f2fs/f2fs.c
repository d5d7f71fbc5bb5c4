/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * F2FS. Used are
 *
 * - everything in front of the first segment: superblocks, a boot sector, and a gap that no structure covers;
 * - the checkpoint pack that counts, and the ends of the other: it is never looked at again, but what would stand in its place on another
 *   disk might be newer;
 * - of SIT and NAT the copies that the checkpoint selects. The others are overwritten whole before they are selected;
 * - of the SSA what belongs to segments with valid blocks: of others it is written anew before it is read;
 * - the valid blocks of the main area;
 * - the block behind the current segment of warm nodes. Every mounter looks there for nodes that were written after the checkpoint, also
 *   when it was unmounted, and knows them by the checkpoint's version and checksum. A copy over an older life of the same file system would
 *   find such nodes; so it gets what the source has there, which ends the search.
 *
 * That is true when the checkpoint was written by unmounting. Else files that were synced by fsync() are in blocks that no SIT knows.
 * Orphans (deleted, but open) do not matter: their blocks are valid, and the next mounter deletes them.
 */
#include "fsdrivers/fsdriver.h"

#include "base/arith.h"
#include "fsdrivers/f2fs/f2fs.h"
#include "fsdrivers/label.h"
#include "fsdrivers/signature.h"

#include <stdio.h>
#include <string.h>

#define GRANULE   4096U
#define SSA_BLOCK 4096U

/* The second superblock alone does not count: it survives behind what another mkfs made of the volume. */
static int f2fs_probe(struct blk_source *src, struct err *e)
{
	uint8_t sector[512];

	if (src->size < F2FS_SUPER_OFFSET + F2FS_SUPER_SIZE)
		return 0;
	if (blk_read(src, F2FS_SUPER_OFFSET, sector, sizeof(sector), e) < 0)
		return err_wrap(e, "looking for an F2FS superblock");
	return f2fs_is_super(sector);
}

static void set_state(struct fsd_info *info, enum fsd_state state, const char *reason, const char *detail, const char *advice)
{
	info->state = state;
	snprintf(info->reason, sizeof(info->reason), "%s", reason);
	snprintf(info->detail, sizeof(info->detail), "%s", detail);
	snprintf(info->advice, sizeof(info->advice), "%s", advice);
}

static void describe_state(struct f2fs_volume *v)
{
	struct fsd_info *info = &v->base.info;
	uint32_t flags = v->pack->flags;

	if (flags & (F2FS_CP_ERROR | F2FS_CP_FSCK))
		set_state(info, FSD_DAMAGED, "errors", "F2FS: the kernel found errors in it", "run fsck.f2fs -f " FSD_DEVICE);
	else if (flags & F2FS_CP_RESIZE)
		set_state(info, FSD_DAMAGED, "errors", "F2FS: a change of its size was cut short", "run fsck.f2fs -f " FSD_DEVICE);
	else if (flags & F2FS_CP_DISABLED)
		set_state(info, FSD_REPLAYABLE, "dirty", "F2FS: it was mounted without checkpoints (checkpoint=disable)",
			"mount " FSD_DEVICE " with checkpoint=enable, and unmount it");
	else if (!(flags & F2FS_CP_UMOUNT))
		set_state(info, FSD_REPLAYABLE, "dirty", "F2FS: not unmounted cleanly; what was written since the last checkpoint must be recovered",
			"mount " FSD_DEVICE " and unmount it, which recovers it");
	else
		snprintf(info->detail, sizeof(info->detail), "F2FS, %u segments of %u KiB", v->sb.segs_main,
			v->sb.block_size / 1024 * F2FS_SEG_BLOCKS);
	if (v->sb.is_second)
		snprintf(info->notice, sizeof(info->notice), "the first F2FS superblock is damaged, the second counts");
	else if (v->sb.has_errors || flags & F2FS_CP_QUOTA_FSCK)
		snprintf(info->notice, sizeof(info->notice), "the kernel noted errors in this F2FS: fsck.f2fs should look at it");
}

static uint64_t count_used(const struct f2fs_volume *v)
{
	uint64_t blocks = v->sb.seg0 + v->pack->total + v->sit.nr_blocks + v->nat.nr_blocks;

	return (blocks + v->nr_valid) * v->sb.block_size;
}

static void describe(struct f2fs_volume *v)
{
	struct fsd_info *info = &v->base.info;
	const uint8_t *u = v->sb.uuid;

	snprintf(info->type, sizeof(info->type), "f2fs");
	fsd_label_copy(info->label, sizeof(info->label), v->sb.label, sizeof(v->sb.label));
	snprintf(info->uuid, sizeof(info->uuid), "%02x%02x%02x%02x-%02x%02x-%02x%02x-%02x%02x-%02x%02x%02x%02x%02x%02x", u[0], u[1], u[2],
		u[3], u[4], u[5], u[6], u[7], u[8], u[9], u[10], u[11], u[12], u[13], u[14], u[15]);
	info->size = v->sb.nr_blocks * v->sb.block_size;
	info->block_size = v->sb.block_size;
	info->granule = GRANULE;
	if (v->sb.nr_devices > 1) {
		info->used_bytes = info->size;
		set_state(info, FSD_SET_MEMBER, "set-member", "",
			"copy what is in it as files, or take each of its devices whole with --raw");
		snprintf(info->detail, sizeof(info->detail), "F2FS over %u devices, of which this is the first; when it was made the others were %s",
			v->sb.nr_devices, v->sb.others);
		return;
	}
	info->used_bytes = count_used(v);
	describe_state(v);
}

static int fill(struct f2fs_volume *v, struct err *e)
{
	int mine = f2fs_probe(v->src, e);

	if (mine < 0)
		return -1;
	if (!mine)
		return err_set(e, ERR_UNSUPPORTED, 0, "'%s' is not an F2FS file system", blk_name(v->src));
	if (f2fs_read_super(v->src, &v->sb, e) < 0 || (v->sb.nr_devices == 1 && f2fs_read_checkpoint(v, e) < 0))
		return -1;
	if (fsd_signature_check(v->src, "f2fs", NULL, e) < 0)
		return -1;
	describe(v);
	return 0;
}

static void f2fs_close(struct fsd_volume *volume)
{
	struct f2fs_volume *v = (struct f2fs_volume *)volume;

	if (!v)
		return;
	free(v->cp);
	free(v->journals);
	free(v);
}

static int f2fs_open(const struct blk_set *set, struct fsd_volume **ret, struct err *e)
{
	if (set->nr != 1)
		return err_set(e, ERR_UNSUPPORTED, 0, "an F2FS file system over %zu devices", set->nr);
	struct f2fs_volume *v = alloc_array(1, sizeof(*v));
	if (!v)
		return err_nomem(e, blk_name(set->members[0]));
	v->base.driver = &fsd_f2fs;
	v->base.set = *set;
	v->src = set->members[0];
	if (fill(v, e) < 0) {
		f2fs_close(&v->base);
		return -1;
	}
	*ret = &v->base;
	return 0;
}

struct emitter {
	const struct f2fs_volume *v;
	fsd_extent_fn emit;
	void *arg;
};

static int emit_blocks(const struct emitter *m, uint64_t start, uint64_t nr, struct err *e)
{
	uint32_t size = m->v->sb.block_size;

	return nr ? m->emit(m->arg, 0, start * size, nr * size, EXT_USED, e) : 0;
}

/*
 * Of the pack that does not count its ends are enough to say so; mkfs writes no more of it. Of one that is not valid nobody knows what a
 * mounter must find to come to the same conclusion.
 */
static int map_pack(const struct emitter *m, const struct f2fs_pack *p, struct err *e)
{
	const struct f2fs_super *sb = &m->v->sb;
	/* Two bits for each block of the NAT, behind 8 bytes, fill the last blocks of the segment. */
	uint64_t nat_bits = ceil_div_u64((uint64_t)(sb->segs_nat / 2) * (F2FS_SEG_BLOCKS / 8) * 2 + 8, sb->block_size);

	if (!p->is_valid)
		return emit_blocks(m, p->start, F2FS_SEG_BLOCKS, e);
	if (p != m->v->pack)
		return emit_blocks(m, p->start, 1, e) < 0 ? -1 : emit_blocks(m, p->start + p->total - 1, 1, e);
	if (emit_blocks(m, p->start, p->total, e) < 0)
		return -1;
	if (!(p->flags & F2FS_CP_NAT_BITS) || nat_bits > F2FS_SEG_BLOCKS)
		return 0;
	return emit_blocks(m, p->start + F2FS_SEG_BLOCKS - nat_bits, nat_bits, e);
}

static int map_packs(const struct emitter *m, struct err *e)
{
	return map_pack(m, &m->v->packs[0], e) < 0 ? -1 : map_pack(m, &m->v->packs[1], e);
}

static int map_table(const struct emitter *m, const struct f2fs_table *t, struct err *e)
{
	for (uint32_t i = 0, nr; i < t->nr_blocks; i += nr) {
		uint32_t place = f2fs_table_run(t, i, &nr);
		if (emit_blocks(m, place, nr, e) < 0)
			return -1;
	}
	return 0;
}

/* One block for each segment; with larger blocks there are several layouts, so all of it is taken. */
static int map_ssa(const struct emitter *m, const struct f2fs_bits *valid, struct err *e)
{
	const struct f2fs_super *sb = &m->v->sb;
	uint64_t at = 0;

	if (sb->block_size != SSA_BLOCK)
		return emit_blocks(m, sb->ssa, sb->main - sb->ssa, e);
	while (sb->ssa < sb->main && (at = f2fs_bits_find(valid, at, true)) < valid->nr) {
		uint64_t segno = at / F2FS_SEG_BLOCKS;
		if (emit_blocks(m, sb->ssa + segno, 1, e) < 0)
			return -1;
		at = (segno + 1) * F2FS_SEG_BLOCKS;
	}
	return 0;
}

static int map_main(const struct emitter *m, const struct f2fs_bits *valid, struct err *e)
{
	const struct f2fs_super *sb = &m->v->sb;
	uint64_t start, end = 0, last = sb->main + valid->nr;

	while ((start = f2fs_bits_find(valid, end, true)) < valid->nr) {
		end = f2fs_bits_find(valid, start, false);
		if (emit_blocks(m, sb->main + start, end - start, e) < 0)
			return -1;
	}
	if (m->v->next_node && emit_blocks(m, m->v->next_node, 1, e) < 0)
		return -1;
	/* Less than a section at the end is not enough for one; more than that is room for something unknown. */
	return sb->nr_blocks - last >= (uint64_t)sb->segs_per_section * F2FS_SEG_BLOCKS ? emit_blocks(m, last, sb->nr_blocks - last, e) : 0;
}

static int map_all(const struct emitter *m, const struct f2fs_bits *valid, struct err *e)
{
	const struct f2fs_volume *v = m->v;

	if (f2fs_check_claims(v, valid, e) < 0 || emit_blocks(m, 0, v->sb.seg0, e) < 0 || map_packs(m, e) < 0)
		return -1;
	if (map_table(m, &v->sit, e) < 0 || map_table(m, &v->nat, e) < 0 || map_ssa(m, valid, e) < 0)
		return -1;
	return map_main(m, valid, e);
}

static int f2fs_map(struct fsd_volume *volume, fsd_extent_fn emit, void *arg, struct err *e)
{
	struct f2fs_volume *v = (struct f2fs_volume *)volume;
	const struct emitter m = { .v = v, .emit = emit, .arg = arg };
	struct f2fs_bits valid;

	if (v->sb.nr_devices > 1)
		return emit_blocks(&m, 0, v->sb.nr_blocks, e);
	if (f2fs_read_valid(v, &valid, e) < 0)
		return -1;
	int r = map_all(&m, &valid, e);
	f2fs_bits_release(&valid);
	return r;
}

/* The first two blocks, whole: a sector of the device may be as large as a block. */
static int f2fs_arm_ranges(struct fsd_volume *volume, fsd_range_fn emit, void *arg, struct err *e)
{
	struct f2fs_volume *v = (struct f2fs_volume *)volume;

	return emit(arg, 0, 0, 2ULL * v->sb.block_size, e);
}

const struct fsd_driver fsd_f2fs = {
	.name = "f2fs",
	.summary = "F2FS",
	.probe = f2fs_probe,
	.open = f2fs_open,
	.map = f2fs_map,
	.arm_ranges = f2fs_arm_ranges,
	.close = f2fs_close,
};
