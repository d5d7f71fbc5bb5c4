/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Errors as plain values; see err.h. */
#include "base/err.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

static void append_errno(struct err *e, int sys_errno)
{
	char text[128];
	size_t used = strlen(e->msg);

	/* The GNU variant may return a static string instead of filling the buffer. */
	const char *s = strerror_r(sys_errno, text, sizeof(text));
	snprintf(e->msg + used, sizeof(e->msg) - used, ": %s", s);
}

int err_set(struct err *e, enum err_code code, int sys_errno, const char *fmt, ...)
{
	va_list ap;

	e->code = code;
	e->sys_errno = sys_errno;
	e->reason[0] = '\0';
	e->hint[0] = '\0';
	va_start(ap, fmt);
	vsnprintf(e->msg, sizeof(e->msg), fmt, ap);
	va_end(ap);
	if (sys_errno)
		append_errno(e, sys_errno);
	if (sys_errno == ENOSPC || sys_errno == EDQUOT) /* wherever it is met, a program can tell it from a broken disk */
		err_reason(e, "no-space");
	return -1;
}

int err_wrap(struct err *e, const char *fmt, ...)
{
	char old[sizeof(e->msg)];
	va_list ap;

	if (e->code == ERR_STOPPED) /* "reading $LogFile: stopped" looks as if that had failed */
		return -1;
	memcpy(old, e->msg, sizeof(old));
	va_start(ap, fmt);
	vsnprintf(e->msg, sizeof(e->msg), fmt, ap);
	va_end(ap);
	size_t used = strlen(e->msg);
	size_t room = sizeof(e->msg) - used;
	snprintf(e->msg + used, room, ": %.*s", (int)(room > 3 ? room - 3 : 0), old);
	return -1;
}

int err_hint(struct err *e, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(e->hint, sizeof(e->hint), fmt, ap);
	va_end(ap);
	return -1;
}

int err_reason(struct err *e, const char *word)
{
	snprintf(e->reason, sizeof(e->reason), "%s", word);
	return -1;
}

int err_nomem(struct err *e, const char *what)
{
	return err_set(e, ERR_FAILED, ENOMEM, "no memory for %s", what);
}
