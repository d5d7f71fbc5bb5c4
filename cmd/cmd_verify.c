/* SPDX-License-Identifier: GPL-3.0-or-later */
/* calco verify: is the image whole; does a disk hold what the image says? */
#include "base/arith.h"
#include "base/hex.h"
#include "base/size.h"
#include "cmd/access.h"
#include "cmd/cmd.h"
#include "cmd/operands.h"
#include "cmd/out.h"
#include "cmd/progress_ui.h"
#include "cmd/text.h"
#include "imager/image/manifest.h"
#include "imager/job/job.h"

#include <unistd.h>

#define MAX_DAMAGE_LINES 50

struct verify_args {
	struct common_args common;
	struct access_args access;
	struct opt_list against;
	const char *only;
	struct opt_number threads, sector_size;
	struct opt_list as_is;
};

#define FIELD(f) offsetof(struct verify_args, f)
static const struct opt options[] = {
	{ .name = "against", .kind = OPT_LIST, .offset = FIELD(against), .value = "DISK",
		.help = "compare this disk with the image; once for each disk of the image, in order" },
	{ .name = "only", .kind = OPT_TEXT, .offset = FIELD(only), .value = "VOL",
		.help = "only this volume (partition number, label, UUID or GPT name)" },
	{ .name = "sector-size", .kind = OPT_SIZE, .offset = FIELD(sector_size), .value = "SIZE",
		.help = "sector size of disks that are plain files (default: from their GPT)", .min = 512, .max = 4096 },
	{ .name = "as-is", .kind = OPT_LIST, .offset = FIELD(as_is), .value = "VOL", .help = "this volume was restored with --as-is" },
	{ .name = "threads", .kind = OPT_NUMBER, .offset = FIELD(threads), .value = "N",
		.help = "checking threads (default: one per core)", .min = 1, .max = 1024 },
	OPT_KEYS(struct verify_args),
	OPT_TRUST(struct verify_args),
	OPT_PROGRESS,
	OPT_JSON,
	{ .name = NULL },
};

static const char *verdict_word(const struct verify_options *o, bool good)
{
	if (o->against)
		return good ? "equal" : "different";
	return good ? "whole" : "damaged";
}

static void report_json(struct out *out, const struct verify_options *o, const struct verify_result *r, bool good)
{
	out_result(out);
	out_str(out, "image", NULL, o->image);
	out_str(out, "verdict", NULL, verdict_word(o, good));
	out_array(out, "against");
	for (size_t i = 0; o->against && o->against[i]; i++)
		json_str(&out->json, NULL, o->against[i]);
	out_end(out);
	if (r->manifest) {
		out_str(out, "name", NULL, r->manifest->name);
		out_u64(out, "image_version", NULL, r->manifest->version);
		if (r->manifest->has_root)
			out_hex(out, "root", r->manifest->root, IMG_ID_SIZE);
	}
	out_u64(out, "chunks", NULL, r->nr_chunks);
	out_u64(out, "bad_chunks", NULL, r->nr_bad_chunks);
	out_u64(out, "checked_bytes", NULL, r->checked_bytes);
	out_u64(out, "damages_found", NULL, r->nr_damages);
	if (o->against)
		out_bool(out, "only_spare", NULL, r->nr_spare && !r->nr_other);
	out_seconds(out, "seconds", NULL, r->seconds);
}

/* The list of damages: all that were kept in JSON, the first of them in text. */
static void report_damages(struct out *out, const struct verify_result *r)
{
	static const struct out_column columns[] = {
		{ .title = "WHERE" }, { .key = "disk" }, { .key = "start", .title = "START", .right = true },
		{ .key = "length", .title = "LENGTH", .right = true }, { .key = "volume", .title = "VOLUME" },
		{ .key = "what", .title = "WHAT" },
	};
	struct out_table t;
	char where[24];

	out_table_begin(&t, out, "damages", columns, sizeof(columns) / sizeof(columns[0]));
	for (size_t i = 0; i < r->nr_kept && (out->is_json || i < MAX_DAMAGE_LINES); i++) {
		const struct damage *d = &r->damages[i];
		snprintf(where, sizeof(where), "disk %d", d->disk + 1);
		out_cell_str(&t, d->disk < 0 ? "file" : where);
		if (d->disk < 0)
			out_cell_none(&t);
		else
			out_cell_u64(&t, (uint64_t)d->disk);
		out_cell_u64(&t, d->start);
		out_cell_u64(&t, d->len);
		out_cell_str(&t, d->volume);
		out_cell_str(&t, d->what);
	}
	out_table_end(&t);
	if (r->nr_spare && !r->nr_other) {
		out_line(out, "  All of it lies where the file systems hold nothing: the body of a clean journal, inode tables never used. On the disk that");
		out_line(out, "  was captured its own old bytes may stand there, and nothing is wrong. A disk that was restored has zeros there.");
	}
	if (r->nr_damages > r->nr_kept || (!out->is_json && r->nr_kept > MAX_DAMAGE_LINES))
		out_line(out, "  and more: %llu places in all%s", (unsigned long long)r->nr_damages,
			r->nr_kept > MAX_DAMAGE_LINES ? "; --json lists up to 1000" : "");
}

