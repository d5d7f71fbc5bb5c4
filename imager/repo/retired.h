/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Packs that nothing needs any more: they go when nobody can read them any more (docs/repository.md section 3). Under the lock. Private to imager/repo. */
#ifndef CALCO_IMAGER_REPO_RETIRED_H
#define CALCO_IMAGER_REPO_RETIRED_H

#include "imager/repo/repo.h"

/* retired_put - from now on nobody begins to use it; who may be using it is noted. Our own lease does not count. */
int retired_put(const struct repo *r, const uint8_t pack[16], struct err *e);
/* retired_take_back - it is needed after all */
int retired_take_back(const struct repo *r, const uint8_t pack[16], struct err *e);
/* retired_remove - 1: it is gone; 0: somebody who may be using it still lives */
int retired_remove(const struct repo *r, const uint8_t pack[16], struct err *e);
/* retired_tidy - forget what is told of packs that are gone, and the leases of the dead */
int retired_tidy(const struct repo *r, struct err *e);

#endif
