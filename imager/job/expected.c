/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The expected disk; see expected.h. Partition tables are adapted here; sectors.c judges volumes, remade.c makes them anew. */
#include "imager/job/expected.h"

#include "base/arith.h"
#include "base/blk.h"
#include "imager/job/remade.h"
#include "imager/job/sectors.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

struct table_source {
	struct blk_source base;
	const struct img_manifest *m;
	uint32_t disk;
};

/* Lay [start, start+n) over buf, which stands for [off, off+len). */
static void overlay(uint64_t off, uint8_t *buf, size_t len, uint64_t start, const uint8_t *bytes, size_t n)
{
	uint64_t from = max_u64(off, start), to = min_u64(off + len, start + n);

	if (from < to)
		memcpy(buf + (from - off), bytes + (from - start), (size_t)(to - from));
}

static int table_read(struct blk_source *s, uint64_t off, void *buf, size_t len, struct err *e)
{
	struct table_source *t = (struct table_source *)s;

	(void)e;
	memset(buf, 0, len);
	for (size_t i = 0; i < t->m->nr_tables; i++)
		if (t->m->tables[i].disk == t->disk)
			overlay(off, buf, len, t->m->tables[i].start, t->m->tables[i].bytes, t->m->tables[i].len);
	return 0;
}

static void table_close(struct blk_source *s)
{
	free(s);
}

/* A source of a disk's size that holds the copies of its partition table and zeros elsewhere; borrows the manifest. */
static struct blk_source *table_source(const struct img_manifest *m, uint32_t disk, struct err *e)
{
	static const struct blk_source_ops ops = { .read = table_read, .close = table_close };
	struct table_source *t = alloc_array(1, sizeof(*t));

	if (!t) {
		err_nomem(e, "the partition table");
		return NULL;
	}
	t->base = (struct blk_source){ .ops = &ops, .size = m->disks[disk].size, .sector_size = m->disks[disk].sector_size,
		.phys_sector_size = m->disks[disk].phys_sector_size };
	snprintf(t->base.name, sizeof(t->base.name), "the image's disk %u", disk + 1);
	t->m = m;
	t->disk = disk;
	return &t->base;
}

/* For BIOS, in the first sector: it loads what follows by numbers of sectors. */
static int note_boot_code(struct expected *x, uint32_t disk, const struct pt_table *table, struct err *e)
{
	if (!table->boot_code)
		return 0;
	return expected_note(x, disk, SIZE_MAX, "boot-code", e, "the boot code for BIOS counts in other sectors; only UEFI starts this disk");
}

static int adapt_table(struct expected *x, uint32_t disk, struct err *e)
{
	struct expected_disk *d = &x->disks[disk];
	const struct img_disk *from = &x->image->disks[disk];
	AUTO(pt_table) struct pt_table *table = NULL;

	if (from->table == PT_NONE || (!d->other_sectors && (from->table != PT_GPT || d->size == from->size)))
		return 0;
	AUTO(blk_source) struct blk_source *src = table_source(x->image, disk, e);
	if (!src || pt_read(src, from->sector_size, &table, e) < 0)
		return -1;
	if (!d->other_sectors)
		return pt_adapt(src, table, from->size, d->size, &d->patches, &d->nr_patches, e);
	if (pt_resector(src, table, from->size, d->size, d->sector_size, &d->patches, &d->nr_patches, e) < 0)
		return -1;
	if (expected_note(x, disk, SIZE_MAX, "gpt", e, "the GPT is rewritten for sectors of %u bytes", d->sector_size) < 0)
		return -1;
	return note_boot_code(x, disk, table, e);
}

static int too_small(const char *name, uint64_t size, uint64_t need, const char *what, struct err *e)
{
	err_set(e, ERR_REFUSED, 0, "'%s' has %llu bytes, %llu too few for %s of %llu bytes", name, (unsigned long long)size,
		(unsigned long long)(need - size), what, (unsigned long long)need);
	err_hint(e, "use a larger target");
	return err_reason(e, "too-small");
}

