/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Reading the tree of a FAT file system: fatgen103, "FAT Directory Structure". Entries are kept as they are, chains become pieces. Whoever
 * moves files must account for every cluster, so nothing that is doubtful is let through.
 */
#include "fsdrivers/fat/remake_internal.h"

#include "base/arith.h"

#include <string.h>

#define DIR_ENTRY     32U
#define ATTR_MASK     0x3f
#define ATTR_LONG     0x0f
#define ATTR_VOLUME   0x08
#define ATTR_DIR      0x10
#define MAX_DIR       (2U << 20)  /* 65536 entries, as Linux has it */
#define MAX_DIR_BYTES (64U << 20) /* all directories together */
#define MAX_PIECES    (4U << 20)
#define WINDOW        (64U << 10) /* of the table; a multiple of 3 entries of 12 bits is not needed: it is read with slack */

struct walk {
	struct blk_source *src;
	const struct fat_layout *l;
	struct fat_table table;
	struct fsd_bits seen;    /* clusters that belong to something */
	struct fat_tree *t;
	uint8_t *window;         /* of the table's first valid copy */
	uint64_t window_start;   /* bytes from the table's start */
	size_t window_len;       /* 0: nothing is there */
};

static int damaged(const struct walk *w, struct err *e, const char *what, uint32_t cluster)
{
	err_set(e, ERR_CORRUPT, 0, "the FAT file system of '%s' is damaged: %s (cluster %u)", blk_name(w->src), what, cluster);
	return err_hint(e, "run fsck.fat -a on it and capture anew");
}

/* The entry of a cluster that is inside. */
static int next_of(struct walk *w, uint32_t cluster, uint32_t *ret, struct err *e)
{
	uint64_t at = (uint64_t)cluster * w->l->bits / 8;
	size_t need = w->l->bits == 32 ? 4 : 2;

	if (!w->window_len || at < w->window_start || at + need > w->window_start + w->window_len) {
		uint64_t start = at / WINDOW * WINDOW;
		size_t len = (size_t)min_u64(WINDOW + 4, w->l->fat_len - start);
		w->window_len = 0;
		if (blk_read(w->src, w->l->fat_start + w->l->first_fat * w->l->fat_len + start, w->window, len, e) < 0)
			return err_wrap(e, "reading the FAT");
		w->window_start = start;
		w->window_len = len;
	}
	const uint8_t *p = w->window + (at - w->window_start);
	*ret = w->l->bits == 12 && cluster % 2 ? (uint32_t)(p[0] | p[1] << 8) >> 4 : fat_entry(p, w->l->bits, 0);
	return 0;
}

static int add_piece(struct fat_tree *t, uint32_t first, uint32_t at, struct err *e)
{
	if (t->nr_pieces == MAX_PIECES)
		return err_set(e, ERR_UNSUPPORTED, 0, "the files of a FAT file system lie in more than %u pieces", MAX_PIECES);
	if (t->nr_pieces == t->room_pieces) {
		uint32_t room = t->room_pieces ? t->room_pieces * 2 : 256;
		struct fat_piece *p = reallocarray(t->pieces, room, sizeof(*p));
		if (!p)
			return err_nomem(e, "the files of a FAT file system");
		t->pieces = p;
		t->room_pieces = room;
	}
	t->pieces[t->nr_pieces++] = (struct fat_piece){ .first = first, .at = at };
	return 0;
}

