/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The drivers in probing order. A file system with a strong magic far from the boot sector comes before those that
 * are recognised by a boot sector, which mkfs of others leaves alone; raw accepts everything and must be last.
 */
#include "fsdrivers/fsdriver.h"

const struct fsd_driver *const fsd_drivers[] = { &fsd_swap, &fsd_ext, &fsd_xfs, &fsd_btrfs, &fsd_f2fs, &fsd_ntfs, &fsd_exfat, &fsd_fat, &fsd_raw, NULL };
