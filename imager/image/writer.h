/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Writing an image file or pipe, front to back, without ever seeking (docs/format.md section 2). One thread. */
#ifndef CALCO_IMAGER_IMAGE_WRITER_H
#define CALCO_IMAGER_IMAGE_WRITER_H

#include "base/auto.h"
#include "base/err.h"
#include "base/progress.h"
#include "imager/image/manifest.h"

#include <stdbool.h>
#include <stdint.h>

struct img_writer;
struct img_locations;
struct key;

/*
 * img_writer_open - write the head
 * @path: the file that is to appear; written as PATH.part until img_writer_commit(). For messages only when fd is not -1
 * @fd: -1, or a pipe or file to write to as it is; not closed
 * @m: kept until close; with m->seal, which has slots, the image is encrypted: core and envelope are written from it now, ids, bad ranges and root filled in at commit
 * @p: NULL, or asked whether to stop whenever a pipe takes nothing; kept until close
 *
 * ERR_REFUSED "exists" when path is already there: an image is never overwritten.
 */
struct img_writer *img_writer_open(const char *path, int fd, struct img_manifest *m, const struct progress *p, struct err *e);

/* img_writer_open_signed - the same; @k: NULL, or the secret key to sign core and root with; kept until close */
struct img_writer *img_writer_open_signed(const char *path, int fd, struct img_manifest *m, const struct key *k, const struct progress *p, struct err *e);

/* img_writer_may_make - could an image of this name be made now? ERR_REFUSED "exists", ERR_USAGE when its folder is not there. */
int img_writer_may_make(const char *path, struct err *e);

/*
 * img_writer_put - one chunk. In order of chunk numbers, each present chunk once. @payload NULL: the content is all zero, only the id is kept.
 *
 * The record's number is the chunk's place among the present ones (img_cursor.present). Of an encrypted image the payload is sealed already, by chunk_seal()
 * with that number and m->pack_id, which img_writer_open() makes.
 */
int img_writer_put(struct img_writer *w, uint64_t chunk, const uint8_t id[IMG_ID_SIZE], uint8_t codec, const uint8_t *payload,
	uint32_t stored_len, uint32_t payload_crc, struct err *e);

/*
 * img_writer_commit - write ids, bad ranges (m->bad), root, index and trailer, flush, and give the file its name
 *
 * Fills m->ids, m->root. Every present chunk must have been put. The rename and the folder are flushed too.
 */
int img_writer_commit(struct img_writer *w, struct err *e);

uint64_t img_writer_bytes(const struct img_writer *w); /* written so far */

/*
 * img_version_write - a version of a repository: an image whose records lie in packs (docs/repository.md)
 * @fd: a new file, written from where it stands; not flushed, not closed
 * @m: with ids and bad ranges of all present chunks; pack id and root are filled in; with m->seal, the secrets of the repository, it is encrypted
 * @l: where the records are; @has_composed: whether any of them is composed
 * @k: who signs it; NULL: nobody yet
 */
int img_version_write(const char *name, int fd, struct img_manifest *m, const struct img_locations *l, bool has_composed, const struct key *k, struct err *e);

/* img_version_relocate - the same version (a file that was checked) with another location table, to a new file; not flushed. @seal: NULL: in clear */
int img_version_relocate(const char *name, int from, int to, const struct img_seal *seal, const struct img_locations *l, struct err *e);

/* img_writer_close - release; without a commit the .part file is removed. NULL is fine. */
void img_writer_close(struct img_writer *w);
AUTO_DEFINE(img_writer, img_writer_close)

#endif
