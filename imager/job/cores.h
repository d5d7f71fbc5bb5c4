/* SPDX-License-Identifier: GPL-3.0-or-later */
/* How many threads, and how long it took. Private to imager/job. */
#ifndef CALCO_IMAGER_JOB_CORES_H
#define CALCO_IMAGER_JOB_CORES_H

#include <sched.h>
#include <time.h>

#define MAX_THREADS 256U

/* cores_or - what was asked for, or with 0 the number of cores this process may use */
static inline unsigned cores_or(unsigned asked)
{
	cpu_set_t set;

	if (!asked)
		asked = sched_getaffinity(0, sizeof(set), &set) == 0 ? (unsigned)CPU_COUNT(&set) : 1;
	return asked < 1 ? 1 : asked > MAX_THREADS ? MAX_THREADS : asked;
}

/* seconds_now - a clock that never jumps */
static inline double seconds_now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

#endif
