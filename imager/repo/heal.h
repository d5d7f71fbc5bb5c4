/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Versions whose records are damaged, while the same content is stored elsewhere in the repository. Private to imager/repo. */
#ifndef CALCO_IMAGER_REPO_HEAL_H
#define CALCO_IMAGER_REPO_HEAL_H

#include "imager/repo/sound.h"
#include "imager/repo/versions.h"

struct healer;

/* healer_new - all records of the packs were looked at; those that are not bad may step in. @s: borrowed */
struct healer *healer_new(const struct sound *s, struct err *e);
void healer_free(struct healer *h);
AUTO_DEFINE(healer, healer_free)

/*
 * heal_version - under the lock: its location table names other records with the same content for those that are bad
 *
 * 1: it was replaced; 0: nothing could be done, or it is gone. The content of a chunk is its id: what steps in is never another.
 */
int heal_version(const struct healer *h, struct repo *r, const struct repo_version *v, const struct progress *p, struct err *e);

#endif
