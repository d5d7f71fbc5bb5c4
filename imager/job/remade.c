/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Volumes that are made anew; see remade.h. What a driver would say of the new volume becomes its map, as if it had been captured. */
#include "imager/job/remade.h"

#include "base/arith.h"
#include "base/size.h"
#include "fsdrivers/fat/remake.h"
#include "fsdrivers/fsdriver.h"

#include <pthread.h>
#include <stdio.h>
#include <string.h>

#define CACHED 64U /* chunks of the image, 16 MiB */

/* A region of an image as a source: what is not used reads as zero. */
struct region_source {
	struct blk_source base;
	struct img_reader *reader;
	const struct img_region *region;
	size_t index;
	pthread_mutex_t lock;
	uint8_t *data;           /* CACHED chunks */
	uint64_t holds[CACHED];  /* which one; UINT64_MAX: none */
	uint64_t used_at[CACHED], clock;
};

/* A volume that is made anew. */
struct remade_volume {
	size_t region;
	struct blk_source *from, *to;
	struct chunk_map *map;   /* owned; the manifest borrows it */
	bool owns_arms;          /* of its volume in the manifest */
};

struct expected_remade {
	struct img_manifest m;   /* a copy of the image's, of which it owns the arrays disks, regions, volumes and tables */
	struct remade_volume *volumes;
	size_t nr;
};

static int load_chunk(struct region_source *s, uint64_t i, const uint8_t **ret, struct err *e)
{
	size_t oldest = 0;

	for (size_t k = 0; k < CACHED; k++) {
		if (s->holds[k] == i) {
			s->used_at[k] = ++s->clock;
			*ret = s->data + k * CHUNK_SIZE;
			return 0;
		}
		if (s->used_at[k] < s->used_at[oldest])
			oldest = k;
	}
	uint8_t *place = s->data + oldest * CHUNK_SIZE;
	s->holds[oldest] = UINT64_MAX;
	if (cmap_next_present(s->region->map, i) != i)
		memset(place, 0, CHUNK_SIZE);
	else if (img_reader_chunk(s->reader, s->index, i, place, e) < 0)
		return -1;
	s->holds[oldest] = i;
	s->used_at[oldest] = ++s->clock;
	*ret = place;
	return 0;
}

static int region_read(struct blk_source *base, uint64_t off, void *buf, size_t len, struct err *e)
{
	struct region_source *s = (struct region_source *)base;
	uint8_t *out = buf;
	int r = 0;

	pthread_mutex_lock(&s->lock);
	while (len && r == 0) {
		uint32_t into = (uint32_t)(off % CHUNK_SIZE);
		size_t n = (size_t)min_u64(len, CHUNK_SIZE - into);
		const uint8_t *chunk;
		r = load_chunk(s, off / CHUNK_SIZE, &chunk, e);
		if (r == 0)
			memcpy(out, chunk + into, n);
		off += n;
		out += n;
		len -= n;
	}
	pthread_mutex_unlock(&s->lock);
	return r;
}

static void region_close(struct blk_source *base)
{
	struct region_source *s = (struct region_source *)base;

	pthread_mutex_destroy(&s->lock);
	free(s->data);
	free(s);
}

static struct blk_source *region_source(struct img_reader *reader, const struct img_manifest *m, size_t index, struct err *e)
{
	static const struct blk_source_ops ops = { .read = region_read, .close = region_close };
	struct region_source *s = alloc_array(1, sizeof(*s));

	if (s && (s->data = malloc((size_t)CACHED * CHUNK_SIZE))) {
		const struct img_region *r = &m->regions[index];
		s->base = (struct blk_source){ .ops = &ops, .size = r->len, .sector_size = m->disks[r->disk].sector_size,
			.phys_sector_size = m->disks[r->disk].sector_size };
		img_describe_region(m, index, s->base.name, sizeof(s->base.name));
		s->reader = reader;
		s->region = r;
		s->index = index;
		memset(s->holds, 0xFF, sizeof(s->holds));
		pthread_mutex_init(&s->lock, NULL);
		return &s->base;
	}
	free(s);
	err_nomem(e, "the content of a volume");
	return NULL;
}

