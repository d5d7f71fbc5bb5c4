/* SPDX-License-Identifier: GPL-3.0-or-later */
/* calco refresh: a disk is brought to an image by writing only what differs. The work is that of cmd_restore.c. */
#include "cmd/restore_cmd.h"

static const struct opt options[] = {
	OPT_RESTORE,
	{ .name = "dry-run", .kind = OPT_FLAG, .offset = RESTORE_FIELD(dry_run), .help = "look at the disk and tell how much would be written" },
	OPT_PROGRESS,
	OPT_JSON,
	{ .name = NULL },
};

static int run(struct invocation *inv, struct err *e)
{
	return restore_command(inv, true, e);
}

const struct cmd cmd_refresh = {
	.name = "refresh",
	.summary = "Bring disks to an image by writing only what differs",
	.operands = "IMAGE DISK...",
	.details =
		"WHAT THE TARGETS HOLD BESIDES THE IMAGE IS LOST. The result is that of a restore,\n"
		"but the target is read first, and only what differs is fetched, written and read\n"
		"back; a disk that holds the image already is not written to at all. Space the\n"
		"image does not use is discarded: it holds the last user's data. A refresh that\n"
		"was cut short leaves a disk that does not boot; the same command finishes it.",
	.options = options,
	.args_size = sizeof(struct restore_args),
	.min_operands = 2,
	.max_operands = 65,
	.run = run,
};
