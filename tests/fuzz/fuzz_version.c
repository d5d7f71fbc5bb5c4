/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Fuzz target of what a version is read with: its file with the location table, and the records in packs, composed ones too. The first byte of an
 * input: 1 make the CRCs and the root right again. Then u32 the length of the version file, that file, and a heap of bytes in which all packs lie:
 * at the offset that a place names, whatever the pack.
 */
#include "base/arith.h"
#include "base/hash.h"
#include "base/span.h"
#include "imager/image/composed.h"
#include "imager/image/format.h"
#include "imager/image/locations.h"
#include "imager/image/packs.h"
#include "imager/image/reader.h"
#include "tests/fuzz/fuzz.h"
#include "tests/fuzz/repair.h"

#include <sys/mman.h>
#include <unistd.h>

#define MAX_CHUNKS 64U

struct heap {
	struct img_packs base;
	const uint8_t *bytes;
	size_t len;
};

static int heap_read(struct img_packs *p, const uint8_t pack[16], uint64_t offset, uint32_t len, uint8_t *head, uint8_t *payload, struct err *e)
{
	struct heap *h = (struct heap *)p;

	(void)pack;
	if (!range_inside(offset, len, h->len) || len < FMT_RECORD_SIZE)
		return err_set(e, ERR_CORRUPT, 0, "the heap ends");
	memcpy(head, h->bytes + offset, FMT_RECORD_SIZE);
	memcpy(payload, h->bytes + offset + FMT_RECORD_SIZE, len - FMT_RECORD_SIZE);
	return 0;
}

static void heap_close(struct img_packs *p)
{
	free(p);
}

static struct img_packs *heap_new(const uint8_t *bytes, size_t len)
{
	static const struct img_packs_ops ops = { .read = heap_read, .close = heap_close };
	struct heap *h = malloc(sizeof(*h));

	FUZZ_CHECK(h);
	*h = (struct heap){ .base = { .ops = &ops }, .bytes = bytes, .len = len };
	return &h->base;
}

/* What was decoded is encoded to what is decoded to the same. */
static void check_locations(const struct img_locations *l)
{
	struct err e = ERR_INIT;
	uint8_t *bytes;
	size_t len;

	FUZZ_CHECK(locations_encode(l, &bytes, &len, &e) == 0);
	AUTO(img_locations) struct img_locations *again = locations_decode(bytes, len, l->nr_chunks, false, &e);
	FUZZ_CHECK(again && again->nr_packs == l->nr_packs && again->nr_helpers == l->nr_helpers);
	FUZZ_CHECK(!l->nr_chunks || !memcmp(again->chunks, l->chunks, l->nr_chunks * sizeof(*l->chunks)));
	for (uint64_t i = 0; i < l->nr_helpers; i++)
		FUZZ_CHECK(locations_helper(l, &l->helpers[i].name) == &l->helpers[i].at);
	free(bytes);
}

static void check_composed(const struct img_record *rec, const uint8_t *payload)
{
	struct err e = ERR_INIT;
	struct composed c;

	if (rec->is_zero || rec->head.kind != FMT_COMPOSED || composed_parse(&rec->head, payload, &c, &e) < 0)
		return;
	uint8_t *out = malloc(CHUNK_SIZE);
	FUZZ_CHECK(out && c.nr_helpers <= CHUNK_LEAVES && c.nr_refs <= CHUNK_LEAVES && !(c.fresh & c.zero));
	FUZZ_CHECK(composed_put(&c, out) == rec->head.stored_len && !memcmp(out, payload, rec->head.stored_len));
	free(out);
}

static void use_version(struct img_reader *r)
{
	static uint8_t payload[CHUNK_PAYLOAD_MAX], content[CHUNK_SIZE];
	const struct img_manifest *m = img_reader_manifest(r);
	struct err e = ERR_INIT;
	struct img_record rec;
	int n;

	check_locations(img_reader_locations(r));
	struct chunk_codec *codec = m->nr_present > MAX_CHUNKS ? NULL : chunk_codec_for(m->seal, 0, &e);
	while (codec && ((n = img_reader_next(r, &rec, payload, &e)) > 0 || (n < 0 && img_reader_resync(r, &rec))))
		if (n > 0) {
			check_composed(&rec, payload);
			img_decode(codec, m, &rec, payload, content, &e);
		}
	chunk_codec_free(codec);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct err e = ERR_INIT;
	int fd = -1;

	if (size < 5 || size > (1U << 20))
		return 0;
	size_t len = get_le32(data + 1), rest = size - 5;
	len = len < rest ? len : rest;
	uint8_t *copy = malloc(rest + 1);
	FUZZ_CHECK(copy);
	memcpy(copy, data + 5, rest);
	if (data[0] & 1) {
		repair_image(copy, len);
		repair_records(copy + len, rest - len);
	}
	if ((fd = memfd_create("version", MFD_CLOEXEC)) >= 0 && pwrite(fd, copy, len, 0) == (ssize_t)len) {
		struct img_reader *r = img_reader_open_version("input", fd, heap_new(copy + len, rest - len), NULL, NULL, NULL, &e);
		if (r)
			use_version(r);
		img_reader_close(r);
	}
	if (fd >= 0)
		close(fd);
	free(copy);
	return 0;
}
