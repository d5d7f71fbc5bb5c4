/* SPDX-License-Identifier: GPL-3.0-or-later */
/* A few unpacked records; see kept_records.h. */
#include "imager/image/kept_records.h"

#include "base/arith.h"
#include "imager/image/chunk.h"

#define NR_KEPT 16U

struct kept_records {
	struct kept_record items[NR_KEPT];
	uint64_t clock;
	uint8_t *buffer;
};

struct kept_records *kept_records_new(struct err *e)
{
	struct kept_records *k = alloc_array(1, sizeof(*k));

	if (k && (k->buffer = malloc(CHUNK_PAYLOAD_MAX)))
		return k;
	free(k);
	err_nomem(e, "records that lend leaves");
	return NULL;
}

void kept_records_free(struct kept_records *k)
{
	if (!k)
		return;
	for (unsigned i = 0; i < NR_KEPT; i++)
		free(k->items[i].leaves);
	free(k->buffer);
	free(k);
}

struct kept_record *kept_records_find(struct kept_records *k, const struct img_record_name *name)
{
	for (unsigned i = 0; i < NR_KEPT; i++) {
		struct kept_record *r = &k->items[i];
		if (r->is_filled && record_name_cmp(&r->name, name) == 0) {
			r->last_use = ++k->clock;
			return r;
		}
	}
	return NULL;
}

struct kept_record *kept_records_oldest(struct kept_records *k, struct err *e)
{
	struct kept_record *oldest = &k->items[0];

	for (unsigned i = 1; i < NR_KEPT; i++)
		if (k->items[i].last_use < oldest->last_use)
			oldest = &k->items[i];
	oldest->is_filled = false;
	oldest->last_use = ++k->clock;
	if (!oldest->leaves && !(oldest->leaves = malloc(CHUNK_SIZE))) {
		err_nomem(e, "a record that lends leaves");
		return NULL;
	}
	return oldest;
}

uint8_t *kept_records_buffer(struct kept_records *k)
{
	return k->buffer;
}
