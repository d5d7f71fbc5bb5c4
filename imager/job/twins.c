/* SPDX-License-Identifier: GPL-3.0-or-later */
/* See twins.h. */
#include "imager/job/twins.h"

#include "base/arith.h"

#include <stdlib.h>
#include <string.h>

/* Room for some more; doubles. */
static bool grow(void *list, size_t need, size_t *room, size_t size)
{
	void **p = list;
	size_t want = *room ? *room : 16;

	if (need <= *room)
		return true;
	while (want < need)
		want *= 2;
	void *grown = reallocarray(*p, want, size);
	if (!grown)
		return false;
	*p = grown;
	*room = want;
	return true;
}

int twins_add(struct twins *t, const struct twin_place *places, size_t nr, uint64_t len, struct err *e)
{
	if (nr > TWINS_MAX - t->nr)
		return 0;
	if (!grow(&t->list, t->nr + nr, &t->room, sizeof(*t->list)) || !grow(&t->places, t->nr_places + nr, &t->places_room, sizeof(*t->places)))
		return err_nomem(e, "the copies of a mirror");
	for (size_t i = 0; i < nr; i++) {
		t->places[t->nr_places + i] = places[i];
		t->list[t->nr++] = (struct twin){ .at = places[i], .len = len, .first = t->nr_places, .nr = nr };
	}
	t->nr_places += nr;
	return 0;
}

static int by_place(const void *a, const void *b)
{
	const struct twin *x = a, *y = b;

	if (x->at.disk != y->at.disk)
		return x->at.disk < y->at.disk ? -1 : 1;
	return (x->at.start > y->at.start) - (x->at.start < y->at.start);
}

void twins_sort(struct twins *t)
{
	if (t->nr)
		qsort(t->list, t->nr, sizeof(*t->list), by_place);
}

/* The last one that begins at a place or before. */
static const struct twin *find(const struct twins *t, uint32_t disk, uint64_t off)
{
	struct twin key = { .at = { disk, off } };
	size_t lo = 0, hi = t->nr;

	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;
		if (by_place(&t->list[mid], &key) <= 0)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo && t->list[lo - 1].at.disk == disk ? &t->list[lo - 1] : NULL;
}

bool twins_read(const struct twins *t, struct blk_source *const *disks, uint32_t disk, uint64_t off, void *buf, size_t len)
{
	const struct twin *w = find(t, disk, off);

	if (!w || !range_inside(off - w->at.start, len, w->len))
		return false;
	for (size_t i = 0; i < w->nr; i++) {
		const struct twin_place *other = &t->places[w->first + i];
		struct err ignored = ERR_INIT; /* what it is that cannot be read is told of the first place */
		if (other->disk == disk && other->start == w->at.start)
			continue;
		if (blk_read(disks[other->disk], other->start + (off - w->at.start), buf, len, &ignored) == 0)
			return true;
	}
	return false;
}

void twins_release(struct twins *t)
{
	free(t->list);
	free(t->places);
	*t = (struct twins){ 0 };
}
