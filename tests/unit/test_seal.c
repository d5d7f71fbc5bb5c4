/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Encrypted images: key slots, what opens them and what does not, and that nothing in them can be exchanged or put there in clear. */
#include "imager/image/access.h"
#include "imager/image/sealed_part.h"
#include "imager/image/slots.h"
#include "tests/unit/image_file.h"

#define NR_CHUNKS 5

static char dir[64], path[96];
static struct key keys[4]; /* symmetric, recipient, another of each */

static void setup(void)
{
	struct err e = ERR_INIT;

	temp_dir(dir, sizeof(dir), "seal");
	snprintf(path, sizeof(path), "%s/lab.calco", dir);
	ok(key_new(KEY_SYMMETRIC, NULL, &keys[0], &e), &e);
	ok(key_new(KEY_BOX_SECRET, NULL, &keys[1], &e), &e);
	ok(key_new(KEY_SYMMETRIC, NULL, &keys[2], &e), &e);
	ok(key_new(KEY_BOX_SECRET, NULL, &keys[3], &e), &e);
}

static void teardown(void)
{
	temp_remove(dir);
}

static const uint8_t *const passphrase = (const uint8_t *)"correct horse";
#define PASSPHRASE .passphrase = passphrase, .passphrase_len = 13

/* ---- slots */

START_TEST(each_key_opens)
{
	struct key half;
	key_public(&keys[1], &half);
	const struct key pair[] = { keys[0], half };
	const struct img_keys all = { .keys = pair, .nr_keys = 2, PASSPHRASE };
	const struct img_keys right[] = { { .keys = &keys[0], .nr_keys = 1 }, { .keys = &keys[1], .nr_keys = 1 }, { PASSPHRASE }, { .keys = keys, .nr_keys = 4 },
		{ .keys = &keys[2], .nr_keys = 2, PASSPHRASE } };
	const struct img_keys wrong[] = { { .keys = &keys[2], .nr_keys = 2 }, { .keys = &half, .nr_keys = 1 },
		{ .passphrase = (const uint8_t *)"correct horsf", .passphrase_len = 13 }, { .passphrase = passphrase, .passphrase_len = 12 }, { .nr_keys = 0 } };
	struct err e = ERR_INIT;
	AUTO(img_seal) struct img_seal *s = seal_new(&e);
	struct slots_count count;

	ok(slots_make(s, &all, &e), &e);
	ok(slots_check(s->slots, s->slots_len, &count, &e), &e);
	ck_assert(count.nr_symmetric == 1 && count.nr_recipient == 1 && count.nr_passphrase == 1 && count.nr_unknown == 0);
	for (size_t i = 0; i < 5; i++) {
		AUTO(img_seal) struct img_seal *got = NULL;
		ck_assert_int_eq(slots_open(s->slots, s->slots_len, &right[i], &got, &e), 1);
		ck_assert_mem_eq(got->master, s->master, 32);
		ck_assert_mem_eq(got->id_key, s->id_key, 32);
		got = (seal_free(got), NULL);
		ck_assert_int_eq(slots_open(s->slots, s->slots_len, &wrong[i], &got, &e), 0);
		ck_assert_ptr_null(got);
	}
}
END_TEST

START_TEST(what_makes_no_slot)
{
	struct key sign;
	struct err e = ERR_INIT;
	AUTO(img_seal) struct img_seal *s = seal_new(&e);

	ok(key_new(KEY_SIGN_SECRET, NULL, &sign, &e), &e);
	fails(slots_make(s, &(struct img_keys){ .nr_keys = 0 }, &e), ERR_USAGE, &e);
	fails(slots_make(s, &(struct img_keys){ .keys = &sign, .nr_keys = 1 }, &e), ERR_USAGE, &e);
	/* And a writer refuses to seal what nobody can open. */
	struct img_manifest *m = plain_manifest(CHUNK_SIZE, EXT_USED);
	m->seal = seal_new(&e);
	ck_assert_ptr_null(img_writer_open(path, -1, m, NULL, &e));
	ck_assert_int_ne(access(path, F_OK), 0);
	img_manifest_free(m);
}
END_TEST

