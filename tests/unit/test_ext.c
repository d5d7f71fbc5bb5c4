/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The ext driver against the real thing: mke2fs makes the volumes, dumpe2fs says which blocks are free, debugfs where
 * the journal stands, blkid what it is called, and e2fsck, debugfs and the kernel judge a copy in which every unused
 * byte is garbage and every zero byte is zero. The volumes are made over garbage, so that nothing is zero by chance.
 */
#include "tests/unit/ext_volume.h"

#include <sys/stat.h>

static void write_pattern(const char *path, uint64_t size, uint32_t seed)
{
	FILE *f = fopen(path, "w");
	uint32_t x = seed * 2654435761U + 1;

	ck_assert_ptr_nonnull(f);
	for (uint64_t i = 0; i < size; i++) {
		x = x * 1664525U + 1013904223U;
		putc((int)(x >> 24), f);
	}
	ck_assert_int_eq(fclose(f), 0);
}

/* Some hundred files of odd sizes in a tree. */
static void make_tree(void)
{
	char path[256];

	mkdir(at("tree"), 0755);
	for (unsigned d = 0; d < 10; d++) {
		snprintf(path, sizeof(path), "%s/tree/d%u", dir, d);
		mkdir(path, 0755);
		for (unsigned i = 0; i < 30; i++) {
			snprintf(path, sizeof(path), "%s/tree/d%u/file-with-a-long-name-%u", dir, d, i);
			write_pattern(path, i * 701ULL + (i == 7) * 150000ULL, d * 100 + i);
		}
	}
	SH("ln -s /nowhere/in/particular/%0100d tree/link && ln tree/d1/file-with-a-long-name-3 tree/hard", 7);
}

/* ---- what the independent tools say ---- */

/* dumpe2fs's lists of free blocks as one byte per KiB: 1 = free */
static uint8_t *free_by_dumpe2fs(const char *name, uint64_t nr, uint32_t block_size, uint64_t unit_kib)
{
	char *text = output_of("dumpe2fs %s 2>/dev/null", name);
	uint8_t *is_free = calloc(nr, 1);
	uint64_t per_block = block_size / KIB;
	unsigned nr_lists = 0;

	for (char *p = text; (p = strstr(p, "\n  Free blocks: ")); nr_lists++) {
		p += strlen("\n  Free blocks: ");
		while (*p >= '0' && *p <= '9') {
			uint64_t first = strtoull(p, &p, 10), last = first;
			if (*p == '-')
				last = strtoull(p + 1, &p, 10);
			/* with bigalloc "last" is the first block of the last free cluster */
			uint64_t start = first * per_block, end = last * per_block + unit_kib;
			ck_assert_uint_lt(last * per_block, nr);
			memset(is_free + start, 1, (end < nr ? end : nr) - start);
			while (*p == ',' || *p == ' ')
				p++;
		}
	}
	ck_assert_uint_gt(nr_lists, 0);
	free(text);
	return is_free;
}

/* Compare in units of a cluster: bits computed for metadata cover whole clusters, our ranges only the blocks. */
static void compare_with_dumpe2fs(const struct opened *o, const char *name, uint64_t unit_kib)
{
	uint8_t *is_free = free_by_dumpe2fs(name, o->nr, o->v->info.block_size, unit_kib);

	for (uint64_t u = 0; u < o->nr; u += unit_kib) {
		bool used = false, is_used_there = false;
		for (uint64_t k = u; k < u + unit_kib && k < o->nr; k++) {
			used |= o->state[k] != EXT_UNUSED;
			is_used_there |= !is_free[k];
		}
		ck_assert_msg(used == is_used_there, "%s: KiB %llu: we say %s, dumpe2fs says %s", name,
			(unsigned long long)u, used ? "used" : "free", is_used_there ? "used" : "free");
	}
	free(is_free);
}

/* Where the journal's superblock stands, in bytes. */
static uint64_t journal_at(const struct opened *o, const char *name)
{
	char *text = output_of("debugfs -R 'bmap <8> 0' %s 2>/dev/null", name);
	uint64_t block = strtoull(text, NULL, 10);

	free(text);
	return block * o->v->info.block_size;
}

