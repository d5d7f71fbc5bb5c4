/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Block devices and plain files as sources and sinks: the one place where short reads, EINTR, alignment and the
 * page cache are dealt with.
 *
 * Devices are read with O_DIRECT where asked: a disk is read once, so the page cache would only push out what others
 * need. Requests that O_DIRECT cannot serve (not aligned) take a bounce buffer.
 */
#include "base/blk.h"

#include "base/arith.h"
#include "base/write_behind.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <linux/fs.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/stat.h>

#define DIRECT_ALIGN  4096U
#define BOUNCE_SIZE   (256U << 10)

struct file_geometry {
	uint64_t size;
	uint32_t sector_size, phys_sector_size;
	bool is_device;
};

static int read_geometry(int fd, const char *path, struct file_geometry *ret, struct err *e)
{
	struct stat st;

	if (fstat(fd, &st) < 0)
		return err_set(e, ERR_FAILED, errno, "looking at '%s'", path);
	if (S_ISREG(st.st_mode)) {
		*ret = (struct file_geometry){ .size = (uint64_t)st.st_size, .sector_size = 512, .phys_sector_size = 512 };
		return 0;
	}
	if (!S_ISBLK(st.st_mode))
		return err_set(e, ERR_USAGE, 0, "'%s' is neither a block device nor a plain file", path);
	int logical = 512;
	unsigned physical = 512;
	uint64_t size;
	if (ioctl(fd, BLKGETSIZE64, &size) < 0 || ioctl(fd, BLKSSZGET, &logical) < 0)
		return err_set(e, ERR_FAILED, errno, "asking the size of '%s'", path);
	if (ioctl(fd, BLKPBSZGET, &physical) < 0)
		physical = (unsigned)logical;
	*ret = (struct file_geometry){ .size = size, .sector_size = (uint32_t)logical, .phys_sector_size = physical, .is_device = true };
	return 0;
}

static int pread_all(int fd, const char *name, uint64_t off, void *buf, size_t len, struct err *e)
{
	uint8_t *p = buf;

	while (len) {
		ssize_t n = pread(fd, p, len, (off_t)off);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return err_set(e, ERR_FAILED, errno, "reading %zu bytes at %llu of '%s'", len, (unsigned long long)off, name);
		if (n == 0)
			return err_set(e, ERR_FAILED, 0, "'%s' ends at %llu, %zu bytes too early", name, (unsigned long long)off, len);
		p += n;
		off += (uint64_t)n;
		len -= (size_t)n;
	}
	return 0;
}

static bool is_aligned(uint64_t off, const void *buf, size_t len)
{
	return !((off | len | (uintptr_t)buf) & (DIRECT_ALIGN - 1));
}

/* A device may end at a sector that is not a multiple of DIRECT_ALIGN; direct_end is the last offset O_DIRECT serves. */
static int pread_bounced(int direct_fd, int fd, const char *name, uint64_t size, uint64_t off, uint8_t *buf, size_t len, struct err *e)
{
	uint64_t direct_end = round_down_u64(size, DIRECT_ALIGN);
	void *bounce;

	if (posix_memalign(&bounce, DIRECT_ALIGN, BOUNCE_SIZE))
		return err_nomem(e, "a read buffer");
	int r = 0;
	while (len && r == 0) {
		uint64_t start = round_down_u64(off, DIRECT_ALIGN);
		size_t skip = (size_t)(off - start);
		size_t n = (size_t)min_u64(len, BOUNCE_SIZE - skip);
		if (off >= direct_end) {
			r = pread_all(fd, name, off, buf, len, e);
			break;
		}
		n = (size_t)min_u64(n, direct_end - off);
		r = pread_all(direct_fd, name, start, bounce, (size_t)round_up_u64(skip + n, DIRECT_ALIGN), e);
		if (r == 0)
			memcpy(buf, (uint8_t *)bounce + skip, n);
		buf += n;
		off += n;
		len -= n;
	}
	free(bounce);
	return r;
}

struct file_source {
	struct blk_source base;
	int fd, direct_fd; /* direct_fd is -1 where O_DIRECT is not used */
	int claim_fd;      /* -1, or open with O_EXCL */
	struct stat opened; /* what it was */
};

