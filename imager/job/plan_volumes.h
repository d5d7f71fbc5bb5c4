/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The second phase of planning, shared by the plan_*.c files: devices and how their bytes lead to regions. A device is a region, or what
 * a stack (imager/disk/stack.h) makes of other devices. Each is looked at once: it is a member of something larger, or holds a volume.
 */
#ifndef CALCO_IMAGER_JOB_PLAN_VOLUMES_H
#define CALCO_IMAGER_JOB_PLAN_VOLUMES_H

#include "base/extent.h"
#include "fsdrivers/fsdriver.h"
#include "imager/disk/stack.h"
#include "imager/job/plan.h"

#define PLAN_MAX_DEPTH 8U /* layers above a region; deeper ones are not looked into */

enum device_fate {
	DEVICE_NEW,
	DEVICE_LEAF,   /* holds a file system, or nothing known */
	DEVICE_MEMBER, /* of a set that is not put together yet */
	DEVICE_TAKEN,  /* member of a set that is */
};

struct plan_device {
	char name[300];               /* for messages: "disk.img partition 2", "vg/lv" */
	struct blk_source *src;       /* owned if made of a region or mapped, see made->src */
	uint32_t region;              /* IMG_NO_INDEX: made of other devices */
	const struct stack_volume *made; /* by a set; NULL: a region */
	size_t set;                   /* in plan.sets; what a volume of it lies on, or what a member belongs to */
	unsigned depth;
	bool is_encrypted;            /* it, or something below */
	enum device_fate fate;
	const struct stack_kind *kind;/* of a member, or of one that is taken raw instead */
	bool raw_asked, raw_forced;
	bool is_alone;                /* one of a mirror without the others: whatever a driver sees in it */
	char replayed[100];           /* "", or notice of one whose journal was replayed */
	char why_raw[200];            /* notice of one that is forced */
	uint32_t volume;              /* in the manifest, once it is there */
	size_t fs_set;                /* in plan.fs_sets; SIZE_MAX: stands alone */
	struct fsd_member member;     /* of that set */
};

/* A set whose members are at hand. */
struct plan_set {
	struct stack_set s;           /* owned */
	const struct stack_kind *kind;
	size_t *device_of;            /* owned: the device of each member number */
	size_t nr_device_of;
	size_t first_device;          /* its volumes are this device and those behind it */
	uint32_t volume;              /* of a group, in the manifest */
};

/* A file system over several devices. */
struct plan_fs_set {
	char set[48];
	size_t *devices;              /* owned; sorted by number */
	size_t nr;
};

struct plan {
	struct img_manifest *m;
	struct blk_source *const *disks;
	const struct plan_options *o;
	const struct progress *p;
	struct plan_device **devices; /* owned; regions first, in their order */
	size_t nr_devices;
	struct plan_set **sets;
	size_t nr_sets;
	struct plan_fs_set *fs_sets;
	size_t nr_fs_sets;
};

/* ---- plan_device.c ---- */

/* plan_add_device - takes nothing yet: the caller fills it; NULL and *e when there are too many or memory is gone */
struct plan_device *plan_add_device(struct plan *p, struct err *e);
void plan_release(struct plan *p);

/* fn(arg, region, start, len): bytes of a region */
typedef int (*device_fn)(void *arg, uint32_t region, uint64_t start, uint64_t len, struct err *e);

/* device_each - the bytes of regions that hold these bytes of a device, in order, each copy; whole units of what is encrypted */
int device_each(const struct plan *p, size_t dev, uint64_t start, uint64_t len, device_fn fn, void *arg, struct err *e);

/* device_mark - put a state into the maps of the regions below. What is zero above an encrypting layer is not below: it becomes used. */
int device_mark(struct plan *p, size_t dev, uint64_t start, uint64_t len, enum ext_state state, struct err *e);

/* device_map_new - a new map for a device that is a region, with this granule; nothing for others */
int device_map_new(struct plan *p, size_t dev, uint32_t granule, struct err *e);

/* device_where - "partition 2", "'vg/lv'", "": what it is called within messages */
void device_where(const struct plan *p, size_t dev, char *out, size_t size);

/* device_is_called - does a word of the command line mean it? @label, @uuid: of what it holds */
bool device_is_called(const struct plan *p, size_t dev, const char *word, const char *label, const char *uuid);

