/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Reading small files that may be pipes; see small_file.h. */
#include "base/small_file.h"

#include "base/auto.h"
#include "base/wait.h"

#include <errno.h>
#include <fcntl.h>

int small_file_read(const char *path, const char *what, size_t max, void *ret, size_t *ret_len, const struct progress *p, struct err *e)
{
	/* O_NONBLOCK: a named pipe that nobody writes yet is opened, and waited for where it can be stopped. */
	AUTO_CLOSE_FD int fd = open(path, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	bool waits = fd >= 0 && wait_is_needed(fd);
	size_t len = 0;

	if (fd < 0)
		return err_set(e, errno == ENOENT || errno == ENOTDIR ? ERR_USAGE : ERR_FAILED, errno, "opening the %s file '%s'", what, path);
	while (len <= max) {
		if (waits && wait_readable(fd, path, p, e) < 0)
			return -1;
		ssize_t n = read(fd, (char *)ret + len, max + 1 - len);
		if (n < 0 && (errno == EINTR || errno == EAGAIN))
			continue;
		if (n < 0)
			return err_set(e, errno == EISDIR ? ERR_USAGE : ERR_FAILED, errno, "reading the %s file '%s'", what, path);
		if (n == 0)
			break;
		len += (size_t)n;
	}
	if (len > max)
		return err_set(e, ERR_USAGE, 0, "the %s file '%s' is larger than %zu bytes", what, path, max);
	*ret_len = len;
	return 0;
}
