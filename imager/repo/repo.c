/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The folder of a repository; see repo.h. */
#include "imager/repo/repo.h"

#include "base/arith.h"
#include "base/folder.h"
#include "base/hex.h"
#include "base/random.h"
#include "imager/image/slots.h"
#include "imager/image/manifest.h"
#include "imager/repo/files.h"
#include "imager/repo/repo_head.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

static const char *const folders[] = { "images", "packs", "retired", "leases", "new", "leaves" };

/* The last "::" of a name. */
static const char *find_separator(const char *image)
{
	const char *at = NULL;

	for (const char *next = strstr(image, "::"); next; next = strstr(next + 1, "::"))
		at = next;
	return at;
}

bool repo_is_name(const char *image)
{
	const char *at = find_separator(image);

	return at && at != image && !strchr(at, '/');
}

int repo_parse(const char *image, struct repo_name *ret, struct err *e)
{
	const char *at = find_separator(image);

	if (!at || at == image)
		return err_set(e, ERR_USAGE, 0, "'%s' is not DIR::NAME", image);
	if ((size_t)snprintf(ret->dir, sizeof(ret->dir), "%.*s", (int)(at - image), image) >= sizeof(ret->dir))
		return err_set(e, ERR_USAGE, ENAMETOOLONG, "the folder of the repository");
	const char *name = at + 2, *which = strchr(name, '@');
	size_t len = which ? (size_t)(which - name) : strlen(name);
	snprintf(ret->name, sizeof(ret->name), "%.*s", (int)min_u64(len, REPO_NAME_SIZE), name);
	if (len >= REPO_NAME_SIZE || !img_name_ok(ret->name)) {
		err_set(e, ERR_USAGE, 0, "'%.80s' does not name an image in the repository '%s'", name, ret->dir);
		return err_hint(e, "use letters, digits, '.', '_' and '-', 64 at most, not beginning with '.' or '-'");
	}
	snprintf(ret->which, sizeof(ret->which), "%s", which ? which + 1 : "");
	if (which && (strlen(which + 1) >= REPO_NAME_SIZE || !img_name_ok(which + 1)))
		return err_set(e, ERR_USAGE, 0, "'%.80s' is neither a version's number nor a tag", which + 1);
	return 0;
}

/* A folder in which there is nothing yet. */
static int open_empty(const char *dir, int *ret, struct err *e)
{
	if (mkdir(dir, 0700) < 0 && errno != EEXIST)
		return err_set(e, errno == ENOENT ? ERR_USAGE : ERR_FAILED, errno, "making the folder '%s'", dir);
	AUTO_CLOSE_FD int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *d = fd < 0 ? NULL : fdopendir(dup(fd));
	if (!d)
		return err_set(e, ERR_FAILED, errno, "opening the folder '%s'", dir);
	bool is_empty = true;
	for (struct dirent *x; (x = readdir(d));)
		if (strcmp(x->d_name, ".") && strcmp(x->d_name, ".."))
			is_empty = false;
	closedir(d);
	if (!is_empty) {
		err_set(e, ERR_REFUSED, 0, faccessat(fd, REPO_HEAD, F_OK, 0) == 0 ? "'%s' is a repository already" : "the folder '%s' is not empty", dir);
		err_hint(e, "a repository is made in a new or empty folder");
		return err_reason(e, "exists");
	}
	*ret = fd;
	fd = -1;
	return 0;
}

/* The secrets come before the folder: with a key that cannot encrypt nothing is made. */
static int make_keys(const struct img_keys *k, struct img_seal **ret, struct err *e)
{
	AUTO(img_seal) struct img_seal *s = k ? seal_new(e) : NULL;

	if (k && (!s || slots_make(s, k, e) < 0))
		return -1;
	*ret = take(&s);
	return 0;
}

