/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The volumes of members, containers and groups, and their metadata; see plan_volumes.h. */
#include "imager/job/plan_volumes.h"

#include "base/arith.h"
#include "fsdrivers/label.h"
#include "fsdrivers/signature.h"

#include <stdio.h>
#include <string.h>

#define GRANULE 4096U /* of regions that others lie on, whatever those count in; what does not fit is widened */

int plan_member(struct plan *p, size_t dev, struct err *e)
{
	struct plan_device *d = p->devices[dev];
	struct fsd_signature s;

	if (fsd_signature_read(d->src, &s, e) < 0 || device_map_new(p, dev, GRANULE, e) < 0)
		return -1;
	struct img_volume *v = plan_add_volume(p, 0, e);
	if (!v)
		return -1;
	d->volume = (uint32_t)p->m->nr_volumes - 1;
	plan_place(p, dev, v);
	snprintf(v->driver, sizeof(v->driver), "%s", d->kind->name);
	snprintf(v->type, sizeof(v->type), "%s", d->kind->type);
	fsd_label_copy(v->label, sizeof(v->label), s.label, sizeof(s.label));
	snprintf(v->uuid, sizeof(v->uuid), "%s", s.uuid);
	v->size = d->src->size;
	return plan_add_segments(p, v, dev, e);
}

struct set_use {
	struct plan *p;
	const struct plan_set *set;
};

/* What a set uses of its members adds up in their volumes. */
static int count_area(void *arg, size_t member, uint64_t start, uint64_t len, struct err *e)
{
	const struct set_use *u = arg;

	(void)start;
	(void)e;
	u->p->m->volumes[u->p->devices[u->set->device_of[member]]->volume].used_bytes += len;
	return 0;
}

/* A group is shown by itself; of the others the only volume stands for it. */
static int add_group(struct plan *p, struct plan_set *set, struct err *e)
{
	struct img_volume *v = plan_add_volume(p, IMG_VOL_SET, e);

	if (!v)
		return -1;
	set->volume = (uint32_t)p->m->nr_volumes - 1;
	if (set->s.nr_members == 1)
		v->parent = p->devices[set->device_of[set->s.members[0]]]->volume;
	snprintf(v->driver, sizeof(v->driver), "%s", set->kind->name);
	snprintf(v->type, sizeof(v->type), "%s", set->s.type);
	snprintf(v->label, sizeof(v->label), "%s", set->s.name);
	snprintf(v->name, sizeof(v->name), "%s", set->s.name);
	snprintf(v->uuid, sizeof(v->uuid), "%s", set->s.uuid);
	snprintf(v->notice, sizeof(v->notice), "%s", set->s.notice);
	for (size_t i = 0; i < set->s.nr_members; i++) {
		size_t dev = set->device_of[set->s.members[i]];
		v->size += p->devices[dev]->src->size;
		if (plan_add_segments(p, v, dev, e) < 0)
			return -1;
	}
	if (v->notice[0])
		progress_notice(p->p, "%s (%s): %s", v->name, v->type, v->notice);
	return 0;
}

static int add_twins(struct plan *p, const struct plan_set *set, const struct mapping *m, struct err *e)
{
	for (size_t i = 0; i < m->nr; i++) {
		const struct map_segment *s = &m->segments[i];
		if (s->is_mirror && plan_add_twins(p, set->device_of, m->legs + s->first_leg, s->nr_legs, s->len, e) < 0)
			return -1;
	}
	return 0;
}

int plan_set(struct plan *p, struct plan_set *set, struct err *e)
{
	struct set_use use = { .p = p, .set = set };

	for (size_t i = 0; i < set->s.nr_used; i++) {
		const struct stack_range *r = &set->s.used[i];
		if (device_mark(p, set->device_of[r->member], r->start, r->len, EXT_USED, e) < 0 ||
			count_area(&use, r->member, r->start, r->len, e) < 0)
			return -1;
	}
	for (size_t i = 0; i < set->s.nr_zero; i++) {
		const struct stack_range *r = &set->s.zero[i];
		if (device_mark(p, set->device_of[r->member], r->start, r->len, EXT_ZERO, e) < 0)
			return -1;
	}
	for (size_t i = 0; i < set->s.nr_arm; i++) {
		const struct stack_range *r = &set->s.arm[i];
		size_t dev = set->device_of[r->member];
		if (plan_add_arm(p, &p->m->volumes[p->devices[dev]->volume], dev, r->start, r->len, e) < 0)
			return -1;
	}
	for (size_t i = 0; i < set->s.nr_volumes; i++)
		if (mapping_areas(&set->s.volumes[i].map, count_area, &use, e) < 0 || add_twins(p, set, &set->s.volumes[i].map, e) < 0)
			return -1;
	return set->kind->shape == STACK_GROUP ? add_group(p, set, e) : 0;
}
