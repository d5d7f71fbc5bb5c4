/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Verify an image: every byte of it is read, every chunk decoded and hashed, whatever is found on the way. */
#include "imager/job/verify.h"

#include "base/arith.h"
#include "base/pipeline.h"
#include "imager/image/access.h"
#include "imager/image/reader.h"
#include "imager/repo/image.h"
#include "imager/job/cores.h"
#include "imager/job/damage.h"

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

struct verify_image {
	const struct verify_options *o;
	const struct progress *p;
	struct img_reader *reader;
	const struct img_manifest *m;
	struct verify_result *ret;
	uint64_t done, total;
	char hint[400];          /* of what was found wrong with the head or the end, as of any error there */
	struct err stream_error; /* what ended the walk through the records of a pipe; code 0: nothing */
	struct img_access keys_only; /* for the second look: whom to believe was asked before */
	bool is_second_look;     /* front to back, after the end of the file was found damaged */
};

struct verify_item {
	struct img_record rec;
	uint8_t *payload;
	char bad[120]; /* "" or what is wrong with the chunk */
};

/* What one worker needs. */
struct verify_worker {
	struct chunk_codec *codec;
	uint8_t *content;
};

static const char *image_name(const struct verify_options *o)
{
	return strcmp(o->image, "-") ? o->image : "standard input";
}

static void item_free(void *item)
{
	free(((struct verify_item *)item)->payload);
	free(item);
}

static void *item_new(void *arg, struct err *e)
{
	struct verify_item *it = alloc_array(1, sizeof(*it));

	(void)arg;
	if (it && (it->payload = malloc(CHUNK_PAYLOAD_MAX)))
		return it;
	free(it);
	err_nomem(e, "a read buffer");
	return NULL;
}

static void worker_free(void *worker)
{
	struct verify_worker *w = worker;

	chunk_codec_free(w->codec);
	free(w->content);
	free(w);
}

static void *worker_new(void *arg, struct err *e)
{
	struct verify_worker *w = alloc_array(1, sizeof(*w));

	if (!w) {
		err_nomem(e, "a worker");
		return NULL;
	}
	w->codec = chunk_codec_for(((struct verify_image *)arg)->m->seal, 0, e);
	w->content = malloc(CHUNK_SIZE);
	if (w->codec && w->content)
		return w;
	if (!w->content)
		err_nomem(e, "a worker");
	worker_free(w);
	return NULL;
}

/* A record whose place or header is wrong: that chunk is lost, the walk goes on behind it where the index allows. */
static int read_record(void *arg, void *item, struct err *e)
{
	struct verify_image *v = arg;
	struct verify_item *it = item;
	struct err damage = ERR_INIT;

	it->bad[0] = '\0';
	int r = img_reader_next(v->reader, &it->rec, it->payload, &damage);
	if (r >= 0)
		return r;
	if (damage.code != ERR_CORRUPT) {
		*e = damage;
		return -1;
	}
	if (!img_reader_resync(v->reader, &it->rec)) {
		v->stream_error = damage;
		return 0;
	}
	snprintf(it->bad, sizeof(it->bad), "%.119s", "its record is damaged");
	return 1;
}

static int check_record(void *arg, void *worker, void *item, struct err *e)
{
	const struct verify_image *v = arg;
	struct verify_worker *w = worker;
	struct verify_item *it = item;
	struct err damage = ERR_INIT;

	if (it->bad[0] || img_decode(w->codec, v->m, &it->rec, it->payload, w->content, &damage) == 0)
		return 0;
	if (damage.code != ERR_CORRUPT) {
		*e = damage;
		return -1;
	}
	snprintf(it->bad, sizeof(it->bad), "%s", "its content is damaged");
	return 0;
}

static int count_record(void *arg, void *item, struct err *e)
{
	struct verify_image *v = arg;
	struct verify_item *it = item;
	const struct img_region *reg = &v->m->regions[it->rec.at.region];
	uint64_t off = it->rec.at.i * CHUNK_SIZE, len = min_u64(CHUNK_SIZE, reg->len - off);

	v->ret->nr_chunks++;
	v->ret->checked_bytes += len;
	v->done += len;
	progress_update(v->p, "verify", v->done, v->total);
	if (!it->bad[0])
		return 0;
	v->ret->nr_bad_chunks++;
	return damage_on_disk(v->ret, v->m, it->rec.at.region, reg->start + off, len, it->bad, e);
}

