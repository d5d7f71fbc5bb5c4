/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Fuzz target of the image reader. The first byte of an input chooses: 1 make the CRCs and the root right again, so that what lies behind them is
 * reached; 2 read it from a pipe; 4 open it with the keys of tests/reader/make_sample.py. The rest is the image. Everything the reader gives out is walked: records, chunks by index, the tail.
 */
#include "base/hash.h"
#include "base/span.h"
#include "imager/image/access.h"
#include "imager/image/format.h"
#include "imager/image/reader.h"
#include "tests/fuzz/fuzz.h"
#include "tests/fuzz/repair.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define MAX_SIZE   (1U << 20)
#define PIPE_ROOM  60000U
#define MAX_CHUNKS 4096U

enum choice { CHOICE_REPAIR = 1, CHOICE_PIPE = 2, CHOICE_KEYS = 4 };

static void use_reader(struct img_reader *r)
{
	static uint8_t payload[CHUNK_PAYLOAD_MAX], content[CHUNK_SIZE];
	const struct img_manifest *m = img_reader_manifest(r);
	struct err e = ERR_INIT;
	struct chunk_codec *codec = chunk_codec_for(m->seal, 0, &e);
	struct img_record rec;
	char words[200];
	int n;

	if (!codec || m->nr_present > MAX_CHUNKS) {
		chunk_codec_free(codec);
		return;
	}
	for (size_t i = 0; i < m->nr_regions && i < 100; i++)
		img_describe_region(m, i, words, sizeof(words));
	while ((n = img_reader_next(r, &rec, payload, &e)) > 0 || (n < 0 && img_reader_resync(r, &rec)))
		if (n > 0)
			img_decode(codec, m, &rec, payload, content, &e);
	if (n == 0)
		img_reader_finish(r, &e);
	struct img_cursor c;
	img_cursor_begin(&c);
	for (unsigned i = 0; img_reader_seekable(r) && i < 8 && img_cursor_next(m, &c); i++)
		img_reader_chunk(r, c.region, c.i, content, &e);
	chunk_codec_free(codec);
}

/* The symmetric key and the recipient of the samples: the hashes of their names. */
static void sample_keys(struct key ret[2])
{
	struct err e = ERR_INIT;
	struct hasher *h = hasher_new(&e);

	memset(ret, 0, 2 * sizeof(*ret));
	for (int i = 0; h && i < 2; i++) {
		hasher_begin(h);
		hasher_add(h, i ? "recipient" : "symmetric", 9);
		hasher_end(h, ret[i].bytes);
	}
	ret[0].kind = KEY_SYMMETRIC;
	ret[1].kind = KEY_BOX_SECRET;
	crypt_x25519_public(ret[1].bytes, ret[1].public_bytes, &e);
	hasher_free(h);
}

/* The image as a descriptor to read from: a file in memory, or a pipe that holds all of it. */
static int open_input(const uint8_t *image, size_t size, bool as_pipe)
{
	int fds[2];

	if (as_pipe) {
		if (size > PIPE_ROOM || pipe(fds) < 0)
			return -1;
		ssize_t n = write(fds[1], image, size);
		close(fds[1]);
		if (n == (ssize_t)size)
			return fds[0];
		close(fds[0]);
		return -1;
	}
	int fd = memfd_create("image", MFD_CLOEXEC);
	if (fd >= 0 && (pwrite(fd, image, size, 0) != (ssize_t)size)) {
		close(fd);
		return -1;
	}
	return fd;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct err e = ERR_INIT;

	if (size < 2 || size > MAX_SIZE)
		return 0;
	uint8_t *image = malloc(size - 1);
	if (!image)
		return 0;
	memcpy(image, data + 1, size - 1);
	if (data[0] & CHOICE_REPAIR)
		repair_image(image, size - 1);
	int fd = open_input(image, size - 1, data[0] & CHOICE_PIPE);
	if (fd >= 0) {
		struct key keys[2];
		struct img_access access = { .keys = { .keys = keys, .nr_keys = data[0] & CHOICE_KEYS ? 2 : 0 } };
		if (access.keys.nr_keys)
			sample_keys(keys);
		struct img_reader *r = img_reader_open_with("input", fd, &access, NULL, &e);
		if (r)
			use_reader(r);
		img_reader_close(r);
		close(fd);
	}
	free(image);
	return 0;
}
