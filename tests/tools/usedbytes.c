/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Writes the used bytes of a disk, and nothing else, to standard output: what a compressor alone would be given. "make bench"
 * measures its limit on this stream. With --zero the bytes of state zero come too, in their place: what the file system calls used.
 */
#include "base/arith.h"
#include "base/blk.h"
#include "imager/image/manifest.h"
#include "imager/job/plan.h"

#include <stdio.h>
#include <string.h>

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

static int write_region(struct blk_source *src, const struct img_region *r, bool zero_too, struct err *e)
{
	for (uint64_t i = cmap_next_present(r->map, 0); i < cmap_nr_chunks(r->map); i = cmap_next_present(r->map, i + 1)) {
		struct cmap_chunk c;
		cmap_get(r->map, i, &c);
		for (uint32_t off = 0; off < c.len;) {
			enum ext_state state;
			uint32_t n = cmap_state_run(r->map, &c, off, &state);
			bool wanted = state == EXT_USED || (state == EXT_ZERO && zero_too);
			if (wanted && write_extent(src, r->start + i * CHUNK_SIZE + off, n, e) < 0)
				return -1;
			off += n;
		}
	}
	return 0;
}

static int run(const char *path, bool zero_too, struct err *e)
{
	struct plan_options o = { 0 };
	AUTO(blk_source) struct blk_source *src = blk_open(path, 0, false, e);
	AUTO(img_manifest) struct img_manifest *m = img_manifest_new(e);

	if (!src || !m || plan_disk(m, src, &o, NULL, e) < 0 || plan_volumes(m, &src, &o, NULL, e) < 0)
		return -1;
	for (size_t i = 0; i < m->nr_regions; i++)
		if (write_region(src, &m->regions[i], zero_too, e) < 0)
			return -1;
	return fflush(stdout) ? err_set(e, ERR_FAILED, 0, "writing to standard output") : 0;
}

int main(int argc, char **argv)
{
	struct err e = ERR_INIT;
	bool zero_too = argc == 3 && !strcmp(argv[1], "--zero");

	if (argc != 2 && !zero_too) {
		fprintf(stderr, "usage: usedbytes [--zero] DISK\n");
		return 2;
	}
	if (run(argv[argc - 1], zero_too, &e) < 0) {
		fprintf(stderr, "usedbytes: %s\n", e.msg);
		return 1;
	}
	return 0;
}
