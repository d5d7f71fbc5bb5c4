/* SPDX-License-Identifier: GPL-3.0-or-later */
/* From devices, mounts and paths down to the places that hold their bytes; see dev_view.h. */
#include "imager/disk/dev_view.h"

#include "base/arith.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

/* Loops over loops over loops: the kernel allows few, and a circle must end. */
#define MAX_DEPTH 16

void dev_places_free(struct dev_places *p)
{
	free(p->v);
	*p = (struct dev_places){ 0 };
}

static int add_place(struct dev_places *p, const struct dev_place *place, struct err *e)
{
	struct dev_place *more = reallocarray(p->v, p->nr + 1, sizeof(*more));

	if (!more)
		return err_nomem(e, "the layers of devices");
	p->v = more;
	p->v[p->nr++] = *place;
	return 0;
}

bool dev_place_overlaps(const struct dev_place *a, const struct dev_place *b)
{
	if (a->is_file != b->is_file)
		return false;
	if (a->is_file ? a->dev != b->dev || a->ino != b->ino : a->disk != b->disk)
		return false;
	return a->start < b->end && b->start < a->end;
}

bool dev_place_hits(const struct dev_place *a, const struct dev_places *any)
{
	for (size_t i = 0; i < any->nr; i++)
		if (dev_place_overlaps(a, &any->v[i]))
			return true;
	return false;
}

struct dev_place dev_place_of_file(dev_t dev, ino_t ino)
{
	return (struct dev_place){ .is_file = true, .dev = dev, .ino = ino, .end = UINT64_MAX, .node = DEV_NO_NODE };
}

/* Moves a range by an offset; one that leaves 64 bits counts as everything, so that nothing is missed. */
static void shift(struct dev_place *p, uint64_t by)
{
	if (!add_u64(p->end, by, &p->end)) {
		p->start = 0;
		p->end = UINT64_MAX;
	} else {
		p->start += by;
	}
}

struct dev_place dev_place_of_node(const struct dev_view *v, size_t node)
{
	const struct dev_node *n = &v->nodes[node];
	struct dev_place p = { .disk = n->disk, .end = n->size, .node = node };

	if (!p.end)
		p.end = UINT64_MAX; /* a device without a size still collides with itself */
	shift(&p, n->start);
	for (int depth = 0; depth < MAX_DEPTH; depth++) {
		n = &v->nodes[p.disk];
		if (!n->has_backing || !n->backing_known)
			break;
		shift(&p, n->loop_offset);
		if (!n->backing_is_block) {
			p.is_file = true;
			p.dev = n->backing_dev;
			p.ino = n->backing_ino;
			break;
		}
		size_t lower = dev_view_find(v, major(n->backing_dev), minor(n->backing_dev));
		if (lower == DEV_NO_NODE)
			break;
		shift(&p, v->nodes[lower].start);
		p.disk = v->nodes[lower].disk;
	}
	return p;
}

static int below(const struct dev_view *v, size_t node, unsigned depth, struct dev_places *ret, struct err *e)
{
	struct dev_place p = dev_place_of_node(v, node);

	/* The same place may be reached by several ways (RAID over partitions of one disk); once is enough. */
	for (size_t i = 0; i < ret->nr; i++)
		if (ret->v[i].node == node)
			return 0;
	p.depth = depth;
	if (add_place(ret, &p, e) < 0)
		return -1;
	if (depth >= 4 * MAX_DEPTH)
		return err_set(e, ERR_FAILED, 0, "'%s' stands on more than %u layers", v->nodes[node].name, depth);
	for (size_t i = 0; i < v->nr_edges; i++) {
		size_t upper = v->edges[i].upper;
		/* A partition of md0, or a loop over it, stands on what md0 stands on. */
		if (upper != node && upper != v->nodes[node].disk && (p.is_file || upper != p.disk))
			continue;
		if (below(v, v->edges[i].lower, depth + 1, ret, e) < 0)
			return -1;
	}
	return 0;
}

int dev_below_node(const struct dev_view *v, size_t node, struct dev_places *ret, struct err *e)
{
	return below(v, node, 0, ret, e);
}

int dev_below_mount(const struct dev_view *v, const struct dev_mount *m, struct dev_places *ret, struct err *e)
{
	if (m->origin == DEV_ORIGIN_FILE) {
		struct dev_place p = dev_place_of_file(m->dev, m->ino);
		return add_place(ret, &p, e);
	}
	size_t node = m->origin == DEV_ORIGIN_BLOCK ? dev_view_find(v, major(m->dev), minor(m->dev)) : DEV_NO_NODE;
	if (node == DEV_NO_NODE)
		return 0;
	if (dev_below_node(v, node, ret, e) < 0)
		return -1;
	for (size_t i = 0; i < v->nr_members; i++) {
		if (v->members[i].node != node)
			continue;
		for (size_t j = 0; j < v->nr_members; j++)
			if (v->members[j].set == v->members[i].set && dev_below_node(v, v->members[j].node, ret, e) < 0)
				return -1;
	}
	return 0;
}

