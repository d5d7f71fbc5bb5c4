/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The target guard: may this disk be written?
 *
 * It asks the system (mountinfo, swaps, sysfs holders, loop backing files) and the disk's content, and answers
 * with one reason. It never writes.
 */
#ifndef CALCO_IMAGER_DISK_GUARD_H
#define CALCO_IMAGER_DISK_GUARD_H

#include "base/err.h"
#include "imager/disk/device.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct guard_request {
	const char *target;          /* path as the user gave it, resolved by dev_resolve() */
	uint64_t need_size;          /* bytes the image needs at least; 0 = not checked */
	const char *const *in_use;   /* paths that must not be the target, nor lie on it: the image, the sources, the state folder; NULL-terminated */
	const char *in_use_tree;     /* NULL, or a folder that the job needs with every file in it and in its folders: a repository */
	bool yes;                    /* --yes */
	const char *confirm;         /* --confirm TEXT, NULL when not given */
	bool is_given;               /* the disk was not chosen from several (undo): no advice to take another; it is not called a target */
};

struct guard_verdict {
	struct dev_info dev;         /* what the target is */
	bool is_unrecognised;        /* it holds data, but nothing that has a name */
	bool is_empty;               /* nothing recognisable on it: --yes suffices */
	char holds[256];             /* what is on it, for the question: "gpt: 1 vfat 'EFI', 2 ext4 'root'" */
	char confirm_text[256];      /* what must be typed: last 4 characters of the serial, else size in bytes, else a file's name */
	char confirm_what[64];       /* "the last 4 characters of its serial number" */
};

/*
 * guard_check - everything but the confirmation: exists, not mounted, not held, not swap, not the source or the store, big enough
 *
 * ERR_REFUSED with a reason word ("mounted", "held", "swap", "is-source", "holds-store", "in-use", "read-only", "too-small")
 * and a hint. "too-small" names the exact shortage in bytes. ERR_FAILED "no-permission" when we may not write to a device. Fills *ret on success, and as far as known on a refusal.
 */
int guard_check(const struct guard_request *rq, struct guard_verdict *ret, struct err *e);

/*
 * guard_new_file - may a plain file be made under this name? ERR_REFUSED "is-source" when it would lie in a folder that the job needs (@tree), or in a
 * folder in it
 */
int guard_new_file(const char *path, const char *tree, struct err *e);

/*
 * guard_confirm - is the destruction of what is there confirmed?
 *
 * ERR_REFUSED, reason "not-confirmed", with the text that would do it in the hint. Pure: no prompt, no I/O.
 */
int guard_confirm(const struct guard_request *rq, const struct guard_verdict *v, struct err *e);

/*
 * guard_source - may this disk be captured? ERR_REFUSED "mounted" or "swap" when it, or one of its partitions, is mounted
 * read-write or used as swap, or for a plain file, when a loop device over it is. A read-only mount is fine. Also
 * "in-use" when a device is claimed by a program that the system does not name (a restore that runs, ZFS).
 */
int guard_source(const char *path, struct err *e);

/*
 * guard_distinct - several disks of one job: no two are the same by different names, and none lies on another
 * @what: what they are to the job, for the message: "source", "target"
 *
 * A disk and its partition, a file and a loop device over it, an LV and the disk under it: ERR_USAGE that names both. What does not
 * exist yet is compared by its name.
 */
int guard_distinct(const char *what, const char *const *paths, size_t nr, struct err *e);

#endif
