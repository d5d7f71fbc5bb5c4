/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Hexadecimal digits; see hex.h. */
#include "base/hex.h"

#include <string.h>

static const char digits[] = "0123456789abcdef";

char *hex_of(const uint8_t *bytes, size_t len, char *out)
{
	for (size_t i = 0; i < len; i++) {
		out[2 * i] = digits[bytes[i] >> 4];
		out[2 * i + 1] = digits[bytes[i] & 15];
	}
	out[2 * len] = '\0';
	return out;
}

bool hex_parse(const char *text, uint8_t *ret, size_t len)
{
	if (strspn(text, digits) != 2 * len || text[2 * len])
		return false;
	for (size_t i = 0; i < len; i++)
		ret[i] = (uint8_t)((strchr(digits, text[2 * i]) - digits) << 4 | (strchr(digits, text[2 * i + 1]) - digits));
	return true;
}
