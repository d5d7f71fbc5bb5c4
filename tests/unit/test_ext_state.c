/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * What the ext driver says of volumes that are not clean, not whole or not understood. Each is a fresh one by mke2fs
 * with a few bytes changed.
 */
#include "tests/unit/ext_volume.h"

/* ---- states, one poke each; no metadata_csum, so that a poke is no checksum error ---- */

#define PLAIN "-t ext4 -b 1024 -O ^metadata_csum,^uninit_bg,mmp"

static uint64_t plain_journal_at(void)
{
	char *text = output_of("debugfs -R 'bmap <8> 0' fs 2>/dev/null");
	uint64_t block = strtoull(text, NULL, 10);

	free(text);
	return block * KIB;
}

static void poke_state(uint32_t state)
{
	uint8_t b[2] = { (uint8_t)state, 0 };
	poke("fs", 1024 + 0x3A, b, 2);
}

static void poke_errors(void)
{
	poke_state(3);
}

static void poke_not_valid(void)
{
	poke_state(0);
}

static void poke_recover(void)
{
	poke32("fs", 1024 + 0x60, peek32("fs", 1024 + 0x60) | 4);
}

static void poke_log_start(void)
{
	poke32("fs", plain_journal_at() + 0x1C, 0x01000000);
}

static void poke_jbd2_errno(void)
{
	poke32("fs", plain_journal_at() + 0x20, 0xFBFFFFFF);
}

static void poke_external(void)
{
	poke32("fs", 1024 + 0xE0, 0);
}

static void poke_external_recover(void)
{
	poke_external();
	poke_recover();
}

static void poke_mmp(uint32_t seq)
{
	uint8_t b[8];

	peek("fs", 1024 + 0x168, b, 8);
	poke32("fs", get_le64(b) * KIB + 4, seq);
	poke("fs", get_le64(b) * KIB + 0x10, "host\x1b[1m", 9);
}

static void poke_mmp_active(void)
{
	poke_mmp(0x1234);
	poke_recover();
}

static void poke_mmp_fsck(void)
{
	poke_mmp(0xE24D4D50);
}

static void poke_orphan(void)
{
	poke32("fs", 1024 + 0xE8, 13);
}

static void poke_orphan_present(void)
{
	poke32("fs", 1024 + 0x64, peek32("fs", 1024 + 0x64) | 0x10000);
}

static void poke_jbd2_magic(void)
{
	poke32("fs", plain_journal_at(), 0);
}

static void poke_jnl_backup(void)
{
	poke32("fs", 1024 + 0x10C + 20, 77);
}

static const struct state_case {
	const char *name;
	void (*poke)(void);
	enum fsd_state state;
	const char *reason, *notice;
} states[] = {
	{"clean", NULL, FSD_CLEAN, "", ""},
	{"errors", poke_errors, FSD_DAMAGED, "errors", ""},
	{"jbd2 errno", poke_jbd2_errno, FSD_DAMAGED, "errors", ""},
	{"not valid", poke_not_valid, FSD_DAMAGED, "dirty", ""},
	{"recover", poke_recover, FSD_REPLAYABLE, "dirty-journal", ""},
	{"log start without recover", poke_log_start, FSD_REPLAYABLE, "dirty-journal", ""},
	{"external", poke_external, FSD_CLEAN, "", "journal is on another device"},
	{"external recover", poke_external_recover, FSD_SET_MEMBER, "external-journal",
		"journal is on another device"},
	{"mmp", poke_mmp_active, FSD_IN_USE, "mmp", ""},
	{"mmp fsck", poke_mmp_fsck, FSD_IN_USE, "mmp", ""},
	{"orphans", poke_orphan, FSD_CLEAN, "", ""},
	{"orphan_present", poke_orphan_present, FSD_CLEAN, "", ""},
	{"no jbd2 magic", poke_jbd2_magic, FSD_CLEAN, "", "journal kept whole"},
	{"journal inode differs", poke_jnl_backup, FSD_CLEAN, "", "journal kept whole"},
};

