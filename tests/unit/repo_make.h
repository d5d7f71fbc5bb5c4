/* SPDX-License-Identifier: GPL-3.0-or-later */
/* A small repository record by record, so that a test can say where what lies, and lie about it. */
#ifndef CALCO_TESTS_UNIT_REPO_MAKE_H
#define CALCO_TESTS_UNIT_REPO_MAKE_H

#include "base/arith.h"
#include "base/hash.h"
#include "imager/image/chunk.h"
#include "imager/image/composed.h"
#include "imager/image/writer.h"
#include "imager/repo/draft.h"
#include "imager/repo/folder_packs.h"
#include "imager/repo/pack.h"
#include "imager/repo/versions.h"
#include "tests/unit/image_util.h"

/* A record, and the pack it lies in. */
struct made {
	uint8_t pack[16];
	struct pack_entry entry;
};

static inline struct repo *make_repo(char *dir, size_t size, const char *name)
{
	struct err e = ERR_INIT;

	temp_dir(dir, size, name);
	ok(repo_init(dir, NULL, &e), &e);
	struct repo *r = repo_open(dir, &e);
	ck_assert_msg(r != NULL, "%s", e.msg);
	return r;
}

static inline void remove_repo(struct repo *r)
{
	char command[PATH_MAX + 16];

	snprintf(command, sizeof(command), "rm -rf '%s'", r->dir);
	repo_close(r);
	ck_assert_int_eq(system(command), 0);
}

/* The content of chunk n: each leaf begins with bytes that no other leaf has, and compresses. */
static inline void make_content(uint64_t n, uint8_t *ret)
{
	uint64_t seed = n + 1;

	memset(ret, 0, CHUNK_SIZE);
	for (size_t i = 0; i < CHUNK_LEAVES; i++)
		rnd_fill(&seed, ret + i * LEAF_SIZE, 40);
}

/* A whole record of chunk n behind the others. */
static inline struct made make_whole(struct pack_writer *w, struct chunk_codec *codec, uint64_t n)
{
	static uint8_t content[CHUNK_SIZE], packed[CHUNK_SIZE];
	struct fmt_record head = { .kind = FMT_WHOLE, .chunk = n, .raw_len = CHUNK_SIZE };
	uint8_t leaves[CHUNK_LEAVES][HASH_SIZE];
	struct err e = ERR_INIT;
	struct made made;
	uint64_t present;

	make_content(n, content);
	ok(chunk_leaves(codec, content, leaves, &present, &e), &e);
	ok(chunk_list_id(codec, (const uint8_t(*)[HASH_SIZE])leaves, head.id, &e), &e);
	ok(chunk_pack(codec, content, packed, &head.codec, &head.stored_len, &e), &e);
	ck_assert_uint_eq(head.codec, CODEC_ZSTD);
	head.crc = crc32_of(packed, head.stored_len);
	ok(pack_writer_put(w, &head, false, packed, UINT64_MAX, (const uint8_t(*)[HASH_SIZE])leaves, &made.entry, &e), &e);
	memcpy(made.pack, pack_writer_id(w), 16);
	return made;
}

/* A record whose chunk is that of its lender: every leaf is lent. */
static inline struct made make_composed(struct pack_writer *w, const struct made *lender)
{
	static uint8_t payload[CHUNK_SIZE], none[1];
	struct composed c = { .nr_helpers = 1, .helpers = { lender->entry.name }, .nr_refs = CHUNK_LEAVES, .frame = none };
	struct fmt_record head = { .kind = FMT_COMPOSED, .codec = CODEC_RAW, .nr_helpers = 1 };
	struct err e = ERR_INIT;
	struct made made;

	for (unsigned i = 0; i < CHUNK_LEAVES; i++)
		c.refs[i] = (struct composed_ref){ .leaf = (uint8_t)i, .from_leaf = (uint8_t)i };
	memcpy(head.id, lender->entry.id, sizeof(head.id));
	head.stored_len = (uint32_t)composed_put(&c, payload);
	head.crc = crc32_of(payload, head.stored_len);
	ok(pack_writer_put(w, &head, false, payload, 0, NULL, &made.entry, &e), &e);
	memcpy(made.pack, pack_writer_id(w), 16);
	return made;
}

