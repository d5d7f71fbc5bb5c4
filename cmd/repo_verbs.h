/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The verbs of "calco repo": operands[0] is the verb, operands[1] the folder. Private to cmd/. */
#ifndef CALCO_CMD_REPO_VERBS_H
#define CALCO_CMD_REPO_VERBS_H

#include "cmd/access.h"
#include "cmd/cmd.h"

struct repo_args {
	struct common_args common;
	struct access_args access;
	struct opt_list add_key, remove_slot;
	const char *add_passphrase_file;
	bool is_delete, dry_run, unfinished, read_data, rebuild_index, heal;
	struct opt_number max_unused, sample, time_limit;
};

struct repo;

/*
 * repo_verb_open - the repository that is named, opened with the keys that were given
 * @may_be_locked: only names are looked at, so an encrypted one needs no key; a key that is given must be right all the same
 */
struct repo *repo_verb_open(const struct invocation *inv, bool may_be_locked, struct err *e);

int repo_verb_init(struct invocation *inv, struct err *e);
int repo_verb_list(struct invocation *inv, struct err *e);
int repo_verb_tag(struct invocation *inv, struct err *e);
int repo_verb_rm(struct invocation *inv, struct err *e);
int repo_verb_prune(struct invocation *inv, struct err *e);
int repo_verb_check(struct invocation *inv, struct err *e);
int repo_verb_stats(struct invocation *inv, struct err *e);
int repo_verb_show(struct invocation *inv, struct err *e);
int repo_verb_keys(struct invocation *inv, struct err *e);

#endif
