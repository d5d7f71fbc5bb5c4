/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Which records the versions of a repository refer to. Private to imager/repo. */
#ifndef CALCO_IMAGER_REPO_NEEDED_H
#define CALCO_IMAGER_REPO_NEEDED_H

#include "imager/repo/helper_lists.h"
#include "imager/repo/pack.h"
#include "imager/repo/versions.h"

/* A pack as it lies there, and which of its records are referred to. */
struct needed_pack {
	struct pack_toc *toc;
	uint8_t *is_needed;   /* for each entry */
	uint64_t needed_bytes, record_bytes;
	bool is_retired;
};

struct needed {
	struct needed_pack *packs; /* ascending by id */
	size_t nr;
};

/*
 * needed_find - of all versions and all packs, retired ones included
 * @lists: NULL, or composed records are looked into: all that lend to them must be in the version's table
 *
 * ERR_CORRUPT when a version's file, or a pack that one refers to, is damaged or missing, and when a location table names a record of another
 * chunk: it would be kept in place of the one that is needed. A damaged pack that nothing refers to is left out.
 */
struct needed *needed_find(const struct repo *r, struct helper_lists *lists, const struct progress *p, struct err *e);
void needed_free(struct needed *n);
AUTO_DEFINE(needed, needed_free)

/* needed_pack - by id, NULL when it is not there */
struct needed_pack *needed_pack(const struct needed *n, const uint8_t id[16]);

#endif
