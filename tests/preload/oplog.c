/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Loaded before the C library by tests (LD_PRELOAD): what is done to a folder is logged, one call after the other, for tests/tools/repocrash.
 *
 *   CALCO_OPLOG=FILE       gets a record for each call that changes something (see tests/tools/oplog.h)
 *   CALCO_OPLOG_ROOT=DIR   the folder, an absolute path without links; what happens elsewhere is not logged
 *   CALCO_OPLOG_KILL=N     before the N-th such call, counted from 0, the process kills itself
 *   CALCO_OPLOG_DEAF=PATH  flushes of what lies there are not logged, as if a disk had not heard them: then something must be found
 *
 * Writing through a mapping is not seen; who replays compares what comes out with the folder, and would notice.
 */
#include "tests/tools/oplog.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; /* a call and its record are one */
static int log_fd = -1;
static const char *root, *deaf;
static size_t root_len;
static long kill_at = -1, nr_calls;

__attribute__((constructor)) static void begin(void)
{
	const char *path = getenv("CALCO_OPLOG"), *at = getenv("CALCO_OPLOG_KILL");

	root = getenv("CALCO_OPLOG_ROOT");
	if (!path || !root)
		return;
	root_len = strlen(root);
	deaf = getenv("CALCO_OPLOG_DEAF");
	kill_at = at ? strtol(at, NULL, 10) : -1;
	log_fd = (int)syscall(SYS_openat, AT_FDCWD, path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
}

static bool name_of_fd(int fd, char ret[PATH_MAX])
{
	char link[64];

	snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	long n = syscall(SYS_readlinkat, AT_FDCWD, link, ret, PATH_MAX - 1);
	ret[n > 0 ? n : 0] = '\0';
	return n > 0;
}

/* The path below the folder, "" for itself; NULL: it lies elsewhere. */
static const char *below(const char *path)
{
	if (log_fd < 0 || strncmp(path, root, root_len))
		return NULL;
	return !path[root_len] ? "" : path[root_len] == '/' ? path + root_len + 1 : NULL;
}

static const char *below_at(int dir, const char *path, char buf[2 * PATH_MAX])
{
	char at[PATH_MAX] = "";

	if (log_fd < 0)
		return NULL;
	if (path[0] == '/')
		snprintf(buf, 2 * PATH_MAX, "%s", path);
	else if (dir == AT_FDCWD ? getcwd(at, sizeof(at)) != NULL : name_of_fd(dir, at))
		snprintf(buf, 2 * PATH_MAX, "%s/%s", at, path);
	else
		return NULL;
	return below(buf);
}

static bool fd_below(int fd, uint64_t *ret_ino)
{
	char path[PATH_MAX];
	struct stat st;

	if (log_fd < 0 || fd == log_fd || !name_of_fd(fd, path) || !below(path) || fstat(fd, &st) < 0)
		return false;
	*ret_ino = st.st_ino;
	return true;
}

static void enter(void)
{
	pthread_mutex_lock(&lock);
}

/* With the lock held; gives it back. */
static long leave(long result)
{
	int error = errno;

	pthread_mutex_unlock(&lock);
	errno = error;
	return result;
}

static void die_here(void)
{
	if (nr_calls++ == kill_at)
		syscall(SYS_kill, getpid(), SIGKILL);
}

static void note(char kind, uint64_t ino, uint64_t off, const void *a, size_t a_len, const void *b, size_t b_len)
{
	struct oplog_head h = { .kind = kind, .a_len = (uint32_t)a_len, .b_len = (uint32_t)b_len, .ino = ino, .off = off };
	struct iovec v[3] = { { &h, sizeof(h) }, { (void *)a, a_len }, { (void *)b, b_len } };
	ssize_t want = (ssize_t)(sizeof(h) + a_len + b_len);

	if (syscall(SYS_writev, log_fd, v, 3) != want)
		abort();
}

int openat(int dir, const char *path, int flags, ...)
{
	char buf[2 * PATH_MAX];
	struct stat st;
	va_list args;

	va_start(args, flags);
	mode_t mode = flags & O_CREAT ? va_arg(args, mode_t) : 0;
	va_end(args);
	const char *name = flags & (O_CREAT | O_TRUNC) ? below_at(dir, path, buf) : NULL;
	if (!name)
		return (int)syscall(SYS_openat, dir, path, flags, mode);
	enter();
	bool was_there = fstatat(dir, path, &st, AT_SYMLINK_NOFOLLOW) == 0;
	if (!was_there || flags & O_TRUNC)
		die_here();
	int fd = (int)syscall(SYS_openat, dir, path, flags, mode);
	if (fd >= 0 && fstat(fd, &st) == 0) {
		if (!was_there)
			note(OPLOG_CREATE, st.st_ino, 0, name, strlen(name), NULL, 0);
		else if (flags & O_TRUNC)
			note(OPLOG_TRUNCATE, st.st_ino, 0, NULL, 0, NULL, 0);
	}
	return (int)leave(fd);
}

int openat64(int dir, const char *path, int flags, ...)
{
	va_list args;

	va_start(args, flags);
	mode_t mode = flags & O_CREAT ? va_arg(args, mode_t) : 0;
	va_end(args);
	return openat(dir, path, flags, mode);
}

int open(const char *path, int flags, ...)
{
	va_list args;

	va_start(args, flags);
	mode_t mode = flags & O_CREAT ? va_arg(args, mode_t) : 0;
	va_end(args);
	return openat(AT_FDCWD, path, flags, mode);
}

int open64(const char *path, int flags, ...)
{
	va_list args;

	va_start(args, flags);
	mode_t mode = flags & O_CREAT ? va_arg(args, mode_t) : 0;
	va_end(args);
	return openat(AT_FDCWD, path, flags, mode);
}

ssize_t write(int fd, const void *data, size_t n)
{
	uint64_t ino;

	if (!fd_below(fd, &ino))
		return syscall(SYS_write, fd, data, n);
	enter();
	die_here();
	off_t off = lseek(fd, 0, SEEK_CUR);
	long done = syscall(SYS_write, fd, data, n);
	if (done > 0)
		note(OPLOG_WRITE, ino, (uint64_t)off, data, (size_t)done, NULL, 0);
	return leave(done);
}

ssize_t pwrite64(int fd, const void *data, size_t n, off64_t off)
{
	uint64_t ino;

	if (!fd_below(fd, &ino))
		return syscall(SYS_pwrite64, fd, data, n, off);
	enter();
	die_here();
	long done = syscall(SYS_pwrite64, fd, data, n, off);
	if (done > 0)
		note(OPLOG_WRITE, ino, (uint64_t)off, data, (size_t)done, NULL, 0);
	return leave(done);
}

ssize_t pwrite(int fd, const void *data, size_t n, off_t off)
{
	return pwrite64(fd, data, n, off);
}

int ftruncate64(int fd, off64_t size)
{
	uint64_t ino;

	if (!fd_below(fd, &ino))
		return (int)syscall(SYS_ftruncate, fd, size);
	enter();
	die_here();
	int r = (int)syscall(SYS_ftruncate, fd, size);
	if (r == 0)
		note(OPLOG_TRUNCATE, ino, (uint64_t)size, NULL, 0, NULL, 0);
	return (int)leave(r);
}

int ftruncate(int fd, off_t size)
{
	return ftruncate64(fd, size);
}

static int sync_with(int fd, long number)
{
	uint64_t ino;

	if (!fd_below(fd, &ino))
		return (int)syscall(number, fd);
	enter();
	die_here();
	int r = (int)syscall(number, fd);
	char path[PATH_MAX];
	bool is_heard = !deaf || !name_of_fd(fd, path) || strncmp(below(path), deaf, strlen(deaf));
	if (r == 0 && is_heard)
		note(OPLOG_SYNC, ino, 0, NULL, 0, NULL, 0);
	return (int)leave(r);
}

int fsync(int fd)
{
	return sync_with(fd, SYS_fsync);
}

int fdatasync(int fd)
{
	return sync_with(fd, SYS_fdatasync);
}

int renameat2(int from_dir, const char *from, int to_dir, const char *to, unsigned flags)
{
	char a_buf[2 * PATH_MAX], b_buf[2 * PATH_MAX];
	const char *a = below_at(from_dir, from, a_buf), *b = below_at(to_dir, to, b_buf);

	if (!a || !b)
		return (int)syscall(SYS_renameat2, from_dir, from, to_dir, to, flags);
	enter();
	die_here();
	int r = (int)syscall(SYS_renameat2, from_dir, from, to_dir, to, flags);
	if (r == 0)
		note(OPLOG_RENAME, 0, 0, a, strlen(a), b, strlen(b));
	return (int)leave(r);
}

int renameat(int from_dir, const char *from, int to_dir, const char *to)
{
	return renameat2(from_dir, from, to_dir, to, 0);
}

int rename(const char *from, const char *to)
{
	return renameat2(AT_FDCWD, from, AT_FDCWD, to, 0);
}

int unlinkat(int dir, const char *path, int flags)
{
	char buf[2 * PATH_MAX];
	const char *name = below_at(dir, path, buf);

	if (!name)
		return (int)syscall(SYS_unlinkat, dir, path, flags);
	enter();
	if (faccessat(dir, path, F_OK, AT_SYMLINK_NOFOLLOW) == 0)
		die_here();
	int r = (int)syscall(SYS_unlinkat, dir, path, flags);
	if (r == 0)
		note(OPLOG_UNLINK, 0, 0, name, strlen(name), NULL, 0);
	return (int)leave(r);
}

int unlink(const char *path)
{
	return unlinkat(AT_FDCWD, path, 0);
}

int mkdirat(int dir, const char *path, mode_t mode)
{
	char buf[2 * PATH_MAX];
	const char *name = below_at(dir, path, buf);
	struct stat st;

	if (!name)
		return (int)syscall(SYS_mkdirat, dir, path, mode);
	enter();
	if (faccessat(dir, path, F_OK, AT_SYMLINK_NOFOLLOW) < 0)
		die_here();
	int r = (int)syscall(SYS_mkdirat, dir, path, mode);
	if (r == 0 && fstatat(dir, path, &st, AT_SYMLINK_NOFOLLOW) == 0)
		note(OPLOG_MKDIR, st.st_ino, 0, name, strlen(name), NULL, 0);
	return (int)leave(r);
}

int mkdir(const char *path, mode_t mode)
{
	return mkdirat(AT_FDCWD, path, mode);
}
