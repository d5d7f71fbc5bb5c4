/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The state record of a target: what was saved first stays, whatever is run again, torn or damaged. The file is read back by a small
 * parser of the test's own.
 */
#include "base/hash.h"
#include "base/span.h"
#include "imager/job/holds.h"
#include "imager/job/state.h"
#include "tests/unit/image_util.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>

#define SIZE   65536
#define TARGET "/dev/null" /* a name that realpath() leaves alone */
#define MIB    (1ULL << 20)

static char dir[64], path[160];
static uint8_t disk[SIZE];  /* what was saved, as the record tells it */
static uint8_t known[SIZE]; /* how often each byte was saved */

static void setup(void)
{
	temp_dir(dir, sizeof(dir), "state");
	snprintf(path, sizeof(path), "%s/record", dir);
}

static void teardown(void)
{
	temp_remove(dir);
}

static struct state *open_ok(void)
{
	struct err e = ERR_INIT;
	struct state *s = NULL;

	ok(state_open(path, TARGET, SIZE, &s, &e), &e);
	return s;
}

/* Replay the file; returns where its entries end. */
static size_t replay(void)
{
	size_t len, at = 2048;
	AUTO_FREE uint8_t *f = file_read(path, &len);

	ck_assert(len >= 1024 && !memcmp(f, "CALCOSR1", 8) && get_le32(f + 1020) == crc32_of(f, 1020));
	ck_assert(get_le64(f + 16) == SIZE && !strcmp((char *)f + 24, TARGET));
	memset(known, 0, sizeof(known));
	while (len >= at + 24 && !memcmp(f + at, "SAVE", 4)) {
		uint32_t n = get_le32(f + at + 4);
		uint64_t start = get_le64(f + at + 8);
		if (len < at + 24 + n || get_le32(f + at + 20) != crc32_of(f + at, 20) || get_le32(f + at + 16) != crc32_of(f + at + 24, n))
			break;
		ck_assert(start + n <= SIZE);
		memcpy(disk + start, f + at + 24, n);
		for (uint32_t i = 0; i < n; i++)
			known[start + i]++;
		at += 24 + n;
	}
	return at;
}

static uint32_t status(void)
{
	size_t len;
	AUTO_FREE uint8_t *f = file_read(path, &len);

	return get_le32(f + 8);
}

static void save(struct state *s, uint64_t start, uint8_t value, size_t len)
{
	struct err e = ERR_INIT;
	AUTO_FREE uint8_t *b = malloc(len + 1);

	memset(b, value, len);
	ok(state_save(s, start, b, len, &e), &e);
}

START_TEST(nothing_saved_no_file)
{
	struct err e = ERR_INIT;
	AUTO(state) struct state *s = open_ok();

	ok(state_mark(s, MIB, &e), &e);
	ok(state_sync(s, &e), &e);
	ok(state_finish(s, (const uint8_t *)"12345678901234567890123456789012", &e), &e);
	ck_assert_str_eq(state_path(s), "");
	ck_assert_int_ne(access(path, F_OK), 0);
	state_close(NULL);
}
END_TEST

START_TEST(a_rerun_replaces_nothing)
{
	struct err e = ERR_INIT;
	AUTO(state) struct state *s = open_ok();

	save(s, 512, 'A', 512);
	ok(state_sync(s, &e), &e);
	ck_assert_str_eq(state_path(s), path);
	state_close(take(&s));
	s = open_ok();
	ck_assert_str_eq(state_path(s), path);
	save(s, 0, 'B', 512);
	save(s, 512, 'A', 512);
	save(s, 1024, 'B', 1024);
	/* Other bytes were put there meanwhile: they are nobody's to clear. */
	uint8_t other[1024];
	memset(other, 'C', sizeof(other));
	ck_assert_int_eq(state_save(s, 256, other, sizeof(other), &e), -1);
	ck_assert_int_eq(e.code, ERR_REFUSED);
	replay();
	for (int i = 0; i < 2048; i++)
		ck_assert(disk[i] == (i >= 512 && i < 1024 ? 'A' : 'B') && known[i] == 1);
}
END_TEST

