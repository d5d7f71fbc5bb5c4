/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Verify a disk against an image: every used byte equal, every zero byte zero, adaptations included. What differs is
 * narrowed down to leaves by decoding the image's chunk again.
 */
#include "imager/job/verify.h"

#include "base/arith.h"
#include "imager/image/reader.h"
#include "imager/repo/image.h"
#include "imager/job/damage.h"
#include "imager/job/disk_check.h"
#include "imager/job/wanted.h"

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

struct against {
	const struct verify_options *o;
	struct verify_result *ret;
	struct img_reader *reader;
	const struct img_manifest *m; /* of the image; from plan() on as the disks should be */
	size_t only_region;
	struct blk_source *disks[IMG_MAX_DISKS];
	struct expected *x;
	struct special_chunk *special;
	size_t nr_special;
	uint64_t total;
	uint8_t *content; /* CHUNK_SIZE */
};

/* A plain file has the sectors for which there is a GPT in it, where the image has one; else those of the image's disk. */
static struct blk_source *open_disk(const struct against *a, const char *path, uint32_t disk, struct err *e)
{
	AUTO(blk_source) struct blk_source *src = blk_open(path, 0, true, e);
	AUTO(pt_table) struct pt_table *t = NULL;
	struct err ignored = ERR_INIT;
	struct stat st;
	uint64_t off;

	int fd = src ? blk_fd(src, &off) : -1;
	if (fd < 0 || fstat(fd, &st) < 0)
		return take(&src);
	if (!S_ISREG(st.st_mode)) {
		if (!a->o->sector_size || a->o->sector_size == src->sector_size)
			return take(&src);
		err_set(e, ERR_USAGE, 0, "'%s' is a device with sectors of %u bytes: --sector-size is for plain files", path, src->sector_size);
		return NULL;
	}
	uint32_t sector = a->o->sector_size ? a->o->sector_size : a->m->disks[disk].sector_size;
	if (!a->o->sector_size && a->m->disks[disk].table == PT_GPT && pt_read(src, 0, &t, &ignored) == 0 && t->kind == PT_GPT)
		sector = t->sector_size;
	return blk_open(path, sector, true, e);
}

static int open_disks(struct against *a, struct err *e)
{
	size_t nr = 0, wanted = a->only_region == SIZE_MAX ? a->m->nr_disks : 1;

	while (a->o->against[nr])
		nr++;
	if (nr != wanted)
		return err_set(e, ERR_USAGE, 0, "the image needs %zu disk%s to compare with, %zu given", wanted, wanted == 1 ? "" : "s", nr);
	for (size_t i = 0; i < wanted; i++) {
		uint32_t d = a->only_region == SIZE_MAX ? (uint32_t)i : a->m->regions[a->only_region].disk;
		if (!(a->disks[d] = open_disk(a, a->o->against[i], d, e)))
			return -1;
	}
	return 0;
}

static int check_order(struct against *a, struct err *e)
{
	return a->only_region == SIZE_MAX ? verify_order(a->reader, a->disks, &a->ret->wrong_disks, e) : 0;
}

/* A disk too small to hold the image is a finding, not a refusal: nothing will be written. */
static int plan(struct against *a, struct err *e)
{
	struct restore_target targets[IMG_MAX_DISKS] = { { 0 } };
	struct expected_request rq = { .m = a->m, .reader = a->reader, .only_region = a->only_region, .targets = targets, .as_is = a->o->as_is,
		.any_sectors = true };

	for (size_t i = 0; i < a->m->nr_disks; i++)
		if (a->disks[i])
			targets[i] = (struct restore_target){ .size = a->disks[i]->size, .sector_size = a->disks[i]->sector_size, .name = blk_name(a->disks[i]) };
	if (expected_new(&rq, &a->x, e) < 0) {
		if (e->code != ERR_REFUSED)
			return -1;
		e->code = ERR_CORRUPT;
		return err_hint(e, "no restore of this image could have been written there: name the disk that it was restored to, or captured from");
	}
	a->m = a->x->m;
	for (size_t i = 0; i < a->m->nr_regions; i++)
		if (a->only_region == SIZE_MAX || i == a->only_region)
			a->total += cmap_bytes(a->m->regions[i].map, EXT_USED) + cmap_bytes(a->m->regions[i].map, EXT_ZERO);
	return 0;
}

/* A single volume lies at its own place on a whole disk, or at the start of its own device. */
static int place_volume(struct against *a, struct err *e)
{
	if (a->only_region == SIZE_MAX)
		return 0;
	const struct img_region *r = &a->m->regions[a->only_region];
	AUTO(pt_table) struct pt_table *t = NULL;
	struct err none = ERR_INIT;
	bool whole = pt_read(a->disks[r->disk], 0, &t, &none) == 0 && t->kind != PT_NONE;

	if (!whole)
		a->x->disks[r->disk].shift = r->start;
	else if (!range_inside(r->start, r->len, a->disks[r->disk]->size))
		return err_set(e, ERR_CORRUPT, 0, "'%s' ends before the place of this volume", blk_name(a->disks[r->disk]));
	return 0;
}

/*
 * Are all used bytes equal, so that the difference lies in what the image knows as zero: spare room of a file system, in which old bytes may
 * stand on the disk that was captured?
 */
static bool is_spare(const struct chunk_map *map, const struct cmap_chunk *c, const uint8_t *want, const uint8_t *got, uint32_t off, uint32_t len)
{
	enum ext_state state;

	for (uint32_t at = off, n; at < off + len; at += n) {
		n = (uint32_t)min_u64(cmap_state_run(map, c, at, &state), off + len - at);
		if (state == EXT_USED && memcmp(want + at, got + at, n))
			return false;
	}
	return true;
}

