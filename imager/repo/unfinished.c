/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Left-overs of interrupted captures; see unfinished.h. */
#include "imager/repo/unfinished.h"

#include "imager/repo/files.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

int unfinished_count(const struct repo *r, bool remove, uint64_t *ret, struct err *e)
{
	int folder = openat(r->fd, "new", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *d = folder < 0 ? NULL : fdopendir(folder);
	int locked = 0;

	if (!d)
		return err_set(e, ERR_FAILED, errno, "reading the folder '%s/new'", r->dir);
	for (struct dirent *x; locked >= 0 && (x = readdir(d));) {
		char path[PATH_MAX];
		struct stat st;
		if (x->d_name[0] == '.')
			continue;
		snprintf(path, sizeof(path), "new/%s", x->d_name);
		struct err ignored = ERR_INIT; /* gone, or not ours to touch */
		AUTO_CLOSE_FD int fd = repo_open_file(r, path, O_RDWR, &ignored);
		if (fd < 0 || fstat(fd, &st) < 0 || (locked = repo_lock_file(fd, x->d_name, e)) != 1 || !repo_is_still(r, path, fd))
			continue;
		*ret += (uint64_t)st.st_size;
		if (remove)
			unlinkat(folder, x->d_name, 0);
	}
	closedir(d);
	return locked < 0 ? -1 : 0;
}

