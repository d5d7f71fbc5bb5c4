/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * A repository: a folder that holds many versions of many images (docs/repository.md). Here: the folder, its lock, its leases and
 * the names of what lies in it. One thread, unless a function says otherwise.
 */
#ifndef CALCO_IMAGER_REPO_REPO_H
#define CALCO_IMAGER_REPO_REPO_H

#include "base/auto.h"
#include "base/err.h"
#include "base/progress.h"

#include <limits.h>
#include <stdbool.h>
#include <stdint.h>

#define REPO_NAME_SIZE 65

/* "DIR::NAME", "DIR::NAME@3", "DIR::NAME@tag" taken apart. */
struct repo_name {
	char dir[PATH_MAX];
	char name[REPO_NAME_SIZE];
	char which[REPO_NAME_SIZE]; /* "": the newest; a version's number or a tag */
};

/* repo_is_name - does this stand for a version in a repository: is there a "::" in its last part? */
bool repo_is_name(const char *image);
/* repo_parse - ERR_USAGE, with what is wrong */
int repo_parse(const char *image, struct repo_name *ret, struct err *e);

struct img_access;
struct img_keys;
struct img_seal;

struct repo {
	int fd;               /* of the folder */
	char dir[PATH_MAX];   /* as it was named; for messages */
	uint8_t id[16];
	uint8_t *slots;       /* the payload of KEYS; NULL: not encrypted */
	size_t slots_len;
	struct img_seal *seal; /* what the slots hold; NULL: not encrypted, or not opened */
	int lease_fd;         /* -1: none */
	char lease[PATH_MAX]; /* "" or "leases/ID" */
	int lock_fd;          /* -1: not locked by us */
};

/*
 * repo_init - make a new repository in a folder that is empty or not there yet. ERR_REFUSED "exists" where something is.
 * @k: NULL, or who can open it: it is encrypted; ERR_USAGE as slots_make()
 */
int repo_init(const char *dir, const struct img_keys *k, struct err *e);

/* repo_open - ERR_USAGE: no repository; ERR_UNSUPPORTED: of a later version. Nothing is written. Of an encrypted one only names can be read then. */
struct repo *repo_open(const char *dir, struct err *e);
void repo_close(struct repo *r); /* gives lease and lock back */
AUTO_DEFINE(repo, repo_close)

/*
 * repo_use_keys - what is inside can be read and written from now on
 * @a: keys; NULL: none
 *
 * ERR_REFUSED: "locked" for an encrypted one without a key (and a->locked is filled), "wrong-key" with another, "not-encrypted" for a key
 * where there is nothing to open; ERR_CORRUPT when the keys are those of another repository.
 */
int repo_use_keys(struct repo *r, const struct img_access *a, struct err *e);

/* repo_need_keys - ERR_REFUSED "locked" when it is encrypted and was not opened: whoever reads or writes content asks this */
int repo_need_keys(const struct repo *r, struct err *e);

/* repo_set_slots - other key slots, in one step; @slots: a row of slots of what r->seal holds, copied. Under the lock. */
int repo_set_slots(struct repo *r, const uint8_t *slots, size_t len, struct err *e);

/*
 * repo_take_lease - from now on nothing that is found is removed
 * @must: a writer; a reader of a folder that it may not write to goes on without
 */
int repo_take_lease(struct repo *r, bool must, struct err *e);

/* repo_lock, repo_unlock - alone: committing, retiring, removing. Waits for others; ERR_STOPPED when p says so. */
int repo_lock(struct repo *r, const struct progress *p, struct err *e);
void repo_unlock(struct repo *r);

/* repo_lock_file - an open file becomes ours, until it is closed: 1, or 0 when somebody holds it; ERR_UNSUPPORTED where locks do not work */
int repo_lock_file(int fd, const char *name, struct err *e);

/* repo_random_id - 32 random hexadecimal digits */
int repo_random_id(char ret[33], struct err *e);

/* repo_flush_folder - names in a folder of the repository ("packs") survive a power cut when this returns 0 */
int repo_flush_folder(const struct repo *r, const char *folder, struct err *e);

#endif
