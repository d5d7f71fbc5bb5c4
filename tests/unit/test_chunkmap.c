/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Chunk maps against a naive model that keeps the state of every byte. What the map may do is widen: used to whole
 * granules, zero to whole granules with the rest used.
 */
#include "base/arith.h"
#include "imager/image/chunkmap.h"
#include "tests/unit/image_util.h"

#define ROUNDS 24

struct model {
	uint64_t len;
	uint32_t granule;
	uint8_t *state; /* of each byte: enum ext_state */
};

static void model_set(struct model *m, uint64_t from, uint64_t to, uint8_t state)
{
	for (uint64_t i = from; i < to && i < m->len; i++)
		if (state > m->state[i])
			m->state[i] = state;
}

/* Byte by byte: a granule with a used byte, or with a zero byte and another that this extent does not cover, is used. */
static void model_add(struct model *m, uint64_t start, uint64_t len, enum ext_state state)
{
	uint32_t g = m->granule;

	if (state == EXT_UNUSED || !len)
		return;
	for (uint64_t at = start / g * g; at < start + len; at += g) {
		uint64_t end = at + g < m->len ? at + g : m->len;
		bool covered = start <= at && start + len >= end;
		model_set(m, at, end, state == EXT_ZERO && covered ? EXT_ZERO : EXT_USED);
	}
}

static enum cmap_kind model_kind(const struct model *m, uint64_t i, uint32_t *ret_len)
{
	bool has[3] = { false, false, false };
	uint64_t end = min_u64((i + 1) * CHUNK_SIZE, m->len);

	for (uint64_t at = i * CHUNK_SIZE; at < end; at++)
		has[m->state[at]] = true;
	*ret_len = (uint32_t)(end - i * CHUNK_SIZE);
	if (has[EXT_UNUSED] + has[EXT_ZERO] + has[EXT_USED] == 1)
		return has[EXT_USED] ? CMAP_USED : has[EXT_ZERO] ? CMAP_ZERO : CMAP_ABSENT;
	return has[EXT_ZERO] ? CMAP_BITMAP_ZERO : CMAP_BITMAP;
}

static void check_bits(const struct chunk_map *map, const struct model *m, uint64_t i, const uint8_t *bits, enum ext_state state)
{
	uint32_t wrong = 0; /* an assertion for each bit would take longer than all else */

	for (uint32_t g = 0; g < CHUNK_SIZE / m->granule; g++) {
		uint64_t at = i * CHUNK_SIZE + (uint64_t)g * m->granule;
		bool want = at < m->len && m->state[at] == state;
		wrong += (bits[g / 8] >> g % 8 & 1) != want;
	}
	ck_assert_uint_eq(wrong, 0);
	ck_assert_uint_eq(cmap_bitmap_bytes(map), CHUNK_SIZE / m->granule / 8);
}

static void check_runs(const struct chunk_map *map, const struct model *m, uint64_t i, const struct cmap_chunk *c)
{
	const uint8_t *want = m->state + i * CHUNK_SIZE;
	uint32_t wrong = 0;

	for (uint32_t off = 0; off < c->len;) {
		enum ext_state state;
		uint32_t n = cmap_state_run(map, c, off, &state);
		wrong += n == 0 || n > c->len - off;
		for (uint32_t k = 0; k < n && !wrong; k++)
			wrong += want[off + k] != state;
		off += wrong ? c->len : n;
		wrong += off < c->len && want[off] == state;
	}
	ck_assert_uint_eq(wrong, 0);
}

static void check_mask(const struct chunk_map *map, const struct model *m, uint64_t i, const struct cmap_chunk *c, uint64_t *seed)
{
	static uint8_t buf[CHUNK_SIZE], want[CHUNK_SIZE];

	for (int keep_zero = 0; keep_zero < 2; keep_zero++) {
		memset(buf, 0xA5, sizeof(buf));
		for (uint32_t k = 0; k < CHUNK_SIZE; k++) {
			enum ext_state s = k < c->len ? m->state[i * CHUNK_SIZE + k] : EXT_UNUSED;
			want[k] = s == EXT_USED || (s == EXT_ZERO && keep_zero) ? 0xA5 : 0;
		}
		cmap_mask(map, c, buf, keep_zero);
		ck_assert(!memcmp(buf, want, sizeof(buf)));
	}
	memset(buf, 0xA5, sizeof(buf));
	cmap_mask(map, c, buf, false);
	ck_assert(cmap_is_masked(map, c, buf));
	uint32_t k = (uint32_t)rnd_below(seed, CHUNK_SIZE);
	bool used = k < c->len && m->state[i * CHUNK_SIZE + k] == EXT_USED;
	buf[k] = 1;
	ck_assert_int_eq(cmap_is_masked(map, c, buf), used);
}

