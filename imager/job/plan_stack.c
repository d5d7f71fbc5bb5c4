/* SPDX-License-Identifier: GPL-3.0-or-later */
/* From regions upward: which device is a part of what, until nothing new appears; see plan_volumes.h. */
#include "imager/job/plan_volumes.h"

#include "base/arith.h"
#include "fsdrivers/signature.h"

#include <stdio.h>
#include <string.h>

/* Nobody may doubt what it is, and the user did not ask for all of it. */
static int claim_member(struct plan *p, size_t dev, const struct stack_kind *kind, struct err *e)
{
	struct plan_device *d = p->devices[dev];
	struct fsd_signature s;

	if (fsd_signature_read(d->src, &s, e) < 0)
		return -1;
	d->kind = kind;
	d->raw_asked = device_is_asked_raw(p, dev, s.label, s.uuid);
	if (d->raw_asked)
		return 0;
	if (s.is_ambivalent || (s.type[0] && strcmp(s.type, kind->type))) {
		d->raw_forced = true;
		snprintf(d->why_raw, sizeof(d->why_raw), "taken raw: it looks like %s, but is %s for libblkid", kind->type,
			s.is_ambivalent ? "several things" : s.type);
		return 0;
	}
	d->fate = DEVICE_MEMBER;
	return 0;
}

static int look_at(struct plan *p, size_t dev, struct err *e)
{
	struct plan_device *d = p->devices[dev];

	d->fate = DEVICE_LEAF;
	if (d->raw_forced || d->depth >= PLAN_MAX_DEPTH)
		return 0;
	for (size_t i = 0; stack_kinds[i]; i++) {
		int mine = stack_kinds[i]->probe(d->src, e);
		if (mine < 0 && !blk_is_medium_error(e))
			return -1;
		if (mine > 0)
			return claim_member(p, dev, stack_kinds[i], e);
	}
	return 0;
}

/* The devices that wait for the others of their set. */
struct waiting {
	size_t *list; /* owned */
	struct blk_source **sources;
	size_t nr;
};

static int find_waiting(const struct plan *p, const struct stack_kind *kind, struct waiting *w, struct err *e)
{
	*w = (struct waiting){ .list = alloc_array(p->nr_devices, sizeof(*w->list)) };
	w->sources = alloc_array(p->nr_devices, sizeof(struct blk_source *));
	if (!w->list || !w->sources)
		return err_nomem(e, "the volumes");
	for (size_t i = 0; i < p->nr_devices; i++) {
		if (p->devices[i]->fate != DEVICE_MEMBER || p->devices[i]->kind != kind)
			continue;
		w->list[w->nr] = i;
		w->sources[w->nr++] = p->devices[i]->src;
	}
	return 0;
}

/* Members that make no set are leaves. */
static void give_up(struct plan *p, const struct stack_set *s, const struct waiting *w)
{
	for (size_t i = 0; i < s->nr_members; i++) {
		struct plan_device *d = p->devices[w->list[s->members[i]]];
		d->fate = DEVICE_LEAF;
		d->raw_forced = s->verdict == STACK_RAW;
		d->is_alone = s->verdict == STACK_ALONE;
		snprintf(d->why_raw, sizeof(d->why_raw), "%.199s", s->notice);
	}
}

/* One volume of a set becomes a device. */
static int add_made(struct plan *p, size_t set, size_t volume, unsigned depth, bool is_encrypted, struct err *e)
{
	struct plan_set *ps = p->sets[set];
	const struct stack_volume *v = &ps->s.volumes[volume];
	struct plan_device *d = plan_add_device(p, e);

	if (!d)
		return -1;
	snprintf(d->name, sizeof(d->name), "%s", v->name);
	d->made = v;
	d->set = set;
	d->depth = depth;
	d->is_encrypted = is_encrypted || v->unit;
	d->raw_forced = v->is_raw;
	snprintf(d->why_raw, sizeof(d->why_raw), "%.199s", v->notice);
	d->src = v->src;
	if (d->src)
		return 0;
	AUTO_FREE struct blk_source **below = alloc_array(p->nr_devices, sizeof(struct blk_source *));
	if (!below)
		return err_nomem(e, "the volumes");
	for (size_t i = 0; i < ps->nr_device_of; i++)
		below[i] = p->devices[ps->device_of[i]]->src;
	d->src = blk_mapped(&v->map, below, ps->nr_device_of, v->name, e);
	return d->src ? 0 : -1;
}

