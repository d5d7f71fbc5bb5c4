/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * LVM2: physical volumes become volume groups, volume groups become logical volumes. Linear and striped ones are mapped; of all others
 * every extent is taken, and what no logical volume owns is unused.
 */
#include "imager/disk/stack.h"

#include "base/arith.h"
#include "base/hash.h"
#include "imager/disk/lvm.h"

#include <stdio.h>
#include <string.h>

#define LABEL_BYTES 4096U /* the label's sectors; what stands between them and the first area is small */

/* One physical volume. */
struct member {
	struct lvm_label label;
	struct lvm_vg *vg;      /* the newest that its own areas tell; NULL: none */
	char why[160];          /* "", or why it cannot be used */
	bool is_orphan;         /* it says itself that it belongs to no group */
	bool is_placed;         /* it is in a set */
};

struct lvm {
	struct blk_source *const *sources;
	struct member *m; /* owned */
	size_t nr;
	struct stack_sets *ret;
};

static bool is_for_raw(const struct err *e)
{
	return e->code == ERR_CORRUPT || (e->code == ERR_FAILED && blk_is_medium_error(e));
}

/* The group's own block of the text, without the comments on when and by whom it was written that follow. */
static uint32_t sum_text(const char *text, size_t len)
{
	const char *end = memmem(text, len, "\n# Generated", 12);

	return crc32_of(text, end ? (size_t)(end - text) : len);
}

/* As often changed, but not to the same: two machines, or one with each disk alone, wrote to it. */
static void mark_split(struct lvm_vg *a, struct lvm_vg *b)
{
	if (strcmp(a->uuid, b->uuid) != 0 || a->seqno != b->seqno || a->text_sum == b->text_sum)
		return;
	snprintf(a->strange, sizeof(a->strange), "its metadata has two versions");
	snprintf(b->strange, sizeof(b->strange), "its metadata has two versions");
}

/* One area; an older or a damaged one does no harm while there is another. 0, or -1 for what must stop us. */
static int read_area(struct lvm *l, size_t i, size_t area, bool *ret_empty, struct err *e)
{
	struct member *m = &l->m[i];
	AUTO_FREE char *text = NULL;
	struct lvm_vg *vg = NULL;
	size_t len = 0;

	int r = lvm_mda_read(l->sources[i], &m->label.mdas[area], &text, &len, e);
	*ret_empty = r == 0;
	if (r > 0)
		r = lvm_vg_read(text, len, &vg, e);
	if (r < 0 && !is_for_raw(e))
		return -1;
	if (r < 0)
		snprintf(m->why, sizeof(m->why), "%.150s", e->msg);
	if (vg)
		vg->text_sum = sum_text(text, len);
	if (vg && m->vg)
		mark_split(vg, m->vg);
	if (vg && (!m->vg || vg->seqno > m->vg->seqno)) {
		lvm_vg_free(m->vg);
		m->vg = take(&vg);
	}
	lvm_vg_free(vg);
	return 0;
}

static int read_member(struct lvm *l, size_t i, struct err *e)
{
	struct member *m = &l->m[i];
	bool all_empty = true;

	if (lvm_label_read(l->sources[i], &m->label, e) < 0) {
		snprintf(m->why, sizeof(m->why), "%.150s", e->msg);
		return is_for_raw(e) ? 0 : -1;
	}
	for (size_t k = 0; k < m->label.nr_mdas; k++) {
		bool is_empty;
		if (read_area(l, i, k, &is_empty, e) < 0)
			return -1;
		all_empty &= is_empty;
	}
	if (m->vg)
		m->why[0] = '\0';
	m->is_orphan = m->label.nr_mdas && all_empty && !m->label.is_used;
	return 0;
}

