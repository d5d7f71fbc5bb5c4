/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Planning a capture; see plan.h. Table → regions → for each region a volume, its driver, its map. */
#include "imager/job/plan.h"

#include "base/arith.h"
#include "fsdrivers/fsdriver.h"
#include "fsdrivers/signature.h"
#include "imager/disk/table.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>

#define MAX_ARM_BYTES ((uint64_t)16 << 20)

struct plan {
	struct img_manifest *m;
	struct blk_source *src;
	const struct plan_options *o;
	const struct progress *p;
	struct pt_table *table;
	uint32_t disk;
};

/* One region while its volume is mapped. */
struct region_plan {
	struct plan *plan;
	struct img_region *region;
	struct img_volume *volume;
	uint64_t arm_bytes;
};

static int add_extent(void *arg, size_t member, uint64_t start, uint64_t len, enum ext_state state, struct err *e)
{
	struct region_plan *rp = arg;

	(void)member;
	return cmap_add(rp->region->map, start, len, state, e);
}

static int grow_ranges(struct img_range **list, uint32_t *nr, struct img_range add, struct err *e)
{
	if (is_pow2(*nr) || *nr == 0) { /* room is a power of two: doubles when it is full */
		struct img_range *grown = realloc(*list, (*nr ? (size_t)*nr * 2 : 1) * sizeof(*grown));
		if (!grown)
			return err_nomem(e, "the ranges of a volume");
		*list = grown;
	}
	(*list)[(*nr)++] = add;
	return 0;
}

static int add_arm_range(void *arg, size_t member, uint64_t start, uint64_t len, struct err *e)
{
	struct region_plan *rp = arg;
	struct img_range r = { .disk = rp->plan->disk, .start = rp->region->start + start, .len = len };

	(void)member;
	if (rp->arm_bytes + len > MAX_ARM_BYTES) /* the rest is written in order with the data: still right, only less guarded */
		return 0;
	rp->arm_bytes += len;
	return grow_ranges(&rp->volume->arm, &rp->volume->nr_arm, r, e);
}

static bool is_asked_raw(const struct plan *p, const struct img_region *r, const struct fsd_info *info)
{
	char number[16];
	bool asked = false;

	snprintf(number, sizeof(number), "%u", r->number);
	for (size_t i = 0; p->o->raw_volumes && p->o->raw_volumes[i]; i++) {
		const char *word = p->o->raw_volumes[i];
		bool meant = (r->number && !strcmp(word, number)) || (r->name[0] && !strcmp(word, r->name)) || !strcmp(word, "all") ||
			(info->label[0] && !strcmp(word, info->label)) || (info->uuid[0] && !strcasecmp(word, info->uuid));
		if (meant && p->o->raw_found)
			p->o->raw_found[i] = true;
		asked |= meant;
	}
	return asked;
}

static int refuse_unsafe(const struct plan *p, const struct img_region *r, const struct fsd_info *info, struct err *e)
{
	char where[64] = "", word[16];

	if (r->number)
		snprintf(where, sizeof(where), " partition %u", r->number);
	err_set(e, ERR_REFUSED, 0, "'%s'%s (%s) is not safe to copy: %s", blk_name(p->src), where, info->type,
		info->detail[0] ? info->detail : fsd_state_name(info->state));
	snprintf(word, sizeof(word), r->number ? "%u" : "all", r->number);
	err_hint(e, "%.140s; or take every block of it as it is: --raw %s", info->advice[0] ? info->advice : "make it clean first", word);
	return err_reason(e, info->reason[0] ? info->reason : fsd_state_name(info->state));
}

static void copy_info(struct img_volume *v, const struct fsd_volume *fs, bool asked_raw)
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
	v->state = (uint8_t)info->state;
	v->flags = asked_raw ? IMG_VOL_RAW_ASKED : fs->driver == &fsd_raw ? IMG_VOL_RAW_FALLBACK : 0;
}

/* Open the volume of a region, raw where asked; refuse what is not safe. */
static int open_volume(struct plan *p, struct img_region *r, const struct blk_set *set, struct fsd_volume **ret, bool *ret_raw, struct err *e)
{
	AUTO(fsd_volume) struct fsd_volume *v = NULL;

	if (fsd_open(set, r->kind == PT_REGION_OVERLAP, &v, e) < 0)
		return -1;
	*ret_raw = is_asked_raw(p, r, fsd_get_info(v));
	if (*ret_raw) {
		fsd_close(take(&v));
		if (fsd_open(set, true, &v, e) < 0)
			return -1;
	} else if (fsd_get_info(v)->state != FSD_CLEAN) {
		return refuse_unsafe(p, r, fsd_get_info(v), e);
	}
	*ret = take(&v);
	return 0;
}

static int make_map(struct img_region *r, unsigned granule, struct err *e)
{
	cmap_free(r->map);
	r->map = cmap_new(r->len, granule ? (unsigned)__builtin_ctz(granule) : 9, e);
	return r->map ? 0 : -1;
}

