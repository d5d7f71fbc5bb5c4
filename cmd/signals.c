/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Signal handling; see signals.h. */
#include "cmd/signals.h"

#include <signal.h>
#include <stddef.h>
#include <time.h>
#include <unistd.h>

#define REPEAT_MS 500U /* timeout(1) and a terminal's hangup send a signal to the process and its group: twice at once, meant once */

/* The mutable variables of the program outside functions: a signal handler gets no argument to keep state in. */
static volatile sig_atomic_t last_signal, first_ms;

static unsigned now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (unsigned)now.tv_sec * 1000U + (unsigned)(now.tv_nsec / 1000000);
}

/* The second one is for somebody who does not want to wait. */
static void on_signal(int number)
{
	if (last_signal && now_ms() - (unsigned)first_ms >= REPEAT_MS)
		_exit(128 + number);
	if (last_signal)
		return;
	first_ms = (sig_atomic_t)now_ms();
	last_signal = number;
}

void signals_install(void)
{
	struct sigaction sa = { .sa_handler = on_signal, .sa_flags = SA_RESTART };
	struct sigaction ignore = { .sa_handler = SIG_IGN };
	struct sigaction old;
	static const int stopping[] = { SIGINT, SIGTERM, SIGHUP };

	sigemptyset(&sa.sa_mask);
	for (size_t i = 0; i < sizeof(stopping) / sizeof(stopping[0]); i++) {
		/* What the caller ignores (nohup, a background job of a script) stays ignored. */
		if (!sigaction(stopping[i], NULL, &old) && old.sa_handler != SIG_IGN)
			sigaction(stopping[i], &sa, NULL);
	}
	sigaction(SIGPIPE, &ignore, NULL);
	sigaction(SIGXFSZ, &ignore, NULL); /* ulimit -f: a write that fails with a sentence */
}

bool signals_stopped(void *arg)
{
	(void)arg;
	return last_signal != 0;
}

const struct progress signals_only = { .stopped = signals_stopped };

int signals_last(void)
{
	return last_signal;
}