/* device_is_asked_raw - by --raw; notes which words were used */
bool device_is_asked_raw(const struct plan *p, size_t dev, const char *label, const char *uuid);

/* ---- plan_stack.c ---- */

/* plan_find_devices - from the regions upward, until nothing new appears. ERR_REFUSED "set-member" for sets that are not complete. */
int plan_find_devices(struct plan *p, struct err *e);

/* ---- plan_unknown.c ---- */

/* plan_note_unknown - the notice of a partition taken raw that is to hold files, and in which nothing was recognised */
void plan_note_unknown(const struct plan *p, size_t dev, struct fsd_info *info);

/* ---- plan_notice.c ---- */

/* plan_notice - one or two parts of a notice, of which each may be ""; neither may be out. What does not fit is left out word by word. */
void plan_notice(char *out, size_t size, const char *first, const char *between, const char *rest);

/* ---- plan_words.c ---- */

/*
 * plan_words - every word of --raw and --unlock means something; to be called when all devices are known
 * @r: 0: all volumes are planned; -1: one was refused, and *e tells that
 *
 * ERR_USAGE for a word without a meaning, also instead of a refusal, for which such a word may have been meant; else r.
 */
int plan_words(const struct plan *p, int r, struct err *e);

/* ---- plan_fs_sets.c ---- */

/* plan_find_fs_sets - which leaves belong to one file system */
int plan_find_fs_sets(struct plan *p, struct err *e);

/* ---- plan_set.c ---- */

/* plan_member - the volume of a device that is a member or a container */
int plan_member(struct plan *p, size_t dev, struct err *e);
/* plan_set - metadata of the members, and the volume of a group; before its volumes and behind its members */
int plan_set(struct plan *p, struct plan_set *set, struct err *e);

/* ---- plan_ranges.c ---- */

/* plan_add_volume - a new volume at the end of the manifest, without parent, region and ranges; NULL and *e */
struct img_volume *plan_add_volume(struct plan *p, uint8_t kind, struct err *e);
/* plan_add_segments - the pieces of disk that a device lies on */
int plan_add_segments(struct plan *p, struct img_volume *v, size_t dev, struct err *e);
/* plan_add_arm - bytes of a device, rounded outward to sectors of the disk */
int plan_add_arm(struct plan *p, struct img_volume *v, size_t dev, uint64_t start, uint64_t len, struct err *e);
/* plan_add_skipped - bytes of a device whose content is left out on request */
int plan_add_skipped(struct plan *p, struct img_volume *v, size_t dev, uint64_t start, uint64_t len, struct err *e);

/* ---- plan_twins.c ---- */

/*
 * plan_add_twins - these places hold the same len bytes: for the reading stage
 * @devices: of the members that the places name
 *
 * Places whose content differs on the disks (in several containers), or that are mirrored further below, are left out.
 */
int plan_add_twins(struct plan *p, const size_t *devices, const struct map_leg *places, size_t nr, uint64_t len, struct err *e);

/* ---- plan_replay.c ---- */

/*
 * plan_replay - lay what a replay of the volume's journal would write over the disks; the volume is to be opened anew then
 *
 * ERR_REFUSED where the journal is damaged or not ours to replay.
 */
int plan_replay(struct plan *p, size_t dev, struct fsd_volume *fs, struct err *e);

/* ---- plan_leaf.c ---- */

/* plan_leaf - the volume of a device that holds something by itself */
int plan_leaf(struct plan *p, size_t dev, struct err *e);
/* plan_fs_set - the volumes of a file system over several devices: each member, and the whole */
int plan_fs_set(struct plan *p, struct plan_fs_set *set, struct err *e);
/* plan_raw_word - what --raw would call it */
void plan_raw_word(const struct plan *p, size_t dev, char *out, size_t size);
/* plan_blame_raw - the hint of a refusal: a device is told to be a part of something, but a member of that is taken raw as the user asked; returns -1 */
int plan_blame_raw(const struct plan *p, size_t dev, size_t raw, struct err *e);
/* plan_advice - a driver's advice with what FSD_DEVICE is on this machine */
void plan_advice(const struct plan *p, size_t dev, const char *advice, char *out, size_t size);
/* plan_place - kind, parent, region and name of a device's volume */
void plan_place(const struct plan *p, size_t dev, struct img_volume *v);

#endif
