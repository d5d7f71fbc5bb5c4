/* SPDX-License-Identifier: GPL-3.0-or-later */
/* calco capture: disks become one image. */
#include "base/arith.h"
#include "base/hex.h"
#include "base/size.h"
#include "cmd/access.h"
#include "cmd/cmd.h"
#include "cmd/operands.h"
#include "cmd/out.h"
#include "cmd/progress_ui.h"
#include "cmd/show.h"
#include "cmd/signals.h"
#include "cmd/text.h"
#include "imager/disk/guard.h"
#include "imager/image/keys.h"
#include "imager/image/manifest.h"
#include "imager/job/job.h"
#include "imager/repo/repo.h"

#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct capture_args {
	struct common_args common;
	const char *name, *note, *sign;
	struct opt_number version, level, threads, sector_size;
	struct opt_list raw, unlock, key;
	const char *passphrase_file;
	bool no_recheck, replay, skip_volatile, dry_run;
};

#define FIELD(f) offsetof(struct capture_args, f)
static const struct opt options[] = {
	{ .name = "name", .kind = OPT_TEXT, .offset = FIELD(name), .value = "NAME",
		.help = "name of the image (default: from the file's name)" },
	{ .name = "version", .kind = OPT_NUMBER, .offset = FIELD(version), .value = "N", .help = "version of the image (default 1)",
		.min = 1, .max = INT64_MAX },
	{ .name = "note", .kind = OPT_TEXT, .offset = FIELD(note), .value = "TEXT", .help = "a note kept in the image" },
	{ .name = "level", .kind = OPT_NUMBER, .offset = FIELD(level), .value = "N", .help = "zstd level, 1 to 19 (default 3)",
		.min = 1, .max = 19 },
	{ .name = "threads", .kind = OPT_NUMBER, .offset = FIELD(threads), .value = "N",
		.help = "compressing threads (default: one per core)", .min = 1, .max = 1024 },
	{ .name = "no-recheck", .kind = OPT_FLAG, .offset = FIELD(no_recheck),
		.help = "do not decompress and compare every chunk after it was compressed" },
	{ .name = "raw", .kind = OPT_LIST, .offset = FIELD(raw), .value = "VOL",
		.help = "take every byte of a volume (partition number, label, UUID or GPT name; 'all' volumes; 'gaps': all between partitions); repeatable" },
	{ .name = "unlock", .kind = OPT_LIST, .offset = FIELD(unlock), .value = "VOL=FILE",
		.help = "open a LUKS container with the passphrase or key in a file and store what is used inside, still encrypted; repeatable" },
	{ .name = "replay", .kind = OPT_FLAG, .offset = FIELD(replay),
		.help = "capture ext3 and ext4 as after a replay of their journals; the disk is not written to" },
	{ .name = "skip-volatile", .kind = OPT_FLAG, .offset = FIELD(skip_volatile),
		.help = "leave out what page, swap and hibernation files hold, but for their heads" },
	{ .name = "key", .kind = OPT_LIST, .offset = FIELD(key), .value = "FILE",
		.help = "encrypt the image for this key: symmetric, or a recipient's public one (see 'calco key'); repeatable: any of them opens it; of DIR::NAME: open the encrypted repository with this secret key" },
	{ .name = "passphrase-file", .kind = OPT_TEXT, .offset = FIELD(passphrase_file), .value = "FILE",
		.help = "encrypt the image for the passphrase in this file; of DIR::NAME: open the encrypted repository with it" },
	{ .name = "sign", .kind = OPT_TEXT, .offset = FIELD(sign), .value = "FILE", .help = "sign the image with this secret key (see 'calco key')" },
	{ .name = "sector-size", .kind = OPT_SIZE, .offset = FIELD(sector_size), .value = "SIZE",
		.help = "sector size of a plain file (default: from its partition table)", .min = 512, .max = 4096 },
	{ .name = "dry-run", .kind = OPT_FLAG, .offset = FIELD(dry_run), .help = "show what would be captured, write nothing" },
	OPT_PROGRESS,
	OPT_JSON,
	{ .name = NULL },
};

