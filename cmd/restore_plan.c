/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The plan of a restore; see restore_plan.h. */
#include "cmd/restore_plan.h"

#include "base/size.h"
#include "cmd/show.h"
#include "imager/disk/table.h"
#include "imager/image/manifest.h"

/* Bytes by which target i is larger than its disk of the image; 0 when that is not known. */
static uint64_t surplus(const struct img_manifest *m, const struct target *t, size_t i)
{
	if (!m || i >= m->nr_disks || t->kind != TARGET_EXISTS || t->verdict.dev.size <= m->disks[i].size)
		return 0;
	return t->verdict.dev.size - m->disks[i].size;
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
	out_str(o, NULL, "holds now", t->verdict.is_empty ? "nothing that is recognised" : t->verdict.holds);
}

static void will_be_written(struct out *o, const struct img_manifest *m, const struct target *t, size_t i, const char *only)
{
	char size[32], stored[32];

	size_format(m->disks[i].size, size);
	size_format(show_stored_bytes(m, (int)i), stored);
	if (only)
		out_line(o, "  will get     only '%s' of disk %zu of '%s' version %llu", only, i + 1, m->name, (unsigned long long)m->version);
	else
		out_line(o, "  will get     disk %zu of '%s' version %llu: %s, table %s, %s to write", i + 1, m->name,
			(unsigned long long)m->version, size, show_table_name(m->disks[i].table), stored);
	if (only || !surplus(m, t, i))
		return;
	size_format(surplus(m, t, i), size);
	if (m->disks[i].table == PT_GPT)
		out_line(o, "  larger       by %s: the GPT's backup will be moved to the end of the larger disk", size);
	else
		out_line(o, "  larger       by %s, which stays unused", size);
}

void restore_plan_text(struct out *o, const struct img_manifest *m, const struct targets *t, const char *only)
{
	for (size_t i = 0; i < t->nr; i++) {
		now_on_target(o, &t->list[i]);
		if (m && i < m->nr_disks)
			will_be_written(o, m, &t->list[i], i, only);
		else
			out_line(o, "  will get     what comes through the pipe; sizes are checked before the first write");
	}
	if (m)
		show_layout(o, m);
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
		if (m && i < m->nr_disks) {
			out_u64(o, "disk_bytes", NULL, m->disks[i].size);
			out_u64(o, "stored_bytes", NULL, show_stored_bytes(m, (int)i));
			out_u64(o, "surplus_bytes", NULL, surplus(m, g, i));
			out_bool(o, "moves_gpt", NULL, m->disks[i].table == PT_GPT && surplus(m, g, i));
		}
		out_end(o);
	}
	out_end(o);
}
