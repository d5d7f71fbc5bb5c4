/* SPDX-License-Identifier: GPL-3.0-or-later */
/* A GPT follows its disk to a larger one: sgdisk and sfdisk find nothing to complain about, everything else stays. */
#include "tests/unit/table_util.h"

#include "base/arith.h"

/* Makes "d", which then grows to the new size. */
struct growth {
	const char *script;
	uint64_t new_size;
	const char *notice; /* of the table before, NULL: none */
};

#define TWO "-n1:0:+10M -t1:ef00 -c1:'EFI system' -A1:set:2 -n2:0:0 -c2:'\303\244\360\237\230\200' -A2:set:63"
#define SGDISK(size, args) "truncate -s " size " d; sgdisk " args " d"
#define WIPE(sector, count) "; dd if=/dev/zero of=d bs=512 conv=notrunc seek=" #sector " count=" #count
#define TIB (1ULL << 40)

static const struct growth growths[] = {
	{ SGDISK("64M", TWO), 100 * MIB, NULL },
	{ SGDISK("64M", TWO), 64 * MIB + 512, NULL },
	{ SGDISK("64M", TWO), 64 * MIB + 1000, NULL },
	{ SGDISK("64M", TWO), 64 * MIB + 16384, NULL },
	{ SGDISK("64M", TWO), 64 * MIB + 33 * 512, NULL },
	{ SGDISK("64M", "-o"), 100 * MIB, NULL },
	{ SGDISK("64M", "-S 256 " TWO), 100 * MIB, NULL },
	{ SGDISK("64M", "-j 2000 " TWO), 100 * MIB, NULL },
	{ SGDISK("64M", TWO " -h 1"), 100 * MIB, "hybrid" },
	{ SGDISK("64M", "-n1:0:+10M -n2:0:+9M -h 1:2:EE"), 100 * MIB, "hybrid" },
	{ SGDISK("64M", TWO) WIPE(1, 1), 100 * MIB, "primary" },
	{ SGDISK("64M", TWO) WIPE(1, 33), 100 * MIB, "primary" },
	{ SGDISK("64M", TWO) WIPE(2, 1), 64 * MIB + 5120, "primary" },
	{ SGDISK("64M", "-j 2000 " TWO) WIPE(2000, 1), 100 * MIB, "primary" },
	{ SGDISK("64M", TWO) WIPE(131071, 1), 100 * MIB, "backup" },
	{ SGDISK("64M", TWO) WIPE(131039, 1), 100 * MIB, "backup" },
	{ SGDISK("64M", TWO) "; truncate -s 80M d", 100 * MIB, "not at the end" },
	{ SGDISK("64M", TWO) "; truncate -s +1000 d", 100 * MIB, "not at the end" },
	{ SGDISK("1G", TWO), 3 * TIB, NULL },
	{ SGDISK("3T", TWO), 5 * TIB, NULL },
	{ "truncate -s 64M d; printf 'label: gpt\\ntable-length: 16\\nsize=5M,type=U\\nsize=6M\\n' | sfdisk -q d", 100 * MIB, NULL },
};

/* As in test_table.c: all at once, sgdisk sleeps. */
static void make_disks(void)
{
	AUTO_FREE char *script = NULL;
	size_t size;
	FILE *f = open_memstream(&script, &size);

	scratch_setup();
	ck_assert_ptr_nonnull(f);
	fprintf(f, "PATH=$PATH:/usr/sbin:/sbin; export PATH\n");
	for (size_t i = 0; i < NR(growths); i++)
		fprintf(f, "mkdir %zu; (cd %zu; set -eu; { %s; } >log 2>&1; touch made) &\n", i, i, growths[i].script);
	fprintf(f, "wait\n");
	fclose(f);
	ck_assert_int_eq(system(script), 0);
}

