/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Bitmaps that lie consistently: a block that something uses is marked as free and another one as used instead, so that all
 * counts and checksums agree (debugfs writes them). Whatever uses the block, the map is refused; what test_ext.c maps is not.
 */
#include "tests/unit/ext_volume.h"

#include <errno.h>

static void make_tree(void)
{
	/* What is sparse has more extents than an inode holds; 3 MB in blocks of 1 KiB need pointers of pointers, 70 MB one more. */
	SH("mkdir -p tree/d && head -c 3000000 /dev/urandom >tree/d/file && ln -s /nowhere/%0100d tree/link && truncate -s 70M tree/sparse && "
	   "for i in $(seq 40) 172 173; do printf data | dd of=tree/sparse bs=1 seek=$((i * 400000)) conv=notrunc; done && head -c 700 /dev/urandom >value",
		7);
}

#define EXT4 "-t ext4 -b 1024 -I 128"
#define EXT3 "-t ext3 -b 1024 -I 128"
#define STAT(file) "debugfs -R 'stat " file "' fs 2>/dev/null | tr ' ,' '\\n\\n' "
#define BMAP(file, block) "debugfs -R 'bmap " file " " block "' fs 2>/dev/null"
#define META(group, word) "dumpe2fs fs 2>/dev/null | sed -n '/^Group " group ":/,/^$/s/.*" word " at \\([0-9]*\\).*/\\1/p'"

static const struct lie {
	const char *what, *options, *block; /* block: a command that prints it */
	const char *says;
} lies[] = {
	{"data by extent", EXT4, BMAP("/d/file", "2000"), "is used by inode"},
	{"data by an extent in a tree", EXT4, BMAP("/sparse", "7812"), "is used by inode"},
	{"block of an extent tree", EXT4, STAT("/sparse") "| sed -n 's/^(ETB0):\\([0-9]*\\).*/\\1/p'", "is used by inode"},
	{"data without a checksum", EXT4 " -O ^metadata_csum,uninit_bg", BMAP("/d/file", "2000"), "is used by inode"},
	{"data in a cluster", "-t ext4 -b 4096 -O bigalloc -C 65536", BMAP("/d/file", "500"), "is used by inode"},
	{"data in large blocks", "-t ext4 -b 4096 -I 256", BMAP("/d/file", "5"), "is used by inode"},
	{"data by direct pointer", EXT3, BMAP("/d/file", "3"), "is used by inode"},
	{"data by indirect pointer", EXT3, BMAP("/d/file", "200"), "is used by inode"},
	{"data by double indirect pointer", EXT3, BMAP("/d/file", "2000"), "is used by inode"},
	{"data by triple indirect pointer", EXT3, BMAP("/sparse", "67578"), "is used by inode"},
	{"block of pointers", EXT3, STAT("/d/file") "| sed -n 's/^(IND):\\([0-9]*\\).*/\\1/p' | head -n 1", "is used by inode"},
	{"block of pointers of pointers", EXT3, STAT("/d/file") "| sed -n 's/^(DIND):\\([0-9]*\\).*/\\1/p'", "is used by inode"},
	{"a directory", EXT4, BMAP("/d", "0"), "is used by inode"},
	{"the root directory", EXT4, BMAP("/", "0"), "is used by inode 2,"},
	{"a symbolic link", EXT4, BMAP("/link", "0"), "is used by inode"},
	{"extended attributes", EXT4, STAT("/d") "| grep -A 3 ^ACL: | grep -m 1 '^[0-9]'", "is used by inode"},
	{"the journal", EXT4, BMAP("<8>", "1000"), "is used by inode 8,"},
	{"the resize inode", EXT4, STAT("<7>") "| sed -n 's/^(DIND):\\([0-9]*\\).*/\\1/p'", "is used by inode 7,"},
	{"an inode table", EXT4, META("0", "Inode table"), "belongs to the inode table of group 0,"},
	{"an inode bitmap", EXT4, META("0", "Inode bitmap"), "belongs to the bitmaps of group 0,"},
	{"a block bitmap", EXT4, META("0", "Block bitmap"), "belongs to the bitmaps of group 0,"},
	{"a backup superblock", EXT3, META("1", "Backup superblock"), "belongs to the superblock or descriptors of group 1,"},
};

