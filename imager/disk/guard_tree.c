/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Files in a folder, compared with a target by device and inode; see guard_tree.h. */
#include "imager/disk/guard_tree.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#define MAX_DEPTH 16 /* folders in folders; a repository has three */

struct tree {
	const struct dev_places *places;
	char path[PATH_MAX]; /* where the walk stands */
	unsigned depth;
};

static int walk(struct tree *t, int parent, const char *name, struct err *e);

static bool is_place(const struct dev_places *places, const struct stat *st)
{
	struct dev_place file = dev_place_of_file(st->st_dev, st->st_ino);

	return dev_place_hits(&file, places);
}

/* One name in a folder: the path is put back unless the file was found. A file that went away meanwhile is none. */
static int look_at(struct tree *t, int folder, const char *name, struct err *e)
{
	size_t len = strlen(t->path);
	struct stat st;
	int r = 0;

	if ((size_t)snprintf(t->path + len, sizeof(t->path) - len, "/%s", name) >= sizeof(t->path) - len)
		return err_set(e, ERR_FAILED, ENAMETOOLONG, "looking into '%.100s'", t->path);
	if (fstatat(folder, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		r = errno == ENOENT ? 0 : err_set(e, ERR_FAILED, errno, "looking at '%s'", t->path);
	else
		r = S_ISDIR(st.st_mode) ? walk(t, folder, name, e) : is_place(t->places, &st);
	if (r == 0)
		t->path[len] = '\0';
	return r;
}

static int walk(struct tree *t, int parent, const char *name, struct err *e)
{
	/* The folder itself may have been named by a link. */
	int fd = openat(parent, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | (t->depth ? O_NOFOLLOW : 0));
	DIR *d = fd < 0 ? NULL : fdopendir(fd);
	int r = 0;

	if (!d && errno == ENOENT)
		return 0;
	if (!d || ++t->depth > MAX_DEPTH) {
		err_set(e, ERR_FAILED, d ? ELOOP : errno, "listing '%s'", t->path);
		if (d)
			closedir(d);
		else if (fd >= 0)
			close(fd);
		return -1;
	}
	errno = 0;
	for (struct dirent *x; r == 0 && (x = readdir(d)); errno = 0)
		if (strcmp(x->d_name, ".") && strcmp(x->d_name, ".."))
			r = look_at(t, fd, x->d_name, e);
	if (r == 0 && errno)
		r = err_set(e, ERR_FAILED, errno, "listing '%s'", t->path);
	closedir(d);
	t->depth--;
	return r;
}

int guard_tree(const char *folder, const struct dev_places *places, char ret[PATH_MAX], struct err *e)
{
	struct tree t = { .places = places };
	bool has_file = false;

	for (size_t i = 0; i < places->nr; i++)
		has_file |= places->v[i].is_file;
	if (!has_file)
		return 0;
	if ((size_t)snprintf(t.path, sizeof(t.path), "%s", folder) >= sizeof(t.path))
		return err_set(e, ERR_USAGE, ENAMETOOLONG, "looking into a folder");
	int r = walk(&t, AT_FDCWD, folder, e);
	if (r == 1)
		strcpy(ret, t.path);
	return r;
}
