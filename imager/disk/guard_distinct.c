/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Are the disks of one job different ones? A disk that is named twice would be stored twice, or written by two threads, and nothing
 * later would notice. Compared are places (dev_view.h), so a partition, a loop device and a hard link need no rule of their own.
 */
#include "imager/disk/guard.h"

#include "base/arith.h"
#include "base/folder.h"
#include "imager/disk/dev_view.h"

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

struct named_disk {
	const char *path;
	char real[PATH_MAX];  /* also of what does not exist yet: in the real path of its folder; "" when that is not known */
	struct dev_places at; /* none: it does not exist, or is no device of the view */
};

int guard_distinct(const char *what, const char *const *paths, size_t nr, struct err *e)
{
	return guard_distinct_env(&dev_env_system, what, paths, nr, e);
}

static int look(const struct dev_view *view, const char *path, struct named_disk *ret, struct err *e)
{
	char folder[PATH_MAX], real[PATH_MAX];
	const char *slash = strrchr(path, '/');
	struct stat st;

	ret->path = path;
	if (stat(path, &st) == 0) {
		if (!realpath(path, ret->real))
			ret->real[0] = '\0';
		return dev_below_path(view, path, &ret->at, e);
	}
	if (folder_of(path, folder, sizeof(folder)) == 0 && realpath(folder, real) && !dev_join(ret->real, real, slash ? slash + 1 : path))
		ret->real[0] = '\0';
	return 0;
}

static bool is_same(const struct named_disk *a, const struct named_disk *b)
{
	if (a->real[0] && !strcmp(a->real, b->real))
		return true;
	if (!a->at.nr || !b->at.nr)
		return false;
	const struct dev_place *x = &a->at.v[0], *y = &b->at.v[0];
	return dev_place_overlaps(x, y) && x->start == y->start && x->end == y->end;
}

/* Either lies on the other; that both stand on a third, like two LVs of one disk, is fine. */
static bool is_part(const struct named_disk *a, const struct named_disk *b)
{
	return a->at.nr && b->at.nr && (dev_place_hits(&a->at.v[0], &b->at) || dev_place_hits(&b->at.v[0], &a->at));
}

static int compare(const char *what, const struct named_disk *a, const struct named_disk *b, struct err *e)
{
	if (!strcmp(a->path, b->path))
		return err_set(e, ERR_USAGE, 0, "the %s '%s' is named twice", what, a->path);
	if (is_same(a, b))
		err_set(e, ERR_USAGE, 0, "the %ss '%s' and '%s' are the same", what, a->path, b->path);
	else if (is_part(a, b))
		err_set(e, ERR_USAGE, 0, "the %ss '%s' and '%s' overlap: one holds bytes of the other", what, a->path, b->path);
	else
		return 0;
	return err_hint(e, "name each disk once, and not its partitions beside it");
}

int guard_distinct_env(const struct dev_env *env, const char *what, const char *const *paths, size_t nr, struct err *e)
{
	AUTO(dev_view) struct dev_view *view = NULL;
	int r = 0;

	if (nr < 2)
		return 0;
	if (dev_view_load(env, &view, e) < 0)
		return -1;
	struct named_disk *disks = alloc_array(nr, sizeof(*disks));
	if (!disks)
		return err_nomem(e, "the list of disks");
	for (size_t i = 0; r == 0 && i < nr; i++) {
		r = look(view, paths[i], &disks[i], e);
		for (size_t k = 0; r == 0 && k < i; k++)
			r = compare(what, &disks[k], &disks[i], e);
	}
	for (size_t i = 0; i < nr; i++)
		dev_places_free(&disks[i].at);
	free(disks);
	return r;
}
