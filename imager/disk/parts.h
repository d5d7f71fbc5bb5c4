/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The partitions of an attached disk, as a person wants to see them before a decision: what they are, hold, and are used for. */
#ifndef CALCO_IMAGER_DISK_PARTS_H
#define CALCO_IMAGER_DISK_PARTS_H

#include "base/err.h"
#include "imager/disk/device.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PARTS_MAX_MOUNTS 8 /* that are named */

struct dev_part {
	unsigned number;
	char path[80];         /* of its device; "" when the kernel has none for it */
	uint64_t start, size;  /* bytes on the disk */
	char type[64];         /* what the table calls it: "Linux filesystem"; "" when not known */
	char name[112];        /* GPT only, UTF-8, not trusted */
	char content[32];      /* what libblkid recognises: "ext4", "LVM2_member"; "" when nothing or several things */
	char label[128], uuid[48]; /* of the content; the label is not trusted */
	char mounts[PARTS_MAX_MOUNTS][160]; /* where it is mounted, also through what stands on it; not trusted */
	size_t nr_mounts;      /* all of them */
	bool is_swap;          /* it, or what stands on it, is in use as swap space */
};

struct dev_parts {
	const char *table;     /* "gpt", "mbr", "none"; NULL when that cannot be read */
	struct dev_part *list; /* owned; sorted by start */
	size_t nr;
};

/*
 * dev_parts_read - what the partition table of a disk says, and who uses what; the disk is only read
 *
 * What cannot be read is left out: a list is no place to fail. Fails only where memory is gone or the mounts cannot be told.
 */
int dev_parts_read(const struct dev_info *disk, struct dev_parts *ret, struct err *e);
void dev_parts_release(struct dev_parts *p);

#endif
