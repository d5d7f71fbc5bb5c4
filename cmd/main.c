/* SPDX-License-Identifier: GPL-3.0-or-later */
/* calco: dispatch to a subcommand, report its error, turn it into the exit code. */
#include "cmd/cmd.h"
#include "cmd/help.h"
#include "cmd/opts.h"
#include "cmd/out.h"
#include "cmd/signals.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

/* Usage errors are reported before the options are parsed: is the caller a program? */
static bool wants_json(int argc, char **argv)
{
	for (int i = 1; i < argc && strcmp(argv[i], "--"); i++)
		if (!strcmp(argv[i], "--json"))
			return true;
	return false;
}

/* Report e, if it is one, in every form that was asked for; the exit code. */
static int finish(struct out *out, const struct err *e)
{
	struct err late = ERR_INIT;

	if (e->code)
		out_error_text(e);
	if (out_finish(out, e, &late) < 0) {
		struct err why = late;
		if (out->done && !e->code)
			snprintf(late.msg, sizeof(late.msg), "%s, but its report could not be written: %.300s", out->done, why.msg);
		out_error_text(&late);
		return e->code ? out_exit_code(e) : out_exit_code(&late);
	}
	return out_exit_code(e);
}

static int run_command(int argc, char **argv)
{
	struct invocation inv = { .cmd = NULL };
	struct err e = ERR_INIT;
	struct out out;

	const struct cmd *cmd = cmd_find(argv[1], &e);
	out_init(&out, cmd ? cmd->name : NULL, wants_json(argc, argv));
	if (cmd && !opts_parse(cmd, argc - 2, argv + 2, &inv, &e)) {
		inv.out = &out;
		out.is_json = !inv.wants_help && ((struct common_args *)inv.args)->json;
		if (inv.wants_help)
			help_command(out.f, cmd);
		else if (!cmd->run(&inv, &e))
			e.code = ERR_NONE; /* an error on the way that was dealt with */
	}
	opts_release(&inv);
	return finish(&out, &e);
}

/* calco help [COMMAND] */
static int run_help(int argc, char **argv)
{
	struct err e = ERR_INIT;
	struct out out;

	out_init(&out, NULL, false);
	const struct cmd *cmd = argc > 2 ? cmd_find(argv[2], &e) : NULL;
	if (argc > 3)
		err_set(&e, ERR_USAGE, 0, "'calco help' explains one command at a time");
	else if (cmd)
		help_command(out.f, cmd);
	else if (!e.code)
		help_program(out.f);
	return finish(&out, &e);
}

static int run_plain(void (*print)(FILE *f))
{
	struct err e = ERR_INIT;
	struct out out;

	out_init(&out, NULL, false);
	print(out.f);
	return finish(&out, &e);
}

int main(int argc, char **argv)
{
	signals_install();
	if (argc < 2) {
		help_program(stderr);
		return ERR_USAGE;
	}
	if (!strcmp(argv[1], "--help") || !strcmp(argv[1], "-h"))
		return run_plain(help_program);
	if (!strcmp(argv[1], "--version"))
		return run_plain(help_version);
	if (!strcmp(argv[1], "_options"))
		return run_plain(help_options);
	if (!strcmp(argv[1], "help"))
		return run_help(argc, argv);
	return run_command(argc, argv);
}
