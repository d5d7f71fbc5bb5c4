/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The FAT file system made anew, as a source: see remake.h. The table is computed where it is read, files are read where they lie. */
#include "fsdrivers/fat/remake.h"

#include "base/arith.h"
#include "fsdrivers/fat/remake_internal.h"

#include <stdio.h>
#include <string.h>

#define INFO_SECTOR   1U
#define BACKUP_SECTOR 6U

struct remake {
	struct blk_source base;
	struct blk_source *of;
	struct fat_layout was;
	struct fat_shape is;
	struct fat_tree tree;
	uint8_t media;
	uint8_t boot[FAT_BOOT_SIZE], info[FAT_BOOT_SIZE];
};

/* A piece of a volume that is being read: bytes [start, start+len) are known; lay over buf what of it lies in [off, off+n). */
static void lay(uint64_t off, uint8_t *buf, size_t n, uint64_t start, const uint8_t *bytes, uint64_t len)
{
	uint64_t from = max_u64(off, start), to = min_u64(off + n, start + len);

	if (from < to)
		memcpy(buf + (from - off), bytes + (from - start), (size_t)(to - from));
}

/* The node that a cluster belongs to, NULL for a free one. Nodes lie in a row from the first cluster on. */
static const struct fat_node *node_of(const struct remake *r, uint32_t cluster)
{
	uint32_t lo = r->tree.nodes[0].first ? 0 : 1, hi = r->tree.nr;

	if (cluster < FAT_FIRST_CLUSTER || cluster - FAT_FIRST_CLUSTER >= r->is.nr_used)
		return NULL;
	while (hi - lo > 1) {
		uint32_t mid = lo + (hi - lo) / 2;
		if (r->tree.nodes[mid].first <= cluster)
			lo = mid;
		else
			hi = mid;
	}
	return &r->tree.nodes[lo];
}

static uint32_t end_of(const struct remake *r, const struct fat_node *n)
{
	const struct fat_node *behind = n + 1;

	return behind < r->tree.nodes + r->tree.nr ? behind->first : FAT_FIRST_CLUSTER + r->is.nr_used;
}

/* Entries from `cluster` on, without looking up each one's node. */
static void fill_entries(const struct remake *r, uint32_t cluster, uint32_t nr, uint32_t *ret)
{
	uint32_t ones = r->is.bits == 32 ? 0x0fffffff : r->is.bits == 16 ? 0xffff : 0xfff;

	for (uint32_t i = 0; i < nr;) {
		const struct fat_node *n = node_of(r, cluster + i);
		if (!n) {
			uint32_t c = cluster + i;
			ret[i++] = c == 0 ? (ones & ~0xffU) | r->media : c == 1 ? ones : 0;
			continue;
		}
		for (uint32_t end = end_of(r, n); i < nr && cluster + i < end; i++)
			ret[i] = cluster + i + 1 == end ? ones : cluster + i + 1;
	}
}

/* Bytes [off, off+len) of a table, in rows of entries that take whole bytes: two of 12 bits in 3 bytes. */
static void read_table(const struct remake *r, uint64_t off, uint8_t *buf, size_t len)
{
	uint32_t values[1024];
	uint8_t bytes[4096];
	uint32_t row = r->is.bits == 12 ? 3 : r->is.bits / 8, per_row = r->is.bits == 12 ? 2 : 1;
	uint64_t nr_entries = (uint64_t)r->is.nr_clusters + FAT_FIRST_CLUSTER;

	for (uint64_t first = off / row * per_row; first < nr_entries && first / per_row * row < off + len; first += 1024) {
		uint32_t nr = (uint32_t)min_u64(1024, nr_entries - first);
		memset(values, 0, sizeof(values));
		memset(bytes, 0, sizeof(bytes));
		fill_entries(r, (uint32_t)first, nr, values);
		for (uint32_t i = 0; i < nr; i++) {
			if (r->is.bits == 32)
				put_le32(bytes, (size_t)i * 4, values[i]);
			else if (r->is.bits == 16)
				put_le16(bytes, (size_t)i * 2, (uint16_t)values[i]);
			else if (i % 2 == 0)
				put_le32(bytes, (size_t)i / 2 * 3, values[i] | values[i + 1] << 12); /* the fourth byte is zero, and the next row's */
		}
		lay(off, buf, len, first / per_row * row, bytes, 1024 / per_row * row);
	}
}

/* The pieces of a file are sorted by the place in the file. */
static const struct fat_piece *piece_at(const struct remake *r, const struct fat_node *n, uint32_t at, uint32_t *ret_end)
{
	const struct fat_piece *p = &r->tree.pieces[n->first_piece];
	uint32_t lo = 0, hi = n->nr_pieces;

	while (hi - lo > 1) {
		uint32_t mid = lo + (hi - lo) / 2;
		if (p[mid].at <= at)
			lo = mid;
		else
			hi = mid;
	}
	*ret_end = lo + 1 < n->nr_pieces ? p[lo + 1].at : n->nr_old;
	return &p[lo];
}

