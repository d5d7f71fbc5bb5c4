/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What the image does not use still holds somebody's data: it is discarded, cleared, or left, as asked. */
#include "imager/job/restore.h"

#include "base/arith.h"

#define STEP ((uint64_t)256 << 20)

/* The unused run that is being collected on one disk, in target offsets. */
struct scrub_run {
	struct restore *rs;
	uint32_t disk;
	uint64_t start, end;
};

/* In steps, between which it can be stopped: clearing a whole disk takes hours. They end where no device has to keep part of a block for it. */
static int scrub_flush(struct scrub_run *s, struct err *e)
{
	struct blk_sink *sink = s->rs->sinks[s->disk];

	while (s->start < s->end) {
		uint64_t end = min_u64(s->end, round_down_u64(s->start, STEP) + STEP), len = end - s->start;
		/* What becomes of discarded bytes is the device's choice: as they were, or zeros. */
		if (restore_reach(s->rs, s->disk, end, e) < 0 || state_will_write(s->rs->states[s->disk], s->start, NULL, len, e) < 0)
			return -1;
		int r = s->rs->o->scrub == SCRUB_ZERO ? blk_zero(sink, s->start, len, e) : blk_discard(sink, s->start, len, e);
		s->start = end;
		s->rs->discarded += len;
		progress_update(s->rs->p, "discard", s->rs->discarded, 0);
		if (r < 0)
			return -1;
	}
	return 0;
}

static int scrub_piece(struct scrub_run *s, uint64_t start, uint64_t len, bool wanted, struct err *e)
{
	if (wanted || start != s->end) {
		if (scrub_flush(s, e) < 0)
			return -1;
		s->start = s->end = start + (wanted ? len : 0);
	}
	s->end = wanted ? s->end : start + len;
	return 0;
}

static int scrub_region(struct scrub_run *s, const struct img_region *reg, uint64_t shift, struct err *e)
{
	for (uint64_t i = 0; i < cmap_nr_chunks(reg->map);) {
		struct cmap_chunk c;
		enum cmap_kind kind;
		uint64_t at = reg->start - shift + i * CHUNK_SIZE;
		uint64_t nr = cmap_run(reg->map, i, &kind);
		if (kind < CMAP_BITMAP) {
			uint64_t len = min_u64(nr * CHUNK_SIZE, reg->len - i * CHUNK_SIZE);
			if (scrub_piece(s, at, len, kind != CMAP_ABSENT, e) < 0)
				return -1;
			i += nr;
			continue;
		}
		cmap_get(reg->map, i, &c);
		for (uint32_t off = 0; off < c.len;) {
			bool wanted;
			uint32_t n = cmap_leaf_run(reg->map, &c, off, &wanted);
			if (scrub_piece(s, at + off, n, wanted, e) < 0)
				return -1;
			off += n;
		}
		i++;
	}
	return 0;
}

int restore_scrub(struct restore *rs, struct err *e)
{
	struct scrub_run s = { .rs = rs };

	if (rs->o->scrub == SCRUB_NONE)
		return 0;
	for (size_t i = 0; i < rs->m->nr_regions; i++) {
		const struct img_region *reg = &rs->x->m->regions[i];
		bool last = i + 1 == rs->m->nr_regions || rs->m->regions[i + 1].disk != reg->disk;
		if (rs->only_region != SIZE_MAX && i != rs->only_region)
			continue;
		s.disk = reg->disk;
		if (scrub_region(&s, reg, rs->x->disks[reg->disk].shift, e) < 0)
			return -1;
		/* What a larger target has behind the image's end; its backup table is written later. */
		if (last && rs->only_region == SIZE_MAX &&
			scrub_piece(&s, rs->m->disks[reg->disk].size, rs->sinks[reg->disk]->size - rs->m->disks[reg->disk].size, false, e) < 0)
			return -1;
		if (last || rs->only_region != SIZE_MAX) {
			if (scrub_flush(&s, e) < 0)
				return -1;
			s.start = s.end = 0;
		}
	}
	return 0;
}
