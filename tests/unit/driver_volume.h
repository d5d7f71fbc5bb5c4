/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * For the test of one file-system driver, named before this is included (#define DRIVER fsd_ext): a folder with a volume
 * in the file img, opened by the driver, with bytes that cannot be read where that is asked for.
 */
#ifndef CALCO_TESTS_UNIT_DRIVER_VOLUME_H
#define CALCO_TESTS_UNIT_DRIVER_VOLUME_H

#include "tests/unit/fsd_collect.h"

#include <errno.h>

static char dir[64], img[96];

/* Once, outside the forks, so that a failed test leaves nothing behind. */
static inline void make_folder(void)
{
	snprintf(dir, sizeof(dir), "/tmp/test_%s.XXXXXX", DRIVER.name);
	ck_assert_ptr_nonnull(mkdtemp(dir));
	snprintf(img, sizeof(img), "%s/img", dir);
}

static inline void fresh(void)
{
	unlink(img);
}

static inline void teardown(void)
{
	remove_tree(dir);
}

/* An open volume over the file img. */
struct opened {
	struct blk_source *src;
	struct blk_set set;
	struct fsd_volume *v; /* NULL when open() failed */
	struct err e;
	int probed, opened; /* what probe() and open() returned */
};

/* Returns what open() does; release with close_img(), whatever that is. */
static inline int try_open(struct opened *o)
{
	struct err ignored = ERR_INIT;

	memset(o, 0, sizeof(*o));
	o->src = blk_open(img, 0, false, &o->e);
	ck_assert_ptr_nonnull(o->src);
	o->set = (struct blk_set){ &o->src, 1 };
	o->probed = DRIVER.probe(o->src, &ignored);
	o->opened = DRIVER.open(&o->set, &o->v, &o->e);
	return o->opened;
}

static inline void open_img(struct opened *o)
{
	ck_assert_msg(try_open(o) == 0, "%s", o->e.msg);
	ck_assert_int_eq(o->probed, 1);
}

static inline void close_img(struct opened *o)
{
	DRIVER.close(o->v);
	blk_close(o->src);
}

/* open() must fail with this code and these words. */
static inline void expect_failure(enum err_code code, const char *words)
{
	struct opened o;

	ck_assert_msg(try_open(&o) == -1, "opened, not: %s", words);
	ck_assert_msg(o.e.code == code && strstr(o.e.msg, words), "%d: %s, not: %s", o.e.code, o.e.msg, words);
	close_img(&o);
}

static inline int ignore_extent(void *arg, size_t member, uint64_t start, uint64_t len, enum ext_state state, struct err *e)
{
	(void)arg, (void)member, (void)start, (void)len, (void)state, (void)e;
	return 0;
}

/* open() succeeds, map() fails with ERR_CORRUPT and these words. */
static inline void expect_contradiction(const char *words)
{
	struct opened o;

	open_img(&o);
	ck_assert_int_eq(fsd_map(o.v, ignore_extent, NULL, &o.e), -1);
	ck_assert_msg(o.e.code == ERR_CORRUPT && strstr(o.e.msg, words), "%d: %s, not: %s", o.e.code, o.e.msg, words);
	close_img(&o);
}

/* What open() found. words: in the detail, or in the notice */
static inline void expect_told(enum fsd_state state, const char *reason, const char *words)
{
	struct opened o;

	open_img(&o);
	ck_assert_int_eq(o.v->info.state, state);
	ck_assert_str_eq(o.v->info.reason, reason);
	ck_assert_msg(strstr(o.v->info.detail, words) || strstr(o.v->info.notice, words), "%s, %s", o.v->info.detail, o.v->info.notice);
	ck_assert_int_eq(o.v->info.advice[0] != 0, state != FSD_CLEAN);
	close_img(&o);
}

/* img with ranges that cannot be read; those of no length are none. */
struct faulty {
	struct blk_source base;
	struct blk_source *of;
	struct range bad[2];
};

static inline int faulty_read(struct blk_source *s, uint64_t off, void *buf, size_t len, struct err *e)
{
	struct faulty *f = (struct faulty *)s;

	for (size_t i = 0; i < 2; i++)
		if (off < f->bad[i].start + f->bad[i].len && f->bad[i].start < off + len)
			return err_set(e, ERR_FAILED, EIO, "reading");
	return blk_read(f->of, off, buf, len, e);
}

/* All of it can be read at first. Release with blk_close(f.of). */
static inline struct faulty faulty_open(void)
{
	static const struct blk_source_ops ops = { .read = faulty_read };
	struct err e = ERR_INIT;
	struct faulty f = { .of = blk_open(img, 0, false, &e) };

	ck_assert_ptr_nonnull(f.of);
	f.base = *f.of;
	f.base.ops = &ops;
	return f;
}

#endif