/* Any sequence of saves and reopenings: each byte is what was saved first, once; what differs from an earlier attempt is refused whole. */
START_TEST(random_overlaps)
{
	uint64_t seed = 71 + (uint64_t)_i;
	static uint8_t want[SIZE], is_saved[SIZE], is_old[SIZE];
	struct err e = ERR_INIT;
	AUTO(state) struct state *s = open_ok();

	memset(is_saved, 0, sizeof(is_saved));
	memset(is_old, 0, sizeof(is_old));
	for (int i = 1; i <= 120; i++) {
		uint64_t start = rnd_below(&seed, SIZE), len = rnd_below(&seed, SIZE - start < 9000 ? SIZE - start : 9000);
		uint8_t bytes[9000];
		bool differs = false;
		memset(bytes, i, sizeof(bytes));
		for (uint64_t k = start; k < start + len; k++)
			differs |= is_old[k] && want[k] != i;
		e = (struct err)ERR_INIT;
		ck_assert_int_eq(state_save(s, start, bytes, len, &e), differs ? -1 : 0);
		ck_assert(!differs || e.code == ERR_REFUSED);
		for (uint64_t k = start; k < start + len && !differs; k++)
			if (!is_saved[k]) {
				is_saved[k] = 1;
				want[k] = (uint8_t)i;
			}
		if (rnd_below(&seed, 6) == 0) {
			state_close(take(&s));
			s = open_ok();
			memcpy(is_old, is_saved, sizeof(is_old));
		}
	}
	replay();
	int wrong = 0;
	for (int k = 0; k < SIZE; k++)
		wrong += known[k] != is_saved[k] || (known[k] && disk[k] != want[k]);
	ck_assert_int_eq(wrong, 0);
}
END_TEST

/* Cut anywhere in the last entry, or with a bit of it turned over: it was never synced, and is written again. */
START_TEST(torn_tail)
{
	AUTO(state) struct state *s = open_ok();
	size_t len, first;

	save(s, 0, 'A', 100);
	first = replay();
	save(s, 1000, 'B', 50);
	state_close(take(&s));
	AUTO_FREE uint8_t *f = file_read(path, &len);
	for (size_t cut = first; cut < len; cut++) {
		for (int flip = 0; flip < 2; flip++) {
			f[cut] ^= (uint8_t)flip;
			file_write(path, f, flip ? len : cut);
			f[cut] ^= (uint8_t)flip;
			s = open_ok();
			save(s, 0, 'A', 100);
			save(s, 1000, 'C', 50);
			save(s, 1000, 'D', 50);
			state_close(take(&s));
			replay();
			ck_assert(disk[0] == 'A' && disk[99] == 'A' && disk[1000] == 'C' && disk[1049] == 'C' && known[1000] == 1);
		}
	}
}
END_TEST

START_TEST(of_another_target)
{
	struct err e = ERR_INIT;
	AUTO(state) struct state *s = open_ok();

	save(s, 0, 'A', 10);
	state_close(take(&s));
	fails(state_open(path, "/dev/zero", SIZE, &s, &e), ERR_REFUSED, &e);
	ck_assert_str_eq(e.reason, "state");
	ck_assert_ptr_nonnull(strstr(e.msg, TARGET));
	file_write(path, "my own file\n", 12);
	fails(state_open(path, TARGET, SIZE, &s, &e), ERR_REFUSED, &e);
	ck_assert_ptr_null(s);
	size_t len;
	AUTO_FREE uint8_t *f = file_read(path, &len);
	ck_assert(len == 12 && !memcmp(f, "my own file\n", 12));
}
END_TEST

START_TEST(not_twice_at_once)
{
	struct err e = ERR_INIT;
	AUTO(state) struct state *s = open_ok();
	struct state *other = NULL;

	save(s, 0, 'A', 10);
	fails(state_open(path, TARGET, SIZE, &other, &e), ERR_REFUSED, &e);
	ck_assert_str_eq(e.reason, "in-use");
}
END_TEST

