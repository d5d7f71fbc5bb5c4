/* SPDX-License-Identifier: GPL-3.0-or-later */
/* LVM2: labels, metadata areas, the text, and what is made of groups that are whole, cut, old, strange or hostile. */
#include "imager/disk/lvm.h"
#include "imager/disk/stack.h"
#include "tests/unit/lvm_image.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>

#define SIZE ((size_t)8 << 20)
#define MDA  4096U
#define LEN  8192U
#define UUID1 "aaaaaabbbbccccddddeeeeffffgggggg"
#define UUID2 "hhhhhhiiiijjjjkkkkllllmmmmnnnnnn"
#define TEXT1 "aaaaaa-bbbb-cccc-dddd-eeee-ffff-gggggg"
#define TEXT2 "hhhhhh-iiii-jjjj-kkkk-llll-mmmm-nnnnnn"
#define GROUP "oooooo-pppp-qqqq-rrrr-ssss-tttt-uuuuuu"
#define LV    "id=\"vvvvvv-wwww-xxxx-yyyy-zzzz-0000-111111\" status=[\"READ\",\"WRITE\",\"VISIBLE\"] flags=[]\n"

/* Extents of 64 KiB from 1 MiB on; two physical volumes. */
static const char head[] = "vg {\nid = \"" GROUP "\"\nseqno = %u\nformat=\"lvm2\"\nstatus = [\"RESIZEABLE\", \"READ\", \"WRITE\"%s]\nflags = []\n"
	"extent_size = 128 # 64 KiB\nphysical_volumes {\npv0 {\nid = \"" TEXT1 "\"\ndevice = \"/dev/sda2\"\nstatus=[\"ALLOCATABLE\"] flags=[]\n"
	"pe_start = 2048 pe_count = 100 }\npv1 { id = \"" TEXT2 "\" device=\"/dev/sdb\" status=[\"ALLOCATABLE\"] flags=[%s] pe_start=2048 pe_count=%u } }\n"
	"logical_volumes {\n%s} }\ncontents = \"Text Format Volume Group\"\nversion = 1\n";

struct disks {
	uint8_t *bytes[2];
	struct blk_source *src[2];
	struct stack_sets sets;
};

static size_t make_text(char *out, size_t size, unsigned seqno, const char *vg_flag, const char *pv_flag, unsigned count, const char *lvs)
{
	return (size_t)snprintf(out, size, head, seqno, vg_flag, pv_flag, count, lvs) + 1; /* LVM writes the NUL, too */
}

static struct disks make_disks(void)
{
	struct disks d = { 0 };
	struct err e = ERR_INIT;

	for (size_t i = 0; i < 2; i++) {
		d.bytes[i] = calloc(1, SIZE);
		lvm_put_label(d.bytes[i], i ? UUID2 : UUID1, SIZE, MDA, LEN);
		d.src[i] = blk_mem(d.bytes[i], SIZE, 512, i ? "d1" : "d0", &e);
		ck_assert_int_eq(stack_lvm.probe(d.src[i], &e), 1);
	}
	return d;
}

static void put(struct disks *d, size_t i, uint64_t off, unsigned seqno, const char *vg_flag, const char *pv_flag, const char *lvs)
{
	char text[6000];
	size_t len = make_text(text, sizeof(text), seqno, vg_flag, pv_flag, 100, lvs);

	lvm_put_text(d->bytes[i], MDA, LEN, off, text, len);
}

static void assemble(struct disks *d, size_t nr)
{
	struct err e = ERR_INIT;

	stack_sets_release(&d->sets);
	ck_assert_msg(stack_lvm.assemble(d->src, nr, NULL, &d->sets, &e) == 0, "%s", e.msg);
}

static void release(struct disks *d)
{
	stack_sets_release(&d->sets);
	for (size_t i = 0; i < 2; i++) {
		blk_close(d->src[i]);
		free(d->bytes[i]);
	}
}

#define SEG(first, count, rest) "segment1 { start_extent = " #first " extent_count = " #count " " rest " }\n"
static const char two_pieces[] = "root { " LV "segment1 { start_extent=0 extent_count=3 type=\"striped\" stripe_count=1 stripes=[\"pv0\", 7] }\n"
	"segment2 { start_extent=3 extent_count=2 type=\"striped\" stripe_count=1 stripes=[\"pv1\", 0] } }\n"
	"fast { " LV "segment1 { start_extent=0 extent_count=4 type=\"striped\" stripe_count=2 stripe_size=32 stripes=[\"pv0\", 50, \"pv1\", 98] } }\n";

