/* SPDX-License-Identifier: GPL-3.0-or-later */
/* calco undo: a disk gets back what a restore took from it before it was cut short. */
#include "base/folder.h"
#include "base/size.h"
#include "cmd/cmd.h"
#include "cmd/operands.h"
#include "cmd/out.h"
#include "cmd/progress_ui.h"
#include "cmd/undo_records.h"
#include "imager/disk/guard.h"
#include "imager/job/job.h"

#include <stdlib.h>

struct undo_args {
	struct common_args common;
	const char *state;
	bool dry_run, list, forget, yes;
};

#define FIELD(f) offsetof(struct undo_args, f)
static const struct opt options[] = {
	{ .name = "state", .kind = OPT_TEXT, .offset = FIELD(state), .value = "FILE",
		.help = "the state record of the restore (default: where restore keeps it)" },
	{ .name = "dry-run", .kind = OPT_FLAG, .offset = FIELD(dry_run), .help = "show what can be put back, write nothing" },
	{ .name = "list", .kind = OPT_FLAG, .offset = FIELD(list), .help = "show the records of restores that this machine has" },
	{ .name = "forget", .kind = OPT_FLAG, .offset = FIELD(forget), .help = "remove the record of a restore: what it saved is lost" },
	{ .name = "yes", .kind = OPT_FLAG, .offset = FIELD(yes), .help = "do not ask before a record is removed" },
	OPT_JSON,
	{ .name = NULL },
};

static void report_parts(struct out *out, const struct undo_result *r)
{
	static const struct out_column columns[] = {
		{ .title = "PART" }, { .key = "partition" }, { .key = "start", .title = "START", .right = true },
		{ .key = "length", .title = "LENGTH", .right = true }, { .key = "saved_bytes", .title = "SAVED", .right = true },
		{ .key = "put_back", .title = "BACK" }, { .key = "content", .title = "HOLDS" }, { .key = "why", .title = "WHY NOT" },
	};
	struct out_table t;
	char what[32];

	out_table_begin(&t, out, "parts", columns, sizeof(columns) / sizeof(columns[0]));
	for (size_t i = 0; i < r->nr_parts; i++) {
		const struct undo_part *part = &r->parts[i];
		snprintf(what, sizeof(what), "partition %u", part->partition);
		out_cell_str(&t, part->partition ? what : part->start ? "gap" : "start of the disk");
		if (part->partition)
			out_cell_u64(&t, part->partition);
		else
			out_cell_none(&t);
		out_cell_u64(&t, part->start);
		out_cell_u64(&t, part->len);
		out_cell_bytes(&t, part->saved_bytes);
		out_cell_bool(&t, part->is_back);
		out_cell_str(&t, part->content[0] ? part->content : NULL);
		out_cell_str(&t, part->why[0] ? part->why : NULL);
	}
	out_table_end(&t);
}

static void report(struct out *out, const struct undo_options *o, const struct undo_result *r)
{
	char size[32];

	out_result(out);
	out_str(out, "disk", NULL, o->disk);
	out_bool(out, "dry_run", NULL, o->dry_run);
	out_bool(out, "complete", NULL, r->is_complete);
	out_u64(out, "back_bytes", NULL, r->back_bytes);
	out_str(out, "state_file", NULL, r->state_file[0] ? r->state_file : NULL);
	size_format(r->back_bytes, size);
	if (r->is_complete && !r->back_bytes)
		out_line(out, "%s is as it was before the restore: nothing had to be put back%s", o->disk, o->dry_run ? "; nothing was written" : "");
	else if (o->dry_run && r->back_bytes)
		out_line(out, "%s of %s can be put back; nothing was written", size, o->disk);
	else if (o->dry_run)
		out_line(out, "nothing more of %s can be put back; nothing was written", o->disk);
	else if (r->is_complete)
		out_line(out, "%s is as it was before the restore: %s put back", o->disk, size);
	else if (!r->back_bytes)
		out_line(out, "%s: nothing put back", o->disk);
	else
		out_line(out, "%s: %s put back", o->disk, size);
	report_parts(out, r);
}

/* The record must lie elsewhere, or undo would write over what it reads. */
static int check_disk(const char *disk, const char *state_file, struct err *e)
{
	char folder[PATH_MAX] = "";
	const char *in_use[2] = { NULL, NULL };
	struct guard_verdict verdict;

	if (state_file && folder_of(state_file, folder, sizeof(folder)) == 0)
		in_use[0] = folder;
	struct guard_request rq = { .target = disk, .in_use = in_use, .is_given = true };
	return guard_check(&rq, &verdict, e);
}

/* Which of the three it is, and what belongs to it. */
static int check_words(const struct invocation *inv, const struct undo_args *a, struct err *e)
{
	bool has_disk = inv->nr_operands > 0;

	if (a->list && (a->forget || has_disk || a->state || a->dry_run || a->yes))
		err_set(e, ERR_USAGE, 0, "--list shows all records there are, and takes nothing else");
	else if (a->forget && a->dry_run)
		err_set(e, ERR_USAGE, 0, "--forget and --dry-run do not go together: 'calco undo --list' shows what there is");
	else if (a->forget && has_disk && a->state)
		err_set(e, ERR_USAGE, 0, "--forget takes the disk or its record (--state FILE), not both");
	else if (!a->list && !has_disk && !(a->forget && a->state))
		err_set(e, ERR_USAGE, 0, "'calco undo' needs DISK");
	else if (a->yes && !a->forget)
		err_set(e, ERR_USAGE, 0, "--yes belongs to --forget: what undo puts back is not asked for");
	else
		return 0;
	return err_hint(e, "usage: calco undo [OPTION]... DISK, or calco undo --list, or calco undo --forget DISK");
}

static int run(struct invocation *inv, struct err *e)
{
	const struct undo_args *a = inv->args;
	struct undo_result r = { .parts = NULL };
	struct progress_ui ui;

	if (check_words(inv, a, e) < 0)
		return -1;
	if (a->list)
		return undo_list(inv->out, e);
	if (a->forget)
		return undo_forget(inv->out, inv->operands[0], a->state, a->yes, e);
	AUTO(disk_paths) struct disk_paths *disk = disk_paths_resolve(inv->operands, 1, e);
	if (!disk)
		return -1;
	struct undo_options o = { .disk = disk->items[0], .state_file = a->state, .dry_run = a->dry_run };
	if (check_disk(o.disk, o.state_file, e) < 0)
		return -1;
	progress_ui_open(&ui, PROGRESS_NONE);
	int ret = undo_run(&o, &r, &ui.progress, e);
	progress_ui_close(&ui);
	if (!ret && !o.dry_run)
		inv->out->done = "the disk is as it was before the restore";
	if (!ret || r.parts)
		report(inv->out, &o, &r);
	free(r.parts);
	return ret;
}

const struct cmd cmd_undo = {
	.name = "undo",
	.summary = "Put back what a restore that was cut short had taken from a disk",
	.operands = "[DISK]",
	.details =
		"A restore saves and clears superblocks and boot code before it writes. As long\n"
		"as it had not come to a partition, that partition can be had back. A part that\n"
		"was written to, or changed since, is left as it is, and named. A disk that is not\n"
		"the one that the record of the restore is of is not touched.",
	.options = options,
	.args_size = sizeof(struct undo_args),
	.min_operands = 0,
	.max_operands = 1,
	.run = run,
};
