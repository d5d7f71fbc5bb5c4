/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Planning a disk, the first phase; see plan.h. Table → regions. */
#include "imager/job/plan.h"

#include "base/arith.h"
#include "fsdrivers/signature.h"
#include "imager/disk/table.h"

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

struct disk_plan {
	struct img_manifest *m;
	struct blk_source *src;
	const struct plan_options *o;
	const struct progress *p;
	struct pt_table *table;
	uint32_t disk;
};

static int plan_gap(struct img_region *r, const struct pt_region *from, struct err *e)
{
	r->map = cmap_new(r->len, 9, e);
	if (!r->map)
		return -1;
	for (size_t i = 0; i < from->nr_used; i++)
		if (cmap_add(r->map, from->used[i].start - r->start, from->used[i].len, EXT_USED, e) < 0)
			return -1;
	cmap_freeze(r->map);
	return 0;
}

static void describe_region(const struct disk_plan *p, struct img_region *r, const struct pt_region *from)
{
	*r = (struct img_region){ .disk = p->disk, .start = from->start, .len = from->len, .kind = (uint8_t)from->kind };
	if (from->entry < 0)
		return;
	const struct pt_entry *en = &p->table->entries[from->entry];
	r->number = en->number;
	r->mbr_type = en->mbr_type;
	r->attributes = en->attributes;
	r->flags = (uint16_t)((pt_is_boot(p->table, en) ? IMG_REGION_BOOT : 0) | (en->is_logical ? IMG_REGION_LOGICAL : 0) |
		(p->table->kind == PT_MBR && en->active ? IMG_REGION_ACTIVE : 0));
	memcpy(r->type_guid, en->type_guid, 16);
	memcpy(r->guid, en->guid, 16);
	snprintf(r->name, sizeof(r->name), "%s", en->name);
}

static int plan_regions(struct disk_plan *p, const struct pt_region *list, size_t nr, struct err *e)
{
	struct img_manifest *m = p->m;

	if (m->nr_regions + nr > IMG_MAX_REGIONS)
		return err_set(e, ERR_UNSUPPORTED, 0, "'%s' has %zu regions, more than an image can hold", blk_name(p->src), nr);
	struct img_region *regions = realloc(m->regions, (m->nr_regions + nr) * sizeof(*regions));
	if (!regions)
		return err_nomem(e, "the regions");
	m->regions = regions;
	for (size_t i = 0; i < nr; i++) {
		size_t at = m->nr_regions++;
		describe_region(p, &m->regions[at], &list[i]);
		if (list[i].kind == PT_REGION_GAP && plan_gap(&m->regions[at], &list[i], e) < 0)
			return -1;
	}
	return 0;
}

/* The bytes the table consists of, for those who plan from the head alone. */
static int copy_table(struct disk_plan *p, struct err *e)
{
	struct img_manifest *m = p->m;
	size_t nr = p->table->nr_structures;
	struct img_table_copy *tables = realloc(m->tables, (m->nr_tables + nr + 1) * sizeof(*tables));

	if (!tables)
		return err_nomem(e, "the partition table");
	m->tables = tables;
	for (size_t i = 0; i < nr; i++) {
		const struct range *s = &p->table->structures[i];
		struct img_table_copy *t = &m->tables[m->nr_tables];
		*t = (struct img_table_copy){ .disk = p->disk, .start = s->start, .len = (uint32_t)s->len };
		t->bytes = alloc_array((size_t)s->len, 1);
		if (!t->bytes)
			return err_nomem(e, "the partition table");
		m->nr_tables++;
		if (blk_read(p->src, s->start, t->bytes, (size_t)s->len, e) < 0)
			return -1;
	}
	return 0;
}

static int add_disk(struct disk_plan *p, struct err *e)
{
	struct img_disk *disks = realloc(p->m->disks, (p->m->nr_disks + 1) * sizeof(*disks));

	if (!disks)
		return err_nomem(e, "the disks");
	p->m->disks = disks;
	p->disk = (uint32_t)p->m->nr_disks++;
	disks[p->disk] = (struct img_disk){
		.size = p->src->size,
		.sector_size = p->table->sector_size ? p->table->sector_size : p->src->sector_size,
		.phys_sector_size = p->src->phys_sector_size,
		.table = (uint8_t)p->table->kind,
		.mbr_signature = p->table->mbr_signature,
	};
	memcpy(disks[p->disk].guid, p->table->disk_guid, 16);
	snprintf(disks[p->disk].source, sizeof(disks[p->disk].source), "%s", blk_name(p->src));
	return 0;
}

/* How many partitions begin with something that libblkid knows, if the table's sectors were factor times as large? */
static int count_known(const struct disk_plan *p, uint64_t factor, unsigned *ret, struct err *e)
{
	struct err ignored = ERR_INIT;
	struct fsd_signature s;

	*ret = 0;
	for (size_t i = 0; i < p->table->nr; i++) {
		uint64_t start = p->table->entries[i].start * factor; /* an MBR's are below 2^32 sectors */
		uint64_t len = p->table->entries[i].len * factor;
		if (!range_inside(start, len, p->src->size))
			continue;
		AUTO(blk_source) struct blk_source *window = blk_window(p->src, start, len, "", &ignored);
		if (window && fsd_signature_read(window, &s, e) < 0)
			return -1;
		*ret += window && (s.type[0] || s.is_ambivalent);
	}
	return 0;
}

/* An MBR does not say how large its sectors are, and a plain file has none. The content may tell that a guess of 512 was wrong. */
static int hint_sector_size(const struct disk_plan *p, struct err *e)
{
	unsigned known, known_4k;
	struct stat st;
	uint64_t off;
	int fd = blk_fd(p->src, &off);

	if (p->table->kind != PT_MBR || p->table->sector_size != 512 || p->o->sector_size || fd < 0 || fstat(fd, &st) < 0 || !S_ISREG(st.st_mode))
		return 0;
	if (count_known(p, 1, &known, e) < 0 || count_known(p, 4096 / 512, &known_4k, e) < 0)
		return -1;
	if (known || !known_4k)
		return 0;
	progress_notice(p->p, "%s: no partition begins with a file system where sectors have 512 bytes, but %u would with sectors of 4096: "
		"if this is a copy of such a disk, add --sector-size 4096", blk_name(p->src), known_4k);
	return 0;
}

int plan_disk(struct img_manifest *m, struct blk_source *src, const struct plan_options *o, const struct progress *prog, struct err *e)
{
	AUTO(pt_table) struct pt_table *table = NULL;
	struct disk_plan p = { .m = m, .src = src, .o = o, .p = prog };
	struct pt_region *regions = NULL;
	size_t nr = 0;

	if (m->nr_disks == IMG_MAX_DISKS)
		return err_set(e, ERR_USAGE, 0, "an image holds at most %u disks", IMG_MAX_DISKS);
	if (src->size == 0)
		return err_set(e, ERR_USAGE, 0, "'%s' is empty", blk_name(src));
	if (pt_read(src, o->sector_size, &table, e) < 0)
		return -1;
	p.table = table;
	if (add_disk(&p, e) < 0 || hint_sector_size(&p, e) < 0)
		return -1;
	int r = pt_regions(table, src->size, o->raw_gaps, &regions, &nr, e);
	for (size_t i = 0; i < table->nr_notices; i++)
		progress_notice(prog, "%s: %s", blk_name(src), table->notices[i]);
	if (r == 0)
		r = copy_table(&p, e);
	if (r == 0)
		r = plan_regions(&p, regions, nr, e);
	pt_regions_free(regions, nr);
	return r;
}
