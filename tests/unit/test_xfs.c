/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The XFS driver against mkfs.xfs, the kernel, xfs_db and xfs_repair: what is free in volumes of many shapes, used and aged. */
#include "tests/unit/xfs_volume.h"

#include <errno.h>

/*
 * How a volume gets its content. PROTO: by mkfs.xfs itself, for what this kernel may not mount. MOUNT: by the kernel, in three rounds with
 * files that come and go, that share blocks, have holes, attributes and long links.
 */
enum fill { PROTO, MOUNT };

static const struct xfs_case {
	const char *options;
	unsigned mib;
	enum fill fill;
	unsigned extra; /* the partition goes on behind the file system, bytes */
} cases[] = {
	{ "", 320, MOUNT, 0 },
	{ "-m crc=0", 320, PROTO, 0 },
	{ "-m crc=0 -b size=512 -i size=256 -l version=1", 310, PROTO, 512 },
	{ "-m crc=0 -b size=1024 -d agcount=7 -l lazy-count=0", 310, PROTO, 0 },
	{ "-m crc=0 -s size=4096 -n ftype=1 -l su=64k", 310, PROTO, 0 },
	{ "-m crc=0 -b size=65536", 320, PROTO, 0 },
	{ "-b size=1024 -d agcount=8", 310, MOUNT, 1024 },
	{ "-b size=2048 -m reflink=0,rmapbt=1", 310, MOUNT, 0 },
	{ "-b size=16384", 320, MOUNT, 8192 },
	{ "-b size=65536", 320, MOUNT, 0 },
	{ "-s size=4096", 320, MOUNT, 4096 * 3 },
	{ "-l su=32k", 320, MOUNT, 0 },
	{ "-l su=256k", 320, MOUNT, 0 },
	{ "-i size=2048,nrext64=1", 320, MOUNT, 0 },
	{ "-m reflink=0,finobt=0,inobtcount=0,bigtime=0 -i sparse=0", 320, MOUNT, 512 },
	{ "-m rmapbt=1,bigtime=1,inobtcount=1 -i nrext64=1,sparse=1", 320, MOUNT, 0 },
	{ "-d agsize=16m", 400, MOUNT, 0 },
	{ "-d agsize=18000b", 333, MOUNT, 512 * 7 },
	{ "-d agcount=1 -l size=10m", 64, MOUNT, 0 },
	{ "-l size=200m -d agcount=2", 500, MOUNT, 0 },
	{ "-d su=64k,sw=4 -l size=16m", 320, MOUNT, 0 },
};

/* Files from the tree for mkfs.xfs -p; one of them in several pieces is more than it can make. */
static void make_proto(void)
{
	SH("{ echo /none; echo 0 0; echo d--755 0 0; for d in 0 1 2; do echo d$d d--755 0 0; for f in tree/d$d/*; do echo ${f##*/} ---644 0 0 $PWD/$f; done; "
	   "echo '$'; done; echo link l--777 0 0 /nowhere/%0200d; echo '$'; } >proto", 7);
}

static void age(void)
{
	MOUNTED("cp -r ../tree a; cp -r ../tree b; mkdir many; i=0; while [ $i -lt 400 ]; do : >many/a-rather-long-name-$i; i=$((i + 1)); done; "
		"ln -s /nowhere/$(printf %0900d 7) link; head -c 50000 /dev/urandom | tr -d \"\\\\000\" | head -c 40000 >../value; "
		"setfattr -n user.small -v text a; setfattr -n user.large -v \"$(base64 -w 0 ../value)\" b/d0/file-5; "
		"fallocate -l 12M pieces; i=0; while [ $i -lt 3072 ]; do echo fpunch $((i * 4))k 4k; i=$((i + 4)); done | xfs_io pieces");
	MOUNTED("rm -r a/d1 b/d2; rm many/*[37]; cp -r ../tree c; cp --reflink=auto c/d2/file-55 shared; cp --reflink=auto c/d2/file-55 shared2; "
		"truncate -s 100M sparse; for i in 1 3 80; do printf data | dd of=sparse bs=1M seek=$i conv=notrunc 2>/dev/null; done; sync");
	MOUNTED("rm -r c/d0; rm pieces; cp -r ../tree/d2 e; i=0; while [ $i -lt 60 ]; do echo pwrite $((i * 128))k 9k; i=$((i + 1)); done | xfs_io -f last");
}

static void make_case(const struct xfs_case *t)
{
	char options[256] = "-p proto ";

	if (t->fill == PROTO)
		make_proto();
	snprintf(options, sizeof(options), "%s%s", t->fill == PROTO ? "-p proto " : "", t->options);
	mkfs(t->mib, options);
	if (t->fill == MOUNT)
		age();
	SH("truncate -s +%u img", t->extra);
}

