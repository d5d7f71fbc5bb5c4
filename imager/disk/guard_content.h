/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Private to imager/disk: what is on a disk, in one line for the question before it is overwritten. */
#ifndef CALCO_IMAGER_DISK_GUARD_CONTENT_H
#define CALCO_IMAGER_DISK_GUARD_CONTENT_H

/* What is said of data without a name. */
#define GUARD_UNRECOGNISED "data that is not recognised"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * guard_content - look at the content of an open disk or file
 * @holds: "gpt: 1 vfat 'EFI', 2 ext4 'root'", "ext4 'data'", "data that is not recognised"; "" when it is empty
 *
 * Returns whether it is empty: no signature known to libblkid, no partition table, and zeros in the first and last
 * MiB and at 64 places between (small disks and what is allocated of a sparse file are read in full). What cannot be
 * read counts as data. Only reads.
 */
bool guard_content(int fd, uint64_t disk_size, bool is_file, char *holds, size_t size);

#endif
