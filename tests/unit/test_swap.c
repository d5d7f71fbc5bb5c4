/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The swap driver against mkswap, and against headers written by hand. */
#include "base/span.h"

#define DRIVER fsd_swap
#include "tests/unit/driver_volume.h"

#define UUID "0a1b2c3d-4e5f-4071-8293-a4b5c6d7e8f9"

static void mkswap(unsigned kib, unsigned page, const char *options)
{
	ck_assert_int_eq(run("rm -f %s && truncate -s %uK %s && chmod 600 %s && mkswap -q -p %u -U %s %s %s 2>/dev/null", img, kib, img,
				 img, page, UUID, options, img), 0);
}

static void expect_no_swap(void)
{
	struct opened o;

	try_open(&o);
	ck_assert_int_eq(o.probed, 0);
	ck_assert_int_eq(o.opened, -1);
	ck_assert_int_eq(o.e.code, ERR_UNSUPPORTED);
	close_img(&o);
}

static uint64_t count_used(const struct collected *c)
{
	uint64_t nr = 0;

	for (uint64_t i = 0; i < (c->size + UNIT - 1) / UNIT; i++)
		nr += c->used[i];
	return nr * UNIT;
}

static const unsigned pages[] = { 4096, 8192, 16384, 32768, 65536 };

START_TEST(only_the_header_page_is_used)
{
	unsigned page = pages[_i];
	struct opened o;

	mkswap(2049, page, "-L 'sw ap'");
	try_open(&o);
	ck_assert_int_eq(o.probed, 1);
	ck_assert_msg(o.opened == 0, "%s", o.e.msg);
	const struct fsd_info *info = &o.v->info;
	ck_assert_str_eq(info->type, "swap");
	ck_assert_str_eq(info->label, "sw ap");
	ck_assert_str_eq(info->uuid, UUID);
	ck_assert_int_eq(info->state, FSD_CLEAN);
	ck_assert_str_eq(info->reason, "");
	ck_assert_uint_eq(info->size, 2048 << 10);
	ck_assert_uint_eq(info->block_size, page);
	ck_assert_uint_eq(info->sector_size, page);
	ck_assert_uint_eq(info->used_bytes, page);
	struct collected c = collect(o.v);
	/* The last KiB belongs to no page and is kept by fsd_map(). */
	ck_assert_uint_eq(count_used(&c), page + 1024);
	ck_assert(c.used[0] && c.used[page / UNIT - 1] && !c.used[page / UNIT]);
	ck_assert_uint_eq(c.nr_arm, page == 4096 ? 1 : 2);
	ck_assert(c.arm[0].start == 0 && c.arm[0].len == 4096);
	ck_assert(c.arm[c.nr_arm - 1].start + c.arm[c.nr_arm - 1].len == page);
	/* What a restore makes of it is the same swap area for libblkid. */
	char copy[96];
	snprintf(copy, sizeof(copy), "%s/copy", dir);
	copy_used(o.v, &c, copy);
	ck_assert_int_eq(run("test \"$(blkid -p -o value -s UUID %s)\" = " UUID, copy), 0);
	collected_release(&c);
	close_img(&o);
}
END_TEST

static const struct {
	const char *sig;
	bool in_front;
} suspended[] = {
	{ "S1SUSPEND", false }, { "S2SUSPEND", false }, { "ULSUSPEND", false }, { "LINHIB0001", false },
	{ "\xed\xc3\x02\xe9\x98\x56\xe5\x0c", false }, { "\xed\xc3\x02\xe9\x98\x56\xe5\x0c", true },
};

START_TEST(hibernated_systems_are_reported)
{
	const char *sig = suspended[_i].sig;
	struct opened o;

	for (size_t p = 0; p < 5; p += 4) {
		mkswap(1024, pages[p], "");
		poke(img, suspended[_i].in_front ? 0 : pages[p] - 10, sig, strlen(sig));
		try_open(&o);
		ck_assert_int_eq(o.probed, 1);
		ck_assert_msg(o.opened == 0, "%s", o.e.msg);
		ck_assert_int_eq(o.v->info.state, FSD_HIBERNATED);
		ck_assert_str_eq(o.v->info.reason, "suspended");
		ck_assert_str_ne(o.v->info.advice, "");
		ck_assert_str_eq(o.v->info.uuid, UUID);
		struct collected c = collect(o.v);
		ck_assert_uint_eq(count_used(&c), c.size);
		collected_release(&c);
		close_img(&o);
	}
}
END_TEST

START_TEST(big_endian_header)
{
	struct opened o;
	uint8_t b[8] = { 0, 0, 0, 1, 0, 0, 0, 255 };

	mkswap(1024, 4096, "");
	poke(img, 1024, b, sizeof(b));
	try_open(&o);
	ck_assert_msg(o.probed == 1 && o.opened == 0, "%s", o.e.msg);
	ck_assert_uint_eq(o.v->info.size, 1 << 20);
	close_img(&o);
}
END_TEST

