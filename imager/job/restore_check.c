/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Read-back: does the medium hold what was written? Before the target is armed. */
#include "imager/job/restore.h"

#include "base/arith.h"
#include "imager/job/disk_check.h"

static int not_kept(void *arg, const struct img_cursor *at, const uint8_t *content, struct err *e)
{
	const struct restore *rs = arg;
	const struct img_region *reg = &rs->m->regions[at->region];
	uint64_t start = reg->start + at->i * CHUNK_SIZE - rs->x->disks[reg->disk].shift;
	char where[200];

	(void)content;
	img_describe_region(rs->m, at->region, where, sizeof(where));
	err_set(e, ERR_CORRUPT, 0, "'%s' did not keep what was written at %llu+%u (%s)", rs->sinks[reg->disk]->name,
		(unsigned long long)start, CHUNK_SIZE, where);
	err_hint(e, "the target is faulty, or something else wrote to it; it was not made bootable");
	return err_reason(e, "read-back");
}

static int check_disks(struct restore *rs, struct blk_source **sources, struct err *e)
{
	struct disk_check dc = {
		.x = rs->x,
		.holds = rs->holds,
		.special = rs->holds->special,
		.nr_special = rs->holds->nr_special,
		.disks = sources,
		.only = rs->need,
		.threads = rs->o->threads,
		.phase = "read-back",
		.total = rs->total,
		.differs = not_kept,
		.arg = rs,
	};

	if (disk_check_run(&dc, rs->p, e) < 0)
		return -1;
	rs->verified = dc.checked;
	return 0;
}

int restore_read_back(struct restore *rs, struct err *e)
{
	struct blk_source *sources[IMG_MAX_DISKS] = { NULL };
	int r = 0;

	for (size_t i = 0; r == 0 && i < rs->m->nr_disks; i++)
		if (rs->sinks[i] && !(sources[i] = blk_sink_source(rs->sinks[i], e)))
			r = -1;
	if (r == 0)
		r = check_disks(rs, sources, e);
	for (size_t i = 0; i < rs->m->nr_disks; i++)
		blk_close(sources[i]);
	return r;
}
