/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Signal handling; see signals.h. */
#include "cmd/signals.h"

#include <signal.h>
#include <stddef.h>
#include <unistd.h>

/* The one mutable variable of the program outside functions: a signal handler gets no argument to keep state in. */
static volatile sig_atomic_t last_signal;

static void on_signal(int number)
{
	if (last_signal)
		_exit(128 + number);
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
