/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Rules of docs/format.md that tie several parts of an image together. Private to imager/image. */
#ifndef CALCO_IMAGER_IMAGE_RULES_H
#define CALCO_IMAGER_IMAGE_RULES_H

#include "base/err.h"
#include "imager/image/manifest.h"

#include <stddef.h>
#include <stdint.h>

/*
 * rules_content - a chunk's content (CHUNK_SIZE) against what else the image says about these bytes
 *
 * The copies of partition tables (section 3) hold the same bytes, and unreadable ranges (section 2.4, as far as they are known yet) are
 * zero. ERR_CORRUPT.
 */
int rules_content(const struct img_manifest *m, const struct img_cursor *at, const uint8_t *content, struct err *e);

/* rules_copies_in_absent - what copies of partition tables say of absent chunks, which never come by: it must be zero. ERR_CORRUPT. */
int rules_copies_in_absent(const struct img_manifest *m, struct err *e);

#endif
