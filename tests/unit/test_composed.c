/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Composed records: random ones are put, parsed and composed to what they stand for; damaged ones are refused, or are proved wrong by the
 * chunk's id, and nothing is read or written outside (with a sanitizer: every payload has a buffer of exactly its length).
 */
#include "base/arith.h"
#include "base/auto.h"
#include "base/hash.h"
#include "imager/image/chunk.h"
#include "imager/image/composed.h"
#include "imager/image/located.h"
#include "tests/unit/image_util.h"

#define MAX_LENDERS 20 /* more than a thread keeps */

/* A pack in memory: records one behind the other. */
struct memory_pack {
	struct img_packs base;
	uint8_t *bytes;
	size_t len;
};

static int memory_read(struct img_packs *p, const uint8_t pack[16], uint64_t offset, uint32_t len, uint8_t *head, uint8_t *payload, struct err *e)
{
	const struct memory_pack *m = (const struct memory_pack *)p;

	(void)pack;
	if (offset + len > m->len)
		return err_set(e, ERR_CORRUPT, 0, "the pack ends before");
	memcpy(head, m->bytes + offset, FMT_RECORD_SIZE);
	memcpy(payload, m->bytes + offset + FMT_RECORD_SIZE, len - FMT_RECORD_SIZE);
	return 0;
}

/* A record that lends: what its chunk holds, and which leaves of it lie in its own payload. */
struct lender {
	uint8_t content[CHUNK_SIZE];
	uint64_t own;
};

/* Lenders in a pack, and a chunk that is composed of their leaves, of new ones and of zeros. */
struct sample {
	struct memory_pack pack;
	struct img_packs_ops ops;
	struct img_locations l;
	struct located at;
	struct lender *lenders;
	struct chunk_codec *codec;
	struct composed c;
	struct fmt_record head;
	uint8_t fresh[CHUNK_SIZE], content[CHUNK_SIZE], id[IMG_ID_SIZE];
	uint8_t *payload; /* of the composed record */
};

static struct img_record_name name_of(unsigned lender)
{
	return (struct img_record_name){ .origin = { (uint8_t)(lender / 3) }, .number = lender % 3 };
}

/* Leaves that compress, and differ from each other. */
static void fill_leaves(uint64_t *seed, uint8_t *p, unsigned nr)
{
	for (unsigned i = 0; i < nr; i++, p += LEAF_SIZE) {
		memset(p, (int)rnd_below(seed, 256), LEAF_SIZE);
		rnd_fill(seed, p, 64 + rnd_below(seed, LEAF_SIZE - 64));
	}
}

static size_t copy_leaves(uint8_t *dst, const uint8_t *content, uint64_t which)
{
	unsigned n = 0;

	for (unsigned i = 0; i < CHUNK_LEAVES; i++)
		if (which >> i & 1)
			memcpy(dst + (size_t)n++ * LEAF_SIZE, content + (size_t)i * LEAF_SIZE, LEAF_SIZE);
	return (size_t)n * LEAF_SIZE;
}

static void pack_add(struct sample *s, const struct fmt_record *head, const uint8_t *payload, struct img_where *ret)
{
	*ret = (struct img_where){ .offset = s->pack.len, .len = FMT_RECORD_SIZE + head->stored_len };
	s->pack.bytes = realloc(s->pack.bytes, s->pack.len + ret->len);
	fmt_put_record(s->pack.bytes + s->pack.len, head);
	memcpy(s->pack.bytes + s->pack.len + FMT_RECORD_SIZE, payload, head->stored_len);
	s->pack.len += ret->len;
}

/* The header of a record whose payload stands there. */
static void finish_head(struct fmt_record *head, const uint8_t *payload, const struct img_record_name *name)
{
	memcpy(head->origin, name->origin, 16);
	head->number = name->number;
	head->crc = crc32_of(payload, head->stored_len);
}

static void pack_leaves(struct sample *s, struct fmt_record *head, const uint8_t *leaves, size_t len, uint8_t *out, size_t *ret_len)
{
	struct err e = ERR_INIT;
	uint32_t n = 0;

	head->raw_len = (uint32_t)len;
	if (len)
		ok(leaves_pack(s->codec, leaves, len, out, &head->codec, &n, &e), &e);
	if (len && head->codec == CODEC_RAW)
		memcpy(out, leaves, len);
	*ret_len = n;
}

