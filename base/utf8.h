/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Which bytes form a valid UTF-8 character (RFC 3629 §4). Labels from disks may hold anything; what is shown must not. */
#ifndef CALCO_BASE_UTF8_H
#define CALCO_BASE_UTF8_H

#include <stddef.h>
#include <stdint.h>

/*
 * utf8_len - length in bytes (1..4) of the character at s, 0 when it is invalid or cut short
 * @n: bytes that may be looked at, at least 1
 *
 * Overlong forms, surrogates and values beyond U+10FFFF are invalid.
 */
static inline size_t utf8_len(const char *s, size_t n)
{
	const uint8_t *p = (const uint8_t *)s;
	uint8_t low = 0x80, high = 0xBF; /* bounds of the second byte; the later ones are always 80..BF */
	size_t len;

	if (p[0] < 0x80)
		return 1;
	if (p[0] >= 0xC2 && p[0] <= 0xDF)
		len = 2;
	else if (p[0] >= 0xE0 && p[0] <= 0xEF)
		len = 3;
	else if (p[0] >= 0xF0 && p[0] <= 0xF4)
		len = 4;
	else
		return 0;
	if (p[0] == 0xE0)
		low = 0xA0;
	else if (p[0] == 0xED)
		high = 0x9F;
	else if (p[0] == 0xF0)
		low = 0x90;
	else if (p[0] == 0xF4)
		high = 0x8F;
	if (n < len || p[1] < low || p[1] > high)
		return 0;
	for (size_t i = 2; i < len; i++)
		if (p[i] < 0x80 || p[i] > 0xBF)
			return 0;
	return len;
}

#endif
