/* SPDX-License-Identifier: GPL-3.0-or-later */
/* When the btrfs driver says that it is not safe to copy, and which words it finds: sets with missing, old and wrong members, logs, replacements. */
#include "tests/unit/btrfs_volume.h"

static void mount_first(const char *options)
{
	SH("mount -o %s $(head -n 1 loops) mnt", options);
}

static void umount_all(void)
{
	SH("umount mnt && btrfs device scan --forget");
}

/* Not clean for this reason, with this in the detail; its map, too, takes everything then. */
static void expect_state(const char *order, enum fsd_state state, const char *reason, const char *detail)
{
	struct opened o;

	open_members(&o, order);
	ck_assert_msg(o.result == 0, "%s", o.e.msg);
	const struct fsd_info *i = &o.v->info;
	ck_assert_msg(i->state == state && !strcmp(i->reason, reason), "%s: %s", i->reason, i->detail);
	ck_assert_msg(strstr(i->detail, detail) && i->advice[0], "%s", i->detail);
	ck_assert_int_eq(map_opened(&o), 0);
	for (size_t m = 0; m < o.set.nr; m++)
		for (uint64_t u = 0; u < ceil_div_u64(o.members[m]->size, UNIT); u++)
			ck_assert(o.used[m][u]);
	close_members(&o);
}

static const char *uuid_of(unsigned member)
{
	static char text[40];
	uint8_t u[16];

	peek(member, 64 * KIB + 0xC9 + 66, u, sizeof(u));
	btrfs_format_uuid(text, sizeof(text), u);
	return text;
}

START_TEST(half_of_a_mirror)
{
	struct fsd_member m;
	struct opened o;

	if (!can_mount)
		return;
	attach(2, 150);
	mkfs("-m raid1 -d raid1 -L half");
	expect_state("0", FSD_SET_MEMBER, "set-member", "1 of 2 devices are here; missing: 2 (");
	expect_state("0", FSD_SET_MEMBER, "set-member", uuid_of(1));
	expect_state("1", FSD_SET_MEMBER, "set-member", "missing: 1 (");
	expect_state("1", FSD_SET_MEMBER, "set-member", uuid_of(0));
	open_members(&o, "1");
	ck_assert_str_eq(o.v->info.label, "half");
	ck_assert_int_eq(fsd_find_member(o.members[0], &m, &o.e), 1);
	ck_assert_uint_eq(m.number, 2);
	ck_assert_uint_eq(m.nr, 2);
	ck_assert_uint_gt(m.version, 0);
	close_members(&o);
	expect_state("00", FSD_SET_MEMBER, "duplicate-member", "are both device 1");
}
END_TEST

START_TEST(parts_of_stripes)
{
	if (!can_mount)
		return;
	attach(4, 150);
	mkfs("-m raid0 -d raid0");
	/* Nothing of the trees can be read from one of them alone. */
	for (unsigned i = 0; i < 4; i++)
		expect_state((const char[2]){ (char)('0' + i), 0 }, FSD_SET_MEMBER, "set-member", "1 of 4 devices are here");
	expect_state("310", FSD_SET_MEMBER, "set-member", "3 of 4 devices are here");
	mkfs("-m raid1c3 -d raid0");
	expect_state("013", FSD_SET_MEMBER, "set-member", "3 of 4 devices are here; missing: 3 (");
}
END_TEST

START_TEST(an_old_member)
{
	if (!can_mount)
		return;
	attach(2, 150);
	mkfs("-m raid1 -d raid1");
	SH("losetup -d $(tail -n 1 loops) && btrfs device scan --forget");
	mount_first("degraded");
	SH("echo news >mnt/file");
	umount_all();
	expect_state("01", FSD_SET_MEMBER, "stale-member", "d1' is of generation");
	expect_state("10", FSD_SET_MEMBER, "stale-member", "d1' is of generation");
}
END_TEST

START_TEST(members_of_two_file_systems)
{
	struct opened o;

	if (!can_mount)
		return;
	attach(2, 150);
	SH("for l in $(cat loops); do mkfs.btrfs -q -f $l; done");
	open_members(&o, "01");
	ck_assert_int_eq(o.result, -1);
	ck_assert_int_eq(o.e.code, ERR_UNSUPPORTED);
	close_members(&o);
}
END_TEST