/* Every third one is composed itself; the rest of its leaves is zero. */
static void add_lender(uint64_t *seed, struct sample *s, unsigned i)
{
	static uint8_t leaves[CHUNK_SIZE], frame[CHUNK_SIZE], payload[CHUNK_SIZE];
	struct lender *x = &s->lenders[i];
	struct img_record_name name = name_of(i);
	struct fmt_record head = { .kind = FMT_WHOLE, .chunk = i };
	size_t len;

	fill_leaves(seed, x->content, CHUNK_LEAVES);
	x->own = i % 3 ? UINT64_MAX : rnd(seed) | 1;
	pack_leaves(s, &head, leaves, copy_leaves(leaves, x->content, x->own), frame, &len);
	if (x->own != UINT64_MAX) {
		struct composed c = { .fresh = x->own, .zero = ~x->own, .frame = frame, .frame_len = len };
		head.kind = FMT_COMPOSED;
		len = composed_put(&c, payload);
		ck_assert_uint_ne(len, 0);
	} else {
		memcpy(payload, frame, len);
	}
	head.stored_len = (uint32_t)len;
	finish_head(&head, payload, &name);
	s->l.helpers[i].name = name;
	pack_add(s, &head, payload, &s->l.helpers[i].at);
}

/* One leaf of the composed chunk comes from a lender's own ones. */
static void lend(uint64_t *seed, struct sample *s, unsigned leaf, unsigned helper, unsigned lender)
{
	unsigned from;

	do
		from = (unsigned)rnd_below(seed, CHUNK_LEAVES);
	while (!(s->lenders[lender].own >> from & 1));
	s->c.refs[s->c.nr_refs++] = (struct composed_ref){ .leaf = (uint8_t)leaf, .from_leaf = (uint8_t)from, .helper = (uint16_t)helper };
	memcpy(s->content + (size_t)leaf * LEAF_SIZE, s->lenders[lender].content + (size_t)from * LEAF_SIZE, LEAF_SIZE);
}

static void make_chunk(uint64_t *seed, struct sample *s)
{
	unsigned first = (unsigned)rnd_below(seed, MAX_LENDERS), used = (unsigned)rnd_below(seed, MAX_LENDERS - first + 1), n = 0;

	/* Each lender that takes part lends at least one leaf: the first so many lent ones go round. */
	s->c.nr_helpers = used;
	for (unsigned i = 0; i < used; i++)
		s->c.helpers[i] = name_of(first + i);
	for (unsigned i = 0; i < CHUNK_LEAVES; i++) {
		unsigned left = CHUNK_LEAVES - i, kind = (unsigned)rnd_below(seed, 3);
		if (used && (kind == 0 || left <= used - (n < used ? n : used))) {
			unsigned helper = n < used ? n : (unsigned)rnd_below(seed, used);
			lend(seed, s, i, helper, first + helper);
			n++;
		} else if (kind == 1) {
			s->c.zero |= UINT64_C(1) << i;
		} else {
			s->c.fresh |= UINT64_C(1) << i;
			fill_leaves(seed, s->content + (size_t)i * LEAF_SIZE, 1);
		}
	}
}

static void put_chunk(struct sample *s)
{
	static uint8_t frame[CHUNK_SIZE], payload[CHUNK_SIZE];
	struct img_record_name name = { .origin = { 99 }, .number = 5 };
	struct err e = ERR_INIT;

	s->head = (struct fmt_record){ .kind = FMT_COMPOSED, .nr_helpers = (uint16_t)s->c.nr_helpers };
	pack_leaves(s, &s->head, s->fresh, copy_leaves(s->fresh, s->content, s->c.fresh), frame, &s->c.frame_len);
	s->c.frame = frame;
	s->head.stored_len = (uint32_t)composed_put(&s->c, payload);
	ck_assert_uint_ne(s->head.stored_len, 0);
	finish_head(&s->head, payload, &name);
	s->payload = malloc(s->head.stored_len);
	memcpy(s->payload, payload, s->head.stored_len);
	s->c.frame = s->payload + (s->head.stored_len - s->c.frame_len);
	ok(chunk_id(s->codec, s->content, s->id, NULL, &e), &e);
}

static struct sample *make_sample(uint64_t seed)
{
	struct sample *s = calloc(1, sizeof(*s));
	struct err e = ERR_INIT;

	s->ops = (struct img_packs_ops){ .read = memory_read };
	s->pack.base.ops = &s->ops;
	s->codec = chunk_codec_new(1, &e);
	ck_assert_ptr_nonnull(s->codec);
	s->lenders = calloc(MAX_LENDERS, sizeof(*s->lenders));
	s->l.nr_packs = 1;
	s->l.packs = calloc(1, 16);
	s->l.nr_helpers = MAX_LENDERS;
	s->l.helpers = calloc(MAX_LENDERS, sizeof(*s->l.helpers));
	s->at = (struct located){ .l = &s->l, .packs = &s->pack.base };
	for (unsigned i = 0; i < MAX_LENDERS; i++)
		add_lender(&seed, s, i);
	make_chunk(&seed, s);
	put_chunk(s);
	return s;
}

