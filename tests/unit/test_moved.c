/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Other places for the records of a version: they moved, or others step in for bad ones. And packs that nobody needs, while somebody may read them. */
#include "base/hex.h"
#include "imager/repo/damaged.h"
#include "imager/repo/maintain.h"
#include "imager/repo/moved.h"
#include "imager/repo/retired.h"
#include "tests/unit/repo_make.h"

#include <sys/file.h>

static char dir[64];
static struct repo *repo;
static struct made a[2], twin, composed, lone; /* chunks 0 and 1; chunk 1 again; composed of chunk 0's; chunk 5 */

static void setup(void)
{
	struct err e = ERR_INIT;

	repo = make_repo(dir, sizeof(dir), "moved");
	make_pack(repo, 0, 2, a);
	make_pack(repo, 1, 1, &twin);
	make_pack(repo, 5, 1, &lone);
	AUTO(pack_writer) struct pack_writer *w = pack_writer_open(repo, &e);
	ck_assert_msg(w != NULL, "%s", e.msg);
	composed = make_composed(w, &a[0]);
	ok(pack_writer_finish(w, &e), &e);
}

static void teardown(void)
{
	remove_repo(repo);
}

static struct img_reader *open_version(uint64_t number)
{
	struct repo_version v = { .name = "lab", .number = number };
	struct err e = ERR_INIT;
	struct img_reader *r = version_open(repo, &v, NULL, &e);

	ck_assert_msg(r != NULL, "%s", e.msg);
	return r;
}

static bool chunk_is_at(const struct img_locations *l, uint64_t i, const struct made *x)
{
	const struct img_where *w = &l->chunks[i];

	return !memcmp(l->packs[w->pack], x->pack, 16) && w->offset == x->entry.offset && w->len == x->entry.len;
}

/* The file of a version but for its location table and what follows. */
static uint8_t *head_of(const char *path, size_t *ret_len)
{
	uint8_t *p = file_read(path, ret_len);

	for (size_t at = 0; at + 4 < *ret_len; at++)
		if (!memcmp(p + at, "LOCS", 4)) {
			*ret_len = at;
			return p;
		}
	ck_abort_msg("no location table in '%s'", path);
}

/* Only what moved gets another place; the rest of the file stays what it is, and a version that names none of it is left alone. */
START_TEST(moved_records)
{
	const struct made ids[] = { a[1], composed, lone };
	const struct repo_version v1 = { .name = "lab", .number = 1 }, v2 = { .name = "lab", .number = 2 };
	struct err e = ERR_INIT;
	struct moved *m = moved_new(&e);
	char path[PATH_MAX];
	size_t len, len_after;

	make_version(repo, 1, 3, ids, ids, 1, &a[0]);
	make_version(repo, 2, 1, &lone, &lone, 0, NULL);
	snprintf(path, sizeof(path), "%s/images/lab/1.version", dir);
	uint8_t *before = head_of(path, &len);
	/* Only the tables change: nobody looks whether there is anything at the new places. */
	for (uint64_t other = 1; other < 3000; other++)
		ok(moved_add(m, composed.pack, composed.entry.offset + other, 7, &e), &e);
	ok(moved_add(m, a[0].pack, a[0].entry.offset, 4096, &e), &e);
	ok(moved_add(m, a[1].pack, a[1].entry.offset, 9999, &e), &e);
	moved_to(m, twin.pack);
	ck_assert_int_eq(moved_rewrite(m, repo, &v1, NULL, &e), 1);
	ck_assert_int_eq(moved_rewrite(m, repo, &v2, NULL, &e), 0);
	moved_free(m);

	AUTO(img_reader) struct img_reader *r = open_version(1);
	const struct img_locations *l = img_reader_locations(r);
	struct made now = a[1];
	memcpy(now.pack, twin.pack, 16);
	now.entry.offset = 9999;
	ck_assert(chunk_is_at(l, 0, &now) && chunk_is_at(l, 1, &composed) && chunk_is_at(l, 2, &lone));
	const struct img_where *lender = locations_helper(l, &a[0].entry.name);
	ck_assert(lender && lender->offset == 4096 && !memcmp(l->packs[lender->pack], twin.pack, 16));
	uint8_t *after = head_of(path, &len_after);
	ck_assert_uint_eq(len_after, len);
	ck_assert(!memcmp(after, before, len));
	free(before);
	free(after);
}
END_TEST

