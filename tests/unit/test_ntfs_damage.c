/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * NTFS volumes that contradict themselves: each must be ERR_CORRUPT with the right words, so that the caller takes them
 * whole. And what is rare but right: system files in several extents, which attribute lists name.
 */
#include "tests/unit/ntfs_volume.h"

static void save_img(void)
{
	ck_assert_int_eq(run("cp --sparse=always %s %s/base", img, dir), 0);
}

static void again(void)
{
	ck_assert_int_eq(run("cp --sparse=always %s/base %s", dir, img), 0);
}

static void poke_byte(uint64_t off, uint8_t value)
{
	poke(img, off, &value, 1);
}

START_TEST(boot_sector)
{
	static const struct {
		uint32_t off;
		uint8_t value;
		const char *words;
	} bytes[] = {
		{ 0x0B, 1, "sectors of" },
		{ 0x0C, 3, "sectors of" },
		{ 0x0C, 0x20, "sectors of" },
		{ 0x0D, 0, "clusters of an impossible" },
		{ 0x0D, 3, "clusters of an impossible" },
		{ 0x0D, 0xE0, "clusters of an impossible" },
		{ 0x0E, 1, "is not one of NTFS" },
		{ 0x10, 2, "is not one of NTFS" },
		{ 0x21, 1, "is not one of NTFS" },
		{ 0x2A, 1, "larger than its partition" },
		{ 0x2F, 0x80, "larger than its partition" },
		{ 0x29, 0, "begins in cluster" },
		{ 0x34, 1, "begins in cluster" },
		{ 0x3F, 0xFF, "begins in cluster" },
		{ 0x30, 9, "own record is damaged" },
		{ 0x40, 0, "records or index blocks" },
		{ 0x40, 0x80, "records or index blocks" },
		{ 0x40, 0xE1, "records or index blocks" },
		{ 0x44, 3, "records or index blocks" },
		{ 0x40, 0xF7, "own record is damaged" },
	};

	mkfs(16384, "");
	save_img();
	for (int i = 0; i < NR(bytes); i++) {
		again();
		poke_byte(bytes[i].off, bytes[i].value);
		expect_corrupt(bytes[i].words);
	}
	again();
	ck_assert_int_eq(run("truncate -s 15M %s", img), 0);
	expect_corrupt("larger than its partition");
}
END_TEST

START_TEST(not_mine)
{
	struct err e = ERR_INIT;

	mkfs(8192, "");
	poke_byte(4, 'X');
	struct blk_source *src = blk_open(img, 0, false, &e);
	ck_assert_int_eq(fsd_ntfs.probe(src, &e), 0);
	blk_close(src);
	src = blk_mem("\xeb\x52\x90NTFS    ", 11, 512, "short", &e);
	ck_assert_int_eq(fsd_ntfs.probe(src, &e), 0);
	blk_close(src);
}
END_TEST

/* One change of a record: 2 or 8 bytes at off, counted from an attribute or (type 0) from the record's start. */
struct edit {
	unsigned number;
	uint32_t type, off, bytes;
	uint64_t value;
	const char *words;
};

