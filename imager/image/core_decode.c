/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The CORE and ENVL parts, read from hostile bytes (docs/format.md sections 3 and 4). A cursor walks the bytes; every count
 * is held against its ceiling and against the bytes that are left before it sizes anything.
 */
#include "imager/image/core.h"

#include "base/arith.h"
#include "base/hash.h"
#include "imager/image/cursor.h"
#include "imager/image/format.h"
#include "imager/image/manifest.h"

#include <string.h>

/* The next list entry as a cursor of its own; the outer one moves behind it. */
static struct cursor get_entry(struct cursor *c)
{
	size_t len = (size_t)get_int(c, 4);

	if (len < 4) {
		c->s.bad = true;
		len = 4;
	}
	const uint8_t *p = get_bytes(c, len - 4);
	return (struct cursor){ .s = { .p = p, .len = p ? len - 4 : 0, .bad = !p } };
}

static int get_image(struct cursor *c, struct img_manifest *m, struct err *e)
{
	get_copy(c, m->lineage, 16);
	m->version = get_int(c, 8);
	uint64_t nr = get_int(c, 4);
	get_str(c, m->name, sizeof(m->name));
	if (c->s.bad || nr > IMG_MAX_PARENTS || left(c) != nr * 56 || !img_name_ok(m->name))
		return cursor_corrupt(e, "name or parents");
	m->parents = alloc_array(nr, sizeof(*m->parents));
	if (!m->parents)
		return err_nomem(e, "the manifest");
	m->nr_parents = nr;
	for (size_t i = 0; i < nr; i++) {
		get_copy(c, m->parents[i].lineage, 16);
		m->parents[i].version = get_int(c, 8);
		get_copy(c, m->parents[i].root, 32);
	}
	return 0;
}

/* The count of a list whose entries have at least min bytes. */
static int get_count(struct cursor *c, size_t max, size_t min, size_t *ret, struct err *e)
{
	uint64_t nr = get_int(c, 4);

	if (c->s.bad || nr > max || nr > left(c) / min)
		return cursor_corrupt(e, "a list is longer than it can be");
	*ret = (size_t)nr;
	return 0;
}

static int get_disks(struct cursor *c, struct img_manifest *m, struct err *e)
{
	uint64_t total = 0;
	size_t nr = 0;

	if (get_count(c, IMG_MAX_DISKS, 50, &nr, e) < 0)
		return -1;
	if (!(m->disks = alloc_array(nr, sizeof(*m->disks))))
		return err_nomem(e, "the manifest");
	m->nr_disks = nr;
	for (size_t i = 0; i < nr; i++) {
		struct img_disk *d = &m->disks[i];
		struct cursor en = get_entry(c);
		d->size = get_int(&en, 8);
		d->sector_size = (uint32_t)get_int(&en, 4);
		d->phys_sector_size = (uint32_t)get_int(&en, 4);
		d->table = (uint8_t)get_int(&en, 1);
		must_be_zero(&en, 3);
		d->mbr_signature = (uint32_t)get_int(&en, 4);
		get_copy(&en, d->guid, 16);
		get_str(&en, d->model, sizeof(d->model));
		get_str(&en, d->serial, sizeof(d->serial));
		get_str(&en, d->source, sizeof(d->source));
		if (en.s.bad || d->table > 2 || !is_pow2(d->sector_size) || d->sector_size < 512 || d->sector_size > 65536)
			return cursor_corrupt(e, "a disk's description");
		if (!d->size || !add_u64(total, d->size, &total) || total > FMT_MAX_DISK_BYTES)
			return cursor_corrupt(e, "a disk's size");
	}
	return nr ? 0 : cursor_corrupt(e, "no disks");
}