START_TEST(old_style_header)
{
	struct opened o;

	/* Pages 1 to 20 may be used. */
	ck_assert_int_eq(run("truncate -s 100K %s", img), 0);
	poke(img, 0, "\xfe\xff\x1f", 3);
	poke(img, 4086, "SWAP-SPACE", 10);
	try_open(&o);
	ck_assert_msg(o.probed == 1 && o.opened == 0, "%s", o.e.msg);
	ck_assert_uint_eq(o.v->info.size, 21 * 4096);
	ck_assert_str_eq(o.v->info.uuid, "");
	struct collected c = collect(o.v);
	ck_assert_uint_eq(count_used(&c), 4096 + 4 * 4096);
	collected_release(&c);
	close_img(&o);
	poke(img, 1000, "\1", 1); /* more pages than there are */
	try_open(&o);
	ck_assert_msg(o.probed == 1 && o.opened == -1 && o.e.code == ERR_CORRUPT, "%s", o.e.msg);
	close_img(&o);
}
END_TEST

START_TEST(sizes_are_checked)
{
	struct opened o;

	mkswap(1024, 4096, "");
	ck_assert_int_eq(run("truncate -s 1023K %s", img), 0);
	try_open(&o);
	ck_assert_int_eq(o.probed, 1);
	ck_assert_int_eq(o.opened, -1);
	ck_assert_int_eq(o.e.code, ERR_CORRUPT);
	ck_assert_ptr_nonnull(strstr(o.e.msg, "larger than its partition"));
	close_img(&o);

	mkswap(1024, 4096, "");
	poke(img, 1028, "\0\0\0\0", 4);
	try_open(&o);
	ck_assert_int_eq(o.opened, -1);
	ck_assert_int_eq(o.e.code, ERR_CORRUPT);
	close_img(&o);

	mkswap(1024, 4096, "");
	poke(img, 1028, "\xff\xff\xff\xff", 4);
	try_open(&o);
	ck_assert_int_eq(o.e.code, ERR_CORRUPT);
	close_img(&o);
}
END_TEST

START_TEST(doubtful_headers_are_not_swap)
{
	struct opened o;

	mkswap(1024, 4096, "");
	poke(img, 1024, "\2", 1); /* version 2 */
	expect_no_swap();
	mkswap(1024, 4096, "");
	poke(img, 1535, "x", 1); /* the padding is never written to */
	expect_no_swap();
	mkswap(1024, 4096, "");
	poke(img, 4086, "SWAPSPACE3", 10);
	expect_no_swap();
	ck_assert_int_eq(run("truncate -s 4095 %s", img), 0);
	expect_no_swap();
	ck_assert_int_eq(run("truncate -s 0 %s", img), 0);
	expect_no_swap();
	/* A whole header survives in front of something else, here ISO 9660 (libblkid is content with one on a floppy). */
	mkswap(2048, 4096, "");
	poke(img, 32768, "\1CD001\1", 7);
	try_open(&o);
	ck_assert_int_eq(o.probed, 1);
	ck_assert_int_eq(o.opened, -1);
	ck_assert_int_eq(o.e.code, ERR_UNSUPPORTED);
	close_img(&o);
}
END_TEST

/* A source in memory has no descriptor; libblkid is asked all the same. */
START_TEST(sources_without_descriptor)
{
	struct err e = ERR_INIT;
	static uint8_t data[3 << 20];
	struct fsd_volume *v;

	mkswap(sizeof(data) >> 10, 4096, "");
	peek(img, 0, data, sizeof(data));
	struct blk_source *src = blk_mem(data, sizeof(data), 512, "mem", &e);
	struct blk_set set = { &src, 1 };
	ck_assert_msg(fsd_swap.open(&set, &v, &e) == 0, "%s", e.msg);
	ck_assert_str_eq(v->info.uuid, UUID);
	fsd_swap.close(v);
	memcpy(data + 32768, "\1CD001\1", 7);
	ck_assert_int_eq(fsd_swap.open(&set, &v, &e), -1);
	ck_assert_int_eq(e.code, ERR_UNSUPPORTED);
	blk_close(src);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("swap");
	TCase *tc = tcase_create("swap");

	tcase_add_unchecked_fixture(tc, make_folder, teardown);
	tcase_add_checked_fixture(tc, fresh, NULL);
	tcase_set_timeout(tc, 60);
	tcase_add_loop_test(tc, only_the_header_page_is_used, 0, 5);
	tcase_add_loop_test(tc, hibernated_systems_are_reported, 0, 6);
	tcase_add_test(tc, big_endian_header);
	tcase_add_test(tc, old_style_header);
	tcase_add_test(tc, sizes_are_checked);
	tcase_add_test(tc, doubtful_headers_are_not_swap);
	tcase_add_test(tc, sources_without_descriptor);
	suite_add_tcase(s, tc);
	SRunner *r = srunner_create(s);
	srunner_run_all(r, CK_ENV);
	int failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
