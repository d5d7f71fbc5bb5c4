/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Summaries; see summary.h. */
#include "imager/image/summary.h"

#include "base/arith.h"
#include "base/hash.h"
#include "base/span.h"
#include "imager/image/format.h"

#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define NAME_SIZE 64U
#define LAST_SIZE ((uint64_t)FMT_PART_SIZE + FMT_TRAILER_SIZE) /* TRLR */

void summary_of(const struct img_manifest *m, struct img_summary *ret)
{
	*ret = (struct img_summary){ .version = m->version, .created = m->created };
	memcpy(ret->name, m->name, sizeof(ret->name));
	memcpy(ret->root, m->root, sizeof(ret->root));
	for (size_t i = 0; i < m->nr_disks; i++)
		ret->disk_bytes += m->disks[i].size; /* at most 2^50 together */
	for (size_t i = 0; i < m->nr_regions; i++)
		ret->stored_bytes += cmap_bytes(m->regions[i].map, EXT_USED);
}

bool summary_equal(const struct img_summary *a, const struct img_summary *b)
{
	return !strcmp(a->name, b->name) && a->version == b->version && a->created == b->created && a->disk_bytes == b->disk_bytes &&
		a->stored_bytes == b->stored_bytes && !memcmp(a->root, b->root, sizeof(a->root));
}

void summary_put(uint8_t b[SUMMARY_SIZE], const struct img_summary *s)
{
	memset(b, 0, SUMMARY_SIZE);
	put_le64(b, 0, s->version);
	put_le64(b, 8, s->created);
	put_le64(b, 16, s->disk_bytes);
	put_le64(b, 24, s->stored_bytes);
	memcpy(b + 32, s->root, sizeof(s->root));
	memcpy(b + 64, s->name, strlen(s->name));
}

bool summary_get(const uint8_t b[SUMMARY_SIZE], struct img_summary *ret)
{
	static const uint8_t none[NAME_SIZE];

	*ret = (struct img_summary){ .version = get_le64(b), .created = get_le64(b + 8), .disk_bytes = get_le64(b + 16), .stored_bytes = get_le64(b + 24) };
	memcpy(ret->root, b + 32, sizeof(ret->root));
	memcpy(ret->name, b + 64, NAME_SIZE);
	size_t len = strlen(ret->name);
	return img_name_ok(ret->name) && !memcmp(b + 64 + len, none, NAME_SIZE - len) && ret->disk_bytes && ret->disk_bytes <= FMT_MAX_DISK_BYTES &&
		ret->stored_bytes <= ret->disk_bytes;
}

static bool read_at(int fd, uint64_t at, void *buf, size_t len)
{
	return pread(fd, buf, len, (off_t)at) == (ssize_t)len;
}

static bool is_part(const uint8_t *b, const char *type, struct fmt_part *ret)
{
	struct err ignored = ERR_INIT;

	return fmt_get_part(b, ret, &ignored) == 0 && !strcmp(ret->type, type);
}

/* The preamble, and the trailer that belongs to it. */
static bool read_ends(int fd, uint64_t size, struct fmt_trailer *ret)
{
	uint8_t head[FMT_PREAMBLE_SIZE], last[LAST_SIZE];
	struct err ignored = ERR_INIT;
	struct fmt_preamble pre;
	struct fmt_part part;

	if (!read_at(fd, 0, head, sizeof(head)) || fmt_get_preamble(head, FMT_IN_PACKS | FMT_HAS_COMPOSED, &pre, &ignored) < 0 ||
	    (pre.mandatory | FMT_HAS_COMPOSED) != (FMT_IN_PACKS | FMT_HAS_COMPOSED))
		return false;
	if (!read_at(fd, size - LAST_SIZE, last, sizeof(last)) || !is_part(last, "TRLR", &part) || part.flags != FMT_MANDATORY ||
	    part.raw_len != FMT_TRAILER_SIZE || part.stored_len != FMT_TRAILER_SIZE || part.crc != crc32_of(last + FMT_PART_SIZE, FMT_TRAILER_SIZE))
		return false;
	return fmt_get_trailer(last + FMT_PART_SIZE, ret, &ignored) == 0 && ret->file_len == size && !memcmp(ret->pack_id, pre.pack_id, sizeof(pre.pack_id));
}

bool summary_read(int fd, struct img_summary *ret)
{
	uint8_t b[FMT_PART_SIZE + SUMMARY_SIZE + FMT_PART_SIZE]; /* SUMM, and the header of LOCS */
	const uint8_t *payload = b + FMT_PART_SIZE;
	struct fmt_part summary, table;
	struct fmt_trailer t;
	struct stat st;

	if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode) || st.st_size < (off_t)(FMT_PREAMBLE_SIZE + sizeof(b) + LAST_SIZE))
		return false;
	uint64_t size = (uint64_t)st.st_size;
	if (!read_ends(fd, size, &t) || t.index_offset < FMT_PREAMBLE_SIZE + FMT_PART_SIZE + SUMMARY_SIZE || t.index_offset > size - LAST_SIZE - FMT_PART_SIZE ||
	    t.cids_offset >= t.index_offset)
		return false;
	if (!read_at(fd, t.index_offset - FMT_PART_SIZE - SUMMARY_SIZE, b, sizeof(b)) || !is_part(b, "SUMM", &summary) ||
	    !is_part(payload + SUMMARY_SIZE, "LOCS", &table) || table.stored_len != size - LAST_SIZE - FMT_PART_SIZE - t.index_offset)
		return false;
	return !summary.flags && summary.raw_len == SUMMARY_SIZE && summary.stored_len == SUMMARY_SIZE && summary.crc == crc32_of(payload, SUMMARY_SIZE) &&
		summary_get(payload, ret) && !memcmp(ret->root, t.root, sizeof(t.root));
}
