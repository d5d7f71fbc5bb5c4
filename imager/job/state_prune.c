/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Records of finished restores are of no more use to us, but they pile up: the newest stay, for who wants to look. Records come and go in a
 * folder only while it is locked, so that what is judged here is what is removed.
 */
#include "imager/job/state.h"

#include "base/arith.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

struct old_record {
	char name[256];
	struct timespec finished;
};

static int newest_first(const void *a, const void *b)
{
	const struct timespec *x = &((const struct old_record *)a)->finished, *y = &((const struct old_record *)b)->finished;

	if (x->tv_sec != y->tv_sec)
		return x->tv_sec > y->tv_sec ? -1 : 1;
	return x->tv_nsec > y->tv_nsec ? -1 : x->tv_nsec < y->tv_nsec;
}

/* Only what surely is the record of a restore that was finished, and in nobody's hands. */
static bool is_finished(int folder, const char *name, struct timespec *ret)
{
	struct stat st;
	size_t len = strlen(name), n = strlen(".state");

	if (len <= n || len >= sizeof(((struct old_record *)0)->name) || strcmp(name + len - n, ".state"))
		return false;
	AUTO_CLOSE_FD int fd = openat(folder, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	if (fd < 0 || fstat(fd, &st) < 0 || !S_ISREG(st.st_mode) || flock(fd, LOCK_EX | LOCK_NB) < 0 || !state_fd_is_finished(fd))
		return false;
	*ret = st.st_mtim;
	return true;
}

int state_lock_folder(const char *folder)
{
	int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (fd >= 0 && flock(fd, LOCK_EX) < 0) {
		close(fd);
		return -1;
	}
	return fd;
}

void state_prune(int folder, size_t keep)
{
	struct old_record *list = NULL;
	size_t nr = 0;
	int own = openat(folder, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *d = own >= 0 ? fdopendir(own) : NULL;

	if (!d) {
		if (own >= 0)
			close(own);
		return;
	}
	for (struct dirent *en; (en = readdir(d));) {
		struct timespec finished;
		if (!is_finished(folder, en->d_name, &finished))
			continue;
		struct old_record *grown = reallocarray(list, nr + 1, sizeof(*grown));
		if (!grown)
			break;
		list = grown;
		strcpy(list[nr].name, en->d_name); /* is_finished() checked its length */
		list[nr++].finished = finished;
	}
	closedir(d);
	if (nr > keep) {
		qsort(list, nr, sizeof(*list), newest_first);
		for (size_t i = keep; i < nr; i++)
			unlinkat(folder, list[i].name, 0);
	}
	free(list);
}
