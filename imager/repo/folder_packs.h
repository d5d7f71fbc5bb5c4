/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Reading records out of the packs of a repository's folder. */
#ifndef CALCO_IMAGER_REPO_FOLDER_PACKS_H
#define CALCO_IMAGER_REPO_FOLDER_PACKS_H

#include "imager/image/packs.h"
#include "imager/repo/repo.h"

/* folder_packs_open - packs are opened when a record of theirs is asked for; r must stay open as long. NULL: memory is gone. */
struct img_packs *folder_packs_open(const struct repo *r, struct err *e);

/* folder_packs_own - the repository, with its lease, is closed together with them */
void folder_packs_own(struct img_packs *p, struct repo *r);

/* pack_path - "packs/PACK.pack" */
void pack_path(const uint8_t pack[16], char *ret, size_t size);

#endif
