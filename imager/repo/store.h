/* SPDX-License-Identifier: GPL-3.0-or-later */
/* A repository as the store of a capture: see imager/image/store.h. */
#ifndef CALCO_IMAGER_REPO_STORE_H
#define CALCO_IMAGER_REPO_STORE_H

#include "imager/image/store.h"
#include "imager/repo/repo.h"

/*
 * repo_store_new - a new version of an image, "DIR::NAME"
 *
 * Chunks that the repository holds are not stored again, and those that differ in a few leaves are composed of what the newest version
 * of the same image holds and of what is new. @k signs it (kept; NULL: nobody). ERR_USAGE: a version or tag was named, or there is no repository.
 */
struct img_store *repo_store_new(const char *image, bool no_recheck, const struct key *k, struct err *e);

#endif
