/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Chunks (btrfs docs, "Chunk tree"; struct btrfs_chunk): which bytes of which devices stand behind logical addresses.
 *
 * A chunk's stripes are equally long pieces of devices. With copies (DUP, RAID1*) each holds the same; without, pieces of 64 KiB are
 * dealt to them in turn; RAID10 deals to pairs. RAID5 and RAID6 shift the turn by one in each row, for the parity.
 */
#include "fsdrivers/btrfs/btrfs.h"

#include <stdlib.h>

#define ITEM_HEAD   48U
#define STRIPE_SIZE 32U
#define KEY_SIZE    17U

/* Copies 0: as many as stripes */
struct profile {
	uint64_t type;
	uint32_t min, max; /* stripes */
	uint32_t copies, parity;
};

static const struct profile profiles[] = {
	{ .type = 0, .min = 1, .max = 1, .copies = 1 },
	{ .type = BTRFS_GROUP_DUP, .min = 2, .max = 2, .copies = 2 },
	{ .type = BTRFS_GROUP_RAID0, .min = 1, .max = UINT16_MAX, .copies = 1 },
	{ .type = BTRFS_GROUP_RAID1, .min = 2, .max = 2, .copies = 2 },
	{ .type = BTRFS_GROUP_RAID1C3, .min = 3, .max = 3, .copies = 3 },
	{ .type = BTRFS_GROUP_RAID1C4, .min = 4, .max = 4, .copies = 4 },
	{ .type = BTRFS_GROUP_RAID10, .min = 2, .max = UINT16_MAX, .copies = 2 },
	{ .type = BTRFS_GROUP_RAID5, .min = 2, .max = UINT16_MAX, .copies = 1, .parity = 1 },
	{ .type = BTRFS_GROUP_RAID6, .min = 3, .max = UINT16_MAX, .copies = 1, .parity = 2 },
};

int btrfs_grow(void *array, size_t nr, size_t *room, size_t size, struct err *e)
{
	void **p = array;

	if (nr < *room)
		return 0;
	size_t want = *room ? *room * 2 : 16;
	void *grown = reallocarray(*p, want, size);
	if (!grown)
		return err_nomem(e, "a list of the btrfs driver");
	*p = grown;
	*room = want;
	return 0;
}

void btrfs_chunks_release(struct btrfs_chunks *c)
{
	for (size_t i = 0; i < c->nr; i++) {
		free(c->v[i].blocks);
		free(c->v[i].looks);
	}
	free(c->v);
	free(c->stripes);
	*c = (struct btrfs_chunks){ 0 };
}

static const struct profile *profile_of(uint64_t type)
{
	for (size_t i = 0; i < sizeof(profiles) / sizeof(profiles[0]); i++)
		if (profiles[i].type == (type & ~BTRFS_GROUP_KINDS))
			return &profiles[i];
	return NULL;
}

static int decode_chunk(const struct btrfs_super *sb, struct btrfs_chunk *c, struct span *s, struct err *e)
{
	unsigned long long start = c->start, type;
	const struct profile *p;
	uint64_t end;

	c->len = span_le64(s, 0);
	c->type = type = span_le64(s, 24);
	c->nr_stripes = span_le16(s, 44);
	p = profile_of(c->type);
	if (!p || !(c->type & BTRFS_GROUP_KINDS))
		return err_set(e, ERR_UNSUPPORTED, 0, "btrfs chunk at %llu is of the unknown type 0x%llx", start, type);
	if (s->bad || s->len != ITEM_HEAD + (size_t)c->nr_stripes * STRIPE_SIZE || c->nr_stripes < p->min || c->nr_stripes > p->max ||
		(c->type & BTRFS_GROUP_RAID10 && (c->nr_stripes % 2 || span_le16(s, 46) != 2)))
		return err_set(e, ERR_CORRUPT, 0, "btrfs chunk at %llu has %u stripes, of type 0x%llx", start, c->nr_stripes, type);
	c->nr_copies = p->copies;
	c->has_parity = p->parity;
	c->nr_columns = (c->nr_stripes - p->parity) / p->copies;
	c->dev_len = c->len / c->nr_columns;
	if (!c->len || (c->start | c->len) % sb->sector_size || !add_u64(c->start, c->len, &end) || span_le64(s, 16) != BTRFS_STRIPE_LEN ||
		c->len % c->nr_columns || ((c->nr_columns > 1 || c->has_parity) && c->dev_len % BTRFS_STRIPE_LEN))
		return err_set(e, ERR_CORRUPT, 0, "btrfs chunk at %llu has %llu bytes in stripes of %llu", start, (unsigned long long)c->len,
			(unsigned long long)span_le64(s, 16));
	return 0;
}

