/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Reading an image file or pipe. Everything read is hostile until checked: lengths against ceilings, CRCs, the root
 * over core, ids and bad ranges. Content is only given out when its id was recomputed and matches.
 */
#ifndef CALCO_IMAGER_IMAGE_READER_H
#define CALCO_IMAGER_IMAGE_READER_H

#include "base/auto.h"
#include "base/err.h"
#include "base/progress.h"
#include "imager/image/chunk.h"
#include "imager/image/format.h"
#include "imager/image/manifest.h"

#include <stdbool.h>
#include <stdint.h>

struct img_access;
struct img_reader;
struct img_locations;
struct img_packs;
struct img_seal;
struct located;

/* A place in the file: for telling where it is damaged. */
struct img_place {
	char part[5];        /* "": the preamble, or among the records */
	uint64_t start, len; /* len 0: not known */
};

/*
 * img_reader_open - read the head; of a seekable file also the trailer, ids, bad ranges, root and index
 * @path: for messages, and opened when fd is -1
 * @fd: an open descriptor to read from; not closed by the reader. What cannot seek is read front to back
 * @p: NULL, or asked whether to stop whenever a pipe gives nothing; kept until close
 *
 * After this the manifest of a seekable file is complete and its root verified. ERR_CORRUPT: damaged, unfinished or no image at all;
 * ERR_UNSUPPORTED: a mandatory feature is not known, named; ERR_USAGE: no such file.
 */
struct img_reader *img_reader_open(const char *path, int fd, const struct progress *p, struct err *e);

/*
 * img_reader_open_with - the same, with what it takes to believe in the image
 * @a: NULL: nothing; kept until close
 *
 * ERR_REFUSED when the image is encrypted ("locked" without a key, "wrong-key" with another, "not-encrypted" when it is not and a key was given), and when it is not signed by who is asked for, too old, or another one (see sigs.h for the reasons). Of a pipe the signature of the
 * root is judged by img_reader_finish().
 */
struct img_reader *img_reader_open_with(const char *path, int fd, const struct img_access *a, const struct progress *p, struct err *e);

/*
 * img_reader_examine - img_reader_open_with() for those who look for damage
 * @front_to_back: read a file as if it could not seek: its records can be looked at when its end is damaged
 * @ret_place: NULL, or what was being read when it failed
 */
struct img_reader *img_reader_examine(const char *path, int fd, bool front_to_back, const struct img_access *a, struct img_place *ret_place,
	const struct progress *p, struct err *e);

/*
 * img_reader_open_version - a version of a repository: everything but the records is in a file of its own
 * @name: for messages; @fd: the version file, not closed
 * @packs: where the records are; owned by the reader from now on, also when it fails
 * @seal: the secrets of the repository, which is then encrypted: only needed here; NULL: it is not. Keys in @a are not looked at.
 */
struct img_reader *img_reader_open_version(const char *name, int fd, struct img_packs *packs, const struct img_seal *seal, const struct img_access *a,
	const struct progress *p, struct err *e);

void img_reader_close(struct img_reader *r);
AUTO_DEFINE(img_reader, img_reader_close)

/* img_reader_manifest - borrowed; img_reader_take_manifest - the caller owns it and keeps it alive until the reader is closed */
const struct img_manifest *img_reader_manifest(const struct img_reader *r);
struct img_manifest *img_reader_take_manifest(struct img_reader *r);
bool img_reader_seekable(const struct img_reader *r);
/* img_reader_locations - of a version in a repository: its location table, borrowed; NULL for a file */
const struct img_locations *img_reader_locations(const struct img_reader *r);
/* img_reader_place - what was begun to be read last: after a failure, where it is */
const struct img_place *img_reader_place(const struct img_reader *r);
/* img_reader_size - bytes of the file, or of what was read of a pipe */
uint64_t img_reader_size(const struct img_reader *r);

/* Where signatures stand in a file. A length counts the part's header; 0: there is none, and the place is where it would stand. */
struct img_sign_places {
	uint64_t csig_at, csig_len, sigs_at, sigs_len;
	uint64_t index_at;
};
/* img_reader_sign_places - of a seekable image */
struct img_sign_places img_reader_sign_places(const struct img_reader *r);

/* One present chunk as stored; the payload lies in the caller's buffer. */
struct img_record {
	struct img_cursor at; /* which chunk */
	bool is_zero;         /* no record: all zero; the fields below are then unset but for id */
	uint8_t id[IMG_ID_SIZE];
	struct fmt_record head; /* its CRC of the payload is checked by img_decode() */
	uint8_t sealed_head[96]; /* the header as stored: decryption authenticates it */
	uint64_t file_offset; /* of the record's header; in its pack */
	const struct located *located; /* NULL for a record of a file; borrowed from the reader, for composed ones */
};

/*
 * img_reader_next - the next present chunk, zero chunks included
 * @payload: CHUNK_PAYLOAD_MAX bytes
 *
 * 1: *ret is filled; 0: that was all (then img_reader_finish()); -1: ERR_CORRUPT, ERR_FAILED. The header is checked: CRC, order,
 * the chunk is present, and of a seekable file that id and place are what ids and index say. One thread.
 */
int img_reader_next(struct img_reader *r, struct img_record *ret, uint8_t *payload, struct err *e);

/*
 * img_decode - check a record's payload and give out its content (CHUNK_SIZE), or ERR_CORRUPT
 *
 * Checked: CRC, decryption, decompression, id, and that what is not used is zero. Thread-safe with a codec for each thread, made by
 * chunk_codec_for(m->seal).
 */
int img_decode(struct chunk_codec *codec, const struct img_manifest *m, const struct img_record *rec, const uint8_t *payload, uint8_t *content, struct err *e);

/*
 * img_reader_finish - after img_reader_next() said 0: is what follows the records what it must be?
 *
 * Of a pipe, reads ids, bad ranges, root, index and trailer and checks them against the records that came by, and that nothing
 * follows. ERR_CORRUPT: what was read from this pipe is not to be trusted as a whole.
 */
int img_reader_finish(struct img_reader *r, struct err *e);

/*
 * img_reader_resync - of a seekable file, after img_reader_next() failed: go on behind the record that could not be read
 *
 * 1: *ret is the chunk that was lost (its file_offset too), the next img_reader_next() gives the chunk behind it; 0: no more records.
 */
int img_reader_resync(struct img_reader *r, struct img_record *ret);

/*
 * img_reader_record - seekable only: any present chunk as stored, wherever img_reader_next() stands. One thread.
 * @at: which; @payload: CHUNK_PAYLOAD_MAX bytes
 *
 * As img_reader_next() gives it: its header is checked, its content by img_decode().
 */
int img_reader_record(struct img_reader *r, const struct img_cursor *at, struct img_record *ret, uint8_t *payload, struct err *e);

/* img_reader_chunk - seekable only: read, decode and check one present chunk (chunk i of a region) into content (CHUNK_SIZE). One thread. */
int img_reader_chunk(struct img_reader *r, size_t region, uint64_t i, uint8_t *content, struct err *e);

#endif
