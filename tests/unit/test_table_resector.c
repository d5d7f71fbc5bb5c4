/* SPDX-License-Identifier: GPL-3.0-or-later */
/* A GPT is written anew for sectors of another size: sfdisk finds the same partitions at the same bytes; what cannot be said is refused. */
#include "tests/unit/table_util.h"

#include "base/arith.h"

/* Makes "d" with sectors of one size, which is then written for the other. */
struct change {
	const char *script;
	uint32_t from, to;
	uint64_t new_size;
};

#define TWO "-n1:2048:+10M -t1:ef00 -c1:'EFI system' -A1:set:2 -n2:24576:+16M -c2:'\303\244\360\237\230\200' -A2:set:63 -n7:61440:+1M"
#define SGDISK(size, args) "truncate -s " size " d; sgdisk " args " d"
#define WIPE(sector, count) "; dd if=/dev/zero of=d bs=512 conv=notrunc seek=" #sector " count=" #count

static const struct change changes[] = {
	{ SGDISK("64M", TWO), 512, 4096, 64 * MIB },
	{ SGDISK("64M", TWO), 512, 4096, 100 * MIB },
	{ SGDISK("64M", TWO), 512, 4096, 64 * MIB + 4096 },
	{ SGDISK("64M", TWO), 512, 1024, 64 * MIB + 1000 },
	{ SGDISK("64M", "-o"), 512, 4096, 64 * MIB },
	{ SGDISK("64M", "-S 256 " TWO), 512, 4096, 64 * MIB },
	{ SGDISK("64M", "-j 1000 " TWO), 512, 4096, 64 * MIB },
	{ SGDISK("64M", "-n1:48:+10M"), 512, 4096, 64 * MIB },
	{ SGDISK("64M", TWO) WIPE(1, 33), 512, 4096, 64 * MIB },
	{ SGDISK("64M", TWO) WIPE(131071, 1), 512, 4096, 64 * MIB },
	{ SGDISK("64M", TWO) "; truncate -s 80M d", 512, 4096, 80 * MIB },
	{ SGDISK("3T", TWO), 512, 4096, 3ULL << 40 },
};

static void write_table(const char *path, const struct pt_table *t, uint64_t size, const struct change *c)
{
	struct err e = ERR_INIT;
	AUTO(blk_source) struct blk_source *src = blk_open(path, c->from, false, &e);
	struct pt_patch *p;
	size_t nr;

	ck_assert_ptr_nonnull(src);
	ck_assert_msg(pt_resector(src, t, size, c->new_size, c->to, &p, &nr, &e) == 0, "%s", e.msg);
	ck_assert_uint_ge(nr, 5);
	ck_assert_int_eq(truncate(path, (off_t)c->new_size), 0);
	uint64_t end = 0;
	for (size_t i = 0; i < nr; i++) {
		ck_assert(p[i].len && p[i].start >= end);
		end = p[i].start + p[i].len;
		ck_assert_uint_le(end, c->new_size);
		for (size_t k = 0; k < t->nr; k++)
			ck_assert(end <= t->entries[k].start || p[i].start >= t->entries[k].start + t->entries[k].len);
		poke(path, p[i].start, p[i].bytes, p[i].len);
	}
	pt_patches_free(p, nr);
}

/* Of a file sgdisk takes 512 for granted; for other sectors it needs a device. */
static void check_by_sgdisk(const char *path, uint32_t sector)
{
	char script[400];

	if (sector == 512)
		snprintf(script, sizeof(script), "sgdisk -v %s >v; cat v; grep -q 'No problems found' v; ! grep -i 'problem:' v", path);
	else if (sector == 4096 && geteuid() == 0 && try_shell("losetup -f") == 0)
		snprintf(script, sizeof(script), "l=$(losetup -f --show -b %u %s); sgdisk -v $l >v || true; losetup -d $l; cat v; "
			"grep -q 'No problems found' v; ! grep -i 'problem:' v", sector, path);
	else
		return;
	shell(script);
}

/* No trace of the old table: read for the old sector size there is none. */
static void check_old_is_gone(const char *path, const struct change *c)
{
	struct err e = ERR_INIT;
	AUTO(blk_source) struct blk_source *src = blk_open(path, c->from, false, &e);
	struct pt_table *t = NULL;
	uint8_t zero[4096] = { 0 }, sector[4096];

	ck_assert_int_eq(pt_read(src, c->from, &t, &e), -1);
	ck_assert_int_eq(e.code, ERR_CORRUPT);
	if (c->to < c->from)
		return;
	ck_assert_int_eq(blk_read(src, 0, sector, c->to, &e), 0);
	ck_assert_mem_eq(sector + 512, zero, c->to - 512);
}

