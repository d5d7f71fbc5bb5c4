/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The label of an LVM2 physical volume and its metadata areas; see lvm.h. */
#include "imager/disk/lvm.h"

#include "base/arith.h"
#include "base/hash.h"
#include "base/span.h"

#include <string.h>

#define LABEL_SECTORS 4U
#define MDA_HEADER    512U /* the text's ring begins behind it */
#define IGNORED       1U   /* RAW_LOCN_IGNORED */
#define PV_USED       1U   /* PV_EXT_USED */
#define CRC_START     0xf597a6cfU

/* CRC-32 of zlib without its inversions, from a start of its own. */
static uint32_t crc(const void *p, size_t len)
{
	return ~crc32_more(~CRC_START, p, len);
}

static bool is_label(const uint8_t *sector, unsigned number)
{
	return !memcmp(sector, "LABELONE", 8) && !memcmp(sector + 24, "LVM2 001", 8) && get_le64(sector + 8) == number &&
		get_le32(sector + 16) == crc(sector + 20, LVM_SECTOR - 20);
}

/* The first label; its sector in *ret. */
static int find_label(struct blk_source *src, uint8_t *ret, struct err *e)
{
	uint8_t buf[LABEL_SECTORS * LVM_SECTOR];

	if (src->size < sizeof(buf))
		return 0;
	if (blk_read(src, 0, buf, sizeof(buf), e) < 0)
		return -1;
	for (unsigned i = 0; i < LABEL_SECTORS; i++) {
		if (!is_label(buf + i * LVM_SECTOR, i))
			continue;
		memcpy(ret, buf + i * LVM_SECTOR, LVM_SECTOR);
		return 1;
	}
	return 0;
}

int lvm_label_probe(struct blk_source *src, struct err *e)
{
	uint8_t sector[LVM_SECTOR];

	return find_label(src, sector, e);
}

/* A list of areas, ended by one at 0; data areas have no length when they reach to the end. */
static int read_areas(struct span *s, size_t *at, uint64_t size, struct range *list, size_t *nr, struct err *e)
{
	for (;; *at += 16) {
		uint64_t start = span_le64(s, *at), len = span_le64(s, *at + 8);
		if (s->bad)
			return err_set(e, ERR_CORRUPT, 0, "the list of areas of a physical volume has no end");
		if (!start)
			break;
		if (!list)
			continue;
		if (*nr == LVM_MAX_AREAS || !len || !range_inside(start, len, size))
			return err_set(e, ERR_CORRUPT, 0, "an area of a physical volume lies outside of it (%llu+%llu)", (unsigned long long)start,
				(unsigned long long)len);
		list[(*nr)++] = (struct range){ start, len };
	}
	*at += 16;
	return 0;
}

int lvm_label_read(struct blk_source *src, struct lvm_label *ret, struct err *e)
{
	uint8_t sector[LVM_SECTOR];
	int found = find_label(src, sector, e);

	if (found <= 0)
		return found < 0 ? -1 : err_set(e, ERR_CORRUPT, 0, "'%s' has no LVM label", blk_name(src));
	struct span s = span_of(sector, sizeof(sector));
	size_t at = span_le32(&s, 20);
	*ret = (struct lvm_label){ 0 };
	span_copy(&s, at, ret->uuid, LVM_UUID - 1);
	if (at < 32 || s.bad || memchr(ret->uuid, '\0', LVM_UUID - 1))
		return err_set(e, ERR_CORRUPT, 0, "the LVM label of '%s' has no header", blk_name(src));
	ret->size = span_le64(&s, at + 32);
	at += 40;
	if (read_areas(&s, &at, src->size, NULL, NULL, e) < 0 || read_areas(&s, &at, src->size, ret->mdas, &ret->nr_mdas, e) < 0)
		return -1;
	if (at + 8 > sizeof(sector) || !span_le32(&s, at)) /* no extension: written by LVM before 2.02.99 */
		return 0;
	ret->is_used = span_le32(&s, at + 4) & PV_USED;
	at += 8;
	return read_areas(&s, &at, src->size, ret->boots, &ret->nr_boots, e);
}

/* The text lies in a ring behind the header. */
static int read_text(struct blk_source *src, const struct range *mda, uint64_t off, uint32_t len, uint32_t want, char **ret, struct err *e)
{
	AUTO_FREE char *text = alloc_array((size_t)len + 1, 1);
	uint64_t first = min_u64(len, mda->len - off);

	if (!text)
		return err_nomem(e, "the metadata of LVM");
	if (blk_read(src, mda->start + off, text, (size_t)first, e) < 0 ||
		blk_read(src, mda->start + MDA_HEADER, text + first, (size_t)(len - first), e) < 0)
		return -1;
	if (crc(text, len) != want)
		return err_set(e, ERR_CORRUPT, 0, "the LVM metadata of '%s' at %llu do not match their checksum", blk_name(src),
			(unsigned long long)(mda->start + off));
	*ret = take(&text);
	return 0;
}

int lvm_mda_read(struct blk_source *src, const struct range *mda, char **ret, size_t *ret_len, struct err *e)
{
	uint8_t h[MDA_HEADER];

	if (mda->len < 2 * MDA_HEADER || !range_inside(mda->start, mda->len, src->size))
		return err_set(e, ERR_CORRUPT, 0, "a metadata area of '%s' is too small", blk_name(src));
	if (blk_read(src, mda->start, h, sizeof(h), e) < 0)
		return -1;
	if (memcmp(h + 4, " LVM2 x[5A%r0N*>", 16) || get_le32(h + 20) != 1 || get_le32(h) != crc(h + 4, sizeof(h) - 4) ||
		get_le64(h + 24) != mda->start || get_le64(h + 32) != mda->len)
		return err_set(e, ERR_CORRUPT, 0, "the metadata area of '%s' at %llu is damaged", blk_name(src), (unsigned long long)mda->start);
	uint64_t off = get_le64(h + 40), len = get_le64(h + 48);
	if (!off || (get_le32(h + 60) & IGNORED))
		return 0;
	if (off < MDA_HEADER || off >= mda->len || !len || len > mda->len - MDA_HEADER || len > LVM_MAX_TEXT)
		return err_set(e, ERR_CORRUPT, 0, "the LVM metadata of '%s' lie outside of their area", blk_name(src));
	if (read_text(src, mda, off, (uint32_t)len, get_le32(h + 56), ret, e) < 0)
		return -1;
	*ret_len = (size_t)len;
	return 1;
}
