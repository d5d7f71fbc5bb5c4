/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * For the fuzz targets of file-system drivers: everything a driver does, over bytes in memory, with the promises of
 * fsdriver.h checked.
 */
#ifndef CALCO_TESTS_FSD_FUZZ_H
#define CALCO_TESTS_FSD_FUZZ_H

#include "fsdrivers/fsdriver.h"
#include "tests/fuzz/fuzz.h"

static inline int fuzz_extent(void *arg, size_t member, uint64_t start, uint64_t len, enum ext_state state, struct err *e)
{
	const struct fsd_volume *v = arg;
	uint64_t size = v->set.members[0]->size;

	(void)e;
	FUZZ_CHECK(member == 0 && len && start <= size && len <= size - start);
	FUZZ_CHECK(start % v->info.granule == 0);
	FUZZ_CHECK((start + len) % v->info.granule == 0 || start + len == size);
	FUZZ_CHECK(state == EXT_USED || state == EXT_ZERO);
	return 0;
}

static inline int fuzz_range(void *arg, size_t member, uint64_t start, uint64_t len, struct err *e)
{
	(void)arg;
	(void)e;
	FUZZ_CHECK(member == 0 && len && start + len >= start);
	return 0;
}

static inline void fuzz_source(const struct fsd_driver *d, struct blk_source *src)
{
	struct err e = ERR_INIT;
	struct blk_set set = { &src, 1 };
	struct fsd_volume *v;
	uint64_t size = src->size;

	FUZZ_CHECK(d->probe(src, &e) >= 0);
	if (d->open(&set, &v, &e) == 0) {
		uint32_t g = v->info.granule;
		FUZZ_CHECK(g >= 512 && g <= 4096 && !(g & (g - 1)));
		FUZZ_CHECK(v->info.size <= size && (v->info.size == size || v->info.size % g == 0));
		FUZZ_CHECK(v->info.type[0] && (v->info.state == FSD_CLEAN) == !v->info.reason[0]);
		if (d->map(v, fuzz_extent, v, &e) < 0)
			FUZZ_CHECK(e.code != ERR_NONE && e.msg[0]);
		if (d->arm_ranges(v, fuzz_range, v, &e) < 0)
			FUZZ_CHECK(e.code != ERR_NONE && e.msg[0]);
		d->close(v);
	} else {
		FUZZ_CHECK(e.code != ERR_NONE && e.msg[0]);
	}
}

static inline void fuzz_driver(const struct fsd_driver *d, const uint8_t *data, size_t size)
{
	struct err e = ERR_INIT;
	struct blk_source *src = blk_mem(data, size, 512, "fuzz", &e);

	FUZZ_CHECK(src);
	fuzz_source(d, src);
	blk_close(src);
}

#endif
