/* SPDX-License-Identifier: GPL-3.0-or-later */
/* A growing byte buffer for what is written. Failures are remembered: check .failed once at the end. */
#ifndef CALCO_BASE_BUF_H
#define CALCO_BASE_BUF_H

#include "base/span.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

struct buf {
	uint8_t *p; /* owned: free() */
	size_t len, cap;
	bool failed; /* memory ran out; len stands still from then on */
};

/* buf_extend - n more bytes, zeroed; their place, or NULL when memory is gone */
static inline uint8_t *buf_extend(struct buf *b, size_t n)
{
	if (b->failed || n > SIZE_MAX / 4 - b->len) {
		b->failed = true;
		return NULL;
	}
	if (b->len + n > b->cap) {
		size_t cap = (b->len + n) * 2 + 256;
		uint8_t *p = realloc(b->p, cap);
		if (!p) {
			b->failed = true;
			return NULL;
		}
		b->p = p;
		b->cap = cap;
	}
	uint8_t *place = b->p + b->len;
	memset(place, 0, n);
	b->len += n;
	return place;
}

static inline void buf_bytes(struct buf *b, const void *data, size_t n)
{
	uint8_t *p = buf_extend(b, n);
	if (p && n)
		memcpy(p, data, n);
}

static inline void buf_u8(struct buf *b, uint8_t v)
{
	buf_bytes(b, &v, 1);
}

static inline void buf_le16(struct buf *b, uint16_t v)
{
	uint8_t *p = buf_extend(b, 2);
	if (p)
		put_le16(p, 0, v);
}

static inline void buf_le32(struct buf *b, uint32_t v)
{
	uint8_t *p = buf_extend(b, 4);
	if (p)
		put_le32(p, 0, v);
}

static inline void buf_le64(struct buf *b, uint64_t v)
{
	uint8_t *p = buf_extend(b, 8);
	if (p)
		put_le64(p, 0, v);
}

/* buf_str - u16 length and the bytes, without the NUL; cut at 65535 */
static inline void buf_str(struct buf *b, const char *s)
{
	size_t n = strlen(s);
	if (n > UINT16_MAX)
		n = UINT16_MAX;
	buf_le16(b, (uint16_t)n);
	buf_bytes(b, s, n);
}

#endif