int repo_init(const char *dir, const struct img_keys *k, struct err *e)
{
	AUTO_CLOSE_FD int fd = -1;
	AUTO(img_seal) struct img_seal *seal = NULL;
	uint8_t id[16];

	if (make_keys(k, &seal, e) < 0 || open_empty(dir, &fd, e) < 0)
		return -1;
	if ((seal ? repo_head_id(seal, id, e) : random_bytes(id, sizeof(id), e)) < 0)
		return -1;
	for (size_t i = 0; i < sizeof(folders) / sizeof(folders[0]); i++)
		if (mkdirat(fd, folders[i], 0700) < 0)
			return err_set(e, ERR_FAILED, errno, "making the folder '%s/%s'", dir, folders[i]);
	AUTO_CLOSE_FD int lock = openat(fd, "lock", O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (lock < 0 || fsync(lock) < 0)
		return err_set(e, ERR_FAILED, errno, "writing '%s/lock'", dir);
	if (repo_head_write(fd, dir, REPO_HEAD ".new", id, seal ? seal->slots : NULL, seal ? seal->slots_len : 0, e) < 0)
		return -1;
	return folder_flush(dir, e);
}

/* The folders are where they seem to be: what is renamed and removed in them is the repository's. One that is missing is found out later. */
static int check_folders(const struct repo *r, struct err *e)
{
	for (size_t i = 0; i < sizeof(folders) / sizeof(folders[0]); i++) {
		AUTO_CLOSE_FD int fd = repo_open_folder(r, folders[i], e);
		if (fd < 0 && e->code == ERR_REFUSED)
			return -1;
		if (fd < 0)
			*e = (struct err)ERR_INIT;
	}
	return 0;
}

struct repo *repo_open(const char *dir, struct err *e)
{
	AUTO(repo) struct repo *r = alloc_array(1, sizeof(*r));

	if (!r) {
		err_nomem(e, "the repository");
		return NULL;
	}
	r->lease_fd = r->lock_fd = r->fd = -1;
	if ((size_t)snprintf(r->dir, sizeof(r->dir), "%s", dir) >= sizeof(r->dir)) {
		err_set(e, ERR_USAGE, ENAMETOOLONG, "opening a repository");
		return NULL;
	}
	r->fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (r->fd < 0) {
		err_set(e, errno == ENOENT || errno == ENOTDIR ? ERR_USAGE : ERR_FAILED, errno, "opening the repository '%s'", dir);
		if (errno == ENOENT)
			err_hint(e, "is that its name? 'calco repo init %.200s' makes a new one", dir);
		return NULL;
	}
	if (repo_head_read(r, e) < 0 || check_folders(r, e) < 0)
		return NULL;
	return take(&r);
}

void repo_close(struct repo *r)
{
	if (!r)
		return;
	repo_unlock(r);
	if (r->lease_fd >= 0) {
		unlinkat(r->fd, r->lease, 0);
		close(r->lease_fd);
	}
	if (r->fd >= 0)
		close(r->fd);
	free(r->slots);
	seal_free(r->seal);
	free(r);
}

int repo_random_id(char ret[33], struct err *e)
{
	uint8_t id[16];

	if (random_bytes(id, sizeof(id), e) < 0)
		return -1;
	hex_of(id, sizeof(id), ret);
	return 0;
}

int repo_lock_file(int fd, const char *name, struct err *e)
{
	for (;;) {
		if (flock(fd, LOCK_EX | LOCK_NB) == 0)
			return 1;
		if (errno == EWOULDBLOCK)
			return 0;
		if (errno != EINTR)
			break;
	}
	err_set(e, ERR_UNSUPPORTED, errno, "locking '%s'", name);
	return err_hint(e, "a repository needs a file system on which locks work");
}

int repo_take_lease(struct repo *r, bool must, struct err *e)
{
	char id[33];

	if (repo_random_id(id, e) < 0)
		return -1;
	snprintf(r->lease, sizeof(r->lease), "leases/%s", id);
	int fd = openat(r->fd, r->lease, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0 && !must && (errno == EROFS || errno == EACCES || errno == EPERM))
		return 0;
	if (fd < 0)
		return err_set(e, ERR_FAILED, errno, "taking a lease in '%s'", r->dir);
	/* Between making and locking it somebody may have taken it for dead and removed it: then there is another. */
	int locked = repo_lock_file(fd, r->lease, e);
	struct stat st;
	if (locked == 1 && fstat(fd, &st) == 0 && st.st_nlink == 1) {
		r->lease_fd = fd;
		return 0;
	}
	close(fd);
	return locked < 0 ? -1 : repo_take_lease(r, must, e);
}

int repo_lock(struct repo *r, const struct progress *p, struct err *e)
{
	if (r->lock_fd >= 0)
		return 0;
	AUTO_CLOSE_FD int fd = repo_open_file(r, "lock", O_RDWR | O_CREAT, e);
	if (fd < 0)
		return -1;
	for (;;) {
		int locked = repo_lock_file(fd, "lock", e);
		if (locked < 0)
			return -1;
		if (locked)
			break;
		if (progress_check(p, e) < 0)
			return -1;
		poll(NULL, 0, 20); /* flock() has no time limit, and signals do not end it */
	}
	r->lock_fd = fd;
	fd = -1;
	return 0;
}

void repo_unlock(struct repo *r)
{
	if (r->lock_fd >= 0)
		close(r->lock_fd);
	r->lock_fd = -1;
}

int repo_flush_folder(const struct repo *r, const char *folder, struct err *e)
{
	AUTO_CLOSE_FD int fd = repo_open_folder(r, folder, e);

	if (fd < 0)
		return -1;
	if (fsync(fd) < 0)
		return err_set(e, ERR_FAILED, errno, "flushing '%s/%s'", r->dir, folder);
	return 0;
}
