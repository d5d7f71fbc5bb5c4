/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Records under examination; see check_records.h. One thread reads, the others compute. */
#include "imager/repo/check_records.h"

#include "base/arith.h"
#include "base/hash.h"
#include "base/hex.h"
#include "base/pipeline.h"
#include "base/random.h"
#include "imager/image/chunk.h"
#include "imager/image/composed.h"
#include "imager/image/located.h"
#include "imager/job/cores.h"

#include <stdio.h>
#include <string.h>

struct item {
	struct checked_pack *pack;
	uint64_t entry;
	uint8_t head[FMT_RECORD_SIZE];
	uint8_t *payload; /* CHUNK_PAYLOAD_MAX */
	struct err why;   /* what is wrong with it */
};

struct worker {
	struct chunk_codec *codec;
	uint8_t *content;
};

struct run {
	const struct img_seal *seal; /* NULL: not encrypted */
	struct checked_packs *c;
	const struct check_options *o;
	struct check_result *ret;
	int (*problem)(void *arg, const char *text, struct err *e);
	void *arg;
	const struct progress *p;
	struct located located;
	size_t pack, first_pack, packs_left; /* where the reading stands; it may begin anywhere */
	uint64_t entry;
	uint64_t random, total;
	double end; /* 0, or when to stop */
};

void checked_packs_release(struct checked_packs *c)
{
	for (size_t i = 0; i < c->nr; i++) {
		pack_toc_free(c->items[i].toc);
		free(c->items[i].is_bad);
	}
	free(c->items);
	locations_free(c->all);
	if (c->packs)
		c->packs->ops->close(c->packs);
}

struct checked_pack *checked_pack_find(const struct checked_packs *c, const uint8_t id[16])
{
	for (size_t from = 0, to = c->nr; from < to;) {
		size_t middle = from + (to - from) / 2;
		int r = memcmp(c->items[middle].toc->id, id, 16);
		if (r == 0)
			return &c->items[middle];
		if (r < 0)
			from = middle + 1;
		else
			to = middle;
	}
	return NULL;
}

struct checked_pack *checked_packs_insert(struct checked_packs *c, struct pack_toc *toc)
{
	struct checked_pack x = { .toc = toc, .is_bad = alloc_array(toc->nr, 1) };
	struct checked_pack *grown = realloc(c->items, (c->nr + 1) * sizeof(*grown));
	size_t at = c->nr;

	if (grown)
		c->items = grown;
	if (!grown || !x.is_bad) {
		free(x.is_bad);
		pack_toc_free(toc);
		return NULL;
	}
	while (at && memcmp(c->items[at - 1].toc->id, toc->id, 16) > 0)
		at--;
	memmove(&c->items[at + 1], &c->items[at], (c->nr - at) * sizeof(*grown));
	c->items[at] = x;
	c->nr++;
	return &c->items[at];
}

static void item_free(void *item)
{
	struct item *it = item;

	free(it->payload);
	free(it);
}

static void *item_new(void *arg, struct err *e)
{
	struct item *it = alloc_array(1, sizeof(*it));

	(void)arg;
	if (it && (it->payload = malloc(CHUNK_PAYLOAD_MAX)))
		return it;
	free(it);
	err_nomem(e, "a read buffer");
	return NULL;
}

static void worker_free(void *worker)
{
	struct worker *w = worker;

	chunk_codec_free(w->codec);
	free(w->content);
	free(w);
}

static void *worker_new(void *arg, struct err *e)
{
	struct worker *w = alloc_array(1, sizeof(*w));

	if (!w) {
		err_nomem(e, "a thread that checks");
		return NULL;
	}
	w->codec = chunk_codec_for(((const struct run *)arg)->seal, 0, e);
	w->content = malloc(CHUNK_SIZE);
	if (w->codec && w->content)
		return w;
	if (w->codec)
		err_nomem(e, "a thread that checks");
	worker_free(w);
	return NULL;
}

