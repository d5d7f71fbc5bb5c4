/* SPDX-License-Identifier: GPL-3.0-or-later */
/* calco repo: repositories and what is in them. One command with a verb; each verb is a function here or in repo_*.c. */
#include "cmd/cmd.h"
#include "cmd/out.h"
#include "cmd/repo_verbs.h"

#include <string.h>

static const struct opt options[] = {
	{ .name = "delete", .kind = OPT_FLAG, .offset = offsetof(struct repo_args, is_delete), .help = "tag: remove the tag instead of setting it" },
	{ .name = "dry-run", .kind = OPT_FLAG, .offset = offsetof(struct repo_args, dry_run), .help = "rm, prune: only say what would go" },
	{ .name = "max-unused", .kind = OPT_NUMBER, .offset = offsetof(struct repo_args, max_unused), .value = "PERCENT",
		.help = "prune: rewrite packs of which more is not needed (25)", .min = 0, .max = 100 },
	{ .name = "unfinished", .kind = OPT_FLAG, .offset = offsetof(struct repo_args, unfinished),
		.help = "prune: also take away what interrupted captures left" },
	{ .name = "read-data", .kind = OPT_FLAG, .offset = offsetof(struct repo_args, read_data),
		.help = "check: unpack every record and compute its id, instead of checksums only" },
	{ .name = "heal", .kind = OPT_FLAG, .offset = offsetof(struct repo_args, heal),
		.help = "check: let versions use other records with the same content in place of damaged ones" },
	{ .name = "rebuild-index", .kind = OPT_FLAG, .offset = offsetof(struct repo_args, rebuild_index),
		.help = "check: write anew what follows from the records" },
	{ .name = "sample", .kind = OPT_NUMBER, .offset = offsetof(struct repo_args, sample), .value = "PERCENT",
		.help = "check: look at so many of the records only, chosen by chance", .min = 1, .max = 100 },
	{ .name = "time-limit", .kind = OPT_NUMBER, .offset = offsetof(struct repo_args, time_limit), .value = "SECONDS",
		.help = "check: stop looking at records after so long", .min = 1, .max = 31536000 },
	{ .name = "key", .kind = OPT_LIST, .offset = offsetof(struct repo_args, access.key), .value = "FILE",
		.help = "init: encrypt everything for this key, symmetric or a recipient's public one; else: open an encrypted repository with the secret key; repeatable" },
	{ .name = "passphrase-file", .kind = OPT_TEXT, .offset = offsetof(struct repo_args, access.passphrase_file), .value = "FILE",
		.help = "the same with the passphrase in this file" },
	{ .name = "add-key", .kind = OPT_LIST, .offset = offsetof(struct repo_args, add_key), .value = "FILE",
		.help = "keys: let this key, symmetric or a recipient's public one, open the repository too; repeatable" },
	{ .name = "add-passphrase-file", .kind = OPT_TEXT, .offset = offsetof(struct repo_args, add_passphrase_file), .value = "FILE",
		.help = "keys: let the passphrase in this file open it too" },
	{ .name = "remove-slot", .kind = OPT_LIST, .offset = offsetof(struct repo_args, remove_slot), .value = "N",
		.help = "keys: what opens slot N does not open it any more; repeatable" },
	OPT_JSON,
	OPT_PROGRESS,
	{ .name = NULL },
};

/* Options that only some verbs know. */
enum repo_option { FOR_DELETE = 1, FOR_DRY_RUN = 2, FOR_PRUNE = 4, FOR_CHECK = 8, FOR_KEYS = 16 };

