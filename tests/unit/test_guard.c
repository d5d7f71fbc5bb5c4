/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The target guard on real loop devices and mounts. Each test runs in a mount namespace of its own; loop devices
 * detach themselves when the test's process ends, however it ends. What the machine cannot do is skipped aloud.
 */
#include "base/blk.h"
#include "imager/disk/guard.h"

#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/loop.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/swap.h>
#include <unistd.h>

#define MIB (1ULL << 20)

struct loop {
	int fd; /* keeps it attached */
	char path[32];
	char part[40]; /* its first partition */
};

static char top[64]; /* the test's folder */

static char *at(const char *name)
{
	static char ring[64][256];
	static unsigned turn;
	char *out = ring[turn++ % 64];

	snprintf(out, sizeof(ring[0]), "%s/%s", top, name);
	return out;
}

static void run(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

static void run(const char *fmt, ...)
{
	char cmd[1024];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(cmd, sizeof(cmd), fmt, ap);
	va_end(ap);
	ck_assert_msg(system(cmd) == 0, "failed: %s", cmd);
}

static bool skip(const char *test, const char *why)
{
	fprintf(stderr, "SKIP %s: %s\n", test, why);
	return true;
}

static void setup(void)
{
	snprintf(top, sizeof(top), "/tmp/calco-guard.XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(top));
	if (geteuid() == 0) {
		ck_assert_int_eq(unshare(CLONE_NEWNS), 0);
		ck_assert_int_eq(mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL), 0);
	}
	ck_assert_int_eq(mkdir(at("mnt"), 0700), 0);
}

static void teardown(void)
{
	while (umount2(at("mnt"), MNT_DETACH) == 0)
		;
	run("rm -rf '%s'", top);
}

static char *make_file(const char *name, uint64_t size)
{
	char *path = at(name);
	int fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(ftruncate(fd, (off_t)size), 0);
	close(fd);
	return path;
}

static char *make_ext4(const char *name)
{
	char *path = make_file(name, 16 * MIB);

	run("mkfs.ext4 -q -F -L data '%s'", path);
	return path;
}

/* Attaches a loop device; false (and said) where the machine cannot. */
static bool attach(const char *test, const char *file, unsigned flags, unsigned block_size, struct loop *ret)
{
	if (geteuid() != 0)
		return !skip(test, "not root");
	int control = open("/dev/loop-control", O_RDWR | O_CLOEXEC);
	if (control < 0)
		return !skip(test, "no /dev/loop-control");
	for (int tries = 0; tries < 20; tries++) {
		int n = ioctl(control, LOOP_CTL_GET_FREE);
		snprintf(ret->path, sizeof(ret->path), "/dev/loop%d", n);
		snprintf(ret->part, sizeof(ret->part), "/dev/loop%dp1", n);
		int fd = open(ret->path, (flags & LO_FLAGS_READ_ONLY ? O_RDONLY : O_RDWR) | O_CLOEXEC);
		int back = open(file, (flags & LO_FLAGS_READ_ONLY ? O_RDONLY : O_RDWR) | O_CLOEXEC);
		ck_assert_int_ge(back, 0);
		struct loop_config c = { .fd = (unsigned)back, .block_size = block_size, .info.lo_flags = flags | LO_FLAGS_AUTOCLEAR };
		bool done = fd >= 0 && ioctl(fd, LOOP_CONFIGURE, &c) == 0;
		close(back);
		if (done) {
			ret->fd = fd;
			close(control);
			return true;
		}
		if (fd >= 0)
			close(fd);
	}
	close(control);
	return !skip(test, "no loop device to be had");
}

static int check(const char *target, struct guard_verdict *v, struct err *e)
{
	struct guard_request rq = { .target = target };

	return guard_check(&rq, v, e);
}

static int check_with(const char *target, const char *needed, struct guard_verdict *v, struct err *e)
{
	const char *in_use[] = { needed, NULL };
	struct guard_request rq = { .target = target, .in_use = in_use };

	return guard_check(&rq, v, e);
}

#define assert_ok(call)                                                                                                            \
	do {                                                                                                                       \
		e = (struct err)ERR_INIT;                                                                                          \
		int r_ = (call);                                                                                                   \
		ck_assert_msg(r_ == 0, "%s (%s)", e.msg, e.reason);                                                                \
	} while (0)

#define assert_refused(call, word)                                                                                                 \
	do {                                                                                                                       \
		e = (struct err)ERR_INIT;                                                                                          \
		ck_assert_int_eq((call), -1);                                                                                      \
		ck_assert_msg(e.code == ERR_REFUSED && !strcmp(e.reason, word), "code %d reason '%s': %s", e.code, e.reason, e.msg); \
		ck_assert_str_ne(e.hint, "");                                                                                      \
	} while (0)

#define assert_usage(call)                                                                                                         \
	do {                                                                                                                       \
		e = (struct err)ERR_INIT;                                                                                          \
		ck_assert_int_eq((call), -1);                                                                                      \
		ck_assert_msg(e.code == ERR_USAGE, "code %d: %s", e.code, e.msg);                                                  \
	} while (0)

static struct err e;
static struct guard_verdict v;

START_TEST(free_loop)
{
	struct loop l;

	if (!attach("free_loop", make_file("disk", 8 * MIB), 0, 0, &l))
		return;
	assert_ok(check(l.path, &v, &e));
	ck_assert(v.is_empty);
	ck_assert_str_eq(v.holds, "");
	ck_assert_str_eq(v.dev.path, l.path);
	ck_assert_str_eq(v.dev.bus, "loop");
	ck_assert(!v.dev.is_file && !v.dev.is_partition && !v.dev.read_only);
	ck_assert_uint_eq(v.dev.size, 8 * MIB);
	ck_assert_uint_eq(v.dev.sector_size, 512);
	ck_assert_str_eq(v.confirm_text, "8388608");
	ck_assert_str_eq(v.confirm_what, "its exact size in bytes");
	assert_ok(guard_source(l.path, &e));
}
END_TEST

/* A folder that the job needs with all that is in it: the file by any name, a loop device over it, a new file there. */
START_TEST(tree)
{
	struct guard_request rq = { .in_use_tree = at("store") };
	struct loop l;

	run("mkdir -p '%s' '%s'", at("store/images/lab"), at("other"));
	char *file = make_file("store/images/lab/1.version", 8 * MIB);
	run("ln '%s' '%s' && ln -s store '%s'", file, at("other/hard"), at("alias"));
	ck_assert_int_eq(symlink(at("other"), at("store/away")), 0);
	make_file("other/free", 8 * MIB);
	const char *const names[] = { file, at("other/hard"), at("alias/images/lab/1.version") };
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		rq.target = names[i];
		assert_refused(guard_check(&rq, &v, &e), "is-source");
	}
	rq.in_use_tree = at("alias");
	assert_refused(guard_check(&rq, &v, &e), "is-source");
	rq.target = at("other/free");
	assert_ok(guard_check(&rq, &v, &e));
	assert_refused(guard_new_file(at("store/x"), at("alias"), &e), "is-source");
	assert_refused(guard_new_file(at("alias/images/lab/x"), at("store"), &e), "is-source");
	assert_ok(guard_new_file(at("store/away/x"), at("store"), &e));
	assert_ok(guard_new_file(at("x"), at("store"), &e));
	if (!attach("tree", file, 0, 0, &l))
		return;
	rq.target = l.path;
	assert_refused(guard_check(&rq, &v, &e), "is-source");
	rq.in_use_tree = at("other"); /* the hard link */
	assert_refused(guard_check(&rq, &v, &e), "is-source");
}
END_TEST

