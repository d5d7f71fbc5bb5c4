/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * What the tests of the btrfs driver share: file systems over loop devices, made by mkfs.btrfs and filled through the kernel in a mount
 * namespace of their own; the driver's map of all members; garbage in what it calls unused.
 */
#ifndef CALCO_TESTS_UNIT_BTRFS_VOLUME_H
#define CALCO_TESTS_UNIT_BTRFS_VOLUME_H

#include "base/span.h"
#include "fsdrivers/btrfs/btrfs.h"

#include <check.h>
#include <fcntl.h>
#include <sched.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <unistd.h>

#define NR(a)       ((int)(sizeof(a) / sizeof((a)[0])))
#define KIB         1024ULL
#define MIB         (1024 * KIB)
#define MAX_MEMBERS 4
#define UNIT        4096U /* the granule */

static char dir[64], root_dir[256];
static bool can_mount;

/* ---- commands ---- */

/* A printf-formatted script, run in the scratch folder; its exit status. What it says is in the file "log". */
__attribute__((format(printf, 1, 2))) static inline int sh(const char *fmt, ...)
{
	char cmd[6000];
	va_list ap;

	int n = snprintf(cmd, sizeof(cmd), "cd %s && exec >log 2>&1 && set -eu && root='%s' && ", dir, root_dir);
	va_start(ap, fmt);
	vsnprintf(cmd + n, sizeof(cmd) - (size_t)n, fmt, ap);
	va_end(ap);
	int r = system(cmd);
	return r >= 0 && WIFEXITED(r) ? WEXITSTATUS(r) : 255;
}

static inline void show_log(void)
{
	char cmd[128];

	snprintf(cmd, sizeof(cmd), "tail -n 30 %s/log >&2", dir);
	if (system(cmd) != 0)
		fprintf(stderr, "no log\n");
}

#define SH(...)                                                                                    \
	do {                                                                                       \
		if (sh(__VA_ARGS__)) {                                                             \
			show_log();                                                                \
			ck_abort_msg("a command failed");                                          \
		}                                                                                  \
	} while (0)

