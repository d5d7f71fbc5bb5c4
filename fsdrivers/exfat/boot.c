/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The boot sector and its checksum: sections 3.1 and 3.4.
 *
 * Linux, FUSE exfat and libblkid take a volume only when the checksum of the main boot region is right, and do not
 * look at the backup; fsck.exfat puts the backup in its place. So the backup is used here to say what that is, and
 * never when sector 0 does not claim to be exFAT: the backup survives in front of what another mkfs made of the volume.
 */
#include "fsdrivers/exfat/exfat.h"

#include "base/arith.h"

#include <string.h>

#define MIN_SECTOR_SHIFT  9U
#define MAX_SECTOR_SHIFT  12U
#define MAX_CLUSTER_SHIFT 25U
#define MIN_FAT_OFFSET    (2U * EXFAT_REGION) /* sectors */
#define MAX_CLUSTERS      0xfffffff5U         /* 2^32 - 11 */
#define FLAG_ACTIVE_FAT   0x01
#define FLAG_DIRTY        0x02
#define FLAG_FAILURE      0x04

bool exfat_is_boot_sector(const uint8_t boot[EXFAT_BOOT_SIZE])
{
	static const uint8_t zeros[53]; /* where FAT has its parameters, so that nobody takes this for FAT */

	return memcmp(boot + 3, "EXFAT   ", 8) == 0 && memcmp(boot + 11, zeros, sizeof(zeros)) == 0 && boot[510] == 0x55 &&
	       boot[511] == 0xaa;
}

static int check_geometry(const struct exfat_layout *l, uint64_t fat_offset, uint64_t heap_offset, struct err *e)
{
	uint64_t needed = ((uint64_t)l->nr_clusters + EXFAT_FIRST_CLUSTER) * 4;

	if (!l->nr_clusters || l->nr_clusters > MAX_CLUSTERS)
		return err_set(e, ERR_CORRUPT, 0, "an exFAT file system with %u clusters", l->nr_clusters);
	if (fat_offset < MIN_FAT_OFFSET || l->fat_len < needed)
		return err_set(e, ERR_CORRUPT, 0, "the exFAT FAT has %llu bytes at sector %llu, %u clusters need %llu",
			(unsigned long long)l->fat_len, (unsigned long long)fat_offset, l->nr_clusters, (unsigned long long)needed);
	if (l->fat_start + l->nr_fats * l->fat_len > l->heap_start)
		return err_set(e, ERR_CORRUPT, 0, "the exFAT FAT reaches into the clusters, which begin at sector %llu",
			(unsigned long long)heap_offset);
	if (!range_inside(l->heap_start, (uint64_t)l->nr_clusters * l->cluster_size, l->size))
		return err_set(e, ERR_CORRUPT, 0, "the exFAT file system has %llu bytes, too few for %u clusters of %u",
			(unsigned long long)l->size, l->nr_clusters, l->cluster_size);
	if (l->root_cluster < EXFAT_FIRST_CLUSTER || l->root_cluster - EXFAT_FIRST_CLUSTER >= l->nr_clusters)
		return err_set(e, ERR_CORRUPT, 0, "the exFAT root directory begins in cluster %u of %u", l->root_cluster,
			l->nr_clusters);
	return 0;
}

