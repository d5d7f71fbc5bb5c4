/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * XFS structures that are damaged or lie, with checksums put right, so that each check is reached: wrong headers and trees, and trees of free
 * space that consistently call something free that is in use. All of that ends in ERR_CORRUPT, which makes the volume raw.
 */
#define TEST_ROOT (access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp")
#include "tests/unit/xfs_volume.h"

#define SHAPE "-b size=1024 -d agcount=2 -m rmapbt=1 -l size=10m"

/* Once: the volume that all cases begin with, and its twin of version 4. */
static void make_base(void)
{
	setup();
	if (!can_mount())
		return;
	mkfs(64, SHAPE);
	MOUNTED("cp -r ../tree a; fallocate -l 6M pieces; i=0; while [ $i -lt 6000 ]; do echo fpunch ${i}k 1k; i=$((i + 2)); done | xfs_io pieces; "
		"ln -s /nowhere/$(printf %0900d 7) link; mkdir many; i=0; while [ $i -lt 300 ]; do : >many/a-rather-long-name-$i; i=$((i + 1)); done; "
		"setfattr -n user.large -v $(printf %05000d 7) a; cp --reflink=always a/d2/file-50 shared; "
		"for f in a a/d2/file-50 shared pieces link many; do echo $f $(stat -c %i $f); done >../inodes");
	SH("mv img base");
}

static bool has_base(void)
{
	return try_sh("[ -e base ]") == 0;
}

static void fresh(void)
{
	if (has_base())
		SH("cp --sparse=always base img");
}

/* ---- lies ---- */

#define INODE(file) "-c \"inode $(awk '$1 == \"" file "\" { print $2 }' inodes)\""
#define FIRST_BLOCK "sed -n 's/.*startblock \\([0-9]*\\).*/\\1/p' | head -n 1"
#define FIELD(command) "xfs_db -r " command " img | sed 's/.*[:=] *//'"
#define AG_BLOCK(header, field) "echo $(($(xfs_db -r -c '" header " 0' -c 'p " field "' img | sed 's/.*= //')))"

static const struct lie {
	const char *what, *block; /* a command that prints a fsblock */
	const char *says;
} lies[] = {
	{ "data by extent", "xfs_db -r " INODE("a/d2/file-50") " -c bmap img | " FIRST_BLOCK, "is used by inode" },
	{ "shared data", "xfs_db -r " INODE("shared") " -c bmap img | " FIRST_BLOCK, "is used by inode" },
	{ "data in a tree", "xfs_db -r " INODE("pieces") " -c bmap img | sed -n '40s/.*startblock \\([0-9]*\\).*/\\1/p'", "is used by inode" },
	{ "a tree of extents", FIELD(INODE("pieces") " -c 'p u3.bmbt.ptrs[1]'"), "is used by the extents of inode" },
	{ "a symbolic link", "xfs_db -r " INODE("link") " -c bmap img | " FIRST_BLOCK, "is used by inode" },
	{ "a folder", "xfs_db -r " INODE("many") " -c bmap img | " FIRST_BLOCK, "is used by inode" },
	{ "attributes", "xfs_db -r " INODE("a") " -c 'bmap -a' img | " FIRST_BLOCK, "is used by inode" },
	{ "inodes", "echo $(($(awk '$1 == \"a\" { print $2 }' inodes) / 2))", "is used by the inodes of group" },
	{ "the tree of inodes", AG_BLOCK("agi", "root"), "is used by the inodes of group" },
	{ "the tree of free inodes", AG_BLOCK("agi", "free_root"), "is used by a tree of group 0" },
	{ "the tree by place", AG_BLOCK("agf", "bnoroot"), "is used by a tree of group 0" },
	{ "the tree by size", AG_BLOCK("agf", "cntroot"), "is used by a tree of group 0" },
	{ "a leaf of a tree", "xfs_db -r -c 'agf 0' -c 'addr rmaproot' -c 'p ptrs[1]' img | sed 's/.*[:=] *//'", "is used by a tree of group 0" },
	{ "the tree of owners", AG_BLOCK("agf", "rmaproot"), "is used by a tree of group 0" },
	{ "the tree of shared blocks", AG_BLOCK("agf", "refcntroot"), "is used by a tree of group 0" },
	{ "the free list", "xfs_db -r -c 'agf 0' -c 'p flfirst' img | sed 's/.*= //' | { read -r i; xfs_db -r -c 'agfl 0' -c \"p bno[$i]\" img; } | sed 's/.*= //'",
		"is used by the free list of group 0" },
	{ "the log", FIELD("-c 'sb 0' -c 'p logstart'"), "is used by the log of group" },
	{ "a header", "echo 0", "which is out of range" },
};

