/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Private to imager/disk: one look at who stands on what. A view is loaded once and then answers from memory.
 *
 * Everything is brought down to *places*: a byte range of a whole disk or of a plain file. A partition is a range of
 * its disk, a loop device a range of its backing file; device-mapper and md devices are disks of their own that stand
 * on others. Two things collide when their places overlap, so sibling partitions, overlapping partitions, loops over
 * loops and hard links all come out right without a rule for each.
 */
#ifndef CALCO_IMAGER_DISK_DEV_VIEW_H
#define CALCO_IMAGER_DISK_DEV_VIEW_H

#include "base/auto.h"
#include "imager/disk/dev_env.h"

struct dev_node { /* a disk or a partition */
	char name[64];         /* the kernel's: "sda1" */
	unsigned dev_major, dev_minor;
	size_t disk;           /* its whole disk; itself for a disk */
	uint64_t start, size;  /* bytes; start is 0 for a disk */
	bool has_backing;      /* a loop device that is attached to something */
	bool backing_known;    /* ... and we know to what: */
	bool backing_is_block;
	dev_t backing_dev;     /* the device, or the file system of the file */
	ino_t backing_ino;     /* the file */
	uint64_t loop_offset;
	char *backing_path;    /* as sysfs tells it; may be stale */
};

struct dev_edge { /* upper stands on lower: dm-0 on sda3, md0 on sdb1 */
	size_t upper, lower;
};

struct dev_member { /* a device that belongs to a mounted btrfs */
	unsigned set;
	size_t node;
	char uuid[40];
};

enum dev_origin { DEV_ORIGIN_NONE, DEV_ORIGIN_BLOCK, DEV_ORIGIN_FILE };

struct dev_mount { /* a mount, or an area of swap */
	bool is_swap;
	uint64_t id;            /* mount id; unique among those with pid 0 */
	int pid;                /* 0: our own mount namespace, else a process that has it */
	bool is_rw;             /* the file system is writable, even where this mount of it is not */
	enum dev_origin origin; /* what it is on: */
	dev_t dev;              /* the device (BLOCK), or the file system of the file (FILE) */
	ino_t ino;
	char *point, *source;
	char fstype[32];
};

struct dev_view {
	struct dev_node *nodes;
	size_t nr_nodes;
	struct dev_edge *edges;
	size_t nr_edges;
	struct dev_member *members;
	size_t nr_members;
	struct dev_mount *mounts;
	size_t nr_mounts;
};

/* dev_view_load - take the look. Fails rather than to return a view with a blind spot. Free with dev_view_free(). */
int dev_view_load(const struct dev_env *env, struct dev_view **ret, struct err *e);
void dev_view_free(struct dev_view *v);
AUTO_DEFINE(dev_view, dev_view_free)

/* dev_view_mounts - the part of dev_view_load() that reads mountinfo of every mount namespace, and swaps */
int dev_view_mounts(const struct dev_env *env, struct dev_view *v, struct err *e);

#define DEV_NO_NODE SIZE_MAX

size_t dev_view_find(const struct dev_view *v, unsigned dev_major, unsigned dev_minor);
size_t dev_view_find_name(const struct dev_view *v, const char *name);

struct dev_place {
	bool is_file;
	size_t disk;         /* node, unless is_file */
	dev_t dev;           /* is_file */
	ino_t ino;
	uint64_t start, end; /* bytes */
	size_t node;         /* what it was derived from; DEV_NO_NODE for a file named directly */
	unsigned depth;      /* layers below what was asked for; 0: that itself */
};

struct dev_places {
	struct dev_place *v;
	size_t nr;
};

void dev_places_free(struct dev_places *p); /* what it holds, not the struct */
/* AUTO_PLACES struct dev_places p = { 0 }; */
#define AUTO_PLACES __attribute__((cleanup(dev_places_free)))

bool dev_place_overlaps(const struct dev_place *a, const struct dev_place *b);
/* dev_place_hits - does one of these places overlap? */
bool dev_place_hits(const struct dev_place *a, const struct dev_places *any);
struct dev_place dev_place_of_node(const struct dev_view *v, size_t node);
struct dev_place dev_place_of_file(dev_t dev, ino_t ino);

/* dev_below_node - append the place of a node (first) and of all that it stands on, through every layer */
int dev_below_node(const struct dev_view *v, size_t node, struct dev_places *ret, struct err *e);
/* dev_below_mount - append what a mount or swap area is on; the devices of a btrfs all count. Nothing for tmpfs, NFS... */
int dev_below_mount(const struct dev_view *v, const struct dev_mount *m, struct dev_places *ret, struct err *e);
/* dev_below_path - append what an existing path is (first), and what that stands on; not the file system it lies in */
int dev_below_path(const struct dev_view *v, const char *path, struct dev_places *ret, struct err *e);
/*
 * dev_under_path - append every place that holds the bytes of an existing path: as dev_below_path(), and the device of
 * the file system it lies in, and where that is a loop device the file system of the backing file, and so on
 */
int dev_under_path(const struct dev_view *v, const char *path, struct dev_places *ret, struct err *e);

/* dev_view_users - dev_users() on a view that is already there */
int dev_view_users(const struct dev_view *view, const struct dev_info *dev, bool want_rw_only, struct dev_user **ret, size_t *ret_nr,
	struct err *e);

#endif
