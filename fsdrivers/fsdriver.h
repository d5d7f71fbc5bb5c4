/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * File-system drivers: "which bytes of this volume are in use, and is it safe to copy now?"
 *
 * One const table per file system, listed in fsd_drivers[] in probing order. A driver only reads, knows nothing of
 * images, and treats every byte it reads as hostile.
 */
#ifndef CALCO_FSDRIVERS_FSDRIVER_H
#define CALCO_FSDRIVERS_FSDRIVER_H

#include "base/auto.h"
#include "base/blk.h"
#include "base/err.h"
#include "base/extent.h"
#include "base/mapping.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Is it safe to copy now? Only FSD_CLEAN is captured without being asked to. The words (fsd_state_name) are a contract. */
enum fsd_state {
	FSD_CLEAN,      /* "clean" */
	FSD_REPLAYABLE, /* "replayable": a journal must be replayed before the allocation maps are true */
	FSD_HIBERNATED, /* "hibernated": a suspended system will come back to it */
	FSD_IN_USE,     /* "in-use": mounted, here or on another machine (MMP) */
	FSD_SET_MEMBER, /* "set-member": one member of a set of devices; the others are missing */
	FSD_DAMAGED,    /* "damaged": marked dirty or with errors, or its structures contradict each other */
};

/* In a driver's advice, for the device that the volume is on this machine: a driver knows of bytes only. */
#define FSD_DEVICE "DEVICE"

/* What a driver found; plain data, copied by the caller. */
struct fsd_info {
	char type[32];       /* "ext4", "vfat", "swap", "linux_raid_member": the word used in JSON and on screen */
	char label[128];     /* UTF-8, "" when none; not trusted, may hold any character but NUL */
	char uuid[48];       /* as blkid prints it, "" when none */
	uint64_t size;       /* bytes the file system covers, from the volume's start; at most the source's size */
	uint32_t block_size; /* allocation unit in bytes (block, cluster) */
	uint32_t granule;    /* 512..4096, power of two: every boundary map() emits is a multiple of it, or the volume's end */
	uint64_t used_bytes; /* from the file system's own counters; a display value, never trusted */
	enum fsd_state state;
	bool can_replay;     /* FSD_REPLAYABLE, and fsd_replay() may tell what it will be then */
	char reason[32];     /* "" when clean, else a stable word: "dirty-journal", "dirty", "errors", "mmp", "external-journal", "set-member", "suspended" */
	char detail[200];    /* one sentence for the person: what was found */
	char advice[200];    /* what to do next: "run e2fsck -p DEVICE, or mount and unmount it"; FSD_DEVICE stands in it once at most */
	char notice[200];    /* "" or something worth saying although it is safe ("unknown feature 0x…: taken raw") */
};

/* An ordered set of members; one member for all but multi-device file systems. Borrowed by the volume until close. */
struct blk_set {
	struct blk_source **members;
	size_t nr;
};

/* Which set of devices a source is a part of. */
struct fsd_member {
	char set[48];     /* names the set: the file system's UUID */
	uint32_t number;  /* of this member in the set, as the file system counts them */
	uint32_t nr;      /* members of the whole set, those that are not at hand too; at least 1 */
	uint64_t version; /* generation: of two copies of one member the higher one is the newer */
};

/*
 * emit(arg, member, start, len, state) - one range in bytes from the member's start, never empty, never beyond its size
 *
 * Ranges may come in any order and may overlap; EXT_USED wins over EXT_ZERO wins over EXT_UNUSED (the default for
 * what is never emitted). Bytes from fsd_info.size to the end of a single member are emitted as used by the wrapper
 * fsd_map(), not by the driver; in a set of several the driver does it for each. Returns 0, or -1 to stop.
 */
typedef int (*fsd_extent_fn)(void *arg, size_t member, uint64_t start, uint64_t len, enum ext_state state, struct err *e);

/* emit(arg, member, start, len): see fsd_driver.arm_ranges */
typedef int (*fsd_range_fn)(void *arg, size_t member, uint64_t start, uint64_t len, struct err *e);

/* emit(arg, member, start, bytes, len): see fsd_driver.replay */
typedef int (*fsd_patch_fn)(void *arg, size_t member, uint64_t start, const void *bytes, size_t len, struct err *e);

/* emit(arg, member, start, len, file): see fsd_driver.volatile_ranges */
typedef int (*fsd_skip_fn)(void *arg, size_t member, uint64_t start, uint64_t len, const char *file, struct err *e);

/* emit(arg, places, nr, len): see fsd_driver.copies */
typedef int (*fsd_copies_fn)(void *arg, const struct map_leg *places, size_t nr, uint64_t len, struct err *e);

/* What a replay came to. */
struct fsd_replayed {
	uint32_t nr_transactions;
	uint64_t nr_blocks; /* that differ or may differ from the volume, those that say that nothing is due included */
};

/* First member of each driver's own volume struct. */
struct fsd_volume {
	const struct fsd_driver *driver;
	struct blk_set set;
	struct fsd_info info;
};

