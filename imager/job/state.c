/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The state record; see state.h. A file:
 *
 *   0     header, 1024 bytes: "CALCOSR1", u32 status (0 open, 1 finished), u32 zero, u64 size of the target, what it is called (512 bytes),
 *         root of the image when finished (32), of a plain file its inode and time of birth (24), CRC-32 of all that at 1020
 *   1024  two slots of 512 bytes for the high-water mark: u64 mark, u64 sequence, u32 CRC; the newer valid one counts, which may be the lower
 *   2048  entries (state_entries.c)
 *
 * A new record is made beside its name and moved there, so that what stands under the name always has a whole header.
 */
#include "imager/job/state_inner.h"

#include "base/arith.h"
#include "base/folder.h"
#include "base/hash.h"
#include "base/span.h"
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
#define MARK_STEP    ((uint64_t)256 << 20)
#define KEEP_FINISHED 32U /* records of finished restores */

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

int state_write_at(const struct state *s, uint64_t off, const void *bytes, size_t len, struct err *e)
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

int state_read_at(const struct state *s, uint64_t off, void *bytes, size_t len, struct err *e)
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

static bool is_of_other_file(const struct state *s, const uint8_t was[STATE_ID_SIZE])
{
	uint8_t now[STATE_ID_SIZE];

	state_identify(s->target, now);
	return get_le32(was + 20) && memcmp(was, now, sizeof(now)) != 0;
}

static int write_header(const struct state *s, uint32_t status, const uint8_t *root, struct err *e)
{
	uint8_t b[HEADER_SIZE] = "CALCOSR1";

	put_le32(b, 8, status);
	put_le64(b, 16, s->target_size);
	memcpy(b + 24, s->target, NAME_SIZE);
	if (root)
		memcpy(b + 24 + NAME_SIZE, root, 32);
	state_identify(s->target, b + FILE_ID);
	put_le32(b, HEADER_SIZE - 4, crc32_of(b, HEADER_SIZE - 4));
	return state_write_at(s, 0, b, sizeof(b), e);
}

static int read_marks(struct state *s, struct err *e)
{
	uint8_t b[20];

	for (unsigned slot = 0; slot < 2; slot++) {
		int r = state_read_at(s, HEADER_SIZE + slot * SLOT_SIZE, b, sizeof(b), e);
		if (r < 0)
			return -1;
		if (r == 1 && get_le32(b + 16) == crc32_of(b, 16) && get_le64(b + 8) >= s->mark_seq) {
			s->mark_seq = get_le64(b + 8);
			s->mark = get_le64(b);
		}
	}
	return 0;
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
	err_hint(e, "what it saved of the disk may still be in it; if that is not needed any more: calco undo --forget --state %.150s, and restore again",
		s->path);
	return err_reason(e, "state");
}

/* What stands in the file; an open record is continued. -1: not readable, or somebody else's. */
static int continue_record(struct state *s, enum record *ret, struct err *e)
{
	uint8_t b[HEADER_SIZE] = { 0 };
	int r = state_read_at(s, 0, b, sizeof(b), e);
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
	if (memcmp(b + 24, s->target, NAME_SIZE)) {
		err_set(e, ERR_REFUSED, 0, "'%s' is the unfinished state record of another target ('%.200s')", s->path, (const char *)b + 24);
		err_hint(e, "finish that restore first, or name another file with --state");
		return err_reason(e, "state");
	}
	s->is_other = get_le64(b + 16) != s->target_size || is_of_other_file(s, b + FILE_ID);
	if (read_marks(s, e) < 0 || state_read_entries(s, e) < 0)
		return -1;
	s->nr_old = s->nr_saved;
	s->old_mark = s->mark;
	return 0;
}

