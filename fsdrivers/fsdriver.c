/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What all drivers share: finding the right one, the fallback to raw, and the checks around what a driver emits. */
#include "fsdrivers/fsdriver.h"

#include "base/arith.h"

#include <stdio.h>
#include <string.h>

const char *fsd_state_name(enum fsd_state s)
{
	static const char *const names[] = {
		[FSD_CLEAN] = "clean",
		[FSD_REPLAYABLE] = "replayable",
		[FSD_HIBERNATED] = "hibernated",
		[FSD_IN_USE] = "in-use",
		[FSD_SET_MEMBER] = "set-member",
		[FSD_DAMAGED] = "damaged",
	};
	return (unsigned)s < sizeof(names) / sizeof(names[0]) ? names[s] : "unknown";
}

static int open_raw(const struct blk_set *set, const char *why, struct fsd_volume **ret, struct err *e)
{
	struct fsd_volume *v;

	if (fsd_raw.open(set, &v, e) < 0)
		return -1;
	if (why)
		snprintf(v->info.notice, sizeof(v->info.notice), "%s", why);
	*ret = v;
	return 0;
}

/* What makes a driver give up, and not the job: contradictions, what it does not know, and sectors that cannot be read. */
static bool is_for_raw(const struct err *e)
{
	return e->code == ERR_CORRUPT || e->code == ERR_UNSUPPORTED || (e->code == ERR_FAILED && blk_is_medium_error(e));
}

/* Nobody can say any more whether it is clean, so every block is copied that can be. */
static int fall_back(const struct blk_set *set, struct fsd_volume **ret, struct err *e)
{
	char why[sizeof(((struct fsd_info *)0)->notice)];

	snprintf(why, sizeof(why), "taken raw: %.180s", e->msg);
	return open_raw(set, why, ret, e);
}

int fsd_open(const struct blk_set *set, bool force_raw, struct fsd_volume **ret, struct err *e)
{
	if (force_raw)
		return open_raw(set, NULL, ret, e);
	for (size_t i = 0; fsd_drivers[i] != &fsd_raw; i++) {
		const struct fsd_driver *d = fsd_drivers[i];
		int mine = d->probe(set->members[0], e);
		if (mine > 0 && d->open(set, ret, e) == 0)
			return 0;
		if (mine != 0)
			return is_for_raw(e) && set->nr == 1 ? fall_back(set, ret, e) : -1;
	}
	return open_raw(set, NULL, ret, e);
}

int fsd_find_member(struct blk_source *src, struct fsd_member *ret, struct err *e)
{
	for (size_t i = 0; fsd_drivers[i]; i++) {
		const struct fsd_driver *d = fsd_drivers[i];
		int mine = d->probe(src, e);
		if (mine > 0 && d->member && d->member(src, ret, e) == 0)
			return ret->nr > 1;
		if (mine != 0)
			return mine > 0 && (!d->member || is_for_raw(e)) ? 0 : -1;
	}
	return 0;
}

struct checked_emit {
	struct fsd_volume *v;
	fsd_extent_fn extent;
	fsd_range_fn range;
	fsd_patch_fn patch;
	fsd_skip_fn skip;
	fsd_copies_fn copies;
	void *arg;
};

static int emit_checked(void *arg, size_t member, uint64_t start, uint64_t len, enum ext_state state, struct err *e)
{
	struct checked_emit *c = arg;

	if (member >= c->v->set.nr || !range_inside(start, len, c->v->set.members[member]->size))
		return err_set(e, ERR_CORRUPT, 0, "%s: extent %llu+%llu lies outside the volume", c->v->info.type,
			(unsigned long long)start, (unsigned long long)len);
	return len ? c->extent(c->arg, member, start, len, state, e) : 0;
}

