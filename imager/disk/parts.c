/* SPDX-License-Identifier: GPL-3.0-or-later */
/* See parts.h. The table is read by the same code as for a capture; mounts are found by the places they stand on (dev_view.h). */
#include "imager/disk/parts.h"

#include "base/arith.h"
#include "base/blk.h"
#include "fsdrivers/signature.h"
#include "imager/disk/dev_view.h"
#include "imager/disk/table.h"

#include <stdio.h>
#include <string.h>

static void add_mount(struct dev_part *part, const struct dev_mount *m)
{
	if (m->is_swap) {
		part->is_swap = true;
		return;
	}
	for (size_t i = 0; i < part->nr_mounts && i < PARTS_MAX_MOUNTS; i++)
		if (!strncmp(part->mounts[i], m->point, sizeof(part->mounts[i]) - 1))
			return;
	if (part->nr_mounts < PARTS_MAX_MOUNTS)
		snprintf(part->mounts[part->nr_mounts], sizeof(part->mounts[0]), "%s", m->point);
	part->nr_mounts++;
}

/* @of_others: mounts in other mount namespaces, which nobody sees here */
static int find_mounts(const struct dev_view *v, const struct dev_place *place, struct dev_part *part, bool of_others, struct err *e)
{
	for (size_t i = 0; i < v->nr_mounts; i++) {
		const struct dev_mount *m = &v->mounts[i];
		AUTO_PLACES struct dev_places below = { 0 };
		if ((m->pid != 0) != of_others || m->origin == DEV_ORIGIN_NONE)
			continue;
		if (dev_below_mount(v, m, &below, e) < 0)
			return -1;
		if (dev_place_hits(place, &below))
			add_mount(part, m);
	}
	return 0;
}

/* The kernel's device for the same bytes of the same disk. */
static void find_node(const struct dev_view *v, size_t disk, const char *folder, struct dev_part *part)
{
	for (size_t i = 0; i < v->nr_nodes; i++) {
		const struct dev_node *n = &v->nodes[i];
		if (n->disk != disk || i == disk || n->start != part->start || n->size != part->size)
			continue;
		snprintf(part->path, sizeof(part->path), "%s/%s", folder, n->name);
		for (char *p = part->path; *p; p++)
			if (*p == '!') /* as the kernel writes '/' in sysfs */
				*p = '/';
		return;
	}
}

static int find_use(const struct dev_view *v, const struct dev_info *disk, struct dev_part *part, struct err *e)
{
	size_t node = dev_view_find(v, disk->dev_major, disk->dev_minor);

	if (node == DEV_NO_NODE)
		return 0;
	struct dev_place place = dev_place_of_node(v, node);
	place.start += part->start;
	place.end = place.start + part->size;
	find_node(v, node, dev_env_system.dev, part);
	if (find_mounts(v, &place, part, false, e) < 0)
		return -1;
	return part->nr_mounts || part->is_swap ? 0 : find_mounts(v, &place, part, true, e);
}

static int describe(struct blk_source *src, const struct pt_table *t, const struct pt_entry *en, struct dev_part *ret, struct err *e)
{
	struct err ignored = ERR_INIT;
	struct fsd_signature s;

	*ret = (struct dev_part){ .number = en->number, .start = en->start, .size = en->len };
	snprintf(ret->type, sizeof(ret->type), "%s", pt_type_name(t, en));
	snprintf(ret->name, sizeof(ret->name), "%s", en->name);
	AUTO(blk_source) struct blk_source *window = blk_window(src, en->start, en->len, blk_name(src), &ignored);
	if (!window) /* it reaches beyond the end of the disk */
		return 0;
	if (fsd_signature_read(window, &s, e) < 0)
		return -1;
	snprintf(ret->content, sizeof(ret->content), "%s", s.type);
	snprintf(ret->label, sizeof(ret->label), "%s", s.label);
	snprintf(ret->uuid, sizeof(ret->uuid), "%s", s.uuid);
	return 0;
}

int dev_parts_read(const struct dev_info *disk, struct dev_parts *ret, struct err *e)
{
	struct err ignored = ERR_INIT;
	AUTO(dev_view) struct dev_view *view = NULL;
	AUTO(pt_table) struct pt_table *t = NULL;
	AUTO(blk_source) struct blk_source *src = blk_open(disk->path, 0, true, &ignored);

	*ret = (struct dev_parts){ .nr = 0 };
	if (!src || pt_read(src, 0, &t, &ignored) < 0)
		return 0;
	ret->table = pt_kind_name(t->kind);
	if (t->nr == 0)
		return 0;
	if (dev_view_load(&dev_env_system, &view, e) < 0)
		return -1;
	ret->list = alloc_array(t->nr, sizeof(*ret->list));
	if (!ret->list)
		return err_nomem(e, "the partitions of a disk");
	for (; ret->nr < t->nr; ret->nr++)
		if (describe(src, t, &t->entries[ret->nr], &ret->list[ret->nr], e) < 0 || find_use(view, disk, &ret->list[ret->nr], e) < 0)
			return -1;
	return 0;
}

void dev_parts_release(struct dev_parts *p)
{
	free(p->list);
	*p = (struct dev_parts){ .nr = 0 };
}
