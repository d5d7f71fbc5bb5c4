/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * What a target should hold where that is not simply the image's content: for comparing a disk that nothing is held back of (verify --against,
 * and the scan of a refresh). Private to imager/job.
 */
#ifndef CALCO_IMAGER_JOB_WANTED_H
#define CALCO_IMAGER_JOB_WANTED_H

#include "base/blk.h"
#include "base/err.h"
#include "imager/image/reader.h"
#include "imager/job/expected.h"
#include "imager/job/holds.h"

#include <stddef.h>
#include <stdint.h>

/* wanted_chunk - what a present chunk of a region should hold, adaptations included (CHUNK_SIZE). One thread; the reader must be seekable. */
int wanted_chunk(const struct expected *x, struct img_reader *reader, size_t region, uint64_t i, uint8_t *content, struct err *e);

/*
 * wanted_special - the chunks that are not as in the image, with the ids they must have on the target, sorted
 * @ret: owned by the caller: free()
 */
int wanted_special(const struct expected *x, struct img_reader *reader, struct special_chunk **ret, size_t *ret_nr, struct err *e);

/*
 * wanted_patches - compare what adaptations put where no chunk's id covers it: on unused bytes, and behind the image's end
 * @disks: one for each disk of the image; NULL: left out
 * @differs: bytes [start, start+len) of a disk are not what they should be; -1 ends it
 */
typedef int (*wanted_differs_fn)(void *arg, uint32_t disk, uint64_t start, uint64_t len, struct err *e);
int wanted_patches(const struct expected *x, struct blk_source *const *disks, wanted_differs_fn differs, void *arg, struct err *e);

#endif
