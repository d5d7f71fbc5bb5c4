/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The listeners for a job's progress: a bar on a terminal, JSON lines, or nothing. Notices are always shown. */
#ifndef CALCO_CMD_PROGRESS_UI_H
#define CALCO_CMD_PROGRESS_UI_H

#include "base/progress.h"
#include "cmd/cmd.h"

#include <pthread.h>

struct progress_ui {
	struct progress progress;  /* hand this to the job */
	enum progress_mode mode;   /* PROGRESS_AUTO is resolved */
	bool colour;
	bool bar_shown;
	char phase[24];
	double phase_began, drawn; /* seconds on the monotonic clock */
	/* The rate is that of the last seconds: a mark of the past, moved on every RATE_WINDOW / 2. */
	double mark_time, older_mark_time;
	uint64_t mark_done, older_mark_done;
	pthread_mutex_t lock;      /* notices may come from any thread */
};

/* progress_ui_open - PROGRESS_AUTO is a bar if standard error is a terminal, else nothing */
void progress_ui_open(struct progress_ui *ui, enum progress_mode mode);
/* progress_ui_close - clear the bar; nothing may call the listener any more */
void progress_ui_close(struct progress_ui *ui);

#endif
