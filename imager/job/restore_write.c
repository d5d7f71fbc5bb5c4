/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The writing stage of a restore. Records are read in order (producer), decoded, verified against their id, adapted and written by the
 * workers. What is held back is copied aside and left out of the writes.
 */
#include "imager/job/refresh.h"

#include "base/arith.h"
#include "base/pipeline.h"
#include "imager/job/cores.h"

#include <string.h>

struct write_item {
	struct img_record rec;
	uint8_t *payload, *content; /* CHUNK_PAYLOAD_MAX, CHUNK_SIZE */
	uint8_t *have;              /* CHUNK_SIZE, of a refresh: what the target holds; else NULL */
	uint64_t bytes, zeroed;
};

static void item_free(void *item)
{
	struct write_item *it = item;

	free(it->payload);
	free(it->content);
	free(it->have);
	free(it);
}

static void *item_new(void *arg, struct err *e)
{
	struct write_item *it = alloc_array(1, sizeof(*it));

	bool is_refresh = ((struct restore *)arg)->need;

	if (it) {
		it->payload = malloc(CHUNK_PAYLOAD_MAX);
		it->content = malloc(CHUNK_SIZE);
		it->have = is_refresh ? malloc(CHUNK_SIZE) : NULL;
		if (it->payload && it->content && (it->have || !is_refresh))
			return it;
		item_free(it);
	}
	err_nomem(e, "a restore buffer");
	return NULL;
}

static void *worker_new(void *arg, struct err *e)
{
	return chunk_codec_for(((struct restore *)arg)->m->seal, 0, e);
}

static void worker_free(void *worker)
{
	chunk_codec_free(worker);
}

static int read_record(void *arg, void *item, struct err *e)
{
	struct restore *rs = arg;
	struct write_item *it = item;

	if (rs->need) {
		if (!refresh_next(rs, &rs->at))
			return 0;
		if (img_reader_record(rs->reader, &rs->at, &it->rec, it->payload, e) < 0)
			return -1;
		rs->fetched += it->rec.is_zero ? 0 : it->rec.head.stored_len;
	}
	while (!rs->need) {
		int r = img_reader_next(rs->reader, &it->rec, it->payload, e);
		if (r <= 0)
			return r;
		if ((rs->only_region == SIZE_MAX || it->rec.at.region == rs->only_region) && !expected_is_remade(rs->x, it->rec.at.region))
			break;
	}
	if (progress_check(rs->p, e) < 0) /* a mark that is set for nothing keeps an undo from what was not written */
		return -1;
	const struct img_region *reg = &rs->m->regions[it->rec.at.region];
	uint64_t end = reg->start + (it->rec.at.i + 1) * CHUNK_SIZE - rs->x->disks[reg->disk].shift;
	if (rs->o->dry_run)
		return 1;
	return state_mark(rs->states[reg->disk], end, e) < 0 ? -1 : 1;
}

int restore_write_around(struct restore *rs, uint32_t disk, uint64_t start, const uint8_t *buf, uint64_t len, struct err *e)
{
	struct blk_sink *sink = rs->sinks[disk];
	uint64_t shift = rs->x->disks[disk].shift, at = start, end = start + len;

	while (at < end) {
		const struct hold *h = holds_next(rs->holds, disk, at);
		uint64_t stop = h ? min_u64(max_u64(h->start, at), end) : end;
		if (stop > at) {
			if (restore_reach(rs, disk, stop - shift, e) < 0 ||
				state_will_write(rs->states[disk], at - shift, buf ? buf + (at - start) : NULL, stop - at, e) < 0)
				return -1;
			int r = buf ? blk_write(sink, at - shift, buf + (at - start), (size_t)(stop - at), e)
				    : blk_zero(sink, at - shift, stop - at, e);
			if (r < 0)
				return -1;
		}
		at = stop < end && h ? h->start + h->len : stop;
	}
	return 0;
}

/* A chunk that is adapted or partly held: its id is computed anew, as read-back will see it. */
static int prepare_special(const struct restore *rs, struct chunk_codec *codec, struct special_chunk *sp, uint32_t disk, uint64_t start,
	uint8_t *content, uint32_t len, struct err *e)
{
	expected_adapt(rs->x, disk, start, content, len);
	if (rs->o->dry_run)
		return 0;
	holds_take(rs->holds, disk, start, content, len);
	holds_clear(rs->holds, disk, start, content, len);
	return chunk_id(codec, content, sp->id, NULL, e);
}

/* Which files are lost is asked of volumes and places, not of chunks. */
static int name_place(const struct restore *rs, const struct img_cursor *at, struct err *e)
{
	char where[200];

	img_describe_region(rs->m, at->region, where, sizeof(where));
	err_wrap(e, "%s, 256 KiB at %llu of the disk", where, (unsigned long long)(rs->m->regions[at->region].start + at->i * CHUNK_SIZE));
	return err_hint(e, "'calco verify' lists all damage of an image; the target is not complete and does not boot");
}

/* The leaves of a chunk that hold anything. content NULL: zeros. */
static int write_wanted(struct restore *rs, const struct img_region *reg, const struct cmap_chunk *c, uint64_t start, const uint8_t *content,
	uint64_t *ret_bytes, struct err *e)
{
	*ret_bytes = 0;
	for (uint32_t off = 0; off < c->len;) {
		bool wanted;
		uint32_t n = cmap_leaf_run(reg->map, c, off, &wanted);
		if (wanted && restore_write_around(rs, reg->disk, start + off, content ? content + off : NULL, n, e) < 0)
			return -1;
		*ret_bytes += wanted ? n : 0;
		off += n;
	}
	return 0;
}

