/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * manyversions DIR NAMES VERSIONS CHUNKS PERCENT SHARED - fills a new repository with NAMES images of VERSIONS versions each, of CHUNKS chunks, by the
 * functions a capture uses. From version to version PERCENT of the chunks become new ones, in runs. SHARED names in a row change in the same way, as machines
 * that get the same updates. A chunk holds eight bytes that are not zero, so that many of them fit on a small disk. Prints what it made.
 *
 * On a file system with reflinks blocks of a version file that the one before it holds too are shared with it: ids do not compress.
 */
#include "base/arith.h"
#include "base/hash.h"
#include "base/hex.h"
#include "base/span.h"
#include "imager/image/chunk.h"
#include "imager/image/format.h"
#include "imager/image/writer.h"
#include "imager/repo/draft.h"
#include "imager/repo/pack.h"

#include <fcntl.h>
#include <linux/fs.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#define BLOCK      4096U
#define RUNS       20U /* of new chunks in a version */
#define DEDUPE_MAX ((size_t)8 << 20)

struct place {
	uint8_t id[32], pack[16];
	uint64_t offset;
	uint32_t len;
};

struct family {
	struct place *chunks;
};

static struct repo *repo;
static struct chunk_codec *codec;
static struct hasher *hasher;
static uint64_t nr_chunks, nr_made, seed = 1;
static struct err e = ERR_INIT;

static _Noreturn void give_up(const char *what)
{
	fprintf(stderr, "manyversions: %s: %s\n", what, e.code ? e.msg : "failed");
	exit(1);
}

static uint64_t next_random(void)
{
	seed ^= seed << 13;
	seed ^= seed >> 7;
	seed ^= seed << 17;
	return seed;
}

/* RFC 8878 by hand: eight bytes, and two runs of zeros. */
static uint32_t make_frame(const uint8_t text[8], uint8_t *ret)
{
	static const uint8_t head[] = { 0x28, 0xB5, 0x2F, 0xFD, 0xA0, 0, 0, 4, 0, 0x40, 0, 0 }; /* one segment, 4 bytes of size; a raw block of 8 */

	memcpy(ret, head, sizeof(head));
	memcpy(ret + 12, text, 8);
	put_le32(ret, 20, 131072U << 3 | 1 << 1);
	put_le32(ret, 24, (131064U << 3 | 1 << 1 | 1));
	ret[23] = 0;              /* a block's header has 3 bytes, then the byte that is repeated */
	ret[27] = 0;
	return 28;
}

/* The id of a chunk of which only the first leaf is not zero. */
static void id_of(const uint8_t text[8], uint8_t ret[32])
{
	static uint8_t list[CHUNK_LEAVES][32];
	uint8_t leaf[LEAF_SIZE] = { 0 };

	memcpy(leaf, text, 8);
	for (unsigned i = 1; i < CHUNK_LEAVES; i++)
		memcpy(list[i], chunk_zero_leaf(codec), 32);
	hasher_begin(hasher);
	hasher_add(hasher, leaf, sizeof(leaf));
	hasher_end(hasher, list[0]);
	if (chunk_list_id(codec, (const uint8_t(*)[32])list, ret, &e) < 0)
		give_up("an id");
}

static void put_new(struct pack_writer *w, uint64_t chunk, struct place *ret)
{
	struct fmt_record head = { .kind = FMT_WHOLE, .codec = CODEC_ZSTD, .raw_len = CHUNK_SIZE, .chunk = chunk };
	struct pack_entry entry;
	uint8_t text[8], frame[32];

	put_le64(text, 0, ++nr_made);
	id_of(text, head.id);
	head.stored_len = make_frame(text, frame);
	head.crc = crc32_of(frame, head.stored_len);
	if (pack_writer_put(w, &head, false, frame, UINT64_MAX, NULL, &entry, &e) < 0)
		give_up("a record");
	memcpy(ret->id, head.id, 32);
	memcpy(ret->pack, pack_writer_id(w), 16);
	ret->offset = entry.offset;
	ret->len = entry.len;
}