START_TEST(is_rewritten)
{
	const struct change *c = &changes[_i];
	uint8_t code[440];

	scratch_setup();
	shell(c->script);
	memset(code, 0xC3, sizeof(code));
	poke("d", 0, code, sizeof(code));
	AUTO(pt_table) struct pt_table *old = must_read("d", c->from);
	uint64_t size = (uint64_t)lseek(open("d", O_RDONLY), 0, SEEK_END);
	write_table("d", old, size, c);
	check_by_sgdisk("d", c->to);
	AUTO(pt_table) struct pt_table *now = must_read("d", c->to == 4096 ? 0 : c->to);
	ck_assert_uint_eq(now->sector_size, c->to);
	ck_assert_int_eq(now->kind, PT_GPT);
	ck_assert_msg(now->nr_notices == (c->to == 4096), "%s", now->notices[0]); /* that a file has not 512 */
	ck_assert_uint_eq(now->nr, old->nr);
	if (old->nr)
		ck_assert_mem_eq(now->entries, old->entries, old->nr * sizeof(*old->entries));
	ck_assert_mem_eq(now->disk_guid, old->disk_guid, 16);
	ck_assert_uint_eq(now->gpt_nr_entries, old->gpt_nr_entries);
	ck_assert(now->gpt_primary_ok && now->gpt_backup_ok && now->boot_code);
	ck_assert_uint_eq(now->gpt_backup_header, (c->new_size / c->to - 1) * c->to);
	check_old_is_gone("d", c);
	/* And back: what there was, byte for byte where the first writer put everything at the usual places. */
	struct change back = { .from = c->to, .to = c->from, .new_size = c->new_size };
	write_table("d", now, c->new_size, &back);
	check_by_sgdisk("d", c->from);
	AUTO(pt_table) struct pt_table *again = must_read("d", c->from);
	ck_assert_uint_eq(again->nr, old->nr);
	if (old->nr)
		ck_assert_mem_eq(again->entries, old->entries, old->nr * sizeof(*old->entries));
	scratch_teardown();
}
END_TEST

static const struct {
	const char *script, *reason, *text;
	uint32_t from, to;
} refusals[] = {
	{ SGDISK("64M", "-a1 -n1:2049:+10M"), "sector-size", "partition 1 begins", 512, 4096 },
	{ SGDISK("64M", "-a1 -n1:2048:4095 -n3:5000:5001 -c3:boot"), "sector-size", "partition 3 ('boot') ends", 512, 4096 },
	{ SGDISK("64M", "-a1 -n1:40:+10M"), "sector-size", "no room for the entries", 512, 4096 }, /* at 20480: the array reaches 24576 */
	{ SGDISK("64M", TWO " -h 1"), "sector-size", "hybrid", 512, 4096 },
	{ SGDISK("64M", "-j 1001 " TWO), "sector-size", "no room for the entries", 512, 4096 },
	{ "truncate -s 64M d; echo 2048,20480 | sfdisk -q d", "sector-size", "MBR", 512, 4096 },
};

START_TEST(is_refused)
{
	struct err e = ERR_INIT;
	struct pt_patch *p;
	size_t nr;

	scratch_setup();
	shell(refusals[_i].script);
	AUTO(pt_table) struct pt_table *t = must_read("d", refusals[_i].from);
	AUTO(blk_source) struct blk_source *src = blk_open("d", refusals[_i].from, false, &e);
	ck_assert_int_eq(pt_resector(src, t, src->size, src->size, refusals[_i].to, &p, &nr, &e), -1);
	ck_assert_int_eq(e.code, ERR_REFUSED);
	ck_assert_str_eq(e.reason, refusals[_i].reason);
	ck_assert_msg(strstr(e.msg, refusals[_i].text) != NULL, "%s", e.msg);
	ck_assert(e.hint[0]);
	scratch_teardown();
}
END_TEST

/* The last partition ends where five sectors of 4096 are left, or four. */
START_TEST(needs_room_at_the_end)
{
	for (unsigned spare = 4; spare <= 5; spare++) {
		struct gpt_maker g = new_gpt(8 * MIB, 512);
		struct err e = ERR_INIT;
		struct pt_table *t;
		struct pt_patch *p;
		size_t nr;
		g.nr_entries = 96; /* 24 sectors of 512, three of 4096 */
		make_entry(&g, 0, 2048, 8 * MIB / 512 - 40 - 1);
		make_gpt(&g);
		AUTO(blk_source) struct blk_source *src = blk_mem(g.disk, g.size, 512, "memory", &e);
		ck_assert_int_eq(pt_read(src, 512, &t, &e), 0);
		uint64_t new_size = g.size - (5 - spare) * 8192;
		int r = pt_resector(src, t, new_size, new_size, 4096, &p, &nr, &e);
		ck_assert_int_eq(r, spare == 5 ? 0 : -1);
		if (r < 0)
			ck_assert_str_eq(e.reason, "too-small");
		pt_patches_free(r < 0 ? NULL : p, r < 0 ? 0 : nr);
		pt_free(t);
		free(g.disk);
	}
}
END_TEST

