/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Patches are appended, sorted once, and found by bisection; see overlay.h. */
#include "base/overlay.h"

#include "base/arith.h"

#include <string.h>

struct patch {
	uint64_t start;
	size_t len;
	uint8_t *bytes; /* owned */
};

struct blk_overlay {
	struct blk_source base; /* first: the source is the overlay */
	struct blk_source *of;
	struct patch *list;
	size_t nr, room, nr_sealed;
};

/* The first sealed patch that ends behind off. */
static size_t find(const struct blk_overlay *o, uint64_t off)
{
	size_t lo = 0, hi = o->nr_sealed;

	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;
		if (o->list[mid].start + o->list[mid].len <= off)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

static int overlay_read(struct blk_source *s, uint64_t off, void *buf, size_t len, struct err *e)
{
	const struct blk_overlay *o = (const struct blk_overlay *)s;
	uint64_t end = off + len;

	if (blk_read(o->of, off, buf, len, e) < 0)
		return -1;
	for (size_t i = find(o, off); i < o->nr_sealed && o->list[i].start < end; i++) {
		const struct patch *p = &o->list[i];
		uint64_t from = max_u64(p->start, off), to = min_u64(p->start + p->len, end);
		memcpy((uint8_t *)buf + (from - off), p->bytes + (from - p->start), (size_t)(to - from));
	}
	return 0;
}

/* libblkid looks below: what something is does not change by what is laid over it. */
static int overlay_fd(struct blk_source *s, uint64_t *ret_off)
{
	return blk_fd(((struct blk_overlay *)s)->of, ret_off);
}

static void overlay_close(struct blk_source *s)
{
	blk_overlay_free((struct blk_overlay *)s);
}

struct blk_overlay *blk_overlay_new(struct blk_source *of, struct err *e)
{
	static const struct blk_source_ops ops = { .read = overlay_read, .fd = overlay_fd, .close = overlay_close };
	struct blk_overlay *o = alloc_array(1, sizeof(*o));

	if (!o) {
		err_nomem(e, blk_name(of));
		return NULL;
	}
	o->base = *of;
	o->base.ops = &ops;
	o->of = of;
	return o;
}

void blk_overlay_free(struct blk_overlay *o)
{
	if (!o)
		return;
	for (size_t i = 0; i < o->nr; i++)
		free(o->list[i].bytes);
	free(o->list);
	free(o);
}

struct blk_source *blk_overlay_source(struct blk_overlay *o)
{
	return &o->base;
}

int blk_overlay_put(struct blk_overlay *o, uint64_t off, const void *bytes, size_t len, struct err *e)
{
	if (!range_inside(off, len, o->base.size))
		return err_set(e, ERR_CORRUPT, 0, "bytes %llu+%zu lie beyond the end of '%s'", (unsigned long long)off, len, blk_name(&o->base));
	if (!len)
		return 0;
	if (o->nr == o->room) {
		size_t room = o->room ? o->room * 2 : 64;
		struct patch *grown = reallocarray(o->list, room, sizeof(*grown));
		if (!grown)
			return err_nomem(e, "what is laid over a disk");
		o->list = grown;
		o->room = room;
	}
	uint8_t *copy = malloc(len);
	if (!copy)
		return err_nomem(e, "what is laid over a disk");
	memcpy(copy, bytes, len);
	o->list[o->nr++] = (struct patch){ .start = off, .len = len, .bytes = copy };
	return 0;
}

static int compare(const void *a, const void *b)
{
	const struct patch *x = a, *y = b;

	return (x->start > y->start) - (x->start < y->start);
}

int blk_overlay_seal(struct blk_overlay *o, struct err *e)
{
	if (o->nr)
		qsort(o->list, o->nr, sizeof(*o->list), compare);
	for (size_t i = 1; i < o->nr; i++)
		if (o->list[i].start - o->list[i - 1].start < o->list[i - 1].len)
			return err_set(e, ERR_CORRUPT, 0, "two changes of '%s' at %llu overlap", blk_name(&o->base), (unsigned long long)o->list[i].start);
	o->nr_sealed = o->nr;
	return 0;
}
