/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Check; see maintain.h. First what there is, then the records, then which versions are hit. */
#include "imager/repo/maintain.h"

#include "base/arith.h"
#include "base/hex.h"
#include "imager/image/chunk.h"
#include "imager/image/composed.h"
#include "imager/job/cores.h"
#include "imager/repo/check_records.h"
#include "imager/repo/folder_packs.h"
#include "imager/repo/rebuild.h"
#include "imager/repo/versions.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

struct check {
	struct repo *r;
	const struct check_options *o;
	struct check_result *ret;
	const struct progress *p;
	struct checked_packs packs;
	uint8_t *payload; /* CHUNK_SIZE, for composed records */
	struct chunk_codec *codec; /* for the id of the all-zero chunk */
};

static int note_problem(void *arg, const char *text, struct err *e)
{
	struct check_result *ret = arg;

	ret->nr_problems++;
	if (ret->nr_kept == CHECK_MAX_DAMAGES)
		return 0;
	void *grown = realloc(ret->problems, (ret->nr_kept + 1) * sizeof(*ret->problems));
	if (!grown)
		return err_nomem(e, "the list of problems");
	ret->problems = grown;
	snprintf(ret->problems[ret->nr_kept++], sizeof(*ret->problems), "%s", text);
	return 0;
}

/* A pack whose table is damaged: it follows from the records, and is put into its place when that was asked for. */
static struct pack_toc *mend_pack(struct check *c, const uint8_t id[16], const char *what, struct err *e)
{
	struct err why = ERR_INIT;
	struct pack_toc *toc = rebuild_toc(c->r, id, c->o->rebuild_index, c->p, &why);
	char text[300];

	if (!toc && why.code != ERR_CORRUPT) {
		*e = why;
		return NULL;
	}
	if (toc && c->o->rebuild_index) {
		c->ret->nr_rebuilt++;
		return toc;
	}
	snprintf(text, sizeof(text), "%.200s%s", what, toc ? "; --rebuild-index makes it anew" : "; records are damaged too");
	if (note_problem(c->ret, text, e) == 0)
		return toc;
	pack_toc_free(toc);
	return NULL;
}

static struct pack_toc *open_pack(struct check *c, const uint8_t id[16], struct err *e)
{
	struct err why = ERR_INIT;
	struct pack_toc *toc = pack_toc_read(c->r, id, &why);

	if (toc)
		return toc;
	if (why.sys_errno == ENOENT) /* gone since it was listed: nothing needed it */
		return NULL;
	if (why.code == ERR_CORRUPT)
		return mend_pack(c, id, why.msg, e);
	*e = why;
	return NULL;
}

static int open_packs(struct check *c, struct err *e)
{
	uint8_t (*ids)[16] = NULL;
	size_t nr;

	if (packs_list(c->r, true, &ids, &nr, e) < 0)
		return -1;
	AUTO_FREE void *owned = ids;
	c->ret->nr_packs = nr;
	if (!(c->packs.packs = folder_packs_open(c->r, e)))
		return -1;
	for (size_t i = 0; i < nr; i++) {
		struct pack_toc *toc = open_pack(c, ids[i], e);
		if (!toc && e->code)
			return -1;
		if (toc && !checked_packs_insert(&c->packs, toc))
			return err_nomem(e, "the list of records");
		if (progress_check(c->p, e) < 0)
			return -1;
	}
	return 0;
}

/* A version may name a pack that was not listed: a prune has moved its records there meanwhile, and looked at each of them. */
static struct checked_pack *find_or_load(struct check *c, const uint8_t id[16])
{
	struct err ignored = ERR_INIT; /* a pack that cannot be read holds nothing */
	struct checked_pack *x = checked_pack_find(&c->packs, id);
	struct pack_toc *toc = x ? NULL : pack_toc_read(c->r, id, &ignored);

	return x || !toc ? x : checked_packs_insert(&c->packs, toc);
}

/* What lies at a place; NULL when it is missing or was found bad. */
static const struct pack_entry *sound_at(struct check *c, const struct img_locations *l, const struct img_where *at)
{
	const struct checked_pack *x = find_or_load(c, l->packs[at->pack]);
	const struct pack_entry *entry = x ? pack_toc_find(x->toc, at->offset) : NULL;

	return entry && entry->len == at->len && !x->is_bad[entry - x->toc->entries] ? entry : NULL;
}

/* Are all that lend to a composed record there and sound? */
static bool lenders_sound(struct check *c, const struct img_locations *l, const struct img_where *at)
{
	struct err ignored = ERR_INIT; /* whatever it is, the chunk cannot be read */
	uint8_t b[FMT_RECORD_SIZE];
	struct fmt_record head;
	struct composed made;

	if (c->packs.packs->ops->read(c->packs.packs, l->packs[at->pack], at->offset, at->len, b, c->payload, &ignored) < 0 ||
	    fmt_get_pack_record(b, false, &head, &ignored) < 0 || head.kind != FMT_COMPOSED || head.stored_len != at->len - FMT_RECORD_SIZE ||
	    composed_parse(&head, c->payload, &made, &ignored) < 0)
		return false;
	for (unsigned i = 0; i < made.nr_helpers; i++) {
		const struct img_where *lender = locations_helper(l, &made.helpers[i]);
		const struct pack_entry *x = lender ? sound_at(c, l, lender) : NULL;
		if (!x || record_name_cmp(&x->name, &made.helpers[i]))
			return false;
	}
	return true;
}