/* Both volumes, byte for byte. */
START_TEST(mapped)
{
	struct disks d = make_disks();
	struct err e = ERR_INIT;
	const uint64_t off[] = { 512, 5000, LEN - 100, LEN - 1 }; /* the last two go around the ring */
	uint64_t got, want;

	for (size_t i = 0; i < 2; i++)
		put(&d, i, off[_i], 7, "", "", two_pieces);
	for (uint64_t at = 1 << 20; at < SIZE; at += 8) { /* each place holds its own number */
		put_le64(d.bytes[0], at, at);
		put_le64(d.bytes[1], at, at | 1ULL << 40);
	}
	assemble(&d, 2);
	ck_assert_uint_eq(d.sets.nr, 1);
	const struct stack_set *s = d.sets.list;
	ck_assert_int_eq(s->verdict, STACK_OPEN);
	ck_assert_str_eq(s->name, "vg");
	ck_assert_str_eq(s->uuid, GROUP);
	ck_assert_uint_eq(s->nr_members, 2);
	ck_assert_uint_eq(s->nr_volumes, 2);
	ck_assert_str_eq(s->volumes[0].name, "vg/root");
	ck_assert_uint_eq(s->volumes[0].map.size, 5 * 65536);
	for (size_t v = 0; v < 2; v++) {
		AUTO(blk_source) struct blk_source *src = blk_mapped(&s->volumes[v].map, d.src, 2, "lv", &e);
		ck_assert(!s->volumes[v].is_raw);
		for (uint64_t at = 0; at < src->size; at += 8) {
			uint64_t stripe = at / 16384;
			if (v == 0)
				want = at < 3 * 65536 ? (1 << 20) + 7 * 65536 + at : ((1 << 20) + at - 3 * 65536) | 1ULL << 40;
			else
				want = stripe % 2 ? ((1 << 20) + 98 * 65536 + stripe / 2 * 16384 + at % 16384) | 1ULL << 40
						  : (1 << 20) + 50 * 65536 + stripe / 2 * 16384 + at % 16384;
			uint8_t eight[8];
			ck_assert_int_eq(blk_read(src, at, eight, 8, &e), 0);
			got = get_le64(eight);
			ck_assert_uint_eq(got, want);
		}
	}
	bool has_mda = false;
	for (size_t i = 0; i < s->nr_used; i++)
		has_mda |= s->used[i].start == MDA && s->used[i].len == LEN;
	ck_assert(has_mda);
	release(&d);
}
END_TEST

/* The newest text counts, a damaged one does not; one area is enough for the group. */
START_TEST(newest)
{
	struct disks d = make_disks();

	put(&d, 0, 512, 3, "", "", two_pieces);
	put(&d, 1, 512, 4, "", "", "");
	assemble(&d, 2);
	ck_assert_uint_eq(d.sets.nr, 1);
	ck_assert_uint_eq(d.sets.list[0].nr_volumes, 0);
	put(&d, 1, 512, 2, "", "", "");
	assemble(&d, 2);
	ck_assert_uint_eq(d.sets.list[0].nr_volumes, 2);
	put(&d, 1, 512, 9, "", "", "");
	d.bytes[1][MDA + 600] ^= 1;
	assemble(&d, 2);
	ck_assert_uint_eq(d.sets.nr, 1);
	ck_assert_uint_eq(d.sets.list[0].nr_volumes, 2);
	lvm_put_label(d.bytes[1], UUID2, SIZE, 0, 0);
	assemble(&d, 2);
	ck_assert_uint_eq(d.sets.nr, 1);
	ck_assert_int_eq(d.sets.list[0].verdict, STACK_OPEN);
	release(&d);
}
END_TEST

START_TEST(missing)
{
	struct disks d = make_disks();

	put(&d, 0, 512, 3, "", "", two_pieces);
	put(&d, 1, 512, 3, "", "", two_pieces);
	assemble(&d, 1);
	ck_assert_uint_eq(d.sets.nr, 1);
	ck_assert_int_eq(d.sets.list[0].verdict, STACK_MISSING);
	ck_assert_ptr_nonnull(strstr(d.sets.list[0].detail, "PV " TEXT2 " (last seen as /dev/sdb)"));
	ck_assert_ptr_null(strstr(d.sets.list[0].detail, TEXT1));
	/* One that says it belongs to a group, and does not say to which. */
	lvm_put_label(d.bytes[0], UUID1, SIZE, 0, 0);
	assemble(&d, 1);
	ck_assert_int_eq(d.sets.list[0].verdict, STACK_MISSING);
	release(&d);
}
END_TEST

