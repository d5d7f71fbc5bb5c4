/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Have the kernel begin early with what was written: otherwise it waits, and all of it is left for the flush. */
#ifndef CALCO_BASE_WRITE_BEHIND_H
#define CALCO_BASE_WRITE_BEHIND_H

#include <stdatomic.h>
#include <stdint.h>

/* Of one open file; all zero is a new one. */
struct write_behind {
	atomic_uint_fast64_t waiting; /* bytes written since the kernel was last told to begin */
};

/*
 * write_behind - len bytes were written to fd; every 16 MiB the kernel is told to begin, without waiting for it
 *
 * Advice: nothing happens where it cannot (a pipe), and what fails on the way to the medium is told by the flush. From any thread.
 */
void write_behind(struct write_behind *w, int fd, uint64_t len);

#endif