START_TEST(mounted)
{
	bool ro = _i;
	struct loop l;
	char *file = make_ext4("disk");

	if (!attach("mounted", file, 0, 0, &l))
		return;
	ck_assert_int_eq(mount(l.path, at("mnt"), "ext4", ro ? MS_RDONLY : 0, NULL), 0);
	assert_refused(check(l.path, &v, &e), "mounted");
	ck_assert_ptr_nonnull(strstr(e.msg, at("mnt")));
	ck_assert_str_eq(v.holds, "ext4 'data'");
	ck_assert(!v.is_empty);
	assert_refused(check(file, &v, &e), "mounted");
	ck_assert_ptr_nonnull(strstr(e.msg, "through"));
	if (ro) {
		assert_ok(guard_source(l.path, &e));
		assert_ok(guard_source(file, &e));
	} else {
		assert_refused(guard_source(l.path, &e), "mounted");
		assert_refused(guard_source(file, &e), "mounted");
	}
	ck_assert_int_eq(umount(at("mnt")), 0);
	assert_ok(check(l.path, &v, &e));
	assert_ok(guard_source(l.path, &e));
}
END_TEST

/* Mounted read-write, and this very mount of it made read-only: the file system is still written. */
START_TEST(read_only_bind)
{
	struct loop l;

	if (!attach("read_only_bind", make_ext4("disk"), 0, 0, &l))
		return;
	ck_assert_int_eq(mount(l.path, at("mnt"), "ext4", 0, NULL), 0);
	ck_assert_int_eq(mount(NULL, at("mnt"), NULL, MS_REMOUNT | MS_BIND | MS_RDONLY, NULL), 0);
	assert_refused(guard_source(l.path, &e), "mounted");
}
END_TEST

