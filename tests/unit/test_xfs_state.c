/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * XFS: safe to copy? Logs as the kernel leaves them, at many places of the ring, in volumes that were unmounted and in those that were not;
 * xfs_logprint judges, too. Logs that are torn or contradict themselves, parts on other devices, unknown features.
 */
#include "fsdrivers/xfs/xfs.h"

/* In memory: thousands of forced writes, of which little is kept. */
#define TEST_ROOT (access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp")
#include "tests/unit/xfs_volume.h"

static const char *const shapes[] = {
	"-l size=10m",
	"-l size=16m,su=32k",
	"-l size=20m,su=256k",
	"-s size=4096 -l size=16m",
};

static const struct xfs_log *log_of(const struct opened *o)
{
	return &((const struct xfs_volume *)o->v)->log;
}

static bool logprint_says_clean(void)
{
	return run("cd %s && xfs_logprint -t img 2>/dev/null | grep -q 'state: <CLEAN>'", dir) == 0;
}

static int map_opened(struct opened *o)
{
	return o->v->driver->map(o->v, emit_nothing, NULL, &o->e);
}

/* One more mount, in which something happens to the log: nr changes, each forced to the disk. */
static void use(int nr)
{
	char script[512];

	snprintf(script, sizeof(script), "i=0; while [ $i -lt %d ]; do echo falloc $((i %% 50 * 8))k 4k; echo fsync; echo fpunch $((i %% 50 * 8))k 4k; "
					 "i=$((i + 1)); done | xfs_io -f f; : >new; mv new g", nr);
	MOUNTED(script);
}

/* Every clean unmount is clean, wherever the head is. */
START_TEST(unmounted)
{
	int nr_rounds = _i ? 16 : 50, nr_heads = 0;
	uint32_t heads[50], first = 0, cycle = 0;
	struct opened o;

	if (!can_mount())
		return;
	mkfs(96, shapes[_i]);
	for (int i = 0; i < nr_rounds; i++) {
		use(i * 7919 % 881 + 5);
		open_img(&o);
		ck_assert_msg(o.v->info.state == FSD_CLEAN, "round %d: %s", i, o.v->info.detail);
		ck_assert_msg(map_opened(&o) == 0, "round %d: %s", i, o.e.msg);
		ck_assert(logprint_says_clean());
		cycle = log_of(&o)->cycle;
		first = first ? first : cycle;
		bool is_new = true;
		for (int j = 0; j < nr_heads; j++)
			is_new = is_new && heads[j] != log_of(&o)->head;
		if (is_new)
			heads[nr_heads++] = log_of(&o)->head;
		close_img(&o);
	}
	ck_assert_int_ge(nr_heads, nr_rounds - nr_rounds / 4);
	/* The ring went round. */
	ck_assert_uint_gt(cycle, first);
}
END_TEST

/* What happens to a mounted volume; ../copy, if there is one, is then looked at. */
static const char *const accidents[] = {
	"cp -r ../tree/d1 a; sync -f .; cp --sparse=always ../img ../copy",
	"echo x >x; xfs_io -c fsync x; cp --sparse=always ../img ../copy",
	"cp -r ../tree/d1 b; fsfreeze -f .; cp --sparse=always ../img ../copy; fsfreeze -u .",
	"cp -r ../tree/d1 c; xfs_io -x -c \"shutdown -f\" .",
	"cp -r ../tree/d1 d; sync -f .; rm -r d; xfs_io -x -c shutdown .",
	"exec 9>open; rm open; xfs_io -c fsync g; sync -f .; cp --sparse=always ../img ../copy; exec 9>&-",
	"rm -rf [a-e]; sync -f .; cp --sparse=always ../img ../copy; cp -r ../tree/d1 e",
};

START_TEST(not_unmounted)
{
	const char *shape = shapes[_i / NR(accidents)], *accident = accidents[_i % NR(accidents)];

	if (!can_mount())
		return;
	mkfs(96, shape);
	/* At some places of the ring, a few of them behind its first end. */
	for (int i = 0; i < 3; i++) {
		use(20 + _i * 31 % 400 + i * 150);
		SH("rm -f copy");
		MOUNTED(accident);
		SH("cp --sparse=always img after; [ ! -e copy ] || mv copy img");
		ck_assert(!logprint_says_clean());
		expect_state(FSD_REPLAYABLE, "dirty-log");
		/* As the advice says */
		MOUNTED("true");
		expect_state(FSD_CLEAN, "");
		SH("mv after img");
		MOUNTED("true");
		expect_state(FSD_CLEAN, "");
	}
}
END_TEST

/* ---- logs that were edited ---- */

struct edited {
	uint64_t log;          /* where it stands */
	uint32_t nr, head, at; /* basic blocks; at: the header of the last record */
};

static uint64_t bb(const struct edited *x, uint32_t block)
{
	return x->log + block % x->nr * 512ULL;
}

