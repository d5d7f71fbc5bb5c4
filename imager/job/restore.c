/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Restore: check everything, disarm, write, scrub, flush, read back, arm. run() reads like that sentence; a refresh scans before it, and
 * writes what differs (refresh_scan.c, refresh_write.c). The stages live in restore_write.c, restore_scrub.c, restore_check.c, disarm.c and holds.c.
 */
#include "imager/job/refresh.h"

#include "base/arith.h"
#include "imager/disk/device.h"
#include "imager/job/cores.h"
#include "imager/job/place.h"
#include "imager/repo/image.h"

#include <limits.h>
#include <stdio.h>
#include <string.h>

static int open_image(struct restore *rs, struct err *e)
{
	bool from_pipe = !strcmp(rs->o->image, "-");

	progress_update(rs->p, "plan", 0, 0);
	rs->reader = image_open(from_pipe ? "standard input" : rs->o->image, from_pipe ? rs->o->in_fd : -1, rs->o->access, rs->p, e);
	if (!rs->reader)
		return -1;
	rs->m = (struct img_manifest *)img_reader_manifest(rs->reader);
	if (rs->o->refresh && !img_reader_seekable(rs->reader)) {
		err_set(e, ERR_USAGE, 0, "a refresh looks for single pieces of the image, which a pipe cannot give");
		return err_hint(e, "name the image as a file or in a repository, or use 'calco restore'");
	}
	rs->only_region = SIZE_MAX;
	return rs->o->only ? img_find_region(rs->m, rs->o->only, &rs->only_region, e) : 0;
}

/* The disk of the image that target number i is for. */
static uint32_t disk_of_target(const struct restore *rs, size_t i)
{
	return rs->only_region == SIZE_MAX ? (uint32_t)i : rs->m->regions[rs->only_region].disk;
}

/* A partition is a disk without a table: a table inside it would be seen by nobody. */
static int refuse_nested_table(const struct restore *rs, const char *target, const struct img_disk *disk, struct err *e)
{
	struct dev_info dev;

	if (rs->only_region != SIZE_MAX || disk->table == PT_NONE || dev_inspect(target, &dev, e) < 0 || !dev.is_partition)
		return 0;
	err_set(e, ERR_REFUSED, 0, "'%s' is a partition, and the image is of a whole disk with a partition table", target);
	err_hint(e, "name the whole disk as target, or one volume of the image with --only");
	return err_reason(e, "is-partition");
}

/* A plain file has the sectors of the image's disk, or those that were asked for. */
static int set_sectors(const struct restore *rs, struct blk_sink *sink, const struct img_disk *disk, struct err *e)
{
	uint32_t asked = rs->o->sector_size;

	if (sink->is_file) {
		sink->sector_size = asked ? asked : disk->sector_size;
		sink->phys_sector_size = (uint32_t)max_u64(sink->phys_sector_size, sink->sector_size);
	} else if (asked && asked != sink->sector_size) {
		err_set(e, ERR_USAGE, 0, "'%s' is a device with sectors of %u bytes: --sector-size is for plain files", sink->name, sink->sector_size);
		return err_hint(e, "leave --sector-size out");
	}
	return 0;
}

static int open_targets(struct restore *rs, struct err *e)
{
	size_t wanted = rs->only_region == SIZE_MAX ? rs->m->nr_disks : 1;

	if (rs->o->nr_disks != wanted)
		return err_set(e, ERR_USAGE, 0, "the image needs %zu target%s, %zu given", wanted, wanted == 1 ? "" : "s", rs->o->nr_disks);
	for (size_t i = 0; i < wanted; i++) {
		uint32_t d = disk_of_target(rs, i);
		rs->sinks[d] = rs->o->sinks ? rs->o->sinks[i] : blk_sink_open(rs->o->disks[i], e);
		if (!rs->sinks[d])
			return -1;
		const struct img_disk *disk = &rs->m->disks[d];
		if (!rs->o->sinks && refuse_nested_table(rs, rs->o->disks[i], disk, e) < 0)
			return -1;
		if (set_sectors(rs, rs->sinks[d], disk, e) < 0)
			return -1;
	}
	return 0;
}

