/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The names below "images": which images there are, their versions and tags (docs/repository.md section 1). */
#ifndef CALCO_IMAGER_REPO_VERSIONS_H
#define CALCO_IMAGER_REPO_VERSIONS_H

#include "imager/image/reader.h"
#include "imager/image/summary.h"
#include "imager/repo/repo.h"

#include <stddef.h>

struct repo_version {
	char name[REPO_NAME_SIZE];
	uint64_t number;
};

struct repo_tag {
	char name[REPO_NAME_SIZE], tag[REPO_NAME_SIZE];
	uint64_t number;
};

/*
 * versions_list - all versions, by name and then number; of one image when name is not NULL
 * tags_list - all tags, by name and then tag
 *
 * *ret is owned by the caller: free(). What has a strange name is not a version.
 */
int versions_list(const struct repo *r, const char *name, struct repo_version **ret, size_t *ret_nr, struct err *e);
int tags_list(const struct repo *r, const char *name, struct repo_tag **ret, size_t *ret_nr, struct err *e);

/*
 * versions_list_all - versions_list() of all images, for who only looks: where a link stands in the place of an image's folder, @odd is told of it
 *
 * versions_list() and tags_list() fail there (ERR_REFUSED "link"): what may be taken away is not known without what the link hides.
 */
int versions_list_all(const struct repo *r, int (*odd)(void *arg, const char *text, struct err *e), void *arg, struct repo_version **ret, size_t *ret_nr,
	struct err *e);

/* version_find - the number that a version's number, a tag, or "" for the newest means. ERR_USAGE names what there is. */
int version_find(const struct repo *r, const struct repo_name *what, uint64_t *ret, struct err *e);

/* version_next_number - one above the highest that ever was, removed ones included. Under the lock. */
int version_next_number(const struct repo *r, const char *name, uint64_t *ret, struct err *e);

/* version_path - "images/NAME/N.version" */
void version_path(const struct repo_version *v, char *ret, size_t size);

/* version_open - a reader of one version; the caller holds a lease and keeps r open as long */
struct img_reader *version_open(const struct repo *r, const struct repo_version *v, const struct progress *p, struct err *e);
/* version_open_own - the same; r is closed together with the reader, also when this fails */
struct img_reader *version_open_own(struct repo *r, const struct repo_version *v, const struct img_access *a, const struct progress *p, struct err *e);

/*
 * versions_flush - the names of an image's versions and tags, and its own, survive a power cut when this returns 0
 * @name: NULL: of all images. What somebody did who was killed before he could flush it is flushed too: it was seen, and others go by it.
 */
int versions_flush(const struct repo *r, const char *name, struct err *e);

/*
 * version_summary - what a list shows of a version
 *
 * Where the version file has a sound summary, the rest of it is not read; else it is opened as by version_open(), with its errors.
 */
int version_summary(const struct repo *r, const struct repo_version *v, struct img_summary *ret, const struct progress *p, struct err *e);

/* tag_set - let a tag mean a version that is there; replaces what it meant. Under the lock. */
int tag_set(struct repo *r, const char *name, const char *tag, uint64_t number, struct err *e);
/* tag_remove - ERR_USAGE when there is no such tag. Under the lock. */
int tag_remove(struct repo *r, const char *name, const char *tag, struct err *e);
/* tag_name_ok - the rule for image names, and not a number */
bool tag_name_ok(const char *tag);

/* version_may_go - ERR_REFUSED "tagged" while a tag means it. Under the lock. */
int version_may_go(const struct repo *r, const struct repo_version *v, struct err *e);
/* version_remove - the version is gone if it may go; what only it needed stays until a prune. Under the lock. */
int version_remove(struct repo *r, const struct repo_version *v, struct err *e);

#endif
