/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Twins: pieces of disks that hold the same, told by the metadata of a mirror. The plan gathers them; the reading stage asks them for what
 * the medium lost in one place. Private to imager/job and its tests.
 */
#ifndef CALCO_IMAGER_JOB_TWINS_H
#define CALCO_IMAGER_JOB_TWINS_H

#include "base/blk.h"
#include "base/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct img_manifest;

struct twin_place {
	uint32_t disk;
	uint64_t start; /* bytes on the disk */
};

/* One of several places that hold the same. */
struct twin {
	struct twin_place at;
	uint64_t len;
	size_t first, nr; /* all of them, this one too, in twins.places */
};

/* Zeroed is empty. */
struct twins {
	struct twin *list; /* owned; sorted by twins_sort() */
	struct twin_place *places; /* owned */
	size_t nr, room, nr_places, places_room;
};

#define TWINS_MAX ((size_t)1 << 20) /* places; some ten MB */

/* twins_add - len bytes that are the same in each of these places. Beyond TWINS_MAX nothing is added. */
int twins_add(struct twins *t, const struct twin_place *places, size_t nr, uint64_t len, struct err *e);

/* twins_sort - when all are added, before the first twins_read() */
void twins_sort(struct twins *t);

/* twins_read - read bytes of a disk from another place that holds the same; false where there is none, or none that can be read */
bool twins_read(const struct twins *t, struct blk_source *const *disks, uint32_t disk, uint64_t off, void *buf, size_t len);

/* What a comparison found. */
struct twins_diff {
	uint64_t nr;                   /* pairs of chunks that differ */
	struct twin_place one, other;  /* the first pair */
};

/*
 * twins_compare - compare what was captured of places that should hold the same, by the ids of the manifest
 *
 * Only of whole chunks that begin at the same place of each copy: so it is in the members of md, in copies of btrfs not always.
 */
void twins_compare(const struct twins *t, const struct img_manifest *m, struct twins_diff *ret);

void twins_release(struct twins *t);

#endif
