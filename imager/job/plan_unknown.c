/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * A partition that is to hold files by what the partition table says, and in which nothing was recognised: all of it is copied, which is told, since
 * its free space is copied too. Of other partitions (reserved, for the BIOS) nothing else is expected.
 */
#include "imager/job/plan_volumes.h"

#include "base/size.h"
#include "imager/disk/table.h"

#include <stdio.h>
#include <string.h>

/* By the names of pt_type_name(); one that ends with '*' is a beginning. */
static const char *const types[] = {
	"Microsoft basic data", "Windows recovery environment", "EFI System", "Linux filesystem", "Linux extended boot", "Linux root (*", "Linux /usr (*", "Linux home",
	"Linux server data", "Linux variable data", "Linux temporary data", "Linux", "HPFS/NTFS/exFAT", "FAT1*", "W95 FAT*", "Hidden NTFS WinRE",
	"EFI (FAT-12/16/32)",
};

static const char *type_of(const struct plan *p, const struct img_region *r)
{
	struct pt_table t = { .kind = p->m->disks[r->disk].table };
	struct pt_entry en = { .mbr_type = r->mbr_type };

	memcpy(en.type_guid, r->type_guid, sizeof(en.type_guid));
	return pt_type_name(&t, &en);
}

static bool is_for_files(const char *type)
{
	for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++) {
		size_t n = strcspn(types[i], "*");
		if (types[i][n] ? !strncmp(type, types[i], n) : !strcmp(type, types[i]))
			return true;
	}
	return false;
}

/* The raw driver has said something already of what it recognised. */
void plan_note_unknown(const struct plan *p, size_t dev, struct fsd_info *info)
{
	const struct plan_device *d = p->devices[dev];
	char size[32];

	if (d->region == IMG_NO_INDEX || info->notice[0])
		return;
	const struct img_region *r = &p->m->regions[d->region];
	if (r->kind != PT_REGION_PARTITION || !is_for_files(type_of(p, r)))
		return;
	size_format(r->len, size);
	snprintf(info->notice, sizeof(info->notice), "no file system was recognised: all %s are copied, also what is free; is it encrypted, or not formatted?", size);
}
