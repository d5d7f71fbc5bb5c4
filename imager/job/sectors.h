/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Which volumes of an image work on targets with sectors of another size? Judged from the manifest alone, so that an image from a pipe is
 * judged before anything is written. Private to imager/job.
 */
#ifndef CALCO_IMAGER_JOB_SECTORS_H
#define CALCO_IMAGER_JOB_SECTORS_H

#include "imager/job/expected.h"

/*
 * sectors_judge - every volume on a disk with other sectors
 * @x: with its disks filled; what is worth saying is added to its changes
 * @ret: regions whose FAT must be made anew, ascending; owned by the caller: free()
 *
 * ERR_REFUSED "sector-size" names the first volume that does not work there, with the reason, and the others; ERR_USAGE: as_is names nothing.
 */
int sectors_judge(struct expected *x, const struct expected_request *rq, size_t **ret, size_t *ret_nr, struct err *e);

#endif
