/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Records that lie in packs: reading them, and composing chunks of them. Private to imager/image. */
#ifndef CALCO_IMAGER_IMAGE_LOCATED_H
#define CALCO_IMAGER_IMAGE_LOCATED_H

#include "base/err.h"
#include "imager/image/chunk.h"
#include "imager/image/format.h"
#include "imager/image/locations.h"
#include "imager/image/packs.h"

#include <stdint.h>

/* All of it is only read, by any thread. */
struct located {
	struct img_locations *l; /* owned by the reader */
	struct img_packs *packs; /* owned by the reader */
	bool sealed;             /* records are encrypted */
};

/* located_read - one record; its header is checked, its payload (CHUNK_PAYLOAD_MAX bytes of room) is not. ERR_CORRUPT tells the pack. */
int located_read(const struct located *x, const struct img_where *at, struct fmt_record *ret, uint8_t *payload, struct err *e);

/*
 * located_compose - the content (CHUNK_SIZE) of a composed record
 * @head, @payload: as chunk_payload() gives them
 *
 * Every leaf is taken from where the record says; that the whole is right is proved by the chunk's id, which the caller compares.
 */
int located_compose(const struct located *x, struct chunk_codec *codec, const struct fmt_record *head, const uint8_t *payload, uint8_t *content,
	struct err *e);
/*
 * located_compose_own - as far as it can be composed: only its own leaves are unpacked when one of its lenders is not in the table
 *
 * 1: the content is whole; 0: a record that only lends its own leaves any more, which are sound; -1.
 */
int located_compose_own(const struct located *x, struct chunk_codec *codec, const struct fmt_record *head, const uint8_t *payload, uint8_t *content,
	struct err *e);

#endif
