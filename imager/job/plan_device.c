/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Devices and the way from their bytes to regions; see plan_volumes.h. */
#include "imager/job/plan_volumes.h"

#include "base/arith.h"
#include "imager/disk/table.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

#define MAX_DEVICES IMG_MAX_VOLUMES

struct plan_device *plan_add_device(struct plan *p, struct err *e)
{
	if (p->nr_devices == MAX_DEVICES) {
		err_set(e, ERR_UNSUPPORTED, 0, "there are more than %u volumes", MAX_DEVICES);
		return NULL;
	}
	if (p->nr_devices == 0 || is_pow2(p->nr_devices)) {
		size_t room = p->nr_devices ? p->nr_devices * 2 : 1;
		struct plan_device **grown = realloc(p->devices, room * sizeof(*grown));
		if (!grown) {
			err_nomem(e, "the volumes");
			return NULL;
		}
		p->devices = grown;
	}
	struct plan_device *d = alloc_array(1, sizeof(*d));
	if (!d) {
		err_nomem(e, "the volumes");
		return NULL;
	}
	d->region = IMG_NO_INDEX;
	d->volume = IMG_NO_INDEX;
	d->fs_set = SIZE_MAX;
	p->devices[p->nr_devices++] = d;
	return d;
}

static void set_free(struct plan_set *s)
{
	struct stack_sets one = { .list = alloc_array(1, sizeof(s->s)), .nr = 1 };

	if (one.list) {
		one.list[0] = s->s;
		stack_sets_release(&one);
	}
	free(s->device_of);
	free(s);
}

void plan_release(struct plan *p)
{
	for (size_t i = p->nr_devices; i-- > 0;) { /* what reads through others goes first */
		struct plan_device *d = p->devices[i];
		if (!d->made || !d->made->src)
			blk_close(d->src);
		free(d);
	}
	for (size_t i = p->nr_sets; i-- > 0;)
		set_free(p->sets[i]);
	for (size_t i = 0; i < p->nr_fs_sets; i++)
		free(p->fs_sets[i].devices);
	free(p->devices);
	free(p->sets);
	free(p->fs_sets);
}

/* A walk down one layer. */
struct descent {
	const struct plan *p;
	const size_t *device_of;
	bool in_order;
	device_fn fn;
	void *arg;
};

static int walk_device(const struct plan *p, size_t dev, uint64_t start, uint64_t len, bool in_order, device_fn fn, void *arg, struct err *e);

static int descend(void *arg, size_t member, uint64_t start, uint64_t len, struct err *e)
{
	const struct descent *d = arg;

	return walk_device(d->p, d->device_of[member], start, len, d->in_order, d->fn, d->arg, e);
}

static int walk_device(const struct plan *p, size_t dev, uint64_t start, uint64_t len, bool in_order, device_fn fn, void *arg, struct err *e)
{
	const struct plan_device *d = p->devices[dev];

	if (!d->made)
		return fn(arg, d->region, start, len, e);
	if (d->made->unit) {
		uint64_t end = start + len, unit = d->made->unit;
		start = round_down_u64(start, unit);
		end = min_u64(end + (unit - end % unit) % unit, d->made->map.size);
		len = end - start;
	}
	struct descent down = { .p = p, .device_of = p->sets[d->set]->device_of, .in_order = in_order, .fn = fn, .arg = arg };
	if (!in_order)
		return mapping_cover(&d->made->map, start, len, descend, &down, e);
	return mapping_walk(&d->made->map, start, len, true, descend, &down, e);
}

int device_each(const struct plan *p, size_t dev, uint64_t start, uint64_t len, device_fn fn, void *arg, struct err *e)
{
	return walk_device(p, dev, start, len, true, fn, arg, e);
}

struct marking {
	struct plan *p;
	enum ext_state state;
};

static int mark_region(void *arg, uint32_t region, uint64_t start, uint64_t len, struct err *e)
{
	struct marking *mk = arg;

	return cmap_add(mk->p->m->regions[region].map, start, len, mk->state, e);
}

int device_mark(struct plan *p, size_t dev, uint64_t start, uint64_t len, enum ext_state state, struct err *e)
{
	struct marking mk = { .p = p, .state = state };

	if (state == EXT_UNUSED)
		return 0;
	if (p->devices[dev]->is_encrypted)
		mk.state = EXT_USED;
	return walk_device(p, dev, start, len, false, mark_region, &mk, e);
}

int device_map_new(struct plan *p, size_t dev, uint32_t granule, struct err *e)
{
	const struct plan_device *d = p->devices[dev];

	if (d->region == IMG_NO_INDEX)
		return 0;
	struct img_region *r = &p->m->regions[d->region];
	cmap_free(r->map);
	r->map = cmap_new(r->len, granule ? (unsigned)__builtin_ctz(granule) : 9, e);
	return r->map ? 0 : -1;
}

void device_where(const struct plan *p, size_t dev, char *out, size_t size)
{
	const struct plan_device *d = p->devices[dev];

	if (d->region == IMG_NO_INDEX) {
		snprintf(out, size, "'%.250s'", d->name);
		return;
	}
	const struct img_region *r = &p->m->regions[d->region];
	if (r->number)
		snprintf(out, size, "'%.200s' partition %u", blk_name(p->disks[r->disk]), r->number);
	else
		snprintf(out, size, "'%.200s'", blk_name(p->disks[r->disk]));
}

bool device_is_called(const struct plan *p, size_t dev, const char *word, const char *label, const char *uuid)
{
	const struct plan_device *d = p->devices[dev];
	char number[32];

	if (d->region != IMG_NO_INDEX) {
		const struct img_region *r = &p->m->regions[d->region];
		snprintf(number, sizeof(number), "%u", r->number);
		if (r->number && !strcmp(word, number))
			return true;
		snprintf(number, sizeof(number), "%u:%u", r->disk + 1, r->number); /* where several disks have a partition 2 */
		if ((r->number && !strcmp(word, number)) || (r->name[0] && !strcmp(word, r->name)))
			return true;
	} else if (!strcmp(word, d->made->name) || (d->made->uuid[0] && !strcasecmp(word, d->made->uuid))) {
		return true;
	}
	return (label[0] && !strcmp(word, label)) || (uuid[0] && !strcasecmp(word, uuid));
}

bool device_is_asked_raw(const struct plan *p, size_t dev, const char *label, const char *uuid)
{
	bool asked = false;

	for (size_t i = 0; p->o->raw_volumes && p->o->raw_volumes[i]; i++) {
		const char *word = p->o->raw_volumes[i];
		if (strcmp(word, "all") && !device_is_called(p, dev, word, label, uuid))
			continue;
		asked = true;
		if (p->o->raw_found)
			p->o->raw_found[i] = true;
	}
	return asked;
}
