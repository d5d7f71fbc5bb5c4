/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Notes of damaged records; see damaged.h. There are few, or the repository is lost anyway. */
#include "imager/repo/damaged.h"

#include "base/buf.h"
#include "base/hex.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define FOLDER   "damaged"
#define MAX_NOTE (64 << 20) /* bytes; nobody writes more */

static void note_path(const uint8_t pack[16], char *ret, size_t size)
{
	char hex[33];

	snprintf(ret, size, FOLDER "/%s", hex_of(pack, 16, hex));
}

/* The first offset that is not below. */
static size_t place_of(const struct damaged *d, uint64_t offset)
{
	size_t from = 0, to = d->nr;

	while (from < to) {
		size_t middle = from + (to - from) / 2;
		if (d->offsets[middle] < offset)
			from = middle + 1;
		else
			to = middle;
	}
	return from;
}

bool damaged_holds(const struct damaged *d, uint64_t offset)
{
	size_t at = place_of(d, offset);

	return at < d->nr && d->offsets[at] == offset;
}

int damaged_add(struct damaged *d, uint64_t offset, struct err *e)
{
	size_t at = place_of(d, offset);

	if (at < d->nr && d->offsets[at] == offset)
		return 0;
	if (d->nr == d->room) {
		size_t room = d->room * 2 + 16;
		uint64_t *grown = realloc(d->offsets, room * sizeof(*grown));
		if (!grown)
			return err_nomem(e, "the damaged records");
		d->offsets = grown;
		d->room = room;
	}
	memmove(&d->offsets[at + 1], &d->offsets[at], (d->nr - at) * sizeof(*d->offsets));
	d->offsets[at] = offset;
	d->nr++;
	return 0;
}

void damaged_drop(struct damaged *d, uint64_t offset)
{
	size_t at = place_of(d, offset);

	if (at == d->nr || d->offsets[at] != offset)
		return;
	memmove(&d->offsets[at], &d->offsets[at + 1], (d->nr - at - 1) * sizeof(*d->offsets));
	d->nr--;
}

/* Decimal numbers, each with a newline. */
static int parse(const char *text, struct damaged *ret, struct err *e)
{
	for (char *end; *text; text = end + 1) {
		errno = 0;
		uint64_t offset = strtoull(text, &end, 10);
		if (*text < '0' || *text > '9' || *end != '\n' || errno)
			return 0;
		if (damaged_add(ret, offset, e) < 0)
			return -1;
	}
	return 0;
}

int damaged_read(const struct repo *r, const uint8_t pack[16], struct damaged *ret, struct err *e)
{
	char path[64];
	struct stat st;

	*ret = (struct damaged){ .nr = 0 };
	note_path(pack, path, sizeof(path));
	AUTO_CLOSE_FD int fd = openat(r->fd, path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	if (fd < 0 || fstat(fd, &st) < 0 || !S_ISREG(st.st_mode) || st.st_size > MAX_NOTE)
		return 0;
	AUTO_FREE char *text = malloc((size_t)st.st_size + 1);
	if (!text)
		return err_nomem(e, "the damaged records");
	ssize_t n = read(fd, text, (size_t)st.st_size);
	text[n < 0 ? 0 : n] = '\0';
	return parse(text, ret, e);
}

void damaged_forget(const struct repo *r, const uint8_t pack[16])
{
	char path[64];

	note_path(pack, path, sizeof(path));
	unlinkat(r->fd, path, 0);
}

/* The folder is made with the first note. */
static int make_folder(const struct repo *r, struct err *e)
{
	return mkdirat(r->fd, FOLDER, 0700) == 0 || errno == EEXIST ? 0 : err_set(e, ERR_FAILED, errno, "making the folder '%s/" FOLDER "'", r->dir);
}

int damaged_write(const struct repo *r, const uint8_t pack[16], const struct damaged *d, struct err *e)
{
	char id[33], new[64], path[64], line[32];
	struct buf text = { 0 };

	if (!d->nr) {
		damaged_forget(r, pack);
		return 0;
	}
	note_path(pack, path, sizeof(path));
	if (repo_random_id(id, e) < 0 || make_folder(r, e) < 0)
		return -1;
	snprintf(new, sizeof(new), "new/%s.damaged", id);
	for (size_t i = 0; i < d->nr; i++)
		buf_bytes(&text, line, (size_t)snprintf(line, sizeof(line), "%llu\n", (unsigned long long)d->offsets[i]));
	AUTO_FREE uint8_t *bytes = text.p;
	if (text.failed)
		return err_nomem(e, "the damaged records");
	AUTO_CLOSE_FD int fd = openat(r->fd, new, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd >= 0 && write(fd, bytes, text.len) == (ssize_t)text.len && fsync(fd) == 0 && renameat(r->fd, new, r->fd, path) == 0)
		return repo_flush_folder(r, FOLDER, e);
	err_set(e, ERR_FAILED, errno ? errno : EIO, "noting damaged records in '%s'", r->dir);
	unlinkat(r->fd, new, 0);
	return -1;
}