/* Where a single volume goes; restore_find_place() tells the same beforehand. */
static int place_volume(struct restore *rs, uint32_t disk, struct err *e)
{
	const struct img_region *r = &rs->m->regions[rs->only_region];
	const struct pt_table *t = rs->layouts[disk].table;

	if (!t || t->kind == PT_NONE) {
		rs->x->disks[disk].shift = r->start;
		return 0;
	}
	return place_in_table(t, r, rs->sinks[disk]->name, e) ? 0 : -1;
}

/* The target's own GPT headers stay until the new table is written, even where the image uses those bytes for something else. */
static int old_tables(const struct restore *rs, struct img_range *ret, size_t max, size_t *ret_nr)
{
	*ret_nr = 0;
	for (uint32_t d = 0; rs->only_region == SIZE_MAX && d < rs->m->nr_disks; d++) {
		const struct pt_table *t = rs->layouts[d].table;
		if (!t || t->kind == PT_NONE || *ret_nr + 3 > max)
			continue;
		uint64_t sector = t->sector_size;
		ret[(*ret_nr)++] = (struct img_range){ d, 0, sector };
		if (t->gpt_header && range_inside(t->gpt_header, sector, rs->sinks[d]->size))
			ret[(*ret_nr)++] = (struct img_range){ d, t->gpt_header, sector };
		if (t->gpt_backup_header && range_inside(t->gpt_backup_header, sector, rs->sinks[d]->size))
			ret[(*ret_nr)++] = (struct img_range){ d, t->gpt_backup_header, sector };
	}
	return 0;
}

static int plan(struct restore *rs, struct err *e)
{
	struct restore_target targets[IMG_MAX_DISKS] = { { 0 } };
	struct expected_request rq = { .m = rs->m, .reader = rs->reader, .only_region = rs->only_region, .targets = targets, .as_is = rs->o->as_is };
	struct img_range old[3 * IMG_MAX_DISKS];
	size_t nr_old;

	for (size_t i = 0; i < rs->m->nr_disks; i++)
		if (rs->sinks[i])
			targets[i] = (struct restore_target){ .size = rs->sinks[i]->size, .sector_size = rs->sinks[i]->sector_size, .name = rs->sinks[i]->name };
	if (expected_new(&rq, &rs->x, e) < 0)
		return -1;
	for (size_t i = 0; i < rs->m->nr_disks; i++)
		if (rs->sinks[i] && target_look(rs->sinks[i], rs->p, &rs->layouts[i], e) < 0)
			return -1;
	if (rs->only_region != SIZE_MAX && place_volume(rs, rs->m->regions[rs->only_region].disk, e) < 0)
		return -1;
	old_tables(rs, old, 3 * IMG_MAX_DISKS, &nr_old);
	for (size_t i = 0; i < rs->m->nr_regions; i++)
		if (rs->only_region == SIZE_MAX || i == rs->only_region)
			rs->total += cmap_bytes(rs->x->m->regions[i].map, EXT_USED) + cmap_bytes(rs->x->m->regions[i].map, EXT_ZERO);
	return holds_new(rs->x, old, nr_old, &rs->holds, e);
}

/* Where the record of the target for one disk of the image lies. A name that was given is numbered from the second disk on. */
static int state_place(const char *state_file, size_t disk, const char *target, char *ret, size_t size, struct err *e)
{
	if (!state_file)
		return state_default(target, ret, size, e);
	if (disk == 0)
		snprintf(ret, size, "%.4000s", state_file);
	else
		snprintf(ret, size, "%.4000s.%zu", state_file, disk + 1);
	return 0;
}

/* Is the unfinished record of what stands on the target? 1; 0; -1: the target cannot be read. */
static int state_fits(struct state *s, struct blk_source *target, struct err *e)
{
	struct state_match match;

	if (state_is_other(s))
		return 0;
	return state_compare(s, target, &match, NULL, NULL, e) < 0 ? -1 : match.nr_differing == 0;
}

/*
 * A record that is not of what stands on the target would keep the bytes of before the last disk, and not those that are cleared now. It may hold the
 * only copy of something all the same: it is kept beside the new one.
 */