/* The member with this UUID; SIZE_MAX when there is none. *ret_nr: how many have it. */
static size_t find_member(const struct lvm *l, const char *uuid, size_t *ret_nr)
{
	size_t found = SIZE_MAX;

	*ret_nr = 0;
	for (size_t i = 0; i < l->nr; i++) {
		if (strcmp(l->m[i].label.uuid, uuid))
			continue;
		found = found == SIZE_MAX ? i : found;
		++*ret_nr;
	}
	return found;
}

/* "PV uuid (last seen as /dev/sdb1)" for each that is not there; nothing when all are. */
static void list_missing(const struct lvm *l, const struct lvm_vg *vg, char *out, size_t size)
{
	size_t at = 0, nr;

	out[0] = '\0';
	for (uint32_t i = 0; i < vg->nr_pvs; i++) {
		char uuid[39];
		if (find_member(l, vg->pvs[i].uuid, &nr) != SIZE_MAX || at + 1 >= size)
			continue;
		lvm_format_uuid(vg->pvs[i].uuid, uuid);
		int n = snprintf(out + at, size - at, "%sPV %s (last seen as %.60s)", at ? ", " : "missing: ", uuid, vg->pvs[i].device);
		at += n > 0 ? (size_t)n : 0;
	}
}

/* Why the group cannot be mapped although all of it is there; "" when it can. */
static void find_reason(const struct lvm *l, const struct lvm_vg *vg, char *out, size_t size)
{
	size_t nr;

	out[0] = '\0';
	if (vg->strange[0])
		snprintf(out, size, "taken raw: volume group '%.60s' is in a state that is not understood (%s)", vg->name, vg->strange);
	for (uint32_t i = 0; i < vg->nr_pvs && !out[0]; i++) {
		const struct lvm_pv *pv = &vg->pvs[i];
		size_t m = find_member(l, pv->uuid, &nr);
		uint64_t end = pv->pe_start + pv->pe_count * vg->extent_size; /* checked by lvm_vg_read() */
		if (m == SIZE_MAX)
			continue;
		if (nr > 1)
			snprintf(out, size, "taken raw: there are %zu copies of one physical volume of '%.60s'", nr, vg->name);
		else if (pv->is_missing || pv->is_strange)
			snprintf(out, size, "taken raw: volume group '%.60s' calls a physical volume missing", vg->name);
		else if (end > l->sources[m]->size)
			snprintf(out, size, "taken raw: a physical volume of '%.60s' is smaller than the group says", vg->name);
	}
}

static int map_lv(const struct lvm *l, const struct lvm_vg *vg, const struct lvm_lv *lv, struct stack_volume *v, struct err *e)
{
	struct map_leg legs[MAPPING_MAX_LEGS];
	size_t nr;

	for (uint32_t i = 0; i < lv->nr_segments; i++) {
		const struct lvm_segment *s = &vg->segments[lv->first_segment + i];
		if (s->nr_areas > MAPPING_MAX_LEGS)
			return err_set(e, ERR_CORRUPT, 0, "a logical volume has too many stripes");
		for (uint32_t k = 0; k < s->nr_areas; k++) {
			const struct lvm_area *a = &vg->areas[s->first_area + k];
			const struct lvm_pv *pv = &vg->pvs[a->pv];
			legs[k] = (struct map_leg){ find_member(l, pv->uuid, &nr), pv->pe_start + a->extent * vg->extent_size };
		}
		if (mapping_add(&v->map, s->extents * vg->extent_size, s->nr_areas > 1 ? s->stripe : 0, legs, s->nr_areas, e) < 0)
			return -1;
	}
	return 0;
}

