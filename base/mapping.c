/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Mappings and the source that reads through one; see mapping.h. */
#include "base/mapping.h"

#include "base/arith.h"

#include <stdio.h>
#include <string.h>

static size_t leg_bytes(const struct map_segment *s)
{
	return s->is_mirror ? 1 : s->nr_legs;
}

/* Lists grow by doubling; nr is a power of two, or 0, when one is full. */
static bool has_room(void *list, size_t nr, size_t add, size_t size)
{
	size_t want = 1;
	void *p;

	while (want < nr + add)
		want *= 2;
	if (nr && want / 2 < nr) /* the room before was already this large */
		return true;
	memcpy(&p, list, sizeof(p)); /* a pointer to one of several types */
	p = realloc(p, want * size);
	if (p)
		memcpy(list, &p, sizeof(p));
	return p != NULL;
}

int mapping_add(struct mapping *m, uint64_t len, uint64_t stripe, const struct map_leg *legs, size_t nr_legs, struct err *e)
{
	struct map_segment s = { .start = m->size, .len = len, .stripe = stripe, .is_mirror = nr_legs > 1 && !stripe, .first_leg = m->nr_legs, .nr_legs = nr_legs };
	uint64_t size, row, end;

	if (!len || !nr_legs || nr_legs > MAPPING_MAX_LEGS || !add_u64(m->size, len, &size))
		return err_set(e, ERR_CORRUPT, 0, "a segment of %llu bytes on %zu devices is not possible", (unsigned long long)len, nr_legs);
	if (leg_bytes(&s) > 1 && (!mul_u64(stripe, nr_legs, &row) || len % row))
		return err_set(e, ERR_CORRUPT, 0, "%llu bytes are no whole number of stripes of %llu on %zu devices", (unsigned long long)len,
			(unsigned long long)stripe, nr_legs);
	for (size_t i = 0; i < nr_legs; i++)
		if (!add_u64(legs[i].start, len / leg_bytes(&s), &end))
			return err_set(e, ERR_CORRUPT, 0, "a segment at %llu is not possible", (unsigned long long)legs[i].start);
	if (!has_room(&m->segments, m->nr, 1, sizeof(*m->segments)) || !has_room(&m->legs, m->nr_legs, nr_legs, sizeof(*m->legs)))
		return err_nomem(e, "the segments of a volume");
	memcpy(m->legs + m->nr_legs, legs, nr_legs * sizeof(*legs));
	m->nr_legs += nr_legs;
	m->segments[m->nr++] = s;
	m->size = size;
	return 0;
}

void mapping_release(struct mapping *m)
{
	free(m->segments);
	free(m->legs);
	*m = (struct mapping){ 0 };
}

/* The segment that holds a byte. */
static const struct map_segment *segment_at(const struct mapping *m, uint64_t off)
{
	size_t lo = 0, hi = m->nr;

	while (hi - lo > 1) {
		size_t mid = lo + (hi - lo) / 2;
		if (m->segments[mid].start <= off)
			lo = mid;
		else
			hi = mid;
	}
	return &m->segments[lo];
}

/* The part of a segment from byte pos on that lies in a row; at most len. Returns its length. */
static uint64_t step(const struct mapping *m, const struct map_segment *s, uint64_t pos, uint64_t len, size_t *ret_leg, uint64_t *ret_start)
{
	uint64_t n = min_u64(len, s->len - pos);

	*ret_leg = s->first_leg;
	*ret_start = m->legs[s->first_leg].start + pos;
	if (leg_bytes(s) == 1)
		return n;
	uint64_t nr = pos / s->stripe, in = pos % s->stripe;
	*ret_leg += nr % s->nr_legs;
	*ret_start = m->legs[*ret_leg].start + nr / s->nr_legs * s->stripe + in;
	return min_u64(n, s->stripe - in);
}

static int outside(uint64_t off, uint64_t len, struct err *e)
{
	return err_set(e, ERR_CORRUPT, 0, "bytes %llu+%llu lie beyond the end of a volume", (unsigned long long)off, (unsigned long long)len);
}

int mapping_walk(const struct mapping *m, uint64_t off, uint64_t len, bool all_copies, mapping_fn fn, void *arg, struct err *e)
{
	if (!range_inside(off, len, m->size))
		return outside(off, len, e);
	while (len) {
		const struct map_segment *s = segment_at(m, off);
		size_t leg;
		uint64_t start, n = step(m, s, off - s->start, len, &leg, &start);
		if (fn(arg, m->legs[leg].member, start, n, e) < 0)
			return -1;
		for (size_t i = 1; all_copies && s->is_mirror && i < s->nr_legs; i++) {
			const struct map_leg *copy = &m->legs[s->first_leg + i];
			if (fn(arg, copy->member, copy->start + (off - s->start), n, e) < 0)
				return -1;
		}
		off += n;
		len -= n;
	}
	return 0;
}

/* All rows between the first and the last are whole: so in each leg it is one piece, however many stripes it has. */
static int cover_stripes(const struct mapping *m, const struct map_segment *s, uint64_t pos, uint64_t len, mapping_fn fn, void *arg, struct err *e)
{
	uint64_t n = s->nr_legs, first = pos / s->stripe, last = (pos + len - 1) / s->stripe;

	for (uint64_t low = first; low <= last && low - first < n; low++) {
		uint64_t high = last - (last - low) % n;
		uint64_t from = low / n * s->stripe + (low == first ? pos % s->stripe : 0);
		uint64_t to = high / n * s->stripe + (high == last ? (pos + len - 1) % s->stripe + 1 : s->stripe);
		const struct map_leg *leg = &m->legs[s->first_leg + low % n];
		if (fn(arg, leg->member, leg->start + from, to - from, e) < 0)
			return -1;
	}
	return 0;
}

