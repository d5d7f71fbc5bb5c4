/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The root directory's entries about the volume itself, and the allocation bitmap: sections 7.1 to 7.3. */
#include "fsdrivers/exfat/exfat.h"

#include "base/arith.h"
#include "base/utf16.h"

#define DIR_PIECE    (16U << 10) /* a directory's clusters are mostly empty */
#define BITMAP_PIECE (1U << 20)
#define MAX_LABEL    11U

/* 1: the last entry was seen */
static int entries_in(const uint8_t *p, size_t len, exfat_entry_fn fn, void *arg, struct err *e)
{
	for (size_t off = 0; len - off >= EXFAT_DIR_ENTRY; off += EXFAT_DIR_ENTRY) {
		if (p[off] == EXFAT_ENTRY_END)
			return 1;
		if (fn(arg, p + off, e) < 0)
			return -1;
	}
	return 0;
}

int exfat_each_entry(struct exfat_walk *dir, exfat_entry_fn fn, void *arg, struct err *e)
{
	const struct exfat_layout *l = dir->fat->l;
	uint8_t piece[DIR_PIECE];
	struct exfat_run r;
	int more;

	while ((more = exfat_walk_next(dir, &r, e)) > 0) {
		uint64_t at = exfat_cluster_start(l, r.first + EXFAT_FIRST_CLUSTER), end = at + (uint64_t)r.count * l->cluster_size;
		for (size_t len; at < end; at += len) {
			len = (size_t)min_u64(sizeof(piece), end - at);
			if (blk_read(dir->fat->src, at, piece, len, e) < 0)
				return err_wrap(e, "reading an exFAT directory");
			int done = entries_in(piece, len, fn, arg, e);
			if (done)
				return done < 0 ? -1 : 0;
		}
	}
	return more;
}

static int read_table(const uint8_t *entry, const char *what, struct exfat_table *ret, struct err *e)
{
	if (ret->len)
		return err_set(e, ERR_CORRUPT, 0, "exFAT: the root directory has two entries for the %s", what);
	ret->cluster = get_le32(entry + 20);
	ret->len = get_le64(entry + 24);
	return 0;
}

static int root_entry(void *arg, const uint8_t *entry, struct err *e)
{
	struct exfat_root *root = arg;

	switch (entry[0]) {
	case EXFAT_ENTRY_BITMAP:
		return read_table(entry, "allocation bitmap", &root->bitmaps[entry[1] & 1], e);
	case EXFAT_ENTRY_UPCASE:
		return read_table(entry, "up-case table", &root->upcase, e);
	case EXFAT_ENTRY_LABEL:
		utf16_text(entry + 2, (size_t)min_u64(entry[1], MAX_LABEL), root->label, sizeof(root->label));
		return 0;
	default:
		return 0;
	}
}

int exfat_read_root(struct exfat_fat *fat, struct exfat_root *ret, struct err *e)
{
	struct exfat_root root = { .label = "" };
	struct exfat_walk dir;
	uint64_t needed = ceil_div_u64(fat->l->nr_clusters, 8);

	if (exfat_walk_begin(&dir, fat, fat->l->root_cluster, 0, false, e) < 0 ||
		exfat_each_entry(&dir, root_entry, &root, e) < 0)
		return -1;
	if (!root.bitmaps[fat->l->active].len)
		return err_set(e, ERR_CORRUPT, 0, "exFAT: the root directory has no allocation bitmap");
	if (root.bitmaps[fat->l->active].len < needed)
		return err_set(e, ERR_CORRUPT, 0, "exFAT: the allocation bitmap has %llu bytes, %u clusters need %llu",
			(unsigned long long)root.bitmaps[fat->l->active].len, fat->l->nr_clusters, (unsigned long long)needed);
	*ret = root;
	return 0;
}

static int load_run(struct exfat_fat *fat, const struct exfat_run *r, uint64_t *at, uint8_t *piece, struct fsd_bits *bits,
	struct err *e)
{
	uint64_t start = exfat_cluster_start(fat->l, r->first + EXFAT_FIRST_CLUSTER);
	uint64_t left = min_u64((uint64_t)r->count * fat->l->cluster_size, ceil_div_u64(bits->nr, 8) - *at);

	while (left) {
		size_t len = (size_t)min_u64(left, BITMAP_PIECE);
		if (blk_read(fat->src, start, piece, len, e) < 0)
			return err_wrap(e, "reading the exFAT allocation bitmap");
		fsd_bits_load(bits, *at, piece, len);
		*at += len;
		start += len;
		left -= len;
	}
	return 0;
}

static int load(struct exfat_fat *fat, const struct exfat_table *t, struct fsd_bits *bits, struct err *e)
{
	AUTO_FREE uint8_t *piece = alloc_array(1, BITMAP_PIECE);
	struct exfat_walk w;
	struct exfat_run r;
	uint64_t at = 0;
	int more;

	if (!piece)
		return err_nomem(e, "the exFAT allocation bitmap");
	if (exfat_walk_begin(&w, fat, t->cluster, t->len, false, e) < 0)
		return -1;
	while ((more = exfat_walk_next(&w, &r, e)) > 0)
		if (load_run(fat, &r, &at, piece, bits, e) < 0)
			return -1;
	return more;
}

static int check_used(struct exfat_fat *fat, const struct exfat_table *t, const char *what, const struct fsd_bits *used,
	struct err *e)
{
	struct exfat_walk w;
	struct exfat_run r;
	int more;

	if (!t->cluster && !t->len)
		return 0;
	if (exfat_walk_begin(&w, fat, t->cluster, t->len, false, e) < 0)
		return err_wrap(e, "the %s", what);
	while ((more = exfat_walk_next(&w, &r, e)) > 0) {
		uint64_t end = (uint64_t)r.first + r.count, at = fsd_bits_find(used, r.first, end, false);
		if (at < end)
			return err_set(e, ERR_CORRUPT, 0, "exFAT: the %s lies in a free cluster (%llu)", what,
				(unsigned long long)at + EXFAT_FIRST_CLUSTER);
	}
	return more < 0 ? err_wrap(e, "the %s", what) : 0;
}

int exfat_read_bitmap(struct exfat_fat *fat, const struct exfat_root *root, struct fsd_bits *ret, struct err *e)
{
	const struct exfat_table root_dir = { .cluster = fat->l->root_cluster };
	struct fsd_bits bits;

	if (fsd_bits_new(&bits, fat->l->nr_clusters, e) < 0)
		return -1;
	if (load(fat, &root->bitmaps[fat->l->active], &bits, e) < 0 ||
		check_used(fat, &root_dir, "root directory", &bits, e) < 0 ||
		check_used(fat, &root->bitmaps[0], "allocation bitmap", &bits, e) < 0 ||
		check_used(fat, &root->bitmaps[1], "second allocation bitmap", &bits, e) < 0 ||
		check_used(fat, &root->upcase, "up-case table", &bits, e) < 0) {
		fsd_bits_release(&bits);
		return -1;
	}
	*ret = bits;
	return 0;
}
