/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Volumes that hold something by themselves: the driver, its verdict, its map; see plan_volumes.h. */
#include "imager/job/plan_volumes.h"

#include "base/arith.h"
#include "base/size.h"
#include "imager/disk/table.h"
#include "imager/job/plan_skip.h"

#include <stdio.h>
#include <string.h>

/* A volume while it is mapped. */
struct leaf {
	struct plan *p;
	const size_t *devices; /* of the members */
	const uint32_t *volumes; /* in the manifest, of the members; NULL while states are mapped */
	struct plan_skips skips; /* what of it is left out */
};

static int add_used(void *arg, size_t member, uint64_t start, uint64_t len, struct err *e)
{
	struct leaf *l = arg;

	return device_mark(l->p, l->devices[member], start, len, EXT_USED, e);
}

static int add_extent(void *arg, size_t member, uint64_t start, uint64_t len, enum ext_state state, struct err *e)
{
	struct leaf *l = arg;

	if (state == EXT_USED && l->skips.nr)
		return plan_skips_keep(&l->skips, member, start, len, add_used, l, e);
	return device_mark(l->p, l->devices[member], start, len, state, e);
}

static int add_arm_range(void *arg, size_t member, uint64_t start, uint64_t len, struct err *e)
{
	struct leaf *l = arg;

	return plan_add_arm(l->p, &l->p->m->volumes[l->volumes[member]], l->devices[member], start, len, e);
}

static int add_copies(void *arg, const struct map_leg *places, size_t nr, uint64_t len, struct err *e)
{
	struct leaf *l = arg;

	return plan_add_twins(l->p, l->devices, places, nr, len, e);
}

void plan_raw_word(const struct plan *p, size_t dev, char *out, size_t size)
{
	const struct plan_device *d = p->devices[dev];

	if (d->region == IMG_NO_INDEX)
		snprintf(out, size, "%.100s", d->made->name);
	else if (p->m->regions[d->region].number && p->m->nr_disks > 1)
		snprintf(out, size, "%u:%u", p->m->regions[d->region].disk + 1, p->m->regions[d->region].number);
	else if (p->m->regions[d->region].number)
		snprintf(out, size, "%u", p->m->regions[d->region].number);
	else
		snprintf(out, size, "all");
}

static int refuse_unsafe(const struct plan *p, size_t dev, const struct fsd_info *info, struct err *e)
{
	char where[320], word[128], advice[900];

	device_where(p, dev, where, sizeof(where));
	plan_raw_word(p, dev, word, sizeof(word));
	plan_advice(p, dev, info->advice[0] ? info->advice : "make it clean first", advice, sizeof(advice));
	err_set(e, ERR_REFUSED, 0, "%s (%s) is not safe to copy: %s", where, info->type, info->detail[0] ? info->detail : fsd_state_name(info->state));
	err_hint(e, "%.220s%s; or take all of it as it is: --raw %.127s", advice,
		info->can_replay && !p->o->overlays && !p->devices[dev]->is_encrypted ? ", or add --replay" : "", word);
	return err_reason(e, info->reason[0] ? info->reason : fsd_state_name(info->state));
}

int plan_blame_raw(const struct plan *p, size_t dev, size_t raw, struct err *e)
{
	char where[320], word[128];

	device_where(p, raw, where, sizeof(where));
	plan_raw_word(p, dev, word, sizeof(word));
	return err_hint(e, "%.90s is not missing, but --raw takes it by itself: leave that out, or add --raw %.40s", where, word);
}

/* Of a set that is not whole because the user took a member out. */
static int refuse_set(const struct plan *p, const struct plan_fs_set *set, const struct fsd_info *info, struct err *e)
{
	refuse_unsafe(p, set->devices[0], info, e);
	for (size_t i = 0; info->state == FSD_SET_MEMBER && i < p->nr_devices; i++)
		if (p->devices[i]->raw_asked && !strcmp(p->devices[i]->member.set, set->set))
			return plan_blame_raw(p, set->devices[0], i, e);
	return -1;
}