static int set_aside(struct state *s, const char *target, bool dry_run, const struct progress *p, char ret[512], struct err *e)
{
	const char *why = state_is_other(s) ? "it was begun for another one of this name or size" : "that one was used since";
	char path[PATH_MAX];

	if (dry_run) {
		progress_notice(p, "the state record of an unfinished restore to '%.200s' would be set aside: %s", target, why);
		return 0;
	}
	if (state_set_aside(s, path, sizeof(path), e) < 0)
		return -1;
	progress_notice(p, "the state record of an unfinished restore to '%.200s' was set aside as '%.300s': %s", target, path, why);
	if (!ret[0])
		snprintf(ret, 512, "%.500s", path);
	return 0;
}

static int open_state(struct restore *rs, size_t d, struct err *e)
{
	struct blk_sink *sink = rs->sinks[d];
	char path[PATH_MAX];

	if (state_place(rs->o->state_file, d, sink->name, path, sizeof(path), e) < 0 || state_open(path, sink->name, sink->size, &rs->states[d], e) < 0)
		return -1;
	if (!state_is_open(rs->states[d]))
		return 0;
	AUTO(blk_source) struct blk_source *src = blk_sink_source(sink, e);
	int fits = src ? state_fits(rs->states[d], src, e) : -1;
	if (fits)
		return fits < 0 ? -1 : 0;
	return set_aside(rs->states[d], sink->name, rs->o->dry_run, rs->p, rs->set_aside, e);
}

static int open_states(struct restore *rs, struct err *e)
{
	for (size_t i = 0; i < rs->m->nr_disks; i++)
		if (rs->sinks[i] && open_state(rs, i, e) < 0)
			return -1;
	return 0;
}

int restore_foresee(struct img_reader *reader, size_t only_region, const struct restore_target *targets, const char *const *as_is,
	struct restore_change **ret, size_t *ret_nr, struct err *e)
{
	struct expected_request rq = { .m = img_reader_manifest(reader), .reader = reader, .only_region = only_region, .targets = targets, .as_is = as_is };
	AUTO(expected) struct expected *x = NULL;

	if (expected_new(&rq, &x, e) < 0)
		return -1;
	*ret = take(&x->changes);
	*ret_nr = x->nr_changes;
	return 0;
}

bool restore_resumes(const char *state_file, size_t disk, const char *target, uint64_t size, enum restore_held held)
{
	AUTO(state) struct state *s = NULL;
	struct err ignored = ERR_INIT;
	char path[PATH_MAX];

	if (state_place(state_file, disk, target, path, sizeof(path), &ignored) < 0 || state_open(path, target, size, &s, &ignored) < 0 || !state_is_open(s))
		return false;
	AUTO(blk_source) struct blk_source *src = blk_open(target, 0, false, &ignored);
	if (!src || state_fits(s, src, &ignored) != 1)
		return false;
	/* Where nothing had to be saved, nothing of anybody's was there: what is recognised now is half of what was restored. */
	return held == RESTORE_HELD_NOTHING || (state_is_begun(s) && (held == RESTORE_HELD_UNNAMED || !state_saved_bytes(s)));
}

int restore_announce(const char *state_file, size_t disk, const char *target, uint64_t size, const struct progress *p, char ret_aside[512], struct err *e)
{
	AUTO(state) struct state *s = NULL;
	char path[PATH_MAX];

	if (state_place(state_file, disk, target, path, sizeof(path), e) < 0 || state_open(path, target, size, &s, e) < 0)
		return -1;
	if (state_is_open(s) && (state_is_other(s) || state_is_begun(s)) && set_aside(s, target, false, p, ret_aside, e) < 0)
		return -1;
	return state_sync(s, e);
}

static int each_target(struct restore *rs, int (*fn)(const struct disarm *d, struct err *e), struct err *e)
{
	for (uint32_t i = 0; i < rs->m->nr_disks; i++) {
		struct disarm d = { .x = rs->x, .disk = i, .t = &rs->layouts[i], .sink = rs->sinks[i], .state = rs->states[i], .p = rs->p };
		if (rs->sinks[i] && fn(&d, e) < 0)
			return -1;
	}
	return 0;
}

