/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Inside the exFAT driver: where things stand on the volume, the allocation bitmap, and the clusters of files.
 *
 * Source: Microsoft "exFAT file system specification" 1.00; its sections are named by number.
 */
#ifndef CALCO_FSDRIVERS_EXFAT_H
#define CALCO_FSDRIVERS_EXFAT_H

#include "base/blk.h"
#include "base/err.h"
#include "base/span.h"
#include "fsdrivers/bits.h"
#include "fsdrivers/fsdriver.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define EXFAT_BOOT_SIZE     512U /* of the boot sector, what all sector sizes share */
#define EXFAT_REGION        12U  /* sectors of the main boot region, and of the backup that follows it (2) */
#define EXFAT_FIRST_CLUSTER 2U
#define EXFAT_MAX_DIRECTORY (256U << 20) /* 7.4: no directory is larger */
#define EXFAT_DIR_ENTRY     32U

/* Directory entries (6.2, 7): type codes */
#define EXFAT_ENTRY_END     0x00
#define EXFAT_ENTRY_BITMAP  0x81
#define EXFAT_ENTRY_UPCASE  0x82
#define EXFAT_ENTRY_LABEL   0x83
#define EXFAT_ENTRY_FILE    0x85
#define EXFAT_ENTRY_GUID    0xa0
#define EXFAT_ENTRY_PADDING 0xa1
#define EXFAT_ENTRY_STREAM  0xc0
#define EXFAT_ENTRY_NAME    0xc1
#define EXFAT_IN_USE        0x80 /* bits of a type code */
#define EXFAT_SECONDARY     0x40

/* All offsets and sizes in bytes from the volume's start. Checked against each other and the source's size. */
struct exfat_layout {
	uint32_t sector_size, cluster_size;
	uint64_t size;               /* what the boot sector claims to cover */
	uint64_t fat_start, fat_len; /* the first FAT; a second one follows directly */
	unsigned nr_fats;
	unsigned active; /* 0 or 1: the FAT and the allocation bitmap that count (TexFAT) */
	uint64_t heap_start;
	uint32_t nr_clusters, root_cluster, serial;
	bool is_dirty, has_media_failure;
	bool is_from_backup; /* the main boot region is damaged */
};

/* exfat_is_boot_sector - does the first 512 bytes of a volume look like an exFAT boot sector? */
bool exfat_is_boot_sector(const uint8_t boot[EXFAT_BOOT_SIZE]);

/*
 * exfat_read_layout - decode and check the main boot region, or where that is damaged, its backup
 *
 * ERR_CORRUPT, ERR_UNSUPPORTED: what is wrong with the main one, when the backup is no better.
 */
int exfat_read_layout(struct blk_source *src, struct exfat_layout *ret, struct err *e);

/* exfat_cluster_start - where a cluster lies; valid numbers are EXFAT_FIRST_CLUSTER .. nr_clusters + 1 */
uint64_t exfat_cluster_start(const struct exfat_layout *l, uint32_t cluster);

/*
 * The active FAT, read through a cache of 4 MiB. Reading is bounded: a FAT that does not fit into the cache, with chains
 * that jump about in it without end, answers ERR_PARTIAL at some point.
 */
struct exfat_fat {
	struct blk_source *src;
	const struct exfat_layout *l;
	uint8_t *cache;
	uint32_t *held; /* for each slot of the cache: the number of its window + 1, 0: empty */
	uint64_t reads_left;
};

int exfat_fat_init(struct exfat_fat *f, struct blk_source *src, const struct exfat_layout *l, struct err *e);
void exfat_fat_release(struct exfat_fat *f);

/* Neighbouring clusters, by index (cluster number - EXFAT_FIRST_CLUSTER); lies inside the cluster heap. */
struct exfat_run {
	uint32_t first, count;
};

/* The clusters of one file, directory or table, run by run. */
struct exfat_walk {
	struct exfat_fat *fat;
	uint32_t cluster;   /* where the next run begins */
	uint64_t left;      /* clusters still to come, at most */
	bool is_contiguous; /* NoFatChain (6.3.4.2): the FAT has nothing to say */
	bool ends_by_mark;  /* the root directory: its length is its chain */
};

/*
 * exfat_walk_begin - an allocation of len bytes from a cluster on; len 0: as long as the chain, which may have the
 * length of the largest directory. ERR_CORRUPT when it does not fit into the cluster heap.
 */
int exfat_walk_begin(struct exfat_walk *w, struct exfat_fat *fat, uint32_t cluster, uint64_t len, bool is_contiguous,
	struct err *e);
/* exfat_walk_next - 1: *ret is the next run; 0: there are no more. ERR_CORRUPT: the chain is broken, or endless. */
int exfat_walk_next(struct exfat_walk *w, struct exfat_run *ret, struct err *e);

/* @entry: EXFAT_DIR_ENTRY bytes. 0: go on; -1 to stop with an error. */
typedef int (*exfat_entry_fn)(void *arg, const uint8_t *entry, struct err *e);

/* exfat_each_entry - the entries of a directory, up to the one that says there are no more */
int exfat_each_entry(struct exfat_walk *dir, exfat_entry_fn fn, void *arg, struct err *e);

/* A critical primary entry of the root directory that has clusters: allocation bitmap, up-case table. */
struct exfat_table {
	uint32_t cluster;
	uint64_t len; /* bytes, 0: there is none */
};

/* What the root directory says about the volume. */
struct exfat_root {
	struct exfat_table bitmaps[2]; /* of the first and the second FAT */
	struct exfat_table upcase;
	char label[64]; /* UTF-8; 11 characters of at most 4 bytes */
};

/* exfat_read_root - find the entries of the root directory that are not files. ERR_CORRUPT without an active bitmap. */
int exfat_read_root(struct exfat_fat *fat, struct exfat_root *ret, struct err *e);

/*
 * exfat_read_bitmap - the active allocation bitmap; its first bit is cluster EXFAT_FIRST_CLUSTER
 *
 * ERR_CORRUPT when it is too short, or has the root directory, a bitmap or the up-case table in free clusters.
 */
int exfat_read_bitmap(struct exfat_fat *fat, const struct exfat_root *root, struct fsd_bits *ret, struct err *e);

/*
 * exfat_check_tree - hold all files and directories against the allocation bitmap
 * @used: the allocation bitmap
 * @claimed: gets a bit for each cluster that belongs to something
 *
 * 1: everything was checked; 0: not everything, *e says why (something unreadable, too many directories, entries of
 * unknown kinds, incomplete ones). -1: ERR_CORRUPT, clusters that are free or belong to two files.
 */
int exfat_check_tree(struct exfat_fat *fat, const struct exfat_root *root, const struct fsd_bits *used,
	struct fsd_bits *claimed, struct err *e);

/*
 * exfat_find_bad - which clusters does the FAT mark as bad?
 * @orphans: those in use that belong to nothing; the bits of those that are not marked are cleared, and counted as lost
 *
 * The entries of free clusters and of contiguous files mean nothing (4.1), so old marks may stand there.
 */
int exfat_find_bad(struct exfat_fat *fat, struct fsd_bits *orphans, uint32_t *ret_nr_lost, struct err *e);

#endif
