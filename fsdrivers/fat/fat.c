/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * FAT12, FAT16 and FAT32. Used is everything up to the data area, and every cluster whose table entry is not zero;
 * clusters marked bad are left out, because they are bad on this disk and not on the next.
 *
 * The table is read by open(), not by map(): what is worth a notice (bad clusters, copies that differ) and the used
 * bytes are known only then.
 */
#include "fsdrivers/fsdriver.h"

#include "base/arith.h"
#include "fsdrivers/fat/fat.h"
#include "fsdrivers/label.h"
#include "fsdrivers/signature.h"

#include <stdio.h>
#include <string.h>

#define MIN_GRANULE 512U
#define MAX_GRANULE 4096U
#define STATE_DIRTY 0x01 /* Linux fs/fat/inode.c, fat_set_state(); Windows the same */
#define STATE_ERROR 0x02 /* Windows: look for bad sectors at the next start */

struct fat_volume {
	struct fsd_volume base;
	struct fat_layout l;
	struct fat_table t;
};

static int read_boot(struct blk_source *src, uint8_t boot[FAT_BOOT_SIZE], struct err *e)
{
	if (src->size < FAT_BOOT_SIZE)
		return 0;
	if (blk_read(src, 0, boot, FAT_BOOT_SIZE, e) < 0)
		return err_wrap(e, "looking for a FAT boot sector");
	struct span s = span_of(boot, FAT_BOOT_SIZE);
	return fat_is_boot_sector(&s, src->size);
}

static int fat_probe(struct blk_source *src, struct err *e)
{
	uint8_t boot[FAT_BOOT_SIZE];

	return read_boot(src, boot, e);
}

/*
 * The largest power of two that divides every boundary map() emits, and the end of the file system, where the used rest
 * of the volume begins.
 */
static uint32_t find_granule(const struct fat_layout *l, uint64_t volume_size)
{
	uint64_t all = l->data_start | l->cluster_size | (l->size < volume_size ? l->size : 0);
	uint32_t granule = MAX_GRANULE;

	while (granule > MIN_GRANULE && all % granule)
		granule /= 2;
	return granule;
}

static void describe_state(struct fat_volume *v)
{
	struct fsd_info *info = &v->base.info;
	/* fatgen103, "FAT Volume Initialization": ClnShutBitMask, HrdErrBitMask of entry 1; FAT12 has neither */
	unsigned top = v->l.bits == 32 ? 27 : 15;
	bool has_bits = v->l.bits != 12;
	bool is_dirty = (v->l.state & STATE_DIRTY) || (has_bits && !(v->t.mark >> top & 1));
	bool has_errors = (v->l.state & STATE_ERROR) || (has_bits && !(v->t.mark >> (top - 1) & 1));

	if (!is_dirty && !has_errors) {
		snprintf(info->detail, sizeof(info->detail), "FAT%u, %u clusters of %u bytes", v->l.bits, v->l.nr_clusters,
			v->l.cluster_size);
		return;
	}
	info->state = FSD_DAMAGED;
	snprintf(info->reason, sizeof(info->reason), "%s", has_errors ? "errors" : "dirty");
	snprintf(info->detail, sizeof(info->detail), has_errors ? "FAT%u: the disk had read or write errors when it was last used"
								: "FAT%u: not unmounted cleanly", v->l.bits);
	/* fsck.fat 4.2 takes away the dirty mark and leaves the other, which asks for a search for bad sectors. */
	snprintf(info->advice, sizeof(info->advice), has_errors ? "run chkdsk /r on it in Windows, which looks for bad sectors (fsck.fat leaves the mark)"
								: "run fsck.fat -a " FSD_DEVICE);
}

static void describe_table(struct fat_volume *v)
{
	char *notice = v->base.info.notice;
	size_t room = sizeof(v->base.info.notice), used = 0;

	if (v->t.nr_bad)
		used += (size_t)snprintf(notice, room, "%u clusters marked bad were left out", v->t.nr_bad);
	if (v->t.nr_different)
		used += (size_t)snprintf(notice + used, room - used,
			"%sthe copies of the FAT differ in %u entries: what either uses is copied", used ? "; " : "",
			v->t.nr_different);
	if (v->t.has_unreadable)
		snprintf(notice + used, room - used, "%sone copy of the FAT is partly unreadable", used ? "; " : "");
}

