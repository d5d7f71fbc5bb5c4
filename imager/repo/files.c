/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Plain files and folders, by steps from the repository's folder; see files.h. */
#include "imager/repo/files.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* One step; len bytes of path are the way to it, for messages. */
static int open_step(const struct repo *r, int parent, const char *name, const char *path, size_t len, struct err *e)
{
	int fd = openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC), error = errno;
	struct stat st;

	if (fd >= 0)
		return fd;
	if ((error == ENOTDIR || error == ELOOP) && fstatat(parent, name, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISLNK(st.st_mode)) {
		err_set(e, ERR_REFUSED, 0, "'%s/%.*s' is a symbolic link; in a repository none is followed", r->dir, (int)len, path);
		err_hint(e, "move the folder it leads to into its place, or remove the link");
		return err_reason(e, "link");
	}
	return err_set(e, ERR_FAILED, error, "opening the folder '%s/%.*s'", r->dir, (int)len, path);
}

/* The first len bytes of a path. */
static int open_folder(const struct repo *r, const char *path, size_t len, struct err *e)
{
	int fd = r->fd;

	for (size_t at = 0; at < len;) {
		size_t n = strcspn(path + at, "/");
		char name[256];
		if (n > len - at)
			n = len - at;
		int parent = fd;
		if ((size_t)snprintf(name, sizeof(name), "%.*s", (int)n, path + at) >= sizeof(name))
			fd = err_set(e, ERR_FAILED, ENAMETOOLONG, "opening a folder of '%s'", r->dir);
		else
			fd = open_step(r, parent, name, path, at + n, e);
		if (parent != r->fd)
			close(parent);
		if (fd < 0)
			return -1;
		at += n + 1;
	}
	return fd;
}

int repo_open_folder(const struct repo *r, const char *path, struct err *e)
{
	return open_folder(r, path, strlen(path), e);
}

static int not_plain(const struct repo *r, const char *path, struct err *e)
{
	return err_set(e, ERR_CORRUPT, 0, "'%s/%s' is not a plain file", r->dir, path);
}

static bool is_plain(int folder, const char *name)
{
	struct stat st;

	return fstatat(folder, name, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISREG(st.st_mode);
}

static int open_plain(const struct repo *r, int folder, const char *name, const char *path, int flags, struct err *e)
{
	struct stat st;

	flags |= O_NOFOLLOW | O_CLOEXEC | O_NOCTTY;
	int fd = openat(folder, name, flags | O_NONBLOCK, 0600);
	if (fd < 0 && errno == EWOULDBLOCK && is_plain(folder, name)) /* a file server has lent it to somebody and asks for it back */
		fd = openat(folder, name, flags, 0600);
	if (fd < 0 && (errno == ELOOP || errno == EISDIR || errno == ENXIO || errno == ENODEV))
		return not_plain(r, path, e);
	if (fd < 0)
		return err_set(e, ERR_FAILED, errno, "opening '%s/%s'", r->dir, path);
	if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode))
		return fd;
	close(fd);
	return not_plain(r, path, e);
}

int repo_open_file(const struct repo *r, const char *path, int flags, struct err *e)
{
	const char *slash = strrchr(path, '/');

	if (!slash)
		return open_plain(r, r->fd, path, path, flags, e);
	AUTO_CLOSE_FD int folder = open_folder(r, path, (size_t)(slash - path), e);
	return folder < 0 ? -1 : open_plain(r, folder, slash + 1, path, flags, e);
}

bool repo_is_still(const struct repo *r, const char *path, int fd)
{
	struct stat open_one, named;

	return fstat(fd, &open_one) == 0 && fstatat(r->fd, path, &named, AT_SYMLINK_NOFOLLOW) == 0 && open_one.st_dev == named.st_dev &&
		open_one.st_ino == named.st_ino;
}

int repo_make_file(const struct repo *r, const char *path, int *ret, struct err *e)
{
	AUTO_CLOSE_FD int fd = openat(r->fd, path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);

	if (fd < 0)
		return err_set(e, ERR_FAILED, errno, "making '%s/%s'", r->dir, path);
	int locked = repo_lock_file(fd, path, e);
	if (locked == 1 && repo_is_still(r, path, fd)) {
		*ret = fd;
		fd = -1;
		return 1;
	}
	unlinkat(r->fd, path, 0);
	return locked < 0 ? -1 : 0;
}
