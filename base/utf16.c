/* SPDX-License-Identifier: GPL-3.0-or-later */
/* UTF-16 to UTF-8; see utf16.h. */
#include "base/utf16.h"

#include "base/span.h"

/* Bytes written, 0 when they do not fit (a NUL must still follow). */
static size_t put_utf8(uint32_t c, char *out, size_t room)
{
	size_t n = c < 0x80 ? 1 : c < 0x800 ? 2 : c < 0x10000 ? 3 : 4;

	if (room < n + 1)
		return 0;
	if (n == 1) {
		out[0] = (char)c;
		return 1;
	}
	for (size_t i = n - 1; i > 0; i--, c >>= 6)
		out[i] = (char)(0x80 | (c & 0x3F));
	out[0] = (char)((0xF00U >> n & 0xFF) | c);
	return n;
}

void utf16_text(const uint8_t *in, size_t nr_units, char *out, size_t size)
{
	struct span s = span_of(in, nr_units * 2);
	size_t used = 0;

	for (size_t i = 0; i < nr_units; i++) {
		uint32_t c = span_le16(&s, i * 2);
		uint32_t low = i + 1 < nr_units ? span_le16(&s, i * 2 + 2) : 0;
		if (!c)
			break;
		if (c >= 0xD800 && c < 0xDC00 && low >= 0xDC00 && low < 0xE000) {
			c = 0x10000 + ((c - 0xD800) << 10) + (low - 0xDC00);
			i++;
		} else if (c < 0x20 || (c >= 0x7F && c < 0xA0) || (c >= 0xD800 && c < 0xE000)) {
			c = 0xFFFD; /* a lone surrogate, or what could steer a terminal */
		}
		size_t n = put_utf8(c, out + used, size - used);
		if (!n)
			break;
		used += n;
	}
	out[used] = '\0';
}