/* Each bit of the slots counts, and each byte. Symmetric and recipient only: a passphrase takes its time. */
START_TEST(damaged_slots)
{
	const struct img_keys both = { .keys = keys, .nr_keys = 2 };
	struct err e = ERR_INIT;
	AUTO(img_seal) struct img_seal *s = seal_new(&e);
	AUTO(img_seal) struct img_seal *got = NULL;

	for (size_t i = 0; i < 2; i++) {
		const struct img_keys one = { .keys = &keys[i], .nr_keys = 1 };
		ok(slots_make(s, &one, &e), &e);
		for (size_t bit = 0; bit < s->slots_len * 8; bit++) {
			s->slots[bit / 8] ^= (uint8_t)(1U << bit % 8);
			ck_assert_msg(slots_open(s->slots, s->slots_len, &both, &got, &e) != 1, "bit %zu of slot kind %zu", bit, i);
			s->slots[bit / 8] ^= (uint8_t)(1U << bit % 8);
		}
		for (size_t len = 0; len < s->slots_len; len++)
			fails(slots_open(s->slots, len, &both, &got, &e), ERR_CORRUPT, &e);
	}
	uint8_t zero[32] = { 0 }; /* an ephemeral key that would give everybody the same secret */
	memcpy(s->slots + 8, zero, 32);
	ck_assert_int_eq(slots_open(s->slots, s->slots_len, &both, &got, &e), 0);
}
END_TEST

/* A slot of a passphrase with these costs, repeated; nothing is computed. */
static int cost(uint8_t log_n, uint32_t r, uint32_t p, unsigned nr, struct err *e)
{
	uint8_t b[65 * 128] = { 0 };
	struct slots_count count;

	for (unsigned i = 0; i < nr; i++) {
		uint8_t *s = b + (size_t)i * 128;
		s[0] = SLOT_PASSPHRASE;
		put_le32(s, 4, 28);
		s[24] = log_n;
		put_le32(s, 28, r);
		put_le32(s, 32, p);
	}
	int ret = slots_check(b, (size_t)nr * 128, &count, e);
	return ret < 0 ? (int)e->code : 0;
}

START_TEST(ceilings)
{
	struct err e = ERR_INIT;

	ck_assert_int_eq(cost(17, 8, 1, 1, &e), 0);
	ck_assert_int_eq(cost(18, 8, 1, 8, &e), 0);      /* 256 MiB */
	ck_assert_int_eq(cost(17, 8, 1, 9, &e), ERR_CORRUPT);
	ck_assert_int_eq(cost(19, 8, 1, 1, &e), ERR_UNSUPPORTED);
	ck_assert_int_eq(cost(20, 32, 16, 1, &e), ERR_UNSUPPORTED);
	ck_assert_int_eq(cost(17, 8, 5, 1, &e), ERR_UNSUPPORTED);
	ck_assert_int_eq(cost(9, 8, 1, 1, &e), ERR_CORRUPT);
	ck_assert_int_eq(cost(21, 8, 1, 1, &e), ERR_CORRUPT);
	ck_assert_int_eq(cost(255, 1, 1, 1, &e), ERR_CORRUPT);
	ck_assert_int_eq(cost(17, 0, 1, 1, &e), ERR_CORRUPT);
	ck_assert_int_eq(cost(17, UINT32_MAX, UINT32_MAX, 1, &e), ERR_CORRUPT);
	ck_assert_int_eq(cost(17, 8, 1, 0, &e), ERR_CORRUPT); /* no slot at all */
	/* 64 of a kind that nobody knows are skipped, 65 are too many. */
	uint8_t b[65 * 100] = { 0 };
	struct slots_count count;
	for (int i = 0; i < 65; i++)
		b[i * 100] = 77;
	ok(slots_check(b, 64 * 100, &count, &e), &e);
	ck_assert_uint_eq(count.nr_unknown, 64);
	fails(slots_check(b, 65 * 100, &count, &e), ERR_CORRUPT, &e);
}
END_TEST

