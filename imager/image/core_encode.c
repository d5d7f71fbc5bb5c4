/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The CORE and ENVL parts, written (docs/format.md sections 3 and 4). */
#include "imager/image/core.h"

#include "base/buf.h"
#include "base/utf8.h"
#include "imager/image/manifest.h"

/* Returns the place of the section's header, for end_section(). */
static size_t begin_section(struct buf *b, uint16_t type, uint16_t flags)
{
	size_t at = b->len;

	buf_le16(b, type);
	buf_le16(b, flags);
	buf_le32(b, 0);
	buf_le64(b, 0);
	return at;
}

static void end_section(struct buf *b, size_t at)
{
	if (b->failed)
		return;
	put_le64(b->p + at, 8, b->len - at - SECTION_HEADER);
	buf_extend(b, (8 - b->len % 8) % 8);
}

static size_t begin_entry(struct buf *b)
{
	size_t at = b->len;

	buf_le32(b, 0);
	return at;
}

static void end_entry(struct buf *b, size_t at)
{
	if (!b->failed)
		put_le32(b->p + at, 0, (uint32_t)(b->len - at));
}

/* Labels, paths and notes may hold anything; the format takes UTF-8. */
static void put_text(struct buf *b, const char *s)
{
	for (size_t left = strlen(s); left;) {
		size_t n = utf8_len(s, left);
		buf_bytes(b, n ? s : "\xEF\xBF\xBD", n ? n : 3); /* U+FFFD */
		s += n ? n : 1;
		left -= n ? n : 1;
	}
}

static void put_str(struct buf *b, const char *s)
{
	size_t at = b->len;

	buf_le16(b, 0);
	put_text(b, s);
	if (!b->failed)
		put_le16(b->p + at, 0, (uint16_t)(b->len - at - 2));
}

static void put_image(struct buf *b, const struct img_manifest *m)
{
	size_t s = begin_section(b, SEC_IMAGE, 1);

	buf_bytes(b, m->lineage, 16);
	buf_le64(b, m->version);
	buf_le32(b, (uint32_t)m->nr_parents);
	put_str(b, m->name);
	for (size_t i = 0; i < m->nr_parents; i++) {
		buf_bytes(b, m->parents[i].lineage, 16);
		buf_le64(b, m->parents[i].version);
		buf_bytes(b, m->parents[i].root, 32);
	}
	end_section(b, s);
}

static void put_disks(struct buf *b, const struct img_manifest *m)
{
	size_t s = begin_section(b, SEC_DISKS, 1);

	buf_le32(b, (uint32_t)m->nr_disks);
	for (size_t i = 0; i < m->nr_disks; i++) {
		const struct img_disk *d = &m->disks[i];
		size_t en = begin_entry(b);
		buf_le64(b, d->size);
		buf_le32(b, d->sector_size);
		buf_le32(b, d->phys_sector_size);
		buf_u8(b, d->table);
		buf_extend(b, 3);
		buf_le32(b, d->mbr_signature);
		buf_bytes(b, d->guid, 16);
		put_str(b, d->model);
		put_str(b, d->serial);
		put_str(b, d->source);
		end_entry(b, en);
	}
	end_section(b, s);
}

static void put_regions(struct buf *b, const struct img_manifest *m)
{
	size_t s = begin_section(b, SEC_REGIONS, 1);

	buf_le32(b, (uint32_t)m->nr_regions);
	for (size_t i = 0; i < m->nr_regions; i++) {
		const struct img_region *r = &m->regions[i];
		size_t en = begin_entry(b);
		buf_le32(b, r->disk);
		buf_le64(b, r->start);
		buf_le64(b, r->len);
		buf_u8(b, r->kind);
		buf_u8(b, (uint8_t)cmap_granule_log2(r->map));
		buf_le16(b, r->flags);
		buf_le32(b, r->number);
		buf_u8(b, r->mbr_type);
		buf_extend(b, 3);
		buf_bytes(b, r->type_guid, 16);
		buf_bytes(b, r->guid, 16);
		buf_le64(b, r->attributes);
		put_str(b, r->name);
		end_entry(b, en);
	}
	end_section(b, s);
}

static void put_ranges(struct buf *b, const struct img_range *r, uint32_t nr)
{
	for (uint32_t i = 0; i < nr; i++) {
		buf_le32(b, r[i].disk);
		buf_le32(b, 0);
		buf_le64(b, r[i].start);
		buf_le64(b, r[i].len);
	}
}

