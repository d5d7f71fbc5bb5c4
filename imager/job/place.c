/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Where a single volume goes: to its own place on a disk with a fitting partition, or to the start of a target without a table.
 * The target's table is not changed, so what it says about the partition is shown where it differs from the image's.
 */
#include "imager/job/place.h"

#include "imager/disk/device.h"
#include "imager/job/job.h"

#include <stdio.h>
#include <string.h>

const struct pt_entry *place_in_table(const struct pt_table *t, const struct img_region *r, const char *target, struct err *e)
{
	char instead[128] = "";

	for (size_t i = 0; i < t->nr; i++) {
		const struct pt_entry *en = &t->entries[i];
		if (en->start == r->start && en->len == r->len)
			return en;
		if (r->number && en->number == r->number)
			snprintf(instead, sizeof(instead), "; its partition %u is at %llu with a length of %llu bytes", en->number,
				(unsigned long long)en->start, (unsigned long long)en->len);
	}
	err_set(e, ERR_REFUSED, 0, "'%s' has no partition at %llu with a length of %llu bytes for this volume%s", target,
		(unsigned long long)r->start, (unsigned long long)r->len, instead);
	err_hint(e, "name the partition's own device as target, or restore the whole disk");
	err_reason(e, "no-place");
	return NULL;
}

/* Known types have a name, others a number. */
static void type_text(const struct pt_table *t, const struct pt_entry *en, char *out, size_t size)
{
	const char *name = pt_type_name(t, en);
	char guid[37];

	if (name[0]) {
		snprintf(out, size, "%s", name);
	} else if (t->kind == PT_MBR) {
		snprintf(out, size, "0x%02x", en->mbr_type);
	} else {
		pt_format_guid(en->type_guid, guid);
		snprintf(out, size, "%s", guid);
	}
}

static void compare_types(const struct img_manifest *m, const struct img_region *r, const struct pt_table *t, const struct pt_entry *en,
	struct restore_place *ret)
{
	struct pt_table image = { .kind = m->disks[r->disk].table };
	struct pt_entry captured = { .mbr_type = r->mbr_type };

	ret->partition = en->number;
	ret->offset = en->start;
	type_text(t, en, ret->type, sizeof(ret->type));
	if (r->kind != PT_REGION_PARTITION)
		return;
	memcpy(captured.type_guid, r->type_guid, sizeof(captured.type_guid));
	type_text(&image, &captured, ret->image_type, sizeof(ret->image_type));
	ret->other_type = strcmp(ret->type, ret->image_type) != 0;
}

/* 1: the target has a table; 0: it has none that can be read, and is written as one volume; -1 */
static int read_table(const char *path, struct pt_table **ret, struct err *e)
{
	AUTO(blk_source) struct blk_source *src = blk_open(path, 0, false, e);
	struct err why = ERR_INIT;

	if (!src)
		return -1;
	if (pt_read(src, 0, ret, &why) == 0)
		return (*ret)->kind != PT_NONE;
	if (why.code == ERR_CORRUPT || why.code == ERR_UNSUPPORTED)
		return 0;
	*e = why;
	return -1;
}

/* The target is a partition: what its disk says about it. What cannot be found out is not shown. */
static void look_at_disk(const struct img_manifest *m, const struct img_region *r, const struct dev_info *dev, struct restore_place *ret)
{
	AUTO(pt_table) struct pt_table *t = NULL;
	struct err ignored = ERR_INIT;
	uint64_t start;

	if (!dev_disk_of(dev, ret->disk, sizeof(ret->disk), &start) || read_table(ret->disk, &t, &ignored) <= 0)
		return;
	for (size_t i = 0; i < t->nr; i++)
		if (t->entries[i].start == start)
			compare_types(m, r, t, &t->entries[i], ret);
}

int restore_find_place(const struct img_manifest *m, size_t region, const char *target, struct restore_place *ret, struct err *e)
{
	const struct img_region *r = &m->regions[region];
	AUTO(pt_table) struct pt_table *t = NULL;
	struct dev_info dev;

	*ret = (struct restore_place){ .at_start = true };
	if (dev_inspect(target, &dev, e) < 0)
		return -1;
	int has_table = read_table(target, &t, e);
	if (has_table < 0)
		return -1;
	if (has_table) {
		const struct pt_entry *en = place_in_table(t, r, target, e);
		if (!en)
			return -1;
		ret->at_start = false;
		compare_types(m, r, t, en, ret);
	} else if (dev.is_partition) {
		look_at_disk(m, r, &dev, ret);
	}
	return 0;
}
