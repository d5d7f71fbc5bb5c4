/* SPDX-License-Identifier: GPL-3.0-or-later */
/* A location table in the making: places are told as they come, in the end they are sorted. One thread. */
#ifndef CALCO_IMAGER_REPO_DRAFT_H
#define CALCO_IMAGER_REPO_DRAFT_H

#include "base/auto.h"
#include "base/err.h"
#include "imager/image/locations.h"

#include <stdbool.h>
#include <stdint.h>

struct draft;

struct draft *draft_new(uint64_t nr_chunks, struct err *e);
void draft_free(struct draft *d);
AUTO_DEFINE(draft, draft_free)

/* draft_zero, draft_chunk - the next present chunk: all zero, or where its record lies */
int draft_zero(struct draft *d, struct err *e);
int draft_chunk(struct draft *d, const uint8_t id[32], const uint8_t pack[16], uint64_t offset, uint32_t len, struct err *e);
/* draft_again - the next present chunk is one that was told before, by its id; false (and nothing done) when it was not */
bool draft_again(struct draft *d, const uint8_t id[32]);

/* draft_helper - a record that lends leaves; may be told again and again */
int draft_helper(struct draft *d, const struct img_record_name *name, const uint8_t pack[16], uint64_t offset, uint32_t len, struct err *e);

/* draft_finish - all chunks were told. Owned by the caller. */
struct img_locations *draft_finish(struct draft *d, struct err *e);

#endif
