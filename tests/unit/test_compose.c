/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Versions in a repository, through its store: chunks are found again and composed of leaves of the version before, whatever became of the
 * leaf caches, and every version reads as what was put.
 */
#include "base/auto.h"
#include "base/hash.h"
#include "imager/image/chunk.h"
#include "imager/image/reader.h"
#include "imager/image/access.h"
#include "imager/repo/pack.h"
#include "imager/repo/store.h"
#include "imager/repo/versions.h"
#include "tests/unit/repo_make.h"

#define NR_CHUNKS 24U
#define DISK_SIZE ((size_t)NR_CHUNKS * CHUNK_SIZE)
#define NR_LEAVES (NR_CHUNKS * CHUNK_LEAVES)

static char dir[64], image[80];
static struct key key = { .kind = KEY_SYMMETRIC };
static struct img_access access_given; /* nothing, or the key of the repository */

static void init_repo(const struct img_keys *k)
{
	struct err e = ERR_INIT;

	temp_dir(dir, sizeof(dir), "compose");
	snprintf(image, sizeof(image), "%s::lab", dir);
	ok(repo_init(dir, k, &e), &e);
}

static void setup(void)
{
	init_repo(NULL);
}

static void setup_sealed(void)
{
	access_given.keys = (struct img_keys){ .keys = &key, .nr_keys = 1 };
	init_repo(&access_given.keys);
}

static void teardown(void)
{
	char command[96];

	snprintf(command, sizeof(command), "rm -rf %s", dir);
	ck_assert_int_eq(system(command), 0);
}

/* A disk without a table, all of it used. */
static struct img_manifest *make_manifest(void)
{
	struct err e = ERR_INIT;
	struct img_manifest *m = img_manifest_new(&e);

	ck_assert_ptr_nonnull(m);
	m->disks = calloc(1, sizeof(*m->disks));
	m->regions = calloc(1, sizeof(*m->regions));
	m->nr_disks = 1;
	m->disks[0] = (struct img_disk){ .size = DISK_SIZE, .sector_size = 512, .phys_sector_size = 512 };
	m->nr_regions = 1;
	m->regions[0] = (struct img_region){ .len = DISK_SIZE, .kind = 3, .map = cmap_new(DISK_SIZE, 12, &e) };
	ok(cmap_add(m->regions[0].map, 0, DISK_SIZE, EXT_USED, &e), &e);
	cmap_freeze(m->regions[0].map);
	img_manifest_number(m);
	return m;
}

/* As a capture does it; what the store did with the chunk is counted. */
struct counts {
	unsigned known, composed, whole, fresh;
};

static void seal(const struct img_manifest *m, struct chunk_codec *codec, uint64_t chunk, const uint8_t *content, struct packed_chunk *c, uint8_t *packed)
{
	struct err e = ERR_INIT;

	c->head.chunk = c->head.number = chunk;
	memcpy(c->head.origin, m->pack_id, 16);
	memcpy(c->head.id, c->id, IMG_ID_SIZE);
	ok(chunk_seal(codec, &c->head, c->is_content ? content : packed, packed, &e), &e);
	c->head.crc = crc32_of(packed, c->head.stored_len);
	c->is_content = false;
	c->is_sealed = true;
}

static void put_chunk(struct img_store *s, const struct img_manifest *m, struct chunk_codec *codec, uint64_t chunk, const uint8_t *content, struct counts *ret)
{
	static uint8_t packed[CHUNK_PAYLOAD_MAX];
	struct packed_chunk c = { .is_zero = false };
	struct err e = ERR_INIT;

	ok(chunk_leaves(codec, content, c.leaves, &c.present, &e), &e);
	ok(chunk_list_id(codec, (const uint8_t(*)[IMG_ID_SIZE])c.leaves, c.id, &e), &e);
	c.is_zero = !c.present;
	int looked = c.is_zero ? 1 : s->ops->look(s, codec, content, &c, packed, &e);
	ck_assert_msg(looked >= 0, "%s", e.msg);
	if (!looked) {
		c.head.kind = FMT_WHOLE;
		c.head.raw_len = CHUNK_SIZE;
		ok(chunk_pack(codec, content, packed, &c.head.codec, &c.head.stored_len, &e), &e);
		c.is_content = c.head.codec == CODEC_RAW;
		c.head.crc = crc32_of(c.is_content ? content : packed, c.head.stored_len);
	}
	if (m->seal && !c.is_zero && !c.is_known)
		seal(m, codec, chunk, content, &c, packed);
	ret->known += c.is_known;
	ret->whole += !looked;
	if (c.head.kind == FMT_COMPOSED) {
		ret->composed++;
		ret->fresh += (unsigned)__builtin_popcountll(c.fresh);
	}
	ok(s->ops->put(s, chunk, &c, c.is_content ? content : packed, &e), &e);
}

