/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The F2FS driver against mkfs.f2fs, sload.f2fs, fsck.f2fs, dump.f2fs, and tests/tools/f2fs.py. */
#include "base/span.h"

#define DRIVER fsd_f2fs
#include "tests/unit/driver_volume.h"

#define TOOL  "python3 tests/tools/f2fs.py"
#define BLOCK 4096U
#define SEG   512U

static void mkfs(unsigned kib, const char *options, bool has_files);

static void setup(void)
{
	make_folder();
	ck_assert_int_eq(run("cd %s && mkdir -p tree/a/b/c tree/many && seq 1 600000 >tree/large && ln -s large tree/link && "
			     "for i in $(seq 300); do seq $i $((i * i / 20)) >tree/many/$i; done && "
			     "truncate -s 3M tree/a/b/holes && echo end >>tree/a/b/holes && touch tree/a/b/c/empty", dir), 0);
	mkfs(80000, "", true); /* for make() and damaged_metadata */
	ck_assert_int_eq(run("mv %s %s/whole", img, dir), 0);
}

/* In a file full of something else: what mkfs does not write must not be needed. */
static void mkfs(unsigned kib, const char *options, bool has_files)
{
	ck_assert_int_eq(run("rm -f %s && yes garbage | head -c %uK >%s && mkfs.f2fs -t 0 -f %s %s >%s/mkfs 2>&1", img, kib, img, options, img, dir), 0);
	if (has_files)
		ck_assert_int_eq(run("sload.f2fs -f %s/tree %s >%s/sload 2>&1 && ! grep -q ASSERT %s/sload", dir, img, dir, dir), 0);
}

static void make(unsigned kib, const char *options, bool has_files)
{
	if (kib == 80000 && !options[0] && has_files)
		ck_assert_int_eq(run("cp %s/whole %s", dir, img), 0);
	else
		mkfs(kib, options, has_files);
}

static void tool(const char *what, const char *rest)
{
	ck_assert_int_eq(run(TOOL " %s %s %s >/dev/null", what, img, rest), 0);
}

static uint32_t peek32(uint64_t off)
{
	uint8_t b[4];

	peek(img, off, b, 4);
	return get_le32(b);
}

static void poke32(uint64_t off, uint32_t value)
{
	uint8_t b[4];

	put_le32(b, 0, value);
	poke(img, off, b, 4);
}

/* A field of both superblocks */
static void poke_super(unsigned off, uint32_t value)
{
	poke32(1024 + off, value);
	poke32(BLOCK + 1024 + off, value);
}

/* Where the areas are: first blocks, in the order of the disk. Everything else here is for blocks of 4 KiB. */
struct plain {
	uint32_t seg0, cp, sit, nat, ssa, main, segs, end;
};

static struct plain plain_read(void)
{
	struct plain p = { .seg0 = peek32(1024 + 72), .cp = peek32(1024 + 76), .sit = peek32(1024 + 80), .nat = peek32(1024 + 84),
		.ssa = peek32(1024 + 88), .main = peek32(1024 + 92), .segs = peek32(1024 + 68) };

	p.end = p.main + p.segs * SEG;
	return p;
}

static bool block_used(const struct collected *c, uint64_t block)
{
	return c->used[block * (BLOCK / UNIT)];
}

/* ---- the map, held against what dump.f2fs says */

struct dumped {
	uint8_t *map;    /* 64 bytes for each segment */
	uint8_t *copies; /* for each segment: the copy of the SIT that counts, 1 or 2 */
	uint64_t nr_valid;
};

static struct dumped dump_sit(const struct plain *p)
{
	struct dumped d = { .map = calloc(p->segs, 64), .copies = calloc(p->segs, 1) };
	char line[256], path[128];
	unsigned segno = 0, valid, type, copy, at = 0, n;
	int used;

