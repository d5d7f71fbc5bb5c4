/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The state record; see state.h. A file:
 *
 *   0     header, 1024 bytes: "CALCOSR1", u32 status (0 open, 1 finished), u32 zero, u64 size of the target, what it is called (512 bytes),
 *         root of the image when finished (32), of a plain file its inode and time of birth (24), CRC-32 of all that at 1020
 *   1024  two slots of 512 bytes for the high-water mark: u64 mark, u64 sequence, u32 CRC; the newer valid one counts, which may be the lower
 *   2048  entries: "SAVE" or "LATE", u32 length, u64 start, u32 CRC of the bytes, u32 CRC of the 20 bytes before, then the bytes.
 *         "SAVE" is what stood there before the first attempt; "LATE" is what a later attempt found below the mark, where an
 *         earlier one may have written
 *
 * A torn entry at the end was never synced, so the target was not changed for it: it is written over. A new record is made beside its
 * name and moved there, so that what stands under the name always has a whole header.
 */
#include "imager/job/state.h"

#include "base/arith.h"
#include "base/folder.h"
#include "base/hash.h"
#include "base/span.h"
#include "imager/disk/device.h"
#include "imager/job/holds.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>

#define HEADER_SIZE  1024U
#define SLOT_SIZE    512U
#define FIRST_ENTRY  2048U
#define ENTRY_HEADER 24U
#define MAX_ENTRY    (16U << 20)
#define MARK_STEP    ((uint64_t)256 << 20)
#define NAME_SIZE    512U
#define KEEP_FINISHED 32U /* records of finished restores */

struct saved_range {
	uint64_t start, len;
	uint64_t place; /* of the bytes in the file */
};

struct state {
	char path[PATH_MAX];
	char target[NAME_SIZE];
	uint64_t target_size;
	int fd; /* -1 until something is saved */
	bool is_new;   /* this attempt began it */
	bool is_usual; /* it lies where state_default() says: the folder is ours */
	uint64_t end; /* where the next entry goes */
	uint64_t mark, mark_seq;
	uint64_t old_mark; /* of earlier attempts */
	struct saved_range *saved;
	size_t nr_saved, nr_old; /* nr_old: of them by earlier attempts */
};

static int make_folders(const char *path, struct err *e)
{
	char part[PATH_MAX];

	for (const char *p = strchr(path + 1, '/'); p; p = strchr(p + 1, '/')) {
		snprintf(part, sizeof(part), "%.*s", (int)(p - path), path);
		if (mkdir(part, 0700) < 0 && errno != EEXIST)
			return err_set(e, ERR_FAILED, errno, "making the folder '%s'", part);
	}
	return 0;
}

/*
 * What a record calls its target: a disk by its serial number and model, which stay when /dev/sda is /dev/sdb after the next start; a loop
 * device by its file; anything else, and a partition, by its path.
 */
static void name_target(const char *target, char ret[NAME_SIZE])
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

int state_default(const char *target, char *ret, size_t size, struct err *e)
{
	const char *home = getenv("HOME");
	char folder[PATH_MAX], name[NAME_SIZE], file[140];

	if (geteuid() == 0)
		snprintf(folder, sizeof(folder), "/var/lib/calco/state");
	else if (home)
		snprintf(folder, sizeof(folder), "%.3000s/.local/state/calco", home);
	else
		return err_set(e, ERR_FAILED, 0, "no place for the state record: HOME is not set");
	name_target(target, name);
	name_file(name, file);
	int n = snprintf(ret, size, "%s/%s", folder, file);
	if (n < 0 || (size_t)n >= size)
		return err_set(e, ERR_FAILED, ENAMETOOLONG, "no place for the state record");
	return 0;
}

