/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The one list of subcommands; see cmd.h. */
#include "cmd/cmd.h"

#include "cmd/opts.h"

#include <string.h>

const struct cmd *const cmds[] = {
	&cmd_disks, &cmd_capture, &cmd_restore, &cmd_refresh, &cmd_verify, &cmd_undo, &cmd_info, &cmd_ls, &cmd_repo, &cmd_key, &cmd_sign, NULL,
};

static const char *command_name(const void *arg, size_t i)
{
	const struct cmd *const *list = arg;

	return list[i] ? list[i]->name : NULL;
}

const struct cmd *cmd_find(const char *name, struct err *e)
{
	for (size_t i = 0; cmds[i]; i++)
		if (!strcmp(cmds[i]->name, name))
			return cmds[i];
	err_set(e, ERR_USAGE, 0, "there is no command '%s'", name);
	const char *near = opts_nearest(name, command_name, cmds);
	if (near)
		err_hint(e, "did you mean 'calco %s'?", near);
	else
		err_hint(e, "'calco --help' lists the commands");
	return NULL;
}