/* ---- images */

START_TEST(slots_come_and_go)
{
	const struct img_keys first = { .keys = &keys[0], .nr_keys = 1 }, more = { .keys = &keys[1], .nr_keys = 2 }, pass = { PASSPHRASE };
	struct err e = ERR_INIT;
	AUTO(img_seal) struct img_seal *s = seal_new(&e);
	AUTO(img_seal) struct img_seal *got = NULL;

	ok(slots_make(s, &first, &e), &e);
	ok(slots_add(s, &more, &e), &e);
	ck_assert_uint_eq(slots_kind(s->slots, s->slots_len, 0), SLOT_SYMMETRIC);
	ck_assert_uint_eq(slots_kind(s->slots, s->slots_len, 1), SLOT_RECIPIENT);
	ck_assert_uint_eq(slots_kind(s->slots, s->slots_len, 2), SLOT_SYMMETRIC);
	ck_assert_uint_eq(slots_kind(s->slots, s->slots_len, 3), 0);
	size_t len = s->slots_len;
	ck_assert_int_lt(slots_remove(s, 3, &e), 0);
	ck_assert_int_eq(e.code, ERR_USAGE);
	ck_assert_uint_eq(s->slots_len, len);
	ok(slots_remove(s, 0, &e), &e);
	ck_assert_int_eq(slots_open(s->slots, s->slots_len, &first, &got, &e), 0);
	ck_assert_int_eq(slots_open(s->slots, s->slots_len, &more, &got, &e), 1);
	ck_assert_mem_eq(got->master, s->master, 32);
	ck_assert_mem_eq(got->id_key, s->id_key, 32);
	/* Ceilings hold for all together. */
	while (slots_add(s, &first, &e) == 0)
		continue;
	struct slots_count count;
	ck_assert_int_eq(e.code, ERR_USAGE);
	ok(slots_check(s->slots, s->slots_len, &count, &e), &e);
	ck_assert_uint_eq(count.nr_all, SLOTS_MAX);
	e = (struct err)ERR_INIT;
	ck_assert_int_lt(slots_add(s, &pass, &e), 0);
	ck_assert_int_eq(e.code, ERR_USAGE);
}
END_TEST

/* A table has a key of its own each time it is written; its salt, its header and its place hold it. */
START_TEST(tables)
{
	static const uint8_t text[40] = "the same forty bytes";
	struct err e = ERR_INIT;
	AUTO(img_seal) struct img_seal *s = seal_new(&e);
	AUTO(seal_box) struct seal_box *box = seal_box_new(s, &e);
	struct fmt_part p[2] = { { .type = "PTOC", .flags = FMT_MANDATORY, .raw_len = 40, .stored_len = 40 } };
	uint8_t pack[16] = { 1 }, head[FMT_PART_SIZE], *out[2], *copy;
	const uint8_t *got;
	size_t len;

	p[1] = p[0];
	for (int i = 0; i < 2; i++)
		ok(sealed_part_close(box, pack, &p[i], text, &out[i], &e), &e);
	ck_assert_uint_eq(p[0].stored_len, 40 + 16 + 16);
	for (size_t at = 0; at < 72; at += 8)
		ck_assert(memcmp(out[0] + at, out[1] + at, 8) != 0);
	fmt_put_part(head, &p[0]);
	copy = malloc(72);
	for (unsigned at = 0; at < 72 * 8 + 2; at++) {
		memcpy(copy, out[0], 72);
		if (at < 72 * 8)
			copy[at / 8] ^= (uint8_t)(1U << at % 8);
		pack[0] = at == 72 * 8 ? 2 : 1;
		ck_assert_int_eq(sealed_part_open(box, pack, &p[0], head, copy, &got, &len, &e), at == 72 * 8 + 1 ? 0 : -1);
	}
	ck_assert_uint_eq(len, 40);
	ck_assert_mem_eq(got, text, 40);
	free(copy);
	free(out[0]);
	free(out[1]);
}
END_TEST

