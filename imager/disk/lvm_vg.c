/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * A volume group from the tree of its text; see lvm.h. Only what is understood wholly is called plain: linear and striped segments. Of
 * everything else (snapshots, thin pools, caches, mirrors, RAID, VDO) the names that it mentions are noted: they are its parts.
 */
#include "imager/disk/lvm.h"

#include "base/arith.h"

#include <stdio.h>
#include <string.h>

#define MAX_PVS 4096U

/* A name and what it stands for, sorted by name. */
struct entry {
	const char *name;
	uint32_t index;
};

struct builder {
	const struct lvm_tree *t;
	struct lvm_vg *vg;
	uint32_t room_segments, room_areas;
	struct entry *pvs, *lvs;
};

static int bad(const char *what, struct err *e)
{
	return err_set(e, ERR_CORRUPT, 0, "the metadata of LVM contradict themselves: %s", what);
}

static int by_name(const void *a, const void *b)
{
	return strcmp(((const struct entry *)a)->name, ((const struct entry *)b)->name);
}

static const struct entry *look_up(const struct entry *list, uint32_t nr, const char *s, size_t len)
{
	char name[LVM_NAME];
	struct entry key = { .name = name };

	if (!len || len >= sizeof(name))
		return NULL;
	memcpy(name, s, len);
	name[len] = '\0';
	return bsearch(&key, list, nr, sizeof(*list), by_name);
}

/* As lvm(8) allows them; nothing else is ever shown or compared. */
static bool get_name(const char *s, size_t len, char ret[LVM_NAME])
{
	if (!len || len >= LVM_NAME || *s == '-')
		return false;
	for (size_t i = 0; i < len; i++)
		if (!((s[i] >= 'a' && s[i] <= 'z') || (s[i] >= 'A' && s[i] <= 'Z') || (s[i] >= '0' && s[i] <= '9') || memchr("+_.-", s[i], 4)))
			return false;
	memcpy(ret, s, len);
	ret[len] = '\0';
	return true;
}

/* Without its dashes, as in labels. */
static bool get_uuid(const struct builder *b, const struct lvm_node *section, char ret[LVM_UUID])
{
	const struct lvm_node *n = lvm_find(b->t, section, "id");
	size_t nr = 0;

	if (!n || n->kind != LVM_STRING || n->len != 38)
		return false;
	for (size_t i = 0; i < n->len; i++) {
		if (n->s[i] == '-')
			continue;
		if (nr == LVM_UUID - 1 || n->s[i] < '!' || n->s[i] > '~')
			return false;
		ret[nr++] = n->s[i];
	}
	ret[nr] = '\0';
	return nr == LVM_UUID - 1;
}

void lvm_format_uuid(const char uuid[LVM_UUID], char out[39])
{
	snprintf(out, 39, "%.6s-%.4s-%.4s-%.4s-%.4s-%.4s-%.6s", uuid, uuid + 6, uuid + 10, uuid + 14, uuid + 18, uuid + 22, uuid + 26);
}

static bool get_count(const struct builder *b, const struct lvm_node *section, const char *name, uint64_t max, uint64_t *ret)
{
	const struct lvm_node *n = lvm_find(b->t, section, name);

	if (!n || n->kind != LVM_NUMBER || n->n < 0 || (uint64_t)n->n > max)
		return false;
	*ret = (uint64_t)n->n;
	return true;
}

static bool is_string(const struct lvm_node *n, const char *s)
{
	return n && n->kind == LVM_STRING && n->len == strlen(s) && !memcmp(n->s, s, n->len);
}

/* The first word of a section's status or flags that is not among the known ones; NULL when all are. */
static const struct lvm_node *unknown_flag(const struct builder *b, const struct lvm_node *section, const char *const *known)
{
	static const char *const lists[] = { "status", "flags" };

	for (size_t i = 0; i < 2; i++) {
		const struct lvm_node *list = lvm_find(b->t, section, lists[i]);
		for (const struct lvm_node *n = list ? lvm_first(b->t, list) : NULL; n; n = lvm_next(b->t, n)) {
			size_t k = 0;
			while (known[k] && !is_string(n, known[k]))
				k++;
			if (!known[k])
				return n;
		}
	}
	return NULL;
}

static bool has_flag(const struct builder *b, const struct lvm_node *section, const char *list_name, const char *word)
{
	const struct lvm_node *list = lvm_find(b->t, section, list_name);

	for (const struct lvm_node *n = list ? lvm_first(b->t, list) : NULL; n; n = lvm_next(b->t, n))
		if (is_string(n, word))
			return true;
	return false;
}

