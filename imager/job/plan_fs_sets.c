/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Which devices hold one file system together (btrfs over several disks); see plan_volumes.h. */
#include "imager/job/plan_volumes.h"

#include "base/arith.h"
#include "fsdrivers/signature.h"

#include <stdio.h>
#include <string.h>

static int insert(struct plan *p, struct plan_fs_set *set, size_t dev, struct err *e)
{
	size_t *grown = realloc(set->devices, (set->nr + 1) * sizeof(*grown));
	size_t at = set->nr;

	if (!grown)
		return err_nomem(e, "a set of devices");
	set->devices = grown;
	for (; at && p->devices[set->devices[at - 1]]->member.number > p->devices[dev]->member.number; at--)
		set->devices[at] = set->devices[at - 1];
	set->devices[at] = dev;
	set->nr++;
	return 0;
}

static struct plan_fs_set *find_set(struct plan *p, const char *name, struct err *e)
{
	for (size_t i = 0; i < p->nr_fs_sets; i++)
		if (!strcmp(p->fs_sets[i].set, name))
			return &p->fs_sets[i];
	struct plan_fs_set *grown = realloc(p->fs_sets, (p->nr_fs_sets + 1) * sizeof(*grown));
	if (!grown) {
		err_nomem(e, "a set of devices");
		return NULL;
	}
	p->fs_sets = grown;
	struct plan_fs_set *set = &p->fs_sets[p->nr_fs_sets++];
	*set = (struct plan_fs_set){ .nr = 0 };
	snprintf(set->set, sizeof(set->set), "%s", name);
	return set;
}

/* Two copies of one member: the older one, or the one that came later, is no part of the file system. */
static int join(struct plan *p, size_t dev, struct err *e)
{
	struct plan_device *d = p->devices[dev];
	struct plan_fs_set *set = find_set(p, d->member.set, e);

	if (!set)
		return -1;
	for (size_t i = 0; i < set->nr; i++) {
		struct plan_device *other = p->devices[set->devices[i]];
		if (other->member.number != d->member.number)
			continue;
		struct plan_device *older = other->member.version < d->member.version ? other : d;
		older->raw_forced = true;
		older->fs_set = SIZE_MAX;
		snprintf(older->why_raw, sizeof(older->why_raw), "taken raw: another copy of member %u of the same file system is in this capture", d->member.number);
		if (older == d)
			return 0;
		set->devices[i] = dev;
		d->fs_set = (size_t)(set - p->fs_sets);
		return 0;
	}
	d->fs_set = (size_t)(set - p->fs_sets);
	return insert(p, set, dev, e);
}

int plan_find_fs_sets(struct plan *p, struct err *e)
{
	for (size_t i = 0; i < p->nr_devices; i++) {
		struct plan_device *d = p->devices[i];
		struct fsd_signature s;
		if (d->fate != DEVICE_LEAF || d->raw_forced || d->raw_asked || d->is_alone)
			continue;
		int is_member = fsd_find_member(d->src, &d->member, e);
		if (is_member < 0 && !blk_is_medium_error(e))
			return -1;
		if (is_member <= 0)
			continue;
		if (fsd_signature_read(d->src, &s, e) < 0)
			return -1;
		d->raw_asked = device_is_asked_raw(p, i, s.label, s.uuid);
		if (!d->raw_asked && join(p, i, e) < 0)
			return -1;
	}
	return 0;
}