int dev_below_path(const struct dev_view *v, const char *path, struct dev_places *ret, struct err *e)
{
	struct stat st;

	if (stat(path, &st) < 0)
		return err_set(e, ERR_FAILED, errno, "looking at '%s'", path);
	if (!S_ISBLK(st.st_mode)) {
		struct dev_place p = dev_place_of_file(st.st_dev, st.st_ino);
		return add_place(ret, &p, e);
	}
	size_t node = dev_view_find(v, major(st.st_rdev), minor(st.st_rdev));
	return node == DEV_NO_NODE ? 0 : dev_below_node(v, node, ret, e);
}

/*
 * The mount a path lies in. Its own device number will not do: btrfs and overlays give numbers that no device has. The
 * id is in statx() since Linux 5.8.
 */
static const struct dev_mount *mount_of(const struct dev_view *v, const char *path)
{
	struct statx sx;

	if (statx(AT_FDCWD, path, 0, STATX_MNT_ID, &sx) < 0 || !(sx.stx_mask & STATX_MNT_ID))
		return NULL;
	for (size_t i = 0; i < v->nr_mounts; i++)
		if (!v->mounts[i].is_swap && !v->mounts[i].pid && v->mounts[i].id == sx.stx_mnt_id)
			return &v->mounts[i];
	return NULL;
}

static int under_loops(const struct dev_view *v, size_t from, int depth, struct dev_places *ret, struct err *e);

/* The file system that a file lies in; not the file itself, of which perhaps only a part matters (a partition in it). */
static int under_file(
	const struct dev_view *v, const char *path, dev_t dev, int depth, struct dev_places *ret, struct err *e)
{
	const struct dev_mount *m = mount_of(v, path);
	size_t node = dev_view_find(v, major(dev), minor(dev));
	size_t from = ret->nr;

	if (depth > MAX_DEPTH)
		return err_set(e, ERR_FAILED, 0, "'%s' lies under more than %d loop devices", path, MAX_DEPTH);
	if (m && dev_below_mount(v, m, ret, e) < 0)
		return -1;
	if (node != DEV_NO_NODE && dev_below_node(v, node, ret, e) < 0)
		return -1;
	return under_loops(v, from, depth, ret, e);
}

/* The loop device that is attached to this file, NULL when there is none. */
static const struct dev_node *loop_over(const struct dev_view *v, const struct dev_place *file)
{
	for (size_t i = 0; i < v->nr_nodes; i++) {
		const struct dev_node *n = &v->nodes[i];
		if (n->has_backing && n->backing_known && !n->backing_is_block && n->backing_dev == file->dev &&
			n->backing_ino == file->ino)
			return n;
	}
	return NULL;
}

/* Goes on below the loop devices among the places added since @from: where do their files lie? */
static int under_loops(const struct dev_view *v, size_t from, int depth, struct dev_places *ret, struct err *e)
{
	for (size_t i = from, nr = ret->nr; i < nr; i++) {
		struct dev_place p = ret->v[i];
		struct stat st;
		if (!p.is_file || p.node == DEV_NO_NODE)
			continue;
		const struct dev_node *loop = loop_over(v, &p);
		size_t node = dev_view_find(v, major(p.dev), minor(p.dev));
		bool path_fits = loop && stat(loop->backing_path, &st) == 0 && st.st_dev == p.dev && st.st_ino == p.ino;
		if (path_fits && under_file(v, loop->backing_path, p.dev, depth + 1, ret, e) < 0)
			return -1;
		if (!path_fits && node != DEV_NO_NODE && dev_below_node(v, node, ret, e) < 0)
			return -1;
	}
	return 0;
}

int dev_under_path(const struct dev_view *v, const char *path, struct dev_places *ret, struct err *e)
{
	struct stat st;
	size_t from = ret->nr;

	if (stat(path, &st) < 0)
		return err_set(e, ERR_FAILED, errno, "looking at '%s'", path);
	if (dev_below_path(v, path, ret, e) < 0)
		return -1;
	if (S_ISBLK(st.st_mode))
		return under_loops(v, from, 0, ret, e);
	return under_file(v, path, st.st_dev, 0, ret, e);
}
