/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Helpers of composed records; see helper_lists.h. By pack and offset: packs do not change, so what was read once stays true. */
#include "imager/repo/helper_lists.h"

#include "base/arith.h"
#include "base/hex.h"
#include "base/span.h"
#include "imager/image/chunk.h"
#include "imager/image/composed.h"
#include "imager/repo/folder_packs.h"

#include <stdlib.h>
#include <string.h>

/* What stands before the new leaves is never longer: bitmaps, helpers, references. Of an encrypted record that cannot be had alone. */
#define MAX_FIXED (16U + CHUNK_LEAVES * (24U + 4U))

struct slot {
	uint8_t pack[16];
	uint64_t offset; /* 0: free */
	uint64_t first;  /* its helpers in names */
	unsigned nr;
};

struct helper_lists {
	const struct repo *r;
	struct img_packs *packs;
	struct chunk_codec *codec;
	uint8_t *payload;
	struct slot *slots; /* open addressing */
	uint64_t size, nr;
	struct img_record_name *names;
	uint64_t nr_names, room;
};

struct helper_lists *helper_lists_new(const struct repo *r, struct err *e)
{
	AUTO(helper_lists) struct helper_lists *h = alloc_array(1, sizeof(*h));

	if (!h || !(h->payload = malloc(CHUNK_PAYLOAD_MAX)) || !(h->slots = alloc_array(1024, sizeof(*h->slots)))) {
		err_nomem(e, "the helpers of composed records");
		return NULL;
	}
	h->r = r;
	h->size = 1024;
	if (!(h->codec = chunk_codec_for(r->seal, 0, e)) || !(h->packs = folder_packs_open(r, e)))
		return NULL;
	return take(&h);
}

void helper_lists_free(struct helper_lists *h)
{
	if (!h)
		return;
	if (h->packs)
		h->packs->ops->close(h->packs);
	chunk_codec_free(h->codec);
	free(h->payload);
	free(h->slots);
	free(h->names);
	free(h);
}

static struct slot *slot_of(struct slot *slots, uint64_t size, const uint8_t pack[16], uint64_t offset)
{
	uint64_t at = (get_le64(pack) ^ offset) * UINT64_C(0x9E3779B97F4A7C15) >> 20 & (size - 1);

	while (slots[at].offset && (slots[at].offset != offset || memcmp(slots[at].pack, pack, 16)))
		at = (at + 1) & (size - 1);
	return &slots[at];
}

static int make_room(struct helper_lists *h, struct err *e)
{
	if (h->nr * 2 >= h->size) {
		struct slot *grown = alloc_array(h->size * 2, sizeof(*grown));
		if (!grown)
			return err_nomem(e, "the helpers of composed records");
		for (uint64_t i = 0; i < h->size; i++)
			if (h->slots[i].offset)
				*slot_of(grown, h->size * 2, h->slots[i].pack, h->slots[i].offset) = h->slots[i];
		free(h->slots);
		h->slots = grown;
		h->size *= 2;
	}
	if (h->nr_names + CHUNK_LEAVES > h->room) {
		uint64_t room = h->room * 2 + 4096;
		struct img_record_name *grown = realloc(h->names, room * sizeof(*grown));
		if (!grown)
			return err_nomem(e, "the helpers of composed records");
		h->names = grown;
		h->room = room;
	}
	return 0;
}

static int read_list(struct helper_lists *h, const uint8_t pack[16], const struct pack_entry *x, struct composed *ret, struct err *e)
{
	uint32_t len = h->r->slots ? x->len : (uint32_t)min_u64(x->len, FMT_RECORD_SIZE + MAX_FIXED);
	uint8_t b[FMT_RECORD_SIZE];
	const uint8_t *opened;
	struct fmt_record head;

	if (h->packs->ops->read(h->packs, pack, x->offset, len, b, h->payload, e) < 0 || fmt_get_pack_record(b, h->r->slots, &head, e) < 0)
		return -1;
	if (head.kind != FMT_COMPOSED || head.stored_len != x->len - FMT_RECORD_SIZE || memcmp(head.id, x->id, sizeof(head.id)))
		return err_set(e, ERR_CORRUPT, 0, "not the record that the table of contents names");
	return chunk_payload(h->codec, &head, h->payload, &opened, e) < 0 ? -1 : composed_parse(&head, opened, ret, e);
}

int helper_lists_get(struct helper_lists *h, const uint8_t pack[16], const struct pack_entry *x, const struct img_record_name **ret, unsigned *ret_nr,
	struct err *e)
{
	struct slot *s = slot_of(h->slots, h->size, pack, x->offset);
	struct composed c;
	char hex[33];

	if (!s->offset) {
		if (read_list(h, pack, x, &c, e) < 0)
			return err_wrap(e, "pack %s at %llu", hex_of(pack, 16, hex), (unsigned long long)x->offset);
		if (make_room(h, e) < 0)
			return -1;
		s = slot_of(h->slots, h->size, pack, x->offset);
		*s = (struct slot){ .offset = x->offset, .first = h->nr_names, .nr = c.nr_helpers };
		memcpy(s->pack, pack, 16);
		memcpy(&h->names[h->nr_names], c.helpers, c.nr_helpers * sizeof(*h->names));
		h->nr_names += c.nr_helpers;
		h->nr++;
	}
	*ret = &h->names[s->first];
	*ret_nr = s->nr;
	return 0;
}
