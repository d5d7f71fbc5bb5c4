/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Replaying ext journals that are made by hand, block by block, with all kinds of checksums and damage. The volume is a real one by mke2fs;
 * what a replay emits is looked at directly. Whole journals of a kernel are tests/e2e/capture-replay.sh's.
 */
#include "fsdrivers/ext/jbd2.h"
#include "tests/unit/ext_volume.h"

#define BLOCK 1024U
#define FIRST 1U

static struct ext_crc crc;
static uint64_t journal; /* bytes */
static uint32_t features, compat, len, pos, seq;
static uint8_t uuid[16];

static uint32_t be(uint32_t v)
{
	return __builtin_bswap32(v);
}

static bool has_csum(void)
{
	return features & (JBD2_CSUM_V2 | JBD2_CSUM_V3);
}

/* ---- writing a journal ---- */

static void write_super(uint32_t start)
{
	uint8_t raw[1024];

	peek("fs", journal, raw, sizeof(raw));
	jbd2_put_be32(raw, 0x18, seq);
	jbd2_put_be32(raw, 0x1C, start);
	jbd2_put_be32(raw, 0x24, compat);
	jbd2_put_be32(raw, 0x28, features);
	raw[0x50] = has_csum() ? 4 : 0;
	jbd2_put_be32(raw, 0xFC, has_csum() ? jbd2_super_csum(&crc, raw) : 0);
	poke("fs", journal, raw, sizeof(raw));
	memcpy(uuid, raw + 0x30, 16);
}

/* A volume whose log begins at a block, empty so far. */
static void begin(uint32_t incompat, uint32_t compatible, uint32_t start)
{
	uint32_t super;

	SH("truncate -s 0 fs && truncate -s 24M fs && mke2fs -q -F -t ext4 -b 1024 -O ^metadata_csum,^uninit_bg -J size=1 fs");
	char *text = output_of("debugfs -R 'bmap <8> 0' fs 2>/dev/null");
	journal = strtoull(text, NULL, 10) * BLOCK;
	free(text);
	poke32("fs", 1024 + 0x60, peek32("fs", 1024 + 0x60) | EXT_INCOMPAT_RECOVER);
	peek("fs", journal + 0x10, &super, 4);
	len = be(super);
	features = incompat;
	compat = compatible;
	ext_crc_init(&crc);
	seq = 0xFFFFFFFE; /* and round */
	write_super(start);
	pos = start;
}

static uint64_t place(uint32_t block)
{
	return journal + (uint64_t)block * BLOCK; /* mke2fs makes it in one piece */
}

static uint32_t put_block(const uint8_t *b)
{
	uint32_t was = pos;

	poke("fs", place(pos), b, BLOCK);
	pos = pos + 1 < len ? pos + 1 : FIRST;
	return was;
}

static uint32_t seed(void)
{
	return ext_crc32c(&crc, ~0U, uuid, 16);
}

static void header(uint8_t *b, uint32_t type)
{
	memset(b, 0, BLOCK);
	jbd2_put_be32(b, 0, JBD2_MAGIC);
	jbd2_put_be32(b, 4, type);
	jbd2_put_be32(b, 8, seq);
}

static void seal_tail(uint8_t *b)
{
	if (has_csum())
		jbd2_put_be32(b, BLOCK - 4, ext_crc32c(&crc, seed(), b, BLOCK));
}

static uint32_t v1_sum;

static void v1_add(const uint8_t *b)
{
	for (uint32_t i = 0; i < BLOCK * 8; i++) {
		uint32_t top = v1_sum >> 31 ^ (b[i / 8] >> (7 - i % 8) & 1U);
		v1_sum = v1_sum << 1 ^ (top ? 0x04C11DB7U : 0);
	}
}

/* A descriptor with one block: its content is the byte, but its first four are the magic number where asked. */
static uint32_t descriptor_of(uint64_t block, uint8_t byte, bool escaped)
{
	uint8_t d[BLOCK], content[BLOCK], number[4];
	uint32_t flags = JBD2_TAG_LAST | (escaped ? JBD2_TAG_ESCAPED : 0);

	memset(content, byte, BLOCK);
	if (escaped)
		memset(content, 0, 4);
	jbd2_put_be32(number, 0, seq);
	uint32_t sum = has_csum() ? ext_crc32c(&crc, ext_crc32c(&crc, seed(), number, 4), content, BLOCK) : 0;
	header(d, JBD2_DESCRIPTOR);
	jbd2_put_be32(d, 12, (uint32_t)block);
	if (features & JBD2_CSUM_V3) {
		jbd2_put_be32(d, 16, flags);
		jbd2_put_be32(d, 20, (uint32_t)(block >> 32));
		jbd2_put_be32(d, 24, sum);
	} else {
		jbd2_put_be32(d, 16, flags | sum << 16);
		if (features & JBD2_64BIT)
			jbd2_put_be32(d, 20, (uint32_t)(block >> 32));
	}
	seal_tail(d);
	v1_sum = ~0U;
	v1_add(d);
	v1_add(content);
	uint32_t was = put_block(d);
	put_block(content);
	return was;
}

