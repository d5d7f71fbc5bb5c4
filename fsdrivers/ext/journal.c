/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The journal (ext4 docs, journal.rst). In a clean file system its body is dead: jbd2 starts a new log behind its
 * superblock and never looks at what stood there. It is taken as zero, not as unused: stale blocks of an earlier
 * deployment with fitting sequence numbers could otherwise be replayed after a later crash. Superblock kept and body
 * zero is how mke2fs leaves a new journal, the area for fast commits included.
 *
 * That is done only where everything agrees: the inode with its copy in the superblock (s_jnl_blocks), all
 * checksums, the length, one run of blocks that no other run of it overlaps. Else the journal is kept as it is.
 */
#include "fsdrivers/ext/jbd2.h"

#include "base/span.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define MAX_BLOCKS (1U << 24) /* mke2fs makes at most 10240000 */

uint32_t jbd2_super_csum(const struct ext_crc *c, const uint8_t raw[JBD2_SUPER_SIZE])
{
	static const uint8_t none[4];
	uint32_t crc = ext_crc32c(c, ~0U, raw, 0xFC);

	crc = ext_crc32c(c, crc, none, 4);
	return ext_crc32c(c, crc, raw + 0x100, JBD2_SUPER_SIZE - 0x100);
}

/* Check the journal's superblock; *ret_len is its length in blocks. */
static int check_jbd2_super(
	struct ext_volume *v, const uint8_t raw[JBD2_SUPER_SIZE], uint32_t *ret_len, struct err *e)
{
	struct span s = span_of(raw, JBD2_SUPER_SIZE);
	uint32_t type = jbd2_be32(&s, 0x04), len = jbd2_be32(&s, 0x10), features = type == JBD2_SUPER_V2 ? jbd2_be32(&s, 0x28) : 0;

	if (jbd2_be32(&s, 0x00) != JBD2_MAGIC || (type != JBD2_SUPER_V1 && type != JBD2_SUPER_V2))
		return err_set(e, ERR_CORRUPT, 0, "it has no jbd2 superblock");
	if (jbd2_be32(&s, 0x0C) != v->sb.block_size)
		return err_set(e, ERR_CORRUPT, 0, "it has blocks of %u bytes", jbd2_be32(&s, 0x0C));
	if (len < 2 || len > MAX_BLOCKS || len > v->sb.nr_blocks)
		return err_set(e, ERR_CORRUPT, 0, "it claims %u blocks", len);
	if (features & ~JBD2_KNOWN)
		return err_set(e, ERR_CORRUPT, 0, "it has unknown features 0x%x", features & ~JBD2_KNOWN);
	if (features & (JBD2_CSUM_V2 | JBD2_CSUM_V3) && jbd2_super_csum(&v->crc, raw) != jbd2_be32(&s, 0xFC))
		return err_set(e, ERR_CORRUPT, 0, "its superblock has a wrong checksum");
	if (jbd2_be32(&s, 0x14) == 0 || jbd2_be32(&s, 0x14) >= len)
		return err_set(e, ERR_CORRUPT, 0, "its log starts at block %u of %u", jbd2_be32(&s, 0x14), len);
	v->journal.has_transactions = jbd2_be32(&s, 0x1C) != 0;
	v->journal.has_error = jbd2_be32(&s, 0x20) != 0;
	*ret_len = len;
	return 0;
}

/* e2fsprogs keeps block map and size of the journal inode in the superblock; a difference means that one is wrong. */
static bool agrees_with_backup(const struct ext_super *sb, const struct ext_inode *inode)
{
	if (sb->journal_backup_type != 1)
		return true;
	for (size_t i = 0; i < 15; i++)
		if (sb->journal_backup[i] != get_le32(inode->i_block + 4 * i))
			return false;
	return sb->journal_backup[16] == (uint32_t)inode->size && sb->journal_backup[15] == inode->size >> 32;
}

/* Split the superblock's block off the front of a non-empty list in file order. */
static void drop_first_block(struct ext_runs *r)
{
	r->v[0].start++;
	if (--r->v[0].nr_blocks == 0)
		memmove(r->v, r->v + 1, --r->nr * sizeof(*r->v));
}

static int read_internal(struct ext_volume *v, struct err *e)
{
	struct ext_runs *body = &v->journal.body;
	struct ext_runs first = { 0 };
	uint8_t raw[JBD2_SUPER_SIZE];
	struct ext_inode inode;
	uint32_t len = 0;

	if (ext_inode_read(v, v->sb.journal_inum, &inode, e) < 0)
		return -1;
	int r = ext_inode_runs(v, &inode, 1, &first, e);
	if (r == 0)
		r = blk_read(v->src, first.v[0].start * v->sb.block_size, raw, sizeof(raw), e);
	ext_runs_free(&first);
	if (r < 0 || check_jbd2_super(v, raw, &len, e) < 0)
		return -1;
	if ((inode.mode & EXT_S_IFMT) != EXT_S_IFREG || inode.size / v->sb.block_size < len)
		return err_set(e, ERR_CORRUPT, 0, "its inode is not a file of %u blocks", len);
	if (!agrees_with_backup(&v->sb, &inode))
		return err_set(e, ERR_CORRUPT, 0, "its inode differs from the copy in the superblock");
	if (ext_inode_runs(v, &inode, len, body, e) < 0)
		return -1;
	drop_first_block(body);
	if (!ext_runs_sort(body))
		return err_set(e, ERR_CORRUPT, 0, "it uses a block twice");
	return 0;
}

int ext_journal_read(struct ext_volume *v, struct err *e)
{
	struct ext_journal *j = &v->journal;
	struct err why = ERR_INIT;

	if (!(v->sb.compat & EXT_COMPAT_HAS_JOURNAL))
		return 0;
	j->kind = v->sb.journal_inum ? EXT_JOURNAL_INTERNAL : EXT_JOURNAL_EXTERNAL;
	if (j->kind == EXT_JOURNAL_EXTERNAL || read_internal(v, &why) == 0)
		return 0;
	ext_runs_free(&j->body);
	if (why.sys_errno == ENOMEM) {
		*e = why;
		return -1;
	}
	snprintf(j->odd, sizeof(j->odd), "%.*s", (int)sizeof(j->odd) - 1, why.msg);
	return 0;
}