	ck_assert_int_eq(run("cd %s && rm -f dump_sit && dump.f2fs -s 0~-1 %s >dump 2>&1", dir, img), 0);
	snprintf(path, sizeof(path), "%s/dump_sit", dir);
	FILE *f = fopen(path, "r");
	ck_assert_ptr_nonnull(f);
	while (fgets(line, sizeof(line), f)) {
		if (sscanf(line, "segno: %u vblocks: %u seg_type:%u sit_pack:%u", &segno, &valid, &type, &copy) == 4) {
			ck_assert_uint_lt(segno, p->segs);
			d.copies[segno] = (uint8_t)copy;
			d.nr_valid += valid;
			at = 0;
			continue;
		}
		for (const char *s = line; line[0] == ' ' && at < 64 && sscanf(s, " %2x%n", &n, &used) == 1; s += used)
			d.map[segno * 64 + at++] = (uint8_t)n;
	}
	fclose(f);
	return d;
}

static bool dumped_valid(const struct dumped *d, uint32_t block)
{
	return d->map[block / 8] >> (7 - block % 8) & 1;
}

/* The newer pack has its first @total blocks in use, and at the end of the segment bits about the NAT; the other its ends. */
static void compare_packs(const struct collected *c, const struct plain *p)
{
	uint64_t first = (uint64_t)p->cp * BLOCK, second = first + (uint64_t)SEG * BLOCK;

	for (unsigned i = 0; i < 2; i++) {
		uint64_t at = i ? second : first;
		uint32_t start = p->cp + i * SEG, total = peek32(at + 136), flags = peek32(at + 132);
		bool is_newer = (peek32(second) > peek32(first)) == i;
		for (uint32_t b = 0; b < SEG; b++) {
			bool is_bits = flags & 0x80 && b >= SEG - ((p->ssa - p->nat) / 2 / 8 * 2 + 8 + BLOCK - 1) / BLOCK;
			bool want = is_newer ? b < total || is_bits : !b || b == total - 1;
			ck_assert_msg(block_used(c, start + b) == want, "pack %u block %u", i, b);
		}
	}
}

/* Of each block of SIT and NAT one copy is used, and of the SIT the one that dump.f2fs names. */
static void compare_tables(const struct collected *c, const struct plain *p, const struct dumped *d)
{
	uint32_t half = (p->nat - p->sit) / 2, nr_sit = (p->segs + 54) / 55;

	for (uint32_t i = 0; i < half; i++) {
		ck_assert_int_eq(block_used(c, p->sit + i), i < nr_sit && d->copies[i * 55] == 1);
		ck_assert_int_eq(block_used(c, p->sit + half + i), i < nr_sit && d->copies[i * 55] == 2);
	}
	for (uint32_t i = 0; i < (p->ssa - p->nat) / 2; i++) {
		uint32_t at = p->nat + i / SEG * 2 * SEG + i % SEG;
		ck_assert_int_ne(block_used(c, at), block_used(c, at + SEG));
	}
	for (uint32_t segno = 0; segno < p->segs && p->ssa < p->main; segno++) {
		static const uint8_t none[64];
		ck_assert_int_eq(block_used(c, p->ssa + segno), memcmp(d->map + segno * 64, none, 64) != 0);
	}
}

static uint32_t next_node(const struct plain *p)
{
	uint64_t cp = (uint64_t)p->cp * BLOCK;

	return p->main + peek32(cp + 40) * SEG + (peek32(cp + 70) & 0xffff);
}

static void compare_main(const struct collected *c, const struct plain *p, const struct dumped *d, bool is_read_only)
{
	uint32_t also = is_read_only ? 0 : next_node(p);

	for (uint32_t b = p->main; b < p->end; b++)
		ck_assert_msg(block_used(c, b) == (dumped_valid(d, b - p->main) || b == also), "block %u", b);
	for (uint64_t off = 0; off < (uint64_t)p->seg0 * BLOCK; off += UNIT)
		ck_assert(c->used[off / UNIT]);
}

static void check_copy(const struct opened *o, const struct collected *c)
{
	char copy[96];

	snprintf(copy, sizeof(copy), "%s/copy", dir);
	copy_used(o->v, c, copy);
	ck_assert_int_eq(run("fsck.f2fs --dry-run %s >%s/fsck 2>&1 && ! grep -E 'Fail|ASSERT' %s/fsck", copy, dir, dir), 0);
	ck_assert_int_eq(run(TOOL " list %s >%s/a && " TOOL " list %s >%s/b && cmp %s/a %s/b", img, dir, copy, dir, dir, dir), 0);
	unlink(copy);
}

