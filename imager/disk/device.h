/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Disks attached to this machine: what they are, how a user names them, who uses them. */
#ifndef CALCO_IMAGER_DISK_DEVICE_H
#define CALCO_IMAGER_DISK_DEVICE_H

#include "base/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct dev_info {
	char path[256];      /* "/dev/sda", or a plain file's path */
	bool is_file;        /* a plain file, not a device */
	bool is_partition;
	bool read_only, removable, rotational;
	uint64_t size;       /* bytes */
	uint32_t sector_size, phys_sector_size;
	char model[64], serial[64], wwn[64], bus[16]; /* "" when unknown; bus: "nvme", "sata", "usb", "virtio", "loop", ... */
	unsigned dev_major, dev_minor;
};

/* dev_list - all whole disks of the system (no partitions, no ram or empty loop devices), sorted by name. Free with free(). */
int dev_list(struct dev_info **ret, size_t *ret_nr, struct err *e);

/* dev_inspect - describe one path (device or plain file). ERR_USAGE when it does not exist. */
int dev_inspect(const char *path, struct dev_info *ret, struct err *e);

/* dev_disk_of - the disk that a partition is a part of, and where it begins there; false for what is none, or when sysfs does not tell */
bool dev_disk_of(const struct dev_info *partition, char *ret_path, size_t size, uint64_t *ret_start);

/*
 * dev_backing - what a loop device, or a partition of one, stands for: "loop device over /srv/a.img", with offset and partition where there are
 *
 * Its own name is another file's tomorrow. False for what is no loop device, or when sysfs does not tell.
 */
bool dev_backing(const struct dev_info *dev, char *ret, size_t size);

/*
 * dev_resolve - the path for what the user wrote: a path, or a selector serial=TEXT, wwn=TEXT, model~TEXT (substring), by-path=TEXT
 *
 * A selector must match exactly one disk: none or several is ERR_USAGE, with the candidates in the message.
 */
int dev_resolve(const char *selector, char *ret_path, size_t size, struct err *e);

/*
 * dev_users - who uses this disk or one of its partitions now
 *
 * Fills ret with one phrase per user ("/dev/sda1 is mounted on /", "/dev/sda2 is in use as swap", "/dev/sda3 is held by
 * dm-0", "mounted through /dev/loop3 on /mnt"). @want_rw_only: read-only mounts are left out. A disk nobody uses gives nr 0.
 * Free *ret with free(). Mounts of all mount namespaces count; a loop device that is merely attached is "in-use".
 */
struct dev_user {
	char reason[16]; /* "mounted", "swap", "held", "in-use" */
	char text[224];
};
int dev_users(const struct dev_info *dev, bool want_rw_only, struct dev_user **ret, size_t *ret_nr, struct err *e);

#endif