/* xorshift64: which records of a sample are looked at needs no better chance. */
static bool is_chosen(struct run *r)
{
	r->random ^= r->random << 13;
	r->random ^= r->random >> 7;
	r->random ^= r->random << 17;
	return r->o->sample >= 100 || r->random % 100 < r->o->sample;
}

/* The next record that is to be looked at; false when there is none. */
static bool next_record(struct run *r, struct item *it)
{
	if (r->end > 0 && seconds_now() > r->end) {
		r->ret->is_part = true;
		return false;
	}
	for (; r->packs_left; r->packs_left--, r->pack = (r->pack + 1) % r->c->nr, r->entry = 0) {
		struct checked_pack *x = &r->c->items[r->pack];
		while (r->entry < x->toc->nr) {
			it->pack = x;
			it->entry = r->entry++;
			if (is_chosen(r))
				return true;
			r->ret->is_part = true;
		}
	}
	return false;
}

static int read_record(void *arg, void *item, struct err *e)
{
	struct run *r = arg;
	struct item *it = item;

	it->why = (struct err)ERR_INIT;
	if (!next_record(r, it))
		return 0;
	const struct pack_entry *x = &it->pack->toc->entries[it->entry];
	if (r->c->packs->ops->read(r->c->packs, it->pack->toc->id, x->offset, x->len, it->head, it->payload, &it->why) < 0 && !it->why.sys_errno &&
	    it->why.code != ERR_CORRUPT) {
		*e = it->why;
		return -1;
	}
	return 1;
}

static int check_content(struct run *r, struct worker *w, const struct fmt_record *head, const uint8_t *payload, struct err *e)
{
	uint8_t id[IMG_ID_SIZE];
	bool is_zero;

	if (head->kind == FMT_COMPOSED) {
		/* One that no version needs as a chunk any more may have lost its lenders; it still lends what it holds itself. */
		int whole = located_compose_own(&r->located, w->codec, head, payload, w->content, e);
		if (whole <= 0)
			return whole;
	} else if (chunk_unpack(w->codec, head->codec, payload, head->stored_len, w->content, e) < 0) {
		return -1;
	}
	if (chunk_id(w->codec, w->content, id, &is_zero, e) < 0)
		return -1;
	return memcmp(id, head->id, sizeof(id)) ? err_set(e, ERR_CORRUPT, 0, "its content does not match its id") : 0;
}

static int check_record(struct run *r, struct worker *w, struct item *it, struct err *e)
{
	const struct pack_entry *x = &it->pack->toc->entries[it->entry];
	const uint8_t *payload;
	struct fmt_record head;
	struct composed c;

	if (fmt_get_pack_record(it->head, r->seal, &head, e) < 0)
		return -1;
	if (head.stored_len != x->len - FMT_RECORD_SIZE || memcmp(head.id, x->id, sizeof(head.id)) || head.kind != x->kind ||
	    memcmp(head.origin, x->name.origin, sizeof(head.origin)) || head.number != x->name.number)
		return err_set(e, ERR_CORRUPT, 0, "it is not the record that the table of contents names");
	if (crc32_of(it->payload, head.stored_len) != head.crc)
		return err_set(e, ERR_CORRUPT, 0, "it is damaged (checksum)");
	if (chunk_payload(w->codec, &head, it->payload, &payload, e) < 0)
		return -1;
	if (head.kind == FMT_COMPOSED && (composed_parse(&head, payload, &c, e) < 0 || c.fresh != x->lends))
		return err_set(e, ERR_CORRUPT, 0, "it does not hold the leaves that the table of contents names");
	return r->o->read_data ? check_content(r, w, &head, payload, e) : 0;
}

static int work(void *arg, void *worker, void *item, struct err *e)
{
	struct item *it = item;

	if (it->why.code || check_record(arg, worker, it, &it->why) == 0 || it->why.code == ERR_CORRUPT)
		return 0;
	*e = it->why;
	return -1;
}