static struct counts put_version(const uint8_t *disk)
{
	struct err e = ERR_INIT;
	AUTO(img_manifest) struct img_manifest *m = make_manifest();
	AUTO(img_store) struct img_store *s = repo_store_new(image, false, &access_given.keys, NULL, &e);
	struct counts n = { 0 };

	ck_assert_msg(s != NULL, "%s", e.msg);
	m->seal = repo_store_seal(s, &e);
	ck_assert_int_eq(m->seal != NULL, access_given.keys.nr_keys);
	AUTO(chunk_codec) struct chunk_codec *codec = chunk_codec_for(m->seal, 1, &e);
	ok(s->ops->begin(s, m, NULL, &e), &e);
	for (unsigned i = 0; i < NR_CHUNKS; i++)
		put_chunk(s, m, codec, i, disk + (size_t)i * CHUNK_SIZE, &n);
	ok(s->ops->commit(s, &e), &e);
	return n;
}

static void expect_version(uint64_t number, const uint8_t *disk)
{
	struct repo_version v = { .name = "lab", .number = number };
	struct err e = ERR_INIT;
	AUTO(repo) struct repo *r = repo_open(dir, &e);
	ck_assert_ptr_nonnull(r);
	ok(repo_use_keys(r, &access_given, &e), &e);
	AUTO(img_reader) struct img_reader *in = version_open(r, &v, NULL, &e);
	AUTO_FREE uint8_t *content = malloc(CHUNK_SIZE);

	ck_assert_msg(in != NULL, "%s", e.msg);
	for (unsigned i = 0; i < NR_CHUNKS; i++) {
		ok(img_reader_chunk(in, 0, i, content, &e), &e);
		ck_assert(!memcmp(content, disk + (size_t)i * CHUNK_SIZE, CHUNK_SIZE));
	}
}

static size_t leaf(uint64_t n)
{
	return (size_t)n * LEAF_SIZE;
}

static uint8_t *make_disk(uint64_t *seed)
{
	uint8_t *disk = calloc(1, DISK_SIZE);

	for (unsigned n = 0; n < NR_LEAVES; n++)
		if (rnd_below(seed, 8))
			rnd_fill(seed, disk + leaf(n), 200); /* the rest of a leaf is zero: it compresses */
	return disk;
}

/* Leaves become new, zero, or what another one was before; returns how many became new. */
static unsigned change(uint64_t *seed, uint8_t *disk, unsigned nr)
{
	AUTO_FREE uint8_t *before = malloc(DISK_SIZE);
	unsigned nr_new = 0;

	memcpy(before, disk, DISK_SIZE);
	for (unsigned k = 0; k < nr; k++) {
		uint8_t *to = disk + leaf(rnd_below(seed, NR_LEAVES));
		switch (rnd_below(seed, 4)) {
		case 0:
			rnd_fill(seed, to, 200);
			nr_new++;
			break;
		case 1:
			memset(to, 0, LEAF_SIZE);
			break;
		default:
			memcpy(to, before + leaf(rnd_below(seed, NR_LEAVES)), LEAF_SIZE);
			break;
		}
	}
	return nr_new;
}

START_TEST(versions)
{
	uint64_t seed = (uint64_t)_i + 1;
	uint8_t *disks[5];

	disks[0] = make_disk(&seed);
	struct counts n = put_version(disks[0]);
	ck_assert_uint_eq(n.whole, NR_CHUNKS);
	for (unsigned v = 1; v < 5; v++) {
		disks[v] = malloc(DISK_SIZE);
		memcpy(disks[v], disks[v - 1], DISK_SIZE);
		change(&seed, disks[v], 1U << (2 * v));
		put_version(disks[v]);
	}
	for (unsigned v = 0; v < 5; v++)
		expect_version(v + 1, disks[v]);
	n = put_version(disks[4]);
	ck_assert_uint_eq(n.known, NR_CHUNKS);
	expect_version(6, disks[4]);
	for (unsigned v = 0; v < 5; v++)
		free(disks[v]);
}
END_TEST

