/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What interrupted captures left under "new". Private to imager/repo. */
#ifndef CALCO_IMAGER_REPO_UNFINISHED_H
#define CALCO_IMAGER_REPO_UNFINISHED_H

#include "imager/repo/repo.h"

/* unfinished_count - its bytes are added to *ret, and with @remove it goes. What somebody writes is not touched. */
int unfinished_count(const struct repo *r, bool remove, uint64_t *ret, struct err *e);

#endif
