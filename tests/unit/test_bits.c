/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The bits of the clusters against a plain array of them, at all kinds of borders of words. */
#include "fsdrivers/bits.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define MAX_NR 400U
#define BEHIND UINT64_C(0xa5a5a5a5a5a5a5a5)

static const uint64_t sizes[] = { 1, 2, 7, 8, 9, 63, 64, 65, 127, 128, 129, 191, 192, 193, 320, 399 };

struct both {
	struct fsd_bits bits;
	bool plain[MAX_NR];
};

static struct both both_new(uint64_t nr)
{
	struct both b = { 0 };
	struct err e = ERR_INIT;

	ck_assert_int_eq(fsd_bits_new(&b.bits, nr, &e), 0);
	return b;
}

static void put(struct both *b, uint64_t first, uint64_t count, bool value)
{
	fsd_bits_put(&b->bits, first, count, value);
	for (uint64_t i = 0; i < count; i++)
		b->plain[first + i] = value;
}

static void put_random(struct both *b, unsigned times)
{
	for (unsigned i = 0; i < times; i++) {
		uint64_t first = (uint64_t)rand() % b->bits.nr;
		put(b, first, (uint64_t)rand() % (b->bits.nr - first + 1), rand() % 3);
	}
}

static uint64_t plain_find(const struct both *b, uint64_t from, uint64_t end, bool value)
{
	while (from < end && b->plain[from] != value)
		from++;
	return from;
}

static void compare(const struct both *b)
{
	uint64_t count = 0;

	for (uint64_t i = 0; i < b->bits.nr; i++) {
		ck_assert_int_eq(fsd_bits_has(&b->bits, i), b->plain[i]);
		count += b->plain[i];
	}
	ck_assert_uint_eq(fsd_bits_count(&b->bits), count);
	ck_assert_uint_eq(b->bits.words[b->bits.nr / 64] >> b->bits.nr % 64, 0);
}

START_TEST(as_a_plain_array)
{
	struct both b = both_new(sizes[_i]);

	compare(&b);
	for (unsigned round = 0; round < 50; round++) {
		put_random(&b, 3);
		compare(&b);
		for (uint64_t from = 0; from <= b.bits.nr; from++) {
			uint64_t end = from + (uint64_t)rand() % (b.bits.nr - from + 1);
			for (unsigned value = 0; value < 2; value++) {
				ck_assert_uint_eq(fsd_bits_find(&b.bits, from, end, value), plain_find(&b, from, end, value));
				ck_assert_uint_eq(fsd_bits_find(&b.bits, from, b.bits.nr, value), plain_find(&b, from, b.bits.nr, value));
			}
		}
	}
	fsd_bits_release(&b.bits);
	ck_assert_ptr_null(b.bits.words);
	fsd_bits_release(&b.bits);
}
END_TEST

/* As on disk: a byte for eight, more bytes than clusters need, and ones behind the last cluster. */
START_TEST(loaded_in_pieces)
{
	struct both b = both_new(sizes[_i]);
	uint8_t raw[MAX_NR / 8 + 24];

	for (unsigned round = 0; round < 50; round++) {
		memset(b.bits.words, 0, (b.bits.nr / 64 + 1) * 8);
		for (size_t i = 0; i < sizeof(raw); i++)
			raw[i] = round ? (uint8_t)rand() : 0xff;
		for (uint64_t i = 0; i < b.bits.nr; i++)
			b.plain[i] = raw[i / 8] >> (i % 8) & 1;
		for (size_t at = 0, len; at < sizeof(raw); at += len) {
			len = (size_t)(rand() % 5) * 8;
			if (len > sizeof(raw) - at)
				len = sizeof(raw) - at;
			/* on the heap, so that a read behind the piece is seen */
			uint8_t *piece = malloc(len + !len);
			memcpy(piece, raw + at, len);
			fsd_bits_load(&b.bits, at, piece, len);
			free(piece);
		}
		compare(&b);
	}
	fsd_bits_release(&b.bits);
}
END_TEST

/* The bytes that exactly hold the clusters, not a multiple of eight; and what is set already stays. */
START_TEST(loaded_to_the_last_byte)
{
	struct both b = both_new(sizes[_i]);
	size_t len = (size_t)(b.bits.nr + 7) / 8;
	uint8_t *raw = malloc(len);

	memset(raw, 0x80, len);
	for (uint64_t i = 0; i < b.bits.nr; i++)
		b.plain[i] = i % 8 == 7;
	put(&b, 0, 1, true);
	fsd_bits_load(&b.bits, 0, raw, len);
	compare(&b);
	free(raw);
	fsd_bits_release(&b.bits);
}
END_TEST

START_TEST(subtracted)
{
	struct both a = both_new(sizes[_i]), b = both_new(sizes[_i]), r = both_new(sizes[_i]);

	for (unsigned round = 0; round < 50; round++) {
		put_random(&a, 4);
		put_random(&b, 4);
		for (uint64_t i = 0; i < r.bits.nr; i++)
			r.plain[i] = a.plain[i] && !b.plain[i];
		fsd_bits_subtract(&r.bits, &a.bits, &b.bits);
		compare(&r);
		compare(&a);
		compare(&b);
		fsd_bits_subtract(&a.bits, &a.bits, &b.bits); /* into itself */
		memcpy(a.plain, r.plain, sizeof(a.plain));
		compare(&a);
	}
	fsd_bits_release(&a.bits);
	fsd_bits_release(&b.bits);
	fsd_bits_release(&r.bits);
}
END_TEST

