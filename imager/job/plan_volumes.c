/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Planning the volumes of all disks, the second phase; see plan.h and plan_volumes.h. */
#include "imager/job/plan_volumes.h"

#include "imager/disk/table.h"

#include <stdio.h>

/* Every region but the gaps is a device. */
static int add_regions(struct plan *p, struct err *e)
{
	for (size_t i = 0; i < p->m->nr_regions; i++) {
		const struct img_region *r = &p->m->regions[i];
		if (r->kind == PT_REGION_GAP)
			continue;
		struct blk_source *disk = p->disks[r->disk];
		struct plan_device *d = plan_add_device(p, e);
		if (!d)
			return -1;
		snprintf(d->name, sizeof(d->name), r->number ? "%.200s partition %u" : "%.200s", blk_name(disk), r->number);
		d->region = (uint32_t)i;
		d->raw_forced = r->kind == PT_REGION_OVERLAP;
		d->src = blk_window(disk, r->start, r->len, d->name, e);
		if (!d->src)
			return -1;
	}
	return 0;
}

static int plan_device(struct plan *p, size_t dev, struct err *e)
{
	const struct plan_device *d = p->devices[dev];

	if (progress_check(p->p, e) < 0)
		return -1;
	if (d->fate == DEVICE_TAKEN)
		return plan_member(p, dev, e);
	return d->fs_set == SIZE_MAX ? plan_leaf(p, dev, e) : 0;
}

/* Regions first, so that there are maps; then each set behind its members. */
static int plan_all(struct plan *p, struct err *e)
{
	for (size_t i = 0; i < p->nr_devices && p->devices[i]->region != IMG_NO_INDEX; i++)
		if (plan_device(p, i, e) < 0)
			return -1;
	for (size_t i = 0; i < p->nr_sets; i++) {
		struct plan_set *set = p->sets[i];
		if (plan_set(p, set, e) < 0)
			return -1;
		for (size_t k = 0; k < set->s.nr_volumes; k++)
			if (plan_device(p, set->first_device + k, e) < 0)
				return -1;
	}
	for (size_t i = 0; i < p->nr_fs_sets; i++)
		if (plan_fs_set(p, &p->fs_sets[i], e) < 0)
			return -1;
	return 0;
}

static int wrap_disks(struct blk_source *wrapped[IMG_MAX_DISKS], const struct img_manifest *m, struct blk_source *const *disks,
	const struct progress *prog, struct err *e)
{
	for (size_t i = 0; i < m->nr_disks; i++)
		if (!(wrapped[i] = blk_stoppable(disks[i], prog, e)))
			return -1;
	return 0;
}

int plan_volumes(struct img_manifest *m, struct blk_source *const *disks, const struct plan_options *o, const struct progress *prog, struct err *e)
{
	struct blk_source *wrapped[IMG_MAX_DISKS] = { NULL };
	struct plan p = { .m = m, .disks = wrapped, .o = o, .p = prog };
	int r = wrap_disks(wrapped, m, disks, prog, e);

	if (r == 0)
		r = add_regions(&p, e);
	if (r == 0)
		r = plan_find_devices(&p, e);
	if (r == 0)
		r = plan_find_fs_sets(&p, e);
	if (r == 0) {
		r = plan_all(&p, e);
		if (r == 0 || e->code == ERR_REFUSED)
			r = plan_words(&p, r, e);
	}
	for (size_t i = 0; r == 0 && i < m->nr_regions; i++)
		if (m->regions[i].kind != PT_REGION_GAP)
			cmap_freeze(m->regions[i].map);
	plan_release(&p);
	for (size_t i = 0; i < m->nr_disks; i++)
		blk_close(wrapped[i]);
	/* A driver goes on where it may do without what it could not read. */
	return r < 0 ? -1 : progress_check(prog, e);
}