int btrfs_chunks_add(struct btrfs_volume *v, struct btrfs_chunks *c, uint64_t logical, struct span *item, struct err *e)
{
	struct btrfs_chunk chunk = { .start = logical, .first_stripe = c->nr_stripes };

	if (decode_chunk(v->sb, &chunk, item, e) < 0 || btrfs_grow(&c->v, c->nr, &c->room, sizeof(*c->v), e) < 0)
		return -1;
	for (uint32_t i = 0; i < chunk.nr_stripes; i++) {
		size_t at = ITEM_HEAD + (size_t)i * STRIPE_SIZE;
		struct btrfs_stripe s = { .devid = span_le64(item, at), .start = span_le64(item, at + 8), .chunk = c->nr };
		/* Not only sectors: map() emits whole granules. */
		if (s.start % 4096)
			return err_set(e, ERR_CORRUPT, 0, "btrfs chunk at %llu has a stripe at %llu", (unsigned long long)logical, (unsigned long long)s.start);
		if (btrfs_grow(&c->stripes, c->nr_stripes, &c->stripes_room, sizeof(*c->stripes), e) < 0)
			return -1;
		c->stripes[c->nr_stripes++] = s;
	}
	c->v[c->nr++] = chunk;
	return 0;
}

static int by_start(const void *a, const void *b)
{
	const struct btrfs_chunk *x = a, *y = b;

	return (x->start > y->start) - (x->start < y->start);
}

int btrfs_chunks_sort(struct btrfs_chunks *c, struct err *e)
{
	if (c->nr)
		qsort(c->v, c->nr, sizeof(*c->v), by_start);
	for (size_t i = 0; i < c->nr; i++) {
		if (i && c->v[i].start - c->v[i - 1].start < c->v[i - 1].len)
			return err_set(e, ERR_CORRUPT, 0, "btrfs chunk at %llu overlaps the one before", (unsigned long long)c->v[i].start);
		for (uint32_t k = 0; k < c->v[i].nr_stripes; k++)
			c->stripes[c->v[i].first_stripe + k].chunk = i;
	}
	return 0;
}

int btrfs_chunks_bootstrap(struct btrfs_volume *v, struct err *e)
{
	struct span array = span_of(v->sb->sys_array, v->sb->sys_array_size);

	for (size_t at = 0; at < array.len;) {
		struct span head = span_sub(&array, at, KEY_SIZE + ITEM_HEAD);
		size_t len = ITEM_HEAD + (size_t)span_le16(&head, KEY_SIZE + 44) * STRIPE_SIZE;
		struct span item = span_sub(&array, at + KEY_SIZE, len);
		if (array.bad || span_le64(&head, 0) != BTRFS_FIRST_CHUNK_TREE || span_u8(&head, 8) != BTRFS_CHUNK_ITEM ||
			!(span_le64(&item, 24) & BTRFS_GROUP_SYSTEM))
			return err_set(e, ERR_CORRUPT, 0, "the btrfs superblock's array of system chunks is damaged at byte %zu", at);
		if (btrfs_chunks_add(v, &v->chunks, span_le64(&head, 9), &item, e) < 0)
			return -1;
		at += KEY_SIZE + len;
	}
	return btrfs_chunks_sort(&v->chunks, e);
}

