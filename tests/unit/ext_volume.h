/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * What the tests of the ext driver share: a scratch folder, commands run in it, bytes peeked and poked, and a volume
 * opened by the driver itself (not through fsd_open) with its map as one state per KiB.
 */
#ifndef CALCO_TESTS_UNIT_EXT_VOLUME_H
#define CALCO_TESTS_UNIT_EXT_VOLUME_H

#include "base/span.h"
#include "fsdrivers/fsdriver.h"

#include <check.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>

#define KIB 1024ULL
#define MIB (1024ULL * KIB)
#define NR(a) ((int)(sizeof(a) / sizeof((a)[0])))

static char dir[] = "/tmp/calco-ext-XXXXXX";

/* ---- commands and bytes ---- */

__attribute__((format(printf, 1, 2))) static inline int sh(const char *fmt, ...)
{
	char cmd[4096];
	va_list ap;

	int n = snprintf(cmd, sizeof(cmd), "cd %s && exec >/dev/null 2>log && ", dir);
	va_start(ap, fmt);
	vsnprintf(cmd + n, sizeof(cmd) - (size_t)n, fmt, ap);
	va_end(ap);
	int r = system(cmd);
	if (getenv("TEST_EXT_VERBOSE"))
		fprintf(stderr, "[%d] %s\n", r, cmd + n);
	return r;
}

#define SH(...) ck_assert_int_eq(sh(__VA_ARGS__), 0)

static inline const char *at(const char *name)
{
	static char path[4][256];
	static unsigned next;
	char *p = path[next++ % 4];

	snprintf(p, sizeof(path[0]), "%s/%s", dir, name);
	return p;
}

/* The whole output of a command as a string; free() it. */
__attribute__((format(printf, 1, 2))) static inline char *output_of(const char *fmt, ...)
{
	char cmd[1024];
	va_list ap;

	int n = snprintf(cmd, sizeof(cmd), "cd %s && ", dir);
	va_start(ap, fmt);
	vsnprintf(cmd + n, sizeof(cmd) - (size_t)n, fmt, ap);
	va_end(ap);
	FILE *f = popen(cmd, "r");
	ck_assert_ptr_nonnull(f);
	char *text = NULL;
	size_t room = 0;
	if (getdelim(&text, &room, '\0', f) < 0) {
		free(text);
		text = strdup("");
	}
	pclose(f);
	return text;
}

static inline void make_garbage(const char *name, uint64_t size, int byte)
{
	static uint8_t buf[1 << 20];
	FILE *f = fopen(at(name), "w");

	ck_assert_ptr_nonnull(f);
	memset(buf, byte, sizeof(buf));
	for (uint64_t left = size; left; left -= left < sizeof(buf) ? left : sizeof(buf))
		fwrite(buf, 1, left < sizeof(buf) ? left : sizeof(buf), f);
	ck_assert_int_eq(fclose(f), 0);
}

static inline void peek(const char *name, uint64_t off, void *buf, size_t len)
{
	int fd = open(at(name), O_RDONLY | O_CLOEXEC);

	ck_assert_int_eq(pread(fd, buf, len, (off_t)off), (ssize_t)len);
	close(fd);
}

static inline void poke(const char *name, uint64_t off, const void *buf, size_t len)
{
	int fd = open(at(name), O_WRONLY | O_CLOEXEC);

	ck_assert_int_eq(pwrite(fd, buf, len, (off_t)off), (ssize_t)len);
	close(fd);
}

static inline void poke32(const char *name, uint64_t off, uint32_t v)
{
	uint8_t b[4];

	put_le32(b, 0, v);
	poke(name, off, b, 4);
}

static inline uint32_t peek32(const char *name, uint64_t off)
{
	uint8_t b[4];

	peek(name, off, b, 4);
	return get_le32(b);
}

/* ---- an opened volume and its map, one state per KiB ---- */

struct opened {
	struct blk_source *src, *window;
	struct blk_source *members[1];
	struct blk_set set;
	struct fsd_volume *v;
	uint8_t *state; /* enum ext_state of each KiB of the file system */
	uint64_t nr;
	struct err e;
	int result;
};

static inline void open_sized(struct opened *o, const char *name, uint64_t size)
{
	*o = (struct opened){ .e = ERR_INIT };
	o->src = blk_open(at(name), 0, false, &o->e);
	ck_assert_ptr_nonnull(o->src);
	o->members[0] = o->src;
	if (size) {
		o->window = blk_window(o->src, 0, size, name, &o->e);
		o->members[0] = o->window;
	}
	o->set = (struct blk_set){ .members = o->members, .nr = 1 };
	ck_assert_int_eq(fsd_ext.probe(o->members[0], &o->e), 1);
	o->result = fsd_ext.open(&o->set, &o->v, &o->e);
}

static inline int collect(void *arg, size_t member, uint64_t start, uint64_t len, enum ext_state state, struct err *e)
{
	struct opened *o = arg;
	const struct fsd_info *i = &o->v->info;

	(void)e;
	ck_assert_uint_eq(member, 0);
	ck_assert_uint_gt(len, 0);
	ck_assert_uint_eq(start % i->granule, 0);
	ck_assert(len % i->granule == 0 || start + len == i->size);
	ck_assert_uint_le(start + len, i->size);
	for (uint64_t k = start / KIB; k < (start + len) / KIB; k++)
		if (o->state[k] < state)
			o->state[k] = (uint8_t)state;
	return 0;
}

static inline int map_opened(struct opened *o)
{
	o->nr = o->v->info.size / KIB;
	o->state = calloc(o->nr, 1);
	return fsd_ext.map(o->v, collect, o, &o->e);
}

static inline void close_opened(struct opened *o)
{
	fsd_ext.close(o->v);
	blk_close(o->window);
	blk_close(o->src);
	free(o->state);
}

static inline void open_and_map(struct opened *o, const char *name)
{
	open_sized(o, name, 0);
	ck_assert_msg(o->result == 0, "%s: %s", name, o->e.msg);
	ck_assert_msg(map_opened(o) == 0, "%s: %s", name, o->e.msg);
}

/* ---- the main program of each file ---- */

static inline int run_suite(Suite *s)
{
	setenv("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", 1);
	if (!mkdtemp(dir)) {
		perror(dir);
		return EXIT_FAILURE;
	}
	SRunner *r = srunner_create(s);
	srunner_run_all(r, CK_ENV);
	int failed = srunner_ntests_failed(r);
	srunner_free(r);
	if (!getenv("TEST_EXT_KEEP"))
		failed += sh("rm -rf %s", dir) != 0;
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}

#endif
