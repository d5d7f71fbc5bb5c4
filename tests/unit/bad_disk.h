/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Disks in memory with sectors that cannot be read, and the states of their bytes as a manifest has them. */
#ifndef CALCO_TESTS_UNIT_BAD_DISK_H
#define CALCO_TESTS_UNIT_BAD_DISK_H

#include "tests/unit/exact_util.h"

/* A disk in memory whose reads fail where and when they are told to. Capture reads from one thread at a time. */
struct bad_disk {
	struct blk_source base;
	uint8_t *data;
	uint64_t nr_sectors;
	bool *is_bad, *was_read; /* of each sector; was_read only while note_reads */
	bool note_reads;
	long fail_at, count;     /* the how manieth read fails, from 1; 0: none */
	bool failed;
};

static inline int bad_read(struct blk_source *s, uint64_t off, void *buf, size_t len, struct err *e)
{
	struct bad_disk *d = (struct bad_disk *)s;
	uint64_t sector = s->sector_size;

	if (++d->count == d->fail_at) {
		d->failed = true;
		return err_set(e, ERR_FAILED, EIO, "reading '%s' once", s->name);
	}
	for (uint64_t i = off / sector; i <= (off + len - 1) / sector; i++) {
		if (d->is_bad[i])
			return err_set(e, ERR_FAILED, EIO, "reading '%s'", s->name);
		d->was_read[i] |= d->note_reads;
	}
	memcpy(buf, d->data + off, len);
	return 0;
}

static inline void bad_close(struct blk_source *s)
{
	(void)s;
}

static inline struct bad_disk bad_disk(uint8_t *data, uint64_t size, uint32_t sector)
{
	static const struct blk_source_ops ops = { .read = bad_read, .close = bad_close };
	struct bad_disk d = { .data = data, .nr_sectors = (size + sector - 1) / sector };

	d.base = (struct blk_source){ .ops = &ops, .size = size, .sector_size = sector, .phys_sector_size = sector };
	strcpy(d.base.name, "bad disk");
	d.is_bad = calloc(d.nr_sectors, sizeof(bool));
	d.was_read = calloc(d.nr_sectors, sizeof(bool));
	return d;
}

static inline void free_disk(struct bad_disk *d)
{
	free(d->data);
	free(d->is_bad);
	free(d->was_read);
}

/* The states of every byte, of one disk, from a finished manifest. */
static inline uint8_t *states_of_disk(const struct img_manifest *m, uint32_t disk)
{
	uint8_t *state = calloc(1, m->disks[disk].size);

	for (size_t i = 0; i < m->nr_regions; i++) {
		const struct img_region *r = &m->regions[i];
		for (uint64_t k = 0; r->disk == disk && k < cmap_nr_chunks(r->map); k++) {
			struct cmap_chunk c;
			enum ext_state st;
			cmap_get(r->map, k, &c);
			for (uint32_t off = 0, n; off < c.len; off += n) {
				n = cmap_state_run(r->map, &c, off, &st);
				memset(state + r->start + k * CHUNK_SIZE + off, (int)st, n);
			}
		}
	}
	return state;
}

#endif
