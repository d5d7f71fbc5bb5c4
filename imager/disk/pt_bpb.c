/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Is sector 0 the boot sector of a FAT, exFAT or NTFS volume that takes the whole disk?
 *
 * Such a sector ends in 0x55AA like an MBR, and its boot code or messages stand where a table would have its slots.
 * Fields: Microsoft "FAT32 File System Specification" 1.03 (BPB), "exFAT file system specification" §3.1; NTFS shares
 * the start of the BPB. The rules are those by which libblkid and the kernel tell a FAT from a table.
 */
#include "imager/disk/pt_internal.h"

#include "base/arith.h"
#include "base/span.h"

static bool has_jump(const uint8_t *s)
{
	return s[0] == 0xE9 || (s[0] == 0xEB && s[2] == 0x90);
}

/* OS/2 puts a FAT-like BPB in front of these file systems, which are not FAT. */
static bool is_os2_pseudo_fat(const uint8_t *s)
{
	return !memcmp(s + 0x36, "JFS     ", 8) || !memcmp(s + 0x36, "HPFS    ", 8);
}

static bool has_fat_label(const uint8_t *s)
{
	return !memcmp(s + 0x52, "FAT32   ", 8) || !memcmp(s + 0x36, "FAT12   ", 8) || !memcmp(s + 0x36, "FAT16   ", 8) ||
	       !memcmp(s + 0x36, "FAT     ", 8) || !memcmp(s + 0x36, "MSDOS", 5);
}

static bool is_fat(struct span *s)
{
	uint16_t sector = span_le16(s, 0x0B), reserved = span_le16(s, 0x0E), root_entries = span_le16(s, 0x11);
	uint8_t per_cluster = span_u8(s, 0x0D), nr_fats = span_u8(s, 0x10), media = span_u8(s, 0x15);
	uint64_t sectors = span_le16(s, 0x13) ? span_le16(s, 0x13) : span_le32(s, 0x20);
	uint64_t fat_length = span_le16(s, 0x16) ? span_le16(s, 0x16) : span_le32(s, 0x24);

	if (!has_jump(s->p) && !has_fat_label(s->p))
		return false;
	if (!pt_is_sector_size(sector) || !is_pow2(per_cluster) || !reserved || !nr_fats || nr_fats > 8)
		return false;
	if ((media != 0xF0 && media < 0xF8) || is_os2_pseudo_fat(s->p))
		return false;
	uint64_t meta = reserved + nr_fats * fat_length + ceil_div_u64((uint64_t)root_entries * 32, sector);
	return fat_length && sectors > meta;
}

static bool is_ntfs(struct span *s)
{
	return !memcmp(s->p + 3, "NTFS    ", 8) && is_pow2(span_le16(s, 0x0B)) && span_u8(s, 0x0D) && !span_le16(s, 0x16);
}

const char *pt_is_boot_sector(const uint8_t sector[MBR_SIZE])
{
	struct span s = span_of(sector, MBR_SIZE);

	if (span_le16(&s, 510) != 0xAA55)
		return NULL;
	if (!memcmp(sector + 3, "EXFAT   ", 8))
		return "exFAT";
	if (is_ntfs(&s))
		return "NTFS";
	return is_fat(&s) ? "FAT" : NULL;
}
