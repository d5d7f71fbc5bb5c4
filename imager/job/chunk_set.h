/* SPDX-License-Identifier: GPL-3.0-or-later */
/* A set of present chunks, by their place among all present ones. Adding is thread-safe. Private to imager/job. */
#ifndef CALCO_IMAGER_JOB_CHUNK_SET_H
#define CALCO_IMAGER_JOB_CHUNK_SET_H

#include "base/auto.h"
#include "base/err.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

struct chunk_set {
	uint64_t size;          /* places 0..size-1 */
	atomic_uint_fast64_t nr; /* in the set */
	_Atomic uint64_t bits[];
};

static inline struct chunk_set *chunk_set_new(uint64_t size, struct err *e)
{
	struct chunk_set *s = calloc(1, sizeof(*s) + (size_t)(size / 64 + 1) * sizeof(s->bits[0]));

	if (!s) {
		err_nomem(e, "the plan");
		return NULL;
	}
	s->size = size;
	return s;
}

static inline void chunk_set_add(struct chunk_set *s, uint64_t present)
{
	uint64_t bit = (uint64_t)1 << present % 64;

	if (present < s->size && !(atomic_fetch_or(&s->bits[present / 64], bit) & bit))
		atomic_fetch_add(&s->nr, 1);
}

static inline bool chunk_set_has(const struct chunk_set *s, uint64_t present)
{
	return present < s->size && s->bits[present / 64] >> present % 64 & 1;
}

#endif