/* What differs on the disk that was captured, for good reason. */
static void note_replayed(struct out *out, const struct verify_options *o, const struct verify_result *r)
{
	bool is_replayed = false;

	for (size_t i = 0; r->manifest && i < r->manifest->nr_volumes; i++)
		is_replayed |= r->manifest->volumes[i].flags & IMG_VOL_REPLAYED;
	if (o->against && is_replayed && r->nr_damages)
		out_line(out, "  The image holds a file system with its journal replayed. The disk that was captured differs in what that changed; "
			"a restored one does not.");
}

/* By name those that differ; of a single volume there is one disk, whichever it is in the image. */
static void report_wrong_disks(struct out *out, const struct verify_options *o, const struct verify_result *r, const char *image)
{
	for (size_t i = 0; o->against[i]; i++)
		if (o->only || !o->against[1] || (i < 64 && r->wrong_disks >> i & 1))
			out_line(out, "DIFFERENT: %s is not what %s says%s", o->against[i], image,
				r->nr_spare && !r->nr_other ? ", but every file is equal" : "");
}

static void report_text(struct out *out, const struct verify_options *o, const struct verify_result *r, bool good)
{
	char checked[32], seconds[32], root[2 * IMG_ID_SIZE + 1] = "";
	const char *name = image_is_pipe(o->image) ? "the image" : o->image;

	size_format(r->checked_bytes, checked);
	text_duration(r->seconds, seconds);
	if (r->manifest && r->manifest->has_root)
		hex_of(r->manifest->root, IMG_ID_SIZE, root);
	if (good && o->against)
		out_line(out, "equal: %s%s what %s says", o->against[0], o->against[1] ? " and the other disks hold" : " holds", name);
	else if (good)
		out_line(out, "whole: %s", name);
	else if (o->against)
		report_wrong_disks(out, o, r, name);
	else
		out_line(out, "DAMAGED: %s", name);
	out_line(out, "  %llu chunks, %s examined in %s, %llu of the chunks are wrong", (unsigned long long)r->nr_chunks, checked, seconds,
		(unsigned long long)r->nr_bad_chunks);
	out_str(out, NULL, "root", root);
}

/* Who stands behind it, of an image that is whole. */
static void report_signers(struct out *out, const struct verify_options *o, const struct verify_result *r, bool good)
{
	if (good && r->manifest)
		show_signers(out, r->manifest, o->access);
}

static int verify(struct out *out, const struct verify_options *o, enum progress_mode mode, struct err *e)
{
	struct verify_result r = { .manifest = NULL };
	struct progress_ui ui;

	progress_ui_open(&ui, mode);
	int ret = verify_run(o, &r, &ui.progress, e);
	progress_ui_close(&ui);
	if (!ret)
		out->done = "nothing wrong was found";
	/* A verdict needs a finished examination: not found, not readable or stopped is none. */
	if (!ret || e->code == ERR_CORRUPT) {
		if (out->is_json)
			report_json(out, o, &r, !ret);
		else
			report_text(out, o, &r, !ret);
		report_signers(out, o, &r, !ret);
		report_damages(out, &r);
		note_replayed(out, o, &r);
	}
	img_manifest_free(r.manifest);
	free(r.damages);
	return ret;
}

static int run(struct invocation *inv, struct err *e)
{
	const struct verify_args *a = inv->args;
	struct verify_options o = {
		.image = inv->operands[0],
		.in_fd = STDIN_FILENO,
		.threads = (unsigned)a->threads.n,
		.only = a->only,
		.sector_size = (uint32_t)a->sector_size.n,
		.as_is = a->as_is.nr ? a->as_is.items : NULL,
	};

	if (a->only && !a->against.nr) {
		err_set(e, ERR_USAGE, 0, "--only needs --against: without a disk to compare with, an image is always examined as a whole");
		return err_hint(e, "add --against DISK, or leave --only out");
	}
	if (a->sector_size.given && !is_pow2(a->sector_size.n))
		return err_set(e, ERR_USAGE, 0, "--sector-size: %llu is not a power of two", (unsigned long long)a->sector_size.n);
	if (image_check_pipe(o.image, e) < 0)
		return -1;
	AUTO(access) struct access *access = access_open(&a->access, e);
	if (!access)
		return -1;
	o.access = &access->a;
	AUTO(disk_paths) struct disk_paths *against = disk_paths_resolve(a->against.items, a->against.nr, e);
	if (!against)
		return -1;
	if (against->nr)
		o.against = against->items;
	return verify(inv->out, &o, a->common.progress, e);
}

const struct cmd cmd_verify = {
	.name = "verify",
	.summary = "Check an image, or compare disks with it",
	.operands = "IMAGE",
	.details =
		"Without --against every byte of the image is examined. With it, each disk is\n"
		"read and compared with what the image says about it; what the image left out\n"
		"may hold anything. Damage is named by volume and range; the exit code is 3.",
	.options = options,
	.args_size = sizeof(struct verify_args),
	.min_operands = 1,
	.max_operands = 1,
	.run = run,
};