static int write_chunk(void *arg, void *worker, void *item, struct err *e)
{
	struct restore *rs = arg;
	struct write_item *it = item;
	const struct img_region *reg = &rs->m->regions[it->rec.at.region];
	uint64_t start = reg->start + it->rec.at.i * CHUNK_SIZE;
	struct special_chunk *sp = holds_special(rs->holds, it->rec.at.present);
	struct cmap_chunk c;

	if (img_decode(worker, rs->m, &it->rec, it->payload, it->content, e) < 0)
		return e->code == ERR_CORRUPT ? name_place(rs, &it->rec.at, e) : -1;
	cmap_get(reg->map, it->rec.at.i, &c);
	if (sp && prepare_special(rs, worker, sp, reg->disk, start, it->content, c.len, e) < 0)
		return -1;
	if (!rs->need)
		return write_wanted(rs, reg, &c, start, it->rec.is_zero && !sp ? NULL : it->content, &it->bytes, e);
	struct refresh_count n;
	if (refresh_chunk(rs, reg, &c, start, it->content, it->have, &n, e) < 0)
		return -1;
	it->bytes = n.written;
	it->zeroed = n.zeroed;
	return 0;
}

static int count_chunk(void *arg, void *item, struct err *e)
{
	struct restore *rs = arg;

	const struct write_item *it = item;

	(void)e;
	rs->done += rs->need ? CHUNK_SIZE : it->bytes;
	rs->written += it->bytes;
	rs->zeroed += it->zeroed;
	rs->nr_chunks++;
	progress_update(rs->p, "write", rs->done, rs->total);
	return 0;
}

/* Say where a damaged chunk belongs, so that the user knows what is lost. */
static void locate(const struct restore *rs, struct err *e)
{
	if (e->code == ERR_CORRUPT && !e->hint[0])
		err_hint(e, "nothing of a damaged chunk was written and the target does not boot; 'calco verify %.100s' lists all damage",
			rs->o->image);
}

/* What it takes to write volumes that are made anew. */
struct remade_buffers {
	struct chunk_codec *codec;
	uint8_t *content, *have; /* CHUNK_SIZE each */
};

static int write_remade_chunk(struct restore *rs, size_t region, uint64_t i, const struct remade_buffers *b, struct err *e)
{
	const struct img_region *reg = &rs->x->m->regions[region];
	uint64_t start = reg->start + i * CHUNK_SIZE, bytes;
	struct special_chunk *sp = holds_special(rs->holds, img_present_index(reg, i));
	struct refresh_count n = { 0 };
	struct cmap_chunk c;

	cmap_get(reg->map, i, &c);
	if (expected_chunk(rs->x, region, i, b->content, e) < 0 || prepare_special(rs, b->codec, sp, reg->disk, start, b->content, c.len, e) < 0)
		return -1;
	if (progress_check(rs->p, e) < 0 ||
		(!rs->o->dry_run && state_mark(rs->states[reg->disk], start + CHUNK_SIZE - rs->x->disks[reg->disk].shift, e) < 0))
		return -1;
	int r = rs->need ? refresh_chunk(rs, reg, &c, start, b->content, b->have, &n, e) : write_wanted(rs, reg, &c, start, b->content, &bytes, e);
	if (r < 0)
		return -1;
	rs->done += rs->need ? CHUNK_SIZE : bytes;
	rs->written += rs->need ? n.written : bytes;
	rs->zeroed += n.zeroed;
	rs->nr_chunks++;
	progress_update(rs->p, "write", rs->done, rs->total);
	return 0;
}

/* A volume that is made anew. It is composed of pieces of the image from everywhere, so it is done by one thread, and after the records. */
static int write_remade(struct restore *rs, size_t region, const struct remade_buffers *b, struct err *e)
{
	const struct img_region *reg = &rs->x->m->regions[region];

	for (uint64_t i = cmap_next_present(reg->map, 0); i < cmap_nr_chunks(reg->map); i = cmap_next_present(reg->map, i + 1))
		if ((!rs->need || chunk_set_has(rs->need, img_present_index(reg, i))) && write_remade_chunk(rs, region, i, b, e) < 0)
			return -1;
	return 0;
}

static int write_all_remade(struct restore *rs, struct err *e)
{
	AUTO(chunk_codec) struct chunk_codec *codec = chunk_codec_for(rs->m->seal, 0, e);
	AUTO_FREE uint8_t *content = malloc(CHUNK_SIZE), *have = malloc(CHUNK_SIZE);
	struct remade_buffers b = { .codec = codec, .content = content, .have = have };

	if (!codec)
		return -1;
	if (!content || !have)
		return err_nomem(e, "a restore buffer");
	for (size_t i = 0; i < rs->m->nr_regions; i++)
		if ((rs->only_region == SIZE_MAX || i == rs->only_region) && expected_is_remade(rs->x, i) && write_remade(rs, i, &b, e) < 0)
			return -1;
	return 0;
}

int restore_write(struct restore *rs, struct err *e)
{
	static const struct pipe_ops ops = {
		.item_new = item_new,
		.item_free = item_free,
		.worker_new = worker_new,
		.worker_free = worker_free,
		.produce = read_record,
		.work = write_chunk,
		.consume = count_chunk,
	};
	unsigned threads = cores_or(rs->o->threads);

	rs->done = 0;
	img_cursor_begin(&rs->at);
	progress_update(rs->p, "write", 0, 0);
	if (rs->need) /* what follows goes with the difference */
		rs->total = rs->need->nr * CHUNK_SIZE;
	if (pipe_run(&ops, rs, threads, threads * 4 + 4, rs->p, e) < 0 || (!rs->need && img_reader_finish(rs->reader, e) < 0)) {
		locate(rs, e);
		return -1;
	}
	return rs->x->remade ? write_all_remade(rs, e) : 0;
}