static void enter_disk(int i)
{
	char folder[16];

	snprintf(folder, sizeof(folder), "%d", i);
	ck_assert_int_eq(chdir(folder), 0);
	if (access("made", F_OK) != 0) {
		(void)!system("cat log >&2");
		ck_abort_msg("failed: %s", growths[i].script);
	}
}

/* A source that holds nothing but the structures of a table, as an image does. */
struct only_structures {
	struct blk_source base;
	struct blk_source *of;
	const struct pt_table *t;
};

static int only_read(struct blk_source *s, uint64_t off, void *buf, size_t len, struct err *e)
{
	struct only_structures *o = (struct only_structures *)s;

	for (size_t i = 0; i < o->t->nr_structures; i++) {
		const struct range *r = &o->t->structures[i];
		if (off >= r->start && range_inside(off - r->start, len, r->len))
			return blk_read(o->of, off, buf, len, e);
	}
	return err_set(e, ERR_FAILED, 0, "bytes %llu+%zu are not of the table", (unsigned long long)off, len);
}

static int adapt(struct blk_source *src, const struct pt_table *t, uint64_t new_size, struct pt_patch **ret, size_t *nr,
	struct err *e)
{
	static const struct blk_source_ops ops = { .read = only_read };
	struct only_structures o = { .base = *src, .of = src, .t = t };

	o.base.ops = &ops;
	return pt_adapt(&o.base, t, src->size, new_size, ret, nr, e);
}

static void check_patches(const struct pt_patch *p, size_t nr, const struct pt_table *t, uint64_t new_size)
{
	uint64_t end = 0;

	for (size_t i = 0; i < nr; i++) {
		ck_assert(p[i].len && p[i].start >= end);
		end = p[i].start + p[i].len;
		ck_assert(end <= new_size);
		ck_assert_uint_eq(p[i].start % t->sector_size, 0);
		ck_assert_uint_eq(p[i].len % t->sector_size, 0);
		for (size_t k = 0; k < t->nr; k++)
			ck_assert(end <= t->entries[k].start || p[i].start >= t->entries[k].start + t->entries[k].len);
	}
}

static void grow(const char *path, const struct pt_table *t, uint64_t new_size)
{
	struct err e = ERR_INIT;
	AUTO(blk_source) struct blk_source *src = blk_open(path, 0, false, &e);
	struct pt_patch *p;
	size_t nr;

	ck_assert_ptr_nonnull(src);
	ck_assert_msg(adapt(src, t, new_size, &p, &nr, &e) == 0, "%s", e.msg);
	ck_assert_uint_ge(nr, 3);
	check_patches(p, nr, t, new_size);
	ck_assert_int_eq(truncate(path, (off_t)new_size), 0);
	for (size_t i = 0; i < nr; i++)
		poke(path, p[i].start, p[i].bytes, p[i].len);
	pt_patches_free(p, nr);
}

/* Nothing but places changed. */
static void compare_tables(const struct pt_table *a, const struct pt_table *b)
{
	ck_assert_uint_eq(a->nr, b->nr);
	if (a->nr)
		ck_assert_mem_eq(a->entries, b->entries, a->nr * sizeof(*a->entries));
	ck_assert_mem_eq(a->disk_guid, b->disk_guid, 16);
	ck_assert_uint_eq(a->gpt_nr_entries, b->gpt_nr_entries);
	ck_assert_uint_eq(a->gpt_entry_size, b->gpt_entry_size);
	ck_assert_uint_eq(a->gpt_entries, b->gpt_entries);
	ck_assert_uint_eq(a->is_hybrid, b->is_hybrid);
	ck_assert(b->gpt_primary_ok && b->gpt_backup_ok);
}

static void check_protective(const char *path, const struct pt_table *t, const uint8_t *old_slots, uint64_t new_size)
{
	uint8_t now[64];
	AUTO_CLOSE_FD int fd = open(path, O_RDONLY | O_CLOEXEC);

	ck_assert_int_eq(pread(fd, now, 64, 446), 64);
	if (t->is_hybrid) {
		ck_assert_mem_eq(now, old_slots, 64);
		return;
	}
	ck_assert_uint_eq(get_le32(now + 12), min_u64(new_size / 512 - 1, UINT32_MAX));
	ck_assert_mem_eq(now, old_slots, 5);
	ck_assert_mem_eq(now + 16, old_slots + 16, 48);
}

