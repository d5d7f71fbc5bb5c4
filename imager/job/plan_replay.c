/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Replaying a journal into the overlays of the disks, never onto a disk; see plan_volumes.h. What the volume's driver would write is laid over
 * the regions below, so that all who read the disks from then on (the drivers that map, the pipeline) see the volume as it is after the replay.
 */
#include "imager/job/plan_volumes.h"

#include "base/arith.h"
#include "base/overlay.h"

#include <stdio.h>

#define SECTOR 512U

struct replaying {
	struct plan *p;
	size_t dev;
	const uint8_t *bytes; /* those under work */
	size_t len;
	bool is_split;        /* they do not lie in a row */
};

static int look(void *arg, uint32_t region, uint64_t start, uint64_t len, struct err *e)
{
	struct replaying *r = arg;

	(void)region;
	(void)start;
	(void)e;
	r->is_split |= len != r->len;
	return 0;
}

static int put(void *arg, uint32_t region, uint64_t start, uint64_t len, struct err *e)
{
	const struct replaying *r = arg;
	const struct img_region *reg = &r->p->m->regions[region];

	if (len != r->len)
		return err_set(e, ERR_UNSUPPORTED, 0, "it lies in pieces that are no whole sectors");
	return blk_overlay_put(r->p->o->overlays[reg->disk], reg->start + start, r->bytes, (size_t)len, e);
}

/* In one piece where it lies so, else sector by sector: a piece of a mirror is told once for each copy. */
static int put_patch(void *arg, size_t member, uint64_t start, const void *bytes, size_t len, struct err *e)
{
	struct replaying *r = arg;

	(void)member;
	r->bytes = bytes;
	r->len = len;
	r->is_split = false;
	if (device_each(r->p, r->dev, start, len, look, r, e) < 0)
		return -1;
	if (!r->is_split)
		return device_each(r->p, r->dev, start, len, put, r, e);
	for (size_t at = 0; at < len; at += r->len) {
		r->bytes = (const uint8_t *)bytes + at;
		r->len = (size_t)min_u64(SECTOR, len - at);
		if (device_each(r->p, r->dev, start + at, r->len, put, r, e) < 0)
			return -1;
	}
	return 0;
}

static int seal(struct plan *p, struct err *e)
{
	for (size_t i = 0; i < p->m->nr_disks; i++)
		if (blk_overlay_seal(p->o->overlays[i], e) < 0)
			return -1;
	return 0;
}

/* What is wrong with the journal is a reason not to copy, not a failure: every block can still be taken as it is. */
static int refuse(const struct plan *p, size_t dev, const struct fsd_info *info, struct err *e)
{
	char where[320], word[128], advice[900];
	struct err why = *e;

	device_where(p, dev, where, sizeof(where));
	plan_raw_word(p, dev, word, sizeof(word));
	err_set(e, ERR_REFUSED, 0, "%s (%s) is not safe to copy: %.250s", where, info->type, why.msg);
	plan_advice(p, dev, why.hint[0] ? why.hint : why.code == ERR_CORRUPT ? "run e2fsck -f " FSD_DEVICE : info->advice, advice, sizeof(advice));
	err_hint(e, "%.220s; or take all of it as it is: --raw %.127s", advice, word);
	return err_reason(e, why.reason[0] ? why.reason : why.code == ERR_CORRUPT ? "damaged-journal" : info->reason);
}

int plan_replay(struct plan *p, size_t dev, struct fsd_volume *fs, struct err *e)
{
	struct plan_device *d = p->devices[dev];
	struct replaying r = { .p = p, .dev = dev };
	struct fsd_replayed sum;
	int status = -1;

	if (d->is_encrypted)
		err_set(e, ERR_UNSUPPORTED, 0, "its journal must be replayed, which is not possible below an encryption");
	else
		status = fsd_replay(fs, put_patch, &r, &sum, e);
	if (status == 0)
		status = seal(p, e);
	if (status < 0) {
		bool is_ours = e->code == ERR_CORRUPT || e->code == ERR_UNSUPPORTED || e->code == ERR_REFUSED ||
			(e->code == ERR_FAILED && blk_is_medium_error(e));
		return is_ours ? refuse(p, dev, fsd_get_info(fs), e) : -1;
	}
	snprintf(d->replayed, sizeof(d->replayed), "its journal was replayed for this image: %u transactions, %llu blocks", sum.nr_transactions,
		(unsigned long long)sum.nr_blocks);
	return 0;
}
