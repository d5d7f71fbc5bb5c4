/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The fixed structures of the image format, encoded and decoded (docs/format.md section 2). */
#include "imager/image/format.h"

#include "base/hash.h"
#include "imager/image/chunkmap.h"
#include "imager/image/seal.h"

#include <string.h>
#include <zstd.h>

bool fmt_ratio_ok(const char *type, uint64_t raw_len, uint64_t stored_len)
{
	return !strcmp(type, "INDX") || !strcmp(type, "LOCS") || raw_len <= FMT_RATIO_FREE || (raw_len - FMT_RATIO_FREE) / FMT_MAX_RATIO <= stored_len;
}

bool fmt_is_sealed(const char *type)
{
	static const char list[][5] = { "CORE", "ENVL", "CIDS", "BADR", "INDX", "LOCS", "PTOC", "SUMM" };

	for (size_t i = 0; i < sizeof(list) / sizeof(list[0]); i++)
		if (!strcmp(type, list[i]))
			return true;
	return false;
}

bool fmt_is_table(const char *type)
{
	return !strcmp(type, "LOCS") || !strcmp(type, "PTOC");
}

/* The library may know older formats by other magic numbers; none of them belongs into an image. */
bool fmt_is_frame(const uint8_t *p, size_t len, size_t raw_len)
{
	if (len < 6 || get_le32(p) != ZSTD_MAGICNUMBER || p[4] & 3)
		return false;
	return ZSTD_getFrameContentSize(p, len) == raw_len && ZSTD_findFrameCompressedSize(p, len) == len;
}

static int bad_crc(const char *what, struct err *e)
{
	return err_set(e, ERR_CORRUPT, 0, "the %s is damaged (checksum)", what);
}

static int not_zero(const char *what, struct err *e)
{
	return err_set(e, ERR_CORRUPT, 0, "the %s has reserved bytes that are not zero", what);
}

void fmt_put_preamble(uint8_t b[FMT_PREAMBLE_SIZE], const struct fmt_preamble *p)
{
	memset(b, 0, FMT_PREAMBLE_SIZE);
	memcpy(b, FMT_MAGIC, 8);
	put_le16(b, 8, FMT_MAJOR);
	put_le32(b, 12, FMT_PREAMBLE_SIZE);
	put_le64(b, 16, p->mandatory);
	put_le64(b, 24, p->optional);
	memcpy(b + 32, p->pack_id, 16);
	put_le32(b, 60, crc32_of(b, 60));
}

static int refuse_features(uint64_t bits, struct err *e)
{
	static const char *const names[] = { NULL, "composed records", "delta against a parent", "split over several files",
		"records in packs", "a pack of a repository", "a repository" };

	for (unsigned i = 0; i < 64; i++) {
		if (!(bits >> i & 1) || i == 0) /* encryption is known */
			continue;
		if (i < sizeof(names) / sizeof(names[0]))
			err_set(e, ERR_UNSUPPORTED, 0, "the image uses a feature this version cannot read: %s", names[i]);
		else
			err_set(e, ERR_UNSUPPORTED, 0, "the image uses an unknown mandatory feature (bit %u)", i);
		return err_hint(e, "use a newer calco");
	}
	return 0;
}

static int refuse_stranger(struct err *e)
{
	err_set(e, ERR_CORRUPT, 0, "not a calco image (no magic)");
	return err_hint(e, "an image is what 'calco capture' makes; where disks are named too, it comes first");
}

int fmt_get_preamble(const uint8_t b[FMT_PREAMBLE_SIZE], uint64_t features, struct fmt_preamble *ret, struct err *e)
{
	struct span s = span_of(b, FMT_PREAMBLE_SIZE);

	if (memcmp(b, FMT_MAGIC, 8))
		return refuse_stranger(e);
	if (span_le32(&s, 60) != crc32_of(b, 60))
		return bad_crc("preamble", e);
	if (span_le16(&s, 8) != FMT_MAJOR)
		return err_set(e, ERR_UNSUPPORTED, 0, "the image has format version %u, this program reads %u", span_le16(&s, 8), FMT_MAJOR);
	if (span_le32(&s, 12) != FMT_PREAMBLE_SIZE)
		return err_set(e, ERR_CORRUPT, 0, "the preamble has a length of %u", span_le32(&s, 12));
	if (span_le64(&s, 48) || span_le32(&s, 56))
		return not_zero("preamble", e);
	ret->mandatory = span_le64(&s, 16);
	ret->optional = span_le64(&s, 24);
	memcpy(ret->pack_id, b + 32, 16);
	return refuse_features(ret->mandatory & ~features, e);
}

void fmt_put_part(uint8_t b[FMT_PART_SIZE], const struct fmt_part *p)
{
	memset(b, 0, FMT_PART_SIZE);
	memcpy(b, p->type, 4);
	put_le16(b, 4, p->flags);
	put_le64(b, 8, p->raw_len);
	put_le64(b, 16, p->stored_len);
	put_le32(b, 24, p->crc);
	put_le32(b, 28, crc32_of(b, 28));
}

