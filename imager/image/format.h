/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The numbers of docs/format.md that encoder, decoder, reader and writer share. */
#ifndef CALCO_IMAGER_IMAGE_FORMAT_H
#define CALCO_IMAGER_IMAGE_FORMAT_H

#include "base/err.h"
#include "base/span.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define FMT_MAGIC         "\x89" "CALCO\r\n"
#define FMT_MAJOR         1
#define FMT_PREAMBLE_SIZE 64U
#define FMT_PART_SIZE     32U
#define FMT_PART_AAD      24U /* of the headers: what encryption authenticates */
#define FMT_RECORD_SIZE   96U
#define FMT_RECORD_AAD    88U
#define FMT_TRAILER_SIZE  96U /* its payload; with the part header the last 128 bytes of a file */
#define FMT_TRAILER_MAGIC "\n\rOCLAC\x98"
#define FMT_BAD_SIZE      24U

#define FMT_MAX_CORE      ((uint64_t)1 << 30)
#define FMT_MAX_LOCS      ((uint64_t)8 << 30)
#define FMT_MAX_SMALL     ((uint64_t)1 << 20) /* ENVL, KEYS, CSIG, SIGS */
#define FMT_MAX_BAD       ((uint64_t)1 << 24) /* ranges */
#define FMT_MAX_DISK_BYTES ((uint64_t)1 << 50)
#define FMT_MAX_TABLE_COPY (4U << 20)
/* A compressed part says at most this much more than it takes, so that a few bytes cannot ask for a GiB. */
#define FMT_RATIO_FREE    ((uint64_t)4 << 20)
#define FMT_MAX_RATIO     256U

enum fmt_feature { FMT_FEATURE_ENCRYPTED = 1 };

/* Bits of the mandatory features. */
#define FMT_HAS_COMPOSED  ((uint64_t)1 << 1)
#define FMT_IN_PACKS      ((uint64_t)1 << 4)
#define FMT_IS_PACK       ((uint64_t)1 << 5)
#define FMT_IS_REPOSITORY ((uint64_t)1 << 6)

enum fmt_record_kind { FMT_WHOLE = 1, FMT_COMPOSED = 2 };

enum fmt_part_flags { FMT_MANDATORY = 1, FMT_ZSTD = 2, FMT_ENCRYPTED = 4 };

struct fmt_part {
	char type[5]; /* with a NUL */
	uint16_t flags;
	uint64_t raw_len, stored_len;
	uint32_t crc; /* of the stored payload */
};

struct fmt_preamble {
	uint64_t mandatory, optional;
	uint8_t pack_id[16];
};

struct fmt_record {
	uint8_t kind, codec;
	uint16_t nr_helpers; /* of a composed one */
	uint32_t raw_len;    /* what the payload's leaves are when unpacked: CHUNK_SIZE, or of a composed one its new leaves */
	uint64_t chunk, number;
	uint8_t origin[16], id[32];
	uint32_t stored_len, crc;
};

struct fmt_trailer {
	uint64_t file_len, cids_offset, index_offset, nr_present, nr_records;
	uint8_t pack_id[16], root[32];
};

/* fmt_ratio_ok - may a part of this type be compressed from raw_len to stored_len? INDX may always: its length follows from the ids. */
bool fmt_ratio_ok(const char *type, uint64_t raw_len, uint64_t stored_len);

/* fmt_is_sealed - is this part encrypted in an encrypted image? fmt_is_table - and with a key of its own, whose salt stands before it? */
bool fmt_is_sealed(const char *type);
bool fmt_is_table(const char *type);

/* fmt_is_frame - is this exactly one zstd frame (RFC 8878 §3.1.1) without a dictionary, whose content size is raw_len? */
bool fmt_is_frame(const uint8_t *p, size_t len, size_t raw_len);

/*
 * Encoders fill a buffer of the structure's size; decoders check CRC, magic, reserved fields and ranges: ERR_CORRUPT, ERR_UNSUPPORTED.
 * @features: the mandatory ones that the caller can read; others are refused by name
 */
void fmt_put_preamble(uint8_t b[FMT_PREAMBLE_SIZE], const struct fmt_preamble *p);
int fmt_get_preamble(const uint8_t b[FMT_PREAMBLE_SIZE], uint64_t features, struct fmt_preamble *ret, struct err *e);
void fmt_put_part(uint8_t b[FMT_PART_SIZE], const struct fmt_part *p);
int fmt_get_part(const uint8_t b[FMT_PART_SIZE], struct fmt_part *ret, struct err *e);
void fmt_put_record(uint8_t b[FMT_RECORD_SIZE], const struct fmt_record *r);
/* fmt_get_record - of an image file, where every record is whole; fmt_get_pack_record - composed ones too. @sealed: in an encrypted image */
int fmt_get_record(const uint8_t b[FMT_RECORD_SIZE], bool sealed, struct fmt_record *ret, struct err *e);
int fmt_get_pack_record(const uint8_t b[FMT_RECORD_SIZE], bool sealed, struct fmt_record *ret, struct err *e);
void fmt_put_trailer(uint8_t b[FMT_TRAILER_SIZE], const struct fmt_trailer *t);
int fmt_get_trailer(const uint8_t b[FMT_TRAILER_SIZE], struct fmt_trailer *ret, struct err *e);

#endif
