/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Writing anew what follows from the records. Private to imager/repo. */
#ifndef CALCO_IMAGER_REPO_REBUILD_H
#define CALCO_IMAGER_REPO_REBUILD_H

#include "imager/repo/check_records.h"

/*
 * rebuild_toc - the table of contents of a pack whose own is damaged, from its records
 * @write: put it into its place too
 *
 * NULL and ERR_CORRUPT when records are damaged as well: then it is not known where the others begin, and nothing is changed.
 */
struct pack_toc *rebuild_toc(const struct repo *r, const uint8_t pack[16], bool write, const struct progress *p, struct err *e);

/*
 * rebuild_leaves - the leaf cache of a pack, if it is missing or wrong
 *
 * 1: written; 0: it was sound, or a record of the pack is damaged, or the pack came after check_records() had listed them all.
 */
int rebuild_leaves(struct repo *r, const struct checked_packs *all, const struct checked_pack *pack, const struct progress *p, struct err *e);

#endif