static void check_totals(const struct chunk_map *map, const struct model *m)
{
	uint64_t bytes[3] = { 0, 0, 0 };

	for (uint64_t i = 0; i < m->len; i++)
		bytes[m->state[i]]++;
	ck_assert_uint_eq(cmap_bytes(map, EXT_USED), bytes[EXT_USED]);
	ck_assert_uint_eq(cmap_bytes(map, EXT_ZERO), bytes[EXT_ZERO]);
	ck_assert_uint_eq(cmap_bytes(map, EXT_UNUSED), bytes[EXT_UNUSED]);
	ck_assert_uint_eq(cmap_len(map), m->len);
	ck_assert_uint_eq(cmap_nr_chunks(map), (m->len + CHUNK_SIZE - 1) / CHUNK_SIZE);
}

/* Everything that can be asked of a frozen map. */
static void check_map(const struct chunk_map *map, const struct model *m, uint64_t *seed)
{
	uint64_t present = 0, run_end = 0, next = 0;
	enum cmap_kind run_kind = CMAP_ABSENT;

	check_totals(map, m);
	for (uint64_t i = 0; i < cmap_nr_chunks(map); i++) {
		struct cmap_chunk c;
		uint32_t len;
		enum cmap_kind kind = model_kind(m, i, &len);
		cmap_get(map, i, &c);
		ck_assert_int_eq(c.kind, kind);
		ck_assert_uint_eq(c.len, len);
		ck_assert_int_eq(c.used != NULL, kind >= CMAP_BITMAP);
		ck_assert_int_eq(c.zero != NULL, kind == CMAP_BITMAP_ZERO);
		if (c.used)
			check_bits(map, m, i, c.used, EXT_USED);
		if (c.zero)
			check_bits(map, m, i, c.zero, EXT_ZERO);
		if (i == run_end) {
			ck_assert(i == 0 || kind != run_kind || kind == CMAP_ABSENT);
			run_end = i + cmap_run(map, i, &run_kind);
		}
		ck_assert_int_eq(run_kind, kind);
		check_runs(map, m, i, &c);
		check_mask(map, m, i, &c, seed);
		if (kind == CMAP_ABSENT)
			continue;
		for (; next <= i; next++)
			ck_assert_uint_eq(cmap_next_present(map, next), i);
		ck_assert_uint_eq(cmap_present_index(map, i), present++);
	}
	ck_assert_uint_eq(run_end, cmap_nr_chunks(map));
	for (; next <= cmap_nr_chunks(map); next++)
		ck_assert_uint_eq(cmap_next_present(map, next), cmap_nr_chunks(map));
	ck_assert_uint_eq(cmap_nr_present(map), present);
}

/* The same map, made as a decoder makes it. */
static struct chunk_map *rebuild(const struct chunk_map *map)
{
	struct err e = ERR_INIT;
	struct chunk_map *again = cmap_new(cmap_len(map), cmap_granule_log2(map), &e);

	ck_assert_ptr_nonnull(again);
	for (uint64_t i = 0; i < cmap_nr_chunks(map);) {
		enum cmap_kind kind;
		uint64_t nr = cmap_run(map, i, &kind);
		if (kind < CMAP_BITMAP)
			ok(cmap_set_run(again, i, nr, kind, &e), &e);
		for (uint64_t k = i; kind >= CMAP_BITMAP && k < i + nr; k++) {
			struct cmap_chunk c;
			cmap_get(map, k, &c);
			ok(cmap_set_bitmaps(again, k, kind, c.used, c.zero, &e), &e);
		}
		i += nr;
	}
	cmap_freeze(again);
	return again;
}

/* An extent: often at chunk, granule or region borders, sometimes empty. */
static void random_extent(uint64_t *seed, const struct model *m, uint64_t *start, uint64_t *len)
{
	static const uint64_t units[] = { 1, 512, 4096, CHUNK_SIZE };
	uint64_t unit = units[rnd_below(seed, 4)];

	*start = rnd_below(seed, m->len / unit + 1) * unit;
	*len = rnd_below(seed, (rnd_below(seed, 2) ? 3 * CHUNK_SIZE : 3 * m->granule) / unit + 1) * unit;
	if (rnd_below(seed, 8) == 0 || *len > m->len - *start)
		*len = m->len - *start;
}