/* The journal's superblock is used and everything behind it, as far as jbd2 counts it, is zero. */
static void check_journal(const struct opened *o, const char *name)
{
	uint64_t per_block = o->v->info.block_size / KIB, at_byte = journal_at(o, name), nr_zero = 0;
	uint64_t len = __builtin_bswap32(peek32(name, at_byte + 0x10));
	char *text = output_of("debugfs -R 'blocks <8>' %s 2>/dev/null", name);

	ck_assert_int_eq(o->state[at_byte / KIB], EXT_USED);
	for (char *p = text; *p >= '0' && *p <= '9'; p += *p == ' ')
		nr_zero += o->state[strtoull(p, &p, 10) * per_block] == EXT_ZERO;
	ck_assert_msg(nr_zero == len - 1, "%s: %llu of the journal's %llu blocks are zero", name,
		(unsigned long long)nr_zero, (unsigned long long)len);
	free(text);
}

static void compare_with_blkid(const struct opened *o, const char *name)
{
	static const char *const tags[] = { "TYPE", "UUID", "LABEL" };
	const struct fsd_info *i = &o->v->info;
	const char *const ours[] = { i->type, i->uuid, i->label };

	for (size_t t = 0; t < 3; t++) {
		char *text = output_of("blkid -p -o value -s %s %s", tags[t], name);
		text[strcspn(text, "\n")] = '\0';
		ck_assert_str_eq(ours[t], text);
		free(text);
	}
}

static void make_copy(const struct opened *o, const char *name, const char *copy)
{
	static uint8_t buf[64 * KIB], garbage[64 * KIB], zero[64 * KIB];
	FILE *in = fopen(at(name), "r"), *out = fopen(at(copy), "w");

	ck_assert(in && out);
	memset(garbage, 0xAA, sizeof(garbage));
	for (uint64_t k = 0; k < o->nr;) {
		uint64_t end = k + 1;
		while (end < o->nr && end - k < 64 && o->state[end] == o->state[k])
			end++;
		size_t len = (end - k) * KIB;
		ck_assert_uint_eq(fread(buf, 1, len, in), len);
		fwrite(o->state[k] == EXT_USED ? buf : o->state[k] == EXT_ZERO ? zero : garbage, 1, len, out);
		k = end;
	}
	fclose(in);
	ck_assert_int_eq(fclose(out), 0);
}

/* ---- the table of kinds ---- */

