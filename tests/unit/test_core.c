/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The head of an image: what is encoded is decoded, and no cut and no change of a byte makes it contradict itself. */
#include "base/buf.h"
#include "base/hash.h"
#include "imager/image/core.h"
#include "tests/unit/image_make.h"

static const struct make_options usual = { .max_disks = 3, .max_regions = 4, .max_region = 5 * CHUNK_SIZE, .only_bytes = true };

static void same_ranges(const struct img_range *a, uint32_t nr_a, const struct img_range *b, uint32_t nr_b)
{
	ck_assert_uint_eq(nr_a, nr_b);
	for (uint32_t i = 0; i < nr_a; i++)
		ck_assert(a[i].disk == b[i].disk && a[i].start == b[i].start && a[i].len == b[i].len);
}

static void same_disks_and_regions(const struct img_manifest *a, const struct img_manifest *b)
{
	ck_assert_uint_eq(a->nr_disks, b->nr_disks);
	for (size_t i = 0; i < a->nr_disks; i++)
		ck_assert(!memcmp(&a->disks[i], &b->disks[i], sizeof(a->disks[i])));
	ck_assert_uint_eq(a->nr_regions, b->nr_regions);
	for (size_t i = 0; i < a->nr_regions; i++) {
		const struct img_region *x = &a->regions[i], *y = &b->regions[i];
		ck_assert(x->disk == y->disk && x->start == y->start && x->len == y->len && x->kind == y->kind && x->flags == y->flags);
		ck_assert(x->number == y->number && x->mbr_type == y->mbr_type && x->attributes == y->attributes);
		ck_assert(!memcmp(x->type_guid, y->type_guid, 16) && !memcmp(x->guid, y->guid, 16) && !strcmp(x->name, y->name));
		ck_assert(x->first_chunk == y->first_chunk && x->first_present == y->first_present);
		ck_assert(cmap_equal(x->map, y->map));
		ck_assert_uint_eq(cmap_bytes(x->map, EXT_USED), cmap_bytes(y->map, EXT_USED));
	}
}

static void same_manifest(const struct img_manifest *a, const struct img_manifest *b)
{
	ck_assert(!memcmp(a->lineage, b->lineage, 16) && a->version == b->version && !strcmp(a->name, b->name));
	ck_assert_uint_eq(a->nr_parents, b->nr_parents);
	for (size_t i = 0; i < a->nr_parents; i++)
		ck_assert(!memcmp(&a->parents[i], &b->parents[i], sizeof(a->parents[i])));
	same_disks_and_regions(a, b);
	ck_assert_uint_eq(a->nr_volumes, b->nr_volumes);
	for (size_t i = 0; i < a->nr_volumes; i++) {
		const struct img_volume *x = &a->volumes[i], *y = &b->volumes[i];
		ck_assert(x->parent == y->parent && x->kind == y->kind && x->state == y->state && x->flags == y->flags);
		ck_assert(x->size == y->size && x->used_bytes == y->used_bytes && x->block_size == y->block_size && x->region == y->region);
		ck_assert_uint_eq(x->sector_size, y->sector_size);
		ck_assert(!strcmp(x->driver, y->driver) && !strcmp(x->type, y->type) && !strcmp(x->label, y->label));
		ck_assert(!strcmp(x->uuid, y->uuid) && !strcmp(x->reason, y->reason) && !strcmp(x->notice, y->notice));
		ck_assert_str_eq(x->name, y->name);
		same_ranges(x->segments, x->nr_segments, y->segments, y->nr_segments);
		same_ranges(x->arm, x->nr_arm, y->arm, y->nr_arm);
		same_ranges(x->skipped, x->nr_skipped, y->skipped, y->nr_skipped);
	}
	ck_assert_uint_eq(a->nr_tables, b->nr_tables);
	for (size_t i = 0; i < a->nr_tables; i++) {
		const struct img_table_copy *x = &a->tables[i], *y = &b->tables[i];
		ck_assert(x->disk == y->disk && x->start == y->start && x->len == y->len && !memcmp(x->bytes, y->bytes, x->len));
	}
	ck_assert(a->nr_chunks == b->nr_chunks && a->nr_present == b->nr_present);
}