static uint32_t count_sections(const struct lvm_tree *t, const struct lvm_node *section)
{
	uint32_t nr = 0;

	for (const struct lvm_node *n = section ? lvm_first(t, section) : NULL; n; n = lvm_next(t, n))
		nr += n->kind == LVM_SECTION;
	return nr;
}

/* ---- physical volumes ---- */

static int read_pv(struct builder *b, const struct lvm_node *n, struct lvm_pv *pv, struct err *e)
{
	static const char *const known[] = { "ALLOCATABLE", "MISSING", NULL };
	const struct lvm_node *device = lvm_find(b->t, n, "device");
	uint64_t start, end;

	if (!get_name(n->name, n->name_len, pv->name) || !get_uuid(b, n, pv->uuid))
		return bad("a physical volume without name or id", e);
	if (!get_count(b, n, "pe_start", INT64_MAX / LVM_SECTOR, &start) || !get_count(b, n, "pe_count", UINT32_MAX, &pv->pe_count))
		return bad("a physical volume without a place for extents", e);
	pv->pe_start = start * LVM_SECTOR;
	if (!mul_u64(pv->pe_count, b->vg->extent_size, &end) || !add_u64(end, pv->pe_start, &end))
		return bad("a physical volume that is too large", e);
	if (device && device->kind == LVM_STRING)
		snprintf(pv->device, sizeof(pv->device), "%.*s", (int)min_u64(device->len, 100), device->s);
	pv->is_missing = has_flag(b, n, "status", "MISSING") || has_flag(b, n, "flags", "MISSING");
	pv->is_strange = unknown_flag(b, n, known) != NULL;
	return 0;
}

static int read_pvs(struct builder *b, const struct lvm_node *section, struct err *e)
{
	uint32_t nr = count_sections(b->t, section);

	if (!nr || nr > MAX_PVS)
		return bad("no physical volumes, or too many", e);
	b->vg->pvs = alloc_array(nr, sizeof(*b->vg->pvs));
	b->pvs = alloc_array(nr, sizeof(*b->pvs));
	if (!b->vg->pvs || !b->pvs)
		return err_nomem(e, "the metadata of LVM");
	for (const struct lvm_node *n = lvm_first(b->t, section); n; n = lvm_next(b->t, n)) {
		if (n->kind != LVM_SECTION)
			continue;
		uint32_t i = b->vg->nr_pvs++;
		if (read_pv(b, n, &b->vg->pvs[i], e) < 0)
			return -1;
		b->pvs[i] = (struct entry){ b->vg->pvs[i].name, i };
	}
	qsort(b->pvs, nr, sizeof(*b->pvs), by_name);
	for (uint32_t i = 1; i < nr; i++)
		if (!by_name(&b->pvs[i - 1], &b->pvs[i]))
			return bad("two physical volumes of one name", e);
	return 0;
}

/* ---- logical volumes ---- */

static int add_area(struct builder *b, uint32_t pv, uint64_t extent, struct err *e)
{
	struct lvm_vg *vg = b->vg;

	if (vg->nr_areas == b->room_areas) {
		uint32_t room = b->room_areas ? b->room_areas * 2 : 64;
		struct lvm_area *grown = realloc(vg->areas, (size_t)room * sizeof(*grown));
		if (!grown)
			return err_nomem(e, "the metadata of LVM");
		vg->areas = grown;
		b->room_areas = room;
	}
	vg->areas[vg->nr_areas++] = (struct lvm_area){ pv, extent };
	return 0;
}

static int add_segment(struct builder *b, struct lvm_lv *lv, const struct lvm_segment *s, struct err *e)
{
	struct lvm_vg *vg = b->vg;

	if (vg->nr_segments == b->room_segments) {
		uint32_t room = b->room_segments ? b->room_segments * 2 : 64;
		struct lvm_segment *grown = realloc(vg->segments, (size_t)room * sizeof(*grown));
		if (!grown)
			return err_nomem(e, "the metadata of LVM");
		vg->segments = grown;
		b->room_segments = room;
	}
	vg->segments[vg->nr_segments++] = *s;
	lv->nr_segments++;
	return 0;
}

static void not_plain(struct lvm_lv *lv, const char *what, const char *s, size_t len)
{
	if (lv->is_plain)
		snprintf(lv->why, sizeof(lv->why), "%s%.*s", what, (int)min_u64(len, 40), s);
	lv->is_plain = false;
}

/* Every LV that a segment mentions, at any depth, is a part of what is not understood. */
static void mark_parts(struct builder *b, const struct lvm_node *n, const struct lvm_lv *of, const char *type, size_t type_len)
{
	for (const struct lvm_node *c = lvm_first(b->t, n); c; c = lvm_next(b->t, c)) {
		const struct entry *en = c->kind == LVM_STRING ? look_up(b->lvs, b->vg->nr_lvs, c->s, c->len) : NULL;
		if (en && &b->vg->lvs[en->index] != of)
			not_plain(&b->vg->lvs[en->index], "part of ", type, type_len);
		if (c->kind != LVM_STRING && c->kind != LVM_NUMBER)
			mark_parts(b, c, of, type, type_len);
	}
}

