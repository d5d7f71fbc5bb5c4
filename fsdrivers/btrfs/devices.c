/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The chunk tree (btrfs docs, "Chunk tree": DEV_ITEM, CHUNK_ITEM) and the device tree (DEV_EXTENT, DEV_REPLACE): which devices there are,
 * and that both trees tell the same about who uses which piece of them.
 */
#include "fsdrivers/btrfs/btrfs.h"

#include <stdlib.h>

enum { REPLACE_STARTED = 1, REPLACE_SUSPENDED = 4 };

static int add_device(struct btrfs_volume *v, struct btrfs_item *item, struct err *e)
{
	struct btrfs_device d = { .devid = item->key.offset, .size = span_le64(&item->data, 8) };

	span_copy(&item->data, 66, d.uuid, sizeof(d.uuid));
	span_copy(&item->data, 82, d.fsid, sizeof(d.fsid));
	if (item->data.bad || span_le64(&item->data, 0) != d.devid)
		return err_set(e, ERR_CORRUPT, 0, "the btrfs device item %llu is damaged", (unsigned long long)d.devid);
	for (size_t i = 0; i < v->base.set.nr && !d.is_here; i++) {
		d.is_here = v->supers[i].devid == d.devid && !memcmp(v->supers[i].dev_uuid, d.uuid, sizeof(d.uuid));
		d.member = i;
	}
	if (btrfs_grow(&v->devices, v->nr_devices, &v->devices_room, sizeof(*v->devices), e) < 0)
		return -1;
	v->devices[v->nr_devices++] = d;
	return 0;
}

static int add_items(struct btrfs_volume *v, struct btrfs_cursor *c, struct btrfs_chunks *chunks, struct err *e)
{
	struct btrfs_item item;
	int more;

	while ((more = btrfs_cursor_next(c, &item, e)) > 0) {
		int r = 0;
		if (item.key.type == BTRFS_DEV_ITEM && item.key.objectid == BTRFS_DEV_ITEMS)
			r = add_device(v, &item, e);
		else if (item.key.type == BTRFS_CHUNK_ITEM && item.key.objectid == BTRFS_FIRST_CHUNK_TREE)
			r = btrfs_chunks_add(v, chunks, item.key.offset, &item.data, e);
		if (r < 0)
			return -1;
	}
	return more;
}

int btrfs_read_chunk_tree(struct btrfs_volume *v, struct err *e)
{
	struct btrfs_root root = btrfs_chunk_root(v->sb);
	struct btrfs_cursor c = btrfs_cursor(v, &root, (struct btrfs_key){ 0 });
	struct btrfs_chunks all = { 0 };

	int r = btrfs_chunks_bootstrap(v, e);
	if (r == 0)
		r = add_items(v, &c, &all, e);
	if (r == 0)
		r = btrfs_chunks_sort(&all, e);
	btrfs_cursor_release(&c);
	if (r == 0) {
		struct btrfs_chunks boot = v->chunks;
		v->chunks = all;
		r = btrfs_chunks_confirm(v, &boot, e);
		all = boot;
	}
	btrfs_chunks_release(&all);
	return r;
}

static int by_place(const void *a, const void *b)
{
	const struct btrfs_stripe *x = *(const struct btrfs_stripe *const *)a, *y = *(const struct btrfs_stripe *const *)b;

	if (x->devid != y->devid)
		return x->devid < y->devid ? -1 : 1;
	return (x->start > y->start) - (x->start < y->start);
}

/* All stripes by their places; the caller frees. NULL: err is set. */
static const struct btrfs_stripe **sort_stripes(const struct btrfs_volume *v, struct err *e)
{
	size_t nr = v->chunks.nr_stripes;
	const struct btrfs_stripe **list = alloc_array(nr, sizeof(const struct btrfs_stripe *));

	if (!list) {
		err_nomem(e, "the stripes of btrfs");
		return NULL;
	}
	for (size_t i = 0; i < nr; i++)
		list[i] = &v->chunks.stripes[i];
	qsort(list, nr, sizeof(*list), by_place);
	return list;
}

static const struct btrfs_device *find_device(const struct btrfs_volume *v, uint64_t devid)
{
	for (size_t i = 0; i < v->nr_devices; i++)
		if (v->devices[i].devid == devid)
			return &v->devices[i];
	return NULL;
}

