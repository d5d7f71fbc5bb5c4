/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * What is in use: every extent of the extent tree (btrfs docs, "Extent tree": EXTENT_ITEM, METADATA_ITEM), in all its copies.
 *
 * An extent tree that lost an item would make an image that lacks data, so it is believed only where nothing contradicts it: each
 * block group's count, the superblock's, the free space tree, and the tree blocks that were read or that a root names, all of which must be
 * allocated, and what all other blocks point to (refs.c). Of chunks with parity everything is taken: what a row's parity is computed from need not be in use.
 */
#include "fsdrivers/btrfs/btrfs.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#define EXTENT_IS_DATA  (1ULL << 0)
#define EXTENT_IS_BLOCK (1ULL << 1)

struct mapper {
	struct btrfs_volume *v;
	fsd_extent_fn emit;
	void *arg;
	struct btrfs_space space;
	size_t chunk;            /* index of the one under work */
	uint64_t pos;            /* in it: everything below was accounted for */
	uint64_t run_start, run_end; /* extents without gaps between them, not emitted yet */
	uint64_t nr_used;        /* bytes, logical */
};

static int flush_run(struct mapper *m, struct err *e)
{
	uint64_t start = m->run_start, len = m->run_end - m->run_start;
	struct btrfs_volume *v = m->v;

	m->run_start = m->run_end = 0;
	if (len && v->chunks.v[m->chunk].type & BTRFS_GROUP_DATA) {
		if (btrfs_grow(&v->runs, v->nr_runs, &v->runs_room, sizeof(*v->runs), e) < 0)
			return -1;
		v->runs[v->nr_runs++] = (struct btrfs_run){ start, len };
	}
	return len ? btrfs_emit_logical(m->v, &m->v->chunks.v[m->chunk], start, len, m->emit, m->arg, e) : 0;
}

/* What is between the last extent and this address is free. */
static int free_up_to(struct mapper *m, uint64_t end, struct err *e)
{
	uint64_t start = m->pos;

	m->pos = end;
	return end > start ? btrfs_space_take(&m->space, start, end - start, e) : 0;
}

static void enter_chunk(struct mapper *m, size_t index)
{
	m->chunk = index;
	if (index < m->v->chunks.nr)
		m->pos = m->v->chunks.v[index].start;
}

static int leave_chunk(struct mapper *m, struct err *e)
{
	const struct btrfs_chunk *c = &m->v->chunks.v[m->chunk];

	if (flush_run(m, e) < 0 || free_up_to(m, c->start + c->len, e) < 0)
		return -1;
	enter_chunk(m, m->chunk + 1);
	return 0;
}

/* Memory is touched where there are blocks only; a chunk is no larger than what its devices have. */
static int set_bit(const struct mapper *m, const struct btrfs_chunk *c, uint64_t **bits, uint64_t start, struct err *e)
{
	uint64_t bit = (start - c->start) / m->v->sb->sector_size;

	if (!*bits && !(*bits = alloc_array((size_t)(c->len / m->v->sb->sector_size / 64 + 1), sizeof(uint64_t))))
		return err_nomem(e, "the tree blocks of a btrfs chunk");
	(*bits)[bit / 64] |= 1ULL << (bit % 64);
	return 0;
}

/* Remember that a tree block begins here. */
static int mark_block(const struct mapper *m, struct btrfs_chunk *c, uint64_t start, const struct btrfs_item *item, struct err *e)
{
	if (set_bit(m, c, &c->blocks, start, e) < 0)
		return -1;
	return btrfs_is_for_refs(item) ? set_bit(m, c, &c->looks, start, e) : 0;
}

bool btrfs_is_block(const struct btrfs_volume *v, uint64_t start)
{
	const struct btrfs_chunk *c = btrfs_chunk_find(v, start);

	return c && c->blocks && start % v->sb->sector_size == 0 && btrfs_bit(c->blocks, (start - c->start) / v->sb->sector_size);
}

