/* SPDX-License-Identifier: GPL-3.0-or-later */
/* A key, a passphrase: read as a whole, wherever it comes from. */
#ifndef CALCO_BASE_SMALL_FILE_H
#define CALCO_BASE_SMALL_FILE_H

#include "base/err.h"
#include "base/progress.h"

#include <stddef.h>

/*
 * small_file_read - all of a file
 * @what: "key", for messages
 * @max: bytes it may have; @ret has room for one more
 * @p: NULL, or asked whether to stop while nobody writes to the pipe that the file is
 *
 * ERR_USAGE: there is none, it is a folder, or larger. What was read before a failure is in @ret too: wipe it.
 */
int small_file_read(const char *path, const char *what, size_t max, void *ret, size_t *ret_len, const struct progress *p, struct err *e);

#endif