/* len bytes of a file from off on, all inside its size */
static int read_file(const struct remake *r, const struct fat_node *n, uint64_t off, uint8_t *buf, size_t len, struct err *e)
{
	while (len) {
		uint32_t end, cluster_size = r->was.cluster_size;
		const struct fat_piece *p = piece_at(r, n, (uint32_t)(off / cluster_size), &end);
		uint64_t into = off - (uint64_t)p->at * cluster_size, whole = (uint64_t)(end - p->at) * cluster_size;
		size_t part = (size_t)min_u64(len, whole - into);
		if (blk_read(r->of, fat_cluster_start(&r->was, p->first) + into, buf, part, e) < 0)
			return -1;
		off += part;
		buf += part;
		len -= part;
	}
	return 0;
}

/* Bytes of the clusters; buf is clear. */
static int read_data(const struct remake *r, uint64_t off, uint8_t *buf, size_t len, struct err *e)
{
	for (size_t done = 0; done < len;) {
		uint64_t at = off + done - r->is.data_start;
		const struct fat_node *n = node_of(r, (uint32_t)min_u64(at / r->is.cluster_size + FAT_FIRST_CLUSTER, UINT32_MAX));
		if (!n) /* used clusters come first */
			return 0;
		uint64_t start = (uint64_t)(n->first - FAT_FIRST_CLUSTER) * r->is.cluster_size;
		uint64_t end = (uint64_t)(end_of(r, n) - FAT_FIRST_CLUSTER) * r->is.cluster_size;
		size_t part = (size_t)min_u64(len - done, end - at);
		size_t inside = at - start < n->size ? (size_t)min_u64(part, n->size - (at - start)) : 0;
		if (inside && n->dir)
			memcpy(buf + done, n->dir + (at - start), inside);
		else if (inside && read_file(r, n, at - start, buf + done, inside, e) < 0)
			return -1;
		done += part;
	}
	return 0;
}

static void read_head(const struct remake *r, uint64_t off, uint8_t *buf, size_t len)
{
	uint64_t sector = r->is.sector_size;

	lay(off, buf, len, 0, r->boot, sizeof(r->boot));
	if (r->is.bits != 32)
		return;
	lay(off, buf, len, INFO_SECTOR * sector, r->info, sizeof(r->info));
	lay(off, buf, len, BACKUP_SECTOR * sector, r->boot, sizeof(r->boot));
	lay(off, buf, len, (BACKUP_SECTOR + INFO_SECTOR) * sector, r->info, sizeof(r->info));
}

static int remake_read(struct blk_source *s, uint64_t off, void *buf, size_t len, struct err *e)
{
	const struct remake *r = (const struct remake *)s;
	uint8_t *out = buf;
	uint64_t bounds[] = { r->is.fat_start, r->is.root_start, r->is.data_start, r->is.end, max_u64(r->is.end, r->was.size), s->size };

	memset(out, 0, len);
	for (size_t k = 0; k < sizeof(bounds) / sizeof(bounds[0]) && len; k++) {
		size_t n = off < bounds[k] ? (size_t)min_u64(len, bounds[k] - off) : 0;
		int ok = 0;
		if (!n)
			continue;
		if (k == 0)
			read_head(r, off, out, n);
		for (unsigned copy = 0; k == 1 && copy < r->is.nr_fats; copy++) {
			uint64_t start = r->is.fat_start + copy * r->is.fat_len;
			uint64_t from = max_u64(off, start), to = min_u64(off + n, start + r->is.fat_len);
			if (from < to)
				read_table(r, from - start, out + (from - off), (size_t)(to - from));
		}
		if (k == 2)
			lay(off, out, n, r->is.root_start, r->tree.nodes[0].dir, min_u64(r->tree.nodes[0].size, r->is.root_len));
		if (k == 3)
			ok = read_data(r, off, out, n, e);
		if (k == 5) /* behind the file system, whatever that is */
			ok = blk_read(r->of, off, out, n, e);
		if (ok < 0)
			return -1;
		off += n;
		out += n;
		len -= n;
	}
	return 0;
}

static void remake_close(struct blk_source *s)
{
	struct remake *r = (struct remake *)s;

	fat_tree_release(&r->tree);
	free(r);
}

/* Clusters in the entries of directories. */
static void link_nodes(struct remake *r)
{
	struct fat_tree *t = &r->tree;

	for (uint32_t i = 0; i < t->nr; i++) {
		const struct fat_node *n = &t->nodes[i];
		if (n->parent == FAT_NO_NODE)
			continue;
		uint8_t *d = t->nodes[n->parent].dir + n->entry;
		put_le16(d, 26, (uint16_t)n->first);
		if (r->is.bits == 32)
			put_le16(d, 20, (uint16_t)(n->first >> 16));
		for (uint64_t off = 0; n->dir && off < n->size; off += 32) {
			uint8_t *dots = n->dir + off;
			bool is_parent = !memcmp(dots, "..         ", 11);
			if ((!is_parent && memcmp(dots, ".          ", 11)) || !(dots[11] & 0x10))
				continue;
			/* A parent that is the root is told as 0, in FAT32 too (fatgen103, "Directory creation"). */
			uint32_t to = !is_parent ? n->first : t->nodes[n->parent].parent == FAT_NO_NODE ? 0 : t->nodes[n->parent].first;
			put_le16(dots, 26, (uint16_t)to);
			if (r->is.bits == 32)
				put_le16(dots, 20, (uint16_t)(to >> 16));
		}
	}
}

