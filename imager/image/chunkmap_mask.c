/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The bytes of one chunk as its map says: masked, and leaf by leaf; see chunkmap.h. */
#include "imager/image/chunkmap.h"

#include "base/arith.h"

#include <string.h>

void cmap_mask(const struct chunk_map *m, const struct cmap_chunk *c, uint8_t *buf, bool keep_zero)
{
	memset(buf + c->len, 0, CHUNK_SIZE - c->len);
	if (c->kind == CMAP_USED || (c->kind == CMAP_ZERO && keep_zero))
		return;
	for (uint32_t off = 0; off < c->len;) {
		enum ext_state state;
		uint32_t n = cmap_state_run(m, c, off, &state);
		if (state == EXT_UNUSED || (state == EXT_ZERO && !keep_zero))
			memset(buf + off, 0, n);
		off += n;
	}
}

static bool leaf_is_wanted(const struct chunk_map *map, const struct cmap_chunk *c, uint32_t leaf)
{
	uint32_t off = leaf * LEAF_SIZE, end = min_u64(off + LEAF_SIZE, c->len);

	while (off < end) {
		enum ext_state state;
		uint32_t n = cmap_state_run(map, c, off, &state);
		if (state != EXT_UNUSED)
			return true;
		off += n;
	}
	return false;
}

uint32_t cmap_leaf_run(const struct chunk_map *map, const struct cmap_chunk *c, uint32_t off, bool *ret_wanted)
{
	uint32_t leaf = off / LEAF_SIZE, end = leaf;

	if (c->kind < CMAP_BITMAP) {
		*ret_wanted = c->kind != CMAP_ABSENT;
		return c->len - off;
	}
	*ret_wanted = leaf_is_wanted(map, c, leaf);
	do
		end++;
	while (end * LEAF_SIZE < c->len && leaf_is_wanted(map, c, end) == *ret_wanted);
	return (uint32_t)min_u64((uint64_t)end * LEAF_SIZE, c->len) - off;
}

void cmap_mask_leaves(const struct chunk_map *m, const struct cmap_chunk *c, uint8_t *buf)
{
	memset(buf + c->len, 0, CHUNK_SIZE - c->len);
	for (uint32_t off = 0; off < c->len;) {
		bool wanted;
		uint32_t n = cmap_leaf_run(m, c, off, &wanted);
		if (!wanted)
			memset(buf + off, 0, n);
		off += n;
	}
}

static bool all_zero(const uint8_t *p, uint32_t len)
{
	return len == 0 || (p[0] == 0 && !memcmp(p, p + 1, len - 1));
}

bool cmap_is_masked(const struct chunk_map *m, const struct cmap_chunk *c, const uint8_t *buf)
{
	if (!all_zero(buf + c->len, CHUNK_SIZE - c->len))
		return false;
	for (uint32_t off = 0; c->kind != CMAP_USED && off < c->len;) {
		enum ext_state state;
		uint32_t n = cmap_state_run(m, c, off, &state);
		if (state != EXT_USED && !all_zero(buf + off, n))
			return false;
		off += n;
	}
	return true;
}
