/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * What helps after a restore that ended in the middle. The same command completes it, but only once what ended it is mended: of a full file system,
 * a lost disk or a damaged image that is said first, since the same command would end the same way.
 */
#include "imager/job/restore.h"

#include <errno.h>
#include <stdio.h>

static const char *what_helps(const struct err *e)
{
	if (e->code == ERR_CORRUPT)
		return "what is damaged cannot be restored: take a copy of the image that 'calco verify' finds whole";
	switch (e->sys_errno) {
	case ENOSPC:
	case EDQUOT:
		return "make room there, then the same command finishes it";
	case EFBIG:
		return "where so large a file is allowed (ulimit -f, the file system's limit), the same command finishes it";
	case ENODEV:
	case ENXIO:
		return "the disk is gone: when it is attached again, the same command finishes it, under the name that it has then";
	case EIO:
		return "the disk or its cable fails (dmesg tells more): when it can be read and written again, the same command finishes it";
	default:
		return "the same command finishes it";
	}
}

static bool is_written(const struct restore *rs)
{
	bool is = false;

	for (size_t d = 0; d < rs->m->nr_disks; d++)
		is |= rs->reached[d] > 0 || (rs->states[d] && state_get_mark(rs->states[d]) > 0);
	return is;
}

/* "; 'calco undo' gives ...", where a record of what was there has anything in it */
static void undo_words(const struct restore *rs, char *out, size_t size)
{
	bool has_record = false;
	char where[180] = "";

	for (size_t d = 0; d < rs->m->nr_disks; d++)
		has_record |= rs->states[d] && state_path(rs->states[d])[0];
	if (rs->o->state_file)
		snprintf(where, sizeof(where), " --state %.160s", rs->o->state_file);
	if (has_record)
		snprintf(out, size, "; 'calco undo%s DISK' gives back %s", where, is_written(rs) ? "what it had not come to" : "all of it");
	else
		out[0] = '\0';
}

void restore_advise(const struct restore *rs, struct err *e)
{
	char undo[260];

	if (!rs->disarmed) {
		if (e->code == ERR_STOPPED)
			err_hint(e, "nothing was written to the target");
		return;
	}
	undo_words(rs, undo, sizeof(undo));
	if (is_written(rs))
		err_hint(e, "%s (the target is not complete and does not boot)%s", what_helps(e), undo);
	else
		err_hint(e, "no data was written yet, but the target does not boot: %s%s", what_helps(e), undo);
}
