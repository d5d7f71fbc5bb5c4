/* SPDX-License-Identifier: GPL-3.0-or-later */
/* One chunk's content: its id (docs/format.md section 1) and its stored form (section 2.3). */
#ifndef CALCO_IMAGER_IMAGE_CHUNK_H
#define CALCO_IMAGER_IMAGE_CHUNK_H

#include "base/auto.h"
#include "base/err.h"
#include "imager/image/chunkmap.h"
#include "imager/image/manifest.h"
#include "imager/image/seal.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum chunk_codec_id { CODEC_RAW = 0, CODEC_ZSTD = 1 };

/* The most that a record's payload can be: a chunk that does not shrink, sealed. */
#define CHUNK_PAYLOAD_MAX (CHUNK_SIZE + SEAL_TAG_SIZE)

/* What one thread needs to hash, pack and unpack chunks. */
struct chunk_codec;
struct fmt_record;
struct kept_records;

/* @level: zstd level for packing; 0: only hashing and unpacking are needed */
struct chunk_codec *chunk_codec_new(int level, struct err *e);
/* chunk_codec_for - for the chunks of an encrypted image: ids are keyed, chunk_seal() and chunk_open() work. @s: NULL: not encrypted; kept until free */
struct chunk_codec *chunk_codec_for(const struct img_seal *s, int level, struct err *e);
void chunk_codec_free(struct chunk_codec *c);
AUTO_DEFINE(chunk_codec, chunk_codec_free)

/* chunk_id - the id of a content of CHUNK_SIZE bytes. *ret_is_zero (may be NULL): every byte is zero. -1 only when libcrypto fails. */
int chunk_id(struct chunk_codec *c, const uint8_t *content, uint8_t ret[IMG_ID_SIZE], bool *ret_is_zero, struct err *e);

/*
 * chunk_pack - the stored form of a content
 * @out: CHUNK_SIZE bytes
 *
 * ret_codec CODEC_ZSTD: out holds *ret_len bytes; CODEC_RAW: it does not shrink, store the content itself (out is undefined, *ret_len is CHUNK_SIZE).
 */
int chunk_pack(struct chunk_codec *c, const uint8_t *content, uint8_t *out, uint8_t *ret_codec, uint32_t *ret_len, struct err *e);

/* chunk_unpack - hostile stored bytes into exactly CHUNK_SIZE bytes of content, or ERR_CORRUPT. The id is not checked here. */
int chunk_unpack(struct chunk_codec *c, uint8_t codec, const uint8_t *stored, uint32_t stored_len, uint8_t *content, struct err *e);

/*
 * chunk_seal - encrypt the payload of a record: what chunk_pack() made, the content itself, or what composes it
 * @r: the record's header as it will be, but for its CRC; its stored length is that of in, and becomes that of out
 * @out: CHUNK_PAYLOAD_MAX bytes; may be in
 */
int chunk_seal(struct chunk_codec *c, struct fmt_record *r, const uint8_t *in, uint8_t *out, struct err *e);

/*
 * chunk_open - decrypt a record's payload
 * @head: the record's header as stored
 *
 * *ret lives in the codec until its next use; it is what chunk_unpack() takes, *ret_len bytes. ERR_CORRUPT.
 */
int chunk_open(struct chunk_codec *c, const uint8_t *head, const uint8_t *stored, uint32_t len, const uint8_t **ret, uint32_t *ret_len, struct err *e);

/*
 * chunk_payload - a record's payload as chunk_unpack() and composed_parse() take it, whether the image is encrypted or not
 * @r: its header; of an encrypted image the stored length becomes what is left without the tag
 *
 * *ret is stored itself, or lives in the codec until its next use. ERR_CORRUPT.
 */
int chunk_payload(struct chunk_codec *c, struct fmt_record *r, const uint8_t *stored, const uint8_t **ret, struct err *e);

/* chunk_recheck - does a packed chunk unpack to this content? ERR_FAILED if not: memory or the compressor is broken. */
int chunk_recheck(struct chunk_codec *c, const uint8_t *packed, uint32_t len, const uint8_t *content, struct err *e);

/* chunk_recheck_sealed - the same of what chunk_seal() made of a whole chunk; chunk_recheck_payload - and of any payload, which is given to compare */
int chunk_recheck_sealed(struct chunk_codec *c, const struct fmt_record *r, const uint8_t *sealed, const uint8_t *content, struct err *e);
int chunk_recheck_payload(struct chunk_codec *c, const struct fmt_record *r, const uint8_t *sealed, const uint8_t *payload, struct err *e);

/*
 * chunk_leaves - the hash of each leaf of a content, those of zero leaves included
 * @ret_present: bit i: leaf i is not zero
 *
 * chunk_list_id - the id that such a list proves
 */
int chunk_leaves(struct chunk_codec *c, const uint8_t *content, uint8_t ret[CHUNK_LEAVES][IMG_ID_SIZE], uint64_t *ret_present, struct err *e);
int chunk_list_id(struct chunk_codec *c, const uint8_t list[CHUNK_LEAVES][IMG_ID_SIZE], uint8_t ret[IMG_ID_SIZE], struct err *e);

/* The same as chunk_pack(), chunk_unpack() and chunk_recheck() for a row of leaves of len bytes (LEAF_SIZE .. CHUNK_SIZE) */
int leaves_pack(struct chunk_codec *c, const uint8_t *leaves, size_t len, uint8_t *out, uint8_t *ret_codec, uint32_t *ret_len, struct err *e);
int leaves_unpack(struct chunk_codec *c, uint8_t codec, const uint8_t *stored, size_t stored_len, uint8_t *leaves, size_t len, struct err *e);
int leaves_recheck(struct chunk_codec *c, const uint8_t *packed, size_t packed_len, const uint8_t *leaves, size_t len, struct err *e);

/* chunk_codec_kept - what this thread keeps of the records it composed chunks from; made at the first call */
struct kept_records *chunk_codec_kept(struct chunk_codec *c, struct err *e);

/* chunk_zero_id - the id of the all-zero content; computed once by chunk_codec_new() */
const uint8_t *chunk_zero_id(const struct chunk_codec *c);
/* chunk_zero_leaf - the hash of a zero leaf */
const uint8_t *chunk_zero_leaf(const struct chunk_codec *c);

#endif
