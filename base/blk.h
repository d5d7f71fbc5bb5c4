/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Block sources and sinks: the only way the program touches disks, files and (in tests) memory. Each is a struct
 * with a small table of functions; decorators (window, fault injection, write log) implement the same table they
 * consume. Offsets and lengths are bytes.
 */
#ifndef CALCO_BASE_BLK_H
#define CALCO_BASE_BLK_H

#include "base/auto.h"
#include "base/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct blk_source;
struct blk_sink;
struct progress;

struct blk_source_ops {
	/* Read exactly len bytes at off; the range was checked against the size. Thread-safe. */
	int (*read)(struct blk_source *s, uint64_t off, void *buf, size_t len, struct err *e);
	/* The file descriptor behind it, for libblkid and ioctls, with the offset of byte 0 in *ret_off; -1 when none. Optional. */
	int (*fd)(struct blk_source *s, uint64_t *ret_off);
	/* Keep others from mounting or claiming the device until close: true when that worked. Optional: false. */
	bool (*claim)(struct blk_source *s);
	/* -1 with ERR_FAILED when the source can be seen to have changed since it was opened. Optional: 0. */
	int (*unchanged)(struct blk_source *s, struct err *e);
	void (*close)(struct blk_source *s);
};

/* Embedded as the first member of each implementation. All fields are constant after opening. */
struct blk_source {
	const struct blk_source_ops *ops;
	uint64_t size;              /* bytes */
	uint32_t sector_size;       /* logical sector, bytes: 512 or 4096 */
	uint32_t phys_sector_size;  /* physical sector, bytes */
	char name[256];             /* for messages */
};

/* blk_read - read exactly len bytes; a range beyond the end is ERR_CORRUPT ("beyond the end of 'x'"). Thread-safe. */
int blk_read(struct blk_source *s, uint64_t off, void *buf, size_t len, struct err *e);
/* blk_is_medium_error - does a failed read mean that the medium lost these bytes, and not that the device or we are gone? */
bool blk_is_medium_error(const struct err *e);
/* blk_fd - see blk_source_ops.fd; -1 when the source has none */
int blk_fd(struct blk_source *s, uint64_t *ret_off);
/* blk_claim, blk_unchanged - see blk_source_ops */
bool blk_claim(struct blk_source *s);
int blk_unchanged(struct blk_source *s, struct err *e);
/* blk_name - the name for messages; never NULL */
const char *blk_name(const struct blk_source *s);
/* blk_close - release; NULL is fine */
void blk_close(struct blk_source *s);
AUTO_DEFINE(blk_source, blk_close)

/* blk_missing - the sentence about a path of a disk or file where nothing is: -1 with ERR_USAGE and a hint, everywhere the same */
int blk_missing(const char *path, struct err *e);

/* blk_not_opened - the error of an open() that failed with this errno: -1 with ERR_FAILED; "no-permission" with a hint where root could */
int blk_not_opened(const char *path, int sys_errno, struct err *e);

/*
 * blk_open - open a block device or plain file read-only as a source
 * @sector_size: 0 = ask the device (512 for a plain file, unless its content says otherwise later), else forced
 *
 * Block devices are read with O_DIRECT where @direct is set and the device allows it.
 */
struct blk_source *blk_open(const char *path, uint32_t sector_size, bool direct, struct err *e);

/* blk_mem - a source over memory the caller keeps alive; for tests and for parsing buffers */
struct blk_source *blk_mem(const void *data, size_t len, uint32_t sector_size, const char *name, struct err *e);

/* blk_window - bytes [start, start+len) of another source, which must outlive it; the range must lie inside */
struct blk_source *blk_window(struct blk_source *of, uint64_t start, uint64_t len, const char *name, struct err *e);

/* blk_stoppable - another source, which must outlive it, whose reads fail with ERR_STOPPED as soon as the job shall stop */
struct blk_source *blk_stoppable(struct blk_source *of, const struct progress *p, struct err *e);

struct blk_sink_ops {
	/* Write exactly len bytes. Thread-safe. */
	int (*write)(struct blk_sink *s, uint64_t off, const void *buf, size_t len, struct err *e);
	/* Make the range read as zeros. Optional: zeros are written. */
	int (*zero)(struct blk_sink *s, uint64_t off, uint64_t len, struct err *e);
	/* Tell the device that the content of the range is not needed. Optional: nothing happens. Failure to support is not an error. */
	int (*discard)(struct blk_sink *s, uint64_t off, uint64_t len, struct err *e);
	/* Everything written is on the medium when this returns 0. */
	int (*flush)(struct blk_sink *s, struct err *e);
	/* Read exactly len bytes from the medium, not from a cache that writes went through (as far as the system allows). */
	int (*read_back)(struct blk_sink *s, uint64_t off, void *buf, size_t len, struct err *e);
	/* Let the system look at the partition table again. Optional; a failure is of no consequence for what is on the disk. */
	void (*rescan)(struct blk_sink *s);
	/* -1 with ERR_FAILED when the name it was opened by leads to something else now, or nowhere. Optional: 0. */
	int (*still_there)(struct blk_sink *s, struct err *e);
	void (*close)(struct blk_sink *s);
};

struct blk_sink {
	const struct blk_sink_ops *ops;
	uint64_t size;
	bool is_file;               /* no device with a sector size of its own: takes a disk of any */
	uint32_t sector_size;
	uint32_t phys_sector_size;
	char name[256];
};

int blk_write(struct blk_sink *s, uint64_t off, const void *buf, size_t len, struct err *e);
int blk_zero(struct blk_sink *s, uint64_t off, uint64_t len, struct err *e);
int blk_discard(struct blk_sink *s, uint64_t off, uint64_t len, struct err *e);
int blk_flush(struct blk_sink *s, struct err *e);
int blk_read_back(struct blk_sink *s, uint64_t off, void *buf, size_t len, struct err *e);
void blk_rescan(struct blk_sink *s);
/* blk_still_there - see blk_sink_ops.still_there; the reason is "replaced" */
int blk_still_there(struct blk_sink *s, struct err *e);
void blk_sink_close(struct blk_sink *s);
AUTO_DEFINE(blk_sink, blk_sink_close)

/*
 * blk_sink_open - open an existing block device (O_EXCL) or plain file for writing
 *
 * Takes no decision about safety: the target guard (imager/disk/guard.h) runs first. A plain file also gets an
 * exclusive flock, so that two jobs cannot write the same file.
 */
struct blk_sink *blk_sink_open(const char *path, struct err *e);

/* blk_sink_source - a source that reads what the sink holds (through read_back); borrows the sink */
struct blk_source *blk_sink_source(struct blk_sink *s, struct err *e);

#endif
