/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The log of everything a restore did to its targets, in the order of the effects. A file of records: struct log_record, then
 * data_len bytes. Written and read on the same machine by the programs beside this file, so plain structs will do.
 *
 *   'W' write, with the data     'Z' zero     'D' discard     'F' flush     (these are the steps; step n is the n-th of them)
 *   'P' a phase begins, with its name
 *   'S' the state record as it was synced, 'U' as it stands but not synced, with its whole content
 */
#ifndef CALCO_TESTS_TOOLS_CRASHLOG_H
#define CALCO_TESTS_TOOLS_CRASHLOG_H

#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

struct log_record {
	char kind;
	uint32_t disk;
	uint64_t off, len, data_len;
};

struct log_step {
	const struct log_record *rec;
	const uint8_t *data;
	const char *phase; /* the one that ran */
	const struct log_record *synced, *latest; /* state record before this step; NULL: none yet */
};

struct log {
	const uint8_t *map;
	size_t size;
	struct log_step *steps; /* nr + 1: the last holds the state record at the end, its rec is NULL */
	size_t nr;
};

/* Where the stages of a restore begin, as numbers of steps: a prefix of n steps has the steps below n. */
struct log_points {
	size_t disarmed; /* behind the flush of the last disk's disarming */
	size_t arm;      /* the first step of arming */
	size_t boot;     /* the first step of the last stage, what firmware starts from */
	size_t end;
};

static void __attribute__((noreturn, format(printf, 1, 2), unused)) log_die(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	fputc('\n', stderr);
	exit(1);
}

static inline const uint8_t *log_data(const struct log_record *r)
{
	return (const uint8_t *)(r + 1);
}

/* Data is padded, so that every record is aligned. */
static inline uint64_t log_padded(uint64_t len)
{
	return (len + 7) & ~(uint64_t)7;
}

/* The disk of the log that the tools look at: REPLAY_DISK=N, the first is 0. */
static inline uint32_t log_disk(void)
{
	const char *n = getenv("REPLAY_DISK");

	return n ? (uint32_t)atoi(n) : 0;
}

static inline void log_open(struct log *l, const char *path)
{
	struct stat st;
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	if (fd < 0 || fstat(fd, &st) < 0)
		log_die("%s: %s", path, strerror(errno));
	l->size = (size_t)st.st_size;
	l->map = mmap(NULL, l->size ? l->size : 1, PROT_READ, MAP_PRIVATE, fd, 0);
	close(fd);
	if (l->map == MAP_FAILED)
		log_die("%s: %s", path, strerror(errno));
	struct log_step now = { .phase = "" };
	for (size_t at = 0; at + sizeof(struct log_record) <= l->size;) {
		const struct log_record *r = (const struct log_record *)(l->map + at);
		at += sizeof(*r) + log_padded(r->data_len);
		if (r->kind == 'P')
			now.phase = (const char *)log_data(r);
		else if (r->kind == 'S' && r->disk == log_disk())
			now.synced = now.latest = r;
		else if (r->kind == 'U' && r->disk == log_disk())
			now.latest = r;
		if (!strchr("WZDF", r->kind))
			continue;
		l->steps = realloc(l->steps, (l->nr + 2) * sizeof(*l->steps));
		if (!l->steps)
			log_die("out of memory");
		now.rec = r;
		now.data = log_data(r);
		l->steps[l->nr++] = now;
	}
	if (!l->nr)
		log_die("%s: no step in it", path);
	now.rec = NULL;
	l->steps[l->nr] = now;
}

static inline struct log_points log_find_points(const struct log *l)
{
	struct log_points p = { .end = l->nr };
	size_t flushes = 0, nr_disks = 1;

	for (size_t i = 0; i < l->nr; i++)
		nr_disks = l->steps[i].rec->disk >= nr_disks ? l->steps[i].rec->disk + 1 : nr_disks;
	for (size_t i = 0; i < l->nr; i++)
		if (!strcmp(l->steps[i].phase, "disarm") && l->steps[i].rec->kind == 'F')
			p.disarmed = i + 1;
	for (p.arm = 0; p.arm < l->nr && strcmp(l->steps[p.arm].phase, "arm"); p.arm++)
		;
	/* Two stages, each with a flush of every disk, come before the last. */
	for (p.boot = p.arm; p.boot < l->nr && flushes < 2 * nr_disks; p.boot++)
		flushes += l->steps[p.boot].rec->kind == 'F';
	return p;
}

static inline void log_pwrite(int fd, const uint8_t *p, uint64_t len, uint64_t off)
{
	while (len) {
		ssize_t n = pwrite(fd, p, len, (off_t)off);
		if (n <= 0)
			log_die("writing at %llu: %s", (unsigned long long)off, strerror(errno));
		p += n;
		len -= (uint64_t)n;
		off += (uint64_t)n;
	}
}

/* Do one step to a plain file, or the first `max` bytes of it. */
static inline void log_apply(const struct log_step *s, int fd, uint64_t max)
{
	uint64_t len = s->rec->len < max ? s->rec->len : max;

	if (s->rec->kind == 'W')
		log_pwrite(fd, s->data, len, s->rec->off);
	else if (s->rec->kind != 'F' && len && fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)s->rec->off, (off_t)len) < 0)
		log_die("clearing at %llu: %s", (unsigned long long)s->rec->off, strerror(errno));
}

#endif
