/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What must hold for the regions of any table. */
#ifndef CALCO_TESTS_UNIT_TABLE_CHECK_H
#define CALCO_TESTS_UNIT_TABLE_CHECK_H

#include "base/arith.h"
#include "imager/disk/table.h"
#include "tests/unit/table_util.h"

static inline bool is_used(const struct pt_region *r, uint64_t pos)
{
	for (size_t i = 0; i < r->nr_used; i++)
		if (pos >= r->used[i].start && pos - r->used[i].start < r->used[i].len)
			return true;
	return false;
}

static inline void check_gap(const struct pt_region *r, uint64_t size, bool raw_gaps)
{
	uint64_t end = r->start;

	for (size_t i = 0; i < r->nr_used; i++) {
		ck_assert_uint_gt(r->used[i].len, 0);
		ck_assert(r->used[i].start >= end);
		end = r->used[i].start + r->used[i].len;
		ck_assert(end <= r->start + r->len);
	}
	if (r->start == 0)
		ck_assert(is_used(r, 0) && is_used(r, min_u64(r->len, MIB) - 1));
	if (r->start + r->len == size)
		ck_assert(is_used(r, size - 1) && is_used(r, max_u64(size - min_u64(size, MIB), r->start)));
	if (raw_gaps)
		ck_assert(r->nr_used == 1 && r->used[0].len == r->len);
}

/* Every byte of a structure is used in a gap or lies in a raw region. */
static inline void check_structures(const struct pt_table *t, const struct pt_region *r, size_t nr)
{
	for (size_t i = 0; i < t->nr_structures; i++)
		for (size_t k = 0; k < nr; k++) {
			uint64_t lo = max_u64(t->structures[i].start, r[k].start);
			uint64_t hi = min_u64(t->structures[i].start + t->structures[i].len, r[k].start + r[k].len);
			if (lo >= hi)
				continue;
			if (r[k].kind == PT_REGION_GAP)
				ck_assert(is_used(&r[k], lo) && is_used(&r[k], hi - 1));
			else
				ck_assert_int_eq(r[k].kind, PT_REGION_OVERLAP);
		}
}

static inline void check_regions(struct pt_table *t, uint64_t size, bool raw_gaps)
{
	struct err e = ERR_INIT;
	struct pt_region *r;
	size_t nr;
	uint64_t pos = 0;

	ck_assert_msg(pt_regions(t, size, raw_gaps, &r, &nr, &e) == 0, "%s", e.msg);
	for (size_t i = 0; i < nr; i++) {
		ck_assert_uint_eq(r[i].start, pos);
		ck_assert_uint_gt(r[i].len, 0);
		pos += r[i].len;
		if (r[i].kind == PT_REGION_GAP) {
			ck_assert(i == 0 || r[i - 1].kind != PT_REGION_GAP);
			check_gap(&r[i], size, raw_gaps);
		} else {
			ck_assert_uint_eq(r[i].nr_used, 0);
		}
		ck_assert_int_eq(r[i].entry >= 0, r[i].kind == PT_REGION_PARTITION);
		if (r[i].kind == PT_REGION_PARTITION)
			ck_assert_uint_eq(t->entries[r[i].entry].start, r[i].start);
	}
	ck_assert_uint_eq(pos, size);
	check_structures(t, r, nr);
	pt_regions_free(r, nr);
}

#endif
