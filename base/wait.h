/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Waiting for the other end of a pipe without being deaf to the person who wants to stop. */
#ifndef CALCO_BASE_WAIT_H
#define CALCO_BASE_WAIT_H

#include "base/err.h"
#include "base/progress.h"

#include <stdbool.h>

/* wait_is_needed - may reading or writing this descriptor take for ever: a pipe, a socket, a terminal? Not so plain files and disks. */
bool wait_is_needed(int fd);

/*
 * wait_readable, wait_writable - until a read or write will not block, or will fail or end at once
 * @p: NULL, or asked several times a second whether the job shall stop
 * @name: for messages
 *
 * Writable is a pipe as soon as it takes PIPE_BUF bytes; a longer write may block all the same. 0, or -1 with ERR_STOPPED or ERR_FAILED.
 */
int wait_readable(int fd, const char *name, const struct progress *p, struct err *e);
int wait_writable(int fd, const char *name, const struct progress *p, struct err *e);

#endif