/* All that the boot sector says (3.1), checked. */
static int decode(const uint8_t boot[EXFAT_BOOT_SIZE], uint64_t volume_size, struct exfat_layout *ret, struct err *e)
{
	struct span s = span_of(boot, EXFAT_BOOT_SIZE);
	unsigned sector_shift = span_u8(&s, 108), cluster_shift = span_u8(&s, 109), flags = span_le16(&s, 106);
	unsigned revision = span_le16(&s, 104);
	uint64_t sectors = span_le64(&s, 72), fat_offset = span_le32(&s, 80), heap_offset = span_le32(&s, 88);
	struct exfat_layout l = { .nr_fats = span_u8(&s, 110), .nr_clusters = span_le32(&s, 92), .root_cluster = span_le32(&s, 96),
		.serial = span_le32(&s, 100) };

	if (!exfat_is_boot_sector(boot))
		return err_set(e, ERR_CORRUPT, 0, "no exFAT boot sector");
	if (sector_shift < MIN_SECTOR_SHIFT || sector_shift > MAX_SECTOR_SHIFT || cluster_shift > MAX_CLUSTER_SHIFT - sector_shift)
		return err_set(e, ERR_CORRUPT, 0, "exFAT sectors of 2^%u bytes, clusters of 2^%u sectors", sector_shift, cluster_shift);
	if (revision >> 8 != 1)
		return err_set(e, ERR_UNSUPPORTED, 0, "exFAT revision %u.%02u is unknown", revision >> 8, revision & 0xff);
	if (l.nr_fats < 1 || l.nr_fats > 2)
		return err_set(e, ERR_CORRUPT, 0, "an exFAT file system with %u FATs", l.nr_fats);
	if (sectors > volume_size >> sector_shift)
		return err_set(e, ERR_CORRUPT, 0, "the exFAT file system is larger than its partition: %llu of %llu sectors",
			(unsigned long long)sectors, (unsigned long long)(volume_size >> sector_shift));
	/* No overflow from here on: 32 bits, shifted by 25 at most. */
	l.sector_size = 1U << sector_shift;
	l.cluster_size = l.sector_size << cluster_shift;
	l.size = sectors << sector_shift;
	l.fat_start = fat_offset << sector_shift;
	l.fat_len = (uint64_t)span_le32(&s, 84) << sector_shift;
	l.heap_start = heap_offset << sector_shift;
	l.active = flags & FLAG_ACTIVE_FAT;
	l.is_dirty = flags & FLAG_DIRTY;
	l.has_media_failure = flags & FLAG_FAILURE;
	if (check_geometry(&l, fat_offset, heap_offset, e) < 0)
		return -1;
	*ret = l;
	return 0;
}

/* 3.4: over the first eleven sectors but VolumeFlags and PercentInUse, which change without it. */
static uint32_t checksum(const uint8_t *region, size_t len)
{
	uint32_t sum = 0;

	for (size_t i = 0; i < len; i++)
		if (i != 106 && i != 107 && i != 112)
			sum = (sum << 31 | sum >> 1) + region[i];
	return sum;
}

/* The twelfth sector repeats the checksum from end to end. */
static int check_region(struct blk_source *src, uint64_t at, uint32_t sector_size, struct err *e)
{
	uint8_t region[EXFAT_REGION << MAX_SECTOR_SHIFT];
	size_t covered = (size_t)(EXFAT_REGION - 1) * sector_size, len = (size_t)EXFAT_REGION * sector_size;

	if (blk_read(src, at, region, len, e) < 0)
		return err_wrap(e, "reading the exFAT boot region");
	uint32_t sum = checksum(region, covered);
	for (size_t i = covered; i < len; i += 4)
		if (get_le32(region + i) != sum)
			return err_set(e, ERR_CORRUPT, 0, "the checksum of the exFAT boot region is 0x%08x, it should be 0x%08x",
				get_le32(region + i), sum);
	return 0;
}

static int read_region(struct blk_source *src, uint64_t at, struct exfat_layout *ret, struct err *e)
{
	uint8_t boot[EXFAT_BOOT_SIZE];

	if (blk_read(src, at, boot, sizeof(boot), e) < 0)
		return err_wrap(e, "reading the exFAT boot sector");
	/* The layout has room for both regions, so they can be read. */
	if (decode(boot, src->size, ret, e) < 0)
		return -1;
	return check_region(src, at, ret->sector_size, e);
}

/* The main boot sector does not say where it is: its size of sectors may be what is damaged. */
static bool read_backup(struct blk_source *src, struct exfat_layout *ret)
{
	struct err ignored = ERR_INIT;

	for (unsigned shift = MIN_SECTOR_SHIFT; shift <= MAX_SECTOR_SHIFT; shift++) {
		uint64_t at = (uint64_t)EXFAT_REGION << shift;
		if (range_inside(at, EXFAT_BOOT_SIZE, src->size) && read_region(src, at, ret, &ignored) == 0 &&
			ret->sector_size == 1U << shift)
			return true;
	}
	return false;
}

int exfat_read_layout(struct blk_source *src, struct exfat_layout *ret, struct err *e)
{
	if (read_region(src, 0, ret, e) < 0) {
		if ((e->code != ERR_CORRUPT && e->code != ERR_UNSUPPORTED) || !read_backup(src, ret))
			return -1;
		ret->is_from_backup = true;
	}
	/* Not a part of what the checksum covers, and old in the backup */
	if (ret->active >= ret->nr_fats)
		return err_set(e, ERR_CORRUPT, 0, "the active exFAT FAT is number %u of %u", ret->active + 1, ret->nr_fats);
	return 0;
}

uint64_t exfat_cluster_start(const struct exfat_layout *l, uint32_t cluster)
{
	return l->heap_start + (uint64_t)(cluster - EXFAT_FIRST_CLUSTER) * l->cluster_size;
}
