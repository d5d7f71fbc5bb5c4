/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The jobs: capture, restore, verify. Each takes plain options, reports through struct progress, fills a plain result,
 * and returns 0 or -1 with the error that becomes the exit code. Nothing here prints, prompts or exits.
 */
#ifndef CALCO_IMAGER_JOB_H
#define CALCO_IMAGER_JOB_H

#include "base/err.h"
#include "base/progress.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct blk_sink;
struct blk_source;
struct img_access;
struct img_keys;
struct img_manifest;
struct img_range;
struct key;

/* ---- capture ---- */

struct capture_options {
	const char *const *disks; /* paths, resolved */
	size_t nr_disks;
	const char *image;        /* path of the file to make, or "-" for standard output */
	const char *name;         /* NULL: the image's file name without its ending, cleaned */
	uint64_t version;         /* 1.. */
	const char *note;         /* NULL: none */
	int level;                /* zstd level, 1..19; 3 is usual */
	unsigned threads;         /* 0: one per core */
	uint32_t sector_size;     /* 0: ask the device, or the GPT of a plain file */
	bool no_recheck;          /* do not decompress and compare every chunk */
	bool raw_gaps;            /* every byte outside partitions is used */
	const char *const *raw_volumes; /* volumes to take raw: partition numbers, labels or UUIDs; "gaps" is raw_gaps; NULL-terminated; may be NULL */
	const char *const *unlocks; /* "VOL=FILE": keys of containers; NULL-terminated; may be NULL */
	bool replay;              /* volumes whose journal is due to be replayed are captured as they are after it; nothing is written to the disk */
	bool skip_volatile;       /* what swap and hibernation files hold is left out, but for their heads */
	const struct img_keys *keys; /* NULL, or who can open the image: it is encrypted; of DIR::NAME what opens the repository */
	const struct key *sign;   /* NULL, or the secret key to sign the image with */
	bool dry_run;             /* plan only; image may be NULL */
	int out_fd;               /* where "-" writes to */
	struct blk_source *const *sources; /* NULL: disks are opened by path; else used instead of opening (fault injection, tests); borrowed */
};

struct capture_result {
	struct img_manifest *manifest; /* owned by the caller: img_manifest_free(); complete unless dry_run (then without ids and root) */
	uint64_t used_bytes;           /* content to store, holes between granules not counted */
	uint64_t zero_bytes;           /* bytes of state zero */
	uint64_t nr_chunks, nr_zero_chunks; /* present chunks; of these all-zero */
	uint64_t read_bytes, image_bytes;
	uint64_t bad_bytes;            /* unreadable, recorded in the manifest */
	struct img_range *recovered;   /* unreadable, but a mirror had the content elsewhere; sorted; owned by the caller: free() */
	size_t nr_recovered;
	uint64_t recovered_bytes;
	uint64_t nr_differing;         /* chunks of a mirror that are not the same in another member */
	char unfinished[512];          /* "", or the state record of a restore to one of the disks that was cut short */
	double seconds;
};

/*
 * capture_run - disks become one image
 *
 * Sources are only read. Refuses (ERR_REFUSED, with a reason) a source that is mounted read-write and any volume whose state is not clean, unless it is
 * taken raw. An existing image file is never overwritten (ERR_REFUSED, "exists"). The image appears under its name only
 * when it is complete and flushed; until then it is IMAGE.part, removed on failure. Unreadable sectors do not stop it: the
 * image is complete, they are recorded, and it returns -1 with ERR_PARTIAL after filling *ret. Those whose content could be read in another place,
 * where a mirror keeps the same, count as read.
 */
int capture_run(const struct capture_options *o, struct capture_result *ret, const struct progress *p, struct err *e);

/* ---- restore ---- */

enum scrub { SCRUB_DISCARD, SCRUB_ZERO, SCRUB_NONE };

struct restore_options {
	const char *image;        /* path, or "-" for standard input */
	int in_fd;                /* where "-" reads from */
	const char *const *disks; /* one target for each disk of the image, in order; checked by the guard before */
	size_t nr_disks;
	unsigned threads;
	bool no_verify;           /* do not read back; the target is flushed all the same */
	enum scrub scrub;
	const char *only;         /* NULL, or one volume: partition number, label or UUID; only that region is written */
	const struct img_access *access; /* NULL, or whom to believe; asked before anything is written */
	const char *state_file;   /* where the cleared bytes are saved before the target is disarmed; NULL: state_default() */
	uint32_t sector_size;     /* of targets that are plain files; 0: that of the image's disk */
	const char *const *as_is; /* volumes that are written as they are whatever the target's sectors; NULL-terminated; may be NULL */
	bool dry_run;             /* plan only: nothing is written */
	bool refresh;             /* look at the targets first, and write only what differs; not from a pipe */
	struct blk_sink *const *sinks; /* NULL: disks are opened by path; else used instead of opening (write logs, tests); borrowed */
};

