/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Image files for tests: written through the writer, fed to pipes, taken apart and put together again. */
#ifndef CALCO_TESTS_UNIT_IMAGE_FILE_H
#define CALCO_TESTS_UNIT_IMAGE_FILE_H

#include "base/hash.h"
#include "imager/image/chunk.h"
#include "imager/image/format.h"
#include "imager/image/reader.h"
#include "imager/image/writer.h"
#include "tests/unit/image_make.h"

#include <signal.h>
#include <sys/wait.h>

static inline struct img_manifest *plain_manifest(uint64_t size, enum ext_state state)
{
	struct err e = ERR_INIT;
	struct img_manifest *m = img_manifest_new(&e);

	strcpy(m->name, "plain");
	m->disks = calloc(m->nr_disks = 1, sizeof(*m->disks));
	m->regions = calloc(m->nr_regions = 1, sizeof(*m->regions));
	m->disks[0] = (struct img_disk){ .size = size, .sector_size = 512 };
	m->regions[0] = (struct img_region){ .len = size, .kind = 3, .map = cmap_new(size, 12, &e) };
	ok(cmap_add(m->regions[0].map, 0, size, state, &e), &e);
	cmap_freeze(m->regions[0].map);
	img_manifest_number(m);
	return m;
}

/* chunk_wanted - the content of a chunk, byte by byte as the format defines it */
static inline void chunk_wanted(const struct img_manifest *m, size_t region, uint64_t i, const uint8_t *disk, uint8_t *ret)
{
	const struct img_region *r = &m->regions[region];

	memset(ret, 0, CHUNK_SIZE);
	for (uint64_t off = i * CHUNK_SIZE; off < (i + 1) * CHUNK_SIZE && off < r->len; off += 512)
		for (uint64_t k = off; state_of_byte(m, region, off) == EXT_USED && k < off + 512 && k < r->len; k++)
			ret[k - i * CHUNK_SIZE] = disk[r->start + k];
}

/* write_image - all chunks of the disks, then commit; -1 as soon as the writer fails */
static inline int write_image(struct img_manifest *m, uint8_t *const *disks, const char *path, int fd, struct err *e)
{
	AUTO(img_writer) struct img_writer *w = img_writer_open(path, fd, m, NULL, e);
	AUTO(chunk_codec) struct chunk_codec *codec = chunk_codec_for(m->seal, 1, e);
	AUTO_FREE uint8_t *content = malloc(CHUNK_SIZE);
	AUTO_FREE uint8_t *packed = malloc(CHUNK_PAYLOAD_MAX);
	struct img_cursor c;

	if (!w)
		return -1;
	for (img_cursor_begin(&c); img_cursor_next(m, &c);) {
		uint8_t id[IMG_ID_SIZE], kind = 0;
		uint32_t len = 0;
		bool is_zero;
		chunk_wanted(m, c.region, c.i, disks[m->regions[c.region].disk], content);
		ok(chunk_id(codec, content, id, &is_zero, e), e);
		if (!is_zero) {
			ok(chunk_pack(codec, content, packed, &kind, &len, e), e);
			if (kind == CODEC_ZSTD)
				ok(chunk_recheck(codec, packed, len, content, e), e);
		}
		const uint8_t *stored = kind == CODEC_RAW ? content : packed;
		if (m->seal && !is_zero) {
			struct fmt_record r = { .kind = FMT_WHOLE, .codec = kind, .raw_len = CHUNK_SIZE, .chunk = c.chunk, .number = c.present, .stored_len = len };
			memcpy(r.origin, m->pack_id, 16);
			memcpy(r.id, id, IMG_ID_SIZE);
			ok(chunk_seal(codec, &r, stored, packed, e), e);
			stored = packed;
			len = r.stored_len;
		}
		if (img_writer_put(w, c.chunk, id, kind, is_zero ? NULL : stored, len, is_zero ? 0 : crc32_of(stored, len), e) < 0)
			return -1;
	}
	return img_writer_commit(w, e);
}

