/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The plan of a restore; see restore_plan.h. */
#include "cmd/restore_plan.h"

#include "base/size.h"
#include "cmd/growth.h"
#include "cmd/show.h"
#include "imager/disk/table.h"
#include "imager/image/manifest.h"

#include <string.h>

#define LEAST_TOLD (1U << 20) /* bytes at the end of a larger disk that are worth a word */

/* Bytes by which a target is larger than its disk of the image; 0 when that is not known, and for a single volume. */
static uint64_t surplus(const struct img_manifest *m, const struct targets *all, const struct target *t)
{
	if (!m || t->disk >= m->nr_disks || t->kind != TARGET_EXISTS || all->only_region != SIZE_MAX)
		return 0;
	return t->verdict.dev.size > m->disks[t->disk].size ? t->verdict.dev.size - m->disks[t->disk].size : 0;
}

/* What a restore writes to a disk: what is stored, and the zeros that must be there. */
static uint64_t written_bytes(const struct img_manifest *m, size_t disk)
{
	uint64_t bytes = 0;

	for (size_t i = 0; i < m->nr_regions; i++)
		if (m->regions[i].disk == disk)
			bytes += cmap_bytes(m->regions[i].map, EXT_USED) + cmap_bytes(m->regions[i].map, EXT_ZERO);
	return bytes;
}

static void now_on_target(struct out *o, const struct target *t)
{
	const struct dev_info *d = &t->verdict.dev;
	char size[32];

	if (t->kind != TARGET_EXISTS) {
		size_format(t->need_size, size);
		out_line(o, "target %s: a %s file, which will take up to %s", t->path, t->kind == TARGET_MISSING ? "new" : "still empty", size);
		return;
	}
	size_format(d->size, size);
	out_line(o, "target %s: %s%s%s%s%s%s", t->path, d->model, d->model[0] ? ", " : "", d->serial[0] ? "serial " : "", d->serial,
		d->serial[0] ? ", " : "", size);
	out_str(o, NULL, "holds now", t->resumes ? "what an unfinished restore left; it will be completed"
		: t->verdict.is_empty ? "nothing that is recognised" : t->verdict.holds);
}

static void show_wanted(struct out *o, const struct target *t)
{
	if (target_wants(t) == WANTS_YES)
		out_line(o, "  to confirm   --yes, or 'yes' at the question");
	else if (target_wants(t) == WANTS_TEXT)
		out_line(o, "  to confirm   --confirm '%s' (%s), or that at the question", t->verdict.confirm_text, t->verdict.confirm_what);
	else
		out_line(o, "  to confirm   nothing");
}

/* Where it goes, and what of the partition there is another than in the image: the table of the target stays as it is. */
static void show_place(struct out *o, const struct img_region *r, const struct target *t)
{
	const struct restore_place *p = &t->place;
	unsigned long long there = p->offset, here = r->start;
	char number[24] = "";

	if (p->partition != r->number)
		snprintf(number, sizeof(number), "partition %u, ", r->number);
	if (!p->at_start)
		out_line(o, "  place        partition %u of the target, at %llu; in the image %sat %llu", p->partition, there, number, here);
	else if (p->partition)
		out_line(o, "  place        partition %u of %s, at %llu; in the image %sat %llu", p->partition, p->disk, there, number, here);
	else
		out_line(o, "  place        the start of the target; in the image at %llu", here);
	if (p->other_type)
		out_line(o, "  type         '%s', in the image '%s'; the partition's type will not be changed", p->type, p->image_type);
}

static void place_json(struct out *o, const struct img_region *r, const struct restore_place *p)
{
	bool known = p->partition;

	out_object(o, "place");
	out_bool(o, "at_start", NULL, p->at_start);
	out_str(o, "of_disk", NULL, p->disk[0] ? p->disk : NULL);
	out_u64(o, "partition", NULL, p->partition);
	out_u64(o, "offset", NULL, p->offset);
	out_str(o, "type", NULL, known ? p->type : NULL);
	out_u64(o, "image_partition", NULL, r->number);
	out_u64(o, "image_offset", NULL, r->start);
	out_str(o, "image_type", NULL, p->image_type[0] ? p->image_type : NULL);
	out_bool(o, "other_type", NULL, p->other_type);
	out_end(o);
}

static void amount_text(const struct targets *all, uint64_t bytes, char *ret, size_t size)
{
	char text[32];

	size_format(bytes, text);
	snprintf(ret, size, all->is_refresh ? "of %s what differs is written" : "%s to write", text);
}

static void volume_will_be_written(struct out *o, const struct img_manifest *m, size_t region, const struct targets *all, const struct target *t)
{
	char what[256], amount[80];

	img_describe_region(m, region, what, sizeof(what));
	amount_text(all, cmap_bytes(m->regions[region].map, EXT_USED) + cmap_bytes(m->regions[region].map, EXT_ZERO), amount, sizeof(amount));
	out_line(o, "  will get     %s of '%s' version %llu, %s; nothing else is touched", what, m->name,
		(unsigned long long)m->version, amount);
	if (t->has_place)
		show_place(o, &m->regions[region], t);
}

