/* SPDX-License-Identifier: GPL-3.0-or-later */
/* calco disks: what is attached, what is on it, and whether it may be a target. */
#include "base/auto.h"
#include "base/size.h"
#include "cmd/cmd.h"
#include "cmd/out.h"
#include "imager/disk/device.h"
#include "imager/disk/guard.h"

#include <string.h>

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
};

static void judge(const struct dev_info *dev, struct judged *ret)
{
	struct guard_request rq = { .target = dev->path };

	*ret = (struct judged){ .dev = dev, .why = ERR_INIT };
	if (!guard_check(&rq, &ret->verdict, &ret->why))
		ret->why.code = ERR_NONE;
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
	out_str(o, "holds", NULL, j->verdict.holds);
	out_bool(o, "empty", NULL, is_target && j->verdict.is_empty);
	out_bool(o, "target", NULL, is_target);
	out_str(o, "reason", NULL, j->why.reason[0] ? j->why.reason : NULL);
	out_str(o, "message", NULL, is_target ? NULL : j->why.msg);
	out_str(o, "confirm", NULL, is_target && !j->verdict.is_empty ? j->verdict.confirm_text : NULL);
	out_end(o);
}

static void show_text(struct out *o, const struct judged *j)
{
	const struct dev_info *d = j->dev;
	char size[32];

	size_format(d->size, size);
	out_line(o, "%s  %s%s%s%s%s%s%s%s", d->path, size, d->model[0] ? "  " : "", d->model, d->serial[0] ? "  serial " : "", d->serial,
		d->bus[0] ? "  " : "", d->bus, d->removable ? ", removable" : "");
	out_str(o, NULL, "holds", j->verdict.holds[0] ? j->verdict.holds : j->verdict.is_empty ? "nothing that is recognised" : "");
	if (j->why.code != ERR_NONE)
		out_line(o, "  target       no: %s", j->why.msg);
	else if (j->verdict.is_empty)
		out_line(o, "  target       yes, with --yes");
	else
		out_line(o, "  target       yes, with --confirm %s", j->verdict.confirm_text);
}

static int run(struct invocation *inv, struct err *e)
{
	const struct disks_args *a = inv->args;
	AUTO_FREE struct dev_info *devs = NULL;
	size_t nr, shown = 0;

	if (dev_list(&devs, &nr, e) < 0)
		return -1;
	out_result(inv->out);
	out_array(inv->out, "disks");
	for (size_t i = 0; i < nr; i++) {
		struct judged j;
		judge(&devs[i], &j);
		if (a->targets && j.why.code != ERR_NONE)
			continue;
		if (inv->out->is_json)
			show_json(inv->out, &j);
		else
			show_text(inv->out, &j);
		shown++;
	}
	out_end(inv->out);
	if (!shown)
		out_line(inv->out, a->targets && nr ? "no disk may be written to" : "no disks");
	return 0;
}

const struct cmd cmd_disks = {
	.name = "disks",
	.summary = "List the disks, what is on them, and which may be written to",
	.operands = "",
	.details =
		"For each disk: what it is, what it holds now, and whether 'calco restore' would\n"
		"accept it as a target, or why not. Nothing is written.",
	.options = options,
	.args_size = sizeof(struct disks_args),
	.min_operands = 0,
	.max_operands = 0,
	.run = run,
};
