/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The layout of a FAT file system that is made anew: fatgen103, "FAT Data Structure" and "FAT Type Determination". What reads it derives the
 * type from the number of clusters (mtools), or refuses a number that does not belong to the type (EDK2, FatPkg/EnhancedFatDxe/Init.c).
 */
#include "fsdrivers/fat/remake_internal.h"

#include "base/arith.h"
#include "base/size.h"

#define DIR_ENTRY           32U
#define FAT32_RESERVED      32U /* as everyone has it; the boot sector's copy stands in sector 6 */
#define USUAL_MAX_CLUSTER   (32U << 10)
#define MIN_FAT16           4085U
#define MIN_FAT32           65525U
#define MAX_FAT32           0x0ffffff5U

static uint32_t least_clusters(unsigned bits)
{
	return bits == 12 ? 1 : bits == 16 ? MIN_FAT16 : MIN_FAT32;
}

static uint32_t most_clusters(unsigned bits)
{
	return bits == 12 ? MIN_FAT16 - 1 : bits == 16 ? MIN_FAT32 - 1 : MAX_FAT32;
}

static uint64_t used_clusters(const struct fat_tree *t, uint32_t cluster_size)
{
	uint64_t sum = 0;

	for (uint32_t i = 0; i < t->nr; i++) {
		const struct fat_node *n = &t->nodes[i];
		if (i == 0 && !n->old_first)
			continue;
		sum += n->dir ? max_u64(ceil_div_u64(n->size, cluster_size), 1) : ceil_div_u64(n->size, cluster_size);
	}
	return sum;
}

/* The sectors of the table, and how many clusters are left then. */
static void size_table(struct fat_shape *s)
{
	uint32_t per_cluster = s->cluster_size / s->sector_size, root = (uint32_t)(s->root_len / s->sector_size);

	s->nr_clusters = 0;
	for (uint64_t fat = 1, need = 1; need; fat = need) {
		uint64_t meta = s->reserved + s->nr_fats * fat + root;
		uint64_t clusters = meta < s->total_sectors ? (s->total_sectors - meta) / per_cluster : 0;
		clusters = min_u64(clusters, most_clusters(s->bits));
		s->fat_sectors = (uint32_t)fat;
		s->nr_clusters = (uint32_t)clusters;
		need = ceil_div_u64(ceil_div_u64((clusters + FAT_FIRST_CLUSTER) * s->bits, 8), s->sector_size);
		if (need <= fat)
			need = 0;
	}
}

/* With clusters of this size; false when the type cannot have so few, or the files do not fit. */
static bool try_cluster(struct fat_shape *s, uint32_t cluster_size, const struct fat_layout *was, const struct fat_tree *t)
{
	uint32_t least = least_clusters(s->bits), per_cluster = cluster_size / s->sector_size;

	s->cluster_size = cluster_size;
	s->total_sectors = (uint32_t)min_u64(was->size / s->sector_size, UINT32_MAX);
	s->reserved = s->bits == 32 ? FAT32_RESERVED : 1;
	size_table(s);
	/* Clusters at whole multiples of their size: the reserved sectors grow as far as is needed for that. */
	uint32_t data = s->reserved + s->nr_fats * s->fat_sectors + (uint32_t)(s->root_len / s->sector_size);
	s->reserved += (per_cluster - data % per_cluster) % per_cluster;
	size_table(s);
	data = s->reserved + s->nr_fats * s->fat_sectors + (uint32_t)(s->root_len / s->sector_size);
	/* More clusters than the type may have: the file system ends before its partition does. */
	s->total_sectors = (uint32_t)min_u64(s->total_sectors, data + (uint64_t)s->nr_clusters * per_cluster + per_cluster - 1);
	s->nr_used = (uint32_t)min_u64(used_clusters(t, cluster_size), UINT32_MAX);
	/* A FAT32 that had too few clusters before is read by those who do not count them. */
	if (s->bits == 32 && was->nr_clusters < MIN_FAT32)
		least = 1;
	return s->nr_clusters >= least && s->nr_used <= s->nr_clusters;
}

static int refuse(const struct fat_shape *s, uint32_t cluster_size, struct err *e)
{
	char need[32], room[32];

	if (s->nr_used > s->nr_clusters) {
		size_format((uint64_t)s->nr_used * cluster_size, need);
		size_format((uint64_t)s->nr_clusters * cluster_size, room);
		err_set(e, ERR_REFUSED, 0, "with sectors of %u bytes the files of this FAT%u need %s, and there is room for %s", s->sector_size, s->bits, need, room);
		err_hint(e, "remove files from it, or make its partition larger, and capture anew");
	} else {
		err_set(e, ERR_REFUSED, 0, "FAT%u needs at least %u clusters; with sectors of %u bytes there is room for %u", s->bits,
			least_clusters(s->bits), s->sector_size, s->nr_clusters);
		size_format((uint64_t)least_clusters(s->bits) * s->sector_size, need);
		err_hint(e, "make its partition larger than %s, or format it with FAT%u, and capture anew", need, s->bits == 32 ? 16 : 12);
	}
	return err_reason(e, "sector-size");
}

static void place_nodes(const struct fat_shape *s, struct fat_tree *t)
{
	uint32_t next = FAT_FIRST_CLUSTER;

	for (uint32_t i = 0; i < t->nr; i++) {
		struct fat_node *n = &t->nodes[i];
		if (i == 0 && !n->old_first)
			continue;
		n->first = next;
		next += (uint32_t)(n->dir ? max_u64(ceil_div_u64(n->size, s->cluster_size), 1) : ceil_div_u64(n->size, s->cluster_size));
	}
}

static void finish(struct fat_shape *s, struct fat_tree *t)
{
	uint64_t sector = s->sector_size;

	s->fat_start = s->reserved * sector;
	s->fat_len = s->fat_sectors * sector;
	s->root_start = s->fat_start + s->nr_fats * s->fat_len;
	s->data_start = s->root_start + s->root_len;
	s->end = s->total_sectors * sector;
	place_nodes(s, t);
}

int fat_shape_find(const struct fat_layout *was, uint32_t old_root_entries, uint32_t sector_size, struct fat_tree *t, struct fat_shape *ret,
	struct err *e)
{
	struct fat_shape s = { .bits = was->bits, .nr_fats = was->nr_fats, .sector_size = sector_size };
	uint32_t most = (uint32_t)min_u64(128ULL * sector_size, max_u64(USUAL_MAX_CLUSTER, was->cluster_size));
	uint32_t wanted = (uint32_t)min_u64(max_u64(was->cluster_size, sector_size), most);

	if (s.bits != 32) {
		s.root_len = round_up_u64((uint64_t)old_root_entries * DIR_ENTRY, sector_size);
		s.root_entries = (uint32_t)(s.root_len / DIR_ENTRY);
		if (s.root_entries > UINT16_MAX)
			return err_set(e, ERR_UNSUPPORTED, 0, "a FAT root directory of %u entries", old_root_entries);
	}
	/* Clusters as they were where that goes; smaller ones make more of them, larger ones a smaller table. */
	struct fat_shape first = s;
	try_cluster(&first, wanted, was, t);
	for (uint32_t size = wanted; size >= sector_size; size /= 2) {
		if (try_cluster(&s, size, was, t)) {
			finish(&s, t);
			*ret = s;
			return 0;
		}
	}
	for (uint32_t size = wanted * 2; size <= most; size *= 2) {
		if (try_cluster(&s, size, was, t)) {
			finish(&s, t);
			*ret = s;
			return 0;
		}
	}
	return refuse(&first, wanted, e);
}
