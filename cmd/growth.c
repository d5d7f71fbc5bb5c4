/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * How what is left of a larger disk can be used; see growth.h. The partition that a person wants to be larger holds a system or files. What only
 * serves starting or mending it, as the recovery partition that Windows puts last, is nothing to grow: it stands in the way.
 */
#include "cmd/growth.h"

#include "base/size.h"
#include "cmd/show.h"
#include "imager/disk/table.h"
#include "imager/image/manifest.h"

#include <stdio.h>
#include <string.h>

/* UEFI 2.10 table 5.8, bit 0: the platform needs it. Windows sets it for its recovery and the makers' partitions. */
#define ATTRIBUTE_REQUIRED 1U

/* How a file system, or what else fills a partition, takes more room; words behind "then". */
static const char *grow_words(const char *type)
{
	static const char *const words[][2] = {
		{ "ext2", "resize2fs" }, { "ext3", "resize2fs" }, { "ext4", "resize2fs" }, { "xfs", "mount it and xfs_growfs" },
		{ "btrfs", "mount it and btrfs filesystem resize max" }, { "f2fs", "resize.f2fs" }, { "ntfs", "ntfsresize, or diskmgmt.msc in Windows" },
		{ "LVM2_member", "pvresize" }, { "crypto_LUKS", "cryptsetup resize, and what is inside" },
	};

	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
		if (!strcmp(type, words[i][0]))
			return words[i][1];
	return NULL;
}

static const char *volume_type(const struct img_manifest *m, size_t region)
{
	for (size_t i = 0; i < m->nr_volumes; i++)
		if (m->volumes[i].region == region)
			return m->volumes[i].type;
	return "";
}

/* For starting or mending a system, by what the partition table says. */
static bool is_helper(const struct img_manifest *m, const struct img_region *r)
{
	static const char *const types[] = {
		"EFI System", "EFI (FAT-12/16/32)", "BIOS boot", "Microsoft reserved", "Windows recovery environment", "Hidden NTFS WinRE", "Hidden HPFS/NTFS",
		"Linux extended boot", "Compaq diagnostics", "Dell Utility",
	};
	const char *type = show_type_name(m, r);

	for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++)
		if (!strcmp(type, types[i]))
			return true;
	return m->disks[r->disk].table == PT_GPT && (r->attributes & ATTRIBUTE_REQUIRED);
}

/* What is last on a disk, and the last that a person wants to be larger; SIZE_MAX: there is none. */
struct ends {
	size_t last, grows;
};

static struct ends find_ends(const struct img_manifest *m, size_t disk)
{
	struct ends e = { SIZE_MAX, SIZE_MAX };

	for (size_t i = 0; i < m->nr_regions; i++) {
		const struct img_region *r = &m->regions[i];
		if (r->disk != disk || r->kind == PT_REGION_GAP)
			continue;
		e.last = i;
		if (r->kind != PT_REGION_OVERLAP && !(r->flags & IMG_REGION_LOGICAL) && grow_words(volume_type(m, i)) && !is_helper(m, r))
			e.grows = i;
	}
	return e;
}

/* "partition 4 (Windows recovery environment)", or "partitions 4, 5 and 6": what lies behind the one that shall grow. false: that cannot be moved */
static bool in_the_way(const struct img_manifest *m, size_t disk, const struct ends *e, char *out, size_t size)
{
	const struct img_region *only = NULL;
	size_t nr = 0, used = 0;
	char one[80];

	for (size_t i = e->grows + 1; i <= e->last; i++)
		nr += m->regions[i].disk == disk && m->regions[i].kind == PT_REGION_PARTITION;
	used = (size_t)snprintf(out, size, "partition%s", nr == 1 ? "" : "s");
	for (size_t i = e->grows + 1, k = 0; i <= e->last; i++) {
		const struct img_region *r = &m->regions[i];
		if (r->disk != disk || r->kind == PT_REGION_GAP)
			continue;
		if (r->kind != PT_REGION_PARTITION || (r->flags & IMG_REGION_LOGICAL))
			return false;
		only = r;
		snprintf(one, sizeof(one), "%s%u", !k ? " " : k + 1 < nr ? ", " : " and ", r->number);
		k++;
		if (used + strlen(one) < size)
			used += (size_t)snprintf(out + used, size - used, "%s", one);
	}
	const char *type = nr == 1 ? show_type_name(m, only) : "";
	if (type[0] && used < size)
		snprintf(out + used, size - used, " (%s)", type);
	return nr > 0;
}

void growth_tell(struct out *o, const struct img_manifest *m, size_t disk, const char *path, uint64_t bytes)
{
	struct ends e = find_ends(m, disk);
	const struct img_region *r = e.grows == SIZE_MAX ? NULL : &m->regions[e.grows];
	const char *type = r ? volume_type(m, e.grows) : "", *grow = grow_words(type);
	char size[32], what[200];

	size_format(bytes, size);
	if (r && e.grows == e.last && r->kind == PT_REGION_WHOLE)
		out_line(o, "  unused       %s at the end of %s; to use it: %s", size, path, grow);
	else if (r && e.grows == e.last)
		out_line(o, "  unused       %s behind partition %u of %s (%s); to use it: growpart %s %u (or parted, resizepart), then %s", size, r->number,
			path, type, path, r->number, grow);
	else if (r && in_the_way(m, disk, &e, what, sizeof(what)))
		out_line(o, "  unused       %s at the end of %s: room for another partition (fdisk), or, with %s moved to the end (gparted), for "
			"partition %u (%s): growpart %s %u, then %s", size, path, what, r->number, type, path, r->number, grow);
	else
		out_line(o, "  unused       %s at the end of %s: room for another partition (fdisk)", size, path);
}