/* What must not be mapped is raw, with a reason: nothing else of the group is lost. */
START_TEST(raw_groups)
{
	static const struct {
		const char *vg_flag, *pv_flag, *lvs, *why;
	} cases[] = {
		{ ", \"EXPORTED\"", "", "", "EXPORTED" },
		{ ", \"PVMOVE\"", "", "", "PVMOVE" },
		{ "", "\"MISSING\"", "", "missing" },
		{ "", "\"LATER\"", "", "missing" },
		{ "", "", "a { " LV SEG(0, 3, "type=\"striped\" stripes=[\"pv0\", 98]") "}", "beyond the end" },
		{ "", "", "a { " LV SEG(1, 3, "type=\"striped\" stripes=[\"pv0\", 0]") "}", "follow each other" },
		{ "", "", "a { " LV SEG(0, 3, "type=\"striped\" stripe_size=32 stripes=[\"pv0\", 0, \"pv1\", 0]") "}", "whole number" },
		{ "", "", "a { " LV SEG(0, 2, "type=\"striped\" stripe_size=0 stripes=[\"pv0\", 0, \"pv1\", 0]") "}", "whole number" },
		{ "", "", "a { " LV SEG(0, 0, "type=\"striped\" stripes=[\"pv0\", 0]") "}", "follow each other" },
		{ "", "", "a { " LV SEG(0, 3, "type=\"striped\" stripes=[]") "}", "without stripes" },
		{ "", "", "a { " LV SEG(0, 3, "type=\"striped\" stripes=[\"pv0\"]") "}", "list of stripes" },
		{ "", "", "a { " LV "} a { " LV "}", "one name" },
		{ "", "", "a/b { " LV "}", "without name" },
		{ "", "", "a { status=[] }", "without name or id" },
		{ "", "", "a { " LV SEG(0, 99999999999999999999, "") "}", "too large" },
		{ "", "", "a { a { a { a { a { a { a { a { a { a { } } } } } } } } } }", "too many levels" },
		{ "", "", "a { id = \"unended }", NULL },
		{ "", "", "a { id = [ 1, 2 }", "no end" },
		{ "", "", "}", NULL },
	};
	struct disks d = make_disks();

	for (size_t i = 0; i < 2; i++)
		put(&d, i, 512, 3, cases[_i].vg_flag, cases[_i].pv_flag, cases[_i].lvs);
	assemble(&d, 2);
	ck_assert_uint_ge(d.sets.nr, 1);
	for (size_t i = 0; i < d.sets.nr; i++) {
		ck_assert_int_eq(d.sets.list[i].verdict, STACK_RAW);
		ck_assert_msg(!cases[_i].why || strstr(d.sets.list[i].notice, cases[_i].why) != NULL, "'%s' is not about '%s'", d.sets.list[i].notice, cases[_i].why);
	}
	release(&d);
}
END_TEST

/* Of what is not understood every extent is taken, of the parts that it names too, however they are flagged. */
START_TEST(strange_volumes)
{
	static const char lvs[] =
		"plain { " LV "segment1 { start_extent=0 extent_count=1 type=\"striped\" stripes=[\"pv0\", 0] } }\n"
		"origin { " LV "segment1 { start_extent=0 extent_count=1 type=\"striped\" stripes=[\"pv0\", 1] } }\n"
		"cow { " LV "segment1 { start_extent=0 extent_count=1 type=\"striped\" stripes=[\"pv0\", 2] } }\n"
		"snapshot0 { id=\"vvvvvv-wwww-xxxx-yyyy-zzzz-0000-111111\" status=[\"READ\"] segment1 { start_extent=0 extent_count=1 type=\"snapshot\" "
		"origin=\"origin\" cow_store=\"cow\" } }\n"
		"m { " LV "segment1 { start_extent=0 extent_count=1 type=\"raid1\" raids=[\"m_meta\", \"m_image\"] } }\n"
		"m_meta { " LV "segment1 { start_extent=0 extent_count=1 type=\"striped\" stripes=[\"pv0\", 3] } }\n"
		"m_image { " LV "segment1 { start_extent=0 extent_count=1 type=\"striped\" stripes=[\"pv1\", 3] } }\n"
		"locked { id=\"vvvvvv-wwww-xxxx-yyyy-zzzz-0000-111111\" status=[\"READ\",\"VISIBLE\",\"LOCKED\"] "
		"segment1 { start_extent=0 extent_count=1 type=\"striped\" stripes=[\"pv1\", 4] } }\n"
		"odd { " LV "segment1 { start_extent=0 extent_count=1 type=\"striped\" stripes=[\"pv1\", 9] } extra { of = \"part\" } }\n"
		"part { " LV "segment1 { start_extent=0 extent_count=1 type=\"striped\" stripes=[\"pv1\", 10] } }\n"
		"short { " LV "segment_count=2 segment1 { start_extent=0 extent_count=1 type=\"striped\" stripes=[\"pv1\", 11] } }\n"
		"moving { " LV "segment1 { start_extent=0 extent_count=1 type=\"striped\" stripes=[\"target\", 0] } }\n"
		"target { " LV "segment1 { start_extent=0 extent_count=1 type=\"striped\" stripes=[\"pv1\", 6] } }\n";
	struct disks d = make_disks();

	for (size_t i = 0; i < 2; i++)
		put(&d, i, 512, 3, "", "", lvs);
	assemble(&d, 2);
	ck_assert_uint_eq(d.sets.nr, 1);
	const struct stack_set *s = d.sets.list;
	ck_assert_int_eq(s->verdict, STACK_OPEN);
	ck_assert_uint_eq(s->nr_volumes, 10);
	for (size_t i = 0; i < s->nr_volumes; i++)
		ck_assert_msg(s->volumes[i].is_raw == (strcmp(s->volumes[i].name, "vg/plain") != 0), "%s", s->volumes[i].name);
	ck_assert_ptr_nonnull(strstr(s->notice, "'m' (type raid1)"));
	release(&d);
}
END_TEST

