/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The btrfs driver against mkfs.btrfs, the kernel, btrfs check and scrub: maps and names of whole file systems, in all profiles. That all
 * copies of everything are in the map is proven by spoiling what is not and scrubbing; that nothing else is, by tests/tools/btrfs_used.py.
 */
#include "tests/unit/btrfs_volume.h"

struct btrfs_case {
	const char *options;
	unsigned nr, mib; /* members and their size */
	const char *mount;
	const char *after; /* done to the mounted file system before the end; "" */
	const char *order; /* in which the members are given to the driver */
};

static const struct btrfs_case cases[] = {
	{ "-L scratch", 1, 260, "rw", "", "0" },
	{ "-m single -d single", 1, 260, "compress=lzo", "", "0" },
	{ "-m dup -d dup -s 4096", 1, 400, "rw", "", "0" },
	{ "-M", 1, 200, "rw", "", "0" },
	{ "-M -m dup -d dup -n 4096", 1, 300, "rw", "", "0" },
	{ "--csum xxhash -n 4096", 1, 260, "rw", "", "0" },
	{ "--csum sha256 -n 65536", 1, 260, "rw", "", "0" },
	{ "--csum blake2 -n 32768", 1, 260, "rw", "", "0" },
	{ "-O ^no-holes -R ^free-space-tree", 1, 260, "space_cache=v1", "", "0" },
	{ "-O ^no-holes,^skinny-metadata,^extref -R ^free-space-tree", 1, 260, "clear_cache,nospace_cache", "", "0" },
	{ "-R quota", 1, 260, "autodefrag", "btrfs balance start --full-balance mnt", "0" },
	{ "-O raid56", 1, 260, "rw", "btrfs balance start -f -dconvert=dup -mconvert=single mnt", "0" },
	{ "-m raid0 -d raid0", 2, 160, "rw", "", "10" },
	{ "-m raid1 -d raid1", 2, 260, "rw", "", "10" },
	{ "-m raid1 -d raid0 --csum sha256", 3, 200, "rw", "", "201" },
	{ "-m raid10 -d raid10", 4, 160, "rw", "", "3120" },
	{ "-m raid1c3 -d raid1c3", 3, 260, "rw", "", "120" },
	{ "-m raid1c4 -d raid10 -n 4096", 4, 200, "rw", "btrfs balance start -d mnt", "0231" },
	{ "-m raid1 -d raid5", 3, 200, "rw", "", "021" },
	{ "-m raid6 -d raid6", 4, 200, "rw", "", "0123" },
	{ "-m dup -d single", 2, 200, "rw", "", "01" },
};

/* The driver's map and that of btrfs-progs, unit by unit. */
static void compare_with_progs(struct opened *o, const char *order)
{
	unsigned long long member, start, len;
	uint8_t *want[MAX_MEMBERS];

	/* The tool knows the members in the order of the loop devices. */
	SH("python3 $root/tests/tools/btrfs_used.py $(cat loops) >used");
	for (size_t i = 0; i < o->set.nr; i++)
		want[i] = calloc((size_t)(o->members[i]->size / UNIT + 1), 1);
	FILE *f = fopen(at("used"), "r");
	ck_assert_ptr_nonnull(f);
	while (fscanf(f, "%llu %llu %llu\n", &member, &start, &len) == 3) {
		const char *place = strchr(order, (int)('0' + member));
		ck_assert_ptr_nonnull(place);
		memset(want[place - order] + start / UNIT, 1, (size_t)ceil_div_u64(len, UNIT));
	}
	ck_assert(feof(f));
	fclose(f);
	for (size_t i = 0; i < o->set.nr; i++) {
		uint64_t nr = ceil_div_u64(o->members[i]->size, UNIT);
		for (uint64_t u = memcmp(o->used[i], want[i], nr) ? 0 : nr; u < nr; u++)
			ck_assert_msg(o->used[i][u] == want[i][u], "member %c, byte %llu: used %d, btrfs-progs %d", order[i],
				(unsigned long long)(u * UNIT), o->used[i][u], want[i][u]);
		free(want[i]);
	}
}

/* What the checker and the kernel say of the members in d0, d1, ... */
static void check_members(void)
{
	SH("btrfs check --readonly --check-data-csum $(head -n 1 loops)");
	SH(MOUNT, "ro");
	SH("btrfs scrub start -B -r mnt | tee scrub && grep -q 'no errors found' scrub");
	SH("mv manifest before");
	unmount();
	SH("cmp before manifest || { diff before manifest | head; false; }");
}

static void check_info(const struct opened *o, const char *label)
{
	const struct fsd_info *i = &o->v->info;
	struct fsd_member m;
	struct err e;

	ck_assert_str_eq(i->type, "btrfs");
	ck_assert_str_eq(i->label, label);
	ck_assert_str_eq(i->notice, "");
	ck_assert_uint_eq(i->granule, 4096);
	SH("[ \"$(blkid -p -o value -s UUID d0)\" = %s ]", i->uuid);
	for (size_t k = 0; k < o->set.nr; k++) {
		ck_assert_int_eq(fsd_find_member(o->members[k], &m, &e), o->set.nr > 1);
		ck_assert(o->set.nr == 1 || (!strcmp(m.set, i->uuid) && m.nr == o->set.nr && m.number >= 1));
	}
}

/* Under load some kernels leave the parity of RAID5 wrong: what btrfs-progs find wrong before anything was done is made again. */
static void make_source(const struct btrfs_case *t)
{
	for (unsigned attempt = 0;; attempt++) {
		attach(t->nr, t->mib);
		mkfs(t->options);
		fill(t->mount);
		if (t->after[0])
			SH("%s", t->after);
		unmount();
		if (sh("btrfs check --readonly --check-data-csum $(head -n 1 loops)") == 0)
			return;
		show_log();
		ck_assert_msg(attempt < 3, "the kernel makes no sound file system here");
	}
}

START_TEST(copy_is_whole)
{
	const struct btrfs_case *t = &cases[_i];
	struct opened o;
	uint64_t nr_arm = 0;

	if (!can_mount)
		return;
	make_source(t);
	open_clean(&o, t->order);
	check_info(&o, strstr(t->options, "scratch") ? "scratch" : "");
	compare_with_progs(&o, t->order);
	ck_assert_int_eq(fsd_arm_ranges(o.v, note_arm, &o, &o.e), 0);
	for (size_t i = 0; i < o.set.nr; i++)
		nr_arm += o.members[i]->size > 64 * MIB ? 2 : 1;
	ck_assert_uint_eq(o.nr_arm, nr_arm);
	/* A second time it is the same. */
	for (size_t i = 0; i < o.set.nr; i++)
		free(o.used[i]);
	ck_assert_int_eq(map_opened(&o), 0);
	spoil_unused(&o, t->order);
	close_members(&o);
	check_members();
}
END_TEST

int main(void)
{
	Suite *s = suite_create("btrfs");
	TCase *tc = tcase_create("copy");
	SRunner *sr = srunner_create(s);
	const char *one = getenv("TEST_BTRFS_ONE");

	tcase_add_unchecked_fixture(tc, setup, teardown);
	tcase_set_timeout(tc, 120);
	/* TEST_BTRFS_ONE=7: that case alone */
	tcase_add_loop_test(tc, copy_is_whole, one ? atoi(one) : 0, one ? atoi(one) + 1 : NR(cases));
	suite_add_tcase(s, tc);
	srunner_run_all(sr, CK_ENV);
	int failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