START_TEST(test_state)
{
	const struct state_case *c = &states[_i];
	struct opened o;

	SH("truncate -s 0 fs && truncate -s 24M fs && mke2fs -q -F %s fs", PLAIN);
	if (c->poke)
		c->poke();
	open_and_map(&o, "fs");
	const struct fsd_info *i = &o.v->info;
	ck_assert_msg(i->state == c->state, "%s: state %d (%s)", c->name, (int)i->state, i->detail);
	ck_assert_str_eq(i->reason, c->reason);
	ck_assert_int_eq(!i->detail[0], c->state == FSD_CLEAN);
	ck_assert_int_eq(!i->advice[0], c->state == FSD_CLEAN);
	ck_assert_ptr_null(strchr(i->detail, 0x1b));
	ck_assert_msg(strstr(i->notice, c->notice) && !c->notice[0] == !i->notice[0], "%s: notice '%s'", c->name,
		i->notice);
	uint64_t per_state[3] = { 0 };
	for (uint64_t k = 0; k < o.nr; k++)
		per_state[o.state[k]]++;
	if (c->state != FSD_CLEAN) /* maps are not believed */
		ck_assert_uint_eq(per_state[EXT_USED], o.nr);
	else
		ck_assert_uint_gt(per_state[EXT_UNUSED], o.nr / 2);
	if (i->notice[0])
		ck_assert_uint_eq(per_state[EXT_ZERO], 0);
	close_opened(&o);
}
END_TEST

/* ---- what must not be opened, or not mapped ---- */

static void poke_incompat(void)
{
	poke32("fs", 1024 + 0x60, peek32("fs", 1024 + 0x60) | 0x80000001);
}

static void poke_ro_compat(void)
{
	poke32("fs", 1024 + 0x64, peek32("fs", 1024 + 0x64) | 0x80);
}

static void poke_journal_dev(void)
{
	poke32("fs", 1024 + 0x60, peek32("fs", 1024 + 0x60) | 8);
}

static void poke_revision(void)
{
	poke32("fs", 1024 + 0x4C, 2);
}

static void poke_block_size(void)
{
	poke32("fs", 1024 + 0x18, 50);
}

static void poke_many_blocks(void)
{
	poke32("fs", 1024 + 0x150, 0xFFFF); /* 64bit */
}

static void poke_tiny_groups(void)
{
	poke32("fs", 1024 + 0x20, 1);
}

static void poke_no_groups(void)
{
	poke32("fs", 1024 + 0x20, 0);
}

static void poke_inodes(void)
{
	poke32("fs", 1024 + 0x28, 0xFFFFFFFF);
}

static void poke_inode_size(void)
{
	uint8_t b[2] = { 0xFF, 0x00 };
	poke("fs", 1024 + 0x58, b, 2);
}

static void poke_desc_size(void)
{
	uint8_t b[2] = { 0, 0 };
	poke("fs", 1024 + 0xFE, b, 2);
}

static void poke_bitmap_range(void)
{
	poke32("fs", 2048 + 0x00, 0x00FFFFFF);
}

static void poke_itable_range(void)
{
	poke32("fs", 2048 + 0x08, 24 * 1024 - 1);
}

static void poke_overlap(void)
{
	poke32("fs", 2048 + 0x04, peek32("fs", 2048));
}

static void poke_on_super(void)
{
	poke32("fs", 2048 + 0x00, 8193); /* the first backup superblock */
}

static void poke_mmp_magic(void)
{
	uint8_t b[8];

	peek("fs", 1024 + 0x168, b, 8);
	poke32("fs", get_le64(b) * KIB, 0);
}

static const struct bad_case {
	const char *name;
	void (*poke)(void);
	enum err_code code;
	const char *msg;
} bads[] = {
	{ "incompat", poke_incompat, ERR_UNSUPPORTED, "incompat 0x80000001" },
	{ "ro_compat", poke_ro_compat, ERR_UNSUPPORTED, "ro_compat 0x80" },
	{ "journal device", poke_journal_dev, ERR_UNSUPPORTED, "jbd" },
	{ "revision", poke_revision, ERR_UNSUPPORTED, "revision 2" },
	{ "block size", poke_block_size, ERR_CORRUPT, "block size" },
	{ "many blocks", poke_many_blocks, ERR_CORRUPT, "file system is larger" },
	{ "tiny groups", poke_tiny_groups, ERR_CORRUPT, "" },
	{ "no groups", poke_no_groups, ERR_CORRUPT, "groups" },
	{ "inodes", poke_inodes, ERR_CORRUPT, "inodes" },
	{ "inode size", poke_inode_size, ERR_CORRUPT, "inode size 255" },
	{ "descriptor size", poke_desc_size, ERR_CORRUPT, "descriptors of 0 bytes" },
	{ "bitmap out of range", poke_bitmap_range, ERR_CORRUPT, "block bitmap of ext group 0" },
	{ "inode table out of range", poke_itable_range, ERR_CORRUPT, "inode table of ext group 0" },
	{ "overlap", poke_overlap, ERR_CORRUPT, "overlap" },
	{ "bitmap on a superblock", poke_on_super, ERR_CORRUPT, "overlap" },
	{ "mmp magic", poke_mmp_magic, ERR_CORRUPT, "mmp" },
};