static void check_zeroed(const char *path, const struct pt_table *old, uint64_t new_size)
{
	uint8_t sector[512];
	static const uint8_t zero[512];
	AUTO_CLOSE_FD int fd = open(path, O_RDONLY | O_CLOEXEC);

	if (!old->gpt_backup_ok || new_size < old->gpt_backup_header + 64 * 512)
		return;
	for (uint64_t pos = old->gpt_backup_entries; pos <= old->gpt_backup_header; pos += 512) {
		ck_assert_int_eq(pread(fd, sector, 512, (off_t)pos), 512);
		ck_assert_mem_eq(sector, zero, 512);
	}
}

START_TEST(grows_with_the_disk)
{
	const struct growth *g = &growths[_i];
	uint8_t slots[64];

	enter_disk(_i);
	AUTO(pt_table) struct pt_table *old = must_read("d", 0);
	ck_assert_int_eq(old->kind, PT_GPT);
	ck_assert(g->notice ? has_notice(old, g->notice) : old->nr_notices == 0);
	AUTO_CLOSE_FD int fd = open("d", O_RDONLY | O_CLOEXEC);
	ck_assert_int_eq(pread(fd, slots, 64, 446), 64);
	shell("sfdisk --dump d 2>/dev/null | grep -v '^last-lba\\|^first-lba' >before");
	grow("d", old, g->new_size);
	shell("sfdisk --dump d | grep -v '^last-lba\\|^first-lba' >after; cmp before after");
	shell("sfdisk --verify d >verify; cat verify; grep -q 'No errors detected' verify; ! grep -i corrupt verify");
	shell("sgdisk -v d >verify; cat verify; grep -q 'No problems found' verify; ! grep -i 'problem:' verify");
	AUTO(pt_table) struct pt_table *now = must_read("d", 0);
	ck_assert_msg(now->nr_notices == old->is_hybrid, "%s", now->notices[0]);
	ck_assert_uint_eq(now->gpt_backup_header, (g->new_size / 512 - 1) * 512);
	compare_tables(old, now);
	check_protective("d", old, slots, g->new_size);
	check_zeroed("d", old, g->new_size);
}
END_TEST

static struct blk_source *memory(const struct gpt_maker *g)
{
	struct err e = ERR_INIT;
	struct blk_source *src = blk_mem(g->disk, g->size, g->ss, "memory", &e);

	ck_assert_ptr_nonnull(src);
	return src;
}

static uint8_t *grown_copy(const struct gpt_maker *g, uint64_t new_size, const struct pt_patch *p, size_t nr)
{
	uint8_t *disk = calloc(1, new_size);

	memcpy(disk, g->disk, g->size);
	for (size_t i = 0; i < nr; i++)
		memcpy(disk + p[i].start, p[i].bytes, p[i].len);
	return disk;
}

