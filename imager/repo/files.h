/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Opening what lies in a repository. Whoever may write there may put anything in the place of a file: a link that leads away, a pipe that
 * nobody ever writes to. No link is followed, nothing is waited for, and only plain files are read. Private to imager/repo.
 */
#ifndef CALCO_IMAGER_REPO_FILES_H
#define CALCO_IMAGER_REPO_FILES_H

#include "imager/repo/repo.h"

/*
 * repo_open_file - a plain file: "packs/PACK.pack", "images/NAME/N.version"
 * @flags: O_RDONLY, O_RDWR, with O_CREAT too
 *
 * ERR_CORRUPT: there is something else; ERR_REFUSED "link": a link stands in the place of a folder; ERR_FAILED, with ENOENT in sys_errno where nothing is.
 */
int repo_open_file(const struct repo *r, const char *path, int flags, struct err *e);

/* repo_open_folder - "packs", "images/NAME"; errors as repo_open_file(), but what is no folder is ERR_FAILED with ENOTDIR */
int repo_open_folder(const struct repo *r, const char *path, struct err *e);

/*
 * repo_make_file - a new file under "new", locked while it is open
 *
 * 1: *ret, to read and write; 0: in the moment before it was locked somebody took it for a left-over and removed it; -1
 */
int repo_make_file(const struct repo *r, const char *path, int *ret, struct err *e);

/* repo_is_still - is an open file the one that has this name now? */
bool repo_is_still(const struct repo *r, const char *path, int fd);

#endif
