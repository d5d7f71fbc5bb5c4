/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * exFAT. Used is everything up to the cluster heap, and every cluster whose bit is set in the active allocation bitmap;
 * clusters marked bad are left out, because they are bad on this disk and not on the next.
 *
 * The bitmap is read by open(). That all files lie in clusters which it calls used is checked by map(), as is the FAT
 * for bad clusters: both read more, and what a restore overwrites needs neither. So the notice is complete after map().
 */
#include "fsdrivers/fsdriver.h"

#include "base/arith.h"
#include "fsdrivers/exfat/exfat.h"
#include "fsdrivers/label.h"
#include "fsdrivers/signature.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define MIN_GRANULE 512U
#define MAX_GRANULE 4096U

struct exfat_volume {
	struct fsd_volume base;
	struct exfat_layout l;
	struct exfat_fat fat;
	struct exfat_root root;
	struct fsd_bits used;
	bool is_checked;
};

static int exfat_probe(struct blk_source *src, struct err *e)
{
	uint8_t boot[EXFAT_BOOT_SIZE];

	if (src->size < sizeof(boot))
		return 0;
	if (blk_read(src, 0, boot, sizeof(boot), e) < 0)
		return err_wrap(e, "looking for an exFAT boot sector");
	return exfat_is_boot_sector(boot);
}

/* As for FAT: the largest power of two that divides every boundary map() emits, and the file system's end. */
static uint32_t find_granule(const struct exfat_layout *l, uint64_t volume_size)
{
	uint64_t all = l->heap_start | l->cluster_size | (l->size < volume_size ? l->size : 0);
	uint32_t granule = MAX_GRANULE;

	while (granule > MIN_GRANULE && all % granule)
		granule /= 2;
	return granule;
}

__attribute__((format(printf, 2, 3))) static void add_notice(struct exfat_volume *v, const char *fmt, ...)
{
	char *notice = v->base.info.notice;
	size_t room = sizeof(v->base.info.notice), used = strlen(notice);
	va_list ap;

	if (used)
		used += (size_t)snprintf(notice + used, room - used, "; ");
	if (used >= room)
		return;
	va_start(ap, fmt);
	vsnprintf(notice + used, room - used, fmt, ap);
	va_end(ap);
}

static void describe_state(struct exfat_volume *v)
{
	struct fsd_info *info = &v->base.info;
	const char *detail = v->l.is_from_backup ? "exFAT: the boot region is damaged; its backup is not, but no system mounts that"
						 : "exFAT: not unmounted cleanly";

	if (!v->l.is_dirty && !v->l.is_from_backup) {
		snprintf(info->detail, sizeof(info->detail), v->l.nr_fats == 2 ? "exFAT (TexFAT), %u clusters of %u bytes"
									       : "exFAT, %u clusters of %u bytes",
			v->l.nr_clusters, v->l.cluster_size);
		return;
	}
	info->state = FSD_DAMAGED;
	snprintf(info->reason, sizeof(info->reason), "%s", v->l.is_from_backup ? "errors" : "dirty");
	snprintf(info->detail, sizeof(info->detail), "%s", detail);
	/* fsck.exfat of exfatprogs 1.2 without -y or -p says "clean" and leaves the mark. */
	snprintf(info->advice, sizeof(info->advice), v->l.is_from_backup ? "run fsck.exfat -y " FSD_DEVICE ", which puts the backup in its place"
									 : "run fsck.exfat -y " FSD_DEVICE ", or chkdsk /f in Windows");
}

static void describe(struct exfat_volume *v)
{
	struct fsd_info *info = &v->base.info;

	snprintf(info->type, sizeof(info->type), "exfat");
	fsd_label_copy(info->label, sizeof(info->label), v->root.label, sizeof(v->root.label));
	snprintf(info->uuid, sizeof(info->uuid), "%04X-%04X", v->l.serial >> 16, v->l.serial & 0xffff);
	info->size = v->l.size;
	info->block_size = v->l.cluster_size;
	info->sector_size = v->l.sector_size;
	info->granule = find_granule(&v->l, v->base.set.members[0]->size);
	info->used_bytes = v->l.heap_start + fsd_bits_count(&v->used) * v->l.cluster_size;
	describe_state(v);
	if (v->l.has_media_failure)
		add_notice(v, "the disk had read or write errors when it was last used");
}

static int fill(struct exfat_volume *v, struct err *e)
{
	struct blk_source *src = v->base.set.members[0];

	int mine = exfat_probe(src, e);
	if (mine < 0)
		return -1;
	if (!mine)
		return err_set(e, ERR_UNSUPPORTED, 0, "'%s' is not an exFAT file system", blk_name(src));
	if (exfat_read_layout(src, &v->l, e) < 0 || exfat_fat_init(&v->fat, src, &v->l, e) < 0 ||
		exfat_read_root(&v->fat, &v->root, e) < 0 || exfat_read_bitmap(&v->fat, &v->root, &v->used, e) < 0)
		return -1;
	if (fsd_signature_check(src, "exfat", NULL, e) < 0)
		return -1;
	describe(v);
	return 0;
}

