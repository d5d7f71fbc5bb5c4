/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The raw driver: accepts every volume and declares every byte used. It is the honest answer where no driver
 * understands the content; libblkid only lends the name that a person sees.
 */
#include "fsdrivers/fsdriver.h"

#include "base/arith.h"
#include "fsdrivers/label.h"
#include "fsdrivers/signature.h"

#include <stdio.h>
#include <string.h>

#define GRANULE    4096U
#define EDGE_SIZE  (128U << 10) /* where the superblocks of known file systems stand, from either end */
#define BLANK_SIZE 4096U        /* cleared where nothing was recognised: a boot sector and the sectors behind it */
#define ZFS_TAIL   (768U << 10) /* labels L2 and L3, 256 KiB each, end where a whole 256 KiB does */
#define MAX_RANGES (FSD_SIGNATURE_MAGICS + 32)

struct raw_volume {
	struct fsd_volume base;
	struct range arm[MAX_RANGES]; /* sorted, apart from each other */
	size_t nr_arm;
};

/* Copies of superblocks that are found by themselves, farther inside than EDGE_SIZE. */
struct raw_copy {
	const char *type;
	uint64_t start, len;
};

static const struct raw_copy copies[] = {
	/* kernel fs/btrfs/disk-io.h, btrfs_sb_offset(): 64 KiB, 64 MiB, 256 GiB */
	{ "btrfs", 64ULL << 20, 4096 },
	{ "btrfs", 256ULL << 30, 4096 },
	/* util-linux libblkid/src/superblocks/luks.h, LUKS2_HDR2_OFFSETS: where a second header is looked for */
	{ "crypto_LUKS", 0x20000, 4096 },
	{ "crypto_LUKS", 0x40000, 4096 },
	{ "crypto_LUKS", 0x80000, 4096 },
	{ "crypto_LUKS", 0x100000, 4096 },
	{ "crypto_LUKS", 0x200000, 4096 },
	{ "crypto_LUKS", 0x400000, 4096 },
	/* ZFS On-Disk Specification section 1.2: labels L0 and L1, 256 KiB each; see also ZFS_TAIL */
	{ "zfs_member", 0, 512 << 10 },
};

static int raw_probe(struct blk_source *src, struct err *e)
{
	(void)src;
	(void)e;
	return 1;
}

/* Rounded outward to sectors and cut to the source. */
static void arm_add(struct raw_volume *v, uint64_t start, uint64_t len)
{
	struct blk_source *src = v->base.set.members[0];
	uint64_t sector = is_pow2(src->sector_size) ? src->sector_size : 512;

	if (start >= src->size || v->nr_arm == MAX_RANGES)
		return;
	uint64_t end = min_u64(start + min_u64(len, src->size - start), src->size);
	start = round_down_u64(start, sector);
	end += min_u64((sector - end % sector) % sector, src->size - end);
	v->arm[v->nr_arm++] = (struct range){ .start = start, .len = end - start };
}

static int by_start(const void *a, const void *b)
{
	const struct range *x = a, *y = b;

	return (x->start > y->start) - (x->start < y->start);
}

static void arm_merge(struct raw_volume *v)
{
	size_t nr = 0;

	qsort(v->arm, v->nr_arm, sizeof(v->arm[0]), by_start);
	for (size_t i = 0; i < v->nr_arm; i++) {
		struct range *last = nr ? &v->arm[nr - 1] : NULL;
		const struct range r = v->arm[i];
		if (last && r.start <= last->start + last->len)
			last->len = max_u64(last->len, r.start + r.len - last->start);
		else
			v->arm[nr++] = r;
	}
	v->nr_arm = nr;
}

static void find_arm_ranges(struct raw_volume *v, const struct fsd_signature *s)
{
	uint64_t size = v->base.info.size;

	arm_add(v, 0, BLANK_SIZE);
	if (!s->type[0] && !s->is_ambivalent && !s->nr_magics)
		return;
	arm_add(v, 0, EDGE_SIZE);
	arm_add(v, size - min_u64(size, EDGE_SIZE), EDGE_SIZE);
	for (size_t i = 0; i < s->nr_magics; i++)
		arm_add(v, s->magics[i].start, s->magics[i].len);
	for (size_t i = 0; i < sizeof(copies) / sizeof(copies[0]); i++) {
		/* An ambivalent volume may be any of them; its parts are cleared as if it were all. */
		if (strcmp(copies[i].type, s->type) == 0 || s->is_ambivalent)
			arm_add(v, copies[i].start, copies[i].len);
	}
	if (strcmp(s->type, "zfs_member") == 0 || s->is_ambivalent)
		arm_add(v, size - min_u64(size, ZFS_TAIL), ZFS_TAIL);
	arm_merge(v);
}

static void describe(struct fsd_info *info, const struct fsd_signature *s)
{
	snprintf(info->type, sizeof(info->type), "%s", s->type[0] ? s->type : "raw");
	fsd_label_copy(info->label, sizeof(info->label), s->label, sizeof(s->label));
	memcpy(info->uuid, s->uuid, sizeof(info->uuid));
	if (s->is_ambivalent)
		snprintf(info->notice, sizeof(info->notice), "signatures of several file systems: every block is copied");
	else if (!strcmp(s->type, "BitLocker"))
		snprintf(info->notice, sizeof(info->notice),
			"BitLocker is locked: every block is copied, also what is free; unlocking the copy takes the same key");
	else if (s->type[0])
		snprintf(info->notice, sizeof(info->notice), "%s taken raw: every block is copied", s->type);
}

static int raw_open(const struct blk_set *set, struct fsd_volume **ret, struct err *e)
{
	struct blk_source *src = set->members[0];
	struct fsd_signature s;

	if (set->nr != 1)
		return err_set(e, ERR_UNSUPPORTED, 0, "'%s' and %zu more members cannot be taken raw as one", blk_name(src), set->nr - 1);
	if (fsd_signature_read(src, &s, e) < 0)
		return -1;
	struct raw_volume *v = alloc_array(1, sizeof(*v));
	if (!v)
		return err_nomem(e, blk_name(src));
	v->base.driver = &fsd_raw;
	v->base.set = *set;
	v->base.info.size = v->base.info.used_bytes = src->size;
	v->base.info.block_size = v->base.info.granule = GRANULE;
	describe(&v->base.info, &s);
	find_arm_ranges(v, &s);
	*ret = &v->base;
	return 0;
}

static int raw_map(struct fsd_volume *v, fsd_extent_fn emit, void *arg, struct err *e)
{
	return v->info.size ? emit(arg, 0, 0, v->info.size, EXT_USED, e) : 0;
}

static int raw_arm_ranges(struct fsd_volume *volume, fsd_range_fn emit, void *arg, struct err *e)
{
	struct raw_volume *v = (struct raw_volume *)volume;

	for (size_t i = 0; i < v->nr_arm; i++) {
		if (emit(arg, 0, v->arm[i].start, v->arm[i].len, e) < 0)
			return -1;
	}
	return 0;
}

static void raw_close(struct fsd_volume *v)
{
	free(v);
}

const struct fsd_driver fsd_raw = {
	.name = "raw",
	.summary = "any content: every block is copied, zeros are found while reading",
	.probe = raw_probe,
	.open = raw_open,
	.map = raw_map,
	.arm_ranges = raw_arm_ranges,
	.close = raw_close,
};
