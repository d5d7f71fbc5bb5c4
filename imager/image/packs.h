/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Where the packs of a version are read from: a folder, a server. A table of functions; each instance begins with struct img_packs. */
#ifndef CALCO_IMAGER_IMAGE_PACKS_H
#define CALCO_IMAGER_IMAGE_PACKS_H

#include "base/err.h"

#include <stdint.h>

struct img_packs;

struct img_packs_ops {
	/*
	 * A record of len bytes at an offset of a pack: FMT_RECORD_SIZE bytes to head, the rest to payload. Any thread. ERR_CORRUPT: there is
	 * no such pack, or it ends before.
	 */
	int (*read)(struct img_packs *p, const uint8_t pack[16], uint64_t offset, uint32_t len, uint8_t *head, uint8_t *payload, struct err *e);
	void (*close)(struct img_packs *p);
};

struct img_packs {
	const struct img_packs_ops *ops;
};

#endif
