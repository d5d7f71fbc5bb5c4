/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The superblock (btrfs docs, "Superblock"). The one at 64 KiB is what every mounter takes; the copies at 64 MiB and 256 GiB are for
 * people with repair tools, so a bad copy is worth a word and nothing more.
 *
 * Features: a bit that is not known could mean anything, among other things that space is in use which no item tells of. That holds
 * for compat_ro bits too: a kernel that does not know one may read, but we must know about every byte in use.
 */
#include "fsdrivers/btrfs/btrfs.h"

#include "fsdrivers/label.h"

#include <stdio.h>

#define MAGIC     "_BHRfS_M"
#define MAGIC_AT  0x40
#define DEV_ITEM  0xC9 /* of the device on which the superblock stands */

/* super.flags: the two that tree blocks have too, an error seen, a seed for others to grow on */
#define KNOWN_FLAGS     (1ULL << 0 | 1ULL << 1 | BTRFS_SUPER_FLAG_ERROR | 1ULL << 32)
/* All up to RAID1C34, and simple quotas. Not: zoned devices (12), the second extent tree (13), the stripe tree (14) */
#define KNOWN_INCOMPAT  (((1ULL << 12) - 1) | 1ULL << 16)
/* The free space tree, whether it is valid, verity, the block group tree */
#define KNOWN_COMPAT_RO ((1ULL << 4) - 1)

uint64_t btrfs_super_offset(unsigned i)
{
	return i == 0 ? BTRFS_SUPER_OFFSET : i == 1 ? 64ULL << 20 : 256ULL << 30;
}

bool btrfs_super_magic(const uint8_t raw[BTRFS_SUPER_SIZE])
{
	return !memcmp(raw + MAGIC_AT, MAGIC, 8);
}

void btrfs_format_uuid(char *dst, size_t room, const uint8_t u[BTRFS_UUID_SIZE])
{
	snprintf(dst, room, "%02x%02x%02x%02x-%02x%02x-%02x%02x-%02x%02x-%02x%02x%02x%02x%02x%02x", u[0], u[1], u[2], u[3], u[4],
		u[5], u[6], u[7], u[8], u[9], u[10], u[11], u[12], u[13], u[14], u[15]);
}

static void decode(struct span *s, struct btrfs_super *sb)
{
	span_copy(s, 0x20, sb->fsid, BTRFS_UUID_SIZE);
	sb->flags = span_le64(s, 0x38);
	sb->generation = span_le64(s, 0x48);
	sb->root = span_le64(s, 0x50);
	sb->chunk_root = span_le64(s, 0x58);
	sb->log_root = span_le64(s, 0x60);
	sb->bytes_used = span_le64(s, 0x78);
	sb->nr_devices = span_le64(s, 0x88);
	sb->sector_size = span_le32(s, 0x90);
	sb->node_size = span_le32(s, 0x94);
	sb->sys_array_size = span_le32(s, 0xA0);
	sb->chunk_root_generation = span_le64(s, 0xA4);
	sb->compat_ro = span_le64(s, 0xB4);
	sb->incompat = span_le64(s, 0xBC);
	sb->csum_type = span_le16(s, 0xC4);
	sb->root_level = span_u8(s, 0xC6);
	sb->chunk_root_level = span_u8(s, 0xC7);
	sb->devid = span_le64(s, DEV_ITEM);
	sb->dev_size = span_le64(s, DEV_ITEM + 8);
	span_copy(s, DEV_ITEM + 66, sb->dev_uuid, BTRFS_UUID_SIZE);
	span_copy(s, DEV_ITEM + 82, sb->dev_fsid, BTRFS_UUID_SIZE);
	span_copy(s, 0x12B, sb->label, sizeof(sb->label));
	span_copy(s, sb->incompat & BTRFS_INCOMPAT_METADATA_UUID ? 0x23B : 0x20, sb->metadata_fsid, BTRFS_UUID_SIZE);
	span_copy(s, 0x32B, sb->sys_array, sizeof(sb->sys_array));
}

int btrfs_super_read(struct blk_source *src, struct btrfs_csum *c, struct btrfs_super *ret, struct err *e)
{
	uint8_t raw[BTRFS_SUPER_SIZE];
	struct span s = span_of(raw, sizeof(raw));

	if (blk_read(src, BTRFS_SUPER_OFFSET, raw, sizeof(raw), e) < 0)
		return err_wrap(e, "reading the btrfs superblock");
	if (!btrfs_super_magic(raw))
		return err_set(e, ERR_UNSUPPORTED, 0, "'%s' is no part of a btrfs file system", blk_name(src));
	decode(&s, ret);
	if (btrfs_csum_init(c, ret->csum_type, e) < 0)
		return -1;
	if (!btrfs_csum_good(c, raw, sizeof(raw)))
		return err_set(e, ERR_CORRUPT, 0, "the btrfs superblock of '%s' has a wrong checksum", blk_name(src));
	if (span_le64(&s, 0x30) != BTRFS_SUPER_OFFSET || !ret->nr_devices)
		return err_set(e, ERR_CORRUPT, 0, "the btrfs superblock of '%s' contradicts itself", blk_name(src));
	return 0;
}

