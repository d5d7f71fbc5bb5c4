/* SPDX-License-Identifier: GPL-3.0-or-later */
/* calco restore: an image is written to its targets, and read back. */
#include "base/arith.h"
#include "base/size.h"
#include "cmd/access.h"
#include "cmd/cmd.h"
#include "cmd/confirm.h"
#include "cmd/operands.h"
#include "cmd/out.h"
#include "cmd/progress_ui.h"
#include "cmd/restore_cmd.h"
#include "cmd/restore_plan.h"
#include "cmd/show.h"
#include "cmd/signals.h"
#include "cmd/targets.h"
#include "cmd/text.h"
#include "imager/image/manifest.h"
#include "imager/image/reader.h"
#include "imager/repo/image.h"
#include "imager/job/job.h"

#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static const struct opt options[] = {
	OPT_RESTORE,
	{ .name = "dry-run", .kind = OPT_FLAG, .offset = RESTORE_FIELD(dry_run), .help = "show the plan, write nothing" },
	OPT_PROGRESS,
	OPT_JSON,
	{ .name = NULL },
};

/* Which volume --only means is known of a pipe after its manifest was read; where it goes, as long as nothing was written. */
static int know_volume(const struct restore_options *o, const struct img_manifest *m, struct targets *t, struct err *e)
{
	if (!o->only || t->only_region != SIZE_MAX)
		return 0;
	if (img_find_region(m, o->only, &t->only_region, e) < 0)
		return -1;
	t->list[0].disk = m->regions[t->only_region].disk;
	return o->dry_run ? targets_find_place(t, m, e) : 0;
}

static void volume_json(struct out *out, const struct img_manifest *m, size_t region)
{
	char what[256] = "";

	if (m && region != SIZE_MAX)
		img_describe_region(m, region, what, sizeof(what));
	out_str(out, "volume", NULL, what[0] ? what : NULL);
}

/* What was found, and what it takes; in a dry run, would take. */
static void refresh_json(struct out *out, const struct restore_result *r)
{
	out_bool(out, "is_same", NULL, r->is_same);
	out_u64(out, "scanned_bytes", NULL, r->scanned_bytes);
	out_u64(out, "differing_chunks", NULL, r->differing_chunks);
	out_u64(out, "fetched_bytes", NULL, r->fetched_bytes);
	out_u64(out, "changed_bytes", NULL, r->written_bytes);
	out_u64(out, "zeroed_bytes", NULL, r->zeroed_bytes);
}

static void refresh_text(struct out *out, const struct restore_result *r)
{
	char scanned[32], zeroed[32], fetched[32];

	size_format(r->scanned_bytes, scanned);
	size_format(r->fetched_bytes, fetched);
	size_format(r->zeroed_bytes, zeroed);
	out_line(out, "  compared     %s, %llu chunk%s of 256 KiB differ%s", scanned, (unsigned long long)r->differing_chunks,
		r->differing_chunks == 1 ? "" : "s", r->differing_chunks == 1 ? "s" : "");
	if (r->fetched_bytes)
		out_line(out, "  fetched      %s of the image", fetched);
	if (r->zeroed_bytes)
		out_line(out, "  made zero    %s", zeroed);
}

/* A dry run has looked at the target, too. */
static void foreseen_text(struct out *out, const struct restore_result *r)
{
	char written[32];

	size_format(r->written_bytes, written);
	refresh_text(out, r);
	out_line(out, "  to write     %s", r->is_same ? "nothing, it is the same" : written);
}

static void report_json(struct out *out, const struct restore_options *o, const struct targets *t, const struct restore_result *r)
{
	out_result(out);
	out_bool(out, "dry_run", NULL, o->dry_run);
	out_str(out, "image", NULL, o->image);
	volume_json(out, r->manifest, t->only_region);
	restore_plan_json(out, r->manifest, t);
	restore_changes_json(out, r->manifest, r->changes, r->nr_changes);
	if (r->manifest)
		show_identity(out, r->manifest);
	if (r->manifest)
		show_signers(out, r->manifest, o->access);
	if (o->refresh)
		refresh_json(out, r);
	if (o->dry_run)
		return;
	out_u64(out, "written_bytes", NULL, r->written_bytes);
	out_u64(out, "verified_bytes", NULL, r->verified_bytes);
	out_u64(out, "discarded_bytes", NULL, r->discarded_bytes);
	out_u64(out, "written_chunks", NULL, r->nr_chunks);
	out_bool(out, "read_back", NULL, !o->no_verify);
	out_bool(out, "resized_table", NULL, r->resized_table);
	out_str(out, "state_file", NULL, r->state_file[0] ? r->state_file : NULL);
	const char *aside = r->set_aside[0] ? r->set_aside : t->set_aside;
	out_str(out, "set_aside", NULL, aside[0] ? aside : NULL);
	out_seconds(out, "seconds", NULL, r->seconds);
}

