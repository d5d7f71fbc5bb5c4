/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * A device made of pieces of others: a logical volume, an opened container, a mirror. The mapping tells for each byte where it lies;
 * blk_mapped() reads through it.
 */
#ifndef CALCO_BASE_MAPPING_H
#define CALCO_BASE_MAPPING_H

#include "base/auto.h"
#include "base/blk.h"
#include "base/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define MAPPING_MAX_LEGS 4096U /* of one segment */

/* A place in one of the devices below. */
struct map_leg {
	size_t member;  /* counted by the owner of the mapping */
	uint64_t start; /* bytes from the member's start */
};

/* One leg: in a row. Several: in turns of `stripe` bytes, or each the same (mirror). */
struct map_segment {
	uint64_t start, len;
	uint64_t stripe;  /* bytes; of no meaning with one leg or a mirror */
	bool is_mirror;
	size_t first_leg, nr_legs; /* in mapping.legs */
};

/* Zeroed is empty. Segments follow each other from 0 to size. */
struct mapping {
	struct map_segment *segments;
	struct map_leg *legs;
	size_t nr, nr_legs;
	uint64_t size;
};

/*
 * mapping_add - append len bytes
 * @stripe: 0 for one leg, and for several that hold the same
 *
 * ERR_CORRUPT when len is no whole number of rows of stripes, or something would overflow.
 */
int mapping_add(struct mapping *m, uint64_t len, uint64_t stripe, const struct map_leg *legs, size_t nr_legs, struct err *e);
void mapping_release(struct mapping *m);

/* fn(arg, member, start, len): bytes of a member */
typedef int (*mapping_fn)(void *arg, size_t member, uint64_t start, uint64_t len, struct err *e);

/*
 * mapping_walk - where do these bytes lie? In order; the range must lie inside
 * @all_copies: name each leg of a mirror, else the first
 */
int mapping_walk(const struct mapping *m, uint64_t off, uint64_t len, bool all_copies, mapping_fn fn, void *arg, struct err *e);

/* mapping_cover - the same bytes, each leg of a mirror, in any order: of a striped segment one piece for each leg, however long the range */
int mapping_cover(const struct mapping *m, uint64_t off, uint64_t len, mapping_fn fn, void *arg, struct err *e);

/* mapping_areas - the pieces of the members that the whole mapping lies on: one for each leg of each segment, in order */
int mapping_areas(const struct mapping *m, mapping_fn fn, void *arg, struct err *e);

/*
 * blk_mapped - a source that reads through a mapping; keeps a copy of the list of members, borrows the members and the mapping
 *
 * ERR_CORRUPT when a leg reaches beyond its member. Sector sizes are the largest of the members. Of a mirror the first leg is read, another one where
 * the medium lost it.
 */
struct blk_source *blk_mapped(const struct mapping *m, struct blk_source *const *members, size_t nr_members, const char *name, struct err *e);

#endif
