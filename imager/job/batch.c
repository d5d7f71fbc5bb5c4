/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Reading chunks in batches; see batch.h. Neighbouring chunks that are used from end to end become one read. In a
 * chunk of mixed state, wanted extents that lie less than GAP apart are read together: a gap costs less than a request.
 */
#include "imager/job/batch.h"

#include "base/arith.h"
#include "imager/job/chunk_set.h"
#include "imager/job/twins.h"

#include <string.h>

#define GAP (32U << 10)

int batch_init(struct batch *b, struct err *e)
{
	void *p;

	if (posix_memalign(&p, 4096, (size_t)BATCH_CHUNKS * CHUNK_SIZE))
		return err_nomem(e, "a read buffer");
	b->data = p;
	return 0;
}

void batch_release(struct batch *b)
{
	free(b->data);
	b->data = NULL;
}

/* Read by halves down to single sectors; those that cannot be read come from another place that holds the same, or become zero, and are reported. */
static int read_carefully(struct batch_reader *r, uint32_t disk, uint64_t off, uint8_t *buf, uint32_t len, struct err *e)
{
	struct blk_source *src = r->disks[disk];
	uint32_t sector = src->sector_size;

	if (blk_read(src, off, buf, len, e) == 0)
		return 0;
	if (!r->bad || !blk_is_medium_error(e))
		return -1;
	if (off / sector == (off + len - 1) / sector) {
		if (r->twins && twins_read(r->twins, r->disks, disk, off, buf, len))
			return r->found(r->bad_arg, disk, off, len, e);
		memset(buf, 0, len);
		return r->bad(r->bad_arg, disk, off + (r->shift ? r->shift[disk] : 0), len, e);
	}
	uint64_t middle = round_down_u64(off + len / 2, sector);
	if (middle <= off)
		middle = round_down_u64(off, sector) + sector;
	uint32_t first = (uint32_t)(middle - off);
	if (read_carefully(r, disk, off, buf, first, e) < 0)
		return -1;
	return read_carefully(r, disk, off + first, buf + first, len - first, e);
}

static uint64_t chunk_offset(const struct batch_reader *r, const struct img_cursor *at)
{
	const struct img_region *reg = &r->m->regions[at->region];
	return reg->start + at->i * CHUNK_SIZE - (r->shift ? r->shift[reg->disk] : 0);
}

/* Read [off, off+len) of a chunk; on an error again, extent by extent, so that no unused byte can stop us. */
static int read_piece(struct batch_reader *r, const struct img_cursor *at, const struct cmap_chunk *c, uint32_t off, uint32_t len,
	uint8_t *buf, struct err *e)
{
	const struct img_region *reg = &r->m->regions[at->region];
	uint64_t base = chunk_offset(r, at);

	r->read_bytes += len;
	if (blk_read(r->disks[reg->disk], base + off, buf + off, len, e) == 0)
		return 0;
	if (!r->bad || !blk_is_medium_error(e))
		return -1;
	if (r->whole_leaves) /* what is not read below must not pass for what was in the buffer */
		memset(buf + off, 0xFF, len);
	for (uint32_t end = off + len; off < end;) {
		enum ext_state state;
		uint32_t n = cmap_state_run(reg->map, c, off, &state);
		n = n < end - off ? n : end - off;
		if ((state == EXT_USED || (state == EXT_ZERO && r->want_zero)) && read_carefully(r, reg->disk, base + off, buf + off, n, e) < 0)
			return -1;
		off += n;
	}
	return 0;
}

/* The run of bytes from off on that are all wanted, or all not. */
static uint32_t next_run(const struct batch_reader *r, const struct chunk_map *map, const struct cmap_chunk *c, uint32_t off, bool *ret_wanted)
{
	enum ext_state state;

	if (r->whole_leaves)
		return cmap_leaf_run(map, c, off, ret_wanted);
	uint32_t n = cmap_state_run(map, c, off, &state);
	*ret_wanted = state == EXT_USED || (state == EXT_ZERO && r->want_zero);
	return n;
}

/* Adds the wanted bytes to *bytes. */
static int read_mixed(struct batch_reader *r, const struct img_cursor *at, const struct cmap_chunk *c, uint8_t *buf, uint64_t *bytes,
	struct err *e)
{
	const struct chunk_map *map = r->m->regions[at->region].map;
	uint32_t start = 0, end = 0; /* what is to be read next; empty while start == end */

	for (uint32_t off = 0; off < c->len;) {
		bool wanted;
		uint32_t n = next_run(r, map, c, off, &wanted);
		if (wanted && start < end && off - end > GAP) {
			if (read_piece(r, at, c, start, end - start, buf, e) < 0)
				return -1;
			start = end = off;
		}
		if (wanted) {
			start = start < end ? start : off;
			end = off + n;
			*bytes += n;
		}
		off += n;
	}
	return start < end ? read_piece(r, at, c, start, end - start, buf, e) : 0;
}

/* Move to the next chunk that is to be read. */
static bool advance(struct batch_reader *r)
{
	if (r->has_next)
		return true;
	do {
		if (!img_cursor_next(r->m, &r->at))
			return false;
	} while ((r->only_region != SIZE_MAX && r->at.region != r->only_region) || (r->only && !chunk_set_has(r->only, r->at.present)));
	r->has_next = true;
	return true;
}

/* How many chunks from the current one on can be read in one piece: used from end to end, and neighbours. */
static unsigned collect_run(struct batch_reader *r, struct batch *b, uint32_t *ret_len)
{
	const struct img_region *reg = &r->m->regions[r->at.region];
	struct cmap_chunk c;
	unsigned nr = 0;

	*ret_len = 0;
	while (nr < BATCH_CHUNKS && advance(r) && &r->m->regions[r->at.region] == reg) {
		cmap_get(reg->map, r->at.i, &c);
		if (c.kind != CMAP_USED || (nr && r->at.i != b->at[nr - 1].i + 1))
			break;
		b->at[nr++] = r->at;
		*ret_len += c.len;
		r->has_next = false;
	}
	return nr;
}

static int read_run(struct batch_reader *r, struct batch *b, uint32_t len, struct err *e)
{
	const struct img_region *reg = &r->m->regions[b->at[0].region];

	r->read_bytes += len;
	b->bytes = len;
	return read_carefully(r, reg->disk, chunk_offset(r, &b->at[0]), b->data, len, e);
}

int batch_next(struct batch_reader *r, struct batch *b, struct err *e)
{
	struct cmap_chunk c;
	uint32_t len;

	b->bytes = 0;
	if (!advance(r))
		return 0;
	b->nr = collect_run(r, b, &len);
	if (b->nr)
		return read_run(r, b, len, e) < 0 ? -1 : 1;
	/* Chunks of mixed state, one by one; they share a batch until a run begins. */
	while (b->nr < BATCH_CHUNKS && advance(r)) {
		const struct chunk_map *map = r->m->regions[r->at.region].map;
		cmap_get(map, r->at.i, &c);
		if (c.kind == CMAP_USED && b->nr)
			break;
		if (read_mixed(r, &r->at, &c, batch_chunk(b, b->nr), &b->bytes, e) < 0)
			return -1;
		b->at[b->nr++] = r->at;
		r->has_next = false;
	}
	return 1;
}