/* Mounted only in a namespace that another process has. */
START_TEST(other_namespace)
{
	struct loop l;
	int ready[2], done[2];
	char c = 0;

	if (!attach("other_namespace", make_ext4("disk"), 0, 0, &l))
		return;
	ck_assert(pipe(ready) == 0 && pipe(done) == 0);
	pid_t child = fork();
	if (child == 0) {
		close(done[1]);
		c = unshare(CLONE_NEWNS) == 0 && mount(l.path, at("mnt"), "ext4", 0, NULL) == 0;
		if (write(ready[1], &c, 1) == 1 && read(done[0], &c, 1) < 0)
			_exit(1);
		_exit(0);
	}
	ck_assert_int_eq(read(ready[0], &c, 1), 1);
	ck_assert_int_eq(c, 1);
	assert_refused(check(l.path, &v, &e), "mounted");
	ck_assert_ptr_nonnull(strstr(e.msg, "mount namespace of process"));
	assert_refused(guard_source(l.path, &e), "mounted");
	close(done[1]);
}
END_TEST

static void make_partitions(const char *file, const char *table)
{
	run("printf '%s' | sfdisk -q '%s'", table, file);
}

static bool attach_partitions(const char *test, struct loop *ret)
{
	char *file = make_file("disk", 40 * MIB);

	make_partitions(file, "label: gpt\\n start=2048,size=32768\\n start=34816,size=32768\\n");
	if (!attach(test, file, LO_FLAGS_PARTSCAN, 0, ret))
		return false;
	/* A kernel may be built without parsers of partition tables; partx reads the table for it. */
	if (access(ret->part, F_OK) < 0)
		run("partx -a %s", ret->path);
	return access(ret->part, F_OK) == 0 || !skip(test, "the kernel made no partition nodes");
}

