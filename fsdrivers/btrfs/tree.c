/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Trees (btrfs docs, "Trees": header, leaf, node). Nothing of a block is used before its checksum, its place, its file system, its tree, its
 * level, its generation and its keys were compared with what led there; where a copy fails, the next one is tried.
 *
 * Crafted trees end: a child begins with the key that its parent names and has a lower level, keys only grow, so no
 * leaf is met twice.
 */
#include "fsdrivers/btrfs/btrfs.h"

#include <stdlib.h>

#define HEADER   101U
#define ITEM     25U /* a key, the place and the length of its data */
#define POINTER  33U /* a key, the address of a block and its generation */

/* What the pointer to a block says about it. */
struct expected {
	uint64_t logical, generation, owner;
	uint8_t level;
	const struct btrfs_key *first; /* NULL: a root, which begins with any */
};

static int key_cmp(const struct btrfs_key *a, const struct btrfs_key *b)
{
	if (a->objectid != b->objectid)
		return a->objectid < b->objectid ? -1 : 1;
	if (a->type != b->type)
		return a->type < b->type ? -1 : 1;
	return a->offset < b->offset ? -1 : a->offset > b->offset;
}

static struct btrfs_key key_at(const uint8_t *p)
{
	return (struct btrfs_key){ get_le64(p), p[8], get_le64(p + 9) };
}

static struct btrfs_key key_of(const uint8_t *block, uint8_t level, uint32_t slot)
{
	return key_at(block + HEADER + (size_t)slot * (level ? POINTER : ITEM));
}

static int bad_block(const struct expected *x, const char *what, struct err *e)
{
	return err_set(e, ERR_CORRUPT, 0, "block %llu of btrfs tree %llu: %s", (unsigned long long)x->logical, (unsigned long long)x->owner, what);
}

/* The items of a leaf fill it from its end, in the order of their keys, without a gap. */
static bool items_fit(const uint8_t *block, uint32_t nr, uint32_t size)
{
	uint64_t end = size - HEADER;

	for (uint32_t i = 0; i < nr; i++) {
		const uint8_t *item = block + HEADER + (size_t)i * ITEM;
		uint64_t off = get_le32(item + 17), len = get_le32(item + 21);
		if (off + len != end)
			return false;
		end = off;
	}
	return end >= (uint64_t)nr * ITEM;
}

static bool pointers_fit(const struct btrfs_super *sb, const uint8_t *block, uint32_t nr, uint64_t generation)
{
	for (uint32_t i = 0; i < nr; i++) {
		const uint8_t *p = block + HEADER + (size_t)i * POINTER;
		if (!get_le64(p + 17) || get_le64(p + 17) % sb->sector_size || get_le64(p + 25) > generation)
			return false;
	}
	return true;
}

static int check_block(struct btrfs_volume *v, const struct expected *x, const uint8_t *block, struct err *e)
{
	const struct btrfs_super *sb = v->sb;
	uint32_t nr = get_le32(block + 96), size = sb->node_size;

	if (!btrfs_csum_good(&v->csum, block, size))
		return bad_block(x, "wrong checksum", e);
	if (get_le64(block + 48) != x->logical || memcmp(block + 32, sb->metadata_fsid, BTRFS_UUID_SIZE) != 0)
		return bad_block(x, "belongs somewhere else", e);
	if (get_le64(block + 80) != x->generation || x->generation > sb->generation)
		return bad_block(x, "is of another generation than expected", e);
	if (get_le64(block + 88) != x->owner || block[100] != x->level)
		return bad_block(x, "belongs to another tree or level", e);
	if (nr > (size - HEADER) / (x->level ? POINTER : ITEM) || (!nr && (x->level || x->first)))
		return bad_block(x, "the number of its items is out of range", e);
	if (!(x->level ? pointers_fit(sb, block, nr, x->generation) : items_fit(block, nr, size)))
		return bad_block(x, "its items are out of range", e);
	for (uint32_t i = 0; i < nr; i++) {
		struct btrfs_key key = key_of(block, x->level, i), before = i ? key_of(block, x->level, i - 1) : key;
		if (i ? key_cmp(&before, &key) >= 0 : x->first && key_cmp(x->first, &key) != 0)
			return bad_block(x, "its keys are out of order", e);
	}
	return 0;
}

/* A copy that is bad or that the medium lost: the next one may be good. */
static bool is_for_next_copy(const struct err *e)
{
	return e->code == ERR_CORRUPT || (e->code == ERR_FAILED && blk_is_medium_error(e));
}

/*
 * Two copies that are whole but not the same: each of the devices was written to without the other, as often. To go by one of them would
 * lose what the other has. A copy that is bad is none.
 */
