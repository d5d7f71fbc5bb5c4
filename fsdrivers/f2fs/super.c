/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * struct f2fs_super_block, in the first block and again in the second. The kernel takes the first that is whole and repairs the other;
 * the relations checked here are those that it demands.
 *
 * Blocks are as large as pages: 4 KiB, on some machines 16 KiB, 64 KiB at most. A segment has 512 of them always.
 */
#include "fsdrivers/f2fs/f2fs.h"

#include "base/arith.h"
#include "base/hash.h"
#include "base/utf16.h"
#include "fsdrivers/label.h"

#include <stdio.h>

#define MIN_LOG_SECTOR 9U
#define MIN_LOG_BLOCK  12U
#define MAX_LOG_BLOCK  16U
#define LOG_SEG_BLOCKS 9U
#define CRC_OFFSET     3068U
#define LABEL_UNITS    512U
#define MAX_DEVICES    8U
#define DEVICE_PATH    64U
#define DEVICE_SIZE    68U /* a path of 64 bytes, and how many segments */
#define NR_ERRORS      16U
#define MAX_PAYLOAD    (F2FS_SEG_BLOCKS - F2FS_PACKS - 6U) /* what six current segments leave */

/*
 * Encryption, atomic writes, extra attributes, project quota, checksums of inodes, flexible inline attributes, quota files, creation
 * times, lost+found, verity, superblock checksum, case folding, compression, read only, packed SSA. None of them changes what SIT and
 * NAT mean.
 */
#define KNOWN_FEATURES 0x17ffdU

bool f2fs_is_super(const uint8_t magic[4])
{
	return get_le32(magic) == F2FS_MAGIC;
}

/* CRC-32 without its inversions at the beginning and the end. */
uint32_t f2fs_crc(uint32_t crc, const void *buf, size_t len)
{
	return ~crc32_more(~crc, buf, len);
}

static int check_sizes(struct span *s, struct err *e)
{
	uint32_t log_sector = span_le32(s, 8), log_sectors = span_le32(s, 12), log_block = span_le32(s, 16), log_seg = span_le32(s, 20);

	if (log_block < MIN_LOG_BLOCK || log_block > MAX_LOG_BLOCK)
		return err_set(e, ERR_CORRUPT, 0, "F2FS blocks of 2^%u bytes", log_block);
	if (log_sector < MIN_LOG_SECTOR || log_sector > log_block || log_sectors != log_block - log_sector)
		return err_set(e, ERR_CORRUPT, 0, "F2FS sectors of 2^%u bytes, 2^%u in a block of 2^%u", log_sector, log_sectors, log_block);
	if (log_seg != LOG_SEG_BLOCKS)
		return err_set(e, ERR_CORRUPT, 0, "F2FS segments of 2^%u blocks", log_seg);
	return 0;
}

static int check_features(struct span *s, const struct f2fs_super *sb, struct err *e)
{
	uint32_t unknown = sb->feature & ~KNOWN_FEATURES;
	const char *name = unknown == F2FS_FEATURE_ZONED ? " (zoned device)" : unknown == F2FS_FEATURE_DEVICE_ALIAS ? " (device aliases)" : "";

	if (sb->feature & F2FS_FEATURE_SB_CHECKSUM) {
		uint32_t crc = f2fs_crc(F2FS_MAGIC, s->p, CRC_OFFSET);
		if (span_le32(s, 32) != CRC_OFFSET || span_le32(s, CRC_OFFSET) != crc)
			return err_set(e, ERR_CORRUPT, 0, "the checksum of the F2FS superblock is 0x%08x, it should be 0x%08x",
				span_le32(s, CRC_OFFSET), crc);
	}
	if (span_le16(s, 4) != 1)
		return err_set(e, ERR_UNSUPPORTED, 0, "F2FS version %u.%u is unknown", span_le16(s, 4), span_le16(s, 6));
	if (unknown)
		return err_set(e, ERR_UNSUPPORTED, 0, "F2FS features 0x%x%s are unknown", unknown, name);
	return 0;
}

