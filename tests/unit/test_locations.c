/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The location table: what is encoded is decoded, and whatever else is decoded is exactly what stands there. */
#include "base/auto.h"
#include "imager/image/chunkmap.h"
#include "imager/image/format.h"
#include "imager/image/locations.h"
#include "tests/unit/image_util.h"

struct bytes {
	uint8_t *p;
	size_t len;
};

static struct img_where make_where(uint64_t *seed, uint32_t nr_packs)
{
	return (struct img_where){
		.offset = FMT_PREAMBLE_SIZE + rnd_below(seed, UINT64_C(1) << 40),
		.pack = (uint32_t)rnd_below(seed, nr_packs),
		.len = FMT_RECORD_SIZE + 1 + (uint32_t)rnd_below(seed, CHUNK_SIZE),
	};
}

/* Names that are close to each other, so that both halves of a name decide. */
static void make_helpers(uint64_t *seed, struct img_locations *l)
{
	struct img_record_name name = { .number = rnd_below(seed, 3) };

	for (uint64_t i = 0; i < l->nr_helpers; i++) {
		l->helpers[i] = (struct img_helper){ .name = name, .at = make_where(seed, l->nr_packs) };
		name.number += 1 + rnd_below(seed, 1000);
		if (rnd_below(seed, 5) == 0) {
			name.origin[rnd_below(seed, 15)]++;
			name.number = rnd_below(seed, 3);
		}
	}
	qsort(l->helpers, l->nr_helpers, sizeof(*l->helpers), (int (*)(const void *, const void *))record_name_cmp);
}

static struct img_locations *make_table(uint64_t seed)
{
	struct img_locations *l = calloc(1, sizeof(*l));

	l->nr_packs = 1 + (uint32_t)rnd_below(&seed, 20);
	l->nr_chunks = rnd_below(&seed, 60);
	l->nr_helpers = l->nr_chunks ? rnd_below(&seed, 40) : 0;
	l->packs = calloc(l->nr_packs, 16);
	l->chunks = calloc(l->nr_chunks + 1, sizeof(*l->chunks));
	l->helpers = calloc(l->nr_helpers + 1, sizeof(*l->helpers));
	for (uint32_t i = 0; i < l->nr_packs; i++) {
		rnd_fill(&seed, l->packs[i], 16);
		l->packs[i][0] = (uint8_t)(i * 12);
	}
	for (uint64_t i = 0; i < l->nr_chunks; i++)
		if (rnd_below(&seed, 4))
			l->chunks[i] = make_where(&seed, l->nr_packs);
	make_helpers(&seed, l);
	return l;
}

static struct bytes encode(const struct img_locations *l)
{
	struct err e = ERR_INIT;
	struct bytes b;

	ok(locations_encode(l, &b.p, &b.len, &e), &e);
	return b;
}

/* In a buffer of exactly its length, so that a sanitizer sees who reads behind it. */
static struct img_locations *decode(const uint8_t *p, size_t len, uint64_t nr_chunks, struct err *e)
{
	uint8_t *exact = malloc(len ? len : 1);

	memcpy(exact, p, len);
	struct img_locations *l = locations_decode(exact, len, nr_chunks, false, e);
	free(exact);
	return l;
}

START_TEST(round_trip)
{
	struct err e = ERR_INIT;
	AUTO(img_locations) struct img_locations *l = make_table((uint64_t)_i + 1);
	struct bytes b = encode(l);
	AUTO(img_locations) struct img_locations *got = decode(b.p, b.len, l->nr_chunks, &e);

	ck_assert_msg(got != NULL, "%s", e.msg);
	ck_assert_uint_eq(got->nr_packs, l->nr_packs);
	ck_assert_uint_eq(got->nr_chunks, l->nr_chunks);
	ck_assert_uint_eq(got->nr_helpers, l->nr_helpers);
	ck_assert(!memcmp(got->packs, l->packs, 16 * (size_t)l->nr_packs));
	for (uint64_t i = 0; i < l->nr_chunks; i++)
		ck_assert(!memcmp(&got->chunks[i], &l->chunks[i], sizeof(l->chunks[i])));
	for (uint64_t i = 0; i < l->nr_helpers; i++) {
		const struct img_where *at = locations_helper(got, &l->helpers[i].name);
		ck_assert_ptr_nonnull(at);
		ck_assert(!memcmp(at, &l->helpers[i].at, sizeof(*at)));
		struct img_record_name other = l->helpers[i].name;
		other.origin[15] ^= 1; /* make_helpers() never sets it */
		ck_assert_ptr_null(locations_helper(got, &other));
	}
	free(b.p);
}
END_TEST

