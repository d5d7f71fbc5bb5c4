/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * A volume without its zeros as the input of a fuzz target: 8 bytes of size, then records of 4 bytes sector number (512
 * bytes) and 512 bytes of content, of which later ones win. The make_*_seeds.sh make such files from real volumes.
 */
#ifndef CALCO_TESTS_FUZZ_SPARSE_H
#define CALCO_TESTS_FUZZ_SPARSE_H

#include "base/arith.h"
#include "base/blk.h"
#include "base/span.h"

#define SECTOR 512U
#define RECORD (4U + SECTOR)

struct sparse_source {
	struct blk_source base;
	const uint8_t *records;
	size_t nr;
	uint64_t nr_read; /* bytes, to see that work is bounded */
};

/* Copy what of [at, at+n) lies in [off, off+len). */
static inline void overlay(uint8_t *buf, uint64_t off, size_t len, uint64_t at, const uint8_t *bytes, size_t n)
{
	uint64_t start = max_u64(at, off), end = min_u64(at + n, off + len);

	if (start < end)
		memcpy(buf + (start - off), bytes + (start - at), (size_t)(end - start));
}

static inline int sparse_read(struct blk_source *s, uint64_t off, void *buf, size_t len, struct err *e)
{
	struct sparse_source *f = (struct sparse_source *)s;

	(void)e;
	memset(buf, 0, len);
	f->nr_read += len;
	for (size_t i = 0; i < f->nr; i++) {
		const uint8_t *r = f->records + i * RECORD;
		overlay(buf, off, len, (uint64_t)get_le32(r) * SECTOR, r + 4, SECTOR);
	}
	return 0;
}

/* At least 8 bytes of input; the volume's size is what they say, below max_size. */
static inline struct sparse_source sparse_source(const struct blk_source_ops *ops, const uint8_t *data, size_t size, uint64_t max_size)
{
	struct blk_source base = { .ops = ops, .size = get_le64(data) % max_size, .sector_size = SECTOR, .phys_sector_size = SECTOR, .name = "fuzz" };

	return (struct sparse_source){ .base = base, .records = data + 8, .nr = (size - 8) / RECORD };
}

#endif
