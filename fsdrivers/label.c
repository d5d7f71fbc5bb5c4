/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Volume labels; see label.h. */
#include "fsdrivers/label.h"

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

/* The length of the well-formed sequence at p (Unicode 15 table 3-7), 0 when there is none. */
static size_t utf8_sequence(const uint8_t *p, size_t len)
{
	size_t n = p[0] < 0x80 ? 1 : p[0] < 0xc2 ? 0 : p[0] < 0xe0 ? 2 : p[0] < 0xf0 ? 3 : p[0] < 0xf5 ? 4 : 0;

	if (n > len)
		return 0;
	for (size_t i = 1; i < n; i++) {
		if ((p[i] & 0xc0) != 0x80)
			return 0;
	}
	/* Overlong forms, surrogates, and what lies beyond U+10FFFF */
	if ((p[0] == 0xe0 && p[1] < 0xa0) || (p[0] == 0xed && p[1] > 0x9f) || (p[0] == 0xf0 && p[1] < 0x90) ||
		(p[0] == 0xf4 && p[1] > 0x8f))
		return 0;
	return n;
}

static bool is_utf8(const uint8_t *p, size_t len)
{
	while (len) {
		size_t n = utf8_sequence(p, len);
		if (!n)
			return false;
		p += n;
		len -= n;
	}
	return true;
}

void fsd_label_copy(char *dst, size_t size, const void *label, size_t len)
{
	const uint8_t *p = label;
	size_t n = strnlen(label, len);

	while (n && p[n - 1] == ' ')
		n--;
	if (n > size - 1)
		n = size - 1;
	bool is_text = is_utf8(p, n);
	for (size_t i = 0; i < n; i++)
		dst[i] = p[i] < 0x80 || is_text ? (char)p[i] : '?';
	dst[n] = '\0';
}