/* The copy: arrays of its own, everything behind them is the image's. */
static int copy_manifest(struct expected *x, struct err *e)
{
	struct expected_remade *r = x->remade;
	const struct img_manifest *m = x->image;

	r->m = *m;
	r->m.disks = alloc_array(m->nr_disks, sizeof(*m->disks));
	r->m.regions = alloc_array(m->nr_regions, sizeof(*m->regions));
	r->m.volumes = alloc_array(m->nr_volumes, sizeof(*m->volumes));
	r->m.tables = alloc_array(m->nr_tables, sizeof(*m->tables));
	if (!r->m.disks || !r->m.regions || !r->m.volumes || !r->m.tables)
		return err_nomem(e, "the plan");
	memcpy(r->m.disks, m->disks, m->nr_disks * sizeof(*m->disks));
	memcpy(r->m.regions, m->regions, m->nr_regions * sizeof(*m->regions));
	if (m->nr_volumes)
		memcpy(r->m.volumes, m->volumes, m->nr_volumes * sizeof(*m->volumes));
	r->m.nr_tables = 0;
	for (size_t i = 0; i < m->nr_tables; i++)
		if (!x->disks[m->tables[i].disk].other_sectors) /* else the patches hold all of it */
			r->m.tables[r->m.nr_tables++] = m->tables[i];
	for (size_t i = 0; i < m->nr_disks; i++)
		r->m.disks[i].sector_size = x->disks[i].sector_size;
	return 0;
}

static int map_extent(void *arg, size_t member, uint64_t start, uint64_t len, enum ext_state state, struct err *e)
{
	(void)member;
	return cmap_add(arg, start, len, state, e);
}

struct arms {
	struct img_volume *v;
	const struct img_region *region;
};

static int add_arm(void *arg, size_t member, uint64_t start, uint64_t len, struct err *e)
{
	struct arms *a = arg;
	struct img_range *grown = reallocarray(a->v->arm, a->v->nr_arm + 1, sizeof(*grown));

	(void)member;
	if (!grown)
		return err_nomem(e, "the plan");
	a->v->arm = grown;
	a->v->arm[a->v->nr_arm++] = (struct img_range){ .disk = a->region->disk, .start = a->region->start + start, .len = len };
	return 0;
}

/* What the manifest says of the region and of its volume, from the driver's view of the new one. */
static int describe(struct expected_remade *r, struct remade_volume *rv, const struct fsd_volume *fs, struct err *e)
{
	const struct fsd_info *info = fsd_get_info(fs);
	struct img_region *reg = &r->m.regions[rv->region];
	struct arms arms = { .region = reg };

	for (size_t i = 0; i < r->m.nr_volumes; i++) {
		struct img_volume *v = &r->m.volumes[i];
		if (v->region == rv->region) {
			v->arm = NULL;
			v->nr_arm = v->nr_skipped = 0;
		}
	}
	rv->owns_arms = true;
	if (!(rv->map = cmap_new(reg->len, (unsigned)__builtin_ctz(info->granule), e)) || fsd_map((struct fsd_volume *)fs, map_extent, rv->map, e) < 0)
		return -1;
	cmap_freeze(rv->map);
	reg->map = rv->map;
	/* Numbers behind those of the image: no id of it stands there. */
	reg->first_present = r->m.nr_present;
	r->m.nr_present += cmap_nr_present(rv->map);
	for (size_t i = 0; i < r->m.nr_volumes; i++) {
		struct img_volume *v = &r->m.volumes[i];
		if (v->region != rv->region)
			continue;
		v->used_bytes = info->used_bytes;
		v->block_size = info->block_size;
		v->sector_size = info->sector_size;
		arms.v = v;
		if (fsd_arm_ranges((struct fsd_volume *)fs, add_arm, &arms, e) < 0)
			return -1;
	}
	return 0;
}