static const struct edit edits[] = {
	{ 0, 0, 0, 2, 0, "own record is damaged" },
	{ 0, 0, 0x16, 2, 0, "own record is damaged" },
	{ 0, 0x80, 0x0C, 2, 0x8000, "system file 0 is sparse" },
	{ 0, 0x80, 0x0C, 2, 0x0001, "system file 0 is compressed" },
	{ 0, 0x80, 0x0C, 2, 0x4000, "system file 0 is encrypted" },
	{ 0, 0x80, 0x18, 8, 1000, "the runs of an attribute end at" },
	{ 0, 0x80, 0x10, 8, 1, "where the boot sector says" },
	{ 0, 0x80, 0x30, 8, 1 << 30, "system file 0 is incomplete" },
	{ 0, 0x80, 0x38, 8, 2048, "has no record" },
	{ 0, 0xB0, 0x0C, 2, 0x8000, "system file 0 is sparse" },
	{ 0, 0x80, 4, 2, 0, "attributes of record 0" },
	{ 0, 0x80, 4, 2, 0x17, "attributes of record 0" },
	{ 0, 0x80, 4, 2, 0x1000, "attributes of record 0" },
	{ 0, 0x80, 0x20, 2, 0x1000, "attributes of record 0" },
	{ 0, 0, 0x14, 2, 0x3FE, "attributes of record 0" },
	{ 0, 0, 0x18, 2, 0x7FFF, "attributes of record 0" },
	{ 0, 0, 0x20, 8, 5, "a part of another file" },
	{ 2, 0, 0x16, 2, 0, "record 2 of the $MFT is not in use" },
	{ 2, 0x80, 0x0C, 2, 0x8000, "system file 2 is sparse" },
	{ 3, 0, 0x16, 2, 0, "record 3 of the $MFT is not in use" },
	{ 3, 0, 0, 2, 0x1234, "record 3 of the $MFT is damaged" },
	{ 3, 0x70, 0x10, 2, 4, "lacks its information" },
	{ 3, 0x70, 0, 2, 0x71, "lacks its information" },
	{ 5, 0x90, 0x10, 2, 0x18, "the index of the root folder is damaged" },
	{ 5, 0x90, 0, 2, 0x91, "system file 5 lacks attribute 0x90" },
	{ 6, 0, 0x16, 2, 0, "record 6 of the $MFT is not in use" },
	{ 6, 0x80, 0x0C, 2, 0x8000, "system file 6 is sparse" },
	{ 6, 0x80, 0x30, 8, 511, "$Bitmap has 511 bytes for 4095 clusters" },
	{ 6, 0x80, 0x38, 8, 511, "$Bitmap has 511 bytes for 4095 clusters" },
	{ 6, 0x80, 0x30, 8, UINT64_MAX, "system file 6 is incomplete" },
	{ 6, 0x80, 0, 2, 0x81, "system file 6 lacks attribute 0x80" },
	{ 8, 0, 0x16, 2, 0, "record 8 of the $MFT is not in use" },
	{ 10, 0, 0, 2, 0, "record 10 of the $MFT is damaged" },
	{ 10, 0x80, 4, 2, 4, "attributes of record 10" },
	{ 10, 0x80, 0x20, 2, 0x500, "attributes of record 10" },
};

START_TEST(records)
{
	mkfs(16384, "");
	save_img();
	for (int i = 0; i < NR(edits); i++) {
		const struct edit *t = &edits[i];
		again();
		struct rec r = rec_load(t->number);
		uint32_t at = t->off + (t->type ? rec_attr(&r, t->type) : 0);
		if (t->bytes == 2)
			put_le16(r.b, at, (uint16_t)t->value);
		else
			put_le64(r.b, at, t->value);
		rec_save(&r);
		expect_corrupt(t->words);
	}
}
END_TEST

START_TEST(update_sequences)
{
	static const unsigned numbers[] = { 2, 3, 5, 6, 8, 9, 10, 11 };
	char words[64];

	mkfs(16384, "");
	struct plain p = plain_read();
	save_img();
	for (int i = 0; i < NR(numbers); i++) {
		again();
		poke(img, p.mft + (uint64_t)numbers[i] * p.record + 1022, "??", 2);
		snprintf(words, sizeof(words), "record %u of the $MFT is damaged", numbers[i]);
		expect_corrupt(words);
	}
	/* The array in the way of what it protects, and one that is too short or too long. */
	static const struct {
		uint32_t off;
		uint8_t value;
	} heads[] = { { 5, 0x02 }, { 4, 0xFE }, { 5, 0xFF }, { 4, 2 }, { 6, 2 }, { 6, 4 } };
	for (int i = 0; i < NR(heads); i++) {
		again();
		poke_byte(p.mft + 3 * p.record + heads[i].off, heads[i].value);
		expect_corrupt("record 3 of the $MFT is damaged");
	}
	/* Where the bitmap of the $MFT says that a record is free, rubbish is no harm. */
	struct opened o;
	again();
	poke(img, p.mft + 20 * p.record, "rubbish", 7);
	open_img(&o);
	collected_release((struct collected[]){ collect(o.v) });
	close_img(&o);
}
END_TEST

static void set_first_runs(unsigned number, const void *runs, uint32_t len, uint64_t last_vcn)
{
	struct rec r = rec_load(number);
	uint32_t off = rec_attr(&r, 0x80);

	put_le64(r.b, off + 0x18, last_vcn);
	rec_set_runs(&r, off, runs, len);
	rec_save(&r);
}