static void report_text(struct out *out, const struct restore_options *o, const struct targets *t, const struct restore_result *r)
{
	const char *did = !o->refresh ? "restored" : r->is_same ? "nothing to do:" : "refreshed", *to = !o->refresh ? "to" : r->is_same ? "is on" : "on";
	char size[32], seconds[32], what[256] = "";

	if (t->only_region != SIZE_MAX)
		img_describe_region(r->manifest, t->only_region, what, sizeof(what));
	for (size_t i = 0; i < t->nr; i++)
		out_line(out, "%s %s%s'%s' version %llu %s %s", did, what, what[0] ? " of " : "", r->manifest->name,
			(unsigned long long)r->manifest->version, to, t->list[i].path);
	if (o->access && o->access->trust.nr_signers)
		show_signers(out, r->manifest, o->access);
	if (o->refresh)
		refresh_text(out, r);
	if (r->is_same)
		return;
	size_format(r->written_bytes, size);
	out_line(out, "  written      %s in %s", size, text_duration(r->seconds, seconds));
	size_format(r->verified_bytes, size);
	if (o->no_verify)
		out_line(out, "  read back    no (--no-verify); 'calco verify %s --against DISK' does it later", o->image);
	else if (r->verified_bytes)
		out_line(out, "  read back    %s, equal", size);
	if (r->discarded_bytes)
		out_bytes(out, NULL, o->scrub == SCRUB_ZERO ? "cleared" : "discarded", r->discarded_bytes);
	if (r->resized_table)
		out_line(out, "  table        the GPT's backup was moved to the end of the larger disk");
	restore_changes_text(out, r->manifest, SIZE_MAX, r->changes, r->nr_changes);
	restore_tell_growth(out, r->manifest, t);
	if (r->state_file[0])
		out_line(out, "  saved        %s: the target's old bytes that were cleared first", r->state_file);
}

/* Plan only: the job checks what it can, and tells about an image that comes through a pipe. */
static int dry_run(struct invocation *inv, const struct restore_options *o, struct targets *t, const struct img_manifest *m, struct err *e)
{
	struct restore_result r = { .manifest = NULL };
	struct progress_ui ui;
	bool all_exist = true;
	int ret = 0;

	for (size_t i = 0; i < t->nr; i++)
		all_exist &= t->list[i].kind == TARGET_EXISTS;
	if (all_exist) {
		progress_ui_open(&ui, PROGRESS_NONE);
		ret = restore_run(o, &r, &ui.progress, e);
		progress_ui_close(&ui);
	}
	if (!ret && r.manifest)
		ret = know_volume(o, r.manifest, t, e);
	if (!ret && !m) { /* what a pipe brings is known now */
		t->changes = take(&r.changes);
		t->nr_changes = r.nr_changes;
	}
	if (!ret) {
		struct restore_result shown = r;
		shown.manifest = r.manifest ? r.manifest : (struct img_manifest *)m;
		shown.changes = t->changes;
		shown.nr_changes = t->nr_changes;
		if (inv->out->is_json)
			report_json(inv->out, o, t, &shown);
		else
			restore_plan_text(inv->out, shown.manifest, t, true);
		if (!inv->out->is_json && o->refresh)
			foreseen_text(inv->out, &shown);
		out_line(inv->out, "nothing was written");
	}
	free(r.changes);
	img_manifest_free(r.manifest);
	return ret;
}

static int restore(struct invocation *inv, const struct restore_options *o, struct targets *t, struct err *e)
{
	const struct restore_args *a = inv->args;
	struct restore_result r = { .manifest = NULL };
	struct progress_ui ui;

	progress_ui_open(&ui, a->common.progress);
	int ret = targets_create(t, &ui.progress, e);
	bool created = !ret;
	if (created)
		ret = restore_run(o, &r, &ui.progress, e);
	for (size_t i = 0; created && ret < 0 && strcmp(e->reason, "replaced") && i < t->nr; i++)
		if (t->list[i].kind != TARGET_EXISTS)
			progress_notice(&ui.progress, "the file '%s' was made by this command and stays there", t->list[i].path);
	progress_ui_close(&ui);
	if (!ret)
		inv->out->done = "the restore is complete";
	if (!ret)
		ret = know_volume(o, r.manifest, t, e);
	if (!ret && inv->out->is_json)
		report_json(inv->out, o, t, &r);
	else if (!ret)
		report_text(inv->out, o, t, &r);
	free(r.changes);
	img_manifest_free(r.manifest);
	return ret;
}

