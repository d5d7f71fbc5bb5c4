/* SPDX-License-Identifier: GPL-3.0-or-later */
/* --help, "calco help", --version and the machine-readable list of options, all from the tables of cmd.h. */
#ifndef CALCO_CMD_HELP_H
#define CALCO_CMD_HELP_H

#include "cmd/cmd.h"

#include <stdio.h>

/* help_program - what "calco --help" shows */
void help_program(FILE *f);
/* help_command - what "calco CMD --help" shows */
void help_command(FILE *f, const struct cmd *cmd);
/* help_version - what "calco --version" shows */
void help_version(FILE *f);
/*
 * help_options - "calco _options": one line for each command and option, tabs between the fields, for completion and tests
 *
 *   COMMAND <tab> --name <tab> value, or "-" for a flag <tab> help
 *   COMMAND <tab> -      <tab> operands                 <tab> summary
 */
void help_options(FILE *f);

#endif