/* $UpCase (record 10) is a file like any other: what it claims is only looked up. */
START_TEST(runs_of_files)
{
	uint8_t runs[64] = { 0 };
	uint32_t n;

	mkfs(16384, "");
	struct plain p = plain_read();
	save_img();
	n = put_run(runs, 1, -1);
	runs[n] = 0;
	set_first_runs(10, runs, n + 1, 0);
	expect_corrupt("record 10 of the $MFT: 1 clusters at -1 lie outside");
	n = put_run(runs, 1, (int64_t)p.nr);
	set_first_runs(10, runs, n + 1, 0);
	expect_corrupt("lie outside the volume, which has 4095");
	n = put_run(runs, 2, (int64_t)p.nr - 1);
	set_first_runs(10, runs, n + 1, 0);
	expect_corrupt("2 clusters at 4094 lie outside");
	n = put_run(runs, 0, 5);
	set_first_runs(10, runs, n + 1, 0);
	expect_corrupt("a list of runs is damaged");
	n = put_run(runs, 1, INT64_MAX);
	n += put_run(runs + n, 1, INT64_MAX);
	runs[n] = 0;
	set_first_runs(10, runs, n + 1, 1);
	expect_corrupt("lie outside");
	set_first_runs(10, "\x99\1\1\1\1\1\1\1\1\1\1\1\1\1\1\1\1\1\1", 20, 0);
	expect_corrupt("a list of runs is damaged");
	/* No end: the bytes of the list go on to the end of the attribute, and no farther. */
	set_first_runs(10, "\x11\1\2\x11\1\0\x11\1", 8, 0);
	expect_corrupt("a list of runs is damaged");
	/* The same clusters again and again: more than there are. */
	again();
	n = 0;
	while (n < 4 * 13)
		n += put_run(runs + n, 1200, 0);
	runs[n] = 0;
	for (uint64_t i = 0; i < 1200; i++)
		bitmap_bit(&p, i, 1);
	set_first_runs(10, runs, n + 1, 4799);
	expect_corrupt("files claim more clusters than there are, seen at record 10");
}
END_TEST

START_TEST(runs_of_system_files)
{
	static const unsigned numbers[] = { 0, 2, 6 };
	uint8_t runs[64] = { 0 };

	mkfs(16384, "");
	struct plain p = plain_read();
	save_img();
	for (int i = 0; i < NR(numbers); i++) {
		again();
		struct rec r = rec_load(numbers[i]);
		uint64_t last = get_le64(r.b + rec_attr(&r, 0x80) + 0x18);
		uint64_t lcn = rec_first_run(&r, rec_attr(&r, 0x80)) / p.cluster;
		uint32_t n = put_run(runs, 1, (int64_t)lcn);
		n += put_hole(runs + n, last);
		runs[n] = 0;
		if (last) { /* $Bitmap has one cluster only */
			set_first_runs(numbers[i], runs, n + 1, last);
			expect_corrupt("is sparse");
		}
		n = put_run(runs, last + 1, (int64_t)p.nr - (int64_t)last);
		runs[n] = 0;
		set_first_runs(numbers[i], runs, n + 1, last);
		expect_corrupt("lie outside the volume");
		n = put_hole(runs, last + 1);
		runs[n] = 0;
		set_first_runs(numbers[i], runs, n + 1, last);
		expect_corrupt(numbers[i] ? "is sparse" : "where the boot sector says");
	}
	/* The $MFT elsewhere than the boot sector says */
	again();
	struct rec r = rec_load(0);
	uint64_t last = get_le64(r.b + rec_attr(&r, 0x80) + 0x18);
	uint32_t n = put_run(runs, last + 1, 500);
	runs[n] = 0;
	set_first_runs(0, runs, n + 1, last);
	expect_corrupt("where the boot sector says");
}
END_TEST