/* Used by what xfs_db finds in the tree of each group: everything that no record calls free. */
static uint64_t compare_with_xfs_db(const struct plain *p, const struct collected *c)
{
	uint8_t *used = malloc(c->size / UNIT + 1);
	unsigned long agno, start, len;
	uint64_t nr_free = 0;
	char cmd[512];

	ck_assert_ptr_nonnull(used);
	memset(used, 1, c->size / UNIT + 1);
	snprintf(cmd, sizeof(cmd), "cd %s && for a in $(seq 0 %u); do xfs_db -r -c \"agf $a\" -c 'addr bnoroot' -c btdump img | "
		"awk -v a=$a '/^recs/ { r = 1; next } /^[0-9]+:\\[/ { if (r) for (i = 1; i <= NF; i++) { split($i, x, /[][,]/); print a, x[2], x[3] } next } "
		"{ r = 0 }'; done", dir, p->nr_ags - 1);
	FILE *f = popen(cmd, "r");
	ck_assert_ptr_nonnull(f);
	while (fscanf(f, "%lu %lu %lu", &agno, &start, &len) == 3) {
		ck_assert_uint_le(agno * p->ag_blocks + start + len, p->nr_blocks);
		memset(used + (agno * p->ag_blocks + start) * p->block / UNIT, 0, len * p->block / UNIT);
		nr_free += len;
	}
	ck_assert_int_eq(pclose(f), 0);
	uint64_t same = 0;
	while (same < c->size / UNIT && used[same] == c->used[same])
		same++;
	ck_assert_msg(same == c->size / UNIT, "unit %llu", (unsigned long long)same);
	free(used);
	return nr_free;
}

static void same_word_as_blkid(const char *field, const char *word)
{
	ck_assert_int_eq(run("[ \"$(blkid -p -o value -s %s %s)\" = '%s' ]", field, img, word), 0);
}

static void check_map(void)
{
	struct opened o;

	open_img(&o);
	struct plain p = plain_read();
	struct collected c = collect(o.v);
	const struct fsd_info *info = &o.v->info;
	ck_assert_msg(info->state == FSD_CLEAN, "%s", info->detail);
	uint64_t nr_free = compare_with_xfs_db(&p, &c);
	ck_assert_uint_gt(nr_free, 0);
	ck_assert_uint_lt(nr_free, p.nr_blocks);
	ck_assert_str_eq(info->type, "xfs");
	ck_assert_str_eq(info->notice, "");
	ck_assert_uint_eq(info->size, p.nr_blocks * p.block);
	ck_assert_uint_eq(info->block_size, p.block);
	ck_assert_uint_eq(info->sector_size, p.sector);
	ck_assert_uint_eq(info->granule, p.block < 4096 ? p.block : 4096);
	ck_assert_uint_eq(info->used_bytes, (p.nr_blocks - nr_free) * p.block);
	same_word_as_blkid("TYPE", info->type);
	same_word_as_blkid("LABEL", info->label);
	same_word_as_blkid("UUID", info->uuid);
	ck_assert_uint_eq(c.nr_arm, 1);
	ck_assert_uint_eq(c.arm[0].start, 0);
	ck_assert_uint_eq(c.arm[0].len, p.sector);

	char copy[96];
	snprintf(copy, sizeof(copy), "%s/copy", dir);
	copy_used(o.v, &c, copy);
	collected_release(&c);
	close_img(&o);
	/* A single group is nothing that xfs_repair likes. */
	SH("xfs_repair -n -f -o force_geometry copy");
}

START_TEST(free_space_is_what_xfs_db_says)
{
	const struct xfs_case *t = &cases[_i];

	if (t->fill == MOUNT && !can_mount())
		return;
	make_case(t);
	check_map();
	if (t->fill == MOUNT)
		SH("unshare -m sh -ec 'mount -o loop,ro img mnt; mount -o loop,ro,nouuid copy mnt2; diff -r --no-dereference mnt mnt2; getfattr -hRd mnt >a; "
		   "getfattr -hRd mnt2 | sed s/mnt2/mnt/ >b; cmp a b; grep -q user.large a'");
}
END_TEST

START_TEST(trees_of_three_levels)
{
	if (!can_mount())
		return;
	mkfs(64, "-b size=1024 -d agcount=2 -l size=4096b");
	MOUNTED("fallocate -l 25M f; i=0; while [ $i -lt 25000 ]; do echo fpunch ${i}k 1k; i=$((i + 2)); done | xfs_io f");
	ck_assert_uint_eq(number_of("for a in 0 1; do xfs_db -r -c \"agf $a\" -c 'p bnolevel' img; done | sed 's/.*= //' | sort -n | tail -n 1"), 3);
	check_map();
}
END_TEST

/* So many free extents that bits are shorter than a list; each second block. */
START_TEST(free_space_in_bits)
{
	if (!can_mount())
		return;
	mkfs(32, "-b size=1024 -d agcount=1 -l size=4096b");
	MOUNTED("fallocate -l 20M f; i=0; while [ $i -lt 20000 ]; do echo fpunch ${i}k 1k; i=$((i + 2)); done | xfs_io f; cp ../tree/d2/file-59 x");
	check_map();
}
END_TEST

