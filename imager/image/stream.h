/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Buffered reading of an image file or pipe, front to back, with one look ahead. Private to imager/image. */
#ifndef CALCO_IMAGER_IMAGE_STREAM_H
#define CALCO_IMAGER_IMAGE_STREAM_H

#include "base/err.h"
#include "base/progress.h"
#include "imager/image/format.h"
#include "imager/image/reader.h"
#include "imager/image/seal.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct stream {
	int fd;
	bool seekable;
	bool waits;          /* a pipe: what will be read may be long in coming */
	const struct progress *p; /* borrowed; asked while it waits; NULL: nobody */
	const char *name;    /* borrowed */
	uint64_t size;       /* of a seekable file */
	uint64_t pos;        /* of the next byte stream_read() gives */
	uint8_t *buffer;     /* owned */
	size_t start, end;   /* what of the buffer is not consumed yet */
	bool sealed;         /* the image is encrypted */
	struct seal_box *box; /* borrowed; NULL: its key is not known (yet) */
	const uint8_t *pack_id; /* borrowed */
	struct img_place place; /* what was begun to be read last */
};

int stream_open(struct stream *s, int fd, const char *name, const struct progress *p, struct err *e);
void stream_close(struct stream *s); /* releases the buffer, not the descriptor */

/* stream_at - from now on, this is being read: a part ("" when none), where it begins, how long it is as far as is known */
void stream_at(struct stream *s, const char *part, uint64_t start, uint64_t len);

/* stream_read - exactly len bytes; ERR_CORRUPT when the file or pipe ends before */
int stream_read(struct stream *s, void *buf, size_t len, struct err *e);

/* stream_peek - the next len (<= 128) bytes without consuming them; fewer when there are no more: returns how many, -1 on an error */
int stream_peek(struct stream *s, void *buf, size_t len, struct err *e);

/*
 * stream_next_is - 1 when the next part is of this type, 0, -1
 *
 * Also when only the type is damaged: the header's CRC is that of a part of this type. Then stream_part() finds it damaged, and where.
 */
int stream_next_is(struct stream *s, const char *type, struct err *e);

/* stream_seek - seekable only */
void stream_seek(struct stream *s, uint64_t pos);

/*
 * stream_part - read a part of the given type: header and payload, decompressed
 * @max_raw: ceiling of its raw length
 * @exact_raw: UINT64_MAX, or what the raw length must be
 *
 * *ret is owned by the caller.
 */
int stream_part(struct stream *s, const char *type, uint64_t max_raw, uint64_t exact_raw, uint8_t **ret, size_t *ret_len, struct err *e);

/* A part as it is stored: of an encrypted image its first parts are read before its key is known. */
struct stored_part {
	uint8_t head[FMT_PART_SIZE];
	struct fmt_part p;
	uint8_t *bytes; /* owned: free() */
};

/* stream_part_read, stream_part_open - the two halves of stream_part(): header, CRC and lengths; then decryption and decompression. Open takes the bytes. */
int stream_part_read(struct stream *s, const char *type, uint64_t max_raw, uint64_t exact_raw, struct stored_part *ret, struct err *e);
int stream_part_open(const struct stream *s, struct stored_part *part, uint8_t **ret, size_t *ret_len, struct err *e);

/* stream_skip_unknown - skip parts of types nobody knows, as long as they are optional; ERR_UNSUPPORTED names a mandatory one */
int stream_skip_unknown(struct stream *s, struct err *e);

/*
 * stream_find_mandatory - seekable only: does a mandatory part of an unknown type stand between here and end? ERR_UNSUPPORTED names it
 *
 * Payloads are not read, and damage is left to those who read the parts: only a part whose header is sound counts.
 */
int stream_find_mandatory(struct stream *s, uint64_t end, struct err *e);

#endif