/* Labels and areas that lie: raw, never read beyond. */
START_TEST(hostile_label)
{
	struct disks d = make_disks();
	struct err e = ERR_INIT;

	put(&d, 0, 512, 3, "", "", "");
	switch (_i) {
	case 0: put_le64(d.bytes[0], 512 + 104, UINT64_MAX - 100); break;
	case 1: put_le64(d.bytes[0], 512 + 112, SIZE); break;
	case 2: put_le32(d.bytes[0], 512 + 20, 500); break;
	case 3: put_le32(d.bytes[0], 512 + 20, 8); break;
	case 4: memset(d.bytes[0] + 512 + 72, 0x11, 440); break;
	case 5: put_le64(d.bytes[0], MDA + 40, LEN + 5); lvm_seal_mda(d.bytes[0], MDA); break;
	case 6: put_le64(d.bytes[0], MDA + 48, LEN); lvm_seal_mda(d.bytes[0], MDA); break;
	case 7: put_le64(d.bytes[0], MDA + 32, LEN * 2); lvm_seal_mda(d.bytes[0], MDA); break;
	case 8: d.bytes[0][MDA + 7] ^= 1; break;
	default: break;
	}
	lvm_seal_label(d.bytes[0]);
	assemble(&d, 1);
	ck_assert_uint_eq(d.sets.nr, 1);
	ck_assert_int_eq(d.sets.list[0].verdict, STACK_RAW);
	d.bytes[0][520] ^= 1; /* another sector number, and no right checksum: no label */
	ck_assert_int_eq(stack_lvm.probe(d.src[0], &e), 0);
	release(&d);
}
END_TEST

/* Two disks that are copies of each other, and a disk that the group forgot. */
START_TEST(copies)
{
	struct disks d = make_disks();

	lvm_put_label(d.bytes[1], UUID1, SIZE, MDA, LEN);
	put(&d, 0, 512, 3, "", "", "");
	put(&d, 1, 512, 3, "", "", "");
	assemble(&d, 2); /* and the other disk of the group is missing */
	ck_assert_int_eq(d.sets.list[0].verdict, STACK_MISSING);
	release(&d);
	d = make_disks();
	lvm_put_label(d.bytes[1], "1234567890abcdefghijklmnopqrstuv", SIZE, MDA, LEN);
	assemble(&d, 2); /* no texts at all, but "used" */
	for (size_t i = 0; i < d.sets.nr; i++)
		ck_assert_int_ne(d.sets.list[i].verdict, STACK_OPEN);
	release(&d);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("lvm");
	TCase *t = tcase_create("lvm");
	tcase_add_loop_test(t, mapped, 0, 4);
	tcase_add_test(t, newest);
	tcase_add_test(t, missing);
	tcase_add_loop_test(t, raw_groups, 0, 19);
	tcase_add_test(t, strange_volumes);
	tcase_add_loop_test(t, hostile_label, 0, 9);
	tcase_add_test(t, copies);
	suite_add_tcase(s, t);
	SRunner *r = srunner_create(s);
	srunner_run_all(r, CK_ENV);
	int failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed != 0;
}