static void make_used(struct edited *ret)
{
	struct opened o;

	mkfs(96, "-l size=10m -d agcount=2");
	for (int i = 0; i < 4; i++)
		use(300);
	open_img(&o);
	struct plain p = plain_read();
	*ret = (struct edited){ plain_place(&p, p.log_start), log_of(&o)->nr, log_of(&o)->head, log_of(&o)->head - 2 };
	ck_assert_uint_gt(ret->at, 100);
	ck_assert_uint_gt(ret->nr, 2 * 2 * 4096);
	ck_assert_uint_eq(peek32(bb(ret, ret->at)), 0xFEEDBABE);
	close_img(&o);
}

static void fix_record(const struct edited *x)
{
	uint8_t b[1024];

	peek(img, bb(x, x->at), b, sizeof(b));
	put_le32(b, 32, 0);
	put_le32(b, 32, ~plain_crc32c(plain_crc32c(~0U, b, 328), b + 512, 512));
	poke(img, bb(x, x->at), b, sizeof(b));
}

static void bump(uint64_t off, int by)
{
	poke32(off, peek32(off) + (uint32_t)by);
}

static void no_header(const struct edited *x) { bump(bb(x, x->at), 1); }
static void no_record(const struct edited *x) { for (int i = 0; i < 256; i++) poke32(bb(x, x->at) + 4U * (unsigned)i, 0); }
static void other_data(const struct edited *x) { poke(img, bb(x, x->at + 1) + 100, "x", 1); }
static void other_flag(const struct edited *x) { poke(img, bb(x, x->at + 1) + 9, "\1", 1); fix_record(x); }
static void other_client(const struct edited *x) { poke(img, bb(x, x->at + 1) + 8, "\x69", 1); fix_record(x); }
static void two_operations(const struct edited *x) { poke32(bb(x, x->at) + 40, 2); fix_record(x); }
static void other_place(const struct edited *x) { bump(bb(x, x->at) + 20, 1); fix_record(x); }
static void tail_ahead(const struct edited *x) { bump(bb(x, x->at) + 24, 1); fix_record(x); }
static void other_uuid(const struct edited *x) { bump(bb(x, x->at) + 304, 1); fix_record(x); }
static void no_sum(const struct edited *x) { poke32(bb(x, x->at) + 32, 0); }
static void too_long(const struct edited *x) { poke32(bb(x, x->at) + 12, 1024); fix_record(x); }
static void huge(const struct edited *x) { poke32(bb(x, x->at) + 12, 0xFFFFFE00); }
static void torn_before(const struct edited *x) { bump(bb(x, x->at - 40) + (peek32(bb(x, x->at - 40)) == 0xFEEDBABE ? 4 : 0), -1); }
static void newer_behind(const struct edited *x) { bump(bb(x, x->head + 70) + (peek32(bb(x, x->head + 70)) == 0xFEEDBABE ? 4 : 0), 1); }
static void two_rounds(const struct edited *x)
{
	for (uint32_t i = 0; i < x->head; i++)
		bump(bb(x, i) + (peek32(bb(x, i)) == 0xFEEDBABE ? 4 : 0), 7);
	for (uint32_t i = x->head; i < x->nr; i++)
		poke32(bb(x, i), 2);
}
static void zeros_first(const struct edited *x) { for (uint32_t i = 0; i < 8; i++) poke32(bb(x, i), 0); poke32(bb(x, x->nr - 1), 7); }

static void (*const edits[])(const struct edited *) = { no_header, no_record, other_data, other_flag, other_client, two_operations, other_place,
	tail_ahead, other_uuid, no_sum, too_long, huge, torn_before, newer_behind, two_rounds, zeros_first };

START_TEST(contradicting)
{
	struct edited x;

	if (!can_mount())
		return;
	make_used(&x);
	edits[_i](&x);
	expect_state(FSD_REPLAYABLE, "dirty-log");
}
END_TEST

/* Far from the head only map() looks: then it is taken raw. */
START_TEST(contradicting_far_away)
{
	struct edited x;

	if (!can_mount())
		return;
	make_used(&x);
	expect_state(FSD_CLEAN, "");
	poke32(bb(&x, x.head + x.nr / 2 - x.nr / 5), 77);
	expect_failure(ERR_CORRUPT, "of another round");
}
END_TEST

START_TEST(made_anew)
{
	struct edited x;

	if (!can_mount())
		return;
	make_used(&x);
	MOUNTED("cp -r ../tree a; sync; xfs_io -x -c shutdown .");
	expect_state(FSD_REPLAYABLE, "dirty-log");
	SH("xfs_repair -L img");
	expect_state(FSD_CLEAN, "");
	ck_assert(logprint_says_clean());
	/* Between its two parts nothing may stand but zeros. */
	poke32(bb(&x, 300), 5);
	expect_state(FSD_REPLAYABLE, "dirty-log");
}
END_TEST

