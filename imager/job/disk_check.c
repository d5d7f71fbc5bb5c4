/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Comparing a disk with an image; see disk_check.h. */
#include "imager/job/disk_check.h"

#include "base/arith.h"
#include "base/pipeline.h"
#include "imager/image/chunk.h"
#include "imager/job/cores.h"

#include <string.h>

struct check_run {
	struct disk_check *dc;
	const struct progress *p;
	struct batch_reader reader;
};

struct check_item {
	struct batch in;
	bool differs[BATCH_CHUNKS];
};

static void item_free(void *item)
{
	batch_release(&((struct check_item *)item)->in);
	free(item);
}

static void *item_new(void *arg, struct err *e)
{
	struct check_item *it = alloc_array(1, sizeof(*it));

	(void)arg;
	if (!it)
		err_nomem(e, "a read buffer");
	else if (batch_init(&it->in, e) == 0)
		return it;
	free(it);
	return NULL;
}

static void *worker_new(void *arg, struct err *e)
{
	return chunk_codec_for(((struct check_run *)arg)->dc->x->m->seal, 0, e);
}

static void worker_free(void *worker)
{
	chunk_codec_free(worker);
}

static int read_batch(void *arg, void *item, struct err *e)
{
	return batch_next(&((struct check_run *)arg)->reader, &((struct check_item *)item)->in, e);
}

static int by_present(const void *a, const void *b)
{
	const struct special_chunk *x = a, *y = b;

	return x->present < y->present ? -1 : x->present > y->present;
}

static const uint8_t *wanted_id(const struct disk_check *dc, uint64_t present)
{
	struct special_chunk key = { .present = present };
	const struct special_chunk *s = dc->nr_special ? bsearch(&key, dc->special, dc->nr_special, sizeof(key), by_present) : NULL;

	return s ? s->id : dc->x->image->ids[present];
}

static int compare_batch(void *arg, void *worker, void *item, struct err *e)
{
	const struct disk_check *dc = ((struct check_run *)arg)->dc;
	struct check_item *it = item;

	for (unsigned k = 0; k < it->in.nr; k++) {
		const struct img_cursor *at = &it->in.at[k];
		const struct img_region *reg = &dc->x->m->regions[at->region];
		uint8_t *content = batch_chunk(&it->in, k), id[IMG_ID_SIZE];
		struct cmap_chunk c;
		cmap_get(reg->map, at->i, &c);
		if (dc->whole_leaves)
			cmap_mask_leaves(reg->map, &c, content);
		else
			cmap_mask(reg->map, &c, content, true);
		if (dc->holds)
			holds_clear(dc->holds, reg->disk, reg->start + at->i * CHUNK_SIZE, content, c.len);
		if (chunk_id(worker, content, id, NULL, e) < 0)
			return -1;
		it->differs[k] = memcmp(id, wanted_id(dc, at->present), IMG_ID_SIZE) != 0;
	}
	return 0;
}

static int report_batch(void *arg, void *item, struct err *e)
{
	struct check_run *run = arg;
	struct disk_check *dc = run->dc;
	struct check_item *it = item;

	for (unsigned k = 0; k < it->in.nr; k++)
		if (it->differs[k] && dc->differs(dc->arg, &it->in.at[k], batch_chunk(&it->in, k), e) < 0)
			return -1;
	dc->checked += it->in.bytes;
	dc->nr_chunks += it->in.nr;
	progress_update(run->p, dc->phase, dc->checked, dc->total);
	return 0;
}

int disk_check_run(struct disk_check *dc, const struct progress *p, struct err *e)
{
	static const struct pipe_ops ops = {
		.item_new = item_new,
		.item_free = item_free,
		.worker_new = worker_new,
		.worker_free = worker_free,
		.produce = read_batch,
		.work = compare_batch,
		.consume = report_batch,
	};
	AUTO_FREE uint64_t *shift = alloc_array(dc->x->m->nr_disks, sizeof(*shift));
	struct check_run run = { .dc = dc, .p = p };
	unsigned threads = cores_or(dc->threads);

	if (!shift)
		return err_nomem(e, "the plan");
	for (size_t i = 0; i < dc->x->m->nr_disks; i++)
		shift[i] = dc->x->disks[i].shift;
	run.reader = (struct batch_reader){ .m = dc->x->m, .disks = dc->disks, .shift = shift, .want_zero = true,
		.only_region = dc->x->only_region, .only = dc->only, .whole_leaves = dc->whole_leaves, .bad = dc->unreadable, .bad_arg = dc->arg };
	img_cursor_begin(&run.reader.at);
	dc->checked = dc->nr_chunks = 0;
	return pipe_run(&ops, &run, threads, threads * 2 + 4, p, e);
}