int mapping_cover(const struct mapping *m, uint64_t off, uint64_t len, mapping_fn fn, void *arg, struct err *e)
{
	if (!range_inside(off, len, m->size))
		return outside(off, len, e);
	while (len) {
		const struct map_segment *s = segment_at(m, off);
		uint64_t n = min_u64(len, s->len - (off - s->start));
		int r = leg_bytes(s) == 1 ? mapping_walk(m, off, n, true, fn, arg, e) : cover_stripes(m, s, off - s->start, n, fn, arg, e);
		if (r < 0)
			return -1;
		off += n;
		len -= n;
	}
	return 0;
}

int mapping_areas(const struct mapping *m, mapping_fn fn, void *arg, struct err *e)
{
	for (size_t i = 0; i < m->nr; i++) {
		const struct map_segment *s = &m->segments[i];
		for (size_t k = 0; k < s->nr_legs; k++) {
			const struct map_leg *leg = &m->legs[s->first_leg + k];
			if (fn(arg, leg->member, leg->start, s->len / leg_bytes(s), e) < 0)
				return -1;
		}
	}
	return 0;
}

struct mapped_source {
	struct blk_source base;
	const struct mapping *m;
	struct blk_source **members; /* owned list of borrowed sources */
};

/* From the first leg that has it all; where each lost a part of it, by halves down to sectors. */
static int read_mirror(const struct mapped_source *ms, const struct map_segment *s, uint64_t pos, uint8_t *buf, size_t len, struct err *e)
{
	uint32_t sector = ms->base.sector_size;

	for (size_t i = 0; i < s->nr_legs; i++) {
		const struct map_leg *leg = &ms->m->legs[s->first_leg + i];
		if (blk_read(ms->members[leg->member], leg->start + pos, buf, len, e) == 0)
			return 0;
		if (!blk_is_medium_error(e))
			return -1;
	}
	if (len <= sector)
		return -1;
	size_t first = len / 2 < sector ? sector : (size_t)round_down_u64(len / 2, sector);
	if (read_mirror(ms, s, pos, buf, first, e) < 0)
		return -1;
	return read_mirror(ms, s, pos + first, buf + first, len - first, e);
}

static int mapped_read(struct blk_source *src, uint64_t off, void *buf, size_t len, struct err *e)
{
	const struct mapped_source *ms = (const struct mapped_source *)src;
	uint8_t *p = buf;

	while (len) {
		const struct map_segment *s = segment_at(ms->m, off);
		size_t leg;
		uint64_t start;
		size_t n = (size_t)step(ms->m, s, off - s->start, len, &leg, &start);
		int r = s->is_mirror ? read_mirror(ms, s, off - s->start, p, n, e) : blk_read(ms->members[ms->m->legs[leg].member], start, p, n, e);
		if (r < 0)
			return -1;
		off += n;
		p += n;
		len -= n;
	}
	return 0;
}

/* In one piece, libblkid can look at the device below. */
static int mapped_fd(struct blk_source *s, uint64_t *ret_off)
{
	struct mapped_source *ms = (struct mapped_source *)s;

	if (ms->m->nr != 1 || leg_bytes(&ms->m->segments[0]) != 1)
		return -1;
	int fd = blk_fd(ms->members[ms->m->legs[0].member], ret_off);
	if (fd >= 0)
		*ret_off += ms->m->legs[0].start;
	return fd;
}

static void mapped_close(struct blk_source *s)
{
	free(((struct mapped_source *)s)->members);
	free(s);
}

struct checking {
	struct blk_source *const *members;
	size_t nr;
	const char *name;
};

static int check_area(void *arg, size_t member, uint64_t start, uint64_t len, struct err *e)
{
	const struct checking *c = arg;

	if (member < c->nr && range_inside(start, len, c->members[member]->size))
		return 0;
	return err_set(e, ERR_CORRUPT, 0, "'%s' reaches beyond the end of '%s'", c->name, member < c->nr ? blk_name(c->members[member]) : "its devices");
}

struct blk_source *blk_mapped(const struct mapping *m, struct blk_source *const *members, size_t nr_members, const char *name, struct err *e)
{
	static const struct blk_source_ops ops = { .read = mapped_read, .fd = mapped_fd, .close = mapped_close };
	struct checking c = { .members = members, .nr = nr_members, .name = name };

	if (mapping_areas(m, check_area, &c, e) < 0)
		return NULL;
	struct mapped_source *s = alloc_array(1, sizeof(*s));
	struct blk_source **list = alloc_array(nr_members, sizeof(struct blk_source *));
	if (!s || !list) {
		free(s);
		free(list);
		err_nomem(e, name);
		return NULL;
	}
	s->base = (struct blk_source){ .ops = &ops, .size = m->size, .sector_size = 512, .phys_sector_size = 512 };
	for (size_t i = 0; i < nr_members; i++) {
		list[i] = members[i];
		if (members[i]->sector_size > s->base.sector_size)
			s->base.sector_size = members[i]->sector_size;
		if (members[i]->phys_sector_size > s->base.phys_sector_size)
			s->base.phys_sector_size = members[i]->phys_sector_size;
	}
	snprintf(s->base.name, sizeof(s->base.name), "%s", name);
	s->members = list;
	s->m = m;
	return &s->base;
}