static int heal(struct check_result *ret, struct err *e)
{
	struct check_options o = { .sample = 100, .threads = 1, .heal = true };

	repo_close(repo); /* its lease; each run is one of its own */
	repo = repo_open(dir, e);
	ck_assert_ptr_nonnull(repo);
	return repo_check(repo, &o, ret, NULL, e);
}

/* What is bad is replaced by what is not; what cannot be replaced stays, and what is sound is left where it is. */
START_TEST(healed_records)
{
	const struct made ids[] = { a[1], lone, twin };
	struct check_result ret;
	struct err e = ERR_INIT;

	make_version(repo, 1, 3, ids, ids, 0, NULL);
	damage(repo, &a[1]);
	damage(repo, &lone);
	ok(retired_put(repo, twin.pack, &e), &e);
	fails(heal(&ret, &e), ERR_CORRUPT, &e);
	ck_assert_uint_eq(ret.nr_healed, 1);
	ck_assert_uint_eq(ret.versions[0].nr_bad, 1);
	check_result_release(&ret);
	AUTO(img_reader) struct img_reader *r = open_version(1);
	const struct img_locations *l = img_reader_locations(r);
	ck_assert(chunk_is_at(l, 0, &twin) && chunk_is_at(l, 1, &lone) && chunk_is_at(l, 2, &twin));
	ck_assert(!pack_is_retired(repo, twin.pack));
}
END_TEST

/* A composed record steps in with its lender, but only in a version whose head tells of composed ones: here, one that has a helper. */
START_TEST(healed_by_composed)
{
	const struct made ids[] = { a[0], composed };
	struct check_result ret;
	struct err e = ERR_INIT;
	struct made again;

	/* Chunk 0 is whole in two packs. The one that the version names is bad, and the other one lends to the composed one only. */
	make_pack(repo, 0, 1, &again);
	make_version(repo, 1, (unsigned)_i + 1, (const struct made[]){ again, composed }, (const struct made[]){ again, composed }, (unsigned)_i, &a[0]);
	damage(repo, &again);
	fails(heal(&ret, &e), ERR_CORRUPT, &e); /* the record itself is still bad */
	ck_assert_uint_eq(ret.nr_healed, 1);
	ck_assert_uint_eq(ret.nr_whole, 1);
	check_result_release(&ret);
	AUTO(img_reader) struct img_reader *r = open_version(1);
	ck_assert(chunk_is_at(img_reader_locations(r), 0, &ids[0])); /* whole ones first */
	/* Now no whole one is left, and the composed one has lost its lender. */
	damage(repo, &a[0]);
	fails(heal(&ret, &e), ERR_CORRUPT, &e);
	ck_assert_uint_eq(ret.nr_healed, 0);
	ck_assert_uint_eq(ret.nr_whole, 0);
	check_result_release(&ret);
}
END_TEST

/* A lender that is bad is replaced by the record of the same name in another pack. */
START_TEST(healed_lender)
{
	struct check_result ret;
	struct err e = ERR_INIT;
	static uint8_t payload[CHUNK_SIZE];
	uint8_t b[FMT_RECORD_SIZE];
	struct fmt_record head;
	struct made copy;

	AUTO(pack_writer) struct pack_writer *w = pack_writer_open(repo, &e);
	struct img_packs *packs = folder_packs_open(repo, &e);
	ok(packs->ops->read(packs, a[0].pack, a[0].entry.offset, a[0].entry.len, b, payload, &e), &e);
	ok(fmt_get_pack_record(b, false, &head, &e), &e);
	ok(pack_writer_put(w, &head, true, payload, UINT64_MAX, NULL, &copy.entry, &e), &e);
	memcpy(copy.pack, pack_writer_id(w), 16);
	ok(pack_writer_finish(w, &e), &e);
	packs->ops->close(packs);
	make_version(repo, 1, 1, &composed, &composed, 1, &a[0]);
	damage(repo, &a[0]);
	fails(heal(&ret, &e), ERR_CORRUPT, &e);
	ck_assert_uint_eq(ret.nr_healed, 1);
	ck_assert_uint_eq(ret.nr_whole, 1);
	check_result_release(&ret);
	AUTO(img_reader) struct img_reader *r = open_version(1);
	AUTO_FREE uint8_t *content = malloc(CHUNK_SIZE), *want = malloc(CHUNK_SIZE);
	make_content(0, want);
	ok(img_reader_chunk(r, 0, 0, content, &e), &e);
	ck_assert(!memcmp(content, want, CHUNK_SIZE));
}
END_TEST

