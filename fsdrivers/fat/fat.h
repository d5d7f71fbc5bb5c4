/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Inside the FAT driver: where things stand on the volume, and what the allocation tables say.
 *
 * Source: Microsoft "FAT: General Overview of On-Disk Format" 1.03 (fatgen103), the same as ECMA-107 for FAT12/16.
 */
#ifndef CALCO_FSDRIVERS_FAT_H
#define CALCO_FSDRIVERS_FAT_H

#include "base/blk.h"
#include "base/err.h"
#include "base/span.h"
#include "fsdrivers/bits.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define FAT_BOOT_SIZE     512U /* of the boot sector, what all sector sizes share */
#define FAT_FIRST_CLUSTER 2U   /* the table's first two entries are marks, clusters begin with the third */
#define FAT_MAX_COPIES    4U

/* All offsets and sizes in bytes from the volume's start. Checked against each other and the source's size. */
struct fat_layout {
	unsigned bits; /* 12, 16 or 32: the width of a table entry */
	uint32_t sector_size, cluster_size;
	uint64_t size;               /* what the boot sector claims to cover */
	uint64_t fat_start, fat_len; /* the first copy; the others follow directly */
	unsigned nr_fats;
	unsigned first_fat, nr_valid_fats; /* the copies that count: all, or the active one */
	uint64_t root_start, root_len;     /* FAT12/16 only */
	uint32_t root_cluster;             /* FAT32 only */
	uint64_t data_start;
	uint32_t nr_clusters;
	uint64_t backup_boot; /* FAT32; 0: none */
	uint8_t state;        /* the byte where Windows and Linux note an unclean volume */
	bool has_serial;
	uint32_t serial;
	uint8_t boot_label[11]; /* zeros when the boot sector has none */
};

/* fat_is_boot_sector - does the first 512 bytes of a volume of size bytes look like a FAT boot sector, and nothing else? */
bool fat_is_boot_sector(struct span *s, uint64_t size);

/* fat_read_layout - decode and check a boot sector that fat_is_boot_sector() took. ERR_CORRUPT, ERR_UNSUPPORTED. */
int fat_read_layout(struct span *s, uint64_t volume_size, struct fat_layout *ret, struct err *e);

/* fat_cluster_start - where a cluster lies; valid numbers are FAT_FIRST_CLUSTER .. nr_clusters + 1 */
uint64_t fat_cluster_start(const struct fat_layout *l, uint32_t cluster);

/* What the copies of the table say together. */
struct fat_table {
	struct fsd_bits used;  /* the first of them is cluster FAT_FIRST_CLUSTER */
	uint32_t nr_bad;       /* marked bad, not in use */
	uint32_t nr_different; /* entries in which the copies contradict each other */
	bool has_unreadable;   /* a part of one copy could not be read; another copy had it */
	uint32_t mark;         /* entry 1, in which Windows notes an unclean volume */
};

/*
 * fat_table_read - read all valid copies of the table
 *
 * A cluster in use by any copy is used. ERR_CORRUPT when the table does not begin as one. Memory: one bit per cluster,
 * at most 32 MiB, and about 4 MiB while reading. Release with fat_table_release().
 */
int fat_table_read(struct blk_source *src, const struct fat_layout *l, struct fat_table *ret, struct err *e);
void fat_table_release(struct fat_table *t);

/* fat_entry - entry number i of a table that begins at p, without the upper 4 bits that are reserved in FAT32 */
uint32_t fat_entry(const uint8_t *p, unsigned bits, size_t i);

/*
 * fat_read_label - the label entry of the root directory into 11 bytes
 *
 * 1: found; 0: there is none, or the directory cannot be read: a label is worth no failure. -1: memory is gone.
 */
int fat_read_label(struct blk_source *src, const struct fat_layout *l, uint8_t ret[11], struct err *e);

#endif