static void release(struct sample *s)
{
	chunk_codec_free(s->codec);
	free(s->pack.bytes);
	free(s->lenders);
	free(s->l.packs);
	free(s->l.helpers);
	free(s->payload);
	free(s);
}

/* What comes out in place of the sample's chunk: -1, 0: something else, 1: the very chunk. */
static int compose(struct sample *s, const struct fmt_record *head, const uint8_t *payload, struct err *e)
{
	AUTO_FREE uint8_t *content = malloc(CHUNK_SIZE);
	AUTO_FREE uint8_t *exact = malloc(head->stored_len ? head->stored_len : 1);
	uint8_t id[IMG_ID_SIZE];

	memcpy(exact, payload, head->stored_len);
	if (located_compose(&s->at, s->codec, head, exact, content, e) < 0)
		return -1;
	ok(chunk_id(s->codec, content, id, NULL, e), e);
	bool is_same = !memcmp(content, s->content, CHUNK_SIZE);
	ck_assert_int_eq(is_same, !memcmp(id, s->id, IMG_ID_SIZE));
	return is_same;
}

START_TEST(round_trip)
{
	struct sample *s = make_sample((uint64_t)_i + 1);
	struct err e = ERR_INIT;
	struct composed got;

	ok(composed_parse(&s->head, s->payload, &got, &e), &e);
	ck_assert(got.fresh == s->c.fresh && got.zero == s->c.zero && got.nr_helpers == s->c.nr_helpers && got.nr_refs == s->c.nr_refs);
	for (unsigned i = 0; i < got.nr_helpers; i++)
		ck_assert_int_eq(record_name_cmp(&got.helpers[i], &s->c.helpers[i]), 0);
	for (unsigned i = 0; i < got.nr_refs; i++)
		ck_assert(!memcmp(&got.refs[i], &s->c.refs[i], sizeof(got.refs[i])));
	ck_assert(got.frame == s->c.frame && got.frame_len == s->c.frame_len);
	for (int again = 0; again < 2; again++) /* the second time some lenders are kept */
		ck_assert_msg(compose(s, &s->head, s->payload, &e) == 1, "%s", e.msg);
	release(s);
}
END_TEST

/*
 * One byte is wrong, and the checksum does not tell. What is still parsed is put again as exactly these bytes: there is no second way to
 * say the same. A wrong frame is beyond parsing; that it is refused or gives another content is the codec's matter.
 */
START_TEST(every_byte_counts)
{
	struct sample *s = make_sample((uint64_t)_i + 200);
	uint64_t seed = (uint64_t)_i + 1;
	uint8_t *again = malloc(CHUNK_SIZE);
	size_t fixed = composed_fixed_len(&s->c);
	struct composed got;

	for (size_t i = 0; i < s->head.stored_len; i += i < fixed ? 1 : 1 + (s->head.stored_len - fixed) / 200) {
		struct err e = ERR_INIT;
		uint8_t was = s->payload[i];
		s->payload[i] ^= (uint8_t)(1 + rnd_below(&seed, 255));
		if (composed_parse(&s->head, s->payload, &got, &e) == 0) {
			ck_assert_uint_eq(composed_put(&got, again), s->head.stored_len);
			ck_assert(!memcmp(again, s->payload, s->head.stored_len));
		}
		int r = compose(s, &s->head, s->payload, &e);
		ck_assert(r == -1 ? e.code == ERR_CORRUPT : i >= fixed || r == 0);
		s->payload[i] = was;
	}
	struct err e = ERR_INIT;
	ck_assert_int_eq(compose(s, &s->head, s->payload, &e), 1);
	free(again);
	release(s);
}
END_TEST

/* Lengths and numbers of the header that do not fit: nothing else than the chunk comes out of a payload that is whole. */
START_TEST(wrong_headers)
{
	struct sample *s = make_sample((uint64_t)_i + 300);
	uint64_t seed = (uint64_t)_i + 1;

	for (unsigned n = 0; n < 300; n++) {
		struct fmt_record head = s->head;
		struct err e = ERR_INIT;
		switch (rnd_below(&seed, 5)) {
		case 0: head.nr_helpers = (uint16_t)rnd_below(&seed, CHUNK_LEAVES + 1); break;
		case 1: head.raw_len = (uint32_t)rnd_below(&seed, CHUNK_LEAVES + 1) * LEAF_SIZE; break;
		case 2: head.stored_len = (uint32_t)rnd_below(&seed, head.stored_len); break;
		case 3: head.codec = !head.codec; break;
		default: head.stored_len -= (uint32_t)rnd_below(&seed, min_u64(head.stored_len, 3)); break;
		}
		int r = compose(s, &head, s->payload, &e);
		bool is_whole = head.nr_helpers == s->head.nr_helpers && head.raw_len == s->head.raw_len && head.stored_len == s->head.stored_len &&
			head.codec == s->head.codec;
		ck_assert_int_eq(r, is_whole ? 1 : -1);
	}
	release(s);
}
END_TEST