bool btrfs_is_in_run(const struct btrfs_volume *v, uint64_t start, uint64_t len)
{
	size_t low = 0, high = v->nr_runs;

	while (low < high) {
		size_t mid = low + (high - low) / 2;
		if (v->runs[mid].start <= start)
			low = mid + 1;
		else
			high = mid;
	}
	return low && range_inside(start - v->runs[low - 1].start, len, v->runs[low - 1].len);
}

static int bad_extent(uint64_t start, const char *what, struct err *e)
{
	return err_set(e, ERR_CORRUPT, 0, "btrfs extent at %llu %s", (unsigned long long)start, what);
}

static int add_extent(struct mapper *m, uint64_t start, uint64_t len, bool is_block, const struct btrfs_item *item, struct err *e)
{
	struct btrfs_chunks *all = &m->v->chunks;

	while (m->chunk < all->nr && start >= all->v[m->chunk].start + all->v[m->chunk].len)
		if (leave_chunk(m, e) < 0)
			return -1;
	struct btrfs_chunk *c = m->chunk < all->nr ? &all->v[m->chunk] : NULL;
	if (!c || start < c->start || !range_inside(start - c->start, len, c->len))
		return bad_extent(start, "lies in no chunk", e);
	if (start < m->pos)
		return bad_extent(start, "overlaps the one before", e);
	if (!(c->type & (is_block ? BTRFS_GROUP_METADATA | BTRFS_GROUP_SYSTEM : BTRFS_GROUP_DATA)))
		return bad_extent(start, "is of another type than its chunk", e);
	if (is_block && mark_block(m, c, start, item, e) < 0)
		return -1;
	if (start != m->run_end) {
		if (flush_run(m, e) < 0)
			return -1;
		m->run_start = start;
	}
	m->run_end = start + len;
	c->nr_found += len;
	m->nr_used += len;
	if (free_up_to(m, start, e) < 0)
		return -1;
	m->pos = start + len;
	return 0;
}

static int on_extent(struct mapper *m, struct btrfs_item *item, struct err *e)
{
	const struct btrfs_super *sb = m->v->sb;
	uint64_t flags = span_le64(&item->data, 16), start = item->key.objectid;
	bool is_skinny = item->key.type == BTRFS_METADATA_ITEM, is_block = flags & EXTENT_IS_BLOCK;
	uint64_t len = is_skinny ? sb->node_size : item->key.offset;

	if (item->data.bad || is_block == (bool)(flags & EXTENT_IS_DATA) || !span_le64(&item->data, 0) || span_le64(&item->data, 8) > sb->generation)
		return bad_extent(start, "is damaged", e);
	if (is_skinny && (!is_block || item->key.offset >= BTRFS_MAX_LEVEL || !(sb->incompat & BTRFS_INCOMPAT_SKINNY_METADATA)))
		return bad_extent(start, "is no tree block, but says so", e);
	if (!len || (start | len) % sb->sector_size || (is_block && len != sb->node_size))
		return bad_extent(start, "has a length that cannot be", e);
	return add_extent(m, start, len, is_block, item, e);
}

/* ---- block groups: one for each chunk ---- */

static int on_group(struct mapper *m, struct btrfs_item *item, struct err *e)
{
	struct btrfs_chunk *c = btrfs_chunk_find(m->v, item->key.objectid);
	uint64_t type = span_le64(&item->data, 16);

	if (item->data.bad || !c || c->start != item->key.objectid || c->len != item->key.offset || c->type != type || c->has_group)
		return err_set(e, ERR_CORRUPT, 0, "btrfs block group %llu and the chunk tree contradict each other", (unsigned long long)item->key.objectid);
	c->has_group = true;
	c->group_used = span_le64(&item->data, 0);
	return 0;
}