START_TEST(a_finished_record_begins_anew)
{
	struct err e = ERR_INIT;
	AUTO(state) struct state *s = open_ok();
	static const uint8_t root[32] = "the root of the image, 32 bytes";
	size_t len;

	save(s, 0, 'A', 100);
	ok(state_mark(s, 5000 * MIB, &e), &e);
	ck_assert_uint_eq(status(), 0);
	ok(state_finish(s, root, &e), &e);
	ck_assert_uint_eq(status(), 1);
	state_close(take(&s));
	AUTO_FREE uint8_t *f = file_read(path, &len);
	ck_assert(!memcmp(f + 24 + 512, root, 32));
	s = open_ok();
	ck_assert_str_eq(state_path(s), "");
	ck_assert_uint_eq(status(), 1); /* nothing happens to it before there is something to save */
	save(s, 50, 'B', 100);
	ck_assert_uint_eq(status(), 0);
	replay();
	ck_assert(!known[0] && known[50] && disk[60] == 'B');
	/* The old mark is gone as well. */
	AUTO_FREE uint8_t *g = file_read(path, &len);
	ck_assert(len > 2048);
	for (int i = 1024; i < 2048; i++)
		ck_assert_uint_eq(g[i], 0);
	/* A finished record of another target is no obstacle. */
	ok(state_finish(s, root, &e), &e);
	state_close(take(&s));
	ok(state_open(path, "/dev/zero", SIZE, &s, &e), &e);
}
END_TEST

/* The newest valid slot; 0 when there is none. */
static uint64_t mark_in_file(void)
{
	size_t len;
	AUTO_FREE uint8_t *f = file_read(path, &len);
	uint64_t seq = 0, mark = 0;

	for (int slot = 0; slot < 2; slot++) {
		const uint8_t *b = f + 1024 + 512 * slot;
		if (get_le32(b + 16) == crc32_of(b, 16) && get_le64(b + 8) > seq) {
			seq = get_le64(b + 8);
			mark = get_le64(b);
		}
	}
	return mark;
}

static void damage_slot_of(uint64_t mark)
{
	size_t len;
	AUTO_FREE uint8_t *f = file_read(path, &len);

	for (int slot = 0; slot < 2; slot++)
		if (get_le64(f + 1024 + 512 * slot) == mark)
			f[1024 + 512 * slot + 3] ^= 0x10;
	file_write(path, f, len);
}

START_TEST(high_water_mark)
{
	struct err e = ERR_INIT;
	AUTO(state) struct state *s = open_ok();

	save(s, 0, 'A', 100);
	ck_assert_uint_eq(mark_in_file(), 0);
	ok(state_mark(s, 10, &e), &e);
	uint64_t first = mark_in_file();
	ck_assert_uint_ge(first, 10);
	ok(state_mark(s, first, &e), &e); /* covered: nothing is written */
	ck_assert_uint_eq(mark_in_file(), first);
	ok(state_mark(s, first + 1, &e), &e);
	uint64_t second = mark_in_file();
	ck_assert_uint_gt(second, first);
	state_close(take(&s));
	/* Reopened, it goes on from there, in the other slot. */
	s = open_ok();
	ok(state_mark(s, second, &e), &e);
	ck_assert_uint_eq(mark_in_file(), second);
	ok(state_mark(s, second + 1, &e), &e);
	uint64_t third = mark_in_file();
	ck_assert_uint_gt(third, second);
	state_close(take(&s));
	/* A power cut while the newest was written leaves the one before. */
	damage_slot_of(third);
	ck_assert_uint_eq(mark_in_file(), second);
	s = open_ok();
	ok(state_mark(s, second + 1, &e), &e);
	ck_assert_uint_eq(mark_in_file(), third);
	replay();
	ck_assert(known[0] == 1 && disk[99] == 'A');
	damage_slot_of(mark_in_file());
	damage_slot_of(mark_in_file());
	ck_assert_uint_eq(mark_in_file(), 0);
	state_close(take(&s));
	s = open_ok();
	ok(state_mark(s, 10, &e), &e);
	ck_assert_uint_ge(mark_in_file(), 10);
}
END_TEST