/* The areas follow each other without gaps. */
static int check_areas(struct span *s, const struct f2fs_super *sb, struct err *e)
{
	static const struct {
		const char *name;
		unsigned start, next, count; /* where in the superblock they are told; next: the area behind it, 0: none */
	} areas[] = { { "checkpoint", 76, 80, 52 }, { "SIT", 80, 84, 56 }, { "NAT", 84, 88, 60 }, { "SSA", 88, 92, 64 }, { "main", 92, 0, 68 } };
	uint64_t end = 0, limit = span_le32(s, 72) + (uint64_t)span_le32(s, 48) * F2FS_SEG_BLOCKS;

	if (sb->seg0 < F2FS_PACKS || sb->cp != sb->seg0)
		return err_set(e, ERR_CORRUPT, 0, "the F2FS segments begin at block %u, the checkpoints at %u", sb->seg0, sb->cp);
	for (size_t i = 0; i < sizeof(areas) / sizeof(areas[0]); i++) {
		end = span_le32(s, areas[i].start) + (uint64_t)span_le32(s, areas[i].count) * F2FS_SEG_BLOCKS;
		if (areas[i].next && span_le32(s, areas[i].next) != end)
			return err_set(e, ERR_CORRUPT, 0, "the F2FS %s area ends at block %llu, the next begins at %u", areas[i].name,
				(unsigned long long)end, span_le32(s, areas[i].next));
	}
	if (end > limit || end > sb->nr_blocks || sb->nr_blocks > 1ULL << 32)
		return err_set(e, ERR_CORRUPT, 0, "the F2FS main area ends at block %llu of %llu, its segments at %llu", (unsigned long long)end,
			(unsigned long long)sb->nr_blocks, (unsigned long long)limit);
	return 0;
}

static int check_counts(struct span *s, const struct f2fs_super *sb, struct err *e)
{
	uint32_t per_block = sb->block_size / 74; /* entries of the SIT */

	if (span_le32(s, 52) < F2FS_PACKS || sb->segs_sit < 2 || sb->segs_nat < 2 || !sb->segs_main)
		return err_set(e, ERR_CORRUPT, 0, "F2FS segments: %u of checkpoints, %u of SIT, %u of NAT, %u of the main area",
			span_le32(s, 52), sb->segs_sit, sb->segs_nat, sb->segs_main);
	if (ceil_div_u64(sb->segs_main, per_block) > (uint64_t)(sb->segs_sit / 2) * F2FS_SEG_BLOCKS)
		return err_set(e, ERR_CORRUPT, 0, "the F2FS SIT has %u segments, too few for %u", sb->segs_sit, sb->segs_main);
	/* What is never written needs no SSA. */
	bool needs_ssa = !(sb->feature & F2FS_FEATURE_READ_ONLY) || sb->main != sb->ssa;
	uint64_t ssa_blocks = sb->feature & F2FS_FEATURE_PACKED_SSA ? ceil_div_u64(sb->segs_main, sb->block_size / 4096) : sb->segs_main;
	if (needs_ssa && ssa_blocks > sb->main - sb->ssa)
		return err_set(e, ERR_CORRUPT, 0, "the F2FS SSA has %u blocks, too few for %u segments", sb->main - sb->ssa, sb->segs_main);
	if (!sb->segs_per_section || sb->segs_per_section > sb->segs_main || !span_le32(s, 28))
		return err_set(e, ERR_CORRUPT, 0, "F2FS sections of %u segments, zones of %u sections", sb->segs_per_section, span_le32(s, 28));
	if (span_le32(s, 96) != 3 || sb->node_ino != 1 || sb->meta_ino != 2)
		return err_set(e, ERR_CORRUPT, 0, "F2FS inodes: root %u, nodes %u, metadata %u", span_le32(s, 96), sb->node_ino, sb->meta_ino);
	if (sb->cp_payload > MAX_PAYLOAD)
		return err_set(e, ERR_CORRUPT, 0, "F2FS checkpoints with %u more blocks", sb->cp_payload);
	return 0;
}

/* As many as there is room for: with a path of usual length, all. */
static void add_other(struct f2fs_super *sb, const uint8_t *path)
{
	size_t len = strlen(sb->others), room = sizeof(sb->others) - len;
	char clean[DEVICE_PATH * 2];

	fsd_label_copy(clean, sizeof(clean), path, DEVICE_PATH);
	if (room > strlen(clean) + sizeof(", '', ..."))
		snprintf(sb->others + len, room, "%s'%s'", len ? ", " : "", clean);
	else if (len && sb->others[len - 1] != '.')
		snprintf(sb->others + len, room, ", ...");
}

