/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Hashing, packing and unpacking of chunks; see chunk.h. */
#include "imager/image/chunk.h"

#include "base/hash_lanes.h"
#include "imager/image/format.h"
#include "imager/image/kept_records.h"

#include <string.h>
#include <zstd.h>
#include <zstd_errors.h>

#define USUAL_LEVEL 3

static const uint8_t id_prefix[16] = "calco chunk v1\0";

struct chunk_codec {
	struct hasher *hasher;
	struct hash_lanes *lanes; /* for leaves */
	ZSTD_CCtx *cctx;
	ZSTD_DCtx *dctx;
	uint8_t *scratch; /* CHUNK_SIZE, for chunk_recheck() */
	struct seal_box *box; /* NULL: not encrypted */
	uint8_t *opened;  /* CHUNK_SIZE, for chunk_open() */
	struct kept_records *kept; /* NULL until composed records are met */
	uint8_t zero_leaf[HASH_SIZE], zero_id[HASH_SIZE];
};

static const uint8_t zeros[LEAF_SIZE];

static bool leaf_is_zero(const uint8_t *leaf)
{
	/* The first byte decides most of the time; memcmp against itself shifted by one would read twice as much. */
	return leaf[0] == 0 && leaf[LEAF_SIZE / 2] == 0 && memcmp(leaf, zeros, LEAF_SIZE) == 0;
}

static void hash_list(struct hasher *h, const uint8_t list[CHUNK_LEAVES][HASH_SIZE], uint8_t ret[HASH_SIZE])
{
	hasher_begin(h);
	hasher_add(h, id_prefix, sizeof(id_prefix));
	hasher_add(h, list, (size_t)CHUNK_LEAVES * HASH_SIZE);
	hasher_end(h, ret);
}

static int prepare_zero(struct chunk_codec *c, struct err *e)
{
	uint8_t list[CHUNK_LEAVES][HASH_SIZE];

	hasher_begin(c->hasher);
	hasher_add(c->hasher, zeros, LEAF_SIZE);
	hasher_end(c->hasher, c->zero_leaf);
	for (unsigned i = 0; i < CHUNK_LEAVES; i++)
		memcpy(list[i], c->zero_leaf, HASH_SIZE);
	hash_list(c->hasher, list, c->zero_id);
	return hasher_check(c->hasher, e);
}

/*
 * zstd's own table for inputs of 256 KiB takes match tables of 2^16 entries at level 3, which crowd a cache that two threads share.
 * Half of that was measured 7 % faster for 0.2 % more bytes (docs/benchmarks.md). Other levels are what zstd makes of them.
 */
static size_t set_level(ZSTD_CCtx *cctx, int level)
{
	size_t r = ZSTD_CCtx_setParameter(cctx, ZSTD_c_compressionLevel, level);

	if (level != USUAL_LEVEL || ZSTD_isError(r))
		return r;
	r = ZSTD_CCtx_setParameter(cctx, ZSTD_c_hashLog, 15);
	return ZSTD_isError(r) ? r : ZSTD_CCtx_setParameter(cctx, ZSTD_c_chainLog, 15);
}

static int prepare_zstd(struct chunk_codec *c, int level, struct err *e)
{
	c->dctx = ZSTD_createDCtx();
	c->scratch = malloc(CHUNK_SIZE);
	if (!c->dctx || !c->scratch)
		return err_nomem(e, "decompression");
	if (!level)
		return 0;
	c->cctx = ZSTD_createCCtx();
	if (!c->cctx)
		return err_nomem(e, "compression");
	if (ZSTD_isError(set_level(c->cctx, level)))
		return err_set(e, ERR_USAGE, 0, "compression level %d is outside 1..19", level);
	return 0;
}

static int prepare_seal(struct chunk_codec *c, const struct img_seal *s, struct err *e)
{
	if (!s)
		return 0;
	if (!(c->opened = malloc(CHUNK_SIZE)))
		return err_nomem(e, "decryption");
	return (c->box = seal_box_new(s, e)) ? 0 : -1;
}

struct chunk_codec *chunk_codec_new(int level, struct err *e)
{
	return chunk_codec_for(NULL, level, e);
}

struct chunk_codec *chunk_codec_for(const struct img_seal *s, int level, struct err *e)
{
	struct chunk_codec *c = calloc(1, sizeof(*c));

	if (!c) {
		err_nomem(e, "a chunk codec");
		return NULL;
	}
	c->hasher = hasher_new_keyed(s ? s->id_key : NULL, e);
	c->lanes = c->hasher ? hash_lanes_new_keyed(s ? s->id_key : NULL, e) : NULL;
	if (!c->lanes || prepare_seal(c, s, e) < 0 || prepare_zero(c, e) < 0 || prepare_zstd(c, level, e) < 0) {
		chunk_codec_free(c);
		return NULL;
	}
	return c;
}

