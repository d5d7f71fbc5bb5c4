/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The raw driver: one used extent, libblkid's words, and ranges whose clearing leaves nothing to recognise. */
#include "base/span.h"

#define DRIVER fsd_raw
#include "tests/unit/driver_volume.h"

#define KIB 1024ULL
#define MIB (1024 * KIB)

struct part {
	struct blk_source *file, *src;
	struct blk_set set;
	struct fsd_volume *v;
	struct err e;
	struct collected c;
};

/* Opens bytes [start, end) of img and checks what holds for every raw volume. */
static void open_window(struct part *o, uint64_t start, uint64_t end)
{
	memset(o, 0, sizeof(*o));
	o->file = blk_open(img, 0, false, &o->e);
	ck_assert_ptr_nonnull(o->file);
	if (!end)
		end = o->file->size;
	o->src = blk_window(o->file, start, end - start, "part", &o->e);
	o->set = (struct blk_set){ &o->src, 1 };
	ck_assert_int_eq(fsd_raw.probe(o->src, &o->e), 1);
	ck_assert_msg(fsd_raw.open(&o->set, &o->v, &o->e) == 0, "%s", o->e.msg);
	ck_assert_int_eq(o->v->info.state, FSD_CLEAN);
	ck_assert_uint_eq(o->v->info.size, end - start);
	ck_assert_uint_eq(o->v->info.used_bytes, end - start);
	ck_assert_uint_eq(o->v->info.granule, 4096);
}

static void close_part(struct part *o)
{
	fsd_raw.close(o->v);
	blk_close(o->src);
	blk_close(o->file);
}

/* map() of a small volume; arm_ranges() of any, which must be sorted, apart, whole sectors and inside. */
static void collect_arm(struct part *o)
{
	struct range *last = NULL;
	uint64_t sum = 0, sector = o->src->sector_size;

	memset(&o->c, 0, sizeof(o->c));
	ck_assert_int_eq(o->v->driver->arm_ranges(o->v, collect_range, &o->c, &o->e), 0);
	for (size_t i = 0; i < o->c.nr_arm; i++) {
		struct range *r = &o->c.arm[i];
		ck_assert(!last || last->start + last->len < r->start);
		ck_assert_uint_eq(r->start % sector, 0);
		ck_assert(r->start + r->len <= o->src->size);
		ck_assert((r->start + r->len) % sector == 0 || r->start + r->len == o->src->size);
		sum += r->len;
		last = r;
	}
	ck_assert_uint_le(sum, 16 * MIB);
}

static void expect_arm(const struct part *o, size_t i, uint64_t start, uint64_t len)
{
	ck_assert_uint_lt(i, o->c.nr_arm);
	ck_assert_msg(o->c.arm[i].start == start && o->c.arm[i].len == len, "range %zu is %llu+%llu", i,
		(unsigned long long)o->c.arm[i].start, (unsigned long long)o->c.arm[i].len);
}

static void clear_arm(const struct part *o)
{
	static const uint8_t zeros[1 << 20];

	for (size_t i = 0; i < o->c.nr_arm; i++) {
		ck_assert_uint_le(o->c.arm[i].len, sizeof(zeros));
		poke(img, o->c.arm[i].start, zeros, o->c.arm[i].len);
	}
}

START_TEST(unknown_content)
{
	static const unsigned sizes[] = { 512, 4096, 4097, 300000, 5 << 20 };
	struct part o;

	for (size_t i = 0; i < 5; i++) {
		ck_assert_int_eq(run("head -c %u /dev/zero | tr '\\0' x > %s", sizes[i], img), 0);
		open_window(&o, 0, 0);
		ck_assert_str_eq(o.v->info.type, "raw");
		ck_assert_str_eq(o.v->info.notice, "");
		ck_assert_str_eq(o.v->info.label, "");
		struct collected c = collect(o.v);
		ck_assert_uint_eq(c.nr_extents, 1);
		for (uint64_t u = 0; u < (c.size + UNIT - 1) / UNIT; u++)
			ck_assert(c.used[u]);
		collected_release(&c);
		collect_arm(&o);
		ck_assert_uint_eq(o.c.nr_arm, 1);
		expect_arm(&o, 0, 0, sizes[i] < 4096 ? sizes[i] : 4096);
		close_part(&o);
	}
}
END_TEST