struct f2fs_case {
	unsigned kib;
	const char *options;
	bool has_files;
	unsigned extra_kib; /* the partition goes on behind the file system */
};

static const struct f2fs_case cases[] = {
	{ 80000, "", false, 0 },
	{ 80000, "", true, 0 },
	{ 81441, "-l Etikett", true, 3 },
	{ 85533, "-w 4096", true, 64 },
	{ 80000, "-O extra_attr,inode_checksum,sb_checksum,inode_crtime,compression", true, 0 },
	{ 80000, "-O extra_attr,project_quota,verity,lost_found,quota,encrypt", true, 0 },
	{ 80000, "-O casefold -C utf8", true, 0 },
	{ 120000, "-s 2", true, 0 },
	{ 300000, "-s 2 -z 2", true, 7 },
	{ 80000, "-o 30", true, 0 },
	{ 80000, "-i", true, 0 },
	{ 80000, "-a 1", true, 0 },
	{ 80000, "-O extra_attr,flexible_inline_xattr", false, 0 }, /* sload.f2fs does not know it */
	{ 80000, "-O ro", false, 0 },
	{ 400000, "-O extra_attr,ro", false, 0 },
};

#define NR_CASES ((int)(sizeof(cases) / sizeof(cases[0])))

START_TEST(volumes)
{
	const struct f2fs_case *t = &cases[_i];
	struct opened o;

	make(t->kib, t->options, t->has_files);
	ck_assert_int_eq(run("truncate -s +%uK %s", t->extra_kib, img), 0);
	ck_assert_int_eq(run("fsck.f2fs --dry-run %s >%s/fsck 2>&1 && ! grep -E 'Fail|ASSERT' %s/fsck", img, dir, dir), 0);
	open_img(&o);
	struct collected c = collect(o.v);
	struct plain p = plain_read();
	struct dumped d = dump_sit(&p);
	ck_assert_uint_gt(d.nr_valid, t->has_files ? 1000 : 1);
	compare_packs(&c, &p);
	compare_tables(&c, &p, &d);
	compare_main(&c, &p, &d, strstr(t->options, "-O ro") || strstr(t->options, ",ro"));
	const struct fsd_info *info = &o.v->info;
	ck_assert_str_eq(info->type, "f2fs");
	ck_assert_int_eq(info->state, FSD_CLEAN);
	ck_assert_str_eq(info->notice, "");
	ck_assert_str_eq(info->label, strstr(t->options, "-l") ? "Etikett" : "");
	ck_assert_uint_eq(info->block_size, BLOCK);
	ck_assert_uint_eq(info->granule, BLOCK);
	ck_assert_uint_eq(info->size, t->kib / 4 * (uint64_t)BLOCK);
	ck_assert_int_eq(run("[ \"$(blkid -p -o value -s UUID %s)\" = %s ]", img, info->uuid), 0);
	check_copy(&o, &c);
	ck_assert_uint_eq(c.nr_arm, 1);
	ck_assert(c.arm[0].start == 0 && c.arm[0].len == 2ULL * BLOCK);
	free(d.map);
	free(d.copies);
	collected_release(&c);
	close_img(&o);
}
END_TEST

/* mkfs leaves the SIT empty and has all in the journal, in compact form; the kernel's long form is the other. */
START_TEST(journals_count)
{
	struct opened o;

	for (unsigned form = 0; form < 2; form++) {
		make(80000, "", false);
		if (form)
			tool("normal", "");
		ck_assert_int_eq(run(TOOL " info %s >%s/info && grep -q 'sit_journal=6' %s/info", img, dir, dir), 0);
		open_img(&o);
		struct collected c = collect(o.v);
		struct plain p = plain_read();
		struct dumped d = dump_sit(&p);
		ck_assert_uint_eq(d.nr_valid, 2);
		compare_main(&c, &p, &d, false);
		compare_packs(&c, &p);
		check_copy(&o, &c);
		free(d.map);
		free(d.copies);
		collected_release(&c);
		close_img(&o);
	}
}
END_TEST

