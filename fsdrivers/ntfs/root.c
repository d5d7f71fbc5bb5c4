/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Looking up a file of the root folder by its name.
 *
 * The root folder is not searched in its order but read through: it is small, and that needs no table of upper case.
 * A block of it that is not in use any more may name a file that is gone, so the record has the last word.
 * NTFS docs, "$INDEX_ROOT", "$INDEX_ALLOCATION", "$FILE_NAME".
 */
#include "fsdrivers/ntfs/ntfs.h"

#include <string.h>

#define ENTRY_LAST  0x0002
#define NAME_OFFSET 0x10U /* of the $FILE_NAME in an index entry */
#define REF_NUMBER  0xFFFFFFFFFFFFULL

/* The key of an index entry, a $FILE_NAME; the name is in lower case and ASCII. */
static bool is_called(struct span *key, const char *name)
{
	size_t nr = span_u8(key, 0x40);

	if (nr != strlen(name))
		return false;
	for (size_t i = 0; i < nr; i++) {
		uint16_t c = span_le16(key, 0x42 + 2 * i);
		if (c >= 'A' && c <= 'Z')
			c = (uint16_t)(c + 'a' - 'A');
		if (c != (uint8_t)name[i])
			return false;
	}
	return !key->bad;
}

/* One node: its header at the start of s. Puts the reference into *ret where it finds the name. */
static int search_node(struct span *s, const char *name, uint64_t *ret, struct err *e)
{
	size_t pos = span_le32(s, 0), end = span_le32(s, 4);

	while (pos < end && !s->bad) {
		size_t len = span_le16(s, pos + 8), key_len = span_le16(s, pos + 0x0A);
		uint16_t flags = span_le16(s, pos + 0x0C);
		if (flags & ENTRY_LAST && !s->bad)
			return 0;
		struct span key = span_sub(s, pos + NAME_OFFSET, key_len);
		if (is_called(&key, name))
			*ret = span_le64(s, pos);
		if (len < NAME_OFFSET)
			break;
		pos += len;
	}
	return err_set(e, ERR_CORRUPT, 0, "the index of the root folder is damaged");
}

static int search_blocks(struct ntfs_volume *v, uint32_t block_size, const char *name, uint64_t *ret, struct err *e)
{
	AUTO_FREE uint8_t *buf = alloc_array(1, block_size);
	struct ntfs_stream s = { 0 };
	int r = 0;

	if (!buf)
		return err_nomem(e, "an index block");
	if (ntfs_metadata_open(v, NTFS_FILE_ROOT, NTFS_AT_INDEX_BLOCKS, "$I30", &s, e) < 0)
		return -1;
	for (uint64_t off = 0; r == 0 && !*ret && range_inside(off, block_size, s.initialized); off += block_size) {
		r = ntfs_stream_read(v, &s, off, buf, block_size, e);
		if (r < 0 || memcmp(buf, "INDX", 4) != 0)
			continue;
		struct span node = span_of(buf + 0x18, block_size - 0x18);
		r = ntfs_fixup(buf, block_size) ? search_node(&node, name, ret, e) :
			err_set(e, ERR_CORRUPT, 0, "the index of the root folder is damaged");
	}
	ntfs_stream_release(&s);
	return r;
}

/* The reference to the file's record; 0: the folder has no such name */
static int find_reference(struct ntfs_volume *v, const char *name, uint64_t *ret, struct err *e)
{
	struct ntfs_stream root = { 0 };

	*ret = 0;
	if (ntfs_metadata_open(v, NTFS_FILE_ROOT, NTFS_AT_INDEX_ROOT, "$I30", &root, e) < 0)
		return -1;
	struct span s = span_of(root.value, root.value ? (size_t)root.size : 0);
	uint32_t block_size = span_le32(&s, 8);
	bool has_blocks = span_u8(&s, 0x1C) & 1;
	struct span node = s.len > 0x10 ? span_sub(&s, 0x10, s.len - 0x10) : (struct span){ .bad = true };
	int r = search_node(&node, name, ret, e);
	ntfs_stream_release(&root);
	if (r < 0 || *ret || !has_blocks)
		return r;
	if (!is_pow2(block_size) || block_size < NTFS_STRIDE || block_size > NTFS_MAX_RECORD)
		return err_set(e, ERR_CORRUPT, 0, "the index of the root folder has blocks of %u bytes", block_size);
	return search_blocks(v, block_size, name, ret, e);
}

/* Is the record still the one that the folder means? */
static int is_current(struct ntfs_volume *v, uint64_t ref, struct err *e)
{
	AUTO_FREE uint8_t *buf = alloc_array(1, v->boot.record_size);
	uint64_t number = ref & REF_NUMBER;
	uint32_t len = v->boot.record_size;
	struct ntfs_record r;

	if (!buf)
		return err_nomem(e, "a record of the $MFT");
	if (number >= v->mft.initialized / len)
		return 0;
	if (ntfs_stream_read(v, &v->mft, number * len, buf, len, e) < 0)
		return -1;
	return ntfs_record_parse(buf, len, number, &r) && r.in_use && !r.is_folder && !r.base && r.sequence == ref >> 48;
}

int ntfs_root_find(struct ntfs_volume *v, const char *name, uint64_t *ret, struct err *e)
{
	uint64_t ref;

	if (find_reference(v, name, &ref, e) < 0)
		return -1;
	*ret = ref & REF_NUMBER;
	return ref ? is_current(v, ref, e) : 0;
}
