/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Who uses which disk, on hundreds of machines made up at random: disks of one model, partitions, md and device-mapper in layers over
 * them, btrfs over several, mounts and swap anywhere. A model that knows how the machine was made tells what must be found; the code
 * under test sees only the files of sysfs and procfs.
 */
#include "imager/disk/dev_env.h"

#include <check.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define TOPOLOGIES 400
#define MAX_NODES  64
#define DISK_SECTORS 2000000ULL

struct node {
	char name[32];
	unsigned major, minor;
	int disk;                      /* index of the whole disk; its own for one */
	unsigned long long start, len; /* sectors on that disk */
	int lower[4], nr_lower;        /* what it stands on (md, dm) */
	bool is_mounted, is_swap;
	int set;                       /* btrfs that it belongs to, -1: none */
	bool is_named;                 /* the device of its btrfs that mountinfo names */
};

static char top[64], sys[80], proc[80], run_dir[80], dev[80];
static struct dev_env env;
static struct node nodes[MAX_NODES];
static int nr_nodes, nr_sets;
static unsigned long long random_state;

static unsigned below(unsigned n)
{
	random_state = random_state * 6364136223846793005ULL + 1442695040888963407ULL;
	return (unsigned)(random_state >> 33) % n;
}

/* ---- the machine as files */

static void make_folders(const char *path)
{
	char copy[512];

	snprintf(copy, sizeof(copy), "%s", path);
	for (char *p = copy + strlen(top) + 1; (p = strchr(p, '/')); p++) {
		*p = '\0';
		ck_assert(mkdir(copy, 0700) == 0 || errno == EEXIST);
		*p = '/';
	}
}

