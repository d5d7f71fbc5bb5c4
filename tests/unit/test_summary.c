/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The summary of a version file: true where it stands, and not believed when anything it depends on is damaged, missing or a lie. */
#include "base/auto.h"
#include "base/hash.h"
#include "base/span.h"
#include "imager/image/format.h"
#include "imager/image/locations.h"
#include "imager/image/packs.h"
#include "imager/image/reader.h"
#include "imager/image/summary.h"
#include "imager/image/writer.h"
#include "tests/unit/image_make.h"

#include <sys/mman.h>

#define PART (FMT_PART_SIZE + SUMMARY_SIZE)
#define LAST (FMT_PART_SIZE + FMT_TRAILER_SIZE)

struct version {
	uint8_t *p;
	size_t len;
	size_t table; /* where LOCS begins; SUMM ends there */
	struct img_summary is;
};

static struct version make_version(uint64_t seed)
{
	static const struct make_options o = { .max_disks = 3, .max_regions = 4, .max_region = 3 << 20 };
	struct err e = ERR_INIT;
	AUTO(img_manifest) struct img_manifest *m = make_manifest(&seed, &o);
	struct img_locations l = { .nr_chunks = m->nr_present, .chunks = calloc(m->nr_present + 1, sizeof(*l.chunks)) };
	struct version v;
	struct stat st;

	m->ids = calloc(m->nr_present + 1, IMG_ID_SIZE);
	rnd_fill(&seed, m->ids, m->nr_present * IMG_ID_SIZE);
	AUTO_CLOSE_FD int fd = memfd_create("version", MFD_CLOEXEC);
	ok(img_version_write("version", fd, m, &l, rnd_below(&seed, 2), NULL, &e), &e);
	free(l.chunks);
	ck_assert_int_eq(fstat(fd, &st), 0);
	v.len = (size_t)st.st_size;
	v.p = malloc(v.len);
	ck_assert_int_eq(pread(fd, v.p, v.len, 0), st.st_size);
	v.table = (size_t)get_le64(v.p + v.len - FMT_TRAILER_SIZE + 16);
	summary_of(m, &v.is);
	return v;
}

static int file_of(const struct version *v)
{
	int fd = memfd_create("version", MFD_CLOEXEC);

	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(pwrite(fd, v->p, v->len, 0), (ssize_t)v->len);
	return fd;
}

static bool summary_is_read(const struct version *v, struct img_summary *ret)
{
	AUTO_CLOSE_FD int fd = file_of(v);

	return summary_read(fd, ret);
}

static int no_read(struct img_packs *p, const uint8_t pack[16], uint64_t offset, uint32_t len, uint8_t *head, uint8_t *payload, struct err *e)
{
	(void)p, (void)pack, (void)offset, (void)len, (void)head, (void)payload;
	return err_set(e, ERR_FAILED, 0, "nothing is to be read");
}

static void no_close(struct img_packs *p)
{
	(void)p;
}

/* Read as a whole: 0, or the kind of error. */
static enum err_code read_whole(const struct version *v, struct img_summary *ret)
{
	static const struct img_packs_ops ops = { .read = no_read, .close = no_close };
	struct img_packs packs = { .ops = &ops };
	struct err e = ERR_INIT;
	AUTO_CLOSE_FD int fd = file_of(v);
	AUTO(img_reader) struct img_reader *r = img_reader_open_version("version", fd, &packs, NULL, NULL, NULL, &e);

	if (r)
		summary_of(img_reader_manifest(r), ret);
	return r ? ERR_NONE : e.code;
}

static void seal_part(uint8_t *head)
{
	put_le32(head, 24, crc32_of(head + FMT_PART_SIZE, (size_t)get_le64(head + 16)));
	put_le32(head, 28, crc32_of(head, 28));
}

START_TEST(is_true)
{
	struct version v = make_version((uint64_t)_i + 1);
	struct img_summary quick, whole;

	ck_assert(summary_is_read(&v, &quick));
	ck_assert(summary_equal(&quick, &v.is));
	ck_assert_int_eq(read_whole(&v, &whole), ERR_NONE);
	ck_assert(summary_equal(&whole, &v.is));
	free(v.p);
}
END_TEST