static void disk_will_be_written(struct out *o, const struct img_manifest *m, const struct targets *all, const struct target *t)
{
	const struct img_disk *d = &m->disks[t->disk];
	char size[32], amount[80];

	size_format(d->size, size);
	amount_text(all, written_bytes(m, t->disk), amount, sizeof(amount));
	out_line(o, "  will get     disk %zu of '%s' version %llu: %s, table %s, %s", t->disk + 1, m->name,
		(unsigned long long)m->version, size, show_table_name(d->table), amount);
	if (!surplus(m, all, t))
		return;
	size_format(surplus(m, all, t), size);
	if (d->table == PT_GPT)
		out_line(o, "  larger       by %s: the GPT's backup will be moved to the end of the larger disk", size);
	else
		out_line(o, "  larger       by %s, which stays unused", size);
}

void restore_changes_text(struct out *o, const struct img_manifest *m, size_t disk, const struct restore_change *list, size_t nr)
{
	for (size_t i = 0; m && i < nr; i++)
		if (disk == SIZE_MAX || list[i].disk == disk)
			out_line(o, "  adapted      %s", list[i].text);
}

void restore_changes_json(struct out *o, const struct img_manifest *m, const struct restore_change *list, size_t nr)
{
	out_array(o, "changes");
	for (size_t i = 0; m && i < nr; i++) {
		out_object(o, NULL);
		out_u64(o, "disk", NULL, list[i].disk);
		if (list[i].region < m->nr_regions && m->regions[list[i].region].number)
			out_u64(o, "partition", NULL, m->regions[list[i].region].number);
		out_str(o, "what", NULL, list[i].what);
		out_str(o, "text", NULL, list[i].text);
		out_end(o);
	}
	out_end(o);
}

void restore_plan_text(struct out *o, const struct img_manifest *m, const struct targets *t, bool tell_confirmation)
{
	for (size_t i = 0; i < t->nr; i++) {
		now_on_target(o, &t->list[i]);
		if (m && t->only_region != SIZE_MAX)
			volume_will_be_written(o, m, t->only_region, t, &t->list[i]);
		else if (m && t->list[i].disk < m->nr_disks)
			disk_will_be_written(o, m, t, &t->list[i]);
		else
			out_line(o, "  will get     what comes through the pipe; sizes are checked before the first write");
		restore_changes_text(o, m, t->list[i].disk, t->changes, t->nr_changes);
		if (tell_confirmation)
			show_wanted(o, &t->list[i]);
	}
	if (m && t->only_region == SIZE_MAX) {
		show_layout(o, m);
		show_notices(o, m);
	}
}

void restore_tell_growth(struct out *o, const struct img_manifest *m, const struct targets *all)
{
	for (size_t i = 0; i < all->nr; i++) {
		const struct target *t = &all->list[i];
		if (surplus(m, all, t) >= LEAST_TOLD)
			growth_tell(o, m, t->disk, t->path, surplus(m, all, t));
	}
}

static void sizes_json(struct out *o, const struct img_manifest *m, const struct targets *all, const struct target *t)
{
	uint64_t more = surplus(m, all, t);
	bool whole = all->only_region == SIZE_MAX;

	out_u64(o, "disk", NULL, t->disk);
	out_u64(o, "disk_bytes", NULL, m->disks[t->disk].size);
	out_u64(o, "stored_bytes", NULL, whole ? show_stored_bytes(m, (int)t->disk) : cmap_bytes(m->regions[all->only_region].map, EXT_USED));
	out_u64(o, "surplus_bytes", NULL, more);
	out_bool(o, "moves_gpt", NULL, m->disks[t->disk].table == PT_GPT && more);
}

static void wanted_json(struct out *o, const struct target *t)
{
	static const char *const words[] = { "nothing", "yes", "confirm" };

	out_str(o, "wants", NULL, words[target_wants(t)]);
	out_str(o, "confirm", NULL, target_wants(t) == WANTS_TEXT ? t->verdict.confirm_text : NULL);
}

void restore_plan_json(struct out *o, const struct img_manifest *m, const struct targets *t)
{
	out_array(o, "targets");
	for (size_t i = 0; i < t->nr; i++) {
		const struct target *g = &t->list[i];
		const struct dev_info *d = &g->verdict.dev;
		bool exists = g->kind == TARGET_EXISTS;
		out_object(o, NULL);
		out_str(o, "path", NULL, g->path);
		out_bool(o, "new_file", NULL, !exists);
		out_u64(o, "size", NULL, exists ? d->size : g->need_size);
		out_str(o, "model", NULL, exists ? d->model : "");
		out_str(o, "serial", NULL, exists ? d->serial : "");
		out_str(o, "held", NULL, exists ? g->verdict.holds : "");
		out_bool(o, "was_empty", NULL, !exists || g->verdict.is_empty);
		wanted_json(o, g);
		if (m && g->disk < m->nr_disks)
			sizes_json(o, m, t, g);
		if (m && g->has_place)
			place_json(o, &m->regions[t->only_region], &g->place);
		out_end(o);
	}
	out_end(o);
}
