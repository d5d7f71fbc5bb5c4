/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The command line as data: one table of subcommands, each with one table of options. Parsing, --help, "did you mean",
 * shell completion and the test of the manual pages all read these tables, so they cannot disagree.
 */
#ifndef CALCO_CMD_CMD_H
#define CALCO_CMD_CMD_H

#include "base/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct out;

enum opt_kind {
	OPT_FLAG,   /* bool */
	OPT_TEXT,   /* const char * */
	OPT_LIST,   /* struct opt_list: may be given again and again */
	OPT_NUMBER, /* struct opt_number: whole number from min to max */
	OPT_SIZE,   /* struct opt_number: the same, but "4K" is understood */
	OPT_CHOICE, /* unsigned: which of the words in value ("auto|tty|json|none"), from 0 */
};

/* One option. The table of a command ends with an entry without a name. */
struct opt {
	const char *name;  /* "level" for --level */
	enum opt_kind kind;
	size_t offset;     /* where the value goes in the command's own struct of arguments */
	const char *value; /* how help names the value ("N"); the words of an OPT_CHOICE; NULL for a flag */
	const char *help;  /* one line, no full stop */
	uint64_t min, max; /* OPT_NUMBER, OPT_SIZE */
};

struct opt_list {
	const char **items; /* NULL-terminated once nr > 0, else NULL; the strings belong to argv */
	size_t nr;
};

struct opt_number {
	uint64_t n;
	bool given;
};

enum progress_mode { PROGRESS_AUTO, PROGRESS_TTY, PROGRESS_JSON, PROGRESS_NONE };

/* Every command's struct of arguments begins with this one. */
struct common_args {
	bool json;
	unsigned progress; /* enum progress_mode */
};

#define OPT_JSON     { .name = "json", .kind = OPT_FLAG, .offset = offsetof(struct common_args, json), \
	.help = "print one JSON document instead of text" }
#define OPT_PROGRESS { .name = "progress", .kind = OPT_CHOICE, .offset = offsetof(struct common_args, progress), \
	.value = "auto|tty|json|none", .help = "how progress is shown on standard error" }

/* A subcommand as the user called it: options parsed into args, operands counted. */
struct invocation {
	const struct cmd *cmd;
	void *args;            /* the command's own struct, zeroed and then filled from its options */
	const char **operands; /* NULL-terminated; the strings belong to argv */
	size_t nr_operands;
	bool wants_help;
	struct out *out;
};

struct cmd {
	const char *name;     /* "capture" */
	const char *summary;  /* one line for "calco --help" and the manual */
	const char *operands; /* "DISK... IMAGE" */
	const char *details;  /* a paragraph for --help, lines at most 78 columns */
	const struct opt *options;
	size_t args_size;
	size_t min_operands, max_operands;
	/* Do it, write the result to inv->out. 0, or -1 with the error whose code becomes the exit code. */
	int (*run)(struct invocation *inv, struct err *e);
};

/* All subcommands, NULL-terminated, in the order of --help. */
extern const struct cmd *const cmds[];
extern const struct cmd cmd_capture, cmd_restore, cmd_refresh, cmd_verify, cmd_undo, cmd_info, cmd_ls, cmd_disks, cmd_repo, cmd_key, cmd_sign;

/* cmd_find - by name; NULL and ERR_USAGE with the nearest name as hint */
const struct cmd *cmd_find(const char *name, struct err *e);

#endif
