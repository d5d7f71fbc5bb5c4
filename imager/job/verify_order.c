/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Were the right disks named in the wrong order? See verify.h. A disk is known by its GPT, or by the first content that the image has of it. */
#include "imager/job/verify.h"

#include "base/arith.h"
#include "base/blk.h"
#include "imager/disk/table.h"
#include "imager/image/reader.h"

#include <stdio.h>
#include <string.h>

struct ordering {
	struct img_reader *reader;
	const struct img_manifest *m;
	struct blk_source *const *named; /* as they were named */
	uint8_t want[CHUNK_SIZE], got[CHUNK_SIZE];
};

/* Does a disk hold the first chunk that the image has of disk d? Unused bytes may be anything. */
static bool holds_first(struct ordering *o, size_t d, struct blk_source *disk)
{
	struct err ignored = ERR_INIT;
	struct cmap_chunk c;

	for (size_t i = 0; i < o->m->nr_regions; i++) {
		const struct img_region *r = &o->m->regions[i];
		uint64_t k = cmap_next_present(r->map, 0);
		if (r->disk != d || k == cmap_nr_chunks(r->map))
			continue;
		cmap_get(r->map, k, &c);
		if (img_reader_chunk(o->reader, i, k, o->want, &ignored) < 0 || blk_read(disk, r->start + k * CHUNK_SIZE, o->got, c.len, &ignored) < 0)
			return false;
		cmap_mask(r->map, &c, o->want, true);
		cmap_mask(r->map, &c, o->got, true);
		return !memcmp(o->want, o->got, c.len);
	}
	return true;
}

static bool is_disk(struct ordering *o, size_t d, struct blk_source *disk)
{
	const struct img_disk *is = &o->m->disks[d];
	AUTO(pt_table) struct pt_table *t = NULL;
	struct err ignored = ERR_INIT;

	if (disk->size < is->size)
		return false;
	if (is->table != PT_GPT)
		return holds_first(o, d, disk);
	return pt_read(disk, is->sector_size, &t, &ignored) == 0 && t->kind == PT_GPT && !memcmp(t->disk_guid, is->guid, sizeof(is->guid));
}

/* Each disk of the image finds one among those named, its own place first. False when one finds none. */
static bool find_order(struct ordering *o, size_t ret[IMG_MAX_DISKS])
{
	bool is_taken[IMG_MAX_DISKS] = { false };

	for (size_t d = 0; d < o->m->nr_disks; d++) {
		size_t k = d;
		for (size_t n = 0; n < o->m->nr_disks && (is_taken[k] || !is_disk(o, d, o->named[k])); n++)
			k = n;
		if (is_taken[k] || !is_disk(o, d, o->named[k]))
			return false;
		ret[d] = k;
		is_taken[k] = true;
	}
	return true;
}

int verify_order(struct img_reader *reader, struct blk_source *const *named, uint64_t *ret_wrong, struct err *e)
{
	const struct img_manifest *m = img_reader_manifest(reader);
	AUTO_FREE struct ordering *o = alloc_array(1, sizeof(*o));
	size_t order[IMG_MAX_DISKS], moved = 0, used = 0;
	char words[300] = "";
	uint64_t wrong = 0;

	if (!o)
		return err_nomem(e, "two chunks");
	o->reader = reader;
	o->m = m;
	o->named = named;
	if (m->nr_disks < 2 || !find_order(o, order))
		return 0;
	for (size_t d = 0; d < m->nr_disks; d++) {
		moved += order[d] != d;
		wrong |= (uint64_t)(order[d] != d) << d;
		if (used < sizeof(words))
			used += (size_t)snprintf(words + used, sizeof(words) - used, " --against %s", blk_name(named[order[d]]));
	}
	if (!moved)
		return 0;
	*ret_wrong = wrong;
	err_set(e, ERR_CORRUPT, 0, "the disks are those of the image, but named in another order");
	if (used < sizeof(words))
		err_hint(e, "in the image's order they are%s", words);
	else
		err_hint(e, "name them in the order of 'calco info'");
	return err_reason(e, "order");
}
