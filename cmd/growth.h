/* SPDX-License-Identifier: GPL-3.0-or-later */
/* How what is left of a larger disk can be used. */
#ifndef CALCO_CMD_GROWTH_H
#define CALCO_CMD_GROWTH_H

#include "cmd/out.h"

#include <stddef.h>
#include <stdint.h>

struct img_manifest;

/* growth_tell - a line, in text only, about the bytes that path, which got a disk of the image, has more than that */
void growth_tell(struct out *o, const struct img_manifest *m, size_t disk, const char *path, uint64_t bytes);

#endif