int fmt_get_part(const uint8_t b[FMT_PART_SIZE], struct fmt_part *ret, struct err *e)
{
	struct span s = span_of(b, FMT_PART_SIZE);

	if (span_le32(&s, 28) != crc32_of(b, 28))
		return bad_crc("header of a part", e);
	memcpy(ret->type, b, 4);
	ret->type[4] = '\0';
	ret->flags = span_le16(&s, 4);
	ret->raw_len = span_le64(&s, 8);
	ret->stored_len = span_le64(&s, 16);
	ret->crc = span_le32(&s, 24);
	if (span_le16(&s, 6) || ret->flags & ~(FMT_MANDATORY | FMT_ZSTD | FMT_ENCRYPTED))
		return not_zero("header of a part", e);
	if (!(ret->flags & (FMT_ZSTD | FMT_ENCRYPTED)) && ret->raw_len != ret->stored_len)
		return err_set(e, ERR_CORRUPT, 0, "part '%s' contradicts itself in its lengths", ret->type);
	for (int i = 0; i < 4; i++)
		if ((ret->type[i] < 'A' || ret->type[i] > 'Z') && (ret->type[i] < 'a' || ret->type[i] > 'z'))
			return err_set(e, ERR_CORRUPT, 0, "a part whose type is not four letters");
	return 0;
}

void fmt_put_record(uint8_t b[FMT_RECORD_SIZE], const struct fmt_record *r)
{
	memset(b, 0, FMT_RECORD_SIZE);
	memcpy(b, "CHNK", 4);
	b[4] = r->kind;
	b[5] = r->codec;
	put_le64(b, 8, r->chunk);
	put_le64(b, 16, r->number);
	memcpy(b + 24, r->origin, 16);
	memcpy(b + 40, r->id, 32);
	put_le32(b, 72, r->raw_len);
	put_le32(b, 76, r->stored_len);
	put_le16(b, 80, r->nr_helpers);
	put_le32(b, 88, r->crc);
	put_le32(b, 92, crc32_of(b, 92));
}

/* The lengths that each kind and codec allows (docs/format.md sections 2.3 and 7). */
static bool lengths_ok(const struct fmt_record *r, uint32_t tag)
{
	if (r->kind == FMT_COMPOSED)
		return r->raw_len <= CHUNK_SIZE && r->raw_len % LEAF_SIZE == 0 && r->stored_len >= 16 + tag && r->stored_len < CHUNK_SIZE + tag;
	if (r->raw_len != CHUNK_SIZE)
		return false;
	return r->codec == 0 ? r->stored_len == CHUNK_SIZE + tag : r->stored_len > tag && r->stored_len < CHUNK_SIZE + tag;
}

int fmt_get_pack_record(const uint8_t b[FMT_RECORD_SIZE], bool sealed, struct fmt_record *ret, struct err *e)
{
	struct span s = span_of(b, FMT_RECORD_SIZE);

	if (span_le32(&s, 92) != crc32_of(b, 92))
		return bad_crc("header of a record", e);
	if (memcmp(b, "CHNK", 4) || (b[4] != FMT_WHOLE && b[4] != FMT_COMPOSED) || b[5] > 1)
		return err_set(e, ERR_CORRUPT, 0, "a record of unknown kind %u, codec %u", b[4], b[5]);
	if (span_le16(&s, 6) || (b[4] == FMT_WHOLE && span_le16(&s, 80)) || span_le16(&s, 82) || span_le32(&s, 84))
		return not_zero("header of a record", e);
	ret->kind = b[4];
	ret->codec = b[5];
	ret->chunk = span_le64(&s, 8);
	ret->number = span_le64(&s, 16);
	memcpy(ret->origin, b + 24, 16);
	memcpy(ret->id, b + 40, 32);
	ret->raw_len = span_le32(&s, 72);
	ret->stored_len = span_le32(&s, 76);
	ret->nr_helpers = span_le16(&s, 80);
	ret->crc = span_le32(&s, 88);
	if (ret->nr_helpers > CHUNK_LEAVES || !lengths_ok(ret, sealed ? SEAL_TAG_SIZE : 0))
		return err_set(e, ERR_CORRUPT, 0, "a record of %u bytes", ret->stored_len);
	return 0;
}

int fmt_get_record(const uint8_t b[FMT_RECORD_SIZE], bool sealed, struct fmt_record *ret, struct err *e)
{
	if (fmt_get_pack_record(b, sealed, ret, e) < 0)
		return -1;
	return ret->kind == FMT_WHOLE ? 0 : err_set(e, ERR_CORRUPT, 0, "a record of unknown kind %u, codec %u", ret->kind, ret->codec);
}

void fmt_put_trailer(uint8_t b[FMT_TRAILER_SIZE], const struct fmt_trailer *t)
{
	memset(b, 0, FMT_TRAILER_SIZE);
	put_le64(b, 0, t->file_len);
	put_le64(b, 8, t->cids_offset);
	put_le64(b, 16, t->index_offset);
	put_le64(b, 24, t->nr_present);
	put_le64(b, 32, t->nr_records);
	memcpy(b + 40, t->pack_id, 16);
	memcpy(b + 56, t->root, 32);
	memcpy(b + 88, FMT_TRAILER_MAGIC, 8);
}

int fmt_get_trailer(const uint8_t b[FMT_TRAILER_SIZE], struct fmt_trailer *ret, struct err *e)
{
	struct span s = span_of(b, FMT_TRAILER_SIZE);

	if (memcmp(b + 88, FMT_TRAILER_MAGIC, 8))
		return err_set(e, ERR_CORRUPT, 0, "the trailer is damaged");
	ret->file_len = span_le64(&s, 0);
	ret->cids_offset = span_le64(&s, 8);
	ret->index_offset = span_le64(&s, 16);
	ret->nr_present = span_le64(&s, 24);
	ret->nr_records = span_le64(&s, 32);
	memcpy(ret->pack_id, b + 40, 16);
	memcpy(ret->root, b + 56, 32);
	return 0;
}
