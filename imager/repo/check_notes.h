/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What a check finds damaged is noted for captures, and for quicker checks. Private to imager/repo. */
#ifndef CALCO_IMAGER_REPO_CHECK_NOTES_H
#define CALCO_IMAGER_REPO_CHECK_NOTES_H

#include "imager/repo/check_records.h"

/* check_notes_read - the records of a pack that were noted are RECORD_NOTED */
int check_notes_read(const struct repo *r, struct checked_pack *x, struct err *e);

/*
 * check_notes_write - note what is wrong
 * @looked_at_all: every record was unpacked: who was noted and is not bad is forgotten
 *
 * Where nothing can be written, nothing is noted.
 */
int check_notes_write(struct repo *r, const struct checked_packs *c, bool looked_at_all, const struct progress *p, struct err *e);

#endif
