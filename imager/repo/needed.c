/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Which records are referred to; see needed.h. */
#include "imager/repo/needed.h"

#include "base/arith.h"
#include "base/hex.h"
#include "imager/image/chunk.h"

#include <errno.h>
#include <string.h>

void needed_free(struct needed *n)
{
	if (!n)
		return;
	for (size_t i = 0; i < n->nr; i++) {
		pack_toc_free(n->packs[i].toc);
		free(n->packs[i].is_needed);
	}
	free(n->packs);
	free(n);
}

struct needed_pack *needed_pack(const struct needed *n, const uint8_t id[16])
{
	for (size_t from = 0, to = n->nr; from < to;) {
		size_t middle = from + (to - from) / 2;
		int r = memcmp(n->packs[middle].toc->id, id, 16);
		if (r == 0)
			return &n->packs[middle];
		if (r < 0)
			from = middle + 1;
		else
			to = middle;
	}
	return NULL;
}

/* One more pack, in its place by id. */
static struct needed_pack *insert(const struct repo *r, struct needed *n, struct pack_toc *toc, struct err *e)
{
	struct needed_pack x = { .toc = toc, .is_needed = alloc_array(toc->nr, 1), .is_retired = pack_is_retired(r, toc->id) };
	struct needed_pack *grown = realloc(n->packs, (n->nr + 1) * sizeof(*grown));
	size_t at = n->nr;

	if (grown)
		n->packs = grown;
	if (!grown || !x.is_needed) {
		free(x.is_needed);
		pack_toc_free(toc);
		err_nomem(e, "the list of packs");
		return NULL;
	}
	for (uint64_t k = 0; k < toc->nr; k++)
		x.record_bytes += toc->entries[k].len;
	while (at && memcmp(n->packs[at - 1].toc->id, toc->id, 16) > 0)
		at--;
	memmove(&n->packs[at + 1], &n->packs[at], (n->nr - at) * sizeof(*grown));
	n->packs[at] = x;
	n->nr++;
	return &n->packs[at];
}

/* A pack whose table cannot be read is missed only by those who need it; one that is gone meanwhile was needed by nobody. */
static int load_packs(const struct repo *r, struct needed *n, const struct progress *p, struct err *e)
{
	uint8_t (*ids)[16] = NULL;
	size_t nr;

	if (packs_list(r, true, &ids, &nr, e) < 0)
		return -1;
	AUTO_FREE void *owned = ids;
	for (size_t i = 0; i < nr; i++) {
		struct err why = ERR_INIT;
		struct pack_toc *toc = pack_toc_read(r, ids[i], &why);
		if (!toc && why.code != ERR_CORRUPT) {
			*e = why;
			return -1;
		}
		if (!toc && why.sys_errno != ENOENT)
			progress_notice(p, "%s", why.msg);
		if ((toc && !insert(r, n, toc, e)) || progress_check(p, e) < 0)
			return -1;
	}
	return 0;
}

/* A version may name a pack that is not in the list: another prune has moved its records there meanwhile. */
static struct needed_pack *find_or_load(const struct repo *r, struct needed *n, const uint8_t id[16], struct err *e)
{
	struct needed_pack *x = needed_pack(n, id);
	struct pack_toc *toc = x ? NULL : pack_toc_read(r, id, e);

	return x || !toc ? x : insert(r, n, toc, e);
}

/* Where all of it is looked for. */
struct search {
	const struct repo *r;
	struct needed *n;
	struct helper_lists *lists; /* NULL: composed records are not looked into */
	struct chunk_codec *codec;  /* for the id of the all-zero chunk */
	const struct progress *p;
};

/* The record at a place of a location table is referred to. NULL: there is none. */
static const struct pack_entry *need(const struct search *s, const struct img_locations *l, const struct img_where *at, struct err *e)
{
	struct needed_pack *pack = find_or_load(s->r, s->n, l->packs[at->pack], e);
	char hex[33];

	if (!pack)
		return NULL;
	const struct pack_entry *x = pack_toc_find(pack->toc, at->offset);
	if (!x || x->len != at->len) {
		err_set(e, ERR_CORRUPT, 0, "pack %s does not hold a record at %llu", hex_of(l->packs[at->pack], 16, hex), (unsigned long long)at->offset);
		return NULL;
	}
	size_t i = (size_t)(x - pack->toc->entries);
	if (!pack->is_needed[i])
		pack->needed_bytes += x->len;
	pack->is_needed[i] = 1;
	return x;
}