static const struct kind {
	const char *name, *options;
	uint64_t kib;
	uint64_t cluster; /* KiB, 0 without bigalloc */
	bool has_journal;
} kinds[] = {
	{"ext2", "-t ext2 -b 4096", 24576, 0, false},
	{"ext2-rev0", "-t ext2 -r 0 -O none", 16384, 0, false},
	{"ext2-all-super", "-t ext2 -b 1024 -O ^sparse_super,^resize_inode", 30000, 0, false},
	{"ext3", "-t ext3 -b 4096", 24576, 0, true},
	{"ext3-1k-journal", "-t ext3 -b 1024 -J size=10", 32769, 0, true},
	{"ext4", "-t ext4 -b 4096", 32768, 0, true},
	{"ext4-1k", "-t ext4 -b 1024", 32768, 0, true},
	{"ext4-2k", "-t ext4 -b 2048 -I 512", 32768, 0, true},
	{"ext4-64k", "-t ext4 -b 65536", 49152, 0, false},
	{"ext4-no-flex", "-t ext4 -b 1024 -O ^flex_bg", 40960, 0, true},
	{"ext4-small-groups", "-t ext4 -b 4096 -g 1024 -G 4", 32768, 0, true},
	{"ext4-meta-bg", "-t ext4 -b 1024 -g 1024 -N 4096 -O meta_bg,^resize_inode", 40000, 0, true},
	{"ext4-meta-bg-32", "-t ext4 -b 1024 -g 512 -N 4096 -O meta_bg,^resize_inode,^64bit,^flex_bg", 40007, 0,
		true},
	{"ext4-no-csum", "-t ext4 -b 1024 -O ^metadata_csum,^uninit_bg", 24576, 0, true},
	{"ext4-gdt-csum", "-t ext4 -b 1024 -O ^metadata_csum,uninit_bg", 40960, 0, true},
	{"ext4-gdt-csum-64", "-t ext4 -b 4096 -g 2048 -O ^metadata_csum,uninit_bg,64bit", 40960, 0, true},
	{"ext4-super2", "-t ext4 -b 1024 -O sparse_super2", 32768, 0, true},
	{"ext4-super2-1", "-t ext4 -b 1024 -O sparse_super2 -E num_backup_sb=1,nodiscard", 32768, 0, true},
	{"ext4-32bit", "-t ext4 -b 4096 -g 1024 -O ^64bit", 24576, 0, true},
	{"ext4-seed", "-t ext4 -b 4096 -O 64bit,metadata_csum_seed", 24576, 0, true},
	{"ext4-no-journal", "-t ext4 -O ^has_journal", 24576, 0, false},
	{"ext4-bigalloc", "-t ext4 -b 4096 -O bigalloc -C 65536", 49152, 64, true},
	{"ext4-bigalloc-1k", "-t ext4 -b 1024 -O bigalloc -C 8192 -g 8192", 40003, 8, true},
	{"ext4-odd-size", "-t ext4 -b 1024", 25333, 0, true},
	{"ext4-inline", "-t ext4 -b 4096 -I 256 -O inline_data,encrypt,ea_inode,large_dir,verity", 24576, 0, true},
	{"ext4-quota", "-t ext4 -b 1024 -O quota,project,casefold -N 20000", 32768, 0, true},
	{"ext4-orphan-file", "-t ext4 -O orphan_file,fast_commit", 24576, 0, true},
	{"ext4-mmp", "-t ext4 -O mmp", 24576, 0, true},
	{"ext4-packed", "-t ext4 -b 1024 -E packed_meta_blocks=1,nodiscard", 24576, 0, true},
	{"ext4-eager", "-t ext4 -b 1024 -E lazy_itable_init=0,nodiscard", 24576, 0, true},
	{"ext4-two-groups", "-t ext4 -b 4096 -J size=4", 140 * 1024, 0, true},
};

static void make_volume(const char *name, const char *options, uint64_t kib)
{
	make_garbage(name, kib * KIB, 0x5A);
	SH("mke2fs -q -F -E nodiscard -L 'a label' %s -d tree %s", options, name);
	if (strstr(options, "mmp")) /* debugfs would wait ten seconds to see whether the number moves */
		return;
	SH("for i in 1 7 13 22; do echo \"rm /d2/file-with-a-long-name-$i\"; echo \"rm /d$((i %% "
	   "10))/file-with-a-long-name-20\"; done "
	   ">cmds && debugfs -w -f cmds %s",
		name);
	if (strstr(options, "quota")) /* mke2fs -d does not count what it copies */
		SH("e2fsck -fy %s || [ $? = 1 ]", name);
}

static void check_copy(const struct opened *o, const char *name)
{
	make_copy(o, name, "copy");
	ck_assert_msg(sh("e2fsck -fn copy >log 2>&1") == 0, "%s: e2fsck finds faults in the copy", name);
	SH("dumpe2fs %s >a && dumpe2fs copy >b && cmp a b", name);
	SH("rm -rf da db && mkdir da db && debugfs -R 'rdump /d2 /d7 da' %s && debugfs -R 'rdump /d2 /d7 db' copy "
	   "&& diff -r da db",
		name);
}

START_TEST(test_kind)
{
	const struct kind *k = &kinds[_i];
	struct opened o;

	make_volume("fs", k->options, k->kib);
	open_and_map(&o, "fs");
	const struct fsd_info *i = &o.v->info;
	ck_assert_msg(i->state == FSD_CLEAN, "%s: %s", k->name, i->detail);
	ck_assert_msg(!i->notice[0], "%s: %s", k->name, i->notice);
	compare_with_blkid(&o, "fs");
	compare_with_dumpe2fs(&o, "fs", k->cluster ? k->cluster : i->block_size / KIB);
	if (k->has_journal)
		check_journal(&o, "fs");
	check_copy(&o, "fs");
	close_opened(&o);
}
END_TEST