/* Map the volume; maps that contradict themselves, or cannot be read, make it raw, with a notice. */
static int map_volume(struct region_plan *rp, const struct blk_set *set, struct fsd_volume **fs, struct err *e)
{
	struct fsd_volume *raw;
	char why[160];

	if (make_map(rp->region, fsd_get_info(*fs)->granule, e) < 0)
		return -1;
	if (fsd_map(*fs, add_extent, rp, e) == 0)
		return 0;
	if (e->code != ERR_CORRUPT && !(e->code == ERR_FAILED && blk_is_medium_error(e)))
		return -1;
	snprintf(why, sizeof(why), "%.150s", e->msg);
	if (fsd_open(set, true, &raw, e) < 0)
		return -1;
	fsd_close(*fs);
	*fs = raw;
	snprintf(raw->info.notice, sizeof(raw->info.notice), "taken raw: %s", why);
	if (make_map(rp->region, raw->info.granule, e) < 0)
		return -1;
	return fsd_map(raw, add_extent, rp, e);
}

static void tell_notice(const struct plan *p, const struct img_region *r, const struct img_volume *v)
{
	if (!v->notice[0])
		return;
	if (r->number)
		progress_notice(p->p, "%s partition %u (%s): %s", blk_name(p->src), r->number, v->type, v->notice);
	else
		progress_notice(p->p, "%s (%s): %s", blk_name(p->src), v->type, v->notice);
}

static int plan_volume(struct plan *p, size_t region, struct err *e)
{
	struct img_region *r = &p->m->regions[region];
	struct img_volume *v = &p->m->volumes[p->m->nr_volumes];
	struct region_plan rp = { .plan = p, .region = r, .volume = v };
	char name[300];
	bool asked_raw = false;

	snprintf(name, sizeof(name), r->number ? "%.200s partition %u" : "%.200s", blk_name(p->src), r->number);
	AUTO(blk_source) struct blk_source *window = blk_window(p->src, r->start, r->len, name, e);
	if (!window)
		return -1;
	struct blk_set set = { .members = &window, .nr = 1 };
	AUTO(fsd_volume) struct fsd_volume *fs = NULL;
	if (open_volume(p, r, &set, &fs, &asked_raw, e) < 0 || map_volume(&rp, &set, &fs, e) < 0)
		return -1;
	p->m->nr_volumes++;
	*v = (struct img_volume){ .parent = IMG_NO_INDEX, .kind = r->kind == PT_REGION_WHOLE ? IMG_VOL_DISK : IMG_VOL_PARTITION,
		.region = (uint32_t)region };
	copy_info(v, fs, asked_raw);
	tell_notice(p, r, v);
	if (grow_ranges(&v->segments, &v->nr_segments, (struct img_range){ p->disk, r->start, r->len }, e) < 0)
		return -1;
	if (fsd_arm_ranges(fs, add_arm_range, &rp, e) < 0)
		return -1;
	cmap_freeze(r->map);
	return 0;
}

static int plan_gap(struct img_region *r, const struct pt_region *from, struct err *e)
{
	if (make_map(r, 512, e) < 0)
		return -1;
	for (size_t i = 0; i < from->nr_used; i++)
		if (cmap_add(r->map, from->used[i].start - r->start, from->used[i].len, EXT_USED, e) < 0)
			return -1;
	cmap_freeze(r->map);
	return 0;
}

static void describe_region(const struct plan *p, struct img_region *r, const struct pt_region *from)
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

static int plan_regions(struct plan *p, const struct pt_region *list, size_t nr, struct err *e)
{
	struct img_manifest *m = p->m;

	if (m->nr_regions + nr > IMG_MAX_REGIONS)
		return err_set(e, ERR_UNSUPPORTED, 0, "'%s' has %zu regions, more than an image can hold", blk_name(p->src), nr);
	struct img_region *regions = realloc(m->regions, (m->nr_regions + nr) * sizeof(*regions));
	if (!regions)
		return err_nomem(e, "the regions");
	m->regions = regions;
	struct img_volume *volumes = realloc(m->volumes, (m->nr_volumes + nr) * sizeof(*volumes));
	if (!volumes)
		return err_nomem(e, "the volumes");
	m->volumes = volumes;
	for (size_t i = 0; i < nr; i++) {
		size_t at = m->nr_regions++;
		describe_region(p, &m->regions[at], &list[i]);
		int r = list[i].kind == PT_REGION_GAP ? plan_gap(&m->regions[at], &list[i], e) : plan_volume(p, at, e);
		if (r < 0 || progress_check(p->p, e) < 0)
			return -1;
	}
	return 0;
}

/* The bytes the table consists of, for those who plan from the head alone. */
static int copy_table(struct plan *p, struct err *e)
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

static int add_disk(struct plan *p, struct err *e)
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
static int count_known(const struct plan *p, uint64_t factor, unsigned *ret, struct err *e)
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
static int hint_sector_size(const struct plan *p, struct err *e)
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
	struct plan p = { .m = m, .src = src, .o = o, .p = prog };
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
