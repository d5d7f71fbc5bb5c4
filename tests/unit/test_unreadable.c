/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Disks with unreadable sectors: the image is whole but for exactly these sectors, as far as they are used, and lists them. A read
 * that fails once loses nothing, or the capture says so and leaves nothing behind.
 */
#include "tests/unit/bad_disk.h"

static int capture(struct bad_disk *d, bool dry_run, struct capture_result *res, struct err *e)
{
	static const char *const paths[] = { "bad disk" };
	struct blk_source *source = &d->base;
	struct capture_options o = { .disks = paths, .nr_disks = 1, .image = "image", .level = 1, .threads = 2, .dry_run = dry_run, .sources = &source };

	unlink("image");
	d->count = 0;
	d->failed = false;
	return capture_run(&o, res, NULL, e);
}

static uint8_t *states_of(const struct img_manifest *m)
{
	return states_of_disk(m, 0);
}

/* Restored, the image is the disk, with zeros for what could not be read. */
static void check_image(const struct bad_disk *d, const struct img_manifest *m)
{
	uint64_t size = d->base.size;
	struct model md = { .nr = 1, .size = { size }, .data = { malloc(size) }, .state = { states_of(m) } };
	AUTO_FREE uint8_t *got = calloc(1, size);
	struct mem_sink sink = mem_sink(got, size, false);
	struct restore_options o = { .threads = 2, .scrub = SCRUB_DISCARD };
	struct verify_options vo = { .image = "image", .threads = 2 };
	struct verify_result vr;
	struct err e = ERR_INIT;

	memcpy(md.data[0], d->data, size);
	for (uint64_t i = 0; i < d->nr_sectors; i++)
		if (d->is_bad[i])
			memset(md.data[0] + i * d->base.sector_size, 0, min_u64(d->base.sector_size, size - i * d->base.sector_size));
	ck_assert_msg(verify_run(&vo, &vr, NULL, &e) == 0, "%s", e.msg);
	ck_assert_uint_eq(vr.manifest->nr_bad, m->nr_bad);
	for (size_t i = 0; i < m->nr_bad; i++) {
		ck_assert_uint_eq(vr.manifest->bad[i].disk, m->bad[i].disk);
		ck_assert_uint_eq(vr.manifest->bad[i].start, m->bad[i].start);
		ck_assert_uint_eq(vr.manifest->bad[i].len, m->bad[i].len);
	}
	img_manifest_free(vr.manifest);
	ck_assert_msg(restore_to("image", &sink, 1, o, &e) == 0, "%s", e.msg);
	check_bytes(&md, 0, md.data[0], got, 0, size);
	free(md.data[0]);
	free(md.state[0]);
}

/* The list is sorted, merged, and holds exactly the used bytes of bad sectors. */
static uint64_t check_list(const struct bad_disk *d, const struct img_manifest *m)
{
	AUTO_FREE uint8_t *state = states_of(m);
	uint64_t at = 0, total = 0;

	for (size_t i = 0; i <= m->nr_bad; i++) {
		uint64_t start = i < m->nr_bad ? m->bad[i].start : d->base.size;
		ck_assert_msg(i == 0 || i == m->nr_bad || start > at, "ranges are not merged");
		for (; at < start; at++)
			if (d->is_bad[at / d->base.sector_size] && state[at] == EXT_USED)
				ck_abort_msg("byte %llu is not listed", (unsigned long long)at);
		for (; i < m->nr_bad && at < start + m->bad[i].len; at++, total++)
			if (!d->is_bad[at / d->base.sector_size] || state[at] != EXT_USED)
				ck_abort_msg("byte %llu is listed", (unsigned long long)at);
	}
	return total;
}

/* A GPT, an ext4 with some files and holes, random bytes that are no file system, and gaps. */
static struct bad_disk make_gpt_disk(uint64_t seed)
{
	struct chance c = { seed };
	AUTO_FREE uint8_t *raw = garbage(&c, 700 * KIB);
	AUTO_FREE uint8_t *file = garbage(&c, 900 * KIB);
	uint64_t size;

	put_file("raw", raw, 700 * KIB);
	shell("mkdir -p tree");
	put_file("tree/one", file, 900 * KIB);
	put_file("tree/two", file, 5000);
	shell("truncate -s 9M disk; truncate -s 5M ext; echo 'label: gpt\nstart=2048,size=10240\nstart=14000,size=1400\n' | sfdisk -q disk");
	shell("mke2fs -q -t ext4 -b 1024 -d tree ext; dd if=ext of=disk bs=1M seek=1 conv=notrunc; dd if=raw of=disk bs=512 seek=14000 conv=notrunc");
	uint8_t *data = get_file("disk", &size);
	shell("rm -rf tree disk ext raw");
	return bad_disk(data, size, 512);
}

/* Like many old disks: no table, no file system, no whole number of sectors. */
static struct bad_disk make_raw_disk(uint64_t seed)
{
	struct chance c = { seed };
	uint64_t size = 3 * MIB + draw_below(&c, 5000);

	return bad_disk(garbage(&c, size), size, seed % 2 ? 4096 : 512);
}

/* Single sectors and rows of them, but none that planning needs. */
static void spoil(struct bad_disk *d, struct chance *c)
{
	for (uint64_t n = draw_between(c, 1, 25); n; n--) {
		uint64_t i = draw_below(c, d->nr_sectors), len = draw_below(c, 3) ? 1 : draw_between(c, 2, 1200);
		for (; len && i < d->nr_sectors; i++, len--)
			d->is_bad[i] = !d->was_read[i];
	}
	d->is_bad[d->nr_sectors - 1] |= draw_below(c, 2) && !d->was_read[d->nr_sectors - 1];
}