static void zero_log(void)
{
	struct plain p = plain_read();
	uint64_t log = plain_place(&p, p.log_start);

	for (uint64_t i = 0; i < p.log_blocks * (uint64_t)p.block; i += 512)
		poke(img, log + i, (uint8_t[512]){ 0 }, 512);
}

/* The kernel takes it for a new one, unless something was written since. */
START_TEST(all_zero)
{
	struct edited x;

	if (!can_mount())
		return;
	mkfs(96, "-l size=10m -d agcount=2");
	zero_log();
	expect_state(FSD_CLEAN, "");
	MOUNTED("true");
	make_used(&x);
	zero_log();
	expect_state(FSD_REPLAYABLE, "dirty-log");
	ck_assert_int_ne(try_sh("unshare -m sh -ec 'mount -o loop img mnt'"), 0);
	/* The same of a group's header alone. */
	struct plain p = plain_read();
	mkfs(96, "-l size=10m -d agcount=2");
	poke32(p.sector + 208, 99);
	sum_up(p.sector, p.sector, 216);
	expect_failure(ERR_CORRUPT, "the AGF of xfs group 0 is newer than the log");
}
END_TEST

/* ---- the superblock ---- */

static void poke_super(unsigned off, const void *bytes, size_t len)
{
	poke(img, off, bytes, len);
	sum_up(0, plain_read().sector, 224);
}

static void set_bits32(unsigned off, uint32_t bits)
{
	uint8_t b[4];

	put_be32(b, peek32(off) | bits);
	poke_super(off, b, 4);
}

START_TEST(marked)
{
	mkfs(320, "");
	poke_super(126, "\1", 1);
	expect_state(FSD_DAMAGED, "in-progress");
	poke_super(126, "\0", 1);
	expect_state(FSD_CLEAN, "");
	set_bits32(216, 0x10);
	expect_state(FSD_DAMAGED, "needs-repair");
}
END_TEST

START_TEST(on_two_devices)
{
	SH("rm -f img other && truncate -s 320M img && truncate -s 80M other && mkfs.xfs -q -f -l logdev=other,size=64m img");
	expect_state(FSD_SET_MEMBER, "external-log");
	SH("mkfs.xfs -q -f -r rtdev=other img");
	expect_state(FSD_SET_MEMBER, "realtime");
}
END_TEST

static const struct {
	unsigned off;
	uint32_t bits;
	const char *words; /* NULL: of no meaning for us */
} features[] = {
	{ 208, 0x80000000, NULL },
	{ 212, 0x10, "ro_compat 0x10" },
	{ 212, 0x80000000, "ro_compat 0x80000000" },
	{ 216, 0x40, NULL },
	{ 216, 0x80, NULL },
	{ 216, 0x100, "incompat 0x100" },
	{ 216, 0x200, "incompat 0x200" },
	{ 216, 0x40000000, "incompat 0x40000000" },
	{ 220, 1, NULL },
	{ 220, 2, "log_incompat 0x2" },
};

START_TEST(unknown_feature)
{
	mkfs(320, "");
	set_bits32(features[_i].off, features[_i].bits);
	if (features[_i].words)
		expect_failure(ERR_UNSUPPORTED, features[_i].words);
	else
		expect_state(FSD_CLEAN, "");
}
END_TEST

START_TEST(unknown_feature_of_version_4)
{
	mkfs(320, "-m crc=0");
	expect_state(FSD_CLEAN, "");
	poke32(200, peek32(200) | 0x1000);
	expect_failure(ERR_UNSUPPORTED, "features2 0x");
	mkfs(320, "-m crc=0");
	poke(img, 100, "\x03", 1); /* the shared bit */
	expect_failure(ERR_UNSUPPORTED, "versionnum 0x3");
	poke(img, 101, "\x03", 1);
	expect_failure(ERR_UNSUPPORTED, "xfs of version 3");
}
END_TEST

int main(void)
{
	Suite *s = suite_create("xfs-state");
	TCase *tc = tcase_create("xfs-state");

	tcase_add_unchecked_fixture(tc, setup, teardown);
	tcase_set_timeout(tc, 120);
	tcase_add_loop_test(tc, unmounted, 0, NR(shapes));
	tcase_add_loop_test(tc, not_unmounted, 0, NR(shapes) * NR(accidents));
	tcase_add_loop_test(tc, contradicting, 0, NR(edits));
	tcase_add_test(tc, contradicting_far_away);
	tcase_add_test(tc, made_anew);
	tcase_add_test(tc, all_zero);
	tcase_add_test(tc, marked);
	tcase_add_test(tc, on_two_devices);
	tcase_add_loop_test(tc, unknown_feature, 0, NR(features));
	tcase_add_test(tc, unknown_feature_of_version_4);
	suite_add_tcase(s, tc);
	SRunner *r = srunner_create(s);
	srunner_run_all(r, CK_ENV);
	int failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