/* Something that is not on the target as it was on the disk that was captured. */
struct restore_change {
	uint32_t disk;            /* of the image */
	size_t region;            /* SIZE_MAX: the disk as a whole */
	char what[16];            /* "gpt", "fat", "as-is", "boot-code" */
	char text[200];           /* for the person */
};

struct restore_result {
	struct img_manifest *manifest;
	struct restore_change *changes; /* owned by the caller: free() */
	size_t nr_changes;
	uint64_t written_bytes, verified_bytes, discarded_bytes;
	uint64_t nr_chunks;
	/* Of a refresh: read of the targets and compared; chunks that differed; read of the image's records; made zero, which written_bytes lacks. */
	uint64_t scanned_bytes, differing_chunks, fetched_bytes, zeroed_bytes;
	bool is_same;             /* the targets held the image already: nothing was written */
	bool resized_table;       /* the target is larger and its GPT was rewritten for it */
	char state_file[512];     /* "" when nothing had to be saved */
	char set_aside[512];      /* "", or where the record of an earlier attempt is now, after which the target was used otherwise */
	double seconds;
};

/*
 * restore_run - write an image to its targets: disarm, write, flush, read back, arm
 *
 * Everything that can be checked is checked before the first write. Every chunk is verified against its id before it is written; with a damaged image nothing of
 * the damaged chunk reaches the target, which stays disarmed (ERR_CORRUPT). Read-back differences are ERR_CORRUPT with volume and range. The same call
 * completes a restore that was cut short.
 *
 * With o->refresh the targets are read first, and only leaves that differ are written, all else is the same; with dry_run, too, the figures of
 * the result tell what would be written.
 */
int restore_run(const struct restore_options *o, struct restore_result *ret, const struct progress *p, struct err *e);

struct img_reader;

/* What a restore to this target will meet. */
struct restore_target {
	uint64_t size;
	uint32_t sector_size;     /* 0: that of the image's disk */
	const char *name;
};

/*
 * restore_foresee - what a restore will change on the way, as the job itself will decide; errors are those of the job
 * @only_region: SIZE_MAX, or the only region that is written
 * @targets: one for each disk of the image; without a name: not written
 * @ret: owned by the caller: free(); NULL when there is nothing to say
 */
int restore_foresee(struct img_reader *reader, size_t only_region, const struct restore_target *targets, const char *const *as_is,
	struct restore_change **ret, size_t *ret_nr, struct err *e);

enum restore_held { RESTORE_HELD_NOTHING, RESTORE_HELD_UNNAMED, RESTORE_HELD_NAMED };

/*
 * restore_resumes - is this plain file what a restore that did not end left, as its state record tells, so that nothing more is lost by completing it?
 * @state_file: as in restore_options
 * @disk: of the image
 * @held: what is recognised in the file: nothing at all, data without a name, something with a name
 *
 * False where there is no record, or it cannot be read, or is of another file of that name, or the file was used since.
 */
bool restore_resumes(const char *state_file, size_t disk, const char *target, uint64_t size, enum restore_held held);

/*
 * restore_announce - begin the state record of a file that was just made and will have so many bytes
 *
 * Before it gets its size: the same command knows it then as its own, whenever this one is killed. The record of an earlier file is set aside.
 * @ret_aside: gets the new name of that record, unless it holds one already
 */
int restore_announce(const char *state_file, size_t disk, const char *target, uint64_t size, const struct progress *p, char ret_aside[512], struct err *e);

/* Where a single volume goes, and what the target's table says about that partition. */
struct restore_place {
	bool at_start;         /* of a target without a table; else into a partition of the target's own table */
	char disk[256];        /* "", or the disk of which the target is a partition */
	unsigned partition;    /* its number on the target or that disk; 0: there is none, the fields below say nothing */
	uint64_t offset;       /* where it begins there */
	char type[64], image_type[64]; /* in words, else the number or GUID; image_type "": the volume was no partition */
	bool other_type;       /* the two differ; a restore of a volume leaves the table as it is */
};