int btrfs_chunks_confirm(struct btrfs_volume *v, const struct btrfs_chunks *boot, struct err *e)
{
	for (size_t i = 0; i < boot->nr; i++) {
		const struct btrfs_chunk *a = &boot->v[i], *b = btrfs_chunk_find(v, a->start);
		bool same = b && b->start == a->start && b->len == a->len && b->type == a->type && b->nr_stripes == a->nr_stripes;
		for (uint32_t k = 0; same && k < a->nr_stripes; k++) {
			const struct btrfs_stripe *x = &boot->stripes[a->first_stripe + k], *y = &v->chunks.stripes[b->first_stripe + k];
			same = x->devid == y->devid && x->start == y->start;
		}
		if (!same)
			return err_set(e, ERR_CORRUPT, 0, "superblock and chunk tree of btrfs disagree about the chunk at %llu", (unsigned long long)a->start);
	}
	return 0;
}

struct btrfs_chunk *btrfs_chunk_find(const struct btrfs_volume *v, uint64_t logical)
{
	size_t low = 0, high = v->chunks.nr;

	while (low < high) {
		size_t mid = low + (high - low) / 2;
		struct btrfs_chunk *c = &v->chunks.v[mid];
		if (logical < c->start)
			high = mid;
		else if (logical - c->start >= c->len)
			low = mid + 1;
		else
			return c;
	}
	return NULL;
}

/* The first of the stripes that hold the piece of 64 KiB at this offset of a chunk, and where in it. */
static uint32_t place_of(const struct btrfs_chunk *c, uint64_t off, uint64_t *ret_at)
{
	uint64_t piece = off / BTRFS_STRIPE_LEN, row = piece / c->nr_columns, column = piece % c->nr_columns;

	if (c->nr_columns == 1 && !c->has_parity) {
		*ret_at = off;
		return 0;
	}
	*ret_at = row * BTRFS_STRIPE_LEN + off % BTRFS_STRIPE_LEN;
	return (uint32_t)(c->has_parity ? (column + row) % c->nr_stripes : column * c->nr_copies);
}

/* Where a stripe stands; a NULL member when its device is not here. */
static struct blk_source *member_of(const struct btrfs_volume *v, uint64_t devid, size_t *ret_member)
{
	for (size_t i = 0; i < v->base.set.nr; i++) {
		if (v->supers[i].devid == devid) {
			*ret_member = i;
			return v->base.set.members[i];
		}
	}
	return NULL;
}

int btrfs_read_logical(struct btrfs_volume *v, const struct btrfs_chunk *c, uint64_t logical, uint8_t *buf, size_t len, unsigned copy, struct err *e)
{
	for (uint64_t off = logical - c->start, n; len; off += n, buf += n, len -= (size_t)n) {
		uint64_t at;
		size_t member;
		const struct btrfs_stripe *s = &v->chunks.stripes[c->first_stripe + place_of(c, off, &at) + copy];
		struct blk_source *src = member_of(v, s->devid, &member);
		n = min_u64(len, BTRFS_STRIPE_LEN - off % BTRFS_STRIPE_LEN);
		if (!src)
			return err_set(e, ERR_CORRUPT, 0, "device %llu of btrfs is missing", (unsigned long long)s->devid);
		if (!add_u64(s->start, at, &at))
			return err_set(e, ERR_CORRUPT, 0, "btrfs chunk at %llu lies behind the end of its device", (unsigned long long)c->start);
		if (blk_read(src, at, buf, (size_t)n, e) < 0)
			return -1;
	}
	return 0;
}

static int emit_stripe(struct btrfs_volume *v, const struct btrfs_chunk *c, uint32_t stripe, uint64_t at, uint64_t len,
	fsd_extent_fn emit, void *arg, struct err *e)
{
	const struct btrfs_stripe *s = &v->chunks.stripes[c->first_stripe + stripe];
	size_t member;

	if (!member_of(v, s->devid, &member))
		return err_set(e, ERR_CORRUPT, 0, "device %llu of btrfs is missing", (unsigned long long)s->devid);
	return emit(arg, member, s->start + at, len, EXT_USED, e);
}

static int emit_copies(struct btrfs_volume *v, const struct btrfs_chunk *c, uint32_t first, uint64_t at, uint64_t len,
	fsd_extent_fn emit, void *arg, struct err *e)
{
	for (uint32_t i = 0; i < c->nr_copies; i++)
		if (emit_stripe(v, c, first + i, at, len, emit, arg, e) < 0)
			return -1;
	return 0;
}

