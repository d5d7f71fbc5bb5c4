/* SPDX-License-Identifier: GPL-3.0-or-later */
/* A source that reads nothing more once the job shall stop: whoever reads for long, a file system driver above all, need not ask. See blk.h. */
#include "base/blk.h"

#include "base/arith.h"
#include "base/progress.h"

struct stoppable {
	struct blk_source base;
	struct blk_source *of;
	const struct progress *p;
};

static int stoppable_read(struct blk_source *s, uint64_t off, void *buf, size_t len, struct err *e)
{
	const struct stoppable *st = (const struct stoppable *)s;

	return progress_check(st->p, e) < 0 ? -1 : blk_read(st->of, off, buf, len, e);
}

static int stoppable_fd(struct blk_source *s, uint64_t *ret_off)
{
	return blk_fd(((struct stoppable *)s)->of, ret_off);
}

static void stoppable_close(struct blk_source *s)
{
	free(s);
}

struct blk_source *blk_stoppable(struct blk_source *of, const struct progress *p, struct err *e)
{
	static const struct blk_source_ops ops = { .read = stoppable_read, .fd = stoppable_fd, .close = stoppable_close };
	struct stoppable *s = alloc_array(1, sizeof(*s));

	if (!s) {
		err_nomem(e, of->name);
		return NULL;
	}
	*s = (struct stoppable){ .base = *of, .of = of, .p = p };
	s->base.ops = &ops;
	return &s->base;
}