/*
 * restore_find_place - as the restore of one region to this target will decide; the target is only read
 *
 * ERR_REFUSED "no-place" when the target has a table without a partition of the same place and length.
 */
int restore_find_place(const struct img_manifest *m, size_t region, const char *target, struct restore_place *ret, struct err *e);

/*
 * restore_check_room - have the file systems of targets that are plain files, or will be made, room for what is written?
 * @only_region: SIZE_MAX, or the only region that is written
 *
 * ERR_REFUSED "no-space" with the exact shortage; what becomes a hole is not counted. 0 where it cannot be told: an image from a pipe, a file
 * system that compresses.
 */
int restore_check_room(const struct img_manifest *m, size_t only_region, const char *const *targets, size_t nr, struct err *e);

/* ---- undo ---- */

struct undo_options {
	const char *disk;         /* the target of the restore that did not end; checked by the guard before */
	const char *state_file;   /* NULL: state_default() */
	bool dry_run;
	struct blk_sink *sink;    /* NULL: the disk is opened by path; else used instead (tests); borrowed */
};

/* One piece of the disk from which the restore had taken something. */
struct undo_part {
	uint64_t start, len;      /* bytes on the disk */
	unsigned partition;       /* its number; 0: no partition, or the whole disk */
	char content[176];        /* what stands there now: "ext4 'root'"; "" when nothing is recognised */
	uint64_t saved_bytes;     /* how much of it the record holds */
	bool is_back;             /* all that was taken is back (--dry-run: would be) */
	char why[100];            /* when not: the reason */
};

struct undo_result {
	struct undo_part *parts;  /* sorted by start; owned by the caller: free() */
	size_t nr_parts;
	uint64_t back_bytes;      /* put back, or with dry_run what would be */
	bool is_complete;         /* everything is as it was before the restore; the record is removed */
	char state_file[512];
};

/*
 * undo_run - put back what a restore took from its target before it was cut short
 *
 * Only where nothing was written since: a part of the disk is put back when the restore had not come to it, and when the places
 * that were cleared still are as the restore left them. Boot code comes last. ERR_PARTIAL: some parts are back; ERR_REFUSED
 * ("written"): none can be; *ret is filled in both cases. ERR_REFUSED "no-record": no restore is known. The record of what is not back stays.
 */
int undo_run(const struct undo_options *o, struct undo_result *ret, const struct progress *p, struct err *e);

/* ---- verify ---- */

/* One place that is wrong. */
struct damage {
	int disk;               /* -1: not on a disk but in the image file (what says where) */
	uint64_t start, len;    /* bytes on the disk that was compared (the image's disk when only the image is verified), or in the file */
	char volume[96];        /* "partition 2 (ext4 'root')", "gap", "" */
	char what[120];         /* "content does not match its id", "record header is damaged", "index", ... */
};

struct verify_options {
	const char *image;
	int in_fd;
	const char *const *against; /* targets, one for each disk; NULL-terminated; NULL: the image alone */
	unsigned threads;
	const char *only;
	uint32_t sector_size;          /* of plain files; 0: for which there is a GPT, else that of the image's disk */
	const char *const *as_is;      /* as in restore_options */
	const struct img_access *access; /* NULL, or whom to believe */
};

struct verify_result {
	struct img_manifest *manifest; /* NULL when the head could not be read */
	uint64_t nr_chunks, nr_bad_chunks, checked_bytes;
	uint64_t nr_damages;           /* all found */
	uint64_t wrong_disks;          /* a bit for each disk on which one was found */
	struct damage *damages;        /* sorted, neighbours merged; at most VERIFY_MAX_DAMAGES are kept; owned by the caller: free() */
	size_t nr_kept;
	uint64_t nr_spare, nr_other;   /* against a disk: differing pieces of 4 KiB in what the image knows as zero (spare room of a file system); all other differences */
	double seconds;
};
#define VERIFY_MAX_DAMAGES 1000

/*
 * verify_run - is the image whole; or: does the disk hold exactly what the image says?
 *
 * The whole image is examined, every byte of it, whatever is found. Damage is ERR_CORRUPT, with *ret filled. "order": the disks are those of
 * the image, named in another order; nothing was compared then.
 */
int verify_run(const struct verify_options *o, struct verify_result *ret, const struct progress *p, struct err *e);

#endif
