/* SPDX-License-Identifier: GPL-3.0-or-later */
/* From the copies that a mirror keeps on its devices to the pieces of disks that hold the same; see plan_volumes.h and twins.h. */
#include "imager/job/plan_volumes.h"

#include "base/arith.h"
#include "imager/job/twins.h"

#define MAX_PIECES 1024U /* of one copy; devices made of more stripes go without twins */

/* What one copy lies on, in order. */
struct pieces {
	const struct plan *p;
	struct img_range *list; /* owned */
	size_t nr, room;
	uint64_t sum;
	bool is_full;
	size_t at;      /* while they are dealt out: the piece, */
	uint64_t taken; /* and what of it is */
};

static int add_piece(void *arg, uint32_t region, uint64_t start, uint64_t len, struct err *e)
{
	struct pieces *ps = arg;
	const struct img_region *r = &ps->p->m->regions[region];

	if (ps->nr == MAX_PIECES) {
		ps->is_full = true;
		return -1;
	}
	if (ps->nr == ps->room) {
		size_t room = ps->room ? ps->room * 2 : 4;
		struct img_range *grown = reallocarray(ps->list, room, sizeof(*grown));
		if (!grown)
			return err_nomem(e, "the copies of a mirror");
		ps->list = grown;
		ps->room = room;
	}
	ps->list[ps->nr++] = (struct img_range){ r->disk, r->start + start, len };
	ps->sum += len;
	return 0;
}

/* 1; 0 when the place is no plain row of pieces: below it is a mirror, whose own legs are twins, or far too many stripes; -1 */
static int collect(struct pieces *ps, size_t dev, uint64_t start, uint64_t len, struct err *e)
{
	if (device_each(ps->p, dev, start, len, add_piece, ps, e) < 0)
		return ps->is_full ? 0 : -1;
	return ps->sum == len;
}

/* Deal out the rows in parallel, cut wherever one of them is. */
static int deal(struct twins *t, struct pieces *copies, size_t nr, struct err *e)
{
	AUTO_FREE struct twin_place *places = alloc_array(nr, sizeof(*places));

	if (!places)
		return err_nomem(e, "the copies of a mirror");
	while (copies[0].at < copies[0].nr) {
		uint64_t len = UINT64_MAX;
		for (size_t i = 0; i < nr; i++) {
			const struct img_range *r = &copies[i].list[copies[i].at];
			places[i] = (struct twin_place){ r->disk, r->start + copies[i].taken };
			len = min_u64(len, r->len - copies[i].taken);
		}
		if (twins_add(t, places, nr, len, e) < 0)
			return -1;
		for (size_t i = 0; i < nr; i++) {
			copies[i].taken += len;
			if (copies[i].taken < copies[i].list[copies[i].at].len)
				continue;
			copies[i].at++;
			copies[i].taken = 0;
		}
	}
	return 0;
}

int plan_add_twins(struct plan *p, const size_t *devices, const struct map_leg *places, size_t nr, uint64_t len, struct err *e)
{
	AUTO_FREE struct pieces *copies = alloc_array(nr, sizeof(*copies));
	int r = 1;

	if (!p->o->twins)
		return 0;
	if (!copies)
		return err_nomem(e, "the copies of a mirror");
	for (size_t i = 0; r > 0 && i < nr; i++) {
		copies[i].p = p;
		/* Each container has a key of its own: what is the same above is not below. */
		r = p->devices[devices[places[i].member]]->is_encrypted ? 0 : collect(&copies[i], devices[places[i].member], places[i].start, len, e);
	}
	if (r > 0 && len)
		r = deal(p->o->twins, copies, nr, e);
	for (size_t i = 0; i < nr; i++)
		free(copies[i].list);
	return r < 0 ? -1 : 0;
}
