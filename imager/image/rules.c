/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Rules that tie several parts of an image together; see rules.h. */
#include "imager/image/rules.h"

#include "base/arith.h"

#include <stdbool.h>
#include <string.h>

static bool all_zero(const uint8_t *p, size_t len)
{
	return len == 0 || (p[0] == 0 && !memcmp(p, p + 1, len - 1));
}

/* The first copy of a table that does not end before byte `start` of a disk: copies are sorted and do not overlap. */
static size_t first_copy(const struct img_manifest *m, uint32_t disk, uint64_t start)
{
	size_t lo = 0, hi = m->nr_tables;

	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;
		const struct img_table_copy *t = &m->tables[mid];
		if (t->disk < disk || (t->disk == disk && t->start + t->len <= start))
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

/* The same for unreadable ranges. */
static size_t first_bad(const struct img_manifest *m, uint32_t disk, uint64_t start)
{
	size_t lo = 0, hi = m->nr_bad;

	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;
		const struct img_range *b = &m->bad[mid];
		if (b->disk < disk || (b->disk == disk && b->start + b->len <= start))
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

int rules_content(const struct img_manifest *m, const struct img_cursor *at, const uint8_t *content, struct err *e)
{
	const struct img_region *r = &m->regions[at->region];
	uint64_t start = r->start + at->i * CHUNK_SIZE, end = start + min_u64(CHUNK_SIZE, r->start + r->len - start);

	for (size_t i = first_copy(m, r->disk, start); i < m->nr_tables && m->tables[i].disk == r->disk && m->tables[i].start < end; i++) {
		const struct img_table_copy *t = &m->tables[i];
		uint64_t from = max_u64(t->start, start), to = min_u64(t->start + t->len, end);
		if (from < to && memcmp(content + (from - start), t->bytes + (from - t->start), (size_t)(to - from)))
			return err_set(e, ERR_CORRUPT, 0, "chunk %llu differs from the head's copy of a partition table",
				(unsigned long long)at->chunk);
	}
	for (size_t i = first_bad(m, r->disk, start); i < m->nr_bad && m->bad[i].disk == r->disk && m->bad[i].start < end; i++) {
		uint64_t from = max_u64(m->bad[i].start, start), to = min_u64(m->bad[i].start + m->bad[i].len, end);
		if (!all_zero(content + (from - start), (size_t)(to - from)))
			return err_set(e, ERR_CORRUPT, 0, "chunk %llu has content where the image says it was unreadable",
				(unsigned long long)at->chunk);
	}
	return 0;
}

/* The part of a copy that lies in one region. */
static bool absent_is_zero(const struct img_region *r, const struct img_table_copy *t, uint64_t from, uint64_t to)
{
	while (from < to) {
		uint64_t i = (from - r->start) / CHUNK_SIZE, stop = min_u64(to, r->start + (i + 1) * CHUNK_SIZE);
		if (cmap_next_present(r->map, i) != i && !all_zero(t->bytes + (from - t->start), (size_t)(stop - from)))
			return false;
		from = stop;
	}
	return true;
}

int rules_copies_in_absent(const struct img_manifest *m, struct err *e)
{
	size_t k = 0; /* both lists are sorted by disk and start */

	for (size_t i = 0; i < m->nr_tables; i++) {
		const struct img_table_copy *t = &m->tables[i];
		uint64_t at = t->start, end = t->start + t->len;
		while (at < end) {
			const struct img_region *r = &m->regions[k];
			if (r->disk < t->disk || (r->disk == t->disk && r->start + r->len <= at)) {
				k++;
				continue;
			}
			uint64_t stop = min_u64(end, r->start + r->len);
			if (!absent_is_zero(r, t, at, stop))
				return err_set(e, ERR_CORRUPT, 0,
					"the head of the image is damaged: a copy of a partition table lies where nothing is stored");
			at = stop;
		}
	}
	return 0;
}