START_TEST(partition_mounted)
{
	struct loop l;
	char second[48];

	if (!attach_partitions("partition_mounted", &l))
		return;
	snprintf(second, sizeof(second), "%.38sp2", l.path);
	run("mkfs.ext4 -q -F -L one %s", l.part);
	ck_assert_int_eq(mount(l.part, at("mnt"), "ext4", 0, NULL), 0);
	assert_refused(check(l.path, &v, &e), "mounted");
	ck_assert_ptr_nonnull(strstr(e.msg, l.part));
	ck_assert_str_eq(v.holds, "gpt: 1 ext4 'one', 2 unknown");
	assert_refused(check(l.part, &v, &e), "mounted");
	ck_assert(v.dev.is_partition);
	ck_assert_uint_eq(v.dev.size, 16 * MIB);
	assert_refused(check(at("disk"), &v, &e), "mounted");
	/* Its sibling is nobody's, and may be written; also when the image lies on the mounted one. */
	assert_ok(check(second, &v, &e));
	ck_assert(v.is_empty);
	run("touch '%s'", at("mnt/image"));
	assert_ok(check_with(second, at("mnt/image"), &v, &e));
	assert_refused(check_with(l.part, at("mnt/image"), &v, &e), "holds-store");
	assert_refused(check_with(l.path, at("mnt/image"), &v, &e), "holds-store");
	assert_refused(check_with(at("disk"), at("mnt/image"), &v, &e), "holds-store");
	assert_refused(check_with(l.path, second, &v, &e), "is-source");
}
END_TEST

START_TEST(swap)
{
	struct loop l;

	if (!attach("swap", make_file("disk", 8 * MIB), 0, 0, &l))
		return;
	run("mkswap -q %s", l.path);
	if (swapon(l.path, 0) < 0) {
		skip("swap", strerror(errno));
		return;
	}
	struct err e1 = ERR_INIT, e2 = ERR_INIT, e3 = ERR_INIT;
	int r1 = check(l.path, &v, &e1), r2 = guard_source(l.path, &e2), r3 = check(at("disk"), &v, &e3);
	swapoff(l.path);
	assert_refused((e = e1, r1), "swap");
	assert_refused((e = e2, r2), "swap");
	assert_refused((e = e3, r3), "swap");
	assert_ok(check(l.path, &v, &e));
	ck_assert_str_eq(v.holds, "swap");
}
END_TEST

/* Claimed by a program that neither sysfs nor mountinfo name. */
START_TEST(claimed)
{
	struct loop l;

	if (!attach("claimed", make_file("disk", 8 * MIB), 0, 0, &l))
		return;
	struct blk_sink *sink = blk_sink_open(l.path, &e);
	ck_assert_ptr_nonnull(sink);
	assert_refused(check(l.path, &v, &e), "in-use");
	assert_refused(guard_source(l.path, &e), "in-use");
	blk_sink_close(sink);
	assert_ok(check(l.path, &v, &e));
}
END_TEST

START_TEST(btrfs_second_device)
{
	struct loop a, b;
	char *one = make_file("one", 128 * MIB), *two = make_file("two", 128 * MIB);

	if (system("command -v mkfs.btrfs >/dev/null") != 0) {
		skip("btrfs_second_device", "no mkfs.btrfs");
		return;
	}
	if (!attach("btrfs_second_device", one, 0, 0, &a) || !attach("btrfs_second_device", two, 0, 0, &b))
		return;
	run("mkfs.btrfs -q -f %s %s >/dev/null", a.path, b.path);
	run("btrfs device scan %s %s >/dev/null", a.path, b.path);
	if (mount(a.path, at("mnt"), "btrfs", 0, NULL) < 0) {
		skip("btrfs_second_device", strerror(errno));
		return;
	}
	assert_refused(check(a.path, &v, &e), "mounted");
	assert_refused(check(b.path, &v, &e), "mounted");
	assert_refused(check(two, &v, &e), "mounted");
	assert_refused(guard_source(b.path, &e), "mounted");
	run("btrfs subvolume create '%s' >/dev/null", at("mnt/sub"));
	run("touch '%s'", at("mnt/sub/image"));
	assert_refused(check_with(b.path, at("mnt/sub/image"), &v, &e), "holds-store");
	assert_refused(check_with(one, at("mnt/sub/image"), &v, &e), "holds-store");
}
END_TEST

START_TEST(attached_file)
{
	struct loop l;
	char *file = make_file("disk", 8 * MIB);

	if (!attach("attached_file", file, 0, 0, &l))
		return;
	assert_refused(check(file, &v, &e), "in-use");
	ck_assert_ptr_nonnull(strstr(e.msg, l.path));
	assert_ok(guard_source(file, &e));
	/* The loop device is the file. */
	assert_refused(check_with(l.path, file, &v, &e), "is-source");
	assert_refused(check_with(file, l.path, &v, &e), "is-source");
}
END_TEST