/* All that is to be cleared is on record before anything is. */
static int disarm(struct restore *rs, struct err *e)
{
	progress_update(rs->p, "disarm", 0, 0);
	if (each_target(rs, target_save, e) < 0)
		return -1;
	for (uint32_t d = 0; d < rs->m->nr_disks; d++)
		if (rs->sinks[d] && (holds_see(rs->holds, d, rs->sinks[d], rs->states[d], e) < 0 || state_sync(rs->states[d], e) < 0))
			return -1;
	if (progress_check(rs->p, e) < 0)
		return -1;
	rs->disarmed = true;
	return each_target(rs, target_clear, e);
}

int restore_reach(struct restore *rs, uint32_t disk, uint64_t end, struct err *e)
{
	if (progress_check(rs->p, e) < 0)
		return -1;
	uint64_t was = __atomic_load_n(&rs->reached[disk], __ATOMIC_RELAXED);
	while (was < end && !__atomic_compare_exchange_n(&rs->reached[disk], &was, end, true, __ATOMIC_RELAXED, __ATOMIC_RELAXED))
		;
	return 0;
}

/*
 * Marks are set far ahead of the writes. Whoever stops a restore does so because the disk is the wrong one: the marks go back to what
 * was written, so that all behind it can be had back. One that cannot be moved only claims more than that.
 */
static void settle_marks(struct restore *rs)
{
	struct err ignored = ERR_INIT;

	for (size_t d = 0; d < rs->m->nr_disks; d++)
		if (rs->states[d])
			state_settle(rs->states[d], rs->reached[d], &ignored);
}

/* The targets are what they were, and may be used on: a record that says otherwise would stand in the way of the next restore. */
static void forget_records(struct restore *rs)
{
	for (size_t d = 0; d < IMG_MAX_DISKS; d++)
		if (rs->states[d])
			state_withdraw(rs->states[d]);
}

/* From here on any place may change: unused space is discarded, superblocks and tables are written. */
static int mark_all(struct restore *rs, struct err *e)
{
	if (progress_check(rs->p, e) < 0)
		return -1;
	for (size_t d = 0; d < rs->m->nr_disks; d++) {
		const struct img_region *only = rs->only_region == SIZE_MAX ? NULL : &rs->m->regions[rs->only_region];
		if (!rs->sinks[d])
			continue;
		uint64_t end = only ? only->start + only->len - rs->x->disks[d].shift : rs->sinks[d]->size;
		if (state_mark(rs->states[d], end, e) < 0)
			return -1;
	}
	return 0;
}

static int flush(struct restore *rs, struct err *e)
{
	for (size_t d = 0; d < rs->m->nr_disks; d++)
		if (rs->sinks[d] && blk_flush(rs->sinks[d], e) < 0)
			return -1;
	return 0;
}

static int arm_stage(struct restore *rs, enum hold_stage stage, struct err *e)
{
	for (uint32_t d = 0; d < rs->m->nr_disks; d++)
		if (rs->sinks[d] && holds_write(rs->holds, d, stage, rs->sinks[d], e) < 0)
			return -1;
	if (flush(rs, e) < 0)
		return -1;
	for (uint32_t d = 0; !rs->o->no_verify && d < rs->m->nr_disks; d++)
		if (rs->sinks[d] && holds_verify(rs->holds, d, stage, rs->sinks[d], e) < 0)
			return -1;
	return 0;
}

static int finish_states(struct restore *rs, struct err *e)
{
	for (size_t d = 0; d < rs->m->nr_disks; d++)
		if (rs->states[d] && state_finish(rs->states[d], rs->m->root, e) < 0)
			return -1;
	return 0;
}

/*
 * Stage by stage over all disks, so that what firmware starts from comes last everywhere, and only when everything before
 * it was read back. A stop is not asked for any more: what is left is little, and then the disk is whole.
 */
static int arm(struct restore *rs, struct err *e)
{
	if (progress_check(rs->p, e) < 0)
		return -1;
	progress_update(rs->p, "arm", 0, 0);
	for (uint32_t d = 0; d < rs->m->nr_disks; d++)
		if (rs->sinks[d] && holds_will_write(rs->holds, d, rs->states[d], e) < 0)
			return -1;
	for (enum hold_stage stage = HOLD_SUPER; stage <= HOLD_BOOT; stage++)
		if (arm_stage(rs, stage, e) < 0)
			return -1;
	if (finish_states(rs, e) < 0)
		return -1;
	for (size_t i = 0; rs->need && i < rs->holds->nr; i++)
		rs->written += rs->holds->list[i].len;
	for (size_t d = 0; d < rs->m->nr_disks; d++)
		if (rs->sinks[d])
			blk_rescan(rs->sinks[d]);
	return 0;
}