/* Everything that a leaf of a tree of free space says, and where it stands; the first leaf on the left. */
struct leaf {
	uint64_t at;
	uint8_t b[1024];
	unsigned nr;
};

static struct leaf leaf_read(const struct plain *p, uint32_t agno, const char *root)
{
	struct leaf l;
	char field[100];

	snprintf(field, sizeof(field), "-c 'agf %u'", agno);
	uint64_t block = number_of("xfs_db -r %s -c 'p %s' img | sed 's/.*= //'", field, root);
	for (;;) {
		l.at = plain_byte(p, agno, (uint32_t)block);
		peek(img, l.at, l.b, sizeof(l.b));
		l.nr = be16(l.b + 6);
		if (!be16(l.b + 4))
			return l;
		block = be32(l.b + 56 + (1024 - 56) / 12 * 8);
	}
}

static void leaf_write(struct leaf *l)
{
	l->b[6] = (uint8_t)(l->nr >> 8);
	l->b[7] = (uint8_t)l->nr;
	poke(img, l->at, l->b, sizeof(l->b));
	sum_up(l->at, sizeof(l->b), 52);
}

/* One more record in its place; the leaf has room, or its last record, of the same length, gives way. */
static void leaf_insert(struct leaf *l, uint32_t start, uint32_t len, bool by_size)
{
	unsigned i = 0;

	ck_assert_uint_lt(l->nr, (1024 - 56) / 8);
	while (i < l->nr && (by_size ? be32(l->b + 60 + 8 * i) < len || (be32(l->b + 60 + 8 * i) == len && be32(l->b + 56 + 8 * i) < start)
				     : be32(l->b + 56 + 8 * i) < start))
		i++;
	memmove(l->b + 56 + 8 * (i + 1), l->b + 56 + 8 * i, 8 * (l->nr - i));
	put_be32(l->b + 56 + 8 * i, start);
	put_be32(l->b + 60 + 8 * i, len);
	l->nr++;
}

/* Both trees and the counters call one more block free. */
static void call_free(uint64_t fsblock)
{
	struct plain p = plain_read();
	uint32_t agno = (uint32_t)(fsblock >> p.agblk_log), block = (uint32_t)(fsblock & ((1U << p.agblk_log) - 1));
	uint64_t agf = plain_byte(&p, agno, 0) + p.sector;
	struct leaf bno = leaf_read(&p, agno, "bnoroot"), cnt = leaf_read(&p, agno, "cntroot");

	leaf_insert(&bno, block, 1, false);
	leaf_insert(&cnt, block, 1, true);
	leaf_write(&bno);
	leaf_write(&cnt);
	poke32(agf + 52, peek32(agf + 52) + 1);
	sum_up(agf, p.sector, 216);
}

START_TEST(lie_is_found)
{
	const struct lie *l = &lies[_i];

	if (!has_base())
		return;
	/* With 3000 free extents there is more than one leaf; the kernel merges most of them. */
	MOUNTED("echo fpunch 0 5860k | xfs_io pieces");
	uint64_t block = number_of("%s", l->block);
	expect_state(FSD_CLEAN, "");
	call_free(block);
	expect_failure(ERR_CORRUPT, l->says);
}
END_TEST

/* The same in version 4, where no checksum would tell of an accident. */
START_TEST(lie_in_version_4)
{
	SH("{ echo /none; echo 0 0; echo d--755 0 0; echo file ---644 0 0 $PWD/tree/d2/file-50; echo '$'; } >proto");
	mkfs(320, "-m crc=0 -p proto");
	expect_state(FSD_CLEAN, "");
	SH("xfs_db -r -c 'sb 0' -c addr img >/dev/null; root=$(xfs_db -r -c 'sb 0' -c 'p rootino' img | sed 's/.*= //'); "
	   "s=$(xfs_db -r -c 'agf 0' -c 'addr bnoroot' -c 'p recs[1].startblock' img | sed 's/.*= //'); "
	   "c=$(xfs_db -r -c 'agf 0' -c 'addr bnoroot' -c 'p recs[1].blockcount' img | sed 's/.*= //'); f=$(xfs_db -r -c 'agf 0' -c 'p freeblks' img | sed 's/.*= //'); "
	   "for r in bnoroot cntroot; do xfs_db -x -c 'agf 0' -c \"addr $r\" -c \"write recs[1].startblock $((s - 2))\" -c \"write recs[1].blockcount $((c + 2))\" img; "
	   "done; xfs_db -x -c 'agf 0' -c \"write freeblks $((f + 2))\" -c \"write longest $((c + 2))\" img");
	expect_failure(ERR_CORRUPT, "is used by inode");
}
END_TEST

