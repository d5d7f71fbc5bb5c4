/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What 'calco restore' and 'calco refresh' share: the same job, once written whole and once by differences. */
#ifndef CALCO_CMD_RESTORE_CMD_H
#define CALCO_CMD_RESTORE_CMD_H

#include "cmd/access.h"
#include "cmd/cmd.h"

struct restore_args {
	struct common_args common;
	struct access_args access;
	bool no_verify, yes, dry_run;
	const char *only, *state;
	unsigned scrub; /* enum scrub, in the order of the option's words */
	struct opt_number threads, sector_size;
	struct opt_list confirm, as_is;
};

#define RESTORE_FIELD(f) offsetof(struct restore_args, f)

/* The options of both. */
#define OPT_RESTORE \
	{ .name = "confirm", .kind = OPT_LIST, .offset = RESTORE_FIELD(confirm), .value = "TEXT", \
		.help = "overwrite a disk that holds data: the last 4 characters of its serial, or what 'calco disks' says; once for each that needs it" }, \
	{ .name = "yes", .kind = OPT_FLAG, .offset = RESTORE_FIELD(yes), .help = "do not ask; enough for a target that holds nothing" }, \
	{ .name = "only", .kind = OPT_TEXT, .offset = RESTORE_FIELD(only), .value = "VOL", \
		.help = "write only this volume (partition number, label, UUID or GPT name)" }, \
	{ .name = "no-verify", .kind = OPT_FLAG, .offset = RESTORE_FIELD(no_verify), .help = "flush, but do not read back what was written" }, \
	{ .name = "sector-size", .kind = OPT_SIZE, .offset = RESTORE_FIELD(sector_size), .value = "SIZE", \
		.help = "sector size of targets that are plain files (default: that of the image's disk)", .min = 512, .max = 4096 }, \
	{ .name = "as-is", .kind = OPT_LIST, .offset = RESTORE_FIELD(as_is), .value = "VOL", \
		.help = "write this volume unchanged, though it may not work with the target's sector size" }, \
	{ .name = "scrub", .kind = OPT_CHOICE, .offset = RESTORE_FIELD(scrub), .value = "discard|zero|none", \
		.help = "what becomes of space the image does not use (default discard)" }, \
	OPT_KEYS(struct restore_args), \
	OPT_TRUST(struct restore_args), \
	{ .name = "state", .kind = OPT_TEXT, .offset = RESTORE_FIELD(state), .value = "FILE", \
		.help = "where the bytes are saved that are cleared first" }, \
	{ .name = "threads", .kind = OPT_NUMBER, .offset = RESTORE_FIELD(threads), .value = "N", \
		.help = "decompressing threads (default: one per core)", .min = 1, .max = 1024 }

/* restore_command - run either of them; inv->args is a struct restore_args */
int restore_command(struct invocation *inv, bool is_refresh, struct err *e);

#endif
