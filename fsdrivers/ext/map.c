/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The map of used and zero blocks.
 *
 * Used: what the block bitmaps say, and always the superblock and descriptor copies, the bitmaps and the inode
 * tables, whatever the bitmaps say. A group flagged BLOCK_UNINIT has no bitmap on disk (garbage stands there): all
 * that it holds is metadata of its own or, with flex_bg, of other groups, and that is emitted anyway.
 *
 * Zero: the journal's body and the never used tails of inode tables. Since used wins over zero, both are cut out of
 * what the bitmaps call used.
 *
 * Bitmaps that are wrong in a consistent way are found by what uses the blocks: files.c.
 *
 * In any state but clean the maps are not to be believed (they may be stale, or change under us, or be wrong), so
 * the whole file system counts as used.
 */
#include "fsdrivers/ext/ext.h"

#include "base/span.h"

#include <string.h>

#define READ_SIZE (1U << 20)

/* Bitmaps of one kind; flex_bg places those of neighbouring groups side by side, so they are read together. */
struct bitmap_reader {
	struct ext_volume *v;
	uint64_t (*place)(const struct ext_group *g);
	uint8_t *buf;
	uint64_t start; /* block that buf begins with */
	uint32_t nr;    /* blocks in buf */
};

static uint64_t block_bitmap_place(const struct ext_group *g)
{
	return g->block_bitmap;
}

static uint64_t inode_bitmap_place(const struct ext_group *g)
{
	return g->inode_bitmap;
}

static const uint8_t *bitmap_read(struct bitmap_reader *r, uint32_t group, struct err *e)
{
	const struct ext_super *sb = &r->v->sb;
	const struct ext_group *g = r->v->groups + group;
	uint64_t block = r->place(g);

	if (block < r->start || block - r->start >= r->nr) {
		uint32_t nr = 1, max = (uint32_t)min_u64(READ_SIZE / sb->block_size, sb->nr_groups - group);
		while (nr < max && r->place(g + nr) == block + nr)
			nr++;
		r->nr = 0;
		if (ext_read_blocks(r->v, block, nr, r->buf, e) < 0)
			return NULL;
		r->start = block;
		r->nr = nr;
	}
	return r->buf + (block - r->start) * sb->block_size;
}

static bool bitmap_csum_good(const struct ext_volume *v, const uint8_t *map, uint32_t nr_bits, uint32_t want)
{
	uint32_t crc = ext_crc32c(&v->crc, v->sb.csum_seed, map, nr_bits / 8);

	return want == (v->sb.desc_size >= 64 ? crc : crc & 0xFFFF);
}

struct mapper {
	struct ext_volume *v;
	fsd_extent_fn emit;
	void *arg;
	struct ext_runs zero;   /* sorted, not overlapping */
	size_t zero_pos;        /* zero runs before this one end before the used run under work */
	struct ext_run pending; /* used run that the next one may continue */
	struct ext_marks marks; /* what the bitmaps say, for ext_check_files() */
};

static int emit_blocks(struct mapper *m, uint64_t start, uint64_t end, enum ext_state state, struct err *e)
{
	uint64_t size = m->v->sb.block_size;

	return start < end ? m->emit(m->arg, 0, start * size, (end - start) * size, state, e) : 0;
}

/* Emit the pending run without what is zero. Runs come in ascending order, so each zero run is passed once. */
static int flush_pending(struct mapper *m, struct err *e)
{
	const struct ext_run *z = m->zero.v;
	uint64_t pos = m->pending.start, end = pos + m->pending.nr_blocks;

	m->pending.nr_blocks = 0;
	while (m->zero_pos < m->zero.nr && z[m->zero_pos].start + z[m->zero_pos].nr_blocks <= pos)
		m->zero_pos++;
	for (size_t i = m->zero_pos; i < m->zero.nr && z[i].start < end; i++) {
		if (emit_blocks(m, pos, z[i].start, EXT_USED, e) < 0)
			return -1;
		pos = max_u64(pos, z[i].start + z[i].nr_blocks);
	}
	return emit_blocks(m, pos, end, EXT_USED, e);
}

