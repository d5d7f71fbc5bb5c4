/* SPDX-License-Identifier: GPL-3.0-or-later */
/* See plan_skip.h. Only whole leaves of 4 KiB are left out, so that neither granules nor the units of an encryption below are cut. */
#include "imager/job/plan_skip.h"

#include "base/arith.h"
#include "base/size.h"

#include <stdio.h>
#include <string.h>

static void end_file(struct plan_skips *s)
{
	char size[32];
	size_t used = strlen(s->what);

	if (!s->file_bytes)
		return;
	size_format(s->file_bytes, size);
	snprintf(s->what + used, sizeof(s->what) - used, "%s%s %s", used ? ", " : "", s->file, size);
	s->file_bytes = 0;
}

static int add(void *arg, size_t member, uint64_t start, uint64_t len, const char *file, struct err *e)
{
	struct plan_skips *s = arg;
	uint64_t end = round_down_u64(start + len, LEAF_SIZE);

	if (strcmp(s->file, file)) {
		end_file(s);
		snprintf(s->file, sizeof(s->file), "%s", file);
	}
	start = round_up_u64(start, LEAF_SIZE);
	if (start >= end)
		return 0;
	if (s->nr == s->room) {
		size_t room = s->room ? s->room * 2 : 64;
		struct plan_skip *grown = reallocarray(s->list, room, sizeof(*grown));
		if (!grown)
			return err_nomem(e, "the ranges of a volume");
		s->list = grown;
		s->room = room;
	}
	s->list[s->nr++] = (struct plan_skip){ .member = member, .start = start, .len = end - start };
	s->file_bytes += end - start;
	return 0;
}

static int compare(const void *a, const void *b)
{
	const struct plan_skip *x = a, *y = b;

	if (x->member != y->member)
		return x->member < y->member ? -1 : 1;
	return (x->start > y->start) - (x->start < y->start);
}

int plan_skips_find(struct plan_skips *s, struct fsd_volume *fs, struct err *e)
{
	if (fsd_volatile_ranges(fs, add, s, e) < 0) {
		plan_skips_release(s);
		bool is_told = e->code == ERR_CORRUPT || e->code == ERR_UNSUPPORTED || (e->code == ERR_FAILED && blk_is_medium_error(e));
		return is_told ? 0 : -1;
	}
	end_file(s);
	if (s->nr)
		qsort(s->list, s->nr, sizeof(*s->list), compare);
	return 0;
}

/* The first that ends behind a place. */
static size_t find(const struct plan_skips *s, size_t member, uint64_t start)
{
	size_t lo = 0, hi = s->nr;

	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;
		const struct plan_skip *k = &s->list[mid];
		if (k->member < member || (k->member == member && k->start + k->len <= start))
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

int plan_skips_keep(const struct plan_skips *s, size_t member, uint64_t start, uint64_t len, fsd_range_fn emit, void *arg, struct err *e)
{
	uint64_t end = start + len;

	for (size_t i = find(s, member, start); i < s->nr && s->list[i].member == member && s->list[i].start < end; i++) {
		const struct plan_skip *k = &s->list[i];
		if (k->start > start && emit(arg, member, start, k->start - start, e) < 0)
			return -1;
		start = min_u64(end, k->start + k->len);
	}
	return start < end ? emit(arg, member, start, end - start, e) : 0;
}

int plan_skips_note(const struct plan_skips *s, struct plan *p, size_t dev, struct img_volume *v, struct err *e)
{
	char rest[sizeof(v->notice)], what[sizeof(s->what) + 32];

	if (!s->nr)
		return 0;
	for (size_t i = 0; i < s->nr; i++)
		if (plan_add_skipped(p, v, dev, s->list[i].start, s->list[i].len, e) < 0)
			return -1;
	v->flags |= IMG_VOL_SKIPPED;
	snprintf(rest, sizeof(rest), "%s", v->notice);
	snprintf(what, sizeof(what), "left out on request: %s", s->what);
	plan_notice(v->notice, sizeof(v->notice), what, "; ", rest);
	return 0;
}

void plan_skips_release(struct plan_skips *s)
{
	free(s->list);
	*s = (struct plan_skips){ 0 };
}