/* Follow a chain to its end; each cluster belongs to one chain only, so this ends. */
static int read_chain(struct walk *w, struct fat_node *n, struct err *e)
{
	uint32_t eoc = w->l->bits == 32 ? 0x0ffffff8 : w->l->bits == 16 ? 0xfff8 : 0xff8;
	uint32_t cluster = n->old_first, before = 0;

	n->first_piece = w->t->nr_pieces;
	for (n->nr_old = 0;; n->nr_old++) {
		if (cluster < FAT_FIRST_CLUSTER || cluster - FAT_FIRST_CLUSTER >= w->l->nr_clusters)
			return damaged(w, e, "a chain leads out of the volume", cluster);
		if (!fsd_bits_has(&w->table.used, cluster - FAT_FIRST_CLUSTER))
			return damaged(w, e, "a chain leads to a free or bad cluster", cluster);
		if (fsd_bits_has(&w->seen, cluster - FAT_FIRST_CLUSTER))
			return damaged(w, e, "two chains meet, or one bites its tail", cluster);
		fsd_bits_put(&w->seen, cluster - FAT_FIRST_CLUSTER, 1, true);
		if ((!n->nr_old || cluster != before + 1) && add_piece(w->t, cluster, n->nr_old, e) < 0)
			return -1;
		before = cluster;
		if (next_of(w, cluster, &cluster, e) < 0)
			return -1;
		if (cluster >= eoc)
			break;
	}
	n->nr_old++;
	n->nr_pieces = w->t->nr_pieces - n->first_piece;
	return 0;
}

static int add_node(struct walk *w, const struct fat_node *n, struct err *e)
{
	struct fat_tree *t = w->t;

	if (t->nr == t->room) {
		uint32_t room = t->room ? t->room * 2 : 64; /* bounded by MAX_DIR_BYTES / DIR_ENTRY */
		struct fat_node *p = reallocarray(t->nodes, room, sizeof(*p));
		if (!p)
			return err_nomem(e, "the files of a FAT file system");
		t->nodes = p;
		t->room = room;
	}
	t->nodes[t->nr++] = *n;
	return 0;
}

static int new_dir(struct walk *w, struct fat_node *n, uint64_t len, struct err *e)
{
	if (len > MAX_DIR)
		return damaged(w, e, "a directory is larger than any may be", n->old_first);
	w->t->dir_bytes += len;
	if (w->t->dir_bytes > MAX_DIR_BYTES)
		return err_set(e, ERR_UNSUPPORTED, 0, "the directories of a FAT file system take more than %u MiB", MAX_DIR_BYTES >> 20);
	n->dir = alloc_array(1, len);
	return n->dir ? 0 : err_nomem(e, "a directory");
}

/* The entries of a directory up to the mark behind the last one. */
static int load_dir(struct walk *w, struct fat_node *n, struct err *e)
{
	uint64_t len = n->old_first ? (uint64_t)n->nr_old * w->l->cluster_size : w->l->root_len;

	if (new_dir(w, n, len, e) < 0)
		return -1;
	if (!n->old_first && blk_read(w->src, w->l->root_start, n->dir, (size_t)len, e) < 0)
		return err_wrap(e, "reading the root directory");
	for (uint32_t k = 0; k < n->nr_pieces; k++) {
		const struct fat_piece *p = &w->t->pieces[n->first_piece + k];
		uint32_t end = k + 1 < n->nr_pieces ? p[1].at : n->nr_old;
		if (blk_read(w->src, fat_cluster_start(w->l, p->first), n->dir + (size_t)p->at * w->l->cluster_size,
			    (size_t)(end - p->at) * w->l->cluster_size, e) < 0)
			return err_wrap(e, "reading a directory");
	}
	for (n->size = 0; n->size < len && n->dir[n->size]; n->size += DIR_ENTRY)
		;
	memset(n->dir + n->size, 0, (size_t)(len - n->size)); /* behind the mark stands what once was */
	return 0;
}

static uint32_t first_cluster(const struct walk *w, const uint8_t *d)
{
	return get_le16(d + 26) | (w->l->bits == 32 ? (uint32_t)get_le16(d + 20) << 16 : 0);
}

/* "." and ".." lead where they must? */
static int check_dots(const struct walk *w, uint32_t dir, const uint8_t *d, struct err *e)
{
	const struct fat_node *n = &w->t->nodes[dir];
	uint32_t want = n->old_first, got = first_cluster(w, d);

	if (n->parent == FAT_NO_NODE)
		return damaged(w, e, "the root directory holds '.' or '..'", got);
	if (d[1] == '.') {
		want = w->t->nodes[n->parent].old_first;
		if (w->t->nodes[n->parent].parent == FAT_NO_NODE && got == 0)
			return 0;
	}
	return got == want ? 0 : damaged(w, e, "a directory's '.' or '..' leads elsewhere", got);
}

