/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Block devices, their layers and their loop files, from sysfs; see dev_view.h. */
#include "imager/disk/dev_view.h"

#include "base/arith.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/loop.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

/* Ceilings against a mad or hostile sysfs, far above what machines have. */
#define MAX_NODES   (1U << 20)
#define MAX_EDGES   (1U << 20)

void dev_view_free(struct dev_view *v)
{
	if (!v)
		return;
	for (size_t i = 0; i < v->nr_nodes; i++)
		free(v->nodes[i].backing_path);
	for (size_t i = 0; i < v->nr_mounts; i++) {
		free(v->mounts[i].point);
		free(v->mounts[i].source);
	}
	free(v->nodes);
	free(v->edges);
	free(v->members);
	free(v->mounts);
	free(v);
}

size_t dev_view_find(const struct dev_view *v, unsigned dev_major, unsigned dev_minor)
{
	for (size_t i = 0; i < v->nr_nodes; i++)
		if (v->nodes[i].dev_major == dev_major && v->nodes[i].dev_minor == dev_minor)
			return i;
	return DEV_NO_NODE;
}

size_t dev_view_find_name(const struct dev_view *v, const char *name)
{
	for (size_t i = 0; i < v->nr_nodes; i++)
		if (!strcmp(v->nodes[i].name, name))
			return i;
	return DEV_NO_NODE;
}

/* NULL where there is no such folder. */
static int open_folder(const char *path, DIR **ret, struct err *e)
{
	*ret = opendir(path);
	return *ret || dev_is_absent(errno) ? 0 : err_set(e, ERR_FAILED, errno, "listing '%s'", path);
}

/* The next entry while all goes well; *r is set to -1 when the folder cannot be read on. */
static struct dirent *next_entry(DIR *d, int *r, const char *path, struct err *e)
{
	if (!d || *r < 0)
		return NULL;
	errno = 0;
	struct dirent *en = readdir(d);
	if (!en && errno && !dev_is_absent(errno))
		*r = err_set(e, ERR_FAILED, errno, "listing '%s'", path);
	return en;
}

/* linux/loop.h gives old-style numbers: minor bits 0..7 and 20..31, major in bits 8..19. */
static dev_t decode_dev(uint64_t d)
{
	return makedev((unsigned)(d >> 8 & 0xfff), (unsigned)((d & 0xff) | (d >> 12 & 0xfff00)));
}

/* The kernel knows the backing file by device and inode: right even where its path is of another namespace or gone. */
static int ask_loop(const struct dev_env *env, struct dev_node *n, struct err *e)
{
	char path[PATH_MAX];
	struct stat st;
	struct loop_info64 info;

	if (!dev_join(path, env->dev, n->name) || stat(path, &st) < 0 || !S_ISBLK(st.st_mode))
		return 0;
	if (st.st_rdev != makedev(n->dev_major, n->dev_minor))
		return 0;
	AUTO_CLOSE_FD int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	if (fd < 0 && !dev_is_absent(errno))
		return err_set(e, ERR_FAILED, errno, "opening '%s'", path);
	if (fd < 0 || ioctl(fd, LOOP_GET_STATUS64, &info) < 0)
		return 0;
	n->backing_known = true;
	n->backing_is_block = info.lo_rdevice != 0;
	n->backing_dev = decode_dev(n->backing_is_block ? info.lo_rdevice : info.lo_device);
	n->backing_ino = (ino_t)info.lo_inode;
	n->loop_offset = info.lo_offset;
	return 0;
}

static int load_loop(const struct dev_env *env, const char *dir, struct dev_node *n, struct err *e)
{
	char path[PATH_MAX], loop[PATH_MAX];
	struct stat st;
	size_t len;

	if (dev_attr_sure(dir, "loop/backing_file", path, sizeof(path) - 1, &len, e) < 0)
		return -1;
	if (!len || !dev_join(loop, dir, "loop"))
		return 0;
	path[len] = '\0';
	path[strcspn(path, "\n")] = '\0';
	n->has_backing = true;
	n->backing_path = strdup(path);
	if (!n->backing_path)
		return err_nomem(e, "the list of loop devices");
	if (dev_attr_u64_sure(loop, "offset", 0, &n->loop_offset, e) < 0 || ask_loop(env, n, e) < 0)
		return -1;
	if (!n->backing_known && stat(path, &st) == 0) {
		n->backing_known = true;
		n->backing_is_block = S_ISBLK(st.st_mode);
		n->backing_dev = n->backing_is_block ? st.st_rdev : st.st_dev;
		n->backing_ino = st.st_ino;
	}
	return 0;
}

