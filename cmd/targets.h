/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The targets of a restore, between the command line and the job: named, judged by the guard, shown, confirmed, and where they are
 * new plain files, made.
 */
#ifndef CALCO_CMD_TARGETS_H
#define CALCO_CMD_TARGETS_H

#include "cmd/cmd.h"
#include "cmd/operands.h"
#include "imager/disk/guard.h"
#include "imager/job/job.h"

struct img_manifest;
struct img_reader;

enum target_kind {
	TARGET_EXISTS,     /* a device, or a plain file with content: the guard has judged it */
	TARGET_MISSING,    /* no such file: it will be made */
	TARGET_EMPTY_FILE, /* a plain file of 0 bytes: it will get the disk's size */
};

/* What it takes to write to it. */
enum target_wants { WANTS_NOTHING, WANTS_YES, WANTS_TEXT };

struct target {
	const char *path;
	enum target_kind kind;
	size_t disk;        /* of the image: the target's place, but with --only the disk that holds the volume */
	bool resumes;       /* a plain file that an unfinished restore left: nothing more is lost */
	bool has_place;
	struct restore_place place; /* --only: where the volume goes */
	uint64_t need_size; /* bytes; 0: not known before the image is read from its pipe */
	struct guard_request rq;
	struct guard_verdict verdict;
};

/* What the command line says about the targets, all borrowed. */
struct targets_request {
	const char *image;            /* path, or "-" */
	const struct img_manifest *m; /* NULL for a pipe */
	struct img_reader *reader;    /* NULL for a pipe */
	const char *const *disks;     /* as the user wrote them */
	size_t nr_disks;
	const char *only;             /* NULL, or one volume */
	const char *state_file;       /* NULL, or where cleared bytes are saved */
	uint32_t sector_size;         /* of targets that are plain files; 0: that of the image's disk */
	const char *const *as_is;     /* NULL-terminated */
	bool yes;
	const struct opt_list *confirm;
};

struct targets {
	size_t only_region; /* index, SIZE_MAX: whole disks */
	bool is_refresh;    /* only what differs is written */
	struct disk_paths *paths;
	struct target *list;
	size_t nr;
	struct restore_change *changes; /* what will not be on the targets as it was; owned */
	size_t nr_changes;
	const char *in_use[3]; /* what no target may be or hold: the image, the folder of the state file; NULL-terminated */
	const char *state_file; /* as given; NULL */
	char set_aside[512];    /* the record of an earlier file of the name of one that was made, under its new name; "": none */
	char state_folder[PATH_MAX];
	char repository[PATH_MAX]; /* "", or the folder of the repository that holds the image */
};

/*
 * targets_check - resolve and judge all targets; nothing is written
 *
 * ERR_USAGE: wrong number, the same disk twice, no such device, or a new file for an image whose size is not known; ERR_REFUSED: the guard's reason.
 * Release with targets_free(), also after a failure.
 */
int targets_check(const struct targets_request *rq, struct targets *ret, struct err *e);

/* targets_find_place - of only_region on the one target. targets_check() calls it when it knows the manifest, for a pipe the caller must. */
int targets_find_place(struct targets *t, const struct img_manifest *m, struct err *e);

/* target_wants - of a target that targets_check() has judged */
enum target_wants target_wants(const struct target *t);

/*
 * targets_confirm - every target that holds something is confirmed, by options or by typing (@may_ask)
 *
 * As many --confirm texts as targets need one belong to these, in their order; any other number is one for each target by its place. The
 * hint of a refusal tells what would confirm all of several targets.
 */
int targets_confirm(const struct targets *t, bool may_ask, struct err *e);

/* targets_create - make the new files, sparse, in the size of their disk. They stay when the restore fails. */
int targets_create(struct targets *t, const struct progress *p, struct err *e);

void targets_free(struct targets *t);

#endif