static uint32_t revoke_of(uint64_t block, uint32_t count)
{
	uint8_t b[BLOCK];

	header(b, JBD2_REVOKE);
	jbd2_put_be32(b, 12, count ? count : 16 + (features & JBD2_64BIT ? 8 : 4));
	if (features & JBD2_64BIT) {
		jbd2_put_be32(b, 16, (uint32_t)(block >> 32));
		jbd2_put_be32(b, 20, (uint32_t)block);
	} else {
		jbd2_put_be32(b, 16, (uint32_t)block);
	}
	seal_tail(b);
	return put_block(b);
}

static uint32_t commit_at(uint32_t seconds)
{
	uint8_t b[BLOCK];

	header(b, JBD2_COMMIT);
	jbd2_put_be32(b, 0x34, seconds);
	if (has_csum())
		jbd2_put_be32(b, 0x10, ext_crc32c(&crc, seed(), b, BLOCK));
	if (compat & JBD2_CSUM_V1) {
		b[0x0C] = 1;
		b[0x0D] = 4;
		jbd2_put_be32(b, 0x10, v1_sum);
	}
	seq++;
	return put_block(b);
}

static void change(uint32_t block, uint32_t off)
{
	uint32_t v = peek32("fs", place(block) + off);

	poke32("fs", place(block) + off, v ^ 0x01000000);
}

/* ---- what a replay says ---- */

#define TARGET 20000U

struct outcome {
	int result;
	struct err e;
	struct fsd_replayed sum;
	int first[3], fourth[3];   /* the bytes 0 and 4 of the blocks from TARGET on, -1: not emitted */
	uint32_t super_incompat, jsb_seq, jsb_start;
	bool jsb_good;
};

static int keep(void *arg, size_t member, uint64_t start, const void *bytes, size_t n, struct err *e)
{
	struct outcome *o = arg;
	const uint8_t *b = bytes;
	struct span s = span_of(b, n);

	(void)e;
	ck_assert_uint_eq(member, 0);
	if (start == journal) {
		o->jsb_seq = jbd2_be32(&s, 0x18);
		o->jsb_start = jbd2_be32(&s, 0x1C);
		o->jsb_good = !has_csum() || jbd2_be32(&s, 0xFC) == jbd2_super_csum(&crc, b);
		return 0;
	}
	if (start == 1024) {
		o->super_incompat = get_le32(b + 0x60);
		return 0;
	}
	uint64_t i = start / BLOCK - TARGET;
	ck_assert_msg(i < 3 && n == BLOCK && start % BLOCK == 0, "emitted %llu+%zu", (unsigned long long)start, n);
	ck_assert_int_eq(o->first[i], -1);
	o->first[i] = b[0];
	o->fourth[i] = b[4];
	return 0;
}

static struct outcome replayed(void)
{
	struct outcome o = { .e = ERR_INIT, .first = { -1, -1, -1 }, .fourth = { -1, -1, -1 } };
	struct opened v;

	open_sized(&v, "fs", 0);
	ck_assert_msg(v.result == 0, "%s", v.e.msg);
	ck_assert_int_eq(v.v->info.state, FSD_REPLAYABLE);
	ck_assert(v.v->info.can_replay);
	o.result = fsd_replay(v.v, keep, &o, &o.sum, &o.e);
	close_opened(&v);
	if (o.result == 0) {
		ck_assert_uint_eq(o.super_incompat, peek32("fs", 1024 + 0x60) & ~EXT_INCOMPAT_RECOVER);
		ck_assert_uint_eq(o.jsb_start, 0);
		ck_assert(o.jsb_good);
	}
	return o;
}

static void expect_end(uint32_t nr_transactions, int a, int b, int c)
{
	struct outcome o = replayed();

	ck_assert_msg(o.result == 0, "%s", o.e.msg);
	ck_assert_uint_eq(o.sum.nr_transactions, nr_transactions);
	ck_assert_int_eq(o.fourth[0], a);
	ck_assert_int_eq(o.fourth[1], b);
	ck_assert_int_eq(o.fourth[2], c);
	ck_assert_uint_eq(o.jsb_seq, 0xFFFFFFFE + nr_transactions + 1);
}

