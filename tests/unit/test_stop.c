/* SPDX-License-Identifier: GPL-3.0-or-later */
/* A stop is heard while a file system is looked at: whichever read it comes with, hardly another one follows. */
#include "tests/unit/bad_disk.h"

/* Asked to stop from the how manieth read on. */
struct stopping {
	struct bad_disk *d;
	long after;
};

static bool is_stopped(void *arg)
{
	const struct stopping *s = arg;

	return s->d->count >= s->after;
}

static int plan(struct bad_disk *d, long after, struct err *e)
{
	static const char *const paths[] = { "disk" };
	struct blk_source *source = &d->base;
	struct capture_options o = { .disks = paths, .nr_disks = 1, .level = 1, .dry_run = true, .sources = &source };
	struct stopping s = { d, after };
	struct progress p = { .stopped = is_stopped, .arg = &s };
	struct capture_result res;

	d->count = 0;
	int r = capture_run(&o, &res, &p, e);
	img_manifest_free(res.manifest);
	return r;
}

START_TEST(stops_while_planning)
{
	static const char *const mkfs[] = { "mke2fs -q -t ext4 -b 1024 -d tree disk", "mkfs.btrfs -q -M --rootdir tree disk", "mkfs.xfs -q -p proto disk" };
	static const char *const drivers[] = { "ext", "btrfs", "xfs" };
	struct err e = ERR_INIT;
	uint64_t size;

	shell("mkdir tree; for i in $(seq 300); do echo $i >tree/$i; done; truncate -s 320M disk");
	shell("{ printf '/\\n0 0\\nd--755 0 0\\n'; for i in $(seq 300); do echo \"$i ---644 0 0 $PWD/tree/$i\"; done; printf '$\\n'; } >proto; %s", mkfs[_i]);
	uint8_t *data = get_file("disk", &size);
	struct bad_disk d = bad_disk(data, size, 512);
	ck_assert_msg(plan(&d, 1000000, &e) == 0, "%s", e.msg);
	long all = d.count, most = 0;
	ck_assert_int_gt(all, 20);
	for (long n = 1; n < all; n++) {
		e = (struct err)ERR_INIT;
		ck_assert_int_eq(plan(&d, n, &e), -1);
		/* What was being read has not failed, and is not named as if it had. */
		ck_assert_msg(e.code == ERR_STOPPED && !strcmp(e.msg, "stopped"), "read %ld: %s", n, e.msg);
		most = d.count - n > most ? d.count - n : most;
	}
	printf("%s: %ld reads, at most %ld after the stop\n", drivers[_i], all, most);
	ck_assert_int_le(most, 8); /* those of the partition tables */
	free_disk(&d);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("stop");
	TCase *t = tcase_create("stop");

	tcase_add_checked_fixture(t, scratch_setup, scratch_teardown);
	tcase_set_timeout(t, 300);
	tcase_add_loop_test(t, stops_while_planning, 0, 3);
	suite_add_tcase(s, t);

	SRunner *runner = srunner_create(s);
	srunner_run_all(runner, CK_ENV);
	int failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
