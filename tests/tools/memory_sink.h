/* SPDX-License-Identifier: GPL-3.0-or-later */
/* A target in memory, for tools that restore thousands of times. */
#ifndef CALCO_TESTS_TOOLS_MEMORY_SINK_H
#define CALCO_TESTS_TOOLS_MEMORY_SINK_H

#include "base/blk.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct memory_sink {
	struct blk_sink base;
	uint8_t *bytes;
	uint8_t *first; /* as it was at the first flush: disarmed, and nothing written yet */
};

static int memory_write(struct blk_sink *s, uint64_t off, const void *buf, size_t len, struct err *e)
{
	(void)e;
	memcpy(((struct memory_sink *)s)->bytes + off, buf, len);
	return 0;
}

static int memory_flush(struct blk_sink *s, struct err *e)
{
	struct memory_sink *m = (struct memory_sink *)s;

	(void)e;
	if (!m->first && (m->first = malloc(s->size)))
		memcpy(m->first, m->bytes, s->size);
	return 0;
}

static int memory_read_back(struct blk_sink *s, uint64_t off, void *buf, size_t len, struct err *e)
{
	(void)e;
	memcpy(buf, ((struct memory_sink *)s)->bytes + off, len);
	return 0;
}

static void memory_close(struct blk_sink *s)
{
	free(((struct memory_sink *)s)->bytes);
	free(((struct memory_sink *)s)->first);
	free(s);
}

static inline struct memory_sink *memory_sink_new(uint64_t size)
{
	static const struct blk_sink_ops ops = {
		.write = memory_write,
		.flush = memory_flush,
		.read_back = memory_read_back,
		.close = memory_close,
	};
	struct memory_sink *m = calloc(1, sizeof(*m));

	m->base = (struct blk_sink){ .ops = &ops, .size = size, .is_file = true, .sector_size = 512, .phys_sector_size = 512 };
	snprintf(m->base.name, sizeof(m->base.name), "memory");
	m->bytes = malloc(size);
	return m;
}

#endif