/* ---- superblock copies ---- */

struct arm {
	uint64_t at[512];
	size_t nr;
	uint32_t sector;
};

static int collect_arm(void *arg, size_t member, uint64_t start, uint64_t len, struct err *e)
{
	struct arm *a = arg;

	(void)e;
	ck_assert_uint_eq(member, 0);
	ck_assert_uint_eq(start % a->sector, 0);
	ck_assert_uint_eq(len, a->sector == 512 ? 1024 : 4096);
	ck_assert_uint_lt(a->nr, 512);
	a->at[a->nr++] = start;
	return 0;
}

START_TEST(test_arm_ranges)
{
	const struct kind *k = &kinds[_i];
	struct arm a = { .sector = 512 }, b = { .sector = 4096 };
	struct opened o;
	size_t nr = 0;

	SH("truncate -s 0 fs && truncate -s %lluK fs && mke2fs -q -F %s fs", (unsigned long long)k->kib, k->options);
	open_sized(&o, "fs", 0);
	ck_assert_int_eq(o.result, 0);
	ck_assert_int_eq(fsd_ext.arm_ranges(o.v, collect_arm, &a, &o.e), 0);
	char *text = output_of("dumpe2fs fs 2>/dev/null");
	for (char *p = text; (p = strstr(p, "superblock at ")); nr++) {
		uint64_t block = strtoull(p + strlen("superblock at "), &p, 10);
		ck_assert_uint_eq(a.at[nr], nr ? block * o.v->info.block_size : 1024);
	}
	ck_assert_uint_eq(a.nr, nr);
	o.members[0]->sector_size = 4096;
	ck_assert_int_eq(fsd_ext.arm_ranges(o.v, collect_arm, &b, &o.e), 0);
	ck_assert_uint_eq(b.nr, nr);
	for (size_t j = 0; j < nr; j++)
		ck_assert_uint_eq(b.at[j], a.at[j] & ~4095ULL);
	free(text);
	close_opened(&o);
}
END_TEST

/*
 * s_first_meta_bg > 0: the old descriptor table for the first meta groups, the new one behind. Online growth makes
 * such volumes; here the number is set and e2fsck lays out the rest.
 */
START_TEST(test_first_meta_bg)
{
	struct opened o;

	make_garbage("fs", 40 * MIB, 0x5A);
	SH("mke2fs -q -F -t ext4 -b 1024 -g 1024 -N 4096 -E nodiscard -O meta_bg,^resize_inode fs");
	SH("debugfs -w -R 'ssv first_meta_bg 1' fs && { e2fsck -fy fs || [ $? = 1 ]; }");
	SH("for i in 3 8 15 29; do echo \"write tree/d3/file-with-a-long-name-$i f$i\"; done >cmds && printf "
	   "'mkdir /d2\nmkdir /d7\n' >>cmds && debugfs -w -f cmds fs");
	open_and_map(&o, "fs");
	ck_assert_int_eq(o.v->info.state, FSD_CLEAN);
	compare_with_dumpe2fs(&o, "fs", 1);
	check_journal(&o, "fs");
	check_copy(&o, "fs");
	close_opened(&o);
}
END_TEST

/* ---- with the kernel ---- */

static bool can_mount(void)
{
	return geteuid() == 0 && sh("truncate -s 0 m && truncate -s 4M m && mke2fs -q -F m && mkdir -p mnt && "
				    "unshare -m sh -c 'mount -o loop m mnt'") == 0;
}

/* A mounted copy has the same files, can be written (the journal works), and is clean afterwards. */
static const char *const mounted[] = {
	"-t ext4 -b 4096",
	"-t ext3 -b 4096",
	"-t ext4 -b 4096 -O fast_commit,orphan_file",
	"-t ext4 -b 1024 -O ^metadata_csum,uninit_bg",
};

