/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Putting a partition table together: notices, entries, structures; see pt_internal.h. */
#include "imager/disk/pt_internal.h"

#include "base/arith.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NR_NOTICES (sizeof(((struct pt_table *)0)->notices) / sizeof(((struct pt_table *)0)->notices[0]))

void pt_notice(struct pt_table *t, const char *fmt, ...)
{
	char text[sizeof(t->notices[0])];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	for (size_t i = 0; i < t->nr_notices; i++)
		if (!strcmp(t->notices[i], text))
			return;
	if (t->nr_notices == NR_NOTICES) {
		snprintf(t->notices[NR_NOTICES - 1], sizeof(text), "there is more to say about this table than is shown here");
		return;
	}
	memcpy(t->notices[t->nr_notices++], text, sizeof(text));
}

/* Room for one more: the capacity is the next power of two of the number in use, so it need not be stored. */
static void *grow(void *array, size_t nr, size_t size)
{
	if (nr && (nr & (nr - 1)))
		return array;
	return reallocarray(array, nr ? nr * 2 : 1, size);
}

int pt_add_entry(struct pt_table *t, const struct pt_entry *en, struct err *e)
{
	struct pt_entry *p = grow(t->entries, t->nr, sizeof(*p));

	if (!p)
		return err_nomem(e, "the partition table");
	t->entries = p;
	t->entries[t->nr++] = *en;
	return 0;
}

int pt_add_structure(struct pt_table *t, uint64_t start, uint64_t len, struct err *e)
{
	if (!len)
		return 0;
	struct range *p = grow(t->structures, t->nr_structures, sizeof(*p));
	if (!p)
		return err_nomem(e, "the partition table");
	t->structures = p;
	t->structures[t->nr_structures++] = (struct range){ .start = start, .len = len };
	return 0;
}

static int by_start_then_number(const void *pa, const void *pb)
{
	const struct pt_entry *a = pa, *b = pb;

	if (a->start != b->start)
		return a->start < b->start ? -1 : 1;
	return a->number < b->number ? -1 : a->number > b->number;
}

static int by_start(const void *pa, const void *pb)
{
	const struct range *a = pa, *b = pb;

	return a->start < b->start ? -1 : a->start > b->start;
}

size_t pt_ranges_join(struct range *r, size_t nr)
{
	size_t out = 0;

	if (nr)
		qsort(r, nr, sizeof(*r), by_start);
	for (size_t i = 0; i < nr; i++) {
		if (!r[i].len)
			continue;
		uint64_t end = r[i].start + r[i].len;
		if (!out || r[i].start > r[out - 1].start + r[out - 1].len)
			r[out++] = r[i];
		else
			r[out - 1].len = max_u64(r[out - 1].start + r[out - 1].len, end) - r[out - 1].start;
	}
	return out;
}

void pt_finish(struct pt_table *t, uint64_t disk_size)
{
	if (t->nr)
		qsort(t->entries, t->nr, sizeof(*t->entries), by_start_then_number);
	for (size_t i = 0; i < t->nr_structures; i++) {
		struct range *r = &t->structures[i];
		r->len = r->start < disk_size ? min_u64(r->len, disk_size - r->start) : 0;
	}
	t->nr_structures = pt_ranges_join(t->structures, t->nr_structures);
}

bool pt_is_sector_size(uint32_t n)
{
	return is_pow2(n) && n >= 512 && n <= 4096;
}

void pt_free(struct pt_table *t)
{
	if (!t)
		return;
	free(t->entries);
	free(t->structures);
	free(t);
}