/* A pack of the whole records of chunks first, first + 1, ... */
static inline void make_pack(const struct repo *r, uint64_t first, unsigned nr, struct made *ret)
{
	struct err e = ERR_INIT;
	AUTO(chunk_codec) struct chunk_codec *codec = chunk_codec_new(1, &e);
	AUTO(pack_writer) struct pack_writer *w = pack_writer_open(r, &e);

	ck_assert_msg(codec && w, "%s", e.msg);
	for (unsigned i = 0; i < nr; i++)
		ret[i] = make_whole(w, codec, first + i);
	ok(pack_writer_finish(w, &e), &e);
}

/* A disk without a table, all of it used. */
static inline struct img_manifest *make_plain_manifest(uint64_t nr_chunks)
{
	struct err e = ERR_INIT;
	struct img_manifest *m = img_manifest_new(&e);

	ck_assert_ptr_nonnull(m);
	m->disks = calloc(1, sizeof(*m->disks));
	m->regions = calloc(1, sizeof(*m->regions));
	m->nr_disks = m->nr_regions = 1;
	m->disks[0] = (struct img_disk){ .size = nr_chunks * CHUNK_SIZE, .sector_size = 512, .phys_sector_size = 512 };
	m->regions[0] = (struct img_region){ .len = nr_chunks * CHUNK_SIZE, .kind = 3, .map = cmap_new(nr_chunks * CHUNK_SIZE, 12, &e) };
	ok(cmap_add(m->regions[0].map, 0, nr_chunks * CHUNK_SIZE, EXT_USED, &e), &e);
	cmap_freeze(m->regions[0].map);
	img_manifest_number(m);
	m->ids = calloc(nr_chunks, IMG_ID_SIZE);
	return m;
}

/*
 * A version "lab@number" of one disk
 * @ids: records with the content it is to have; @at: where its table says they lie, offset 0: nowhere; @lenders: what its table lists as helpers
 */
static inline void make_version(const struct repo *r, uint64_t number, unsigned nr, const struct made *ids, const struct made *at, unsigned nr_lenders,
	const struct made *lenders)
{
	struct repo_version v = { .name = "lab", .number = number };
	struct err e = ERR_INIT;
	AUTO(img_manifest) struct img_manifest *m = make_plain_manifest(nr);
	AUTO(draft) struct draft *d = draft_new(nr, &e);
	char path[PATH_MAX];

	ck_assert_ptr_nonnull(d);
	snprintf(m->name, sizeof(m->name), "lab");
	m->version = number;
	for (unsigned i = 0; i < nr; i++) {
		memcpy(m->ids[i], ids[i].entry.id, IMG_ID_SIZE);
		if (at[i].entry.offset)
			ok(draft_chunk(d, ids[i].entry.id, at[i].pack, at[i].entry.offset, at[i].entry.len, &e), &e);
		else
			ok(draft_zero(d, &e), &e);
	}
	for (unsigned i = 0; i < nr_lenders; i++)
		ok(draft_helper(d, &lenders[i].entry.name, lenders[i].pack, lenders[i].entry.offset, lenders[i].entry.len, &e), &e);
	AUTO(img_locations) struct img_locations *l = draft_finish(d, &e);
	ck_assert_msg(l != NULL, "%s", e.msg);
	mkdirat(r->fd, "images/lab", 0700);
	version_path(&v, path, sizeof(path));
	AUTO_CLOSE_FD int fd = openat(r->fd, path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	ck_assert_int_ge(fd, 0);
	ok(img_version_write(path, fd, m, l, true, NULL, &e), &e);
}

static inline bool pack_is_there(const struct repo *r, const uint8_t pack[16])
{
	char path[64];

	pack_path(pack, path, sizeof(path));
	return faccessat(r->fd, path, F_OK, 0) == 0;
}

/* One byte of a file of the repository becomes another. */
static inline void flip_byte(const struct repo *r, const char *path, uint64_t at)
{
	AUTO_CLOSE_FD int fd = openat(r->fd, path, O_RDWR | O_CLOEXEC);
	uint8_t b;

	ck_assert_int_eq(pread(fd, &b, 1, (off_t)at), 1);
	b ^= 0x55;
	ck_assert_int_eq(pwrite(fd, &b, 1, (off_t)at), 1);
}

/* In the payload of a record. */
static inline void damage(const struct repo *r, const struct made *x)
{
	char path[64];

	pack_path(x->pack, path, sizeof(path));
	flip_byte(r, path, x->entry.offset + FMT_RECORD_SIZE + (x->entry.len - FMT_RECORD_SIZE) / 2);
}

#endif
