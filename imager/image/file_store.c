/* SPDX-License-Identifier: GPL-3.0-or-later */
/* An image file as a store of chunks; see store.h. */
#include "imager/image/store.h"

#include "base/arith.h"
#include "imager/image/writer.h"

#include <limits.h>
#include <stdio.h>

struct file_store {
	struct img_store base;
	char path[PATH_MAX];
	int fd;
	const struct key *signer; /* borrowed */
	struct img_writer *writer;
};

static int file_begin(struct img_store *s, struct img_manifest *m, const struct progress *p, struct err *e)
{
	struct file_store *f = (struct file_store *)s;

	f->writer = img_writer_open_signed(f->path, f->fd, m, f->signer, p, e);
	return f->writer ? 0 : -1;
}

static int file_put(struct img_store *s, uint64_t chunk, const struct packed_chunk *c, const uint8_t *payload, struct err *e)
{
	struct file_store *f = (struct file_store *)s;

	return img_writer_put(f->writer, chunk, c->id, c->head.codec, c->is_zero ? NULL : payload, c->head.stored_len, c->head.crc, e);
}

static int file_commit(struct img_store *s, struct err *e)
{
	return img_writer_commit(((struct file_store *)s)->writer, e);
}

static uint64_t file_bytes(const struct img_store *s)
{
	const struct file_store *f = (const struct file_store *)s;

	return f->writer ? img_writer_bytes(f->writer) : 0;
}

static void file_close(struct img_store *s)
{
	img_writer_close(((struct file_store *)s)->writer);
	free(s);
}

void img_store_close(struct img_store *s)
{
	if (s)
		s->ops->close(s);
}

struct img_store *file_store_new(const char *path, int fd, const struct key *k, struct err *e)
{
	static const struct img_store_ops ops = {
		.begin = file_begin,
		.put = file_put,
		.commit = file_commit,
		.bytes = file_bytes,
		.close = file_close,
	};
	struct file_store *f = alloc_array(1, sizeof(*f));

	if (!f) {
		err_nomem(e, "the image");
		return NULL;
	}
	f->base.ops = &ops;
	f->fd = fd;
	f->signer = k;
	snprintf(f->path, sizeof(f->path), "%s", path);
	return &f->base;
}
