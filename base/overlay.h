/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * A source with bytes laid over it: what is read is the source below, but for the patches. So a job sees a disk as it would be after a
 * change (a replayed journal) that is never made. The patches are kept in memory.
 */
#ifndef CALCO_BASE_OVERLAY_H
#define CALCO_BASE_OVERLAY_H

#include "base/auto.h"
#include "base/blk.h"
#include "base/err.h"

#include <stddef.h>
#include <stdint.h>

struct blk_overlay;

/* blk_overlay_new - an overlay without patches; borrows the source below, which must outlive it */
struct blk_overlay *blk_overlay_new(struct blk_source *of, struct err *e);

/* blk_overlay_free - NULL is fine */
void blk_overlay_free(struct blk_overlay *o);
AUTO_DEFINE(blk_overlay, blk_overlay_free)

/* blk_overlay_source - what is read through it; part of the overlay: not to be closed */
struct blk_source *blk_overlay_source(struct blk_overlay *o);

/*
 * blk_overlay_put - lay bytes (copied) over the source; they show once blk_overlay_seal() was called
 *
 * ERR_CORRUPT beyond the end. Not while others read.
 */
int blk_overlay_put(struct blk_overlay *o, uint64_t off, const void *bytes, size_t len, struct err *e);

/* blk_overlay_seal - show what was put since. ERR_CORRUPT when two patches overlap: which of them holds is not defined. */
int blk_overlay_seal(struct blk_overlay *o, struct err *e);

#endif
