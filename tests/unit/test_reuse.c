/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What a capture refers to: records that are sound, and none that was found damaged, by itself or by who came before. */
#include "base/hex.h"
#include "imager/repo/damaged.h"
#include "imager/repo/maintain.h"
#include "imager/repo/reuse.h"
#include "imager/repo/retired.h"
#include "tests/unit/repo_make.h"

static char dir[64];
static struct repo *repo;
static struct chunk_codec *codec;
static uint8_t payload[CHUNK_PAYLOAD_MAX];

/* One pack with chunks 0 and 1, one with chunk 1 again, one with a record composed of chunk 0's. */
static struct made a[2], twin, composed;
static struct reuse use;

static void open_known(void)
{
	struct err e = ERR_INIT;

	use = (struct reuse){ .known = known_open(repo, NULL, &e), .packs = folder_packs_open(repo, &e), .every = 1 };
	ck_assert_msg(use.known && use.packs && (codec = chunk_codec_new(0, &e)), "%s", e.msg);
}

static void close_known(void)
{
	known_close(use.known);
	chunk_codec_free(codec);
	use.packs->ops->close(use.packs);
}

static void setup(void)
{
	struct err e = ERR_INIT;

	repo = make_repo(dir, sizeof(dir), "reuse");
	make_pack(repo, 0, 2, a);
	make_pack(repo, 1, 1, &twin);
	AUTO(pack_writer) struct pack_writer *w = pack_writer_open(repo, &e);
	ck_assert_msg(w != NULL, "%s", e.msg);
	composed = make_composed(w, &a[0]);
	ok(pack_writer_finish(w, &e), &e);
}

static void teardown(void)
{
	remove_repo(repo);
}

static bool is_at(const struct known_record *r, const struct made *x)
{
	return !memcmp(r->toc->id, x->pack, 16) && r->entry->offset == x->entry.offset;
}

START_TEST(sound_ones)
{
	struct known_record r;

	open_known();
	ck_assert(reuse_chunk(&use, codec, a[1].entry.id, &r, payload) && (is_at(&r, &a[1]) || is_at(&r, &twin)));
	ck_assert_int_eq(known_state(use.known, &r), KNOWN_SOUND);
	ck_assert(reuse_chunk(&use, codec, a[0].entry.id, &r, payload));
	ck_assert(reuse_lender(&use, codec, &a[0].entry.name, payload));
	ck_assert(!reuse_chunk(&use, codec, (const uint8_t[32]){ 1 }, &r, payload));
	ck_assert(!known_any_bad(use.known));
	close_known();
}
END_TEST

/* Of two records of one chunk the sound one is taken, whichever is found first; of none, none. */
START_TEST(the_other_one)
{
	const struct made *bad = _i ? &twin : &a[1], *good = _i ? &a[1] : &twin;
	struct known_record r, put;

	damage(repo, bad);
	open_known();
	ck_assert(!reuse_lender(&use, codec, &bad->entry.name, payload));
	ck_assert(reuse_chunk(&use, codec, a[1].entry.id, &r, payload) && is_at(&r, good));
	ck_assert(known_chunk(use.known, a[1].entry.id, &put) && is_at(&put, good));
	close_known();
	damage(repo, good);
	open_known();
	ck_assert(!reuse_chunk(&use, codec, a[1].entry.id, &r, payload));
	ck_assert(!known_chunk(use.known, a[1].entry.id, &r));
	close_known();
}
END_TEST

/* A composed record is as good as its lenders. Chunk 0 is there twice: whole, and composed of that. */
START_TEST(bad_lender)
{
	struct known_record r;

	damage(repo, &a[0]);
	open_known();
	ck_assert(!reuse_chunk(&use, codec, a[0].entry.id, &r, payload));
	ck_assert(known_name(use.known, &composed.entry.name, &r));
	ck_assert_int_eq(known_state(use.known, &r), KNOWN_INCOMPLETE);
	close_known();
}
END_TEST

/* Who trusts does not read, and sticks to it; after the first bad one all are read. */
START_TEST(trust)
{
	struct known_record r;

	damage(repo, &a[0]);
	damage(repo, &a[1]);
	damage(repo, &twin);
	open_known();
	use.every = 1U << 31;
	use.random = UINT64_C(1) << 40; /* none of these four */
	ck_assert(reuse_chunk(&use, codec, a[1].entry.id, &r, payload));
	ck_assert_int_eq(known_state(use.known, &r), KNOWN_TRUSTED);
	ck_assert(!reuse_lender(&use, codec, &a[0].entry.name, payload));
	ck_assert(known_any_bad(use.known));
	ck_assert(!reuse_chunk(&use, codec, a[0].entry.id, &r, payload));
	ck_assert(reuse_chunk(&use, codec, a[1].entry.id, &r, payload)); /* another chunk refers to it already */
	close_known();
}
END_TEST