static void describe(struct img_volume *v, const struct fsd_volume *fs, bool asked_raw)
{
	const struct fsd_info *info = fsd_get_info(fs);

	snprintf(v->driver, sizeof(v->driver), "%s", fs->driver->name);
	snprintf(v->type, sizeof(v->type), "%s", info->type);
	snprintf(v->label, sizeof(v->label), "%s", info->label);
	snprintf(v->uuid, sizeof(v->uuid), "%s", info->uuid);
	snprintf(v->reason, sizeof(v->reason), "%s", info->reason);
	snprintf(v->notice, sizeof(v->notice), "%s", info->notice);
	v->size = info->size;
	v->used_bytes = info->used_bytes;
	v->block_size = info->block_size;
	v->sector_size = (uint32_t)min_u64(info->sector_size, 65536);
	v->state = (uint8_t)info->state;
	v->flags = asked_raw ? IMG_VOL_RAW_ASKED : fs->driver == &fsd_raw ? IMG_VOL_RAW_FALLBACK : 0;
}

void plan_place(const struct plan *p, size_t dev, struct img_volume *v)
{
	const struct plan_device *d = p->devices[dev];

	v->region = d->region;
	if (d->region != IMG_NO_INDEX) {
		v->kind = p->m->regions[d->region].kind == PT_REGION_WHOLE ? IMG_VOL_DISK : IMG_VOL_PARTITION;
		return;
	}
	const struct plan_set *set = p->sets[d->set];
	const struct plan_device *first = p->devices[set->device_of[set->s.members[0]]];
	snprintf(v->name, sizeof(v->name), "%s", d->made->name);
	v->kind = set->kind->shape == STACK_GROUP ? IMG_VOL_LV : set->kind->shape == STACK_CONTAINER ? IMG_VOL_CRYPT : IMG_VOL_SET;
	v->parent = set->kind->shape == STACK_GROUP ? set->volume : set->s.nr_members == 1 ? first->volume : IMG_NO_INDEX;
}

static void tell_notice(const struct plan *p, size_t dev, const struct img_volume *v)
{
	const struct plan_device *d = p->devices[dev];

	if (v->notice[0])
		progress_notice(p->p, "%s (%s): %s", d->name, v->type, v->notice);
}

/*
 * A file system that can be seen in one member of a mirror (its superblock stands at the end). Of a part of the blocks the restored members would differ
 * from each other wherever no file lies.
 */
static int make_whole(struct fsd_volume **v, const struct blk_set *set, struct err *e)
{
	char why[200], size[32];
	struct fsd_volume *raw;

	size_format(set->members[0]->size, size);
	snprintf(why, sizeof(why), "taken raw: %.31s in a member of a Linux RAID; members stay equal only block for block, so all %s are copied, free space too",
		fsd_get_info(*v)->type, size);
	if (fsd_open(set, true, &raw, e) < 0)
		return -1;
	fsd_close(*v);
	*v = raw;
	snprintf(raw->info.notice, sizeof(raw->info.notice), "%s", why);
	return 0;
}

/* A journal that is due to be replayed, if that was asked for: the volume is opened as it is afterwards. */
static int replay(struct plan *p, size_t dev, const struct blk_set *set, struct fsd_volume **v, struct err *e)
{
	if (!p->o->overlays || !fsd_get_info(*v)->can_replay)
		return 0;
	if (plan_replay(p, dev, *v, e) < 0)
		return -1;
	fsd_close(take(v));
	return fsd_open(set, false, v, e);
}