START_TEST(loop_over_loop)
{
	struct loop low, high;
	char *file = make_file("disk", 8 * MIB);

	if (!attach("loop_over_loop", file, 0, 0, &low) || !attach("loop_over_loop", low.path, 0, 0, &high))
		return;
	assert_ok(check(high.path, &v, &e));
	assert_refused(check(low.path, &v, &e), "in-use");
	assert_refused(check_with(high.path, file, &v, &e), "is-source");
	assert_refused(check_with(file, high.path, &v, &e), "is-source");
}
END_TEST

/* An image below a loop device that lies in a file on the target: two file systems deep. */
START_TEST(nested_store)
{
	struct loop outer, inner;

	if (!attach("nested_store", make_file("disk", 64 * MIB), 0, 0, &outer))
		return;
	run("mkfs.ext4 -q -F %s", outer.path);
	ck_assert_int_eq(mount(outer.path, at("mnt"), "ext4", 0, NULL), 0);
	ck_assert_int_eq(mkdir(at("deep"), 0700), 0);
	if (!attach("nested_store", make_ext4("mnt/inner"), 0, 0, &inner))
		return;
	ck_assert_int_eq(mount(inner.path, at("deep"), "ext4", 0, NULL), 0);
	run("touch '%s'", at("deep/image"));
	assert_refused(check_with(outer.path, at("deep/image"), &v, &e), "holds-store");
	assert_refused(check_with(at("disk"), at("deep/image"), &v, &e), "holds-store");
	assert_refused(check_with(at("mnt/inner"), at("deep/image"), &v, &e), "holds-store");
	/* A state file that is still to be made counts as lying in its folder. */
	assert_refused(check_with(outer.path, at("deep/not/yet"), &v, &e), "holds-store");
	ck_assert_int_eq(umount(at("deep")), 0);
}
END_TEST

START_TEST(same_file)
{
	char *file = make_file("disk", MIB);

	ck_assert_int_eq(link(file, at("hard")), 0);
	ck_assert_int_eq(symlink("disk", at("soft")), 0);
	make_file("other", MIB);
	assert_refused(check_with(file, file, &v, &e), "is-source");
	assert_refused(check_with(at("hard"), file, &v, &e), "is-source");
	assert_refused(check_with(at("soft"), file, &v, &e), "is-source");
	assert_refused(check_with(file, at("soft"), &v, &e), "is-source");
	assert_refused(check_with(at("new"), at("mnt/../new"), &v, &e), "is-source");
	assert_ok(check_with(at("other"), file, &v, &e));
	assert_ok(check_with(at("new"), file, &v, &e));
}
END_TEST

START_TEST(symlinks)
{
	make_file("disk", MIB);
	ck_assert_int_eq(symlink("disk", at("soft")), 0);
	ck_assert_int_eq(symlink("nowhere", at("dangling")), 0);
	assert_ok(check(at("soft"), &v, &e));
	ck_assert_str_eq(v.dev.path, at("disk"));
	ck_assert_str_eq(v.confirm_text, "disk");
	assert_usage(check(at("dangling"), &v, &e));
}
END_TEST

START_TEST(too_small)
{
	struct guard_request rq = { .need_size = 8 * MIB };
	struct loop l;

	rq.target = make_file("disk", 8 * MIB - 512);
	assert_refused(guard_check(&rq, &v, &e), "too-small");
	ck_assert_ptr_nonnull(strstr(e.msg, "(8.0 MiB, 8388096 bytes) is 512 bytes smaller than the image's disk (8388608 bytes)"));
	ck_assert(v.is_empty); /* as far as known */
	if (!attach("too_small", rq.target, 0, 0, &l))
		return;
	rq.target = l.path;
	assert_refused(guard_check(&rq, &v, &e), "too-small");
	rq.need_size = 8 * MIB - 512;
	assert_ok(guard_check(&rq, &v, &e));
	rq.need_size = 20 * MIB;
	assert_refused(guard_check(&rq, &v, &e), "too-small");
	ck_assert_ptr_nonnull(strstr(e.msg, "is 12.0 MiB (12583424 bytes) smaller"));
}
END_TEST

