/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Writes the used bytes of disks, and nothing else, to standard output: what a compressor alone would be given. "make bench"
 * measures its limit on this stream. With --zero the bytes of state zero come too, in their place: what the file system calls used.
 * With --where not the bytes are written, but a line "DISK START LENGTH used|zero" for each range of them.
 */
#include "base/arith.h"
#include "base/blk.h"
#include "imager/image/manifest.h"
#include "imager/job/plan.h"

#include <stdio.h>
#include <string.h>

#define MAX_DISKS 16

struct wish {
	bool zero_too, where;
};

static int write_extent(struct blk_source *src, uint64_t off, uint64_t len, struct err *e)
{
	static uint8_t buf[CHUNK_SIZE];

	while (len) {
		size_t n = (size_t)min_u64(len, sizeof(buf));
		if (blk_read(src, off, buf, n, e) < 0)
			return -1;
		if (fwrite(buf, 1, n, stdout) != n)
			return err_set(e, ERR_FAILED, 0, "writing to standard output");
		off += n;
		len -= n;
	}
	return 0;
}

static int write_region(struct blk_source *src, const struct img_region *r, const struct wish *wish, struct err *e)
{
	for (uint64_t i = cmap_next_present(r->map, 0); i < cmap_nr_chunks(r->map); i = cmap_next_present(r->map, i + 1)) {
		struct cmap_chunk c;
		cmap_get(r->map, i, &c);
		for (uint32_t off = 0; off < c.len;) {
			enum ext_state state;
			uint32_t n = cmap_state_run(r->map, &c, off, &state);
			uint64_t at = r->start + i * CHUNK_SIZE + off;
			off += n;
			if (state != EXT_USED && (state != EXT_ZERO || !wish->zero_too))
				continue;
			if (wish->where)
				printf("%u %llu %u %s\n", r->disk, (unsigned long long)at, n, state == EXT_USED ? "used" : "zero");
			else if (write_extent(src, at, n, e) < 0)
				return -1;
		}
	}
	return 0;
}

static int write_disks(struct blk_source *const *disks, size_t nr, const struct wish *wish, struct err *e)
{
	struct plan_options o = { 0 };
	AUTO(img_manifest) struct img_manifest *m = img_manifest_new(e);

	if (!m)
		return -1;
	for (size_t i = 0; i < nr; i++)
		if (plan_disk(m, disks[i], &o, NULL, e) < 0)
			return -1;
	if (plan_volumes(m, disks, &o, NULL, e) < 0)
		return -1;
	for (size_t i = 0; i < m->nr_regions; i++)
		if (write_region(disks[m->regions[i].disk], &m->regions[i], wish, e) < 0)
			return -1;
	return fflush(stdout) ? err_set(e, ERR_FAILED, 0, "writing to standard output") : 0;
}

static int run(char **paths, size_t nr, const struct wish *wish, struct err *e)
{
	struct blk_source *disks[MAX_DISKS] = { NULL };
	int status = 0;

	for (size_t i = 0; i < nr && status == 0; i++)
		status = (disks[i] = blk_open(paths[i], 0, false, e)) ? 0 : -1;
	if (status == 0)
		status = write_disks(disks, nr, wish, e);
	for (size_t i = 0; i < nr; i++)
		blk_close(disks[i]);
	return status;
}

int main(int argc, char **argv)
{
	struct err e = ERR_INIT;
	struct wish wish = { false, false };
	int first = 1;

	for (; first < argc && !strncmp(argv[first], "--", 2); first++) {
		wish.zero_too |= !strcmp(argv[first], "--zero");
		wish.where |= !strcmp(argv[first], "--where");
	}
	if (first >= argc || argc - first > MAX_DISKS) {
		fprintf(stderr, "usage: usedbytes [--zero] [--where] DISK...\n");
		return 2;
	}
	if (run(argv + first, (size_t)(argc - first), &wish, &e) < 0) {
		fprintf(stderr, "usedbytes: %s\n", e.msg);
		return 1;
	}
	return 0;
}
