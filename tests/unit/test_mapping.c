/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Mappings against a model that knows for each byte where it lies. */
#include "base/mapping.h"

#include <check.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define MEMBERS 3U
#define BYTES   4096U

struct model {
	struct mapping m;
	uint8_t data[MEMBERS][BYTES];
	uint8_t want[MEMBERS * BYTES]; /* what the volume must read as */
	bool hit[MEMBERS][BYTES];
	bool covered[MEMBERS][BYTES];
	uint8_t walked[MEMBERS * BYTES];
	size_t nr_walked, nr_calls;
};

static uint64_t draw(uint64_t *seed)
{
	*seed = *seed * 6364136223846793005U + 1442695040888963407U;
	return *seed >> 33;
}

/* Random segments: in a row, striped, mirrored. */
static void build(struct model *md, uint64_t *seed)
{
	struct err e = ERR_INIT;

	for (size_t i = 0; i < sizeof(md->data); i++)
		((uint8_t *)md->data)[i] = (uint8_t)draw(seed);
	while (md->m.nr < 12 && md->m.size < sizeof(md->want) - 1024) {
		struct map_leg legs[MEMBERS];
		size_t nr = 1 + draw(seed) % MEMBERS;
		uint64_t stripe = draw(seed) % 2 ? 1 + draw(seed) % 40 : 0, rows = 1 + draw(seed) % 5, len = stripe ? stripe * nr * rows : 1 + draw(seed) % 200;
		uint64_t each = stripe ? stripe * rows : len;
		for (size_t k = 0; k < nr; k++)
			legs[k] = (struct map_leg){ k, draw(seed) % (BYTES - each) };
		for (uint64_t b = 0; !stripe && nr > 1 && b < len; b++) /* copies are equal */
			for (size_t k = 0; k < nr; k++)
				md->data[k][legs[k].start + b] = (uint8_t)(b * 7);
		if (nr == 1)
			each = len;
		ck_assert_int_eq(mapping_add(&md->m, len, stripe, legs, nr, &e), 0);
	}
}

static void expect(struct model *md)
{
	for (size_t i = 0; i < md->m.nr; i++) {
		const struct map_segment *s = &md->m.segments[i];
		const struct map_leg *legs = md->m.legs + s->first_leg;
		for (uint64_t b = 0; b < s->len; b++) {
			uint64_t leg = 0, at = b;
			if (s->nr_legs > 1 && !s->is_mirror) {
				leg = b / s->stripe % s->nr_legs;
				at = b / (s->stripe * s->nr_legs) * s->stripe + b % s->stripe;
			}
			md->want[s->start + b] = md->data[legs[leg].member][legs[leg].start + at];
		}
	}
}

static int note(void *arg, size_t member, uint64_t start, uint64_t len, struct err *e)
{
	struct model *md = arg;

	(void)e;
	ck_assert_uint_gt(len, 0);
	memcpy(md->walked + md->nr_walked, md->data[member] + start, len);
	md->nr_walked += len;
	memset(md->hit[member] + start, 1, len);
	return 0;
}

START_TEST(reads_what_the_model_says)
{
	struct model *md = calloc(1, sizeof(*md));
	uint64_t seed = (uint64_t)_i + 1;
	struct blk_source *members[MEMBERS];
	struct err e = ERR_INIT;
	uint8_t got[MEMBERS * BYTES];

	build(md, &seed);
	expect(md);
	for (size_t i = 0; i < MEMBERS; i++)
		members[i] = blk_mem(md->data[i], BYTES, 512, "m", &e);
	struct blk_source *src = blk_mapped(&md->m, members, MEMBERS, "v", &e);
	ck_assert_msg(src != NULL, "%s", e.msg);
	ck_assert_uint_eq(src->size, md->m.size);
	for (unsigned round = 0; round < 200; round++) {
		uint64_t off = draw(&seed) % src->size, len = 1 + draw(&seed) % (src->size - off);
		ck_assert_int_eq(blk_read(src, off, got, len, &e), 0);
		ck_assert(!memcmp(got, md->want + off, len));
		md->nr_walked = 0;
		ck_assert_int_eq(mapping_walk(&md->m, off, len, false, note, md, &e), 0);
		ck_assert_uint_eq(md->nr_walked, len);
		ck_assert(!memcmp(md->walked, md->want + off, len));
	}
	ck_assert_int_eq(blk_read(src, src->size, got, 1, &e), -1);
	ck_assert_int_eq(mapping_walk(&md->m, src->size, 1, false, note, md, &e), -1);
	blk_close(src);
	for (size_t i = 0; i < MEMBERS; i++)
		blk_close(members[i]);
	mapping_release(&md->m);
	free(md);
}
END_TEST

