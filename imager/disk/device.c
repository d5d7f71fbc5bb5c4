/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * One device or plain file described; see device.h. Nothing is opened: all comes from stat() and sysfs, so looking at
 * a disk never wakes it, never loads a tape, and works on a disk that others hold.
 */
#include "imager/disk/device.h"

#include "base/arith.h"
#include "base/blk.h"
#include "imager/disk/dev_env.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

int dev_inspect(const char *path, struct dev_info *ret, struct err *e)
{
	return dev_inspect_env(&dev_env_system, path, ret, e);
}

static int set_path(struct dev_info *ret, const char *path, struct err *e)
{
	if (strlen(path) >= sizeof(ret->path))
		return err_set(e, ERR_USAGE, 0, "the path '%s' is longer than %zu characters", path, sizeof(ret->path) - 1);
	strcpy(ret->path, path);
	return 0;
}

/* The kernel writes '!' for '/' in sysfs: "cciss!c0d0" is /dev/cciss/c0d0. */
static void node_path(const struct dev_env *env, const char *name, char out[PATH_MAX])
{
	size_t used = (size_t)snprintf(out, PATH_MAX, "%s/", env->dev);

	snprintf(out + used, PATH_MAX - used, "%s", name);
	for (char *p = out + used; *p; p++)
		if (*p == '!')
			*p = '/';
}

/* What decides where is written to, and whether. */
static int read_geometry(const char *dir, const char *disk_dir, struct dev_info *d, struct err *e)
{
	uint64_t nr_units, sector, phys, ro, disk_ro;

	if (dev_number_sure(dir, &d->dev_major, &d->dev_minor, e) < 0 || dev_attr_u64_sure(dir, "size", 0, &nr_units, e) < 0 ||
		dev_attr_u64_sure(disk_dir, "queue/logical_block_size", 512, &sector, e) < 0 ||
		dev_attr_u64_sure(disk_dir, "queue/physical_block_size", sector, &phys, e) < 0 ||
		dev_attr_u64_sure(dir, "ro", 0, &ro, e) < 0 || dev_attr_u64_sure(disk_dir, "ro", 0, &disk_ro, e) < 0)
		return -1;
	/* "size" is in units of 512 bytes whatever the sector size is (Documentation/ABI/stable/sysfs-block). */
	if ((!d->dev_major && !d->dev_minor) || !mul_u64(nr_units, 512, &d->size))
		return err_set(e, ERR_FAILED, 0, "'%s' cannot be understood: its size or device number is missing", dir);
	d->sector_size = (uint32_t)sector;
	d->phys_sector_size = (uint32_t)phys;
	d->read_only = ro || disk_ro;
	return 0;
}

int dev_describe(const struct dev_env *env, const char *dir, struct dev_info *ret, struct err *e)
{
	char disk_dir[PATH_MAX], path[PATH_MAX];
	struct dev_info d = { 0 };
	uint64_t number;

	node_path(env, strrchr(dir, '/') + 1, path);
	if (set_path(&d, path, e) < 0 || dev_attr_u64_sure(dir, "partition", 0, &number, e) < 0)
		return -1;
	d.is_partition = number != 0;
	snprintf(disk_dir, sizeof(disk_dir), "%s", dir);
	if (d.is_partition)
		*strrchr(disk_dir, '/') = '\0';
	if (read_geometry(dir, disk_dir, &d, e) < 0)
		return -1;
	d.rotational = dev_attr_u64(disk_dir, "queue/rotational", 0) != 0;
	d.removable = dev_attr_u64(disk_dir, "removable", 0) != 0;
	dev_identify(env, disk_dir, &d);
	*ret = d;
	return 0;
}

static int inspect_file(const char *path, const struct stat *st, struct dev_info *ret, struct err *e)
{
	char real[PATH_MAX];
	struct dev_info d = {
		.is_file = true, .size = (uint64_t)st->st_size, .sector_size = 512, .phys_sector_size = 512};

	if (!dev_real(path, real))
		return err_set(e, ERR_FAILED, errno, "looking at '%s'", path);
	if (set_path(&d, real, e) < 0)
		return -1;
	d.read_only = access(real, W_OK) != 0; /* also true for root on a read-only file system or an immutable file */
	*ret = d;
	return 0;
}

