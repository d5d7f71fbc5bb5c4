/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Is it safe to copy this btrfs file system now? Whole sets only, all members of one generation, nothing in the tree log.
 *
 * What is no reason: a file system that was not unmounted. Every commit leaves a whole one behind, and its trees are those that the
 * superblock names. Nor a paused balance, nor snapshots whose deletion is not finished: the copy goes on with them, too.
 */
#include "fsdrivers/btrfs/btrfs.h"

#include <stdarg.h>
#include <stdio.h>

static void set_state(struct btrfs_volume *v, enum fsd_state state, const char *reason, const char *advice, const char *fmt, ...)
	__attribute__((format(printf, 5, 6)));
static void set_state(struct btrfs_volume *v, enum fsd_state state, const char *reason, const char *advice, const char *fmt, ...)
{
	struct fsd_info *i = &v->base.info;
	va_list ap;

	i->state = state;
	snprintf(i->reason, sizeof(i->reason), "%s", reason);
	snprintf(i->advice, sizeof(i->advice), "%s", advice);
	va_start(ap, fmt);
	vsnprintf(i->detail, sizeof(i->detail), fmt, ap);
	va_end(ap);
}

static const char all_members[] = "name all devices of the file system in one capture";

static bool judge_member(struct btrfs_volume *v, size_t m)
{
	const struct btrfs_super *s = &v->supers[m];
	const char *name = blk_name(v->base.set.members[m]);

	if (!s->devid) {
		set_state(v, FSD_SET_MEMBER, "device-replace", "let \"btrfs replace\" finish, or cancel it",
			"'%.80s' is about to replace another device", name);
		return false;
	}
	if (s->generation != v->sb->generation) {
		set_state(v, FSD_SET_MEMBER, "stale-member", "mount the file system with all its devices and run \"btrfs scrub\"",
			"'%.80s' is of generation %llu, the newest member of %llu", name, (unsigned long long)s->generation,
			(unsigned long long)v->sb->generation);
		return false;
	}
	for (size_t i = 0; i < m; i++) {
		if (v->supers[i].devid != s->devid)
			continue;
		set_state(v, FSD_SET_MEMBER, "duplicate-member", "name each device once, and no copy of it",
			"'%.60s' and '%.60s' are both device %llu", blk_name(v->base.set.members[i]), name, (unsigned long long)s->devid);
		return false;
	}
	return true;
}

void btrfs_judge_set(struct btrfs_volume *v)
{
	const struct blk_set *set = &v->base.set;

	for (size_t m = 0; m < set->nr; m++)
		if (!judge_member(v, m))
			return;
	if (v->sb->nr_devices > set->nr)
		set_state(v, FSD_SET_MEMBER, "set-member", all_members, "%zu of %llu devices are here", set->nr,
			(unsigned long long)v->sb->nr_devices);
}

/* The missing ones, as many as there is room for; their number */
static size_t list_missing(const struct btrfs_volume *v, char *dst, size_t room)
{
	char uuid[40];
	size_t nr = 0, len = 0;

	for (size_t i = 0; i < v->nr_devices; i++) {
		const struct btrfs_device *d = &v->devices[i];
		if (d->is_here)
			continue;
		nr++;
		btrfs_format_uuid(uuid, sizeof(uuid), d->uuid);
		if (room - len > 80)
			len += (size_t)snprintf(dst + len, room - len, "%s%llu (%s)", len ? ", " : "", (unsigned long long)d->devid, uuid);
		else if (room - len > 6 && len && dst[len - 1] != '.')
			len += (size_t)snprintf(dst + len, room - len, ", ...");
	}
	return nr;
}

void btrfs_judge_devices(struct btrfs_volume *v)
{
	char missing[150] = "", uuid[40];
	size_t nr = list_missing(v, missing, sizeof(missing));

	for (size_t i = 0; i < v->nr_devices; i++) {
		if (!memcmp(v->devices[i].fsid, v->sb->metadata_fsid, BTRFS_UUID_SIZE))
			continue;
		btrfs_format_uuid(uuid, sizeof(uuid), v->devices[i].fsid);
		set_state(v, FSD_SET_MEMBER, "set-member", "remove the seed device from it first", "it grows on the seed device of another file system, %s", uuid);
		return;
	}
	if (nr)
		set_state(v, FSD_SET_MEMBER, "set-member", all_members, "%zu of %zu devices are here; missing: %s", v->nr_devices - nr,
			v->nr_devices, missing);
}

/* 1: a balance was begun and has not ended */
static int has_balance(struct btrfs_volume *v, struct err *e)
{
	struct btrfs_root root = btrfs_tree_root(v->sb);
	struct btrfs_cursor c = btrfs_cursor(v, &root, (struct btrfs_key){ BTRFS_BALANCE, BTRFS_TEMPORARY_ITEM, 0 });
	struct btrfs_item item;

	int r = btrfs_cursor_next(&c, &item, e);
	btrfs_cursor_release(&c);
	return r > 0 ? item.key.objectid == BTRFS_BALANCE && item.key.type == BTRFS_TEMPORARY_ITEM : r;
}

int btrfs_judge(struct btrfs_volume *v, struct err *e)
{
	struct fsd_info *i = &v->base.info;
	bool is_replacing;

	if (btrfs_check_dev_tree(v, &is_replacing, e) < 0)
		return -1;
	int balance = has_balance(v, e);
	if (balance < 0)
		return -1;
	if (balance && !i->notice[0])
		snprintf(i->notice, sizeof(i->notice), "a balance was not finished; it goes on when the copy is mounted");
	if (v->sb->flags & BTRFS_SUPER_FLAG_ERROR) {
		set_state(v, FSD_DAMAGED, "errors", "run btrfs check " FSD_DEVICE ", and read what it says before anything is repaired",
			"the file system is marked as having errors");
	} else if (is_replacing) {
		set_state(v, FSD_SET_MEMBER, "device-replace", "let \"btrfs replace\" finish, or cancel it", "one of its devices is being replaced");
	} else if (v->sb->log_root) {
		set_state(v, FSD_REPLAYABLE, "tree-log", "mount " FSD_DEVICE " and unmount it", "the tree log holds changes that a mount must replay; it was not unmounted");
	}
	return 0;
}
