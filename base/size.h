/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Sizes as people write and read them: "64K", "1.5 GiB". K, M, G, T are powers of 1024, kB, MB, GB, TB powers of 1000. */
#ifndef CALCO_BASE_SIZE_H
#define CALCO_BASE_SIZE_H

#include "base/err.h"

#include <stdint.h>

/* size_format - "512 bytes" (exact below 10 KiB), else one decimal and a binary unit: "1.5 GiB". Never cut off. */
void size_format(uint64_t bytes, char out[32]);

/*
 * size_parse - bytes from "4096", "64K", "1GiB", "1.5G", "2 TB"
 *
 * Units: none or B; K M G T P E, alone or followed by iB (1024); kB KB MB GB TB PB EB (1000); the case of the letters
 * does not matter. A fraction needs a unit and is rounded down to whole bytes. Anything else, and what does not fit
 * in 64 bits, is ERR_USAGE.
 */
int size_parse(const char *text, uint64_t *ret, struct err *e);

#endif