START_TEST(lost_bits)
{
	char words[96];

	mkfs(16384, "");
	put_file("/file", "head -c 50001 /dev/urandom");
	struct plain p = plain_read();
	save_img();
	struct rec file = rec_load(64);
	uint64_t first = rec_first_run(&file, rec_attr(&file, 0x80)) / p.cluster;
	for (uint64_t i = 0; i < 13; i += 6) {
		again();
		ck_assert(bitmap_bit(&p, first + i, 0));
		snprintf(words, sizeof(words), "record 64 of the $MFT uses cluster %llu, which $Bitmap calls free", (unsigned long long)(first + i));
		expect_corrupt(words);
	}
	/* System files, each at its first cluster */
	static const unsigned system[] = { 0, 1, 2, 4, 6, 7, 9, 10 };
	for (int i = 0; i < NR(system); i++) {
		again();
		struct rec r = rec_load(system[i]);
		bitmap_bit(&p, rec_first_run(&r, rec_attr(&r, 0x80)) / p.cluster, 0);
		expect_corrupt(system[i] < 2 || system[i] == 7 ? "$Bitmap calls cluster" : "which $Bitmap calls free");
	}
	/* A free record may claim what it likes. */
	again();
	struct rec r = rec_load(64);
	bitmap_bit(&p, rec_first_run(&r, rec_attr(&r, 0x80)) / p.cluster, 0);
	r.b[0x16] = 0;
	rec_save(&r);
	struct opened o;
	open_img(&o);
	collected_release((struct collected[]){ collect(o.v) });
	close_img(&o);
}
END_TEST

/* ---- attribute lists ---- */

static size_t put_entry(uint8_t *dst, uint32_t type, uint64_t first_vcn, uint64_t ref, uint16_t instance)
{
	memset(dst, 0, 32);
	put_le32(dst, 0, type);
	put_le16(dst, 4, 32);
	dst[7] = 26;
	put_le64(dst, 8, first_vcn);
	put_le64(dst, 16, ref);
	put_le16(dst, 24, instance);
	return 32;
}

/* A record that holds nothing but the extent of $DATA from first_vcn on */
static void make_extension(const struct rec *base, unsigned number, uint64_t first_vcn, uint64_t last_vcn, uint64_t lcn)
{
	struct rec r = { .p = base->p, .number = number, .b = "FILE" };
	uint32_t nr = r.p.record / 512 + 1, at = (0x30 + 2 * nr + 7) & ~7U;
	uint8_t *a = r.b + at;

	put_le16(r.b, 4, 0x30);
	put_le16(r.b, 6, (uint16_t)nr);
	put_le16(r.b, 0x10, 7);
	put_le16(r.b, 0x14, (uint16_t)at);
	put_le16(r.b, 0x16, 1);
	put_le32(r.b, 0x1C, r.p.record);
	put_le64(r.b, 0x20, base->number | (uint64_t)(base->b[0x10] + base->b[0x11] * 256U) << 48);
	put_le16(r.b, 0x28, 1);
	put_le32(r.b, 0x2C, number);
	put_le16(r.b, 0x30, 1);
	put_le32(a, 0, 0x80);
	put_le32(a, 4, 0x50);
	a[8] = 1;
	put_le64(a, 0x10, first_vcn);
	put_le64(a, 0x18, last_vcn);
	put_le16(a, 0x20, 0x40);
	put_run(a + 0x40, last_vcn - first_vcn + 1, (int64_t)lcn);
	put_le32(a, 0x50, 0xffffffff);
	put_le32(r.b, 0x18, at + 0x58);
	rec_save(&r);
}

/* Entries for all attributes of r; that of $DATA is followed by one for its second extent in record extension. */
static size_t make_list(const struct rec *r, uint64_t split_vcn, unsigned extension, uint8_t *list)
{
	uint64_t own = r->number | (uint64_t)(r->b[0x10] + r->b[0x11] * 256U) << 48;
	size_t len = 0;

	for (uint32_t off = r->b[0x14]; get_le32(r->b + off) != 0xffffffff; off += get_le32(r->b + off + 4)) {
		len += put_entry(list + len, get_le32(r->b + off), 0, own, (uint16_t)(r->b[off + 14] + r->b[off + 15] * 256U));
		if (get_le32(r->b + off) == 0x80)
			len += put_entry(list + len, 0x80, split_vcn, extension | 7ULL << 48, 0);
	}
	return len;
}