static int check_records(struct verify_image *v, struct err *e)
{
	static const struct pipe_ops ops = {
		.item_new = item_new,
		.item_free = item_free,
		.worker_new = worker_new,
		.worker_free = worker_free,
		.produce = read_record,
		.work = check_record,
		.consume = count_record,
	};
	unsigned threads = cores_or(v->o->threads);
	struct err damage = ERR_INIT;

	v->total = v->m->nr_present * CHUNK_SIZE;
	if (pipe_run(&ops, v, threads, threads * 4 + 4, v->p, e) < 0)
		return -1;
	if (v->stream_error.code)
		damage = v->stream_error;
	else if (img_reader_finish(v->reader, &damage) == 0)
		return 0;
	if (damage.code != ERR_CORRUPT) {
		*e = damage;
		return -1;
	}
	/* The end of a file that was read front to back was found damaged before, and is reported by who found it. */
	return v->is_second_look ? 0 : damage_at_place(v->ret, image_name(v->o), img_reader_place(v->reader), damage.msg, e);
}

/* The records of a file whose end is damaged, as far as they can be read without it; failures are no news. */
static int look_again(struct verify_image *v, struct err *e)
{
	struct err ignored = ERR_INIT;
	struct stat st;

	if (stat(v->o->image, &st) < 0 || !S_ISREG(st.st_mode)) /* what came through a named pipe does not come again */
		return 0;
	v->is_second_look = true;
	if (v->o->access)
		v->keys_only.keys = v->o->access->keys;
	v->reader = image_examine(v->o->image, -1, true, &v->keys_only, NULL, v->p, &ignored);
	if (!v->reader)
		return 0;
	v->m = img_reader_manifest(v->reader);
	return check_records(v, e);
}

/* A head, tail or trailer that is damaged is a finding too, when it is damage and not a wrong file name. */
static int examine(struct verify_image *v, struct err *e)
{
	bool from_pipe = !strcmp(v->o->image, "-");
	struct img_place place = { .part = "" };
	struct err why = ERR_INIT;

	v->reader = image_examine(image_name(v->o), from_pipe ? v->o->in_fd : -1, false, v->o->access, &place, v->p, &why);
	if (v->reader) {
		v->m = img_reader_manifest(v->reader);
		return check_records(v, e);
	}
	if (why.code != ERR_CORRUPT) {
		*e = why;
		return -1;
	}
	snprintf(v->hint, sizeof(v->hint), "%s", why.hint);
	if (!from_pipe && look_again(v, e) < 0)
		return -1;
	return damage_at_place(v->ret, image_name(v->o), &place, why.msg, e);
}

static int verdict(const struct verify_result *ret, const char *what, const char *hint, struct err *e)
{
	if (ret->nr_damages == 0)
		return 0;
	const struct damage *d = &ret->damages[0];
	if (d->disk >= 0)
		err_set(e, ERR_CORRUPT, 0, "%s: %llu damaged place%s, the first in %s at %llu+%llu", what, (unsigned long long)ret->nr_damages,
			ret->nr_damages == 1 ? "" : "s", d->volume, (unsigned long long)d->start, (unsigned long long)d->len);
	else
		err_set(e, ERR_CORRUPT, 0, "%s: %s", what, d->what);
	if (hint[0])
		err_hint(e, "%s", hint);
	return err_reason(e, "damaged");
}

static int verify_image(const struct verify_options *o, struct verify_result *ret, const struct progress *p, struct err *e)
{
	struct verify_image v = { .o = o, .p = p, .ret = ret };
	int r = examine(&v, e);

	if (v.reader)
		ret->manifest = img_reader_take_manifest(v.reader);
	img_reader_close(v.reader);
	return r < 0 ? -1 : verdict(ret, image_name(o), v.hint, e);
}

int verify_run(const struct verify_options *o, struct verify_result *ret, const struct progress *p, struct err *e)
{
	double start = seconds_now();

	memset(ret, 0, sizeof(*ret));
	int r = o->against ? verify_against(o, ret, p, e) : verify_image(o, ret, p, e);
	ret->seconds = seconds_now() - start;
	return r;
}