static struct img_seal *copy_seal(const struct img_seal *s)
{
	struct img_seal *c = malloc(sizeof(*c));

	*c = *s;
	c->slots = malloc(s->slots_len);
	memcpy(c->slots, s->slots, s->slots_len);
	return c;
}

/* An image of NR_CHUNKS chunks, one of them zero; noise does not shrink, so that records are equally long. */
static uint8_t *make_image(const struct img_seal *s, uint64_t seed, bool shrinks, size_t *ret_len)
{
	struct img_manifest *m = plain_manifest(NR_CHUNKS * CHUNK_SIZE, EXT_USED);
	uint8_t *disk = calloc(NR_CHUNKS, CHUNK_SIZE);
	struct err e = ERR_INIT;

	for (int i = 0; i < NR_CHUNKS; i++)
		if (i != 2)
			rnd_fill(&seed, disk + i * (int)CHUNK_SIZE, shrinks ? 3000 : CHUNK_SIZE);
	m->seal = s ? copy_seal(s) : NULL;
	ok(write_image(m, &disk, path, -1, &e), &e);
	uint8_t *file = file_read(path, ret_len);
	unlink(path);
	free(disk);
	img_manifest_free(m);
	return file;
}

/* Open, walk, finish; of a file or of a pipe. 0, or the error's code. */
static int use(const uint8_t *f, size_t len, const struct img_keys *k, bool as_pipe, struct err *e)
{
	AUTO_FREE uint8_t *payload = malloc(CHUNK_PAYLOAD_MAX);
	AUTO_FREE uint8_t *content = malloc(CHUNK_SIZE);
	struct img_access a = { .keys = k ? *k : (struct img_keys){ .nr_keys = 0 } };
	struct feeder feeder = { .fd = -1 };
	struct img_record rec;
	int got = -1;

	*e = (struct err)ERR_INIT;
	if (as_pipe) {
		feeder = feed(f, len);
	} else {
		FILE *out = fopen(path, "wb");
		ck_assert_uint_eq(fwrite(f, 1, len, out), len);
		fclose(out);
	}
	struct img_reader *r = img_reader_open_with(as_pipe ? "a pipe" : path, as_pipe ? feeder.fd : -1, &a, NULL, e);
	struct chunk_codec *codec = r ? chunk_codec_for(img_reader_manifest(r)->seal, 0, e) : NULL;
	while (codec && (got = img_reader_next(r, &rec, payload, e)) > 0)
		if ((got = img_decode(codec, img_reader_manifest(r), &rec, payload, content, e)) < 0)
			break;
	if (codec && got == 0)
		got = img_reader_finish(r, e);
	for (uint64_t i = 0; codec && got == 0 && !as_pipe && i < NR_CHUNKS; i++)
		ok(img_reader_chunk(r, 0, i, content, e), e);
	chunk_codec_free(codec);
	img_reader_close(r);
	if (as_pipe)
		feed_end(&feeder);
	unlink(path);
	return got < 0 ? (int)e->code : 0;
}

static struct img_seal *some_seal(void)
{
	struct err e = ERR_INIT;
	struct img_seal *s = seal_new(&e);

	ok(slots_make(s, &(struct img_keys){ .keys = keys, .nr_keys = 2 }, &e), &e);
	return s;
}

