/* SPDX-License-Identifier: GPL-3.0-or-later */
/* calco undo --list and --forget: the state records of restores, without their disks. */
#ifndef CALCO_CMD_UNDO_RECORDS_H
#define CALCO_CMD_UNDO_RECORDS_H

#include "base/err.h"

#include <stdbool.h>

struct out;

/* undo_list - all records in the usual folder */
int undo_list(struct out *out, struct err *e);

/*
 * undo_forget - one record is removed, after it was confirmed
 * @target: its disk, named as restore did, or as the list names it, or the file of the record; NULL with state_file
 * @state_file: NULL, or the record
 */
int undo_forget(struct out *out, const char *target, const char *state_file, bool yes, struct err *e);

#endif
