/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Random images for tests: a manifest that uses every field of the format, and disks whose content fits it. */
#ifndef CALCO_TESTS_UNIT_IMAGE_MAKE_H
#define CALCO_TESTS_UNIT_IMAGE_MAKE_H

#include "base/arith.h"
#include "imager/image/manifest.h"
#include "tests/unit/image_util.h"

/* How large and how odd a random image is. */
struct make_options {
	unsigned max_disks, max_regions; /* regions of each disk */
	uint64_t max_region;             /* bytes */
	bool only_bytes;                 /* sizes that are multiples of nothing */
};

static inline void make_text(uint64_t *seed, char *dst, size_t size)
{
	static const char *const letters[] = { "a", "Z", "7", "-", " ", "\xC3\xA9", "\xE2\x82\xAC", "\xF0\x9F\x92\xBE", "\n", "'" };
	size_t n = rnd_below(seed, size < 40 ? size : 40);

	dst[0] = '\0';
	for (size_t used = 0;;) {
		const char *l = letters[rnd_below(seed, 10)];
		if (used + strlen(l) > n)
			return;
		strcpy(dst + used, l);
		used += strlen(l);
	}
}

static inline void make_ranges(uint64_t *seed, const struct img_manifest *m, struct img_range **list, uint32_t *nr, unsigned max)
{
	*nr = (uint32_t)rnd_below(seed, max + 1);
	*list = calloc(*nr + 1, sizeof(**list));
	for (uint32_t i = 0; i < *nr; i++) {
		uint32_t d = (uint32_t)rnd_below(seed, m->nr_disks);
		uint64_t start = rnd_below(seed, m->disks[d].size + 1);
		(*list)[i] = (struct img_range){ d, start, rnd_below(seed, m->disks[d].size - start + 1) };
	}
}

static inline void make_map(uint64_t *seed, struct img_region *r)
{
	struct err e = ERR_INIT;

	r->map = cmap_new(r->len, 9 + (unsigned)rnd_below(seed, 4), &e);
	ck_assert_ptr_nonnull(r->map);
	for (uint64_t n = rnd_below(seed, 12); n; n--) {
		uint64_t start = rnd_below(seed, r->len), unit = rnd_below(seed, 2) ? 1 : 3 * CHUNK_SIZE;
		uint64_t len = min_u64(r->len - start, unit * rnd_below(seed, 9000) % r->len);
		ok(cmap_add(r->map, start, len, (enum ext_state)rnd_below(seed, 3), &e), &e);
	}
}

static inline void make_disk(uint64_t *seed, struct img_manifest *m, const struct make_options *o)
{
	struct img_disk *d = &m->disks[m->nr_disks];
	uint32_t index = (uint32_t)m->nr_disks++;
	unsigned nr = 1 + (unsigned)rnd_below(seed, o->max_regions);

	d->sector_size = 512U << rnd_below(seed, 4);
	d->phys_sector_size = (uint32_t)rnd(seed);
	d->table = (uint8_t)rnd_below(seed, 3);
	d->mbr_signature = (uint32_t)rnd(seed);
	rnd_fill(seed, d->guid, 16);
	make_text(seed, d->model, sizeof(d->model));
	make_text(seed, d->serial, sizeof(d->serial));
	make_text(seed, d->source, sizeof(d->source));
	for (unsigned i = 0; i < nr; i++) {
		struct img_region *r = &m->regions[m->nr_regions++];
		r->disk = index;
		r->start = d->size;
		r->len = 1 + rnd_below(seed, o->max_region);
		if (!o->only_bytes)
			r->len = round_up_u64(r->len, d->sector_size);
		d->size += r->len;
		r->kind = nr == 1 ? 3 : (uint8_t)rnd_below(seed, 3);
		r->flags = (uint16_t)rnd_below(seed, 8);
		r->number = (uint32_t)rnd_below(seed, 5);
		r->mbr_type = (uint8_t)rnd(seed);
		r->attributes = rnd(seed);
		rnd_fill(seed, r->type_guid, 16);
		rnd_fill(seed, r->guid, 16);
		make_text(seed, r->name, sizeof(r->name));
		make_map(seed, r);
	}
}