START_TEST(empty_volume)
{
	struct part o;

	poke(img, 0, "x", 1);
	memset(&o, 0, sizeof(o));
	o.file = blk_open(img, 0, false, &o.e);
	o.src = blk_window(o.file, 1, 0, "nothing", &o.e);
	o.set = (struct blk_set){ &o.src, 1 };
	ck_assert_int_eq(fsd_raw.open(&o.set, &o.v, &o.e), 0);
	struct collected c = collect(o.v);
	ck_assert_uint_eq(c.nr_extents, 0);
	ck_assert_uint_eq(c.nr_arm, 0);
	collected_release(&c);
	close_part(&o);
}
END_TEST

/* An ext4 at 1 MiB of a disk, seen through a window. */
START_TEST(names_come_from_libblkid)
{
	struct part o;

	ck_assert_int_eq(run("truncate -s 20M %s && mkfs.ext4 -q -L 'my label' -U 11223344-5566-7788-99aa-bbccddeeff00 -E offset=1048576 %s 8M",
				 img, img), 0);
	open_window(&o, 1 * MIB, 9 * MIB);
	ck_assert_str_eq(o.v->info.type, "ext4");
	ck_assert_str_eq(o.v->info.label, "my label");
	ck_assert_str_eq(o.v->info.uuid, "11223344-5566-7788-99aa-bbccddeeff00");
	ck_assert_str_eq(o.v->info.notice, "ext4 taken raw: every block is copied");
	collect_arm(&o);
	ck_assert_uint_eq(o.c.nr_arm, 2);
	expect_arm(&o, 0, 0, 128 * KIB);
	expect_arm(&o, 1, 8 * MIB - 128 * KIB, 128 * KIB);
	close_part(&o);
	/* The whole disk is nothing: what lies at 1 MiB is not seen. */
	open_window(&o, 0, 0);
	ck_assert_str_eq(o.v->info.type, "raw");
	close_part(&o);
}
END_TEST

/* Asking libblkid must not disturb the descriptor that others read through. */
START_TEST(descriptor_is_left_alone)
{
	struct part o;
	uint64_t off;

	ck_assert_int_eq(run("truncate -s 2M %s && mkfs.ext4 -q %s", img, img), 0);
	open_window(&o, 0, 0);
	int fd = blk_fd(o.file, &off);
	ck_assert_int_eq(lseek(fd, 0, SEEK_CUR), 0);
	close_part(&o);
}
END_TEST

START_TEST(small_volume_is_cleared_whole)
{
	struct part o;

	ck_assert_int_eq(run("truncate -s 200K %s && mkfs.ext2 -q %s", img, img), 0);
	open_window(&o, 0, 0);
	ck_assert_str_eq(o.v->info.type, "ext2");
	collect_arm(&o);
	ck_assert_uint_eq(o.c.nr_arm, 1);
	expect_arm(&o, 0, 0, 200 * KIB);
	close_part(&o);
}
END_TEST

START_TEST(several_signatures)
{
	struct part o;

	ck_assert_int_eq(run("truncate -s 4M %s && mkswap -q %s 2>/dev/null", img, img), 0);
	poke(img, 32768, "\1CD001\1", 7);
	open_window(&o, 0, 0);
	ck_assert_str_eq(o.v->info.type, "raw");
	ck_assert_str_eq(o.v->info.notice, "signatures of several file systems: every block is copied");
	collect_arm(&o);
	close_part(&o);
	clear_arm(&o);
	open_window(&o, 0, 0);
	ck_assert_str_eq(o.v->info.notice, "");
	close_part(&o);
}
END_TEST

