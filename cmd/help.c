/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Help texts; see help.h. */
#include "cmd/help.h"

#include <string.h>

static const struct opt help_opt = { .name = "help", .kind = OPT_FLAG, .help = "show this help" };

void help_program(FILE *f)
{
	fprintf(f, "Usage: calco COMMAND [OPTION]... [OPERAND]...\n\n"
		   "Clone disks: read one into an image, write it to another, prove that they are equal.\n\n"
		   "Commands:\n");
	for (size_t i = 0; cmds[i]; i++)
		fprintf(f, "  %-10s %s\n", cmds[i]->name, cmds[i]->summary);
	fprintf(f, "\n"
		   "IMAGE is a file (lab.calco), or '-' for a pipe. DISK is a block device, a plain file,\n"
		   "or a selector: serial=TEXT, wwn=TEXT, model~TEXT, by-path=TEXT.\n\n"
		   "'calco help COMMAND' shows one command, 'man calco' the manual.\n\n"
		   "Exit status: 0 done, 1 failed, 2 wrong usage, 3 damaged or different, 4 refused for\n"
		   "safety, 5 partly done, 6 not supported, 128+N stopped by signal N.\n");
}

static void put_option(FILE *f, const struct opt *o)
{
	char left[64];

	snprintf(left, sizeof(left), "--%s%s%s", o->name, o->value ? " " : "", o->value ? o->value : "");
	if (strlen(left) > 24)
		fprintf(f, "  %s\n  %-24s %s\n", left, "", o->help);
	else
		fprintf(f, "  %-24s %s\n", left, o->help);
}

void help_command(FILE *f, const struct cmd *cmd)
{
	fprintf(f, "Usage: calco %s [OPTION]...%s%s\n\n%s.\n\n%s\n\nOptions:\n", cmd->name, cmd->operands[0] ? " " : "",
		cmd->operands, cmd->summary, cmd->details);
	for (const struct opt *o = cmd->options; o->name; o++)
		put_option(f, o);
	put_option(f, &help_opt);
	fprintf(f, "\nThe manual, with examples: man calco-%s\n", cmd->name);
}

void help_version(FILE *f)
{
	fprintf(f, "calco %s\n"
		   "License GPL-3.0-or-later. There is no warranty, to the extent permitted by law.\n", CALCO_VERSION);
}

void help_options(FILE *f)
{
	for (size_t i = 0; cmds[i]; i++) {
		const struct cmd *c = cmds[i];
		fprintf(f, "%s\t-\t%s\t%s\n", c->name, c->operands[0] ? c->operands : "-", c->summary);
		for (const struct opt *o = c->options; o->name; o++)
			fprintf(f, "%s\t--%s\t%s\t%s\n", c->name, o->name, o->value ? o->value : "-", o->help);
		fprintf(f, "%s\t--%s\t-\t%s\n", c->name, help_opt.name, help_opt.help);
	}
}
