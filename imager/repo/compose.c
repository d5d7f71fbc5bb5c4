/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Composing chunks; see compose.h. */
#include "imager/repo/compose.h"

#include "base/hash.h"
#include "imager/image/composed.h"
#include "imager/image/kept_records.h"

#include <stdlib.h>
#include <string.h>

/* A chunk that borrows less is stored whole: it compresses better, and can lend all of its leaves. */
#define MIN_LENT    4U
/* Each lender is read and unpacked when the chunk is restored: more of them, and a restore becomes slow (docs/benchmarks.md). */
#define MAX_LENDERS 12U

struct lender {
	const struct pack_entry *record;
	uint64_t leaves; /* bit i: lends leaf i of the chunk */
};

struct lenders {
	struct lender items[CHUNK_LEAVES];
	unsigned nr;
	uint8_t from[CHUNK_LEAVES]; /* for leaf i of the chunk: which leaf of its lender */
};

static void find_lenders(const struct known *k, const struct packed_chunk *c, struct lenders *ret)
{
	ret->nr = 0;
	for (unsigned i = 0; i < CHUNK_LEAVES; i++) {
		struct known_record r;
		unsigned leaf, n = 0;
		if (!(c->present >> i & 1) || !known_leaf(k, c->leaves[i], &r, &leaf))
			continue;
		while (n < ret->nr && ret->items[n].record != r.entry)
			n++;
		if (n == ret->nr)
			ret->items[ret->nr++] = (struct lender){ .record = r.entry };
		ret->items[n].leaves |= UINT64_C(1) << i;
		ret->from[i] = (uint8_t)leaf;
	}
}

static int most_first(const void *a, const void *b)
{
	return __builtin_popcountll(((const struct lender *)b)->leaves) - __builtin_popcountll(((const struct lender *)a)->leaves);
}

static int by_name(const void *a, const void *b)
{
	return record_name_cmp(&((const struct lender *)a)->record->name, &((const struct lender *)b)->record->name);
}

/* The lenders that are worth it; how many leaves they lend. */
static unsigned choose(struct lenders *l)
{
	unsigned lent = 0;

	qsort(l->items, l->nr, sizeof(l->items[0]), most_first);
	if (l->nr > MAX_LENDERS)
		l->nr = MAX_LENDERS;
	for (unsigned i = 0; i < l->nr; i++)
		lent += (unsigned)__builtin_popcountll(l->items[i].leaves);
	qsort(l->items, l->nr, sizeof(l->items[0]), by_name);
	return lent;
}

static void fill_refs(const struct lenders *l, struct composed *ret)
{
	uint64_t lent = 0;

	ret->nr_helpers = l->nr;
	for (unsigned n = 0; n < l->nr; n++) {
		ret->helpers[n] = l->items[n].record->name;
		lent |= l->items[n].leaves;
	}
	for (unsigned i = 0; i < CHUNK_LEAVES; i++)
		for (unsigned n = 0; n < l->nr; n++)
			if (l->items[n].leaves >> i & 1)
				ret->refs[ret->nr_refs++] = (struct composed_ref){ .leaf = (uint8_t)i, .from_leaf = l->from[i], .helper = (uint16_t)n };
	ret->fresh &= ~lent;
}

static bool are_sound(const struct reuse *u, struct chunk_codec *codec, const struct lenders *l, uint8_t *payload)
{
	for (unsigned n = 0; n < l->nr; n++)
		if (!reuse_lender(u, codec, &l->items[n].record->name, payload))
			return false;
	return true;
}

int compose_chunk(const struct reuse *u, struct chunk_codec *codec, const uint8_t *content, struct packed_chunk *c, bool no_recheck, uint8_t *payload,
	struct err *e)
{
	struct composed made = { .fresh = c->present, .zero = ~c->present };
	struct lenders l;

	do { /* bad ones are not found again */
		find_lenders(u->known, c, &l);
		if (choose(&l) < MIN_LENT)
			return 0;
	} while (!are_sound(u, codec, &l, payload));
	fill_refs(&l, &made);
	struct kept_records *kept = chunk_codec_kept(codec, e);
	if (!kept)
		return -1;
	struct fmt_record *head = &c->head;
	uint8_t *fresh = kept_records_buffer(kept), *frame = payload + composed_fixed_len(&made);
	head->kind = FMT_COMPOSED;
	head->codec = CODEC_RAW;
	head->raw_len = composed_nr_fresh(&made) * LEAF_SIZE;
	head->nr_helpers = (uint16_t)made.nr_helpers;
	uint32_t frame_len = 0;
	for (unsigned i = 0, n = 0; i < CHUNK_LEAVES; i++)
		if (made.fresh >> i & 1)
			memcpy(fresh + (size_t)n++ * LEAF_SIZE, content + (size_t)i * LEAF_SIZE, LEAF_SIZE);
	if (made.fresh && leaves_pack(codec, fresh, head->raw_len, frame, &head->codec, &frame_len, e) < 0)
		return -1;
	if (head->codec == CODEC_ZSTD && !no_recheck && leaves_recheck(codec, frame, frame_len, fresh, head->raw_len, e) < 0)
		return -1;
	made.frame = head->codec == CODEC_ZSTD ? frame : fresh;
	made.frame_len = frame_len;
	head->stored_len = (uint32_t)composed_put(&made, payload);
	head->crc = crc32_of(payload, head->stored_len);
	c->fresh = made.fresh;
	return head->stored_len != 0;
}