static void one_round(unsigned granule_log2, uint64_t seed)
{
	uint64_t len = 1 + rnd_below(&seed, 3) * CHUNK_SIZE + rnd_below(&seed, CHUNK_SIZE);
	struct model m = { .len = len, .granule = 1U << granule_log2, .state = calloc(1, len) };
	struct err e = ERR_INIT;
	AUTO(chunk_map) struct chunk_map *map = cmap_new(len, granule_log2, &e);

	ck_assert(map && m.state);
	for (uint64_t n = rnd_below(&seed, 30); n; n--) {
		uint64_t start, extent;
		enum ext_state state = (enum ext_state)rnd_below(&seed, 3);
		random_extent(&seed, &m, &start, &extent);
		ok(cmap_add(map, start, extent, state, &e), &e);
		model_add(&m, start, extent, state);
	}
	cmap_freeze(map);
	check_map(map, &m, &seed);
	AUTO(chunk_map) struct chunk_map *again = rebuild(map);
	ck_assert(cmap_equal(map, again) && cmap_equal(again, map));
	check_map(again, &m, &seed);
	cmap_freeze(map); /* once more changes nothing */
	ck_assert(cmap_equal(map, again));
	free(m.state);
}

START_TEST(random_maps_agree_with_the_model)
{
	for (uint64_t i = 0; i < ROUNDS; i++)
		one_round((unsigned)_i, (i + 1) * 7919 + (uint64_t)_i);
}
END_TEST

/* One byte, at every place that could be special. */
START_TEST(single_bytes)
{
	uint64_t len = CHUNK_SIZE + 4096 + 700, seed = 5;
	static const uint64_t at[] = { 0, 1, 511, 512, 4095, 4096, CHUNK_SIZE - 1, CHUNK_SIZE, CHUNK_SIZE + 4095, CHUNK_SIZE + 4096, CHUNK_SIZE + 4795 };

	for (unsigned log2 = 9; log2 <= 12; log2++) {
		for (size_t k = 0; k < sizeof(at) / sizeof(at[0]); k++) {
			for (enum ext_state state = EXT_ZERO; state <= EXT_USED; state++) {
				struct model m = { .len = len, .granule = 1U << log2, .state = calloc(1, len) };
				struct err e = ERR_INIT;
				AUTO(chunk_map) struct chunk_map *map = cmap_new(len, log2, &e);
				ok(cmap_add(map, at[k], 1, state, &e), &e);
				model_add(&m, at[k], 1, state);
				cmap_freeze(map);
				check_map(map, &m, &seed);
				free(m.state);
			}
		}
	}
}
END_TEST

START_TEST(order_does_not_matter)
{
	uint64_t seed = 99, len = 2 * CHUNK_SIZE + 12345;
	struct err e = ERR_INIT;

	for (int round = 0; round < 200; round++) {
		AUTO(chunk_map) struct chunk_map *a = cmap_new(len, 12, &e);
		AUTO(chunk_map) struct chunk_map *b = cmap_new(len, 12, &e);
		struct model m = { .len = len, .granule = 4096 };
		uint64_t start[12], n[12];
		enum ext_state state[12];
		for (int i = 0; i < 12; i++) {
			random_extent(&seed, &m, &start[i], &n[i]);
			state[i] = (enum ext_state)rnd_below(&seed, 3);
			ok(cmap_add(a, start[i], n[i], state[i], &e), &e);
		}
		for (int i = 11; i >= 0; i--)
			ok(cmap_add(b, start[i], n[i], state[i], &e), &e);
		cmap_freeze(a);
		cmap_freeze(b);
		ck_assert(cmap_equal(a, b));
	}
}
END_TEST