static void exfat_close(struct fsd_volume *volume)
{
	struct exfat_volume *v = (struct exfat_volume *)volume;

	if (!v)
		return;
	exfat_fat_release(&v->fat);
	fsd_bits_release(&v->used);
	free(v);
}

static int exfat_open(const struct blk_set *set, struct fsd_volume **ret, struct err *e)
{
	if (set->nr != 1)
		return err_set(e, ERR_UNSUPPORTED, 0, "an exFAT file system over %zu devices", set->nr);
	struct exfat_volume *v = alloc_array(1, sizeof(*v));
	if (!v)
		return err_nomem(e, blk_name(set->members[0]));
	v->base.driver = &fsd_exfat;
	v->base.set = *set;
	if (fill(v, e) < 0) {
		exfat_close(&v->base);
		return -1;
	}
	*ret = &v->base;
	return 0;
}

/*
 * A bad mark can be told from what stood there before only where the owners of all clusters are known: else clusters with
 * such marks are copied, too. So a lost cluster, which only says that some file is not known, is enough to keep them.
 */
static void drop_bad(struct exfat_volume *v, const struct fsd_bits *claimed)
{
	struct fsd_bits orphans;
	struct err why = ERR_INIT;
	unsigned long long nr_bad;
	uint32_t nr_lost;

	if (fsd_bits_new(&orphans, v->l.nr_clusters, &why) < 0) {
		add_notice(v, "bad clusters are not known: %s", why.msg);
		return;
	}
	fsd_bits_subtract(&orphans, &v->used, claimed);
	if (exfat_find_bad(&v->fat, &orphans, &nr_lost, &why) < 0) {
		add_notice(v, "bad clusters are not known: %s", why.msg);
	} else if ((nr_bad = fsd_bits_count(&orphans)) && nr_lost) {
		add_notice(v, "%llu clusters marked bad are copied, too: %u clusters are marked as used but belong to nothing", nr_bad, nr_lost);
	} else if (nr_bad) {
		fsd_bits_subtract(&v->used, &v->used, &orphans);
		v->base.info.used_bytes -= nr_bad * v->l.cluster_size;
		add_notice(v, "%llu clusters marked bad were left out", nr_bad);
	}
	fsd_bits_release(&orphans);
}

static int check_files(struct exfat_volume *v, struct fsd_bits *claimed, struct err *e)
{
	struct err why = ERR_INIT;

	int r = exfat_check_tree(&v->fat, &v->root, &v->used, claimed, &why);
	if (r < 0) {
		*e = why;
		return -1;
	}
	if (r)
		drop_bad(v, claimed);
	else
		add_notice(v, "not all files were held against the allocation bitmap: %s", why.msg);
	return 0;
}

static int check_once(struct exfat_volume *v, struct err *e)
{
	struct fsd_bits claimed;

	if (v->is_checked)
		return 0;
	if (fsd_bits_new(&claimed, v->l.nr_clusters, e) < 0)
		return -1;
	int r = check_files(v, &claimed, e);
	fsd_bits_release(&claimed);
	v->is_checked = r == 0;
	return r;
}

/* Less than a cluster behind the last one belongs to no file and cannot; more than that is room for something unknown. */
static int map_tail(const struct exfat_volume *v, fsd_extent_fn emit, void *arg, struct err *e)
{
	uint64_t end = v->l.heap_start + (uint64_t)v->l.nr_clusters * v->l.cluster_size, tail = v->l.size - end;

	return tail >= v->l.cluster_size ? emit(arg, 0, end, tail, EXT_USED, e) : 0;
}

static int exfat_map(struct fsd_volume *volume, fsd_extent_fn emit, void *arg, struct err *e)
{
	struct exfat_volume *v = (struct exfat_volume *)volume;

	if (check_once(v, e) < 0 || emit(arg, 0, 0, v->l.heap_start, EXT_USED, e) < 0 ||
		fsd_bits_emit(&v->used, v->l.heap_start, v->l.cluster_size, emit, arg, e) < 0)
		return -1;
	return map_tail(v, emit, arg, e);
}

/* The main boot region and its backup, 24 sectors from the start: a whole number of the device's sectors, whatever they are. */
static int exfat_arm_ranges(struct fsd_volume *volume, fsd_range_fn emit, void *arg, struct err *e)
{
	struct exfat_volume *v = (struct exfat_volume *)volume;

	return emit(arg, 0, 0, 2ULL * EXFAT_REGION * v->l.sector_size, e);
}

const struct fsd_driver fsd_exfat = {
	.name = "exfat",
	.summary = "exFAT",
	.probe = exfat_probe,
	.open = exfat_open,
	.map = exfat_map,
	.arm_ranges = exfat_arm_ranges,
	.close = exfat_close,
};