/* What can be done, with how many operands behind the folder, and which options mean something. */
static const struct verb {
	const char *name;
	const char *behind; /* the folder, for the hint */
	size_t min, max;
	unsigned options;   /* enum repo_option */
	const char *done;   /* see struct out; NULL: it only reports */
	int (*run)(struct invocation *inv, struct err *e);
} verbs[] = {
	{ .name = "init", .behind = "", .done = "the repository is made", .run = repo_verb_init },
	{ .name = "list", .behind = " [NAME]", .max = 1, .run = repo_verb_list },
	{ .name = "show", .behind = " NAME[@N]", .min = 1, .max = 1, .run = repo_verb_show },
	{ .name = "tag", .behind = " NAME[@N] TAG", .min = 2, .max = 2, .options = FOR_DELETE, .done = "the tag is changed", .run = repo_verb_tag },
	{ .name = "rm", .behind = " NAME@N...", .min = 1, .max = 64, .options = FOR_DRY_RUN, .done = "the versions are removed", .run = repo_verb_rm },
	{ .name = "prune", .behind = "", .options = FOR_DRY_RUN | FOR_PRUNE, .done = "the prune is complete", .run = repo_verb_prune },
	{ .name = "check", .behind = "", .options = FOR_CHECK, .done = "nothing wrong was found", .run = repo_verb_check },
	{ .name = "stats", .behind = "", .run = repo_verb_stats },
	{ .name = "keys", .behind = "", .options = FOR_KEYS, .run = repo_verb_keys },
};

static int check_options(const struct verb *v, const struct repo_args *a, struct err *e)
{
	const struct {
		const char *name;
		bool is_given;
		unsigned option;
	} given[] = {
		{ "delete", a->is_delete, FOR_DELETE },
		{ "dry-run", a->dry_run, FOR_DRY_RUN },
		{ "max-unused", a->max_unused.given, FOR_PRUNE },
		{ "unfinished", a->unfinished, FOR_PRUNE },
		{ "read-data", a->read_data, FOR_CHECK },
		{ "heal", a->heal, FOR_CHECK },
		{ "rebuild-index", a->rebuild_index, FOR_CHECK },
		{ "sample", a->sample.given, FOR_CHECK },
		{ "time-limit", a->time_limit.given, FOR_CHECK },
		{ "add-key", a->add_key.nr, FOR_KEYS },
		{ "add-passphrase-file", a->add_passphrase_file, FOR_KEYS },
		{ "remove-slot", a->remove_slot.nr, FOR_KEYS },
	};

	for (size_t i = 0; i < sizeof(given) / sizeof(given[0]); i++)
		if (given[i].is_given && !(v->options & given[i].option))
			return err_set(e, ERR_USAGE, 0, "repo %s: --%s has no meaning here", v->name, given[i].name);
	return 0;
}

static int run(struct invocation *inv, struct err *e)
{
	const char *word = inv->operands[0];

	for (size_t i = 0; i < sizeof(verbs) / sizeof(verbs[0]); i++) {
		const struct verb *v = &verbs[i];
		if (strcmp(v->name, word))
			continue;
		if (inv->nr_operands < v->min + 2 || inv->nr_operands > v->max + 2) {
			err_set(e, ERR_USAGE, 0, "repo %s: wrong number of operands", v->name);
			return err_hint(e, "calco repo %s DIR%s", v->name, v->behind);
		}
		if (check_options(v, inv->args, e) < 0 || v->run(inv, e) < 0)
			return -1;
		inv->out->done = ((const struct repo_args *)inv->args)->dry_run ? NULL : v->done;
		return 0;
	}
	err_set(e, ERR_USAGE, 0, "repo: there is no verb '%s'", word);
	return err_hint(e, "calco repo --help lists them");
}

const struct cmd cmd_repo = {
	.name = "repo",
	.summary = "Make a repository of images and look after it",
	.operands = "VERB DIR [NAME]...",
	.details =
		"A repository keeps many versions of many images and stores what they share once.\n"
		"'calco capture DISK DIR::NAME' adds a version; DIR::NAME, DIR::NAME@3 and\n"
		"DIR::NAME@TAG stand for one wherever an image is read.\n"
		"  init DIR              make one, in a new or empty folder\n"
		"  list DIR [NAME]       its images, versions and tags\n"
		"  show DIR NAME[@N]     what one version holds\n"
		"  tag DIR NAME[@N] TAG  let TAG mean that version, the newest without @N\n"
		"  rm DIR NAME@N...      remove versions; never one that has a tag\n"
		"  prune DIR             take away what no version needs any more\n"
		"  check DIR             is everything there, and what it was?\n"
		"  stats DIR             how much it holds, and how much room that takes\n"
		"  keys DIR              what opens an encrypted one; add and remove keys",
	.options = options,
	.args_size = sizeof(struct repo_args),
	.min_operands = 2,
	.max_operands = 66,
	.run = run,
};
