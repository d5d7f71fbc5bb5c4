/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The records a thread composed chunks from last, unpacked: neighbouring chunks lend from the same ones. Private to imager/image. */
#ifndef CALCO_IMAGER_IMAGE_KEPT_RECORDS_H
#define CALCO_IMAGER_IMAGE_KEPT_RECORDS_H

#include "base/err.h"
#include "imager/image/locations.h"

#include <stdbool.h>
#include <stdint.h>

struct kept_record {
	struct img_record_name name;
	bool is_filled;
	uint64_t lends;    /* bit i: leaf i of its chunk stands in leaves */
	uint8_t *leaves;   /* CHUNK_SIZE: its own leaves side by side, ascending */
	uint64_t last_use;
};

struct kept_records;

struct kept_records *kept_records_new(struct err *e);
void kept_records_free(struct kept_records *k);

/* kept_records_find - NULL when it is not kept; kept_records_oldest - the one to fill next, emptied; NULL when memory is gone */
struct kept_record *kept_records_find(struct kept_records *k, const struct img_record_name *name);
struct kept_record *kept_records_oldest(struct kept_records *k, struct err *e);

/* kept_records_buffer - CHUNK_PAYLOAD_MAX bytes for a payload on its way */
uint8_t *kept_records_buffer(struct kept_records *k);

#endif