/* The image's place among the operands: the last one, but a dry run may name the disk alone. */
static int split_operands(const struct invocation *inv, bool dry_run, size_t *ret_nr_disks, const char **ret_image, struct err *e)
{
	struct stat st;

	if (inv->nr_operands == 1) {
		if (!dry_run) {
			err_set(e, ERR_USAGE, 0, "'calco capture' needs DISK... and IMAGE, there is only '%s'", inv->operands[0]);
			return err_hint(e, "name the file to make behind the disk: calco capture %.60s lab.calco", inv->operands[0]);
		}
		*ret_nr_disks = 1;
		*ret_image = NULL;
		return 0;
	}
	*ret_nr_disks = inv->nr_operands - 1;
	*ret_image = inv->operands[*ret_nr_disks];
	if (!stat(*ret_image, &st) && (S_ISBLK(st.st_mode) || S_ISDIR(st.st_mode))) {
		err_set(e, ERR_USAGE, 0, "the image '%s' would be a %s", *ret_image, S_ISDIR(st.st_mode) ? "folder" : "disk");
		return err_hint(e, S_ISDIR(st.st_mode) ? "the image comes last and is a file (lab.calco), or a version in a repository: %.120s::NAME"
								: "the image comes last and is a file: calco capture DISK... lab.calco", *ret_image);
	}
	if (image_is_pipe(*ret_image) && !dry_run && isatty(STDOUT_FILENO)) {
		err_set(e, ERR_USAGE, 0, "'-' writes the image to standard output, which is a terminal");
		return err_hint(e, "redirect it: calco capture %.60s - | ssh host 'cat > lab.calco'", inv->operands[0]);
	}
	return 0;
}

/* "gaps" among the words of --raw is not a volume; the rest goes to the job as it is. */
static void split_raw(struct opt_list *raw, struct capture_options *o)
{
	size_t kept = 0;

	for (size_t i = 0; i < raw->nr; i++) {
		if (!strcmp(raw->items[i], "gaps"))
			o->raw_gaps = true;
		else
			raw->items[kept++] = raw->items[i];
	}
	if (!raw->nr)
		return;
	raw->items[kept] = NULL;
	raw->nr = kept;
	o->raw_volumes = raw->items;
}

static void fill_options(struct capture_args *a, const struct disk_paths *disks, const char *image, struct capture_options *ret)
{
	*ret = (struct capture_options){
		.disks = disks->items,
		.nr_disks = disks->nr,
		.image = image,
		.name = a->name,
		.version = a->version.given ? a->version.n : 1,
		.note = a->note,
		.level = a->level.given ? (int)a->level.n : 3,
		.threads = (unsigned)a->threads.n,
		.sector_size = (uint32_t)a->sector_size.n,
		.no_recheck = a->no_recheck,
		.replay = a->replay,
		.skip_volatile = a->skip_volatile,
		.dry_run = a->dry_run,
		.out_fd = STDOUT_FILENO,
	};
	split_raw(&a->raw, ret);
	if (a->unlock.nr)
		ret->unlocks = a->unlock.items;
}

static int check_values(const struct capture_args *a, struct err *e)
{
	if (a->name && !img_name_ok(a->name))
		return err_set(e, ERR_USAGE, 0, "--name: '%s' is not 1 to 64 of the characters A-Z a-z 0-9 . _ -, not beginning with . or -",
			a->name);
	for (size_t i = 0; i < a->unlock.nr; i++) {
		const char *equals = strchr(a->unlock.items[i], '=');
		if (!equals || equals == a->unlock.items[i] || !equals[1])
			return err_set(e, ERR_USAGE, 0, "--unlock: '%s' is not VOL=FILE", a->unlock.items[i]);
	}
	if (a->sector_size.given && !is_pow2(a->sector_size.n))
		return err_set(e, ERR_USAGE, 0, "--sector-size: %llu is not a power of two", (unsigned long long)a->sector_size.n);
	return 0;
}

