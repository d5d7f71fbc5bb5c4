/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Turn over bits of an image, and cut it, and look whether verify finds it each time and says where.
 *
 *   flip IMAGE verify STEP     every STEP-th bit, as a file
 *   flip IMAGE random COUNT    bits at random, as a file
 *   flip IMAGE pipe STEP       every STEP-th bit, through a pipe
 *   flip IMAGE cut STEP        cut at the borders of every STEP-th part or record, and a byte beside; as a file and through a pipe
 *   flip IMAGE restore STEP    every STEP-th bit of payloads: restore must write nothing of that chunk and not arm the target
 *
 * With a key file as the last argument the image may be encrypted. It must be whole. Works on a copy in memory, in two processes. Exit 1 when anything went unnoticed.
 */
#include "base/arith.h"
#include "imager/image/access.h"
#include "imager/image/format.h"
#include "imager/image/reader.h"
#include "imager/job/job.h"
#include "tests/tools/memory_sink.h"

#include <fcntl.h>
#include <malloc.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>

#define PROCESSES 2
#define PATTERN   0xB7

/* What a byte of the file belongs to. */
struct piece {
	char type[5];            /* "": the preamble; "CHNK": a record */
	uint64_t start, payload, end;
	struct img_cursor at;    /* of a record: its chunk */
	char volume[96];
	int disk;
	uint64_t disk_start, len;
};

struct flip {
	const char *mode;
	uint8_t *image;
	size_t len;
	struct piece *pieces;
	size_t nr;
	const struct img_manifest *m;
	int fd;                  /* a file in memory with the image in it */
	char path[64];
	struct key key;
	struct img_access access; /* all zero: no key */
	uint64_t step, done, failed;
	unsigned process;
};

static void die(const char *what)
{
	fprintf(stderr, "flip: %s\n", what);
	exit(2);
}

static void complain(struct flip *f, uint64_t at, unsigned bit, const char *what)
{
	if (f->failed++ < 10)
		fprintf(stderr, "flip: byte %llu bit %u: %s\n", (unsigned long long)at, bit, what);
}

static uint8_t *read_file(const char *path, size_t *len)
{
	struct stat st;
	FILE *file = fopen(path, "rb");

	if (!file || fstat(fileno(file), &st) < 0)
		die("the image cannot be read");
	uint8_t *p = malloc((size_t)st.st_size + 1);
	*len = fread(p, 1, (size_t)st.st_size, file);
	fclose(file);
	return p;
}

/* Where a record's chunk belongs, as verify must name it. */
static void locate(struct flip *f, struct piece *p, const struct img_cursor *at)
{
	const struct img_region *r = &f->m->regions[at->region];
	char where[200];

	img_describe_region(f->m, at->region, where, sizeof(where));
	snprintf(p->volume, sizeof(p->volume), "%.95s", where);
	p->at = *at;
	p->disk = (int)r->disk;
	p->disk_start = r->start + at->i * CHUNK_SIZE;
	p->len = min_u64(CHUNK_SIZE, r->start + r->len - p->disk_start);
}

static void find_pieces(struct flip *f, struct img_reader *r)
{
	uint8_t *payload = malloc(CHUNK_PAYLOAD_MAX);
	struct err e = ERR_INIT;
	struct img_record rec;

	f->pieces = calloc(f->m->nr_present + 64, sizeof(*f->pieces));
	f->pieces[f->nr++] = (struct piece){ .payload = FMT_PREAMBLE_SIZE, .end = FMT_PREAMBLE_SIZE };
	for (uint64_t at = FMT_PREAMBLE_SIZE; at < f->len; at = f->pieces[f->nr++].end) {
		struct piece *p = &f->pieces[f->nr];
		bool is_record = !memcmp(f->image + at, "CHNK", 4);
		memcpy(p->type, f->image + at, 4);
		p->start = at;
		p->payload = at + (is_record ? FMT_RECORD_SIZE : FMT_PART_SIZE);
		p->end = p->payload + (is_record ? get_le32(f->image + at + 76) : get_le64(f->image + at + 16));
		if (!is_record)
			continue;
		do
			if (img_reader_next(r, &rec, payload, &e) != 1)
				die(e.msg);
		while (rec.is_zero);
		locate(f, p, &rec.at);
	}
	free(payload);
}