/* All that lend to a composed record are in the version's table: there they count as needed. */
static int lenders_listed(const struct search *s, const struct img_locations *l, const struct img_where *at, const struct pack_entry *x, struct err *e)
{
	const struct img_record_name *helpers;
	unsigned nr;

	if (helper_lists_get(s->lists, l->packs[at->pack], x, &helpers, &nr, e) < 0)
		return -1;
	for (unsigned i = 0; i < nr; i++)
		if (!locations_helper(l, &helpers[i]))
			return err_set(e, ERR_CORRUPT, 0, "its location table leaves out a record that lends leaves");
	return 0;
}

/* The location table is no part of what the version's root proves: it is believed only where it names the very chunk. */
static int need_chunk(const struct search *s, const struct img_locations *l, const struct img_where *at, const uint8_t id[IMG_ID_SIZE], struct err *e)
{
	char hex[33];

	if (!at->offset)
		return memcmp(id, chunk_zero_id(s->codec), IMG_ID_SIZE) ? err_set(e, ERR_CORRUPT, 0, "its location table names no record") : 0;
	const struct pack_entry *x = need(s, l, at, e);
	if (!x)
		return -1;
	if (memcmp(x->id, id, IMG_ID_SIZE))
		return err_set(e, ERR_CORRUPT, 0, "its location table names a record of another chunk (pack %s at %llu)", hex_of(l->packs[at->pack], 16, hex),
			(unsigned long long)at->offset);
	return x->kind == FMT_COMPOSED && s->lists ? lenders_listed(s, l, at, x, e) : 0;
}

static int need_helper(const struct search *s, const struct img_locations *l, const struct img_helper *h, struct err *e)
{
	const struct pack_entry *x = need(s, l, &h->at, e);
	char hex[33];

	if (!x)
		return -1;
	if (record_name_cmp(&x->name, &h->name))
		return err_set(e, ERR_CORRUPT, 0, "its location table names another record than the one that lends leaves (pack %s at %llu)",
			hex_of(l->packs[h->at.pack], 16, hex), (unsigned long long)h->at.offset);
	return 0;
}

static int need_all(const struct search *s, const struct img_reader *reader, struct err *e)
{
	const struct img_manifest *m = img_reader_manifest(reader);
	const struct img_locations *l = img_reader_locations(reader);
	struct img_cursor at;

	img_cursor_begin(&at);
	while (img_cursor_next(m, &at)) {
		if (need_chunk(s, l, &l->chunks[at.present], m->ids[at.present], e) < 0)
			return err_wrap(e, "chunk %llu", (unsigned long long)at.chunk);
		if (at.present % 1024 == 0 && progress_check(s->p, e) < 0)
			return -1;
	}
	for (uint64_t i = 0; i < l->nr_helpers; i++)
		if (need_helper(s, l, &l->helpers[i], e) < 0)
			return -1;
	return progress_check(s->p, e);
}

static int add_version(const struct search *s, const struct repo_version *v, struct err *e)
{
	AUTO(img_reader) struct img_reader *reader = version_open(s->r, v, s->p, e);

	if (!reader)
		return -1;
	return need_all(s, reader, e) < 0 ? err_wrap(e, "version %llu of '%s'", (unsigned long long)v->number, v->name) : 0;
}

struct needed *needed_find(const struct repo *r, struct helper_lists *lists, const struct progress *p, struct err *e)
{
	AUTO(needed) struct needed *n = alloc_array(1, sizeof(*n));
	AUTO(chunk_codec) struct chunk_codec *codec = chunk_codec_for(r->seal, 0, e);
	AUTO_FREE struct repo_version *versions = NULL;
	const struct search s = { .r = r, .n = n, .lists = lists, .codec = codec, .p = p };
	size_t nr;

	if (!n || !codec) {
		if (!n)
			err_nomem(e, "the list of packs");
		return NULL;
	}
	if (versions_list(r, NULL, &versions, &nr, e) < 0 || load_packs(r, n, p, e) < 0)
		return NULL;
	for (size_t i = 0; i < nr; i++)
		if (add_version(&s, &versions[i], e) < 0) {
			if (e->code == ERR_CORRUPT)
				err_hint(e, "calco repo check %s tells what is damaged; a version that cannot be saved is removed by 'calco repo rm'", r->dir);
			return NULL;
		}
	return take(&n);
}
