/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The payload of a composed record (docs/format.md section 7): which leaves are new, which are zero, which stand in other records. */
#ifndef CALCO_IMAGER_IMAGE_COMPOSED_H
#define CALCO_IMAGER_IMAGE_COMPOSED_H

#include "base/err.h"
#include "imager/image/chunkmap.h"
#include "imager/image/format.h"
#include "imager/image/locations.h"

#include <stdint.h>
#include <stddef.h>

/* One leaf that is lent. */
struct composed_ref {
	uint8_t leaf;      /* of the composed chunk */
	uint8_t from_leaf; /* of the helper's chunk */
	uint16_t helper;
};

struct composed {
	uint64_t fresh, zero;   /* bit i: leaf i is new; is zero */
	struct img_record_name helpers[CHUNK_LEAVES]; /* ascending */
	unsigned nr_helpers;
	struct composed_ref refs[CHUNK_LEAVES]; /* ascending by leaf */
	unsigned nr_refs;
	const uint8_t *frame;   /* the new leaves as stored; points into the payload */
	size_t frame_len;
};

/* composed_parse - from a hostile payload and its record's header, everything checked but the frame: ERR_CORRUPT */
int composed_parse(const struct fmt_record *head, const uint8_t *payload, struct composed *ret, struct err *e);

/*
 * composed_put - the payload
 * @c: helpers ascending, each referred to; refs ascending by leaf; frame with its length
 * @out: CHUNK_SIZE bytes
 *
 * Returns its length, 0 when it would not be shorter than CHUNK_SIZE: then the chunk is to be stored whole.
 */
size_t composed_put(const struct composed *c, uint8_t *out);

/* composed_fixed_len - what stands before the frame */
size_t composed_fixed_len(const struct composed *c);

/* composed_nr_fresh - how many leaves are new; composed_place - which of them leaf is (it must be one of them) */
unsigned composed_nr_fresh(const struct composed *c);
unsigned composed_place(const struct composed *c, unsigned leaf);

#endif
