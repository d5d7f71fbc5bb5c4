/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The location table; see locations.h. */
#include "imager/image/locations.h"

#include "base/arith.h"
#include "base/buf.h"
#include "imager/image/chunk.h"
#include "imager/image/format.h"

#include <string.h>

#define HEAD_SIZE   16U
#define WHERE_SIZE  16U
#define HELPER_SIZE 40U

void locations_free(struct img_locations *l)
{
	if (!l)
		return;
	free(l->packs);
	free(l->chunks);
	free(l->helpers);
	free(l);
}

int record_name_cmp(const struct img_record_name *a, const struct img_record_name *b)
{
	int r = memcmp(a->origin, b->origin, sizeof(a->origin));

	return r ? r : a->number < b->number ? -1 : a->number > b->number;
}

static int damaged(const char *what, struct err *e)
{
	return err_set(e, ERR_CORRUPT, 0, "the location table is damaged: %s", what);
}

/* A pack begins with its preamble, and its trailer stands behind the last record. */
static bool get_where(const uint8_t *p, uint32_t nr_packs, bool may_be_nowhere, bool sealed, struct img_where *ret)
{
	*ret = (struct img_where){ .offset = get_le64(p), .pack = get_le32(p + 8), .len = get_le32(p + 12) };
	if (!ret->offset)
		return may_be_nowhere && !ret->pack && !ret->len;
	return ret->offset >= FMT_PREAMBLE_SIZE && ret->offset <= INT64_MAX && ret->pack < nr_packs && ret->len > FMT_RECORD_SIZE &&
		ret->len <= FMT_RECORD_SIZE + (sealed ? CHUNK_PAYLOAD_MAX : CHUNK_SIZE);
}

static int get_packs(struct img_locations *l, const uint8_t *p, struct err *e)
{
	for (uint32_t i = 0; i < l->nr_packs; i++, p += 16) {
		memcpy(l->packs[i], p, 16);
		if (i && memcmp(l->packs[i - 1], l->packs[i], 16) >= 0)
			return damaged("its packs are out of order", e);
	}
	return 0;
}

static int get_helpers(struct img_locations *l, const uint8_t *p, bool sealed, struct err *e)
{
	for (uint64_t i = 0; i < l->nr_helpers; i++, p += HELPER_SIZE) {
		struct img_helper *h = &l->helpers[i];
		memcpy(h->name.origin, p, 16);
		h->name.number = get_le64(p + 16);
		if (!get_where(p + 24, l->nr_packs, false, sealed, &h->at))
			return damaged("a place lies nowhere", e);
		if (i && record_name_cmp(&l->helpers[i - 1].name, &h->name) >= 0)
			return damaged("its helpers are out of order", e);
	}
	return 0;
}

struct img_locations *locations_decode(const uint8_t *p, size_t len, uint64_t nr_present, bool sealed, struct err *e)
{
	AUTO(img_locations) struct img_locations *l = alloc_array(1, sizeof(*l));

	if (!l) {
		err_nomem(e, "the location table");
		return NULL;
	}
	if (len < HEAD_SIZE || get_le32(p + 4)) {
		damaged("its head", e);
		return NULL;
	}
	l->nr_packs = get_le32(p);
	l->nr_helpers = get_le64(p + 8);
	l->nr_chunks = nr_present; /* at most 2^32 */
	if (l->nr_packs > LOC_MAX_PACKS || l->nr_helpers > nr_present * CHUNK_LEAVES ||
	    len != HEAD_SIZE + 16 * (uint64_t)l->nr_packs + WHERE_SIZE * nr_present + HELPER_SIZE * l->nr_helpers) {
		damaged("its numbers", e);
		return NULL;
	}
	l->packs = alloc_array(l->nr_packs, sizeof(*l->packs));
	l->chunks = alloc_array(nr_present, sizeof(*l->chunks));
	l->helpers = alloc_array(l->nr_helpers, sizeof(*l->helpers));
	if (!l->packs || !l->chunks || !l->helpers) {
		err_nomem(e, "the location table");
		return NULL;
	}
	if (get_packs(l, p + HEAD_SIZE, e) < 0)
		return NULL;
	p += HEAD_SIZE + 16 * (size_t)l->nr_packs;
	for (uint64_t i = 0; i < nr_present; i++, p += WHERE_SIZE)
		if (!get_where(p, l->nr_packs, true, sealed, &l->chunks[i])) {
			damaged("a place lies nowhere", e);
			return NULL;
		}
	if (get_helpers(l, p, sealed, e) < 0)
		return NULL;
	return take(&l);
}

static void put_where(struct buf *b, const struct img_where *w)
{
	buf_le64(b, w->offset);
	buf_le32(b, w->pack);
	buf_le32(b, w->len);
}

int locations_encode(const struct img_locations *l, uint8_t **ret, size_t *ret_len, struct err *e)
{
	struct buf b = { 0 };

	buf_le32(&b, l->nr_packs);
	buf_le32(&b, 0);
	buf_le64(&b, l->nr_helpers);
	buf_bytes(&b, l->packs, 16 * (size_t)l->nr_packs);
	for (uint64_t i = 0; i < l->nr_chunks; i++)
		put_where(&b, &l->chunks[i]);
	for (uint64_t i = 0; i < l->nr_helpers; i++) {
		buf_bytes(&b, l->helpers[i].name.origin, 16);
		buf_le64(&b, l->helpers[i].name.number);
		put_where(&b, &l->helpers[i].at);
	}
	if (b.failed) {
		free(b.p);
		return err_nomem(e, "the location table");
	}
	*ret = b.p;
	*ret_len = b.len;
	return 0;
}

const struct img_where *locations_helper(const struct img_locations *l, const struct img_record_name *name)
{
	uint64_t from = 0, to = l->nr_helpers;

	while (from < to) {
		uint64_t middle = from + (to - from) / 2;
		int r = record_name_cmp(&l->helpers[middle].name, name);
		if (r == 0)
			return &l->helpers[middle].at;
		if (r < 0)
			from = middle + 1;
		else
			to = middle;
	}
	return NULL;
}
