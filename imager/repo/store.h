/* SPDX-License-Identifier: GPL-3.0-or-later */
/* A repository as the store of a capture: see imager/image/store.h. */
#ifndef CALCO_IMAGER_REPO_STORE_H
#define CALCO_IMAGER_REPO_STORE_H

#include "imager/image/slots.h"
#include "imager/image/store.h"
#include "imager/repo/repo.h"

/*
 * repo_store_new - a new version of an image, "DIR::NAME"
 *
 * Chunks that the repository holds are not stored again, and those that differ in a few leaves are composed of what the newest version
 * of the same image holds and of what is new. @keys open the repository (NULL: none; see repo_use_keys()). @k signs it (kept; NULL: nobody).
 * ERR_USAGE: a version or tag was named, or there is no repository.
 */
struct img_store *repo_store_new(const char *image, bool no_recheck, const struct img_keys *keys, const struct key *k, struct err *e);

/*
 * repo_store_seal - the secrets of an encrypted repository, for the manifest of what is captured: owned by the caller
 *
 * Then begin() gives the manifest the id of the pack, and each chunk that is put is sealed as a record of that pack.
 */
struct img_seal *repo_store_seal(const struct img_store *s, struct err *e);

#endif
