/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Is a target as the restores of its record left it? Everything they do passes, and nothing that somebody else does. */
#include "base/blk.h"
#include "base/hash.h"
#include "base/span.h"
#include "imager/job/holds.h"
#include "imager/job/state.h"
#include "tests/unit/image_util.h"

#define SIZE   65536
#define SECTOR 512

static char dir[64], path[160], target[160];
static uint8_t disk[SIZE]; /* what stands on the target */

static void setup(void)
{
	uint64_t seed = 7;

	temp_dir(dir, sizeof(dir), "known");
	snprintf(path, sizeof(path), "%s/record", dir);
	snprintf(target, sizeof(target), "%s/target", dir);
	for (int i = 0; i < SIZE; i++)
		disk[i] = (uint8_t)(rnd(&seed) | 1);
	file_write(target, disk, SIZE);
}

static void teardown(void)
{
	temp_remove(dir);
}

static struct state *open_ok(void)
{
	struct err e = ERR_INIT;
	struct state *s = NULL;

	ok(state_open(path, target, SIZE, &s, &e), &e);
	return s;
}

/* How many pieces differ, as a record that is opened anew tells. */
static struct state_match compare(void)
{
	AUTO(state) struct state *s = open_ok();
	AUTO(blk_source) struct blk_source *src = NULL;
	struct state_match match;
	struct err e = ERR_INIT;

	src = blk_mem(disk, SIZE, SECTOR, "disk", &e);
	ck_assert_ptr_nonnull(src);
	ok(state_compare(s, src, &match, NULL, NULL, &e), &e);
	return match;
}

static void is_as_left(void)
{
	struct state_match m = compare();

	ck_assert_uint_eq(m.nr_differing, 0);
	ck_assert_uint_gt(m.nr_proofs, 0);
}

/* Saved: the sectors 2 and 3. Seen: 8, which is full of data, and 9, which is zero. */
static void begin(void)
{
	AUTO(state) struct state *s = open_ok();
	struct err e = ERR_INIT;

	memset(disk + 9 * SECTOR, 0, SECTOR);
	ok(state_save(s, 2 * SECTOR, disk + 2 * SECTOR, 2 * SECTOR, &e), &e);
	ok(state_see(s, 8 * SECTOR, disk + 8 * SECTOR, 2 * SECTOR, &e), &e);
	ok(state_sync(s, &e), &e);
}

START_TEST(what_a_restore_does)
{
	uint8_t new[SECTOR];
	struct err e = ERR_INIT;

	begin();
	is_as_left();
	memset(disk + 2 * SECTOR, 0, SECTOR + 100); /* cleared, one of them torn */
	is_as_left();
	memset(disk + 2 * SECTOR, 0, 2 * SECTOR);
	is_as_left();
	memset(disk + 20 * SECTOR, 'x', 10 * SECTOR); /* where the record knows nothing */
	is_as_left();
	for (uint64_t at = 0; at < 12; at++) {
		AUTO(state) struct state *s = open_ok();
		memset(new, (int)('a' + at), sizeof(new));
		bool knows = at == 2 || at == 3 || at == 8 || at == 9;
		ck_assert_int_eq(state_note_write(s, at * SECTOR, new, SECTOR, &e), knows);
		ok(state_sync(s, &e), &e);
		state_close(take(&s));
		is_as_left(); /* not written yet */
		memcpy(disk + at * SECTOR, new, SECTOR);
		is_as_left();
		/* The same once more needs no note. */
		s = open_ok();
		ck_assert_int_eq(state_note_write(s, at * SECTOR, new, SECTOR, &e), 0);
	}
	AUTO(state) struct state *s = open_ok();
	ck_assert_int_eq(state_note_write(s, 0, NULL, SIZE, &e), 1);
	state_close(take(&s));
	memset(disk + 8 * SECTOR, 0, SECTOR); /* discarded */
	is_as_left();
}
END_TEST

START_TEST(what_somebody_else_does)
{
	static const int places[] = { 2, 3, 8, 9 };
	uint8_t was[SECTOR];

	begin();
	memset(disk + 2 * SECTOR, 0, 2 * SECTOR);
	is_as_left();
	for (int i = 0; i < 4; i++) {
		memcpy(was, disk + places[i] * SECTOR, SECTOR);
		disk[places[i] * SECTOR + 77] ^= 0x81;
		ck_assert_uint_eq(compare().nr_differing, 1);
		memcpy(disk + places[i] * SECTOR, was, SECTOR);
	}
	/* Another disk, blank or not: nothing proves that it is this one. */
	memset(disk, 0, SIZE);
	ck_assert(compare().nr_differing && !compare().nr_proofs);
	memset(disk, 'z', SIZE);
	ck_assert(compare().nr_differing && !compare().nr_proofs);
}
END_TEST

