/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Where a single volume goes on a target. The public half is restore_find_place() in job.h. Private to imager/job. */
#ifndef CALCO_IMAGER_JOB_PLACE_H
#define CALCO_IMAGER_JOB_PLACE_H

#include "imager/disk/table.h"
#include "imager/image/manifest.h"

/*
 * place_in_table - the partition of a target's table that has the place and the length of a region
 * @target: for messages
 *
 * NULL with ERR_REFUSED "no-place" when there is none, with what the partition of that number has instead.
 */
const struct pt_entry *place_in_table(const struct pt_table *t, const struct img_region *r, const char *target, struct err *e);

#endif
