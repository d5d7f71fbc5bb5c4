/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * What stands where in an ext file system by arithmetic alone: groups, superblock copies, descriptor tables
 * (ext4 docs, blockgroup.rst; sparse_super2 and meta_bg in super.rst). All inputs were checked by ext_super_check().
 */
#include "fsdrivers/ext/ext.h"

uint64_t ext_group_start(const struct ext_super *sb, uint32_t group)
{
	return sb->first_data_block + (uint64_t)group * sb->blocks_per_group;
}

uint32_t ext_group_blocks(const struct ext_super *sb, uint32_t group)
{
	return (uint32_t)min_u64(sb->blocks_per_group, sb->nr_blocks - ext_group_start(sb, group));
}

uint32_t ext_group_of(const struct ext_super *sb, uint64_t block)
{
	return (uint32_t)((block - sb->first_data_block) / sb->blocks_per_group);
}

static bool is_power_of(uint32_t n, uint32_t base)
{
	while (n % base == 0)
		n /= base;
	return n == 1;
}

bool ext_has_super(const struct ext_super *sb, uint32_t group)
{
	if (group == 0)
		return true;
	if (sb->compat & EXT_COMPAT_SPARSE_SUPER2)
		return group == sb->backup_bgs[0] || group == sb->backup_bgs[1];
	if (group == 1 || !(sb->ro_compat & EXT_RO_SPARSE_SUPER))
		return true;
	return is_power_of(group, 3) || is_power_of(group, 5) || is_power_of(group, 7);
}

/* With bigalloc and 1 KiB blocks group 0 starts at block 0, but the superblock stands at byte 1024 all the same. */
static uint32_t boot_blocks(const struct ext_super *sb, uint32_t group)
{
	return group == 0 && sb->block_size == 1024 && sb->first_data_block == 0;
}

uint64_t ext_super_block(const struct ext_super *sb, uint32_t group)
{
	return ext_group_start(sb, group) + boot_blocks(sb, group);
}

uint32_t ext_head_blocks(const struct ext_super *sb, uint32_t group, bool with_reserved)
{
	bool meta_bg = sb->incompat & EXT_INCOMPAT_META_BG;
	uint64_t n = ext_has_super(sb, group);
	uint32_t in_meta_group = group % sb->descs_per_block;

	if (!meta_bg || group / sb->descs_per_block < sb->first_meta_bg) {
		if (n) /* the whole table, or its part in the old layout */
			n += (meta_bg ? sb->first_meta_bg : sb->desc_blocks) +
			     (with_reserved ? sb->reserved_gdt_blocks : 0);
	} else if (in_meta_group == 0 || in_meta_group == 1 || in_meta_group == sb->descs_per_block - 1) {
		n++;
	}
	return (uint32_t)min_u64(n + boot_blocks(sb, group), ext_group_blocks(sb, group));
}

uint64_t ext_desc_block(const struct ext_super *sb, uint32_t nr)
{
	if (!(sb->incompat & EXT_INCOMPAT_META_BG) || nr < sb->first_meta_bg)
		return ext_super_block(sb, 0) + 1 + nr;
	uint32_t group = nr * sb->descs_per_block; /* < nr_groups because nr < desc_blocks */
	return ext_group_start(sb, group) + boot_blocks(sb, group) + ext_has_super(sb, group);
}
