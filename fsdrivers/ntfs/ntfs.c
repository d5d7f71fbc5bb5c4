/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * NTFS: the driver's table, opening, and the two maps.
 *
 * An own parser and not libntfs-3g, because every byte is hostile here and nothing may ever be written. Reading
 * order: boot.c (boot sector), record.c (records and attributes), runs.c and stream.c (where attributes stand),
 * root.c (the root folder), logfile.c, hiberfile.c and state.c (safe to copy?), bitmap.c (what is in use), volatile.c (what need not be copied),
 * claims.c (is that believable?).
 *
 * The file system ends with its last whole cluster here. The sectors behind it, up to the end of the partition, are taken
 * as used: among them is the backup of the boot sector, one sector behind those that the boot sector counts.
 */
#include "fsdrivers/ntfs/ntfs.h"

#include "fsdrivers/signature.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MAX_GRANULE 4096U
#define BOOT_FILE   8192U /* $Boot: the boot sector and the loader */

static int read_boot(struct blk_source *src, uint8_t raw[NTFS_BOOT_SIZE], struct err *e)
{
	if (src->size < NTFS_BOOT_SIZE)
		return 0;
	if (blk_read(src, 0, raw, NTFS_BOOT_SIZE, e) < 0)
		return err_wrap(e, "looking for an NTFS boot sector");
	struct span s = span_of(raw, NTFS_BOOT_SIZE);
	return ntfs_is_boot_sector(&s);
}

static int ntfs_probe(struct blk_source *src, struct err *e)
{
	uint8_t raw[NTFS_BOOT_SIZE];

	return read_boot(src, raw, e);
}

static uint64_t covered(const struct ntfs_volume *v)
{
	return v->boot.nr_clusters * v->boot.cluster_size;
}

static void describe(struct ntfs_volume *v)
{
	struct fsd_info *i = &v->base.info;

	snprintf(i->type, sizeof(i->type), "ntfs");
	snprintf(i->uuid, sizeof(i->uuid), "%016llX", (unsigned long long)v->boot.serial);
	i->size = i->used_bytes = covered(v);
	i->block_size = v->boot.cluster_size;
	i->sector_size = v->boot.sector_size;
	i->granule = (uint32_t)min_u64(v->boot.cluster_size, MAX_GRANULE);
}

/* What is not clean is not captured by its maps, so they are not read. */
static int fill(struct ntfs_volume *v, struct err *e)
{
	struct fsd_info *i = &v->base.info;
	uint8_t raw[NTFS_BOOT_SIZE];

	int mine = read_boot(v->src, raw, e);
	if (mine < 0)
		return -1;
	if (!mine)
		return err_set(e, ERR_UNSUPPORTED, 0, "'%s' is not an NTFS file system", blk_name(v->src));
	struct span s = span_of(raw, sizeof(raw));
	if (ntfs_boot_read(&s, v->src->size, &v->boot, e) < 0)
		return -1;
	describe(v);
	if (ntfs_mft_open(v, e) < 0 || ntfs_judge(v, e) < 0)
		return -1;
	if (i->state == FSD_CLEAN && ntfs_bitmap_read(v, e) < 0)
		return -1;
	if (v->used.words)
		i->used_bytes = fsd_bits_count(&v->used) * v->boot.cluster_size;
	if (v->nr_bad)
		snprintf(i->notice, sizeof(i->notice), "%llu clusters marked bad were left out", (unsigned long long)v->nr_bad);
	return fsd_signature_check(v->src, "ntfs", NULL, e);
}

static void ntfs_close(struct fsd_volume *volume)
{
	struct ntfs_volume *v = (struct ntfs_volume *)volume;

	if (!v)
		return;
	ntfs_stream_release(&v->mft);
	fsd_bits_release(&v->used);
	free(v->skips);
	free(v);
}