START_TEST(round_trip)
{
	for (uint64_t i = 1; i <= 60; i++) {
		uint64_t seed = i + 1000 * (uint64_t)_i;
		struct err e = ERR_INIT;
		AUTO(img_manifest) struct img_manifest *m = make_manifest(&seed, &usual);
		AUTO(img_manifest) struct img_manifest *back = NULL;
		AUTO_FREE uint8_t *core = NULL;
		AUTO_FREE uint8_t *again = NULL;
		uint8_t hash[HASH_SIZE];
		size_t len, len2;
		ok(img_core_encode(m, &core, &len, &e), &e);
		ck_assert_uint_eq(len % 8, 0);
		ok(img_core_decode(core, len, NULL, &back, &e), &e);
		same_manifest(m, back);
		ok(img_core_encode(back, &again, &len2, &e), &e);
		ck_assert(len == len2 && !memcmp(core, again, len));
		AUTO(hasher) struct hasher *h = hasher_new(&e);
		hasher_begin(h);
		hasher_add(h, core, len);
		hasher_end(h, hash);
		ck_assert(!memcmp(hash, back->core_hash, HASH_SIZE));
	}
}
END_TEST

/* What any decoded manifest must be, whatever it was decoded from. */
static bool is_consistent(const struct img_manifest *m)
{
	uint64_t at = 0, present = 0, chunks = 0, walked = 0;
	size_t r = 0;

	for (uint32_t d = 0; d < m->nr_disks; d++, at = 0)
		for (; r < m->nr_regions && m->regions[r].disk == d; r++) {
			const struct img_region *reg = &m->regions[r];
			if (reg->start != at || reg->first_chunk != chunks || reg->first_present != present)
				return false;
			at += reg->len;
			chunks += cmap_nr_chunks(reg->map);
			present += cmap_nr_present(reg->map);
			if (cmap_len(reg->map) != reg->len || at > m->disks[d].size)
				return false;
		}
	struct img_cursor c;
	for (img_cursor_begin(&c); img_cursor_next(m, &c); walked++)
		if (c.present != walked || img_region_of_chunk(m, c.chunk) != c.region || img_present_index(&m->regions[c.region], c.i) != walked)
			return false;
	return r == m->nr_regions && chunks == m->nr_chunks && present == m->nr_present && walked == present && img_name_ok(m->name);
}

/* Either refused as damage (or as a section nobody knows), or something that holds together and is stable. */
static void try_bytes(const uint8_t *bytes, size_t len, uint64_t *nr_accepted)
{
	struct err e = ERR_INIT;
	AUTO(img_manifest) struct img_manifest *m = NULL;
	AUTO(img_manifest) struct img_manifest *back = NULL;
	AUTO_FREE uint8_t *core = NULL;
	AUTO_FREE uint8_t *exact = malloc(len ? len : 1); /* so that a sanitizer sees the end */
	size_t n;

	memcpy(exact, bytes, len);
	if (img_core_decode(exact, len, NULL, &m, &e) < 0) {
		if (m || (e.code != ERR_CORRUPT && e.code != ERR_UNSUPPORTED) || !e.msg[0])
			ck_abort_msg("refused with code %d: '%s'", e.code, e.msg);
		return;
	}
	++*nr_accepted;
	if (!is_consistent(m))
		ck_abort_msg("a manifest that contradicts itself");
	ok(img_core_encode(m, &core, &n, &e), &e);
	ok(img_core_decode(core, n, NULL, &back, &e), &e);
	same_disks_and_regions(m, back);
}