static const struct piece *piece_of(const struct flip *f, uint64_t at)
{
	size_t lo = 0, hi = f->nr;

	while (hi - lo > 1) {
		size_t mid = lo + (hi - lo) / 2;
		if (f->pieces[mid].start <= at)
			lo = mid;
		else
			hi = mid;
	}
	return &f->pieces[lo];
}

/* ---- a pipe with a writer behind it */

struct feed {
	const uint8_t *bytes;
	size_t len;
	int fd;
};

static void *feed_main(void *arg)
{
	struct feed *f = arg;

	while (f->len) {
		ssize_t n = write(f->fd, f->bytes, f->len);
		if (n <= 0)
			break;
		f->bytes += n;
		f->len -= (size_t)n;
	}
	close(f->fd);
	return NULL;
}

/* verify_run on the file in memory, or on bytes through a pipe. */
static int verify(const struct flip *f, const uint8_t *bytes, size_t len, bool from_pipe, struct verify_result *ret, struct err *e)
{
	struct verify_options o = { .image = f->path, .in_fd = -1, .threads = 1, .access = &f->access };
	struct feed feed = { .bytes = bytes, .len = len };
	pthread_t thread;
	int p[2];

	if (!from_pipe)
		return verify_run(&o, ret, NULL, e);
	if (pipe(p) < 0)
		die("no pipe");
	feed.fd = p[1];
	o.image = "-";
	o.in_fd = p[0];
	if (pthread_create(&thread, NULL, feed_main, &feed))
		die("no thread");
	int r = verify_run(&o, ret, NULL, e);
	close(p[0]);
	pthread_join(thread, NULL);
	return r;
}

static void release(struct verify_result *r)
{
	img_manifest_free(r->manifest);
	free(r->damages);
}

/* Is this finding the damage of that piece? */
static bool names(const struct damage *d, const struct piece *p, bool from_pipe)
{
	bool in_file = d->disk < 0 && d->start == p->start && d->len >= 1;

	/* When a header is damaged in a pipe, nobody can know whose it was, only where. */
	if (strcmp(p->type, "CHNK"))
		return in_file && (!p->type[0] || strstr(d->what, p->type) || (from_pipe && d->len <= FMT_RECORD_SIZE));
	if (d->disk >= 0)
		return d->disk == p->disk && d->start == p->disk_start && d->len == p->len && !strcmp(d->volume, p->volume);
	return from_pipe && in_file;
}

static void check_flip(struct flip *f, uint64_t at, unsigned bit, bool from_pipe)
{
	const struct piece *p = piece_of(f, at);
	struct verify_result r;
	struct err e = ERR_INIT;
	char what[400];

	f->image[at] ^= (uint8_t)(1U << bit);
	if (!from_pipe && pwrite(f->fd, f->image + at, 1, (off_t)at) != 1)
		die("the copy cannot be written");
	int got = verify(f, f->image, f->len, from_pipe, &r, &e);
	f->image[at] ^= (uint8_t)(1U << bit);
	if (!from_pipe && pwrite(f->fd, f->image + at, 1, (off_t)at) != 1)
		die("the copy cannot be written");
	f->done++;
	if (got == 0 || e.code != ERR_CORRUPT) {
		complain(f, at, bit, got == 0 ? "goes unnoticed" : e.msg);
	} else if (r.nr_damages != 1 || !names(&r.damages[0], p, from_pipe)) {
		snprintf(what, sizeof(what), "in '%s' (%s) at %llu, %llu places found, the first: %s disk %d at %llu+%llu: %s", p->type, p->volume,
			(unsigned long long)p->start, (unsigned long long)r.nr_damages, r.damages[0].volume, r.damages[0].disk,
			(unsigned long long)r.damages[0].start, (unsigned long long)r.damages[0].len, r.damages[0].what);
		complain(f, at, bit, what);
	}
	release(&r);
}

