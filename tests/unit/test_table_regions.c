/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Regions: random tables are divided so that every byte has one owner; overlaps are raw. */
#include "tests/unit/table_check.h"
#include "tests/unit/table_util.h"

#include "base/arith.h"

START_TEST(takes_overlaps_raw)
{
	uint8_t *disk = calloc(1, 4 * MIB);
	struct err e = ERR_INIT;
	struct pt_region *r;
	size_t nr;

	/* As isohybrid images have it: 1 covers the MBR and 2, 3 and 4 are apart. */
	make_slot(disk, 0, 0x00, 0, 3000);
	make_slot(disk, 1, 0xEF, 100, 200);
	make_slot(disk, 2, 0x83, 4000, 100);
	make_slot(disk, 3, 0x83, 4100, 100);
	AUTO(pt_table) struct pt_table *t = read_memory(disk, 4 * MIB, 0, &e);
	ck_assert_msg(t != NULL, "%s", e.msg);
	ck_assert_int_eq(pt_regions(t, 4 * MIB, false, &r, &nr, &e), 0);
	ck_assert_uint_eq(nr, 5);
	ck_assert(r[0].kind == PT_REGION_OVERLAP && r[0].len == 3000 * 512 && r[0].entry == -1);
	ck_assert(r[1].kind == PT_REGION_GAP && r[1].nr_used == 0);
	ck_assert(r[2].kind == PT_REGION_PARTITION && t->entries[r[2].entry].number == 3);
	ck_assert(r[4].kind == PT_REGION_GAP && r[4].nr_used == 1 && r[4].used[0].start == 3 * MIB && r[4].used[0].len == MIB);
	ck_assert(has_notice(t, "partitions 1 and 2 overlap"));
	pt_regions_free(r, nr);

	/* Alone it is raw too, since the table stands in it. */
	memset(disk + 446 + 16, 0, 16);
	AUTO(pt_table) struct pt_table *u = read_memory(disk, 4 * MIB, 0, &e);
	ck_assert_int_eq(pt_regions(u, 4 * MIB, false, &r, &nr, &e), 0);
	ck_assert(r[0].kind == PT_REGION_OVERLAP);
	ck_assert(has_notice(u, "covers bytes of the partition table"));
	pt_regions_free(r, nr);
	free(disk);
}
END_TEST

static void check_owner(const struct pt_table *t, const struct pt_region *r, uint64_t pos)
{
	size_t owners = 0;

	if (pos < r->start || pos - r->start >= r->len)
		return;
	for (size_t k = 0; k < t->nr; k++)
		owners += pos >= t->entries[k].start && pos - t->entries[k].start < t->entries[k].len;
	if (r->kind == PT_REGION_GAP)
		ck_assert_uint_eq(owners, 0);
	else if (r->kind == PT_REGION_PARTITION)
		ck_assert_uint_eq(owners, 1);
	else
		ck_assert_uint_ge(owners, 1);
}

/* Each byte of a partition is in a region of its own kind. How many own a byte changes only where a partition begins or ends. */
static void check_owners(struct pt_table *t, uint64_t size)
{
	struct err e = ERR_INIT;
	struct pt_region *r;
	size_t nr;

	ck_assert_int_eq(pt_regions(t, size, false, &r, &nr, &e), 0);
	for (size_t i = 0; i < nr; i++) {
		check_owner(t, &r[i], r[i].start);
		for (size_t k = 0; k < t->nr; k++) {
			check_owner(t, &r[i], t->entries[k].start);
			check_owner(t, &r[i], t->entries[k].start + t->entries[k].len);
		}
	}
	pt_regions_free(r, nr);
}

START_TEST(regions_cover_the_disk)
{
	unsigned seed = (unsigned)_i;

	for (int round = 0; round < 200; round++) {
		struct pt_entry entries[12] = { 0 };
		struct range structures[4] = { { 0, 512 } };
		struct pt_table t = { .kind = PT_MBR, .sector_size = 512, .entries = entries, .structures = structures };
		uint64_t sectors = 1 + (unsigned)rand_r(&seed) % 6000, size = sectors * 512 - (unsigned)rand_r(&seed) % 512;
		t.nr = (size_t)rand_r(&seed) % 12;
		t.nr_structures = 1;
		for (size_t i = 0; i < t.nr; i++) {
			uint64_t start = (unsigned)rand_r(&seed) % (sectors + 100), len = (unsigned)rand_r(&seed) % 900;
			entries[i] = (struct pt_entry){ .number = (unsigned)i + 1, .start = start * 512, .len = len * 512 };
		}
		for (size_t i = 1; i < 4; i++) {
			uint64_t start = structures[i - 1].start + 512 * (1 + (unsigned)rand_r(&seed) % 2000);
			if (start + 512 <= size)
				structures[t.nr_structures++] = (struct range){ start, 512 };
			else
				break;
		}
		if (size < 512)
			structures[0].len = size;
		check_regions(&t, size, round % 2);
		check_owners(&t, size);
	}
}
END_TEST

int main(void)
{
	Suite *s = suite_create("table regions");
	TCase *c = tcase_create("regions");

	tcase_set_timeout(c, 60);
	tcase_add_test(c, takes_overlaps_raw);
	tcase_add_loop_test(c, regions_cover_the_disk, 0, 10);
	suite_add_tcase(s, c);

	SRunner *sr = srunner_create(s);
	srunner_run_all(sr, CK_ENV);
	int failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
