/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The reader's state, and the reading of what stands before and behind the records. Private to imager/image. */
#ifndef CALCO_IMAGER_IMAGE_READER_PARTS_H
#define CALCO_IMAGER_IMAGE_READER_PARTS_H

#include "imager/image/access.h"
#include "imager/image/format.h"
#include "imager/image/located.h"
#include "imager/image/reader.h"
#include "imager/image/stream.h"

#include <limits.h>

struct img_reader {
	struct stream s;
	char name[PATH_MAX];
	bool owns_fd;
	struct fmt_preamble preamble;
	struct img_manifest *m;
	bool owns_manifest;
	struct chunk_codec *codec;  /* for img_reader_chunk() and the id of zeros */
	uint64_t cids_offset;       /* of a file; of a pipe once it was reached */
	uint64_t index_offset;      /* of a file, as its trailer says */
	struct img_packs *packs;    /* of a version in a repository, else NULL; owned */
	struct located located;     /* of a version: its location table takes the place of the index */
	const struct img_seal *repo_seal; /* of a version in an encrypted repository; borrowed while it is opened */
	uint64_t *index;            /* of a file: offset of each present chunk's record, 0: none */
	uint64_t end_record;        /* of a file: place in ids behind the last chunk that has a record */
	struct img_cursor at;       /* the chunk given out last */
	bool has_pending;           /* a record's header was read and its chunk not yet given out */
	struct fmt_record pending;
	uint8_t pending_head[FMT_RECORD_SIZE];
	uint64_t pending_offset;
	bool records_over;
	uint64_t nr_records;        /* headers seen */
	uint64_t next_number;       /* the lowest number the next record of this pack may have */
	uint8_t *payload;           /* CHUNK_PAYLOAD_MAX, for img_reader_chunk() */
	const struct img_access *access; /* borrowed; NULL: nothing was given */
	struct img_sign_places places;
};

/* reader_head - preamble, CORE, ENVL, CSIG: the manifest but for ids, bad ranges and root */
int reader_head(struct img_reader *r, struct err *e);

/* reader_file_tail - of a file, after the head: everything behind the records, found through the trailer; then back to the records */
int reader_file_tail(struct img_reader *r, struct err *e);

/* reader_pipe_tail - of a pipe, after the last record: the same, checked against the records that came by */
int reader_pipe_tail(struct img_reader *r, struct err *e);

#endif