static uint8_t *small_core(uint64_t seed, size_t *len)
{
	static const struct make_options small = { .max_disks = 2, .max_regions = 3, .max_region = 3 * CHUNK_SIZE, .only_bytes = true };
	struct err e = ERR_INIT;
	AUTO(img_manifest) struct img_manifest *m = make_manifest(&seed, &small);
	uint8_t *core;

	ok(img_core_encode(m, &core, len, &e), &e);
	return core;
}

START_TEST(every_cut)
{
	size_t len;
	uint64_t accepted = 0;
	AUTO_FREE uint8_t *core = small_core(77 + (uint64_t)_i, &len);

	for (size_t n = 0; n < len; n++)
		try_bytes(core, n, &accepted);
	ck_assert_uint_eq(accepted, 0);
	try_bytes(core, len, &accepted);
	ck_assert_uint_eq(accepted, 1);
}
END_TEST

START_TEST(every_byte)
{
	size_t len;
	uint64_t accepted = 0;
	AUTO_FREE uint8_t *core = small_core(177 + (uint64_t)_i, &len);

	for (size_t at = 0; at < len; at++) {
		uint8_t old = core[at];
		for (int k = 0; k < 10; k++) {
			core[at] = k < 8 ? (uint8_t)(old ^ 1 << k) : k == 8 ? (uint8_t)~old : 0;
			try_bytes(core, len, &accepted);
		}
		core[at] = old;
	}
	ck_assert_uint_gt(accepted, 0); /* names, sizes and GUIDs may change */
}
END_TEST

/* Sections behind the known ones: an optional one is skipped, a mandatory one refused by its number. */
START_TEST(unknown_sections)
{
	struct err e = ERR_INIT;
	AUTO(img_manifest) struct img_manifest *m = NULL;
	size_t len;
	AUTO_FREE uint8_t *core = small_core(5, &len);

	core = realloc(core, len + 24);
	memset(core + len, 0, 24);
	put_le16(core, len, 777);
	put_le64(core, len + 8, 3);
	memcpy(core + len + 16, "new", 3);
	ok(img_core_decode(core, len + 24, NULL, &m, &e), &e);
	put_le16(core, len + 2, 1);
	img_manifest_free(take(&m));
	fails(img_core_decode(core, len + 24, NULL, &m, &e), ERR_UNSUPPORTED, &e);
	ck_assert_ptr_nonnull(strstr(e.msg, "777"));
	put_le16(core, len + 2, 0);
	core[len + 20] = 1; /* padding */
	fails(img_core_decode(core, len + 24, NULL, &m, &e), ERR_CORRUPT, &e);
}
END_TEST

/* Entries may grow in later versions. */
START_TEST(longer_entries_are_skipped)
{
	struct err e = ERR_INIT;
	uint64_t seed = 9;
	AUTO(img_manifest) struct img_manifest *m = make_manifest(&seed, &usual);
	AUTO(img_manifest) struct img_manifest *back = NULL;
	AUTO_FREE uint8_t *core = NULL;
	struct buf b = { 0 };
	size_t len, disks;

	ok(img_core_encode(m, &core, &len, &e), &e);
	disks = SECTION_HEADER + round_up_u64(get_le64(core + 8), 8); /* section 2 */
	uint64_t section = get_le64(core + disks + 8);
	uint32_t entry = get_le32(core + disks + SECTION_HEADER + 4);
	size_t cut = disks + SECTION_HEADER + 4 + entry;
	buf_bytes(&b, core, cut);
	buf_bytes(&b, "12345678", 8); /* a multiple of 8: the padding stays right */
	buf_bytes(&b, core + cut, len - cut);
	put_le32(b.p + disks + SECTION_HEADER, 4, entry + 8);
	put_le64(b.p + disks, 8, section + 8);
	ok(img_core_decode(b.p, b.len, NULL, &back, &e), &e);
	same_disks_and_regions(m, back);
	free(b.p);
}
END_TEST

