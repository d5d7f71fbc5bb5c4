/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * A bounded view of hostile bytes. A read past the end returns 0 and sets .bad; test it once per structure.
 * Writers (put_*) work on our own buffers, whose size the caller knows.
 */
#ifndef CALCO_BASE_SPAN_H
#define CALCO_BASE_SPAN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct span {
	const uint8_t *p;
	size_t len;
	bool bad;
};

static inline struct span span_of(const void *p, size_t len)
{
	return (struct span){ .p = p, .len = len, .bad = false };
}

/* span_at - pointer to n bytes at off, or NULL (and .bad) when they do not all lie inside */
static inline const uint8_t *span_at(struct span *s, size_t off, size_t n)
{
	if (off > s->len || n > s->len - off) {
		s->bad = true;
		return NULL;
	}
	return s->p + off;
}

/* span_sub - a view of n bytes at off; empty and .bad (in both) when they do not all lie inside */
static inline struct span span_sub(struct span *s, size_t off, size_t n)
{
	const uint8_t *p = span_at(s, off, n);
	return (struct span){ .p = p, .len = p ? n : 0, .bad = !p };
}

static inline uint8_t span_u8(struct span *s, size_t off)
{
	const uint8_t *p = span_at(s, off, 1);
	return p ? p[0] : 0;
}

static inline uint16_t span_le16(struct span *s, size_t off)
{
	const uint8_t *p = span_at(s, off, 2);
	return p ? (uint16_t)(p[0] | p[1] << 8) : 0;
}

static inline uint16_t get_le16(const uint8_t *p)
{
	return (uint16_t)(p[0] | p[1] << 8);
}

static inline uint32_t get_le32(const uint8_t *p)
{
	return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

static inline uint64_t get_le64(const uint8_t *p)
{
	return (uint64_t)get_le32(p) | (uint64_t)get_le32(p + 4) << 32;
}

static inline uint32_t span_le32(struct span *s, size_t off)
{
	const uint8_t *p = span_at(s, off, 4);
	return p ? get_le32(p) : 0;
}

static inline uint64_t span_le64(struct span *s, size_t off)
{
	const uint8_t *p = span_at(s, off, 8);
	return p ? get_le64(p) : 0;
}

/* span_copy - n bytes at off into dst; zeros when they do not all lie inside */
static inline void span_copy(struct span *s, size_t off, void *dst, size_t n)
{
	const uint8_t *p = span_at(s, off, n);
	if (p)
		memcpy(dst, p, n);
	else
		memset(dst, 0, n);
}

static inline void put_le16(uint8_t *b, size_t off, uint16_t v)
{
	b[off] = (uint8_t)v;
	b[off + 1] = (uint8_t)(v >> 8);
}

static inline void put_le32(uint8_t *b, size_t off, uint32_t v)
{
	put_le16(b, off, (uint16_t)v);
	put_le16(b, off + 2, (uint16_t)(v >> 16));
}

static inline void put_le64(uint8_t *b, size_t off, uint64_t v)
{
	put_le32(b, off, (uint32_t)v);
	put_le32(b, off + 4, (uint32_t)(v >> 32));
}

#endif