static int plan_target(struct expected *x, uint32_t disk, const struct restore_target *t, struct err *e)
{
	struct expected_disk *d = &x->disks[disk];
	uint32_t was = x->image->disks[disk].sector_size;

	d->size = t->size;
	d->sector_size = t->sector_size ? t->sector_size : was;
	d->other_sectors = d->sector_size != was;
	if (x->only_region == SIZE_MAX) {
		if (t->size < x->image->disks[disk].size)
			return too_small(t->name, t->size, x->image->disks[disk].size, "the image's disk", e);
		return adapt_table(x, disk, e);
	}
	const struct img_region *r = &x->image->regions[x->only_region];
	if (r->disk != disk)
		return 0;
	return t->size < r->len ? too_small(t->name, t->size, r->len, "the volume", e) : 0;
}

/* Volumes on disks with other sectors: judged, and made anew where that must be. */
static int plan_volumes(struct expected *x, const struct expected_request *rq, struct err *e)
{
	AUTO_FREE size_t *regions = NULL;
	bool other = false;
	size_t nr = 0;

	for (size_t i = 0; i < x->image->nr_disks; i++)
		other |= x->disks[i].other_sectors;
	if (!other)
		return 0;
	if (sectors_judge(x, rq, &regions, &nr, e) < 0)
		return -1;
	return remade_plan(x, rq->reader, regions, nr, e);
}

int expected_new(const struct expected_request *rq, struct expected **ret, struct err *e)
{
	AUTO(expected) struct expected *x = alloc_array(1, sizeof(*x));

	if (!x)
		return err_nomem(e, "the plan");
	x->image = x->m = rq->m;
	if (!(x->disks = alloc_array(rq->m->nr_disks, sizeof(*x->disks))))
		return err_nomem(e, "the plan");
	x->only_region = rq->only_region;
	for (uint32_t i = 0; i < rq->m->nr_disks; i++)
		if (plan_target(x, i, &rq->targets[i], e) < 0)
			return -1;
	if (plan_volumes(x, rq, e) < 0)
		return -1;
	*ret = take(&x);
	return 0;
}

void expected_free(struct expected *x)
{
	if (!x)
		return;
	for (size_t i = 0; x->disks && i < x->image->nr_disks; i++)
		pt_patches_free(x->disks[i].patches, x->disks[i].nr_patches);
	remade_free(x->remade);
	free(x->changes);
	free(x->disks);
	free(x);
}

int expected_note(struct expected *x, uint32_t disk, size_t region, const char *what, struct err *e, const char *fmt, ...)
{
	struct restore_change *grown = reallocarray(x->changes, x->nr_changes + 1, sizeof(*grown));
	va_list ap;

	if (!grown)
		return err_nomem(e, "the plan");
	x->changes = grown;
	struct restore_change *c = &x->changes[x->nr_changes++];
	*c = (struct restore_change){ .disk = disk, .region = region };
	snprintf(c->what, sizeof(c->what), "%s", what);
	va_start(ap, fmt);
	vsnprintf(c->text, sizeof(c->text), fmt, ap);
	va_end(ap);
	return 0;
}

bool expected_touches(const struct expected *x, uint32_t disk, uint64_t start, uint64_t len)
{
	const struct expected_disk *d = &x->disks[disk];

	for (size_t i = 0; i < d->nr_patches; i++)
		if (d->patches[i].start < start + len && start < d->patches[i].start + d->patches[i].len)
			return true;
	return false;
}

void expected_adapt(const struct expected *x, uint32_t disk, uint64_t start, uint8_t *buf, size_t len)
{
	const struct expected_disk *d = &x->disks[disk];

	for (size_t i = 0; i < d->nr_patches; i++)
		overlay(start, buf, len, d->patches[i].start, d->patches[i].bytes, d->patches[i].len);
}