static int add_used(struct mapper *m, uint64_t start, uint64_t nr, struct err *e)
{
	if (m->pending.nr_blocks && m->pending.start + m->pending.nr_blocks == start) {
		m->pending.nr_blocks += nr;
		return 0;
	}
	if (m->pending.nr_blocks && flush_pending(m, e) < 0)
		return -1;
	m->pending = (struct ext_run){ .start = start, .nr_blocks = nr };
	return 0;
}

static int map_bitmap(struct mapper *m, uint32_t group, const uint8_t *map, struct err *e)
{
	const struct ext_super *sb = &m->v->sb;
	uint64_t start = ext_group_start(sb, group);
	uint32_t nr_blocks = ext_group_blocks(sb, group);
	uint32_t nr = (uint32_t)ceil_div_u64(nr_blocks, sb->cluster_blocks);

	uint32_t nr_free = nr;
	for (uint32_t bit = ext_next_bit(map, nr, 0, true); bit < nr;) {
		uint32_t end = ext_next_bit(map, nr, bit, false);
		uint64_t first = (uint64_t)bit * sb->cluster_blocks;
		/* the last cluster may be cut by the end of the file system */
		uint64_t last = min_u64((uint64_t)end * sb->cluster_blocks, nr_blocks);
		if (add_used(m, start + first, last - first, e) < 0)
			return -1;
		nr_free -= end - bit;
		bit = ext_next_bit(map, nr, end, true);
	}
	/* Of a bitmap without a checksum this tells that bits were lost; where the count lost them too, files.c does. */
	if (nr_free != m->v->groups[group].nr_free)
		return err_set(e, ERR_CORRUPT, 0, "block bitmap of ext group %u has %u free clusters, its descriptor counts %u", group, nr_free,
			m->v->groups[group].nr_free);
	return 0;
}

static int map_bitmaps(struct mapper *m, uint8_t *buf, struct err *e)
{
	struct ext_volume *v = m->v;
	struct bitmap_reader r = { .v = v, .place = block_bitmap_place, .buf = buf };

	for (uint32_t i = 0; i < v->sb.nr_groups; i++) {
		if (v->groups[i].flags & EXT_BG_BLOCK_UNINIT)
			continue;
		const uint8_t *map = bitmap_read(&r, i, e);
		if (!map)
			return err_wrap(e, "reading the block bitmap of ext group %u", i);
		if (ext_has_metadata_csum(&v->sb) &&
			!bitmap_csum_good(v, map, v->sb.clusters_per_group, v->groups[i].block_bitmap_csum))
			return err_set(e, ERR_CORRUPT, 0, "block bitmap of ext group %u has a wrong checksum", i);
		if (map_bitmap(m, i, map, e) < 0 || ext_marks_load(&m->marks, i, map, e) < 0)
			return -1;
	}
	return m->pending.nr_blocks ? flush_pending(m, e) : 0;
}

/*
 * The descriptors say where the never used tail of each inode table begins; the inode bitmaps must agree. Where one
 * does not, the group's table is kept whole: a kernel reads such an inode without asking the descriptor.
 */
static int find_zero_tails(struct mapper *m, uint8_t *buf, struct err *e)
{
	struct ext_volume *v = m->v;
	const struct ext_super *sb = &v->sb;
	struct bitmap_reader r = { .v = v, .place = inode_bitmap_place, .buf = buf };

	for (uint32_t i = 0; i < sb->nr_groups; i++) {
		struct ext_group *g = &v->groups[i];
		if (g->itable_used < sb->itable_blocks && !(g->flags & EXT_BG_INODE_UNINIT)) {
			const uint8_t *map = bitmap_read(&r, i, e);
			if (!map)
				return err_wrap(e, "reading the inode bitmap of ext group %u", i);
			bool good = !ext_has_metadata_csum(sb) ||
				bitmap_csum_good(v, map, sb->inodes_per_group, g->inode_bitmap_csum);
			uint32_t first = g->itable_used * sb->inodes_per_block;
			if (!good || ext_next_bit(map, sb->inodes_per_group, first, true) < sb->inodes_per_group)
				g->itable_used = sb->itable_blocks;
		}
		uint32_t nr = sb->itable_blocks - g->itable_used;
		if (nr && ext_runs_add(&m->zero, g->inode_table + g->itable_used, nr, SIZE_MAX, e) < 0)
			return -1;
	}
	return 0;
}

