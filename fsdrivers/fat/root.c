/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The label in the root directory: fatgen103, "FAT Directory Structure". It is the one that people change; the boot
 * sector's copy is often left as the formatter wrote it.
 */
#include "fsdrivers/fat/fat.h"

#include "base/arith.h"

#include <string.h>

#define DIR_ENTRY    32U
#define ATTR_MASK    0x3f
#define ATTR_LONG    0x0f
#define ATTR_VOLUME  0x08
#define ATTR_DIR     0x10
#define MAX_ROOT     (2U << 20) /* a directory has at most 65536 entries */
#define MAX_CLUSTERS 100U       /* of a FAT32 root; the label stands in the first one, or there is none */

enum found { FOUND_NOTHING, FOUND_END, FOUND_LABEL };

static enum found search(const uint8_t *dir, size_t len, uint8_t ret[11])
{
	for (size_t off = 0; len - off >= DIR_ENTRY; off += DIR_ENTRY) {
		const uint8_t *d = dir + off;
		uint8_t attr = d[11] & ATTR_MASK;
		if (d[0] == 0)
			return FOUND_END;
		if (d[0] == 0xe5 || attr == ATTR_LONG || (attr & (ATTR_VOLUME | ATTR_DIR)) != ATTR_VOLUME)
			continue;
		if (d[20] || d[21] || d[26] || d[27]) /* a label has no clusters */
			continue;
		memcpy(ret, d, 11);
		if (ret[0] == 0x05) /* stands for 0xe5, which would say "deleted" */
			ret[0] = 0xe5;
		return FOUND_LABEL;
	}
	return FOUND_NOTHING;
}

static int search_chain(struct blk_source *src, const struct fat_layout *l, uint8_t *buf, uint8_t ret[11])
{
	uint32_t cluster = l->root_cluster;
	uint64_t fat = l->fat_start + l->first_fat * l->fat_len;
	struct err ignored = ERR_INIT;

	for (unsigned i = 0; i < MAX_CLUSTERS && i < MAX_ROOT / l->cluster_size; i++) {
		uint8_t next[4];
		if (cluster < FAT_FIRST_CLUSTER || cluster - FAT_FIRST_CLUSTER >= l->nr_clusters)
			return 0;
		if (blk_read(src, fat_cluster_start(l, cluster), buf, l->cluster_size, &ignored) < 0)
			return 0;
		enum found found = search(buf, l->cluster_size, ret);
		if (found != FOUND_NOTHING)
			return found == FOUND_LABEL;
		if (blk_read(src, fat + (uint64_t)cluster * 4, next, sizeof(next), &ignored) < 0)
			return 0;
		cluster = get_le32(next) & 0x0fffffff;
	}
	return 0;
}

int fat_read_label(struct blk_source *src, const struct fat_layout *l, uint8_t ret[11], struct err *e)
{
	size_t len = l->bits == 32 ? l->cluster_size : (size_t)min_u64(l->root_len, MAX_ROOT);
	AUTO_FREE uint8_t *buf = alloc_array(1, len);
	struct err ignored = ERR_INIT;

	if (!buf)
		return err_nomem(e, "the root directory");
	if (l->bits == 32)
		return search_chain(src, l, buf, ret);
	if (blk_read(src, l->root_start, buf, len, &ignored) < 0)
		return 0;
	return search(buf, len, ret) == FOUND_LABEL;
}
