/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * What the files of the partition table reader share; see table.h for the outside.
 *
 * Layouts: MBR and protective MBR: UEFI 2.10 §5.2 (tables 5.1 to 5.4); GPT header and entries: §5.3.2 and §5.3.3.
 */
#ifndef CALCO_IMAGER_DISK_PT_INTERNAL_H
#define CALCO_IMAGER_DISK_PT_INTERNAL_H

#include "base/blk.h"
#include "base/err.h"
#include "base/extent.h"
#include "imager/disk/table.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define MBR_SIZE          512U  /* the table always stands in the first 512 bytes, whatever the sector size */
#define MBR_TYPE_GPT      0xEE  /* the protective entry of a GPT disk */
#define MBR_TYPE_ESP      0xEF
#define GPT_ATTR_BOOTABLE (1ULL << 2)
#define GPT_MAX_ENTRY     4096U /* bytes; UEFI allows 128 * 2^n, everyone writes 128 */

/* pt_build.c: putting a table together */

/* pt_notice - add a notice unless it is there; when all places are taken the last one says that there are more */
void pt_notice(struct pt_table *t, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* pt_add_entry, pt_add_structure - append; out of memory is the only error. An empty structure is left out. */
int pt_add_entry(struct pt_table *t, const struct pt_entry *en, struct err *e);
int pt_add_structure(struct pt_table *t, uint64_t start, uint64_t len, struct err *e);
/* pt_finish - sort the entries, cut the structures at the end of the disk, sort them and join what touches */
void pt_finish(struct pt_table *t, uint64_t disk_size);
/* pt_ranges_join - sort, join what overlaps or touches, drop what is empty; returns the new number. No range may wrap. */
size_t pt_ranges_join(struct range *r, size_t nr);
/* pt_is_sector_size - 512, 1024, 2048 or 4096 */
bool pt_is_sector_size(uint32_t n);

/* pt_mbr.c */

struct mbr_slot {
	uint8_t boot, type;
	uint32_t first_lba, nr_sectors;
};

struct mbr {
	bool has_magic; /* 0x55AA at 510; without it the other fields are not filled */
	struct mbr_slot slot[4];
};

/* pt_mbr_decode - the four slots of an MBR or EBR sector */
struct mbr pt_mbr_decode(const uint8_t sector[MBR_SIZE]);
/* pt_mbr_protective - index of the 0xEE slot, -1 when there is none */
int pt_mbr_protective(const struct mbr *m);
/* pt_mbr_put_chs - cylinder, head and sector of a slot; 0xFFFFFF where they cannot be said (UEFI 2.10 §5.2.3) */
void pt_mbr_put_chs(uint8_t *p, uint64_t lba);
/* pt_mbr_is_table - does the kernel see partitions here? (boot indicators 0x00 or 0x80, at least one slot in use) */
bool pt_mbr_is_table(const struct mbr *m);
/* pt_mbr_is_plausible - a table whose slots look like real partitions of this disk, not like boot code read as one */
bool pt_mbr_is_plausible(const struct mbr *m, uint64_t nr_sectors);
/* pt_mbr_read - entries and structures of an MBR disk, logical partitions included */
int pt_mbr_read(struct blk_source *src, const struct mbr *m, struct pt_table *t, struct err *e);

/* pt_bpb.c */

/* pt_is_boot_sector - does sector 0 belong to a FAT, exFAT or NTFS volume? Returns the name or NULL. */
const char *pt_is_boot_sector(const uint8_t sector[MBR_SIZE]);

/* pt_gpt.c */

/* One of the two copies of a GPT, checked. */
struct gpt_copy {
	bool is_ok;        /* header and entry array are intact */
	bool header_ok;    /* the header is, and its numbers are within our limits */
	bool has_magic;    /* the signature is there, so alternate_lba may be worth a try */
	bool is_too_big;   /* the header is intact, but its array exceeds PT_MAX_ENTRIES or GPT_MAX_ENTRY */
	char why[80];      /* why it is not ok: "the header's checksum is wrong" */
	uint64_t lba, alternate_lba, first_usable, last_usable, entries_lba;
	uint32_t header_size, nr_entries, entry_size, entries_crc;
	uint8_t disk_guid[16];
	uint8_t *header;   /* one sector */
	uint8_t *entries;  /* nr_entries * entry_size bytes; NULL unless is_ok */
};

/* Both copies as found with one sector size. A copy that is not ok has no meaning but its "why". */
struct gpt_pair {
	uint32_t sector_size;
	struct gpt_copy primary, backup;
};

/* pt_gpt_load - read and check one copy; damage is not an error (ret->is_ok), out of memory is */
int pt_gpt_load(struct blk_source *src, uint32_t sector_size, uint64_t lba, struct gpt_copy *ret, struct err *e);
/* pt_gpt_find - both copies; @protective: the MBR's 0xEE slot, whose end is one of the places where the backup may be */
int pt_gpt_find(struct blk_source *src, uint32_t sector_size, const struct mbr_slot *protective, struct gpt_pair *ret,
	struct err *e);
/* pt_gpt_read - fill a table from a pair of which at least one copy is ok */
int pt_gpt_read(const struct gpt_pair *g, uint64_t disk_size, struct pt_table *t, struct err *e);
/* pt_gpt_array_sectors - sectors that the entry array of a copy with header_ok takes */
uint64_t pt_gpt_array_sectors(const struct gpt_copy *c, uint32_t sector_size);
/* pt_gpt_header_crc - checksum of a header with its own checksum field taken as zero; header_size was checked */
uint32_t pt_gpt_header_crc(const uint8_t *header, uint32_t header_size);
void pt_gpt_copy_free(struct gpt_copy *c);
void pt_gpt_pair_free(struct gpt_pair *g);

#endif