static int get_region(struct cursor *c, struct img_region *r, struct err *e)
{
	struct cursor en = get_entry(c);

	r->disk = (uint32_t)get_int(&en, 4);
	r->start = get_int(&en, 8);
	r->len = get_int(&en, 8);
	r->kind = (uint8_t)get_int(&en, 1);
	unsigned granule_log2 = (unsigned)get_int(&en, 1);
	r->flags = (uint16_t)get_int(&en, 2);
	r->number = (uint32_t)get_int(&en, 4);
	r->mbr_type = (uint8_t)get_int(&en, 1);
	must_be_zero(&en, 3);
	get_copy(&en, r->type_guid, 16);
	get_copy(&en, r->guid, 16);
	r->attributes = get_int(&en, 8);
	get_str(&en, r->name, sizeof(r->name));
	if (en.s.bad || r->kind > 3 || r->flags > 7 || granule_log2 < 9 || granule_log2 > 12)
		return cursor_corrupt(e, "a region's description");
	if (r->len == 0 || r->len > FMT_MAX_DISK_BYTES)
		return cursor_corrupt(e, "a region's length");
	r->map = cmap_new(r->len, granule_log2, e);
	return r->map ? 0 : -1;
}

/* The regions of each disk must cover it exactly. */
static int check_cover(const struct img_manifest *m, struct err *e)
{
	uint32_t disk = 0;
	uint64_t at = 0;

	for (size_t i = 0; i < m->nr_regions; i++) {
		const struct img_region *r = &m->regions[i];
		if (at == m->disks[disk].size && disk + 1 < m->nr_disks) {
			disk++;
			at = 0;
		}
		if (r->kind == 3 && r->len != m->disks[disk].size)
			return cursor_corrupt(e, "a region that is not the whole disk");
		if (r->disk != disk || r->start != at || r->len > m->disks[disk].size - at)
			return cursor_corrupt(e, "the regions do not cover the disks");
		at += r->len;
	}
	if (disk + 1 != m->nr_disks || at != m->disks[disk].size)
		return cursor_corrupt(e, "the regions do not cover the disks");
	return 0;
}

static int get_regions(struct cursor *c, struct img_manifest *m, struct err *e)
{
	uint64_t total = 0;
	size_t nr = 0;

	if (get_count(c, IMG_MAX_REGIONS, 78, &nr, e) < 0)
		return -1;
	if (!(m->regions = alloc_array(nr, sizeof(*m->regions))))
		return err_nomem(e, "the manifest");
	for (size_t i = 0; i < nr; i++) {
		m->nr_regions = i + 1;
		if (get_region(c, &m->regions[i], e) < 0)
			return -1;
		/* Keeps the memory of hostile overlapping regions in bounds before they are refused. */
		total += m->regions[i].len;
		if (total > FMT_MAX_DISK_BYTES)
			return cursor_corrupt(e, "the regions do not cover the disks");
	}
	return check_cover(m, e);
}

static int get_ranges(struct cursor *c, const struct img_manifest *m, uint32_t nr, struct img_range **ret, uint32_t *ret_nr, struct err *e)
{
	if (c->s.bad || nr > left(c) / FMT_BAD_SIZE)
		return cursor_corrupt(e, "a volume's ranges");
	if (!(*ret = alloc_array(nr, sizeof(**ret))))
		return err_nomem(e, "the manifest");
	*ret_nr = nr;
	for (uint32_t i = 0; i < nr; i++) {
		struct img_range *r = &(*ret)[i];
		r->disk = (uint32_t)get_int(c, 4);
		must_be_zero(c, 4);
		r->start = get_int(c, 8);
		r->len = get_int(c, 8);
		if (c->s.bad || r->disk >= m->nr_disks || !range_inside(r->start, r->len, m->disks[r->disk].size))
			return cursor_corrupt(e, "a volume's ranges");
	}
	return 0;
}

