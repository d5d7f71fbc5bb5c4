/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Healing; see heal.h. */
#include "imager/repo/heal.h"

#include "base/arith.h"
#include "imager/image/composed.h"
#include "imager/repo/draft.h"
#include "imager/repo/folder_packs.h"
#include "imager/repo/moved.h"
#include "imager/repo/retired.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* A sound record. */
struct candidate {
	const struct pack_toc *toc;
	const struct pack_entry *entry;
};

struct healer {
	const struct sound *s;
	struct candidate *by_id, *by_name; /* the same ones; whole ones before composed ones */
	size_t nr;
};

static int id_cmp(const void *a, const void *b)
{
	const struct pack_entry *x = ((const struct candidate *)a)->entry, *y = ((const struct candidate *)b)->entry;
	int r = memcmp(x->id, y->id, sizeof(x->id));

	return r ? r : x->kind - y->kind;
}

static int name_cmp(const void *a, const void *b)
{
	return record_name_cmp(&((const struct candidate *)a)->entry->name, &((const struct candidate *)b)->entry->name);
}

struct healer *healer_new(const struct sound *s, struct err *e)
{
	AUTO(healer) struct healer *h = alloc_array(1, sizeof(*h));
	size_t nr = 0;

	for (size_t i = 0; i < s->packs->nr; i++)
		nr += s->packs->items[i].toc->nr;
	if (!h || !(h->by_id = alloc_array(nr, sizeof(*h->by_id))) || !(h->by_name = alloc_array(nr, sizeof(*h->by_name)))) {
		err_nomem(e, "the sound records");
		return NULL;
	}
	h->s = s;
	for (size_t i = 0; i < s->packs->nr; i++) {
		const struct checked_pack *x = &s->packs->items[i];
		for (uint64_t k = 0; k < x->toc->nr; k++)
			if (!x->is_bad[k])
				h->by_id[h->nr++] = (struct candidate){ .toc = x->toc, .entry = &x->toc->entries[k] };
	}
	if (h->nr)
		memcpy(h->by_name, h->by_id, h->nr * sizeof(*h->by_name));
	qsort(h->by_id, h->nr, sizeof(*h->by_id), id_cmp);
	qsort(h->by_name, h->nr, sizeof(*h->by_name), name_cmp);
	return take(&h);
}

void healer_free(struct healer *h)
{
	if (!h)
		return;
	free(h->by_id);
	free(h->by_name);
	free(h);
}

/* The first candidate that is not below. */
static size_t lower_bound(const struct candidate *list, size_t nr, const struct candidate *what, int (*cmp)(const void *a, const void *b))
{
	size_t from = 0, to = nr;

	while (from < to) {
		size_t middle = from + (to - from) / 2;
		if (cmp(&list[middle], what) < 0)
			from = middle + 1;
		else
			to = middle;
	}
	return from;
}

static const struct candidate *find_name(const struct healer *h, const struct img_record_name *name)
{
	struct pack_entry wanted = { .name = *name };
	struct candidate what = { .entry = &wanted };
	size_t at = lower_bound(h->by_name, h->nr, &what, name_cmp);

	return at < h->nr && name_cmp(&h->by_name[at], &what) == 0 ? &h->by_name[at] : NULL;
}

/* Is it whole, or are all that lend to it sound? */
static bool is_complete(const struct healer *h, const struct candidate *x)
{
	struct composed c;

	if (x->entry->kind == FMT_WHOLE)
		return true;
	if (!sound_helpers(h->s, x->toc->id, x->entry->offset, x->entry->len, &c))
		return false;
	for (unsigned i = 0; i < c.nr_helpers; i++)
		if (!find_name(h, &c.helpers[i]))
			return false;
	return true;
}

static const struct candidate *find_chunk(const struct healer *h, const uint8_t id[IMG_ID_SIZE], bool may_be_composed)
{
	struct pack_entry wanted = { .kind = 0 };
	struct candidate what = { .entry = &wanted };

	memcpy(wanted.id, id, sizeof(wanted.id));
	for (size_t at = lower_bound(h->by_id, h->nr, &what, id_cmp); at < h->nr && !memcmp(h->by_id[at].entry->id, id, IMG_ID_SIZE); at++)
		if ((may_be_composed || h->by_id[at].entry->kind == FMT_WHOLE) && is_complete(h, &h->by_id[at]))
			return &h->by_id[at];
	return NULL;
}

