/* SPDX-License-Identifier: GPL-3.0-or-later */
/* calco repo: repositories and what is in them. One command with a verb; each verb is a function here or in repo_*.c. */
#include "cmd/cmd.h"
#include "cmd/out.h"
#include "cmd/repo_verbs.h"

#include <string.h>

static const struct opt options[] = {
	{ .name = "delete", .kind = OPT_FLAG, .offset = offsetof(struct repo_args, is_delete), .help = "tag: remove the tag instead of setting it" },
	{ .name = "dry-run", .kind = OPT_FLAG, .offset = offsetof(struct repo_args, dry_run), .help = "rm: only say what would go" },
	OPT_JSON,
	OPT_PROGRESS,
	{ .name = NULL },
};

/* What can be done, with how many operands behind the folder, and which options mean something. */
static const struct verb {
	const char *name;
	size_t min, max;
	bool may_delete, may_dry_run;
	int (*run)(struct invocation *inv, struct err *e);
} verbs[] = {
	{ "init", 0, 0, false, false, repo_verb_init },
	{ "list", 0, 1, false, false, repo_verb_list },
	{ "tag", 2, 2, true, false, repo_verb_tag },
	{ "rm", 1, 64, false, true, repo_verb_rm },
};

static int usage_of(const struct verb *v, struct err *e)
{
	static const char *const behind[] = { "", " [NAME]", " NAME[@N] TAG", " NAME@N..." };

	err_set(e, ERR_USAGE, 0, "repo %s: wrong number of operands", v->name);
	return err_hint(e, "calco repo %s DIR%s", v->name, behind[v - verbs]);
}

static int run(struct invocation *inv, struct err *e)
{
	const struct repo_args *a = inv->args;
	const char *word = inv->operands[0];

	for (size_t i = 0; i < sizeof(verbs) / sizeof(verbs[0]); i++) {
		const struct verb *v = &verbs[i];
		if (strcmp(v->name, word))
			continue;
		if (inv->nr_operands < v->min + 2 || inv->nr_operands > v->max + 2)
			return usage_of(v, e);
		if ((a->is_delete && !v->may_delete) || (a->dry_run && !v->may_dry_run))
			return err_set(e, ERR_USAGE, 0, "repo %s: --%s has no meaning here", v->name, a->is_delete && !v->may_delete ? "delete" : "dry-run");
		return v->run(inv, e);
	}
	err_set(e, ERR_USAGE, 0, "repo: '%s' is not one of init, list, tag, rm", word);
	return err_hint(e, "calco repo --help");
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
		"  tag DIR NAME[@N] TAG  let TAG mean that version, the newest without @N\n"
		"  rm DIR NAME@N...      remove versions; never one that has a tag",
	.options = options,
	.args_size = sizeof(struct repo_args),
	.min_operands = 2,
	.max_operands = 66,
	.run = run,
};
