/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Is there room for what a restore will write to plain files? A lower bound: what is refused would have failed half-way. What can
 * not be told is allowed.
 */
#include "imager/job/restore.h"

#include "base/arith.h"
#include "base/folder.h"

#include <limits.h>
#include <linux/magic.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/statvfs.h>
#include <unistd.h>

#define ZFS_SUPER_MAGIC      0x2FC12FC1
#define BCACHEFS_SUPER_MAGIC 0xCA451A4E

static uint64_t wanted_bytes(const struct img_region *reg, uint64_t i)
{
	struct cmap_chunk c;
	uint64_t bytes = 0;

	cmap_get(reg->map, i, &c);
	for (uint32_t off = 0; off < c.len;) {
		bool wanted;
		uint32_t n = cmap_leaf_run(reg->map, &c, off, &wanted);
		bytes += wanted ? n : 0;
		off += n;
	}
	return bytes;
}

/* Bytes that a target takes: chunks that are all zero become holes. */
static uint64_t need_of(const struct img_manifest *m, const uint8_t *zero, uint32_t disk, size_t only_region)
{
	struct img_cursor at;
	uint64_t bytes = 0;

	for (img_cursor_begin(&at); img_cursor_next(m, &at);) {
		const struct img_region *reg = &m->regions[at.region];
		if (only_region == SIZE_MAX ? reg->disk == disk : at.region == only_region)
			bytes += memcmp(m->ids[at.present], zero, IMG_ID_SIZE) ? wanted_bytes(reg, at.i) : 0;
	}
	return bytes;
}

/* What one target needs of which file system. */
struct room {
	char place[PATH_MAX]; /* the file, or the folder it will be made in */
	dev_t dev;
	uint64_t need;        /* 0: a device, or it cannot be told */
};

/* A file that exists needs no more room for what it has already. */
static void look_at(const char *target, struct room *ret, uint64_t *ret_has)
{
	struct stat st;

	*ret_has = UINT64_MAX;
	if (stat(target, &st) == 0) {
		if (!S_ISREG(st.st_mode) || strlen(target) >= sizeof(ret->place))
			return;
		strcpy(ret->place, target);
		*ret_has = (uint64_t)st.st_blocks * 512;
		ret->dev = st.st_dev;
	} else if (folder_of(target, ret->place, sizeof(ret->place)) == 0 && stat(ret->place, &st) == 0) {
		*ret_has = 0;
		ret->dev = st.st_dev;
	}
}

/* Bytes that this user may still write there; UINT64_MAX when that says nothing: no limit, or what is written is compressed. */
static uint64_t free_at(const char *place)
{
	struct statvfs v;
	struct statfs s;

	if (statvfs(place, &v) < 0 || statfs(place, &s) < 0 || !v.f_blocks)
		return UINT64_MAX;
	if (s.f_type == BTRFS_SUPER_MAGIC || (uint32_t)s.f_type == ZFS_SUPER_MAGIC || (uint32_t)s.f_type == BCACHEFS_SUPER_MAGIC)
		return UINT64_MAX;
	uint64_t bytes;
	return mul_u64(geteuid() ? v.f_bavail : v.f_bfree, v.f_frsize, &bytes) ? bytes : UINT64_MAX;
}

static int no_space(const char *target, uint64_t has, uint64_t need, struct err *e)
{
	err_set(e, ERR_REFUSED, 0, "the file system of '%s' has %llu bytes free, %llu too few for the %llu bytes that will be written",
		target, (unsigned long long)has, (unsigned long long)(need - has), (unsigned long long)need);
	err_hint(e, "free some space there, or choose another place");
	return err_reason(e, "no-space");
}

int restore_check_room(const struct img_manifest *m, size_t only_region, const char *const *targets, size_t nr, struct err *e)
{
	if (!m->has_root) /* of a pipe: which chunks are zero is not known yet */
		return 0;
	AUTO_FREE struct room *rooms = alloc_array(nr, sizeof(*rooms));
	AUTO(chunk_codec) struct chunk_codec *codec = chunk_codec_for(m->seal, 0, e);
	if (!rooms || !codec)
		return rooms ? -1 : err_nomem(e, "the targets");
	for (size_t i = 0; i < nr; i++) {
		uint32_t disk = only_region == SIZE_MAX ? (uint32_t)i : m->regions[only_region].disk;
		uint64_t has, sum = 0;
		look_at(targets[i], &rooms[i], &has);
		if (has == UINT64_MAX)
			continue;
		uint64_t need = need_of(m, chunk_zero_id(codec), disk, only_region);
		rooms[i].need = need > has ? need - has : 0;
		for (size_t k = 0; k <= i; k++)
			sum += rooms[k].need && rooms[k].dev == rooms[i].dev ? rooms[k].need : 0;
		uint64_t room = free_at(rooms[i].place);
		if (sum > room)
			return no_space(targets[i], room, sum, e);
	}
	return 0;
}