static int check_groups(struct mapper *m, struct err *e)
{
	for (size_t i = 0; i < m->v->chunks.nr; i++) {
		const struct btrfs_chunk *c = &m->v->chunks.v[i];
		if (!c->has_group)
			return err_set(e, ERR_CORRUPT, 0, "btrfs chunk at %llu has no block group", (unsigned long long)c->start);
		if (c->group_used != c->nr_found)
			return err_set(e, ERR_CORRUPT, 0, "btrfs block group %llu counts %llu bytes in use, the extent tree has %llu",
				(unsigned long long)c->start, (unsigned long long)c->group_used, (unsigned long long)c->nr_found);
	}
	if (m->nr_used != m->v->sb->bytes_used)
		return err_set(e, ERR_CORRUPT, 0, "the btrfs superblock counts %llu bytes in use, the extent tree has %llu",
			(unsigned long long)m->v->sb->bytes_used, (unsigned long long)m->nr_used);
	return 0;
}

/* ---- the walks ---- */

static int on_item(struct mapper *m, struct btrfs_item *item, struct err *e)
{
	bool has_group_tree = m->v->sb->compat_ro & BTRFS_RO_BLOCK_GROUP_TREE;

	switch (item->key.type) {
	case BTRFS_EXTENT_ITEM:
	case BTRFS_METADATA_ITEM:
		return on_extent(m, item, e);
	case BTRFS_BLOCK_GROUP_ITEM:
		if (!has_group_tree)
			return on_group(m, item, e);
		break;
	case BTRFS_EXTENT_OWNER_REF:
	case BTRFS_TREE_BLOCK_REF:
	case BTRFS_EXTENT_DATA_REF:
	case BTRFS_SHARED_BLOCK_REF:
	case BTRFS_SHARED_DATA_REF:
		return 0;
	}
	return err_set(e, ERR_CORRUPT, 0, "the btrfs extent tree has an item of the unknown type %u", item->key.type);
}

static int walk_extents(struct mapper *m, struct err *e)
{
	struct btrfs_root root;
	struct btrfs_item item;
	int r;

	if (btrfs_root_find(m->v, BTRFS_EXTENT_TREE, &root, e) < 0)
		return -1;
	struct btrfs_cursor c = btrfs_cursor(m->v, &root, (struct btrfs_key){ 0 });
	enter_chunk(m, 0);
	while ((r = btrfs_cursor_next(&c, &item, e)) > 0)
		if (on_item(m, &item, e) < 0) {
			r = -1;
			break;
		}
	btrfs_cursor_release(&c);
	while (r == 0 && m->chunk < m->v->chunks.nr)
		r = leave_chunk(m, e);
	return r < 0 ? -1 : btrfs_space_end(&m->space, e);
}

static int walk_groups(struct mapper *m, struct err *e)
{
	struct btrfs_root root;
	struct btrfs_item item;
	int r;

	if (!(m->v->sb->compat_ro & BTRFS_RO_BLOCK_GROUP_TREE))
		return 0;
	if (btrfs_root_find(m->v, BTRFS_BLOCK_GROUP_TREE, &root, e) < 0)
		return -1;
	struct btrfs_cursor c = btrfs_cursor(m->v, &root, (struct btrfs_key){ 0 });
	while ((r = btrfs_cursor_next(&c, &item, e)) > 0)
		if (item.key.type == BTRFS_BLOCK_GROUP_ITEM && on_group(m, &item, e) < 0) {
			r = -1;
			break;
		}
	btrfs_cursor_release(&c);
	return r;
}

/* Every tree begins with a block that is allocated: subvolumes and snapshots, too. Free space caches of old stand in files of the root tree. */
static int check_roots(struct mapper *m, struct err *e)
{
	struct btrfs_root root = btrfs_tree_root(m->v->sb), tree;
	struct btrfs_cursor c = btrfs_cursor(m->v, &root, (struct btrfs_key){ 0 });
	struct btrfs_item item;
	int r;

	while ((r = btrfs_cursor_next(&c, &item, e)) > 0) {
		if (item.key.type == BTRFS_EXTENT_DATA && (r = btrfs_check_extent_data(m->v, &item, e)) < 0)
			break;
		if (item.key.type != BTRFS_ROOT_ITEM)
			continue;
		r = btrfs_root_decode(m->v, &item, &tree, e);
		if (r == 0 && !btrfs_is_block(m->v, tree.logical))
			r = err_set(e, ERR_CORRUPT, 0, "btrfs tree %llu begins in a block that is marked as free", (unsigned long long)tree.owner);
		if (r < 0)
			break;
	}
	btrfs_cursor_release(&c);
	return r;
}