START_TEST(checkpoint_flags)
{
	make(80000, "", true);
	expect_told(FSD_CLEAN, "", "F2FS, ");
	tool("flags", "0 1");
	expect_told(FSD_REPLAYABLE, "dirty", "not unmounted cleanly");
	tool("flags", "0x11 0");
	expect_told(FSD_DAMAGED, "errors", "found errors");
	tool("flags", "0x08 0x10");
	expect_told(FSD_DAMAGED, "errors", "found errors");
	tool("flags", "0x4000 0x08");
	expect_told(FSD_DAMAGED, "errors", "change of its size");
	tool("flags", "0x1000 0x4000");
	expect_told(FSD_REPLAYABLE, "dirty", "checkpoint=disable");
	tool("flags", "2 0x1000"); /* orphans */
	expect_told(FSD_CLEAN, "", "F2FS, ");
	tool("flags", "0x800 0");
	expect_told(FSD_CLEAN, "", "noted errors");
	tool("flags", "0 0x800");
	poke_super(2794 + 3, 4); /* s_errors */
	expect_told(FSD_CLEAN, "", "noted errors");
	tool("flags", "0x8000 0");
	expect_failure(ERR_UNSUPPORTED, "checkpoint flags 0x8000");
}
END_TEST

START_TEST(several_devices)
{
	struct opened o;

	ck_assert_int_eq(run("rm -f %s && truncate -s 80M %s %s/second && mkfs.f2fs -f -c %s/second %s >%s/mkfs 2>&1", img, img, dir, dir, img, dir), 0);
	char others[200];
	snprintf(others, sizeof(others), "over 2 devices, of which this is the first; when it was made the others were '%s/second'", dir);
	expect_told(FSD_SET_MEMBER, "set-member", others);
	open_img(&o);
	struct collected c = collect(o.v);
	for (uint64_t i = 0; i < c.size / UNIT; i++)
		ck_assert(c.used[i]);
	collected_release(&c);
	close_img(&o);
}
END_TEST

START_TEST(features)
{
	make(80000, "-O extra_attr,sb_checksum", true);
	expect_told(FSD_CLEAN, "", "");
	poke_super(2180, peek32(1024 + 2180) | 2);
	expect_failure(ERR_CORRUPT, "checksum of the F2FS superblock");
	tool("sum", "");
	expect_failure(ERR_UNSUPPORTED, "features 0x2 (zoned device)");
	poke_super(2180, 0x88000);
	expect_failure(ERR_UNSUPPORTED, "features 0x88000 are unknown");
	poke_super(2180, 0x8000);
	expect_failure(ERR_UNSUPPORTED, "device aliases");
	poke_super(2180, 0);
	poke_super(4, 2);
	expect_failure(ERR_UNSUPPORTED, "version 2.0");
}
END_TEST

START_TEST(damaged_superblocks)
{
	static const struct { unsigned off; uint32_t value; const char *words; } t[] = {
		{ 8, 8, "sectors of 2^8" }, { 8, 13, "sectors of 2^13" }, { 12, 4, "2^4 in a block" }, { 16, 9, "blocks of 2^9" }, { 16, 17, "blocks of 2^17" },
		{ 16, 13, "sectors of 2^9" }, { 20, 8, "segments of 2^8" }, { 24, 0, "sections of 0" }, { 24, 99999, "sections of 99999" },
		{ 28, 0, "zones of 0" }, { 36, 4096, "main area ends" }, { 40, 1, "main area ends" }, { 36, 1U << 30, "larger than its partition" },
		{ 48, 3, "main area ends" }, { 52, 1, "checkpoint area ends" }, { 56, 1, "SIT area ends" }, { 60, 4, "NAT area ends" },
		{ 64, 0, "SSA area ends" }, { 68, 99999, "main area ends" }, { 68, 0xffffffff, "main area ends" }, { 68, 0, "0 of the main area" },
		{ 72, 0, "segments begin at block 0" }, { 76, 513, "checkpoints at 513" }, { 80, 1, "next begins at 1" }, { 92, 0, "next begins at 0" },
		{ 96, 4, "root 4" }, { 100, 7, "nodes 7" }, { 104, 0, "metadata 0" }, { 1664, 600, "600 more blocks" },
	};
	uint8_t old[4];

	make(80000, "", true);
	for (size_t i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
		peek(img, 1024 + t[i].off, old, 4);
		poke32(1024 + t[i].off, t[i].value);
		expect_told(FSD_CLEAN, "", "first F2FS superblock is damaged");
		poke32(BLOCK + 1024 + t[i].off, t[i].value);
		expect_failure(ERR_CORRUPT, t[i].words);
		poke32(1024 + t[i].off, get_le32(old));
		expect_told(FSD_CLEAN, "", "F2FS, ");
		poke32(BLOCK + 1024 + t[i].off, get_le32(old));
	}
	/* Another mkfs leaves the second one behind. */
	poke32(1024, 0);
	expect_failure(ERR_UNSUPPORTED, "is not an F2FS");
	/* Cut short */
	make(80000, "", false);
	ck_assert_int_eq(run("truncate -s 50M %s", img), 0);
	expect_failure(ERR_CORRUPT, "larger than its partition");
	ck_assert_int_eq(run("truncate -s 3000 %s", img), 0);
	expect_failure(ERR_UNSUPPORTED, "is not an F2FS");
}
END_TEST

