/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What users write for disks and images, turned into paths. */
#ifndef CALCO_CMD_OPERANDS_H
#define CALCO_CMD_OPERANDS_H

#include "base/auto.h"
#include "base/err.h"

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>

/* Resolved paths, in the order of the operands. */
struct disk_paths {
	size_t nr;
	const char **items;      /* NULL-terminated; point into text */
	char (*text)[PATH_MAX];
};

/* disk_paths_resolve - paths stay as they are, selectors become the path of their disk; ERR_USAGE. NULL on failure. */
struct disk_paths *disk_paths_resolve(const char *const *words, size_t nr, struct err *e);
void disk_paths_free(struct disk_paths *d);
AUTO_DEFINE(disk_paths, disk_paths_free)

/* image_is_pipe - "-": standard input or output */
bool image_is_pipe(const char *image);

/* image_check_pipe - an image read from a pipe must not be a terminal. 0, or -1 with ERR_USAGE. */
int image_check_pipe(const char *image, struct err *e);

#endif
