/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Writing only what differs; see refresh.h. */
#include "imager/job/refresh.h"

#include "base/arith.h"

#include <string.h>

bool refresh_next(struct restore *rs, struct img_cursor *at)
{
	while (img_cursor_next(rs->m, at)) {
		bool is_asked = rs->only_region == SIZE_MAX || at->region == rs->only_region;
		if (is_asked && chunk_set_has(rs->need, at->present) && !expected_is_remade(rs->x, at->region))
			return true;
	}
	return false;
}

/* Unused bytes in a leaf that is written become zero, and where it is asked for that no old data stays, those in all leaves. */
static void refresh_mask(const struct restore *rs, const struct img_region *reg, const struct cmap_chunk *c, uint8_t *have)
{
	if (rs->o->scrub == SCRUB_NONE)
		cmap_mask(reg->map, c, have, true);
	else
		cmap_mask_leaves(reg->map, c, have);
}

/* What the target has there now, masked as the chunk's content is. *ret_lost: it cannot be read. */
static int read_target(const struct restore *rs, const struct img_region *reg, const struct cmap_chunk *c, uint64_t start, uint8_t *have,
	bool *ret_lost, struct err *e)
{
	*ret_lost = blk_read_back(rs->sinks[reg->disk], start - rs->x->disks[reg->disk].shift, have, c->len, e) < 0;
	if (*ret_lost && !blk_is_medium_error(e))
		return -1;
	if (*ret_lost)
		*e = (struct err)ERR_INIT;
	refresh_mask(rs, reg, c, have);
	if (!rs->o->dry_run) /* else nothing is held, all of it is compared */
		holds_clear(rs->holds, reg->disk, start, have, c->len);
	return 0;
}

enum leaf { LEAF_SAME, LEAF_WRITE, LEAF_ZERO };

static enum leaf judge(const uint8_t *content, const uint8_t *have, uint32_t len)
{
	if (!memcmp(content, have, len))
		return LEAF_SAME;
	return content[0] == 0 && !memcmp(content, content + 1, len - 1) ? LEAF_ZERO : LEAF_WRITE;
}

int refresh_chunk(struct restore *rs, const struct img_region *reg, const struct cmap_chunk *c, uint64_t start, const uint8_t *content,
	uint8_t *have, struct refresh_count *ret, struct err *e)
{
	enum leaf what[CHUNK_LEAVES];
	uint32_t nr = (c->len + LEAF_SIZE - 1) / LEAF_SIZE;
	bool is_lost;

	*ret = (struct refresh_count){ 0 };
	if (read_target(rs, reg, c, start, have, &is_lost, e) < 0)
		return -1;
	for (uint32_t i = 0; i < nr; i++)
		what[i] = is_lost ? LEAF_WRITE
				  : judge(content + i * LEAF_SIZE, have + i * LEAF_SIZE, (uint32_t)min_u64(LEAF_SIZE, c->len - i * LEAF_SIZE));
	for (uint32_t i = 0, n; i < nr; i += n) {
		for (n = 1; i + n < nr && what[i + n] == what[i];)
			n++;
		uint32_t off = i * LEAF_SIZE, len = (uint32_t)min_u64((uint64_t)n * LEAF_SIZE, c->len - off);
		if (what[i] == LEAF_SAME)
			continue;
		*(what[i] == LEAF_ZERO ? &ret->zeroed : &ret->written) += len;
		if (!rs->o->dry_run && restore_write_around(rs, reg->disk, start + off, what[i] == LEAF_ZERO ? NULL : content + off, len, e) < 0)
			return -1;
	}
	return 0;
}
