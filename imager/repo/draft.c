/* SPDX-License-Identifier: GPL-3.0-or-later */
/* A location table in the making; see draft.h. Packs are numbered as they come and put in order at the end. */
#include "imager/repo/draft.h"

#include "base/arith.h"
#include "base/span.h"

#include <stdlib.h>
#include <string.h>

struct draft {
	struct img_locations *l;
	uint64_t nr_told;
	uint32_t pack_room;
	uint32_t last_pack;
	uint64_t helper_room;
	uint64_t *by_id;        /* open addressing: number of a chunk + 1 */
	uint8_t (*ids)[32];     /* of each chunk told by draft_chunk() */
	uint64_t table_size;
};

struct draft *draft_new(uint64_t nr_chunks, struct err *e)
{
	AUTO(draft) struct draft *d = alloc_array(1, sizeof(*d));

	if (!d || !(d->l = alloc_array(1, sizeof(*d->l)))) {
		err_nomem(e, "the location table");
		return NULL;
	}
	for (d->table_size = 64; d->table_size < nr_chunks * 2; d->table_size *= 2)
		continue;
	d->l->nr_chunks = nr_chunks;
	d->l->chunks = alloc_array(nr_chunks, sizeof(*d->l->chunks));
	d->by_id = alloc_array(d->table_size, sizeof(*d->by_id));
	d->ids = alloc_array(nr_chunks, sizeof(*d->ids));
	if (!d->l->chunks || !d->by_id || !d->ids) {
		err_nomem(e, "the location table");
		return NULL;
	}
	return take(&d);
}

void draft_free(struct draft *d)
{
	if (!d)
		return;
	locations_free(d->l);
	free(d->by_id);
	free(d->ids);
	free(d);
}

/* Most records lie in the pack of the one before. */
static int pack_number(struct draft *d, const uint8_t pack[16], uint32_t *ret, struct err *e)
{
	struct img_locations *l = d->l;

	if (l->nr_packs && !memcmp(l->packs[d->last_pack], pack, 16)) {
		*ret = d->last_pack;
		return 0;
	}
	for (uint32_t i = 0; i < l->nr_packs; i++)
		if (!memcmp(l->packs[i], pack, 16)) {
			*ret = d->last_pack = i;
			return 0;
		}
	if (l->nr_packs == LOC_MAX_PACKS)
		return err_set(e, ERR_UNSUPPORTED, 0, "a version cannot refer to more than %u packs; 'calco repo prune' makes fewer of them", LOC_MAX_PACKS);
	if (l->nr_packs == d->pack_room) {
		uint32_t room = d->pack_room * 2 + 16;
		void *grown = realloc(l->packs, room * sizeof(*l->packs));
		if (!grown)
			return err_nomem(e, "the location table");
		l->packs = grown;
		d->pack_room = room;
	}
	memcpy(l->packs[l->nr_packs], pack, 16);
	*ret = d->last_pack = l->nr_packs++;
	return 0;
}

int draft_zero(struct draft *d, struct err *e)
{
	if (d->nr_told == d->l->nr_chunks)
		return err_set(e, ERR_FAILED, 0, "there are more chunks than were planned");
	d->nr_told++;
	return 0;
}

/* The slot of an id: a free one when it was not told yet. */
static uint64_t slot_of(const struct draft *d, const uint8_t id[32])
{
	uint64_t at = get_le64(id) & (d->table_size - 1);

	while (d->by_id[at] && memcmp(d->ids[d->by_id[at] - 1], id, 32))
		at = (at + 1) & (d->table_size - 1);
	return at;
}

int draft_chunk(struct draft *d, const uint8_t id[32], const uint8_t pack[16], uint64_t offset, uint32_t len, struct err *e)
{
	uint32_t number;

	if (d->nr_told == d->l->nr_chunks)
		return err_set(e, ERR_FAILED, 0, "there are more chunks than were planned");
	if (pack_number(d, pack, &number, e) < 0)
		return -1;
	uint64_t slot = slot_of(d, id);
	memcpy(d->ids[d->nr_told], id, 32);
	d->l->chunks[d->nr_told++] = (struct img_where){ .offset = offset, .pack = number, .len = len };
	if (!d->by_id[slot])
		d->by_id[slot] = d->nr_told;
	return 0;
}

