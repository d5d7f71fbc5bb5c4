/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The checkpoint packs, at the beginning of the first two segments, written in turns. A pack is valid when its first and its last block
 * are the same version and have the right checksum; the newer one counts. Blocks of a pack (f2fs.rst, "Checkpoint"): struct
 * f2fs_checkpoint, the payload (version bitmaps that have no room in the first), orphans, summaries of the current data segments and, when
 * it was unmounted, of the current node segments, struct f2fs_checkpoint again.
 */
#include "fsdrivers/f2fs/f2fs.h"

#include "base/arith.h"

#define BITMAPS        192U /* in the first block: behind everything else, sit_nat_version_bitmap */
#define NR_LOGS        3U   /* current segments of nodes, and of data: hot, warm, cold */
#define WARM           1U
#define COLD           2U
#define SIT_ENTRY      74U
#define NAT_ENTRY      9U
#define SUMMARY_ENTRY  7U
#define SUMMARY_FOOTER 5U

int f2fs_read_blocks(const struct f2fs_volume *v, uint64_t block, uint64_t nr, void *buf, const char *what, struct err *e)
{
	if (blk_read(v->src, block * v->sb.block_size, buf, (size_t)(nr * v->sb.block_size), e) < 0)
		return err_wrap(e, "reading the F2FS %s", what);
	return 0;
}

/* A checksum in the middle is not covered itself, what is behind it is. */
static bool is_whole(const uint8_t *block, uint32_t block_size)
{
	uint32_t at = get_le32(block + 164);

	if (at < BITMAPS || at > block_size - 4 || at % 4)
		return false;
	uint32_t crc = f2fs_crc(F2FS_MAGIC, block, at);
	if (at < block_size - 4)
		crc = f2fs_crc(crc, block + at + 4, block_size - at - 4);
	return crc == get_le32(block + at);
}

/* Reads a pack's first block into @buf, too; *ret says whether it is valid. */
static int read_pack(const struct f2fs_volume *v, uint32_t start, uint8_t *buf, struct f2fs_pack *ret, struct err *e)
{
	uint32_t size = v->sb.block_size;
	struct f2fs_pack p = { .start = start };

	*ret = p;
	if (f2fs_read_blocks(v, start, 1, buf, "checkpoint", e) < 0)
		return -1;
	p.version = get_le64(buf);
	p.flags = get_le32(buf + 132);
	p.total = get_le32(buf + 136);
	/* Two blocks of its own, and the least of summaries. */
	if (!is_whole(buf, size) || p.total > F2FS_SEG_BLOCKS || p.total < 3 + v->sb.cp_payload)
		return 0;
	AUTO_FREE uint8_t *last = alloc_array(1, size);
	if (!last)
		return err_nomem(e, "a block of the F2FS checkpoint");
	if (f2fs_read_blocks(v, start + p.total - 1, 1, last, "checkpoint", e) < 0)
		return -1;
	p.is_valid = is_whole(last, size) && get_le64(last) == p.version;
	*ret = p;
	return 0;
}

static int pick_pack(struct f2fs_volume *v, struct err *e)
{
	for (unsigned i = 0; i < F2FS_PACKS; i++) {
		const struct f2fs_pack *p = &v->packs[i];
		if (read_pack(v, v->sb.cp + i * F2FS_SEG_BLOCKS, v->cp, &v->packs[i], e) < 0)
			return -1;
		/* Versions may wrap around, for the kernel at least. */
		if (p->is_valid && (!v->pack || (int64_t)(p->version - v->pack->version) > 0))
			v->pack = p;
	}
	if (!v->pack)
		return err_set(e, ERR_CORRUPT, 0, "no valid F2FS checkpoint");
	if (v->pack->flags & ~F2FS_CP_KNOWN)
		return err_set(e, ERR_UNSUPPORTED, 0, "F2FS checkpoint flags 0x%x are unknown", v->pack->flags & ~F2FS_CP_KNOWN);
	return f2fs_read_blocks(v, v->pack->start, 1 + v->sb.cp_payload, v->cp, "checkpoint", e);
}

/* Where the current segments are; those of data are not of interest beyond that. */
static int check_logs(struct f2fs_volume *v, struct err *e)
{
	static const unsigned segnos[] = { 36, 84 }, offsets[] = { 68, 116 }; /* of nodes, of data */

	if (v->sb.feature & F2FS_FEATURE_READ_ONLY)
		return 0; /* has fewer */
	for (unsigned kind = 0; kind < 2; kind++) {
		for (unsigned i = 0; i < NR_LOGS; i++) {
			uint32_t segno = get_le32(v->cp + segnos[kind] + 4 * i), offset = get_le16(v->cp + offsets[kind] + 2 * i);
			if (segno >= v->sb.segs_main || offset >= F2FS_SEG_BLOCKS)
				return err_set(e, ERR_CORRUPT, 0, "a current F2FS segment is %u of %u, filled up to block %u", segno,
					v->sb.segs_main, offset);
			if (!kind && i == WARM)
				v->next_node = v->sb.main + segno * F2FS_SEG_BLOCKS + offset;
		}
	}
	return 0;
}

