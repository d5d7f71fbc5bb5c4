/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The last question before a disk is written. What counts as an answer is decided by the guard, not here. */
#ifndef CALCO_CMD_CONFIRM_H
#define CALCO_CMD_CONFIRM_H

#include "base/err.h"
#include "imager/disk/guard.h"

/*
 * confirm_target - is the destruction of this target confirmed, by options or, on a terminal, by typing?
 * @rq: what the options say; the answer is added to a copy
 * @may_ask: false: options only (--json, or nobody at the terminal)
 *
 * 0, or -1 with guard_confirm()'s refusal, or ERR_STOPPED.
 */
int confirm_target(const struct guard_request *rq, const struct guard_verdict *v, bool may_ask, struct err *e);

/*
 * confirm_removal - may this be removed for ever? By --yes or, on a terminal, by typing
 * @what: with its article
 *
 * ERR_REFUSED "not-confirmed", or ERR_STOPPED.
 */
int confirm_removal(const char *what, bool yes, bool may_ask, struct err *e);

/* confirm_possible - somebody can be asked: standard error is a terminal, and so is standard input, or /dev/tty when that carries the image */
bool confirm_possible(bool stdin_is_image);

#endif