static inline void make_volumes(uint64_t *seed, struct img_manifest *m, unsigned max)
{
	m->nr_volumes = rnd_below(seed, max + 1);
	m->volumes = calloc(m->nr_volumes + 1, sizeof(*m->volumes));
	for (size_t i = 0; i < m->nr_volumes; i++) {
		struct img_volume *v = &m->volumes[i];
		v->parent = i && rnd_below(seed, 2) ? (uint32_t)rnd_below(seed, i) : IMG_NO_INDEX;
		v->kind = 1 + (uint8_t)rnd_below(seed, 5);
		v->state = (uint8_t)rnd_below(seed, 6);
		v->flags = (uint16_t)rnd_below(seed, 8);
		v->size = rnd(seed);
		v->used_bytes = rnd(seed);
		v->block_size = (uint32_t)rnd(seed);
		v->sector_size = rnd_below(seed, 2) ? 512U << rnd_below(seed, 8) : 0;
		v->region = rnd_below(seed, 4) ? (uint32_t)rnd_below(seed, m->nr_regions) : IMG_NO_INDEX;
		make_text(seed, v->driver, sizeof(v->driver));
		make_text(seed, v->type, sizeof(v->type));
		make_text(seed, v->label, sizeof(v->label));
		make_text(seed, v->uuid, sizeof(v->uuid));
		make_text(seed, v->reason, sizeof(v->reason));
		make_text(seed, v->notice, sizeof(v->notice));
		make_text(seed, v->name, sizeof(v->name));
		make_ranges(seed, m, &v->segments, &v->nr_segments, 3);
		make_ranges(seed, m, &v->arm, &v->nr_arm, 3);
		make_ranges(seed, m, &v->skipped, &v->nr_skipped, 1);
	}
}

/* Copies of bytes in order; what they cover becomes used, so that the content can be the same. */
static inline void make_tables(uint64_t *seed, struct img_manifest *m)
{
	struct err e = ERR_INIT;

	m->tables = calloc(m->nr_regions + 1, sizeof(*m->tables));
	for (size_t i = 0; i < m->nr_regions; i++) {
		struct img_region *r = &m->regions[i];
		struct img_table_copy *t = &m->tables[m->nr_tables];
		if (rnd_below(seed, 3))
			continue;
		uint64_t off = rnd_below(seed, r->len);
		*t = (struct img_table_copy){ .disk = r->disk, .start = r->start + off, .len = (uint32_t)min_u64(r->len - off, rnd_below(seed, 1500)) };
		t->bytes = calloc(1, t->len + 1);
		rnd_fill(seed, t->bytes, t->len);
		ok(cmap_add(r->map, off, t->len, EXT_USED, &e), &e);
		m->nr_tables++;
	}
}

/* make_manifest - everything but ids, bad ranges and root */
static inline struct img_manifest *make_manifest(uint64_t *seed, const struct make_options *o)
{
	struct err e = ERR_INIT;
	struct img_manifest *m = img_manifest_new(&e);
	unsigned nr_disks = 1 + (unsigned)rnd_below(seed, o->max_disks);

	ck_assert_ptr_nonnull(m);
	rnd_fill(seed, m->lineage, 16);
	m->version = rnd(seed);
	snprintf(m->name, sizeof(m->name), "image-%llu", (unsigned long long)rnd_below(seed, 1000000));
	m->nr_parents = rnd_below(seed, 3);
	m->parents = calloc(m->nr_parents + 1, sizeof(*m->parents));
	for (size_t i = 0; i < m->nr_parents; i++) {
		rnd_fill(seed, m->parents[i].lineage, 16);
		rnd_fill(seed, m->parents[i].root, 32);
		m->parents[i].version = i + 1;
	}
	m->disks = calloc(nr_disks, sizeof(*m->disks));
	m->regions = calloc((size_t)nr_disks * o->max_regions, sizeof(*m->regions));
	while (m->nr_disks < nr_disks)
		make_disk(seed, m, o);
	make_tables(seed, m);
	make_volumes(seed, m, 6);
	for (size_t i = 0; i < m->nr_regions; i++)
		cmap_freeze(m->regions[i].map);
	img_manifest_number(m);
	m->created = rnd(seed);
	m->level = (uint32_t)rnd(seed);
	m->read_bytes = rnd(seed);
	make_text(seed, m->tool, sizeof(m->tool));
	return m;
}

/* make_content - a disk of the manifest: text, noise and zeros, and the copies of its table where they belong. free() it. */
static inline uint8_t *make_content(uint64_t *seed, const struct img_manifest *m, uint32_t disk)
{
	uint8_t *p = calloc(1, m->disks[disk].size + 1);

	ck_assert_ptr_nonnull(p);
	for (uint64_t at = 0; at < m->disks[disk].size;) {
		uint64_t n = min_u64(1 + rnd_below(seed, 50000), m->disks[disk].size - at);
		uint64_t kind = rnd_below(seed, 3);
		if (kind == 0)
			rnd_fill(seed, p + at, n);
		else if (kind == 1)
			memset(p + at, (int)(1 + rnd_below(seed, 255)), n);
		at += n;
	}
	for (size_t i = 0; i < m->nr_tables; i++)
		if (m->tables[i].disk == disk)
			memcpy(p + m->tables[i].start, m->tables[i].bytes, m->tables[i].len);
	return p;
}

/* state_of_byte - what the manifest says about one byte of a disk */
static inline enum ext_state state_of_byte(const struct img_manifest *m, size_t region, uint64_t off)
{
	struct cmap_chunk c;
	enum ext_state state;

	cmap_get(m->regions[region].map, off / CHUNK_SIZE, &c);
	cmap_state_run(m->regions[region].map, &c, (uint32_t)(off % CHUNK_SIZE), &state);
	return state;
}

#endif
