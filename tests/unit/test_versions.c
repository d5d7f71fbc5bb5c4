/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Names below "images": which of them are versions and tags, which number comes next, and what a name means. */
#include "base/hex.h"
#include "imager/repo/known.h"
#include "imager/repo/maintain.h"
#include "tests/unit/repo_make.h"

static char dir[64];
static struct repo *repo;

static void setup(void)
{
	repo = make_repo(dir, sizeof(dir), "versions");
	ck_assert_int_eq(mkdirat(repo->fd, "images/lab", 0700), 0);
}

static void teardown(void)
{
	remove_repo(repo);
}

static void touch(const char *name, const char *text)
{
	char path[PATH_MAX];

	snprintf(path, sizeof(path), "%s/images/%s", dir, name);
	file_write(path, text, strlen(text));
}

START_TEST(names)
{
	static const char *const strange[] = { "lab/01.version", "lab/0.version", "lab/.version", "lab/-1.version", "lab/+4.version", "lab/4.version~", "lab/ 4.version",
		"lab/18446744073709551616.version", "lab/4.versions", "lab/4x.version", "4.version", "lab/7.tag", "lab/.hidden.tag" };
	AUTO_FREE struct repo_version *list = NULL;
	AUTO_FREE struct repo_tag *tags = NULL;
	struct err e = ERR_INIT;
	size_t nr;

	for (size_t i = 0; i < sizeof(strange) / sizeof(strange[0]); i++)
		touch(strange[i], "3\n");
	touch("lab/10.version", "");
	touch("lab/9.version", "");
	touch("lab/18446744073709551615.version", "");
	touch("lab/week.tag", "9\n");
	ck_assert_int_eq(mkdirat(repo->fd, "images/-odd", 0700), 0);
	touch("-odd/1.version", "");
	ok(versions_list(repo, NULL, &list, &nr, &e), &e);
	ck_assert_uint_eq(nr, 3);
	ck_assert(list[0].number == 9 && list[1].number == 10 && list[2].number == UINT64_MAX);
	ok(tags_list(repo, NULL, &tags, &nr, &e), &e);
	ck_assert_uint_eq(nr, 1);
	ck_assert(!strcmp(tags[0].tag, "week") && tags[0].number == 9);
}
END_TEST

/* A number that was used once is never used again, not even that of the newest version. */
START_TEST(numbers)
{
	const struct repo_version v2 = { .name = "lab", .number = 2 };
	struct err e = ERR_INIT;
	uint64_t next;

	ok(version_next_number(repo, "new", &next, &e), &e);
	ck_assert_uint_eq(next, 1);
	touch("lab/1.version", "");
	touch("lab/2.version", "");
	ok(version_remove(repo, &v2, &e), &e);
	ok(version_next_number(repo, "lab", &next, &e), &e);
	ck_assert_uint_eq(next, 3);
	fails(version_remove(repo, &v2, &e), ERR_USAGE, &e);
}
END_TEST

static int find(const char *which, uint64_t *ret, struct err *e)
{
	struct repo_name n = { .name = "lab" };

	snprintf(n.which, sizeof(n.which), "%s", which);
	return version_find(repo, &n, ret, e);
}

START_TEST(meanings)
{
	const struct repo_version v1 = { .name = "lab", .number = 1 };
	struct err e = ERR_INIT;
	uint64_t n;

	fails(find("", &n, &e), ERR_USAGE, &e);
	touch("lab/1.version", "");
	touch("lab/12.version", "");
	ok(find("", &n, &e), &e);
	ck_assert_uint_eq(n, 12);
	ok(find("1", &n, &e), &e);
	ck_assert_uint_eq(n, 1);
	fails(find("2", &n, &e), ERR_USAGE, &e);
	fails(find("stable", &n, &e), ERR_USAGE, &e);
	ok(tag_set(repo, "lab", "stable", 1, &e), &e);
	ok(find("stable", &n, &e), &e);
	ck_assert_uint_eq(n, 1);
	fails(version_remove(repo, &v1, &e), ERR_REFUSED, &e);
	fails(tag_set(repo, "lab", "stable", 5, &e), ERR_USAGE, &e);
	fails(tag_set(repo, "lab", "12", 1, &e), ERR_USAGE, &e);
	ok(find("stable", &n, &e), &e);
	ck_assert_uint_eq(n, 1);
	touch("lab/stable.tag", "1"); /* cut short: it may have been 12 */
	fails(find("stable", &n, &e), ERR_CORRUPT, &e);
	ok(tag_remove(repo, "lab", "stable", &e), &e);
	fails(tag_remove(repo, "lab", "stable", &e), ERR_USAGE, &e);
	ok(version_remove(repo, &v1, &e), &e);
	fails(find("1", &n, &e), ERR_USAGE, &e);
}
END_TEST