/* ---- headers and trees ---- */

enum where { SUPER, AGF, AGI, AGFL, BNO_LEAF, BNO_ROOT, CNT_LEAF, INO, INODE };

static const struct damage {
	const char *what;
	enum where where;
	int off;     /* from the structure's start; from its end when negative */
	uint32_t value;
	const char *says;
	bool no_sum; /* the checksum is left as it was */
} damages[] = {
	{ "checksum", SUPER, 128, 99, "superblock has a wrong checksum", true },
	{ "block size", SUPER, 4, 2048, "block size", false },
	{ "too many blocks", SUPER, 8, 1, "in a volume of", false },
	{ "group size", SUPER, 84, 3, "groups of", false },
	{ "number of groups", SUPER, 88, 3, "groups of", false },
	{ "log behind the end", SUPER, 96, 0x7FFFFFFF, "xfs log of", false },
	{ "magic", AGF, 0, 1, "AGF of xfs group 0 is damaged", false },
	{ "version", AGF, 4, 2, "of version 2", false },
	{ "number", AGF, 8, 1, "AGF of xfs group 0 is damaged", false },
	{ "length", AGF, 12, 77, "with 77 blocks", false },
	{ "root", AGF, 16, 0, "names roots", false },
	{ "root elsewhere", AGF, 20, 0x7FFFFFFF, "names roots", false },
	{ "no levels", AGF, 28, 0, "names roots", false },
	{ "levels", AGF, 28, 200, "names roots", false },
	{ "other levels", AGF, 28, 1, "wrong level", false },
	{ "uuid", AGF, 64, 1, "belongs to another file system", false },
	{ "checksum", AGF, 300, 1, "AGF of xfs group 0 has a wrong checksum", true },
	{ "free blocks", AGF, 52, 30000, "and counts 30000", false },
	{ "few free blocks", AGF, 52, 5, "counts 5 free", false },
	{ "too many free blocks", AGF, 52, 0x7FFFFFFF, "counts 2147483647", false },
	{ "longest", AGF, 56, 1, "and counts", false },
	{ "free list", AGF, 40, 4000, "the free list of xfs group 0 goes", false },
	{ "magic", AGI, 0, 1, "AGI of xfs group 0 is damaged", false },
	{ "length", AGI, 12, 1, "AGI of xfs group 0", false },
	{ "root", AGI, 20, 0xFFFFFFFF, "AGI of xfs group 0 names roots", false },
	{ "inodes", AGI, 16, 1, "inodes, ", false },
	{ "free inodes", AGI, 28, 1, "of them free, and counts", false },
	{ "checksum", AGI, 400, 1, "AGI of xfs group 0 has a wrong checksum", true },
	{ "magic", AGFL, 0, 1, "AGFL of xfs group 0 is damaged", false },
	{ "magic", BNO_LEAF, 0, 1, "is none of it", false },
	{ "level", BNO_LEAF, 4, 0x10002, "wrong level", false },
	{ "too many records", BNO_LEAF, 4, 122, "wrong level or number", false },
	{ "no records", BNO_LEAF, 4, 0, "wrong level or number", false },
	{ "left sibling", BNO_LEAF, 8, 5, "out of order", false },
	{ "no right sibling", BNO_LEAF, 12, 0xFFFFFFFF, "out of order", false },
	{ "place", BNO_LEAF, 20, 1, "belongs elsewhere", false },
	{ "uuid", BNO_LEAF, 32, 1, "belongs elsewhere", false },
	{ "owner", BNO_LEAF, 48, 1, "belongs elsewhere", false },
	{ "checksum", BNO_LEAF, 60, 0x11, "wrong checksum", true },
	{ "free header", BNO_LEAF, 56, 0, "out of range", false },
	{ "free behind the end", BNO_LEAF, 60, 0x7FFFFFFF, "out of range", false },
	{ "nothing free", BNO_LEAF, 60, 0, "out of range", false },
	{ "order", BNO_LEAF, 64, 5, "out of order", false },
	{ "other extent", BNO_LEAF, 60, 2, "differ", false },
	{ "a child again", BNO_ROOT, -1, 0, "out of order", false },
	{ "a child elsewhere", BNO_ROOT, -1, 0x7FFFFFFF, "out of range", false },
	{ "fewer children", BNO_ROOT, 4, 0x10001, "is not the last one", false },
	{ "order", CNT_LEAF, 60, 3, "out of order by size", false },
	{ "place of inodes", INO, 56, 0x7FFFFFC0, "out of range", false },
	{ "order of inodes", INO, 72, 0, "out of order", false },
	{ "holes", INO, 60, 0xFF004000, "with holes", false },
	{ "magic", INODE, 0, 1, "is damaged", false },
	{ "number", INODE, 156, 1, "is damaged", false },
	{ "checksum", INODE, 60, 1, "is damaged", true },
	{ "format", INODE, 4, 0x03090000, "no known format", false },
	{ "too many extents", INODE, 76, 200, "more extents than", false },
	{ "extent elsewhere", INODE, 184, 0xFFFFFFFF, "out of order or out of range", false },
	{ "extents elsewhere", INODE, 4, 0x03030000, "tree of extents", false },
	{ "attributes behind the end", INODE, 80, 0x0000FF02, "behind its end", false },
};