/* "stripes": pairs of a PV's name and an extent. 1 all on PVs, 0 on something else, -1 */
static int read_stripes(struct builder *b, const struct lvm_node *list, struct lvm_segment *s, struct err *e)
{
	s->first_area = b->vg->nr_areas;
	for (const struct lvm_node *n = list ? lvm_first(b->t, list) : NULL; n; n = lvm_next(b->t, n)) {
		const struct entry *pv = n->kind == LVM_STRING ? look_up(b->pvs, b->vg->nr_pvs, n->s, n->len) : NULL;
		n = lvm_next(b->t, n);
		if (!n || n->kind != LVM_NUMBER || n->n < 0)
			return bad("a list of stripes", e);
		if (!pv) {
			b->vg->nr_areas = s->first_area;
			return 0;
		}
		if (add_area(b, pv->index, (uint64_t)n->n, e) < 0)
			return -1;
		s->nr_areas++;
	}
	return s->nr_areas ? 1 : bad("a segment without stripes", e);
}

static int check_stripes(const struct builder *b, const struct lvm_segment *s, struct err *e)
{
	const struct lvm_vg *vg = b->vg;
	uint64_t each = s->extents / s->nr_areas;

	if (s->extents % s->nr_areas || (s->nr_areas > 1 && (!s->stripe || vg->extent_size % s->stripe)))
		return bad("a segment that is no whole number of stripes", e);
	for (uint32_t i = 0; i < s->nr_areas; i++) {
		const struct lvm_area *a = &vg->areas[s->first_area + i];
		if (!range_inside(a->extent, each, vg->pvs[a->pv].pe_count))
			return bad("a segment beyond the end of its physical volume", e);
	}
	return 0;
}

static int read_segment(struct builder *b, const struct lvm_node *n, struct lvm_lv *lv, uint64_t *next_extent, struct err *e)
{
	const struct lvm_node *type = lvm_find(b->t, n, "type");
	struct lvm_segment s = { 0 };
	uint64_t start, stripe = 0;

	if (!get_count(b, n, "start_extent", UINT32_MAX, &start) || !get_count(b, n, "extent_count", UINT32_MAX, &s.extents) || !s.extents ||
		start != *next_extent || !type || type->kind != LVM_STRING)
		return bad("segments that do not follow each other", e);
	*next_extent = start + s.extents;
	if (!is_string(type, "striped") && !is_string(type, "linear")) {
		not_plain(lv, "type ", type->s, type->len);
		mark_parts(b, n, lv, type->s, type->len);
		return 0;
	}
	int r = read_stripes(b, lvm_find(b->t, n, "stripes"), &s, e);
	if (r == 0) {
		not_plain(lv, "made of other volumes", "", 0);
		mark_parts(b, n, lv, "another volume", 14);
	}
	if (r <= 0)
		return r;
	if (s.nr_areas > 1 && get_count(b, n, "stripe_size", UINT32_MAX, &stripe))
		s.stripe = stripe * LVM_SECTOR;
	return check_stripes(b, &s, e) < 0 ? -1 : add_segment(b, lv, &s, e);
}

static int read_lv(struct builder *b, const struct lvm_node *n, struct lvm_lv *lv, struct err *e)
{
	static const char *const known[] = { "READ", "WRITE", "VISIBLE", "FIXED_MINOR", "ACTIVATION_SKIP", "NOAUTOACTIVATE", NULL };
	const struct lvm_node *flag = unknown_flag(b, n, known);
	uint64_t extents = 0, nr = 0, want;

	lv->is_visible = has_flag(b, n, "status", "VISIBLE");
	lv->first_segment = b->vg->nr_segments;
	if (flag)
		not_plain(lv, "flag ", flag->kind == LVM_STRING ? flag->s : "", flag->kind == LVM_STRING ? flag->len : 0);
	for (const struct lvm_node *s = lvm_first(b->t, n); s; s = lvm_next(b->t, s)) {
		if (s->kind != LVM_SECTION)
			continue;
		if (s->name_len <= 7 || memcmp(s->name, "segment", 7)) {
			not_plain(lv, "section ", s->name, s->name_len);
			mark_parts(b, s, lv, "another volume", 14);
		} else {
			nr++;
			if (read_segment(b, s, lv, &extents, e) < 0)
				return -1;
		}
	}
	if (get_count(b, n, "segment_count", INT64_MAX, &want) && want != nr)
		not_plain(lv, "segments missing", "", 0);
	if (!lv->is_visible)
		not_plain(lv, "hidden", "", 0);
	return 0;
}