/* Put an attribute list into r; not in place, its content goes to cluster at. */
static void add_list(struct rec *r, const uint8_t *list, size_t len, uint64_t at)
{
	uint32_t off = rec_attr(r, 0x10), end = get_le32(r->b + 0x18);
	uint32_t room = at ? 0x50 : (uint32_t)(0x18 + len);

	off += get_le32(r->b + off + 4);
	ck_assert_uint_le(end + room, r->p.record);
	memmove(r->b + off + room, r->b + off, end - off);
	uint8_t *a = r->b + off;
	memset(a, 0, room);
	put_le32(a, 0, 0x20);
	put_le32(a, 4, room);
	put_le16(a, 14, 99);
	put_le32(r->b, 0x18, end + room);
	if (!at) {
		put_le32(a, 0x10, (uint32_t)len);
		put_le16(a, 0x14, 0x18);
		memcpy(a + 0x18, list, len);
		return;
	}
	a[8] = 1;
	put_le16(a, 0x20, 0x40);
	put_le64(a, 0x28, r->p.cluster);
	put_le64(a, 0x30, len);
	put_le64(a, 0x38, len);
	put_run(a + 0x40, 1, (int64_t)at);
	poke(img, at * r->p.cluster, list, len);
	bitmap_bit(&r->p, at, 1);
}

/* $DATA of a system file in two extents: the second in record 24, or where the test wants it */
static void split_data(unsigned number, uint64_t split_vcn, uint64_t list_at)
{
	struct rec r = rec_load(number);
	uint32_t off = rec_attr(&r, 0x80);
	uint64_t last = get_le64(r.b + off + 0x18), lcn = rec_first_run(&r, off) / r.p.cluster;
	uint8_t runs[16] = { 0 }, list[512];

	ck_assert_uint_lt(split_vcn, last);
	make_extension(&r, 24, split_vcn, last, lcn + split_vcn);
	put_le64(r.b, off + 0x18, split_vcn - 1);
	uint32_t n = put_run(runs, split_vcn, (int64_t)lcn);
	rec_set_runs(&r, off, runs, n + 1);
	size_t len = make_list(&r, split_vcn, 24, list);
	add_list(&r, list, len, list_at);
	rec_save(&r);
}

static void expect_same_as_ntfsclone(void)
{
	struct opened o;
	struct plain p = plain_read();
	uint8_t *used = clusters_of_ntfsclone(&p);

	open_img(&o);
	struct collected c = collect(o.v);
	for (uint64_t n = 0; n < p.nr; n++)
		ck_assert_msg(c.used[n * p.cluster / UNIT] == used[n], "cluster %llu", (unsigned long long)n);
	collected_release(&c);
	close_img(&o);
	free(used);
}

START_TEST(attribute_lists)
{
	mkfs(8192, "-c 512");
	save_img();
	for (unsigned out = 0; out < 2; out++) {
		again();
		split_data(6, 2, out ? 15000 : 0);
		expect_same_as_ntfsclone();
		/* The $MFT in two pieces, the second piece named by a record in the first */
		again();
		split_data(0, 51, out ? 15000 : 0);
		expect_same_as_ntfsclone();
	}
}
END_TEST

START_TEST(broken_attribute_lists)
{
	mkfs(8192, "-c 512");
	split_data(6, 2, 0);
	save_img();
	/* The extension: another sequence number, another base, no such extent, not in use */
	static const struct {
		uint32_t off;
		uint8_t value;
		const char *words;
	} bytes[] = {
		{ 0x10, 8, "record 24 of the $MFT does not belong to record 6" },
		{ 0x20, 7, "record 24 of the $MFT does not belong to record 6" },
		{ 0x16, 0, "record 24 of the $MFT is not in use" },
		{ 0x38 + 0x10, 3, "is not where its list says" },
		{ 0x38, 0x90, "is not where its list says" },
		{ 0x38 + 8, 0, "is not where its list says" },
		{ 0x38 + 0x18, 9, "the runs of an attribute end" },
	};
	for (int i = 0; i < NR(bytes); i++) {
		again();
		struct rec r = rec_load(24);
		r.b[bytes[i].off] = bytes[i].value;
		rec_save(&r);
		expect_corrupt(bytes[i].words);
	}
	/* The list: the extent named twice, an entry without length, a record beyond the end, itself as a file's part */
	again();
	struct rec r = rec_load(6);
	uint32_t list = rec_attr(&r, 0x20) + 0x18, entry = list;
	while (get_le32(r.b + entry) != 0x80 || !get_le64(r.b + entry + 8))
		entry += 32;
	struct rec old = r;
	put_le64(r.b, entry + 8, 0);
	put_le64(r.b, entry + 16, get_le64(r.b + list + 16));
	rec_save(&r);
	expect_corrupt("do not follow each other");
	const struct {
		uint32_t off, value;
		const char *words;
	} changes[] = {
		{ entry + 4, 0, "the attribute list of record 6 is damaged" },
		{ entry + 4, 0x700, "the attribute list of record 6 is damaged" },
		{ entry + 16, 5000, "the $MFT has no record 5000" },
		{ entry + 16, 6, "is not where its list says" },
	};
	for (int i = 0; i < NR(changes); i++) {
		r = old;
		put_le16(r.b, changes[i].off, (uint16_t)changes[i].value);
		rec_save(&r);
		expect_corrupt(changes[i].words);
	}
	/* A list that says it is huge */
	again();
	mkfs(8192, "-c 512");
	split_data(6, 2, 15000);
	r = rec_load(6);
	put_le64(r.b, rec_attr(&r, 0x20) + 0x30, 1ULL << 40);
	rec_save(&r);
	expect_corrupt("impossible size");
	/* Of the $MFT: the record that names the second piece stands in that piece */
	mkfs(8192, "-c 512");
	split_data(0, 40, 0);
	expect_corrupt("ends at cluster 40");
}
END_TEST