/* Beyond one page of 1024 chunks: uniform pages, pages of our own, and the last, short one. */
START_TEST(large_regions)
{
	const uint64_t page = 1024ULL * CHUNK_SIZE, len = 5 * page + 3 * CHUNK_SIZE + 17;
	struct err e = ERR_INIT;
	AUTO(chunk_map) struct chunk_map *m = cmap_new(len, 12, &e);
	enum cmap_kind kind;

	ok(cmap_add(m, page, 3 * page, EXT_ZERO, &e), &e);
	ok(cmap_add(m, 2 * page, page, EXT_USED, &e), &e);
	ok(cmap_add(m, 2 * page + 4096, 4096, EXT_ZERO, &e), &e); /* used wins */
	ok(cmap_add(m, 3 * page + 5 * CHUNK_SIZE, 4096, EXT_USED, &e), &e);
	ok(cmap_add(m, 5 * page, len - 5 * page, EXT_USED, &e), &e);
	cmap_freeze(m);
	ck_assert_uint_eq(cmap_nr_chunks(m), 5 * 1024 + 4);
	ck_assert_uint_eq(cmap_nr_present(m), 3 * 1024 + 4);
	ck_assert_uint_eq(cmap_bytes(m, EXT_USED), page + 4096 + 3 * CHUNK_SIZE + 17);
	ck_assert_uint_eq(cmap_bytes(m, EXT_ZERO), 2 * page - 4096);
	ck_assert_uint_eq(cmap_run(m, 0, &kind), 1024);
	ck_assert_uint_eq(cmap_run(m, 1024, &kind), 1024);
	ck_assert_int_eq(kind, CMAP_ZERO);
	ck_assert_uint_eq(cmap_run(m, 2000, &kind), 48);
	ck_assert_uint_eq(cmap_run(m, 2048, &kind), 1024);
	ck_assert_int_eq(kind, CMAP_USED);
	ck_assert_uint_eq(cmap_run(m, 3072, &kind), 5);
	ck_assert_uint_eq(cmap_run(m, 3077, &kind), 1);
	ck_assert_int_eq(kind, CMAP_BITMAP_ZERO);
	ck_assert_uint_eq(cmap_run(m, 5 * 1024, &kind), 4);
	ck_assert_int_eq(kind, CMAP_USED);
	ck_assert_uint_eq(cmap_next_present(m, 0), 1024);
	ck_assert_uint_eq(cmap_next_present(m, 4096), 5 * 1024);
	ck_assert_uint_eq(cmap_present_index(m, 5 * 1024 + 3), 3 * 1024 + 3);
	AUTO(chunk_map) struct chunk_map *again = rebuild(m);
	ck_assert(cmap_equal(m, again));
	ck_assert_uint_eq(cmap_nr_present(again), cmap_nr_present(m));
	ck_assert_uint_lt(cmap_memory(m), 16384);
}
END_TEST

/* A pebibyte costs a table of pages, not a word for each chunk, and its runs are found fast. */
START_TEST(a_pebibyte)
{
	const uint64_t len = 1ULL << 50;
	struct err e = ERR_INIT;
	AUTO(chunk_map) struct chunk_map *m = cmap_new(len, 12, &e);
	enum cmap_kind kind;

	ok(cmap_add(m, 0, len, EXT_USED, &e), &e);
	cmap_freeze(m);
	ck_assert_uint_eq(cmap_memory(m), 0);
	ck_assert_uint_eq(cmap_nr_present(m), len / CHUNK_SIZE);
	ck_assert_uint_eq(cmap_run(m, 0, &kind), len / CHUNK_SIZE);
	ck_assert_uint_eq(cmap_run(m, 5, &kind), len / CHUNK_SIZE - 5);
	AUTO(chunk_map) struct chunk_map *tiny = cmap_new(1, 9, &e);
	ok(cmap_add(tiny, 0, 1, EXT_USED, &e), &e);
	ck_assert_uint_eq(cmap_memory(tiny), 4);
}
END_TEST

START_TEST(what_cannot_be_is_refused)
{
	struct err e = ERR_INIT;
	static const uint64_t bad_len[] = { 0, (1ULL << 50) + 1, UINT64_MAX };

	for (size_t i = 0; i < 3; i++)
		ck_assert_ptr_null(cmap_new(bad_len[i], 12, &e));
	ck_assert_ptr_null(cmap_new(1, 8, &e));
	ck_assert_ptr_null(cmap_new(1, 13, &e));
	cmap_free(NULL);
	AUTO(chunk_map) struct chunk_map *m = cmap_new(CHUNK_SIZE + 100, 9, &e);
	fails(cmap_add(m, CHUNK_SIZE, 101, EXT_USED, &e), ERR_CORRUPT, &e);
	fails(cmap_add(m, CHUNK_SIZE + 101, 0, EXT_USED, &e), ERR_CORRUPT, &e);
	fails(cmap_add(m, UINT64_MAX, 2, EXT_ZERO, &e), ERR_CORRUPT, &e);
	fails(cmap_add(m, 1, UINT64_MAX, EXT_USED, &e), ERR_CORRUPT, &e);
	ok(cmap_add(m, CHUNK_SIZE + 100, 0, EXT_USED, &e), &e);
	cmap_freeze(m);
	ck_assert_uint_eq(cmap_nr_present(m), 0);
}
END_TEST