static void make_info(struct remake *r)
{
	memcpy(r->info, "RRaA", 4);
	memcpy(r->info + 484, "rrAa", 4);
	put_le32(r->info, 488, r->is.nr_clusters - r->is.nr_used);
	put_le32(r->info, 492, r->is.nr_used + FAT_FIRST_CLUSTER - 1); /* the last one that was given away */
	put_le16(r->info, 510, 0xaa55);
}

/* What counts in sectors; everything else of the old boot sector stays. Its code would look for sectors where none of it is: it goes on to the next device. */
static void make_boot(struct remake *r)
{
	static const uint8_t code[] = { 0xCD, 0x18, 0xF4, 0xEB, 0xFD }; /* int 18h; hlt; jmp to the hlt */
	const struct fat_shape *s = &r->is;
	uint8_t *b = r->boot;
	size_t code_at = s->bits == 32 ? 90 : 62;
	uint64_t hidden = (uint64_t)get_le32(b + 28) * r->was.sector_size;
	bool is_small = s->bits != 32 && s->total_sectors < 0x10000;

	b[0] = 0xEB;
	b[1] = (uint8_t)(code_at - 2);
	b[2] = 0x90;
	put_le16(b, 11, (uint16_t)s->sector_size);
	b[13] = (uint8_t)(s->cluster_size / s->sector_size);
	put_le16(b, 14, (uint16_t)s->reserved);
	put_le16(b, 17, (uint16_t)s->root_entries);
	put_le16(b, 19, is_small ? (uint16_t)s->total_sectors : 0);
	put_le16(b, 22, s->bits == 32 ? 0 : (uint16_t)s->fat_sectors);
	put_le32(b, 28, hidden % s->sector_size || hidden / s->sector_size > UINT32_MAX ? 0 : (uint32_t)(hidden / s->sector_size));
	put_le32(b, 32, is_small ? 0 : s->total_sectors);
	if (s->bits == 32) {
		put_le32(b, 36, s->fat_sectors);
		put_le16(b, 40, 0); /* all copies are kept equal */
		put_le32(b, 44, r->tree.nodes[0].first);
		put_le16(b, 48, INFO_SECTOR);
		put_le16(b, 50, BACKUP_SECTOR);
	}
	memset(b + code_at, 0, 510 - code_at);
	memcpy(b + code_at, code, sizeof(code));
	put_le16(b, 510, 0xaa55);
	r->media = b[21];
}

static int plan(struct remake *r, struct err *e)
{
	if (r->of->size < FAT_BOOT_SIZE)
		return err_set(e, ERR_UNSUPPORTED, 0, "'%s' is not a FAT file system", blk_name(r->of));
	if (blk_read(r->of, 0, r->boot, FAT_BOOT_SIZE, e) < 0)
		return -1;
	struct span s = span_of(r->boot, FAT_BOOT_SIZE);
	if (!fat_is_boot_sector(&s, r->of->size))
		return err_set(e, ERR_UNSUPPORTED, 0, "'%s' is not a FAT file system", blk_name(r->of));
	if (fat_read_layout(&s, r->of->size, &r->was, e) < 0 || fat_tree_read(r->of, &r->was, &r->tree, e) < 0)
		return -1;
	if (fat_shape_find(&r->was, get_le16(r->boot + 17), r->is.sector_size, &r->tree, &r->is, e) < 0)
		return -1;
	make_boot(r);
	make_info(r);
	link_nodes(r);
	return 0;
}

struct blk_source *fat_remake(struct blk_source *of, uint32_t sector_size, struct err *e)
{
	static const struct blk_source_ops ops = { .read = remake_read, .close = remake_close };

	if (!is_pow2(sector_size) || sector_size < 512 || sector_size > 4096) {
		err_set(e, ERR_UNSUPPORTED, 0, "a FAT file system with sectors of %u bytes", sector_size);
		return NULL;
	}
	struct remake *r = alloc_array(1, sizeof(*r));
	if (!r) {
		err_nomem(e, "a FAT file system");
		return NULL;
	}
	r->base = (struct blk_source){ .ops = &ops, .size = of->size, .sector_size = sector_size, .phys_sector_size = sector_size };
	snprintf(r->base.name, sizeof(r->base.name), "%s", blk_name(of));
	r->of = of;
	r->is.sector_size = sector_size;
	if (plan(r, e) < 0) {
		remake_close(&r->base);
		return NULL;
	}
	return &r->base;
}
