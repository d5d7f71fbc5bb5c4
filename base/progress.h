/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * What a running job tells: phases and bytes, and asks: shall I stop? Listeners (terminal bar, JSON lines, screens)
 * live above; the core only calls these functions. A NULL struct progress means that nobody listens.
 */
#ifndef CALCO_BASE_PROGRESS_H
#define CALCO_BASE_PROGRESS_H

#include "base/err.h"

#include <stdbool.h>
#include <stdint.h>

struct progress {
	/*
	 * Called from the thread that runs the job, often (once a batch): the listener limits its own rate.
	 * @phase: one stable word: "plan", "capture", "scan", "disarm", "write", "discard", "flush", "read-back", "arm", "verify"
	 * @done, @total: bytes of used data in this phase; total 0: not known
	 */
	void (*update)(void *arg, const char *phase, uint64_t done, uint64_t total);
	/* One sentence the person should see: something was recognised, skipped or repaired. */
	void (*notice)(void *arg, const char *text);
	/* True as soon as the job shall stop at the next batch (a signal came). Thread-safe. */
	bool (*stopped)(void *arg);
	void *arg;
};

void progress_update(const struct progress *p, const char *phase, uint64_t done, uint64_t total);
void progress_notice(const struct progress *p, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* progress_check - 0, or -1 with ERR_STOPPED when the job shall stop */
int progress_check(const struct progress *p, struct err *e);

#endif