static void plan_only(struct bad_disk *d)
{
	struct capture_result res;
	struct err e = ERR_INIT;

	d->note_reads = true;
	ck_assert_msg(capture(d, true, &res, &e) == 0, "%s", e.msg);
	img_manifest_free(res.manifest);
	d->note_reads = false;
}

START_TEST(lists_bad_sectors)
{
	struct bad_disk d = _i % 2 ? make_gpt_disk(100 + (uint64_t)_i) : make_raw_disk(100 + (uint64_t)_i / 2);
	struct chance c = { 200 + (uint64_t)_i };
	struct capture_result res;
	struct err e = ERR_INIT;

	plan_only(&d);
	spoil(&d, &c);
	int r = capture(&d, false, &res, &e);
	ck_assert_msg(r == 0 || e.code == ERR_PARTIAL, "%s", e.msg);
	uint64_t total = check_list(&d, res.manifest);
	ck_assert_uint_eq(total, res.bad_bytes);
	ck_assert_int_eq(r, total ? -1 : 0);
	check_image(&d, res.manifest);
	img_manifest_free(res.manifest);
	free_disk(&d);
}
END_TEST

/*
 * A sector that the driver of a file system needs stops no rescue: without its map the volume is taken raw. One that is only looked at for
 * what it might be (the superblock of a RAID in free space) may be bad unnoticed.
 */
START_TEST(metadata_is_bad)
{
	struct bad_disk d = make_gpt_disk(300);
	struct chance c = { 301 };
	struct capture_result res;
	uint64_t first = MIB / 512, end = first + 10240, nr_raw = 0, nr_free = 0;
	struct err none = ERR_INIT;

	ck_assert_msg(capture(&d, false, &res, &none) == 0, "%s", none.msg);
	AUTO_FREE uint8_t *clean = states_of(res.manifest);
	img_manifest_free(res.manifest);
	plan_only(&d);
	for (uint64_t i = first; i < end; i++) {
		struct err e = ERR_INIT;
		if (!d.was_read[i] || draw_below(&c, 4))
			continue;
		d.is_bad[i] = true;
		int r = capture(&d, false, &res, &e);
		d.is_bad[i] = false;
		if (r == 0) {
			nr_free++;
			ck_assert_msg(clean[i * 512] == EXT_UNUSED, "sector %llu: bad, and nobody noticed", (unsigned long long)i);
			img_manifest_free(res.manifest);
			continue;
		}
		d.is_bad[i] = true;
		ck_assert_msg(e.code == ERR_PARTIAL, "sector %llu: %s", (unsigned long long)i, e.msg);
		ck_assert_uint_eq(res.bad_bytes, 512);
		ck_assert_uint_eq(check_list(&d, res.manifest), 512);
		nr_raw += res.manifest->volumes[0].notice[0] != '\0';
		check_image(&d, res.manifest);
		img_manifest_free(res.manifest);
		d.is_bad[i] = false;
	}
	ck_assert_uint_gt(nr_raw, 0);
	ck_assert_uint_lt(nr_free, 10);
	free_disk(&d);
}
END_TEST

/* Everything that was used is used. */
static void check_same_or_more(const uint8_t *clean, const struct img_manifest *m)
{
	AUTO_FREE uint8_t *now = states_of(m);

	if (!memcmp(now, clean, m->disks[0].size))
		return;
	for (uint64_t i = 0; i < m->disks[0].size; i++)
		if (now[i] < clean[i])
			ck_abort_msg("byte %llu was left out", (unsigned long long)i);
}

START_TEST(fails_once)
{
	struct bad_disk d = _i ? make_gpt_disk(1) : make_raw_disk(1);
	struct capture_result res;
	struct err e = ERR_INIT;
	unsigned fine = 0, partial = 0, refused = 0;

	ck_assert_msg(capture(&d, false, &res, &e) == 0, "%s", e.msg);
	AUTO_FREE uint8_t *clean = states_of(res.manifest);
	img_manifest_free(res.manifest);
	for (d.fail_at = 1;; d.fail_at++) {
		e = (struct err)ERR_INIT;
		int r = capture(&d, false, &res, &e);
		if (!d.failed) {
			img_manifest_free(res.manifest);
			break;
		}
		if (r < 0 && e.code != ERR_PARTIAL) {
			refused++;
			ck_assert_msg(e.code == ERR_FAILED, "read %ld: %s", d.fail_at, e.msg);
			ck_assert(!res.manifest && access("image", F_OK) && access("image.part", F_OK));
			continue;
		}
		fine += r == 0;
		partial += r < 0;
		ck_assert_int_eq(r < 0, res.manifest->nr_bad > 0);
		check_same_or_more(clean, res.manifest);
		if (r == 0 && d.fail_at % 8 < 2)
			check_image(&d, res.manifest);
		img_manifest_free(res.manifest);
	}
	ck_assert_msg(fine && refused, "%u fine, %u partial, %u refused", fine, partial, refused);
	free_disk(&d);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("unreadable");
	TCase *t = tcase_create("unreadable");

	tcase_add_checked_fixture(t, scratch_setup, scratch_teardown);
	tcase_set_timeout(t, 300);
	tcase_add_loop_test(t, lists_bad_sectors, 0, 24);
	tcase_add_test(t, metadata_is_bad);
	tcase_add_loop_test(t, fails_once, 0, 2);
	suite_add_tcase(s, t);

	SRunner *runner = srunner_create(s);
	srunner_run_all(runner, CK_ENV);
	int failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