/* A LUKS2 header of 512 KiB: the second one lies behind the first 128 KiB and is enough for libblkid. */
START_TEST(second_luks_header)
{
	uint8_t h[512] = "LUKS\xba\xbe";
	struct part o;

	h[7] = 2;
	h[13] = 8; /* the header's size, big endian */
	memcpy(h + 168, "11223344-5566-7788-99aa-bbccddeeff00", 36);
	ck_assert_int_eq(run("truncate -s 20M %s", img), 0);
	poke(img, 0, h, sizeof(h));
	memcpy(h, "SKUL", 4);
	h[256 + 5] = 8; /* its own place */
	poke(img, 512 * KIB, h, sizeof(h));
	open_window(&o, 0, 0);
	ck_assert_str_eq(o.v->info.type, "crypto_LUKS");
	ck_assert_str_eq(o.v->info.uuid, "11223344-5566-7788-99aa-bbccddeeff00");
	collect_arm(&o);
	close_part(&o);
	memset(h, 0, sizeof(h));
	poke(img, 0, h, sizeof(h));
	open_window(&o, 0, 0);
	ck_assert_str_eq(o.v->info.type, "crypto_LUKS");
	collect_arm(&o);
	close_part(&o);
	clear_arm(&o);
	open_window(&o, 0, 0);
	ck_assert_str_eq(o.v->info.type, "raw");
	close_part(&o);
}
END_TEST

/* The bare magic is enough for the libblkid of Debian 12; a sparse file has room for all three copies. */
START_TEST(btrfs_mirrors)
{
	uint64_t size = 256ULL << 30;
	struct part o;

	ck_assert_int_eq(run("truncate -s %llu %s", (unsigned long long)(size + 2 * MIB), img), 0);
	poke(img, 64 * KIB + 64, "_BHRfS_M", 8);
	open_window(&o, 0, 0);
	ck_assert_str_eq(o.v->info.type, "btrfs");
	collect_arm(&o);
	ck_assert_uint_eq(o.c.nr_arm, 4);
	expect_arm(&o, 0, 0, 128 * KIB);
	expect_arm(&o, 1, 64 * MIB, 4 * KIB);
	expect_arm(&o, 2, size, 4 * KIB);
	expect_arm(&o, 3, size + 2 * MIB - 128 * KIB, 128 * KIB);
	close_part(&o);
}
END_TEST

/* A magic in the middle of the volume: VMFS, at 1 MiB. */
START_TEST(magic_far_inside)
{
	struct part o;

	ck_assert_int_eq(run("truncate -s 20M %s", img), 0);
	poke(img, 1 * MIB, "\x0d\xd0\x01\xc0", 4);
	open_window(&o, 0, 0);
	ck_assert_str_eq(o.v->info.type, "VMFS_volume_member");
	collect_arm(&o);
	ck_assert_uint_eq(o.c.nr_arm, 3);
	expect_arm(&o, 1, 1 * MIB, 512);
	close_part(&o);
	clear_arm(&o);
	open_window(&o, 0, 0);
	ck_assert_str_eq(o.v->info.type, "raw");
	close_part(&o);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("raw");
	TCase *tc = tcase_create("raw");

	tcase_add_unchecked_fixture(tc, make_folder, teardown);
	tcase_add_checked_fixture(tc, fresh, NULL);
	tcase_set_timeout(tc, 60);
	tcase_add_test(tc, unknown_content);
	tcase_add_test(tc, empty_volume);
	tcase_add_test(tc, names_come_from_libblkid);
	tcase_add_test(tc, descriptor_is_left_alone);
	tcase_add_test(tc, small_volume_is_cleared_whole);
	tcase_add_test(tc, several_signatures);
	tcase_add_test(tc, second_luks_header);
	tcase_add_test(tc, btrfs_mirrors);
	tcase_add_test(tc, magic_far_inside);
	suite_add_tcase(s, tc);
	SRunner *r = srunner_create(s);
	srunner_run_all(r, CK_ENV);
	int failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