static int file_read(struct blk_source *s, uint64_t off, void *buf, size_t len, struct err *e)
{
	struct file_source *f = (struct file_source *)s;

	if (f->direct_fd < 0)
		return pread_all(f->fd, s->name, off, buf, len, e);
	if (is_aligned(off, buf, len))
		return pread_all(f->direct_fd, s->name, off, buf, len, e);
	return pread_bounced(f->direct_fd, f->fd, s->name, s->size, off, buf, len, e);
}

static int file_fd(struct blk_source *s, uint64_t *ret_off)
{
	*ret_off = 0;
	return ((struct file_source *)s)->fd;
}

static void file_close(struct blk_source *s)
{
	struct file_source *f = (struct file_source *)s;

	if (f->fd >= 0)
		close(f->fd);
	if (f->direct_fd >= 0)
		close(f->direct_fd);
	if (f->claim_fd >= 0)
		close(f->claim_fd);
	free(f);
}

static bool file_claim(struct blk_source *s)
{
	struct file_source *f = (struct file_source *)s;

	if (f->claim_fd < 0 && S_ISBLK(f->opened.st_mode))
		f->claim_fd = open(s->name, O_RDONLY | O_EXCL | O_CLOEXEC);
	return f->claim_fd >= 0;
}

static int file_unchanged(struct blk_source *s, struct err *e)
{
	const struct file_source *f = (const struct file_source *)s;
	struct stat now;

	if (!S_ISREG(f->opened.st_mode))
		return 0;
	if (fstat(f->fd, &now) < 0)
		return err_set(e, ERR_FAILED, errno, "looking at '%s'", s->name);
	if (now.st_size == f->opened.st_size && now.st_mtim.tv_sec == f->opened.st_mtim.tv_sec && now.st_mtim.tv_nsec == f->opened.st_mtim.tv_nsec)
		return 0;
	err_set(e, ERR_FAILED, 0, "'%s' was written to while it was read", s->name);
	return err_reason(e, "changed");
}

int blk_missing(const char *path, struct err *e)
{
	err_set(e, ERR_USAGE, 0, "there is no disk or file '%s'", path);
	return err_hint(e, "'calco disks' lists what is attached");
}

int blk_not_opened(const char *path, int sys_errno, struct err *e)
{
	err_set(e, ERR_FAILED, sys_errno, "opening '%s'", path);
	if (sys_errno != EACCES || geteuid() == 0)
		return -1;
	err_hint(e, "run it as root (sudo calco ...)");
	return err_reason(e, "no-permission");
}

struct blk_source *blk_open(const char *path, uint32_t sector_size, bool direct, struct err *e)
{
	static const struct blk_source_ops ops = {
		.read = file_read,
		.fd = file_fd,
		.claim = file_claim,
		.unchanged = file_unchanged,
		.close = file_close,
	};
	struct file_source *f = alloc_array(1, sizeof(*f));
	struct file_geometry g;

	if (!f) {
		err_nomem(e, path);
		return NULL;
	}
	f->base.ops = &ops;
	f->direct_fd = f->claim_fd = -1;
	f->fd = open(path, O_RDONLY | O_CLOEXEC);
	if (f->fd < 0) {
		if (errno == ENOENT)
			blk_missing(path, e);
		else
			blk_not_opened(path, errno, e);
		blk_close(&f->base);
		return NULL;
	}
	if (fstat(f->fd, &f->opened) < 0 || read_geometry(f->fd, path, &g, e) < 0) {
		blk_close(&f->base);
		return NULL;
	}
	if (direct && g.is_device)
		f->direct_fd = open(path, O_RDONLY | O_DIRECT | O_CLOEXEC);
	else
		posix_fadvise(f->fd, 0, 0, POSIX_FADV_SEQUENTIAL);
	f->base.size = g.size;
	f->base.sector_size = sector_size ? sector_size : g.sector_size;
	f->base.phys_sector_size = max_u64(g.phys_sector_size, f->base.sector_size);
	snprintf(f->base.name, sizeof(f->base.name), "%s", path);
	return &f->base;
}

struct file_sink {
	struct blk_sink base;
	int fd, direct_fd; /* direct_fd reads back; -1 where O_DIRECT is not possible */
	bool is_device;
	char *path;        /* as it was opened, of a device without links: udev changes those with the content */
	atomic_bool no_zero, no_discard; /* the device said it cannot; a race only repeats the question */
	struct write_behind behind;
};

