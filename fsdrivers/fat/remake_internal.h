/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * What the files of the FAT re-make share: the tree as it was read (remake_tree.c), the new layout (remake_shape.c), and the source that
 * puts both together (remake.c).
 */
#ifndef CALCO_FSDRIVERS_FAT_REMAKE_INTERNAL_H
#define CALCO_FSDRIVERS_FAT_REMAKE_INTERNAL_H

#include "fsdrivers/fat/fat.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define FAT_NO_NODE UINT32_MAX

/* Clusters of the old volume in a row. */
struct fat_piece {
	uint32_t first; /* cluster */
	uint32_t at;    /* which cluster of the file that is */
};

/* A file with content, or a directory. */
struct fat_node {
	uint32_t parent;  /* the directory whose entry leads here; FAT_NO_NODE: the root */
	uint32_t entry;   /* bytes from that directory's start */
	uint32_t first_piece, nr_pieces;
	uint32_t old_first, nr_old; /* clusters */
	uint32_t first;   /* its first new cluster, set by the shape; 0: a root outside the clusters */
	uint64_t size;    /* bytes; of a directory those of its entries */
	uint8_t *dir;     /* owned: the entries of a directory, else NULL */
};

struct fat_tree {
	struct fat_node *nodes; /* the root first; children behind their directory, in its order */
	uint32_t nr, room;
	struct fat_piece *pieces;
	uint32_t nr_pieces, room_pieces;
	uint64_t dir_bytes;
};

/*
 * fat_tree_read - everything that the root leads to
 *
 * ERR_CORRUPT for whatever fsck.fat would repair in the allocation: clusters in two files, in none, chains that do not fit the sizes, copies of the table that differ.
 */
int fat_tree_read(struct blk_source *src, const struct fat_layout *l, struct fat_tree *ret, struct err *e);
void fat_tree_release(struct fat_tree *t);

/* Where everything stands on the new volume; sectors are the new ones. */
struct fat_shape {
	unsigned bits, nr_fats;
	uint32_t sector_size, cluster_size;
	uint32_t reserved, fat_sectors, root_entries, total_sectors;
	uint64_t fat_start, fat_len, root_start, root_len, data_start, end; /* bytes */
	uint32_t nr_clusters, nr_used;
};

/* fat_shape_find - choose the size of clusters, and give each node its place. ERR_REFUSED "sector-size" when there is none that fits. */
int fat_shape_find(const struct fat_layout *was, uint32_t old_root_entries, uint32_t sector_size, struct fat_tree *t, struct fat_shape *ret,
	struct err *e);

#endif