static int check_walked(struct mapper *m, struct err *e)
{
	for (size_t i = 0; i < m->v->nr_walked; i++)
		if (!btrfs_is_block(m->v, m->v->walked[i]))
			return err_set(e, ERR_CORRUPT, 0, "btrfs tree block %llu is in use, but marked as free", (unsigned long long)m->v->walked[i]);
	return 0;
}

/* What no extent tells of: the head of each device, its superblocks, and all of the chunks with parity. */
static int emit_fixed(struct mapper *m, struct err *e)
{
	const struct blk_set *set = &m->v->base.set;

	for (size_t i = 0; i < set->nr; i++) {
		uint64_t size = set->members[i]->size, end = round_down_u64(m->v->supers[i].dev_size, 4096);
		if (m->emit(m->arg, i, 0, BTRFS_HEAD, EXT_USED, e) < 0)
			return -1;
		for (unsigned copy = 1; copy < BTRFS_NR_SUPERS; copy++)
			if (range_inside(btrfs_super_offset(copy), BTRFS_SUPER_SIZE, end) &&
				m->emit(m->arg, i, btrfs_super_offset(copy), BTRFS_SUPER_SIZE, EXT_USED, e) < 0)
				return -1;
		if (set->nr > 1 && size > end && m->emit(m->arg, i, end, size - end, EXT_USED, e) < 0)
			return -1;
	}
	for (size_t i = 0; i < m->v->chunks.nr; i++)
		if (m->v->chunks.v[i].has_parity && btrfs_emit_stripes(m->v, &m->v->chunks.v[i], m->emit, m->arg, e) < 0)
			return -1;
	return 0;
}

static int map_clean(struct mapper *m, struct err *e)
{
	struct fsd_info *i = &m->v->base.info;

	if (emit_fixed(m, e) < 0 || walk_extents(m, e) < 0 || walk_groups(m, e) < 0)
		return -1;
	if (check_groups(m, e) < 0 || check_roots(m, e) < 0 || check_walked(m, e) < 0 || btrfs_check_refs(m->v, e) < 0)
		return -1;
	if (m->v->nr_bad_copies && !i->notice[0])
		snprintf(i->notice, sizeof(i->notice), "%" PRIu64 " copies of tree blocks are damaged, others are good: run btrfs scrub", m->v->nr_bad_copies);
	return 0;
}

/* A map may be asked for again. */
static void forget(struct btrfs_volume *v)
{
	for (size_t i = 0; i < v->chunks.nr; i++) {
		struct btrfs_chunk *c = &v->chunks.v[i];
		free(take(&c->blocks));
		free(take(&c->looks));
		c->has_group = false;
		c->group_used = c->nr_found = 0;
	}
	free(take(&v->runs));
	v->nr_runs = v->runs_room = 0;
}

int btrfs_map(struct fsd_volume *volume, fsd_extent_fn emit, void *arg, struct err *e)
{
	struct mapper m = { .v = (struct btrfs_volume *)volume, .emit = emit, .arg = arg };

	if (volume->info.state != FSD_CLEAN) {
		for (size_t i = 0; i < volume->set.nr; i++) {
			uint64_t size = volume->set.nr > 1 ? volume->set.members[i]->size : volume->info.size;
			if (size && emit(arg, i, 0, size, EXT_USED, e) < 0)
				return -1;
		}
		return 0;
	}
	if (btrfs_space_open(m.v, &m.space, e) < 0)
		return -1;
	int r = map_clean(&m, e);
	btrfs_space_release(&m.space);
	forget(m.v);
	return r;
}
