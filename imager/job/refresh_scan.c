/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Which chunks of the targets are not as the image wants them; see refresh.h. */
#include "imager/job/refresh.h"

#include "base/arith.h"
#include "imager/job/disk_check.h"
#include "imager/job/wanted.h"

static int chunk_differs(void *arg, const struct img_cursor *at, const uint8_t *content, struct err *e)
{
	struct restore *rs = arg;

	(void)content;
	(void)e;
	chunk_set_add(rs->need, at->present);
	return 0;
}

/* Add the present chunks in which [start, start+len) of a disk lies (image offsets). */
static void add_range(struct restore *rs, uint32_t disk, uint64_t start, uint64_t len)
{
	const struct img_manifest *m = rs->x->m;

	for (size_t k = 0; len && k < m->nr_regions; k++) {
		const struct img_region *r = &m->regions[k];
		uint64_t from = max_u64(start, r->start), to = min_u64(start + len, r->start + r->len);
		if (r->disk != disk || from >= to || (rs->only_region != SIZE_MAX && k != rs->only_region))
			continue;
		uint64_t last = (to - 1 - r->start) / CHUNK_SIZE;
		for (uint64_t i = cmap_next_present(r->map, (from - r->start) / CHUNK_SIZE); i <= last; i = cmap_next_present(r->map, i + 1))
			chunk_set_add(rs->need, img_present_index(r, i));
	}
}

/* A sector that is lost is written again: then the drive takes another one for it. */
static int unreadable(void *arg, uint32_t disk, uint64_t start, uint64_t len, struct err *e)
{
	(void)e;
	add_range(arg, disk, start, len);
	return 0;
}

static int patch_differs(void *arg, uint32_t disk, uint64_t start, uint64_t len, struct err *e)
{
	(void)disk;
	(void)start;
	(void)len;
	(void)e;
	((struct restore *)arg)->tables_differ = true;
	return 0;
}

static uint64_t nr_places(const struct img_manifest *m)
{
	uint64_t nr = 0;

	for (size_t i = 0; i < m->nr_regions; i++)
		nr = max_u64(nr, m->regions[i].first_present + cmap_nr_present(m->regions[i].map));
	return nr;
}

/* Devices past the page cache, which the image needs more. */
static struct blk_source *open_source(const struct restore *rs, uint32_t disk, struct err *e)
{
	size_t i = rs->only_region == SIZE_MAX ? disk : 0;

	return rs->o->sinks ? blk_sink_source(rs->sinks[disk], e) : blk_open(rs->o->disks[i], rs->sinks[disk]->sector_size, true, e);
}

static int scan(struct restore *rs, struct blk_source *const *disks, struct err *e)
{
	AUTO_FREE struct special_chunk *special = NULL;
	size_t nr_special = 0;

	if (wanted_special(rs->x, rs->reader, &special, &nr_special, e) < 0)
		return -1;
	struct disk_check dc = {
		.x = rs->x,
		.special = special,
		.nr_special = nr_special,
		.disks = disks,
		.whole_leaves = rs->o->scrub != SCRUB_NONE,
		.threads = rs->o->threads,
		.phase = "scan",
		.total = rs->total,
		.differs = chunk_differs,
		.unreadable = unreadable,
		.arg = rs,
	};
	if (disk_check_run(&dc, rs->p, e) < 0 || wanted_patches(rs->x, disks, patch_differs, rs, e) < 0)
		return -1;
	rs->scanned = dc.checked;
	rs->differing = rs->need->nr;
	rs->is_same = !rs->need->nr && !rs->tables_differ;
	return 0;
}

int refresh_scan(struct restore *rs, struct err *e)
{
	struct blk_source *disks[IMG_MAX_DISKS] = { NULL };
	int r = 0;

	if (!(rs->need = chunk_set_new(nr_places(rs->x->m), e)))
		return -1;
	for (uint32_t i = 0; r == 0 && i < rs->m->nr_disks; i++)
		if (rs->sinks[i] && !(disks[i] = open_source(rs, i, e)))
			r = -1;
	if (r == 0)
		r = scan(rs, disks, e);
	for (size_t i = 0; i < rs->m->nr_disks; i++)
		blk_close(disks[i]);
	return r;
}

void refresh_widen(struct restore *rs)
{
	for (size_t i = 0; i < rs->holds->nr_special; i++)
		chunk_set_add(rs->need, rs->holds->special[i].present);
	for (uint32_t d = 0; d < rs->m->nr_disks; d++)
		for (uint32_t i = 0; rs->sinks[d] && i < rs->layouts[d].nr_arm; i++)
			add_range(rs, d, rs->layouts[d].arm[i].start + rs->x->disks[d].shift, rs->layouts[d].arm[i].len);
}