void chunk_codec_free(struct chunk_codec *c)
{
	if (!c)
		return;
	hasher_free(c->hasher);
	hash_lanes_free(c->lanes);
	ZSTD_freeCCtx(c->cctx);
	ZSTD_freeDCtx(c->dctx);
	kept_records_free(c->kept);
	free(c->scratch);
	seal_box_free(c->box);
	free(c->opened);
	free(c);
}

int chunk_leaves(struct chunk_codec *c, const uint8_t *content, uint8_t ret[CHUNK_LEAVES][IMG_ID_SIZE], uint64_t *ret_present, struct err *e)
{
	const uint8_t *data[CHUNK_LEAVES]; /* the leaves that are not zero, side by side */
	uint8_t hashes[CHUNK_LEAVES][HASH_SIZE];
	uint64_t present = 0;
	unsigned n = 0;

	for (unsigned i = 0; i < CHUNK_LEAVES; i++) {
		const uint8_t *leaf = content + (size_t)i * LEAF_SIZE;
		if (!leaf_is_zero(leaf)) {
			present |= UINT64_C(1) << i;
			data[n++] = leaf;
		}
	}
	if (n && hash_lanes_run(c->lanes, data, LEAF_SIZE, n, hashes, e) < 0)
		return -1;
	for (unsigned i = 0, k = 0; i < CHUNK_LEAVES; i++)
		memcpy(ret[i], present >> i & 1 ? hashes[k++] : c->zero_leaf, HASH_SIZE);
	*ret_present = present;
	return 0;
}

int chunk_list_id(struct chunk_codec *c, const uint8_t list[CHUNK_LEAVES][IMG_ID_SIZE], uint8_t ret[IMG_ID_SIZE], struct err *e)
{
	hash_list(c->hasher, list, ret);
	return hasher_check(c->hasher, e);
}

int chunk_id(struct chunk_codec *c, const uint8_t *content, uint8_t ret[IMG_ID_SIZE], bool *ret_is_zero, struct err *e)
{
	uint8_t list[CHUNK_LEAVES][HASH_SIZE];
	uint64_t present;

	if (chunk_leaves(c, content, list, &present, e) < 0)
		return -1;
	if (ret_is_zero)
		*ret_is_zero = present == 0;
	if (present)
		return chunk_list_id(c, list, ret, e);
	memcpy(ret, c->zero_id, HASH_SIZE);
	return 0;
}

int leaves_pack(struct chunk_codec *c, const uint8_t *leaves, size_t len, uint8_t *out, uint8_t *ret_codec, uint32_t *ret_len, struct err *e)
{
	/* One byte less than the content: a frame that would not shrink does not fit. */
	size_t n = ZSTD_compress2(c->cctx, out, len - 1, leaves, len);

	if (!ZSTD_isError(n)) {
		*ret_codec = CODEC_ZSTD;
		*ret_len = (uint32_t)n;
		return 0;
	}
	if (ZSTD_getErrorCode(n) != ZSTD_error_dstSize_tooSmall)
		return err_set(e, ERR_FAILED, 0, "compressing a chunk: %s", ZSTD_getErrorName(n));
	*ret_codec = CODEC_RAW;
	*ret_len = (uint32_t)len;
	return 0;
}

int chunk_pack(struct chunk_codec *c, const uint8_t *content, uint8_t *out, uint8_t *ret_codec, uint32_t *ret_len, struct err *e)
{
	return leaves_pack(c, content, CHUNK_SIZE, out, ret_codec, ret_len, e);
}

int leaves_unpack(struct chunk_codec *c, uint8_t codec, const uint8_t *stored, size_t stored_len, uint8_t *leaves, size_t len, struct err *e)
{
	if (codec == CODEC_RAW) {
		if (stored_len != len)
			return err_set(e, ERR_CORRUPT, 0, "a raw chunk of %zu bytes", stored_len);
		memcpy(leaves, stored, len);
		return 0;
	}
	if (codec != CODEC_ZSTD)
		return err_set(e, ERR_CORRUPT, 0, "a chunk with unknown codec %u", codec);
	if (!fmt_is_frame(stored, stored_len, len))
		return err_set(e, ERR_CORRUPT, 0, "a chunk that is not one zstd frame of %zu bytes", len);
	size_t n = ZSTD_decompressDCtx(c->dctx, leaves, len, stored, stored_len);
	if (ZSTD_isError(n) || n != len)
		return err_set(e, ERR_CORRUPT, 0, "a chunk does not decompress: %s", ZSTD_isError(n) ? ZSTD_getErrorName(n) : "too short");
	return 0;
}

