/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Volumes of the manifest and their ranges of disk; see plan_volumes.h. */
#include "imager/job/plan_volumes.h"

#include "base/arith.h"

#include <string.h>

#define MAX_ARM_BYTES ((uint64_t)16 << 20)
#define MAX_SEGMENTS  65536U /* stripes upon stripes could be more: they only explain */

struct img_volume *plan_add_volume(struct plan *p, uint8_t kind, struct err *e)
{
	struct img_manifest *m = p->m;

	if (m->nr_volumes == IMG_MAX_VOLUMES) {
		err_set(e, ERR_UNSUPPORTED, 0, "there are more than %u volumes", IMG_MAX_VOLUMES);
		return NULL;
	}
	if (m->nr_volumes == 0 || is_pow2(m->nr_volumes)) {
		size_t room = m->nr_volumes ? m->nr_volumes * 2 : 1;
		struct img_volume *grown = realloc(m->volumes, room * sizeof(*grown));
		if (!grown) {
			err_nomem(e, "the volumes");
			return NULL;
		}
		m->volumes = grown;
	}
	struct img_volume *v = &m->volumes[m->nr_volumes++];
	*v = (struct img_volume){ .parent = IMG_NO_INDEX, .kind = kind, .region = IMG_NO_INDEX };
	return v;
}

static int grow_ranges(struct img_range **list, uint32_t *nr, struct img_range add, struct err *e)
{
	struct img_range *last = *nr ? &(*list)[*nr - 1] : NULL;

	if (last && last->disk == add.disk && last->start + last->len == add.start) {
		last->len += add.len;
		return 0;
	}
	if (is_pow2(*nr) || *nr == 0) { /* room is a power of two: doubles when it is full */
		struct img_range *grown = realloc(*list, (*nr ? (size_t)*nr * 2 : 1) * sizeof(*grown));
		if (!grown)
			return err_nomem(e, "the ranges of a volume");
		*list = grown;
	}
	(*list)[(*nr)++] = add;
	return 0;
}

struct adding {
	struct plan *p;
	struct img_volume *v;
};

static int add_segment(void *arg, uint32_t region, uint64_t start, uint64_t len, struct err *e)
{
	struct adding *a = arg;
	const struct img_region *r = &a->p->m->regions[region];

	if (a->v->nr_segments == MAX_SEGMENTS)
		return 0;
	return grow_ranges(&a->v->segments, &a->v->nr_segments, (struct img_range){ r->disk, r->start + start, len }, e);
}

struct area {
	struct adding *a;
	const size_t *device_of;
};

/* A striped segment is told by the places of its legs, not stripe by stripe. */
static int add_area(void *arg, size_t member, uint64_t start, uint64_t len, struct err *e)
{
	const struct area *area = arg;

	return device_each(area->a->p, area->device_of[member], start, len, add_segment, area->a, e);
}

int plan_add_segments(struct plan *p, struct img_volume *v, size_t dev, struct err *e)
{
	const struct plan_device *d = p->devices[dev];
	struct adding a = { .p = p, .v = v };

	if (!d->made)
		return add_segment(&a, d->region, 0, d->src->size, e);
	struct area area = { .a = &a, .device_of = p->sets[d->set]->device_of };
	return mapping_areas(&d->made->map, add_area, &area, e);
}

static int add_arm(void *arg, uint32_t region, uint64_t start, uint64_t len, struct err *e)
{
	struct adding *a = arg;
	const struct img_region *r = &a->p->m->regions[region];
	uint64_t sector = a->p->m->disks[r->disk].sector_size, sum = 0;
	uint64_t end = min_u64(round_up_u64(start + len, sector), r->len);

	for (uint32_t i = 0; i < a->v->nr_arm; i++)
		sum += a->v->arm[i].len;
	start = round_down_u64(start, sector);
	if (sum + (end - start) > MAX_ARM_BYTES) /* the rest is written in order with the data: still right, only less guarded */
		return 0;
	return grow_ranges(&a->v->arm, &a->v->nr_arm, (struct img_range){ r->disk, r->start + start, end - start }, e);
}

int plan_add_arm(struct plan *p, struct img_volume *v, size_t dev, uint64_t start, uint64_t len, struct err *e)
{
	struct adding a = { .p = p, .v = v };

	return device_each(p, dev, start, len, add_arm, &a, e);
}

static int add_skipped(void *arg, uint32_t region, uint64_t start, uint64_t len, struct err *e)
{
	struct adding *a = arg;
	const struct img_region *r = &a->p->m->regions[region];

	return grow_ranges(&a->v->skipped, &a->v->nr_skipped, (struct img_range){ r->disk, r->start + start, len }, e);
}

int plan_add_skipped(struct plan *p, struct img_volume *v, size_t dev, uint64_t start, uint64_t len, struct err *e)
{
	struct adding a = { .p = p, .v = v };

	return device_each(p, dev, start, len, add_skipped, &a, e);
}
