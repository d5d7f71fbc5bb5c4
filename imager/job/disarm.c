/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Disarming a target; see disarm.h. */
#include "imager/job/disarm.h"

#include "base/arith.h"
#include "fsdrivers/fsdriver.h"
#include "fsdrivers/signature.h"
#include "imager/job/holds.h"

#include <string.h>

#define MAX_RANGES     65536U
#define BOOT_CODE      440U
#define MAX_TABLE      (1U << 20) /* of each piece of a table */
#define MAX_WITNESSES  64U
#define WITNESS_WITHIN (1U << 20)
#define WITNESS_STEP   (64U << 10)

/* The ranges of one volume while they are collected. */
struct collect {
	struct target_layout *t;
	uint64_t start; /* of the volume on the target */
};

static int add_range(struct target_layout *t, uint64_t start, uint64_t len, struct err *e)
{
	if (t->nr_arm == MAX_RANGES)
		return 0;
	struct img_range *grown = realloc(t->arm, ((size_t)t->nr_arm + 1) * sizeof(*grown));
	if (!grown)
		return err_nomem(e, "the target's layout");
	t->arm = grown;
	t->arm[t->nr_arm++] = (struct img_range){ .start = start, .len = len };
	return 0;
}

static int collect_range(void *arg, size_t member, uint64_t start, uint64_t len, struct err *e)
{
	struct collect *c = arg;

	(void)member;
	return add_range(c->t, c->start + start, len, e);
}

static int look_at_volume(struct blk_source *src, uint64_t start, uint64_t len, struct target_layout *t, struct err *e)
{
	struct collect c = { .t = t, .start = start };
	AUTO(blk_source) struct blk_source *window = blk_window(src, start, len, blk_name(src), e);
	struct blk_set set = { .members = &window, .nr = 1 };
	AUTO(fsd_volume) struct fsd_volume *v = NULL;

	if (!window || fsd_open(&set, false, &v, e) < 0)
		return -1;
	if (fsd_arm_ranges(v, collect_range, &c, e) < 0)
		return -1;
	/* What the driver of a damaged or unusual file system does not list, libblkid's view may. */
	if (v->driver == &fsd_raw)
		return 0;
	fsd_close(take(&v));
	if (fsd_open(&set, true, &v, e) < 0)
		return -1;
	return fsd_arm_ranges(v, collect_range, &c, e);
}

/*
 * A disk with a table may be recognised as a whole, too: firmware RAID and old md metadata stand at its end, outside of all
 * partitions, and an assembled set is written to behind our back.
 */
static int look_around_table(struct blk_source *src, struct target_layout *t, struct err *e)
{
	struct fsd_signature s;

	if (t->table->kind == PT_NONE)
		return 0;
	if (fsd_signature_read(src, &s, e) < 0)
		return -1;
	return s.type[0] || s.is_ambivalent ? look_at_volume(src, 0, src->size, t, e) : 0;
}

static int look(struct blk_source *src, struct target_layout *ret, struct err *e)
{
	struct pt_region *regions = NULL;
	size_t nr = 0;
	struct err table_error = ERR_INIT;
	if (pt_read(src, 0, &ret->table, &table_error) < 0) {
		if (table_error.code != ERR_CORRUPT && table_error.code != ERR_UNSUPPORTED) {
			*e = table_error;
			return -1;
		}
		ret->table = NULL; /* a table nobody can read boots nothing; the whole disk is looked at instead */
		return look_at_volume(src, 0, src->size, ret, e);
	}
	int r = pt_regions(ret->table, src->size, false, &regions, &nr, e);
	for (size_t i = 0; r == 0 && i < nr; i++)
		if (regions[i].kind != PT_REGION_GAP)
			r = look_at_volume(src, regions[i].start, regions[i].len, ret, e);
	pt_regions_free(regions, nr);
	return r == 0 ? look_around_table(src, ret, e) : -1;
}

/* A driver may take a read that was stopped for one that failed and go on without it: such a layout must not be used. */
int target_look(struct blk_sink *sink, const struct progress *p, struct target_layout *ret, struct err *e)
{
	AUTO(blk_source) struct blk_source *all = blk_sink_source(sink, e);
	AUTO(blk_source) struct blk_source *src = all ? blk_stoppable(all, p, e) : NULL;

	*ret = (struct target_layout){ 0 };
	return !src || look(src, ret, e) < 0 ? -1 : progress_check(p, e);
}