/* A chunk with a few changes is composed, and only what is new is stored. */
START_TEST(only_new_leaves)
{
	uint64_t seed = (uint64_t)_i + 50;
	AUTO_FREE uint8_t *disk = make_disk(&seed);

	put_version(disk);
	unsigned nr_new = change(&seed, disk, 60);
	struct counts n = put_version(disk);
	ck_assert_uint_eq(n.whole, 0);
	ck_assert_uint_gt(n.composed, 0);
	ck_assert_uint_eq(n.composed + n.known, NR_CHUNKS);
	ck_assert_uint_le(n.fresh, nr_new);
	expect_version(2, disk);
	/* What version 2 only borrowed is lent to version 3 by those that hold it. */
	memmove(disk, disk + leaf(17), DISK_SIZE - leaf(17));
	n = put_version(disk);
	ck_assert_uint_eq(n.whole, 0);
	ck_assert_uint_eq(n.fresh, 0);
	expect_version(3, disk);
}
END_TEST

static void in_caches(void (*what)(const char *path))
{
	char folder[80], path[400];

	snprintf(folder, sizeof(folder), "%s/leaves", dir);
	DIR *d = opendir(folder);
	ck_assert_ptr_nonnull(d);
	for (struct dirent *de; (de = readdir(d));)
		if (de->d_name[0] != '.') {
			snprintf(path, sizeof(path), "%s/%s", folder, de->d_name);
			what(path);
		}
	closedir(d);
}

static void lose(const char *path)
{
	ck_assert_int_eq(unlink(path), 0);
}

static void shorten(const char *path)
{
	ck_assert_int_eq(truncate(path, 100), 0);
}

/* Every list names the leaves in another order than they have. */
static void mix_up(const char *path)
{
	size_t len;
	uint8_t *p = file_read(path, &len), swap[32];

	for (size_t at = 0; at + 64 <= len; at += 64) {
		memcpy(swap, p + at, 32);
		memcpy(p + at, p + at + 32, 32);
		memcpy(p + at + 32, swap, 32);
	}
	file_write(path, p, len);
	free(p);
}

/* A cache that is gone or lies is of no use, and does no harm. */
START_TEST(without_caches)
{
	static void (*const how[])(const char *) = { lose, shorten, mix_up };
	uint64_t seed = 90;
	AUTO_FREE uint8_t *disk = make_disk(&seed);

	put_version(disk);
	in_caches(how[_i]);
	for (unsigned i = 0; i < NR_CHUNKS; i += 2)
		rnd_fill(&seed, disk + (size_t)i * CHUNK_SIZE, 200);
	struct counts n = put_version(disk);
	ck_assert_uint_eq(n.known, NR_CHUNKS / 2);
	ck_assert_uint_eq(n.whole, NR_CHUNKS / 2);
	expect_version(2, disk);
}
END_TEST

/* The checksums of a record are right again. */
static void fit(struct repo *r, const struct made *x)
{
	static uint8_t payload[CHUNK_PAYLOAD_MAX];
	struct err e = ERR_INIT;
	struct fmt_record head;
	uint8_t b[FMT_RECORD_SIZE];
	char path[64];

	pack_path(x->pack, path, sizeof(path));
	AUTO_CLOSE_FD int fd = openat(r->fd, path, O_RDWR | O_CLOEXEC);
	ck_assert_int_eq(pread(fd, b, sizeof(b), (off_t)x->entry.offset), sizeof(b));
	ok(fmt_get_pack_record(b, r->slots, &head, &e), &e);
	ck_assert_int_eq(pread(fd, payload, head.stored_len, (off_t)(x->entry.offset + sizeof(b))), head.stored_len);
	head.crc = crc32_of(payload, head.stored_len);
	fmt_put_record(b, &head);
	ck_assert_int_eq(pwrite(fd, b, sizeof(b), (off_t)x->entry.offset), sizeof(b));
}