/* What a capture of the next version stores. */
static void change(struct family *f, uint64_t nr_new)
{
	struct pack_writer *w = pack_writer_open(repo, &e);
	uint64_t run = max_u64(nr_new / RUNS, 1), from = next_random() % nr_chunks;

	if (!w)
		give_up("a pack");
	for (uint64_t done = 0; done < nr_new; from += nr_chunks / RUNS)
		for (uint64_t i = 0; i < run && done < nr_new; i++, done++)
			put_new(w, (from + i) % nr_chunks, &f->chunks[(from + i) % nr_chunks]);
	if (pack_writer_finish(w, &e) < 0)
		give_up("a pack");
	pack_writer_close(w);
}

/* A disk without a table; of each tenth chunk only some leaves are in use. */
static struct chunk_map *make_map(void)
{
	struct chunk_map *map = cmap_new(nr_chunks * CHUNK_SIZE, 12, &e);
	bool failed = !map;

	for (uint64_t i = 0; i < nr_chunks && !failed; i++) {
		uint64_t at = i * CHUNK_SIZE;
		failed = cmap_add(map, at, i % 10 ? CHUNK_SIZE : BLOCK * (1 + i / 10 % 7), EXT_USED, &e) < 0 ||
			(i % 10 == 0 && cmap_add(map, at + BLOCK * (10 + i / 70 % 31), BLOCK * 5, EXT_USED, &e) < 0);
	}
	if (failed)
		give_up("a map");
	cmap_freeze(map);
	return map;
}

static struct img_manifest *make_manifest(const char *name, const uint8_t lineage[16])
{
	struct img_manifest *m = img_manifest_new(&e);

	if (!m || !(m->disks = alloc_array(1, sizeof(*m->disks))) || !(m->regions = alloc_array(1, sizeof(*m->regions))) ||
	    !(m->parents = alloc_array(1, sizeof(*m->parents))) || !(m->ids = alloc_array(nr_chunks, 32)))
		give_up("a manifest");
	snprintf(m->name, sizeof(m->name), "%s", name);
	memcpy(m->lineage, lineage, 16);
	m->nr_disks = m->nr_regions = 1;
	m->disks[0] = (struct img_disk){ .size = nr_chunks * CHUNK_SIZE, .sector_size = 512, .phys_sector_size = 4096, .model = "many versions" };
	m->regions[0] = (struct img_region){ .len = nr_chunks * CHUNK_SIZE, .kind = 3, .map = make_map() };
	img_manifest_number(m);
	m->created = 1767225600;
	m->level = 3;
	snprintf(m->tool, sizeof(m->tool), "manyversions");
	return m;
}

static uint8_t *read_all(int fd, size_t *ret_len)
{
	struct stat st;
	uint8_t *p;

	if (fstat(fd, &st) < 0 || !(p = malloc((size_t)st.st_size + 1)) || pread(fd, p, (size_t)st.st_size, 0) != st.st_size)
		give_up("reading a version file");
	*ret_len = (size_t)st.st_size;
	return p;
}

static void share_run(int from, int to, size_t start, size_t len)
{
	struct {
		struct file_dedupe_range range;
		struct file_dedupe_range_info info;
	} x = { .range = { .src_offset = start, .src_length = len, .dest_count = 1 }, .info = { .dest_fd = to, .dest_offset = start } };

	ioctl(from, FIDEDUPERANGE, &x); /* where it does not work it only takes more room */
}

static void share_blocks(const char *before, int fd)
{
	AUTO_CLOSE_FD int other = open(before, O_RDONLY | O_CLOEXEC);
	size_t len, other_len;

	if (other < 0)
		return;
	AUTO_FREE uint8_t *a = read_all(fd, &len);
	AUTO_FREE uint8_t *b = read_all(other, &other_len);
	for (size_t at = 0, end; at + BLOCK <= len && at + BLOCK <= other_len; at = end) {
		for (end = at; end + BLOCK <= len && end + BLOCK <= other_len && end - at < DEDUPE_MAX && !memcmp(a + end, b + end, BLOCK);)
			end += BLOCK;
		if (end > at)
			share_run(other, fd, at, end - at);
		else
			end += BLOCK;
	}
}

