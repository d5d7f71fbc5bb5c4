/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Composed records; see composed.h. */
#include "imager/image/composed.h"

#include "base/span.h"

#include <string.h>

#define HELPER_SIZE 24U
#define REF_SIZE    4U

static int damaged(const char *what, struct err *e)
{
	return err_set(e, ERR_CORRUPT, 0, "a composed record is damaged: %s", what);
}

size_t composed_fixed_len(const struct composed *c)
{
	return 16 + (size_t)c->nr_helpers * HELPER_SIZE + (size_t)c->nr_refs * REF_SIZE;
}

unsigned composed_nr_fresh(const struct composed *c)
{
	return (unsigned)__builtin_popcountll(c->fresh);
}

unsigned composed_place(const struct composed *c, unsigned leaf)
{
	return (unsigned)__builtin_popcountll(c->fresh & ((UINT64_C(1) << leaf) - 1));
}

static int get_helpers(struct composed *c, const uint8_t *p, struct err *e)
{
	for (unsigned i = 0; i < c->nr_helpers; i++, p += HELPER_SIZE) {
		memcpy(c->helpers[i].origin, p, 16);
		c->helpers[i].number = get_le64(p + 16);
		if (i && record_name_cmp(&c->helpers[i - 1], &c->helpers[i]) >= 0)
			return damaged("its helpers are out of order", e);
	}
	return 0;
}

static int get_refs(struct composed *c, const uint8_t *p, struct err *e)
{
	uint64_t lent = ~(c->fresh | c->zero), helpers_used = 0;

	for (; lent; lent &= lent - 1, p += REF_SIZE) {
		struct composed_ref *r = &c->refs[c->nr_refs++];
		*r = (struct composed_ref){ .leaf = (uint8_t)__builtin_ctzll(lent), .helper = get_le16(p), .from_leaf = p[2] };
		if (r->helper >= c->nr_helpers || r->from_leaf >= CHUNK_LEAVES || p[3])
			return damaged("a leaf is lent by nobody", e);
		helpers_used |= UINT64_C(1) << r->helper;
	}
	if ((unsigned)__builtin_popcountll(helpers_used) != c->nr_helpers)
		return damaged("a helper lends nothing", e);
	return 0;
}

int composed_parse(const struct fmt_record *head, const uint8_t *payload, struct composed *ret, struct err *e)
{
	memset(ret, 0, sizeof(*ret));
	if (head->stored_len < 16)
		return damaged("its length", e);
	ret->fresh = get_le64(payload);
	ret->zero = get_le64(payload + 8);
	ret->nr_helpers = head->nr_helpers; /* at most 64 */
	unsigned lent = (unsigned)__builtin_popcountll(~(ret->fresh | ret->zero));
	size_t fixed = 16 + (size_t)ret->nr_helpers * HELPER_SIZE + (size_t)lent * REF_SIZE;
	if (ret->fresh & ret->zero || head->raw_len != composed_nr_fresh(ret) * LEAF_SIZE || fixed > head->stored_len)
		return damaged("its lengths", e);
	ret->frame = payload + fixed;
	ret->frame_len = head->stored_len - fixed;
	if (head->codec == 0 ? ret->frame_len != head->raw_len : !head->raw_len)
		return damaged("its new leaves", e);
	if (get_helpers(ret, payload + 16, e) < 0)
		return -1;
	return get_refs(ret, payload + 16 + (size_t)ret->nr_helpers * HELPER_SIZE, e);
}

size_t composed_put(const struct composed *c, uint8_t *out)
{
	size_t len = composed_fixed_len(c) + c->frame_len;

	if (len >= CHUNK_SIZE)
		return 0;
	put_le64(out, 0, c->fresh);
	put_le64(out, 8, c->zero);
	uint8_t *p = out + 16;
	for (unsigned i = 0; i < c->nr_helpers; i++, p += HELPER_SIZE) {
		memcpy(p, c->helpers[i].origin, 16);
		put_le64(p, 16, c->helpers[i].number);
	}
	for (unsigned i = 0; i < c->nr_refs; i++, p += REF_SIZE) {
		put_le16(p, 0, c->refs[i].helper);
		p[2] = c->refs[i].from_leaf;
		p[3] = 0;
	}
	memmove(p, c->frame, c->frame_len); /* it may have been made in its place */
	return len;
}