/* Show the plan and have it confirmed; then do it, or with --dry-run stop there. */
static int plan_and_run(struct invocation *inv, const struct targets_request *rq, const struct access *access, struct targets *t,
	bool is_refresh, struct img_reader **reader, struct err *e)
{
	const struct restore_args *a = inv->args;
	struct out plan;
	struct restore_options o = {
		.image = rq->image,
		.in_fd = STDIN_FILENO,
		.disks = t->paths->items,
		.nr_disks = t->nr,
		.threads = (unsigned)a->threads.n,
		.no_verify = a->no_verify,
		.scrub = a->scrub,
		.only = a->only,
		.access = &access->a,
		.state_file = a->state,
		.sector_size = (uint32_t)a->sector_size.n,
		.as_is = rq->as_is,
		.dry_run = a->dry_run,
		.refresh = is_refresh,
	};

	if (a->dry_run)
		return dry_run(inv, &o, t, rq->m, e);
	/* A program reads standard error line by line, or waits for one document: no plan, and nobody to ask. */
	bool for_program = inv->out->is_json || a->common.progress == PROGRESS_JSON;
	if (!for_program) {
		out_init(&plan, NULL, false);
		out_to_stderr(&plan);
		restore_plan_text(&plan, rq->m, t, false);
	}
	if (targets_confirm(t, !for_program && confirm_possible(image_is_pipe(rq->image)), e) < 0)
		return -1;
	/* The job reads the manifest itself: two of them would cost twice the memory. */
	img_reader_close(take(reader));
	return restore(inv, &o, t, e);
}

/* A file is read twice, for the plan and by the job; what goes through a named pipe comes only once. */
static int refuse_named_pipe(const char *image, struct err *e)
{
	struct stat st;

	if (stat(image, &st) < 0 || !S_ISFIFO(st.st_mode))
		return 0;
	err_set(e, ERR_USAGE, 0, "the image '%s' is a pipe, which can be read only as standard input", image);
	return err_hint(e, "calco restore - DISK... < %.100s", image);
}

/* What is not there has nothing that could stay. */
static int refuse_new(const struct targets *t, struct err *e)
{
	for (size_t i = 0; i < t->nr; i++) {
		if (t->list[i].kind == TARGET_EXISTS)
			continue;
		err_set(e, ERR_USAGE, 0, "'%s' is %s: there is nothing to refresh", t->list[i].path,
			t->list[i].kind == TARGET_MISSING ? "not there" : "an empty file");
		return err_hint(e, "'calco restore' writes an image to a new file");
	}
	return 0;
}

static int refuse_pipe(const char *image, struct err *e)
{
	if (!image_is_pipe(image))
		return 0;
	err_set(e, ERR_USAGE, 0, "a refresh looks for single pieces of the image, which a pipe cannot give");
	return err_hint(e, "name the image as a file or in a repository, or use 'calco restore'");
}

int restore_command(struct invocation *inv, bool is_refresh, struct err *e)
{
	const struct restore_args *a = inv->args;
	struct targets_request rq = {
		.image = inv->operands[0],
		.disks = inv->operands + 1,
		.nr_disks = inv->nr_operands - 1,
		.only = a->only,
		.state_file = a->state,
		.sector_size = (uint32_t)a->sector_size.n,
		.as_is = a->as_is.nr ? a->as_is.items : NULL,
		.yes = a->yes,
		.confirm = &a->confirm,
	};
	AUTO(img_reader) struct img_reader *reader = NULL;
	struct targets targets;

	if (a->sector_size.given && !is_pow2(a->sector_size.n))
		return err_set(e, ERR_USAGE, 0, "--sector-size: %llu is not a power of two", (unsigned long long)a->sector_size.n);
	if ((is_refresh && refuse_pipe(rq.image, e) < 0) || image_check_pipe(rq.image, e) < 0 || refuse_named_pipe(rq.image, e) < 0)
		return -1;
	AUTO(access) struct access *access = access_open(&a->access, e);
	if (!access)
		return -1;
	/* A pipe can be read only once, and that is the job's. */
	if (!image_is_pipe(rq.image)) {
		reader = image_open(rq.image, -1, &access->a, &signals_only, e);
		if (!reader)
			return -1;
		rq.m = img_reader_manifest(reader);
		rq.reader = reader;
	}
	int ret = targets_check(&rq, &targets, e);
	targets.is_refresh = is_refresh;
	if (!ret && is_refresh)
		ret = refuse_new(&targets, e);
	if (!ret)
		ret = plan_and_run(inv, &rq, access, &targets, is_refresh, &reader, e);
	targets_free(&targets);
	return ret;
}

static int run(struct invocation *inv, struct err *e)
{
	return restore_command(inv, false, e);
}

const struct cmd cmd_restore = {
	.name = "restore",
	.summary = "Write an image to disks, and prove what was written",
	.operands = "IMAGE DISK...",
	.details =
		"WHAT THE TARGETS HOLD IS LOST. Mounted or used disks are refused, and so are\n"
		"smaller ones; a target that holds data must be confirmed. Everything that can be\n"
		"checked is checked before the first write. The data is written, flushed and read\n"
		"back; only then the disk is made bootable. A disk whose restore was cut short\n"
		"does not boot; the same command finishes it. A file that does not exist is made.",
	.options = options,
	.args_size = sizeof(struct restore_args),
	.min_operands = 2,
	.max_operands = 65, /* the image, and as many disks as it can hold */
	.run = run,
};
