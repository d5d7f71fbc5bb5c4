/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Which chunks of a version can be read, as far as a check knows. Private to imager/repo. */
#ifndef CALCO_IMAGER_REPO_SOUND_H
#define CALCO_IMAGER_REPO_SOUND_H

#include "imager/repo/check_records.h"
#include "imager/image/chunk.h"

struct sound {
	const struct repo *r;
	struct checked_packs *packs;
	struct chunk_codec *codec; /* for the id of the all-zero chunk, and what is encrypted */
	uint8_t *payload;          /* CHUNK_PAYLOAD_MAX, for composed records */
};

/* sound_open - what is in it is the caller's to set but codec and payload */
int sound_open(struct sound *s, struct err *e);
void sound_close(struct sound *s);

/* sound_at - the record at a place of a version's table; NULL when it is missing or bad. A pack that was not looked at is loaded. */
const struct pack_entry *sound_at(const struct sound *s, const struct img_locations *l, const struct img_where *at);

/* sound_chunk - the record of a chunk, and all that lend to it, are what they must be */
bool sound_chunk(const struct sound *s, const struct img_locations *l, const struct img_where *at, const uint8_t id[IMG_ID_SIZE]);

/* sound_helpers - what a composed record refers to; false when it does not say so */
struct composed;
bool sound_helpers(const struct sound *s, const uint8_t pack[16], uint64_t offset, uint32_t len, struct composed *ret);

#endif