/* The new table lists the lenders of each composed record: where they lay if they are sound, else wherever they are. */
static int list_helpers(const struct healer *h, const struct img_locations *l, const uint8_t pack[16], uint64_t offset, uint32_t len, struct draft *d,
	struct err *e)
{
	struct composed c;

	if (!sound_helpers(h->s, pack, offset, len, &c))
		return 0; /* nobody can tell whom it needs */
	for (unsigned i = 0; i < c.nr_helpers; i++) {
		const struct img_record_name *name = &c.helpers[i];
		const struct img_where *was = locations_helper(l, name);
		const struct pack_entry *x = was ? sound_at(h->s, l, was) : NULL;
		const struct candidate *now = x && record_name_cmp(&x->name, name) == 0 ? NULL : find_name(h, name);
		int failed = now ? draft_helper(d, name, now->toc->id, now->entry->offset, now->entry->len, e)
			: was    ? draft_helper(d, name, l->packs[was->pack], was->offset, was->len, e)
				 : 0;
		if (failed < 0)
			return -1;
	}
	return 0;
}

static int add_chunk(const struct healer *h, const struct img_reader *reader, uint64_t i, struct draft *d, bool *any, struct err *e)
{
	const struct img_locations *l = img_reader_locations(reader);
	const uint8_t *id = img_reader_manifest(reader)->ids[i];
	const struct img_where *was = &l->chunks[i];

	if (!was->offset) /* how many records there are is told elsewhere too */
		return draft_zero(d, e);
	/* The head of the file, which its root proves, says whether there are composed records; then there are helpers. */
	const struct candidate *now = sound_chunk(h->s, l, was, id) ? NULL : find_chunk(h, id, l->nr_helpers != 0);
	const uint8_t *pack = now ? now->toc->id : l->packs[was->pack];
	uint64_t offset = now ? now->entry->offset : was->offset;
	uint32_t len = now ? now->entry->len : was->len;
	*any |= now != NULL;
	if (draft_chunk(d, id, pack, offset, len, e) < 0)
		return -1;
	return now && now->entry->kind == FMT_WHOLE ? 0 : list_helpers(h, l, pack, offset, len, d, e);
}

static int pack_cmp(const void *a, const void *b)
{
	return memcmp(a, b, 16);
}

static bool names_pack(const struct img_locations *l, const uint8_t pack[16])
{
	return l->nr_packs && bsearch(pack, l->packs, l->nr_packs, 16, pack_cmp);
}

/* As a commit does: what the new table names is there, and stays. 1; 0: a pack is gone since it was looked at. */
static int hold_packs(const struct repo *r, const struct img_locations *was, const struct img_locations *now, struct err *e)
{
	char path[64];

	for (uint32_t i = 0; i < now->nr_packs; i++) {
		pack_path(now->packs[i], path, sizeof(path));
		bool is_there = faccessat(r->fd, path, F_OK, 0) == 0;
		if (!is_there && !names_pack(was, now->packs[i])) /* one that it named and that is lost is no reason not to heal the rest */
			return 0;
		if (is_there && retired_take_back(r, now->packs[i], e) < 0)
			return -1;
	}
	return 1;
}

int heal_version(const struct healer *h, struct repo *r, const struct repo_version *v, const struct progress *p, struct err *e)
{
	struct err why = ERR_INIT;
	AUTO(img_reader) struct img_reader *reader = version_open(r, v, p, &why);
	bool any = false;

	if (!reader && (why.code == ERR_CORRUPT || why.code == ERR_USAGE)) /* lost, or removed meanwhile */
		return 0;
	if (!reader) {
		*e = why;
		return -1;
	}
	const struct img_locations *l = img_reader_locations(reader);
	AUTO(draft) struct draft *d = draft_new(l->nr_chunks, e);
	if (!d)
		return -1;
	for (uint64_t i = 0; i < l->nr_chunks; i++)
		if (add_chunk(h, reader, i, d, &any, e) < 0 || (i % 1024 == 0 && progress_check(p, e) < 0))
			return -1;
	AUTO(img_locations) struct img_locations *healed = any ? draft_finish(d, e) : NULL;
	if (!healed)
		return any ? -1 : 0;
	int held = hold_packs(r, l, healed, e);
	if (held <= 0)
		return held;
	return version_replace(r, v, healed, e) < 0 ? -1 : 1;
}