void target_layout_release(struct target_layout *t)
{
	pt_free(t->table);
	free(t->arm);
	*t = (struct target_layout){ 0 };
}

/* Is this sector part of the target's own partition table? */
static bool is_table(const struct target_layout *t, uint64_t start, uint64_t len)
{
	for (size_t i = 0; t->table && t->table->kind != PT_NONE && i < t->table->nr_structures; i++) {
		const struct range *s = &t->table->structures[i];
		if (s->start < start + len && start < s->start + s->len)
			return true;
	}
	return false;
}

enum pass_kind { PASS_SAVE, PASS_SEE, PASS_CLEAR };

struct pass {
	const struct disarm *d;
	enum pass_kind kind;
	uint64_t from, to; /* only within this part of the target */
	unsigned nr_witnesses;
};

static bool is_zero(const uint8_t *p, size_t len)
{
	return len == 0 || (p[0] == 0 && !memcmp(p, p + 1, len - 1));
}

/* One sector: saved in the first pass if it is not zero, noted in the second if it is, cleared in the third; never what is part of the table. */
static int disarm_sector(const struct pass *pass, uint64_t at, uint32_t len, struct err *e)
{
	struct blk_sink *sink = pass->d->sink;
	uint8_t buf[4096], zeros[4096] = { 0 };

	if (is_table(pass->d->t, at, len))
		return 0;
	if (progress_check(pass->d->p, e) < 0)
		return -1;
	if (pass->kind == PASS_CLEAR)
		return blk_write(sink, at, zeros, len, e);
	if (blk_read_back(sink, at, buf, len, e) < 0)
		return -1;
	if (pass->kind == PASS_SEE)
		return state_see(pass->d->state, at, buf, len, e);
	return is_zero(buf, len) ? 0 : state_save(pass->d->state, at, buf, len, e);
}

/*
 * When a superblock is cleared, hardly anything tells one disk from another that is blank: what stands behind it is noted, as far as it is
 * neither zero nor cleared itself.
 */
static int see_witness(const struct pass *pass, uint64_t from, struct err *e)
{
	uint64_t end = min_u64(from + min_u64(WITNESS_WITHIN, UINT64_MAX - from), pass->to);
	AUTO_FREE uint8_t *buf = malloc(WITNESS_STEP);

	if (!buf)
		return err_nomem(e, "a read buffer");
	for (uint64_t at = from; at < end; at += WITNESS_STEP) {
		size_t len = (size_t)min_u64(WITNESS_STEP, end - at);
		if (blk_read_back(pass->d->sink, at, buf, len, e) < 0)
			return -1;
		for (size_t i = 0; i + 512 <= len; i += 512)
			if (!is_zero(buf + i, 512) && !state_knows(pass->d->state, at + i, 512))
				return state_see(pass->d->state, at + i, buf + i, 512, e);
	}
	return 0;
}

static int disarm_range(struct pass *pass, uint64_t start, uint64_t len, struct err *e)
{
	uint32_t sector = pass->d->sink->sector_size <= 4096 ? pass->d->sink->sector_size : 4096;
	uint64_t end = min_u64(round_up_u64(start + len, sector), pass->to);

	for (uint64_t at = max_u64(round_down_u64(start, sector), pass->from); at < end; at += sector)
		if (disarm_sector(pass, at, (uint32_t)min_u64(sector, end - at), e) < 0)
			return -1;
	if (pass->kind != PASS_SEE || start >= end || pass->nr_witnesses == MAX_WITNESSES || !state_saved_now(pass->d->state, start, end - start))
		return 0;
	pass->nr_witnesses++;
	return see_witness(pass, end, e);
}

/* The target's own table: it stays until it is replaced, but for boot code in its first sector. */
static int see_table(const struct pass *pass, struct err *e)
{
	uint8_t buf[512];

	for (size_t i = 0; pass->d->t->table && pass->d->t->table->kind != PT_NONE && i < pass->d->t->table->nr_structures; i++) {
		const struct range *s = &pass->d->t->table->structures[i];
		uint64_t end = min_u64(s->start + min_u64(s->len, MAX_TABLE), pass->to);
		for (uint64_t at = max_u64(s->start, pass->from); at < end; at += 512) {
			size_t len = (size_t)min_u64(512, end - at), skip = at == 0 && len == 512 ? BOOT_CODE : 0;
			if (blk_read_back(pass->d->sink, at, buf, len, e) < 0 || state_see(pass->d->state, at + skip, buf + skip, len - skip, e) < 0)
				return -1;
		}
	}
	return 0;
}