/* A compressed root folder: its index bears the flag and is stored as it is. */
START_TEST(compressed_root)
{
	mkfs(8192, "");
	struct rec r = rec_load(5);
	put_le16(r.b, rec_attr(&r, 0x90) + 0x0C, 0x0001);
	rec_save(&r);
	expect_state(FSD_CLEAN, "");
}
END_TEST

START_TEST(versions)
{
	struct err e = ERR_INIT;

	mkfs(8192, "");
	struct rec r = rec_load(3);
	r.b[rec_attr(&r, 0x70) + 0x18 + 8] = 4;
	rec_save(&r);
	expect_failure(ERR_UNSUPPORTED, "NTFS version 4.1 is unknown");
	struct fsd_volume *v;
	struct blk_source *src = blk_open(img, 0, false, &e);
	struct blk_set set = { &src, 1 };
	ck_assert_int_eq(fsd_open(&set, false, &v, &e), 0);
	ck_assert_str_eq(v->info.type, "ntfs");
	ck_assert_str_eq(v->info.notice, "taken raw: NTFS version 4.1 is unknown");
	fsd_close(v);
	blk_close(src);
}
END_TEST

/* A block of the root folder that was not written as a whole */
START_TEST(root_folder)
{
	mkfs(16384, "");
	ck_assert_int_eq(run("cd %s && echo x > file && for i in $(seq 24); do ntfscp -q img file /a-file-with-a-long-name-$i || exit 1; done "
			     ">/dev/null 2>&1", dir), 0);
	struct rec r = rec_load(5);
	uint64_t at = rec_first_run(&r, rec_attr(&r, 0xA0));
	save_img();
	poke(img, at + 1022, "??", 2);
	expect_corrupt("the index of the root folder is damaged");
	again();
	poke(img, at + 0x18, "\xff\xff", 2); /* entries behind the end */
	expect_corrupt("the index of the root folder is damaged");
	again();
	poke(img, at + 0x18 + 0x28 + 8, "\0\0", 2); /* an entry that leads to itself */
	expect_corrupt("the index of the root folder is damaged");
}
END_TEST

int main(void)
{
	Suite *s = suite_create("ntfs_damage");
	TCase *tc = tcase_create("ntfs_damage");

	tcase_add_unchecked_fixture(tc, setup, teardown);
	tcase_add_checked_fixture(tc, fresh, NULL);
	tcase_set_timeout(tc, 120);
	tcase_add_test(tc, boot_sector);
	tcase_add_test(tc, not_mine);
	tcase_add_test(tc, records);
	tcase_add_test(tc, update_sequences);
	tcase_add_test(tc, runs_of_files);
	tcase_add_test(tc, runs_of_system_files);
	tcase_add_test(tc, lost_bits);
	tcase_add_test(tc, attribute_lists);
	tcase_add_test(tc, broken_attribute_lists);
	tcase_add_test(tc, compressed_root);
	tcase_add_test(tc, versions);
	tcase_add_test(tc, root_folder);
	suite_add_tcase(s, tc);
	SRunner *r = srunner_create(s);
	srunner_run_all(r, CK_ENV);
	int failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