START_TEST(large_saves_are_split)
{
	struct err e = ERR_INIT;
	const size_t len = (40 << 20) + 7;
	AUTO_FREE uint8_t *b = calloc(1, len);
	AUTO(state) struct state *s = NULL;

	ok(state_open(path, TARGET, 1ULL << 40, &s, &e), &e);
	memset(b, 'A', len);
	ok(state_save(s, 1ULL << 39, b, len, &e), &e);
	state_close(take(&s));
	struct stat before, after;
	stat(path, &before);
	ok(state_open(path, TARGET, 1ULL << 40, &s, &e), &e);
	ok(state_save(s, 1ULL << 39, b, len, &e), &e);
	stat(path, &after);
	ck_assert_int_eq(before.st_size, after.st_size);
	ck_assert_int_eq(before.st_size, 2048 + 3 * 24 + (off_t)len);
}
END_TEST

/* Whatever stands in the file: no crash, and an answer. */
START_TEST(hostile_records)
{
	uint64_t seed = 5;
	AUTO(state) struct state *s = open_ok();
	struct err e = ERR_INIT;
	size_t len;

	save(s, 0, 'A', 300);
	save(s, 1000, 'B', 300);
	ok(state_mark(s, 10, &e), &e);
	state_close(take(&s));
	AUTO_FREE uint8_t *f = file_read(path, &len);
	for (int i = 0; i < 1000; i++) {
		AUTO_FREE uint8_t *g = malloc(len);
		memcpy(g, f, len);
		for (uint64_t n = 1 + rnd_below(&seed, 4); n; n--)
			g[rnd_below(&seed, len)] = (uint8_t)rnd(&seed);
		if (i % 2) { /* checksums that fit */
			put_le32(g, 1020, crc32_of(g, 1020));
			put_le64(g, 2048 + 8, rnd(&seed));
			put_le32(g, 2048 + 20, crc32_of(g + 2048, 20));
		}
		file_write(path, g, rnd_below(&seed, 4) ? len : rnd_below(&seed, len));
		if (state_open(path, TARGET, SIZE, &s, &e) == 0) {
			ck_assert(state_save(s, 0, f, 2000, &e) == 0 || e.code == ERR_REFUSED);
			state_close(take(&s));
		} else {
			ck_assert(e.code == ERR_REFUSED || e.code == ERR_CORRUPT);
		}
	}
}
END_TEST

/* Half of the header of a finished record over half of that of the open one: finished. Any other damage keeps what was saved. */
START_TEST(half_finished)
{
	AUTO(state) struct state *s = open_ok();
	struct err e = ERR_INIT;
	size_t len;

	save(s, 0, 'A', 300);
	AUTO_FREE uint8_t *open_record = file_read(path, &len);
	ok(state_finish(s, (const uint8_t *)"12345678901234567890123456789012", &e), &e);
	state_close(take(&s));
	AUTO_FREE uint8_t *mixed = file_read(path, &len);
	memcpy(mixed, open_record, 512);
	file_write(path, mixed, len);
	s = open_ok();
	ck_assert(!state_is_open(s));
	state_close(take(&s));
	memcpy(mixed, open_record, len);
	put_le32(mixed, 8, 1);
	file_write(path, mixed, len);
	s = open_ok();
	ck_assert(!state_is_open(s));
	state_close(take(&s));
	memcpy(mixed, open_record, len);
	mixed[24] ^= 1;
	file_write(path, mixed, len);
	ck_assert_int_eq(state_open(path, TARGET, SIZE, &s, &e), -1);
	ck_assert_int_eq(e.code, ERR_CORRUPT);
	AUTO_FREE uint8_t *kept = file_read(path, &len);
	ck_assert_mem_eq(kept, mixed, len);
}
END_TEST