static int check_stripe(const struct btrfs_volume *v, const struct btrfs_stripe *s, const struct btrfs_stripe *before, struct err *e)
{
	const struct btrfs_chunk *c = &v->chunks.v[s->chunk];
	const struct btrfs_device *d = find_device(v, s->devid);
	unsigned long long start = s->start, devid = s->devid;

	if (!d)
		return err_set(e, ERR_CORRUPT, 0, "btrfs chunk at %llu names device %llu, which is not known", (unsigned long long)c->start, devid);
	if (!range_inside(s->start, c->dev_len, d->size))
		return err_set(e, ERR_CORRUPT, 0, "btrfs stripe at %llu of device %llu lies behind its end", start, devid);
	if (before && before->devid == s->devid && s->start - before->start < v->chunks.v[before->chunk].dev_len)
		return err_set(e, ERR_CORRUPT, 0, "btrfs stripe at %llu of device %llu overlaps the one before", start, devid);
	return 0;
}

int btrfs_check_devices(struct btrfs_volume *v, struct err *e)
{
	AUTO_FREE const struct btrfs_stripe **list = sort_stripes(v, e);

	if (!list)
		return -1;
	if (v->nr_devices != v->base.set.nr || v->nr_devices != v->sb->nr_devices)
		return err_set(e, ERR_CORRUPT, 0, "btrfs over %zu devices by its chunk tree, over %llu by its superblock; %zu are here", v->nr_devices,
			(unsigned long long)v->sb->nr_devices, v->base.set.nr);
	for (size_t i = 0; i < v->nr_devices; i++) {
		const struct btrfs_device *d = &v->devices[i];
		if (d->size > v->supers[d->member].dev_size)
			return err_set(e, ERR_CORRUPT, 0, "btrfs device %llu has %llu bytes for the chunk tree and %llu for its superblock",
				(unsigned long long)d->devid, (unsigned long long)d->size, (unsigned long long)v->supers[d->member].dev_size);
	}
	for (size_t i = 0; i < v->chunks.nr_stripes; i++)
		if (check_stripe(v, list[i], i ? list[i - 1] : NULL, e) < 0)
			return -1;
	return 0;
}

/* The item of the device tree that belongs to this stripe */
static int check_extent(const struct btrfs_volume *v, struct btrfs_item *item, const struct btrfs_stripe *s, struct err *e)
{
	const struct btrfs_chunk *c = s ? &v->chunks.v[s->chunk] : NULL;

	if (!s || s->devid != item->key.objectid || s->start != item->key.offset || span_le64(&item->data, 16) != c->start ||
		span_le64(&item->data, 24) != c->dev_len)
		return err_set(e, ERR_CORRUPT, 0, "device tree and chunk tree of btrfs disagree about byte %llu of device %llu",
			(unsigned long long)item->key.offset, (unsigned long long)item->key.objectid);
	return 0;
}

static int walk_dev_tree(struct btrfs_volume *v, struct btrfs_cursor *c, const struct btrfs_stripe **list, bool *ret_replacing, struct err *e)
{
	struct btrfs_item item;
	size_t nr = 0;
	int more;

	while ((more = btrfs_cursor_next(c, &item, e)) > 0) {
		if (item.key.type == BTRFS_DEV_REPLACE_ITEM && item.key.objectid == BTRFS_DEV_REPLACE) {
			uint64_t state = span_le64(&item.data, 32);
			*ret_replacing = state == REPLACE_STARTED || state == REPLACE_SUSPENDED;
		}
		if (item.key.type != BTRFS_DEV_EXTENT)
			continue;
		if (check_extent(v, &item, nr < v->chunks.nr_stripes ? list[nr] : NULL, e) < 0)
			return -1;
		nr++;
	}
	if (more == 0 && nr != v->chunks.nr_stripes)
		return err_set(e, ERR_CORRUPT, 0, "the device tree of btrfs lists %zu pieces of devices, the chunk tree %zu", nr, v->chunks.nr_stripes);
	return more;
}

int btrfs_check_dev_tree(struct btrfs_volume *v, bool *ret_replacing, struct err *e)
{
	AUTO_FREE const struct btrfs_stripe **list = NULL;
	struct btrfs_root root;

	if (btrfs_root_find(v, BTRFS_DEV_TREE, &root, e) < 0 || !(list = sort_stripes(v, e)))
		return -1;
	*ret_replacing = false;
	struct btrfs_cursor c = btrfs_cursor(v, &root, (struct btrfs_key){ 0 });
	int r = walk_dev_tree(v, &c, list, ret_replacing, e);
	btrfs_cursor_release(&c);
	return r;
}
