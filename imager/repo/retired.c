/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Retired packs; see retired.h. */
#include "imager/repo/retired.h"

#include "base/buf.h"
#include "base/hex.h"
#include "imager/repo/damaged.h"
#include "imager/repo/files.h"
#include "imager/repo/folder_packs.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define ID_LEN 32U /* hexadecimal digits */

static void retired_path(const uint8_t pack[16], char *ret, size_t size)
{
	char hex[33];

	snprintf(ret, size, "retired/%s", hex_of(pack, 16, hex));
}

/* Does the process that took this lease live? A dead one's file is removed. 1, 0, -1. */
static int lease_lives(const struct repo *r, const char *id, struct err *e)
{
	char path[64];

	snprintf(path, sizeof(path), "leases/%.32s", id);
	if (!strcmp(path, r->lease))
		return 0;
	struct err why = ERR_INIT;
	AUTO_CLOSE_FD int fd = repo_open_file(r, path, O_RDWR, &why);
	if (fd < 0)
		return why.sys_errno == ENOENT || why.code == ERR_CORRUPT ? 0 : 1; /* what cannot be asked may live; what is no plain file is no lease */
	int locked = repo_lock_file(fd, path, e);
	if (locked == 1)
		unlinkat(r->fd, path, 0);
	return locked < 0 ? -1 : !locked;
}