static int describe(struct fat_volume *v, struct err *e)
{
	struct blk_source *src = v->base.set.members[0];
	struct fsd_info *info = &v->base.info;
	uint8_t label[11];

	int has_label = fat_read_label(src, &v->l, label, e);
	if (has_label < 0)
		return -1;
	fsd_label_copy(info->label, sizeof(info->label), has_label ? label : v->l.boot_label, sizeof(label));
	snprintf(info->type, sizeof(info->type), "vfat");
	if (v->l.has_serial)
		snprintf(info->uuid, sizeof(info->uuid), "%04X-%04X", v->l.serial >> 16, v->l.serial & 0xffff);
	info->size = v->l.size;
	info->block_size = v->l.cluster_size;
	info->sector_size = v->l.sector_size;
	info->granule = find_granule(&v->l, src->size);
	info->used_bytes = v->l.data_start + fsd_bits_count(&v->t.used) * v->l.cluster_size;
	describe_state(v);
	describe_table(v);
	return 0;
}

static int fill(struct fat_volume *v, struct err *e)
{
	struct blk_source *src = v->base.set.members[0];
	uint8_t boot[FAT_BOOT_SIZE];

	int mine = read_boot(src, boot, e);
	if (mine < 0)
		return -1;
	if (!mine)
		return err_set(e, ERR_UNSUPPORTED, 0, "'%s' is not a FAT file system", blk_name(src));
	struct span s = span_of(boot, sizeof(boot));
	if (fat_read_layout(&s, src->size, &v->l, e) < 0 || fat_table_read(src, &v->l, &v->t, e) < 0)
		return -1;
	if (v->l.bits == 32 && !fsd_bits_has(&v->t.used, v->l.root_cluster - FAT_FIRST_CLUSTER))
		return err_set(e, ERR_CORRUPT, 0, "the FAT root directory lies in a free cluster (%u)", v->l.root_cluster);
	if (fsd_signature_check(src, "vfat", NULL, e) < 0)
		return -1;
	return describe(v, e);
}

static void fat_close(struct fsd_volume *volume)
{
	struct fat_volume *v = (struct fat_volume *)volume;

	if (v)
		fat_table_release(&v->t);
	free(v);
}

static int fat_open(const struct blk_set *set, struct fsd_volume **ret, struct err *e)
{
	if (set->nr != 1)
		return err_set(e, ERR_UNSUPPORTED, 0, "a FAT file system over %zu devices", set->nr);
	struct fat_volume *v = alloc_array(1, sizeof(*v));
	if (!v)
		return err_nomem(e, blk_name(set->members[0]));
	v->base.driver = &fsd_fat;
	v->base.set = *set;
	if (fill(v, e) < 0) {
		fat_close(&v->base);
		return -1;
	}
	*ret = &v->base;
	return 0;
}

/* The sectors behind the last whole cluster belong to no file and cannot: they are unused. */
static int fat_map(struct fsd_volume *volume, fsd_extent_fn emit, void *arg, struct err *e)
{
	struct fat_volume *v = (struct fat_volume *)volume;

	if (emit(arg, 0, 0, v->l.data_start, EXT_USED, e) < 0)
		return -1;
	return fsd_bits_emit(&v->t.used, v->l.data_start, v->l.cluster_size, emit, arg, e);
}

/* The boot sector and FAT32's backup of it, widened to the sectors of the device. */
static int fat_arm_ranges(struct fsd_volume *volume, fsd_range_fn emit, void *arg, struct err *e)
{
	struct fat_volume *v = (struct fat_volume *)volume;
	uint64_t sector = max_u64(v->l.sector_size, v->base.set.members[0]->sector_size);
	uint64_t backup = v->l.backup_boot / sector * sector;

	if (emit(arg, 0, 0, sector, e) < 0)
		return -1;
	return backup ? emit(arg, 0, backup, sector, e) : 0;
}

const struct fsd_driver fsd_fat = {
	.name = "fat",
	.summary = "FAT12, FAT16 and FAT32",
	.probe = fat_probe,
	.open = fat_open,
	.map = fat_map,
	.arm_ranges = fat_arm_ranges,
	.close = fat_close,
};
