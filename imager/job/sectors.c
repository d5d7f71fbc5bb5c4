/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Volumes and sectors of another size; see sectors.h. What decides, and where it is written down:
 *
 * ext, btrfs, F2FS, swap: a block must not be smaller than a sector of the device (Linux sb_set_blocksize(), swapon).
 * XFS: its own sector size must not be (Linux fs/xfs/xfs_mount.c, xfs_readsb()); a larger one is fine.
 * FAT: Linux refuses smaller sectors than the device's (fs/fat/inode.c); it is made anew in both directions.
 * NTFS: Windows mounts it only where its sectors are those of the device. exFAT: the same, and Linux refuses smaller ones (fs/exfat/super.c).
 * LVM, md and LUKS count in units of 512 bytes or in bytes whatever the device has; what is inside meets the device's sectors, so it is judged as
 * well, and must begin and end at whole sectors.
 */
#include "imager/job/sectors.h"

#include "base/arith.h"
#include "imager/image/chunk.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

#define MAX_SECTOR 4096U

enum verdict { WORKS, REMAKE, AS_IS, BOOT_ONLY, FAILS };

struct judge {
	struct expected *x;
	const struct expected_request *rq;
	size_t *remake;
	size_t nr_remake;
	uint8_t zero_id[IMG_ID_SIZE];
	struct err first;        /* about the first volume that fails */
	char others[200];
	size_t nr_fails;
};

/* The sectors a volume will meet: the largest of those it lies on, 0 when none of them change. */
static uint32_t sectors_below(const struct expected *x, const struct img_volume *v)
{
	bool changes = false;
	uint32_t most = 0;

	for (uint32_t i = 0; i < v->nr_segments; i++) {
		const struct expected_disk *d = &x->disks[v->segments[i].disk];
		changes |= d->other_sectors;
		most = (uint32_t)max_u64(most, d->sector_size);
	}
	return changes ? most : 0;
}

/* With a single region only what is that region's, or lies in it. */
static bool is_written(const struct expected *x, const struct img_volume *v)
{
	if (x->only_region == SIZE_MAX || v->region != IMG_NO_INDEX)
		return x->only_region == SIZE_MAX || v->region == x->only_region;
	const struct img_region *r = &x->image->regions[x->only_region];
	for (uint32_t i = 0; i < v->nr_segments; i++)
		if (v->segments[i].disk == r->disk && v->segments[i].start < r->start + r->len && r->start < v->segments[i].start + v->segments[i].len)
			return true;
	return false;
}

static bool is_called(const struct img_manifest *m, const struct img_volume *v, const char *word)
{
	char number[32];

	if (v->region != IMG_NO_INDEX) {
		const struct img_region *r = &m->regions[v->region];
		snprintf(number, sizeof(number), "%u", r->number);
		if (r->number && !strcmp(word, number))
			return true;
		snprintf(number, sizeof(number), "%u:%u", r->disk + 1, r->number);
		if (r->number && (!strcmp(word, number) || (r->name[0] && !strcmp(word, r->name))))
			return true;
	}
	return !strcmp(word, "all") || (v->name[0] && !strcmp(word, v->name)) || (v->label[0] && !strcmp(word, v->label)) ||
		(v->uuid[0] && !strcasecmp(word, v->uuid));
}

static bool is_as_is(const struct judge *j, const struct img_volume *v)
{
	for (size_t i = 0; j->rq->as_is && j->rq->as_is[i]; i++)
		if (is_called(j->x->image, v, j->rq->as_is[i]))
			return true;
	return false;
}

static void describe(const struct img_manifest *m, const struct img_volume *v, char *out, size_t size)
{
	if (v->region != IMG_NO_INDEX)
		img_describe_region(m, v->region, out, size);
	else if (v->label[0] && strcmp(v->label, v->name))
		snprintf(out, size, "'%.120s' (%s '%.60s')", v->name, v->type, v->label);
	else
		snprintf(out, size, "%s%.120s%s%s", v->name[0] ? "'" : "", v->name, v->name[0] ? "', " : "", v->type);
}