int fsd_map(struct fsd_volume *v, fsd_extent_fn emit, void *arg, struct err *e)
{
	struct checked_emit c = { .v = v, .extent = emit, .arg = arg };

	if (v->driver->map(v, emit_checked, &c, e) < 0)
		return -1;
	if (v->set.nr > 1)
		return 0;
	uint64_t end = min_u64(v->info.size, v->set.members[0]->size);
	uint64_t tail = v->set.members[0]->size - end;
	return tail ? emit(arg, 0, end, tail, EXT_USED, e) : 0;
}

static int range_clipped(void *arg, size_t member, uint64_t start, uint64_t len, struct err *e)
{
	struct checked_emit *c = arg;

	if (member >= c->v->set.nr || start >= c->v->set.members[member]->size)
		return 0;
	len = min_u64(len, c->v->set.members[member]->size - start);
	return len ? c->range(c->arg, member, start, len, e) : 0;
}

int fsd_arm_ranges(struct fsd_volume *v, fsd_range_fn emit, void *arg, struct err *e)
{
	struct checked_emit c = { .v = v, .range = emit, .arg = arg };

	return v->driver->arm_ranges(v, range_clipped, &c, e);
}

static int patch_checked(void *arg, size_t member, uint64_t start, const void *bytes, size_t len, struct err *e)
{
	struct checked_emit *c = arg;

	if (member >= c->v->set.nr || !range_inside(start, len, c->v->set.members[member]->size))
		return err_set(e, ERR_CORRUPT, 0, "%s: a replay would write %llu+%zu, outside the volume", c->v->info.type, (unsigned long long)start, len);
	return c->patch(c->arg, member, start, bytes, len, e);
}

int fsd_replay(struct fsd_volume *v, fsd_patch_fn emit, void *arg, struct fsd_replayed *ret, struct err *e)
{
	struct checked_emit c = { .v = v, .patch = emit, .arg = arg };

	if (!v->driver->replay)
		return err_set(e, ERR_UNSUPPORTED, 0, "journals of %s are not replayed", v->info.type);
	return v->driver->replay(v, patch_checked, &c, ret, e);
}

static int skip_checked(void *arg, size_t member, uint64_t start, uint64_t len, const char *file, struct err *e)
{
	struct checked_emit *c = arg;

	if (member >= c->v->set.nr || !range_inside(start, len, min_u64(c->v->info.size, c->v->set.members[member]->size)))
		return err_set(e, ERR_CORRUPT, 0, "%s: file '%s' lies outside the volume", c->v->info.type, file);
	return len ? c->skip(c->arg, member, start, len, file, e) : 0;
}

int fsd_volatile_ranges(struct fsd_volume *v, fsd_skip_fn emit, void *arg, struct err *e)
{
	struct checked_emit c = { .v = v, .skip = emit, .arg = arg };

	if (!v->driver->volatile_ranges || v->info.state != FSD_CLEAN)
		return 0;
	return v->driver->volatile_ranges(v, skip_checked, &c, e);
}

static int copies_checked(void *arg, const struct map_leg *places, size_t nr, uint64_t len, struct err *e)
{
	struct checked_emit *c = arg;

	for (size_t i = 0; i < nr; i++)
		if (places[i].member >= c->v->set.nr || !range_inside(places[i].start, len, c->v->set.members[places[i].member]->size))
			return err_set(e, ERR_CORRUPT, 0, "%s: a copy at %llu+%llu lies outside the volume", c->v->info.type,
				(unsigned long long)places[i].start, (unsigned long long)len);
	return len ? c->copies(c->arg, places, nr, len, e) : 0;
}

int fsd_copies(struct fsd_volume *v, fsd_copies_fn emit, void *arg, struct err *e)
{
	struct checked_emit c = { .v = v, .copies = emit, .arg = arg };

	if (!v->driver->copies || v->info.state != FSD_CLEAN)
		return 0;
	return v->driver->copies(v, copies_checked, &c, e);
}

const struct fsd_info *fsd_get_info(const struct fsd_volume *v)
{
	return &v->info;
}

void fsd_close(struct fsd_volume *v)
{
	if (v)
		v->driver->close(v);
}
