/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The expected disk = image + adaptations: what must stand on a target of a given size and sector size. The one place that knows about
 * adaptations; restore and verify both ask it. Private to imager/job.
 *
 * Bytes of partition tables change by patches. A volume that is made anew (FAT, for other sectors) has another map and other content in its
 * region: `m` tells the maps as they will be, expected_chunk() gives the content. Without such volumes `m` is the image's manifest.
 */
#ifndef CALCO_IMAGER_JOB_EXPECTED_H
#define CALCO_IMAGER_JOB_EXPECTED_H

#include "base/auto.h"
#include "base/err.h"
#include "imager/disk/table.h"
#include "imager/image/manifest.h"
#include "imager/image/reader.h"
#include "imager/job/job.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct expected_request {
	const struct img_manifest *m;
	struct img_reader *reader;             /* where content comes from that is made anew; used by expected_chunk() too */
	size_t only_region;                    /* SIZE_MAX, or the only region that is of interest (then there are no patches) */
	const struct restore_target *targets;  /* one for each disk of the image */
	const char *const *as_is;              /* volumes that are not adapted and not refused; NULL-terminated; may be NULL */
	bool any_sectors;                      /* whether volumes work with the targets' sectors is not asked (verify) */
};

/* One disk of the image on one target. */
struct expected_disk {
	uint64_t size;            /* of the target */
	uint32_t sector_size;     /* of the target */
	bool other_sectors;       /* than the image's disk */
	uint64_t shift;           /* subtracted from the image's offsets to get the target's (a single volume on its own device) */
	struct pt_patch *patches; /* new bytes, in the image's offsets, sorted */
	size_t nr_patches;
};

struct expected_remade;

struct expected {
	const struct img_manifest *image; /* as captured; borrowed */
	const struct img_manifest *m;     /* as it will be; its ids are those of the image, which hold for what is not made anew */
	size_t only_region;               /* SIZE_MAX: everything */
	struct expected_disk *disks;      /* m->nr_disks */
	struct expected_remade *remade;   /* NULL: nothing is made anew */
	struct restore_change *changes;   /* for the person, in order */
	size_t nr_changes;
};

/*
 * expected_new - plan what the targets will hold
 *
 * ERR_REFUSED "too-small" with the exact shortage; "sector-size" with what does not work with the target's sectors, and why. The reader, if
 * there is one, is kept and must outlive it. ERR_CORRUPT: content that is to be made anew is damaged.
 */
int expected_new(const struct expected_request *rq, struct expected **ret, struct err *e);
void expected_free(struct expected *x);
AUTO_DEFINE(expected, expected_free)

/* expected_touches - do adaptations change bytes [start, start+len) of a disk (image offsets)? */
bool expected_touches(const struct expected *x, uint32_t disk, uint64_t start, uint64_t len);

/* expected_adapt - lay the adaptations over len bytes of content that belong at start (image offsets) */
void expected_adapt(const struct expected *x, uint32_t disk, uint64_t start, uint8_t *buf, size_t len);

/* expected_is_remade - is the volume in this region made anew? Then ids of the image do not apply there. */
bool expected_is_remade(const struct expected *x, size_t region);

/* expected_chunk - the content of a present chunk of a region that is made anew (CHUNK_SIZE). One thread, and not while others use the reader. */
int expected_chunk(const struct expected *x, size_t region, uint64_t i, uint8_t *content, struct err *e);

/* expected_note - one more change; the text is for the person */
int expected_note(struct expected *x, uint32_t disk, size_t region, const char *what, struct err *e, const char *fmt, ...)
	__attribute__((format(printf, 6, 7)));

#endif