bool draft_again(struct draft *d, const uint8_t id[32])
{
	uint64_t known = d->by_id[slot_of(d, id)];

	if (!known || d->nr_told == d->l->nr_chunks)
		return false;
	d->l->chunks[d->nr_told++] = d->l->chunks[known - 1];
	return true;
}

static int helper_cmp(const void *a, const void *b)
{
	return record_name_cmp(&((const struct img_helper *)a)->name, &((const struct img_helper *)b)->name);
}

static void sort_helpers(struct img_locations *l)
{
	uint64_t nr = 0;

	if (!l->nr_helpers)
		return;
	qsort(l->helpers, l->nr_helpers, sizeof(*l->helpers), helper_cmp);
	for (uint64_t i = 0; i < l->nr_helpers; i++)
		if (!i || helper_cmp(&l->helpers[i], &l->helpers[nr - 1]))
			l->helpers[nr++] = l->helpers[i];
	l->nr_helpers = nr;
}

int draft_helper(struct draft *d, const struct img_record_name *name, const uint8_t pack[16], uint64_t offset, uint32_t len, struct err *e)
{
	struct img_locations *l = d->l;
	uint32_t number;

	if (l->nr_helpers && record_name_cmp(&l->helpers[l->nr_helpers - 1].name, name) == 0)
		return 0;
	if (pack_number(d, pack, &number, e) < 0)
		return -1;
	if (l->nr_helpers == d->helper_room) {
		sort_helpers(l); /* most are told many times */
		if (l->nr_helpers * 2 >= d->helper_room) {
			uint64_t room = d->helper_room * 2 + 1024;
			struct img_helper *grown = realloc(l->helpers, room * sizeof(*grown));
			if (!grown)
				return err_nomem(e, "the location table");
			l->helpers = grown;
			d->helper_room = room;
		}
	}
	l->helpers[l->nr_helpers++] = (struct img_helper){ .name = *name, .at = { .offset = offset, .pack = number, .len = len } };
	return 0;
}

struct pack_order {
	uint8_t id[16];
	uint32_t was;
};

static int order_cmp(const void *a, const void *b)
{
	return memcmp(((const struct pack_order *)a)->id, ((const struct pack_order *)b)->id, 16);
}

static int sort_packs(struct img_locations *l, struct err *e)
{
	AUTO_FREE struct pack_order *order = alloc_array(l->nr_packs, sizeof(*order));
	AUTO_FREE uint32_t *now = alloc_array(l->nr_packs, sizeof(*now));

	if (!order || !now)
		return err_nomem(e, "the location table");
	for (uint32_t i = 0; i < l->nr_packs; i++) {
		memcpy(order[i].id, l->packs[i], 16);
		order[i].was = i;
	}
	qsort(order, l->nr_packs, sizeof(*order), order_cmp);
	for (uint32_t i = 0; i < l->nr_packs; i++) {
		memcpy(l->packs[i], order[i].id, 16);
		now[order[i].was] = i;
	}
	for (uint64_t i = 0; i < l->nr_chunks; i++)
		if (l->chunks[i].offset)
			l->chunks[i].pack = now[l->chunks[i].pack];
	for (uint64_t i = 0; i < l->nr_helpers; i++)
		l->helpers[i].at.pack = now[l->helpers[i].at.pack];
	return 0;
}

struct img_locations *draft_finish(struct draft *d, struct err *e)
{
	if (d->nr_told != d->l->nr_chunks) {
		err_set(e, ERR_FAILED, 0, "%llu chunks are missing", (unsigned long long)(d->l->nr_chunks - d->nr_told));
		return NULL;
	}
	sort_helpers(d->l);
	if (sort_packs(d->l, e) < 0)
		return NULL;
	return take(&d->l);
}