/* What was written is good, but is it what the person finds under that name? */
static int still_there(struct restore *rs, struct err *e)
{
	for (size_t d = 0; d < rs->m->nr_disks; d++)
		if (rs->sinks[d] && blk_still_there(rs->sinks[d], e) < 0)
			return err_hint(e, "what was restored is lost; restore again, while nothing else touches the target");
	return 0;
}

static int run(struct restore *rs, struct err *e)
{
	if (open_image(rs, e) < 0 || open_targets(rs, e) < 0 || plan(rs, e) < 0)
		return -1;
	if (open_states(rs, e) < 0)
		return -1;
	if (rs->o->refresh && refresh_scan(rs, e) < 0)
		return -1;
	if (rs->o->dry_run)
		return rs->need && !rs->is_same ? restore_write(rs, e) : 0; /* of a refresh, how much it would write */
	if (rs->is_same)
		return finish_states(rs, e) < 0 ? -1 : still_there(rs, e);
	if (rs->need)
		refresh_widen(rs);
	if (disarm(rs, e) < 0)
		return -1;
	if (restore_write(rs, e) < 0 || mark_all(rs, e) < 0 || restore_scrub(rs, e) < 0)
		return -1;
	progress_update(rs->p, "flush", 0, 0);
	if (flush(rs, e) < 0)
		return -1;
	if (!rs->o->no_verify && restore_read_back(rs, e) < 0)
		return -1;
	return arm(rs, e) < 0 ? -1 : still_there(rs, e);
}

static void fill_result(struct restore *rs, struct restore_result *ret)
{
	ret->written_bytes = rs->written;
	ret->verified_bytes = rs->verified;
	ret->discarded_bytes = rs->discarded;
	ret->nr_chunks = rs->nr_chunks;
	ret->scanned_bytes = rs->scanned;
	ret->differing_chunks = rs->differing;
	ret->fetched_bytes = rs->fetched;
	ret->zeroed_bytes = rs->zeroed;
	ret->is_same = rs->is_same;
	for (size_t i = 0; i < rs->m->nr_disks; i++) {
		ret->resized_table |= rs->x->disks[i].nr_patches > 0 && rs->x->disks[i].size > rs->m->disks[i].size;
		if (rs->states[i] && state_path(rs->states[i])[0] && !ret->state_file[0])
			snprintf(ret->state_file, sizeof(ret->state_file), "%.500s", state_path(rs->states[i]));
	}
	memcpy(ret->set_aside, rs->set_aside, sizeof(ret->set_aside));
	ret->changes = take(&rs->x->changes);
	ret->nr_changes = rs->x->nr_changes;
	ret->manifest = img_reader_take_manifest(rs->reader);
}

static void release(struct restore *rs)
{
	holds_free(rs->holds);
	expected_free(rs->x);
	for (size_t i = 0; i < IMG_MAX_DISKS; i++) {
		target_layout_release(&rs->layouts[i]);
		state_close(rs->states[i]);
		if (!rs->o->sinks)
			blk_sink_close(rs->sinks[i]);
	}
	img_reader_close(rs->reader);
	free(rs->need);
}

int restore_run(const struct restore_options *o, struct restore_result *ret, const struct progress *p, struct err *e)
{
	AUTO_FREE struct restore *rs = alloc_array(1, sizeof(*rs));
	double start = seconds_now();

	memset(ret, 0, sizeof(*ret));
	if (!rs)
		return err_nomem(e, "the restore");
	rs->o = o;
	rs->p = p;
	int r = run(rs, e);
	if (r < 0 && !rs->disarmed)
		forget_records(rs);
	else if (r < 0 && e->code == ERR_STOPPED)
		settle_marks(rs);
	if (r < 0 && !e->hint[0])
		restore_advise(rs, e);
	if (r == 0)
		fill_result(rs, ret);
	release(rs);
	ret->seconds = seconds_now() - start;
	return r;
}
