/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The three states a byte of a disk can have for an image (docs/format.md, "Extents"), and plain byte ranges. */
#ifndef CALCO_BASE_EXTENT_H
#define CALCO_BASE_EXTENT_H

#include <stdint.h>

enum ext_state {
	EXT_UNUSED = 0, /* anything may stand there */
	EXT_ZERO = 1,   /* content not stored; must read as zero */
	EXT_USED = 2,   /* content stored */
};

struct range {
	uint64_t start;
	uint64_t len;
};

#endif