/* Sets the reason, and what can be done. */
static enum verdict fails(struct err *why, const char *advice, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
static enum verdict fails(struct err *why, const char *advice, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(why->msg, sizeof(why->msg), fmt, ap);
	va_end(ap);
	snprintf(why->hint, sizeof(why->hint), "%s", advice);
	return FAILS;
}

static bool is_any(const char *word, const char *const *list)
{
	while (*list && strcmp(word, *list))
		list++;
	return *list != NULL;
}

/* Partitions that hold nothing a system mounts. On-disk bytes of E3C9E316-0B5C-4DB8-817D-F92DF00215AE and 21686148-6449-6E6F-744E-656564454649. */
static bool has_type(const struct img_manifest *m, const struct img_volume *v, const uint8_t guid[16])
{
	return v->region != IMG_NO_INDEX && !memcmp(m->regions[v->region].type_guid, guid, 16);
}

/* Does the image know that nothing but zeros is there? */
static bool is_blank(const struct judge *j, const struct img_volume *v)
{
	const struct img_manifest *m = j->x->image;

	if (v->region == IMG_NO_INDEX || !m->has_root)
		return false;
	const struct img_region *r = &m->regions[v->region];
	for (uint64_t k = 0; k < cmap_nr_present(r->map); k++)
		if (memcmp(m->ids[r->first_present + k], j->zero_id, IMG_ID_SIZE))
			return false;
	return true;
}

static enum verdict judge_raw(const struct judge *j, const struct img_volume *v, struct err *why)
{
	static const uint8_t reserved[16] = { 0x16, 0xE3, 0xC9, 0xE3, 0x5C, 0x0B, 0xB8, 0x4D, 0x81, 0x7D, 0xF9, 0x2D, 0xF0, 0x02, 0x15, 0xAE };
	static const uint8_t bios[16] = { 'H', 'a', 'h', '!', 'I', 'd', 'o', 'n', 't', 'N', 'e', 'e', 'd', 'E', 'F', 'I' };

	if (has_type(j->x->image, v, reserved) || is_blank(j, v))
		return WORKS;
	if (has_type(j->x->image, v, bios))
		return BOOT_ONLY;
	if (!strcmp(v->type, "crypto_LUKS"))
		return fails(why, "capture anew with --unlock", "it is a locked container, and nobody knows what is inside");
	return fails(why, "format or empty it and capture anew", "it was taken raw, and nobody knows whether what it holds counts in sectors");
}

static enum verdict judge_blocks(const struct img_volume *v, uint32_t to, struct err *why)
{
	bool is_xfs = !strcmp(v->driver, "xfs");
	uint32_t least = v->sector_size ? v->sector_size : is_xfs ? 0 : v->block_size;

	if (!least)
		return fails(why, "capture anew", "the image does not tell the sector size of this %s", v->type);
	if (least >= to)
		return WORKS;
	return fails(why, is_xfs ? "make the file system anew with mkfs.xfs -s size=4096" : "make the file system anew with larger blocks",
		"its %s of %u bytes are smaller than such sectors, and no system mounts it there", is_xfs ? "sectors" : "blocks", least);
}

/* Linear pieces of a volume at whole sectors? */
static bool is_aligned(const struct img_volume *v, uint32_t to)
{
	for (uint32_t i = 0; i < v->nr_segments; i++)
		if (v->segments[i].start % to || v->segments[i].len % to)
			return false;
	return true;
}

static enum verdict judge_volume(const struct judge *j, const struct img_volume *v, uint32_t to, struct err *why)
{
	static const char *const blocks[] = { "ext", "xfs", "btrfs", "f2fs", "swap", NULL };
	static const char *const members[] = { "lvm", "luks", "md", NULL };
	bool has_region = v->region != IMG_NO_INDEX;

	if (is_as_is(j, v))
		return AS_IS;
	if (j->rq->any_sectors)
		return !strcmp(v->driver, "fat") && has_region && v->sector_size != to && to <= MAX_SECTOR ? REMAKE : WORKS;
	if (to > MAX_SECTOR)
		return fails(why, "use another target", "sectors of %u bytes are not supported", to);
	if (!has_region && !is_aligned(v, to))
		return fails(why, "use another target", "parts of it do not begin and end at whole sectors of %u bytes", to);
	if (is_any(v->driver, members))
		return WORKS;
	if (is_any(v->driver, blocks))
		return judge_blocks(v, to, why);
	if (!strcmp(v->driver, "fat")) {
		if (v->sector_size == to)
			return WORKS;
		return has_region ? REMAKE : fails(why, "use another target", "its sectors have %u bytes, and only a FAT that has its own partition is made anew", v->sector_size);
	}
	if (!strcmp(v->driver, "ntfs") || !strcmp(v->driver, "exfat")) {
		if (v->sector_size == to)
			return WORKS;
		return fails(why, "use a target with the same sectors", "%s counts in sectors of the disk it was made on (%u bytes), and works on no other",
			v->driver[0] == 'n' ? "NTFS" : "exFAT", v->sector_size);
	}
	return judge_raw(j, v, why);
}

/* The first one is told with its reason, the others by name. */
static void count_failure(struct judge *j, const struct img_volume *v, uint32_t to, const struct err *why)
{
	char what[300];
	size_t used = strlen(j->others);

	describe(j->x->image, v, what, sizeof(what));
	if (j->nr_fails++) {
		if (used + 60 < sizeof(j->others))
			snprintf(j->others + used, sizeof(j->others) - used, "%s%.100s", used ? ", " : "", what);
		return;
	}
	err_set(&j->first, ERR_REFUSED, 0, "%.200s does not work with sectors of %u bytes: %.200s", what, to, why->msg);
	err_hint(&j->first, "%.100s; or --as-is VOL to have it written all the same", why->hint);
}

static int judge_one(struct judge *j, const struct img_volume *v, struct err *e)
{
	uint32_t to = sectors_below(j->x, v);
	uint32_t disk = v->nr_segments ? v->segments[0].disk : 0;
	char what[300];
	struct err why = ERR_INIT;

	if (!to || !is_written(j->x, v))
		return 0;
	describe(j->x->image, v, what, sizeof(what));
	switch (judge_volume(j, v, to, &why)) {
	case WORKS:
		return 0;
	case REMAKE:
		j->remake[j->nr_remake++] = v->region;
		return 0;
	case AS_IS:
		return expected_note(j->x, disk, v->region, "as-is", e, "%.140s is written as it is, as asked", what);
	case BOOT_ONLY:
		return expected_note(j->x, disk, v->region, "boot-code", e, "%.100s holds code for BIOS that counts in other sectors; only UEFI starts this disk", what);
	case FAILS:
		count_failure(j, v, to, &why);
	}
	return 0;
}

/* A word that names a volume which works anyway, or is not written, is no mistake. */
static bool names_any(const struct img_manifest *m, const char *word)
{
	for (size_t i = 0; i < m->nr_volumes; i++)
		if (is_called(m, &m->volumes[i], word))
			return true;
	return false;
}

static int check_as_is(const struct judge *j, struct err *e)
{
	for (size_t i = 0; j->rq->as_is && j->rq->as_is[i]; i++) {
		if (names_any(j->x->image, j->rq->as_is[i]))
			continue;
		err_set(e, ERR_USAGE, 0, "--as-is: no volume '%s' in the image", j->rq->as_is[i]);
		return err_hint(e, "'calco info' shows the volumes");
	}
	return 0;
}

static int judge_all(struct judge *j, struct err *e)
{
	const struct img_manifest *m = j->x->image;
	AUTO(chunk_codec) struct chunk_codec *codec = chunk_codec_for(m->seal, 0, e);

	if (!codec)
		return -1;
	memcpy(j->zero_id, chunk_zero_id(codec), IMG_ID_SIZE);
	for (size_t i = 0; i < m->nr_volumes; i++)
		if (judge_one(j, &m->volumes[i], e) < 0)
			return -1;
	if (check_as_is(j, e) < 0)
		return -1;
	if (!j->nr_fails)
		return 0;
	*e = j->first;
	if (j->nr_fails > 1)
		snprintf(e->msg + strlen(e->msg), sizeof(e->msg) - strlen(e->msg), " (nor does %s)", j->others);
	return err_reason(e, "sector-size");
}

static int by_region(const void *a, const void *b)
{
	size_t x = *(const size_t *)a, y = *(const size_t *)b;

	return x < y ? -1 : x > y;
}

int sectors_judge(struct expected *x, const struct expected_request *rq, size_t **ret, size_t *ret_nr, struct err *e)
{
	AUTO_FREE size_t *remake = alloc_array(x->image->nr_volumes, sizeof(*remake));
	struct judge j = { .x = x, .rq = rq, .remake = remake, .first = ERR_INIT };

	if (!remake)
		return err_nomem(e, "the plan");
	if (judge_all(&j, e) < 0)
		return -1;
	if (j.nr_remake)
		qsort(remake, j.nr_remake, sizeof(*remake), by_region);
	for (size_t i = 1; i < j.nr_remake; i++)
		if (remake[i] == remake[i - 1])
			return err_set(e, ERR_CORRUPT, 0, "the image tells of two volumes in one region");
	*ret = take(&remake);
	*ret_nr = j.nr_remake;
	return 0;
}