/* What was seen in one place and is saved by a later attempt is cleared then. */
START_TEST(seen_then_saved)
{
	struct err e = ERR_INIT;

	begin();
	AUTO(state) struct state *s = open_ok();
	ok(state_save(s, 8 * SECTOR, disk + 8 * SECTOR, SECTOR, &e), &e);
	ok(state_sync(s, &e), &e);
	state_close(take(&s));
	memset(disk + 8 * SECTOR, 0, SECTOR);
	is_as_left();
}
END_TEST

START_TEST(another_file_of_the_name)
{
	struct err e = ERR_INIT;
	char aside[200], other[200];
	struct state *undo = NULL;

	begin();
	AUTO(state) struct state *s = open_ok();
	ck_assert(state_is_open(s) && !state_is_other(s));
	state_close(take(&s));
	/* Made while the first one is there, so that it cannot get its inode. */
	snprintf(other, sizeof(other), "%s/other", dir);
	file_write(other, disk, SIZE);
	ck_assert_int_eq(rename(other, target), 0);
	ok(state_open_unfinished(path, target, SIZE, &undo, &e), &e);
	ck_assert(state_is_other(undo));
	state_close(undo);
	s = open_ok();
	ck_assert(state_is_open(s) && state_is_other(s));
	file_write(other, "mine", 4);
	snprintf(other, sizeof(other), "%s.old-1", path);
	file_write(other, "mine", 4);
	ok(state_set_aside(s, aside, sizeof(aside), &e), &e);
	ck_assert(!state_is_open(s) && !state_is_other(s) && access(path, F_OK) < 0);
	ck_assert_str_eq(strrchr(aside, '.'), ".old-2"); /* the first name is somebody's */
	ok(state_save(s, 2 * SECTOR, disk, SECTOR, &e), &e);
	ck_assert_uint_eq(state_saved_bytes(s), SECTOR);
	state_close(take(&s));
	/* One size, one record. */
	ok(state_open(path, target, SIZE - SECTOR, &s, &e), &e);
	ck_assert(state_is_other(s));
	struct state_entry entry;
	ok(state_peek(aside, &entry, &e), &e);
	ck_assert(entry.is_aside && !entry.is_finished && entry.saved_bytes == 2 * SECTOR && entry.target_size == SIZE);
	ok(state_forget(aside, &e), &e);
	fails(state_forget(other, &e), ERR_REFUSED, &e);
	ck_assert(access(aside, F_OK) < 0 && access(other, F_OK) == 0);
}
END_TEST

/* Whatever the notes say: no crash, and an answer. */
START_TEST(hostile_notes)
{
	struct err e = ERR_INIT;
	uint64_t seed = 3;
	size_t len;

	begin();
	AUTO_FREE uint8_t *f = file_read(path, &len);
	const size_t note = 2048 + 24 + 2 * SECTOR;
	ck_assert(!memcmp(f + note, "SEEN", 4));
	for (int i = 0; i < 500; i++) {
		AUTO_FREE uint8_t *g = malloc(len);
		memcpy(g, f, len);
		put_le32(g + note, 4, (uint32_t)rnd(&seed) >> rnd_below(&seed, 31));
		put_le64(g + note, 8, rnd(&seed) >> rnd_below(&seed, 63));
		memcpy(g + note, rnd_below(&seed, 2) ? "SEEN" : "LEFT", 4);
		put_le32(g + note, 20, crc32_of(g + note, 20));
		file_write(path, g, len);
		AUTO(state) struct state *s = open_ok();
		state_note_write(s, rnd_below(&seed, SIZE / SECTOR) * SECTOR, NULL, SECTOR, &e);
		state_close(take(&s));
		compare();
	}
}
END_TEST

int main(void)
{
	Suite *s = suite_create("state known");
	TCase *t = tcase_create("known");

	suite_add_tcase(s, t);
	tcase_set_timeout(t, 60);
	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, what_a_restore_does);
	tcase_add_test(t, what_somebody_else_does);
	tcase_add_test(t, seen_then_saved);
	tcase_add_test(t, another_file_of_the_name);
	tcase_add_test(t, hostile_notes);
	SRunner *r = srunner_create(s);
	srunner_run_all(r, CK_ENV);
	int failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
