/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The extents of all regions, read from hostile bytes (docs/format.md section 3, "extents"). */
#include "imager/image/core.h"

#include "base/arith.h"
#include "imager/image/cursor.h"
#include "imager/image/rules.h"

struct run {
	uint32_t kind, nr;
};

static int get_bitmaps(struct cursor *c, struct chunk_map *map, uint64_t first, const struct run *run, struct err *e)
{
	size_t n = cmap_bitmap_bytes(map);

	for (uint64_t i = first; i < first + run->nr; i++) {
		const uint8_t *used = get_bytes(c, n);
		const uint8_t *zero = run->kind == CMAP_BITMAP_ZERO ? get_bytes(c, n) : NULL;
		if (c->s.bad)
			return cursor_corrupt(e, "the extents end too early");
		if (cmap_set_bitmaps(map, i, (enum cmap_kind)run->kind, used, zero, e) < 0)
			return -1;
	}
	return 0;
}

static struct run get_run(struct cursor *c)
{
	return (struct run){ .kind = (uint32_t)get_int(c, 4), .nr = (uint32_t)get_int(c, 4) };
}

/* Each kind is within its range, the runs make up the region, and what is present is within the limit; nothing is allocated yet. */
static int check_runs(struct cursor runs, uint64_t nr_runs, uint64_t nr_chunks, struct img_limits *limits, struct err *e)
{
	struct run run, before = { .kind = UINT32_MAX };
	uint64_t at = 0;

	for (uint64_t k = 0; k < nr_runs; k++, at += run.nr, before = run) {
		run = get_run(&runs);
		if (run.kind > CMAP_BITMAP_ZERO || run.nr == 0 || run.nr > nr_chunks - at)
			return cursor_corrupt(e, "a run of extents");
		if (run.kind == before.kind && before.nr != UINT32_MAX)
			return cursor_corrupt(e, "a run of extents is split");
		uint64_t present = run.kind == CMAP_ABSENT ? 0 : run.nr;
		if (!sub_u64(limits->present, present, &limits->present))
			return cursor_corrupt(e, "it claims more chunks than the file has room for");
	}
	return at == nr_chunks ? 0 : cursor_corrupt(e, "the extents do not cover their region");
}

/* limits: what is left of them, counted down. */
static int fill_map(struct cursor *c, struct chunk_map *map, struct cursor runs, uint64_t nr_runs, struct img_limits *limits, struct err *e)
{
	struct run run;
	uint64_t at = 0;

	for (uint64_t k = 0; k < nr_runs; k++, at += run.nr) {
		run = get_run(&runs);
		int r = run.kind < CMAP_BITMAP ? cmap_set_run(map, at, run.nr, (enum cmap_kind)run.kind, e) : get_bitmaps(c, map, at, &run, e);
		if (r < 0)
			return -1;
		if (cmap_memory(map) > limits->memory) {
			err_set(e, ERR_UNSUPPORTED, 0, "the map of the image takes more memory than a pipe may ask for");
			return err_hint(e, "store the image as a file first");
		}
	}
	cmap_freeze(map);
	limits->memory -= cmap_memory(map);
	return 0;
}

/* Runs are walked twice: first to check them, then to fill the map, with the bitmaps that follow the last run. */
static int get_map(struct cursor *c, struct chunk_map *map, struct img_limits *limits, struct err *e)
{
	uint64_t nr_runs = get_int(c, 4);

	if (c->s.bad || nr_runs > left(c) / 8)
		return cursor_corrupt(e, "the extents end too early");
	struct cursor runs = *c;
	get_bytes(c, (size_t)nr_runs * 8);
	if (check_runs(runs, nr_runs, cmap_nr_chunks(map), limits, e) < 0)
		return -1;
	return fill_map(c, map, runs, nr_runs, limits, e);
}

int core_get_extents(struct cursor *c, struct img_manifest *m, struct err *e)
{
	for (size_t i = 0; i < m->nr_regions; i++)
		if (get_map(c, m->regions[i].map, c->limits, e) < 0)
			return -1;
	if (left(c))
		return cursor_corrupt(e, "bytes behind the extents");
	return rules_copies_in_absent(m, e);
}
