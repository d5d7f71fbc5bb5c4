/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Chunks that can be read; see sound.h. */
#include "imager/repo/sound.h"

#include "imager/image/composed.h"

#include <stdlib.h>
#include <string.h>

int sound_open(struct sound *s, struct err *e)
{
	s->payload = malloc(CHUNK_PAYLOAD_MAX);
	if (!s->payload)
		return err_nomem(e, "a composed record");
	return (s->codec = chunk_codec_for(s->r->seal, 0, e)) ? 0 : -1;
}

void sound_close(struct sound *s)
{
	chunk_codec_free(s->codec);
	free(s->payload);
}

/* A version may name a pack that was not listed: a prune has moved its records there meanwhile, and looked at each of them. */
static struct checked_pack *find_or_load(const struct sound *s, const uint8_t id[16])
{
	struct err ignored = ERR_INIT; /* a pack that cannot be read holds nothing */
	struct checked_pack *x = checked_pack_find(s->packs, id);
	struct pack_toc *toc = x ? NULL : pack_toc_read(s->r, id, &ignored);

	return x || !toc ? x : checked_packs_insert(s->packs, toc);
}

const struct pack_entry *sound_at(const struct sound *s, const struct img_locations *l, const struct img_where *at)
{
	const struct checked_pack *x = find_or_load(s, l->packs[at->pack]);
	const struct pack_entry *entry = x ? pack_toc_find(x->toc, at->offset) : NULL;

	return entry && entry->len == at->len && !x->is_bad[entry - x->toc->entries] ? entry : NULL;
}

bool sound_helpers(const struct sound *s, const uint8_t pack[16], uint64_t offset, uint32_t len, struct composed *ret)
{
	struct err ignored = ERR_INIT; /* whatever it is, the chunk cannot be read */
	uint8_t b[FMT_RECORD_SIZE];
	const uint8_t *opened;
	struct fmt_record head;

	return s->packs->packs->ops->read(s->packs->packs, pack, offset, len, b, s->payload, &ignored) == 0 &&
		fmt_get_pack_record(b, s->r->slots, &head, &ignored) == 0 && head.kind == FMT_COMPOSED && head.stored_len == len - FMT_RECORD_SIZE &&
		chunk_payload(s->codec, &head, s->payload, &opened, &ignored) == 0 && composed_parse(&head, opened, ret, &ignored) == 0;
}

/* Are all that lend to a composed record there and sound? */
static bool lenders_sound(const struct sound *s, const struct img_locations *l, const struct img_where *at)
{
	struct composed made;

	if (!sound_helpers(s, l->packs[at->pack], at->offset, at->len, &made))
		return false;
	for (unsigned i = 0; i < made.nr_helpers; i++) {
		const struct img_where *lender = locations_helper(l, &made.helpers[i]);
		const struct pack_entry *x = lender ? sound_at(s, l, lender) : NULL;
		if (!x || record_name_cmp(&x->name, &made.helpers[i]))
			return false;
	}
	return true;
}

bool sound_chunk(const struct sound *s, const struct img_locations *l, const struct img_where *at, const uint8_t id[IMG_ID_SIZE])
{
	if (!at->offset)
		return !memcmp(id, chunk_zero_id(s->codec), IMG_ID_SIZE);
	const struct pack_entry *x = sound_at(s, l, at);
	return x && !memcmp(x->id, id, IMG_ID_SIZE) && (x->kind == FMT_WHOLE || lenders_sound(s, l, at));
}