static void expect_damage(const char *words)
{
	struct outcome o = replayed();

	ck_assert_int_eq(o.result, -1);
	ck_assert_int_eq(o.e.code, ERR_CORRUPT);
	ck_assert_msg(strstr(o.e.msg, words) && strstr(o.e.msg, "journal is damaged"), "%s", o.e.msg);
}

static const struct kind {
	uint32_t incompat, compat;
} kinds[] = {
	{ 0, 0 }, { JBD2_64BIT, 0 }, { 0, JBD2_CSUM_V1 }, { JBD2_64BIT | JBD2_ASYNC_COMMIT, JBD2_CSUM_V1 },
	{ JBD2_CSUM_V2, 0 }, { JBD2_CSUM_V2 | JBD2_64BIT, 0 }, { JBD2_CSUM_V3, 0 }, { JBD2_CSUM_V3 | JBD2_64BIT | JBD2_ASYNC_COMMIT, 0 },
};

/* Three transactions over the end of the log and of the numbers; the later content holds, and one that is not committed does not. */
START_TEST(test_whole)
{
	begin(kinds[_i].incompat, kinds[_i].compat, 1020);
	ck_assert_uint_eq(len, 1024);
	descriptor_of(TARGET, 0x11, false);
	commit_at(100);
	descriptor_of(TARGET, 0x22, false);
	commit_at(101);
	descriptor_of(TARGET + 1, 0x33, true);
	commit_at(101);
	descriptor_of(TARGET + 2, 0x44, false);
	ck_assert_uint_lt(pos, 20);
	expect_end(3, 0x22, 0x33, -1);
	struct outcome o = replayed();
	ck_assert_int_eq(o.first[1], 0xC0);
}
END_TEST

/* A block that was revoked is not written, unless a later transaction holds it again. */
START_TEST(test_revoked)
{
	begin(kinds[_i].incompat, kinds[_i].compat & ~JBD2_CSUM_V1, 1022);
	descriptor_of(TARGET, 0x11, false);
	commit_at(100);
	descriptor_of(TARGET + 1, 0x22, false);
	revoke_of(TARGET, 0);
	commit_at(101);
	revoke_of(TARGET + 1, 0);
	commit_at(102);
	descriptor_of(TARGET + 1, 0x33, false);
	commit_at(103);
	revoke_of(TARGET + 1, 0); /* of a transaction that is not committed: has no effect */
	expect_end(4, -1, 0x33, -1);
}
END_TEST

START_TEST(test_empty)
{
	begin(kinds[_i].incompat, kinds[_i].compat, 0);
	expect_end(0, -1, -1, -1);
}
END_TEST

/* What was left by an earlier round through the log has another number, or an older time. */
START_TEST(test_stale_end)
{
	begin(kinds[_i].incompat, kinds[_i].compat, 5);
	descriptor_of(TARGET, 0x11, false);
	commit_at(100);
	uint32_t bad = descriptor_of(TARGET + 1, 0x22, false);
	if (!has_csum() && !compat) {
		change(bad, 8);
		commit_at(50);
	} else {
		uint32_t commit = commit_at(50);
		change(commit, 0x10);
	}
	expect_end(1, 0x11, -1, -1);
}
END_TEST

/* Of journals with checksums: damage in what was committed. */
START_TEST(test_damage_content)
{
	begin(kinds[_i].incompat, kinds[_i].compat, 5);
	uint32_t d = descriptor_of(TARGET, 0x11, false);
	commit_at(100);
	descriptor_of(TARGET + 1, 0x22, false);
	commit_at(101);
	change(d + 1, 500);
	expect_damage("wrong checksum");
}
END_TEST

START_TEST(test_damage_descriptor)
{
	begin(kinds[_i].incompat, kinds[_i].compat, 5);
	uint32_t d = descriptor_of(TARGET, 0x11, false);
	commit_at(100);
	descriptor_of(TARGET + 1, 0x22, false);
	commit_at(101);
	change(d, 0x100);
	expect_damage("wrong checksum");
}
END_TEST

START_TEST(test_damage_commit)
{
	begin(kinds[_i].incompat, kinds[_i].compat, 5);
	descriptor_of(TARGET, 0x11, false);
	change(commit_at(100), 0x10);
	descriptor_of(TARGET + 1, 0x22, false);
	commit_at(101);
	expect_damage("transaction 4294967294 has a wrong checksum");
}
END_TEST