static int write_at(const struct state *s, uint64_t off, const void *bytes, size_t len, struct err *e)
{
	const uint8_t *p = bytes;

	while (len) {
		ssize_t n = pwrite(s->fd, p, len, (off_t)off);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return err_set(e, ERR_FAILED, n < 0 ? errno : ENOSPC, "writing the state record '%s'", s->path);
		p += n;
		off += (uint64_t)n;
		len -= (size_t)n;
	}
	return 0;
}

/* All of it: 1; the file ends before: 0. A read that fails is neither: what lies there may be whole and must not be written over. */
static int read_at(const struct state *s, uint64_t off, void *bytes, size_t len, struct err *e)
{
	uint8_t *p = bytes;

	while (len) {
		ssize_t n = pread(s->fd, p, len, (off_t)off);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return err_set(e, ERR_FAILED, errno, "reading the state record '%s'", s->path);
		if (n == 0)
			return 0;
		p += n;
		off += (uint64_t)n;
		len -= (size_t)n;
	}
	return 1;
}

#define FILE_ID      (24 + NAME_SIZE + 32)
#define FILE_ID_SIZE 24U

/* Which file a plain file is, when another one may have got its name: inode, and time of birth where that is known. Zeros for a device. */
static void identify_file(const char *path, uint8_t ret[FILE_ID_SIZE])
{
	struct statx sx;

	memset(ret, 0, FILE_ID_SIZE);
	if (statx(AT_FDCWD, path, 0, STATX_INO | STATX_BTIME | STATX_TYPE, &sx) < 0 || !S_ISREG(sx.stx_mode))
		return;
	put_le64(ret, 0, sx.stx_ino);
	if (sx.stx_mask & STATX_BTIME) {
		put_le64(ret, 8, (uint64_t)sx.stx_btime.tv_sec);
		put_le32(ret, 16, sx.stx_btime.tv_nsec);
	}
	put_le32(ret, 20, 1);
}

bool state_is_of_file(const struct state *s, const char *path)
{
	uint8_t was[FILE_ID_SIZE], now[FILE_ID_SIZE];
	struct err ignored = ERR_INIT;

	identify_file(path, now);
	return s->fd >= 0 && get_le32(now + 20) && read_at(s, FILE_ID, was, sizeof(was), &ignored) == 1 && !memcmp(was, now, sizeof(now));
}

static int write_header(const struct state *s, uint32_t status, const uint8_t *root, struct err *e)
{
	uint8_t b[HEADER_SIZE] = "CALCOSR1";

	put_le32(b, 8, status);
	put_le64(b, 16, s->target_size);
	memcpy(b + 24, s->target, NAME_SIZE);
	if (root)
		memcpy(b + 24 + NAME_SIZE, root, 32);
	identify_file(s->target, b + FILE_ID);
	put_le32(b, HEADER_SIZE - 4, crc32_of(b, HEADER_SIZE - 4));
	return write_at(s, 0, b, sizeof(b), e);
}

static int read_marks(struct state *s, struct err *e)
{
	uint8_t b[20];

	for (unsigned slot = 0; slot < 2; slot++) {
		int r = read_at(s, HEADER_SIZE + slot * SLOT_SIZE, b, sizeof(b), e);
		if (r < 0)
			return -1;
		if (r == 1 && get_le32(b + 16) == crc32_of(b, 16) && get_le64(b + 8) >= s->mark_seq) {
			s->mark_seq = get_le64(b + 8);
			s->mark = get_le64(b);
		}
	}
	return 0;
}

/* The entry that begins at s->end */
static int remember(struct state *s, uint64_t start, uint64_t len, struct err *e)
{
	struct saved_range *grown = realloc(s->saved, (s->nr_saved + 1) * sizeof(*grown));

	if (!grown)
		return err_nomem(e, "the state record");
	s->saved = grown;
	s->saved[s->nr_saved++] = (struct saved_range){ start, len, s->end + ENTRY_HEADER };
	s->end += ENTRY_HEADER + len;
	return 0;
}