/* A disk that was pulled out has no size any more, and the kernel says that there is no space behind its end. */
static int write_errno(const struct file_sink *f, int number)
{
	uint64_t size = 0;

	return number == ENOSPC && f->is_device && ioctl(f->fd, BLKGETSIZE64, &size) == 0 && size < f->base.size ? ENODEV : number;
}

static int sink_write(struct blk_sink *s, uint64_t off, const void *buf, size_t len, struct err *e)
{
	struct file_sink *f = (struct file_sink *)s;
	const uint8_t *p = buf;
	size_t all = len;

	while (len) {
		ssize_t n = pwrite(f->fd, p, len, (off_t)off);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return err_set(e, ERR_FAILED, write_errno(f, n < 0 ? errno : ENOSPC), "writing %zu bytes at %llu of '%s'", len,
				(unsigned long long)off, s->name);
		p += n;
		off += (uint64_t)n;
		len -= (size_t)n;
	}
	write_behind(&f->behind, f->fd, all);
	return 0;
}

static int sink_zero_plain(struct blk_sink *s, uint64_t off, uint64_t len, struct err *e)
{
	static const uint8_t zeros[64 << 10];

	while (len) {
		size_t n = (size_t)min_u64(len, sizeof(zeros));
		if (sink_write(s, off, zeros, n, e) < 0)
			return -1;
		off += n;
		len -= n;
	}
	return 0;
}

static int sink_zero(struct blk_sink *s, uint64_t off, uint64_t len, struct err *e)
{
	struct file_sink *f = (struct file_sink *)s;
	uint64_t r[2] = { off, len };

	if (f->no_zero || (f->is_device && (off | len) % s->sector_size))
		return sink_zero_plain(s, off, len, e);
	int failed = f->is_device ? ioctl(f->fd, BLKZEROOUT, r)
				  : fallocate(f->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)off, (off_t)len);
	if (!failed)
		return 0;
	if (errno == EOPNOTSUPP || errno == ENOTTY || errno == ENOSYS)
		f->no_zero = true;
	return sink_zero_plain(s, off, len, e);
}

static int sink_discard(struct blk_sink *s, uint64_t off, uint64_t len, struct err *e)
{
	struct file_sink *f = (struct file_sink *)s;
	uint64_t end = round_down_u64(off + len, s->phys_sector_size);
	uint64_t start = round_up_u64(off, s->phys_sector_size);
	uint64_t r[2] = { start, end - start };

	(void)e;
	if (f->no_discard || end <= start)
		return 0;
	int failed = f->is_device ? ioctl(f->fd, BLKDISCARD, r)
				  : fallocate(f->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)r[0], (off_t)r[1]);
	if (failed) /* a discard is advice; a device that cannot is asked no more */
		f->no_discard = true;
	return 0;
}

static int sink_flush(struct blk_sink *s, struct err *e)
{
	struct file_sink *f = (struct file_sink *)s;

	if (fsync(f->fd) < 0)
		return err_set(e, ERR_FAILED, errno, "flushing '%s'", s->name);
	return 0;
}

static int sink_read_back(struct blk_sink *s, uint64_t off, void *buf, size_t len, struct err *e)
{
	struct file_sink *f = (struct file_sink *)s;

	if (f->direct_fd >= 0 && is_aligned(off, buf, len))
		return pread_all(f->direct_fd, s->name, off, buf, len, e);
	/* Clean pages are dropped by DONTNEED, so what follows comes from the medium. */
	posix_fadvise(f->fd, (off_t)off, (off_t)len, POSIX_FADV_DONTNEED);
	if (f->direct_fd >= 0)
		return pread_bounced(f->direct_fd, f->fd, s->name, s->size, off, buf, len, e);
	return pread_all(f->fd, s->name, off, buf, len, e);
}

static void sink_rescan(struct blk_sink *s)
{
	struct file_sink *f = (struct file_sink *)s;

	if (f->is_device)
		ioctl(f->fd, BLKRRPART); /* EINVAL for a device that has no partitions: nothing is lost */
}

/* A file is its place on its file system, a device its number: udev may make the node anew. */
static int sink_still_there(struct blk_sink *s, struct err *e)
{
	const struct file_sink *f = (const struct file_sink *)s;
	struct stat opened, named;

	if (fstat(f->fd, &opened) < 0)
		return err_set(e, ERR_FAILED, errno, "looking at '%s'", s->name);
	if (stat(f->path, &named) < 0)
		err_set(e, ERR_FAILED, errno, "'%s' is not there any more: it was removed while it was written", s->name);
	else if (f->is_device ? !S_ISBLK(named.st_mode) || named.st_rdev != opened.st_rdev
			      : named.st_dev != opened.st_dev || named.st_ino != opened.st_ino)
		err_set(e, ERR_FAILED, 0, "'%s' is not the %s any more that was written: it was replaced meanwhile", s->name,
			f->is_device ? "disk" : "file");
	else
		return 0;
	return err_reason(e, "replaced");
}

