/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Reading an image file or pipe. Everything read is hostile until checked: lengths against ceilings, CRCs, the root
 * over core, ids and bad ranges. Content is only given out by img_decode() when its id was recomputed and matches.
 */
#ifndef CALCO_IMAGER_IMAGE_READER_H
#define CALCO_IMAGER_IMAGE_READER_H

#include "base/auto.h"
#include "base/err.h"
#include "imager/image/manifest.h"

#include <stdbool.h>
#include <stdint.h>

struct img_reader;

/*
 * img_reader_open - read the head; of a seekable file also the trailer, ids, bad ranges, root and index
 * @path: for messages, and opened when fd is -1
 * @fd: an open descriptor to read from (a pipe); not closed by the reader
 *
 * After this the manifest of a seekable file is complete and its root verified. ERR_CORRUPT: damaged or unfinished;
 * ERR_UNSUPPORTED: a mandatory feature is not known, named; ERR_USAGE: not a calco image, or no such file.
 */
struct img_reader *img_reader_open(const char *path, int fd, struct err *e);
void img_reader_close(struct img_reader *r);
AUTO_DEFINE(img_reader, img_reader_close)

/* img_reader_manifest - borrowed; img_reader_take_manifest - the caller owns it from now on, the reader borrows it until it is closed */
const struct img_manifest *img_reader_manifest(const struct img_reader *r);
struct img_manifest *img_reader_take_manifest(struct img_reader *r);
bool img_reader_seekable(const struct img_reader *r);
/* img_reader_size - bytes of the file, 0 for a pipe */
uint64_t img_reader_size(const struct img_reader *r);

/* One record as stored; payload lies in the caller's buffer. */
struct img_record {
	uint64_t chunk;       /* chunk number */
	uint64_t present;     /* place in ids */
	uint64_t file_offset; /* of the record's header */
	uint8_t id[IMG_ID_SIZE];
	uint8_t codec;        /* 0 raw, 1 zstd */
	uint32_t stored_len;
	uint32_t crc;         /* of the payload, not yet checked: img_decode() does, in parallel */
};

/*
 * img_reader_next - the next record in file order
 * @payload: CHUNK_SIZE bytes
 *
 * 1: *ret is filled; 0: the records are over (then img_reader_finish()); -1: ERR_CORRUPT, ERR_FAILED. The header is checked (CRC, numbers ascending,
 * chunk is present; with ids known: the id matches). One thread.
 */
int img_reader_next(struct img_reader *r, struct img_record *ret, uint8_t *payload, struct err *e);

/*
 * img_reader_finish - behind the last record: of a pipe, read ids, bad ranges, root, index and trailer and check them against
 * what was read; of a file, check that the records end where the tail begins
 *
 * @ids: for a pipe: the ids seen so far in present order (zero chunks filled in by the caller), nr_present of them; may be NULL for a file.
 * ERR_CORRUPT when the root or anything else does not match: what was restored from this pipe is not to be trusted.
 */
int img_reader_finish(struct img_reader *r, uint8_t (*ids)[IMG_ID_SIZE], struct err *e);

/*
 * img_reader_skip_damage - seekable only: after img_reader_next() failed, go on at the next record the index knows
 *
 * 1: positioned; 0: nothing behind it. *ret_from, *ret_to: file offsets of what was skipped.
 */
int img_reader_skip_damage(struct img_reader *r, uint64_t *ret_from, uint64_t *ret_to);

/* img_reader_chunk - seekable only: read, decode and check the present chunk number n into content (CHUNK_SIZE). Uses the index. Thread-safe. */
int img_reader_chunk(struct img_reader *r, uint64_t n, uint8_t *content, struct err *e);

#endif