static int get_volume(struct cursor *c, struct img_manifest *m, size_t index, struct err *e)
{
	struct img_volume *v = &m->volumes[index];
	struct cursor en = get_entry(c);

	v->parent = (uint32_t)get_int(&en, 4);
	v->kind = (uint8_t)get_int(&en, 1);
	v->state = (uint8_t)get_int(&en, 1);
	v->flags = (uint16_t)get_int(&en, 2);
	v->size = get_int(&en, 8);
	v->used_bytes = get_int(&en, 8);
	v->block_size = (uint32_t)get_int(&en, 4);
	v->region = (uint32_t)get_int(&en, 4);
	uint32_t nr_segments = (uint32_t)get_int(&en, 4);
	uint32_t nr_arm = (uint32_t)get_int(&en, 4);
	uint32_t nr_skipped = (uint32_t)get_int(&en, 4);
	get_str(&en, v->driver, sizeof(v->driver));
	get_str(&en, v->type, sizeof(v->type));
	get_str(&en, v->label, sizeof(v->label));
	get_str(&en, v->uuid, sizeof(v->uuid));
	get_str(&en, v->reason, sizeof(v->reason));
	get_str(&en, v->notice, sizeof(v->notice));
	if (en.s.bad || v->kind < 1 || v->kind > 5 || v->state > 5 || v->flags > 15)
		return cursor_corrupt(e, "a volume's description");
	if ((v->parent != IMG_NO_INDEX && v->parent >= index) || (v->region != IMG_NO_INDEX && v->region >= m->nr_regions))
		return cursor_corrupt(e, "a volume's place in the tree");
	if (get_ranges(&en, m, nr_segments, &v->segments, &v->nr_segments, e) < 0)
		return -1;
	if (get_ranges(&en, m, nr_arm, &v->arm, &v->nr_arm, e) < 0)
		return -1;
	if (get_ranges(&en, m, nr_skipped, &v->skipped, &v->nr_skipped, e) < 0)
		return -1;
	if (left(&en))
		get_str(&en, v->name, sizeof(v->name));
	if (!en.s.bad && left(&en)) {
		v->sector_size = (uint32_t)get_int(&en, 4);
		if (!is_pow2(v->sector_size) || v->sector_size < 512 || v->sector_size > 65536)
			return cursor_corrupt(e, "a volume's sector size");
	}
	return en.s.bad ? cursor_corrupt(e, "a volume's name") : 0;
}

static int get_volumes(struct cursor *c, struct img_manifest *m, struct err *e)
{
	size_t nr = 0;

	if (get_count(c, IMG_MAX_VOLUMES, 60, &nr, e) < 0)
		return -1;
	if (!(m->volumes = alloc_array(nr, sizeof(*m->volumes))))
		return err_nomem(e, "the manifest");
	for (size_t i = 0; i < nr; i++) {
		m->nr_volumes = i + 1;
		if (get_volume(c, m, i, e) < 0)
			return -1;
	}
	return 0;
}

static int get_tables(struct cursor *c, struct img_manifest *m, struct err *e)
{
	uint64_t end = 0;
	uint32_t disk = 0;
	size_t nr = 0;

	if (get_count(c, IMG_MAX_REGIONS, 20, &nr, e) < 0)
		return -1;
	if (!(m->tables = alloc_array(nr, sizeof(*m->tables))))
		return err_nomem(e, "the manifest");
	for (size_t i = 0; i < nr; i++) {
		struct img_table_copy *t = &m->tables[i];
		struct cursor en = get_entry(c);
		m->nr_tables = i + 1;
		t->disk = (uint32_t)get_int(&en, 4);
		t->start = get_int(&en, 8);
		t->len = (uint32_t)get_int(&en, 4);
		const uint8_t *p = get_bytes(&en, t->len);
		if (en.s.bad || t->disk >= m->nr_disks || t->len > FMT_MAX_TABLE_COPY || !range_inside(t->start, t->len, m->disks[t->disk].size))
			return cursor_corrupt(e, "a copy of a partition table");
		if (t->disk < disk || (t->disk == disk && t->start < end))
			return cursor_corrupt(e, "the copies of partition tables are not in order");
		disk = t->disk;
		end = t->start + t->len;
		if (!(t->bytes = alloc_array(t->len, 1)))
			return err_nomem(e, "the manifest");
		memcpy(t->bytes, p, t->len);
	}
	return 0;
}

typedef int (*section_fn)(struct cursor *c, struct img_manifest *m, struct err *e);

/* The next section: its type, flags, and its content as a cursor. 1, 0 at the end, -1. */
static int next_section(struct cursor *c, unsigned *ret_type, unsigned *ret_flags, struct cursor *ret, struct err *e)
{
	if (!left(c))
		return 0;
	*ret_type = (unsigned)get_int(c, 2);
	*ret_flags = (unsigned)get_int(c, 2);
	must_be_zero(c, 4);
	uint64_t len = get_int(c, 8);
	if (c->s.bad || *ret_flags > 1 || len > left(c))
		return cursor_corrupt(e, "a section's header");
	*ret = (struct cursor){ .s = span_sub(&c->s, c->at, (size_t)len), .limits = c->limits };
	c->at += (size_t)len;
	must_be_zero(c, (8 - len % 8) % 8);
	return c->s.bad ? cursor_corrupt(e, "a section's padding") : 1;
}

