/* SPDX-License-Identifier: GPL-3.0-or-later */
/* SIGINT and SIGTERM ask the running job to stop; the job cleans up and the program ends with 128+n. */
#ifndef CALCO_CMD_SIGNALS_H
#define CALCO_CMD_SIGNALS_H

#include "base/progress.h"

#include <stdbool.h>

/*
 * signals_install - from now on the first SIGINT, SIGTERM or SIGHUP only sets a flag; a second one ends the program at once, whatever its
 * threads wait for. The same one again within half a second is not a second one.
 *
 * To be called before any thread is started. From then on no call of another thread is interrupted: who waits for long asks
 * signals_stopped() now and then (base/wait.h).
 *
 * SIGPIPE and SIGXFSZ are ignored: a closed pipe and a file that may not grow are ordinary write errors (EPIPE, EFBIG).
 */
void signals_install(void);

/* signals_stopped - for struct progress; arg is not used. Thread-safe. */
bool signals_stopped(void *arg);

/* signals_may_write - wait until a pipe or terminal takes up to PIPE_BUF bytes. false: it takes nothing, and the program was told to stop. */
bool signals_may_write(int fd);

/* signals_only - listens to nothing, but says when to stop: for a command that only waits for a pipe */
extern const struct progress signals_only;

/* signals_last - the signal that came, 0 when none did */
int signals_last(void);

#endif