static void every_bit(struct flip *f, bool from_pipe)
{
	for (uint64_t i = f->process * f->step; i < (uint64_t)f->len * 8; i += PROCESSES * f->step)
		check_flip(f, i / 8, (unsigned)(i % 8), from_pipe);
}

static void random_bits(struct flip *f)
{
	uint64_t seed = 88172645463325252ULL + f->process;

	for (uint64_t i = f->process; i < f->step; i += PROCESSES) {
		seed ^= seed << 13;
		seed ^= seed >> 7;
		seed ^= seed << 17;
		check_flip(f, seed / 8 % f->len, (unsigned)(seed % 8), false);
	}
}

/* ---- cuts */

static void check_cut(struct flip *f, uint64_t len, bool from_pipe)
{
	struct verify_result r;
	struct err e = ERR_INIT;

	if (len > f->len + 1)
		return;
	if (ftruncate(f->fd, 0) < 0 || pwrite(f->fd, f->image, len, 0) != (ssize_t)len)
		die("the copy cannot be written");
	int got = verify(f, f->image, len, from_pipe, &r, &e);
	f->done++;
	if (len == f->len ? got != 0 : got == 0 || e.code != ERR_CORRUPT || !r.nr_damages)
		complain(f, len, 0, len == f->len ? "the whole image is found damaged" : got == 0 ? "a cut there goes unnoticed" : e.msg);
	release(&r);
}

/* One byte of zeros stands behind the image, for a file that is too long. */
static void every_cut(struct flip *f)
{
	for (size_t i = f->process; i < f->nr; i += PROCESSES * f->step)
		for (int from_pipe = 0; from_pipe < 2; from_pipe++) {
			const struct piece *p = &f->pieces[i];
			const uint64_t at[] = { p->start, p->start + 1, p->payload - 1, p->payload, p->payload + 1, p->end - 1, p->end, p->end + 1 };
			for (size_t k = 0; k < sizeof(at) / sizeof(at[0]); k++)
				check_cut(f, at[k], from_pipe);
		}
}

/* ---- restoring what is damaged */

/* Nothing of the chunk was written, and nothing that makes the target alive: its table and its superblocks. */
static void check_target(struct flip *f, const struct piece *p, const struct memory_sink *s, uint64_t at, unsigned bit)
{
	if (!s->first || memcmp(s->bytes + p->disk_start, s->first + p->disk_start, p->len))
		complain(f, at, bit, "something of the damaged chunk was written");
	for (size_t i = 0; i < f->m->nr_tables; i++)
		if (!memcmp(s->bytes + f->m->tables[i].start, f->m->tables[i].bytes, f->m->tables[i].len))
			complain(f, at, bit, "a part of the partition table was written");
	for (size_t i = 0; i < f->m->nr_volumes; i++)
		for (uint32_t k = 0; k < f->m->volumes[i].nr_arm; k++)
			for (uint64_t b = f->m->volumes[i].arm[k].start; b < f->m->volumes[i].arm[k].start + f->m->volumes[i].arm[k].len; b++)
				if (s->bytes[b]) {
					complain(f, at, bit, "a superblock was written");
					return;
				}
}

