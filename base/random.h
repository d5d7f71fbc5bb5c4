/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Random bytes from the kernel. */
#ifndef CALCO_BASE_RANDOM_H
#define CALCO_BASE_RANDOM_H

#include "base/err.h"

#include <stddef.h>

/* random_bytes - fill a buffer with bytes fit for keys and ids (getrandom(2)); ERR_FAILED where the kernel has none */
int random_bytes(void *ret, size_t len, struct err *e);

#endif