static int note_cover(void *arg, size_t member, uint64_t start, uint64_t len, struct err *e)
{
	struct model *md = arg;

	(void)e;
	ck_assert_uint_gt(len, 0);
	ck_assert_uint_le(start + len, BYTES);
	for (uint64_t b = start; b < start + len; b++)
		md->covered[member][b] = true;
	md->nr_calls++;
	return 0;
}

/* The same bytes as step by step, with one call for each leg of a segment at most. */
START_TEST(covers_what_is_walked)
{
	struct model *md = calloc(1, sizeof(*md));
	uint64_t seed = (uint64_t)_i + 1000;
	struct err e = ERR_INIT;

	build(md, &seed);
	for (unsigned round = 0; round < 200; round++) {
		uint64_t off = draw(&seed) % md->m.size, len = 1 + draw(&seed) % (round % 2 ? 60 : md->m.size - off);
		size_t most = 0;
		len = len < md->m.size - off ? len : md->m.size - off;
		for (size_t i = 0; i < md->m.nr; i++)
			if (md->m.segments[i].start < off + len && md->m.segments[i].start + md->m.segments[i].len > off)
				most += md->m.segments[i].nr_legs;
		memset(md->hit, 0, sizeof(md->hit));
		memset(md->covered, 0, sizeof(md->covered));
		md->nr_walked = md->nr_calls = 0;
		for (uint64_t at = off; at < off + len; at++) { /* byte by byte: the buffer of walk() is small */
			md->nr_walked = 0;
			ck_assert_int_eq(mapping_walk(&md->m, at, 1, true, note, md, &e), 0);
		}
		ck_assert_int_eq(mapping_cover(&md->m, off, len, note_cover, md, &e), 0);
		ck_assert(!memcmp(md->hit, md->covered, sizeof(md->hit)));
		ck_assert_uint_le(md->nr_calls, most);
	}
	ck_assert_int_eq(mapping_cover(&md->m, md->m.size, 1, note_cover, md, &e), -1);
	mapping_release(&md->m);
	free(md);
}
END_TEST

/* Every copy is named: what is used in a mirror is used in each of its members. */
START_TEST(all_copies)
{
	struct model *md = calloc(1, sizeof(*md));
	const struct map_leg legs[] = { { 0, 100 }, { 1, 200 }, { 2, 0 } };
	struct err e = ERR_INIT;

	ck_assert_int_eq(mapping_add(&md->m, 1000, 0, legs, 3, &e), 0);
	ck_assert_int_eq(mapping_walk(&md->m, 10, 5, true, note, md, &e), 0);
	for (size_t i = 0; i < 3; i++)
		for (size_t b = 0; b < BYTES; b++)
			ck_assert_int_eq(md->hit[i][b], b >= legs[i].start + 10 && b < legs[i].start + 15);
	mapping_release(&md->m);
	free(md);
}
END_TEST

/* A member whose medium lost some sectors, or which is gone. */
struct lossy {
	struct blk_source base;
	uint8_t data[BYTES];
	bool is_lost[BYTES / 512];
	int error;
};

static int lossy_read(struct blk_source *s, uint64_t off, void *buf, size_t len, struct err *e)
{
	const struct lossy *l = (const struct lossy *)s;

	for (uint64_t i = off / 512; i <= (off + len - 1) / 512; i++)
		if (l->is_lost[i])
			return err_set(e, ERR_FAILED, l->error, "reading");
	memcpy(buf, l->data + off, len);
	return 0;
}

static void lossy_close(struct blk_source *s)
{
	(void)s;
}