/* Of decoders only what the format calls canonical is taken. The last chunk has three granules. */
START_TEST(bitmaps_must_be_canonical)
{
	struct err e = ERR_INIT;
	AUTO(chunk_map) struct chunk_map *m = cmap_new(CHUNK_SIZE + 3 * 4096 - 5, 12, &e);
	uint8_t none[8] = { 0 }, one[8] = { 1 }, two[8] = { 2 }, all[8], three[8] = { 7 }, beyond[8] = { 8 };

	memset(all, 0xFF, sizeof(all));
	fails(cmap_set_bitmaps(m, 0, CMAP_BITMAP, none, NULL, &e), ERR_CORRUPT, &e);
	fails(cmap_set_bitmaps(m, 0, CMAP_BITMAP, all, NULL, &e), ERR_CORRUPT, &e);
	fails(cmap_set_bitmaps(m, 1, CMAP_BITMAP, three, NULL, &e), ERR_CORRUPT, &e);
	fails(cmap_set_bitmaps(m, 1, CMAP_BITMAP, beyond, NULL, &e), ERR_CORRUPT, &e);
	fails(cmap_set_bitmaps(m, 1, CMAP_BITMAP_ZERO, one, beyond, &e), ERR_CORRUPT, &e);
	fails(cmap_set_bitmaps(m, 0, CMAP_BITMAP_ZERO, one, one, &e), ERR_CORRUPT, &e);
	fails(cmap_set_bitmaps(m, 0, CMAP_BITMAP_ZERO, one, none, &e), ERR_CORRUPT, &e);
	fails(cmap_set_bitmaps(m, 0, CMAP_BITMAP_ZERO, all, none, &e), ERR_CORRUPT, &e);
	fails(cmap_set_bitmaps(m, 0, CMAP_BITMAP_ZERO, none, all, &e), ERR_CORRUPT, &e);
	fails(cmap_set_bitmaps(m, 1, CMAP_BITMAP_ZERO, none, three, &e), ERR_CORRUPT, &e);
	ok(cmap_set_bitmaps(m, 0, CMAP_BITMAP_ZERO, none, one, &e), &e);
	ok(cmap_set_bitmaps(m, 1, CMAP_BITMAP_ZERO, one, two, &e), &e);
	cmap_freeze(m);
	ck_assert_uint_eq(cmap_nr_present(m), 2);
	ck_assert_uint_eq(cmap_bytes(m, EXT_USED), 4096);
	ck_assert_uint_eq(cmap_bytes(m, EXT_ZERO), 2 * 4096);
}
END_TEST

START_TEST(different_maps_are_not_equal)
{
	struct err e = ERR_INIT;
	AUTO(chunk_map) struct chunk_map *a = cmap_new(2 * CHUNK_SIZE, 12, &e);
	AUTO(chunk_map) struct chunk_map *b = cmap_new(2 * CHUNK_SIZE, 12, &e);
	AUTO(chunk_map) struct chunk_map *c = cmap_new(2 * CHUNK_SIZE, 11, &e);
	AUTO(chunk_map) struct chunk_map *d = cmap_new(2 * CHUNK_SIZE - 1, 12, &e);

	ok(cmap_add(a, 4096, 4096, EXT_USED, &e), &e);
	ok(cmap_add(b, 8192, 4096, EXT_USED, &e), &e);
	cmap_freeze(a);
	cmap_freeze(b);
	cmap_freeze(c);
	cmap_freeze(d);
	ck_assert(!cmap_equal(a, b) && !cmap_equal(a, c) && !cmap_equal(c, d) && cmap_equal(a, a));
}
END_TEST

int main(void)
{
	Suite *s = suite_create("chunkmap");
	TCase *t = tcase_create("chunkmap");

	suite_add_tcase(s, t);
	tcase_set_timeout(t, 120);
	tcase_add_loop_test(t, random_maps_agree_with_the_model, 9, 13);
	tcase_add_test(t, single_bytes);
	tcase_add_test(t, order_does_not_matter);
	tcase_add_test(t, large_regions);
	tcase_add_test(t, a_pebibyte);
	tcase_add_test(t, what_cannot_be_is_refused);
	tcase_add_test(t, bitmaps_must_be_canonical);
	tcase_add_test(t, different_maps_are_not_equal);
	return run_suite(s);
}