static int compare_copies(struct btrfs_volume *v, const struct btrfs_chunk *c, const struct expected *x, const uint8_t *buf, unsigned copy, struct err *e)
{
	struct err why = ERR_INIT;
	uint32_t size = v->sb->node_size;
	AUTO_FREE uint8_t *other = copy < c->nr_copies ? malloc(size) : NULL;

	if (copy < c->nr_copies && !other)
		return err_nomem(e, "a btrfs tree");
	for (; copy < c->nr_copies; copy++) {
		if (btrfs_read_logical(v, c, x->logical, other, size, copy, &why) < 0 || check_block(v, x, other, &why) < 0) {
			if (!is_for_next_copy(&why)) {
				*e = why;
				return -1;
			}
			v->nr_bad_copies++;
		} else if (memcmp(buf, other, size) != 0) {
			return bad_block(x, "its copies are different, but each is whole", e);
		}
	}
	return 0;
}

static int read_block(struct btrfs_volume *v, const struct expected *x, uint8_t *buf, struct err *e)
{
	const struct btrfs_chunk *c = btrfs_chunk_find(v, x->logical);

	if (!c || !range_inside(x->logical - c->start, v->sb->node_size, c->len))
		return bad_block(x, "lies in no chunk", e);
	if (btrfs_grow(&v->walked, v->nr_walked, &v->walked_room, sizeof(*v->walked), e) < 0)
		return -1;
	v->walked[v->nr_walked++] = x->logical;
	for (unsigned copy = 0; copy < c->nr_copies; copy++) {
		if (btrfs_read_logical(v, c, x->logical, buf, v->sb->node_size, copy, e) == 0 && check_block(v, x, buf, e) == 0) {
			v->nr_bad_copies += copy;
			return compare_copies(v, c, x, buf, copy + 1, e);
		}
		if (!is_for_next_copy(e))
			return -1;
	}
	return -1;
}

/* ---- blocks by themselves ---- */

int btrfs_block_check(struct btrfs_volume *v, uint64_t logical, const uint8_t *block, struct err *e)
{
	struct expected x = { logical, get_le64(block + 80), get_le64(block + 88), block[100], NULL };

	if (x.level >= BTRFS_MAX_LEVEL)
		return bad_block(&x, "its level is out of range", e);
	return check_block(v, &x, block, e);
}

int btrfs_block_read(struct btrfs_volume *v, const struct btrfs_chunk *c, uint64_t logical, uint8_t *block, struct err *e)
{
	for (unsigned copy = 0; copy < c->nr_copies; copy++) {
		if (btrfs_read_logical(v, c, logical, block, v->sb->node_size, copy, e) == 0 && btrfs_block_check(v, logical, block, e) == 0) {
			v->nr_bad_copies += copy;
			return 0;
		}
		if (!is_for_next_copy(e))
			return -1;
	}
	return -1;
}

bool btrfs_block_child(const uint8_t *block, uint32_t i, uint64_t *ret)
{
	if (!block[100] || i >= get_le32(block + 96))
		return false;
	*ret = get_le64(block + HEADER + (size_t)i * POINTER + 17);
	return true;
}

bool btrfs_block_item(const uint8_t *block, uint32_t i, struct btrfs_item *ret)
{
	const uint8_t *item = block + HEADER + (size_t)i * ITEM;

	if (block[100] || i >= get_le32(block + 96))
		return false;
	*ret = (struct btrfs_item){ .key = key_at(item), .data = span_of(block + HEADER + get_le32(item + 17), get_le32(item + 21)) };
	return true;
}

/* ---- cursors ---- */

struct btrfs_cursor btrfs_cursor(struct btrfs_volume *v, const struct btrfs_root *root, struct btrfs_key from)
{
	return (struct btrfs_cursor){ .v = v, .root = *root, .from = from };
}

void btrfs_cursor_release(struct btrfs_cursor *c)
{
	for (unsigned i = 0; i < BTRFS_MAX_LEVEL; i++)
		free(take(&c->level[i].buf));
}

static int load(struct btrfs_cursor *c, const struct expected *x, struct err *e)
{
	struct btrfs_level *l = &c->level[x->level];

	if (!l->buf && !(l->buf = aligned_alloc(4096, c->v->sb->node_size)))
		return err_nomem(e, "a btrfs tree block");
	if (read_block(c->v, x, l->buf, e) < 0)
		return -1;
	l->nr = get_le32(l->buf + 96);
	l->slot = 0;
	return 0;
}