static void report_json(struct out *out, const struct capture_options *o, const struct capture_result *r)
{
	out_result(out);
	out_bool(out, "dry_run", NULL, o->dry_run);
	out_str(out, "image", NULL, o->image);
	show_identity(out, r->manifest);
	out_u64(out, "stored_bytes", NULL, show_stored_bytes(r->manifest, -1));
	out_u64(out, "used_bytes", NULL, r->used_bytes);
	out_u64(out, "zero_bytes", NULL, r->zero_bytes);
	out_u64(out, "zero_chunks", NULL, r->nr_zero_chunks);
	out_u64(out, "image_bytes", NULL, r->image_bytes);
	out_u64(out, "bad_bytes", NULL, r->bad_bytes);
	out_u64(out, "recovered_bytes", NULL, r->recovered_bytes);
	show_ranges_json(out, r->manifest, "recovered_ranges", r->recovered, r->nr_recovered);
	out_u64(out, "differing_chunks", NULL, r->nr_differing);
	out_str(out, "unfinished_restore", NULL, r->unfinished[0] ? r->unfinished : NULL);
	out_seconds(out, "seconds", NULL, r->seconds);
	show_layout_json(out, r->manifest);
	show_encryption(out, r->manifest);
	show_signers(out, r->manifest, NULL);
}

static void tell_unfinished(struct out *out, const struct capture_result *r)
{
	if (r->unfinished[0])
		out_line(out, "  note: a restore to this disk was cut short (see 'calco undo --list'): this is neither the old disk nor the new one");
}

static void report_plan(struct out *out, const struct capture_result *r)
{
	char used[32];

	show_layout(out, r->manifest);
	tell_unfinished(out, r);
	size_format(r->used_bytes, used);
	out_line(out, "would read and store %s in %llu chunks, before compression; nothing was written", used,
		(unsigned long long)r->nr_chunks);
}

/* How much smaller, how fast: "4.8 GiB, 2.5 times smaller than the 12.1 GiB in use". */
static void report_sizes(struct out *out, const struct capture_options *o, const struct capture_result *r)
{
	char used[32], image[32], rate[32], seconds[32], zero[48] = "";

	size_format(r->used_bytes, used);
	size_format(r->image_bytes, image);
	size_format(r->seconds > 0 ? (uint64_t)((double)r->used_bytes / r->seconds) : 0, rate);
	if (r->nr_zero_chunks)
		snprintf(zero, sizeof(zero), ", of these %llu all zero", (unsigned long long)r->nr_zero_chunks);
	out_line(out, "  stored       %s in %llu chunks%s", used, (unsigned long long)r->nr_chunks, zero);
	out_line(out, "  image        %s, %s%s%.2f : 1", image_is_pipe(o->image) ? "standard output" : o->image, image,
		r->image_bytes ? ", ratio " : "", r->image_bytes ? (double)r->used_bytes / (double)r->image_bytes : 0.0);
	out_line(out, "  time         %s%s%s%s", text_duration(r->seconds, seconds), r->used_bytes ? ", " : "", r->used_bytes ? rate : "",
		r->used_bytes ? "/s" : "");
}

/* One target for each disk: with a placeholder for each as long as they can be told apart. */
static void report_next(struct out *out, const char *image, const char *key, size_t nr_disks)
{
	static const char *const targets[] = { "", " /dev/sdX", " /dev/sdX /dev/sdY", " /dev/sdX /dev/sdY /dev/sdZ" };

	out_line(out, "next: calco verify %s%s", image, key);
	if (nr_disks < sizeof(targets) / sizeof(targets[0]))
		out_line(out, "      calco restore %s%s%s", image, targets[nr_disks], key);
	else
		out_line(out, "      calco restore %s DISK...%s (%zu disks, in this order)", image, key, nr_disks);
}