static int read_place(const char *dir, bool is_disk, struct dev_node *n, struct err *e)
{
	uint64_t size, start = 0; /* 512 bytes each */

	if (dev_attr_u64_sure(dir, "size", 0, &size, e) < 0)
		return -1;
	if (!is_disk && dev_attr_u64_sure(dir, "start", 0, &start, e) < 0)
		return -1;
	if (!mul_u64(size, 512, &n->size) || !mul_u64(start, 512, &n->start))
		return err_set(e, ERR_FAILED, 0, "'%s' has an impossible size or start", dir);
	return 0;
}

/* Appends one node; a device that went away since the folder was listed is left out. */
static int add_node(const struct dev_env *env, struct dev_view *v, const char *dir, const char *name,
	size_t disk, struct err *e)
{
	struct dev_node n = { .disk = disk };

	if (strlen(name) >= sizeof(n.name))
		return 0;
	if (dev_number_sure(dir, &n.dev_major, &n.dev_minor, e) < 0)
		return -1;
	if (!n.dev_major && !n.dev_minor)
		return 0;
	if (v->nr_nodes >= MAX_NODES)
		return err_set(e, ERR_FAILED, 0, "'%s/block' lists more than %u devices", env->sys, MAX_NODES);
	struct dev_node *more = reallocarray(v->nodes, v->nr_nodes + 1, sizeof(n));
	if (!more)
		return err_nomem(e, "the list of devices");
	v->nodes = more;
	strcpy(n.name, name);
	if (read_place(dir, disk == v->nr_nodes, &n, e) < 0)
		return -1;
	if (disk == v->nr_nodes && load_loop(env, dir, &n, e) < 0) {
		free(n.backing_path);
		return -1;
	}
	v->nodes[v->nr_nodes++] = n;
	return 0;
}

/* One disk and its partitions: the sub-folders that have a file "partition". */
static int add_disk(
	const struct dev_env *env, struct dev_view *v, const char *dir, const char *name, struct err *e)
{
	char part[PATH_MAX];
	size_t disk = v->nr_nodes;
	uint64_t number;
	DIR *d;
	int r = add_node(env, v, dir, name, disk, e);

	if (r < 0 || v->nr_nodes == disk)
		return r;
	if (open_folder(dir, &d, e) < 0)
		return -1;
	for (struct dirent *en; r == 0 && (en = next_entry(d, &r, dir, e));) {
		if (en->d_name[0] == '.' || en->d_type == DT_REG || !dev_join(part, dir, en->d_name))
			continue;
		r = dev_attr_u64_sure(part, "partition", 0, &number, e);
		if (r == 0 && number)
			r = add_node(env, v, part, en->d_name, disk, e);
	}
	if (d)
		closedir(d);
	return r;
}

static int add_edge(struct dev_view *v, size_t upper, size_t lower, struct err *e)
{
	if (upper == DEV_NO_NODE || lower == DEV_NO_NODE)
		return 0;
	for (size_t i = 0; i < v->nr_edges; i++)
		if (v->edges[i].upper == upper && v->edges[i].lower == lower)
			return 0;
	if (v->nr_edges >= MAX_EDGES)
		return err_set(e, ERR_FAILED, 0, "more than %u devices stand on others", MAX_EDGES);
	struct dev_edge *more = reallocarray(v->edges, v->nr_edges + 1, sizeof(*more));
	if (!more)
		return err_nomem(e, "the layers of devices");
	v->edges = more;
	v->edges[v->nr_edges++] = (struct dev_edge){ upper, lower };
	return 0;
}

