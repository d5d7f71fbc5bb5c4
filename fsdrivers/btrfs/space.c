/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The free space tree (btrfs docs, "Free space tree"): the same knowledge as in the extent tree, kept apart from it. For each block group
 * it lists what is free, as ranges or, where those are many, as bitmaps of sectors. A bug that lost an extent from
 * one of them shows as a difference, so both must agree on every sector.
 */
#include "fsdrivers/btrfs/btrfs.h"

int btrfs_space_open(struct btrfs_volume *v, struct btrfs_space *s, struct err *e)
{
	const uint64_t both = BTRFS_RO_FREE_SPACE_TREE | BTRFS_RO_FREE_SPACE_TREE_VALID;
	struct btrfs_root root;

	*s = (struct btrfs_space){ .is_known = (v->sb->compat_ro & both) == both };
	if (!s->is_known)
		return 0;
	if (btrfs_root_find(v, BTRFS_FREE_SPACE_TREE, &root, e) < 0)
		return -1;
	s->cursor = btrfs_cursor(v, &root, (struct btrfs_key){ 0 });
	return 0;
}

void btrfs_space_release(struct btrfs_space *s)
{
	btrfs_cursor_release(&s->cursor);
}

static int bad_item(const struct btrfs_item *item, struct err *e)
{
	return err_set(e, ERR_CORRUPT, 0, "the btrfs free space tree has a damaged item for %llu", (unsigned long long)item->key.objectid);
}

/* The next range of set bits of the bitmap under work; false: none is left */
static bool next_bits(struct btrfs_space *s, uint32_t sector)
{
	const uint8_t *map = s->bitmap.data.p;
	uint64_t at = s->bits_at;

	while (at < s->bits_end && !(map[at / 8] >> (at % 8) & 1))
		at++;
	s->start = s->bitmap.key.objectid + at * sector;
	while (at < s->bits_end && map[at / 8] >> (at % 8) & 1)
		at++;
	s->end = s->bitmap.key.objectid + at * sector;
	s->bits_at = at;
	return s->start < s->end;
}

/*
 * A block group's items follow its FREE_SPACE_INFO. mkfs.btrfs (seen in 6.2) leaves those of its temporary block groups behind;
 * what has no chunk any more is of no interest.
 */
static int begin_group(struct btrfs_space *s, const struct btrfs_item *item, struct err *e)
{
	const struct btrfs_chunk *c = btrfs_chunk_find(s->cursor.v, item->key.objectid);

	if (c && (c->start != item->key.objectid || c->len != item->key.offset))
		return bad_item(item, e);
	s->is_stale = !c;
	return 0;
}

/* An item with free space: true when it is not empty */
static bool begin_item(struct btrfs_space *s, const struct btrfs_item *item, uint32_t sector)
{
	if (item->key.type == BTRFS_FREE_SPACE_BITMAP) {
		s->bitmap = *item;
		s->bits_at = 0;
		s->bits_end = item->key.offset / sector;
		return next_bits(s, sector);
	}
	s->start = item->key.objectid;
	s->end = item->key.objectid + item->key.offset;
	return true;
}

/* Its range and length were looked at before anything else is done with it. */
static bool is_good(const struct btrfs_item *item, uint32_t sector)
{
	uint64_t end, len = item->key.offset;

	if (!add_u64(item->key.objectid, len, &end) || (item->key.objectid | len) % sector || !len)
		return false;
	if (item->key.type == BTRFS_FREE_SPACE_BITMAP)
		return item->data.len == ceil_div_u64(len / sector, 8);
	return item->key.type == BTRFS_FREE_SPACE_EXTENT || item->key.type == BTRFS_FREE_SPACE_INFO;
}

/* The next range of free space into start and end, which are equal when there is none any more. */
static int next_range(struct btrfs_space *s, struct err *e)
{
	uint32_t sector = s->cursor.v->sb->sector_size;
	struct btrfs_item item;
	int more;

	if (s->bits_at < s->bits_end && next_bits(s, sector))
		return 0;
	while ((more = btrfs_cursor_next(&s->cursor, &item, e)) > 0) {
		if (!is_good(&item, sector))
			return bad_item(&item, e);
		if (item.key.type == BTRFS_FREE_SPACE_INFO) {
			if (begin_group(s, &item, e) < 0)
				return -1;
		} else if (!s->is_stale && begin_item(s, &item, sector)) {
			return 0;
		}
	}
	s->start = s->end = 0;
	return more;
}

static int disagree(uint64_t at, struct err *e)
{
	return err_set(e, ERR_CORRUPT, 0, "extent tree and free space tree of btrfs disagree about what is free at %llu", (unsigned long long)at);
}

int btrfs_space_take(struct btrfs_space *s, uint64_t start, uint64_t len, struct err *e)
{
	uint64_t end = start + len;

	while (s->is_known && start < end) {
		if (s->start == s->end && next_range(s, e) < 0)
			return -1;
		/* A range may go on behind a bitmap's end in another item, but never behind what is free. */
		if (s->start != start || s->start == s->end || s->end > end)
			return disagree(s->start == s->end ? start : min_u64(start, s->start), e);
		start = s->start = s->end;
	}
	return 0;
}

int btrfs_space_end(struct btrfs_space *s, struct err *e)
{
	if (!s->is_known)
		return 0;
	if (s->start == s->end && next_range(s, e) < 0)
		return -1;
	return s->start == s->end ? 0 : disagree(s->start, e);
}