/* The lender that the sample's first reference names */
static struct img_helper *first_lender(struct sample *s)
{
	struct img_helper *h = s->l.helpers;

	while (record_name_cmp(&h->name, &s->c.helpers[s->c.refs[0].helper]))
		h++;
	return h;
}

START_TEST(wrong_lenders)
{
	uint64_t seed = 400;
	struct sample *s = make_sample(seed);

	while (!s->c.nr_refs) {
		release(s);
		s = make_sample(++seed);
	}
	struct err e = ERR_INIT;
	struct img_helper *h = first_lender(s), was = *h;
	uint8_t *record = s->pack.bytes + h->at.offset;
	switch (_i) {
	case 0: /* not in the table */
		h->name.origin[15] = 1;
		break;
	case 1: /* the table names another record */
		h->at = h == s->l.helpers ? h[1].at : s->l.helpers[0].at;
		break;
	case 2: /* its payload is damaged */
		record[FMT_RECORD_SIZE + 20] ^= 1;
		break;
	case 3: /* its header is damaged */
		record[50] ^= 1;
		break;
	case 4: /* the table has another length */
		h->at.len--;
		break;
	default: /* the pack is too short */
		s->pack.len = h->at.offset + h->at.len - 1;
		break;
	}
	ck_assert_int_eq(compose(s, &s->head, s->payload, &e), -1);
	ck_assert_int_eq(e.code, ERR_CORRUPT);
	*h = was;
	release(s);
}
END_TEST

/* A leaf that its lender only borrows itself would make a chain. */
START_TEST(no_chains)
{
	uint64_t seed = 500;
	struct sample *s = make_sample(seed);
	struct err e = ERR_INIT;
	unsigned leaf = 0;

	while (s->lenders[0].own == UINT64_MAX) {
		release(s);
		s = make_sample(++seed);
	}
	while (s->lenders[0].own >> leaf & 1)
		leaf++;
	s->c = (struct composed){ .nr_helpers = 1, .helpers = { name_of(0) }, .nr_refs = 1, .refs = { { .from_leaf = (uint8_t)leaf } }, .zero = ~UINT64_C(1) };
	free(s->payload);
	put_chunk(s);
	ck_assert_int_eq(compose(s, &s->head, s->payload, &e), -1);
	ck_assert_int_eq(e.code, ERR_CORRUPT);
	release(s);
}
END_TEST

/* What would not be shorter than the chunk is not composed; one byte less is. */
START_TEST(too_long)
{
	static uint8_t out[CHUNK_SIZE], frame[CHUNK_SIZE];
	struct composed c = { .fresh = UINT64_MAX >> 1, .nr_helpers = 1, .nr_refs = 1, .refs = { { .leaf = 63 } }, .frame = frame };

	c.frame_len = CHUNK_SIZE - composed_fixed_len(&c);
	ck_assert_uint_eq(composed_put(&c, out), 0);
	c.frame_len--;
	ck_assert_uint_eq(composed_put(&c, out), CHUNK_SIZE - 1);
}
END_TEST

START_TEST(places)
{
	struct composed c = { .fresh = UINT64_C(0x8000000000000025) };

	ck_assert_uint_eq(composed_nr_fresh(&c), 4);
	ck_assert_uint_eq(composed_place(&c, 0), 0);
	ck_assert_uint_eq(composed_place(&c, 2), 1);
	ck_assert_uint_eq(composed_place(&c, 5), 2);
	ck_assert_uint_eq(composed_place(&c, 63), 3);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("composed");
	TCase *t = tcase_create("composed");

	suite_add_tcase(s, t);
	tcase_set_timeout(t, 120);
	tcase_add_loop_test(t, round_trip, 0, 40);
	tcase_add_loop_test(t, every_byte_counts, 0, 4);
	tcase_add_loop_test(t, wrong_headers, 0, 4);
	tcase_add_loop_test(t, wrong_lenders, 0, 6);
	tcase_add_test(t, no_chains);
	tcase_add_test(t, too_long);
	tcase_add_test(t, places);
	return run_suite(s);
}
