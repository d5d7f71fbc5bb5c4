/* SPDX-License-Identifier: GPL-3.0-or-later */
/* A view of the head that moves forward, and what core_decode.c and core_extents.c share. Private to imager/image. */
#ifndef CALCO_IMAGER_IMAGE_CURSOR_H
#define CALCO_IMAGER_IMAGE_CURSOR_H

#include "base/span.h"
#include "base/utf8.h"
#include "imager/image/manifest.h"

/* A view that moves forward. */
struct cursor {
	struct span s;
	size_t at;
	struct img_limits *limits; /* of the extents; what is left of them */
};

static inline size_t left(const struct cursor *c)
{
	return c->s.len - c->at;
}

static inline const uint8_t *get_bytes(struct cursor *c, size_t n)
{
	const uint8_t *p = span_at(&c->s, c->at, n);
	if (p)
		c->at += n;
	return p;
}

static inline uint64_t get_int(struct cursor *c, unsigned bytes)
{
	const uint8_t *p = get_bytes(c, bytes);
	uint64_t v = 0;

	for (unsigned i = 0; p && i < bytes; i++)
		v |= (uint64_t)p[i] << 8 * i;
	return v;
}

static inline void get_copy(struct cursor *c, void *dst, size_t n)
{
	const uint8_t *p = get_bytes(c, n);
	if (p)
		memcpy(dst, p, n);
}

/* n bytes of text into a fixed buffer; longer ones are cut there between characters. What is not UTF-8 or has a NUL is bad. */
static inline void get_text(struct cursor *c, size_t n, char *dst, size_t size)
{
	const uint8_t *p = get_bytes(c, n);

	if (!p)
		return;
	size_t keep = 0;
	for (size_t at = 0; at < n;) {
		size_t len = p[at] ? utf8_len((const char *)p + at, n - at) : 0;
		if (!len) {
			c->s.bad = true;
			break;
		}
		at += len;
		keep = at < size ? at : keep;
	}
	memcpy(dst, p, keep);
	dst[keep] = '\0';
}

static inline void get_str(struct cursor *c, char *dst, size_t size)
{
	get_text(c, (size_t)get_int(c, 2), dst, size);
}

static inline void must_be_zero(struct cursor *c, size_t n)
{
	const uint8_t *p = get_bytes(c, n);

	for (size_t i = 0; p && i < n; i++)
		if (p[i])
			c->s.bad = true;
}

static inline int cursor_corrupt(struct err *e, const char *what)
{
	return err_set(e, ERR_CORRUPT, 0, "the head of the image is damaged: %s", what);
}

/* core_get_extents - section 6 into the maps of all regions (core_extents.c) */
int core_get_extents(struct cursor *c, struct img_manifest *m, struct err *e);

#endif