static int decode_sections(struct img_manifest *m, struct cursor *c, struct err *e)
{
	static const section_fn fns[] = {
		[SEC_IMAGE] = get_image,
		[SEC_DISKS] = get_disks,
		[SEC_REGIONS] = get_regions,
		[SEC_VOLUMES] = get_volumes,
		[SEC_TABLES] = get_tables,
		[SEC_EXTENTS] = core_get_extents,
	};
	unsigned type, flags, last = 0, known = 0;
	struct cursor sec;
	int r;

	while ((r = next_section(c, &type, &flags, &sec, e)) > 0) {
		if (type <= last)
			return cursor_corrupt(e, "the sections are not in order");
		last = type;
		if (type > SEC_EXTENTS) {
			if (flags & FMT_MANDATORY)
				return err_set(e, ERR_UNSUPPORTED, 0,
					"the image needs a newer calco: this version does not know its mandatory section %u", type);
			continue;
		}
		if (type != ++known || !(flags & FMT_MANDATORY))
			return cursor_corrupt(e, "a required section is missing");
		if (fns[type](&sec, m, e) < 0)
			return -1;
		if (sec.s.bad || left(&sec))
			return cursor_corrupt(e, "a section has a wrong length");
	}
	if (r == 0 && known != SEC_EXTENTS)
		return cursor_corrupt(e, "a required section is missing");
	return r;
}

int img_core_decode(const uint8_t *bytes, size_t len, const struct img_limits *limits, struct img_manifest **ret, struct err *e)
{
	struct img_limits rest = limits ? *limits : (struct img_limits){ UINT64_MAX, UINT64_MAX };
	struct cursor c = { .s = span_of(bytes, len), .limits = &rest };
	AUTO(img_manifest) struct img_manifest *m = img_manifest_new(e);

	if (!m || decode_sections(m, &c, e) < 0)
		return -1;
	AUTO(hasher) struct hasher *h = hasher_new(e);
	if (!h)
		return -1;
	hasher_begin(h);
	hasher_add(h, bytes, len);
	hasher_end(h, m->core_hash);
	if (hasher_check(h, e) < 0)
		return -1;
	img_manifest_number(m);
	*ret = take(&m);
	return 0;
}

static int get_note(struct img_manifest *m, struct cursor *sec, struct err *e)
{
	size_t n = left(sec);

	if (n > 65536)
		return cursor_corrupt(e, "the note is too long");
	free(m->note);
	if (!(m->note = alloc_array(n + 1, 1)))
		return err_nomem(e, "the note");
	get_text(sec, n, m->note, n + 1);
	return 0;
}

/* One section of the envelope, to its end; what is not known is skipped. */
static int get_envelope_section(struct img_manifest *m, unsigned type, struct cursor *sec, struct err *e)
{
	switch (type) {
	case ENV_CREATED:
		m->created = get_int(sec, 8);
		break;
	case ENV_TOOL:
		get_text(sec, left(sec), m->tool, sizeof(m->tool));
		break;
	case ENV_LEVEL:
		m->level = (uint32_t)get_int(sec, 4);
		break;
	case ENV_READ:
		m->read_bytes = get_int(sec, 8);
		break;
	case ENV_NOTE:
		if (get_note(m, sec, e) < 0)
			return -1;
		break;
	default:
		return 0;
	}
	return sec->s.bad || left(sec) ? cursor_corrupt(e, "a section of the envelope") : 0;
}

int img_envelope_decode(struct img_manifest *m, const uint8_t *bytes, size_t len, struct err *e)
{
	struct cursor c = { .s = span_of(bytes, len) }, sec;
	unsigned type, flags, last = 0;
	int r;

	while ((r = next_section(&c, &type, &flags, &sec, e)) > 0) {
		if (type <= last || flags)
			return cursor_corrupt(e, "the sections of the envelope are not in order");
		last = type;
		if (get_envelope_section(m, type, &sec, e) < 0)
			return -1;
	}
	return r;
}