static int make_volume(struct expected *x, struct img_reader *reader, struct remade_volume *rv, struct err *e)
{
	const struct img_region *reg = &x->image->regions[rv->region];
	const struct expected_disk *d = &x->disks[reg->disk];
	AUTO(fsd_volume) struct fsd_volume *fs = NULL;
	char what[200], cluster[32];

	img_describe_region(x->image, rv->region, what, sizeof(what));
	if (!(rv->from = region_source(reader, x->image, rv->region, e)))
		return -1;
	if (!(rv->to = fat_remake(rv->from, d->sector_size, e)))
		return err_wrap(e, "%s must be made anew for sectors of %u bytes", what, d->sector_size);
	struct blk_set set = { .members = &rv->to, .nr = 1 };
	if (fsd_fat.open(&set, &fs, e) < 0 || describe(x->remade, rv, fs, e) < 0)
		return err_wrap(e, "%s, made anew for sectors of %u bytes", what, d->sector_size);
	size_format(fsd_get_info(fs)->block_size, cluster);
	return expected_note(x, reg->disk, rv->region, "fat", e, "%.90s is made anew for sectors of %u bytes: the same files, clusters of %s", what,
		d->sector_size, cluster);
}

static int need_file(const struct expected *x, size_t region, struct err *e)
{
	char what[200];

	img_describe_region(x->image, region, what, sizeof(what));
	err_set(e, ERR_REFUSED, 0, "%s must be made anew for sectors of %u bytes, which needs the image as a file, not from a pipe", what,
		x->disks[x->image->regions[region].disk].sector_size);
	err_hint(e, "store the image first (cat > lab.calco) and restore it from there");
	return err_reason(e, "sector-size");
}

int remade_plan(struct expected *x, struct img_reader *reader, const size_t *regions, size_t nr, struct err *e)
{
	if (nr && (!reader || !img_reader_seekable(reader)))
		return need_file(x, regions[0], e);
	if (!(x->remade = alloc_array(1, sizeof(*x->remade))))
		return err_nomem(e, "the plan");
	if (copy_manifest(x, e) < 0)
		return -1;
	if (!(x->remade->volumes = alloc_array(nr, sizeof(*x->remade->volumes))))
		return err_nomem(e, "the plan");
	for (size_t i = 0; i < nr; i++) {
		struct remade_volume *rv = &x->remade->volumes[x->remade->nr++];
		rv->region = regions[i];
		if (make_volume(x, reader, rv, e) < 0)
			return -1;
	}
	x->m = &x->remade->m;
	return 0;
}

void remade_free(struct expected_remade *r)
{
	if (!r)
		return;
	for (size_t i = 0; i < r->nr; i++) {
		for (size_t k = 0; r->m.volumes && k < r->m.nr_volumes; k++)
			if (r->m.volumes[k].region == r->volumes[i].region && r->volumes[i].owns_arms)
				free(r->m.volumes[k].arm);
		blk_close(r->volumes[i].to);
		blk_close(r->volumes[i].from);
		cmap_free(r->volumes[i].map);
	}
	free(r->volumes);
	free(r->m.disks);
	free(r->m.regions);
	free(r->m.volumes);
	free(r->m.tables);
	free(r);
}

static const struct remade_volume *find(const struct expected *x, size_t region)
{
	for (size_t i = 0; x->remade && i < x->remade->nr; i++)
		if (x->remade->volumes[i].region == region)
			return &x->remade->volumes[i];
	return NULL;
}

bool expected_is_remade(const struct expected *x, size_t region)
{
	return find(x, region) != NULL;
}

int expected_chunk(const struct expected *x, size_t region, uint64_t i, uint8_t *content, struct err *e)
{
	const struct remade_volume *rv = find(x, region);
	struct cmap_chunk c;

	cmap_get(rv->map, i, &c);
	if (blk_read(rv->to, i * CHUNK_SIZE, content, c.len, e) < 0)
		return -1;
	cmap_mask(rv->map, &c, content, false);
	return 0;
}
