/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * What libblkid recognises on a source. The raw driver takes its words from here; drivers whose own signature is weak
 * ask for a second opinion, because a stale boot sector or swap header in front of another file system would
 * declare that file system's blocks unused.
 */
#ifndef CALCO_FSDRIVERS_SIGNATURE_H
#define CALCO_FSDRIVERS_SIGNATURE_H

#include "base/blk.h"
#include "base/err.h"
#include "base/extent.h"

#include <stdbool.h>
#include <stddef.h>

#define FSD_SIGNATURE_MAGICS 64 /* libblkid knows about 80 types, a disk rarely carries more than 3 */

struct fsd_signature {
	char type[32]; /* libblkid's TYPE ("xfs", "LVM2_member"); "" when nothing, or several things, were recognised */
	char label[128];
	char uuid[48];
	bool is_ambivalent; /* signatures of several file systems stand there; mount refuses such a volume */
	struct range magics[FSD_SIGNATURE_MAGICS]; /* where the magic bytes of everything recognised stand */
	size_t nr_magics;
};

/*
 * fsd_signature_read - ask libblkid about a source; it only reads
 *
 * A source without a file descriptor is shown to libblkid as its first and last MiB: enough for all but a few types
 * (NTFS, whose recognition follows a pointer). What cannot be read, and a libblkid that cannot be asked, recognise
 * nothing; fails only where memory is gone.
 */
int fsd_signature_read(struct blk_source *src, struct fsd_signature *ret, struct err *e);

/*
 * fsd_signature_check - ERR_UNSUPPORTED when libblkid is sure of anything but one of two types
 * @also: a second acceptable type, or NULL
 */
int fsd_signature_check(struct blk_source *src, const char *type, const char *also, struct err *e);

#endif