START_TEST(texts_must_be_texts)
{
	struct err e = ERR_INIT;
	uint64_t seed = 31;
	AUTO(img_manifest) struct img_manifest *m = make_manifest(&seed, &usual);
	AUTO(img_manifest) struct img_manifest *back = NULL;
	AUTO_FREE uint8_t *core = NULL;
	size_t len;

	/* The writer makes UTF-8 of anything. */
	strcpy(m->disks[0].model, "a\xFF" "b\xC3");
	strcpy(m->disks[0].serial, "SERIAL");
	ok(img_core_encode(m, &core, &len, &e), &e);
	ok(img_core_decode(core, len, NULL, &back, &e), &e);
	ck_assert_str_eq(back->disks[0].model, "a\xEF\xBF\xBD" "b\xEF\xBF\xBD");
	/* The reader takes nothing else. */
	uint8_t *serial = memmem(core, len, "SERIAL", 6);
	img_manifest_free(take(&back));
	serial[2] = 0xFF;
	fails(img_core_decode(core, len, NULL, &back, &e), ERR_CORRUPT, &e);
	serial[2] = 0;
	fails(img_core_decode(core, len, NULL, &back, &e), ERR_CORRUPT, &e);
}
END_TEST

/* What is longer than this program keeps is cut between characters. */
START_TEST(long_texts_are_cut)
{
	struct err e = ERR_INIT;
	uint64_t seed = 32;
	AUTO(img_manifest) struct img_manifest *m = make_manifest(&seed, &usual);
	AUTO(img_manifest) struct img_manifest *back = NULL;
	AUTO_FREE uint8_t *core = NULL;
	struct buf b = { 0 };
	size_t len;

	m->disks[0].model[0] = '\0';
	memset(m->disks[0].source, 'x', 255); /* becomes "x…" + 255 × 'é' below */
	m->disks[0].source[255] = '\0';
	ok(img_core_encode(m, &core, &len, &e), &e);
	size_t disks = SECTION_HEADER + round_up_u64(get_le64(core + 8), 8), entry = disks + SECTION_HEADER + 4;
	size_t model = entry + 44; /* an empty str */
	ck_assert_uint_eq(core[model] | core[model + 1], 0);
	buf_bytes(&b, core, model);
	buf_le16(&b, 1 + 2 * 255 + 1); /* a multiple of 8 */
	buf_u8(&b, 'x');
	for (int i = 0; i < 255; i++)
		buf_bytes(&b, "\xC3\xA9", 2);
	buf_u8(&b, 'y');
	buf_bytes(&b, core + model + 2, len - model - 2);
	put_le32(b.p + entry, 0, get_le32(core + entry) + 512);
	put_le64(b.p + disks, 8, get_le64(core + disks + 8) + 512);
	ok(img_core_decode(b.p, b.len, NULL, &back, &e), &e);
	ck_assert_uint_eq(strlen(back->disks[0].model), 63);
	ck_assert_str_eq(back->disks[0].model + 61, "\xC3\xA9");
	free(b.p);
}
END_TEST

/* A core of one disk whose only region has these runs: pairs of kind and number. */
static void put_one_disk(struct buf *b, uint64_t size, const uint32_t *runs, uint32_t nr_runs)
{
	struct err e = ERR_INIT;
	struct img_disk disk = { .size = size, .sector_size = 512 };
	struct img_region region = { .len = size, .kind = 3, .map = cmap_new(size, 12, &e) };
	struct img_manifest m = { .name = "bomb", .disks = &disk, .nr_disks = 1, .regions = &region, .nr_regions = 1 };
	uint8_t *core;
	size_t len;

	cmap_freeze(region.map);
	ok(img_core_encode(&m, &core, &len, &e), &e);
	size_t extents = len - 16; /* u32 count, one run of absent chunks, padding */
	put_le64(core + extents - SECTION_HEADER, 8, 4 + 8 * (uint64_t)nr_runs);
	buf_bytes(b, core, extents);
	buf_le32(b, nr_runs);
	for (uint32_t i = 0; i < 2 * nr_runs; i++)
		buf_le32(b, runs[i]);
	buf_extend(b, (8 - b->len % 8) % 8);
	free(core);
	cmap_free(region.map);
}