static int ntfs_open(const struct blk_set *set, struct fsd_volume **ret, struct err *e)
{
	if (set->nr != 1)
		return err_set(e, ERR_UNSUPPORTED, 0, "an NTFS file system over %zu devices", set->nr);
	struct ntfs_volume *v = alloc_array(1, sizeof(*v));
	if (!v)
		return err_nomem(e, "an NTFS volume");
	v->base.driver = &fsd_ntfs;
	v->base.set = *set;
	v->src = set->members[0];
	if (fill(v, e) < 0) {
		ntfs_close(&v->base);
		return -1;
	}
	*ret = &v->base;
	return 0;
}

/* What is reached from the boot sector must be in use even if no record says so. */
static int check_anchors(const struct ntfs_volume *v, struct err *e)
{
	const uint64_t anchors[] = { 0, v->boot.mft_lcn, v->boot.mirror_lcn };

	for (size_t i = 0; i < 3; i++)
		if (!fsd_bits_has(&v->used, anchors[i]))
			return err_set(e, ERR_CORRUPT, 0, "$Bitmap calls cluster %llu free, where %s stands", (unsigned long long)anchors[i],
				i ? i == 1 ? "the $MFT" : "the mirror of the $MFT" : "the boot sector");
	return 0;
}

static int ntfs_map(struct fsd_volume *volume, fsd_extent_fn emit, void *arg, struct err *e)
{
	struct ntfs_volume *v = (struct ntfs_volume *)volume;

	if (!v->used.words)
		return emit(arg, 0, 0, covered(v), EXT_USED, e);
	if (check_anchors(v, e) < 0 || ntfs_claims_check(v, e) < 0)
		return -1;
	if (emit(arg, 0, 0, min_u64(BOOT_FILE, covered(v)), EXT_USED, e) < 0)
		return -1;
	return fsd_bits_emit(&v->used, 0, v->boot.cluster_size, emit, arg, e);
}

/* A backup boot sector where it is looked for: is one there? */
static bool has_backup(const struct ntfs_volume *v, uint64_t at)
{
	uint8_t raw[NTFS_BOOT_SIZE];
	struct span s = span_of(raw, sizeof(raw));
	struct err ignored = ERR_INIT;

	return range_inside(at, sizeof(raw), v->src->size) && blk_read(v->src, at, raw, sizeof(raw), &ignored) == 0 &&
		ntfs_is_boot_sector(&s);
}

/*
 * Nobody takes a volume for NTFS without a boot sector: Windows, ntfs-3g, libblkid and firmware want the first one, the
 * kernel and repair tools also take the backup. By specification that is the sector behind the file system's; tools look in
 * the last sector of the partition, and in the middle, where NT 3.51 had it.
 */
static int ntfs_arm_ranges(struct fsd_volume *volume, fsd_range_fn emit, void *arg, struct err *e)
{
	struct ntfs_volume *v = (struct ntfs_volume *)volume;
	uint64_t size = v->src->size, nr = v->boot.nr_sectors, sector = v->boot.sector_size;
	uint64_t unit = max_u64(sector, v->src->sector_size);
	const uint64_t places[] = { 0, nr * sector, nr / 2 * sector, (size - NTFS_BOOT_SIZE) / sector * sector, size / 2 / sector * sector };

	for (size_t i = 0; i < sizeof(places) / sizeof(places[0]); i++) {
		bool is_new = true;
		for (size_t j = 0; j < i; j++)
			is_new = is_new && places[j] / unit != places[i] / unit;
		if (is_new && has_backup(v, places[i]) && emit(arg, 0, places[i] / unit * unit, unit, e) < 0)
			return -1;
	}
	return 0;
}

const struct fsd_driver fsd_ntfs = {
	.name = "ntfs",
	.summary = "NTFS",
	.probe = ntfs_probe,
	.open = ntfs_open,
	.map = ntfs_map,
	.arm_ranges = ntfs_arm_ranges,
	.close = ntfs_close,
	.volatile_ranges = ntfs_volatile_ranges,
};
