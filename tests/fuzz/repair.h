/* SPDX-License-Identifier: GPL-3.0-or-later */
/* CRCs, hashes and lengths of an image that was mutated are made right, so that what lies behind them is reached. */
#ifndef CALCO_TESTS_FUZZ_REPAIR_H
#define CALCO_TESTS_FUZZ_REPAIR_H

#include "base/hash.h"
#include "base/span.h"
#include "imager/image/format.h"
#include "imager/image/manifest.h"

#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* The raw payloads the root is made of, as they are found on the way. */
struct found {
	const uint8_t *core, *ids, *bad;
	size_t core_len, ids_len, bad_len;
	uint8_t *root, *trailer;
};

static inline void remember(struct found *f, const uint8_t *head, uint8_t *payload, size_t len)
{
	if (get_le32(head + 4) & FMT_ZSTD)
		return;
	if (!memcmp(head, "CORE", 4)) {
		f->core = payload;
		f->core_len = len;
	} else if (!memcmp(head, "CIDS", 4)) {
		f->ids = payload;
		f->ids_len = len;
	} else if (!memcmp(head, "BADR", 4)) {
		f->bad = payload;
		f->bad_len = len;
	} else if (!memcmp(head, "ROOT", 4) && len == 32) {
		f->root = payload;
	} else if (!memcmp(head, "TRLR", 4) && len == FMT_TRAILER_SIZE) {
		f->trailer = payload;
	}
}

/* One part or record at p: its length, or 0 at the end. The payload's CRC is made right, the header's after the root was. */
static inline size_t walk_one(uint8_t *p, size_t left, struct found *f)
{
	bool record = left >= FMT_RECORD_SIZE && !memcmp(p, "CHNK", 4);
	size_t head = record ? FMT_RECORD_SIZE : FMT_PART_SIZE;

	if (left < head)
		return 0;
	uint64_t len = record ? get_le32(p + 76) : get_le64(p + 16);
	if (len > left - head)
		return 0;
	if (!record)
		remember(f, p, p + head, (size_t)len);
	put_le32(p, record ? 88 : 24, crc32_of(p + head, (size_t)len));
	put_le32(p, record ? 92 : 28, crc32_of(p, record ? 92 : 28));
	return head + (size_t)len;
}

static inline void walk(uint8_t *image, size_t size, struct found *f)
{
	for (size_t at = FMT_PREAMBLE_SIZE, n; at < size && (n = walk_one(image + at, size - at, f)); at += n)
		;
}

static inline void repair_image(uint8_t *image, size_t size)
{
	struct found f = { .bad = image };
	struct err e = ERR_INIT;
	uint8_t core_hash[HASH_SIZE];

	if (size < FMT_PREAMBLE_SIZE)
		return;
	put_le32(image, 60, crc32_of(image, 60));
	walk(image, size, &f);
	struct hasher *h = hasher_new(&e);
	if (h && f.core && f.ids && f.root && f.trailer) {
		hasher_begin(h);
		hasher_add(h, f.core, f.core_len);
		hasher_end(h, core_hash);
		img_root(core_hash, f.ids, f.ids_len / IMG_ID_SIZE, f.bad, f.bad_len, f.root, &e);
		memcpy(f.trailer + 56, f.root, 32);
		put_le64(f.trailer, 0, size);
		walk(image, size, &f);
	}
	hasher_free(h);
}

/* A heap of packs: each record begins where the one before it ends, and something else may stand before and behind. */
static inline void repair_records(uint8_t *p, size_t size)
{
	struct found f = { .bad = p };

	for (size_t at = 0, n; at + FMT_RECORD_SIZE <= size; at += n ? n : 1) {
		n = memcmp(p + at, "CHNK", 4) ? 0 : walk_one(p + at, size - at, &f);
	}
}

/* A pack: the root is that of its table of contents. */
static inline void repair_pack(uint8_t *p, size_t size)
{
	struct err e = ERR_INIT;

	if (size < FMT_PREAMBLE_SIZE)
		return;
	put_le32(p, 60, crc32_of(p, 60));
	for (int pass = 0; pass < 2; pass++) {
		struct found f = { .bad = p };
		const uint8_t *toc = NULL;
		size_t toc_len = 0;
		for (size_t at = FMT_PREAMBLE_SIZE, n; at < size && (n = walk_one(p + at, size - at, &f)); at += n)
			if (!memcmp(p + at, "PTOC", 4)) {
				toc = p + at + FMT_PART_SIZE;
				toc_len = n - FMT_PART_SIZE;
			}
		struct hasher *h = hasher_new(&e);
		if (h && toc && f.trailer) {
			hasher_begin(h);
			hasher_add(h, toc, toc_len);
			hasher_end(h, f.trailer + 56);
			put_le64(f.trailer, 0, size);
		}
		hasher_free(h);
	}
}

#endif
