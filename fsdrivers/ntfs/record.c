/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Records of the $MFT and their attributes: NTFS docs, "FILE Record", "Fixup", "Attributes". */
#include "fsdrivers/ntfs/ntfs.h"

#include <string.h>

#define RECORD_IN_USE    0x0001
#define RECORD_IS_FOLDER 0x0002
#define REF_NUMBER       0xFFFFFFFFFFFFULL /* the upper 16 bits of a reference count the uses of the record */
#define ATTR_END         0xFFFFFFFFU

bool ntfs_fixup(uint8_t *rec, size_t len)
{
	struct span s = span_of(rec, len);
	size_t usa = span_le16(&s, 4), nr = span_le16(&s, 6);
	uint16_t mark = span_le16(&s, usa);

	/* The array itself must not be what it replaces. */
	if (s.bad || nr != len / NTFS_STRIDE + 1 || usa < 8 || usa + nr * 2 > NTFS_STRIDE - 2)
		return false;
	for (size_t i = 1; i < nr; i++)
		if (span_le16(&s, i * NTFS_STRIDE - 2) != mark)
			return false;
	for (size_t i = 1; i < nr; i++)
		memcpy(rec + i * NTFS_STRIDE - 2, rec + usa + i * 2, 2);
	return true;
}

bool ntfs_record_parse(uint8_t *buf, size_t len, uint64_t number, struct ntfs_record *ret)
{
	if (len < NTFS_STRIDE || memcmp(buf, "FILE", 4) != 0 || !ntfs_fixup(buf, len))
		return false;
	struct span s = span_of(buf, len);
	uint16_t flags = span_le16(&s, 0x16);
	size_t first = span_le16(&s, 0x14), end = span_le32(&s, 0x18);
	*ret = (struct ntfs_record){
		.number = number,
		.sequence = span_le16(&s, 0x10),
		.in_use = flags & RECORD_IN_USE,
		.is_folder = flags & RECORD_IS_FOLDER,
		.base = span_le64(&s, 0x20) & REF_NUMBER,
	};
	ret->attrs = end >= first ? span_sub(&s, first, end - first) : (struct span){ .bad = true };
	return true;
}

int ntfs_record_read(struct ntfs_volume *v, uint64_t number, uint8_t *buf, struct ntfs_record *ret, struct err *e)
{
	uint32_t len = v->boot.record_size;

	if (number >= v->mft.initialized / len)
		return err_set(e, ERR_CORRUPT, 0, "the $MFT has no record %llu", (unsigned long long)number);
	if (ntfs_stream_read(v, &v->mft, number * len, buf, len, e) < 0)
		return err_wrap(e, "reading record %llu of the $MFT", (unsigned long long)number);
	if (!ntfs_record_parse(buf, len, number, ret))
		return err_set(e, ERR_CORRUPT, 0, "record %llu of the $MFT is damaged", (unsigned long long)number);
	if (!ret->in_use)
		return err_set(e, ERR_CORRUPT, 0, "record %llu of the $MFT is not in use", (unsigned long long)number);
	return 0;
}

/* The names that matter here ("$I30", "$Bad") are short and ASCII. */
static void copy_name(struct span *s, size_t off, size_t nr, char *dst, size_t room)
{
	bool is_short = nr < room;

	for (size_t i = 0; i < nr && is_short; i++) {
		uint16_t c = span_le16(s, off + 2 * i);
		is_short = c && c < 0x80;
		dst[i] = (char)c;
	}
	if (is_short)
		dst[nr] = '\0';
	else
		memcpy(dst, "?", 2);
}

static void read_header(struct span *a, struct ntfs_attr *ret)
{
	*ret = (struct ntfs_attr){
		.type = span_le32(a, 0),
		.flags = span_le16(a, 0x0C),
		.is_resident = span_u8(a, 8) == 0,
	};
	copy_name(a, span_le16(a, 0x0A), span_u8(a, 9), ret->name, sizeof(ret->name));
	if (ret->is_resident) {
		ret->value = span_sub(a, span_le16(a, 0x14), span_le32(a, 0x10));
		return;
	}
	ret->first_vcn = span_le64(a, 0x10);
	ret->last_vcn = span_le64(a, 0x18);
	if (!ret->first_vcn) { /* the sizes are those of the whole stream and stand in its first extent only */
		ret->size = span_le64(a, 0x30);
		ret->initialized = span_le64(a, 0x38);
	}
	size_t runs = span_le16(a, 0x20);
	ret->runs = runs <= a->len ? span_sub(a, runs, a->len - runs) : (struct span){ .bad = true };
}

int ntfs_attr_next(const struct ntfs_record *r, size_t *pos, struct ntfs_attr *ret, struct err *e)
{
	struct span s = r->attrs;
	uint32_t type = span_le32(&s, *pos);
	struct span a = { .bad = true };

	if (!s.bad && type == ATTR_END)
		return 0;
	uint32_t len = span_le32(&s, *pos + 4);
	if (!s.bad)
		a = span_sub(&s, *pos, len);
	if (!a.bad)
		read_header(&a, ret);
	if (a.bad || ret->value.bad || ret->runs.bad || len < 0x18)
		return err_set(e, ERR_CORRUPT, 0, "the attributes of record %llu of the $MFT are damaged", (unsigned long long)r->number);
	*pos += len;
	return 1;
}

int ntfs_attr_find(const struct ntfs_record *r, uint32_t type, struct ntfs_attr *ret, struct err *e)
{
	size_t pos = 0;
	int more;

	while ((more = ntfs_attr_next(r, &pos, ret, e)) > 0)
		if (ret->type == type)
			return 1;
	return more;
}