/* The boot code of the target's own MBR. */
static int disarm_boot_code(const struct pass *pass, struct err *e)
{
	const struct pt_table *table = pass->d->t->table;
	struct blk_sink *sink = pass->d->sink;
	uint8_t sector[4096], stub[4096];
	uint32_t len = sink->sector_size <= 4096 ? sink->sector_size : 4096;

	if (!table || table->kind == PT_NONE || pass->from > 0 || sink->size < len)
		return 0;
	if (progress_check(pass->d->p, e) < 0 || blk_read_back(sink, 0, sector, len, e) < 0)
		return -1;
	memcpy(stub, sector, len);
	holds_stub(stub);
	if (!memcmp(stub, sector, len)) /* an earlier attempt was here */
		return 0;
	if (pass->kind == PASS_SEE)
		return 0;
	return pass->kind == PASS_CLEAR ? blk_write(sink, 0, stub, len, e) : state_save(pass->d->state, 0, sector, len, e);
}

/* With a single region, only what belongs to it: its own volume, and the part in it of volumes that lie on several. */
static bool is_wanted(const struct expected *x, const struct img_volume *v, const struct img_range *r, uint32_t disk)
{
	if (r->disk != disk || x->only_region == SIZE_MAX || v->region != IMG_NO_INDEX)
		return r->disk == disk && (x->only_region == SIZE_MAX || v->region == x->only_region);
	const struct img_region *reg = &x->m->regions[x->only_region];
	return r->start >= reg->start && range_inside(r->start - reg->start, r->len, reg->len);
}

static int run_pass(struct pass *pass, struct err *e)
{
	const struct disarm *d = pass->d;
	const struct img_manifest *m = d->x->m;
	uint64_t shift = d->x->disks[d->disk].shift;

	for (uint32_t i = 0; i < d->t->nr_arm; i++)
		if (disarm_range(pass, d->t->arm[i].start, d->t->arm[i].len, e) < 0)
			return -1;
	for (size_t i = 0; i < m->nr_volumes; i++) {
		const struct img_volume *v = &m->volumes[i];
		for (uint32_t k = 0; k < v->nr_arm; k++) {
			if (is_wanted(d->x, v, &v->arm[k], d->disk) && disarm_range(pass, v->arm[k].start - shift, v->arm[k].len, e) < 0)
				return -1;
		}
	}
	return disarm_boot_code(pass, e);
}

static struct pass begin(const struct disarm *d, enum pass_kind kind)
{
	struct pass pass = { .d = d, .kind = kind, .to = d->sink->size };

	if (d->x->only_region != SIZE_MAX) {
		const struct img_region *r = &d->x->m->regions[d->x->only_region];
		pass.from = r->start - d->x->disks[d->disk].shift;
		pass.to = min_u64(pass.from + r->len, d->sink->size);
	}
	return pass;
}

/* Undo tells of the parts as they were, though the table may be half replaced by then. */
static int keep_parts(const struct disarm *d, struct err *e)
{
	struct pt_region *regions = NULL;
	size_t nr_known, nr = 0;

	state_parts(d->state, &nr_known);
	if (nr_known || !d->t->table)
		return 0;
	int r = pt_regions(d->t->table, d->sink->size, false, &regions, &nr, e);
	for (size_t i = 0; r == 0 && i < nr; i++)
		r = state_add_part(d->state, regions[i].start, regions[i].len,
			regions[i].kind == PT_REGION_PARTITION ? d->t->table->entries[regions[i].entry].number : 0, e);
	pt_regions_free(regions, nr);
	return r;
}

int target_save(const struct disarm *d, struct err *e)
{
	struct pass pass = begin(d, PASS_SAVE);

	if (run_pass(&pass, e) == 0) {
		pass = begin(d, PASS_SEE);
		if (run_pass(&pass, e) == 0 && see_table(&pass, e) == 0 && keep_parts(d, e) == 0)
			return 0;
	}
	return err_wrap(e, "saving what makes '%s' bootable", d->sink->name);
}

int target_clear(const struct disarm *d, struct err *e)
{
	struct pass pass = begin(d, PASS_CLEAR);

	if (run_pass(&pass, e) < 0 || blk_flush(d->sink, e) < 0)
		return err_wrap(e, "disarming '%s'", d->sink->name);
	return 0;
}