START_TEST(limits_hold)
{
	enum { NR = 4096 };
	static uint32_t runs[2 * NR];
	struct err e = ERR_INIT;
	AUTO(img_manifest) struct img_manifest *m = NULL;
	struct img_limits limits = { .present = NR / 2, .memory = UINT64_MAX };
	struct buf b = { 0 };

	/* One present chunk in every 256 MiB: each costs a page of 4 KiB, 8 MiB in all. */
	for (uint32_t i = 0; i < NR; i++) {
		runs[2 * i] = i % 2 ? CMAP_USED : CMAP_ABSENT;
		runs[2 * i + 1] = i % 2 ? 1 : 1023;
	}
	put_one_disk(&b, (uint64_t)NR / 2 * 1024 * CHUNK_SIZE, runs, NR);
	ok(img_core_decode(b.p, b.len, &limits, &m, &e), &e);
	ck_assert_uint_eq(m->nr_present, NR / 2);
	ck_assert_uint_eq(cmap_memory(m->regions[0].map), NR / 2 * 4096);
	img_manifest_free(take(&m));
	limits.present--;
	fails(img_core_decode(b.p, b.len, &limits, &m, &e), ERR_CORRUPT, &e);
	limits = (struct img_limits){ .present = UINT64_MAX, .memory = NR / 2 * 4096 };
	ok(img_core_decode(b.p, b.len, &limits, &m, &e), &e);
	img_manifest_free(take(&m));
	limits.memory--;
	fails(img_core_decode(b.p, b.len, &limits, &m, &e), ERR_UNSUPPORTED, &e);
	free(b.p);
}
END_TEST

START_TEST(runs_must_fit)
{
	static const uint32_t bad[][4] = {
		{ CMAP_USED, 2, CMAP_ABSENT, 3 },  /* too many */
		{ CMAP_USED, 2, CMAP_ABSENT, 1 },  /* too few */
		{ CMAP_USED, 2, CMAP_USED, 2 },    /* split */
		{ CMAP_USED, 4, CMAP_ZERO, 0 },    /* empty */
		{ 5, 2, CMAP_USED, 2 },            /* a kind nobody knows */
		{ CMAP_USED, 0xFFFFFFFF, CMAP_ABSENT, 1 },
		{ CMAP_BITMAP, 2, CMAP_ABSENT, 2 },/* bitmaps missing */
	};
	static const uint32_t good[4] = { CMAP_USED, 2, CMAP_ABSENT, 2 };
	struct err e = ERR_INIT;
	AUTO(img_manifest) struct img_manifest *m = NULL;

	for (size_t i = 0; i <= sizeof(bad) / sizeof(bad[0]); i++) {
		struct buf b = { 0 };
		bool is_good = i == sizeof(bad) / sizeof(bad[0]);
		put_one_disk(&b, 4 * CHUNK_SIZE - 1, is_good ? good : bad[i], 2);
		if (is_good)
			ok(img_core_decode(b.p, b.len, NULL, &m, &e), &e);
		else
			fails(img_core_decode(b.p, b.len, NULL, &m, &e), ERR_CORRUPT, &e);
		free(b.p);
	}
}
END_TEST

