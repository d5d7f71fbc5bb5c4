/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Records that were copied to a new pack, and the versions that name their old places. Private to imager/repo. */
#ifndef CALCO_IMAGER_REPO_MOVED_H
#define CALCO_IMAGER_REPO_MOVED_H

#include "imager/repo/versions.h"

struct moved;

struct moved *moved_new(struct err *e);
void moved_free(struct moved *m);

/* moved_add - packs one after the other, offsets ascending in each; moved_to - the pack where all of them are now */
int moved_add(struct moved *m, const uint8_t pack[16], uint64_t from, uint64_t to, struct err *e);
void moved_to(struct moved *m, const uint8_t pack[16]);

/* moved_rewrite - under the lock: the version's location table names the new places. 1: it was replaced; 0: it names none of the old ones. */
int moved_rewrite(struct moved *m, struct repo *r, const struct repo_version *v, const struct progress *p, struct err *e);

/* version_replace - under the lock: another location table for a version, everything else stays what it is */
struct img_locations;
int version_replace(struct repo *r, const struct repo_version *v, const struct img_locations *l, struct err *e);

#endif
