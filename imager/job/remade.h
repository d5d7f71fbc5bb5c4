/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Volumes that are made anew on a target: their content, and the manifest as it will be. Private to imager/job, a part of expected.h. */
#ifndef CALCO_IMAGER_JOB_REMADE_H
#define CALCO_IMAGER_JOB_REMADE_H

#include "imager/job/expected.h"

/*
 * remade_plan - make the FAT volumes of these regions anew for their targets' sectors; x->m becomes the manifest as it will be
 * @regions: ascending; may be none: then only sector sizes and tables of disks change
 */
int remade_plan(struct expected *x, struct img_reader *reader, const size_t *regions, size_t nr, struct err *e);
void remade_free(struct expected_remade *r);

#endif