/* Every bit of the bytes that it is believed for. */
START_TEST(damage)
{
	struct version v = make_version(100);
	const size_t ranges[][2] = { { 0, FMT_PREAMBLE_SIZE }, { v.table - PART, PART + FMT_PART_SIZE }, { v.len - LAST, LAST } };
	struct img_summary s;

	for (unsigned r = 0; r < 3; r++)
		for (size_t bit = ranges[r][0] * 8; bit < (ranges[r][0] + ranges[r][1]) * 8; bit++) {
			v.p[bit / 8] ^= (uint8_t)(1 << bit % 8);
			ck_assert_msg(!summary_is_read(&v, &s), "bit %zu", bit);
			ck_assert_msg(read_whole(&v, &s) != ERR_NONE, "bit %zu", bit);
			v.p[bit / 8] ^= (uint8_t)(1 << bit % 8);
		}
	free(v.p);
}
END_TEST

START_TEST(cut)
{
	struct version v = make_version(101);
	struct img_summary s;
	size_t len = v.len;

	for (v.len = 0; v.len < len; v.len++)
		ck_assert_msg(!summary_is_read(&v, &s), "%zu bytes", v.len);
	v.p = realloc(v.p, len + 1);
	v.p[len] = 0;
	v.len = len + 1;
	ck_assert(!summary_is_read(&v, &s));
	/* Bytes that are missing before its place: then it is not where the trailer says. */
	memmove(v.p + 100, v.p + 104, len - 104);
	v.len = len - 4;
	ck_assert(!summary_is_read(&v, &s));
	free(v.p);
}
END_TEST

/* With right checksums: what cannot be is not believed, and what is only untrue is found by who reads the whole file. */
START_TEST(lies)
{
	static const struct lie {
		unsigned at;
		uint64_t value;
		bool is_possible;
	} table[] = {
		{ 0, 77, true }, { 8, UINT64_MAX, true }, { 16, 0, false }, { 16, UINT64_MAX, false }, { 16, FMT_MAX_DISK_BYTES + 1, false },
		{ 16, FMT_MAX_DISK_BYTES, true }, { 24, UINT64_MAX, false }, { 24, 0, true }, { 32, 5, false }, { 56, 5, false }, { 64, 0x2F2F2F2F2F2F2F2F, false },
		{ 64, 0, false }, { 64, 0x61, false }, { 120, 0x61, false },
	};
	struct version v = make_version(102);
	const struct lie *lie = &table[_i];
	uint8_t *payload = v.p + v.table - SUMMARY_SIZE;
	struct img_summary s;

	put_le64(payload, lie->at, lie->value);
	seal_part(v.p + v.table - PART);
	ck_assert_int_eq(summary_is_read(&v, &s), lie->is_possible);
	ck_assert_int_eq(read_whole(&v, &s), ERR_CORRUPT);
	free(v.p);
}
END_TEST

/* Version files of the first programs. */
START_TEST(is_missing)
{
	struct version v = make_version(103);
	struct img_summary s;

	memmove(v.p + v.table - PART, v.p + v.table, v.len - v.table);
	v.len -= PART;
	uint8_t *last = v.p + v.len - LAST;
	put_le64(last + FMT_PART_SIZE, 0, v.len);
	put_le64(last + FMT_PART_SIZE, 16, v.table - PART);
	seal_part(last);
	ck_assert(!summary_is_read(&v, &s));
	ck_assert_int_eq(read_whole(&v, &s), ERR_NONE);
	ck_assert(summary_equal(&s, &v.is));
	free(v.p);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("summary");
	TCase *t = tcase_create("summary");

	tcase_set_timeout(t, 60);
	tcase_add_loop_test(t, is_true, 0, 100);
	tcase_add_test(t, damage);
	tcase_add_test(t, cut);
	tcase_add_loop_test(t, lies, 0, 14);
	tcase_add_test(t, is_missing);
	suite_add_tcase(s, t);
	SRunner *sr = srunner_create(s);
	srunner_run_all(sr, CK_ENV);
	int failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed != 0;
}
