/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Is a target still as a restore that was cut short left it? See state.h.
 *
 * In each place that the record knows stands what it saved there, or zeros (or the stub) where that was cleared; what it saw, where
 * nothing was cleared; or what a restore said it would write. Notes lie within units of 512 bytes, since a power cut tears writes
 * between sectors, not in them.
 */
#include "imager/job/state_inner.h"

#include "base/arith.h"
#include "base/blk.h"
#include "base/hash.h"
#include "base/span.h"
#include "imager/job/holds.h"

#include <stdlib.h>
#include <string.h>

#define UNIT   512U
#define WINDOW (64U << 10)

static const uint8_t zeros[UNIT];

int state_remember_note(struct state *s, const struct known_note *n, struct err *e)
{
	if (s->nr_notes == s->notes_room) {
		size_t room = s->notes_room ? s->notes_room * 2 : 256;
		struct known_note *grown = reallocarray(s->notes, room, sizeof(*grown));
		if (!grown)
			return err_nomem(e, "the state record");
		s->notes = grown;
		s->notes_room = room;
	}
	s->notes[s->nr_notes++] = *n;
	s->end += ENTRY_HEADER;
	return 0;
}

static int by_kind_and_start(const void *a, const void *b)
{
	const struct known_note *x = a, *y = b;

	if (x->is_left != y->is_left)
		return x->is_left - y->is_left;
	return x->start < y->start ? -1 : x->start > y->start;
}

void state_sort_notes(struct state *s)
{
	if (s->nr_notes)
		qsort(s->notes, s->nr_notes, sizeof(*s->notes), by_kind_and_start);
	s->nr_sorted = s->nr_notes;
}

/* Did an earlier attempt note this? */
static bool is_noted(const struct state *s, const struct known_note *n)
{
	size_t lo = 0, hi = s->nr_sorted;

	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;
		if (by_kind_and_start(&s->notes[mid], n) < 0)
			lo = mid + 1;
		else
			hi = mid;
	}
	for (; lo < s->nr_sorted && by_kind_and_start(&s->notes[lo], n) == 0; lo++)
		if (s->notes[lo].len == n->len && s->notes[lo].crc == n->crc)
			return true;
	return false;
}

static int add_note(struct state *s, bool is_left, uint64_t start, uint32_t len, uint32_t crc, struct err *e)
{
	struct known_note n = { .start = start, .len = len, .crc = crc, .is_left = is_left };
	uint8_t h[ENTRY_HEADER];

	if (is_noted(s, &n))
		return 0;
	memcpy(h, is_left ? "LEFT" : "SEEN", 4);
	put_le32(h, 4, len);
	put_le64(h, 8, start);
	put_le32(h, 16, crc);
	put_le32(h, 20, crc32_of(h, 20));
	if (state_write_at(s, s->end, h, sizeof(h), e) < 0 || state_remember_note(s, &n, e) < 0)
		return -1;
	return 1;
}

static int by_start(const void *a, const void *b)
{
	const struct saved_range *x = a, *y = b;

	return x->start < y->start ? -1 : x->start > y->start;
}

/* Sorted, without overlaps; what only touches stays apart. Returns how many are left. */
static size_t merge_places(struct saved_range *p, size_t nr)
{
	size_t n = 0;

	if (nr)
		qsort(p, nr, sizeof(*p), by_start);
	for (size_t i = 0; i < nr; i++) {
		struct saved_range *last = n ? &p[n - 1] : NULL;
		if (last && p[i].start < last->start + last->len)
			last->len = max_u64(last->start + last->len, p[i].start + p[i].len) - last->start;
		else
			p[n++] = p[i];
	}
	return n;
}

static int make_places(struct state *s, struct err *e)
{
	if (s->places)
		return 0;
	s->places = alloc_array(s->nr_saved + s->nr_notes + 1, sizeof(*s->places));
	if (!s->places)
		return err_nomem(e, "the state record");
	size_t n = 0;
	for (size_t i = 0; i < s->nr_saved; i++)
		s->places[n++] = s->saved[i];
	for (size_t i = 0; i < s->nr_notes; i++)
		s->places[n++] = (struct saved_range){ .start = s->notes[i].start, .len = s->notes[i].len };
	s->nr_places = merge_places(s->places, n);
	return 0;
}