START_TEST(from_large_to_small)
{
	static const struct { uint32_t nr_entries, entry_size, header_size; uint64_t more; } odd[] = {
		{ 128, 128, 92, 0 }, { 16, 128, 92, 0 }, { 40, 1024, 512, 4096 }, { 1024, 128, 92, 51200 },
	};

	for (size_t k = 0; k < NR(odd); k++) {
		struct gpt_maker g = new_gpt(8 * MIB, 4096);
		struct change c = { .from = 4096, .to = 512, .new_size = 8 * MIB + odd[k].more };
		g.nr_entries = odd[k].nr_entries;
		g.entry_size = odd[k].entry_size;
		g.header_size = odd[k].header_size;
		make_entry(&g, 1, 256, 299);
		make_entry(&g, 3, 300, 300);
		make_gpt(&g);
		scratch_setup();
		shell("truncate -s 8M d");
		poke("d", 0, g.disk, g.size);
		AUTO(pt_table) struct pt_table *old = must_read("d", 4096);
		write_table("d", old, g.size, &c);
		AUTO(pt_table) struct pt_table *now = must_read("d", 0);
		ck_assert_uint_eq(now->sector_size, 512);
		ck_assert_msg(now->nr_notices == (g.entry_size != 128), "%s", now->notices[0]);
		ck_assert_uint_eq(now->nr, 2);
		ck_assert_mem_eq(now->entries, old->entries, 2 * sizeof(*old->entries));
		ck_assert_uint_eq(now->gpt_nr_entries, g.nr_entries);
		if (g.nr_entries <= 128 && g.entry_size == 128)
			check_by_sgdisk("d", 512);
		scratch_teardown();
		free(g.disk);
	}
}
END_TEST

/* A header that is longer than a new sector cannot be written; entries of which nobody knows what they are cannot be converted. */
START_TEST(what_cannot_be_said)
{
	static const struct { uint32_t header_size; uint64_t first, last; int code; } bad[] = {
		{ 4096, 256, 299, ERR_CORRUPT }, { 92, 299, 256, ERR_REFUSED }, { 92, 5, 299, ERR_REFUSED },
	};

	for (size_t k = 0; k < NR(bad); k++) {
		struct gpt_maker g = new_gpt(8 * MIB, 4096);
		struct err e = ERR_INIT;
		struct pt_table *t;
		struct pt_patch *p;
		size_t nr;
		g.header_size = bad[k].header_size;
		make_entry(&g, 1, bad[k].first, bad[k].last);
		make_gpt(&g);
		AUTO(blk_source) struct blk_source *src = blk_mem(g.disk, g.size, 4096, "memory", &e);
		ck_assert_int_eq(pt_read(src, 4096, &t, &e), 0);
		ck_assert_int_eq(pt_resector(src, t, g.size, g.size, 512, &p, &nr, &e), -1);
		ck_assert_msg(e.code == (enum err_code)bad[k].code, "%zu: %s", k, e.msg);
		pt_free(t);
		free(g.disk);
	}
}
END_TEST

/* A disk without a table has none to rewrite. */
START_TEST(none_stays_none)
{
	struct err e = ERR_INIT;
	struct pt_table t = { .kind = PT_NONE, .sector_size = 512 };
	struct pt_patch *p;
	size_t nr = 7;

	ck_assert_int_eq(pt_resector(NULL, &t, MIB, MIB, 4096, &p, &nr, &e), 0);
	ck_assert(nr == 0 && !p);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("table_resector");
	TCase *t = tcase_create("gpt");
	tcase_set_timeout(t, 60);
	tcase_add_loop_test(t, is_rewritten, 0, NR(changes));
	tcase_add_loop_test(t, is_refused, 0, NR(refusals));
	tcase_add_test(t, needs_room_at_the_end);
	tcase_add_test(t, from_large_to_small);
	tcase_add_test(t, what_cannot_be_said);
	tcase_add_test(t, none_stays_none);
	suite_add_tcase(s, t);
	SRunner *r = srunner_create(s);
	srunner_run_all(r, CK_ENV);
	int failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed != 0;
}
