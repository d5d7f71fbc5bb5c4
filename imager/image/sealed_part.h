/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Parts of encrypted images (docs/format.md section 8): what they are longer by, and closing and opening them. */
#ifndef CALCO_IMAGER_IMAGE_SEALED_PART_H
#define CALCO_IMAGER_IMAGE_SEALED_PART_H

#include "imager/image/format.h"
#include "imager/image/seal.h"

/* sealed_part_extra - by how many bytes a part of this type is longer when it is encrypted */
size_t sealed_part_extra(const char *type);

/*
 * sealed_part_close - encrypt a part's payload
 * @p: type, raw length, flags, and the length of in as stored length; gets the flag and the stored length of *ret, which its header authenticates
 *
 * *ret is owned by the caller: free().
 */
int sealed_part_close(struct seal_box *b, const uint8_t pack_id[16], struct fmt_part *p, const void *in, uint8_t **ret, struct err *e);

/* sealed_part_open - in its place, from where *ret_len bytes at *ret are the payload; @head: as stored. ERR_CORRUPT as seal_open(). */
int sealed_part_open(struct seal_box *b, const uint8_t pack_id[16], const struct fmt_part *p, const uint8_t head[FMT_PART_SIZE], uint8_t *stored,
	const uint8_t **ret, size_t *ret_len, struct err *e);

#endif