static bool is_dots(const uint8_t *d)
{
	return !memcmp(d, ".          ", 11) || !memcmp(d, "..         ", 11);
}

static int take_entry(struct walk *w, uint32_t dir, uint32_t off, struct err *e)
{
	const uint8_t *d = w->t->nodes[dir].dir + off;
	struct fat_node n = { .parent = dir, .entry = off, .old_first = first_cluster(w, d) };
	uint8_t attr = d[11] & ATTR_MASK;

	if (d[0] == 0xe5 || attr == ATTR_LONG || (attr & (ATTR_VOLUME | ATTR_DIR)) == ATTR_VOLUME)
		return 0;
	if (attr & ATTR_DIR && is_dots(d))
		return check_dots(w, dir, d, e);
	if (attr & ATTR_DIR) {
		if (read_chain(w, &n, e) < 0 || load_dir(w, &n, e) < 0 || add_node(w, &n, e) < 0) {
			free(n.dir);
			return -1;
		}
		return 0;
	}
	n.size = get_le32(d + 28);
	if (!n.size)
		return n.old_first ? damaged(w, e, "an empty file has clusters", n.old_first) : 0;
	if (read_chain(w, &n, e) < 0)
		return -1;
	if (ceil_div_u64(n.size, w->l->cluster_size) != n.nr_old)
		return damaged(w, e, "a file has more or fewer clusters than its size needs", n.old_first);
	return add_node(w, &n, e);
}

static int walk_tree(struct walk *w, struct err *e)
{
	struct fat_node root = { .parent = FAT_NO_NODE, .old_first = w->l->bits == 32 ? w->l->root_cluster : 0 };

	if ((w->l->bits == 32 && read_chain(w, &root, e) < 0) || load_dir(w, &root, e) < 0 || add_node(w, &root, e) < 0) {
		free(root.dir);
		return -1;
	}
	for (uint32_t i = 0; i < w->t->nr; i++)
		for (uint32_t off = 0; w->t->nodes[i].dir && off < w->t->nodes[i].size; off += DIR_ENTRY)
			if (take_entry(w, i, off, e) < 0)
				return -1;
	uint64_t used = fsd_bits_count(&w->table.used), seen = fsd_bits_count(&w->seen);
	if (used == seen)
		return 0;
	err_set(e, ERR_CORRUPT, 0, "the FAT file system of '%s' is damaged: %llu clusters are in use, but belong to no file", blk_name(w->src),
		(unsigned long long)(used - seen));
	return err_hint(e, "run fsck.fat -a on it and capture anew");
}

static int prepare(struct walk *w, struct err *e)
{
	if (fat_table_read(w->src, w->l, &w->table, e) < 0)
		return -1;
	if (w->table.nr_different || w->table.has_unreadable)
		return damaged(w, e, "the copies of the FAT differ, or cannot be read", 0);
	w->window = malloc(WINDOW + 4);
	return w->window ? fsd_bits_new(&w->seen, w->l->nr_clusters, e) : err_nomem(e, "the FAT");
}

int fat_tree_read(struct blk_source *src, const struct fat_layout *l, struct fat_tree *ret, struct err *e)
{
	struct walk w = { .src = src, .l = l, .t = ret };

	*ret = (struct fat_tree){ .nr = 0 };
	int r = prepare(&w, e);
	if (r == 0)
		r = walk_tree(&w, e);
	free(w.window);
	fat_table_release(&w.table);
	fsd_bits_release(&w.seen);
	if (r < 0)
		fat_tree_release(ret);
	return r;
}

void fat_tree_release(struct fat_tree *t)
{
	for (uint32_t i = 0; i < t->nr; i++)
		free(t->nodes[i].dir);
	free(t->nodes);
	free(t->pieces);
	*t = (struct fat_tree){ .nr = 0 };
}