/* On the way down for the first time: the slot that leads to the first key wanted. */
static void seek(struct btrfs_cursor *c, uint8_t level)
{
	struct btrfs_level *l = &c->level[level];

	for (; l->slot < l->nr; l->slot++) {
		struct btrfs_key key = key_of(l->buf, level, l->slot);
		int cmp = key_cmp(&key, &c->from);
		if (level && cmp > 0) {
			l->slot -= l->slot > 0;
			return;
		}
		if (cmp >= 0)
			return;
	}
	if (level) /* the last child may hold it */
		l->slot--;
}

/* From the slot of a node down to a leaf. */
static int descend(struct btrfs_cursor *c, uint8_t level, struct err *e)
{
	for (; level; level--) {
		const struct btrfs_level *l = &c->level[level];
		const uint8_t *p = l->buf + HEADER + (size_t)l->slot * POINTER;
		struct btrfs_key first = key_at(p);
		struct expected x = { get_le64(p + 17), get_le64(p + 25), c->root.owner, (uint8_t)(level - 1), &first };
		if (load(c, &x, e) < 0)
			return -1;
		if (!c->is_started)
			seek(c, (uint8_t)(level - 1));
	}
	return 0;
}

static int start(struct btrfs_cursor *c, struct err *e)
{
	struct expected x = { c->root.logical, c->root.generation, c->root.owner, c->root.level, NULL };

	if (load(c, &x, e) < 0)
		return -1;
	seek(c, x.level);
	if (descend(c, x.level, e) < 0)
		return -1;
	c->is_started = true;
	return 0;
}

/* The next leaf: 1, 0 when there is none, -1 */
static int next_leaf(struct btrfs_cursor *c, struct err *e)
{
	uint8_t level = 1;

	while (level <= c->root.level && c->level[level].slot + 1 >= c->level[level].nr)
		level++;
	if (level > c->root.level)
		return 0;
	c->level[level].slot++;
	return descend(c, level, e) < 0 ? -1 : 1;
}

int btrfs_cursor_next(struct btrfs_cursor *c, struct btrfs_item *ret, struct err *e)
{
	struct btrfs_level *leaf = &c->level[0];

	if (!c->is_started && start(c, e) < 0)
		return -1;
	while (leaf->slot >= leaf->nr) {
		int more = next_leaf(c, e);
		if (more <= 0)
			return more;
	}
	struct btrfs_key key = key_of(leaf->buf, 0, leaf->slot);
	if (c->has_last && key_cmp(&c->last, &key) >= 0)
		return err_set(e, ERR_CORRUPT, 0, "the keys of btrfs tree %llu are out of order", (unsigned long long)c->root.owner);
	c->last = key;
	c->has_last = true;
	return btrfs_block_item(leaf->buf, leaf->slot++, ret);
}

/* ---- where trees begin ---- */

struct btrfs_root btrfs_tree_root(const struct btrfs_super *sb)
{
	return (struct btrfs_root){ BTRFS_ROOT_TREE, sb->root, sb->generation, sb->root_level };
}

struct btrfs_root btrfs_chunk_root(const struct btrfs_super *sb)
{
	return (struct btrfs_root){ BTRFS_CHUNK_TREE, sb->chunk_root, sb->chunk_root_generation, sb->chunk_root_level };
}

int btrfs_root_decode(const struct btrfs_volume *v, struct btrfs_item *item, struct btrfs_root *ret, struct err *e)
{
	struct span *s = &item->data;

	*ret = (struct btrfs_root){ item->key.objectid, span_le64(s, 176), span_le64(s, 160), span_u8(s, 238) };
	if (s->bad || ret->level >= BTRFS_MAX_LEVEL || ret->logical % v->sb->sector_size || ret->generation > v->sb->generation)
		return err_set(e, ERR_CORRUPT, 0, "the root of btrfs tree %llu is out of range", (unsigned long long)item->key.objectid);
	return 0;
}

int btrfs_root_find(struct btrfs_volume *v, uint64_t id, struct btrfs_root *ret, struct err *e)
{
	struct btrfs_root root = btrfs_tree_root(v->sb);
	struct btrfs_cursor c = btrfs_cursor(v, &root, (struct btrfs_key){ id, BTRFS_ROOT_ITEM, 0 });
	struct btrfs_item item;

	int r = btrfs_cursor_next(&c, &item, e);
	if (r == 0 || (r > 0 && (item.key.objectid != id || item.key.type != BTRFS_ROOT_ITEM)))
		r = err_set(e, ERR_CORRUPT, 0, "btrfs tree %llu is missing", (unsigned long long)id);
	if (r > 0)
		r = btrfs_root_decode(v, &item, ret, e);
	btrfs_cursor_release(&c);
	return r < 0 ? -1 : 0;
}