START_TEST(test_mounted_copy)
{
	struct opened o;

	if (!can_mount())
		return;
	make_volume("fs", mounted[_i], 32768);
	/* a used journal: mount, write, unmount */
	SH("unshare -m sh -ec 'mount -o loop fs mnt; cp -r tree/d1 mnt/again; sync -f mnt; rm -r mnt/d4; umount mnt'");
	open_and_map(&o, "fs");
	ck_assert_int_eq(o.v->info.state, FSD_CLEAN);
	ck_assert_str_eq(o.v->info.notice, "");
	check_journal(&o, "fs");
	compare_with_dumpe2fs(&o, "fs", o.v->info.block_size / KIB);
	check_copy(&o, "fs");
	SH("mkdir -p mnt2 && unshare -m sh -ec 'mount -o loop,ro fs mnt; mount -o loop copy mnt2; diff -r "
	   "--no-dereference mnt mnt2; "
	   "cp -r tree/d5 mnt2/new; sync -f mnt2; diff -r tree/d5 mnt2/new; umount mnt2; umount mnt'");
	ck_assert_msg(sh("e2fsck -fn copy >log 2>&1") == 0, "the copy is not clean after it was written");
	close_opened(&o);
}
END_TEST

START_TEST(test_dirty_journal)
{
	struct opened o;

	if (!can_mount())
		return;
	make_volume("fs", "-t ext4 -b 4096", 32768);
	SH("unshare -m sh -ec 'mount -o loop fs mnt; cp -r tree/d1 mnt/again; sync -f mnt; cp fs dirty; umount mnt'");
	open_and_map(&o, "dirty");
	ck_assert_int_eq(o.v->info.state, FSD_REPLAYABLE);
	ck_assert_str_eq(o.v->info.reason, "dirty-journal");
	ck_assert_ptr_nonnull(strstr(o.v->info.advice, "e2fsck -p"));
	close_opened(&o);
	SH("e2fsck -p dirty || [ $? = 1 ]");
	open_and_map(&o, "dirty");
	ck_assert_int_eq(o.v->info.state, FSD_CLEAN);
	check_copy(&o, "dirty");
	close_opened(&o);
}
END_TEST

START_TEST(test_external_journal)
{
	struct opened o;

	if (!can_mount())
		return;
	SH("truncate -s 0 fs jdev && truncate -s 24M fs && truncate -s 8M jdev && mke2fs -q -F -b 4096 -O "
	   "journal_dev jdev");
	SH("d=$(losetup -f --show jdev); mke2fs -q -F -b 4096 -t ext4 -J device=$d fs; r=$?; losetup -d $d; exit $r");
	open_and_map(&o, "fs");
	ck_assert_int_eq(o.v->info.state, FSD_CLEAN);
	ck_assert_ptr_nonnull(strstr(o.v->info.notice, "journal is on another device"));
	close_opened(&o);
	open_sized(&o, "jdev", 0);
	ck_assert_int_eq(o.result, -1);
	ck_assert_int_eq(o.e.code, ERR_UNSUPPORTED);
	ck_assert_ptr_nonnull(strstr(o.e.msg, "jbd"));
	close_opened(&o);
}
END_TEST

static Suite *ext_suite(void)
{
	Suite *s = suite_create("ext");
	TCase *t = tcase_create("ext");

	tcase_set_timeout(t, 60);
	tcase_add_unchecked_fixture(t, make_tree, NULL);
	tcase_add_loop_test(t, test_kind, 0, NR(kinds));
	tcase_add_loop_test(t, test_arm_ranges, 0, NR(kinds));
	tcase_add_test(t, test_first_meta_bg);
	tcase_add_loop_test(t, test_mounted_copy, 0, NR(mounted));
	tcase_add_test(t, test_dirty_journal);
	tcase_add_test(t, test_external_journal);
	suite_add_tcase(s, t);
	return s;
}

int main(void)
{
	return run_suite(ext_suite());
}