static void put_volume(struct buf *b, const struct img_volume *v)
{
	size_t en = begin_entry(b);

	buf_le32(b, v->parent);
	buf_u8(b, v->kind);
	buf_u8(b, v->state);
	buf_le16(b, v->flags);
	buf_le64(b, v->size);
	buf_le64(b, v->used_bytes);
	buf_le32(b, v->block_size);
	buf_le32(b, v->region);
	buf_le32(b, v->nr_segments);
	buf_le32(b, v->nr_arm);
	buf_le32(b, v->nr_skipped);
	put_str(b, v->driver);
	put_str(b, v->type);
	put_str(b, v->label);
	put_str(b, v->uuid);
	put_str(b, v->reason);
	put_str(b, v->notice);
	put_ranges(b, v->segments, v->nr_segments);
	put_ranges(b, v->arm, v->nr_arm);
	put_ranges(b, v->skipped, v->nr_skipped);
	if (v->name[0] || v->sector_size)
		put_str(b, v->name);
	if (v->sector_size)
		buf_le32(b, v->sector_size);
	end_entry(b, en);
}

static void put_volumes(struct buf *b, const struct img_manifest *m)
{
	size_t s = begin_section(b, SEC_VOLUMES, 1);

	buf_le32(b, (uint32_t)m->nr_volumes);
	for (size_t i = 0; i < m->nr_volumes; i++)
		put_volume(b, &m->volumes[i]);
	end_section(b, s);
}

static void put_tables(struct buf *b, const struct img_manifest *m)
{
	size_t s = begin_section(b, SEC_TABLES, 1);

	buf_le32(b, (uint32_t)m->nr_tables);
	for (size_t i = 0; i < m->nr_tables; i++) {
		size_t en = begin_entry(b);
		buf_le32(b, m->tables[i].disk);
		buf_le64(b, m->tables[i].start);
		buf_le32(b, m->tables[i].len);
		buf_bytes(b, m->tables[i].bytes, m->tables[i].len);
		end_entry(b, en);
	}
	end_section(b, s);
}

static void put_runs(struct buf *b, const struct chunk_map *map)
{
	size_t count_at = b->len;
	uint32_t nr_runs = 0;

	buf_le32(b, 0);
	for (uint64_t i = 0; i < cmap_nr_chunks(map);) {
		enum cmap_kind kind;
		uint64_t nr = cmap_run(map, i, &kind);
		i += nr;
		while (nr) {
			uint32_t part = nr > UINT32_MAX ? UINT32_MAX : (uint32_t)nr;
			buf_le32(b, kind);
			buf_le32(b, part);
			nr -= part;
			nr_runs++;
		}
	}
	if (!b->failed)
		put_le32(b->p + count_at, 0, nr_runs);
}

static void put_bitmaps(struct buf *b, const struct chunk_map *map)
{
	enum cmap_kind kind;

	for (uint64_t i = 0, nr; i < cmap_nr_chunks(map); i += nr) {
		nr = cmap_run(map, i, &kind);
		for (uint64_t k = i; kind >= CMAP_BITMAP && k < i + nr; k++) {
			struct cmap_chunk c;
			cmap_get(map, k, &c);
			buf_bytes(b, c.used, cmap_bitmap_bytes(map));
			if (c.zero)
				buf_bytes(b, c.zero, cmap_bitmap_bytes(map));
		}
	}
}

static void put_extents(struct buf *b, const struct img_manifest *m)
{
	size_t s = begin_section(b, SEC_EXTENTS, 1);

	for (size_t i = 0; i < m->nr_regions; i++) {
		put_runs(b, m->regions[i].map);
		put_bitmaps(b, m->regions[i].map);
	}
	end_section(b, s);
}

static int take_buf(struct buf *b, uint8_t **ret, size_t *ret_len, struct err *e)
{
	if (b->failed) {
		free(b->p);
		return err_nomem(e, "the head of the image");
	}
	*ret = b->p;
	*ret_len = b->len;
	return 0;
}

int img_core_encode(const struct img_manifest *m, uint8_t **ret, size_t *ret_len, struct err *e)
{
	struct buf b = { 0 };

	put_image(&b, m);
	put_disks(&b, m);
	put_regions(&b, m);
	put_volumes(&b, m);
	put_tables(&b, m);
	put_extents(&b, m);
	return take_buf(&b, ret, ret_len, e);
}

int img_envelope_encode(const struct img_manifest *m, uint8_t **ret, size_t *ret_len, struct err *e)
{
	struct buf b = { 0 };
	size_t s;

	s = begin_section(&b, ENV_CREATED, 0);
	buf_le64(&b, m->created);
	end_section(&b, s);
	s = begin_section(&b, ENV_TOOL, 0);
	put_text(&b, m->tool);
	end_section(&b, s);
	s = begin_section(&b, ENV_LEVEL, 0);
	buf_le32(&b, m->level);
	end_section(&b, s);
	if (m->note) {
		s = begin_section(&b, ENV_NOTE, 0);
		put_text(&b, m->note);
		end_section(&b, s);
	}
	s = begin_section(&b, ENV_READ, 0);
	buf_le64(&b, m->read_bytes);
	end_section(&b, s);
	return take_buf(&b, ret, ret_len, e);
}