/* One byte is wrong: the table is refused, or it says something else and nothing but what stands there. */
START_TEST(every_byte_counts)
{
	AUTO(img_locations) struct img_locations *l = make_table((uint64_t)_i + 100);
	struct bytes b = encode(l);
	uint64_t seed = (uint64_t)_i + 1;

	for (size_t i = 0; i < b.len; i++) {
		struct err e = ERR_INIT;
		uint8_t was = b.p[i];
		b.p[i] ^= (uint8_t)(1 + rnd_below(&seed, 255));
		AUTO(img_locations) struct img_locations *got = decode(b.p, b.len, l->nr_chunks, &e);
		if (got) {
			struct bytes again = encode(got);
			ck_assert_uint_eq(again.len, b.len);
			ck_assert(!memcmp(again.p, b.p, b.len));
			free(again.p);
		} else {
			ck_assert_int_eq(e.code, ERR_CORRUPT);
		}
		b.p[i] = was;
	}
	free(b.p);
}
END_TEST

START_TEST(wrong_lengths)
{
	AUTO(img_locations) struct img_locations *l = make_table(7);
	struct bytes b = encode(l);
	struct err e = ERR_INIT;

	for (size_t len = 0; len < b.len; len++) {
		ck_assert_ptr_null(decode(b.p, len, l->nr_chunks, &e));
		ck_assert_int_eq(e.code, ERR_CORRUPT);
	}
	ck_assert_ptr_null(decode(b.p, b.len, l->nr_chunks + 1, &e));
	ck_assert_ptr_null(decode(b.p, b.len, l->nr_chunks - 1, &e));
	b.p = realloc(b.p, b.len + 1);
	b.p[b.len] = 0;
	ck_assert_ptr_null(decode(b.p, b.len + 1, l->nr_chunks, &e));
	free(b.p);
}
END_TEST

/* One table with two packs, two chunks and two helpers, each time with one thing that must not be. */
static struct img_locations *small_table(void)
{
	struct img_locations *l = calloc(1, sizeof(*l));

	*l = (struct img_locations){ .nr_packs = 2, .nr_chunks = 2, .nr_helpers = 2 };
	l->packs = calloc(2, 16);
	l->packs[1][0] = 1;
	l->chunks = calloc(2, sizeof(*l->chunks));
	l->chunks[0] = (struct img_where){ 64, 1, 97 };
	l->helpers = calloc(2, sizeof(*l->helpers));
	l->helpers[0] = (struct img_helper){ { { 5 }, 1 }, { 64, 0, 97 } };
	l->helpers[1] = (struct img_helper){ { { 5 }, 2 }, { 161, 0, FMT_RECORD_SIZE + CHUNK_SIZE } };
	return l;
}

static void break_table(struct img_locations *l, int how)
{
	switch (how) {
	case 1: memcpy(l->packs[1], l->packs[0], 16); break;
	case 2: l->packs[0][0] = 2; break;
	case 3: l->chunks[0].pack = 2; break;
	case 4: l->chunks[0].offset = 63; break;
	case 5: l->chunks[0].len = FMT_RECORD_SIZE; break;
	case 6: l->chunks[0].len = FMT_RECORD_SIZE + CHUNK_SIZE + 1; break;
	case 7: l->chunks[0].offset = (uint64_t)INT64_MAX + 1; break;
	case 8: l->chunks[1].len = 97; break;
	case 9: l->chunks[1].pack = 1; break;
	case 10: l->helpers[1].name.number = 1; break;
	case 11: l->helpers[1].name.origin[0] = 4; break;
	case 12: l->helpers[0].at = (struct img_where){ 0 }; break;
	case 13: l->helpers[0].at.pack = 2; break;
	default: break;
	}
}

START_TEST(what_must_not_be)
{
	struct err e = ERR_INIT;
	AUTO(img_locations) struct img_locations *l = small_table();

	break_table(l, _i);
	struct bytes b = encode(l);
	AUTO(img_locations) struct img_locations *got = decode(b.p, b.len, 2, &e);
	ck_assert_int_eq(got != NULL, _i == 0);
	if (!got)
		ck_assert_int_eq(e.code, ERR_CORRUPT);
	free(b.p);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("locations");
	TCase *t = tcase_create("locations");

	suite_add_tcase(s, t);
	tcase_set_timeout(t, 60);
	tcase_add_loop_test(t, round_trip, 0, 50);
	tcase_add_loop_test(t, every_byte_counts, 0, 10);
	tcase_add_test(t, wrong_lengths);
	tcase_add_loop_test(t, what_must_not_be, 0, 14);
	return run_suite(s);
}