static int collect(void *arg, void *item, struct err *e)
{
	struct run *r = arg;
	struct item *it = item;
	const struct pack_entry *x = &it->pack->toc->entries[it->entry];
	char hex[33], text[300];

	r->ret->nr_checked++;
	r->ret->checked_bytes += x->len;
	progress_update(r->p, "check", r->ret->checked_bytes, r->total);
	uint8_t *is_bad = &it->pack->is_bad[it->entry];
	if (!it->why.code && *is_bad == RECORD_NOTED && !r->o->read_data)
		err_set(&it->why, ERR_CORRUPT, 0, "it was found damaged before; --read-data looks again");
	else if (!it->why.code)
		*is_bad = RECORD_FINE;
	else if (*is_bad != RECORD_NOTED)
		*is_bad = it->why.code == ERR_CORRUPT ? RECORD_BAD : RECORD_UNREADABLE;
	if (!it->why.code)
		return 0;
	snprintf(text, sizeof(text), "pack %s at %llu+%u: %.180s", hex_of(it->pack->toc->id, 16, hex), (unsigned long long)x->offset, x->len, it->why.msg);
	return r->problem(r->arg, text, e);
}

static int helper_cmp(const void *a, const void *b)
{
	return record_name_cmp(&((const struct img_helper *)a)->name, &((const struct img_helper *)b)->name);
}

/* Every record by its name: what composed ones may refer to. Of two with one name, which are the same, either will do. */
static int list_all(struct checked_packs *c, uint64_t nr, struct err *e)
{
	struct img_locations *l = alloc_array(1, sizeof(*l));

	if (!(c->all = l))
		return err_nomem(e, "the list of records");
	l->packs = alloc_array(c->nr, sizeof(*l->packs));
	l->helpers = alloc_array(nr, sizeof(*l->helpers));
	if (!l->packs || !l->helpers)
		return err_nomem(e, "the list of records");
	for (size_t i = 0; i < c->nr; i++) {
		const struct pack_toc *t = c->items[i].toc;
		memcpy(l->packs[l->nr_packs++], t->id, 16);
		for (uint64_t k = 0; k < t->nr; k++)
			l->helpers[l->nr_helpers++] = (struct img_helper){ .name = t->entries[k].name,
				.at = { .offset = t->entries[k].offset, .pack = (uint32_t)i, .len = t->entries[k].len } };
	}
	qsort(l->helpers, l->nr_helpers, sizeof(*l->helpers), helper_cmp);
	return 0;
}

int check_records(const struct img_seal *seal, struct checked_packs *c, const struct check_options *o, struct check_result *ret,
	int (*problem)(void *arg, const char *text, struct err *e), void *arg, const struct progress *p, struct err *e)
{
	static const struct pipe_ops ops = {
		.item_new = item_new,
		.item_free = item_free,
		.worker_new = worker_new,
		.worker_free = worker_free,
		.produce = read_record,
		.work = work,
		.consume = collect,
	};
	struct run r = { .seal = seal, .c = c, .o = o, .ret = ret, .problem = problem, .arg = arg, .p = p, .packs_left = c->nr };
	unsigned threads = cores_or(o->threads);

	if (random_bytes(&r.random, sizeof(r.random), e) < 0)
		return -1;
	r.random |= 1;
	for (size_t i = 0; i < c->nr; i++) {
		ret->nr_records += c->items[i].toc->nr;
		r.total += c->items[i].toc->file_len;
	}
	if (o->seconds && c->nr) {
		r.pack = (size_t)(r.random % c->nr);
		r.end = seconds_now() + (double)o->seconds;
	}
	if (list_all(c, ret->nr_records, e) < 0)
		return -1;
	r.located = (struct located){ .l = c->all, .packs = c->packs, .sealed = seal };
	return pipe_run(&ops, &r, threads, threads * 2 + 4, p, e);
}
