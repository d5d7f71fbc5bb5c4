/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Which state records there are, and giving one up; see state.h. */
#include "imager/job/state_inner.h"

#include "base/blk.h"
#include "base/folder.h"
#include "imager/disk/device.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>

/* A record to look at. NULL: there is none, or it cannot be read. */
static struct state *open_to_read(const char *path, struct stat *st, struct err *e)
{
	AUTO(state) struct state *s = calloc(1, sizeof(*s));

	if (!s) {
		err_nomem(e, "the state record");
		return NULL;
	}
	if (state_init(s, path, e) < 0)
		return NULL;
	s->fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	if (s->fd < 0 || fstat(s->fd, st) < 0) {
		err_set(e, errno == ENOENT ? ERR_USAGE : ERR_FAILED, errno, "opening the state record '%s'", path);
		return NULL;
	}
	if (!S_ISREG(st->st_mode)) {
		err_set(e, ERR_REFUSED, 0, "'%s' is not a state record", path);
		err_reason(e, "state");
		return NULL;
	}
	return take(&s);
}

static bool is_aside(const char *path)
{
	const char *dot = strrchr(path, '.');

	return dot && !strncmp(dot, ".old-", 5);
}

int state_peek(const char *path, struct state_entry *ret, struct err *e)
{
	struct stat st;
	AUTO(state) struct state *s = open_to_read(path, &st, e);

	if (!s)
		return -1;
	memset(ret, 0, sizeof(*ret));
	int r = state_load(s, &ret->is_finished, e);
	if (r < 0 && e->code != ERR_CORRUPT)
		return -1;
	ret->is_damaged = r < 0;
	snprintf(ret->path, sizeof(ret->path), "%s", path);
	memcpy(ret->target, s->target, sizeof(ret->target));
	ret->target_size = s->target_size;
	ret->saved_bytes = state_saved_bytes(s);
	ret->mark = s->mark;
	ret->changed = (uint64_t)st.st_mtim.tv_sec;
	ret->is_aside = is_aside(path);
	ret->is_other = s->is_other;
	ret->in_use = flock(s->fd, LOCK_SH | LOCK_NB) < 0;
	return 0;
}

static int newest_first(const void *a, const void *b)
{
	const struct state_entry *x = a, *y = b;

	if (x->changed != y->changed)
		return x->changed > y->changed ? -1 : 1;
	return strcmp(x->path, y->path);
}

/* "a.state" or "a.state.old-1" */
static bool is_record_name(const char *name)
{
	const char *ending = strstr(name, ".state");

	for (const char *next; ending && (next = strstr(ending + 1, ".state"));)
		ending = next;
	return ending && (!ending[6] || (!strncmp(ending + 6, ".old-", 5) && is_aside(name)));
}

int state_list(struct state_entry **ret, size_t *nr, struct err *e)
{
	struct state_entry *list = NULL;
	char folder[3100];
	size_t n = 0;

	*ret = NULL;
	*nr = 0;
	if (state_folder(folder, sizeof(folder), e) < 0)
		return -1;
	DIR *d = opendir(folder);
	if (!d)
		return errno == ENOENT ? 0 : err_set(e, ERR_FAILED, errno, "looking for state records in '%s'", folder);
	for (struct dirent *en; (en = readdir(d));) {
		struct err ignored = ERR_INIT;
		char path[PATH_MAX];
		if (!is_record_name(en->d_name))
			continue;
		struct state_entry *grown = reallocarray(list, n + 1, sizeof(*grown));
		if (!grown)
			break;
		list = grown;
		snprintf(path, sizeof(path), "%s/%s", folder, en->d_name);
		n += state_peek(path, &list[n], &ignored) == 0;
	}
	closedir(d);
	if (n)
		qsort(list, n, sizeof(*list), newest_first);
	*ret = list;
	*nr = n;
	return 0;
}

int state_forget(const char *path, struct err *e)
{
	struct state_entry entry;

	if (state_peek(path, &entry, e) < 0)
		return -1;
	AUTO_CLOSE_FD int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	if (fd < 0)
		return err_set(e, ERR_FAILED, errno, "opening the state record '%s'", path);
	if (flock(fd, LOCK_EX | LOCK_NB) < 0) {
		err_set(e, ERR_REFUSED, 0, "the state record '%s' is in use: a restore of its target is running", path);
		return err_reason(e, "in-use");
	}
	if (unlink(path) < 0)
		return err_set(e, ERR_FAILED, errno, "removing the state record '%s'", path);
	return folder_flush(path, e);
}

/* Is the target of this record as a restore left it, in all or in part? */
static bool is_left(const char *record, const char *target, struct blk_source *src)
{
	AUTO(state) struct state *s = NULL;
	struct err ignored = ERR_INIT;
	struct state_match match;

	if (state_open_unfinished(record, target, src->size, &s, &ignored) < 0 || state_is_other(s) ||
		state_compare(s, src, &match, NULL, NULL, &ignored) < 0)
		return false;
	return state_is_begun(s) && (!match.nr_differing || match.nr_proofs);
}

bool state_cut_short(const char *disk, struct blk_source *src, char *ret, size_t size)
{
	char whole[PATH_MAX];
	struct err ignored = ERR_INIT;
	struct dev_info dev;
	uint64_t start;

	if (state_default(disk, ret, size, &ignored) == 0 && is_left(ret, disk, src))
		return true;
	if (dev_inspect(disk, &dev, &ignored) < 0 || !dev.is_partition || !dev_disk_of(&dev, whole, sizeof(whole), &start))
		return false;
	AUTO(blk_source) struct blk_source *all = blk_open(whole, 0, false, &ignored);
	return all && state_default(whole, ret, size, &ignored) == 0 && is_left(ret, whole, all);
}
