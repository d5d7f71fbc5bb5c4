/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Capture: map used extents, read, hash, compress, write. The path of a chunk: batch_next() reads it (producer thread),
 * pack_batch() masks, hashes, compresses and rechecks it (workers), put_batch() writes it (caller's thread, in order).
 */
#include "imager/job/job.h"

#include "base/arith.h"
#include "base/blk.h"
#include "base/hash.h"
#include "base/overlay.h"
#include "base/pipeline.h"
#include "base/random.h"
#include "imager/disk/device.h"
#include "imager/disk/guard.h"
#include "imager/image/chunk.h"
#include "imager/image/slots.h"
#include "imager/image/store.h"
#include "imager/image/writer.h"
#include "imager/job/batch.h"
#include "imager/job/cores.h"
#include "imager/job/plan.h"
#include "imager/job/state.h"
#include "imager/job/twins.h"
#include "imager/repo/store.h"

#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

struct capture {
	const struct capture_options *o;
	const struct progress *p;
	struct img_manifest *m;
	struct blk_source *sources[IMG_MAX_DISKS];
	struct blk_overlay *overlays[IMG_MAX_DISKS]; /* NULL, or with what replayed journals change */
	struct blk_source *seen[IMG_MAX_DISKS]; /* what is captured: the sources, or the overlays over them */
	bool claimed[IMG_MAX_DISKS]; /* nobody else can mount it meanwhile */
	struct batch_reader reader;
	struct img_store *store;
	struct twins twins;
	struct img_range *recovered; /* unreadable, but found elsewhere */
	size_t nr_recovered;
	uint64_t total, done, nr_zero, bad_bytes, recovered_bytes;
	char unfinished[512]; /* "", or the record of a restore to one of the disks that was cut short */
};

struct capture_item {
	struct batch in;
	struct packed_chunk out[BATCH_CHUNKS];
	uint8_t *packed; /* BATCH_CHUNKS × CHUNK_PAYLOAD_MAX */
};

static void item_free(void *item)
{
	struct capture_item *it = item;

	batch_release(&it->in);
	free(it->packed);
	free(it);
}

static void *item_new(void *arg, struct err *e)
{
	struct capture_item *it = alloc_array(1, sizeof(*it));

	(void)arg;
	if (it)
		it->packed = malloc((size_t)BATCH_CHUNKS * CHUNK_PAYLOAD_MAX);
	if (!it || !it->packed) {
		err_nomem(e, "a capture buffer");
	} else if (batch_init(&it->in, e) == 0) {
		return it;
	}
	if (it)
		item_free(it);
	return NULL;
}

static void *worker_new(void *arg, struct err *e)
{
	const struct capture *cap = arg;

	return chunk_codec_for(cap->m->seal, cap->o->level, e);
}

static void worker_free(void *worker)
{
	chunk_codec_free(worker);
}

static int read_batch(void *arg, void *item, struct err *e)
{
	return batch_next(&((struct capture *)arg)->reader, &((struct capture_item *)item)->in, e);
}

/*
 * What will be stored is sealed, and opened again: the recheck is of what the image will hold. The number, and with it the nonce, is the
 * chunk's place among the present ones: each is sealed once at most.
 */
static int seal_chunk(const struct capture *cap, struct chunk_codec *codec, const struct img_cursor *at, uint8_t *content, uint8_t *packed,
	struct packed_chunk *ret, struct err *e)
{
	struct fmt_record *head = &ret->head;
	bool is_composed = head->kind == FMT_COMPOSED;

	head->chunk = at->chunk;
	head->number = at->present;
	memcpy(head->origin, cap->m->pack_id, sizeof(head->origin));
	memcpy(head->id, ret->id, IMG_ID_SIZE);
	if (is_composed) /* the content has done its service: its room takes what is sealed, to compare with */
		memcpy(content, packed, head->stored_len);
	if (chunk_seal(codec, head, is_composed || head->codec == CODEC_RAW ? content : packed, packed, e) < 0)
		return -1;
	ret->is_sealed = true;
	if (cap->o->no_recheck)
		return 0;
	return is_composed ? chunk_recheck_payload(codec, head, packed, content, e) : chunk_recheck_sealed(codec, head, packed, content, e);
}

/* Whole, as a file holds every chunk. */
static int pack_whole(const struct capture *cap, struct chunk_codec *codec, const struct img_cursor *at, uint8_t *content, uint8_t *packed,
	struct packed_chunk *ret, struct err *e)
{
	struct fmt_record *head = &ret->head;

	head->kind = FMT_WHOLE;
	head->raw_len = CHUNK_SIZE;
	if (chunk_pack(codec, content, packed, &head->codec, &head->stored_len, e) < 0)
		return -1;
	if (cap->m->seal) {
		if (seal_chunk(cap, codec, at, content, packed, ret, e) < 0)
			return -1;
	} else if (head->codec == CODEC_ZSTD && !cap->o->no_recheck && chunk_recheck(codec, packed, head->stored_len, content, e) < 0) {
		return -1;
	}
	ret->is_content = head->codec == CODEC_RAW && !cap->m->seal;
	head->crc = crc32_of(ret->is_content ? content : packed, head->stored_len);
	return 0;
}

static int pack_chunk(const struct capture *cap, struct chunk_codec *codec, const struct img_cursor *at, uint8_t *content, uint8_t *packed,
	struct packed_chunk *ret, struct err *e)
{
	ret->is_known = ret->is_content = ret->is_sealed = false;
	ret->head = (struct fmt_record){ .kind = 0 };
	if (chunk_leaves(codec, content, ret->leaves, &ret->present, e) < 0)
		return -1;
	ret->is_zero = !ret->present;
	if (ret->is_zero) {
		memcpy(ret->id, chunk_zero_id(codec), IMG_ID_SIZE);
		return 0;
	}
	if (chunk_list_id(codec, ret->leaves, ret->id, e) < 0)
		return -1;
	int looked = cap->store->ops->look ? cap->store->ops->look(cap->store, codec, content, ret, packed, e) : 0;
	if (looked <= 0)
		return looked < 0 ? -1 : pack_whole(cap, codec, at, content, packed, ret, e);
	if (ret->is_known || !cap->m->seal)
		return 0;
	if (seal_chunk(cap, codec, at, content, packed, ret, e) < 0)
		return -1;
	ret->head.crc = crc32_of(packed, ret->head.stored_len);
	return 0;
}

static int pack_batch(void *arg, void *worker, void *item, struct err *e)
{
	const struct capture *cap = arg;
	struct capture_item *it = item;

	for (unsigned k = 0; k < it->in.nr; k++) {
		const struct img_cursor *at = &it->in.at[k];
		const struct chunk_map *map = cap->m->regions[at->region].map;
		struct cmap_chunk c;
		cmap_get(map, at->i, &c);
		cmap_mask(map, &c, batch_chunk(&it->in, k), false);
		if (pack_chunk(cap, worker, at, batch_chunk(&it->in, k), it->packed + (size_t)k * CHUNK_PAYLOAD_MAX, &it->out[k], e) < 0)
			return -1;
	}
	return 0;
}

static int put_batch(void *arg, void *item, struct err *e)
{
	struct capture *cap = arg;
	struct capture_item *it = item;

	for (unsigned k = 0; k < it->in.nr; k++) {
		const struct packed_chunk *out = &it->out[k];
		const uint8_t *payload = out->is_content ? batch_chunk(&it->in, k) : it->packed + (size_t)k * CHUNK_PAYLOAD_MAX;
		cap->nr_zero += out->is_zero;
		if (cap->store->ops->put(cap->store, it->in.at[k].chunk, out, payload, e) < 0)
			return -1;
	}
	cap->done += it->in.bytes;
	progress_update(cap->p, "capture", cap->done, cap->total);
	return 0;
}

/* Neighbours are merged. */
static int add_range(struct img_range **list, size_t *nr, struct img_range add, struct err *e)
{
	struct img_range *last = *nr ? &(*list)[*nr - 1] : NULL;

	if (last && last->disk == add.disk && last->start + last->len == add.start) {
		last->len += add.len;
		return 0;
	}
	struct img_range *grown = realloc(*list, (*nr + 1) * sizeof(*grown));
	if (!grown)
		return err_nomem(e, "the unreadable ranges");
	*list = grown;
	grown[(*nr)++] = add;
	return 0;
}

/* Both are called in the producer thread, ascending. */
static int note_bad(void *arg, uint32_t disk, uint64_t start, uint64_t len, struct err *e)
{
	struct capture *cap = arg;

	cap->bad_bytes += len;
	return add_range(&cap->m->bad, &cap->m->nr_bad, (struct img_range){ .disk = disk, .start = start, .len = len }, e);
}

static int note_found(void *arg, uint32_t disk, uint64_t start, uint64_t len, struct err *e)
{
	struct capture *cap = arg;

	cap->recovered_bytes += len;
	return add_range(&cap->recovered, &cap->nr_recovered, (struct img_range){ .disk = disk, .start = start, .len = len }, e);
}

/* The place the chunks go to. */
static int open_store(struct capture *cap, struct err *e)
{
	const char *image = cap->o->image;
	bool to_pipe = !strcmp(image, "-");

	if (repo_is_name(image)) {
		cap->store = repo_store_new(image, cap->o->no_recheck, cap->o->keys, cap->o->sign, e);
	} else {
		if (!to_pipe && img_writer_may_make(image, e) < 0)
			return -1;
		cap->store = file_store_new(to_pipe ? "standard output" : image, to_pipe ? cap->o->out_fd : -1, cap->o->sign, e);
	}
	return cap->store ? 0 : -1;
}

/* "lab.calco" in some folder is called "lab", and so is "DIR::lab"; what a name may not hold becomes '-'. */
static void default_name(const char *image, char *ret, size_t size)
{
	const char *base = strrchr(image, repo_is_name(image) ? ':' : '/');

	snprintf(ret, size, "%.64s", !strcmp(image, "-") ? "image" : base ? base + 1 : image);
	char *dot = strstr(ret, ".calco");
	if (dot && dot != ret)
		*dot = '\0';
	for (char *p = ret; *p; p++) {
		char one[2] = { *p, '\0' };
		if (!img_name_ok(one) && (p == ret || (*p != '.' && *p != '-')))
			*p = p == ret ? 'i' : '-';
	}
	if (!img_name_ok(ret))
		snprintf(ret, size, "image");
}

static int name_image(struct capture *cap, struct err *e)
{
	const struct capture_options *o = cap->o;
	struct img_manifest *m = cap->m;

	if (o->name && !img_name_ok(o->name)) {
		err_set(e, ERR_USAGE, 0, "'%s' is not a name for an image", o->name);
		return err_hint(e, "use letters, digits, '.', '_' and '-', 64 at most, not beginning with '.' or '-'");
	}
	if (o->name)
		snprintf(m->name, sizeof(m->name), "%s", o->name);
	else
		default_name(o->image ? o->image : "image", m->name, sizeof(m->name));
	m->version = o->version ? o->version : 1;
	m->created = (uint64_t)time(NULL);
	m->level = (uint32_t)o->level;
	snprintf(m->tool, sizeof(m->tool), "calco %s", CALCO_VERSION);
	if (o->note && !(m->note = strdup(o->note)))
		return err_nomem(e, "the note");
	if (o->note && strlen(o->note) > 65536)
		return err_set(e, ERR_USAGE, 0, "the note is longer than 65536 bytes");
	if (random_bytes(m->lineage, sizeof(m->lineage), e) < 0)
		return -1;
	m->lineage[6] = (uint8_t)((m->lineage[6] & 0x0F) | 0x40); /* RFC 4122 §4.4: a random UUID */
	m->lineage[8] = (uint8_t)((m->lineage[8] & 0x3F) | 0x80);
	return 0;
}

/* The image's secrets, locked for those who may open it: before anything is read, so that nothing is read in vain. */
static int make_keys(struct capture *cap, struct err *e)
{
	if (!cap->o->keys)
		return 0;
	if (cap->store && repo_is_name(cap->o->image)) /* opened with what was given */
		return (cap->m->seal = repo_store_seal(cap->store, e)) ? 0 : -1;
	cap->m->seal = seal_new(e);
	return cap->m->seal ? slots_make(cap->m->seal, cap->o->keys, e) : -1;
}

static void describe_device(struct img_disk *d, const char *path)
{
	struct dev_info dev;
	struct err ignored = ERR_INIT; /* model and serial are for people; a disk without them is as good */

	if (dev_inspect(path, &dev, &ignored) < 0)
		return;
	snprintf(d->model, sizeof(d->model), "%s", dev.model);
	snprintf(d->serial, sizeof(d->serial), "%s", dev.serial);
}

static size_t count_words(const char *const *list)
{
	size_t nr = 0;

	while (list && list[nr])
		nr++;
	return nr;
}

static int open_disk(struct capture *cap, size_t i, struct err *e)
{
	const struct capture_options *o = cap->o;

	cap->sources[i] = o->sources ? o->sources[i] : blk_open(o->disks[i], o->sector_size, true, e);
	if (!cap->sources[i])
		return -1;
	cap->claimed[i] = blk_claim(cap->sources[i]);
	cap->seen[i] = cap->sources[i];
	if (!o->replay)
		return 0;
	if (!(cap->overlays[i] = blk_overlay_new(cap->sources[i], e)))
		return -1;
	cap->seen[i] = blk_overlay_source(cap->overlays[i]);
	return 0;
}

/* Half of a restored disk is no mistake of ours to refuse, but hardly what was wanted. */
static void tell_cut_short(struct capture *cap, size_t i)
{
	const char *disk = cap->o->disks[i];
	char record[PATH_MAX];

	if (cap->o->sources || !state_cut_short(disk, cap->sources[i], record, sizeof(record)))
		return;
	progress_notice(cap->p, "a restore to '%.200s' was cut short, so it holds neither the old disk nor the new one: let the same restore command complete it, "
		"or take it back with 'calco undo %.200s'", disk, disk);
	if (!cap->unfinished[0])
		snprintf(cap->unfinished, sizeof(cap->unfinished), "%.500s", record);
}

static int plan(struct capture *cap, struct err *e)
{
	const struct capture_options *o = cap->o;
	AUTO_FREE bool *raw_found = alloc_array(count_words(o->raw_volumes), sizeof(*raw_found));
	AUTO_FREE bool *unlock_found = alloc_array(count_words(o->unlocks), sizeof(*unlock_found));
	struct plan_options po = { .sector_size = o->sector_size, .raw_gaps = o->raw_gaps, .raw_volumes = o->raw_volumes, .raw_found = raw_found,
		.skip_volatile = o->skip_volatile, .unlocks = o->unlocks, .unlock_found = unlock_found, .twins = &cap->twins,
		.overlays = o->replay ? cap->overlays : NULL };

	if (o->image && open_store(cap, e) < 0)
		return -1;
	if (o->nr_disks == 0 || o->nr_disks > IMG_MAX_DISKS)
		return err_set(e, ERR_USAGE, 0, "an image holds 1 to %u disks", IMG_MAX_DISKS);
	progress_update(cap->p, "plan", 0, 0);
	if (name_image(cap, e) < 0 || make_keys(cap, e) < 0)
		return -1;
	for (size_t i = 0; i < o->nr_disks; i++) {
		if (open_disk(cap, i, e) < 0)
			return -1;
		tell_cut_short(cap, i);
		if (plan_disk(cap->m, cap->seen[i], &po, cap->p, e) < 0)
			return -1;
		describe_device(&cap->m->disks[i], o->disks[i]);
	}
	if (plan_volumes(cap->m, cap->seen, &po, cap->p, e) < 0)
		return -1;
	img_manifest_number(cap->m);
	twins_sort(&cap->twins);
	for (size_t i = 0; i < cap->m->nr_regions; i++)
		cap->total += cmap_bytes(cap->m->regions[i].map, EXT_USED);
	cap->m->read_bytes = cap->total;
	return 0;
}

/* Nobody wrote while we read? A disk that could not be claimed is asked again who uses it. */
static int check_unchanged(struct capture *cap, struct err *e)
{
	for (size_t i = 0; i < cap->o->nr_disks; i++) {
		int r = blk_unchanged(cap->sources[i], e);
		if (r == 0 && !cap->o->sources && !cap->claimed[i])
			r = guard_source(cap->o->disks[i], e);
		if (r < 0 && e->code != ERR_REFUSED && strcmp(e->reason, "changed")) /* it could not be found out */
			return -1;
		if (r < 0) {
			err_wrap(e, "the image would mix old and new");
			return err_hint(e, "capture it again while nothing writes to it");
		}
	}
	return 0;
}

static int store(struct capture *cap, struct err *e)
{
	static const struct pipe_ops ops = {
		.item_new = item_new,
		.item_free = item_free,
		.worker_new = worker_new,
		.worker_free = worker_free,
		.produce = read_batch,
		.work = pack_batch,
		.consume = put_batch,
	};
	unsigned threads = cores_or(cap->o->threads);

	if (cap->store->ops->begin(cap->store, cap->m, cap->p, e) < 0)
		return -1;
	cap->reader = (struct batch_reader){ .m = cap->m, .disks = cap->seen, .only_region = SIZE_MAX, .twins = &cap->twins, .bad = note_bad,
		.found = note_found, .bad_arg = cap };
	img_cursor_begin(&cap->reader.at);
	if (pipe_run(&ops, cap, threads, threads * 2 + 4, cap->p, e) < 0)
		return -1;
	progress_update(cap->p, "flush", 0, 0);
	if (check_unchanged(cap, e) < 0)
		return -1;
	return cap->store->ops->commit(cap->store, e);
}

/* Each copy is stored as it is. That they differ is nothing that a restore changes, but should be known. */
static void compare_twins(struct capture *cap, struct capture_result *ret)
{
	struct twins_diff diff;

	twins_compare(&cap->twins, cap->m, &diff);
	ret->nr_differing = diff.nr;
	if (diff.nr)
		progress_notice(cap->p, "the copies of a mirror differ in %llu pieces of 256 KiB, the first at %llu of '%.100s' and %llu of '%.100s'; each is stored "
			"as it is: let the mirror be checked (md: echo check >sync_action; btrfs scrub)", (unsigned long long)diff.nr,
			(unsigned long long)diff.one.start, blk_name(cap->sources[diff.one.disk]), (unsigned long long)diff.other.start,
			blk_name(cap->sources[diff.other.disk]));
}

static void fill_result(struct capture *cap, struct capture_result *ret)
{
	for (size_t i = 0; i < cap->m->nr_regions; i++)
		ret->zero_bytes += cmap_bytes(cap->m->regions[i].map, EXT_ZERO);
	ret->used_bytes = cap->total;
	ret->nr_chunks = cap->m->nr_present;
	ret->nr_zero_chunks = cap->nr_zero;
	ret->read_bytes = cap->reader.read_bytes;
	ret->image_bytes = cap->store ? cap->store->ops->bytes(cap->store) : 0;
	ret->bad_bytes = cap->bad_bytes;
	ret->recovered_bytes = cap->recovered_bytes;
	ret->nr_recovered = cap->nr_recovered;
	ret->recovered = take(&cap->recovered);
	memcpy(ret->unfinished, cap->unfinished, sizeof(ret->unfinished));
	ret->manifest = take(&cap->m);
}

static void release(struct capture *cap)
{
	img_store_close(cap->store);
	twins_release(&cap->twins);
	free(cap->recovered);
	for (size_t i = 0; i < IMG_MAX_DISKS; i++) {
		blk_overlay_free(cap->overlays[i]);
		if (!cap->o->sources)
			blk_close(cap->sources[i]);
	}
	img_manifest_free(cap->m);
}

int capture_run(const struct capture_options *o, struct capture_result *ret, const struct progress *p, struct err *e)
{
	struct capture cap = { .o = o, .p = p, .m = img_manifest_new(e) };
	double start = seconds_now();

	memset(ret, 0, sizeof(*ret));
	if (!cap.m)
		return -1;
	int r = plan(&cap, e);
	if (r == 0 && !o->dry_run)
		r = store(&cap, e);
	if (r == 0 && !o->dry_run)
		compare_twins(&cap, ret);
	if (r == 0) {
		fill_result(&cap, ret);
		ret->seconds = seconds_now() - start;
	}
	release(&cap);
	if (r == 0 && ret->bad_bytes) {
		err_set(e, ERR_PARTIAL, 0, "%llu bytes could not be read; the image is complete but for them and lists them",
			(unsigned long long)ret->bad_bytes);
		return err_reason(e, "unreadable");
	}
	return r;
}