int chunk_unpack(struct chunk_codec *c, uint8_t codec, const uint8_t *stored, uint32_t stored_len, uint8_t *content, struct err *e)
{
	return leaves_unpack(c, codec, stored, stored_len, content, CHUNK_SIZE, e);
}

static int faulty_machine(struct err *e)
{
	err_set(e, ERR_FAILED, 0, "a chunk did not decompress to what was compressed: memory or processor of this machine is faulty");
	return err_hint(e, "test the memory of this machine (memtest86+); nothing wrong was stored");
}

int chunk_seal(struct chunk_codec *c, struct fmt_record *r, const uint8_t *in, uint8_t *out, struct err *e)
{
	uint8_t head[FMT_RECORD_SIZE];
	struct seal_what w = { .pack_id = r->origin, .type = "CHNK", .number = r->number, .head = head, .head_len = FMT_RECORD_AAD };
	uint32_t len = r->stored_len;

	if (!c->box)
		return err_set(e, ERR_FAILED, 0, "a chunk was to be encrypted without a key");
	r->stored_len += SEAL_TAG_SIZE;
	fmt_put_record(head, r);
	return seal_close(c->box, &w, in, len, out, e);
}

int chunk_open(struct chunk_codec *c, const uint8_t *head, const uint8_t *stored, uint32_t len, const uint8_t **ret, uint32_t *ret_len, struct err *e)
{
	struct seal_what w = { .pack_id = head + 24, .type = "CHNK", .number = get_le64(head + 16), .head = head, .head_len = FMT_RECORD_AAD };

	if (!c->box)
		return err_set(e, ERR_FAILED, 0, "a chunk was to be decrypted without a key");
	if (len < SEAL_TAG_SIZE || len > CHUNK_PAYLOAD_MAX)
		return err_set(e, ERR_CORRUPT, 0, "an encrypted chunk of %u bytes", len);
	if (seal_open(c->box, &w, stored, len, c->opened, e) < 0)
		return err_wrap(e, "chunk %llu", (unsigned long long)get_le64(head + 8));
	*ret = c->opened;
	*ret_len = len - SEAL_TAG_SIZE;
	return 0;
}

int chunk_payload(struct chunk_codec *c, struct fmt_record *r, const uint8_t *stored, const uint8_t **ret, struct err *e)
{
	uint8_t head[FMT_RECORD_SIZE];

	*ret = stored;
	if (!c->box)
		return 0;
	fmt_put_record(head, r); /* every field is in r: what is reserved is zero, or it would not have been read */
	return chunk_open(c, head, stored, r->stored_len, ret, &r->stored_len, e);
}

int chunk_recheck_sealed(struct chunk_codec *c, const struct fmt_record *r, const uint8_t *sealed, const uint8_t *content, struct err *e)
{
	struct fmt_record head = *r;
	const uint8_t *payload;

	if (chunk_payload(c, &head, sealed, &payload, e) == 0 && chunk_unpack(c, r->codec, payload, head.stored_len, c->scratch, e) == 0 &&
		!memcmp(c->scratch, content, CHUNK_SIZE))
		return 0;
	return faulty_machine(e);
}

int chunk_recheck_payload(struct chunk_codec *c, const struct fmt_record *r, const uint8_t *sealed, const uint8_t *payload, struct err *e)
{
	struct fmt_record head = *r;
	const uint8_t *opened;

	if (chunk_payload(c, &head, sealed, &opened, e) == 0 && !memcmp(opened, payload, head.stored_len))
		return 0;
	return faulty_machine(e);
}

int leaves_recheck(struct chunk_codec *c, const uint8_t *packed, size_t packed_len, const uint8_t *leaves, size_t len, struct err *e)
{
	if (leaves_unpack(c, CODEC_ZSTD, packed, packed_len, c->scratch, len, e) < 0 || memcmp(c->scratch, leaves, len))
		return faulty_machine(e);
	return 0;
}

int chunk_recheck(struct chunk_codec *c, const uint8_t *packed, uint32_t len, const uint8_t *content, struct err *e)
{
	return leaves_recheck(c, packed, len, content, CHUNK_SIZE, e);
}

struct kept_records *chunk_codec_kept(struct chunk_codec *c, struct err *e)
{
	if (!c->kept)
		c->kept = kept_records_new(e);
	return c->kept;
}

const uint8_t *chunk_zero_id(const struct chunk_codec *c)
{
	return c->zero_id;
}

const uint8_t *chunk_zero_leaf(const struct chunk_codec *c)
{
	return c->zero_leaf;
}