/* The entry at `at` into h and bytes (MAX_ENTRY of them): 1; 0 behind the last whole one; -1. */
static int read_entry(const struct state *s, uint64_t at, uint8_t h[ENTRY_HEADER], uint8_t *bytes, struct err *e)
{
	int r = read_at(s, at, h, ENTRY_HEADER, e);

	if (r <= 0 || (memcmp(h, "SAVE", 4) && memcmp(h, "LATE", 4)) || get_le32(h + 20) != crc32_of(h, 20))
		return r < 0 ? -1 : 0;
	uint32_t len = get_le32(h + 4);
	if (len == 0 || len > MAX_ENTRY)
		return 0;
	r = read_at(s, at + ENTRY_HEADER, bytes, len, e);
	return r <= 0 ? r : crc32_of(bytes, len) == get_le32(h + 16);
}

int state_each(struct state *s, state_saved_fn fn, void *arg, struct err *e)
{
	uint8_t h[ENTRY_HEADER];
	int r;
	AUTO_FREE uint8_t *bytes = malloc(MAX_ENTRY);

	if (!bytes)
		return err_nomem(e, "the state record");
	for (uint64_t at = FIRST_ENTRY; (r = read_entry(s, at, h, bytes, e)) == 1; at += ENTRY_HEADER + get_le32(h + 4))
		if (fn(arg, get_le64(h + 8), bytes, get_le32(h + 4), h[0] == 'L', e) < 0)
			return -1;
	return r;
}

static int remember_entry(void *arg, uint64_t start, const uint8_t *bytes, size_t len, bool is_late, struct err *e)
{
	struct state *s = arg;

	(void)bytes, (void)is_late;
	return remember(s, start, len, e);
}

enum record { RECORD_NONE, RECORD_FINISHED, RECORD_OPEN };

static bool is_header_whole(const uint8_t b[HEADER_SIZE])
{
	return get_le32(b + HEADER_SIZE - 4) == crc32_of(b, HEADER_SIZE - 4);
}

bool state_fd_is_finished(int fd)
{
	uint8_t b[HEADER_SIZE];

	return pread(fd, b, sizeof(b), 0) == (ssize_t)sizeof(b) && !memcmp(b, "CALCOSR1", 8) && is_header_whole(b) && get_le32(b + 8) == 1;
}

/* Only state_finish() replaces a header: when half of it was written, the other status makes the sum right. */
static bool is_header_half_finished(const uint8_t b[HEADER_SIZE])
{
	uint8_t other[HEADER_SIZE];

	memcpy(other, b, HEADER_SIZE);
	put_le32(other, 8, !get_le32(b + 8));
	return is_header_whole(other);
}

static int refuse_damaged(const struct state *s, struct err *e)
{
	err_set(e, ERR_CORRUPT, 0, "the state record '%s' is damaged", s->path);
	err_hint(e, "what it saved of the disk may still be in it; if that is not needed any more, remove it and restore again");
	return err_reason(e, "state");
}

/* What stands in the file; an open record is continued. -1: not readable, or somebody else's. */
static int continue_record(struct state *s, enum record *ret, struct err *e)
{
	uint8_t b[HEADER_SIZE] = { 0 };
	int r = read_at(s, 0, b, sizeof(b), e);
	struct stat st;

	if (r < 0)
		return -1;
	*ret = RECORD_NONE;
	if (memcmp(b, "CALCOSR1", 8) && fstat(s->fd, &st) == 0 && st.st_size > 0) {
		err_set(e, ERR_REFUSED, 0, "'%s' exists and is not a state record", s->path);
		return err_reason(e, "state");
	}
	if (memcmp(b, "CALCOSR1", 8))
		return 0;
	*ret = RECORD_FINISHED;
	if (is_header_half_finished(b) || (is_header_whole(b) && get_le32(b + 8) == 1))
		return 0;
	if (!is_header_whole(b))
		return refuse_damaged(s, e);
	*ret = RECORD_OPEN;
	if (get_le64(b + 16) != s->target_size || memcmp(b + 24, s->target, NAME_SIZE)) {
		err_set(e, ERR_REFUSED, 0, "'%s' is the unfinished state record of another target ('%.200s')", s->path, (const char *)b + 24);
		err_hint(e, "finish that restore first, or name another file with --state");
		return err_reason(e, "state");
	}
	if (read_marks(s, e) < 0 || state_each(s, remember_entry, s, e) < 0)
		return -1;
	s->nr_old = s->nr_saved;
	s->old_mark = s->mark;
	return 0;
}