/* A repository that has lost the folder of its images has not become empty: nothing is taken away. */
START_TEST(no_images)
{
	struct prune_options o = { .max_unused = 25 };
	AUTO_FREE struct repo_version *list = NULL;
	struct prune_result ret;
	struct err e = ERR_INIT;
	struct made x;
	size_t nr;

	make_pack(repo, 0, 1, &x);
	make_version(repo, 1, 1, &x, &x, 0, NULL);
	ck_assert_int_eq(renameat(repo->fd, "images", repo->fd, "elsewhere"), 0);
	for (int is_file = 0; is_file < 2; is_file++) {
		fails(versions_list(repo, NULL, &list, &nr, &e), ERR_CORRUPT, &e);
		fails(versions_list(repo, "lab", &list, &nr, &e), ERR_CORRUPT, &e);
		fails(repo_prune(repo, &o, &ret, NULL, &e), ERR_CORRUPT, &e);
		AUTO_CLOSE_FD int fd = openat(repo->fd, "images", O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
		ck_assert_int_ge(fd, 0);
	}
	ck_assert(pack_is_there(repo, x.pack) && !pack_is_retired(repo, x.pack));
}
END_TEST

/* A version that is renamed is not another version. */
START_TEST(identity)
{
	const struct repo_version v1 = { .name = "lab", .number = 1 }, v2 = { .name = "lab", .number = 2 };
	struct err e = ERR_INIT;
	struct made x;

	make_pack(repo, 0, 1, &x);
	make_version(repo, 1, 1, &x, &x, 0, NULL);
	AUTO(img_reader) struct img_reader *r = version_open(repo, &v1, NULL, &e);
	ck_assert_msg(r != NULL, "%s", e.msg);
	ck_assert_int_eq(renameat(repo->fd, "images/lab/1.version", repo->fd, "images/lab/2.version"), 0);
	ck_assert_ptr_null(version_open(repo, &v2, NULL, &e));
	ck_assert_int_eq(e.code, ERR_CORRUPT);
	ck_assert_ptr_null(version_open(repo, &v1, NULL, &e));
	ck_assert_int_eq(e.code, ERR_USAGE);
}
END_TEST

/* What is known: every record of every pack by id and name, those of retired and damaged packs not; leaves only of what a version holds. */
START_TEST(known_records)
{
	const struct repo_version v = { .name = "lab", .number = 1 };
	struct err e = ERR_INIT;
	struct made x[3 * 40], retired, broken;
	struct known_record r;
	uint8_t content[CHUNK_SIZE], leaves[CHUNK_LEAVES][HASH_SIZE];
	uint64_t present;
	unsigned leaf;
	char path[64];

	for (unsigned i = 0; i < 3; i++)
		make_pack(repo, 40 * i, 40, &x[40 * i]);
	make_pack(repo, 500, 1, &retired);
	make_pack(repo, 600, 1, &broken);
	snprintf(path, sizeof(path), "retired/");
	hex_of(retired.pack, 16, path + 8);
	AUTO_CLOSE_FD int fd = openat(repo->fd, path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	ck_assert_int_ge(fd, 0);
	pack_path(broken.pack, path, sizeof(path));
	flip_byte(repo, path, broken.entry.offset + broken.entry.len + 50);
	make_version(repo, 1, 1, &x[7], &x[7], 0, NULL);

	AUTO(known) struct known *k = known_open(repo, NULL, &e);
	AUTO(chunk_codec) struct chunk_codec *codec = chunk_codec_new(0, &e);
	AUTO(img_reader) struct img_reader *base = version_open(repo, &v, NULL, &e);
	ck_assert_msg(k && codec && base, "%s", e.msg);
	ok(known_add_base(k, base, NULL, &e), &e);
	for (unsigned i = 0; i < 120; i++) {
		ck_assert(known_chunk(k, x[i].entry.id, &r) && !memcmp(r.toc->id, x[i].pack, 16) && r.entry->offset == x[i].entry.offset);
		ck_assert(known_name(k, &x[i].entry.name, &r) && !memcmp(r.toc->id, x[i].pack, 16) && r.entry->offset == x[i].entry.offset);
	}
	ck_assert(!known_chunk(k, retired.entry.id, &r) && !known_name(k, &retired.entry.name, &r));
	ck_assert(!known_chunk(k, broken.entry.id, &r) && !known_name(k, &broken.entry.name, &r));
	for (unsigned n = 6; n < 8; n++) {
		make_content(n, content);
		ok(chunk_leaves(codec, content, leaves, &present, &e), &e);
		for (unsigned i = 0; i < CHUNK_LEAVES; i++)
			ck_assert_int_eq(known_leaf(k, leaves[i], &r, &leaf) && leaf == i && r.entry->offset == x[7].entry.offset, n == 7);
	}
}
END_TEST

int main(void)
{
	Suite *s = suite_create("versions");
	TCase *t = tcase_create("versions");

	suite_add_tcase(s, t);
	tcase_set_timeout(t, 120);
	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, names);
	tcase_add_test(t, numbers);
	tcase_add_test(t, meanings);
	tcase_add_test(t, no_images);
	tcase_add_test(t, identity);
	tcase_add_test(t, known_records);
	return run_suite(s);
}