static bool chunk_sound(struct check *c, const struct img_locations *l, const struct img_where *at, const uint8_t id[IMG_ID_SIZE])
{
	if (!at->offset)
		return !memcmp(id, chunk_zero_id(c->codec), IMG_ID_SIZE);
	const struct pack_entry *x = sound_at(c, l, at);
	return x && !memcmp(x->id, id, IMG_ID_SIZE) && (x->kind == FMT_WHOLE || lenders_sound(c, l, at));
}

static int add_damage(struct check_version *v, const struct img_manifest *m, const struct img_cursor *at, struct err *e)
{
	const struct img_region *reg = &m->regions[at->region];
	struct check_damage d = { .disk = reg->disk, .start = reg->start + at->i * CHUNK_SIZE, .len = min_u64(CHUNK_SIZE, reg->len - at->i * CHUNK_SIZE) };
	struct check_damage *last = v->nr_damages ? &v->damages[v->nr_damages - 1] : NULL;

	img_describe_region(m, at->region, d.volume, sizeof(d.volume));
	v->nr_bad++;
	if (last && last->disk == d.disk && last->start + last->len == d.start && !strcmp(last->volume, d.volume)) {
		last->len += d.len;
		return 0;
	}
	if (v->nr_damages == CHECK_MAX_DAMAGES)
		return 0;
	struct check_damage *grown = realloc(v->damages, (v->nr_damages + 1) * sizeof(*grown));
	if (!grown)
		return err_nomem(e, "the list of damages");
	v->damages = grown;
	v->damages[v->nr_damages++] = d;
	return 0;
}

static int check_chunks(struct check *c, const struct img_reader *reader, struct check_version *v, struct err *e)
{
	const struct img_manifest *m = img_reader_manifest(reader);
	const struct img_locations *l = img_reader_locations(reader);
	struct img_cursor at;

	img_cursor_begin(&at);
	while (img_cursor_next(m, &at)) {
		const struct img_where *w = &l->chunks[at.present];
		v->nr_chunks++;
		if (!chunk_sound(c, l, w, m->ids[at.present]) && add_damage(v, m, &at, e) < 0)
			return -1;
	}
	return progress_check(c->p, e);
}

static int check_version(struct check *c, const struct repo_version *version, struct err *e)
{
	struct check_version *v = &c->ret->versions[c->ret->nr_versions++];
	struct err why = ERR_INIT;

	snprintf(v->name, sizeof(v->name), "%s", version->name);
	v->number = version->number;
	AUTO(img_reader) struct img_reader *reader = version_open(c->r, version, c->p, &why);
	if (!reader && why.code != ERR_CORRUPT) {
		*e = why;
		return -1;
	}
	if (!reader) {
		snprintf(v->why, sizeof(v->why), "%.199s", why.msg);
		return 0;
	}
	if (check_chunks(c, reader, v, e) < 0)
		return -1;
	c->ret->nr_whole += v->nr_bad == 0;
	return 0;
}

static int check_all(struct check *c, struct err *e)
{
	AUTO_FREE struct repo_version *versions = NULL;
	size_t nr;

	/* The versions before the packs: what one that is committed meanwhile refers to might not be in the list. */
	if (versions_list(c->r, NULL, &versions, &nr, e) < 0 || open_packs(c, e) < 0)
		return -1;
	if (!(c->ret->versions = alloc_array(nr, sizeof(*c->ret->versions))) || !(c->payload = malloc(CHUNK_SIZE)))
		return err_nomem(e, "the list of versions");
	if (!(c->codec = chunk_codec_new(0, e)))
		return -1;
	if (check_records(&c->packs, c->o, c->ret, note_problem, c->ret, c->p, e) < 0)
		return -1;
	for (size_t i = 0; i < nr; i++)
		if (check_version(c, &versions[i], e) < 0)
			return -1;
	for (size_t i = 0; c->o->rebuild_index && i < c->packs.nr; i++) {
		int r = rebuild_leaves(c->r, &c->packs, &c->packs.items[i], c->p, e);
		if (r < 0)
			return -1;
		c->ret->nr_rebuilt += (size_t)r;
	}
	return 0;
}

int repo_check(struct repo *r, const struct check_options *o, struct check_result *ret, const struct progress *p, struct err *e)
{
	struct check c = { .r = r, .o = o, .ret = ret, .p = p };
	double start = seconds_now();

	memset(ret, 0, sizeof(*ret));
	int failed = repo_take_lease(r, o->rebuild_index, e) < 0 || check_all(&c, e) < 0 ? -1 : 0;
	checked_packs_release(&c.packs);
	free(c.payload);
	chunk_codec_free(c.codec);
	ret->seconds = seconds_now() - start;
	if (failed < 0)
		return -1;
	if (ret->nr_whole < ret->nr_versions) {
		err_set(e, ERR_CORRUPT, 0, "'%s': %zu of %zu versions are damaged", r->dir, ret->nr_versions - ret->nr_whole, ret->nr_versions);
		return err_reason(e, "damaged");
	}
	if (ret->nr_problems) {
		err_set(e, ERR_CORRUPT, 0, "'%s': all versions are whole, but there is damage that none of them needs repaired", r->dir);
		return err_reason(e, "damaged");
	}
	return 0;
}

void check_result_release(struct check_result *r)
{
	for (size_t i = 0; i < r->nr_versions; i++)
		free(r->versions[i].damages);
	free(r->versions);
	free(r->problems);
}