START_TEST(there_and_back)
{
	const struct img_keys right = { .keys = &keys[1], .nr_keys = 1 }, wrong = { .keys = &keys[2], .nr_keys = 2 };
	AUTO(img_seal) struct img_seal *s = some_seal();
	struct err e = ERR_INIT;
	size_t len, plain_len;
	AUTO_FREE uint8_t *f = make_image(s, 1, _i & 1, &len);
	AUTO_FREE uint8_t *plain = make_image(NULL, 1, _i & 1, &plain_len);
	bool as_pipe = _i & 2;

	ck_assert_int_eq(use(f, len, &right, as_pipe, &e), 0);
	ck_assert_int_eq(use(f, len, &wrong, as_pipe, &e), ERR_REFUSED);
	ck_assert_str_eq(e.reason, "wrong-key");
	ck_assert_int_eq(use(f, len, NULL, as_pipe, &e), ERR_REFUSED);
	ck_assert_str_eq(e.reason, "locked");
	ck_assert_int_eq(use(plain, plain_len, NULL, as_pipe, &e), 0);
	ck_assert_int_eq(use(plain, plain_len, &right, as_pipe, &e), ERR_REFUSED);
	ck_assert_str_eq(e.reason, "not-encrypted");
	if (as_pipe)
		return;
	ck_assert_int_eq(use(f, len - 1, NULL, as_pipe, &e), ERR_CORRUPT); /* that can be told without a key */
	ck_assert_str_eq(e.reason, "truncated");
}
END_TEST

/* The same secrets and content, twice: another pack id, so no ciphertext is the same. */
START_TEST(no_two_are_alike)
{
	AUTO(img_seal) struct img_seal *s = some_seal();
	struct piece a[32], b[32];
	size_t len, other_len;
	AUTO_FREE uint8_t *f = make_image(s, 1, false, &len);
	AUTO_FREE uint8_t *g = make_image(s, 1, false, &other_len);

	ck_assert_uint_eq(len, other_len);
	size_t nr = file_pieces(f, len, a, 32);
	file_pieces(g, len, b, 32);
	for (size_t i = 0; i < nr; i++)
		if (!strcmp(a[i].type, "CHNK")) {
			ck_assert_mem_eq(f + a[i].start + 40, g + b[i].start + 40, 32); /* the id, keyed: the same */
			for (size_t k = 0; k + 16 <= CHUNK_SIZE; k += 16)
				ck_assert_mem_ne(f + a[i].payload + k, g + b[i].payload + k, 16);
		}
}
END_TEST

/* Any piece in the place of any other, of this image or of another with the same secrets. */
START_TEST(exchanged)
{
	const struct img_keys right = { .keys = &keys[0], .nr_keys = 1 };
	AUTO(img_seal) struct img_seal *s = some_seal();
	struct piece a[32], b[32];
	size_t len, other_len, tried = 0;
	AUTO_FREE uint8_t *f = make_image(s, 1, false, &len);
	AUTO_FREE uint8_t *g = make_image(s, 2, false, &other_len);
	AUTO_FREE uint8_t *x = malloc(len);
	struct err e = ERR_INIT;
	size_t nr = file_pieces(f, len, a, 32), nr_other = file_pieces(g, other_len, b, 32);

	for (size_t i = 0; i < nr; i++)
		for (size_t k = 0; k < nr_other; k++)
			for (int how = 0; how < 4; how++) { /* with its header or without, from this image or the other */
				const uint8_t *from = how & 1 ? g : f;
				const struct piece *q = how & 1 ? &b[k] : &a[k];
				bool whole = how & 2;
				if (q->end - q->start != a[i].end - a[i].start || !memcmp(from + q->payload, f + a[i].payload, a[i].end - a[i].payload))
					continue;
				memcpy(x, f, len);
				if (whole)
					memcpy(x + a[i].start, from + q->start, a[i].end - a[i].start);
				else
					memcpy(x + a[i].payload, from + q->payload, a[i].end - a[i].payload);
				seal_piece(x, &a[i]);
				ck_assert_msg(use(x, len, &right, false, &e) != 0, "%s %zu of %s in place of %s %zu", q->type, k, how & 1 ? "another" : "this", a[i].type, i);
				ck_assert_msg(use(x, len, &right, true, &e) != 0, "%s %zu of %s in place of %s %zu, from a pipe", q->type, k, how & 1 ? "another" : "this",
					a[i].type, i);
				tried++;
			}
	ck_assert_uint_gt(tried, 40);
}
END_TEST

