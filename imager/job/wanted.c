/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What a target should hold where it is not as in the image; see wanted.h. */
#include "imager/job/wanted.h"

#include "base/arith.h"

#include <string.h>

int wanted_chunk(const struct expected *x, struct img_reader *reader, size_t region, uint64_t i, uint8_t *content, struct err *e)
{
	const struct img_region *r = &x->m->regions[region];
	struct cmap_chunk c;

	int ok = expected_is_remade(x, region) ? expected_chunk(x, region, i, content, e) : img_reader_chunk(reader, region, i, content, e);
	if (ok < 0)
		return -1;
	cmap_get(r->map, i, &c);
	expected_adapt(x, r->disk, r->start + i * CHUNK_SIZE, content, c.len);
	cmap_mask(r->map, &c, content, true);
	return 0;
}

/* The list while it grows. */
struct special_list {
	const struct expected *x;
	struct img_reader *reader;
	struct chunk_codec *codec;
	uint8_t *content; /* CHUNK_SIZE */
	struct special_chunk *list;
	size_t nr;
};

static int add_special(struct special_list *l, size_t region, uint64_t i, struct err *e)
{
	struct special_chunk *grown = reallocarray(l->list, l->nr + 1, sizeof(*grown));

	if (!grown)
		return err_nomem(e, "the plan");
	l->list = grown;
	if (wanted_chunk(l->x, l->reader, region, i, l->content, e) < 0)
		return -1;
	struct special_chunk *s = &l->list[l->nr++];
	s->present = img_present_index(&l->x->m->regions[region], i);
	return chunk_id(l->codec, l->content, s->id, NULL, e);
}

static int by_present(const void *a, const void *b)
{
	const struct special_chunk *x = a, *y = b;

	return x->present < y->present ? -1 : x->present > y->present;
}

static int find_in_region(struct special_list *l, size_t region, struct err *e)
{
	const struct img_region *r = &l->x->m->regions[region];
	bool is_remade = expected_is_remade(l->x, region);

	if (!is_remade && !expected_touches(l->x, r->disk, r->start, r->len))
		return 0;
	for (uint64_t k = cmap_next_present(r->map, 0); k < cmap_nr_chunks(r->map); k = cmap_next_present(r->map, k + 1)) {
		struct cmap_chunk c;
		cmap_get(r->map, k, &c);
		if ((is_remade || expected_touches(l->x, r->disk, r->start + k * CHUNK_SIZE, c.len)) && add_special(l, region, k, e) < 0)
			return -1;
	}
	return 0;
}

int wanted_special(const struct expected *x, struct img_reader *reader, struct special_chunk **ret, size_t *ret_nr, struct err *e)
{
	AUTO(chunk_codec) struct chunk_codec *codec = chunk_codec_for(x->m->seal, 0, e);
	AUTO_FREE uint8_t *content = malloc(CHUNK_SIZE);
	struct special_list l = { .x = x, .reader = reader, .codec = codec, .content = content };
	int r = 0;

	if (!codec)
		return -1;
	if (!content)
		return err_nomem(e, "a read buffer");
	for (size_t i = 0; r == 0 && i < x->m->nr_regions; i++)
		if (x->only_region == SIZE_MAX || i == x->only_region)
			r = find_in_region(&l, i, e);
	if (r < 0) {
		free(l.list);
		return -1;
	}
	/* Regions that are made anew have numbers behind all others. */
	if (l.nr)
		qsort(l.list, l.nr, sizeof(*l.list), by_present);
	*ret = l.list;
	*ret_nr = l.nr;
	return 0;
}

struct patch_check {
	const struct expected *x;
	struct blk_source *const *disks;
	wanted_differs_fn differs;
	void *arg;
};

/* Bytes [from, to) of what an adaptation put on a disk, compared directly. */
static int check_piece(const struct patch_check *c, uint32_t disk, const struct pt_patch *p, uint64_t from, uint64_t to, struct err *e)
{
	AUTO_FREE uint8_t *got = malloc((size_t)(to - from));

	if (!got)
		return err_nomem(e, "a read buffer");
	if (blk_read(c->disks[disk], from, got, (size_t)(to - from), e) < 0)
		return -1;
	return memcmp(got, p->bytes + (from - p->start), (size_t)(to - from)) ? c->differs(c->arg, disk, from, to - from, e) : 0;
}

/* Where a patch lies on what the image does not use, no id covers it. */
static int check_unused(const struct patch_check *check, const struct img_region *r, const struct pt_patch *p, struct err *e)
{
	uint64_t end = min_u64(p->start + p->len, r->start + r->len);

	for (uint64_t at = max_u64(p->start, r->start); at < end;) {
		uint64_t i = (at - r->start) / CHUNK_SIZE;
		struct cmap_chunk c;
		enum ext_state state;
		cmap_get(r->map, i, &c);
		uint64_t stop = min_u64(end, at + cmap_state_run(r->map, &c, (uint32_t)(at - r->start - i * CHUNK_SIZE), &state));
		if (state == EXT_UNUSED && check_piece(check, r->disk, p, at, stop, e) < 0)
			return -1;
		at = stop;
	}
	return 0;
}

static int check_patch(const struct patch_check *c, uint32_t disk, const struct pt_patch *p, struct err *e)
{
	const struct img_manifest *m = c->x->m;
	uint64_t from = max_u64(p->start, m->disks[disk].size), to = p->start + p->len;

	for (size_t k = 0; k < m->nr_regions; k++)
		if (m->regions[k].disk == disk && check_unused(c, &m->regions[k], p, e) < 0)
			return -1;
	return from < to ? check_piece(c, disk, p, from, to, e) : 0;
}

int wanted_patches(const struct expected *x, struct blk_source *const *disks, wanted_differs_fn differs, void *arg, struct err *e)
{
	struct patch_check c = { .x = x, .disks = disks, .differs = differs, .arg = arg };

	for (uint32_t d = 0; d < x->m->nr_disks; d++)
		for (size_t i = 0; disks[d] && i < x->disks[d].nr_patches; i++)
			if (check_patch(&c, d, &x->disks[d].patches[i], e) < 0)
				return -1;
	return 0;
}
