/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * poll() with a time limit; see wait.h. The limit is needed although poll() is never restarted after a signal: the signal may be
 * delivered to another thread, or come between the question and the call.
 */
#include "base/wait.h"

#include <errno.h>
#include <poll.h>
#include <sys/stat.h>

#define ASK_AGAIN_MS 200

bool wait_is_needed(int fd)
{
	struct stat st;

	return fstat(fd, &st) == 0 && !S_ISREG(st.st_mode) && !S_ISBLK(st.st_mode);
}

static int wait_for(int fd, short events, const char *name, const struct progress *p, struct err *e)
{
	struct pollfd f = { .fd = fd, .events = events };

	for (;;) {
		if (progress_check(p, e) < 0)
			return -1;
		int n = poll(&f, 1, ASK_AGAIN_MS);
		if (n > 0)
			return 0;
		if (n < 0 && errno != EINTR)
			return err_set(e, ERR_FAILED, errno, "waiting for '%s'", name);
	}
}

int wait_readable(int fd, const char *name, const struct progress *p, struct err *e)
{
	return wait_for(fd, POLLIN, name, p, e);
}

int wait_writable(int fd, const char *name, const struct progress *p, struct err *e)
{
	return wait_for(fd, POLLOUT, name, p, e);
}