START_TEST(a_copy_of_a_table_where_nothing_is_stored)
{
	struct err e = ERR_INIT;
	struct img_disk disk = { .size = 2 * CHUNK_SIZE, .sector_size = 512 };
	struct img_region region = { .len = disk.size, .kind = 3, .map = cmap_new(disk.size, 9, &e) };
	uint8_t bytes[1024] = { 0 };
	struct img_table_copy t = { .start = CHUNK_SIZE - 512, .len = 1024, .bytes = bytes };
	struct img_manifest m = { .name = "x", .disks = &disk, .nr_disks = 1, .regions = &region, .nr_regions = 1, .tables = &t, .nr_tables = 1 };

	ok(cmap_add(region.map, CHUNK_SIZE, 512, EXT_USED, &e), &e);
	cmap_freeze(region.map);
	for (int i = 0; i < 3; i++) {
		AUTO(img_manifest) struct img_manifest *back = NULL;
		AUTO_FREE uint8_t *core = NULL;
		size_t len;
		bytes[0] = i == 1;
		bytes[1023] = i == 2; /* the present chunk is compared when it comes by */
		ok(img_core_encode(&m, &core, &len, &e), &e);
		ck_assert_int_eq(img_core_decode(core, len, NULL, &back, &e), i == 1 ? -1 : 0);
	}
	cmap_free(region.map);
}
END_TEST

START_TEST(envelope)
{
	struct err e = ERR_INIT;
	AUTO_FREE uint8_t *bytes = NULL;
	AUTO(img_manifest) struct img_manifest *m = img_manifest_new(&e);
	size_t len;

	m->created = 1700000000;
	m->level = 19;
	m->read_bytes = 1ULL << 40;
	strcpy(m->tool, "calco test");
	m->note = strdup("two\nlines \xFF");
	ok(img_envelope_encode(m, &bytes, &len, &e), &e);
	AUTO(img_manifest) struct img_manifest *back = img_manifest_new(&e);
	ok(img_envelope_decode(back, bytes, len, &e), &e);
	ck_assert(back->created == m->created && back->level == 19 && back->read_bytes == m->read_bytes);
	ck_assert_str_eq(back->tool, "calco test");
	ck_assert_str_eq(back->note, "two\nlines \xEF\xBF\xBD");
	ok(img_envelope_decode(back, bytes, 0, &e), &e);
	for (size_t n = 1; n < len; n++) {
		AUTO_FREE uint8_t *cut = malloc(n);
		memcpy(cut, bytes, n);
		AUTO(img_manifest) struct img_manifest *other = img_manifest_new(&e);
		int r = img_envelope_decode(other, cut, n, &e);
		ck_assert(r == 0 || e.code == ERR_CORRUPT);
	}
	for (size_t at = 0; at < len * 8; at++) {
		AUTO(img_manifest) struct img_manifest *other = img_manifest_new(&e);
		bytes[at / 8] ^= (uint8_t)(1 << at % 8);
		int r = img_envelope_decode(other, bytes, len, &e);
		ck_assert(r == 0 || e.code == ERR_CORRUPT);
		bytes[at / 8] ^= (uint8_t)(1 << at % 8);
	}
}
END_TEST

START_TEST(names)
{
	static const char *const good[] = { "a", "lab-1", "A.b_c", "0", "_", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa" };
	static const char *const bad[] = { "", ".", "..", ".a", "-a", "a/b", "a b", "\xC3\xA9", "a\n",
		"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa" };

	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++)
		ck_assert(img_name_ok(good[i]));
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		ck_assert(!img_name_ok(bad[i]));
}
END_TEST

int main(void)
{
	Suite *s = suite_create("core");
	TCase *t = tcase_create("core");

	suite_add_tcase(s, t);
	tcase_set_timeout(t, 120);
	tcase_add_loop_test(t, round_trip, 0, 4);
	tcase_add_loop_test(t, every_cut, 0, 3);
	tcase_add_loop_test(t, every_byte, 0, 2);
	tcase_add_test(t, unknown_sections);
	tcase_add_test(t, longer_entries_are_skipped);
	tcase_add_test(t, texts_must_be_texts);
	tcase_add_test(t, long_texts_are_cut);
	tcase_add_test(t, limits_hold);
	tcase_add_test(t, runs_must_fit);
	tcase_add_test(t, a_copy_of_a_table_where_nothing_is_stored);
	tcase_add_test(t, envelope);
	tcase_add_test(t, names);
	return run_suite(s);
}