/* The first device is gone for good: what is left is device 2, alone. */
START_TEST(device_numbers)
{
	struct fsd_member m;
	struct opened o;

	if (!can_mount)
		return;
	attach(2, 200);
	mkfs("-m single -d single");
	mount_first("rw");
	SH("cp -r /usr/include/linux mnt && btrfs device remove $(head -n 1 loops) mnt");
	umount_all();
	SH("cp --sparse=always d1 d0 && btrfs check --readonly --check-data-csum d0");
	open_clean(&o, "1");
	ck_assert_int_eq(fsd_btrfs.member(o.members[0], &m, &o.e), 0);
	ck_assert_uint_eq(m.number, 2);
	ck_assert_int_eq(fsd_find_member(o.members[0], &m, &o.e), 0);
	spoil_unused(&o, "1");
	close_members(&o);
	SH("btrfs check --readonly --check-data-csum d1");
}
END_TEST

START_TEST(another_uuid)
{
	struct opened o;
	char old[48];

	clean_up();
	SH("truncate -s 120M d0 && mkfs.btrfs -q d0");
	open_clean(&o, "0");
	snprintf(old, sizeof(old), "%s", o.v->info.uuid);
	close_members(&o);
	SH("btrfstune -m d0");
	open_clean(&o, "0");
	ck_assert_str_ne(o.v->info.uuid, old);
	SH("[ \"$(blkid -p -o value -s UUID d0)\" = %s ]", o.v->info.uuid);
	spoil_unused(&o, "0");
	close_members(&o);
	SH("btrfs check --readonly d0");
}
END_TEST

/* What a crash behind fsync() leaves: the file is cut off while the file system is mounted. */
START_TEST(a_log_to_replay)
{
	struct opened o;

	if (!can_mount)
		return;
	attach(1, 120);
	mkfs("");
	mount_first("commit=300");
	SH("echo before >mnt/file && sync -f mnt && echo behind >>mnt/file && sync mnt/file && cp --sparse=always d0 crashed");
	umount_all();
	SH("cp --sparse=always crashed d0");
	expect_state("0", FSD_REPLAYABLE, "tree-log", "tree log");
	mount_first("rw");
	SH("[ $(wc -l <mnt/file) = 2 ]");
	umount_all();
	open_clean(&o, "0");
	close_members(&o);
	/* Not unmounted, and nothing in the log: every commit is whole. */
	mount_first("commit=300");
	SH("echo more >>mnt/file && sync -f mnt && echo lost >mnt/other && cp --sparse=always d0 crashed");
	umount_all();
	SH("cp --sparse=always crashed d0");
	open_clean(&o, "0");
	spoil_unused(&o, "0");
	close_members(&o);
	SH("btrfs check --readonly --check-data-csum d0");
}
END_TEST

START_TEST(seeds)
{
	struct opened o;

	if (!can_mount)
		return;
	attach(2, 150);
	SH("mkfs.btrfs -q -f $(head -n 1 loops) && btrfstune -S 1 $(head -n 1 loops)");
	/* By itself it is a file system like others. */
	open_clean(&o, "0");
	close_members(&o);
	mount_first("ro");
	SH("btrfs device add -f $(tail -n 1 loops) mnt && mount -o remount,rw mnt && echo grown >mnt/file");
	umount_all();
	expect_state("1", FSD_SET_MEMBER, "set-member", "on the seed device of another");
	open_clean(&o, "0");
	close_members(&o);
}
END_TEST