static int inspect_block(
	const struct dev_env *env, const char *path, const struct stat *st, struct dev_info *ret, struct err *e)
{
	char link[PATH_MAX], dir[PATH_MAX];
	struct stat named;
	struct dev_info d;

	snprintf(link, sizeof(link), "%s/dev/block/%u:%u", env->sys, major(st->st_rdev), minor(st->st_rdev));
	if (!dev_real(link, dir)) {
		int why = errno;
		snprintf(dir, sizeof(dir), "%s/dev/block", env->sys);
		if (why == ENOENT && access(dir, X_OK) == 0)
			return err_set(e, ERR_USAGE, 0, "'%s' is a device node, but the kernel has no such device", path);
		return err_set(e, ERR_FAILED, why, "asking sysfs about '%s' (%s)", path, link);
	}
	if (dev_describe(env, dir, &d, e) < 0)
		return -1;
	/* A node somewhere else, or a /dev that names things otherwise: keep the name that works. */
	if (stat(d.path, &named) < 0 || !S_ISBLK(named.st_mode) || named.st_rdev != st->st_rdev) {
		if (!dev_real(path, dir) || set_path(&d, dir, e) < 0)
			return err_set(e, ERR_FAILED, errno, "looking at '%s'", path);
	}
	*ret = d;
	return 0;
}

int dev_inspect_env(const struct dev_env *env, const char *path, struct dev_info *ret, struct err *e)
{
	struct stat st;

	if (stat(path, &st) < 0) {
		if (errno == ENOENT || errno == ENOTDIR)
			return blk_missing(path, e);
		return err_set(e, ERR_FAILED, errno, "looking at '%s'", path);
	}
	if (S_ISBLK(st.st_mode))
		return inspect_block(env, path, &st, ret, e);
	if (S_ISREG(st.st_mode))
		return inspect_file(path, &st, ret, e);
	return err_set(e, ERR_USAGE, 0, "'%s' is neither a block device nor a plain file", path);
}

bool dev_disk_of(const struct dev_info *partition, char *ret_path, size_t size, uint64_t *ret_start)
{
	const struct dev_env *env = &dev_env_system;
	char link[PATH_MAX], dir[PATH_MAX], node[PATH_MAX];

	snprintf(link, sizeof(link), "%s/dev/block/%u:%u", env->sys, partition->dev_major, partition->dev_minor);
	if (!partition->is_partition || !dev_real(link, dir))
		return false;
	uint64_t start = dev_attr_u64(dir, "start", UINT64_MAX); /* in units of 512 bytes, like "size" */
	*strrchr(dir, '/') = '\0';
	node_path(env, strrchr(dir, '/') + 1, node);
	return mul_u64(start, 512, ret_start) && (size_t)snprintf(ret_path, size, "%s", node) < size;
}

bool dev_backing(const struct dev_info *dev, char *ret, size_t size)
{
	char link[PATH_MAX], dir[PATH_MAX], file[PATH_MAX], at[40] = "", part[40] = "";

	snprintf(link, sizeof(link), "%s/dev/block/%u:%u", dev_env_system.sys, dev->dev_major, dev->dev_minor);
	if (dev->is_file || !dev_real(link, dir))
		return false;
	if (dev->is_partition) {
		snprintf(part, sizeof(part), "partition %llu of ", (unsigned long long)dev_attr_u64(dir, "partition", 0));
		*strrchr(dir, '/') = '\0';
	}
	size_t len = dev_attr_raw(dir, "loop/backing_file", file, sizeof(file) - 1);
	file[len] = '\0';
	file[strcspn(file, "\n")] = '\0';
	uint64_t offset = dev_attr_u64(dir, "loop/offset", 0);
	if (offset)
		snprintf(at, sizeof(at), " at %llu", (unsigned long long)offset);
	return file[0] && (size_t)snprintf(ret, size, "%sloop device over %s%s", part, file, at) < size;
}