/* The first place that ends behind `at`; NULL when there is none. */
static const struct saved_range *next_place(const struct saved_range *p, size_t nr, uint64_t at)
{
	size_t lo = 0, hi = nr;

	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;
		if (p[mid].start + p[mid].len <= at)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo < nr ? &p[lo] : NULL;
}

static bool overlaps(const struct saved_range *p, size_t nr, uint64_t start, uint64_t len)
{
	const struct saved_range *next = next_place(p, nr, start);

	return next && next->start < start + len;
}

int state_see(struct state *s, uint64_t start, const uint8_t *bytes, size_t len, struct err *e)
{
	uint64_t end = start + len;

	/* A record is begun by what is saved, or by the first sync. */
	if ((s->fd < 0 && state_sync(s, e) < 0) || make_places(s, e) < 0)
		return -1;
	s->is_stale = true;
	for (uint64_t at = start; at < end;) {
		uint64_t stop = min_u64(round_down_u64(at, UNIT) + UNIT, end);
		if (!overlaps(s->places, s->nr_places, at, stop - at) &&
			add_note(s, false, at, (uint32_t)(stop - at), crc32_of(bytes + (at - start), (size_t)(stop - at)), e) < 0)
			return -1;
		at = stop;
	}
	return 0;
}

bool state_saved_now(const struct state *s, uint64_t start, uint64_t len)
{
	for (size_t i = s->nr_old; i < s->nr_saved; i++)
		if (s->saved[i].start < start + len && start < s->saved[i].start + s->saved[i].len)
			return true;
	return false;
}

bool state_knows(struct state *s, uint64_t start, uint64_t len)
{
	struct err ignored = ERR_INIT;

	return make_places(s, &ignored) == 0 && overlaps(s->places, s->nr_places, start, len);
}

/* bytes NULL: zeros. 1: something was noted. */
static int note_units(struct state *s, uint64_t start, const uint8_t *bytes, uint64_t len, struct err *e)
{
	uint64_t end = start + len;
	int noted = 0;

	for (uint64_t at = start; at < end;) {
		const struct saved_range *place = next_place(s->places, s->nr_places, at);
		if (!place || place->start >= end)
			break;
		at = max_u64(at, round_down_u64(place->start, UNIT));
		uint64_t stop = min_u64(round_down_u64(at, UNIT) + UNIT, end);
		uint32_t crc = crc32_of(bytes ? bytes + (at - start) : zeros, (size_t)(stop - at));
		int r = add_note(s, true, at, (uint32_t)(stop - at), crc, e);
		if (r < 0)
			return -1;
		noted |= r;
		at = stop;
	}
	return noted;
}

int state_note_write(struct state *s, uint64_t start, const uint8_t *bytes, uint64_t len, struct err *e)
{
	if (s->fd < 0 || !len)
		return 0;
	pthread_mutex_lock(&s->lock);
	int r = make_places(s, e) < 0 ? -1 : note_units(s, start, bytes, len, e);
	pthread_mutex_unlock(&s->lock);
	return r;
}

int state_will_write(struct state *s, uint64_t start, const uint8_t *bytes, uint64_t len, struct err *e)
{
	int noted = state_note_write(s, start, bytes, len, e);

	return noted > 0 ? state_sync(s, e) : noted;
}

/* ---- comparing ---- */

struct comparison {
	struct state *s;
	struct blk_source *src;
	uint8_t *window; /* of the target: WINDOW bytes at `at`, or what is left of it */
	uint64_t at;
	size_t len;
	struct state_match *ret;
	state_differs_fn fn;
	void *arg;
};

/* Up to UNIT bytes of the target that lie within one unit; NULL: it cannot be read. */
static const uint8_t *bytes_at(struct comparison *c, uint64_t start, struct err *e)
{
	uint64_t at = round_down_u64(start, WINDOW);

	if (!c->len || c->at != at) {
		c->len = 0;
		size_t len = (size_t)min_u64(WINDOW, c->src->size - at);
		if (blk_read(c->src, at, c->window, len, e) < 0)
			return NULL;
		c->at = at;
		c->len = len;
	}
	return c->window + (start - at);
}