/* All zero runs into one sorted list. */
static int collect_zero(struct mapper *m, uint8_t *buf, struct err *e)
{
	const struct ext_runs *journal = &m->v->journal.body;

	if (find_zero_tails(m, buf, e) < 0)
		return -1;
	for (size_t i = 0; i < journal->nr; i++)
		if (ext_runs_add(&m->zero, journal->v[i].start, journal->v[i].nr_blocks, SIZE_MAX, e) < 0)
			return -1;
	if (!ext_runs_sort(&m->zero))
		return err_set(e, ERR_CORRUPT, 0, "ext journal and inode tables overlap");
	return 0;
}

static int emit_zero(struct mapper *m, struct err *e)
{
	for (size_t i = 0; i < m->zero.nr; i++) {
		const struct ext_run *z = &m->zero.v[i];
		if (emit_blocks(m, z->start, z->start + z->nr_blocks, EXT_ZERO, e) < 0)
			return -1;
	}
	return 0;
}

/* Merge neighbours of one kind before they are emitted: with flex_bg they stand side by side. */
static int emit_merged(struct mapper *m, struct ext_run *last, uint64_t start, uint64_t nr, struct err *e)
{
	if (last->start + last->nr_blocks == start) {
		last->nr_blocks += nr;
		return 0;
	}
	struct ext_run done = *last;
	*last = (struct ext_run){ .start = start, .nr_blocks = nr };
	return emit_blocks(m, done.start, done.start + done.nr_blocks, EXT_USED, e);
}

static int emit_metadata(struct mapper *m, struct err *e)
{
	const struct ext_super *sb = &m->v->sb;
	struct ext_run heads = { .nr_blocks = sb->first_data_block }; /* the boot block before group 0 */
	struct ext_run blocks = { 0 }, inodes = { 0 }, tables = { 0 };

	for (uint32_t i = 0; i < sb->nr_groups; i++) {
		const struct ext_group *g = &m->v->groups[i];
		uint32_t head = ext_head_blocks(sb, i, true);
		if ((head && emit_merged(m, &heads, ext_group_start(sb, i), head, e) < 0) ||
			emit_merged(m, &blocks, g->block_bitmap, 1, e) < 0 ||
			emit_merged(m, &inodes, g->inode_bitmap, 1, e) < 0 ||
			(g->itable_used && emit_merged(m, &tables, g->inode_table, g->itable_used, e) < 0))
			return -1;
	}
	const struct ext_run *rest[] = { &heads, &blocks, &inodes, &tables };
	for (size_t i = 0; i < 4; i++)
		if (emit_blocks(m, rest[i]->start, rest[i]->start + rest[i]->nr_blocks, EXT_USED, e) < 0)
			return -1;
	return 0;
}

int ext_map(struct fsd_volume *fv, fsd_extent_fn emit, void *arg, struct err *e)
{
	struct ext_volume *v = (struct ext_volume *)fv;
	struct mapper m = { .v = v, .emit = emit, .arg = arg };

	if (fv->info.state != FSD_CLEAN)
		return emit_blocks(&m, 0, v->sb.nr_blocks, EXT_USED, e);
	AUTO_FREE uint8_t *buf = aligned_alloc(4096, READ_SIZE);
	if (!buf)
		return err_nomem(e, "ext bitmaps");
	int r = ext_marks_init(&m.marks, &v->sb, e);
	if (r == 0)
		r = collect_zero(&m, buf, e);
	if (r == 0)
		r = emit_zero(&m, e);
	if (r == 0)
		r = emit_metadata(&m, e);
	if (r == 0)
		r = map_bitmaps(&m, buf, e);
	if (r == 0)
		r = ext_check_files(v, &m.marks, buf, e);
	ext_marks_free(&m.marks);
	ext_runs_free(&m.zero);
	return r;
}