static void expect_pack_used(unsigned number, bool whole)
{
	struct opened o;

	open_img(&o);
	struct collected c = collect(o.v);
	struct plain p = plain_read();
	ck_assert_int_eq(block_used(&c, p.cp + number * SEG + SEG / 2), whole);
	check_copy(&o, &c);
	collected_release(&c);
	close_img(&o);
}

START_TEST(checkpoint_packs)
{
	make(80000, "", true);
	tool("mirror", "");
	struct plain p = plain_read();
	uint64_t first = (uint64_t)p.cp * BLOCK, second = first + (uint64_t)SEG * BLOCK, last = peek32(first + 136) - 1;
	uint8_t head[BLOCK];

	expect_pack_used(0, false);
	/* Of one that is not whole everything is kept. */
	peek(img, first, head, BLOCK);
	poke32(first + 16, 0);
	expect_pack_used(0, true);
	expect_pack_used(1, false);
	poke(img, first, head, BLOCK);
	/* Torn: the last block is of another version. */
	poke32(second + last * BLOCK, 77);
	tool("sum", "");
	expect_pack_used(1, true);
	poke32(second + last * BLOCK + 164, 0xfffffffc);
	expect_pack_used(1, true);
	poke32(first + 136, 0);
	expect_failure(ERR_CORRUPT, "no valid F2FS checkpoint");
	/* The newer one counts, wherever it is. */
	make(80000, "", true);
	tool("older", "");
	expect_told(FSD_CLEAN, "", "F2FS, ");
	expect_pack_used(1, false);
	for (unsigned i = 0; i < 2; i++) {
		peek(img, second + (i ? last * BLOCK : 0), head, BLOCK);
		put_le32(head, 0, get_le32(head) + 2);
		poke(img, second + (i ? last * BLOCK : 0), head, BLOCK);
	}
	tool("sum", "");
	expect_contradiction("F2FS"); /* what the second one's bitmaps select is not true */
}
END_TEST

/* @at: in the first and last blocks of the first pack; the second pack is no more */
static void poke_checkpoint(unsigned at, uint32_t value)
{
	struct plain p = plain_read();
	uint64_t first = (uint64_t)p.cp * BLOCK, last = peek32(first + 136) - 1;

	poke32(first + at, value);
	poke32(first + last * BLOCK + at, value);
	poke32(first + (uint64_t)SEG * BLOCK + 16, 1);
	tool("sum", "");
	poke32(first + (uint64_t)SEG * BLOCK + 16, 1);
	poke32(first + (uint64_t)SEG * BLOCK + 4092, 0);
}

