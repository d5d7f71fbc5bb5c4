/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The folder a file lies in; see folder.h. */
#include "base/folder.h"

#include "base/auto.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

int folder_of(const char *path, char *ret, size_t size)
{
	const char *slash = strrchr(path, '/');
	int n = !slash ? snprintf(ret, size, ".") : snprintf(ret, size, "%.*s", slash == path ? 1 : (int)(slash - path), path);

	return n < 0 || (size_t)n >= size ? -1 : 0;
}

int folder_flush(const char *path, struct err *e)
{
	char folder[PATH_MAX];

	if (folder_of(path, folder, sizeof(folder)) < 0)
		return err_set(e, ERR_FAILED, ENAMETOOLONG, "flushing a folder");
	AUTO_CLOSE_FD int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0 || (fsync(fd) < 0 && errno != EINVAL)) /* EINVAL: a file system that needs none */
		return err_set(e, ERR_FAILED, errno, "flushing the folder '%s'", folder);
	return 0;
}