START_TEST(damage_is_found)
{
	const struct damage *d = &damages[_i];

	if (!has_base())
		return;
	struct plain p = plain_read();
	uint64_t root = plain_byte(&p, 0, (uint32_t)DB("-c 'agf 0'", "bnoroot"));
	uint64_t ino = number_of("awk '$1 == \"a/d2/file-50\" { print $2 }' inodes");
	unsigned pointers = 56 + (1024 - 56) / 12 * 8;
	const struct {
		uint64_t at;
		size_t len, crc;
	} places[] = {
		[SUPER] = { 0, p.sector, 224 },
		[AGF] = { p.sector, p.sector, 216 },
		[AGI] = { 2 * p.sector, p.sector, 312 },
		[AGFL] = { 3 * p.sector, p.sector, 32 },
		[BNO_LEAF] = { leaf_read(&p, 0, "bnoroot").at, 1024, 52 },
		[BNO_ROOT] = { root, 1024, 52 },
		[CNT_LEAF] = { leaf_read(&p, 0, "cntroot").at, 1024, 52 },
		[INO] = { plain_byte(&p, 0, (uint32_t)DB("-c 'agi 0'", "root")), 1024, 52 },
		[INODE] = { plain_place(&p, ino / 2) + ino % 2 * 512, 512, 100 },
	};

	expect_state(FSD_CLEAN, "");
	uint64_t at = places[d->where].at + (d->off >= 0 ? (unsigned)d->off : pointers + 4);
	bool is_again = d->off < 0 && !d->value;
	poke32(at, is_again ? peek32(at - 4) : d->value);
	if (!d->no_sum)
		sum_up(places[d->where].at, places[d->where].len, places[d->where].crc);
	expect_failure(ERR_CORRUPT, d->says);
}
END_TEST

/* A disk that ends before its file system. */
START_TEST(cut_short)
{
	mkfs(320, "");
	SH("truncate -s 319M img");
	expect_failure(ERR_CORRUPT, "in a volume of");
	SH("truncate -s 1000 img");
	expect_failure(ERR_CORRUPT, "in a volume of");
}
END_TEST

int main(void)
{
	Suite *s = suite_create("xfs-damage");
	TCase *tc = tcase_create("xfs-damage");

	tcase_add_unchecked_fixture(tc, make_base, teardown);
	tcase_add_checked_fixture(tc, fresh, NULL);
	tcase_set_timeout(tc, 60);
	tcase_add_loop_test(tc, lie_is_found, 0, NR(lies));
	tcase_add_test(tc, lie_in_version_4);
	tcase_add_loop_test(tc, damage_is_found, 0, NR(damages));
	tcase_add_test(tc, cut_short);
	suite_add_tcase(s, tc);
	SRunner *r = srunner_create(s);
	srunner_run_all(r, CK_ENV);
	int failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