/* The ids of all leases that live, a line each. */
static int list_leases(const struct repo *r, struct buf *ret, struct err *e)
{
	int fd = openat(r->fd, "leases", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *d = fd < 0 ? NULL : fdopendir(fd);
	int lives = 0;

	if (!d)
		return err_set(e, ERR_FAILED, errno, "reading the folder '%s/leases'", r->dir);
	for (struct dirent *x; lives >= 0 && (x = readdir(d));) {
		uint8_t id[16];
		if (!hex_parse(x->d_name, id, sizeof(id)) || (lives = lease_lives(r, x->d_name, e)) != 1)
			continue;
		buf_bytes(ret, x->d_name, ID_LEN);
		buf_u8(ret, '\n');
	}
	closedir(d);
	return lives < 0 ? -1 : ret->failed ? err_nomem(e, "the list of leases") : 0;
}

static int write_marker(const struct repo *r, const char *path, const void *bytes, size_t len, struct err *e)
{
	char new[64], id[33];

	if (repo_random_id(id, e) < 0)
		return -1;
	snprintf(new, sizeof(new), "new/%s.retired", id);
	AUTO_CLOSE_FD int fd = openat(r->fd, new, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd >= 0 && write(fd, bytes, len) == (ssize_t)len && fsync(fd) == 0 && renameat(r->fd, new, r->fd, path) == 0)
		return repo_flush_folder(r, "retired", e);
	err_set(e, ERR_FAILED, errno ? errno : EIO, "retiring a pack of '%s'", r->dir);
	unlinkat(r->fd, new, 0);
	return -1;
}

/*
 * It is marked before the leases are listed: who takes a lease after the listing finds the mark. "?" names everybody, should we end in
 * between.
 */
int retired_put(const struct repo *r, const uint8_t pack[16], struct err *e)
{
	struct buf leases = { 0 };
	char path[64];

	retired_path(pack, path, sizeof(path));
	if (write_marker(r, path, "?\n", 2, e) < 0)
		return -1;
	int failed = list_leases(r, &leases, e);
	AUTO_FREE uint8_t *bytes = leases.p;
	return failed < 0 ? -1 : write_marker(r, path, bytes ? bytes : (const uint8_t *)"", leases.len, e);
}

int retired_take_back(const struct repo *r, const uint8_t pack[16], struct err *e)
{
	char path[64];

	retired_path(pack, path, sizeof(path));
	if (unlinkat(r->fd, path, 0) < 0)
		return errno == ENOENT ? 0 : err_set(e, ERR_FAILED, errno, "keeping a pack of '%s'", r->dir);
	return repo_flush_folder(r, "retired", e);
}

static int any_lives(const struct repo *r, struct err *e)
{
	struct buf leases = { 0 };

	int failed = list_leases(r, &leases, e);
	free(leases.p);
	return failed < 0 ? -1 : leases.len != 0;
}

/* Does one of those that are named in the file live? A file that cannot be understood names everybody. */
static int is_held(const struct repo *r, const char *path, struct err *e)
{
	struct err why = ERR_INIT;
	AUTO_CLOSE_FD int fd = repo_open_file(r, path, O_RDONLY, &why);
	struct stat st;

	if (fd < 0 && why.code == ERR_CORRUPT)
		return any_lives(r, e);
	if (fd < 0 || fstat(fd, &st) < 0)
		return err_set(e, ERR_FAILED, fd < 0 ? why.sys_errno : errno, "reading '%s/%s'", r->dir, path);
	AUTO_FREE char *text = malloc((size_t)st.st_size + 1);
	if (!text)
		return err_nomem(e, "the list of leases");
	ssize_t n = read(fd, text, (size_t)st.st_size);
	if (n != st.st_size)
		return err_set(e, ERR_FAILED, n < 0 ? errno : EIO, "reading '%s/%s'", r->dir, path);
	bool understood = n % (ID_LEN + 1) == 0;
	for (ssize_t at = 0; understood && at < n; at += ID_LEN + 1) {
		char id[ID_LEN + 1];
		uint8_t bytes[16];
		memcpy(id, text + at, ID_LEN);
		id[ID_LEN] = '\0';
		if (!hex_parse(id, bytes, sizeof(bytes)) || text[at + ID_LEN] != '\n') {
			understood = false;
			break;
		}
		int lives = lease_lives(r, id, e);
		if (lives)
			return lives;
	}
	return understood ? 0 : any_lives(r, e);
}

int retired_remove(const struct repo *r, const uint8_t pack[16], struct err *e)
{
	char path[64], file[64], leaves[64], hex[33];

	retired_path(pack, path, sizeof(path));
	int held = is_held(r, path, e);
	if (held)
		return held < 0 ? -1 : 0;
	pack_path(pack, file, sizeof(file));
	snprintf(leaves, sizeof(leaves), "leaves/%s", hex_of(pack, 16, hex));
	if (unlinkat(r->fd, file, 0) < 0)
		return err_set(e, ERR_FAILED, errno, "removing '%s/%s'", r->dir, file);
	if (repo_flush_folder(r, "packs", e) < 0)
		return -1;
	unlinkat(r->fd, leaves, 0); /* a cache */
	damaged_forget(r, pack);
	unlinkat(r->fd, path, 0);   /* of a pack that is gone: the next prune would remove it */
	return 1;
}

/* What is named after packs that are gone. A cache gets its name after its pack has one, so it is not one in the making. */
static int tidy_folder(const struct repo *r, const char *folder, struct err *e)
{
	int fd = openat(r->fd, folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *d = fd < 0 ? NULL : fdopendir(fd);

	if (!d)
		return err_set(e, ERR_FAILED, errno, "reading the folder '%s/%s'", r->dir, folder);
	for (struct dirent *x; (x = readdir(d));) {
		char file[64];
		uint8_t id[16];
		if (!hex_parse(x->d_name, id, sizeof(id)))
			continue;
		pack_path(id, file, sizeof(file));
		if (faccessat(r->fd, file, F_OK, 0) < 0 && errno == ENOENT)
			unlinkat(fd, x->d_name, 0);
	}
	closedir(d);
	return 0;
}

int retired_tidy(const struct repo *r, struct err *e)
{
	struct buf living = { 0 }; /* the dead ones go while they are listed */

	int failed = list_leases(r, &living, e);
	free(living.p);
	return failed < 0 || tidy_folder(r, "retired", e) < 0 ? -1 : tidy_folder(r, "leaves", e);
}