/* The version bitmaps: three layouts. */
static int find_bitmaps(struct f2fs_volume *v, struct err *e)
{
	uint32_t sit_len = get_le32(v->cp + 156), nat_len = get_le32(v->cp + 160), size = v->sb.block_size;
	uint32_t need_sit = v->sb.segs_sit / 2 * (F2FS_SEG_BLOCKS / 8), need_nat = v->sb.segs_nat / 2 * (F2FS_SEG_BLOCKS / 8);
	uint64_t sit_at = BITMAPS, nat_at = BITMAPS + (uint64_t)sit_len;

	if (sit_len != need_sit || nat_len != need_nat)
		return err_set(e, ERR_CORRUPT, 0, "F2FS version bitmaps of %u and %u bytes, they should have %u and %u", sit_len, nat_len,
			need_sit, need_nat);
	if (v->pack->flags & F2FS_CP_LARGE_NAT) {
		if (get_le32(v->cp + 164) != BITMAPS)
			return err_set(e, ERR_UNSUPPORTED, 0, "an old layout of large F2FS version bitmaps; fsck.f2fs renews it");
		nat_at = BITMAPS + 4;
		sit_at = nat_at + nat_len;
	} else if (v->sb.cp_payload) {
		nat_at = BITMAPS;
		sit_at = size;
	}
	uint64_t end = (1 + (uint64_t)v->sb.cp_payload) * size;
	if (!range_inside(sit_at, sit_len, end) || !range_inside(nat_at, nat_len, end))
		return err_set(e, ERR_CORRUPT, 0, "the F2FS version bitmaps have %u and %u bytes, too many", sit_len, nat_len);
	v->sit.bits = v->cp + sit_at;
	v->nat.bits = v->cp + nat_at;
	return 0;
}

static int take_journal(struct f2fs_table *t, const uint8_t *journal, uint32_t len, struct err *e)
{
	t->nr_journal = get_le16(journal);
	t->journal = journal + 2;
	if (t->nr_journal > (len - 2) / (4 + t->entry_size))
		return err_set(e, ERR_CORRUPT, 0, "the F2FS journal of the %s has %u entries", t->name, t->nr_journal);
	return 0;
}

/*
 * struct f2fs_summary_block ends with a journal: that of the hot data segment is the NAT's, that of the cold one the SIT's. In compact
 * form they are the first of all.
 */
static int find_journals(struct f2fs_volume *v, struct err *e)
{
	uint32_t size = v->sb.block_size, start = get_le32(v->cp + 140), nat_at = 0, sit_at;
	uint32_t sum_size = v->sb.feature & F2FS_FEATURE_PACKED_SSA ? 4096 : size, entries = sum_size / 8 * SUMMARY_ENTRY;
	uint32_t len = sum_size - SUMMARY_FOOTER - entries, nr = v->pack->flags & F2FS_CP_COMPACT_SUM ? 1 : NR_LOGS;

	if (start < 1 + v->sb.cp_payload || start >= v->pack->total || nr > v->pack->total - 1 - start)
		return err_set(e, ERR_CORRUPT, 0, "the F2FS summaries begin in block %u of %u of the checkpoint", start, v->pack->total);
	v->journals = alloc_array(nr, size);
	if (!v->journals)
		return err_nomem(e, "the F2FS summaries");
	if (f2fs_read_blocks(v, v->pack->start + start, nr, v->journals, "summaries", e) < 0)
		return -1;
	if (nr > 1) {
		nat_at = entries;
		sit_at = COLD * size + entries;
	} else {
		sit_at = len;
	}
	return take_journal(&v->nat, v->journals + nat_at, len, e) < 0 || take_journal(&v->sit, v->journals + sit_at, len, e) < 0 ? -1 : 0;
}

static void make_tables(struct f2fs_volume *v)
{
	const struct f2fs_super *sb = &v->sb;
	uint32_t per_sit = sb->block_size / SIT_ENTRY, per_nat = sb->block_size / NAT_ENTRY;
	uint64_t nat_blocks = (uint64_t)(sb->segs_nat / 2) * F2FS_SEG_BLOCKS;

	v->sit = (struct f2fs_table){ .name = "SIT", .start = sb->sit, .second = sb->segs_sit / 2 * F2FS_SEG_BLOCKS,
		.entry_size = SIT_ENTRY, .per_block = per_sit, .nr_entries = sb->segs_main,
		.nr_blocks = (uint32_t)ceil_div_u64(sb->segs_main, per_sit) };
	v->nat = (struct f2fs_table){ .name = "NAT", .start = sb->nat, .second = F2FS_SEG_BLOCKS, .is_interleaved = true,
		.entry_size = NAT_ENTRY, .per_block = per_nat, .nr_entries = (uint32_t)min_u64(nat_blocks * per_nat, UINT32_MAX) };
	v->nat.nr_blocks = (uint32_t)ceil_div_u64(v->nat.nr_entries, per_nat);
}

int f2fs_read_checkpoint(struct f2fs_volume *v, struct err *e)
{
	v->cp = alloc_array(1 + v->sb.cp_payload, v->sb.block_size);
	if (!v->cp)
		return err_nomem(e, "the F2FS checkpoint");
	if (pick_pack(v, e) < 0)
		return -1;
	v->nr_valid = get_le64(v->cp + 16);
	v->nr_nodes = get_le32(v->cp + 144);
	if (v->nr_valid > (uint64_t)v->sb.segs_main * F2FS_SEG_BLOCKS || v->nr_nodes > v->nr_valid)
		return err_set(e, ERR_CORRUPT, 0, "the F2FS checkpoint counts %llu valid blocks, %u nodes, in %u segments",
			(unsigned long long)v->nr_valid, v->nr_nodes, v->sb.segs_main);
	make_tables(v);
	if (check_logs(v, e) < 0 || find_bitmaps(v, e) < 0)
		return -1;
	return find_journals(v, e);
}