/* A child that writes bytes into a pipe. */
struct feeder {
	int fd; /* to read from */
	pid_t pid;
};

static inline struct feeder feed(const uint8_t *bytes, size_t len)
{
	struct feeder f;
	int p[2];

	ck_assert_int_eq(pipe(p), 0);
	f.fd = p[0];
	f.pid = fork();
	if (f.pid == 0) {
		signal(SIGPIPE, SIG_IGN);
		close(p[0]);
		for (ssize_t n = 1; len && n > 0; len -= n > 0 ? (size_t)n : 0, bytes += n > 0 ? n : 0)
			n = write(p[1], bytes, len);
		_exit(0);
	}
	close(p[1]);
	return f;
}

static inline void feed_end(struct feeder *f)
{
	close(f->fd);
	waitpid(f->pid, NULL, 0);
}

/* One part or record of a file. */
struct piece {
	char type[5];
	size_t start, payload, end;
};

/* file_pieces - what an image consists of, behind the preamble; returns how many */
static inline size_t file_pieces(const uint8_t *f, size_t len, struct piece *ret, size_t max)
{
	size_t nr = 0;

	for (size_t at = FMT_PREAMBLE_SIZE; at < len && nr < max; at = ret[nr++].end) {
		bool is_record = !memcmp(f + at, "CHNK", 4);
		struct piece *p = &ret[nr];
		memcpy(p->type, f + at, 4);
		p->type[4] = '\0';
		p->start = at;
		p->payload = at + (is_record ? FMT_RECORD_SIZE : FMT_PART_SIZE);
		p->end = p->payload + (size_t)(is_record ? get_le32(f + at + 76) : get_le64(f + at + 16));
		ck_assert(p->end <= len);
	}
	return nr;
}

static inline struct piece *find_piece(struct piece *list, size_t nr, const char *type)
{
	for (size_t i = 0; i < nr; i++)
		if (!strcmp(list[i].type, type))
			return &list[i];
	ck_abort_msg("no part %s", type);
}

/* seal_piece - make the CRCs of a part or record right again */
static inline void seal_piece(uint8_t *f, const struct piece *p)
{
	size_t crc = p->payload - 8;

	put_le32(f, crc, crc32_of(f + p->payload, p->end - p->payload));
	put_le32(f, crc + 4, crc32_of(f + p->start, crc + 4 - p->start));
}

/* insert_part - a part in front of another one, with the trailer made to fit; a new file, free() it */
static inline uint8_t *insert_part(const uint8_t *f, size_t *len, const char *before, const char *type, uint16_t flags, const char *text)
{
	struct piece list[64];
	size_t nr = file_pieces(f, *len, list, 64), n = FMT_PART_SIZE + strlen(text);
	const struct piece *at = find_piece(list, nr, before), *trailer = find_piece(list, nr, "TRLR");
	struct fmt_part part = { .flags = flags, .raw_len = strlen(text), .stored_len = strlen(text), .crc = crc32_of(text, strlen(text)) };
	uint8_t *g = malloc(*len + n);

	memcpy(part.type, type, 5);
	memcpy(g, f, at->start);
	fmt_put_part(g + at->start, &part);
	memcpy(g + at->start + FMT_PART_SIZE, text, strlen(text));
	memcpy(g + at->start + n, f + at->start, *len - at->start);
	struct piece moved = { .start = trailer->start + n, .payload = trailer->payload + n, .end = trailer->end + n };
	for (int i = 0; i < 3; i++) { /* file length, CIDS, INDX */
		uint64_t v = get_le64(g + moved.payload + 8 * i);
		put_le64(g + moved.payload, 8 * (size_t)i, v + (v >= at->start ? n : 0));
	}
	seal_piece(g, &moved);
	*len += n;
	return g;
}

#endif