/* Chunks of inodes with holes come where there is no room for whole ones. */
START_TEST(sparse_inodes)
{
	if (!can_mount())
		return;
	mkfs(64, "-d agcount=2 -l size=10m -i maxpct=50 -m reflink=0,finobt=0");
	MOUNTED("free=$(df --output=avail -k . | tail -n 1); fallocate -l $((free - 400))k f; "
		"i=0; while [ $i -lt $((free / 64)) ]; do echo fpunch $((i * 64))k 28k; i=$((i + 1)); done | xfs_io f; "
		"mkdir d; i=0; while [ $i -lt 9000 ]; do : >d/$i || break; i=$((i + 1)); done");
	ck_assert_uint_gt(number_of("for a in 0 1; do xfs_db -r -c \"agi $a\" -c 'addr root' -c btdump img; done | tr ' ' '\\n' | "
				    "grep -c '^[0-9]*:\\[[0-9]*,0x[1-9a-f]'"), 0);
	check_map();
}
END_TEST

/* A new UUID for the person: all structures keep the old one, and the superblock says so. */
START_TEST(another_uuid)
{
	if (!can_mount())
		return;
	mkfs(320, "");
	MOUNTED("cp -r ../tree a");
	SH("xfs_db -x -c 'uuid 11111111-2222-3333-4444-555555555555' img");
	check_map();
	MOUNTED("cp -r ../tree b; rm -r a/d1");
	check_map();
}
END_TEST

/* Used by a mount of a copy, where it was not in the original, and the other way round: xfs_growfs with a short last group. */
START_TEST(grown)
{
	if (!can_mount())
		return;
	mkfs(320, "-b size=1024");
	SH("truncate -s 411M img");
	MOUNTED("cp -r ../tree a; xfs_growfs . >/dev/null");
	check_map();
}
END_TEST

/* Inodes and trees of extents that the medium lost are the capture's business; what is free must be known. */
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

static const struct {
	const char *what;
	bool stops;
} lost[] = { { "inodes", false }, { "free space", true }, { "tree of inodes", false }, { "tree of extents", false } };

START_TEST(unreadable)
{
	static const struct blk_source_ops ops = { .read = bad_read };
	struct bad_source b = { .base = { .ops = &ops, .sector_size = 512, .phys_sector_size = 512, .name = "bad" }, .len = 512 };
	struct blk_source *member = &b.base;
	struct blk_set set = { &member, 1 };
	struct err e = ERR_INIT;
	struct fsd_volume *v;

	if (!can_mount())
		return;
	mkfs(64, "-b size=1024 -d agcount=1 -l size=4096b");
	MOUNTED("fallocate -l 5M f; i=0; while [ $i -lt 5000 ]; do echo fpunch ${i}k 1k; i=$((i + 2)); done | xfs_io f; stat -c %i f >../ino");
	struct plain p = plain_read();
	const uint64_t places[] = {
		DB("-c 'sb 0'", "rootino") / (p.block / p.inode) * p.block,
		DB("-c 'agf 0'", "bnoroot") * p.block,
		DB("-c 'agi 0'", "root") * p.block,
		number_of("xfs_db -r -c \"inode $(cat ino)\" -c 'p u3.bmbt.ptrs[1]' img | sed 's/.*[:=] *//'") * p.block,
	};
	b.start = places[_i];
	b.lower = blk_open(img, 0, false, &e);
	b.base.size = b.lower->size;
	ck_assert_msg(fsd_xfs.open(&set, &v, &e) == 0, "%s", e.msg);
	int r = fsd_xfs.map(v, emit_nothing, NULL, &e);
	ck_assert_msg(r == (lost[_i].stops ? -1 : 0), "%s: %s", lost[_i].what, e.msg);
	ck_assert(r == 0 || blk_is_medium_error(&e));
	ck_assert_uint_gt(b.nr_failed, 0);
	fsd_xfs.close(v);
	blk_close(b.lower);
}
END_TEST

START_TEST(a_second_signature_is_refused)
{
	struct opened o;

	mkfs(320, "");
	poke(img, 65536 + 64, "_BHRfS_M", 8); /* what is left of a btrfs makes libblkid unsure */
	ck_assert_int_eq(try_open(&o), -1);
	ck_assert_msg(o.e.code == ERR_UNSUPPORTED && strstr(o.e.msg, "signatures of xfs and of another"), "%s", o.e.msg);
	blk_close(o.src);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("xfs");
	TCase *tc = tcase_create("xfs");

	tcase_add_unchecked_fixture(tc, setup, teardown);
	tcase_set_timeout(tc, 120);
	tcase_add_loop_test(tc, free_space_is_what_xfs_db_says, 0, NR(cases));
	tcase_add_test(tc, trees_of_three_levels);
	tcase_add_test(tc, free_space_in_bits);
	tcase_add_test(tc, sparse_inodes);
	tcase_add_test(tc, another_uuid);
	tcase_add_test(tc, grown);
	tcase_add_loop_test(tc, unreadable, 0, NR(lost));
	tcase_add_test(tc, a_second_signature_is_refused);
	suite_add_tcase(s, tc);
	SRunner *r = srunner_create(s);
	srunner_run_all(r, CK_ENV);
	int failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
