/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Which records the composed ones refer to. Each is read once, however many versions name it. Private to imager/repo. */
#ifndef CALCO_IMAGER_REPO_HELPER_LISTS_H
#define CALCO_IMAGER_REPO_HELPER_LISTS_H

#include "imager/repo/pack.h"

struct helper_lists;

/* @r: must stay open as long */
struct helper_lists *helper_lists_new(const struct repo *r, struct err *e);
void helper_lists_free(struct helper_lists *h);
AUTO_DEFINE(helper_lists, helper_lists_free)

/*
 * helper_lists_get - the helpers of a composed record, ascending by name
 * @ret: valid until the next call
 *
 * Its payload's checksum is not compared. ERR_CORRUPT: it is not the record that the table of contents names, or does not say whom it needs.
 */
int helper_lists_get(struct helper_lists *h, const uint8_t pack[16], const struct pack_entry *x, const struct img_record_name **ret, unsigned *ret_nr,
	struct err *e);

#endif
