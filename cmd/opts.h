/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Reading the command line of one subcommand, after the tables of cmd.h. */
#ifndef CALCO_CMD_OPTS_H
#define CALCO_CMD_OPTS_H

#include "cmd/cmd.h"

/*
 * opts_parse - GNU long options into the command's struct of arguments
 * @argc, @argv: what stands behind the subcommand's name
 *
 * "--name value" and "--name=value"; options and operands in any order; "--" ends the options; "-" alone is an operand;
 * the last of an option given twice counts, but lists grow. ERR_USAGE, with the nearest option as hint. After --help nothing
 * else is checked. Release with opts_release(), also after a failure.
 */
int opts_parse(const struct cmd *cmd, int argc, char **argv, struct invocation *ret, struct err *e);
void opts_release(struct invocation *inv);

/* opts_nearest - the candidate that a mistyped word most likely meant, NULL when none is near. @next gives the candidates, then NULL. */
const char *opts_nearest(const char *word, const char *(*next)(const void *arg, size_t i), const void *arg);

#endif