/* What a disarming that was cut short leaves of the bytes it saved is no use by somebody else: cleared, torn, mixed with the stub. */
START_TEST(cut_short_while_clearing)
{
	AUTO(state) struct state *s = open_ok();
	struct err e = ERR_INIT;
	uint8_t sector[512], code[512];
	size_t before, after;

	memset(sector, 'A', sizeof(sector));
	memset(code, 'A', sizeof(code));
	holds_stub(code);
	ok(state_save(s, 0, sector, sizeof(sector), &e), &e);
	ok(state_save(s, 1024, sector, sizeof(sector), &e), &e);
	state_close(take(&s));
	free(file_read(path, &before));
	s = open_ok();
	memset(sector, 0, 100);
	ok(state_save(s, 1024, sector, sizeof(sector), &e), &e);
	memcpy(sector, code, 60);
	ok(state_save(s, 0, sector, sizeof(sector), &e), &e);
	memset(sector, 0, sizeof(sector));
	ok(state_save(s, 1024, sector, sizeof(sector), &e), &e);
	ok(state_sync(s, &e), &e);
	free(file_read(path, &after));
	ck_assert_uint_eq(before, after);
	ck_assert_int_eq(state_save(s, 1024, code, sizeof(code), &e), -1); /* the stub belongs to the first sector only */
	ck_assert_int_eq(e.code, ERR_REFUSED);
}
END_TEST

START_TEST(folders_are_made)
{
	struct err e = ERR_INIT;
	char deep[200];
	AUTO(state) struct state *s = NULL;

	snprintf(deep, sizeof(deep), "%s/a/b/record", dir);
	ok(state_open(deep, TARGET, SIZE, &s, &e), &e);
	save(s, 0, 'A', 10);
	ck_assert_int_eq(access(deep, F_OK), 0);
	unlink(deep);
	snprintf(deep, sizeof(deep), "%s/a/b", dir);
	rmdir(deep);
}
END_TEST

/* A record of its own under this name, finished or not, of so many seconds ago. */
static void make_record(const char *name, bool is_finished, time_t age)
{
	static const uint8_t root[32] = "the root of the image, 32 bytes";
	struct timespec times[2] = { { .tv_sec = time(NULL) - age }, { .tv_sec = time(NULL) - age } };
	struct err e = ERR_INIT;

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	AUTO(state) struct state *s = open_ok();
	save(s, 0, 'A', 100);
	if (is_finished)
		ok(state_finish(s, root, &e), &e);
	ck_assert_int_eq(utimensat(AT_FDCWD, path, times, 0), 0);
}

static bool is_there(const char *name)
{
	char full[200];

	snprintf(full, sizeof(full), "%s/%s", dir, name);
	return access(full, F_OK) == 0;
}

/* Of finished records the newest stay; whatever else there is stays, too. */
START_TEST(old_records_go)
{
	make_record("in-use.state", true, 9000);
	make_record("1.state", true, 100);
	make_record("2.state", true, 200);
	make_record("3.state", true, 300);
	make_record("open.state", false, 8000);
	make_record("another.name", true, 8000);
	snprintf(path, sizeof(path), "%s/junk.state", dir);
	file_write(path, "CALCOSR1 and nothing more", 25);
	snprintf(path, sizeof(path), "%s/in-use.state", dir);
	int held = open(path, O_RDONLY | O_CLOEXEC), folder = state_lock_folder(dir);
	ck_assert(held >= 0 && folder >= 0 && flock(held, LOCK_EX | LOCK_NB) == 0);
	state_prune(folder, 2);
	ck_assert(is_there("1.state") && is_there("2.state") && !is_there("3.state"));
	ck_assert(is_there("in-use.state") && is_there("open.state") && is_there("another.name") && is_there("junk.state"));
	close(held);
	state_prune(folder, 2);
	ck_assert(is_there("1.state") && is_there("2.state") && !is_there("in-use.state") && is_there("open.state"));
	close(folder);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("state");
	TCase *t = tcase_create("state");

	suite_add_tcase(s, t);
	tcase_set_timeout(t, 60);
	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, nothing_saved_no_file);
	tcase_add_test(t, a_rerun_replaces_nothing);
	tcase_add_loop_test(t, random_overlaps, 0, 3);
	tcase_add_test(t, torn_tail);
	tcase_add_test(t, of_another_target);
	tcase_add_test(t, not_twice_at_once);
	tcase_add_test(t, a_finished_record_begins_anew);
	tcase_add_test(t, high_water_mark);
	tcase_add_test(t, large_saves_are_split);
	tcase_add_test(t, hostile_records);
	tcase_add_test(t, half_finished);
	tcase_add_test(t, cut_short_while_clearing);
	tcase_add_test(t, folders_are_made);
	tcase_add_test(t, old_records_go);
	return run_suite(s);
}