struct fsd_driver {
	const char *name;    /* "ext": the word on the command line and in JSON */
	const char *summary; /* one line for lists and the manual */
	/*
	 * 1: mine; 0: not mine; -1: the source could not be read. Cheap: looks at a few sectors. A structure that is
	 * mine but damaged or of an unknown kind still answers 1: open() then says what is wrong.
	 */
	int (*probe)(struct blk_source *src, struct err *e);
	/*
	 * Open and check everything that needs no walk of the maps; fills info. ERR_CORRUPT: contradicting
	 * structures; ERR_UNSUPPORTED: a feature this driver does not know, named. The caller then falls back to raw
	 * with the message as notice. A volume that is valid but unsafe is opened, with info.state saying so.
	 */
	int (*open)(const struct blk_set *set, struct fsd_volume **ret, struct err *e);
	/* Emit every used and zero range. ERR_CORRUPT when the maps contradict each other. Not thread-safe per volume. */
	int (*map)(struct fsd_volume *v, fsd_extent_fn emit, void *arg, struct err *e);
	/*
	 * Every range that makes a mounter, libblkid or firmware accept this volume: primary and backup superblocks or boot
	 * sectors. A restore clears them first and writes them last. Small (sectors), sector aligned. In total at most 16 MiB.
	 */
	int (*arm_ranges)(struct fsd_volume *v, fsd_range_fn emit, void *arg, struct err *e);
	void (*close)(struct fsd_volume *v); /* NULL is fine */
	/*
	 * Optional, for file systems that may span several devices: called after probe() said 1. open() then takes the members in any
	 * order, and where some are missing opens the volume as FSD_SET_MEMBER with a detail that tells which.
	 */
	int (*member)(struct blk_source *src, struct fsd_member *ret, struct err *e);
	/*
	 * Optional, for volumes that are FSD_REPLAYABLE: emit what a replay of the journal would write, each byte once, in any order. The
	 * source is only read. ERR_CORRUPT: the journal is damaged; ERR_REFUSED with a reason or ERR_UNSUPPORTED: not ours to replay.
	 * What was emitted before an error is of no use. Opened anew through those bytes, the volume tells its state after the replay.
	 */
	int (*replay)(struct fsd_volume *v, fsd_patch_fn emit, void *arg, struct fsd_replayed *ret, struct err *e);
	/*
	 * Optional, of a clean volume, before map(): emit bytes that are in use but worth nothing on another machine, the content of swap and
	 * hibernation files but for their heads, with the file's name. map() still emits them as used, and fails with ERR_CORRUPT
	 * where something else claims them. ERR_CORRUPT, ERR_UNSUPPORTED: nothing is to be left out.
	 */
	int (*volatile_ranges)(struct fsd_volume *v, fsd_skip_fn emit, void *arg, struct err *e);
	/*
	 * Optional, of a clean volume: emit ranges that stand in several places, on one member or on several. Where map() says that one of them is
	 * used, the file system itself would read another one when the medium lost it.
	 */
	int (*copies)(struct fsd_volume *v, fsd_copies_fn emit, void *arg, struct err *e);
};

/* NULL-terminated, in probing order; the last is the raw driver, which accepts everything. */
extern const struct fsd_driver *const fsd_drivers[];
extern const struct fsd_driver fsd_ext, fsd_xfs, fsd_btrfs, fsd_f2fs, fsd_ntfs, fsd_exfat, fsd_fat, fsd_swap, fsd_raw;

/*
 * fsd_open - find the driver of a set and open it, falling back to raw
 * @force_raw: take it raw without asking the drivers
 *
 * On a fallback info.notice says why. Sectors that the medium lost make it raw, too; fails only where the source cannot be read at all, or memory
 * is gone. Several members cannot be taken raw as one: there the driver's error is returned, and the caller falls back for each.
 */
int fsd_open(const struct blk_set *set, bool force_raw, struct fsd_volume **ret, struct err *e);

/* fsd_find_member - is this source one of several that a file system spans? 1 and *ret; 0 when it stands alone or is of no known kind; -1 */
int fsd_find_member(struct blk_source *src, struct fsd_member *ret, struct err *e);

/*
 * fsd_map - the driver's map(), checked: every emitted range lies inside its member; the bytes behind info.size are
 * emitted as used. The caller may get ERR_CORRUPT after ranges were emitted and then starts anew with raw.
 */
int fsd_map(struct fsd_volume *v, fsd_extent_fn emit, void *arg, struct err *e);

/* fsd_arm_ranges - the driver's arm_ranges(), cut to the members' sizes */
int fsd_arm_ranges(struct fsd_volume *v, fsd_range_fn emit, void *arg, struct err *e);

/* fsd_replay - the driver's replay(), checked like fsd_map(); ERR_UNSUPPORTED where it has none */
int fsd_replay(struct fsd_volume *v, fsd_patch_fn emit, void *arg, struct fsd_replayed *ret, struct err *e);

/* fsd_volatile_ranges - the driver's volatile_ranges(), checked like fsd_map(); nothing where it has none or the volume is not clean */
int fsd_volatile_ranges(struct fsd_volume *v, fsd_skip_fn emit, void *arg, struct err *e);

/* fsd_copies - the driver's copies(), checked like fsd_map(); nothing where it has none or the volume is not clean */
int fsd_copies(struct fsd_volume *v, fsd_copies_fn emit, void *arg, struct err *e);

const struct fsd_info *fsd_get_info(const struct fsd_volume *v);
const char *fsd_state_name(enum fsd_state s);
void fsd_close(struct fsd_volume *v);
AUTO_DEFINE(fsd_volume, fsd_close)

#endif