/* Open the volume of a device, raw where asked; refuse what is not safe. */
static int open_volume(struct plan *p, size_t dev, const struct blk_set *set, struct fsd_volume **ret, bool *ret_raw, struct err *e)
{
	const struct plan_device *d = p->devices[dev];
	AUTO(fsd_volume) struct fsd_volume *v = NULL;

	if (fsd_open(set, d->raw_forced || d->raw_asked, &v, e) < 0)
		return -1;
	if (d->is_alone && v->driver != &fsd_raw && make_whole(&v, set, e) < 0)
		return -1;
	const struct fsd_info *info = fsd_get_info(v);
	*ret_raw = d->raw_asked || device_is_asked_raw(p, dev, info->label, info->uuid);
	if (*ret_raw && v->driver != &fsd_raw) {
		fsd_close(take(&v));
		if (fsd_open(set, true, &v, e) < 0)
			return -1;
	} else if (!*ret_raw && replay(p, dev, set, &v, e) < 0) {
		return -1;
	}
	if (!*ret_raw && fsd_get_info(v)->state != FSD_CLEAN)
		return refuse_unsafe(p, dev, fsd_get_info(v), e);
	if (d->why_raw[0] && !*ret_raw)
		snprintf(v->info.notice, sizeof(v->info.notice), "%s", d->why_raw);
	else if (v->driver == &fsd_raw && !*ret_raw)
		plan_note_unknown(p, dev, &v->info);
	*ret = take(&v);
	return 0;
}

/* Map the volume; maps that contradict themselves, or cannot be read, make it raw, with a notice. */
static int map_volume(struct leaf *l, const struct blk_set *set, struct fsd_volume **fs, struct err *e)
{
	struct fsd_volume *raw;

	if (device_map_new(l->p, l->devices[0], fsd_get_info(*fs)->granule, e) < 0)
		return -1;
	if (l->p->o->skip_volatile && plan_skips_find(&l->skips, *fs, e) < 0)
		return -1;
	if (fsd_map(*fs, add_extent, l, e) == 0)
		return 0;
	if (e->code != ERR_CORRUPT && !(e->code == ERR_FAILED && blk_is_medium_error(e)))
		return -1;
	struct err why = *e;
	plan_skips_release(&l->skips);
	if (fsd_open(set, true, &raw, e) < 0)
		return -1;
	fsd_close(*fs);
	*fs = raw;
	plan_notice(raw->info.notice, sizeof(raw->info.notice), "taken raw", ": ", why.msg);
	if (device_map_new(l->p, l->devices[0], raw->info.granule, e) < 0)
		return -1;
	return fsd_map(raw, add_extent, l, e); /* of a volume that is no region, what was marked before is marked again */
}

static void note_replay(const struct plan_device *d, struct img_volume *v)
{
	char rest[sizeof(v->notice)];

	if (!d->replayed[0])
		return;
	v->flags |= IMG_VOL_REPLAYED;
	snprintf(rest, sizeof(rest), "%s", v->notice);
	plan_notice(v->notice, sizeof(v->notice), d->replayed, "; ", rest);
}

static int add_leaf(struct leaf *l, struct fsd_volume *fs, bool asked_raw, struct err *e)
{
	struct plan *p = l->p;
	size_t dev = l->devices[0];
	struct plan_device *d = p->devices[dev];
	struct img_volume *v = plan_add_volume(p, 0, e);

	if (!v)
		return -1;
	d->volume = (uint32_t)p->m->nr_volumes - 1;
	plan_place(p, dev, v);
	describe(v, fs, asked_raw);
	note_replay(d, v);
	if (plan_skips_note(&l->skips, p, dev, v, e) < 0)
		return -1;
	tell_notice(p, dev, v);
	if (plan_add_segments(p, v, dev, e) < 0)
		return -1;
	return fsd_arm_ranges(fs, add_arm_range, l, e);
}

int plan_leaf(struct plan *p, size_t dev, struct err *e)
{
	struct plan_device *d = p->devices[dev];
	struct blk_set set = { .members = &d->src, .nr = 1 };
	struct leaf l = { .p = p, .devices = &dev, .volumes = &d->volume };
	AUTO(fsd_volume) struct fsd_volume *fs = NULL;
	bool asked_raw = false;

	int r = open_volume(p, dev, &set, &fs, &asked_raw, e);
	if (r == 0)
		r = map_volume(&l, &set, &fs, e);
	if (r == 0)
		r = fsd_copies(fs, add_copies, &l, e);
	if (r == 0)
		r = add_leaf(&l, fs, asked_raw, e);
	plan_skips_release(&l.skips);
	return r;
}