START_TEST(who_tells_first)
{
	struct known_record r;

	open_known();
	ck_assert(known_name(use.known, &composed.entry.name, &r));
	ck_assert_int_eq(known_state(use.known, &r), KNOWN_UNREAD);
	ck_assert_int_eq(known_tell(use.known, &r, KNOWN_SOUND), KNOWN_SOUND);
	ck_assert_int_eq(known_tell(use.known, &r, KNOWN_BAD), KNOWN_SOUND);
	ck_assert_int_eq(known_tell(use.known, &r, KNOWN_INCOMPLETE), KNOWN_INCOMPLETE);
	ck_assert_int_eq(known_tell(use.known, &r, KNOWN_COMPLETE), KNOWN_INCOMPLETE);
	ck_assert_int_eq(known_tell(use.known, &r, KNOWN_SOUND), KNOWN_INCOMPLETE);
	ck_assert(known_name(use.known, &composed.entry.name, &r)); /* it lends what it holds */
	close_known();
}
END_TEST

/* What a capture finds is known to the next one, and goes with the pack. */
START_TEST(notes)
{
	struct err e = ERR_INIT;
	struct known_record r;
	struct damaged d;
	uint64_t nr;

	damage(repo, &a[1]);
	open_known();
	ck_assert(!reuse_lender(&use, codec, &a[1].entry.name, payload));
	ok(reuse_note_damage(&use, repo, codec, payload, &nr, &e), &e);
	ck_assert_uint_eq(nr, 1);
	close_known();
	ok(damaged_read(repo, a[1].pack, &d, &e), &e);
	ck_assert(d.nr == 1 && damaged_holds(&d, a[1].entry.offset));
	free(d.offsets);

	damage(repo, &a[1]); /* it is right again, but nobody has looked */
	open_known();
	ck_assert(reuse_chunk(&use, codec, a[1].entry.id, &r, payload) && is_at(&r, &twin));
	ck_assert(!known_any_bad(use.known));
	ok(reuse_note_damage(&use, repo, codec, payload, &nr, &e), &e);
	ck_assert_uint_eq(nr, 0);
	close_known();

	ok(retired_put(repo, a[0].pack, &e), &e);
	ck_assert_int_eq(retired_remove(repo, a[0].pack, &e), 1);
	ok(damaged_read(repo, a[1].pack, &d, &e), &e);
	ck_assert_uint_eq(d.nr, 0);
}
END_TEST

START_TEST(note_files)
{
	struct damaged d = { .nr = 0 }, again;
	struct err e = ERR_INIT;
	uint64_t seed = 5;
	char path[PATH_MAX], hex[33];

	for (unsigned i = 0; i < 500; i++)
		ok(damaged_add(&d, rnd_below(&seed, 300) * 1000000007, &e), &e);
	for (size_t i = 1; i < d.nr; i++)
		ck_assert_uint_lt(d.offsets[i - 1], d.offsets[i]);
	damaged_drop(&d, 1);
	damaged_drop(&d, d.offsets[3]);
	ok(damaged_write(repo, a[0].pack, &d, &e), &e);
	ok(damaged_read(repo, a[0].pack, &again, &e), &e);
	ck_assert_uint_eq(again.nr, d.nr);
	ck_assert(!memcmp(again.offsets, d.offsets, d.nr * sizeof(*d.offsets)));
	free(again.offsets);
	snprintf(path, sizeof(path), "%s/damaged/%s", dir, hex_of(a[0].pack, 16, hex));
	file_write(path, "64\n-7\n99\n", 9); /* what is not understood is the end */
	ok(damaged_read(repo, a[0].pack, &again, &e), &e);
	ck_assert(again.nr == 1 && damaged_holds(&again, 64) && !damaged_holds(&again, 99));
	free(again.offsets);
	d.nr = 0;
	ok(damaged_write(repo, a[0].pack, &d, &e), &e);
	ck_assert_int_ne(access(path, F_OK), 0);
	free(d.offsets);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("reuse");
	TCase *t = tcase_create("reuse");

	suite_add_tcase(s, t);
	tcase_set_timeout(t, 120);
	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, sound_ones);
	tcase_add_loop_test(t, the_other_one, 0, 2);
	tcase_add_test(t, bad_lender);
	tcase_add_test(t, trust);
	tcase_add_test(t, who_tells_first);
	tcase_add_test(t, notes);
	tcase_add_test(t, note_files);
	return run_suite(s);
}
