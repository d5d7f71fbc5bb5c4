/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Plans the capture of a disk and makes the head of its image, in memory: how large is it, how long does it take, does it come
 * back equal? One line "name=value" for each answer.
 */
#include "base/blk.h"
#include "imager/image/manifest.h"
#include "imager/job/cores.h"
#include "imager/job/plan.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zstd.h>

static int compressed_size(const uint8_t *p, size_t len, size_t *ret, struct err *e)
{
	size_t bound = ZSTD_compressBound(len);
	AUTO_FREE uint8_t *packed = malloc(bound);

	if (!packed)
		return err_nomem(e, "the compressed head");
	*ret = ZSTD_compress(packed, bound, p, len, 3);
	return ZSTD_isError(*ret) ? err_set(e, ERR_FAILED, 0, "compressing: %s", ZSTD_getErrorName(*ret)) : 0;
}

static int compare_maps(const struct img_manifest *a, const struct img_manifest *b, struct err *e)
{
	bool equal = a->nr_regions == b->nr_regions && a->nr_present == b->nr_present;

	for (size_t i = 0; equal && i < a->nr_regions; i++)
		equal = cmap_equal(a->regions[i].map, b->regions[i].map);
	return equal ? 0 : err_set(e, ERR_CORRUPT, 0, "the head that was read is not the one that was written");
}

static int report(const struct img_manifest *m, double plan_seconds, struct err *e)
{
	AUTO_FREE uint8_t *core = NULL;
	AUTO(img_manifest) struct img_manifest *again = NULL;
	size_t len, packed = 0;
	uint64_t used = 0;
	double start = seconds_now();

	if (img_core_encode(m, &core, &len, e) < 0)
		return -1;
	double encode = seconds_now() - start;
	if (compressed_size(core, len, &packed, e) < 0)
		return -1;
	start = seconds_now();
	if (img_core_decode(core, len, NULL, &again, e) < 0 || compare_maps(m, again, e) < 0)
		return -1;
	for (size_t i = 0; i < m->nr_regions; i++)
		used += cmap_bytes(m->regions[i].map, EXT_USED);
	printf("chunks=%llu\nused_bytes=%llu\ncore_bytes=%zu\npacked_bytes=%zu\n", (unsigned long long)m->nr_present,
		(unsigned long long)used, len, packed);
	printf("plan_seconds=%.3f\nencode_seconds=%.3f\ndecode_seconds=%.3f\n", plan_seconds, encode, seconds_now() - start);
	return 0;
}

static int run(const char *path, struct err *e)
{
	struct plan_options o = { 0 };
	double start = seconds_now();
	AUTO(blk_source) struct blk_source *src = blk_open(path, 0, false, e);
	AUTO(img_manifest) struct img_manifest *m = img_manifest_new(e);

	if (!src || !m || plan_disk(m, src, &o, NULL, e) < 0 || plan_volumes(m, &src, &o, NULL, e) < 0)
		return -1;
	img_manifest_number(m);
	snprintf(m->name, sizeof(m->name), "head");
	m->version = 1;
	m->lineage[0] = 1;
	return report(m, seconds_now() - start, e);
}

int main(int argc, char **argv)
{
	struct err e = ERR_INIT;

	if (argc != 2) {
		fprintf(stderr, "usage: headsize DISK\n");
		return 2;
	}
	if (run(argv[1], &e) < 0) {
		fprintf(stderr, "headsize: %s\n", e.msg);
		return 1;
	}
	return 0;
}