START_TEST(damaged_checkpoint)
{
	static const struct { unsigned off; uint32_t value; bool is_map; const char *words; } t[] = {
		{ 16, 0x00ffffff, false, "valid blocks" }, { 16, 100, false, "valid blocks" }, { 16, 2000, true, "valid blocks, the checkpoint counts 2000" },
		{ 36, 9999, false, "current F2FS segment is 9999" }, { 70, 512, false, "filled up to block 512" }, { 84, 0xffffffff, false, "current F2FS segment" },
		{ 140, 0, false, "summaries begin in block 0" }, { 140, 6, false, "summaries begin in block 6" }, { 140, 0xffffffff, false, "summaries begin" },
		{ 144, 5, true, "nodes, the checkpoint counts 5" }, { 156, 63, false, "bitmaps of 63" }, { 160, 0xffffffff, false, "bitmaps of 64 and 4294967295" },
	};

	make(80000, "", true);
	ck_assert_int_eq(run("cp %s %s/good", img, dir), 0);
	for (size_t i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
		ck_assert_int_eq(run("cp %s/good %s", dir, img), 0);
		poke_checkpoint(t[i].off, t[i].value);
		if (t[i].is_map)
			expect_contradiction(t[i].words);
		else
			expect_failure(ERR_CORRUPT, t[i].words);
	}
}
END_TEST

/* Journals that say too much */
START_TEST(damaged_journals)
{
	make(80000, "", false);
	struct plain p = plain_read();
	uint64_t sums = ((uint64_t)p.cp + 1) * BLOCK;
	uint32_t nat = peek32(sums), sit = peek32(sums + 507);

	poke32(sums, (nat & 0xffff0000) | 39);
	expect_failure(ERR_CORRUPT, "journal of the NAT has 39");
	poke32(sums, nat);
	poke32(sums + 507, (sit & 0xffff0000) | 7);
	expect_failure(ERR_CORRUPT, "journal of the SIT has 7");
	poke32(sums + 507, sit);
	uint32_t segno = peek32(sums + 509);
	poke32(sums + 509, p.segs);
	expect_contradiction("journal of the SIT has an entry");
	poke32(sums + 509, segno);
	poke32(sums, (nat & 0xffff0000) | 1);
	poke32(sums + 2, 0xfffffff0);
	expect_contradiction("journal of the NAT has an entry 4294967280");
}
END_TEST

/* ---- contradictions between SIT, NAT and nodes */

/* Where the entries are: sload.f2fs leaves nothing in the journals. */
static uint64_t sit_entry(const struct plain *p, uint32_t segno)
{
	struct dumped d = dump_sit(p);
	uint64_t at = ((uint64_t)p->sit + (d.copies[segno] == 2 ? (p->nat - p->sit) / 2 : 0) + segno / 55) * BLOCK + segno % 55 * 74;

	free(d.map);
	free(d.copies);
	return at;
}

static uint64_t nat_entry(const struct plain *p, uint32_t nid)
{
	int second = run("cd %s && rm -f dump_nat && dump.f2fs -n 0~-1 %s >/dev/null 2>&1 && grep -q 'nid: *%u.*pack:2' dump_nat", dir, img, nid) == 0;

	return ((uint64_t)p->nat + (second ? SEG : 0) + nid / 455) * BLOCK + nid % 455 * 9;
}

static void xor_byte(uint64_t at, uint8_t value)
{
	uint8_t b;

	peek(img, at, &b, 1);
	b ^= value;
	poke(img, at, &b, 1);
}

static uint32_t inode_block(const struct plain *p, uint32_t nid)
{
	return peek32(nat_entry(p, nid) + 5);
}

/* The inode of tree/large: the one with the most pointers. */
static uint32_t find_large(const struct plain *p)
{
	for (uint32_t nid = 4; nid < 1000; nid++) {
		uint64_t at = (uint64_t)inode_block(p, nid) * BLOCK;
		if (peek32(at + 4072) == nid && peek32(at + 4076) == nid && peek32(at + 16) == 4088895 && !(peek32(at) >> 24 & 6))
			return nid;
	}
	ck_abort_msg("no such file");
}