/* The LVs that have a place; the others are named in the notice of the group. */
static int add_lvs(const struct lvm *l, const struct lvm_vg *vg, struct stack_set *set, struct err *e)
{
	size_t at = 0;

	for (uint32_t i = 0; i < vg->nr_lvs; i++) {
		const struct lvm_lv *lv = &vg->lvs[i];
		if (!lv->is_plain && lv->is_visible && at < sizeof(set->notice)) {
			int n = snprintf(set->notice + at, sizeof(set->notice) - at, "%s'%.60s' (%s)", at ? ", " : "every block is copied of ", lv->name, lv->why);
			at += n > 0 ? (size_t)n : 0;
		}
		if (!lv->nr_segments)
			continue;
		struct stack_volume *v = stack_add_volume(set, e);
		if (!v)
			return -1;
		snprintf(v->name, sizeof(v->name), "%s/%s", vg->name, lv->name);
		lvm_format_uuid(lv->uuid, v->uuid);
		v->is_raw = !lv->is_plain;
		if (v->is_raw)
			snprintf(v->notice, sizeof(v->notice), "every block is copied: %s", lv->why);
		if (map_lv(l, vg, lv, v, e) < 0)
			return -1;
	}
	return 0;
}

static int add_metadata(const struct lvm *l, size_t i, struct stack_set *set, struct err *e)
{
	const struct lvm_label *label = &l->m[i].label;
	uint64_t size = l->sources[i]->size;

	if (stack_add_used(set, i, 0, min_u64(LABEL_BYTES, size), e) < 0 || stack_add_arm(set, i, 0, min_u64(4 * LVM_SECTOR, size), e) < 0)
		return -1;
	for (size_t k = 0; k < label->nr_mdas; k++)
		if (stack_add_used(set, i, label->mdas[k].start, label->mdas[k].len, e) < 0 ||
			stack_add_arm(set, i, label->mdas[k].start, min_u64(LVM_SECTOR, label->mdas[k].len), e) < 0)
			return -1;
	for (size_t k = 0; k < label->nr_boots; k++)
		if (stack_add_used(set, i, label->boots[k].start, label->boots[k].len, e) < 0)
			return -1;
	return 0;
}

/* All members that the group knows go into its set, once. */
static int add_members(struct lvm *l, const struct lvm_vg *vg, struct stack_set *set, struct err *e)
{
	for (size_t i = 0; i < l->nr; i++) {
		uint32_t k = 0;
		while (k < vg->nr_pvs && strcmp(vg->pvs[k].uuid, l->m[i].label.uuid))
			k++;
		if (k == vg->nr_pvs || l->m[i].is_placed || !l->m[i].label.uuid[0])
			continue;
		l->m[i].is_placed = true;
		if (stack_add_member(set, i, e) < 0)
			return -1;
	}
	return 0;
}

static int add_group(struct lvm *l, const struct lvm_vg *vg, struct err *e)
{
	char missing[300], reason[200];
	struct stack_set *set = stack_add_set(l->ret, e);

	if (!set)
		return -1;
	snprintf(set->name, sizeof(set->name), "%s", vg->name);
	snprintf(set->type, sizeof(set->type), "LVM2");
	lvm_format_uuid(vg->uuid, set->uuid);
	if (add_members(l, vg, set, e) < 0)
		return -1;
	if (!set->nr_members) { /* its members belong to a newer group; the caller drops it */
		l->ret->nr--;
		return 0;
	}
	find_reason(l, vg, reason, sizeof(reason));
	list_missing(l, vg, missing, sizeof(missing));
	if (!missing[0] && !reason[0] && set->nr_members != vg->nr_pvs)
		snprintf(reason, sizeof(reason), "taken raw: two versions of volume group '%.60s' contradict each other", vg->name);
	set->verdict = missing[0] ? STACK_MISSING : reason[0] ? STACK_RAW : STACK_OPEN;
	snprintf(set->detail, sizeof(set->detail), "%s", missing);
	snprintf(set->notice, sizeof(set->notice), "%.199s", set->verdict == STACK_RAW ? reason : "");
	if (set->verdict != STACK_OPEN)
		return 0;
	for (size_t i = 0; i < set->nr_members; i++)
		if (add_metadata(l, set->members[i], set, e) < 0)
			return -1;
	return add_lvs(l, vg, set, e);
}

