/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Check; see maintain.h. First what there is, then the records, then which versions are hit. */
#include "imager/repo/maintain.h"

#include "base/arith.h"
#include "base/hex.h"
#include "imager/job/cores.h"
#include "imager/repo/check_notes.h"
#include "imager/repo/check_records.h"
#include "imager/repo/folder_packs.h"
#include "imager/repo/heal.h"
#include "imager/repo/rebuild.h"
#include "imager/repo/sound.h"
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
	struct sound sound;
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
		struct checked_pack *x = toc ? checked_packs_insert(&c->packs, toc) : NULL;
		if (toc && !x)
			return err_nomem(e, "the list of records");
		if (x && check_notes_read(c->r, x, e) < 0)
			return -1;
		if (progress_check(c->p, e) < 0)
			return -1;
	}
	return 0;
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
		if (!sound_chunk(&c->sound, l, w, m->ids[at.present]) && add_damage(v, m, &at, e) < 0)
			return -1;
	}
	return progress_check(c->p, e);
}

static int check_version(struct check *c, const struct repo_version *version, struct check_version *v, struct err *e)
{
	struct err why = ERR_INIT;

	memset(v, 0, sizeof(*v));
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

/* And look at them again. */
static int heal_versions(struct check *c, const struct repo_version *versions, struct err *e)
{
	AUTO(healer) struct healer *h = healer_new(&c->sound, e);

	if (!h)
		return -1;
	for (size_t i = 0; i < c->ret->nr_versions; i++) {
		struct check_version *v = &c->ret->versions[i];
		uint64_t nr_bad = v->nr_bad;
		if (!nr_bad)
			continue;
		if (repo_lock(c->r, c->p, e) < 0)
			return -1;
		int healed = heal_version(h, c->r, &versions[i], c->p, e);
		repo_unlock(c->r);
		if (healed == 0)
			continue;
		free(v->damages);
		v->damages = NULL;
		if (healed < 0 || check_version(c, &versions[i], v, e) < 0)
			return -1;
		c->ret->nr_healed += nr_bad > v->nr_bad ? nr_bad - v->nr_bad : 0;
	}
	return 0;
}

static int check_all(struct check *c, struct err *e)
{
	AUTO_FREE struct repo_version *versions = NULL;
	size_t nr;

	/* The versions before the packs: what one that is committed meanwhile refers to might not be in the list. */
	if (versions_list_all(c->r, note_problem, c->ret, &versions, &nr, e) < 0 || open_packs(c, e) < 0)
		return -1;
	if (!(c->ret->versions = alloc_array(nr, sizeof(*c->ret->versions))))
		return err_nomem(e, "the list of versions");
	if (sound_open(&c->sound, e) < 0 || check_records(c->r->seal, &c->packs, c->o, c->ret, note_problem, c->ret, c->p, e) < 0)
		return -1;
	if (check_notes_write(c->r, &c->packs, c->o->read_data && !c->ret->is_part, c->p, e) < 0)
		return -1;
	for (size_t i = 0; i < nr; i++)
		if (check_version(c, &versions[i], &c->ret->versions[c->ret->nr_versions++], e) < 0)
			return -1;
	if (c->o->heal && c->ret->nr_whole < nr && heal_versions(c, versions, e) < 0)
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

	c.sound = (struct sound){ .r = r, .packs = &c.packs };
	memset(ret, 0, sizeof(*ret));
	int failed = repo_need_keys(r, e) < 0 || repo_take_lease(r, o->rebuild_index || o->heal, e) < 0 || check_all(&c, e) < 0 ? -1 : 0;
	checked_packs_release(&c.packs);
	sound_close(&c.sound);
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
