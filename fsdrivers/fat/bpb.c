/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The FAT boot sector and its parameter block (BPB): fatgen103, "Boot Sector and BPB", "FAT Type Determination". */
#include "fsdrivers/fat/fat.h"

#include "base/arith.h"

#include <string.h>

#define MAX_FAT12_CLUSTERS 4084U
#define MAX_FAT16_CLUSTERS 65524U
#define MAX_FAT32_CLUSTERS 0x0ffffff5U /* the last cluster's number is below the bad mark */
#define DIR_ENTRY          32U
#define NO_SECTOR          0xffffU

/* BitLocker To Go keeps a decoy FAT32 boot sector; its own mark is this GUID (libbde documentation, "Volume header"). */
static const uint8_t bitlocker_to_go[16] = { 0x3b, 0xd6, 0x67, 0x49, 0x29, 0x2e, 0xd8, 0x4a, 0x83, 0x99, 0xf6, 0xa3, 0x39,
	0xe3, 0xd0, 0x01 };

static bool has_text(struct span *s, size_t off, const void *text, size_t len)
{
	const uint8_t *p = span_at(s, off, len);

	return p && memcmp(p, text, len) == 0;
}

/* Others that put a boot sector of this shape in front of something else. */
static bool is_other(struct span *s)
{
	return has_text(s, 3, "NTFS    ", 8) || has_text(s, 3, "EXFAT   ", 8) || has_text(s, 3, "-FVE-FS-", 8) ||
		has_text(s, 424, bitlocker_to_go, sizeof(bitlocker_to_go)) ||
		/* OS/2 puts a pseudo BPB in front of these two (libblkid, vfat.c) */
		has_text(s, 0x36, "JFS     ", 8) || has_text(s, 0x36, "HPFS    ", 8);
}

/*
 * A disk's MBR may carry a FAT parameter block: boot loaders (GRUB) keep the one that stood there. What tells them
 * apart is a partition table; a boot sector has code, text or zeros in its place.
 */
static bool has_partitions(struct span *s, uint64_t size)
{
	bool found = false;

	for (size_t i = 0; i < 4; i++) {
		size_t off = 446 + 16 * i;
		uint8_t status = span_u8(s, off), type = span_u8(s, off + 4);
		uint64_t start = span_le32(s, off + 8), nr = span_le32(s, off + 12);
		if (status & 0x7f)
			return false;
		if (!type && !start && !nr)
			continue;
		/* Sectors are 512 bytes at least, so this bound holds for larger ones too. */
		if (!type || !start || !nr || start >= size / 512)
			return false;
		found = true;
	}
	return found;
}

bool fat_is_boot_sector(struct span *s, uint64_t size)
{
	uint32_t sector_size = span_le16(s, 11), media = span_u8(s, 21), nr_fats = span_u8(s, 16);

	if (span_le16(s, 510) != 0xaa55 || !is_pow2(sector_size) || sector_size < 512 || sector_size > 4096)
		return false;
	if (!is_pow2(span_u8(s, 13)) || !span_le16(s, 14) || !nr_fats || nr_fats > FAT_MAX_COPIES)
		return false;
	if (media != 0xf0 && media < 0xf8)
		return false;
	if (!span_le16(s, 22) && !span_le32(s, 36)) /* no size of the table */
		return false;
	return !s->bad && !is_other(s) && !has_partitions(s, size);
}

/* The fields behind the common ones stand at different places in FAT12/16 and FAT32. */
static void read_extended(struct span *s, struct fat_layout *l)
{
	size_t off = l->bits == 32 ? 64 : 36;
	uint8_t boot_sig = span_u8(s, off + 2);

	/* Linux and Windows write state without looking at boot_sig; old boot sectors without it have code there. */
	l->has_serial = boot_sig == 0x28 || boot_sig == 0x29 || l->bits == 32;
	if (l->has_serial) {
		l->state = span_u8(s, off + 1);
		l->serial = span_le32(s, off + 3);
	}
	if (boot_sig == 0x29 && !has_text(s, off + 7, "NO NAME    ", 11))
		span_copy(s, off + 7, l->boot_label, sizeof(l->boot_label));
}