START_TEST(empty_file_grows)
{
	struct guard_request rq = { .need_size = 8 * MIB };

	rq.target = make_file("disk", 0);
	assert_ok(guard_check(&rq, &v, &e));
	ck_assert(v.is_empty && v.dev.is_file);
	ck_assert_uint_eq(v.dev.size, 0);
	rq.target = at("new");
	assert_ok(guard_check(&rq, &v, &e));
	ck_assert(v.is_empty && v.dev.is_file);
	ck_assert_str_eq(v.dev.path, at("new"));
	ck_assert_str_eq(v.confirm_text, "new");
	ck_assert_int_eq(chdir(top), 0);
	rq.target = "new";
	assert_ok(guard_check(&rq, &v, &e));
	ck_assert_str_eq(v.dev.path, at("new"));
}
END_TEST

START_TEST(not_a_target)
{
	ck_assert_int_eq(mkfifo(at("fifo"), 0600), 0);
	assert_usage(check(top, &v, &e));
	assert_usage(check("/dev/null", &v, &e));
	assert_usage(check(at("fifo"), &v, &e));
	assert_usage(check(at("no/such/folder"), &v, &e));
	assert_usage(check(at("mnt/"), &v, &e));
	assert_usage(check("/dev/no-such-disk", &v, &e));
	assert_usage(check("", &v, &e));
	assert_usage(guard_source(top, &e));
	assert_usage(guard_source(at("missing"), &e));
}
END_TEST

START_TEST(read_only)
{
	struct loop l;
	char *file = make_file("disk", MIB);

	if (!attach("read_only", file, LO_FLAGS_READ_ONLY, 0, &l))
		return;
	assert_refused(check(l.path, &v, &e), "read-only");
	ck_assert(v.dev.read_only);
	assert_ok(guard_source(l.path, &e));
}
END_TEST

START_TEST(locked_file)
{
	char *file = make_file("disk", MIB);
	struct flock lock = { .l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = 100, .l_len = 1 };

	/* A virtual machine's way of locking: the guard sees it. */
	int fd = open(file, O_RDWR | O_CLOEXEC);
	ck_assert_int_eq(fcntl(fd, F_OFD_SETLK, &lock), 0);
	assert_refused(check(file, &v, &e), "in-use");
	close(fd);
	assert_ok(check(file, &v, &e));
	/* Another writer of ours: opening sees it. */
	struct blk_sink *one = blk_sink_open(file, &e);
	ck_assert_ptr_nonnull(one);
	e = (struct err)ERR_INIT;
	ck_assert_ptr_null(blk_sink_open(file, &e));
	ck_assert_int_eq(e.code, ERR_REFUSED);
	ck_assert_str_eq(e.reason, "in-use");
	blk_sink_close(one);
}
END_TEST

static void poke(const char *file, uint64_t off, const void *bytes, size_t len)
{
	int fd = open(file, O_WRONLY | O_CLOEXEC);

	ck_assert_int_eq(pwrite(fd, bytes, len, (off_t)off), (ssize_t)len);
	close(fd);
}

