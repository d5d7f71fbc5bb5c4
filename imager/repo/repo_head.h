/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The file "calco-repo": what a folder is, and of an encrypted repository its key slots (docs/repository.md sections 1 and 4). Private to imager/repo. */
#ifndef CALCO_IMAGER_REPO_REPO_HEAD_H
#define CALCO_IMAGER_REPO_REPO_HEAD_H

#include "imager/image/seal.h"
#include "imager/repo/repo.h"

#define REPO_HEAD "calco-repo"

/* repo_head_id - the id of a repository with these secrets */
int repo_head_id(const struct img_seal *s, uint8_t ret[16], struct err *e);

/* repo_head_write - as new_name in the folder fd, flushed, and then in its place. @slots NULL: not encrypted. A left-over of that name goes. */
int repo_head_write(int fd, const char *dir, const char *new_name, const uint8_t id[16], const uint8_t *slots, size_t slots_len, struct err *e);

/* repo_head_read - r->id and r->slots, of the folder r->fd */
int repo_head_read(struct repo *r, struct err *e);

#endif
