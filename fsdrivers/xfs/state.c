/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Is it safe to copy this XFS now? One reason after the other, in the order in which they win.
 *
 * A frozen file system (fsfreeze, an LVM snapshot) has a log to be replayed: XFS keeps it so on purpose, for inodes that were deleted while
 * open. It is not clean.
 */
#include "fsdrivers/xfs/xfs.h"

#include <stdio.h>

static void set_state(struct xfs_volume *v, enum fsd_state state, const char *reason, const char *detail, const char *advice)
{
	struct fsd_info *i = &v->base.info;

	i->state = state;
	snprintf(i->reason, sizeof(i->reason), "%s", reason);
	snprintf(i->detail, sizeof(i->detail), "%s", detail);
	snprintf(i->advice, sizeof(i->advice), "%s", advice);
}

int xfs_judge(struct xfs_volume *v, struct err *e)
{
	const struct xfs_super *sb = &v->sb;

	if (sb->in_progress) {
		set_state(v, FSD_DAMAGED, "in-progress", "mkfs.xfs or xfs_copy was making it and did not end",
			"make it anew, or let xfs_repair " FSD_DEVICE " look at it");
	} else if (sb->incompat & XFS_INCOMPAT_NEEDSREPAIR) {
		set_state(v, FSD_DAMAGED, "needs-repair", "it is marked as in need of repair", "run xfs_repair " FSD_DEVICE ", then capture again");
	} else if (sb->rt_extents || sb->rt_blocks) {
		set_state(v, FSD_SET_MEMBER, "realtime", "a part of its files is on another device (realtime)",
			"unmount it, then capture both devices with --raw all");
	} else if (!sb->log_start) {
		set_state(v, FSD_SET_MEMBER, "external-log", "its log is on another device",
			"unmount it, then capture both devices with --raw all");
	} else {
		if (xfs_log_read(v, e) < 0)
			return -1;
		if (!v->log.is_clean)
			set_state(v, FSD_REPLAYABLE, "dirty-log", v->log.why, "mount " FSD_DEVICE " and unmount it, then capture again");
	}
	return 0;
}
