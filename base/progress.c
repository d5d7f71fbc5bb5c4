/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Calls into the listener, if there is one; see progress.h. */
#include "base/progress.h"

#include <stdio.h>

void progress_update(const struct progress *p, const char *phase, uint64_t done, uint64_t total)
{
	if (p && p->update)
		p->update(p->arg, phase, done, total);
}

void progress_notice(const struct progress *p, const char *fmt, ...)
{
	char text[512];
	va_list ap;

	if (!p || !p->notice)
		return;
	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	p->notice(p->arg, text);
}

int progress_check(const struct progress *p, struct err *e)
{
	if (p && p->stopped && p->stopped(p->arg))
		return err_set(e, ERR_STOPPED, 0, "stopped");
	return 0;
}
