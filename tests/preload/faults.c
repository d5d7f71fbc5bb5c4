/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Loaded before the C library by tests (LD_PRELOAD): the n-th call of one kind fails, once.
 *
 *   CALCO_FAULT=KIND:N     KIND: malloc (and calloc, realloc, posix_memalign, aligned_alloc), read (pread), write (pwrite), fsync (fdatasync),
 *                          open (openat, fopen, opendir; EMFILE),
 *                          short-read, short-write (half of what was asked for), intr (EINTR from read or write), full (ENOSPC from then on);
 *                          signal-write, signal-fsync: it does not fail, but SIGTERM comes first;
 *                          deaf-fsync: it takes a minute, and no signal interrupts it, as with a disk that does not answer
 *   CALCO_FAULT_HIT=FILE   is made when that call has come
 *   CALCO_FAULT_COUNT=FILE gets the number of calls of that kind, in the end
 *   CALCO_BAD_BYTE=NAME:N  each read that touches byte N of a file called NAME, in whatever folder, fails with EIO
 */
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/param.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

/* glibc's own entrances, for whoever replaces malloc() */
extern void *__libc_malloc(size_t);
extern void *__libc_calloc(size_t, size_t);
extern void *__libc_realloc(void *, size_t);
extern void *__libc_memalign(size_t, size_t);

enum kind { NONE, MALLOC, READ, WRITE, FSYNC, OPEN, SHORT_READ, SHORT_WRITE, INTR, FULL, SIGNAL_WRITE, SIGNAL_FSYNC, DEAF_FSYNC };
static const char *const words[] = { "none", "malloc", "read", "write", "fsync", "open", "short-read", "short-write", "intr", "full",
	"signal-write", "signal-fsync", "deaf-fsync" };

static enum kind kind;
static unsigned long wanted;
static atomic_ulong count;
static const char *bad_name;
static long long bad_byte;

__attribute__((constructor)) static void begin(void)
{
	const char *text = getenv("CALCO_FAULT"), *colon = text ? strchr(text, ':') : NULL;

	for (unsigned i = 1; colon && i < sizeof(words) / sizeof(*words); i++)
		if (strlen(words[i]) == (size_t)(colon - text) && !strncmp(text, words[i], strlen(words[i])))
			kind = (enum kind)i;
	wanted = colon ? strtoul(colon + 1, NULL, 10) : 0;
	bad_name = getenv("CALCO_BAD_BYTE");
	if (bad_name && (colon = strchr(bad_name, ':')))
		bad_byte = strtoll(colon + 1, NULL, 10);
}

static bool is_bad(int fd, size_t n, off_t off)
{
	char link[64], path[MAXPATHLEN + 1];

	if (!bad_name || bad_byte < off || bad_byte - off >= (long long)n)
		return false;
	snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	long len = syscall(SYS_readlinkat, AT_FDCWD, link, path, sizeof(path) - 1);
	path[len > 0 ? len : 0] = '\0';
	const char *name = strrchr(path, '/');
	size_t want = strcspn(bad_name, ":");
	return name && strlen(name + 1) == want && !strncmp(name + 1, bad_name, want);
}

__attribute__((destructor)) static void end(void)
{
	const char *path = getenv("CALCO_FAULT_COUNT");
	char text[32];
	unsigned long n = atomic_load(&count);
	enum kind was = kind;

	kind = NONE;
	int fd = path && was != NONE ? (int)syscall(SYS_openat, AT_FDCWD, path, O_WRONLY | O_CREAT | O_TRUNC, 0600) : -1;
	if (fd < 0)
		return;
	int len = snprintf(text, sizeof(text), "%lu\n", n);
	syscall(SYS_write, fd, text, (size_t)len);
	syscall(SYS_close, fd);
}

/* Is this the call that fails? */
static bool hits(enum kind k)
{
	if (k != kind)
		return false;
	unsigned long n = atomic_fetch_add(&count, 1) + 1;
	if (n != wanted && !(k == FULL && n > wanted && wanted))
		return false;
	const char *path = getenv("CALCO_FAULT_HIT");
	if (path && n == wanted)
		syscall(SYS_close, syscall(SYS_openat, AT_FDCWD, path, O_WRONLY | O_CREAT, 0600));
	return true;
}

static bool fails(enum kind k, int error)
{
	if (!hits(k))
		return false;
	errno = error;
	return true;
}

/* This thread gets it, whichever is meant to, so that it was heard when the call goes on. */
static void be_stopped(enum kind k)
{
	sigset_t term, was;

	if (!hits(k))
		return;
	sigemptyset(&term);
	sigaddset(&term, SIGTERM);
	pthread_sigmask(SIG_UNBLOCK, &term, &was);
	pthread_kill(pthread_self(), SIGTERM);
	pthread_sigmask(SIG_SETMASK, &was, NULL);
}

static void be_deaf(enum kind k)
{
	sigset_t all, was;

	if (!hits(k))
		return;
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &was);
	nanosleep(&(struct timespec){ .tv_sec = 60 }, NULL);
	pthread_sigmask(SIG_SETMASK, &was, NULL);
}