/* What one leg lost stands in another, also when each of them lost a part of what is read; where all lost it, it is lost. */
START_TEST(lost_in_one_leg)
{
	static const struct blk_source_ops ops = { .read = lossy_read, .close = lossy_close };
	const struct map_leg legs[] = { { 0, 512 }, { 1, 0 } };
	AUTO_FREE struct lossy *l = calloc(2, sizeof(*l));
	struct blk_source *members[] = { &l[0].base, &l[1].base };
	struct mapping m = { 0 };
	struct err e = ERR_INIT;
	uint8_t got[3072];

	for (size_t i = 0; i < 2; i++) {
		l[i].base = (struct blk_source){ .ops = &ops, .size = BYTES, .sector_size = 512, .phys_sector_size = 512 };
		l[i].error = EIO;
		for (size_t b = 0; b < BYTES - 512; b++)
			l[i].data[legs[i].start + b] = (uint8_t)(b * 5 + b / 512);
	}
	ck_assert_int_eq(mapping_add(&m, 3072, 0, legs, 2, &e), 0);
	AUTO(blk_source) struct blk_source *src = blk_mapped(&m, members, 2, "v", &e);
	ck_assert_ptr_nonnull(src);
	l[0].is_lost[1] = l[0].is_lost[4] = true; /* bytes 0 and 1536 of the volume */
	l[1].is_lost[2] = l[1].is_lost[5] = true; /* 1024, 2560 */
	ck_assert_int_eq(blk_read(src, 0, got, 3072, &e), 0);
	ck_assert(!memcmp(got, l[1].data, 1024) && !memcmp(got + 1024, l[0].data + 1536, 512) && !memcmp(got + 1536, l[1].data + 1536, 1024));
	ck_assert(!memcmp(got + 2560, l[0].data + 3072, 512));
	ck_assert_int_eq(blk_read(src, 100, got, 7, &e), 0);
	ck_assert(!memcmp(got, l[1].data + 100, 7));
	l[1].is_lost[0] = true;
	ck_assert_int_eq(blk_read(src, 100, got, 7, &e), -1);
	ck_assert(blk_is_medium_error(&e));
	l[1].is_lost[0] = false;
	l[0].error = ENODEV;
	ck_assert_int_eq(blk_read(src, 100, got, 7, &e), -1);
	ck_assert_int_eq(e.sys_errno, ENODEV);
	mapping_release(&m);
}
END_TEST

START_TEST(impossible)
{
	const struct map_leg legs[] = { { 0, 0 }, { 1, UINT64_MAX - 10 } };
	struct blk_source *members[2];
	struct mapping m = { 0 };
	struct err e = ERR_INIT;

	ck_assert_int_eq(mapping_add(&m, 0, 0, legs, 1, &e), -1);
	ck_assert_int_eq(mapping_add(&m, 10, 0, legs, 0, &e), -1);
	ck_assert_int_eq(mapping_add(&m, 10, 3, legs, 2, &e), -1);
	ck_assert_int_eq(mapping_add(&m, 100, 50, legs, 2, &e), -1);
	ck_assert_int_eq(mapping_add(&m, 64, 1ULL << 63, legs, 2, &e), -1);
	ck_assert_int_eq(mapping_add(&m, UINT64_MAX, 0, legs, 1, &e), 0);
	ck_assert_int_eq(mapping_add(&m, 2, 0, legs, 1, &e), -1);
	mapping_release(&m);
	members[0] = blk_mem("0123456789", 10, 512, "m", &e);
	members[1] = members[0];
	ck_assert_int_eq(mapping_add(&m, 11, 0, legs, 1, &e), 0);
	ck_assert_ptr_null(blk_mapped(&m, members, 2, "v", &e));
	ck_assert_int_eq(e.code, ERR_CORRUPT);
	ck_assert_ptr_null(blk_mapped(&m, members, 0, "v", &e));
	mapping_release(&m);
	blk_close(members[0]);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("mapping");
	TCase *t = tcase_create("mapping");
	tcase_add_loop_test(t, reads_what_the_model_says, 0, 60);
	tcase_add_loop_test(t, covers_what_is_walked, 0, 40);
	tcase_add_test(t, all_copies);
	tcase_add_test(t, lost_in_one_leg);
	tcase_add_test(t, impossible);
	suite_add_tcase(s, t);
	SRunner *r = srunner_create(s);
	srunner_run_all(r, CK_ENV);
	int failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed != 0;
}