/* A group that is not dealt with yet; NULL when all are. */
static const struct lvm_vg *next_group(const struct lvm *l)
{
	for (size_t i = 0; i < l->nr; i++) {
		const struct lvm_vg *vg = l->m[i].is_placed ? NULL : l->m[i].vg;
		if (vg)
			return vg;
	}
	return NULL;
}

/* Those of no group. */
static int add_rest(struct lvm *l, size_t i, struct err *e)
{
	const struct member *m = &l->m[i];
	char why[200];

	if (m->is_orphan)
		return stack_add_raw(l->ret, i, "taken raw: a physical volume that belongs to no volume group", e);
	if (m->why[0] || m->vg) {
		snprintf(why, sizeof(why), "taken raw: %.180s", m->why[0] ? m->why : "a physical volume that its group does not know any more");
		return stack_add_raw(l->ret, i, why, e);
	}
	struct stack_set *set = stack_add_set(l->ret, e);
	if (!set)
		return -1;
	set->verdict = STACK_MISSING;
	snprintf(set->name, sizeof(set->name), "a volume group");
	snprintf(set->detail, sizeof(set->detail), "it holds no metadata of its own, those with metadata are missing");
	return stack_add_member(set, i, e);
}

/* A member that was away while the group changed tells an old state of it. */
static void drop_old(struct lvm *l)
{
	for (size_t i = 0; i < l->nr; i++)
		for (size_t k = 0; k < i; k++)
			if (l->m[i].vg && l->m[k].vg)
				mark_split(l->m[i].vg, l->m[k].vg);
	for (size_t i = 0; i < l->nr; i++) {
		bool is_old = false;
		for (size_t k = 0; k < l->nr && l->m[i].vg; k++)
			is_old |= l->m[k].vg && !strcmp(l->m[k].vg->uuid, l->m[i].vg->uuid) && l->m[k].vg->seqno > l->m[i].vg->seqno;
		if (!is_old)
			continue;
		lvm_vg_free(take(&l->m[i].vg));
		snprintf(l->m[i].why, sizeof(l->m[i].why), "a physical volume that its group does not know any more");
	}
}

static int assemble_all(struct lvm *l, struct err *e)
{
	const struct lvm_vg *vg;

	for (size_t i = 0; i < l->nr; i++)
		if (read_member(l, i, e) < 0)
			return -1;
	drop_old(l);
	while ((vg = next_group(l))) {
		size_t before = l->ret->nr;
		if (add_group(l, vg, e) < 0)
			return -1;
		for (size_t i = 0; i < l->nr; i++) /* a member that its own group does not know is not asked again */
			if (l->m[i].vg == vg && !l->m[i].is_placed) {
				l->m[i].is_placed = true;
				if (stack_add_raw(l->ret, i, "taken raw: a physical volume that its group does not know any more", e) < 0)
					return -1;
			}
		if (l->ret->nr == before)
			break;
	}
	for (size_t i = 0; i < l->nr; i++)
		if (!l->m[i].is_placed && add_rest(l, i, e) < 0)
			return -1;
	return 0;
}

static int lvm_assemble(struct blk_source *const *members, size_t nr, const struct stack_keys *keys, struct stack_sets *ret, struct err *e)
{
	struct lvm l = { .sources = members, .m = alloc_array(nr, sizeof(*l.m)), .nr = nr, .ret = ret };

	(void)keys;
	if (!l.m)
		return err_nomem(e, "the metadata of LVM");
	int r = assemble_all(&l, e);
	for (size_t i = 0; i < nr; i++)
		lvm_vg_free(l.m[i].vg);
	free(l.m);
	return r;
}

const struct stack_kind stack_lvm = {
	.name = "lvm",
	.type = "LVM2_member",
	.shape = STACK_GROUP,
	.probe = lvm_label_probe,
	.assemble = lvm_assemble,
};
