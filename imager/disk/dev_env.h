/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Private to imager/disk: where the kernel's and udev's files are. The public functions of device.h and guard.h use
 * dev_env_system; tests build a tree of a machine that is not at hand (NVMe, partitions held by md) and use the *_env
 * variants. Also the few calls everything here reads sysfs with.
 */
#ifndef CALCO_IMAGER_DISK_DEV_ENV_H
#define CALCO_IMAGER_DISK_DEV_ENV_H

#include "imager/disk/device.h"
#include "imager/disk/guard.h"

#include <limits.h>
#include <sys/types.h>

struct dev_env {
	const char *sys, *proc, *run, *dev; /* "/sys", "/proc", "/run", "/dev" */
};

extern const struct dev_env dev_env_system;

int dev_list_env(const struct dev_env *env, struct dev_info **ret, size_t *ret_nr, struct err *e);
int dev_inspect_env(const struct dev_env *env, const char *path, struct dev_info *ret, struct err *e);
int dev_resolve_env(const struct dev_env *env, const char *selector, char *ret_path, size_t size, struct err *e);
int dev_users_env(const struct dev_env *env, const struct dev_info *dev, bool want_rw_only, struct dev_user **ret, size_t *ret_nr,
	struct err *e);
int guard_check_env(const struct dev_env *env, const struct guard_request *rq, struct guard_verdict *ret, struct err *e);
int guard_source_env(const struct dev_env *env, const char *path, struct err *e);
int guard_distinct_env(const struct dev_env *env, const char *what, const char *const *paths, size_t nr, struct err *e);

/* dev_describe - fill *ret from the sysfs folder of a disk or partition, its real path (".../block/sda/sda1") */
int dev_describe(const struct dev_env *env, const char *dir, struct dev_info *ret, struct err *e);
/* dev_identify - model, serial, wwn and bus from the sysfs folder of a whole disk, then from udev what sysfs does not tell */
void dev_identify(const struct dev_env *env, const char *disk_dir, struct dev_info *ret);
/* dev_is_at_path - is @name a by-path name of this disk (udev's, or what udev would say where it does not run)? */
bool dev_is_at_path(const struct dev_env *env, const struct dev_info *dev, const char *name);
/* dev_name_order - for sorting: sda, sdb, sdaa; nvme0n1, nvme2n1, nvme10n1 */
int dev_name_order(const char *a, const char *b);

/* dev_join - dir/name into out[PATH_MAX]; false when it does not fit */
bool dev_join(char out[PATH_MAX], const char *dir, const char *name);
/* dev_attr_raw - the bytes of one attribute file; 0 when it cannot be read */
size_t dev_attr_raw(const char *dir, const char *name, void *buf, size_t size);
/*
 * dev_attr_sure - the same for what safety hangs on: 0 bytes only where there is no such file. Too many open files, or a read that failed, is
 * -1, never "nobody uses it".
 */
int dev_attr_sure(const char *dir, const char *name, void *buf, size_t size, size_t *ret_len, struct err *e);
/* dev_is_absent - does this errno of open() mean that there is no such thing, or that it is none of our business? */
bool dev_is_absent(int error);
/* dev_attr - its text, cleaned by dev_clean(); "" and false when it cannot be read or is empty */
bool dev_attr(const char *dir, const char *name, char *out, size_t size);
/* dev_attr_u64_sure - its number, or dflt where there is no such file, or an empty one; what is no number is ERR_FAILED as what cannot be read */
int dev_attr_u64_sure(const char *dir, const char *name, uint64_t dflt, uint64_t *ret, struct err *e);
/* dev_attr_u64 - the same where nothing hangs on it: dflt also for what cannot be read */
uint64_t dev_attr_u64(const char *dir, const char *name, uint64_t dflt);
/* dev_number_sure - the device number in the "dev" file of a folder; 0:0, which no device has, where there is none */
int dev_number_sure(const char *dir, unsigned *ret_major, unsigned *ret_minor, struct err *e);
/* dev_clean - what a disk says about itself is hostile: keep printable ASCII, trim spaces at both ends */
void dev_clean(char *out, size_t size, const void *bytes, size_t len);
/* dev_real - realpath() into out; false when there is no such path */
bool dev_real(const char *path, char out[PATH_MAX]);
/* dev_udev - one "E:" property of a disk from udev's database; false where there is none */
bool dev_udev(const struct dev_env *env, unsigned dev_major, unsigned dev_minor, const char *key, char *out, size_t size);

#endif