static void sink_close(struct blk_sink *s)
{
	struct file_sink *f = (struct file_sink *)s;

	if (f->fd >= 0)
		close(f->fd);
	if (f->direct_fd >= 0)
		close(f->direct_fd);
	free(f->path);
	free(f);
}

static int sink_claim(struct file_sink *f, const char *path, struct err *e)
{
	struct stat st;
	bool is_device = stat(path, &st) == 0 && S_ISBLK(st.st_mode);

	f->fd = open(path, O_RDWR | O_CLOEXEC | (is_device ? O_EXCL : 0));
	if (f->fd < 0 && errno == EBUSY) {
		err_set(e, ERR_REFUSED, 0, "'%s' is in use (mounted, or held by another program)", path);
		return err_reason(e, "in-use");
	}
	if (f->fd < 0)
		return errno == ENOENT ? blk_missing(path, e) : err_set(e, ERR_FAILED, errno, "opening '%s' for writing", path);
	if (!is_device && flock(f->fd, LOCK_EX | LOCK_NB) < 0) {
		err_set(e, ERR_REFUSED, 0, "'%s' is being written by another program", path);
		return err_reason(e, "in-use");
	}
	f->direct_fd = open(path, O_RDONLY | O_DIRECT | O_CLOEXEC);
	return 0;
}

struct blk_sink *blk_sink_open(const char *path, struct err *e)
{
	static const struct blk_sink_ops ops = {
		.write = sink_write,
		.zero = sink_zero,
		.discard = sink_discard,
		.flush = sink_flush,
		.read_back = sink_read_back,
		.rescan = sink_rescan,
		.still_there = sink_still_there,
		.close = sink_close,
	};
	struct file_sink *f = alloc_array(1, sizeof(*f));
	struct file_geometry g;

	if (!f) {
		err_nomem(e, path);
		return NULL;
	}
	f->base.ops = &ops;
	f->fd = f->direct_fd = -1;
	if (sink_claim(f, path, e) < 0 || read_geometry(f->fd, path, &g, e) < 0) {
		blk_sink_close(&f->base);
		return NULL;
	}
	f->path = g.is_device ? realpath(path, NULL) : strdup(path);
	if (!f->path) {
		err_set(e, ERR_FAILED, errno, "opening '%s' for writing", path);
		blk_sink_close(&f->base);
		return NULL;
	}
	f->is_device = g.is_device;
	f->base.is_file = !g.is_device;
	f->base.size = g.size;
	f->base.sector_size = g.sector_size;
	f->base.phys_sector_size = g.phys_sector_size;
	snprintf(f->base.name, sizeof(f->base.name), "%s", path);
	return &f->base;
}

struct sink_source {
	struct blk_source base;
	struct blk_sink *sink;
};

static int sink_source_read(struct blk_source *s, uint64_t off, void *buf, size_t len, struct err *e)
{
	return blk_read_back(((struct sink_source *)s)->sink, off, buf, len, e);
}

static int sink_source_fd(struct blk_source *s, uint64_t *ret_off)
{
	struct blk_sink *sink = ((struct sink_source *)s)->sink;

	*ret_off = 0;
	return sink->ops->close == sink_close ? ((struct file_sink *)sink)->fd : -1;
}

static void sink_source_close(struct blk_source *s)
{
	free(s);
}

struct blk_source *blk_sink_source(struct blk_sink *sink, struct err *e)
{
	static const struct blk_source_ops ops = { .read = sink_source_read, .fd = sink_source_fd, .close = sink_source_close };
	struct sink_source *s = alloc_array(1, sizeof(*s));

	if (!s) {
		err_nomem(e, sink->name);
		return NULL;
	}
	s->base = (struct blk_source){ .ops = &ops, .size = sink->size, .sector_size = sink->sector_size,
		.phys_sector_size = sink->phys_sector_size };
	snprintf(s->base.name, sizeof(s->base.name), "%s", sink->name);
	s->sink = sink;
	return &s->base;
}
