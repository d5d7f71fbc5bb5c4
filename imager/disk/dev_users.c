/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Who uses a disk now; see device.h. Every mount, swap area, holder and loop device is brought down to the places it
 * stands on (dev_view.h), and those that overlap the disk are its users.
 */
#include "imager/disk/device.h"

#include "base/arith.h"
#include "base/blk.h"
#include "imager/disk/dev_view.h"

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

struct users {
	const struct dev_view *view;
	const struct dev_info *dev;
	struct dev_place place; /* of the disk asked about */
	size_t node;            /* DEV_NO_NODE for a plain file */
	struct dev_user *v;
	size_t nr;
};

int dev_users(
	const struct dev_info *dev, bool want_rw_only, struct dev_user **ret, size_t *ret_nr, struct err *e)
{
	return dev_users_env(&dev_env_system, dev, want_rw_only, ret, ret_nr, e);
}

static int add_user(struct users *u, const char *reason, const char *text, struct err *e)
{
	struct dev_user one = { 0 };

	snprintf(one.reason, sizeof(one.reason), "%s", reason);
	dev_clean(one.text, sizeof(one.text), text, strlen(text)); /* mount points may hold anything */
	for (size_t i = 0; i < u->nr; i++)
		if (!strcmp(u->v[i].text, one.text))
			return 0;
	struct dev_user *more = reallocarray(u->v, u->nr + 1, sizeof(*more));
	if (!more)
		return err_nomem(e, "the list of users of a disk");
	u->v = more;
	u->v[u->nr++] = one;
	return 0;
}

/* Is it the disk asked about, or a partition of it? Then it is named for itself, else as the way the use goes through. */
static bool is_part_of(const struct users *u, size_t node)
{
	if (u->node == DEV_NO_NODE || node == DEV_NO_NODE)
		return false;
	return u->view->nodes[node].disk == u->view->nodes[u->node].disk;
}

static void describe_mount(const struct users *u, const struct dev_mount *m, size_t node, char *out, size_t size)
{
	const char *name = node == DEV_NO_NODE ? "" : u->view->nodes[node].name;
	bool is_part = is_part_of(u, node);
	char where[400], who[64] = "";

	if (m->is_swap)
		snprintf(where, sizeof(where), "in use as swap");
	else
		snprintf(where, sizeof(where), "mounted %son %.300s", m->is_rw ? "" : "read-only ", m->point);
	if (m->pid)
		snprintf(who, sizeof(who), " (in the mount namespace of process %d)", m->pid);
	if (is_part)
		snprintf(out, size, "/dev/%s is %s%s", name, where, who);
	else if (node == DEV_NO_NODE)
		snprintf(out, size, "%s%s", where, who);
	else if (m->is_swap)
		snprintf(out, size, "in use as swap through /dev/%s", name);
	else
		snprintf(out, size, "mounted %sthrough /dev/%s on %.300s%s", m->is_rw ? "" : "read-only ", name,
			m->point, who);
}

/* The device by which a mount reaches the place that was hit: the top of the layers, which is what the user unmounts. */
static size_t entrance(const struct dev_places *places, size_t hit)
{
	while (hit && places->v[hit].depth)
		hit--;
	return places->v[hit].node;
}

/* One file system mounted in many places (bind mounts, containers) is one user. */
static bool is_repeated(const struct dev_mount *mounts, size_t i)
{
	for (size_t j = 0; j < i; j++)
		if (mounts[j].is_swap == mounts[i].is_swap && mounts[j].origin == mounts[i].origin &&
			mounts[j].dev == mounts[i].dev && mounts[j].ino == mounts[i].ino)
			return true;
	return false;
}

static int find_mounts(struct users *u, bool want_swap, bool want_rw_only, struct err *e)
{
	const struct dev_mount *mounts = u->view->mounts;
	char text[600];

	for (size_t i = 0; i < u->view->nr_mounts; i++) {
		AUTO_PLACES struct dev_places places = { 0 };
		if (mounts[i].is_swap != want_swap || (want_rw_only && !mounts[i].is_rw) ||
			mounts[i].origin == DEV_ORIGIN_NONE)
			continue;
		if (is_repeated(mounts, i))
			continue;
		if (dev_below_mount(u->view, &mounts[i], &places, e) < 0)
			return -1;
		for (size_t j = 0; j < places.nr; j++) {
			if (!dev_place_overlaps(&u->place, &places.v[j]))
				continue;
			describe_mount(u, &mounts[i], entrance(&places, j), text, sizeof(text));
			if (add_user(u, want_swap ? "swap" : "mounted", text, e) < 0)
				return -1;
			break;
		}
	}
	return 0;
}