static inline const char *at(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
static inline const char *at(const char *fmt, ...)
{
	static char path[4][128];
	static unsigned next;
	char *p = path[next++ % 4];
	va_list ap;

	int n = snprintf(p, sizeof(path[0]), "%s/", dir);
	va_start(ap, fmt);
	vsnprintf(p + n, sizeof(path[0]) - (size_t)n, fmt, ap);
	va_end(ap);
	return p;
}

static inline void peek(unsigned member, uint64_t off, void *buf, size_t len)
{
	int fd = open(at("d%u", member), O_RDONLY | O_CLOEXEC);

	ck_assert_int_eq(pread(fd, buf, len, (off_t)off), (ssize_t)len);
	close(fd);
}

static inline void poke(unsigned member, uint64_t off, const void *buf, size_t len)
{
	int fd = open(at("d%u", member), O_WRONLY | O_CLOEXEC);

	ck_assert_int_eq(pwrite(fd, buf, len, (off_t)off), (ssize_t)len);
	close(fd);
}

/* ---- file systems: members are the files d0, d1, ..., and the loop devices named in loops ---- */

/* What a failed test may have left, too. */
static inline void clean_up(void)
{
	sh("umount -q mnt || true; losetup -n -O NAME,BACK-FILE | while read -r l f; do case $f in %s/*) losetup -d $l ;; esac; done; "
	   "rm -f d[0-9]* loops base", dir);
}

static inline void setup(void)
{
	snprintf(dir, sizeof(dir), "/tmp/test_btrfs.XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(dir));
	ck_assert_ptr_nonnull(getcwd(root_dir, sizeof(root_dir)));
	setenv("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", 1);
	/* Nothing that is mounted here is seen elsewhere, or outlives us. */
	can_mount = geteuid() == 0 && unshare(CLONE_NEWNS) == 0 && mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0;
	can_mount = can_mount && sh("mkdir mnt && truncate -s 120M d0 && mkfs.btrfs -q d0 && mount -o loop d0 mnt && umount mnt") == 0;
	if (!can_mount)
		fprintf(stderr, "SKIP: btrfs cannot be mounted here\n");
}

static inline void teardown(void)
{
	if (getenv("TEST_BTRFS_KEEP"))
		return;
	clean_up();
	sh("rm -rf %s", dir);
}

/* nr members of this size, 512 bytes more for each that follows, as loop devices */
static inline void attach(unsigned nr, unsigned mib)
{
	clean_up();
	SH("for i in $(seq 0 %u); do truncate -s $((%u * 1048576 + i * 512)) d$i; losetup -f --show d$i >>loops; done", nr - 1, mib);
}

static inline void mkfs(const char *options)
{
	SH("mkfs.btrfs -q -f %s $(cat loops)", options);
}

#define MOUNT "mount -o %s,$(sed 's/^/device=/' loops | tr '\\n' ',')noatime,commit=1 $(tail -n 1 loops) mnt"

/* All kinds of data, and what is left of it when much was changed and deleted. */
static inline void fill(const char *options)
{
	SH(MOUNT, options);
	SH("cd mnt && cp -r /usr/include/linux a && cp -r --reflink=always a b && rm -r a/netfilter* b/can && mkdir packed && "
	   "btrfs property set packed compression zstd && seq 1 400000 >packed/n && cp /usr/include/c++/*/bits/*.h packed && "
	   "touch nocow && chattr +C nocow && head -c 3000000 /dev/urandom >nocow && fallocate -l 5M room && truncate -s 20G hole && "
	   "echo land | dd of=hole bs=1 seek=12345678901 conv=notrunc status=none && head -c 9000000 /dev/urandom >big && sync && "
	   "btrfs subvolume create sub && cp -r a sub/a && btrfs subvolume snapshot . snap && btrfs subvolume snapshot -r sub snap2");
	SH("cd mnt && for i in 1 5 9; do head -c 70000 /dev/urandom | dd of=big bs=70000 seek=$((i * 11)) conv=notrunc status=none; sync; done && "
	   "find a -name '*[a-k].h' -delete && i=0 && while [ $i -lt 300 ]; do echo $i >small-$i; i=$((i + 1)); done && sync && rm small-*[37] && "
	   "head -c 400000 /dev/urandom >crossing && btrfs subvolume delete snap && rm -rf sub/a && sync && btrfs subvolume sync . && "
	   "btrfs filesystem sync . && truncate -s 3000 nocow && ln -s big link");
}

static inline void unmount(void)
{
	SH("cd mnt && { find . -type f -size -100M -print0 | sort -z | xargs -0 sha256sum && dd if=hole bs=1 skip=12345678000 count=2000 status=none | sha256sum && "
	   "find . -printf '%%p %%s %%m %%T@ %%l\\n' | sort; } >../manifest");
	SH("umount mnt && btrfs device scan --forget && [ $(wc -l <manifest) -gt 400 ]");
}

/* ---- the driver ---- */

struct opened {
	struct blk_source *members[MAX_MEMBERS];
	struct blk_set set;
	struct fsd_volume *v;
	struct err e;
	int result;
	uint8_t *used[MAX_MEMBERS]; /* of each unit */
	uint64_t nr_arm;
};

/* order: digits, which files become which member */
static inline void open_members(struct opened *o, const char *order)
{
	*o = (struct opened){ .e = ERR_INIT };
	for (o->set.nr = 0; order[o->set.nr]; o->set.nr++) {
		o->members[o->set.nr] = blk_open(at("d%c", order[o->set.nr]), 0, false, &o->e);
		ck_assert_ptr_nonnull(o->members[o->set.nr]);
		ck_assert_int_eq(fsd_btrfs.probe(o->members[o->set.nr], &o->e), 1);
	}
	o->set.members = o->members;
	o->result = fsd_btrfs.open(&o->set, &o->v, &o->e);
}

static inline int note_used(void *arg, size_t member, uint64_t start, uint64_t len, enum ext_state state, struct err *e)
{
	struct opened *o = arg;

	(void)e;
	ck_assert_uint_lt(member, o->set.nr);
	uint64_t size = o->members[member]->size;
	ck_assert(len && start <= size && len <= size - start && start % UNIT == 0 && ((start + len) % UNIT == 0 || start + len == size));
	ck_assert_int_eq(state, EXT_USED);
	memset(o->used[member] + start / UNIT, 1, (size_t)ceil_div_u64(len, UNIT));
	return 0;
}

static inline int note_arm(void *arg, size_t member, uint64_t start, uint64_t len, struct err *e)
{
	struct opened *o = arg;

	(void)e;
	ck_assert(start == 64 * KIB || start == 64 * MIB || start == 256 * 1024 * MIB);
	ck_assert_uint_eq(len, 4096);
	ck_assert_uint_le(start + len, o->members[member]->size);
	o->nr_arm++;
	return 0;
}

/* Through fsd_map(): with what it adds, and its checks. */
static inline int map_opened(struct opened *o)
{
	for (size_t i = 0; i < o->set.nr; i++)
		o->used[i] = calloc((size_t)(o->members[i]->size / UNIT + 1), 1);
	return fsd_map(o->v, note_used, o, &o->e);
}

static inline void close_members(struct opened *o)
{
	fsd_close(o->v);
	for (size_t i = 0; i < o->set.nr; i++) {
		blk_close(o->members[i]);
		free(o->used[i]);
	}
}

static inline void open_clean(struct opened *o, const char *order)
{
	open_members(o, order);
	ck_assert_msg(o->result == 0, "%s", o->e.msg);
	ck_assert_msg(o->v->info.state == FSD_CLEAN, "%s: %s", o->v->info.reason, o->v->info.detail);
	ck_assert_msg(map_opened(o) == 0, "%s", o->e.msg);
}

/* Does open() or map() fail with this code, and this text in the message? what: for the one who reads of a failed test */
static inline bool gives_error(const char *what, enum err_code code, const char *text)
{
	struct opened o;

	open_members(&o, "0");
	if (o.result == 0)
		o.result = map_opened(&o);
	bool is_right = o.result < 0 && o.e.code == code && strstr(o.e.msg, text);
	if (!is_right)
		fprintf(stderr, "%s: %d %d %s\n", what, o.result, (int)o.e.code, o.e.msg);
	close_members(&o);
	return is_right;
}

/* Everything unused becomes 0xaa, in place. */
static inline void spoil_unused(struct opened *o, const char *order)
{
	static uint8_t garbage[256 * UNIT];

	memset(garbage, 0xaa, sizeof(garbage));
	for (size_t i = 0; i < o->set.nr; i++) {
		uint64_t size = o->members[i]->size, nr = ceil_div_u64(size, UNIT);
		int fd = open(at("d%c", order[i]), O_WRONLY | O_CLOEXEC);
		ck_assert_int_ge(fd, 0);
		for (uint64_t u = 0, end; u < nr; u = end) {
			for (end = u; end < nr && end - u < 256 && !o->used[i][end]; end++)
				;
			if (end == u) {
				end++;
				continue;
			}
			size_t n = (size_t)(min_u64(end * UNIT, size) - u * UNIT);
			ck_assert_int_eq(pwrite(fd, garbage, n, (off_t)(u * UNIT)), (ssize_t)n);
		}
		close(fd);
	}
}

#endif