static void decode(struct span *s, struct f2fs_super *sb)
{
	sb->block_size = 1U << span_le32(s, 16);
	sb->segs_per_section = span_le32(s, 24);
	sb->nr_blocks = span_le64(s, 36);
	sb->segs_sit = span_le32(s, 56);
	sb->segs_nat = span_le32(s, 60);
	sb->segs_main = span_le32(s, 68);
	sb->seg0 = span_le32(s, 72);
	sb->cp = span_le32(s, 76);
	sb->sit = span_le32(s, 80);
	sb->nat = span_le32(s, 84);
	sb->ssa = span_le32(s, 88);
	sb->main = span_le32(s, 92);
	sb->node_ino = span_le32(s, 100);
	sb->meta_ino = span_le32(s, 104);
	span_copy(s, 108, sb->uuid, sizeof(sb->uuid));
	utf16_text(s->p + 124, LABEL_UNITS, sb->label, sizeof(sb->label));
	sb->cp_payload = span_le32(s, 1664);
	sb->feature = span_le32(s, 2180);
	for (unsigned i = 0; i < MAX_DEVICES && span_u8(s, 2201 + i * DEVICE_SIZE); i++, sb->nr_devices++)
		if (i)
			add_other(sb, s->p + 2201 + i * DEVICE_SIZE);
	for (unsigned i = 0; i < NR_ERRORS; i++)
		sb->has_errors |= span_u8(s, 2794 + i) != 0;
}

static int parse(const uint8_t raw[F2FS_SUPER_SIZE], uint64_t volume_size, struct f2fs_super *ret, struct err *e)
{
	struct span s = span_of(raw, F2FS_SUPER_SIZE);
	struct f2fs_super sb = { .nr_devices = 0 };

	if (!f2fs_is_super(raw))
		return err_set(e, ERR_CORRUPT, 0, "no F2FS superblock");
	if (check_sizes(&s, e) < 0)
		return -1;
	decode(&s, &sb);
	if (check_features(&s, &sb, e) < 0)
		return -1;
	if (sb.nr_devices > 1) {
		/* What it covers is on several. */
		sb.nr_blocks = min_u64(sb.nr_blocks, volume_size / sb.block_size);
		*ret = sb;
		return 0;
	}
	sb.nr_devices = 1;
	if (check_areas(&s, &sb, e) < 0 || check_counts(&s, &sb, e) < 0)
		return -1;
	if (sb.nr_blocks > volume_size / sb.block_size)
		return err_set(e, ERR_CORRUPT, 0, "the F2FS file system is larger than its partition: %llu of %llu blocks",
			(unsigned long long)sb.nr_blocks, (unsigned long long)(volume_size / sb.block_size));
	*ret = sb;
	return 0;
}

static int read_at(struct blk_source *src, uint64_t off, struct f2fs_super *ret, struct err *e)
{
	uint8_t raw[F2FS_SUPER_SIZE];

	if (!range_inside(off, sizeof(raw), src->size))
		return err_set(e, ERR_CORRUPT, 0, "no room for an F2FS superblock");
	if (blk_read(src, off, raw, sizeof(raw), e) < 0)
		return err_wrap(e, "reading the F2FS superblock");
	return parse(raw, src->size, ret, e);
}

int f2fs_read_super(struct blk_source *src, struct f2fs_super *ret, struct err *e)
{
	struct err second = ERR_INIT;

	if (read_at(src, F2FS_SUPER_OFFSET, ret, e) == 0)
		return 0;
	if (e->code != ERR_CORRUPT)
		return -1;
	for (unsigned log_block = MIN_LOG_BLOCK; log_block <= MAX_LOG_BLOCK; log_block++) {
		if (read_at(src, (1ULL << log_block) + F2FS_SUPER_OFFSET, ret, &second) == 0 && ret->block_size == 1U << log_block) {
			ret->is_second = true;
			return 0;
		}
	}
	return -1;
}