/* Narrow a differing chunk down to leaves, with their place on the disk that was read. */
static int differs(void *arg, const struct img_cursor *at, const uint8_t *content, struct err *e)
{
	struct against *a = arg;
	const struct img_region *r = &a->m->regions[at->region];
	uint64_t start = r->start + at->i * CHUNK_SIZE, place = start - a->x->disks[r->disk].shift;
	struct cmap_chunk c;

	a->ret->nr_bad_chunks++;
	cmap_get(r->map, at->i, &c);
	if (a->ret->nr_kept == VERIFY_MAX_DAMAGES || wanted_chunk(a->x, a->reader, at->region, at->i, a->content, e) < 0) {
		a->ret->nr_other++;
		return damage_on_disk(a->ret, a->m, at->region, place, c.len, "differs from the image", e);
	}
	for (uint32_t off = 0; off < c.len; off += LEAF_SIZE) {
		uint32_t n = (uint32_t)min_u64(LEAF_SIZE, c.len - off);
		if (!memcmp(a->content + off, content + off, n))
			continue;
		bool spare = is_spare(r->map, &c, a->content, content, off, n);
		a->ret->nr_spare += spare;
		a->ret->nr_other += !spare;
		if (damage_on_disk(a->ret, a->m, at->region, place + off, n,
			    spare ? "not zero, in what the file system does not use yet" : "differs from the image", e) < 0)
			return -1;
	}
	return 0;
}

/* What adaptations put where no chunk's id covers it. */
static int patch_differs(void *arg, uint32_t disk, uint64_t start, uint64_t len, struct err *e)
{
	struct against *a = arg;
	struct damage d = { .disk = (int)disk, .start = start, .len = len, .volume = "partition table",
		.what = "differs from what belongs on a disk of this size" };

	a->ret->nr_other++;
	return damage_add(a->ret, &d, e);
}

static int prepare(struct against *a, const struct progress *p, struct err *e)
{
	if (!strcmp(a->o->image, "-"))
		return err_set(e, ERR_USAGE, 0, "comparing a disk needs the image as a file, not as a pipe");
	if (!(a->reader = image_open(a->o->image, -1, a->o->access, p, e)))
		return -1;
	if (!img_reader_seekable(a->reader))
		return err_set(e, ERR_USAGE, 0, "comparing a disk needs the image as a file, not as a pipe");
	a->m = img_reader_manifest(a->reader);
	a->only_region = SIZE_MAX;
	if (a->o->only && img_find_region(a->m, a->o->only, &a->only_region, e) < 0)
		return -1;
	a->content = malloc(CHUNK_SIZE);
	return a->content ? 0 : err_nomem(e, "a read buffer");
}

static int compare(struct against *a, const struct progress *p, struct err *e)
{
	if (prepare(a, p, e) < 0 || open_disks(a, e) < 0 || check_order(a, e) < 0 || plan(a, e) < 0 || place_volume(a, e) < 0 ||
		wanted_special(a->x, a->reader, &a->special, &a->nr_special, e) < 0)
		return -1;
	struct disk_check dc = {
		.x = a->x,
		.special = a->special,
		.nr_special = a->nr_special,
		.disks = a->disks,
		.threads = a->o->threads,
		.phase = "verify",
		.total = a->total,
		.differs = differs,
		.arg = a,
	};
	if (disk_check_run(&dc, p, e) < 0 || wanted_patches(a->x, a->disks, patch_differs, a, e) < 0)
		return -1;
	a->ret->checked_bytes = dc.checked;
	a->ret->nr_chunks = dc.nr_chunks;
	return 0;
}

/*
 * No file is different, and still the disks are: the journal of another file system that was left in the body of this one can be taken for its own
 * after a crash (tests/e2e/journal-stale.sh). Only on the disk that was captured is it known to be harmless, and nothing tells which one that is.
 */
static int spare_only(struct err *e)
{
	err_hint(e, "old bytes there are harmless on the disk that was captured; of a disk that was restored it says that something wrote to it, or that it did "
		"not keep what was written: restore it again");
	return err_reason(e, "spare");
}

/* The first place that differs, by the name of the disk it lies on. */
static int verdict(const struct against *a, struct err *e)
{
	const struct damage *d = a->ret->damages;
	unsigned long long nr = a->ret->nr_damages;
	bool is_all_spare = a->ret->nr_spare && !a->ret->nr_other;
	const char *only = is_all_spare ? " only where its file systems hold nothing" : "";

	if (!nr)
		return 0;
	err_set(e, ERR_CORRUPT, 0, "%s: %llu place%s differ%s from the image%s, the first in %s at %llu+%llu", blk_name(a->disks[d->disk]),
		nr, nr == 1 ? "" : "s", nr == 1 ? "s" : "", only, d->volume, (unsigned long long)d->start, (unsigned long long)d->len);
	if (a->ret->wrong_disks & (a->ret->wrong_disks - 1))
		err_set(e, ERR_CORRUPT, 0, "several disks differ from the image%s, in %llu places, the first on %s in %s at %llu+%llu", only, nr,
			blk_name(a->disks[d->disk]), d->volume, (unsigned long long)d->start, (unsigned long long)d->len);
	return is_all_spare ? spare_only(e) : err_reason(e, "different");
}

int verify_against(const struct verify_options *o, struct verify_result *ret, const struct progress *p, struct err *e)
{
	struct against a = { .o = o, .ret = ret };
	int r = compare(&a, p, e);

	if (r == 0)
		r = verdict(&a, e);
	if (a.reader && a.m)
		ret->manifest = img_reader_take_manifest(a.reader);
	expected_free(a.x);
	for (size_t i = 0; i < IMG_MAX_DISKS; i++)
		blk_close(a.disks[i]);
	free(a.special);
	free(a.content);
	img_reader_close(a.reader);
	return r;
}
