/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What a restore is going to do, before it does it. */
#ifndef CALCO_CMD_RESTORE_PLAN_H
#define CALCO_CMD_RESTORE_PLAN_H

#include "cmd/out.h"
#include "cmd/targets.h"

struct img_manifest;

/*
 * restore_plan_text - what is on each target now and what will be written
 * @m: NULL while the image is still in its pipe
 * @tell_confirmation: also what must be given for it to be written
 */
void restore_plan_text(struct out *o, const struct img_manifest *m, const struct targets *t, bool tell_confirmation);

/* restore_plan_json - the array "targets" in the open object. @m may be NULL. */
void restore_plan_json(struct out *o, const struct img_manifest *m, const struct targets *t);

/* restore_tell_growth - after a restore: how what is left of larger targets can be used, a line for each of them */
void restore_tell_growth(struct out *o, const struct img_manifest *m, const struct targets *all);

#endif
