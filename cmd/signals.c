/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Signal handling; see signals.h. One thread hears all signals: the others may be in a call that is not interrupted, the flush of a disk that
 * does not answer, and of two signals that come meanwhile the system would deliver one.
 */
#include "cmd/signals.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stddef.h>
#include <time.h>
#include <unistd.h>

#define REPEAT_MS  500U /* timeout(1) and a terminal's hangup send a signal to the process and its group: twice at once, meant once */
#define STACK_SIZE (256U << 10)
#define ASK_AGAIN_MS 200

/* The mutable variables of the program outside functions: a signal handler gets no argument to keep state in. */
static volatile sig_atomic_t last_signal, first_ms;

static unsigned now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (unsigned)now.tv_sec * 1000U + (unsigned)(now.tv_nsec / 1000000);
}

/* At the end of a session systemd sends SIGTERM and SIGHUP together. Any other pair is two decisions, however quick. */
static bool is_meant_once(int number)
{
	bool is_same = number == last_signal || number == SIGHUP || last_signal == SIGHUP;

	return is_same && now_ms() - (unsigned)first_ms < REPEAT_MS;
}

/* The second one is for somebody who does not want to wait. */
static void on_signal(int number)
{
	if (last_signal && !is_meant_once(number))
		_exit(128 + number);
	if (last_signal)
		return;
	first_ms = (sig_atomic_t)now_ms();
	last_signal = number;
}

static const int stopping[] = { SIGINT, SIGTERM, SIGHUP };

static void mask_signals(int how)
{
	sigset_t set;

	sigemptyset(&set);
	for (size_t i = 0; i < sizeof(stopping) / sizeof(stopping[0]); i++)
		sigaddset(&set, stopping[i]);
	pthread_sigmask(how, &set, NULL);
}

static void *listen_main(void *arg)
{
	mask_signals(SIG_UNBLOCK);
	for (;;)
		pause();
	return arg;
}

/* Without it, when no thread can be had, whichever thread is interrupted hears them. */
static void start_listening(void)
{
	pthread_attr_t attr;
	pthread_t thread;

	mask_signals(SIG_BLOCK); /* of this thread and all that it starts */
	if (pthread_attr_init(&attr) == 0) {
		pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
		pthread_attr_setstacksize(&attr, STACK_SIZE);
		int failed = pthread_create(&thread, &attr, listen_main, NULL);
		pthread_attr_destroy(&attr);
		if (!failed)
			return;
	}
	mask_signals(SIG_UNBLOCK);
}

void signals_install(void)
{
	struct sigaction sa = { .sa_handler = on_signal, .sa_flags = SA_RESTART };
	struct sigaction ignore = { .sa_handler = SIG_IGN };
	struct sigaction old;

	sigemptyset(&sa.sa_mask);
	for (size_t i = 0; i < sizeof(stopping) / sizeof(stopping[0]); i++)
		sigaddset(&sa.sa_mask, stopping[i]); /* one after the other */
	/* What the caller ignores (nohup, a background job of a script) stays ignored. */
	for (size_t i = 0; i < sizeof(stopping) / sizeof(stopping[0]); i++)
		if (!sigaction(stopping[i], NULL, &old) && old.sa_handler != SIG_IGN)
			sigaction(stopping[i], &sa, NULL);
	start_listening();
	sigaction(SIGPIPE, &ignore, NULL);
	sigaction(SIGXFSZ, &ignore, NULL); /* ulimit -f: a write that fails with a sentence */
}

bool signals_stopped(void *arg)
{
	(void)arg;
	return last_signal != 0;
}

bool signals_may_write(int fd)
{
	struct pollfd p = { .fd = fd, .events = POLLOUT };
	int n;

	/* The signal does not end the poll: another thread hears it. */
	while ((n = poll(&p, 1, ASK_AGAIN_MS)) == 0 || (n < 0 && errno == EINTR))
		if (last_signal)
			return false;
	return true;
}

const struct progress signals_only = { .stopped = signals_stopped };

int signals_last(void)
{
	return last_signal;
}