static int check_features(const struct btrfs_super *sb, struct err *e)
{
	unsigned long long incompat = sb->incompat & ~KNOWN_INCOMPAT, ro = sb->compat_ro & ~KNOWN_COMPAT_RO, flags = sb->flags & ~KNOWN_FLAGS;

	if (incompat)
		return err_set(e, ERR_UNSUPPORTED, 0, "btrfs with unknown features (incompat 0x%llx)%s", incompat,
			incompat & 1ULL << 12 ? ": zoned" : incompat & 1ULL << 13 ? ": extent tree v2" : incompat & 1ULL << 14 ? ": raid stripe tree" : "");
	if (ro)
		return err_set(e, ERR_UNSUPPORTED, 0, "btrfs with unknown features (compat_ro 0x%llx)", ro);
	if (flags)
		return err_set(e, ERR_UNSUPPORTED, 0, "btrfs that is being converted, or was dumped without data (flags 0x%llx)", flags);
	if (!(sb->incompat & BTRFS_INCOMPAT_MIXED_BACKREF))
		return err_set(e, ERR_UNSUPPORTED, 0, "btrfs with back references of before 2009");
	return 0;
}

static bool is_block_size(uint32_t n)
{
	return is_pow2(n) && n >= 4096 && n <= BTRFS_MAX_NODE;
}

int btrfs_super_check(const struct btrfs_super *sb, uint64_t dev_size, struct err *e)
{
	if (check_features(sb, e) < 0)
		return -1;
	if (!is_block_size(sb->sector_size) || !is_block_size(sb->node_size) || sb->node_size < sb->sector_size)
		return err_set(e, ERR_CORRUPT, 0, "btrfs sectors of %u and nodes of %u bytes", sb->sector_size, sb->node_size);
	if ((sb->root | sb->chunk_root | sb->log_root) % sb->sector_size || sb->root_level >= BTRFS_MAX_LEVEL ||
		sb->chunk_root_level >= BTRFS_MAX_LEVEL || sb->chunk_root_generation > sb->generation)
		return err_set(e, ERR_CORRUPT, 0, "the roots in the btrfs superblock are out of range");
	if (sb->sys_array_size > BTRFS_SYS_ARRAY)
		return err_set(e, ERR_CORRUPT, 0, "btrfs array of system chunks with %u bytes", sb->sys_array_size);
	if (memcmp(sb->dev_fsid, sb->metadata_fsid, BTRFS_UUID_SIZE) != 0)
		return err_set(e, ERR_CORRUPT, 0, "the btrfs superblock and its device belong to different file systems");
	if (sb->dev_size > dev_size || sb->dev_size < BTRFS_HEAD)
		return err_set(e, ERR_CORRUPT, 0, "btrfs on %llu bytes of a device that has %llu", (unsigned long long)sb->dev_size,
			(unsigned long long)dev_size);
	return 0;
}

/* What is wrong with a copy, in words; NULL: nothing */
static const char *judge_copy(struct btrfs_volume *v, const struct btrfs_super *of, uint64_t at, uint8_t raw[BTRFS_SUPER_SIZE])
{
	struct span s = span_of(raw, BTRFS_SUPER_SIZE);

	if (!btrfs_super_magic(raw))
		return "is missing";
	if (span_le64(&s, 0x30) != at || span_le16(&s, 0xC4) != of->csum_type || !btrfs_csum_good(&v->csum, raw, BTRFS_SUPER_SIZE))
		return "is damaged";
	if (memcmp(raw + 0x20, of->fsid, BTRFS_UUID_SIZE) != 0)
		return "belongs to another file system";
	if (span_le64(&s, 0x48) != of->generation)
		return "is of another generation";
	return NULL;
}

void btrfs_super_copies(struct btrfs_volume *v, size_t member)
{
	struct blk_source *src = v->base.set.members[member];
	const struct btrfs_super *sb = &v->supers[member];
	struct fsd_info *i = &v->base.info;
	uint8_t raw[BTRFS_SUPER_SIZE];
	struct err ignored = ERR_INIT;

	for (unsigned copy = 1; copy < BTRFS_NR_SUPERS; copy++) {
		uint64_t at = btrfs_super_offset(copy);
		/* The kernel writes none whose end is the device's end. */
		if (at + BTRFS_SUPER_SIZE >= sb->dev_size)
			break;
		const char *what = blk_read(src, at, raw, sizeof(raw), &ignored) < 0 ? "cannot be read" : judge_copy(v, sb, at, raw);
		if (what && !i->notice[0])
			snprintf(i->notice, sizeof(i->notice), "the copy of the superblock at %s of '%.80s' %s", copy == 1 ? "64 MiB" : "256 GiB",
				blk_name(src), what);
	}
}
