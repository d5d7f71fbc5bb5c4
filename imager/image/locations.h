/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The location table of a version: in which packs its records lie (docs/repository.md section 1, LOCS). Plain data. */
#ifndef CALCO_IMAGER_IMAGE_LOCATIONS_H
#define CALCO_IMAGER_IMAGE_LOCATIONS_H

#include "base/auto.h"
#include "base/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define LOC_MAX_PACKS 65536U

/* Where a record lies. All zero: nowhere, the chunk is all zero. */
struct img_where {
	uint64_t offset; /* of its header in the pack */
	uint32_t pack;   /* place in the list of packs */
	uint32_t len;    /* header and payload */
};

/* A record by the name it never loses. */
struct img_record_name {
	uint8_t origin[16];
	uint64_t number;
};

struct img_helper {
	struct img_record_name name;
	struct img_where at;
};

struct img_locations {
	uint8_t (*packs)[16];       /* ascending */
	uint32_t nr_packs;
	struct img_where *chunks;   /* of each present chunk */
	uint64_t nr_chunks;
	struct img_helper *helpers; /* ascending by name; what composed records refer to */
	uint64_t nr_helpers;
};

void locations_free(struct img_locations *l);
AUTO_DEFINE(img_locations, locations_free)

/*
 * locations_decode - from hostile bytes, for an image with nr_present chunks; everything is checked: ERR_CORRUPT. Owned by the caller.
 * @sealed: its records are encrypted, and may be longer by a tag
 */
struct img_locations *locations_decode(const uint8_t *p, size_t len, uint64_t nr_present, bool sealed, struct err *e);

/* locations_encode - the payload of LOCS. Owned by the caller: free(). */
int locations_encode(const struct img_locations *l, uint8_t **ret, size_t *ret_len, struct err *e);

/* locations_helper - where the record of this name lies, NULL when the table does not list it */
const struct img_where *locations_helper(const struct img_locations *l, const struct img_record_name *name);

int record_name_cmp(const struct img_record_name *a, const struct img_record_name *b);

#endif
