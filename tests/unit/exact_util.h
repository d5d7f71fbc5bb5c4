/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * What the tests of exactness share: random disks whose every byte has a known state, images of them, and targets in memory
 * that can be made to fail or to lie. The states are computed here anew, byte by byte, not taken from the chunk maps.
 */
#ifndef CALCO_TESTS_UNIT_EXACT_UTIL_H
#define CALCO_TESTS_UNIT_EXACT_UTIL_H

#include "base/arith.h"
#include "base/blk.h"
#include "base/hash.h"
#include "base/span.h"
#include "imager/disk/table.h"
#include "imager/image/chunk.h"
#include "imager/image/writer.h"
#include "imager/job/batch.h"
#include "imager/job/job.h"

#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define MAX_MODEL_DISKS 4
#define KIB ((uint64_t)1 << 10)
#define MIB ((uint64_t)1 << 20)

/* ---- a scratch folder, in memory where there is such a place */

static char scratch[64];

static inline void scratch_setup(void)
{
	snprintf(scratch, sizeof(scratch), "%s/calco-exact-XXXXXX", access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp");
	ck_assert_ptr_nonnull(mkdtemp(scratch));
	ck_assert_int_eq(chdir(scratch), 0);
}

static inline void scratch_teardown(void)
{
	char cmd[128];

	ck_assert_int_eq(chdir("/"), 0);
	snprintf(cmd, sizeof(cmd), "rm -rf '%s'", scratch);
	ck_assert_int_eq(system(cmd), 0);
}

static inline void shell(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
static inline void shell(const char *fmt, ...)
{
	char script[1000], cmd[1200];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(script, sizeof(script), fmt, ap);
	va_end(ap);
	snprintf(cmd, sizeof(cmd), "set -eu; PATH=$PATH:/usr/sbin:/sbin; export PATH; { %s\n} >log 2>&1", script);
	if (system(cmd) != 0) {
		(void)!system("cat log >&2");
		ck_abort_msg("failed: %s", script);
	}
}

static inline void put_file(const char *path, const uint8_t *bytes, uint64_t len)
{
	AUTO_CLOSE_FD int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	ck_assert_int_ge(fd, 0);
	while (len) {
		ssize_t n = write(fd, bytes, len);
		ck_assert_int_gt(n, 0);
		bytes += n;
		len -= (uint64_t)n;
	}
}

static inline uint8_t *get_file(const char *path, uint64_t *ret_len)
{
	AUTO_CLOSE_FD int fd = open(path, O_RDONLY | O_CLOEXEC);
	struct stat st;

	ck_assert_msg(fd >= 0 && fstat(fd, &st) == 0, "%s", path);
	uint8_t *bytes = malloc((size_t)st.st_size + 1);
	ck_assert_ptr_nonnull(bytes);
	ck_assert_int_eq(read(fd, bytes, (size_t)st.st_size), st.st_size);
	*ret_len = (uint64_t)st.st_size;
	return bytes;
}

/* ---- chance, the same in every run: splitmix64 */

struct chance {
	uint64_t s;
};

static inline uint64_t draw(struct chance *c)
{
	uint64_t z = (c->s += 0x9E3779B97F4A7C15ULL);

	z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9ULL;
	z = (z ^ (z >> 27)) * 0x94D049BB133111EBULL;
	return z ^ (z >> 31);
}

static inline uint64_t draw_below(struct chance *c, uint64_t n)
{
	return draw(c) % n;
}

static inline uint64_t draw_between(struct chance *c, uint64_t least, uint64_t most)
{
	return least + draw_below(c, most - least + 1);
}

/* No byte of it is zero, so that a byte that was lost is seen. */
static inline uint8_t *garbage(struct chance *c, uint64_t len)
{
	uint8_t *p = malloc(len + 8);

	ck_assert_ptr_nonnull(p);
	for (uint64_t i = 0; i < len; i += 8) {
		uint64_t v = draw(c) | 0x0101010101010101ULL;
		memcpy(p + i, &v, 8);
	}
	return p;
}

/* ---- disks and their states */

struct model {
	struct img_manifest *m;
	struct chance c;
	size_t nr;
	uint64_t size[MAX_MODEL_DISKS];
	uint8_t *data[MAX_MODEL_DISKS];
	uint8_t *state[MAX_MODEL_DISKS]; /* enum ext_state of each byte */
};

static inline struct model model_new(uint64_t seed)
{
	struct err e = ERR_INIT;
	struct model md = { .c = { seed } };

	md.m = img_manifest_new(&e);
	ck_assert_ptr_nonnull(md.m);
	strcpy(md.m->name, "model");
	md.m->version = 1;
	return md;
}

static inline void model_free(struct model *md)
{
	img_manifest_free(md->m);
	for (size_t i = 0; i < md->nr; i++) {
		free(md->data[i]);
		free(md->state[i]);
	}
}

static inline void *grow_list(void *list, size_t nr, size_t size)
{
	void *p = realloc(list, (nr + 1) * size);

	ck_assert_ptr_nonnull(p);
	memset((uint8_t *)p + nr * size, 0, size);
	return p;
}

/* The rule of docs/format.md section 1, granule by granule. */
static inline void mark(uint8_t *state, uint64_t region_len, uint64_t granule, uint64_t start, uint64_t len, enum ext_state st)
{
	for (uint64_t g = start / granule * granule; g < start + len; g += granule) {
		uint64_t end = min_u64(g + granule, region_len);
		bool whole = start <= g && start + len >= end;
		if (st == EXT_USED || !whole)
			memset(state + g, EXT_USED, end - g);
		else if (state[g] != EXT_USED)
			memset(state + g, EXT_ZERO, end - g);
	}
}

static inline void model_extent(struct model *md, struct img_region *r, uint64_t start, uint64_t len, enum ext_state st)
{
	struct err e = ERR_INIT;

	ck_assert_msg(cmap_add(r->map, start, len, st, &e) == 0, "%s", e.msg);
	mark(md->state[r->disk] + r->start, r->len, (uint64_t)1 << cmap_granule_log2(r->map), start, len, st);
}

static inline enum ext_state draw_state(struct chance *c)
{
	return draw_below(c, 3) ? EXT_USED : EXT_ZERO;
}

/* Give a region a fresh map of one of several characters. */
static inline void model_fill(struct model *md, struct img_region *r)
{
	struct chance *c = &md->c;
	struct err e = ERR_INIT;
	unsigned style = (unsigned)draw_below(c, 10);

	cmap_free(r->map);
	r->map = cmap_new(r->len, (unsigned)draw_between(c, 9, 12), &e);
	ck_assert_msg(r->map != NULL, "%s", e.msg);
	memset(md->state[r->disk] + r->start, EXT_UNUSED, r->len);
	if (style == 1 || style == 2) /* 0: nothing at all */
		model_extent(md, r, 0, r->len, style == 1 ? EXT_USED : EXT_ZERO);
	for (uint64_t n = style >= 3 && style < 7 ? draw_between(c, 1, 6) : 0; n; n--) {
		uint64_t start = draw_below(c, r->len);
		model_extent(md, r, start, draw_between(c, 1, r->len - start), draw_state(c));
	}
	for (uint64_t n = style >= 6 ? draw_between(c, 1, 60) : 0; n; n--) {
		uint64_t start = draw_below(c, r->len);
		model_extent(md, r, start, draw_between(c, 1, min_u64(9000, r->len - start)), draw_state(c));
	}
	for (uint64_t n = style == 5 && r->len > CHUNK_SIZE ? 2 : 0; n; n--)
		model_extent(md, r, draw_below(c, r->len / CHUNK_SIZE) * CHUNK_SIZE, CHUNK_SIZE, draw_state(c));
}

/* Ranges that are held back: mostly used bytes, as drivers report them, but the format asks for no more than that they are on the disk. */
static inline void model_arm(struct model *md, size_t region)
{
	struct img_manifest *m = md->m;
	struct img_region *r = &m->regions[region];

	m->volumes = grow_list(m->volumes, m->nr_volumes, sizeof(*m->volumes));
	struct img_volume *v = &m->volumes[m->nr_volumes++];
	*v = (struct img_volume){ .parent = IMG_NO_INDEX, .kind = IMG_VOL_PARTITION, .region = (uint32_t)region, .size = r->len };
	strcpy(v->driver, "raw");
	snprintf(v->label, sizeof(v->label), "volume-%zu", region);
	for (uint64_t n = draw_below(&md->c, 4); n; n--) {
		uint64_t start = draw_below(&md->c, r->len);
		uint64_t len = draw_between(&md->c, 1, min_u64(5000, r->len - start));
		if (draw_below(&md->c, 4))
			model_extent(md, r, start, len, EXT_USED);
		v->arm = grow_list(v->arm, v->nr_arm, sizeof(*v->arm));
		v->arm[v->nr_arm++] = (struct img_range){ .disk = r->disk, .start = r->start + start, .len = len };
	}
}

static inline void model_disk(struct model *md, uint64_t size)
{
	struct img_manifest *m = md->m;

	md->size[md->nr] = size;
	md->data[md->nr] = garbage(&md->c, size);
	md->state[md->nr] = calloc(1, size);
	ck_assert_ptr_nonnull(md->state[md->nr]);
	m->disks = grow_list(m->disks, m->nr_disks, sizeof(*m->disks));
	m->disks[m->nr_disks++] = (struct img_disk){ .size = size, .sector_size = 512, .phys_sector_size = 4096 };
	for (uint64_t n = draw_below(&md->c, 8); n; n--) { /* some used bytes are zero all the same */
		uint64_t start = draw_below(&md->c, size);
		memset(md->data[md->nr] + start, 0, min_u64(size - start, draw_between(&md->c, 1, 600 * KIB)));
	}
	md->nr++;
}

static inline uint64_t draw_region_len(struct chance *c, uint64_t left)
{
	static const uint64_t special[] = { 1, 511, 512, 513, 4095, 4096, 4097, CHUNK_SIZE - 1, CHUNK_SIZE, CHUNK_SIZE + 1, 5 * CHUNK_SIZE };
	uint64_t len = draw_below(c, 3) ? draw_between(c, 1, left) : special[draw_below(c, sizeof(special) / sizeof(special[0]))];

	return min_u64(len, left);
}

/* A disk of random size, cut at random bytes; with a partition table of sorts on some. */
static inline void model_random_disk(struct model *md)
{
	struct img_manifest *m = md->m;
	uint32_t disk = (uint32_t)md->nr;
	size_t first = m->nr_regions;
	unsigned number = 1;

	model_disk(md, draw_between(&md->c, 1, 5 * MIB / 2) | draw_below(&md->c, 2));
	for (uint64_t at = 0; at < md->size[disk];) {
		m->regions = grow_list(m->regions, m->nr_regions, sizeof(*m->regions));
		struct img_region *r = &m->regions[m->nr_regions++];
		bool is_last = m->nr_regions - first == 12;
		*r = (struct img_region){ .disk = disk, .start = at, .len = md->size[disk] - at };
		r->len = is_last ? r->len : draw_region_len(&md->c, r->len);
		r->kind = draw_below(&md->c, 3) ? PT_REGION_PARTITION : PT_REGION_GAP;
		r->number = r->kind ? disk * 100 + number++ : 0;
		r->flags = (uint16_t)draw_below(&md->c, 8);
		model_fill(md, r);
		if (r->kind)
			model_arm(md, m->nr_regions - 1);
		at += r->len;
	}
	struct img_region *r = &m->regions[first];
	if (r->len < 512 || draw_below(&md->c, 2))
		return;
	model_extent(md, r, 0, 512, EXT_USED);
	m->disks[disk].table = PT_MBR;
	m->tables = grow_list(m->tables, m->nr_tables, sizeof(*m->tables));
	m->tables[m->nr_tables] = (struct img_table_copy){ .disk = disk, .len = 512, .bytes = malloc(512) };
	memcpy(m->tables[m->nr_tables++].bytes, md->data[disk], 512);
}

/* ---- an image of it, as capture makes one */

static inline void store_batch(struct img_writer *w, struct chunk_codec *codec, const struct img_manifest *m, struct batch *b)
{
	static uint8_t packed[CHUNK_SIZE];
	struct err e = ERR_INIT;

	for (unsigned k = 0; k < b->nr; k++) {
		const struct chunk_map *map = m->regions[b->at[k].region].map;
		uint8_t *content = batch_chunk(b, k), id[IMG_ID_SIZE], kind = CODEC_RAW;
		struct cmap_chunk c;
		uint32_t len = 0;
		bool is_zero;
		cmap_get(map, b->at[k].i, &c);
		cmap_mask(map, &c, content, false);
		ck_assert_int_eq(chunk_id(codec, content, id, &is_zero, &e), 0);
		if (!is_zero)
			ck_assert_int_eq(chunk_pack(codec, content, packed, &kind, &len, &e), 0);
		const uint8_t *payload = is_zero ? NULL : kind == CODEC_RAW ? content : packed;
		ck_assert_msg(img_writer_put(w, b->at[k].chunk, id, kind, payload, len, payload ? crc32_of(payload, len) : 0, &e) == 0, "%s", e.msg);
	}
}

static inline void model_store(struct model *md, const char *path)
{
	struct err e = ERR_INIT;
	struct blk_source *sources[MAX_MODEL_DISKS] = { NULL };
	AUTO(chunk_codec) struct chunk_codec *codec = chunk_codec_new(1, &e);
	struct batch b;
	int r;

	for (size_t i = 0; i < md->m->nr_regions; i++)
		cmap_freeze(md->m->regions[i].map);
	img_manifest_number(md->m);
	for (size_t i = 0; i < md->nr; i++)
		sources[i] = blk_mem(md->data[i], md->size[i], 512, "model", &e);
	unlink(path);
	AUTO(img_writer) struct img_writer *w = img_writer_open(path, -1, md->m, NULL, &e);
	ck_assert_msg(w != NULL, "%s", e.msg);
	ck_assert_int_eq(batch_init(&b, &e), 0);
	struct batch_reader reader = { .m = md->m, .disks = sources, .only_region = SIZE_MAX };
	img_cursor_begin(&reader.at);
	while ((r = batch_next(&reader, &b, &e)) > 0)
		store_batch(w, codec, md->m, &b);
	ck_assert_msg(r == 0, "%s", e.msg);
	ck_assert_msg(img_writer_commit(w, &e) == 0, "%s", e.msg);
	batch_release(&b);
	for (size_t i = 0; i < md->nr; i++)
		blk_close(sources[i]);
}

/* ---- a target in memory */

enum mem_op { MEM_WRITE = 1, MEM_ZERO = 2, MEM_DISCARD = 4, MEM_FLUSH = 8, MEM_READ_BACK = 16 };
#define MEM_CHANGES (MEM_WRITE | MEM_ZERO)
enum mem_fault { FAULT_NONE, FAULT_EIO, FAULT_DROP, FAULT_TEAR, FAULT_FLIP };

struct mem_sink {
	struct blk_sink base;
	uint8_t *data;
	enum mem_fault fault;
	unsigned fault_ops; /* which calls count */
	long fault_at;      /* the how manieth of them fails, from 1 */
	unsigned tear;      /* how many eighths of a torn change arrive; 0: four */
	long count;
	uint64_t fault_off, fault_len; /* where it did */
	const char *const *phase;      /* NULL, or what the job is doing */
	const char *fault_phase;       /* when it did; NULL: nothing went wrong */
	unsigned nr_armed, fault_armed;/* writes at offset 0 while the disk is armed, and how many there were when it did */
};

static inline const char *mem_phase(const struct mem_sink *s)
{
	return s->phase ? __atomic_load_n(s->phase, __ATOMIC_RELAXED) : "unknown";
}

/* Is this the call that goes wrong? */
static inline bool mem_is_hit(struct mem_sink *s, enum mem_op op, uint64_t off, uint64_t len)
{
	if (!(s->fault_ops & op) || __atomic_add_fetch(&s->count, 1, __ATOMIC_RELAXED) != s->fault_at)
		return false;
	s->fault_off = off;
	s->fault_len = len;
	s->fault_phase = mem_phase(s);
	s->fault_armed = s->nr_armed;
	return true;
}

static inline int mem_change(struct mem_sink *s, enum mem_op op, uint64_t off, const void *bytes, uint64_t len, struct err *e)
{
	if (off == 0 && !strcmp(mem_phase(s), "arm"))
		s->nr_armed++;
	enum mem_fault fault = mem_is_hit(s, op, off, len) ? s->fault : FAULT_NONE;
	uint64_t n = fault == FAULT_DROP ? 0 : fault == FAULT_TEAR || fault == FAULT_EIO ? len * (s->tear ? s->tear : 4) / 8 : len;

	if (bytes)
		memcpy(s->data + off, bytes, n);
	else
		memset(s->data + off, 0, n);
	if (fault == FAULT_FLIP)
		s->data[off + len / 2] ^= 0x10;
	return fault == FAULT_EIO ? err_set(e, ERR_FAILED, EIO, "changing '%s'", s->base.name) : 0;
}

static inline int mem_write(struct blk_sink *s, uint64_t off, const void *buf, size_t len, struct err *e)
{
	return mem_change((struct mem_sink *)s, MEM_WRITE, off, buf, len, e);
}

static inline int mem_zero(struct blk_sink *s, uint64_t off, uint64_t len, struct err *e)
{
	return mem_change((struct mem_sink *)s, MEM_ZERO, off, NULL, len, e);
}

/* What was discarded may read as anything. */
static inline int mem_discard(struct blk_sink *s, uint64_t off, uint64_t len, struct err *e)
{
	struct mem_sink *m = (struct mem_sink *)s;

	if (mem_is_hit(m, MEM_DISCARD, off, len) && m->fault == FAULT_EIO)
		return err_set(e, ERR_FAILED, EIO, "discarding on '%s'", s->name);
	memset(m->data + off, 0xDB, len);
	return 0;
}

static inline int mem_flush(struct blk_sink *s, struct err *e)
{
	if (mem_is_hit((struct mem_sink *)s, MEM_FLUSH, 0, 0) && ((struct mem_sink *)s)->fault == FAULT_EIO)
		return err_set(e, ERR_FAILED, EIO, "flushing '%s'", s->name);
	return 0;
}

static inline int mem_read_back(struct blk_sink *s, uint64_t off, void *buf, size_t len, struct err *e)
{
	struct mem_sink *m = (struct mem_sink *)s;

	if (mem_is_hit(m, MEM_READ_BACK, off, len) && m->fault == FAULT_EIO)
		return err_set(e, ERR_FAILED, EIO, "reading '%s'", s->name);
	memcpy(buf, m->data + off, len);
	return 0;
}

static inline void mem_close(struct blk_sink *s)
{
	(void)s;
}

/* A target that borrows its bytes. @is_plain: without the optional calls */
static inline struct mem_sink mem_sink(uint8_t *data, uint64_t size, bool is_plain)
{
	static const struct blk_sink_ops all = { .write = mem_write, .zero = mem_zero, .discard = mem_discard, .flush = mem_flush,
		.read_back = mem_read_back, .close = mem_close };
	static const struct blk_sink_ops least = { .write = mem_write, .flush = mem_flush, .read_back = mem_read_back, .close = mem_close };
	struct mem_sink s = { .data = data };

	s.base = (struct blk_sink){ .ops = is_plain ? &least : &all, .size = size, .is_file = true, .sector_size = 512, .phys_sector_size = 4096 };
	strcpy(s.base.name, "memory");
	return s;
}

static inline int restore_with(const char *image, struct mem_sink *targets, size_t nr, struct restore_options o, const struct progress *p,
	struct err *e)
{
	struct blk_sink *sinks[MAX_MODEL_DISKS];
	struct restore_result res;

	for (size_t i = 0; i < nr; i++)
		sinks[i] = &targets[i].base;
	o.image = image;
	o.sinks = sinks;
	o.nr_disks = nr;
	o.state_file = "state";
	int r = restore_run(&o, &res, p, e);
	if (r == 0)
		img_manifest_free(res.manifest);
	return r;
}

/* With a new state record. */
static inline int restore_to(const char *image, struct mem_sink *targets, size_t nr, struct restore_options o, struct err *e)
{
	static const char *const records[] = { "state", "state.2", "state.3", "state.4" };

	for (size_t i = 0; i < MAX_MODEL_DISKS; i++)
		unlink(records[i]);
	return restore_with(image, targets, nr, o, NULL, e);
}

/* ---- is it what it must be? */

/* All of one value? */
static inline bool is_uniform(const uint8_t *p, uint64_t len)
{
	return len < 2 || !memcmp(p, p + 1, len - 1);
}

/* Every used byte equal, every zero byte zero. @want: what used bytes are; @from: the first byte of the disk that lies at data[0] */
static inline void check_each_byte(const struct model *md, size_t disk, const uint8_t *want, const uint8_t *data, uint64_t from, uint64_t len)
{
	const uint8_t *state = md->state[disk];

	for (uint64_t i = 0; i < len; i++) {
		uint8_t must = state[from + i] == EXT_USED ? want[from + i] : 0;
		if (state[from + i] != EXT_UNUSED && data[i] != must)
			ck_abort_msg("disk %zu byte %llu: state %d, is %02x instead of %02x", disk, (unsigned long long)(from + i), state[from + i],
				data[i], must);
	}
}

/* The same: many bytes at once where they are of one state and as they must be, for what is checked by the gigabyte. */
static inline void check_bytes(const struct model *md, size_t disk, const uint8_t *want, const uint8_t *data, uint64_t from, uint64_t len)
{
	for (uint64_t i = 0, n; i < len; i += n) {
		const uint8_t *state = md->state[disk] + from + i;
		n = min_u64(4096, len - i);
		if (is_uniform(state, n) && (state[0] == EXT_USED ? !memcmp(data + i, want + from + i, n) :
			state[0] == EXT_UNUSED || (data[i] == 0 && is_uniform(data + i, n))))
			continue;
		check_each_byte(md, disk, want, data + i, from + i, n);
	}
}

#endif