static uint64_t number_from(const char *command)
{
	char *text = output_of("%s", command), *end;
	uint64_t n = strtoull(text, &end, 10);

	ck_assert_msg(end != text && n, "'%s' says '%s'", command, text);
	free(text);
	return n;
}

START_TEST(lie_is_found)
{
	const struct lie *l = &lies[_i];
	struct opened o;
	char ask[100];

	SH("truncate -s 0 fs && truncate -s 48M fs && mke2fs -q -F %s -d tree fs && debugfs -w -R 'ea_set -f value /d user.note' fs", l->options);
	uint64_t block = number_from(l->block);
	open_and_map(&o, "fs");
	uint64_t per_group = peek32("fs", 1024 + 0x20), first = peek32("fs", 1024 + 0x14);
	close_opened(&o);
	/* A free block of the same group; its bit is set where the other's is cleared. */
	uint64_t group = (block - first) / per_group;
	snprintf(ask, sizeof(ask), "debugfs -R 'ffb 1 %llu' fs 2>/dev/null | sed 's/.*: //'", (unsigned long long)(first + group * per_group));
	uint64_t instead = number_from(ask);
	ck_assert_uint_eq((instead - first) / per_group, group);
	SH("printf 'freeb %llu\\nsetb %llu\\n' >cmds && debugfs -w -f cmds fs", (unsigned long long)block, (unsigned long long)instead);
	open_sized(&o, "fs", 0);
	ck_assert_msg(o.result == 0 && o.v->info.state == FSD_CLEAN, "%s: %s", l->what, o.e.msg);
	ck_assert_msg(map_opened(&o) < 0, "%s: block %llu is missing and nobody noticed", l->what, (unsigned long long)block);
	ck_assert_int_eq(o.e.code, ERR_CORRUPT);
	ck_assert_msg(strstr(o.e.msg, l->says), "%s: %s", l->what, o.e.msg);
	close_opened(&o);
}
END_TEST

/* A source in which one range cannot be read. */
struct bad_source {
	struct blk_source base, *lower;
	uint64_t start, len;
	unsigned nr_failed;
};

static int bad_read(struct blk_source *s, uint64_t off, void *buf, size_t len, struct err *e)
{
	struct bad_source *b = (struct bad_source *)s;

	if (off >= b->start + b->len || off + len <= b->start)
		return blk_read(b->lower, off, buf, len, e);
	b->nr_failed++;
	return err_set(e, ERR_FAILED, EIO, "reading '%s'", s->name);
}

static const char *const unreadable[] = {
	META("0", "Inode table"),
	STAT("/sparse") "| sed -n 's/^(ETB0):\\([0-9]*\\).*/\\1/p'",
};

/* Lost sectors are the capture's business: they do not stop it, and do not make the volume raw. */
START_TEST(unreadable_is_passed)
{
	static const struct blk_source_ops ops = { .read = bad_read };
	struct bad_source b = { .base.ops = &ops, .len = KIB };
	struct opened o;

	SH("truncate -s 0 fs && truncate -s 48M fs && mke2fs -q -F " EXT4 " -d tree fs");
	/* Of the inode table the second block: the first one has the journal, which is looked at before. */
	b.start = (number_from(unreadable[_i]) + (_i == 0)) * KIB;
	open_sized(&o, "fs", 0);
	b.lower = o.src;
	b.base.size = o.src->size;
	b.base.sector_size = b.base.phys_sector_size = 512;
	fsd_ext.close(o.v);
	o.members[0] = &b.base;
	ck_assert_msg(fsd_ext.open(&o.set, &o.v, &o.e) == 0, "%s", o.e.msg);
	ck_assert_msg(map_opened(&o) == 0, "%s", o.e.msg);
	ck_assert_uint_gt(b.nr_failed, 0);
	close_opened(&o);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("ext-files");
	TCase *t = tcase_create("ext-files");

	tcase_set_timeout(t, 60);
	tcase_add_unchecked_fixture(t, make_tree, NULL);
	tcase_add_loop_test(t, lie_is_found, 0, NR(lies));
	tcase_add_loop_test(t, unreadable_is_passed, 0, NR(unreadable));
	suite_add_tcase(s, t);
	return run_suite(s);
}