/* Does some mount that we know of name a device of this btrfs? Then find_mounts() dealt with all its devices. */
static bool is_mount_known(const struct dev_view *v, unsigned set)
{
	for (size_t i = 0; i < v->nr_members; i++) {
		const struct dev_node *n = &v->nodes[v->members[i].node];
		if (v->members[i].set != set)
			continue;
		for (size_t j = 0; j < v->nr_mounts; j++)
			if (v->mounts[j].origin == DEV_ORIGIN_BLOCK && v->mounts[j].dev == makedev(n->dev_major, n->dev_minor))
				return true;
	}
	return false;
}

/* A btrfs that is mounted where we cannot see it counts as mounted read-write: we do not know better. */
static int find_btrfs(struct users *u, struct err *e)
{
	char text[160];

	for (size_t i = 0; i < u->view->nr_members; i++) {
		const struct dev_member *m = &u->view->members[i];
		AUTO_PLACES struct dev_places places = { 0 };
		if (is_mount_known(u->view, m->set))
			continue;
		if (dev_below_node(u->view, m->node, &places, e) < 0)
			return -1;
		if (!dev_place_hits(&u->place, &places))
			continue;
		snprintf(text, sizeof(text), "/dev/%s belongs to the mounted btrfs %s", u->view->nodes[m->node].name, m->uuid);
		if (add_user(u, "mounted", text, e) < 0)
			return -1;
	}
	return 0;
}

static int find_holders(struct users *u, struct err *e)
{
	char text[200];

	for (size_t i = 0; i < u->view->nr_edges; i++) {
		struct dev_place p = dev_place_of_node(u->view, u->view->edges[i].lower);
		if (!dev_place_overlaps(&u->place, &p))
			continue;
		snprintf(text, sizeof(text), "/dev/%s is held by %s", u->view->nodes[u->view->edges[i].lower].name,
			u->view->nodes[u->view->edges[i].upper].name);
		if (add_user(u, "held", text, e) < 0)
			return -1;
	}
	return 0;
}

/* Is this loop device the disk asked about itself, or below it (a loop over a loop)? */
static bool is_own_layer(const struct users *u, size_t loop)
{
	const struct dev_view *v = u->view;
	size_t disk = u->node == DEV_NO_NODE ? DEV_NO_NODE : v->nodes[u->node].disk;

	for (int depth = 0; disk != DEV_NO_NODE && depth < 16; depth++) {
		if (disk == loop)
			return true;
		if (!v->nodes[disk].has_backing || !v->nodes[disk].backing_known || !v->nodes[disk].backing_is_block)
			return false;
		disk = dev_view_find(v, major(v->nodes[disk].backing_dev), minor(v->nodes[disk].backing_dev));
		if (disk != DEV_NO_NODE)
			disk = v->nodes[disk].disk;
	}
	return false;
}

static int find_loops(struct users *u, struct err *e)
{
	char text[128];

	for (size_t i = 0; i < u->view->nr_nodes; i++) {
		const struct dev_node *n = &u->view->nodes[i];
		if (!n->has_backing || !n->backing_known || is_own_layer(u, i))
			continue;
		struct dev_place p = dev_place_of_node(u->view, i);
		if (!dev_place_overlaps(&u->place, &p))
			continue;
		snprintf(text, sizeof(text), "/dev/%s is attached to it", n->name);
		if (add_user(u, "in-use", text, e) < 0)
			return -1;
	}
	return 0;
}

static int find_place(struct users *u, struct err *e)
{
	struct stat st;

	u->node = DEV_NO_NODE;
	if (u->dev->is_file) {
		if (stat(u->dev->path, &st) < 0)
			return blk_missing(u->dev->path, e);
		u->place = dev_place_of_file(st.st_dev, st.st_ino);
		return 0;
	}
	u->node = dev_view_find(u->view, u->dev->dev_major, u->dev->dev_minor);
	if (u->node == DEV_NO_NODE)
		return err_set(e, ERR_FAILED, 0, "'%s' (device %u:%u) is not in sysfs any more", u->dev->path,
			u->dev->dev_major, u->dev->dev_minor);
	u->place = dev_place_of_node(u->view, u->node);
	return 0;
}

int dev_view_users(const struct dev_view *view, const struct dev_info *dev, bool want_rw_only,
	struct dev_user **ret, size_t *ret_nr, struct err *e)
{
	struct users u = { .view = view, .dev = dev };

	if (find_place(&u, e) < 0)
		return -1;
	if (find_mounts(&u, false, want_rw_only, e) < 0 || find_btrfs(&u, e) < 0 ||
		find_mounts(&u, true, want_rw_only, e) < 0 || find_holders(&u, e) < 0 || find_loops(&u, e) < 0) {
		free(u.v);
		return -1;
	}
	*ret = u.v;
	*ret_nr = u.nr;
	return 0;
}

int dev_users_env(const struct dev_env *env, const struct dev_info *dev, bool want_rw_only,
	struct dev_user **ret, size_t *ret_nr, struct err *e)
{
	AUTO(dev_view) struct dev_view *view = NULL;

	if (dev_view_load(env, &view, e) < 0)
		return -1;
	return dev_view_users(view, dev, want_rw_only, ret, ret_nr, e);
}