static void check_restore(struct flip *f, uint64_t at, unsigned bit, const struct piece *p)
{
	struct memory_sink *s = memory_sink_new(f->m->disks[0].size);
	struct blk_sink *sinks[] = { &s->base };
	const char *disks[] = { "memory" };
	char state[80];
	struct restore_options o = { .image = f->path, .disks = disks, .nr_disks = 1, .threads = 2, .sinks = sinks, .state_file = state, .access = &f->access };
	struct restore_result r;
	struct err e = ERR_INIT;

	snprintf(state, sizeof(state), "/tmp/flip-state.%d", getpid());
	memset(s->bytes, PATTERN, s->base.size);
	f->image[at] ^= (uint8_t)(1U << bit);
	if (pwrite(f->fd, f->image + at, 1, (off_t)at) != 1)
		die("the copy cannot be written");
	int got = restore_run(&o, &r, NULL, &e);
	f->image[at] ^= (uint8_t)(1U << bit);
	if (pwrite(f->fd, f->image + at, 1, (off_t)at) != 1)
		die("the copy cannot be written");
	f->done++;
	if (got == 0 || e.code != ERR_CORRUPT)
		complain(f, at, bit, got == 0 ? "is restored" : e.msg);
	else
		check_target(f, p, s, at, bit);
	if (got == 0)
		img_manifest_free(r.manifest);
	unlink(state);
	memory_close(&s->base);
}

static void every_payload(struct flip *f)
{
	uint64_t nr = 0;

	if (f->m->nr_disks != 1)
		die("for this mode the image must have one disk");
	for (size_t i = 0; i < f->nr; i++)
		for (uint64_t b = f->pieces[i].payload * 8; !strcmp(f->pieces[i].type, "CHNK") && b < f->pieces[i].end * 8; b++)
			if (nr++ % f->step == 0 && nr / f->step % PROCESSES == f->process)
				check_restore(f, b / 8, (unsigned)(b % 8), &f->pieces[i]);
}

/* ---- */

static int run_process(struct flip *f)
{
	f->fd = memfd_create("flip", MFD_CLOEXEC);
	if (f->fd < 0 || pwrite(f->fd, f->image, f->len, 0) != (ssize_t)f->len)
		die("no file in memory");
	snprintf(f->path, sizeof(f->path), "/proc/self/fd/%d", f->fd);
	if (!strcmp(f->mode, "verify"))
		every_bit(f, false);
	else if (!strcmp(f->mode, "random"))
		random_bits(f);
	else if (!strcmp(f->mode, "pipe"))
		every_bit(f, true);
	else if (!strcmp(f->mode, "cut"))
		every_cut(f);
	else if (!strcmp(f->mode, "restore"))
		every_payload(f);
	else
		die("what?");
	printf("%llu changes of %zu bytes, %llu not found or not located\n", (unsigned long long)f->done, f->len, (unsigned long long)f->failed);
	return f->failed || !f->done;
}

int main(int argc, char **argv)
{
	struct flip f = { .mode = argc > 2 ? argv[2] : "", .step = argc > 3 ? strtoull(argv[3], NULL, 10) : 1 };
	struct err e = ERR_INIT;
	int bad = 0, status;

	if (argc < 3 || !f.step)
		die("usage: flip IMAGE verify|random|pipe|cut|restore [NUMBER]");
	if (argc > 4) {
		if (key_read(argv[4], &f.key, NULL, &e) < 0)
			die(e.msg);
		f.access.keys = (struct img_keys){ .keys = &f.key, .nr_keys = 1 };
	}
	signal(SIGPIPE, SIG_IGN);
	/* Buffers of each run come from the heap again: asking the kernel for them takes longer than all else. */
	mallopt(M_MMAP_THRESHOLD, 1 << 28);
	mallopt(M_TRIM_THRESHOLD, 1 << 28);
	f.image = read_file(argv[1], &f.len);
	f.image = realloc(f.image, f.len + 1);
	f.image[f.len] = 0;
	struct img_reader *r = img_reader_open_with(argv[1], -1, &f.access, NULL, &e);
	if (!r)
		die(e.msg);
	f.m = img_reader_manifest(r);
	find_pieces(&f, r);
	for (f.process = 0; f.process < PROCESSES; f.process++) {
		pid_t pid = fork();
		if (pid == 0)
			return run_process(&f);
		if (pid < 0)
			die("no process");
	}
	while (wait(&status) > 0)
		bad |= status != 0;
	img_reader_close(r);
	free(f.pieces);
	free(f.image);
	return bad;
}
