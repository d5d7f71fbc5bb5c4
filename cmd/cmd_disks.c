/* SPDX-License-Identifier: GPL-3.0-or-later */
/* calco disks: what is attached, what is on it, and whether it may be a target. */
#include "base/auto.h"
#include "base/size.h"
#include "cmd/cmd.h"
#include "cmd/out.h"
#include "cmd/text.h"
#include "imager/disk/device.h"
#include "imager/disk/guard.h"
#include "imager/disk/parts.h"

#include <string.h>

#define LABEL_WIDTH 18 /* of labels and names in text */
#define MOUNT_WIDTH 30
#define MAX_MOUNTS  2

struct disks_args {
	struct common_args common;
	bool targets;
};

static const struct opt options[] = {
	{ .name = "targets", .kind = OPT_FLAG, .offset = offsetof(struct disks_args, targets),
		.help = "only disks that may be written to" },
	OPT_JSON,
	{ .name = NULL },
};

/* One disk and what the guard says about it. */
struct judged {
	const struct dev_info *dev;
	struct guard_verdict verdict;
	struct err why; /* ERR_NONE: it may be a target */
	struct dev_parts parts;
};

static int judge(const struct dev_info *dev, struct judged *ret, struct err *e)
{
	struct guard_request rq = { .target = dev->path };

	*ret = (struct judged){ .dev = dev, .why = ERR_INIT };
	if (!guard_check(&rq, &ret->verdict, &ret->why))
		ret->why.code = ERR_NONE;
	return dev_parts_read(dev, &ret->parts, e);
}

static void part_json(struct out *o, const struct dev_part *p)
{
	out_object(o, NULL);
	out_u64(o, "number", NULL, p->number);
	out_str(o, "path", NULL, p->path[0] ? p->path : NULL);
	out_u64(o, "start", NULL, p->start);
	out_u64(o, "size", NULL, p->size);
	out_str(o, "type", NULL, p->type);
	out_str(o, "name", NULL, p->name);
	out_str(o, "content", NULL, p->content[0] ? p->content : NULL);
	out_str(o, "label", NULL, p->label);
	out_str(o, "uuid", NULL, p->uuid);
	out_array(o, "mounted");
	for (size_t i = 0; i < p->nr_mounts && i < PARTS_MAX_MOUNTS; i++)
		json_str(&o->json, NULL, p->mounts[i]);
	out_end(o);
	out_bool(o, "swap", NULL, p->is_swap);
	out_end(o);
}

static void show_json(struct out *o, const struct judged *j)
{
	const struct dev_info *d = j->dev;
	bool is_target = j->why.code == ERR_NONE;

	out_object(o, NULL);
	out_str(o, "path", NULL, d->path);
	out_u64(o, "size", NULL, d->size);
	out_u64(o, "sector_size", NULL, d->sector_size);
	out_u64(o, "physical_sector_size", NULL, d->phys_sector_size);
	out_str(o, "model", NULL, d->model);
	out_str(o, "serial", NULL, d->serial);
	out_str(o, "wwn", NULL, d->wwn);
	out_str(o, "bus", NULL, d->bus);
	out_bool(o, "removable", NULL, d->removable);
	out_bool(o, "rotational", NULL, d->rotational);
	out_bool(o, "read_only", NULL, d->read_only);
	out_str(o, "table", NULL, j->parts.table);
	out_array(o, "partitions");
	for (size_t i = 0; i < j->parts.nr; i++)
		part_json(o, &j->parts.list[i]);
	out_end(o);
	out_str(o, "holds", NULL, j->verdict.holds);
	out_bool(o, "empty", NULL, is_target && j->verdict.is_empty);
	out_bool(o, "target", NULL, is_target);
	out_str(o, "reason", NULL, j->why.reason[0] ? j->why.reason : NULL);
	out_str(o, "message", NULL, is_target ? NULL : j->why.msg);
	out_str(o, "confirm", NULL, is_target && !j->verdict.is_empty ? j->verdict.confirm_text : NULL);
	out_end(o);
}

/* "/, /home and 2 more" */
static char *mounts_text(const struct dev_part *p, char *out, size_t size)
{
	char point[200];
	size_t used = (size_t)snprintf(out, size, "%s", p->is_swap ? "in use as swap" : "");

	for (size_t i = 0; i < p->nr_mounts && i < MAX_MOUNTS; i++)
		used += (size_t)snprintf(out + used, size - used, "%s%s", used ? ", " : "", text_cut(p->mounts[i], MOUNT_WIDTH, point, sizeof(point)));
	if (p->nr_mounts > MAX_MOUNTS)
		snprintf(out + used, size - used, " and %zu more", p->nr_mounts - MAX_MOUNTS);
	return out;
}