static void write_version(const struct family *f, struct img_manifest *m, const char *before)
{
	struct draft *d = draft_new(nr_chunks, &e);
	char path[PATH_MAX];

	for (uint64_t i = 0; i < nr_chunks; i++) {
		const struct place *x = &f->chunks[i];
		memcpy(m->ids[i], x->id, 32);
		if (!d || draft_chunk(d, x->id, x->pack, x->offset, x->len, &e) < 0)
			give_up("a location table");
	}
	struct img_locations *l = draft_finish(d, &e);
	snprintf(path, sizeof(path), "%.3000s/images/%s", repo->dir, m->name);
	mkdir(path, 0700);
	snprintf(path, sizeof(path), "%.3000s/images/%s/%llu.version", repo->dir, m->name, (unsigned long long)m->version);
	AUTO_CLOSE_FD int fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (!l || fd < 0 || img_version_write(path, fd, m, l, false, NULL, &e) < 0)
		give_up(path);
	share_blocks(before, fd);
	locations_free(l);
	draft_free(d);
}

int main(int argc, char **argv)
{
	if (argc != 7) {
		fprintf(stderr, "usage: manyversions DIR NAMES VERSIONS CHUNKS PERCENT SHARED\n");
		return 2;
	}
	unsigned nr_names = (unsigned)strtoul(argv[2], NULL, 10), nr_versions = (unsigned)strtoul(argv[3], NULL, 10);
	unsigned percent = (unsigned)strtoul(argv[5], NULL, 10), shared = (unsigned)strtoul(argv[6], NULL, 10);
	nr_chunks = strtoull(argv[4], NULL, 10);
	if (!nr_names || !nr_chunks || !shared || repo_init(argv[1], NULL, &e) < 0 || !(repo = repo_open(argv[1], &e)) || !(codec = chunk_codec_new(0, &e)) ||
	    !(hasher = hasher_new(&e)))
		give_up("making the repository");
	unsigned nr_families = (nr_names + shared - 1) / shared;
	struct family *families = alloc_array(nr_families, sizeof(*families));
	struct img_manifest **m = alloc_array(nr_names, sizeof(*m));
	char before[PATH_MAX] = "", name[64];
	for (unsigned v = 1; v <= nr_versions; v++)
		for (unsigned n = 0; n < nr_names; n++) {
			struct family *f = &families[n / shared];
			if (!f->chunks && !(f->chunks = alloc_array(nr_chunks, sizeof(*f->chunks))))
				give_up("memory");
			if (n % shared == 0)
				change(f, v == 1 ? nr_chunks : nr_chunks * percent / 100);
			uint8_t lineage[16] = { 1, (uint8_t)(n >> 8), (uint8_t)n };
			snprintf(name, sizeof(name), "machine-%04u", n);
			m[n] = m[n] ? m[n] : make_manifest(name, lineage);
			if (v > 1) {
				m[n]->nr_parents = 1;
				m[n]->parents[0].version = v - 1;
				memcpy(m[n]->parents[0].lineage, lineage, 16);
				memcpy(m[n]->parents[0].root, m[n]->root, 32);
			}
			m[n]->version = v;
			snprintf(before, sizeof(before), "%.3000s/images/machine-%04u/%u.version", argv[1], n % shared ? n - 1 : n, n % shared ? v : v - 1);
			write_version(f, m[n], before);
		}
	printf("%u names, %u versions of each, %llu chunks of each, %llu records\n", nr_names, nr_versions, (unsigned long long)nr_chunks,
		(unsigned long long)nr_made);
	return 0;
}
