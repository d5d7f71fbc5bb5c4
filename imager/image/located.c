/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Records in packs; see located.h. */
#include "imager/image/located.h"

#include "base/hash.h"
#include "base/hex.h"
#include "imager/image/composed.h"
#include "imager/image/kept_records.h"

#include <string.h>

int located_read(const struct located *x, const struct img_where *at, struct fmt_record *ret, uint8_t *payload, struct err *e)
{
	const uint8_t *pack = x->l->packs[at->pack];
	uint8_t head[FMT_RECORD_SIZE];
	char name[33];

	if (x->packs->ops->read(x->packs, pack, at->offset, at->len, head, payload, e) < 0)
		return -1;
	if (fmt_get_pack_record(head, x->sealed, ret, e) < 0)
		return err_wrap(e, "pack %s at %llu", hex_of(pack, 16, name), (unsigned long long)at->offset);
	if (ret->stored_len != at->len - FMT_RECORD_SIZE)
		return err_set(e, ERR_CORRUPT, 0, "pack %s at %llu: not the record that the location table names", hex_of(pack, 16, name),
			(unsigned long long)at->offset);
	return 0;
}

static int lender_error(const struct img_where *at, const struct located *x, struct err *e)
{
	char name[33];

	return err_wrap(e, "a record that lends leaves (pack %s at %llu)", hex_of(x->l->packs[at->pack], 16, name), (unsigned long long)at->offset);
}

/* The own leaves of a record, unpacked. */
static int unpack_lender(struct chunk_codec *codec, struct fmt_record *head, const uint8_t *payload, struct kept_record *ret, struct err *e)
{
	struct composed c;

	if (crc32_of(payload, head->stored_len) != head->crc)
		return err_set(e, ERR_CORRUPT, 0, "it is damaged (checksum)");
	if (chunk_payload(codec, head, payload, &payload, e) < 0)
		return -1;
	if (head->kind == FMT_WHOLE) {
		ret->lends = UINT64_MAX;
		return chunk_unpack(codec, head->codec, payload, head->stored_len, ret->leaves, e);
	}
	if (composed_parse(head, payload, &c, e) < 0)
		return -1;
	ret->lends = c.fresh;
	return c.fresh ? leaves_unpack(codec, head->codec, c.frame, c.frame_len, ret->leaves, head->raw_len, e) : 0;
}

static struct kept_record *get_lender(const struct located *x, struct chunk_codec *codec, const struct img_record_name *name, struct err *e)
{
	struct kept_records *kept = chunk_codec_kept(codec, e);
	struct kept_record *r = kept ? kept_records_find(kept, name) : NULL;
	const struct img_where *at = locations_helper(x->l, name);
	struct fmt_record head;

	if (r || !kept)
		return r;
	if (!at) {
		err_set(e, ERR_CORRUPT, 0, "a record that lends leaves is not in the location table");
		return NULL;
	}
	if (!(r = kept_records_oldest(kept, e)))
		return NULL;
	uint8_t *payload = kept_records_buffer(kept);
	if (located_read(x, at, &head, payload, e) < 0)
		return NULL;
	if (memcmp(head.origin, name->origin, sizeof(head.origin)) || head.number != name->number) {
		err_set(e, ERR_CORRUPT, 0, "it is another record");
		lender_error(at, x, e);
		return NULL;
	}
	if (unpack_lender(codec, &head, payload, r, e) < 0) {
		lender_error(at, x, e);
		return NULL;
	}
	r->name = *name;
	r->is_filled = true;
	return r;
}

static int lend(const struct kept_record *from, const struct composed_ref *ref, uint8_t *content, struct err *e)
{
	if (!(from->lends >> ref->from_leaf & 1))
		return err_set(e, ERR_CORRUPT, 0, "a composed record refers to a leaf that its lender does not hold itself");
	unsigned place = (unsigned)__builtin_popcountll(from->lends & ((UINT64_C(1) << ref->from_leaf) - 1));
	memcpy(content + (size_t)ref->leaf * LEAF_SIZE, from->leaves + (size_t)place * LEAF_SIZE, LEAF_SIZE);
	return 0;
}

int located_compose(const struct located *x, struct chunk_codec *codec, const struct fmt_record *head, const uint8_t *payload, uint8_t *content,
	struct err *e)
{
	struct composed c;

	if (composed_parse(head, payload, &c, e) < 0)
		return -1;
	/* The new leaves side by side at the end of the content, from where each moves to its place: never over one that has yet to move. */
	uint8_t *fresh = content + CHUNK_SIZE - head->raw_len;
	if (head->raw_len && leaves_unpack(codec, head->codec, c.frame, c.frame_len, fresh, head->raw_len, e) < 0)
		return -1;
	for (unsigned i = 0; i < CHUNK_LEAVES; i++)
		if (c.fresh >> i & 1) {
			memmove(content + (size_t)i * LEAF_SIZE, fresh, LEAF_SIZE);
			fresh += LEAF_SIZE;
		}
	for (unsigned i = 0; i < CHUNK_LEAVES; i++)
		if (c.zero >> i & 1)
			memset(content + (size_t)i * LEAF_SIZE, 0, LEAF_SIZE);
	for (unsigned h = 0; h < c.nr_helpers; h++) {
		const struct kept_record *from = get_lender(x, codec, &c.helpers[h], e);
		if (!from)
			return -1;
		for (unsigned i = 0; i < c.nr_refs; i++)
			if (c.refs[i].helper == h && lend(from, &c.refs[i], content, e) < 0)
				return -1;
	}
	return 0;
}

int located_compose_own(const struct located *x, struct chunk_codec *codec, const struct fmt_record *head, const uint8_t *payload, uint8_t *content,
	struct err *e)
{
	struct composed c;

	if (composed_parse(head, payload, &c, e) < 0)
		return -1;
	for (unsigned i = 0; i < c.nr_helpers; i++)
		if (!locations_helper(x->l, &c.helpers[i]))
			return c.fresh && leaves_unpack(codec, head->codec, c.frame, c.frame_len, content, head->raw_len, e) < 0 ? -1 : 0;
	return located_compose(x, codec, head, payload, content, e) < 0 ? -1 : 1;
}
