/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * A FAT file system made anew for sectors of another size. A boot sector counts in sectors of the device it was made for, and Linux, EDK2 and
 * Windows read it no other way, so an EFI system partition cannot be copied to a disk with other sectors: its files can.
 */
#ifndef CALCO_FSDRIVERS_FAT_REMAKE_H
#define CALCO_FSDRIVERS_FAT_REMAKE_H

#include "base/blk.h"
#include "base/err.h"

#include <stdint.h>

/*
 * fat_remake - a source of the same size that reads as a FAT file system with these sectors, and with the same files
 * @of: the volume as it was; borrowed until the new source is closed
 *
 * Type (FAT12, 16 or 32), serial number, labels, media byte, OEM name, number of copies of the table, and every directory entry but for its
 * cluster stay: names, short names, attributes, times, order. Each file lies in one piece, clusters are at least a sector. Boot code does not
 * stay: it counts in the old sectors. Metadata is kept in memory (at most some 100 MiB), content is read through. The same input gives the same bytes.
 *
 * ERR_CORRUPT: the file system is not as fsck.fat wants it; ERR_REFUSED "sector-size": its files, or the number of clusters that its type asks for
 * (EDK2 and mtools insist on it), do not fit with such sectors; ERR_UNSUPPORTED.
 */
struct blk_source *fat_remake(struct blk_source *of, uint32_t sector_size, struct err *e);

#endif