START_TEST(a_device_being_replaced)
{
	struct opened o;

	if (!can_mount)
		return;
	attach(2, 150);
	SH("mkfs.btrfs -q -f $(head -n 1 loops)");
	mount_first("rw");
	SH("btrfs replace start -B -f 1 $(tail -n 1 loops) mnt && echo done >mnt/file");
	umount_all();
	open_clean(&o, "1");
	close_members(&o);
	/* The same item, as it stands while it is at work, or was suspended by an unmount */
	SH("cp --sparse=always d1 d0");
	SH("python3 $root/tests/tools/btrfs_image.py item d0 4 250 0 32 8 1");
	expect_state("0", FSD_SET_MEMBER, "device-replace", "being replaced");
	SH("python3 $root/tests/tools/btrfs_image.py item d0 4 250 0 32 8 4");
	expect_state("0", FSD_SET_MEMBER, "device-replace", "being replaced");
	SH("python3 $root/tests/tools/btrfs_image.py super d0 0xC9 8 0");
	expect_state("0", FSD_SET_MEMBER, "device-replace", "about to replace");
}
END_TEST

START_TEST(marked_as_bad)
{
	clean_up();
	SH("truncate -s 120M d0 && mkfs.btrfs -q d0 && python3 $root/tests/tools/btrfs_image.py super d0 0x38 8 5");
	expect_state("0", FSD_DAMAGED, "errors", "having errors");
}
END_TEST

/* A balance that waits is no reason to refuse. */
START_TEST(a_paused_balance)
{
	struct opened o;

	if (!can_mount)
		return;
	attach(1, 400);
	SH("mkfs.btrfs -q -f -M $(cat loops)");
	mount_first("rw");
	/* Pausing waits for the block group under work; that there was no other left then is bad luck, so there are many. */
	SH("head -c 150000000 /dev/urandom >mnt/big && sync -f mnt && for i in 1 2 3 4 5 6 7 8; do "
	   "{ btrfs balance start --full-balance mnt & } && while kill -0 $!; do if btrfs balance pause mnt; then break; fi; done; wait $! || true; "
	   "btrfs balance status mnt >status || true; if grep -q paused status; then exit 0; fi; done; cat status; exit 1");
	umount_all();
	open_clean(&o, "0");
	ck_assert_msg(strstr(o.v->info.notice, "a balance was not finished"), "%s", o.v->info.notice);
	spoil_unused(&o, "0");
	close_members(&o);
	SH("btrfs check --readonly --check-data-csum d0");
	mount_first("skip_balance");
	SH("btrfs balance status mnt >status || true; grep -q paused status");
	umount_all();
}
END_TEST

/* ext4 that became btrfs: its chunks lie anywhere, and a subvolume holds the old file system. */
START_TEST(converted_from_ext4)
{
	struct opened o;

	if (!can_mount)
		return;
	attach(1, 300);
	SH("mke2fs -q -F -b 4096 -t ext4 -d /usr/include/linux $(cat loops) && btrfs-convert $(cat loops)");
	mount_first("rw");
	SH("rm -r mnt/netfilter* && head -c 1000000 /dev/urandom >mnt/new");
	umount_all();
	open_clean(&o, "0");
	spoil_unused(&o, "0");
	close_members(&o);
	SH("btrfs check --readonly --check-data-csum $(cat loops)");
	mount_first("ro");
	SH("btrfs scrub start -B -r mnt | tee scrub && grep -q 'no errors found' scrub && e2fsck -fn mnt/ext2_saved/image");
	umount_all();
}
END_TEST

int main(void)
{
	Suite *s = suite_create("btrfs_state");
	TCase *tc = tcase_create("state");
	SRunner *sr = srunner_create(s);

	tcase_add_unchecked_fixture(tc, setup, teardown);
	tcase_set_timeout(tc, 120);
	tcase_add_test(tc, half_of_a_mirror);
	tcase_add_test(tc, parts_of_stripes);
	tcase_add_test(tc, an_old_member);
	tcase_add_test(tc, members_of_two_file_systems);
	tcase_add_test(tc, device_numbers);
	tcase_add_test(tc, another_uuid);
	tcase_add_test(tc, a_log_to_replay);
	tcase_add_test(tc, seeds);
	tcase_add_test(tc, a_device_being_replaced);
	tcase_add_test(tc, marked_as_bad);
	tcase_add_test(tc, a_paused_balance);
	tcase_add_test(tc, converted_from_ext4);
	suite_add_tcase(s, tc);
	srunner_run_all(sr, CK_ENV);
	int failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