START_TEST(content)
{
	char *file = make_file("disk", 64 * MIB);
	static uint8_t zeros[1 << 16];

	assert_ok(check(file, &v, &e));
	ck_assert(v.is_empty);
	poke(file, 7 * MIB, zeros, sizeof(zeros)); /* allocated, and zero */
	assert_ok(check(file, &v, &e));
	ck_assert(v.is_empty);
	poke(file, 7 * MIB + 12345, "x", 1);
	assert_ok(check(file, &v, &e));
	ck_assert(!v.is_empty);
	ck_assert_str_eq(v.holds, "data that is not recognised");

	file = make_file("table", 64 * MIB);
	make_partitions(file, "label: dos\\n size=16M\\n type=5\\n size=8M\\n");
	assert_ok(check(file, &v, &e));
	ck_assert(!v.is_empty);
	ck_assert_str_eq(v.holds, "mbr: 1 unknown, 5 unknown");
	make_partitions(file, "label: gpt\\n");
	assert_ok(check(file, &v, &e));
	ck_assert_str_eq(v.holds, "gpt: no partitions");
	/* Only the backup GPT is left. */
	poke(file, 0, zeros, 34 * 512);
	assert_ok(check(file, &v, &e));
	ck_assert(!v.is_empty);
}
END_TEST

/* A label is hostile: it must not reach a terminal as it is. */
START_TEST(hostile_label)
{
	char *file = make_ext4("disk");

	poke(file, 1024 + 0x78, "a\033[2Jb\n", 7);
	assert_ok(check(file, &v, &e));
	ck_assert_str_eq(v.holds, "ext4 'a?[2Jb'");
}
END_TEST

START_TEST(confirmation)
{
	struct guard_request rq = { 0 };
	char *file = make_file("disk.img", MIB);

	assert_ok(check(file, &v, &e));
	assert_refused(guard_confirm(&rq, &v, &e), "not-confirmed");
	ck_assert_ptr_nonnull(strstr(e.hint, "--yes"));
	rq.yes = true;
	assert_ok(guard_confirm(&rq, &v, &e));
	rq.confirm = "other.img"; /* the user means another one */
	assert_refused(guard_confirm(&rq, &v, &e), "not-confirmed");
	rq.confirm = "disk.img";
	assert_ok(guard_confirm(&rq, &v, &e));

	poke(file, 5, "x", 1);
	assert_ok(check(file, &v, &e));
	ck_assert_str_eq(v.confirm_what, "its file name");
	rq = (struct guard_request){ .yes = true };
	assert_refused(guard_confirm(&rq, &v, &e), "not-confirmed");
	ck_assert_ptr_nonnull(strstr(e.hint, "--confirm 'disk.img'"));
	rq.confirm = "";
	assert_refused(guard_confirm(&rq, &v, &e), "not-confirmed");
	rq.confirm = file; /* the path is not the name */
	assert_refused(guard_confirm(&rq, &v, &e), "not-confirmed");
	rq = (struct guard_request){ .confirm = "disk.img" };
	assert_ok(guard_confirm(&rq, &v, &e));
}
END_TEST

START_TEST(long_name)
{
	char name[200];

	memset(name, 'n', sizeof(name) - 1);
	name[sizeof(name) - 1] = '\0';
	assert_ok(check(make_file(name, MIB), &v, &e));
	ck_assert_str_eq(v.confirm_text, name);
}
END_TEST

#define ADD(name) tcase_add_test(t, name)

int main(void)
{
	Suite *s = suite_create("guard");
	TCase *t = tcase_create("guard");

	tcase_set_timeout(t, 60);
	tcase_add_checked_fixture(t, setup, teardown);
	ADD(free_loop);
	ADD(tree);
	tcase_add_loop_test(t, mounted, 0, 2);
	ADD(read_only_bind);
	ADD(other_namespace);
	ADD(partition_mounted);
	ADD(swap);
	ADD(claimed);
	ADD(btrfs_second_device);
	ADD(attached_file);
	ADD(loop_over_loop);
	ADD(nested_store);
	ADD(same_file);
	ADD(symlinks);
	ADD(too_small);
	ADD(empty_file_grows);
	ADD(not_a_target);
	ADD(read_only);
	ADD(locked_file);
	ADD(content);
	ADD(hostile_label);
	ADD(confirmation);
	ADD(long_name);
	suite_add_tcase(s, t);
	SRunner *r = srunner_create(s);
	srunner_run_all(r, CK_ENV);
	int failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
