/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Volume stacks: what a device is that holds no file system of its own but is a part, or the container, of other devices. All is read
 * from the metadata on the disks themselves, without device-mapper: nothing is activated, and nothing is written.
 *
 * One const table per kind, listed in stack_kinds[].
 */
#ifndef CALCO_IMAGER_DISK_STACK_H
#define CALCO_IMAGER_DISK_STACK_H

#include "base/blk.h"
#include "base/err.h"
#include "base/mapping.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* What can be done with a set. */
enum stack_verdict {
	STACK_OPEN,    /* its volumes are mapped */
	STACK_RAW,     /* every byte of its members is taken; notice says why */
	STACK_MISSING, /* members are not at hand; detail names them */
	STACK_ALONE,   /* members are not at hand; this one is taken whole, and told by what a driver sees in it */
};

/* Bytes of a member. */
struct stack_range {
	size_t member; /* as numbered by the caller of assemble() */
	uint64_t start, len;
};

/* One device that a set is made into. */
struct stack_volume {
	char name[272];        /* "vg/lv" */
	char uuid[48];         /* of the volume, not of what it holds; "" when none */
	struct mapping map;    /* to the members of the set */
	bool is_raw;           /* taken whole, without looking into it; notice says why */
	char notice[200];
	/* A container: how its plain content is read (owned, borrows the members), and in which units it is encrypted. Else NULL, 0. */
	struct blk_source *src;
	uint32_t unit;
};

/* Members that belong together, and what they become. */
struct stack_set {
	enum stack_verdict verdict;
	char name[128], uuid[48];
	char type[32];          /* "LVM2", "raid1" */
	size_t *members;        /* owned; numbers of the caller */
	size_t nr_members;
	struct stack_volume *volumes; /* owned */
	size_t nr_volumes;
	/* Owned: metadata in members; what must be zero unless a volume uses it; what makes a mounter accept a member. */
	struct stack_range *used, *zero, *arm;
	size_t nr_used, nr_zero, nr_arm;
	char reason[32], detail[300], notice[200];
};

/* What assemble() finds. */
struct stack_sets {
	struct stack_set *list; /* owned */
	size_t nr;
};

void stack_sets_release(struct stack_sets *s);

/* What the user knows of the containers. */
struct stack_keys {
	/* The file with the key or passphrase of a member; NULL: there is none. */
	const char *(*key_file)(void *arg, size_t member, const char *label, const char *uuid);
	void *arg;
	const struct progress *progress; /* NULL, or asked whether to stop while a key comes through a pipe */
};

/* How members and what is made of them are told. */
enum stack_shape {
	STACK_GROUP,     /* members make a set, which holds volumes: LVM */
	STACK_CONTAINER, /* each member holds one volume: LUKS */
	STACK_ARRAY,     /* members make one volume: md */
};

struct stack_kind {
	const char *name;   /* "lvm" */
	const char *type;   /* what libblkid calls a member: "LVM2_member" */
	enum stack_shape shape;
	/* 1: mine; 0: not mine; -1: the source could not be read. Looks at a few sectors. */
	int (*probe)(struct blk_source *src, struct err *e);
	/*
	 * Put together all devices of this kind that are known so far. Each member lands in exactly one set; damage and what is not
	 * understood are sets with STACK_RAW. Fails only where a device cannot be read, memory is gone, or a key is wrong (ERR_REFUSED).
	 */
	int (*assemble)(struct blk_source *const *members, size_t nr, const struct stack_keys *keys, struct stack_sets *ret, struct err *e);
};

/* NULL-terminated */
extern const struct stack_kind *const stack_kinds[];
extern const struct stack_kind stack_lvm, stack_luks, stack_md;

/* ---- for the kinds ---- */

/* stack_add_set - a new empty set behind the others; NULL and *e when memory is gone. Earlier pointers into the list become invalid. */
struct stack_set *stack_add_set(struct stack_sets *s, struct err *e);
int stack_add_member(struct stack_set *s, size_t member, struct err *e);
/* stack_add_volume - a new empty volume; NULL and *e when memory is gone. Earlier pointers into the list become invalid. */
struct stack_volume *stack_add_volume(struct stack_set *s, struct err *e);
int stack_add_used(struct stack_set *s, size_t member, uint64_t start, uint64_t len, struct err *e);
int stack_add_zero(struct stack_set *s, size_t member, uint64_t start, uint64_t len, struct err *e);
int stack_add_arm(struct stack_set *s, size_t member, uint64_t start, uint64_t len, struct err *e);
/* stack_add_raw - one member alone, taken raw, with the reason as notice */
int stack_add_raw(struct stack_sets *s, size_t member, const char *why, struct err *e);

#endif
