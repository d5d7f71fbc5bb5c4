/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Looking at every record of every pack. Private to imager/repo. */
#ifndef CALCO_IMAGER_REPO_CHECK_RECORDS_H
#define CALCO_IMAGER_REPO_CHECK_RECORDS_H

#include "imager/image/packs.h"
#include "imager/image/seal.h"
#include "imager/repo/maintain.h"
#include "imager/repo/pack.h"

/* What a check knows of a record: 0 is nothing bad. */
enum record_state { RECORD_FINE, RECORD_BAD, RECORD_UNREADABLE, RECORD_NOTED /* found bad by somebody before */ };

/* A pack whose table of contents could be read, and which of its records are bad. */
struct checked_pack {
	struct pack_toc *toc;
	uint8_t *is_bad; /* for each entry, enum record_state; written by one thread */
};

struct checked_packs {
	struct checked_pack *items; /* ascending by id */
	size_t nr;
	struct img_packs *packs;
	struct img_locations *all;  /* every record as one that may lend, for composed ones; of the packs that were there for check_records() */
};

void checked_packs_release(struct checked_packs *c);

/* checked_pack_find - by id, NULL when it is missing or its table is damaged */
struct checked_pack *checked_pack_find(const struct checked_packs *c, const uint8_t id[16]);

/* checked_packs_insert - one more pack, in its place by id; takes the table. NULL: memory is gone. Pointers to others become invalid. */
struct checked_pack *checked_packs_insert(struct checked_packs *c, struct pack_toc *toc);

/*
 * check_records - the records that the options ask for; bad ones are marked
 * @seal: of an encrypted repository; each record is opened. NULL: not encrypted
 * @problem: called for each, in the caller's thread
 */
int check_records(const struct img_seal *seal, struct checked_packs *c, const struct check_options *o, struct check_result *ret,
	int (*problem)(void *arg, const char *text, struct err *e), void *arg, const struct progress *p, struct err *e);

#endif
