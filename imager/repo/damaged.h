/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Records that were found damaged, noted beside the packs, so that nothing new is built on them (docs/repository.md section 1). Private to imager/repo. */
#ifndef CALCO_IMAGER_REPO_DAMAGED_H
#define CALCO_IMAGER_REPO_DAMAGED_H

#include "imager/repo/repo.h"

#include <stdbool.h>
#include <stddef.h>

/* Of one pack: where its damaged records begin. */
struct damaged {
	uint64_t *offsets; /* ascending; free() */
	size_t nr, room;
};

/* damaged_read - what is noted of a pack. A note that is not there, cannot be read or not understood tells nothing. -1: memory is gone */
int damaged_read(const struct repo *r, const uint8_t pack[16], struct damaged *ret, struct err *e);
/* damaged_write - in place of what was noted; nothing noted: the note goes. Under the lock. */
int damaged_write(const struct repo *r, const uint8_t pack[16], const struct damaged *d, struct err *e);
/* damaged_forget - of a pack that is gone */
void damaged_forget(const struct repo *r, const uint8_t pack[16]);

bool damaged_holds(const struct damaged *d, uint64_t offset);
/* damaged_add, damaged_drop - twice is as once */
int damaged_add(struct damaged *d, uint64_t offset, struct err *e);
void damaged_drop(struct damaged *d, uint64_t offset);

#endif
