/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The two halves of verify. Private to imager/job; job.h is the public face. */
#ifndef CALCO_IMAGER_JOB_VERIFY_H
#define CALCO_IMAGER_JOB_VERIFY_H

#include "imager/job/job.h"

/* verify_against - does each disk hold the expected disk? (verify_against.c) */
int verify_against(const struct verify_options *o, struct verify_result *ret, const struct progress *p, struct err *e);

/* verify_verdict - 0 when nothing was found, else -1 with ERR_CORRUPT and the first place in the message */
int verify_verdict(struct verify_result *ret, const char *what, struct err *e);

#endif