static int read_fat32_fields(struct span *s, struct fat_layout *l, struct err *e)
{
	uint32_t flags = span_le16(s, 40), version = span_le16(s, 42), backup = span_le16(s, 50), reserved = span_le16(s, 14);

	if (version)
		return err_set(e, ERR_UNSUPPORTED, 0, "FAT32 version %u.%u is unknown", version >> 8, version & 0xff);
	l->root_cluster = span_le32(s, 44);
	if (l->root_cluster < FAT_FIRST_CLUSTER || l->root_cluster - FAT_FIRST_CLUSTER >= l->nr_clusters)
		return err_set(e, ERR_CORRUPT, 0, "the FAT root directory begins in cluster %u of %u", l->root_cluster, l->nr_clusters);
	if (backup && backup != NO_SECTOR && backup < reserved)
		l->backup_boot = (uint64_t)backup * l->sector_size;
	if (flags & 0x80) { /* no mirroring */
		l->first_fat = flags & 0x0f;
		l->nr_valid_fats = 1;
		if (l->first_fat >= l->nr_fats)
			return err_set(e, ERR_CORRUPT, 0, "the active FAT is number %u of %u", l->first_fat + 1, l->nr_fats);
	}
	return 0;
}

/*
 * The specification derives the type from the number of clusters alone. Linux, libblkid and fsck.fat decide FAT32 by the
 * empty 16-bit size of the table instead (mtools does not), and FAT32 with fewer than 65525 clusters is common on EFI
 * system partitions, so this does as they do.
 */
static int find_type(struct span *s, struct fat_layout *l, uint64_t nr_clusters, struct err *e)
{
	uint32_t limit = MAX_FAT16_CLUSTERS;

	l->bits = nr_clusters > MAX_FAT12_CLUSTERS ? 16 : 12;
	if (!span_le16(s, 22)) {
		l->bits = 32;
		limit = MAX_FAT32_CLUSTERS;
	}
	if (!nr_clusters || nr_clusters > limit)
		return err_set(e, ERR_CORRUPT, 0, "a FAT file system with %llu clusters", (unsigned long long)nr_clusters);
	l->nr_clusters = (uint32_t)nr_clusters;
	uint64_t needed = ceil_div_u64(((uint64_t)l->nr_clusters + FAT_FIRST_CLUSTER) * l->bits, 8);
	if (l->fat_len < needed)
		return err_set(e, ERR_CORRUPT, 0, "the FAT has %llu bytes, %u clusters need %llu", (unsigned long long)l->fat_len,
			l->nr_clusters, (unsigned long long)needed);
	return 0;
}

int fat_read_layout(struct span *s, uint64_t volume_size, struct fat_layout *ret, struct err *e)
{
	uint64_t total = span_le16(s, 19) ? span_le16(s, 19) : span_le32(s, 32);
	uint64_t fat_sectors = span_le16(s, 22) ? span_le16(s, 22) : span_le32(s, 36);
	struct fat_layout l = { .sector_size = span_le16(s, 11), .nr_fats = span_u8(s, 16) };
	uint64_t sector = l.sector_size;

	/* No overflow: sectors are counted by 32 bits, and a sector has at most 2^12 bytes. */
	l.nr_valid_fats = l.nr_fats;
	l.cluster_size = l.sector_size * span_u8(s, 13);
	l.size = total * sector;
	l.fat_start = span_le16(s, 14) * sector;
	l.fat_len = fat_sectors * sector;
	l.root_start = l.fat_start + l.nr_fats * l.fat_len;
	l.root_len = ceil_div_u64((uint64_t)span_le16(s, 17) * DIR_ENTRY, sector) * sector;
	l.data_start = l.root_start + l.root_len;
	if (s->bad || !is_pow2(sector) || !l.cluster_size)
		return err_set(e, ERR_CORRUPT, 0, "the FAT boot sector is cut short");
	if (l.size > volume_size)
		return err_set(e, ERR_CORRUPT, 0, "the FAT file system is larger than its partition: %llu of %llu bytes",
			(unsigned long long)l.size, (unsigned long long)volume_size);
	if (l.data_start >= l.size)
		return err_set(e, ERR_CORRUPT, 0, "the FAT file system has no room for data: %llu of %llu bytes",
			(unsigned long long)l.data_start, (unsigned long long)l.size);
	if (find_type(s, &l, (l.size - l.data_start) / l.cluster_size, e) < 0)
		return -1;
	if (l.bits == 32 && read_fat32_fields(s, &l, e) < 0)
		return -1;
	read_extended(s, &l);
	*ret = l;
	return 0;
}

uint64_t fat_cluster_start(const struct fat_layout *l, uint32_t cluster)
{
	return l->data_start + (uint64_t)(cluster - FAT_FIRST_CLUSTER) * l->cluster_size;
}