int state_load(struct state *s, bool *ret_finished, struct err *e)
{
	uint8_t b[HEADER_SIZE] = { 0 };

	if (state_read_at(s, 0, b, sizeof(b), e) < 0)
		return -1;
	if (memcmp(b, "CALCOSR1", 8)) {
		err_set(e, ERR_REFUSED, 0, "'%s' is not a state record", s->path);
		return err_reason(e, "state");
	}
	*ret_finished = is_header_half_finished(b) || (is_header_whole(b) && get_le32(b + 8) == 1);
	if (!is_header_whole(b) && !*ret_finished)
		return refuse_damaged(s, e);
	memcpy(s->target, b + 24, NAME_SIZE);
	s->target[NAME_SIZE - 1] = '\0';
	s->target_size = get_le64(b + 16);
	s->is_other = is_of_other_file(s, b + FILE_ID);
	return read_marks(s, e) < 0 ? -1 : state_read_entries(s, e);
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

int state_init(struct state *s, const char *path, struct err *e)
{
	s->fd = -1;
	pthread_mutex_init(&s->lock, NULL);
	s->end = FIRST_ENTRY;
	if ((size_t)snprintf(s->path, sizeof(s->path), "%s", path) >= sizeof(s->path))
		return err_set(e, ERR_USAGE, ENAMETOOLONG, "the state record");
	return 0;
}

static int begin(struct state *s, const char *path, const char *target, uint64_t target_size, struct err *e)
{
	if (!s)
		return err_nomem(e, "the state record");
	if (state_init(s, path, e) < 0)
		return -1;
	s->target_size = target_size;
	state_name_target(target, s->target);
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

/* A name beside its own that nobody has. */
static int move_aside(const struct state *s, char *ret, size_t size, struct err *e)
{
	struct stat st;

	for (unsigned n = 1; n < 10000; n++) {
		if ((size_t)snprintf(ret, size, "%s.old-%u", s->path, n) >= size)
			return err_set(e, ERR_FAILED, ENAMETOOLONG, "setting the state record '%s' aside", s->path);
		if (renameat2(AT_FDCWD, s->path, AT_FDCWD, ret, RENAME_NOREPLACE) == 0)
			return folder_flush(s->path, e);
		/* A file system that does not know the flag. */
		if (errno == EINVAL && lstat(ret, &st) < 0 && errno == ENOENT && rename(s->path, ret) == 0)
			return folder_flush(s->path, e);
		if (errno != EEXIST && errno != EINVAL && errno != 0)
			break;
	}
	return err_set(e, ERR_FAILED, errno, "setting the state record '%s' aside", s->path);
}

int state_set_aside(struct state *s, char *ret, size_t size, struct err *e)
{
	if (move_aside(s, ret, size, e) < 0)
		return -1;
	close(s->fd);
	s->fd = -1;
	s->is_other = false;
	s->end = FIRST_ENTRY;
	s->mark = s->mark_seq = 0;
	s->nr_parts = s->nr_saved = s->nr_old = s->nr_notes = s->nr_sorted = s->nr_places = 0;
	free(take(&s->places));
	return 0;
}

bool state_is_other(const struct state *s)
{
	return s->is_other;
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
	if (state_read_at(s, known->place + (from - known->start), was, (size_t)(to - from), e) < 0)
		return -1;
	if (holds_could_leave(from, was, bytes + (from - start), (size_t)(to - from)))
		return 0;
	err_set(e, ERR_REFUSED, 0, "'%.200s' was used since the restore that was cut short, of which '%s' tells", s->target, s->path);
	err_hint(e, "if nothing of before that restore is needed any more, remove this record and restore again");
	return err_reason(e, "state");
}

static int check_saved(const struct state *s, uint64_t start, const uint8_t *bytes, size_t len, struct err *e)
{
	for (size_t i = 0; i < s->nr_old; i++)
		if (compare_saved(s, &s->saved[i], start, bytes, len, e) < 0)
			return -1;
	return 0;
}

int state_save(struct state *s, uint64_t start, const uint8_t *bytes, size_t len, struct err *e)
{
	uint64_t at = start, end = start + len;

	if ((s->fd < 0 && begin_file(s, e) < 0) || check_saved(s, start, bytes, len, e) < 0)
		return -1;
	while (at < end) {
		uint64_t saved_end = end, saved = next_saved(s, at, end, &saved_end);
		uint64_t stop = min_u64(min_u64(saved, end), at + MAX_ENTRY);
		if (at < s->mark)
			stop = min_u64(stop, s->mark);
		if (stop > at && state_append(s, at, bytes + (at - start), (size_t)(stop - at), e) < 0)
			return -1;
		at = stop == saved ? saved_end : stop;
	}
	return 0;
}

int state_sync(struct state *s, struct err *e)
{
	if (s->is_stale) {
		free(take(&s->places));
		s->is_stale = false;
	}
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
	if (state_write_at(s, HEADER_SIZE + (s->mark_seq & 1) * SLOT_SIZE, b, sizeof(b), e) < 0)
		return -1;
	return state_sync(s, e);
}

int state_mark(struct state *s, uint64_t upto, struct err *e)
{
	pthread_mutex_lock(&s->lock);
	int r = s->fd < 0 || upto <= s->mark ? 0
		: write_mark(s, max_u64(upto, min_u64(upto + min_u64(MARK_STEP, UINT64_MAX - upto), s->target_size)), e);
	pthread_mutex_unlock(&s->lock);
	return r;
}

int state_settle(struct state *s, uint64_t reached, struct err *e)
{
	uint64_t mark = max_u64(reached, s->old_mark);

	return s->fd < 0 || mark >= s->mark ? 0 : write_mark(s, mark, e);
}

void state_withdraw(struct state *s)
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

bool state_is_begun(const struct state *s)
{
	return s->nr_saved || s->nr_notes || s->mark;
}

uint64_t state_saved_bytes(const struct state *s)
{
	uint64_t bytes = 0;

	for (size_t i = 0; i < s->nr_saved; i++)
		bytes += s->saved[i].len;
	return bytes;
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
	pthread_mutex_destroy(&s->lock);
	free(s->places);
	free(s->notes);
	free(s->parts);
	free(s->saved);
	free(s);
}