static int read_lvs(struct builder *b, const struct lvm_node *section, struct err *e)
{
	uint32_t nr = count_sections(b->t, section), i = 0;
	struct lvm_vg *vg = b->vg;

	vg->lvs = alloc_array(nr, sizeof(*vg->lvs));
	b->lvs = alloc_array(nr, sizeof(*b->lvs));
	if (!vg->lvs || !b->lvs)
		return err_nomem(e, "the metadata of LVM");
	for (const struct lvm_node *n = nr ? lvm_first(b->t, section) : NULL; n; n = lvm_next(b->t, n)) {
		if (n->kind != LVM_SECTION)
			continue;
		struct lvm_lv *lv = &vg->lvs[i];
		lv->is_plain = true;
		if (!get_name(n->name, n->name_len, lv->name) || !get_uuid(b, n, lv->uuid))
			return bad("a logical volume without name or id", e);
		b->lvs[i] = (struct entry){ lv->name, i };
		i++;
	}
	vg->nr_lvs = nr;
	qsort(b->lvs, nr, sizeof(*b->lvs), by_name);
	for (i = 1; i < nr; i++)
		if (!by_name(&b->lvs[i - 1], &b->lvs[i]))
			return bad("two logical volumes of one name", e);
	i = 0; /* all names are known now, so that segments can mention them */
	for (const struct lvm_node *n = nr ? lvm_first(b->t, section) : NULL; n; n = lvm_next(b->t, n))
		if (n->kind == LVM_SECTION && read_lv(b, n, &vg->lvs[i++], e) < 0)
			return -1;
	return 0;
}

/* ---- the group ---- */

static void find_strange(struct builder *b, const struct lvm_node *section)
{
	static const char *const known[] = { "RESIZEABLE", "READ", "WRITE", "NOAUTOACTIVATE", NULL };
	const struct lvm_node *flag = unknown_flag(b, section, known), *lock = lvm_find(b->t, section, "lock_type");
	const struct lvm_node *format = lvm_find(b->t, section, "format");

	if (flag)
		snprintf(b->vg->strange, sizeof(b->vg->strange), "flag %.*s", flag->kind == LVM_STRING ? (int)min_u64(flag->len, 40) : 0, flag->s);
	else if (lock && !is_string(lock, "none"))
		snprintf(b->vg->strange, sizeof(b->vg->strange), "shared with other machines");
	else if (format && !is_string(format, "lvm2"))
		snprintf(b->vg->strange, sizeof(b->vg->strange), "not of the format lvm2");
}

static int read_group(struct builder *b, const struct lvm_node *section, struct err *e)
{
	const struct lvm_node *pvs = lvm_find(b->t, section, "physical_volumes"), *lvs = lvm_find(b->t, section, "logical_volumes");
	uint64_t sectors;

	if (!get_name(section->name, section->name_len, b->vg->name) || !get_uuid(b, section, b->vg->uuid))
		return bad("a volume group without name or id", e);
	if (!get_count(b, section, "seqno", UINT32_MAX, &b->vg->seqno) || !get_count(b, section, "extent_size", UINT32_MAX, &sectors) || !sectors)
		return bad("a volume group without version or size of extents", e);
	b->vg->extent_size = sectors * LVM_SECTOR;
	find_strange(b, section);
	if (!pvs || pvs->kind != LVM_SECTION)
		return bad("no physical volumes", e);
	if (read_pvs(b, pvs, e) < 0)
		return -1;
	return lvs && lvs->kind != LVM_SECTION ? bad("no logical volumes", e) : read_lvs(b, lvs, e);
}

int lvm_vg_read(const char *text, size_t len, struct lvm_vg **ret, struct err *e)
{
	AUTO(lvm_vg) struct lvm_vg *vg = alloc_array(1, sizeof(*vg));
	struct lvm_tree t = { 0 };
	struct builder b = { .t = &t, .vg = vg };
	const struct lvm_node *section = NULL;

	if (!vg)
		return err_nomem(e, "the metadata of LVM");
	if (lvm_parse(text, len, &t, e) < 0)
		return -1;
	for (section = lvm_first(&t, &t.nodes[0]); section && section->kind != LVM_SECTION;)
		section = lvm_next(&t, section);
	int r = section ? read_group(&b, section, e) : bad("no volume group", e);
	free(b.pvs);
	free(b.lvs);
	lvm_tree_release(&t);
	if (r == 0)
		*ret = take(&vg);
	return r;
}

void lvm_vg_free(struct lvm_vg *vg)
{
	if (!vg)
		return;
	free(vg->pvs);
	free(vg->lvs);
	free(vg->segments);
	free(vg->areas);
	free(vg);
}