/* "holders" of the lower device and "slaves" of the upper one say the same; both are read, in case one is not there. */
static int load_edges(
	const struct dev_env *env, struct dev_view *v, size_t node, const char *which, struct err *e)
{
	const struct dev_node *n = &v->nodes[node];
	char dir[PATH_MAX];
	int r = 0;

	int len = n->disk == node ? snprintf(dir, sizeof(dir), "%s/block/%s/%s", env->sys, n->name, which)
				  : snprintf(dir, sizeof(dir), "%s/block/%s/%s/%s", env->sys, v->nodes[n->disk].name, n->name, which);
	DIR *d = NULL;
	if (len < (int)sizeof(dir) && open_folder(dir, &d, e) < 0)
		return -1;
	for (struct dirent *en; r == 0 && (en = next_entry(d, &r, dir, e));) {
		size_t other = dev_view_find_name(v, en->d_name);
		r = which[0] == 'h' ? add_edge(v, other, node, e) : add_edge(v, node, other, e);
	}
	if (d)
		closedir(d);
	return r;
}

static int load_nodes(const struct dev_env *env, struct dev_view *v, struct err *e)
{
	char block[PATH_MAX], dir[PATH_MAX];
	int r = 0;

	snprintf(block, sizeof(block), "%s/block", env->sys);
	DIR *d = opendir(block);
	if (!d)
		return err_set(e, ERR_FAILED, errno, "listing disks in '%s'", block);
	for (struct dirent *en; r == 0 && (en = next_entry(d, &r, block, e));)
		if (en->d_name[0] != '.' && dev_join(dir, block, en->d_name))
			r = add_disk(env, v, dir, en->d_name, e);
	closedir(d);
	for (size_t i = 0; r == 0 && i < v->nr_nodes; i++) {
		r = load_edges(env, v, i, "holders", e);
		if (r == 0)
			r = load_edges(env, v, i, "slaves", e);
	}
	return r;
}

static int load_btrfs_set(struct dev_view *v, const char *dir, const char *uuid, unsigned set, struct err *e)
{
	int r = 0;
	DIR *d;

	if (open_folder(dir, &d, e) < 0)
		return -1;
	for (struct dirent *en; r == 0 && (en = next_entry(d, &r, dir, e));) {
		size_t node = dev_view_find_name(v, en->d_name);
		if (node == DEV_NO_NODE)
			continue;
		struct dev_member *more = reallocarray(v->members, v->nr_members + 1, sizeof(*more));
		if (!more) {
			r = err_nomem(e, "the devices of btrfs file systems");
			break;
		}
		v->members = more;
		v->members[v->nr_members] = (struct dev_member){ .set = set, .node = node };
		snprintf(v->members[v->nr_members++].uuid, sizeof(more->uuid), "%.39s", uuid);
	}
	if (d)
		closedir(d);
	return r;
}

/* mountinfo names one device of a btrfs; /sys/fs/btrfs/UUID/devices has all of them while it is mounted. */
static int load_btrfs(const struct dev_env *env, struct dev_view *v, struct err *e)
{
	char base[PATH_MAX], dir[PATH_MAX];
	unsigned set = 0;
	int r = 0;

	snprintf(base, sizeof(base), "%s/fs/btrfs", env->sys);
	DIR *d;
	if (open_folder(base, &d, e) < 0)
		return -1;
	for (struct dirent *en; r == 0 && (en = next_entry(d, &r, base, e));)
		if (en->d_name[0] != '.' && snprintf(dir, sizeof(dir), "%s/%s/devices", base, en->d_name) < (int)sizeof(dir))
			r = load_btrfs_set(v, dir, en->d_name, set++, e);
	if (d)
		closedir(d);
	return r;
}

int dev_view_load(const struct dev_env *env, struct dev_view **ret, struct err *e)
{
	AUTO(dev_view) struct dev_view *v = alloc_array(1, sizeof(*v));

	if (!v)
		return err_nomem(e, "the list of devices");
	if (load_nodes(env, v, e) < 0 || load_btrfs(env, v, e) < 0 || dev_view_mounts(env, v, e) < 0)
		return err_wrap(e, "finding out who uses which disk");
	*ret = take(&v);
	return 0;
}