/* The last commit alone: with asynchronous commits it may have been cut, without it was damaged. */
START_TEST(test_last_commit)
{
	begin(kinds[_i].incompat, kinds[_i].compat, 5);
	descriptor_of(TARGET, 0x11, false);
	commit_at(100);
	descriptor_of(TARGET + 1, 0x22, false);
	change(commit_at(101), 0x10);
	if (features & JBD2_ASYNC_COMMIT)
		expect_end(1, 0x11, -1, -1);
	else
		expect_damage("wrong checksum");
}
END_TEST

START_TEST(test_bad_revocation)
{
	static const uint32_t counts[] = { 1, 15, 1025, 0xFFFFFFF0 };

	begin(0, 0, 5);
	descriptor_of(TARGET, 0x11, false);
	revoke_of(TARGET + 1, counts[_i]);
	uint32_t here = pos;
	expect_end(0, -1, -1, -1);
	pos = here;
	commit_at(100);
	expect_damage("makes no sense");
}
END_TEST

/* Blocks that no transaction may change: beyond the end, and the journal itself. */
START_TEST(test_bad_place)
{
	uint64_t bad[] = { 0, 24 * 1024, 1ULL << 40, journal / BLOCK, 0 };

	begin(JBD2_64BIT | JBD2_CSUM_V3, 0, 5);
	bad[3] = journal / BLOCK;
	bad[4] = journal / BLOCK + 77;
	descriptor_of(bad[_i], 0x11, false);
	commit_at(100);
	expect_damage("out of range");
}
END_TEST

/* A log without an end is gone round once. */
START_TEST(test_endless)
{
	begin(0, 0, 1);
	for (uint32_t i = 1; i < len; i++)
		revoke_of(TARGET, 0);
	expect_end(0, -1, -1, -1);
	begin(0, 0, 1);
	for (uint32_t i = 1; i + 2 < len; i += 2)
		descriptor_of(TARGET, 1, false);
	expect_end(0, -1, -1, -1);
}
END_TEST

static void put_fast(uint32_t block, uint32_t tid)
{
	uint8_t b[16] = { 9, 0, 8, 0 };

	put_le32(b, 8, tid);
	poke("fs", place(block), b, sizeof(b));
}

/* Fast commits that continue the log are refused by name; those of an earlier round are nothing. */
START_TEST(test_fast_commit)
{
	begin(JBD2_FAST_COMMIT, 0, 5);
	SH("truncate -s 0 fs && truncate -s 96M fs && mke2fs -q -F -t ext4 -b 1024 -O ^metadata_csum,^uninit_bg,fast_commit -J size=4,fast_commit_size=64 fs");
	char *text = output_of("debugfs -R 'bmap <8> 0' fs 2>/dev/null");
	journal = strtoull(text, NULL, 10) * BLOCK;
	free(text);
	uint32_t nr = be(peek32("fs", journal + 0x10)), fast = be(peek32("fs", journal + 0x54));
	ck_assert_uint_ge(nr, 4096);
	ck_assert_uint_gt(fast, 1);
	ck_assert_uint_lt(fast, nr / 2);
	poke32("fs", 1024 + 0x60, peek32("fs", 1024 + 0x60) | EXT_INCOMPAT_RECOVER);
	len = nr;
	write_super(5);
	pos = 5;
	descriptor_of(TARGET, 0x11, false);
	commit_at(100);
	put_fast(nr - fast + (uint32_t)_i, seq - 1);
	expect_end(1, 0x11, -1, -1);
	put_fast(nr - fast + (uint32_t)_i, seq);
	struct outcome o = replayed();
	ck_assert_int_eq(o.result, -1);
	ck_assert_int_eq(o.e.code, ERR_REFUSED);
	ck_assert_str_eq(o.e.reason, "fast-commit");
}
END_TEST

int main(void)
{
	Suite *s = suite_create("ext_replay");
	TCase *t = tcase_create("replay");

	tcase_set_timeout(t, 120);
	tcase_add_loop_test(t, test_whole, 0, NR(kinds));
	tcase_add_loop_test(t, test_revoked, 0, NR(kinds));
	tcase_add_loop_test(t, test_empty, 0, NR(kinds));
	tcase_add_loop_test(t, test_stale_end, 0, NR(kinds));
	tcase_add_loop_test(t, test_damage_content, 4, NR(kinds));
	tcase_add_loop_test(t, test_damage_descriptor, 2, NR(kinds));
	tcase_add_loop_test(t, test_damage_commit, 2, NR(kinds));
	tcase_add_loop_test(t, test_last_commit, 2, NR(kinds));
	tcase_add_loop_test(t, test_bad_revocation, 0, 4);
	tcase_add_loop_test(t, test_bad_place, 0, 5);
	tcase_add_test(t, test_endless);
	tcase_add_loop_test(t, test_fast_commit, 0, 2);
	suite_add_tcase(s, t);
	return run_suite(s);
}