/* What the header of a record says is authenticated, bit by bit; so is what that of a part says. */
START_TEST(headers)
{
	const struct img_keys right = { .keys = &keys[0], .nr_keys = 1 };
	AUTO(img_seal) struct img_seal *s = some_seal();
	struct piece list[32];
	size_t len;
	AUTO_FREE uint8_t *f = make_image(s, 1, true, &len);
	struct err e = ERR_INIT;
	size_t nr = file_pieces(f, len, list, 32);

	for (size_t i = 0; i < nr; i++) {
		bool is_record = !strcmp(list[i].type, "CHNK");
		if (!is_record && !fmt_is_sealed(list[i].type))
			continue;
		for (size_t bit = 0; bit < (is_record ? 88U : 24U) * 8; bit += is_record ? 3 : 1) {
			f[list[i].start + bit / 8] ^= (uint8_t)(1U << bit % 8);
			seal_piece(f, &list[i]);
			ck_assert_msg(use(f, len, &right, _i, &e) != 0, "bit %zu of the header of %s", bit, list[i].type);
			f[list[i].start + bit / 8] ^= (uint8_t)(1U << bit % 8);
			seal_piece(f, &list[i]);
		}
	}
	ck_assert_int_eq(use(f, len, &right, _i, &e), 0);
}
END_TEST

/* A piece in clear in the place of one that was encrypted. */
START_TEST(clear_text)
{
	const struct img_keys right = { .keys = &keys[0], .nr_keys = 1 };
	AUTO(img_seal) struct img_seal *s = some_seal();
	struct piece a[32], b[32];
	size_t len, plain_len;
	AUTO_FREE uint8_t *f = make_image(s, 1, false, &len);
	AUTO_FREE uint8_t *plain = make_image(NULL, 1, false, &plain_len);
	AUTO_FREE uint8_t *x = malloc(2 * len);
	struct err e = ERR_INIT;
	size_t nr = file_pieces(f, len, a, 32), nr_plain = file_pieces(plain, plain_len, b, 32);

	for (size_t i = 0; i < nr; i++)
		for (size_t k = 0; k < nr_plain; k++) {
			if (strcmp(a[i].type, b[k].type) || (strcmp(a[i].type, "CHNK") && !fmt_is_sealed(a[i].type)))
				continue;
			size_t n = b[k].end - b[k].start;
			memcpy(x, f, a[i].start);
			memcpy(x + a[i].start, plain + b[k].start, n);
			memcpy(x + a[i].start + n, f + a[i].end, len - a[i].end);
			ck_assert_int_eq(use(x, len - (a[i].end - a[i].start) + n, &right, _i, &e), ERR_CORRUPT);
		}
}
END_TEST

int main(void)
{
	Suite *s = suite_create("seal");
	TCase *t = tcase_create("seal");

	suite_add_tcase(s, t);
	tcase_add_checked_fixture(t, setup, teardown);
	tcase_set_timeout(t, 300);
	tcase_add_test(t, each_key_opens);
	tcase_add_test(t, what_makes_no_slot);
	tcase_add_test(t, damaged_slots);
	tcase_add_test(t, ceilings);
	tcase_add_test(t, slots_come_and_go);
	tcase_add_test(t, tables);
	tcase_add_loop_test(t, there_and_back, 0, 4);
	tcase_add_test(t, no_two_are_alike);
	tcase_add_test(t, exchanged);
	tcase_add_loop_test(t, headers, 0, 2);
	tcase_add_loop_test(t, clear_text, 0, 2);
	return run_suite(s);
}
