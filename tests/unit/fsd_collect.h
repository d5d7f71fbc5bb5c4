/* SPDX-License-Identifier: GPL-3.0-or-later */
/* For the tests of file-system drivers: what map() and arm_ranges() emit, checked and kept; scratch files; commands. */
#ifndef CALCO_TESTS_FSD_COLLECT_H
#define CALCO_TESTS_FSD_COLLECT_H

#include "fsdrivers/fsdriver.h"

#include <check.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define UNIT 512U /* the smallest granule */

/* Which units of a volume are used. */
struct collected {
	uint8_t *used;
	uint64_t size;
	uint32_t granule;
	uint64_t nr_extents;
	struct range arm[64];
	size_t nr_arm;
};

static inline int collect_extent(void *arg, size_t member, uint64_t start, uint64_t len, enum ext_state state, struct err *e)
{
	struct collected *c = arg;

	(void)e;
	ck_assert_uint_eq(member, 0);
	ck_assert_uint_gt(len, 0);
	ck_assert(start <= c->size && len <= c->size - start);
	ck_assert_uint_eq(start % c->granule, 0);
	ck_assert((start + len) % c->granule == 0 || start + len == c->size);
	ck_assert_int_eq(state, EXT_USED);
	memset(c->used + start / UNIT, 1, (start + len + UNIT - 1) / UNIT - start / UNIT);
	c->nr_extents++;
	return 0;
}

static inline int collect_range(void *arg, size_t member, uint64_t start, uint64_t len, struct err *e)
{
	struct collected *c = arg;

	(void)e;
	ck_assert_uint_eq(member, 0);
	ck_assert_uint_gt(len, 0);
	ck_assert_uint_lt(c->nr_arm, 64);
	c->arm[c->nr_arm++] = (struct range){ start, len };
	return 0;
}

/* Runs map() and arm_ranges(). Release with collected_release(). */
static inline struct collected collect(struct fsd_volume *v)
{
	struct err e = ERR_INIT;
	struct collected c = { .size = v->set.members[0]->size, .granule = v->info.granule };

	ck_assert_uint_ge(c.granule, 512);
	ck_assert_uint_le(c.granule, 4096);
	ck_assert_uint_eq(c.granule & (c.granule - 1), 0);
	ck_assert_uint_le(v->info.size, c.size);
	c.used = calloc(c.size / UNIT + 1, 1);
	ck_assert_msg(v->driver->map(v, collect_extent, &c, &e) == 0, "%s", e.msg);
	/* What fsd_map() adds */
	if (v->info.size < c.size)
		ck_assert_int_eq(collect_extent(&c, 0, v->info.size, c.size - v->info.size, EXT_USED, &e), 0);
	ck_assert_msg(v->driver->arm_ranges(v, collect_range, &c, &e) == 0, "%s", e.msg);
	return c;
}

static inline void collected_release(struct collected *c)
{
	free(c->used);
}

/* A printf-formatted shell command; its exit status. */
__attribute__((format(printf, 1, 2))) static inline int run(const char *fmt, ...)
{
	char cmd[2048];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(cmd, sizeof(cmd), fmt, ap);
	va_end(ap);
	int r = system(cmd);
	return r >= 0 && WIFEXITED(r) ? WEXITSTATUS(r) : 255;
}

static inline int remove_one(const char *path, const struct stat *st, int flag, struct FTW *ftw)
{
	(void)st;
	(void)flag;
	(void)ftw;
	return remove(path);
}

static inline void remove_tree(const char *dir)
{
	nftw(dir, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

static inline void poke(const char *path, uint64_t off, const void *data, size_t len)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);

	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(pwrite(fd, data, len, (off_t)off), (ssize_t)len);
	close(fd);
}

static inline void peek(const char *path, uint64_t off, void *data, size_t len)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(pread(fd, data, len, (off_t)off), (ssize_t)len);
	close(fd);
}

/* Copies a volume, with 0xaa in what the driver calls unused. */
static inline void copy_used(struct fsd_volume *v, const struct collected *c, const char *to)
{
	struct err e = ERR_INIT;
	uint8_t *buf = malloc(c->size + UNIT);
	int fd = open(to, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	ck_assert(buf && fd >= 0);
	ck_assert_int_eq(blk_read(v->set.members[0], 0, buf, c->size, &e), 0);
	for (uint64_t i = 0; i < (c->size + UNIT - 1) / UNIT; i++) {
		if (!c->used[i])
			memset(buf + i * UNIT, 0xaa, UNIT);
	}
	ck_assert_int_eq(write(fd, buf, c->size), (ssize_t)c->size);
	close(fd);
	free(buf);
}

#endif