/* What the partition table says that it is for is no content: "- (Linux filesystem)". */
static char *content_text(const struct dev_part *p, char *out, size_t size)
{
	char type[100];

	if (p->content[0])
		return text_cut(p->content, LABEL_WIDTH, out, size);
	text_cut(p->type, LABEL_WIDTH, type, sizeof(type));
	snprintf(out, size, "-%s%s%s", type[0] ? " (" : "", type, type[0] ? ")" : "");
	return out;
}

/* Labels and names are cut, so that a line fits on a terminal in all but odd cases; JSON has all of them. */
static void show_parts(struct out *o, const struct dev_parts *parts)
{
	static const struct out_column columns[] = {
		{ .title = "PART", .right = true }, { .title = "SIZE", .right = true }, { .title = "HOLDS" }, { .title = "LABEL" },
		{ .title = "NAME" }, { .title = "MOUNTED" },
	};
	struct out_table t;
	char text[400];

	out_table_begin(&t, o, NULL, columns, sizeof(columns) / sizeof(columns[0]));
	for (size_t i = 0; i < parts->nr; i++) {
		const struct dev_part *p = &parts->list[i];
		out_cell_u64(&t, p->number);
		out_cell_bytes(&t, p->size);
		out_cell_str(&t, content_text(p, text, sizeof(text)));
		out_cell_str(&t, text_cut(p->label, LABEL_WIDTH, text, sizeof(text)));
		out_cell_str(&t, text_cut(p->name, LABEL_WIDTH, text, sizeof(text)));
		out_cell_str(&t, mounts_text(p, text, sizeof(text)));
	}
	out_table_end(&t);
}

static void show_text(struct out *o, const struct judged *j)
{
	const struct dev_info *d = j->dev;
	char size[32];

	size_format(d->size, size);
	out_line(o, "%s  %s%s%s%s%s%s%s%s", d->path, size, d->model[0] ? "  " : "", d->model, d->serial[0] ? "  serial " : "", d->serial,
		d->bus[0] ? "  " : "", d->bus, d->removable ? ", removable" : "");
	if (j->parts.nr)
		out_str(o, NULL, "table", j->parts.table);
	else
		out_str(o, NULL, "holds", j->verdict.holds[0] ? j->verdict.holds : j->verdict.is_empty ? "nothing that is recognised" : "");
	if (j->why.code != ERR_NONE)
		out_line(o, "  target       no: %s", j->why.msg);
	else if (j->verdict.is_empty)
		out_line(o, "  target       yes, with --yes");
	else
		out_line(o, "  target       yes, with --confirm %s", j->verdict.confirm_text);
	if (j->parts.nr)
		show_parts(o, &j->parts);
}

static int run(struct invocation *inv, struct err *e)
{
	const struct disks_args *a = inv->args;
	AUTO_FREE struct dev_info *devs = NULL;
	size_t nr, shown = 0;
	int r = 0;

	if (dev_list(&devs, &nr, e) < 0)
		return -1;
	out_result(inv->out);
	out_array(inv->out, "disks");
	for (size_t i = 0; r == 0 && i < nr; i++) {
		struct judged j;
		r = judge(&devs[i], &j, e);
		bool is_shown = r == 0 && (!a->targets || j.why.code == ERR_NONE);
		if (is_shown && inv->out->is_json)
			show_json(inv->out, &j);
		else if (is_shown)
			show_text(inv->out, &j);
		dev_parts_release(&j.parts);
		shown += is_shown;
	}
	out_end(inv->out);
	if (r < 0)
		return -1;
	if (!shown)
		out_line(inv->out, a->targets && nr ? "no disk may be written to" : "no disks");
	return 0;
}

const struct cmd cmd_disks = {
	.name = "disks",
	.summary = "List the disks, what is on them, and which may be written to",
	.operands = "",
	.details =
		"For each disk: what it is, its partitions and what they hold, and whether 'calco restore' would\n"
		"accept it as a target, or why not. Nothing is written.",
	.options = options,
	.args_size = sizeof(struct disks_args),
	.min_operands = 0,
	.max_operands = 0,
	.run = run,
};
