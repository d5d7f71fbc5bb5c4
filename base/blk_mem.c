/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Sources without a device: over memory, and as a window into another source. */
#include "base/blk.h"

#include "base/arith.h"

#include <stdio.h>
#include <string.h>

struct mem_source {
	struct blk_source base;
	const uint8_t *data;
};

static int mem_read(struct blk_source *s, uint64_t off, void *buf, size_t len, struct err *e)
{
	(void)e;
	memcpy(buf, ((struct mem_source *)s)->data + off, len);
	return 0;
}

static void plain_close(struct blk_source *s)
{
	free(s);
}

struct blk_source *blk_mem(const void *data, size_t len, uint32_t sector_size, const char *name, struct err *e)
{
	static const struct blk_source_ops ops = { .read = mem_read, .close = plain_close };
	struct mem_source *m = alloc_array(1, sizeof(*m));

	if (!m) {
		err_nomem(e, name);
		return NULL;
	}
	m->base = (struct blk_source){ .ops = &ops, .size = len, .sector_size = sector_size, .phys_sector_size = sector_size };
	snprintf(m->base.name, sizeof(m->base.name), "%s", name);
	m->data = data;
	return &m->base;
}

struct window_source {
	struct blk_source base;
	struct blk_source *of;
	uint64_t start;
};

static int window_read(struct blk_source *s, uint64_t off, void *buf, size_t len, struct err *e)
{
	struct window_source *w = (struct window_source *)s;
	return blk_read(w->of, w->start + off, buf, len, e);
}

static int window_fd(struct blk_source *s, uint64_t *ret_off)
{
	struct window_source *w = (struct window_source *)s;
	int fd = blk_fd(w->of, ret_off);

	if (fd >= 0)
		*ret_off += w->start;
	return fd;
}

struct blk_source *blk_window(struct blk_source *of, uint64_t start, uint64_t len, const char *name, struct err *e)
{
	static const struct blk_source_ops ops = { .read = window_read, .fd = window_fd, .close = plain_close };

	if (!range_inside(start, len, of->size)) {
		err_set(e, ERR_CORRUPT, 0, "'%s' reaches beyond the end of '%s'", name, of->name);
		return NULL;
	}
	struct window_source *w = alloc_array(1, sizeof(*w));
	if (!w) {
		err_nomem(e, name);
		return NULL;
	}
	w->base = *of;
	w->base.ops = &ops;
	w->base.size = len;
	snprintf(w->base.name, sizeof(w->base.name), "%s", name);
	w->of = of;
	w->start = start;
	return &w->base;
}
