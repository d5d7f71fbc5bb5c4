/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The boot sector: NTFS docs, "$Boot". */
#include "fsdrivers/ntfs/ntfs.h"

#include <string.h>

#define MIN_SECTOR   512U
#define MAX_SECTOR   4096U
#define MAX_CLUSTER  (2U << 20)
#define MAX_CLUSTERS (1ULL << 32) /* Windows counts them by 32 bits */

bool ntfs_is_boot_sector(struct span *s)
{
	const uint8_t *p = span_at(s, 3, 8);

	return p && memcmp(p, "NTFS    ", 8) == 0;
}

/*
 * Sectors per cluster: a power of two up to 128 as it is, beyond that (clusters above 64 KiB, Windows 10 1709 and
 * later) the negative exponent as a signed byte. 0: nonsense.
 */
static uint32_t sectors_per_cluster(uint8_t raw)
{
	if (raw <= 0x80)
		return is_pow2(raw) ? raw : 0;
	return raw >= 0xF4 ? 1U << (256 - raw) : 0;
}

/* MFT records and index blocks: a number of clusters, or the negative exponent of their size in bytes. 0: nonsense. */
static uint32_t block_size(uint8_t raw, uint32_t cluster_size)
{
	uint64_t size = raw < 0x80 ? (uint64_t)raw * cluster_size : raw > 0xE0 ? 1ULL << (256 - raw) : 0;

	return is_pow2(size) && size >= NTFS_STRIDE && size <= NTFS_MAX_RECORD ? (uint32_t)size : 0;
}

/* What FAT would have here. NTFS has zeros, and drivers insist on them. */
static bool has_fat_fields(struct span *s)
{
	return span_le16(s, 0x0E) || span_u8(s, 0x10) || span_le16(s, 0x11) || span_le16(s, 0x13) || span_le16(s, 0x16) ||
		span_le32(s, 0x20);
}

static int check_sizes(const struct ntfs_boot *b, uint64_t volume_size, struct err *e)
{
	uint64_t size;

	if (!is_pow2(b->sector_size) || b->sector_size < MIN_SECTOR || b->sector_size > MAX_SECTOR)
		return err_set(e, ERR_CORRUPT, 0, "NTFS sectors of %u bytes", b->sector_size);
	if (!b->cluster_size || b->cluster_size > MAX_CLUSTER)
		return err_set(e, ERR_CORRUPT, 0, "NTFS clusters of an impossible size");
	if (!b->record_size || !b->index_size)
		return err_set(e, ERR_CORRUPT, 0, "NTFS records or index blocks of an impossible size");
	if (!mul_u64(b->nr_sectors, b->sector_size, &size) || size > volume_size)
		return err_set(e, ERR_CORRUPT, 0, "the NTFS file system is larger than its partition: %llu sectors of %u bytes",
			(unsigned long long)b->nr_sectors, b->sector_size);
	return 0;
}

int ntfs_boot_read(struct span *s, uint64_t volume_size, struct ntfs_boot *ret, struct err *e)
{
	struct ntfs_boot b = {
		.sector_size = span_le16(s, 0x0B),
		.nr_sectors = span_le64(s, 0x28),
		.mft_lcn = span_le64(s, 0x30),
		.mirror_lcn = span_le64(s, 0x38),
		.serial = span_le64(s, 0x48),
	};

	if (!ntfs_is_boot_sector(s) || has_fat_fields(s))
		return err_set(e, ERR_CORRUPT, 0, "the boot sector is not one of NTFS");
	b.cluster_size = b.sector_size * sectors_per_cluster(span_u8(s, 0x0D));
	b.record_size = block_size(span_u8(s, 0x40), b.cluster_size);
	b.index_size = block_size(span_u8(s, 0x44), b.cluster_size);
	if (s->bad)
		return err_set(e, ERR_CORRUPT, 0, "the NTFS boot sector is cut short");
	if (check_sizes(&b, volume_size, e) < 0)
		return -1;
	b.nr_clusters = b.nr_sectors / (b.cluster_size / b.sector_size);
	if (b.nr_clusters > MAX_CLUSTERS)
		return err_set(e, ERR_UNSUPPORTED, 0, "an NTFS file system with %llu clusters", (unsigned long long)b.nr_clusters);
	if (b.mft_lcn >= b.nr_clusters || b.mirror_lcn >= b.nr_clusters)
		return err_set(e, ERR_CORRUPT, 0, "the $MFT or its mirror begins in cluster %llu of %llu",
			(unsigned long long)max_u64(b.mft_lcn, b.mirror_lcn), (unsigned long long)b.nr_clusters);
	*ret = b;
	return 0;
}