/* What is noted as damaged is not copied to a new pack, where nobody would know it; then nothing goes. */
START_TEST(noted_is_not_copied)
{
	struct prune_options o = { .max_unused = 0 };
	struct prune_result ret;
	struct damaged d = { .nr = 0 };
	struct err e = ERR_INIT;

	make_version(repo, 1, 1, &a[1], &a[1], 0, NULL);
	ok(damaged_add(&d, a[1].entry.offset, &e), &e);
	ok(damaged_write(repo, a[1].pack, &d, &e), &e);
	free(d.offsets);
	fails(repo_prune(repo, &o, &ret, NULL, &e), ERR_CORRUPT, &e);
	ck_assert(pack_is_there(repo, a[1].pack) && pack_is_there(repo, twin.pack) && pack_is_there(repo, lone.pack));
}
END_TEST

static int take_lease(char digit)
{
	char path[PATH_MAX], id[33] = { 0 };

	memset(id, digit, 32);
	snprintf(path, sizeof(path), "%s/leases/%s", dir, id);
	int fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(flock(fd, LOCK_EX | LOCK_NB), 0);
	return fd;
}

/* A retired pack goes when all who lived then are gone; who came later does not count, nor do the dead. */
START_TEST(leases)
{
	struct err e = ERR_INIT;
	char path[PATH_MAX], hex[33];

	close(take_lease('d')); /* dead */
	int early = take_lease('e');
	ok(retired_put(repo, twin.pack, &e), &e);
	int late = take_lease('f');
	ck_assert(pack_is_retired(repo, twin.pack) && !pack_is_retired(repo, lone.pack));
	ck_assert_int_eq(retired_remove(repo, twin.pack, &e), 0);
	ck_assert(pack_is_there(repo, twin.pack));
	close(early);
	ck_assert_int_eq(retired_remove(repo, twin.pack, &e), 1);
	ck_assert(!pack_is_there(repo, twin.pack) && !pack_is_retired(repo, twin.pack));

	/* Cut short between its two writings it names everybody. */
	snprintf(path, sizeof(path), "%s/retired/%s", dir, hex_of(lone.pack, 16, hex));
	file_write(path, "?\n", 2);
	ck_assert_int_eq(retired_remove(repo, lone.pack, &e), 0);
	close(late);
	ok(retired_take_back(repo, lone.pack, &e), &e);
	ck_assert(!pack_is_retired(repo, lone.pack) && pack_is_there(repo, lone.pack));
	file_write(path, "?\n", 2);
	ck_assert_int_eq(retired_remove(repo, lone.pack, &e), 1);
	file_write(path, "", 0); /* of a pack that is gone */
	ok(retired_tidy(repo, &e), &e);
	ck_assert(!pack_is_retired(repo, lone.pack));
}
END_TEST

int main(void)
{
	Suite *s = suite_create("moved");
	TCase *t = tcase_create("moved");

	suite_add_tcase(s, t);
	tcase_set_timeout(t, 120);
	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, moved_records);
	tcase_add_test(t, healed_records);
	tcase_add_loop_test(t, healed_by_composed, 0, 2);
	tcase_add_test(t, healed_lender);
	tcase_add_test(t, noted_is_not_copied);
	tcase_add_test(t, leases);
	return run_suite(s);
}
