/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Which clusters belong to a file: the FAT (section 4.1) and its chains, and files without one (6.3.4.2, NoFatChain). */
#include "fsdrivers/exfat/exfat.h"

#include "base/arith.h"

#define WINDOW      (16U << 10) /* bytes of the FAT that are read at once */
#define NR_SLOTS    256U
#define PIECE       (1U << 20) /* of the FAT, when all of it is read */
#define END_OF_FILE 0xffffffffU
#define BAD_CLUSTER 0xfffffff7U

int exfat_fat_init(struct exfat_fat *f, struct blk_source *src, const struct exfat_layout *l, struct err *e)
{
	*f = (struct exfat_fat){ .src = src, .l = l };
	/* Each window once, and sixteen times more for chains that lead back and forth. */
	f->reads_left = NR_SLOTS + 16 * ceil_div_u64(((uint64_t)l->nr_clusters + EXFAT_FIRST_CLUSTER) * 4, WINDOW);
	f->cache = alloc_array(NR_SLOTS, WINDOW);
	f->held = alloc_array(NR_SLOTS, sizeof(*f->held));
	return f->cache && f->held ? 0 : err_nomem(e, "the exFAT FAT");
}

void exfat_fat_release(struct exfat_fat *f)
{
	free(f->cache);
	free(f->held);
	f->cache = NULL;
	f->held = NULL;
}

static uint64_t active_fat(const struct exfat_layout *l)
{
	return l->fat_start + l->active * l->fat_len;
}

static int fat_entry(struct exfat_fat *f, uint32_t cluster, uint32_t *ret, struct err *e)
{
	uint64_t at = (uint64_t)cluster * 4;
	uint32_t window = (uint32_t)(at / WINDOW), slot = window % NR_SLOTS;
	uint8_t *p = f->cache + (size_t)slot * WINDOW;

	if (f->held[slot] != window + 1) {
		if (!f->reads_left)
			return err_set(e, ERR_PARTIAL, 0, "the chains of the exFAT FAT jump too much");
		f->reads_left--;
		f->held[slot] = 0;
		size_t len = (size_t)min_u64(WINDOW, f->l->fat_len - (uint64_t)window * WINDOW);
		if (blk_read(f->src, active_fat(f->l) + (uint64_t)window * WINDOW, p, len, e) < 0)
			return err_wrap(e, "reading the exFAT FAT");
		f->held[slot] = window + 1;
	}
	*ret = get_le32(p + at % WINDOW);
	return 0;
}

static bool is_cluster(const struct exfat_layout *l, uint32_t cluster)
{
	return cluster >= EXFAT_FIRST_CLUSTER && cluster - EXFAT_FIRST_CLUSTER < l->nr_clusters;
}

int exfat_walk_begin(struct exfat_walk *w, struct exfat_fat *fat, uint32_t cluster, uint64_t len, bool is_contiguous,
	struct err *e)
{
	const struct exfat_layout *l = fat->l;
	uint64_t nr = ceil_div_u64(len ? len : EXFAT_MAX_DIRECTORY, l->cluster_size);

	if (!is_cluster(l, cluster))
		return err_set(e, ERR_CORRUPT, 0, "exFAT: there is no cluster %u", cluster);
	if (len && nr > (is_contiguous ? l->nr_clusters - (cluster - EXFAT_FIRST_CLUSTER) : l->nr_clusters))
		return err_set(e, ERR_CORRUPT, 0, "exFAT: %llu bytes from cluster %u on do not fit into %u clusters",
			(unsigned long long)len, cluster, l->nr_clusters);
	nr = min_u64(nr, l->nr_clusters);
	*w = (struct exfat_walk){ .fat = fat, .cluster = cluster, .left = nr, .is_contiguous = is_contiguous, .ends_by_mark = !len };
	return 0;
}

/* What follows a cluster that is not the last: 1 a cluster, 0 the end. */
static int follow(struct exfat_walk *w, uint32_t from, uint32_t *ret, struct err *e)
{
	if (fat_entry(w->fat, from, ret, e) < 0)
		return -1;
	if (*ret == END_OF_FILE && w->ends_by_mark)
		return 0;
	if (!is_cluster(w->fat->l, *ret))
		return err_set(e, ERR_CORRUPT, 0, "exFAT: cluster %u is followed by 0x%x", from, *ret);
	return 1;
}

int exfat_walk_next(struct exfat_walk *w, struct exfat_run *ret, struct err *e)
{
	struct exfat_run r = { .first = w->cluster - EXFAT_FIRST_CLUSTER, .count = 1 };

	if (!w->left)
		return 0;
	if (w->is_contiguous) {
		r.count = (uint32_t)w->left;
		w->left = 0;
	} else {
		for (w->left--; w->left || w->ends_by_mark; w->left--, r.count++) {
			uint32_t last = w->cluster;
			int more = follow(w, last, &w->cluster, e);
			if (more < 0)
				return -1;
			if (!more) {
				w->left = 0;
				break;
			}
			if (!w->left)
				return err_set(e, ERR_CORRUPT, 0, "exFAT: the chain of the root directory does not end");
			if (w->cluster != last + 1)
				break;
		}
	}
	*ret = r;
	return 1;
}

/* The clusters of one piece that are in use by nothing: marked bad, or lost. */
static void sort_out(const uint8_t *fat, uint32_t first, uint32_t count, struct fsd_bits *orphans, uint32_t *ret_nr_lost)
{
	uint64_t end = (uint64_t)first + count;

	for (uint64_t i = first; (i = fsd_bits_find(orphans, i, end, true)) < end; i++) {
		if (get_le32(fat + (size_t)(i - first) * 4) == BAD_CLUSTER)
			continue;
		fsd_bits_put(orphans, i, 1, false);
		++*ret_nr_lost;
	}
}

int exfat_find_bad(struct exfat_fat *fat, struct fsd_bits *orphans, uint32_t *ret_nr_lost, struct err *e)
{
	AUTO_FREE uint8_t *piece = alloc_array(1, PIECE);
	uint32_t nr_lost = 0, count;

	if (!piece)
		return err_nomem(e, "the exFAT FAT");
	for (uint32_t first = 0; first < orphans->nr; first += count) {
		count = (uint32_t)min_u64(PIECE / 4, orphans->nr - first);
		if (fsd_bits_find(orphans, first, (uint64_t)first + count, true) == (uint64_t)first + count)
			continue;
		uint64_t at = active_fat(fat->l) + ((uint64_t)first + EXFAT_FIRST_CLUSTER) * 4;
		if (blk_read(fat->src, at, piece, (size_t)count * 4, e) < 0)
			return err_wrap(e, "reading the exFAT FAT");
		sort_out(piece, first, count, orphans, &nr_lost);
	}
	*ret_nr_lost = nr_lost;
	return 0;
}
