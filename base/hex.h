/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Bytes as lower-case hexadecimal digits. */
#ifndef CALCO_BASE_HEX_H
#define CALCO_BASE_HEX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* hex_of - out holds 2 * len + 1. Returns out. */
char *hex_of(const uint8_t *bytes, size_t len, char *out);

/* hex_parse - exactly 2 * len lower-case digits and nothing behind; false, and ret untouched, for anything else */
bool hex_parse(const char *text, uint8_t *ret, size_t len);

#endif