START_TEST(grows_odd_gpts)
{
	static const struct {
		uint32_t ss, nr_entries, entry_size, header_size;
	} odd[] = {
		{ 4096, 128, 128, 92 },  { 4096, 130, 128, 4096 }, { 512, 3, 128, 92 },
		{ 512, 40, 1024, 300 },  { 2048, 1024, 128, 92 },
	};
	struct gpt_maker g = new_gpt(8 * MIB, odd[_i].ss);
	uint64_t new_size = 9 * MIB + 4097;
	struct err e = ERR_INIT;
	struct pt_table *old, *now;
	struct pt_patch *p;
	size_t nr;

	g.nr_entries = odd[_i].nr_entries;
	g.entry_size = odd[_i].entry_size;
	g.header_size = odd[_i].header_size;
	make_entry(&g, 1, 500, 599);
	make_gpt(&g);
	AUTO(blk_source) struct blk_source *src = memory(&g);
	ck_assert_msg(pt_read(src, g.ss, &old, &e) == 0, "%s", e.msg);
	ck_assert_msg(adapt(src, old, new_size, &p, &nr, &e) == 0, "%s", e.msg);
	check_patches(p, nr, old, new_size);
	AUTO_FREE uint8_t *disk = grown_copy(&g, new_size, p, nr);
	AUTO(blk_source) struct blk_source *grown = blk_mem(disk, new_size, g.ss, "grown", &e);
	ck_assert_msg(pt_read(grown, 0, &now, &e) == 0, "%s", e.msg);
	compare_tables(old, now);
	ck_assert_msg(now->nr_notices == (g.entry_size != 128), "%s", now->notices[0]);
	pt_patches_free(p, nr);
	pt_free(old);
	pt_free(now);
	free(g.disk);
}
END_TEST

START_TEST(leaves_others_alone)
{
	struct gpt_maker g = new_gpt(8 * MIB, 512);
	struct err e = ERR_INIT;
	struct pt_table *t;
	struct pt_patch *p;
	size_t nr;

	make_entry(&g, 0, 2048, 4095);
	make_gpt(&g);
	AUTO(blk_source) struct blk_source *src = memory(&g);
	ck_assert_int_eq(pt_read(src, 0, &t, &e), 0);
	ck_assert_int_eq(pt_adapt(src, t, g.size, g.size, &p, &nr, &e), 0);
	ck_assert(nr == 0 && p == NULL);
	ck_assert_int_eq(pt_adapt(src, t, g.size, g.size + 511, &p, &nr, &e), 0);
	ck_assert_uint_eq(nr, 0);
	ck_assert_int_eq(pt_adapt(src, t, g.size, g.size - 512, &p, &nr, &e), -1);
	ck_assert_int_eq(e.code, ERR_REFUSED);
	t->kind = PT_MBR;
	ck_assert_int_eq(pt_adapt(src, t, g.size, g.size * 2, &p, &nr, &e), 0);
	ck_assert_uint_eq(nr, 0);
	/* The table as captured is not the one that was described. */
	t->kind = PT_GPT;
	t->gpt_entries += 512;
	ck_assert_int_eq(pt_adapt(src, t, g.size, g.size * 2, &p, &nr, &e), -1);
	ck_assert_int_eq(e.code, ERR_CORRUPT);
	t->gpt_entries -= 512;
	g.disk[612]++;
	ck_assert_int_eq(pt_adapt(src, t, g.size, g.size * 2, &p, &nr, &e), 0);
	pt_patches_free(p, nr);
	g.disk[520]++;
	ck_assert_int_eq(pt_adapt(src, t, g.size, g.size * 2, &p, &nr, &e), -1);
	ck_assert_int_eq(e.code, ERR_CORRUPT);
	pt_free(t);
	free(g.disk);
}
END_TEST

START_TEST(refuses_without_room)
{
	struct gpt_maker g = new_gpt(8 * MIB, 512);
	struct err e = ERR_INIT;
	struct pt_table *t;
	struct pt_patch *p;
	size_t nr;

	make_entry(&g, 0, 2048, 8 * MIB / 512 - 34);
	make_gpt(&g);
	/* A disk cut short: 100 sectors more do not hold the whole partition, nor does its exact size hold the backup. */
	AUTO(blk_source) struct blk_source *src = blk_mem(g.disk, 7 * MIB, 512, "cut", &e);
	ck_assert_int_eq(pt_read(src, 0, &t, &e), 0);
	ck_assert_int_eq(pt_adapt(src, t, 7 * MIB, 7 * MIB + 51200, &p, &nr, &e), -1);
	ck_assert_int_eq(e.code, ERR_REFUSED);
	ck_assert_str_eq(e.reason, "too-small");
	ck_assert_int_eq(pt_adapt(src, t, 7 * MIB, 8 * MIB - 512, &p, &nr, &e), -1);
	ck_assert_int_eq(pt_adapt(src, t, 7 * MIB, 8 * MIB, &p, &nr, &e), 0);
	check_patches(p, nr, t, 8 * MIB);
	pt_patches_free(p, nr);
	pt_free(t);
	free(g.disk);
}
END_TEST