static FILE *create(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

static FILE *create(const char *fmt, ...)
{
	char path[512];
	va_list ap;

	int n = snprintf(path, sizeof(path), "%s/", top);
	va_start(ap, fmt);
	vsnprintf(path + n, sizeof(path) - (size_t)n, fmt, ap);
	va_end(ap);
	make_folders(path);
	FILE *f = fopen(path, "w");
	ck_assert_msg(f != NULL, "%s", path);
	return f;
}

static void put(const char *dir, const char *name, const char *text)
{
	FILE *f = create("%s/%s", dir, name);

	fputs(text, f);
	fclose(f);
}

static void folder_of_node(const struct node *n, char *out, size_t size)
{
	const struct node *disk = &nodes[n->disk];

	if (disk == n)
		snprintf(out, size, "sys/block/%s", n->name);
	else
		snprintf(out, size, "sys/block/%s/%s", disk->name, n->name);
}

static void write_node(const struct node *n)
{
	char dir[200], text[64], link[400], target[400];

	folder_of_node(n, dir, sizeof(dir));
	snprintf(text, sizeof(text), "%u:%u\n", n->major, n->minor);
	put(dir, "dev", text);
	snprintf(text, sizeof(text), "%llu\n", n->len);
	put(dir, "size", text);
	put(dir, "ro", "0\n");
	if (&nodes[n->disk] != n) {
		put(dir, "partition", "1\n");
		snprintf(text, sizeof(text), "%llu\n", n->start);
		put(dir, "start", text);
	} else {
		put(dir, "queue/logical_block_size", "512\n");
		put(dir, "queue/physical_block_size", "512\n");
		put(dir, "device/model", "All The Same\n");
	}
	snprintf(link, sizeof(link), "%s/sys/dev/block/%u:%u", top, n->major, n->minor);
	snprintf(target, sizeof(target), "%s/%s", top, dir);
	make_folders(link);
	ck_assert(symlink(target, link) == 0);
}

/* "holders" below, "slaves" above, or both: one of them is enough. */
static void write_edges(const struct node *n)
{
	char dir[200], path[600];

	for (int i = 0; i < n->nr_lower; i++) {
		unsigned which = below(3);
		folder_of_node(&nodes[n->lower[i]], dir, sizeof(dir));
		snprintf(path, sizeof(path), "%s/%s/holders/%s/", top, dir, n->name);
		if (which != 1)
			make_folders(path);
		folder_of_node(n, dir, sizeof(dir));
		snprintf(path, sizeof(path), "%s/%s/slaves/%s/", top, dir, nodes[n->lower[i]].name);
		if (which != 0)
			make_folders(path);
	}
}

static void write_uses(void)
{
	FILE *mounts = create("proc/self/mountinfo"), *swaps = create("proc/swaps");
	char path[400];

	fputs("22 1 0:20 / /proc rw - proc proc rw\n", mounts);
	fputs("Filename\tType\tSize\tUsed\tPriority\n", swaps);
	for (int i = 0; i < nr_nodes; i++) {
		const struct node *n = &nodes[i];
		if (n->is_mounted)
			fprintf(mounts, "%d 22 %u:%u / /mnt/%d rw - ext4 /dev/%s rw\n", 30 + i, n->major, n->minor, i, n->name);
		if (n->is_swap)
			fprintf(swaps, "/dev/%s partition 1 0 -2\n", n->name);
		if (n->set < 0)
			continue;
		snprintf(path, sizeof(path), "%s/sys/fs/btrfs/00000000-0000-0000-0000-00000000000%d/devices/%.31s/", top, n->set, n->name);
		make_folders(path);
		if (n->is_named)
			fprintf(mounts, "%d 22 0:%d / /pool%d rw - btrfs /dev/%s rw\n", 30 + i, 50 + n->set, n->set, n->name);
	}
	fclose(mounts);
	fclose(swaps);
}

/* ---- making one up */

static int add_disk(const char *name, unsigned major_, unsigned minor_)
{
	ck_assert_int_lt(nr_nodes, MAX_NODES);
	nodes[nr_nodes] = (struct node){ .major = major_, .minor = minor_, .disk = nr_nodes, .len = DISK_SECTORS, .set = -1 };
	snprintf(nodes[nr_nodes].name, sizeof(nodes[0].name), "%s", name);
	return nr_nodes++;
}

static void add_partitions(int disk, const char *separator)
{
	unsigned nr = below(4);
	char base[16];

	snprintf(base, sizeof(base), "%.15s", nodes[disk].name);
	for (unsigned i = 0; i < nr; i++) {
		struct node *n = &nodes[nr_nodes];
		*n = (struct node){ .major = nodes[disk].major, .minor = nodes[disk].minor + 1 + i, .disk = disk, .start = 2048 + 400000 * i, .len = 400000, .set = -1 };
		snprintf(n->name, sizeof(n->name), "%s%s%u", base, separator, i + 1);
		nr_nodes++;
	}
}

/* A device over one to three others; sometimes with partitions of its own. */
static void add_layer(unsigned number)
{
	char name[32];
	int before = nr_nodes;

	snprintf(name, sizeof(name), number % 2 ? "md%u" : "dm-%u", number);
	int n = add_disk(name, number % 2 ? 9 : 253, number * 16);
	int nr = 1 + (int)below(3);
	for (int i = 0; i < nr; i++)
		nodes[n].lower[nodes[n].nr_lower++] = (int)below((unsigned)before);
	if (below(3) == 0)
		add_partitions(n, "p");
}

static void make_machine(void)
{
	char name[32];
	unsigned nr_disks = 2 + below(6), nr_layers = below(6);

	nr_nodes = nr_sets = 0;
	for (unsigned i = 0; i < nr_disks; i++) {
		bool is_nvme = below(3) == 0;
		snprintf(name, sizeof(name), is_nvme ? "nvme%un1" : "sd%c", is_nvme ? i : 'a' + i);
		int disk = add_disk(name, is_nvme ? 259 : 8, i * 16);
		add_partitions(disk, is_nvme ? "p" : "");
	}
	for (unsigned i = 0; i < nr_layers; i++)
		add_layer(i);
	for (int i = 0; i < nr_nodes; i++) {
		unsigned use = below(12);
		nodes[i].is_mounted = use == 0;
		nodes[i].is_swap = use == 1;
	}
	if (below(3) == 0) {
		int named = (int)below((unsigned)nr_nodes), other = (int)below((unsigned)nr_nodes);
		nodes[named].set = nodes[other].set = nr_sets++;
		nodes[named].is_named = below(4) != 0; /* else it is mounted where nobody sees it */
	}
}

/* ---- what must be found */

static bool overlap(const struct node *a, const struct node *b)
{
	return a->disk == b->disk && a->start < b->start + b->len && b->start < a->start + a->len;
}

/* Does `n`, or anything it stands on, cover bytes of `target`? */
static bool reaches(const struct node *n, const struct node *target, int depth)
{
	const struct node *disk = &nodes[n->disk];

	ck_assert_int_lt(depth, MAX_NODES);
	if (overlap(n, target))
		return true;
	for (int i = 0; i < disk->nr_lower; i++)
		if (reaches(&nodes[disk->lower[i]], target, depth + 1))
			return true;
	return false;
}

static bool must_be_used(const struct node *target, bool *ret_by_mount)
{
	bool is_held = false;

	*ret_by_mount = false;
	for (int i = 0; i < nr_nodes; i++) {
		if ((nodes[i].is_mounted || nodes[i].is_swap || nodes[i].set >= 0) && reaches(&nodes[i], target, 0))
			*ret_by_mount = true;
		for (int k = 0; k < nodes[i].nr_lower; k++)
			is_held |= overlap(&nodes[nodes[i].lower[k]], target);
	}
	return is_held || *ret_by_mount;
}

static unsigned nr_used, nr_free;

static void check_node(const struct node *n, int seed)
{
	struct err e = ERR_INIT;
	struct dev_info info = { .dev_major = n->major, .dev_minor = n->minor, .size = n->len * 512, .is_partition = &nodes[n->disk] != n };
	struct dev_user *users = NULL;
	size_t nr = 0;
	bool by_mount, was_mounted = false, want = must_be_used(n, &by_mount);

	snprintf(info.path, sizeof(info.path), "/dev/%s", n->name);
	ck_assert_msg(dev_users_env(&env, &info, false, &users, &nr, &e) == 0, "machine %d, %s: %s", seed, n->name, e.msg);
	for (size_t i = 0; i < nr; i++)
		was_mounted |= !strcmp(users[i].reason, "mounted") || !strcmp(users[i].reason, "swap");
	ck_assert_msg((nr > 0) == want, "machine %d, %s: %zu users, %s", seed, n->name, nr, nr ? users[0].text : "but it is used");
	ck_assert_msg(was_mounted || !by_mount, "machine %d, %s is mounted or swap, found is only '%s'", seed, n->name, nr ? users[0].text : "");
	nr_used += want;
	nr_free += !want;
	free(users);
}

static void remove_machine(void)
{
	char cmd[200];

	snprintf(cmd, sizeof(cmd), "rm -rf '%s/sys' '%s/proc'", top, top);
	ck_assert_int_eq(system(cmd), 0);
}

START_TEST(topologies)
{
	for (int seed = 1; seed <= TOPOLOGIES; seed++) {
		random_state = (unsigned long long)seed * 1000003;
		make_machine();
		for (int i = 0; i < nr_nodes; i++) {
			write_node(&nodes[i]);
			write_edges(&nodes[i]);
		}
		write_uses();
		for (int i = 0; i < nr_nodes; i++)
			check_node(&nodes[i], seed);
		remove_machine();
	}
	printf("%d machines, %u devices in use, %u not\n", TOPOLOGIES, nr_used, nr_free);
	ck_assert_uint_gt(nr_used, TOPOLOGIES);
	ck_assert_uint_gt(nr_free, TOPOLOGIES);
}
END_TEST

static void setup(void)
{
	const char *shm = access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp";

	snprintf(top, sizeof(top), "%s/calco-machines.XXXXXX", shm);
	ck_assert_ptr_nonnull(mkdtemp(top));
	snprintf(sys, sizeof(sys), "%s/sys", top);
	snprintf(proc, sizeof(proc), "%s/proc", top);
	snprintf(run_dir, sizeof(run_dir), "%s/run", top);
	snprintf(dev, sizeof(dev), "%s/dev", top);
	env = (struct dev_env){ .sys = sys, .proc = proc, .run = run_dir, .dev = dev };
}

static void teardown(void)
{
	remove_machine();
	rmdir(top);
}

int main(void)
{
	Suite *s = suite_create("topologies");
	TCase *t = tcase_create("topologies");

	tcase_set_timeout(t, 300);
	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, topologies);
	suite_add_tcase(s, t);
	SRunner *r = srunner_create(s);
	srunner_run_all(r, CK_ENV);
	int failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
