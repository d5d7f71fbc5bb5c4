/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The summary of a version: what a list of a thousand versions shows without reading each of them (docs/repository.md section 1, SUMM). Plain data. */
#ifndef CALCO_IMAGER_IMAGE_SUMMARY_H
#define CALCO_IMAGER_IMAGE_SUMMARY_H

#include "imager/image/manifest.h"

#include <stdbool.h>
#include <stdint.h>

#define SUMMARY_SIZE 128U

struct img_summary {
	char name[65];
	uint64_t version;
	uint64_t created;      /* seconds since 1970 UTC; 0: not known */
	uint64_t disk_bytes;   /* the sizes of all disks */
	uint64_t stored_bytes; /* used bytes of all regions */
	uint8_t root[IMG_ID_SIZE];
};

/* summary_of - what a whole manifest says */
void summary_of(const struct img_manifest *m, struct img_summary *ret);
bool summary_equal(const struct img_summary *a, const struct img_summary *b);

/* summary_put - the payload of SUMM; summary_get - from hostile bytes: false when a value is none that a version can have */
void summary_put(uint8_t b[SUMMARY_SIZE], const struct img_summary *s);
bool summary_get(const uint8_t b[SUMMARY_SIZE], struct img_summary *ret);

/*
 * summary_read - from a version file, by its beginning and its end
 * @fd: not closed, its position does not count
 *
 * False when there is none, it is encrypted, or anything that was looked at is not sound: whoever reads the whole file learns what it is.
 */
bool summary_read(int fd, struct img_summary *ret);

#endif