START_TEST(test_bad)
{
	const struct bad_case *c = &bads[_i];
	struct opened o;

	SH("truncate -s 0 fs && truncate -s 24M fs && mke2fs -q -F %s,64bit fs", PLAIN);
	c->poke();
	open_sized(&o, "fs", 0);
	ck_assert_int_eq(o.result, -1);
	ck_assert_msg(o.e.code == c->code && strstr(o.e.msg, c->msg), "%s: %d %s", c->name, o.e.code, o.e.msg);
	close_opened(&o);
}
END_TEST

START_TEST(test_too_small)
{
	struct opened o;

	SH("truncate -s 0 fs && truncate -s 24M fs && mke2fs -q -F -t ext4 fs");
	open_sized(&o, "fs", 24 * MIB - 4096);
	ck_assert_int_eq(o.result, -1);
	ck_assert_int_eq(o.e.code, ERR_CORRUPT);
	ck_assert_ptr_nonnull(strstr(o.e.msg, "file system is larger"));
	close_opened(&o);
	SH("truncate -s 25M fs");
	open_and_map(&o, "fs");
	ck_assert_uint_eq(o.v->info.size, 24 * MIB);
	close_opened(&o);
}
END_TEST

START_TEST(test_not_mine)
{
	struct err e = ERR_INIT;
	uint8_t zero[2048] = { 0 };

	for (size_t len = 0; len <= sizeof(zero); len += 512) {
		struct blk_source *s = blk_mem(zero, len, 512, "zero", &e);
		ck_assert_int_eq(fsd_ext.probe(s, &e), 0);
		blk_close(s);
	}
}
END_TEST

/* Checksums: a wrong one in superblock or descriptors is damage, in a block bitmap it makes the map fail. */
START_TEST(test_checksums)
{
	static const char *const options[] = {
		"-t ext4", "-t ext4 -O ^metadata_csum,uninit_bg", "-t ext4 -O ^64bit"};
	struct opened o;

	for (size_t i = 0; i < 3; i++) {
		SH("truncate -s 0 fs && truncate -s 24M fs && mke2fs -q -F -b 4096 %s fs", options[i]);
		poke32("fs", 4096 + 0x0C, 5); /* free counts of group 0 */
		open_and_map(&o, "fs");
		ck_assert_int_eq(o.v->info.state, FSD_DAMAGED);
		ck_assert_str_eq(o.v->info.reason, "checksum");
		close_opened(&o);
	}
	SH("mke2fs -q -F -b 4096 -t ext4 fs");
	poke32("fs", 1024 + 0x2C, 5); /* mount time */
	open_and_map(&o, "fs");
	ck_assert_int_eq(o.v->info.state, FSD_DAMAGED);
	ck_assert_str_eq(o.v->info.reason, "checksum");
	close_opened(&o);
	SH("mke2fs -q -F -b 4096 -t ext4 fs");
	poke32("fs", peek32("fs", 4096) * 4096ULL + 400, 0x10101010);
	open_sized(&o, "fs", 0);
	ck_assert_int_eq(o.result, 0);
	ck_assert_int_eq(map_opened(&o), -1);
	ck_assert_int_eq(o.e.code, ERR_CORRUPT);
	ck_assert_ptr_nonnull(strstr(o.e.msg, "block bitmap of ext group 0"));
	close_opened(&o);
}
END_TEST

/* An inode marked used behind "never used" keeps the group's whole table. */
START_TEST(test_tail_contradicted)
{
	struct opened o;

	SH("truncate -s 0 fs && truncate -s 24M fs && mke2fs -q -F -b 4096 -t ext4 -O ^metadata_csum,uninit_bg fs");
	uint64_t table = peek32("fs", 4096 + 8) * 4ULL, bitmap = peek32("fs", 4096 + 4) * 4096ULL;
	open_and_map(&o, "fs");
	ck_assert_int_eq(o.state[table], EXT_USED);
	ck_assert_int_eq(o.state[table + 4], EXT_ZERO);
	close_opened(&o);
	poke32("fs", bitmap + 64, 1);
	open_and_map(&o, "fs");
	ck_assert_int_eq(o.state[table + 4], EXT_USED);
	close_opened(&o);
}
END_TEST

static Suite *ext_state_suite(void)
{
	Suite *s = suite_create("ext-state");
	TCase *t = tcase_create("ext-state");

	tcase_set_timeout(t, 30);
	tcase_add_test(t, test_not_mine);
	tcase_add_loop_test(t, test_state, 0, NR(states));
	tcase_add_loop_test(t, test_bad, 0, NR(bads));
	tcase_add_test(t, test_too_small);
	tcase_add_test(t, test_checksums);
	tcase_add_test(t, test_tail_contradicted);
	suite_add_tcase(s, t);
	return s;
}

int main(void)
{
	return run_suite(ext_state_suite());
}