/* The volumes of the members: each has its own place, and what makes a mounter accept it. */
static int add_members(struct plan *p, const struct plan_fs_set *set, const struct fsd_volume *fs, struct err *e)
{
	for (size_t i = 0; i < set->nr; i++) {
		struct plan_device *d = p->devices[set->devices[i]];
		struct img_volume *v = plan_add_volume(p, 0, e);
		if (!v)
			return -1;
		d->volume = (uint32_t)p->m->nr_volumes - 1;
		plan_place(p, set->devices[i], v);
		describe(v, fs, false);
		v->notice[0] = '\0'; /* told of the whole */
		v->size = d->src->size;
		v->used_bytes = 0;
		if (plan_add_segments(p, v, set->devices[i], e) < 0)
			return -1;
	}
	return 0;
}

static int add_whole(struct plan *p, const struct plan_fs_set *set, const struct fsd_volume *fs, struct err *e)
{
	struct img_volume *v = plan_add_volume(p, IMG_VOL_SET, e);

	if (!v)
		return -1;
	describe(v, fs, false);
	for (size_t i = 0; i < set->nr; i++)
		if (plan_add_segments(p, v, set->devices[i], e) < 0)
			return -1;
	tell_notice(p, set->devices[0], v);
	return 0;
}

/* Several devices cannot be taken raw as one: maps that contradict themselves make each of them raw. */
static int members_raw(struct plan *p, const struct plan_fs_set *set, const char *why, struct err *e)
{
	for (size_t i = 0; i < set->nr; i++) {
		struct plan_device *d = p->devices[set->devices[i]];
		d->raw_forced = true;
		snprintf(d->why_raw, sizeof(d->why_raw), "%.199s", why);
		if (plan_leaf(p, set->devices[i], e) < 0)
			return -1;
	}
	return 0;
}

static int map_set(struct plan *p, struct plan_fs_set *set, const struct blk_set *members, struct err *e)
{
	AUTO(fsd_volume) struct fsd_volume *fs = NULL;
	AUTO_FREE uint32_t *volumes = alloc_array(set->nr, sizeof(*volumes));
	struct leaf l = { .p = p, .devices = set->devices, .volumes = volumes };

	if (!volumes)
		return err_nomem(e, "a set of devices");
	if (fsd_open(members, false, &fs, e) < 0)
		return -1;
	if (fsd_get_info(fs)->state != FSD_CLEAN)
		return refuse_set(p, set, fsd_get_info(fs), e);
	for (size_t i = 0; i < set->nr; i++)
		if (device_map_new(p, set->devices[i], fsd_get_info(fs)->granule, e) < 0)
			return -1;
	if (fsd_map(fs, add_extent, &l, e) < 0 || add_members(p, set, fs, e) < 0)
		return -1;
	for (size_t i = 0; i < set->nr; i++)
		volumes[i] = p->devices[set->devices[i]]->volume;
	if (fsd_arm_ranges(fs, add_arm_range, &l, e) < 0 || fsd_copies(fs, add_copies, &l, e) < 0)
		return -1;
	return add_whole(p, set, fs, e);
}

int plan_fs_set(struct plan *p, struct plan_fs_set *set, struct err *e)
{
	AUTO_FREE struct blk_source **list = alloc_array(set->nr, sizeof(struct blk_source *));
	struct blk_set members = { .members = list, .nr = set->nr };
	char why[200];

	if (!list)
		return err_nomem(e, "a set of devices");
	for (size_t i = 0; i < set->nr; i++)
		list[i] = p->devices[set->devices[i]]->src;
	size_t before = p->m->nr_volumes;
	if (map_set(p, set, &members, e) == 0)
		return 0;
	bool for_raw = e->code == ERR_CORRUPT || e->code == ERR_UNSUPPORTED || (e->code == ERR_FAILED && blk_is_medium_error(e));
	if (!for_raw || p->m->nr_volumes != before)
		return -1;
	plan_notice(why, sizeof(why), "taken raw", ": ", e->msg);
	return members_raw(p, set, why, e);
}
