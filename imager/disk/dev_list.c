/* SPDX-License-Identifier: GPL-3.0-or-later */
/* All disks of the machine, from /sys/block; see device.h. */
#include "imager/disk/device.h"

#include "base/arith.h"
#include "base/auto.h"
#include "imager/disk/dev_env.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* A ceiling against a mad sysfs; the largest storage servers have some thousand disks. */
#define MAX_DISKS 65536

int dev_list(struct dev_info **ret, size_t *ret_nr, struct err *e)
{
	return dev_list_env(&dev_env_system, ret, ret_nr, e);
}

/* Letters then count like digits do: sdz comes before sdaa. */
static bool has_letter_suffix(const char *name, size_t *ret_prefix)
{
	static const char *const prefixes[] = { "sd", "vd", "hd", "xvd" };

	for (size_t i = 0; i < sizeof(prefixes) / sizeof(prefixes[0]); i++) {
		size_t n = strlen(prefixes[i]);
		if (!strncmp(name, prefixes[i], n) && islower((unsigned char)name[n])) {
			*ret_prefix = n;
			return true;
		}
	}
	return false;
}

int dev_name_order(const char *a, const char *b)
{
	size_t na, nb;

	if (has_letter_suffix(a, &na) && has_letter_suffix(b, &nb) && na == nb && !strncmp(a, b, na) &&
		strlen(a) != strlen(b))
		return strlen(a) < strlen(b) ? -1 : 1;
	return strverscmp(a, b);
}

static int compare(const void *a, const void *b)
{
	/* Every path is of the same folder, and has a slash. */
	return dev_name_order(strrchr(((const struct dev_info *)a)->path, '/') + 1,
		strrchr(((const struct dev_info *)b)->path, '/') + 1);
}

/*
 * Left out: RAM disks, optical and floppy drives, device-mapper volumes (their disks are listed), the hidden single
 * paths of multipath NVMe, boot and replay-protected areas of eMMC.
 */
static bool is_listed(const char *name, const char *dir)
{
	static const char *const skipped[] = { "ram", "zram", "dm-", "sr", "fd", "mtdblock" };
	char backing[PATH_MAX];

	for (size_t i = 0; i < sizeof(skipped) / sizeof(skipped[0]); i++) {
		size_t n = strlen(skipped[i]);
		if (!strncmp(name, skipped[i], n) && (skipped[i][n - 1] == '-' || isdigit((unsigned char)name[n])))
			return false;
	}
	if (!strncmp(name, "mmcblk", 6) && (strstr(name, "boot") || strstr(name, "rpmb")))
		return false;
	if (dev_attr_u64(dir, "hidden", 0) || !dev_attr_u64(dir, "size", 0))
		return false;
	return strncmp(name, "loop", 4) || dev_attr(dir, "loop/backing_file", backing, sizeof(backing));
}

static int add_disk(const struct dev_env *env, const char *block, const char *name, struct dev_info **v,
	size_t *nr, struct err *e)
{
	char path[PATH_MAX], dir[PATH_MAX];

	/* A disk that was pulled out a moment ago is no error. */
	if (name[0] == '.' || !dev_join(path, block, name) || !dev_real(path, dir) || !is_listed(name, dir))
		return 0;
	if (*nr >= MAX_DISKS)
		return err_set(e, ERR_FAILED, 0, "'%s' lists more than %d disks", block, MAX_DISKS);
	struct dev_info *more = reallocarray(*v, *nr + 1, sizeof(**v));
	if (!more)
		return err_nomem(e, "the list of disks");
	*v = more;
	if (dev_describe(env, dir, &more[*nr], e) == 0)
		(*nr)++;
	else if (access(dir, F_OK) == 0)
		return -1;
	return 0;
}

int dev_list_env(const struct dev_env *env, struct dev_info **ret, size_t *ret_nr, struct err *e)
{
	char block[PATH_MAX];
	AUTO_FREE struct dev_info *v = NULL;
	size_t nr = 0;
	int r = 0;

	snprintf(block, sizeof(block), "%s/block", env->sys);
	DIR *d = opendir(block);
	if (!d)
		return err_set(e, ERR_FAILED, errno, "listing disks in '%s'", block);
	for (struct dirent *en; r == 0 && (en = readdir(d));)
		r = add_disk(env, block, en->d_name, &v, &nr, e);
	closedir(d);
	if (r < 0)
		return -1;
	if (!v && !(v = alloc_array(1, sizeof(*v))))
		return err_nomem(e, "the list of disks");
	qsort(v, nr, sizeof(*v), compare);
	*ret_nr = nr;
	*ret = take(&v);
	return 0;
}
