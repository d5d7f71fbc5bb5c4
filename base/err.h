/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Errors as plain values: what went wrong, with what, and what the person can do next.
 *
 * The caller owns the struct, usually on its stack, so reporting works when memory is gone and nothing leaks.
 * Functions that can fail return 0 / -1 (or a pointer / NULL) and fill the struct on failure only.
 */
#ifndef CALCO_BASE_ERR_H
#define CALCO_BASE_ERR_H

#include <stdarg.h>

/* The value is the exit code of the program; 128+n (stopped by signal n) is added by cmd/. */
enum err_code {
	ERR_NONE = 0,
	ERR_FAILED = 1,      /* I/O, memory, a helper process */
	ERR_USAGE = 2,       /* the command line or a value in it */
	ERR_CORRUPT = 3,     /* data is damaged, or does not match what it must be */
	ERR_REFUSED = 4,     /* not safe: mounted, too small, dirty, not confirmed */
	ERR_PARTIAL = 5,     /* done, but not all of it */
	ERR_UNSUPPORTED = 6, /* valid, but this program cannot do it */
	ERR_STOPPED = 128,   /* the user stopped the job (signal); cmd/ adds the signal number */
};

struct err {
	enum err_code code;
	int sys_errno;     /* 0, or the errno behind the failure; its text is appended to msg */
	char reason[32];   /* "", or one stable word for --json ("mounted", "too-small", "dirty-journal") */
	char msg[512];     /* what was attempted, on what, what was found; lower case, no newline */
	char hint[400];    /* "", or what the person can do next */
};

#define ERR_INIT { ERR_NONE, 0, "", "", "" }

/*
 * err_set - replace *e by a new error
 * @sys_errno: 0, or an errno value whose text is appended (": No space left on device")
 *
 * Always returns -1, so that a caller can write "return err_set(...)". The hint and the reason are cleared; with ENOSPC and EDQUOT the
 * reason is "no-space".
 */
int err_set(struct err *e, enum err_code code, int sys_errno, const char *fmt, ...)
	__attribute__((format(printf, 4, 5)));

/* err_wrap - put context in front of the message ("reading 'x': ..."), but of none that says that the user stopped the job. Always returns -1. */
int err_wrap(struct err *e, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* err_hint - set the hint. Always returns -1. */
int err_hint(struct err *e, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* err_reason - set the stable word for --json; longer ones are cut. Always returns -1. */
int err_reason(struct err *e, const char *word);

/* err_nomem - "out of memory" without allocating; @what names the thing that did not fit. Returns -1. */
int err_nomem(struct err *e, const char *what);

#endif
