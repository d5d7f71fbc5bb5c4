/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Divide a disk into regions: partitions, and the gaps between them.
 *
 * A partition on which the table itself stands (isohybrid images: partition 1 starts at sector 0) becomes an OVERLAP
 * region of its own, because a file system driver would call the table's bytes unused: raw loses nothing.
 */
#include "imager/disk/pt_internal.h"

#include "base/arith.h"

#include <stdlib.h>
#include <string.h>

#define EDGE (1ULL << 20) /* used at both ends of a disk, where it is a gap */

/* What partitions make of the disk: pieces sorted by start, apart from each other. */
struct piece {
	uint64_t start, end;
	int entry;
	bool is_raw; /* overlapping, or over the table's own bytes */
};

struct division {
	struct pt_table *t;
	uint64_t disk_size;
	bool raw_gaps;
	struct piece *pieces;
	size_t nr_pieces;
	struct pt_region *regions; /* room for two per piece and one more */
	size_t nr;
};

static int by_start(const void *pa, const void *pb)
{
	const struct piece *a = pa, *b = pb;

	if (a->start != b->start)
		return a->start < b->start ? -1 : 1;
	return a->entry < b->entry ? -1 : a->entry > b->entry;
}

/* Entries as they lie on this disk. */
static void collect_pieces(struct division *d)
{
	struct pt_table *t = d->t;

	for (size_t i = 0; i < t->nr; i++) {
		const struct pt_entry *en = &t->entries[i];
		if (!en->len)
			continue;
		if (en->start >= d->disk_size) {
			pt_notice(t, "partition %u lies beyond the end of the disk; it is left out", en->number);
			continue;
		}
		uint64_t len = min_u64(en->len, d->disk_size - en->start);
		if (len < en->len)
			pt_notice(t, "partition %u reaches %llu bytes beyond the end of the disk; it is cut there", en->number,
				(unsigned long long)(en->len - len));
		d->pieces[d->nr_pieces++] = (struct piece){ .start = en->start, .end = en->start + len, .entry = (int)i };
	}
	if (d->nr_pieces)
		qsort(d->pieces, d->nr_pieces, sizeof(*d->pieces), by_start);
}

static void join_overlapping(struct division *d)
{
	size_t out = 0;

	for (size_t i = 0; i < d->nr_pieces; i++) {
		struct piece *p = &d->pieces[i], *last = out ? &d->pieces[out - 1] : NULL;
		if (!last || p->start >= last->end) {
			d->pieces[out++] = *p;
			continue;
		}
		unsigned a = d->t->entries[last->entry].number, b = d->t->entries[p->entry].number;
		pt_notice(d->t, "partitions %u and %u overlap; both are taken raw", a, b);
		/* The entry that reaches furthest is the one that the next can overlap. */
		if (p->end > last->end) {
			last->end = p->end;
			last->entry = p->entry;
		}
		last->is_raw = true;
	}
	d->nr_pieces = out;
}

static bool holds_structure(const struct division *d, const struct piece *p)
{
	for (size_t i = 0; i < d->t->nr_structures; i++) {
		const struct range *r = &d->t->structures[i];
		if (r->start < p->end && (r->start >= p->start || r->len > p->start - r->start))
			return true;
	}
	return false;
}

static void mark_over_table(struct division *d)
{
	for (size_t i = 0; i < d->nr_pieces; i++) {
		struct piece *p = &d->pieces[i];
		if (p->is_raw || !holds_structure(d, p))
			continue;
		pt_notice(d->t, "partition %u covers bytes of the partition table; it is taken raw",
			d->t->entries[p->entry].number);
		p->is_raw = true;
	}
}

/* The part of [start, start+len) inside [lo, hi); len may be hostile. */
static struct range cut(uint64_t start, uint64_t len, uint64_t lo, uint64_t hi)
{
	uint64_t end;

	if (!add_u64(start, len, &end))
		end = UINT64_MAX;
	start = max_u64(start, lo);
	end = min_u64(end, hi);
	return (struct range){ .start = start, .len = end > start ? end - start : 0 };
}

static int add_gap(struct division *d, uint64_t start, uint64_t end, struct err *e)
{
	struct pt_table *t = d->t;
	struct range *used = alloc_array(t->nr_structures + 3, sizeof(*used));
	size_t nr = 0;

	if (!used)
		return err_nomem(e, "the regions of a disk");
	/* Only the first gap can begin below EDGE with nothing before it, so "before the first partition" is start == 0. */
	if (start == 0)
		used[nr++] = cut(0, EDGE, start, end);
	used[nr++] = cut(d->disk_size - min_u64(EDGE, d->disk_size), EDGE, start, end);
	if (d->raw_gaps)
		used[nr++] = (struct range){ .start = start, .len = end - start };
	for (size_t i = 0; i < t->nr_structures; i++)
		used[nr++] = cut(t->structures[i].start, t->structures[i].len, start, end);
	nr = pt_ranges_join(used, nr);
	/* A disk can have a thousand gaps and a thousand structures: keep only what is needed. */
	struct range *fitting = reallocarray(used, nr ? nr : 1, sizeof(*used));
	d->regions[d->nr++] = (struct pt_region){
		.kind = PT_REGION_GAP,
		.start = start,
		.len = end - start,
		.entry = -1,
		.nr_used = nr,
		.used = fitting ? fitting : used,
	};
	return 0;
}

static int emit_regions(struct division *d, struct err *e)
{
	uint64_t pos = 0;

	for (size_t i = 0; i < d->nr_pieces; i++) {
		const struct piece *p = &d->pieces[i];
		if (p->start > pos && add_gap(d, pos, p->start, e) < 0)
			return -1;
		d->regions[d->nr++] = (struct pt_region){
			.kind = p->is_raw ? PT_REGION_OVERLAP : PT_REGION_PARTITION,
			.start = p->start,
			.len = p->end - p->start,
			.entry = p->is_raw ? -1 : p->entry,
		};
		pos = p->end;
	}
	return pos < d->disk_size ? add_gap(d, pos, d->disk_size, e) : 0;
}

static int divide(struct division *d, struct err *e)
{
	if (d->t->kind == PT_NONE) {
		if (d->disk_size)
			d->regions[d->nr++] = (struct pt_region){ .kind = PT_REGION_WHOLE, .len = d->disk_size, .entry = -1 };
		return 0;
	}
	collect_pieces(d);
	join_overlapping(d);
	mark_over_table(d);
	return emit_regions(d, e);
}

int pt_regions(struct pt_table *t, uint64_t disk_size, bool raw_gaps, struct pt_region **ret, size_t *ret_nr,
	struct err *e)
{
	struct division d = { .t = t, .disk_size = disk_size, .raw_gaps = raw_gaps };

	d.pieces = alloc_array(t->nr, sizeof(*d.pieces));
	d.regions = alloc_array(2 * t->nr + 1, sizeof(*d.regions));
	int r = d.pieces && d.regions ? divide(&d, e) : err_nomem(e, "the regions of a disk");
	free(d.pieces);
	if (r < 0) {
		pt_regions_free(d.regions, d.nr);
		return -1;
	}
	*ret = d.regions;
	*ret_nr = d.nr;
	return 0;
}

void pt_regions_free(struct pt_region *r, size_t nr)
{
	for (size_t i = 0; r && i < nr; i++)
		free(r[i].used);
	free(r);
}
