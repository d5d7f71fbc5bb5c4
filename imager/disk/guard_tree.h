/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Private to imager/disk: is a target one of the files in a folder that the job needs? */
#ifndef CALCO_IMAGER_DISK_GUARD_TREE_H
#define CALCO_IMAGER_DISK_GUARD_TREE_H

#include "imager/disk/dev_view.h"

/*
 * guard_tree - is one of these places a file in this folder, or in a folder in it, whatever name it was reached by?
 *
 * 1: its path there is in @ret; 0: none is; -1: not all of it could be looked at. Links to folders are not followed.
 */
int guard_tree(const char *folder, const struct dev_places *places, char ret[PATH_MAX], struct err *e);

#endif
