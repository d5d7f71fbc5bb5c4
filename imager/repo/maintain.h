/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Looking after a repository: taking away what nothing needs, and checking what is there. */
#ifndef CALCO_IMAGER_REPO_MAINTAIN_H
#define CALCO_IMAGER_REPO_MAINTAIN_H

#include "base/progress.h"
#include "imager/repo/repo.h"

#include <stddef.h>

struct repo_stats {
	size_t nr_images, nr_versions, nr_packs;
	uint64_t nr_records, nr_composed;  /* all that are stored; of these composed */
	uint64_t content_bytes;  /* of all versions together, as if nothing were shared: used bytes of their disks */
	uint64_t pack_bytes;     /* what the packs take */
	uint64_t needed_bytes;   /* of it what versions refer to */
	uint64_t version_bytes, cache_bytes, unfinished_bytes;
};

/* repo_stats - what the repository holds and what that takes. ERR_CORRUPT as repo_prune(). */
int repo_stats(struct repo *r, struct repo_stats *ret, const struct progress *p, struct err *e);

struct prune_options {
	unsigned max_unused;  /* percent: packs of which more is not needed are written anew without it */
	bool unfinished;      /* what interrupted captures left goes too, instead of waiting for the next capture */
	bool dry_run;
};

struct prune_result {
	uint64_t needed_bytes;    /* in packs, after it */
	uint64_t freed_bytes;     /* taken away; with dry_run what would be */
	uint64_t copied_bytes;    /* of these were needed, and moved to new packs */
	uint64_t waiting_bytes;   /* in packs that nothing needs, but somebody may still read: a later prune takes them */
	uint64_t unfinished_bytes;/* left by interrupted captures */
	size_t removed_packs, written_packs;
	size_t rewritten_versions;
};

/*
 * repo_prune - take away what no version refers to (docs/repository.md section 3)
 *
 * Readers and running captures are not disturbed. ERR_CORRUPT, and nothing is done, when a version's file is damaged: what it needs is not known.
 */
int repo_prune(struct repo *r, const struct prune_options *o, struct prune_result *ret, const struct progress *p, struct err *e);

struct check_options {
	bool read_data;       /* unpack every record and compute its id; else only checksums */
	unsigned sample;      /* percent of the records that are looked at, 1..100; which ones is by chance */
	uint64_t seconds;     /* 0, or stop after so many; begins at a record chosen by chance */
	bool heal;            /* versions get other records of the same content in place of bad ones */
	bool rebuild_index;   /* write anew what can be computed: tables of contents, leaf caches */
	unsigned threads;     /* 0: one per core */
};

/* One place of a version that is hit. */
struct check_damage {
	uint32_t disk;
	uint64_t start, len; /* bytes on the disk */
	char volume[96];     /* "partition 2 (ext4 'root')" */
};

struct check_version {
	char name[REPO_NAME_SIZE];
	uint64_t number;
	char why[200];       /* "": its file is sound */
	uint64_t nr_chunks, nr_bad;
	struct check_damage *damages; /* sorted, neighbours merged; at most CHECK_MAX_DAMAGES; owned by the result */
	size_t nr_damages;
};
#define CHECK_MAX_DAMAGES 1000

struct check_result {
	struct check_version *versions; /* by name and number */
	size_t nr_versions, nr_whole;
	char (*problems)[300];   /* of packs: what is wrong where; at most CHECK_MAX_DAMAGES are kept */
	size_t nr_problems, nr_kept;
	size_t nr_packs;
	uint64_t nr_records, nr_checked, checked_bytes;
	size_t nr_rebuilt;       /* files written anew */
	uint64_t nr_healed;      /* chunks of versions */
	bool is_part;            /* not all records were looked at */
	double seconds;
};

/*
 * repo_check - is everything there that the versions need, and is it what it was?
 *
 * All of it is looked at, whatever is found; nothing is changed but with rebuild_index and heal. What is damaged is noted where that can be written,
 * so that later captures do not refer to it. ERR_CORRUPT, with *ret filled, when a version is hit
 * or a pack is damaged.
 */
int repo_check(struct repo *r, const struct check_options *o, struct check_result *ret, const struct progress *p, struct err *e);
void check_result_release(struct check_result *r);

#endif