/* Only a plain file can be a record; anything else is somebody's, and may not even be opened without harm. */
static int check_kind(const struct state *s, struct err *e)
{
	struct stat st;

	if (lstat(s->path, &st) < 0 || S_ISREG(st.st_mode))
		return 0;
	err_set(e, ERR_REFUSED, 0, "'%s' is not a plain file and cannot be a state record", s->path);
	return err_reason(e, "state");
}

static int lock_record(const struct state *s, struct err *e)
{
	if (flock(s->fd, LOCK_EX | LOCK_NB) == 0)
		return 0;
	err_set(e, ERR_REFUSED, 0, "the state record '%s' is in use: another restore of this target is running", s->path);
	return err_reason(e, "in-use");
}

static int open_existing(struct state *s, struct err *e)
{
	if (check_kind(s, e) < 0)
		return -1;
	s->fd = open(s->path, O_RDWR | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	if (s->fd < 0)
		return errno == ENOENT ? 0 : err_set(e, ERR_FAILED, errno, "opening the state record '%s'", s->path);
	return lock_record(s, e);
}

static int begin(struct state *s, const char *path, const char *target, uint64_t target_size, struct err *e)
{
	if (!s)
		return err_nomem(e, "the state record");
	s->fd = -1;
	s->end = FIRST_ENTRY;
	s->target_size = target_size;
	name_target(target, s->target);
	if ((size_t)snprintf(s->path, sizeof(s->path), "%s", path) >= sizeof(s->path))
		return err_set(e, ERR_USAGE, ENAMETOOLONG, "the state record");
	char usual[PATH_MAX];
	struct err ignored = ERR_INIT;
	s->is_usual = state_default(target, usual, sizeof(usual), &ignored) == 0 && !strcmp(usual, path);
	return open_existing(s, e);
}

int state_open_unfinished(const char *path, const char *target, uint64_t target_size, struct state **ret, struct err *e)
{
	enum record found;
	AUTO(state) struct state *s = alloc_array(1, sizeof(*s));

	if (begin(s, path, target, target_size, e) < 0)
		return -1;
	if (s->fd < 0) {
		err_set(e, ERR_USAGE, 0, "there is no state record '%s'", path);
		err_hint(e, "--state FILE names the record that the restore wrote");
		return err_reason(e, "no-record");
	}
	if (continue_record(s, &found, e) < 0)
		return -1;
	if (found == RECORD_FINISHED) {
		err_set(e, ERR_REFUSED, 0, "the restore of '%s' was finished: what stood there before is gone", target);
		return err_reason(e, "finished");
	}
	if (found != RECORD_OPEN)
		return refuse_damaged(s, e);
	*ret = take(&s);
	return 0;
}

uint64_t state_get_mark(const struct state *s)
{
	return s->mark;
}

int state_remove(struct state *s, struct err *e)
{
	if (unlink(s->path) < 0)
		return err_set(e, ERR_FAILED, errno, "removing the state record '%s'", s->path);
	return folder_flush(s->path, e);
}

int state_open(const char *path, const char *target, uint64_t target_size, struct state **ret, struct err *e)
{
	enum record found = RECORD_NONE;
	AUTO(state) struct state *s = alloc_array(1, sizeof(*s));

	if (begin(s, path, target, target_size, e) < 0)
		return -1;
	if (s->fd >= 0 && continue_record(s, &found, e) < 0)
		return -1;
	if (s->fd >= 0 && found != RECORD_OPEN) {
		close(s->fd);
		s->fd = -1;
	}
	*ret = take(&s);
	return 0;
}

/* The first byte at or behind `at` that is saved already, and the end of that range; UINT64_MAX when there is none before `end`. */
static uint64_t next_saved(const struct state *s, uint64_t at, uint64_t end, uint64_t *ret_end)
{
	uint64_t best = UINT64_MAX;

	for (size_t i = 0; i < s->nr_saved; i++) {
		uint64_t start = max_u64(s->saved[i].start, at), stop = s->saved[i].start + s->saved[i].len;
		if (stop > at && start < end && start < best) {
			best = start;
			*ret_end = stop;
		}
	}
	return best;
}

/* In our own folder records of long ago make room; what cannot be removed stays. */
static int put_in_place(const struct state *s, const char *part, struct err *e)
{
	char folder[PATH_MAX];
	AUTO_CLOSE_FD int lock = s->is_usual && folder_of(s->path, folder, sizeof(folder)) == 0 ? state_lock_folder(folder) : -1;

	if (rename(part, s->path) < 0)
		return err_set(e, ERR_FAILED, errno, "beginning the state record '%s'", s->path);
	if (lock >= 0)
		state_prune(lock, KEEP_FINISHED);
	return 0;
}

/* Beside its name under one that nobody has, then moved there: what stands under the name is always a whole header. */
static int begin_file(struct state *s, struct err *e)
{
	char part[PATH_MAX];

	if ((size_t)snprintf(part, sizeof(part), "%s.XXXXXX", s->path) >= sizeof(part))
		return err_set(e, ERR_USAGE, ENAMETOOLONG, "the state record");
	if (make_folders(s->path, e) < 0)
		return err_hint(e, "name a place for the state record with --state FILE, on another disk than the target");
	s->fd = mkostemp(part, O_CLOEXEC);
	if (s->fd < 0)
		return err_set(e, ERR_FAILED, errno, "making the state record '%s'", s->path);
	int r = lock_record(s, e);
	if (r == 0)
		r = write_header(s, 0, NULL, e);
	if (r == 0)
		r = state_sync(s, e);
	if (r == 0)
		r = check_kind(s, e);
	if (r == 0)
		r = put_in_place(s, part, e);
	if (r < 0) {
		unlink(part);
		return -1;
	}
	s->is_new = true;
	return folder_flush(s->path, e);
}

static int append(struct state *s, uint64_t start, const uint8_t *bytes, size_t len, struct err *e)
{
	uint8_t h[ENTRY_HEADER];

	memcpy(h, start < s->mark ? "LATE" : "SAVE", 4);
	put_le32(h, 4, (uint32_t)len);
	put_le64(h, 8, start);
	put_le32(h, 16, crc32_of(bytes, len));
	put_le32(h, 20, crc32_of(h, 20));
	if (write_at(s, s->end, h, sizeof(h), e) < 0 || write_at(s, s->end + sizeof(h), bytes, len, e) < 0)
		return -1;
	return remember(s, start, len, e);
}

/*
 * What an earlier attempt saved and did not write over stands there as it was, or is cleared, wholly or in part. Other bytes are
 * somebody else's: to clear them for what the record has of long ago would lose them.
 */
static int compare_saved(const struct state *s, const struct saved_range *known, uint64_t start, const uint8_t *bytes, size_t len, struct err *e)
{
	uint64_t from = max_u64(max_u64(start, known->start), s->mark), to = min_u64(start + len, known->start + known->len);
	AUTO_FREE uint8_t *was = NULL;

	if (from >= to)
		return 0;
	was = malloc((size_t)(to - from));
	if (!was)
		return err_nomem(e, "the state record");
	if (read_at(s, known->place + (from - known->start), was, (size_t)(to - from), e) < 0)
		return -1;
	if (holds_could_leave(from, was, bytes + (from - start), (size_t)(to - from)))
		return 0;
	err_set(e, ERR_REFUSED, 0, "'%.200s' was used since the restore that was cut short, of which '%s' tells", s->target, s->path);
	err_hint(e, "if nothing of before that restore is needed any more, remove this record and restore again");
	return err_reason(e, "state");
}

int state_check(const struct state *s, uint64_t start, const uint8_t *bytes, size_t len, struct err *e)
{
	for (size_t i = 0; i < s->nr_old; i++)
		if (compare_saved(s, &s->saved[i], start, bytes, len, e) < 0)
			return -1;
	return 0;
}

int state_save(struct state *s, uint64_t start, const uint8_t *bytes, size_t len, struct err *e)
{
	uint64_t at = start, end = start + len;

	if ((s->fd < 0 && begin_file(s, e) < 0) || state_check(s, start, bytes, len, e) < 0)
		return -1;
	while (at < end) {
		uint64_t saved_end = end, saved = next_saved(s, at, end, &saved_end);
		uint64_t stop = min_u64(min_u64(saved, end), at + MAX_ENTRY);
		if (at < s->mark)
			stop = min_u64(stop, s->mark);
		if (stop > at && append(s, at, bytes + (at - start), (size_t)(stop - at), e) < 0)
			return -1;
		at = stop == saved ? saved_end : stop;
	}
	return 0;
}

int state_sync(struct state *s, struct err *e)
{
	if (s->fd < 0)
		return begin_file(s, e);
	if (fsync(s->fd) < 0)
		return err_set(e, ERR_FAILED, errno, "flushing the state record '%s'", s->path);
	return 0;
}

/* A slot that is torn leaves the mark of before. */
static int write_mark(struct state *s, uint64_t mark, struct err *e)
{
	uint8_t b[20];

	s->mark = mark;
	s->mark_seq++;
	put_le64(b, 0, s->mark);
	put_le64(b, 8, s->mark_seq);
	put_le32(b, 16, crc32_of(b, 16));
	if (write_at(s, HEADER_SIZE + (s->mark_seq & 1) * SLOT_SIZE, b, sizeof(b), e) < 0)
		return -1;
	return state_sync(s, e);
}

int state_mark(struct state *s, uint64_t upto, struct err *e)
{
	if (s->fd < 0 || upto <= s->mark)
		return 0;
	return write_mark(s, max_u64(upto, min_u64(upto + min_u64(MARK_STEP, UINT64_MAX - upto), s->target_size)), e);
}

int state_settle(struct state *s, uint64_t reached, struct err *e)
{
	uint64_t mark = max_u64(reached, s->old_mark);

	return s->fd < 0 || mark >= s->mark ? 0 : write_mark(s, mark, e);
}

void state_forget(struct state *s)
{
	struct err ignored = ERR_INIT;

	if (s->fd >= 0 && s->is_new)
		state_remove(s, &ignored);
}

int state_finish(struct state *s, const uint8_t root[32], struct err *e)
{
	if (s->fd < 0)
		return 0;
	if (!s->nr_saved && unlink(s->path) < 0)
		return err_set(e, ERR_FAILED, errno, "removing the state record '%s'", s->path);
	if (!s->nr_saved)
		return 0;
	if (write_header(s, 1, root, e) < 0)
		return -1;
	return state_sync(s, e);
}

bool state_is_open(const struct state *s)
{
	return s->fd >= 0;
}

const char *state_path(const struct state *s)
{
	return s->fd >= 0 && s->nr_saved ? s->path : "";
}

void state_close(struct state *s)
{
	if (!s)
		return;
	if (s->fd >= 0)
		close(s->fd);
	free(s->saved);
	free(s);
}