START_TEST(contradictions)
{
	make(80000, "", true);
	struct plain p = plain_read();
	uint32_t large = find_large(&p), node = inode_block(&p, large);
	uint64_t at = (uint64_t)node * BLOCK;
	uint32_t data = peek32(at + 360 + 40) - p.main, free_segno = p.segs - 1, old;
	uint64_t entry = sit_entry(&p, data / SEG), other = sit_entry(&p, free_segno);

	ck_assert_int_eq(run(TOOL " list %s >/dev/null", img), 0);
	/* A map and its count */
	xor_byte(entry + 2 + data % SEG / 8, (uint8_t)(0x80 >> data % 8));
	expect_contradiction("valid blocks, its map has");
	/* The count follows, and another segment has one more: all sums are right. */
	xor_byte(other + 2, 0x80);
	old = peek32(entry);
	poke32(entry, old - 1);
	poke32(other, peek32(other) + 1);
	expect_contradiction("which is free in the SIT");
	poke32(entry, old);
	poke32(other, peek32(other) - 1);
	xor_byte(other + 2, 0x80);
	xor_byte(entry + 2 + data % SEG / 8, (uint8_t)(0x80 >> data % 8));
	expect_told(FSD_CLEAN, "", "");
	/* Two pointers to one block; one to nowhere, one to metadata */
	old = peek32(at + 360 + 44);
	poke32(at + 360 + 44, data + p.main);
	expect_contradiction("which something else uses, too");
	poke32(at + 360 + 44, p.end);
	expect_contradiction("which is not in the main area");
	poke32(at + 360 + 44, p.main - 1);
	expect_contradiction("which is not in the main area");
	poke32(at + 360 + 44, node);
	expect_contradiction("which something else uses, too");
	poke32(at + 360 + 44, old);
	/* A node that is another than the NAT says */
	poke32(at + 4072, large + 1);
	poke32(at + 4076, large + 1);
	expect_contradiction("not those which the NAT means");
	poke32(at + 4072, large);
	poke32(at + 4076, large);
	/* Attributes without end */
	xor_byte(at + 3, 0x20);
	poke32(at + 360, 0xffff);
	expect_contradiction("attributes of");
}
END_TEST

START_TEST(contradictions_of_nat)
{
	make(80000, "", true);
	struct plain p = plain_read();
	uint32_t large = find_large(&p);
	uint64_t at = nat_entry(&p, large);
	uint32_t old = peek32(at + 5), neighbour = inode_block(&p, large + 1);

	poke32(at + 5, 0);
	expect_contradiction("nodes, the checkpoint counts");
	poke32(at + 5, p.end - 1);
	expect_contradiction("which is free in the SIT");
	poke32(at + 5, p.end);
	expect_contradiction("not in the main area");
	poke32(at + 5, neighbour);
	expect_contradiction("which something else uses, too");
	poke32(at + 5, old);
	poke32(at + 1, large + 1);
	expect_contradiction("not those which the NAT means");
	poke32(at + 1, large);
	struct opened o;
	open_img(&o);
	ck_assert_int_eq(fsd_map(o.v, ignore_extent, NULL, &o.e), 0);
	close_img(&o);
}
END_TEST

/* What fits into a part of the volume only */
static int emit_nothing(void *arg, size_t member, uint64_t start, uint64_t len, enum ext_state state, struct err *e)
{
	(void)arg;
	(void)member;
	(void)start;
	(void)len;
	(void)state;
	return err_set(e, ERR_STOPPED, 0, "stop");
}

START_TEST(map_stops)
{
	struct opened o;

	make(80000, "", true);
	open_img(&o);
	ck_assert_int_eq(fsd_map(o.v, emit_nothing, NULL, &o.e), -1);
	ck_assert_int_eq(o.e.code, ERR_STOPPED);
	close_img(&o);
}
END_TEST

