/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Partition tables: GPT (UEFI 2.10 §5.3), MBR with extended and logical partitions, or none.
 *
 * The reader only reads and trusts nothing. What it returns is what capture, info and the planner need: the entries,
 * and which bytes of the disk belong to the table itself.
 */
#ifndef CALCO_IMAGER_DISK_TABLE_H
#define CALCO_IMAGER_DISK_TABLE_H

#include "base/blk.h"
#include "base/err.h"
#include "base/extent.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum pt_kind {
	PT_NONE, /* "none": no table; the whole disk is one volume, or nothing */
	PT_MBR,  /* "mbr" */
	PT_GPT,  /* "gpt" */
};

#define PT_MAX_ENTRIES 1024 /* a GPT with more is refused (UEFI asks for at least 128; Linux numbers 256) */

struct pt_entry {
	unsigned number;      /* as Linux numbers it: 1..; logical partitions from 5 */
	uint64_t start, len;  /* bytes */
	uint8_t mbr_type;     /* MBR only */
	bool active;          /* MBR: boot indicator 0x80; GPT: legacy BIOS bootable attribute (bit 2) */
	bool is_logical;      /* MBR: inside the extended partition */
	uint8_t type_guid[16];/* GPT only, bytes as on disk */
	uint8_t guid[16];     /* GPT only, bytes as on disk */
	uint64_t attributes;  /* GPT only */
	char name[112];       /* GPT only, UTF-8 */
};

struct pt_table {
	enum pt_kind kind;
	uint32_t sector_size;      /* the sector size the table is written for, bytes */
	uint8_t disk_guid[16];     /* GPT, bytes as on disk */
	uint32_t mbr_signature;    /* MBR disk signature; also set on GPT disks from the protective MBR */
	size_t nr;
	struct pt_entry *entries;  /* sorted by start; empty entries, and the extended partition itself, are left out */
	/* The table's own bytes, sorted, not overlapping: MBR sector, GPT header and entry array, backup array and header, each EBR sector. */
	size_t nr_structures;
	struct range *structures;
	/* GPT only: where the live header says things are, in bytes; 0 when absent */
	uint64_t gpt_header, gpt_entries, gpt_backup_entries, gpt_backup_header;
	uint32_t gpt_nr_entries, gpt_entry_size;
	bool gpt_primary_ok, gpt_backup_ok;
	bool is_hybrid;            /* a GPT whose MBR is not purely protective */
	bool boot_code;            /* sector 0 holds non-zero boot code in its first 440 bytes */
	size_t nr_notices;
	char notices[8][160];      /* "backup GPT is missing", "partitions 2 and 3 overlap", ... */
};

/*
 * pt_read - read the partition table of a whole disk
 * @sector_size: 0: the source's; for a plain file both 512 and 4096 are tried and the one with a valid GPT wins
 *
 * A disk whose first sector is a FAT, exFAT or NTFS boot sector has no table (PT_NONE), as libblkid and the kernel see it.
 * A GPT with one good copy is used with a notice; with both copies bad and a protective MBR: ERR_CORRUPT. A hybrid MBR
 * beside a GPT is a notice. EBR chains are walked with a step limit; a broken chain keeps what came before it, with a notice.
 * The caller owns *ret: pt_free().
 */
int pt_read(struct blk_source *src, uint32_t sector_size, struct pt_table **ret, struct err *e);
void pt_free(struct pt_table *t);
AUTO_DEFINE(pt_table, pt_free)

const char *pt_kind_name(enum pt_kind k);
/* pt_type_name - "EFI System", "Linux filesystem", ... or "" when not known */
const char *pt_type_name(const struct pt_table *t, const struct pt_entry *en);
/* pt_is_boot - firmware starts from this partition: ESP (GPT type, MBR type 0xEF), active or legacy-bootable */
bool pt_is_boot(const struct pt_table *t, const struct pt_entry *en);
/* pt_format_guid - mixed-endian on-disk bytes as "C12A7328-F81F-11D2-BA4B-00A0C93EC93B" (36 characters and NUL) */
void pt_format_guid(const uint8_t guid[16], char out[37]);

/* One piece of a disk. Regions are sorted, do not overlap and cover the disk from 0 to its size. */
enum pt_region_kind { PT_REGION_GAP, PT_REGION_PARTITION, PT_REGION_OVERLAP, PT_REGION_WHOLE };

struct pt_region {
	enum pt_region_kind kind;
	uint64_t start, len;     /* bytes */
	int entry;               /* index into entries, -1 when none */
	/* PT_REGION_GAP: what is used in it, absolute byte ranges on the disk, sorted, not overlapping */
	size_t nr_used;
	struct range *used;
};

/*
 * pt_regions - divide a disk into regions
 * @disk_size: bytes, may be odd
 * @raw_gaps: every byte of every gap is used
 *
 * In gaps are used: the table structures, what lies before the first partition (at most the first 1 MiB of the disk),
 * and the disk's last 1 MiB. Overlapping entries become one PT_REGION_OVERLAP each cluster, with a notice in t. An entry that reaches beyond
 * the end of the disk is cut there with a notice. PT_NONE gives one PT_REGION_WHOLE.
 */
int pt_regions(struct pt_table *t, uint64_t disk_size, bool raw_gaps, struct pt_region **ret, size_t *ret_nr, struct err *e);
void pt_regions_free(struct pt_region *r, size_t nr);

/* New bytes for a place on a disk. */
struct pt_patch {
	uint64_t start;
	size_t len;
	uint8_t *bytes; /* owned */
};

/*
 * pt_adapt - what must change in the table when a disk of old_size is written to a disk of new_size >= old_size
 * @structures: reads the table as captured; only ranges named in t->structures are read
 *
 * GPT: protective MBR's size, primary header (AlternateLBA, LastUsableLBA, CRCs), entry array copy and header at the new end,
 * zeros over the old backup. GUIDs, attributes, names and entries stay. With equal sizes, or without a GPT: no patches.
 * The primary copy's place stays where it is. Patches are sorted by start, whole sectors, and do not overlap. Free each with pt_patches_free().
 * Where a copy is bad in the source the good one is used for both.
 */
int pt_adapt(struct blk_source *structures, const struct pt_table *t, uint64_t old_size, uint64_t new_size,
	struct pt_patch **ret, size_t *ret_nr, struct err *e);

/*
 * pt_resector - the table of a disk of old_size, written for another disk with sectors of another size; as pt_adapt() otherwise
 *
 * GPT: everything that counts in sectors, in both copies and the protective MBR; partitions stay at their bytes, GUIDs, attributes, names, boot
 * code and the array's form stay. Patches are whole new sectors, but for zeros over what was the table and is not any more. ERR_REFUSED
 * "sector-size": a partition does not begin and end at whole new sectors, or lies where the entries must be; an MBR, or a hybrid one; "too-small".
 */
int pt_resector(struct blk_source *structures, const struct pt_table *t, uint64_t old_size, uint64_t new_size, uint32_t new_sector,
	struct pt_patch **ret, size_t *ret_nr, struct err *e);
void pt_patches_free(struct pt_patch *p, size_t nr);

#endif
