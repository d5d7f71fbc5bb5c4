/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The folder a file lies in. */
#ifndef CALCO_BASE_FOLDER_H
#define CALCO_BASE_FOLDER_H

#include "base/err.h"

#include <stddef.h>

/* folder_of - the folder part of a path, "." when it has none; -1 when it does not fit (no error is set) */
int folder_of(const char *path, char *ret, size_t size);

/* folder_flush - the name of a file that was made or renamed survives a power cut when this returns 0 */
int folder_flush(const char *path, struct err *e);

#endif