/* A node that cannot be read names nothing, and its neighbours are still looked at. Without the tables there is nothing to go on. */
START_TEST(unreadable_places)
{
	struct err e = ERR_INIT;
	struct fsd_volume *v;

	make(80000, "", true);
	struct plain p = plain_read();
	uint32_t large = find_large(&p), node = inode_block(&p, large);
	struct faulty f = faulty_open();
	f.bad[0] = (struct range){ (uint64_t)node * BLOCK + 512, 512 };
	struct blk_source *src = &f.base;
	struct blk_set set = { &src, 1 };
	ck_assert_msg(fsd_f2fs.open(&set, &v, &e) == 0, "%s", e.msg);
	ck_assert_msg(fsd_map(v, ignore_extent, NULL, &e) == 0, "%s", e.msg);
	uint32_t old = peek32((uint64_t)node * BLOCK + 360 + 44);
	poke32((uint64_t)node * BLOCK + 360 + 44, p.end);
	f.bad[0].start = (uint64_t)inode_block(&p, large + 1) * BLOCK;
	ck_assert_int_eq(fsd_map(v, ignore_extent, NULL, &e), -1);
	ck_assert_msg(e.code == ERR_CORRUPT && strstr(e.msg, "not in the main area"), "%s", e.msg);
	poke32((uint64_t)node * BLOCK + 360 + 44, old);
	f.bad[0].start = (uint64_t)p.sit * BLOCK;
	f.bad[0].len = (uint64_t)(p.ssa - p.sit) * BLOCK;
	ck_assert_int_eq(fsd_map(v, ignore_extent, NULL, &e), -1);
	ck_assert_msg(e.code == ERR_FAILED && strstr(e.msg, "reading the F2FS SIT"), "%s", e.msg);
	f.bad[0].start = (uint64_t)p.nat * BLOCK;
	f.bad[0].len = (uint64_t)(p.ssa - p.nat) * BLOCK;
	ck_assert_int_eq(fsd_map(v, ignore_extent, NULL, &e), -1);
	ck_assert_msg(e.code == ERR_FAILED && strstr(e.msg, "reading the F2FS NAT"), "%s", e.msg);
	fsd_f2fs.close(v);
	f.bad[0].start = (uint64_t)p.cp * BLOCK;
	ck_assert_int_eq(fsd_f2fs.open(&set, &v, &e), -1);
	ck_assert_int_eq(e.code, ERR_FAILED);
	blk_close(f.of);
}
END_TEST

/* Crude damage: never a crash, and what is taken for clean has the same files in its copy. */
START_TEST(damaged_metadata)
{
	struct opened o;
	char path[96];

	for (int i = 0; i < 5; i++) {
		ck_assert_int_eq(run("cp %s/whole %s && " TOOL " mutate %s %d >/dev/null", dir, img, img, _i * 5 + i), 0);
		snprintf(path, sizeof(path), "%s/copy", dir);
		if (try_open(&o) < 0) {
			ck_assert_msg(o.e.code == ERR_CORRUPT || o.e.code == ERR_UNSUPPORTED, "%s", o.e.msg);
			close_img(&o);
			continue;
		}
		if (fsd_map(o.v, ignore_extent, NULL, &o.e) < 0) {
			ck_assert_msg(o.e.code == ERR_CORRUPT, "%s", o.e.msg);
		} else if (o.v->info.state == FSD_CLEAN && run(TOOL " list %s >%s/a 2>/dev/null", img, dir) == 0) {
			struct collected c = collect(o.v);
			copy_used(o.v, &c, path);
			ck_assert_msg(run(TOOL " list %s >%s/b && cmp %s/a %s/b", path, dir, dir, dir) == 0, "seed %d", _i * 5 + i);
			collected_release(&c);
		}
		close_img(&o);
	}
}
END_TEST

int main(void)
{
	setenv("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", 1);
	Suite *s = suite_create("f2fs");
	TCase *t = tcase_create("all");

	tcase_set_timeout(t, 120);
	tcase_add_unchecked_fixture(t, setup, teardown);
	tcase_add_checked_fixture(t, fresh, NULL);
	tcase_add_loop_test(t, volumes, 0, NR_CASES);
	tcase_add_test(t, journals_count);
	tcase_add_test(t, checkpoint_flags);
	tcase_add_test(t, several_devices);
	tcase_add_test(t, features);
	tcase_add_test(t, damaged_superblocks);
	tcase_add_test(t, checkpoint_packs);
	tcase_add_test(t, damaged_checkpoint);
	tcase_add_test(t, damaged_journals);
	tcase_add_test(t, contradictions);
	tcase_add_test(t, contradictions_of_nat);
	tcase_add_test(t, map_stops);
	tcase_add_test(t, unreadable_places);
	tcase_add_loop_test(t, damaged_metadata, 0, 8);
	suite_add_tcase(s, t);
	SRunner *r = srunner_create(s);
	srunner_run_all(r, CK_ENV);
	int failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