/* The backup's array differs in size from the live one: what is zeroed is what was the backup's. */
START_TEST(zeroes_a_smaller_backup)
{
	struct gpt_maker g = new_gpt(8 * MIB, 512);
	uint64_t last = 8 * MIB / 512 - 1;
	struct err e = ERR_INIT;
	struct pt_table *t;
	struct pt_patch *p;
	size_t nr;

	make_entry(&g, 0, 2048, 4095);
	make_gpt(&g);
	g.nr_entries = 4;
	make_header(&g, last, 1, last - 1, 34, last - 33);
	AUTO(blk_source) struct blk_source *src = memory(&g);
	ck_assert_int_eq(pt_read(src, 0, &t, &e), 0);
	ck_assert(t->gpt_backup_ok && has_notice(t, "differ"));
	ck_assert_msg(adapt(src, t, 2 * g.size, &p, &nr, &e) == 0, "%s", e.msg);
	check_patches(p, nr, t, 2 * g.size);
	ck_assert_uint_eq(nr, 5);
	ck_assert_uint_eq(p[2].start, (last - 1) * 512);
	ck_assert_uint_eq(p[2].len, 1024);
	pt_patches_free(p, nr);
	pt_free(t);
	free(g.disk);
}
END_TEST

/* The old backup under a partition (made after the disk had grown before): the partition's bytes stay. */
START_TEST(spares_partitions)
{
	struct gpt_maker g = new_gpt(8 * MIB, 512);
	uint64_t old_last = 4 * MIB / 512 - 1;
	struct err e = ERR_INIT;
	struct pt_table *t;
	struct pt_patch *p;
	size_t nr;

	make_entry(&g, 0, 2048, 4095);
	make_entry(&g, 1, old_last - 10, old_last - 5);
	g.size = 4 * MIB;
	make_gpt(&g);
	g.size = 8 * MIB;
	AUTO(blk_source) struct blk_source *src = memory(&g);
	ck_assert_int_eq(pt_read(src, 0, &t, &e), 0);
	ck_assert_int_eq(pt_adapt(src, t, g.size, 2 * g.size, &p, &nr, &e), 0);
	check_patches(p, nr, t, 2 * g.size);
	/* MBR, header, zeros before and behind the partition, new array, new header */
	ck_assert_uint_eq(nr, 6);
	ck_assert_uint_eq(p[2].start, (old_last - 32) * 512);
	ck_assert_uint_eq(p[2].len, 22 * 512);
	ck_assert_uint_eq(p[3].start, (old_last - 4) * 512);
	ck_assert_uint_eq(p[3].len, 5 * 512);
	pt_patches_free(p, nr);
	pt_free(t);
	free(g.disk);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("table adapt");
	TCase *tools = tcase_create("tools"), *hand = tcase_create("by hand");

	tcase_add_unchecked_fixture(tools, make_disks, scratch_teardown);
	tcase_set_timeout(tools, 60);
	tcase_add_loop_test(tools, grows_with_the_disk, 0, NR(growths));
	tcase_add_loop_test(hand, grows_odd_gpts, 0, 5);
	tcase_add_test(hand, leaves_others_alone);
	tcase_add_test(hand, refuses_without_room);
	tcase_add_test(hand, zeroes_a_smaller_backup);
	tcase_add_test(hand, spares_partitions);
	suite_add_tcase(s, tools);
	suite_add_tcase(s, hand);

	SRunner *sr = srunner_create(s);
	srunner_run_all(sr, CK_ENV);
	int failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
