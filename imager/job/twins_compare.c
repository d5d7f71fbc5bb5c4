/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Do the places that should hold the same do so? Told by the ids of their chunks, once all are known; see twins.h. */
#include "imager/job/twins.h"

#include "base/arith.h"
#include "imager/image/manifest.h"

#include <string.h>

/* The region that holds a byte of a disk. */
static const struct img_region *region_at(const struct img_manifest *m, const struct twin_place *at)
{
	size_t lo = 0, hi = m->nr_regions;

	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;
		const struct img_region *r = &m->regions[mid];
		if (r->disk < at->disk || (r->disk == at->disk && r->start <= at->start))
			lo = mid + 1;
		else
			hi = mid;
	}
	const struct img_region *r = lo ? &m->regions[lo - 1] : NULL;
	return r && r->disk == at->disk && at->start - r->start < r->len ? r : NULL;
}

static bool is_present(const struct img_region *r, uint64_t i)
{
	struct cmap_chunk c;

	cmap_get(r->map, i, &c);
	return c.kind != CMAP_ABSENT;
}

static void compare(const struct img_manifest *m, const struct twin_place *a, const struct twin_place *b, uint64_t len, struct twins_diff *ret)
{
	const struct img_region *ra = region_at(m, a), *rb = region_at(m, b);

	if (!ra || !rb || (a->start - ra->start) % CHUNK_SIZE != (b->start - rb->start) % CHUNK_SIZE)
		return;
	uint64_t off = a->start - ra->start, i = ceil_div_u64(off, CHUNK_SIZE), end = (off + len) / CHUNK_SIZE;
	uint64_t k = ceil_div_u64(b->start - rb->start, CHUNK_SIZE);
	for (; i < end && i < cmap_nr_chunks(ra->map) && k < cmap_nr_chunks(rb->map); i++, k++) {
		if (!is_present(ra, i) || !is_present(rb, k) || !memcmp(m->ids[img_present_index(ra, i)], m->ids[img_present_index(rb, k)], IMG_ID_SIZE))
			continue;
		if (!ret->nr++) {
			ret->one = (struct twin_place){ ra->disk, ra->start + i * CHUNK_SIZE };
			ret->other = (struct twin_place){ rb->disk, rb->start + k * CHUNK_SIZE };
		}
	}
}

void twins_compare(const struct twins *t, const struct img_manifest *m, struct twins_diff *ret)
{
	*ret = (struct twins_diff){ .nr = 0 };
	for (size_t i = 0; i < t->nr; i++) {
		const struct twin *w = &t->list[i];
		const struct twin_place *first = &t->places[w->first];
		/* Each with the first one: of that it is the entry that speaks for all. */
		if (w->at.disk != first->disk || w->at.start != first->start)
			continue;
		for (size_t k = 1; k < w->nr; k++)
			compare(m, first, &first[k], w->len, ret);
	}
}
