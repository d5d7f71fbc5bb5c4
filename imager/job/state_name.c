/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What a state record is of, and where it lies: names of targets, and how a file is told from another one of its name. */
#include "imager/job/state_inner.h"

#include "base/hash.h"
#include "base/span.h"
#include "imager/disk/device.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define LOOP_OVER    "loop device over " /* dev_backing() */

void state_name_target(const char *target, char ret[NAME_SIZE])
{
	struct err ignored = ERR_INIT;
	struct dev_info dev;
	char real[PATH_MAX];

	memset(ret, 0, NAME_SIZE);
	if (dev_inspect(target, &dev, &ignored) == 0 && !dev.is_file && !dev.is_partition && dev.serial[0])
		snprintf(ret, NAME_SIZE, "serial %s, model %s", dev.serial, dev.model);
	else if (ignored.code || !dev_backing(&dev, ret, NAME_SIZE))
		snprintf(ret, NAME_SIZE, "%.511s", realpath(target, real) ? real : target);
}

/* A file name for the record: what is plain in the target's name, and a number that tells it from others. */
static void name_file(const char *name, char ret[140])
{
	const char *base = strrchr(name, '/');
	size_t n = 0;

	for (const char *p = base ? base + 1 : name; *p && n < 100; p++)
		ret[n++] = strchr("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-", *p) ? *p : '-';
	snprintf(ret + n, 140 - n, "-%08x.state", crc32_of(name, strlen(name)));
}

int state_folder(char *ret, size_t size, struct err *e)
{
	const char *home = getenv("HOME");

	if (geteuid() == 0)
		snprintf(ret, size, "/var/lib/calco/state");
	else if (home)
		snprintf(ret, size, "%.3000s/.local/state/calco", home);
	else
		return err_set(e, ERR_FAILED, 0, "no place for the state record: HOME is not set");
	return 0;
}

int state_default(const char *target, char *ret, size_t size, struct err *e)
{
	char folder[PATH_MAX], name[NAME_SIZE], file[140];

	if (state_folder(folder, sizeof(folder), e) < 0)
		return -1;
	state_name_target(target, name);
	name_file(name, file);
	int n = snprintf(ret, size, "%s/%s", folder, file);
	if (n < 0 || (size_t)n >= size)
		return err_set(e, ERR_FAILED, ENAMETOOLONG, "no place for the state record");
	return 0;
}

/* The file that a target's name is of: its path, or that behind a loop device. */
static bool stat_named(const char *name, struct statx *ret)
{
	const unsigned want = STATX_INO | STATX_BTIME | STATX_TYPE;
	const char *over = strstr(name, LOOP_OVER);
	char path[NAME_SIZE];

	snprintf(path, sizeof(path), "%s", over ? over + strlen(LOOP_OVER) : name);
	if (statx(AT_FDCWD, path, 0, want, ret) == 0)
		return true;
	char *at = over ? strrchr(path, ' ') : NULL; /* " at 1048576" */
	if (!at || at - path < 3 || strncmp(at - 3, " at", 3))
		return false;
	at[-3] = '\0';
	return statx(AT_FDCWD, path, 0, want, ret) == 0;
}

void state_identify(const char *name, uint8_t ret[STATE_ID_SIZE])
{
	struct statx sx;

	memset(ret, 0, STATE_ID_SIZE);
	if (!stat_named(name, &sx) || !S_ISREG(sx.stx_mode))
		return;
	put_le64(ret, 0, sx.stx_ino);
	if (sx.stx_mask & STATX_BTIME) {
		put_le64(ret, 8, (uint64_t)sx.stx_btime.tv_sec);
		put_le32(ret, 16, sx.stx_btime.tv_nsec);
	}
	put_le32(ret, 20, 1);
}
