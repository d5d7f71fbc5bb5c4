/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The two halves of verify. Private to imager/job; job.h is the public face. */
#ifndef CALCO_IMAGER_JOB_VERIFY_H
#define CALCO_IMAGER_JOB_VERIFY_H

#include "imager/job/job.h"

/* verify_against - does each disk hold the expected disk? (verify_against.c) */
int verify_against(const struct verify_options *o, struct verify_result *ret, const struct progress *p, struct err *e);

struct blk_source;
struct img_reader;

/*
 * verify_order - are disks of an image of several named in the order of the image? (verify_order.c)
 * @named: one for each disk of the image, as they were named
 *
 * -1 with ERR_CORRUPT ("order") and a bit in *ret_wrong for each disk out of place when each disk can be recognised, but not in this order; 0 when the order is right, or not to be told.
 */
int verify_order(struct img_reader *reader, struct blk_source *const *named, uint64_t *ret_wrong, struct err *e);

#endif