static void damage_all(bool fits)
{
	uint8_t (*ids)[16] = NULL;
	struct err e = ERR_INIT;
	AUTO(repo) struct repo *r = repo_open(dir, &e);
	size_t nr;

	ck_assert_msg(r != NULL, "%s", e.msg);
	ok(repo_use_keys(r, &access_given, &e), &e);
	ok(packs_list(r, true, &ids, &nr, &e), &e);
	for (size_t i = 0; i < nr; i++) {
		AUTO(pack_toc) struct pack_toc *t = pack_toc_read(r, ids[i], &e);
		ck_assert_msg(t != NULL, "%s", e.msg);
		for (uint64_t k = 0; k < t->nr; k++) {
			struct made x = { .entry = t->entries[k] };
			memcpy(x.pack, t->id, 16);
			damage(r, &x);
			if (fits)
				fit(r, &x);
		}
	}
	free(ids);
}

/*
 * Damage that was there before does not get into a new version: nothing is composed of bad records, and then none is referred to either. What
 * is encrypted may have right checksums and be changed all the same.
 */
START_TEST(bad_records)
{
	uint64_t seed = 95;
	AUTO_FREE uint8_t *disk = make_disk(&seed);

	if (_i && !img_keys_given(&access_given.keys))
		return;
	put_version(disk);
	damage_all(_i);
	for (unsigned i = 0; i < NR_CHUNKS / 2; i++)
		rnd_fill(&seed, disk + (size_t)i * CHUNK_SIZE, 200);
	struct counts n = put_version(disk);
	ck_assert_uint_eq(n.whole, NR_CHUNKS);
	expect_version(2, disk);
	n = put_version(disk); /* the next one knows which are good */
	ck_assert_uint_eq(n.known, NR_CHUNKS);
	expect_version(3, disk);
}
END_TEST

/* In an encrypted repository nothing goes in clear, whatever a caller forgets. */
START_TEST(nothing_in_clear)
{
	static uint8_t content[CHUNK_SIZE];
	struct err e = ERR_INIT, why = ERR_INIT;
	AUTO(img_manifest) struct img_manifest *m = make_manifest();
	AUTO(img_store) struct img_store *s = repo_store_new(image, false, &access_given.keys, NULL, &e);
	struct packed_chunk c = { .is_content = true, .head = { .kind = FMT_WHOLE, .raw_len = CHUNK_SIZE, .stored_len = CHUNK_SIZE } };

	ck_assert_msg(s != NULL, "%s", e.msg);
	ck_assert_int_lt(s->ops->begin(s, m, NULL, &why), 0);
	ck_assert_ptr_nonnull(strstr(why.msg, "in clear"));
	m->seal = repo_store_seal(s, &e);
	ok(s->ops->begin(s, m, NULL, &e), &e);
	why = (struct err)ERR_INIT;
	ck_assert_int_lt(s->ops->put(s, 0, &c, content, &why), 0);
	ck_assert_ptr_nonnull(strstr(why.msg, "in clear"));
	AUTO(repo) struct repo *locked = repo_open(dir, &e);
	struct repo_version v = { .name = "lab", .number = 1 };
	why = (struct err)ERR_INIT;
	ck_assert_ptr_null(version_open(locked, &v, NULL, &why));
	ck_assert_int_eq(why.code, ERR_REFUSED);
	ck_assert_str_eq(why.reason, "locked");
	why = (struct err)ERR_INIT;
	ck_assert_ptr_null(pack_writer_open(locked, &why));
	ck_assert_str_eq(why.reason, "locked");
}
END_TEST

static TCase *make_case(Suite *s, const char *name, void (*make)(void))
{
	TCase *t = tcase_create(name);

	suite_add_tcase(s, t);
	tcase_set_timeout(t, 120);
	tcase_add_checked_fixture(t, make, teardown);
	tcase_add_loop_test(t, versions, 0, 4);
	tcase_add_loop_test(t, only_new_leaves, 0, 4);
	tcase_add_loop_test(t, without_caches, 0, 3);
	tcase_add_loop_test(t, bad_records, 0, 2);
	return t;
}

int main(void)
{
	Suite *s = suite_create("compose");

	make_case(s, "compose", setup);
	tcase_add_test(make_case(s, "sealed", setup_sealed), nothing_in_clear);
	return run_suite(s);
}