static void report_text(struct out *out, const struct capture_options *o, const struct capture_result *r)
{
	const struct img_manifest *m = r->manifest;
	char root[2 * IMG_ID_SIZE + 1];

	if (o->dry_run) {
		report_plan(out, r);
		return;
	}
	out_line(out, "captured '%s' version %llu%s", m->name, (unsigned long long)m->version,
		r->bad_bytes ? ", with unreadable sectors" : "");
	show_layout(out, m);
	tell_unfinished(out, r);
	report_sizes(out, o, r);
	out_line(out, "  root         %.16s", hex_of(m->root, IMG_ID_SIZE, root));
	if (m->seal)
		show_encryption(out, m);
	if (m->nr_signers)
		show_signers(out, m, NULL);
	show_bad_ranges(out, m);
	show_ranges(out, m, "unreadable, but taken from where a mirror keeps the same", r->recovered, r->nr_recovered);
	if (image_is_pipe(o->image))
		return;
	const char *key = o->keys ? o->keys->nr_keys ? " --key FILE" : " --passphrase-file FILE" : "";
	report_next(out, o->image, key, m->nr_disks);
}

static int capture(struct invocation *inv, const struct capture_options *o, enum progress_mode mode, struct err *e)
{
	struct capture_result r = { .manifest = NULL };
	struct progress_ui ui;

	if (guard_distinct("source", o->disks, o->nr_disks, e) < 0)
		return -1;
	for (size_t i = 0; i < o->nr_disks; i++)
		if (guard_source(o->disks[i], e) < 0)
			return -1;
	progress_ui_open(&ui, mode);
	int ret = capture_run(o, &r, &ui.progress, e);
	progress_ui_close(&ui);
	if (!ret && !o->dry_run)
		inv->out->done = "the image is complete";
	if (r.manifest && (!ret || e->code == ERR_PARTIAL)) {
		if (inv->out->is_json)
			report_json(inv->out, o, &r);
		else
			report_text(inv->out, o, &r);
	}
	img_manifest_free(r.manifest);
	free(r.recovered);
	return ret;
}

static int read_signer(const char *path, struct key *ret, struct err *e)
{
	if (key_read(path, ret, &signals_only, e) < 0)
		return err_wrap(e, "--sign");
	if (ret->kind == KEY_SIGN_SECRET)
		return 0;
	err_set(e, ERR_USAGE, 0, "--sign: '%s' is no secret key for signing, but a %s", path, key_kind_name(ret->kind));
	return err_hint(e, "'calco key new FILE' makes one");
}

static int run(struct invocation *inv, struct err *e)
{
	struct capture_args *a = inv->args;
	const struct access_args none = { .passphrase_file = NULL };
	struct capture_options o;
	const char *image = NULL;
	size_t nr_disks = 0;

	if (split_operands(inv, a->dry_run, &nr_disks, &image, e) < 0 || check_values(a, e) < 0)
		return -1;
	if (image && image_is_pipe(image) && !a->dry_run)
		out_to_stderr(inv->out);
	AUTO(disk_paths) struct disk_paths *disks = disk_paths_resolve(inv->operands, nr_disks, e);
	if (!disks)
		return -1;
	fill_options(a, disks, image, &o);
	AUTO(access) struct access *access = access_open(&none, e);
	bool may_seal = !image || !repo_is_name(image); /* a repository is opened, not made */
	if (!access || access_keys(access, &a->key, a->passphrase_file, may_seal, e) < 0)
		return -1;
	if (img_keys_given(&access->a.keys))
		o.keys = &access->a.keys;
	AUTO_KEY struct key signer = { .kind = KEY_SIGN_SECRET };
	if (a->sign && read_signer(a->sign, &signer, e) < 0)
		return -1;
	o.sign = a->sign ? &signer : NULL;
	return capture(inv, &o, a->common.progress, e);
}

const struct cmd cmd_capture = {
	.name = "capture",
	.summary = "Read disks into one image",
	.operands = "DISK... IMAGE",
	.details =
		"The disks are only read. What their file systems do not use is left out; what\n"
		"no driver understands is taken whole. Refused is what cannot be copied safely\n"
		"now: mounted for writing, hibernated, or with a journal to be replayed. IMAGE\n"
		"is a new file, or '-' for standard output; it appears only when it is complete.\n"
		"Unreadable sectors do not stop it: the image lists them, the exit code is 5.",
	.options = options,
	.args_size = sizeof(struct capture_args),
	.min_operands = 1,
	.max_operands = 65, /* as many disks as an image holds, and the image */
	.run = run,
};