void *malloc(size_t n)
{
	return fails(MALLOC, ENOMEM) ? NULL : __libc_malloc(n);
}

void *calloc(size_t a, size_t b)
{
	return fails(MALLOC, ENOMEM) ? NULL : __libc_calloc(a, b);
}

void *realloc(void *p, size_t n)
{
	return fails(MALLOC, ENOMEM) ? NULL : __libc_realloc(p, n);
}

void *aligned_alloc(size_t align, size_t n)
{
	return fails(MALLOC, ENOMEM) ? NULL : __libc_memalign(align, n);
}

int posix_memalign(void **ret, size_t align, size_t n)
{
	if (hits(MALLOC))
		return ENOMEM;
	*ret = __libc_memalign(align, n);
	return *ret ? 0 : ENOMEM;
}

/* Nothing is read or written; half of it; or all. Negative: fail with that errno. */
static ssize_t amount(enum kind plain, enum kind half, int error, size_t n)
{
	if (hits(plain))
		return -error;
	if (hits(INTR))
		return -EINTR;
	if (n > 1 && hits(half))
		return (ssize_t)(n / 2);
	return (ssize_t)n;
}

static ssize_t done(ssize_t r)
{
	if (r >= 0)
		return r;
	errno = (int)-r;
	return -1;
}

ssize_t read(int fd, void *buf, size_t n)
{
	ssize_t a = amount(READ, SHORT_READ, EIO, n);

	return a < 0 ? done(a) : syscall(SYS_read, fd, buf, (size_t)a);
}

ssize_t pread(int fd, void *buf, size_t n, off_t off)
{
	ssize_t a = is_bad(fd, n, off) ? -EIO : amount(READ, SHORT_READ, EIO, n);

	return a < 0 ? done(a) : syscall(SYS_pread64, fd, buf, (size_t)a, off);
}

ssize_t pread64(int fd, void *buf, size_t n, off64_t off)
{
	return pread(fd, buf, n, off);
}

static ssize_t amount_to_write(int fd, size_t n)
{
	if (fd > 2 && hits(FULL))
		return -ENOSPC;
	be_stopped(SIGNAL_WRITE);
	return amount(WRITE, SHORT_WRITE, EIO, n);
}

ssize_t write(int fd, const void *buf, size_t n)
{
	ssize_t a = amount_to_write(fd, n);

	return a < 0 ? done(a) : syscall(SYS_write, fd, buf, (size_t)a);
}

ssize_t pwrite(int fd, const void *buf, size_t n, off_t off)
{
	ssize_t a = amount_to_write(fd, n);

	return a < 0 ? done(a) : syscall(SYS_pwrite64, fd, buf, (size_t)a, off);
}

ssize_t pwrite64(int fd, const void *buf, size_t n, off64_t off)
{
	return pwrite(fd, buf, n, off);
}

int fsync(int fd)
{
	be_deaf(DEAF_FSYNC);
	be_stopped(SIGNAL_FSYNC);
	return fails(FSYNC, EIO) ? -1 : (int)syscall(SYS_fsync, fd);
}

int fdatasync(int fd)
{
	be_stopped(SIGNAL_FSYNC);
	return fails(FSYNC, EIO) ? -1 : (int)syscall(SYS_fdatasync, fd);
}

/* The functions that are replaced, as the C library has them */
static void *next(const char *name)
{
	enum kind was = kind;

	kind = NONE;
	void *f = dlsym(RTLD_NEXT, name);
	kind = was;
	return f;
}

int openat(int dir, const char *path, int flags, ...)
{
	va_list args;

	va_start(args, flags);
	mode_t mode = flags & (O_CREAT | O_TMPFILE) ? va_arg(args, mode_t) : 0;
	va_end(args);
	return fails(OPEN, EMFILE) ? -1 : (int)syscall(SYS_openat, dir, path, flags, mode);
}

int open(const char *path, int flags, ...)
{
	va_list args;

	va_start(args, flags);
	mode_t mode = flags & (O_CREAT | O_TMPFILE) ? va_arg(args, mode_t) : 0;
	va_end(args);
	return openat(AT_FDCWD, path, flags, mode);
}

int open64(const char *path, int flags, ...)
{
	va_list args;

	va_start(args, flags);
	mode_t mode = flags & (O_CREAT | O_TMPFILE) ? va_arg(args, mode_t) : 0;
	va_end(args);
	return openat(AT_FDCWD, path, flags, mode);
}

int openat64(int dir, const char *path, int flags, ...)
{
	va_list args;

	va_start(args, flags);
	mode_t mode = flags & (O_CREAT | O_TMPFILE) ? va_arg(args, mode_t) : 0;
	va_end(args);
	return openat(dir, path, flags, mode);
}

FILE *fopen(const char *path, const char *mode)
{
	FILE *(*real)(const char *, const char *) = next("fopen");

	return fails(OPEN, EMFILE) ? NULL : real(path, mode);
}

FILE *fopen64(const char *path, const char *mode)
{
	return fopen(path, mode);
}

DIR *opendir(const char *path)
{
	DIR *(*real)(const char *) = next("opendir");

	return fails(OPEN, EMFILE) ? NULL : real(path);
}