static bool is_left(const struct comparison *c, uint64_t start, uint32_t *ret_len, struct err *e)
{
	uint64_t unit = round_down_u64(start, UNIT);
	uint32_t len = (uint32_t)min_u64(UNIT, c->src->size - unit);
	const uint8_t *now = bytes_at((struct comparison *)c, unit, e);
	struct known_note n = { .start = unit, .len = len, .is_left = true };

	*ret_len = len;
	if (!now)
		return false;
	n.crc = crc32_of(now, len);
	return is_noted(c->s, &n);
}

static int count(struct comparison *c, bool fits, bool is_seen, uint64_t start, uint64_t len, const uint8_t *now, struct err *e)
{
	if (fits) {
		c->ret->nr_proofs += memcmp(now, zeros, (size_t)len) != 0;
		return 0;
	}
	c->ret->nr_differing++;
	return c->fn ? c->fn(c->arg, start, len, is_seen, e) : 0;
}

static int compare_saved(void *arg, uint64_t start, const uint8_t *bytes, size_t len, bool is_late, struct err *e)
{
	struct comparison *c = arg;
	uint64_t end = start + len;
	uint32_t unit_len;

	(void)is_late;
	if (!range_inside(start, len, c->src->size))
		return count(c, false, false, start, len, NULL, e);
	for (uint64_t at = start; at < end;) {
		uint64_t stop = min_u64(round_down_u64(at, UNIT) + UNIT, end);
		const uint8_t *now = bytes_at(c, at, e);
		if (!now)
			return -1;
		bool fits = holds_could_leave(at, bytes + (at - start), now, (size_t)(stop - at)) || is_left(c, at, &unit_len, e);
		if (count(c, fits, false, at, stop - at, now, e) < 0)
			return -1;
		at = stop;
	}
	return 0;
}

/* What was seen stands there, in a place that is not cleared: then it would have been saved, too. */
static int compare_seen(struct comparison *c, const struct saved_range *saved, size_t nr_saved, const struct known_note *n, struct err *e)
{
	uint32_t unit_len;

	if (n->len > UNIT || !range_inside(n->start, n->len, c->src->size) || n->start % UNIT + n->len > UNIT)
		return count(c, false, true, n->start, n->len, NULL, e);
	if (overlaps(saved, nr_saved, n->start, n->len))
		return 0;
	const uint8_t *now = bytes_at(c, n->start, e);
	if (!now)
		return -1;
	return count(c, crc32_of(now, n->len) == n->crc || is_left(c, n->start, &unit_len, e), true, n->start, n->len, now, e);
}

static int compare_all(struct comparison *c, struct err *e)
{
	AUTO_FREE struct saved_range *saved = alloc_array(c->s->nr_saved + 1, sizeof(*saved));

	if (!saved)
		return err_nomem(e, "the state record");
	if (state_each(c->s, compare_saved, c, e) < 0)
		return -1;
	if (c->s->nr_saved)
		memcpy(saved, c->s->saved, c->s->nr_saved * sizeof(*saved));
	size_t nr = merge_places(saved, c->s->nr_saved);
	for (size_t i = 0; i < c->s->nr_sorted && !c->s->notes[i].is_left; i++)
		if (compare_seen(c, saved, nr, &c->s->notes[i], e) < 0)
			return -1;
	return 0;
}

int state_compare(struct state *s, struct blk_source *target, struct state_match *ret, state_differs_fn fn, void *arg, struct err *e)
{
	AUTO_FREE uint8_t *window = malloc(WINDOW);
	struct comparison c = { .s = s, .src = target, .window = window, .ret = ret, .fn = fn, .arg = arg };

	*ret = (struct state_match){ 0 };
	if (!window)
		return err_nomem(e, "the state record");
	return s->fd < 0 ? 0 : compare_all(&c, e);
}