/* Takes the set. */
static int accept_set(struct plan *p, const struct stack_kind *kind, struct stack_set *s, const struct waiting *w, struct err *e)
{
	struct plan_set **grown = realloc(p->sets, (p->nr_sets + 1) * sizeof(*grown));
	struct plan_set *ps = alloc_array(1, sizeof(*ps));
	unsigned depth = 0;
	bool is_encrypted = false;

	if (grown)
		p->sets = grown;
	if (ps)
		ps->device_of = alloc_array(w->nr, sizeof(*ps->device_of));
	if (!grown || !ps || !ps->device_of) {
		free(ps);
		return err_nomem(e, "the volumes");
	}
	memcpy(ps->device_of, w->list, w->nr * sizeof(*w->list));
	ps->nr_device_of = w->nr;
	ps->kind = kind;
	ps->volume = IMG_NO_INDEX;
	ps->first_device = p->nr_devices;
	ps->s = *s;
	*s = (struct stack_set){ .verdict = STACK_OPEN };
	size_t set = p->nr_sets;
	p->sets[p->nr_sets++] = ps;
	for (size_t i = 0; i < ps->s.nr_members; i++) {
		struct plan_device *d = p->devices[w->list[ps->s.members[i]]];
		d->fate = DEVICE_TAKEN;
		depth = d->depth >= depth ? d->depth + 1 : depth;
		is_encrypted |= d->is_encrypted;
	}
	for (size_t i = 0; i < ps->s.nr_volumes; i++)
		if (add_made(p, set, i, depth, is_encrypted, e) < 0)
			return -1;
	return 0;
}

static int refuse_missing(const struct plan *p, const struct stack_kind *kind, const struct stack_set *s, const struct waiting *w, struct err *e)
{
	char where[320];

	device_where(p, w->list[s->members[0]], where, sizeof(where));
	err_set(e, ERR_REFUSED, 0, "%s is a part of %s: %s", where, s->name, s->detail);
	err_hint(e, "capture all its disks together: calco capture DISK DISK... IMAGE; or take every block of what is there: --raw VOL");
	for (size_t i = 0; i < p->nr_devices; i++) {
		struct fsd_signature sig;
		struct err ignored = ERR_INIT; /* of another reading, for a hint */
		if (p->devices[i]->raw_asked && p->devices[i]->kind == kind && fsd_signature_read(p->devices[i]->src, &sig, &ignored) == 0 && sig.uuid[0] &&
			strstr(s->detail, sig.uuid))
			plan_blame_raw(p, w->list[s->members[0]], i, e);
	}
	return err_reason(e, s->reason[0] ? s->reason : "set-member");
}

/* @is_last: nothing new will appear; *ret_new: something did */
static int take_sets(struct plan *p, const struct stack_kind *kind, struct stack_sets *sets, const struct waiting *w, bool is_last, bool *ret_new,
	struct err *e)
{
	for (size_t i = 0; i < sets->nr; i++) {
		struct stack_set *s = &sets->list[i];
		if (s->verdict == STACK_MISSING && is_last)
			return refuse_missing(p, kind, s, w, e);
		if (s->verdict == STACK_MISSING || (s->verdict == STACK_ALONE && !is_last))
			continue;
		*ret_new = true;
		if (s->verdict != STACK_OPEN)
			give_up(p, s, w);
		else if (accept_set(p, kind, s, w, e) < 0)
			return -1;
	}
	return 0;
}

/* The file that --unlock names for a container. */
struct key_ring {
	const struct plan *p;
	const struct waiting *w;
};

static const char *find_key_file(void *arg, size_t member, const char *label, const char *uuid)
{
	const struct key_ring *ring = arg;
	const struct plan_options *o = ring->p->o;
	const char *found = NULL;

	for (size_t i = 0; o->unlocks && o->unlocks[i]; i++) {
		const char *equals = strchr(o->unlocks[i], '=');
		char word[300];
		if (!equals || (size_t)(equals - o->unlocks[i]) >= sizeof(word))
			continue;
		snprintf(word, sizeof(word), "%.*s", (int)(equals - o->unlocks[i]), o->unlocks[i]);
		if (!device_is_called(ring->p, ring->w->list[member], word, label, uuid))
			continue;
		found = equals + 1;
		if (o->unlock_found)
			o->unlock_found[i] = true;
	}
	return found;
}

static int assemble(struct plan *p, const struct stack_kind *kind, bool is_last, bool *ret_new, struct err *e)
{
	struct stack_sets sets = { 0 };
	struct waiting w;
	struct key_ring ring = { .p = p, .w = &w };
	struct stack_keys keys = { .key_file = find_key_file, .arg = &ring, .progress = p->p };

	int r = find_waiting(p, kind, &w, e);
	if (r == 0 && w.nr)
		r = kind->assemble(w.sources, w.nr, &keys, &sets, e);
	if (r == 0 && w.nr)
		r = take_sets(p, kind, &sets, &w, is_last, ret_new, e);
	stack_sets_release(&sets);
	free(w.list);
	free(w.sources);
	return r;
}

int plan_find_devices(struct plan *p, struct err *e)
{
	size_t seen = 0;
	bool is_last = false;

	for (;;) {
		bool is_new = false;
		for (; seen < p->nr_devices; seen++)
			if (look_at(p, seen, e) < 0 || progress_check(p->p, e) < 0)
				return -1;
		for (size_t i = 0; stack_kinds[i]; i++)
			if (assemble(p, stack_kinds[i], is_last, &is_new, e) < 0)
				return -1;
		if (is_last)
			return 0;
		is_last = !is_new;
	}
}
