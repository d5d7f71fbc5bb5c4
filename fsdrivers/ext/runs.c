/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Lists of block runs: neighbours are merged while they are added in order. */
#include "fsdrivers/ext/ext.h"

#include <stdlib.h>

static int runs_grow(struct ext_runs *r, struct err *e)
{
	size_t room = r->room ? r->room * 2 : 16;
	struct ext_run *v = reallocarray(r->v, room, sizeof(*v));

	if (!v)
		return err_nomem(e, "a list of blocks");
	r->v = v;
	r->room = room;
	return 0;
}

int ext_runs_add(struct ext_runs *r, uint64_t start, uint64_t nr_blocks, size_t max, struct err *e)
{
	struct ext_run *last = r->nr ? &r->v[r->nr - 1] : NULL;

	if (last && last->start + last->nr_blocks == start) {
		last->nr_blocks += nr_blocks;
		return 0;
	}
	if (r->nr >= max)
		return err_set(e, ERR_CORRUPT, 0, "more than %zu separate runs of blocks", max);
	if (r->nr == r->room && runs_grow(r, e) < 0)
		return -1;
	r->v[r->nr++] = (struct ext_run){ .start = start, .nr_blocks = nr_blocks };
	return 0;
}

static int compare_runs(const void *a, const void *b)
{
	const struct ext_run *x = a, *y = b;

	return (x->start > y->start) - (x->start < y->start);
}

bool ext_runs_sort(struct ext_runs *r)
{
	if (!r->nr)
		return true;
	qsort(r->v, r->nr, sizeof(*r->v), compare_runs);
	for (size_t i = 1; i < r->nr; i++)
		if (r->v[i].start - r->v[i - 1].start < r->v[i - 1].nr_blocks)
			return false;
	return true;
}

void ext_runs_free(struct ext_runs *r)
{
	free(r->v);
	*r = (struct ext_runs){ 0 };
}
