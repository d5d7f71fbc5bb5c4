/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Where a capture's chunks go: a file (file_store.c), a repository (imager/repo/store.c). A table of functions; each instance begins with
 * struct img_store. Chunks are looked at by any thread and put by one, in order.
 */
#ifndef CALCO_IMAGER_IMAGE_STORE_H
#define CALCO_IMAGER_IMAGE_STORE_H

#include "base/auto.h"
#include "base/err.h"
#include "base/progress.h"
#include "imager/image/chunk.h"
#include "imager/image/format.h"
#include "imager/image/manifest.h"

#include <stdbool.h>
#include <stdint.h>

/* What one chunk becomes. */
struct packed_chunk {
	uint8_t leaves[CHUNK_LEAVES][IMG_ID_SIZE]; /* their hashes */
	uint64_t present;       /* bit i: leaf i is not zero */
	uint8_t id[IMG_ID_SIZE];
	bool is_zero;           /* nothing is stored */
	bool is_known;          /* the store holds it already: nothing is stored */
	bool is_content;        /* the payload is the content itself */
	bool is_sealed;         /* it is encrypted; then the head has origin, number, chunk and id too */
	struct fmt_record head; /* kind, codec, lengths, number of helpers, CRC */
	uint64_t fresh;         /* of a composed one: bitmap of the leaves in its payload */
};

struct img_store;
struct key;

struct img_store_ops {
	/* The manifest is planned, nothing was read yet; kept until close. Before the first look(). */
	int (*begin)(struct img_store *s, struct img_manifest *m, const struct progress *p, struct err *e);
	/*
	 * Any thread; NULL: this store looks at nothing. In: leaves, present and id. 1: the chunk is known, or was composed into payload
	 * (CHUNK_SIZE); 0: it is to be stored whole.
	 */
	int (*look)(struct img_store *s, struct chunk_codec *codec, const uint8_t *content, struct packed_chunk *c, uint8_t *payload, struct err *e);
	int (*put)(struct img_store *s, uint64_t chunk, const struct packed_chunk *c, const uint8_t *payload, struct err *e);
	/* All is put: the image appears. */
	int (*commit)(struct img_store *s, struct err *e);
	uint64_t (*bytes)(const struct img_store *s); /* written so far */
	void (*close)(struct img_store *s);
};

struct img_store {
	const struct img_store_ops *ops;
};

void img_store_close(struct img_store *s);
AUTO_DEFINE(img_store, img_store_close)

/* file_store_new - an image file of this path, or with fd >= 0 what comes out there; see img_writer_open_signed(). @k: kept; NULL: nobody signs */
struct img_store *file_store_new(const char *path, int fd, const struct key *k, struct err *e);

#endif