struct seen {
	struct both *b;
	uint64_t at, nr;   /* where the next run may begin; runs */
	uint64_t stop_at;  /* this run makes it fail */
};

#define BASE    4096U
#define CLUSTER 1536U

static int see(void *arg, size_t member, uint64_t start, uint64_t len, enum ext_state state, struct err *e)
{
	struct seen *s = arg;
	uint64_t first = (start - BASE) / CLUSTER, end = first + len / CLUSTER;

	ck_assert_uint_eq(member, 0);
	ck_assert_int_eq(state, EXT_USED);
	ck_assert(len && (start - BASE) % CLUSTER == 0 && len % CLUSTER == 0);
	ck_assert_uint_eq(first, plain_find(s->b, s->at, s->b->bits.nr, true));
	ck_assert_uint_eq(end, plain_find(s->b, first, s->b->bits.nr, false));
	s->at = end;
	return ++s->nr == s->stop_at ? err_set(e, ERR_FAILED, 0, "stopped") : 0;
}

/* Whole runs, in order, none left out; an error ends it. */
START_TEST(emitted)
{
	struct both b = both_new(sizes[_i]);
	struct err e = ERR_INIT;

	for (unsigned round = 0; round < 50; round++) {
		struct seen s = { .b = &b };
		ck_assert_int_eq(fsd_bits_emit(&b.bits, BASE, CLUSTER, see, &s, &e), 0);
		ck_assert_uint_eq(plain_find(&b, s.at, b.bits.nr, true), b.bits.nr);
		struct seen cut = { .b = &b, .stop_at = s.nr };
		ck_assert_int_eq(fsd_bits_emit(&b.bits, BASE, CLUSTER, see, &cut, &e), s.nr ? -1 : 0);
		put_random(&b, 4);
	}
	fsd_bits_release(&b.bits);
}
END_TEST

START_TEST(next_run_ends)
{
	struct both b = both_new(sizes[_i]);
	uint64_t start = BEHIND, end = BEHIND, nr = b.bits.nr;

	ck_assert(!fsd_bits_next_run(&b.bits, 0, &start, &end));
	ck_assert(start == BEHIND && end == BEHIND);
	put(&b, nr - 1, 1, true);
	ck_assert(fsd_bits_next_run(&b.bits, 0, &start, &end));
	ck_assert(start == nr - 1 && end == nr);
	ck_assert(!fsd_bits_next_run(&b.bits, end, &start, &end));
	fsd_bits_release(&b.bits);
}
END_TEST

static uint64_t resident_mib(void)
{
	unsigned long long all = 0, resident = 0;
	FILE *f = fopen("/proc/self/statm", "re");

	ck_assert_ptr_nonnull(f);
	ck_assert_int_eq(fscanf(f, "%llu %llu", &all, &resident), 2);
	fclose(f);
	return resident * (uint64_t)sysconf(_SC_PAGESIZE) >> 20;
}

/* More clusters than 32 bits count: 512 MiB of words, of which only what has bits is taken from the machine. */
START_TEST(many)
{
	const uint64_t nr = (1ULL << 32) + 200, high = (1ULL << 32) + 100;
	struct fsd_bits b, other;
	struct err e = ERR_INIT;
	uint64_t before = resident_mib(), start, end;

	ck_assert_int_eq(fsd_bits_new(&b, nr, &e), 0);
	ck_assert_int_eq(fsd_bits_new(&other, nr, &e), 0);
	fsd_bits_put(&b, high, 50, true);
	fsd_bits_put(&b, 5, 1, true);
	fsd_bits_put(&other, 5, 1, true);
	fsd_bits_put(&b, 1000, 1ULL << 31, false);
	ck_assert_uint_eq(fsd_bits_count(&b), 51);
	fsd_bits_subtract(&b, &b, &other);
	ck_assert_uint_eq(fsd_bits_count(&b), 50);
	ck_assert(fsd_bits_next_run(&b, 0, &start, &end));
	ck_assert(start == high && end == high + 50);
	ck_assert(fsd_bits_has(&b, high) && !fsd_bits_has(&b, high - (1ULL << 32)));
	fsd_bits_load(&b, (1ULL << 32) / 8, (const uint8_t[]){ 1 }, 1);
	ck_assert(fsd_bits_has(&b, 1ULL << 32) && !fsd_bits_has(&b, 0));
	ck_assert_uint_lt(resident_mib() - before, 256);
	fsd_bits_release(&b);
	fsd_bits_release(&other);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("bits");
	TCase *tc = tcase_create("bits");
	SRunner *sr = srunner_create(s);
	const int nr = sizeof(sizes) / sizeof(sizes[0]);

	tcase_set_timeout(tc, 60);
	tcase_add_loop_test(tc, as_a_plain_array, 0, nr);
	tcase_add_loop_test(tc, loaded_in_pieces, 0, nr);
	tcase_add_loop_test(tc, loaded_to_the_last_byte, 0, nr);
	tcase_add_loop_test(tc, subtracted, 0, nr);
	tcase_add_loop_test(tc, emitted, 0, nr);
	tcase_add_loop_test(tc, next_run_ends, 0, nr);
	tcase_add_test(tc, many);
	suite_add_tcase(s, tc);
	srunner_run_all(sr, CK_ENV);
	int failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed ? 1 : 0;
}