/*
 * A range of logical addresses is one range in each column, too: all rows between the first and the last are whole. So a large
 * extent over n devices is n ranges, and not one for each 64 KiB.
 */
int btrfs_emit_logical(struct btrfs_volume *v, const struct btrfs_chunk *c, uint64_t start, uint64_t len, fsd_extent_fn emit, void *arg, struct err *e)
{
	uint64_t off = start - c->start, end = off + len, n = c->nr_columns;
	uint64_t first = off / BTRFS_STRIPE_LEN, last = (end - 1) / BTRFS_STRIPE_LEN;

	if (c->has_parity)
		return 0;
	if (n == 1)
		return emit_copies(v, c, 0, off, len, emit, arg, e);
	for (uint64_t column = 0; column < n; column++) {
		uint64_t low = first + (column + n - first % n) % n, high = last - (last % n + n - column) % n;
		if (low > last)
			continue;
		uint64_t from = low / n * BTRFS_STRIPE_LEN + (low == first ? off % BTRFS_STRIPE_LEN : 0);
		uint64_t to = high / n * BTRFS_STRIPE_LEN + (high == last ? (end - 1) % BTRFS_STRIPE_LEN + 1 : BTRFS_STRIPE_LEN);
		if (emit_copies(v, c, (uint32_t)column * c->nr_copies, from, to - from, emit, arg, e) < 0)
			return -1;
	}
	return 0;
}

int btrfs_emit_stripes(struct btrfs_volume *v, const struct btrfs_chunk *c, fsd_extent_fn emit, void *arg, struct err *e)
{
	for (uint32_t i = 0; i < c->nr_stripes; i++)
		if (emit_stripe(v, c, i, 0, c->dev_len, emit, arg, e) < 0)
			return -1;
	return 0;
}

/* How far from byte pos of these places on there is no superblock; *ret_next: behind the next one. */
static uint64_t plain_run(const struct map_leg *places, size_t nr, uint64_t pos, uint64_t len, uint64_t *ret_next)
{
	uint64_t stop = len;

	*ret_next = len;
	for (size_t i = 0; i < nr; i++) {
		for (unsigned copy = 0; copy < BTRFS_NR_SUPERS; copy++) {
			uint64_t start = places[i].start + pos, at = btrfs_super_offset(copy), end = at + BTRFS_SUPER_SIZE;
			if (end <= start || at >= places[i].start + stop)
				continue;
			stop = at > start ? at - places[i].start : pos;
			*ret_next = end - places[i].start;
		}
	}
	return stop - pos;
}

/* Superblocks stand within chunks, where nothing is allocated, but each device has its own. */
static int emit_around_supers(const struct map_leg *places, size_t nr, uint64_t len, fsd_copies_fn emit, void *arg, struct err *e)
{
	struct map_leg moved[4];
	uint64_t next;

	for (uint64_t pos = 0; pos < len; pos = next) {
		uint64_t n = plain_run(places, nr, pos, len, &next);
		for (size_t i = 0; i < nr; i++)
			moved[i] = (struct map_leg){ places[i].member, places[i].start + pos };
		if (n && emit(arg, moved, nr, n, e) < 0)
			return -1;
	}
	return 0;
}

int btrfs_copies(struct fsd_volume *volume, fsd_copies_fn emit, void *arg, struct err *e)
{
	struct btrfs_volume *v = (struct btrfs_volume *)volume;
	struct map_leg places[4]; /* no profile has more copies */

	for (size_t k = 0; k < v->chunks.nr; k++) {
		const struct btrfs_chunk *c = &v->chunks.v[k];
		for (uint32_t first = 0; c->nr_copies > 1 && first < c->nr_stripes; first += c->nr_copies) {
			for (uint32_t i = 0; i < c->nr_copies; i++) {
				const struct btrfs_stripe *s = &v->chunks.stripes[c->first_stripe + first + i];
				places[i].start = s->start;
				if (!member_of(v, s->devid, &places[i].member))
					return err_set(e, ERR_CORRUPT, 0, "device %llu of btrfs is missing", (unsigned long long)s->devid);
			}
			if (emit_around_supers(places, c->nr_copies, c->dev_len, emit, arg, e) < 0)
				return -1;
		}
	}
	return 0;
}
