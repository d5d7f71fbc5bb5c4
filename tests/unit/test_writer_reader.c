/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What the writer writes the reader reads, from files and pipes; and what is not an image as written is refused. */
#include "tests/unit/image_file.h"

#include <errno.h>
#include <zstd.h>

static const struct make_options usual = { .max_disks = 2, .max_regions = 3, .max_region = 4 * CHUNK_SIZE, .only_bytes = true };
static char dir[64], path[96], part[112];

static void setup(void)
{
	temp_dir(dir, sizeof(dir), "image");
	snprintf(path, sizeof(path), "%s/lab.calco", dir);
	snprintf(part, sizeof(part), "%s.part", path);
}

static void teardown(void)
{
	temp_remove(dir);
}

struct sample {
	struct img_manifest *m;
	uint8_t *disks[8];
	uint8_t *file; /* the image */
	size_t len;
};

static void release(struct sample *s)
{
	for (int i = 0; i < 8; i++)
		free(s->disks[i]);
	free(s->file);
	img_manifest_free(s->m);
}

/* The most usual thing a test needs: a random image in memory; its file is gone. */
static struct sample make_sample(uint64_t seed, const struct make_options *o)
{
	struct sample s = { .m = make_manifest(&seed, o) };
	struct err e = ERR_INIT;

	for (uint32_t d = 0; d < s.m->nr_disks; d++)
		s.disks[d] = make_content(&seed, s.m, d);
	ok(write_image(s.m, s.disks, path, -1, &e), &e);
	ck_assert_int_ne(access(part, F_OK), 0);
	s.file = file_read(path, &s.len);
	unlink(path);
	return s;
}

/* A walk over all records; what comes is what must come. */
static void walk(struct img_reader *r, const struct sample *s)
{
	const struct img_manifest *m = img_reader_manifest(r);
	struct err e = ERR_INIT;
	AUTO(chunk_codec) struct chunk_codec *codec = chunk_codec_new(0, &e);
	AUTO_FREE uint8_t *payload = malloc(CHUNK_SIZE);
	AUTO_FREE uint8_t *content = malloc(CHUNK_SIZE);
	AUTO_FREE uint8_t *want = malloc(CHUNK_SIZE);
	struct img_record rec;
	uint64_t nr = 0;
	int got;

	for (; (got = img_reader_next(r, &rec, payload, &e)) == 1; nr++) {
		ck_assert_uint_eq(rec.at.present, nr);
		ck_assert(!memcmp(rec.id, s->m->ids[nr], IMG_ID_SIZE));
		ok(img_decode(codec, m, &rec, payload, content, &e), &e);
		chunk_wanted(s->m, rec.at.region, rec.at.i, s->disks[m->regions[rec.at.region].disk], want);
		ck_assert(!memcmp(content, want, CHUNK_SIZE));
		ck_assert_int_eq(rec.is_zero, want[0] == 0 && !memcmp(want, want + 1, CHUNK_SIZE - 1));
	}
	ck_assert_msg(got == 0, "%s", e.msg);
	ck_assert_uint_eq(nr, s->m->nr_present);
	ok(img_reader_finish(r, &e), &e);
	ck_assert(m->has_root && !memcmp(m->root, s->m->root, 32) && !memcmp(m->core_hash, s->m->core_hash, 32));
	ck_assert(!memcmp(m->pack_id, s->m->pack_id, 16) && m->created == s->m->created && m->level == s->m->level);
	ck_assert(!nr || !memcmp(m->ids, s->m->ids, nr * IMG_ID_SIZE));
	ck_assert_uint_eq(img_reader_size(r), s->len);
}

static void random_access(struct img_reader *r, const struct sample *s, uint64_t seed)
{
	AUTO_FREE uint8_t *content = malloc(CHUNK_SIZE);
	AUTO_FREE uint8_t *want = malloc(CHUNK_SIZE);
	struct err e = ERR_INIT;

	for (int i = 0; i < 20; i++) {
		size_t region = rnd_below(&seed, s->m->nr_regions);
		const struct img_region *reg = &s->m->regions[region];
		uint64_t k = cmap_next_present(reg->map, rnd_below(&seed, cmap_nr_chunks(reg->map)));
		if (k == cmap_nr_chunks(reg->map))
			continue;
		ok(img_reader_chunk(r, region, k, content, &e), &e);
		chunk_wanted(s->m, region, k, s->disks[reg->disk], want);
		ck_assert(!memcmp(content, want, CHUNK_SIZE));
	}
}

static struct img_reader *open_bytes(const uint8_t *bytes, size_t len, struct err *e)
{
	file_write(path, bytes, len);
	struct img_reader *r = img_reader_open(path, -1, NULL, e);
	unlink(path);
	return r;
}

START_TEST(round_trip)
{
	struct err e = ERR_INIT;
	struct sample s = make_sample(1 + (uint64_t)_i, &usual);
	struct img_reader *r = open_bytes(s.file, s.len, &e);

	ck_assert_msg(r, "%s", e.msg);
	ck_assert(img_reader_seekable(r));
	random_access(r, &s, 3);
	walk(r, &s);
	random_access(r, &s, 4);
	img_reader_close(r);
	struct feeder f = feed(s.file, s.len);
	r = img_reader_open("a pipe", f.fd, NULL, &e);
	ck_assert_msg(r, "%s", e.msg);
	ck_assert(!img_reader_seekable(r));
	walk(r, &s);
	img_reader_close(r);
	feed_end(&f);
	/* A file read as if it could not seek. */
	file_write(path, s.file, s.len);
	r = img_reader_examine(path, -1, true, NULL, NULL, NULL, &e);
	walk(r, &s);
	struct img_manifest *m = img_reader_take_manifest(r);
	img_reader_close(r);
	img_manifest_free(m);
	release(&s);
}
END_TEST

/* The same image through a descriptor: same length, same root, nothing but the pack id differs. */
START_TEST(written_to_a_pipe)
{
	struct err e = ERR_INIT;
	struct sample s = make_sample(50 + (uint64_t)_i, &usual), t = s;
	uint8_t root[32];
	char copy[112];
	int p[2], status;

	memcpy(root, s.m->root, 32);
	snprintf(copy, sizeof(copy), "%s.copy", path);
	ck_assert_int_eq(pipe(p), 0);
	pid_t pid = fork();
	if (pid == 0) {
		close(p[1]);
		dup2(p[0], 0);
		freopen(copy, "wb", stdout);
		execlp("cat", "cat", NULL);
		_exit(1);
	}
	close(p[0]);
	ok(write_image(s.m, s.disks, "standard output", p[1], &e), &e);
	ck_assert_int_ge(fcntl(p[1], F_GETFD), 0); /* not closed by the writer */
	close(p[1]);
	waitpid(pid, &status, 0);
	t.file = file_read(copy, &t.len);
	ck_assert_uint_eq(t.len, s.len);
	ck_assert(!memcmp(root, s.m->root, 32));
	AUTO(img_reader) struct img_reader *r = img_reader_open(copy, -1, NULL, &e);
	walk(r, &t);
	free(t.file);
	release(&s);
}
END_TEST

/* No content, or nothing but zeros: no record at all. */
START_TEST(no_records)
{
	static const enum ext_state states[] = { EXT_UNUSED, EXT_ZERO, EXT_USED };
	struct err e = ERR_INIT;
	struct piece list[16];
	struct sample s = { .m = plain_manifest(3 * CHUNK_SIZE + 5, states[_i]) };

	s.disks[0] = calloc(1, 3 * CHUNK_SIZE + 5);
	ok(write_image(s.m, s.disks, path, -1, &e), &e);
	s.file = file_read(path, &s.len);
	ck_assert_uint_eq(file_pieces(s.file, s.len, list, 16), 9);
	AUTO(img_reader) struct img_reader *r = img_reader_open(path, -1, NULL, &e);
	walk(r, &s);
	struct feeder f = feed(s.file, s.len);
	AUTO(img_reader) struct img_reader *p = img_reader_open("a pipe", f.fd, NULL, &e);
	walk(p, &s);
	feed_end(&f);
	release(&s);
}
END_TEST

START_TEST(parts_and_names)
{
	struct err e = ERR_INIT;
	struct sample s = make_sample(7, &usual);
	AUTO_FREE uint8_t *old = NULL;
	size_t len;

	/* An existing image is never overwritten. */
	file_write(path, "precious", 8);
	ck_assert_ptr_null(img_writer_open(path, -1, s.m, NULL, &e));
	ck_assert_int_eq(e.code, ERR_REFUSED);
	ck_assert_str_eq(e.reason, "exists");
	ck_assert_int_ne(access(part, F_OK), 0);
	unlink(path);
	/* What is no left-over may be a disk of this name. */
	file_write(part, "precious disk", 13);
	ck_assert_ptr_null(img_writer_open(path, -1, s.m, NULL, &e));
	ck_assert_int_eq(e.code, ERR_REFUSED);
	ck_assert_str_eq(e.reason, "exists");
	struct stat st;
	ck_assert(stat(part, &st) == 0 && st.st_size == 13);
	/* A left-over is written anew, and goes when nothing comes of it. */
	file_write(part, FMT_MAGIC "left over", 17);
	struct img_writer *w = img_writer_open(path, -1, s.m, NULL, &e);
	ck_assert_msg(w, "%s", e.msg);
	ck_assert(access(path, F_OK) != 0 && access(part, F_OK) == 0);
	struct err e2 = ERR_INIT;
	ck_assert_ptr_null(img_writer_open(path, -1, s.m, NULL, &e2)); /* somebody writes it */
	ck_assert_int_eq(e2.code, ERR_REFUSED);
	ck_assert_int_eq(access(part, F_OK), 0);
	img_writer_close(w);
	ck_assert(access(path, F_OK) != 0 && access(part, F_OK) != 0);
	/* One that appears meanwhile stays. */
	w = img_writer_open(path, -1, s.m, NULL, &e);
	img_writer_close(w);
	struct img_manifest *m = plain_manifest(100, EXT_UNUSED);
	w = img_writer_open(path, -1, m, NULL, &e);
	file_write(path, "precious", 8);
	fails(img_writer_commit(w, &e), ERR_REFUSED, &e);
	ck_assert_str_eq(e.reason, "exists");
	img_writer_close(w);
	old = file_read(path, &len);
	ck_assert(len == 8 && !memcmp(old, "precious", 8));
	ck_assert_int_ne(access(part, F_OK), 0);
	img_manifest_free(m);
	/* A symbolic link in place of the part is not followed. */
	unlink(path);
	ck_assert_int_eq(symlink("/dev/null", part), 0);
	ck_assert_ptr_null(img_writer_open(path, -1, s.m, NULL, &e));
	ck_assert_ptr_null(img_writer_open("/nonexistent/x.calco", -1, s.m, NULL, &e));
	ck_assert_int_eq(e.code, ERR_USAGE);
	img_writer_close(NULL);
	release(&s);
}
END_TEST

START_TEST(wrong_puts)
{
	struct err e = ERR_INIT;
	struct img_manifest *m = plain_manifest(3 * CHUNK_SIZE, EXT_USED);
	struct img_writer *w = img_writer_open(path, -1, m, NULL, &e);
	uint8_t id[IMG_ID_SIZE] = { 0 };

	ok(img_writer_put(w, 1, id, 0, NULL, 0, 0, &e), &e);
	fails(img_writer_put(w, 1, id, 0, NULL, 0, 0, &e), ERR_FAILED, &e);
	fails(img_writer_put(w, 0, id, 0, NULL, 0, 0, &e), ERR_FAILED, &e);
	fails(img_writer_commit(w, &e), ERR_FAILED, &e);
	img_writer_close(w);
	ck_assert_int_ne(access(path, F_OK), 0);
	/* A full disk, or a reader that went away. */
	int full = open("/dev/full", O_WRONLY);
	ck_assert_ptr_nonnull(w = img_writer_open("full", full, m, NULL, &e));
	for (uint64_t i = 0; i < 3; i++)
		ok(img_writer_put(w, i, id, 0, NULL, 0, 0, &e), &e);
	fails(img_writer_commit(w, &e), ERR_FAILED, &e);
	ck_assert_int_eq(e.sys_errno, ENOSPC);
	ck_assert_str_ne(e.hint, "");
	img_writer_close(w);
	close(full);
	img_manifest_free(m);
}
END_TEST

/* Opening and walking this, from a file and from a pipe, must end with this error. */
static void refused(const uint8_t *bytes, size_t len, enum err_code code, const char *word)
{
	AUTO_FREE uint8_t *payload = malloc(CHUNK_SIZE);

	for (int from_pipe = 0; from_pipe < 2; from_pipe++) {
		struct err e = ERR_INIT;
		struct feeder f = { .fd = -1 };
		struct img_record rec;
		if (from_pipe)
			f = feed(bytes, len);
		struct img_reader *r = from_pipe ? img_reader_open("a pipe", f.fd, NULL, &e) : open_bytes(bytes, len, &e);
		int got = r ? 1 : -1;
		while (got == 1)
			got = img_reader_next(r, &rec, payload, &e);
		if (got == 0)
			got = img_reader_finish(r, &e);
		ck_assert_int_eq(got, -1);
		ck_assert_msg(e.code == code, "code %d: %s", e.code, e.msg);
		ck_assert_msg(strstr(e.msg, word), "'%s' is not in '%s'", word, e.msg);
		img_reader_close(r);
		if (from_pipe)
			feed_end(&f);
	}
}

START_TEST(unknown_parts)
{
	static const char *const before[] = { "CIDS", "INDX" };
	static const char *const elsewhere[] = { "CORE", "ENVL", "CHNK", "BADR", "ROOT", "TRLR" };
	struct err e = ERR_INIT;
	struct sample s = make_sample(8, &usual);

	for (int i = 0; i < 2; i++) {
		struct sample t = s;
		t.file = insert_part(s.file, &t.len, before[i], "newp", 0, "something of a later version");
		struct img_reader *r = open_bytes(t.file, t.len, &e);
		ck_assert_msg(r, "%s", e.msg);
		if (i == 1) /* before CIDS the offsets of records stay */
			walk(r, &t);
		img_reader_close(r);
		struct feeder f = feed(t.file, t.len);
		r = img_reader_open("a pipe", f.fd, NULL, &e);
		walk(r, &t);
		img_reader_close(r);
		feed_end(&f);
		free(t.file);
		t.len = s.len;
		t.file = insert_part(s.file, &t.len, before[i], "MUST", FMT_MANDATORY, "x");
		refused(t.file, t.len, ERR_UNSUPPORTED, "'MUST'");
		/* Of a file it is told before anybody trusts the head: info and ls read no more. */
		ck_assert_ptr_null(open_bytes(t.file, t.len, &e));
		ck_assert_msg(e.code == ERR_UNSUPPORTED && strstr(e.msg, "needs a newer calco"), "%s", e.msg);
		free(t.file);
		/* A known part is no unknown one. */
		t.len = s.len;
		t.file = insert_part(s.file, &t.len, before[i], "KEYS", FMT_MANDATORY, "x");
		refused(t.file, t.len, ERR_CORRUPT, "");
		free(t.file);
	}
	for (size_t i = 0; i < sizeof(elsewhere) / sizeof(elsewhere[0]); i++) {
		size_t len = s.len;
		AUTO_FREE uint8_t *f = insert_part(s.file, &len, elsewhere[i], "newp", 0, "x");
		refused(f, len, ERR_CORRUPT, "");
	}
	release(&s);
}
END_TEST

START_TEST(features_and_versions)
{
	static const char *const words[] = { "composed", "delta", "split", "bit 40" };
	struct err e = ERR_INIT;
	struct sample s = make_sample(9, &usual);

	for (int i = 0; i < 4; i++) {
		put_le64(s.file, 16, 1ULL << (i < 3 ? i + 1 : 40));
		put_le32(s.file, 60, crc32_of(s.file, 60));
		refused(s.file, s.len, ERR_UNSUPPORTED, words[i]);
	}
	put_le64(s.file, 16, 1);
	put_le32(s.file, 60, crc32_of(s.file, 60));
	refused(s.file, s.len, ERR_CORRUPT, "not encrypted in an image that is");
	put_le64(s.file, 16, 0);
	put_le16(s.file, 8, 2);
	put_le32(s.file, 60, crc32_of(s.file, 60));
	refused(s.file, s.len, ERR_UNSUPPORTED, "version 2");
	put_le16(s.file, 8, 1);
	put_le16(s.file, 10, 77);          /* a later minor version */
	put_le64(s.file, 24, UINT64_MAX);  /* optional features */
	put_le32(s.file, 60, crc32_of(s.file, 60));
	AUTO(img_reader) struct img_reader *r = open_bytes(s.file, s.len, &e);
	walk(r, &s);
	release(&s);
}
END_TEST

/* Changes with CRCs that fit again: the meaning itself is wrong. */
static void sealed(const struct sample *s, const char *type, size_t off, const void *bytes, size_t n, enum err_code code, const char *word)
{
	struct piece list[64];
	AUTO_FREE uint8_t *f = malloc(s->len);

	memcpy(f, s->file, s->len);
	struct piece *p = find_piece(list, file_pieces(f, s->len, list, 64), type);
	memcpy(f + p->start + off, bytes, n);
	seal_piece(f, p);
	refused(f, s->len, code, word);
}

START_TEST(sealed_changes)
{
	struct sample s = make_sample(12, &usual);

	sealed(&s, "CORE", 4, "\x05", 1, ERR_CORRUPT, "CORE");     /* encrypted */
	sealed(&s, "CORE", 6, "\x01", 1, ERR_CORRUPT, "reserved");
	sealed(&s, "CORE", 4, "\x08", 1, ERR_CORRUPT, "reserved");
	sealed(&s, "ENVL", 4, "\x01", 1, ERR_CORRUPT, "ENVL");
	sealed(&s, "CIDS", 32, "\x55", 1, ERR_CORRUPT, "");
	sealed(&s, "CIDS", 0, "QIDS", 4, ERR_UNSUPPORTED, "'QIDS'");
	sealed(&s, "CIDS", 4, "\x03", 1, ERR_CORRUPT, "compressed");
	sealed(&s, "ROOT", 32, "xyz", 3, ERR_CORRUPT, "root");
	sealed(&s, "TRLR", 32 + 24, "\x77\x77", 2, ERR_CORRUPT, "trailer");
	sealed(&s, "TRLR", 32 + 32, "\x77\x77", 2, ERR_CORRUPT, "");
	sealed(&s, "TRLR", 32 + 56, "xyz", 3, ERR_CORRUPT, "trailer");
	sealed(&s, "TRLR", 32 + 88, "x", 1, ERR_CORRUPT, "trailer");
	sealed(&s, "CHNK", 4, "\x02", 1, ERR_CORRUPT, "kind 2");
	sealed(&s, "CHNK", 6, "\x01", 1, ERR_CORRUPT, "reserved");
	sealed(&s, "CHNK", 8, "\xFF\xFF\xFF", 3, ERR_CORRUPT, "");
	sealed(&s, "CHNK", 40, "xyz", 3, ERR_CORRUPT, "");
	sealed(&s, "CHNK", 72, "\x01", 1, ERR_CORRUPT, "");
	sealed(&s, "CHNK", 80, "\x01", 1, ERR_CORRUPT, "reserved");
	release(&s);
}
END_TEST

/* Decoding one record with another payload, sealed. */
START_TEST(hostile_payloads)
{
	struct err e = ERR_INIT;
	AUTO(chunk_codec) struct chunk_codec *codec = chunk_codec_new(3, &e);
	struct img_manifest *m = plain_manifest(CHUNK_SIZE, EXT_USED);
	AUTO_FREE uint8_t *content = calloc(1, CHUNK_SIZE);
	AUTO_FREE uint8_t *got = calloc(1, CHUNK_SIZE);
	AUTO_FREE uint8_t *b = calloc(1, CHUNK_SIZE + 100);
	struct img_record rec = { .at = { .region = 0 }, .head = { .kind = FMT_WHOLE, .codec = CODEC_ZSTD } };
	uint8_t kind;

	memset(content, 'x', CHUNK_SIZE);
	ok(chunk_id(codec, content, rec.id, NULL, &e), &e);
	ok(chunk_pack(codec, content, b, &kind, &rec.head.stored_len, &e), &e);
	rec.head.crc = crc32_of(b, rec.head.stored_len);
	ok(img_decode(codec, m, &rec, b, got, &e), &e);
	/* Something behind the frame; two frames; a skippable frame; an old format; a frame of another size. */
	uint32_t n = rec.head.stored_len;
	memcpy(b + n, b, n);
	for (uint32_t more = 1; more <= n; more += n - 1) {
		rec.head.stored_len = n + more;
		rec.head.crc = crc32_of(b, rec.head.stored_len);
		fails(img_decode(codec, m, &rec, b, got, &e), ERR_CORRUPT, &e);
	}
	static const uint32_t magics[] = { 0x184D2A50, 0xFD2FB525, 0xFD2FB526, 0xFD2FB527, 0 };
	for (size_t i = 0; i < 5; i++) {
		AUTO_FREE uint8_t *x = malloc(n);
		memcpy(x, b, n);
		put_le32(x, 0, magics[i]);
		rec.head.stored_len = n;
		rec.head.crc = crc32_of(x, n);
		fails(img_decode(codec, m, &rec, x, got, &e), ERR_CORRUPT, &e);
	}
	AUTO_FREE uint8_t *long_content = malloc(CHUNK_SIZE + 1);
	memset(long_content, 'x', CHUNK_SIZE + 1);
	rec.head.stored_len = (uint32_t)ZSTD_compress(b, CHUNK_SIZE, long_content, CHUNK_SIZE + 1, 3);
	rec.head.crc = crc32_of(b, rec.head.stored_len);
	fails(img_decode(codec, m, &rec, b, got, &e), ERR_CORRUPT, &e);
	img_manifest_free(m);
}
END_TEST

/* The copies of tables and the unreadable ranges must agree with the content, wherever it is decoded. */
START_TEST(content_and_head_must_agree)
{
	struct err e = ERR_INIT;
	uint8_t copy[8] = "TABLE";
	struct img_manifest *m = plain_manifest(2 * CHUNK_SIZE, EXT_USED);
	struct img_range bad[2] = { { 0, 100, 50 }, { 0, CHUNK_SIZE, 7 } };
	uint8_t *disks[1] = { calloc(1, 2 * CHUNK_SIZE) };
	AUTO_FREE uint8_t *content = malloc(CHUNK_SIZE);

	m->tables = calloc(m->nr_tables = 1, sizeof(*m->tables));
	m->tables[0] = (struct img_table_copy){ .start = CHUNK_SIZE - 4, .len = 8, .bytes = memcpy(malloc(8), copy, 8) };
	m->bad = memcpy(malloc(sizeof(bad)), bad, sizeof(bad));
	m->bad[1].start += 100;
	m->nr_bad = 2;
	memcpy(disks[0] + CHUNK_SIZE - 4, copy, 8);
	for (int i = 0; i < 5; i++) {
		static const uint64_t at[] = { CHUNK_SIZE - 4, CHUNK_SIZE + 3, 120, CHUNK_SIZE + 106 };
		if (i < 4)
			disks[0][at[i]] ^= 1;
		ok(write_image(m, disks, path, -1, &e), &e);
		AUTO(img_reader) struct img_reader *r = img_reader_open(path, -1, NULL, &e);
		ck_assert_msg(r, "%s", e.msg);
		ck_assert_uint_eq(img_reader_manifest(r)->nr_bad, 2);
		for (uint64_t k = 0; k < 2; k++)
			ck_assert_int_eq(img_reader_chunk(r, 0, k, content, &e), i < 4 && at[i] / CHUNK_SIZE == k ? -1 : 0);
		unlink(path);
		if (i < 4)
			disks[0][at[i]] ^= 1;
	}
	free(disks[0]);
	img_manifest_free(m);
}
END_TEST

/* Where the index lies: the chunk that has lost its record is the one that is named, and the walk goes on behind it. */
START_TEST(resync)
{
	enum { NR = 6 };
	struct err e = ERR_INIT;
	struct sample s = { .m = plain_manifest(NR * CHUNK_SIZE, EXT_USED) };
	AUTO_FREE uint8_t *payload = malloc(CHUNK_SIZE);
	struct piece list[32];

	s.disks[0] = calloc(1, NR * CHUNK_SIZE);
	for (int i = 0; i < NR; i++)
		s.disks[0][i * (int)CHUNK_SIZE] = (uint8_t)(i != 2 && i != 4); /* chunks 2 and 4 have no record */
	ok(write_image(s.m, s.disks, path, -1, &e), &e);
	s.file = file_read(path, &s.len);
	size_t nr = file_pieces(s.file, s.len, list, 32);
	for (int lost = 0; lost < NR; lost++) {
		AUTO_FREE uint8_t *f = memcpy(malloc(s.len), s.file, s.len);
		struct piece *p = list, *index = find_piece(list, nr, "INDX");
		if (lost == 2 || lost == 4)
			continue;
		for (int skip = lost - (lost > 2) - (lost > 4); strcmp(p->type, "CHNK") || skip--; p++)
			;
		if (_i == 0) {
			f[p->start + 9] ^= 1;
		} else {
			put_le64(f, index->payload + 8 * (size_t)lost, 0);
			put_le64(f, s.len - FMT_TRAILER_SIZE + 32, 3);
			seal_piece(f, index);
			seal_piece(f, find_piece(list, nr, "TRLR"));
		}
		struct img_reader *r = open_bytes(f, s.len, &e);
		ck_assert_msg(r, "%s", e.msg);
		struct img_record rec;
		int got, nr_lost = 0;
		while ((got = img_reader_next(r, &rec, payload, &e)) != 0)
			if (got < 0) {
				ck_assert_int_eq(e.code, ERR_CORRUPT);
				ck_assert_int_eq(img_reader_resync(r, &rec), 1);
				ck_assert_uint_eq(rec.at.chunk, (uint64_t)lost);
				nr_lost++;
			}
		ck_assert_int_eq(nr_lost, 1);
		img_reader_close(r);
	}
	release(&s);
}
END_TEST

/* Asking for single chunks in between, even damaged ones, does not disturb the walk. */
START_TEST(chunks_during_a_walk)
{
	struct err e = ERR_INIT;
	struct sample s = { .m = plain_manifest(4 * CHUNK_SIZE, EXT_USED) };
	AUTO_FREE uint8_t *payload = malloc(CHUNK_SIZE);
	AUTO_FREE uint8_t *content = malloc(CHUNK_SIZE);
	struct piece list[32];
	struct img_record rec;

	s.disks[0] = malloc(4 * CHUNK_SIZE);
	for (int i = 0; i < 4; i++)
		memset(s.disks[0] + i * (int)CHUNK_SIZE, 'a' + i, CHUNK_SIZE);
	ok(write_image(s.m, s.disks, path, -1, &e), &e);
	s.file = file_read(path, &s.len);
	file_pieces(s.file, s.len, list, 32);
	s.file[list[6].start + 10] ^= 1;       /* header of the last record */
	s.file[list[5].payload + 10] ^= 1;     /* payload of the one before */
	AUTO(img_reader) struct img_reader *r = open_bytes(s.file, s.len, &e);
	ck_assert_int_eq(img_reader_next(r, &rec, payload, &e), 1);
	fails(img_reader_chunk(r, 0, 3, content, &e), ERR_CORRUPT, &e);
	fails(img_reader_chunk(r, 0, 2, content, &e), ERR_CORRUPT, &e);
	ok(img_reader_chunk(r, 0, 0, content, &e), &e);
	ck_assert_int_eq(img_reader_next(r, &rec, payload, &e), 1);
	ck_assert_uint_eq(rec.at.chunk, 1);
	release(&s);
}
END_TEST

/* Records of the same pack are counted upwards; one that was copied from another pack keeps its number. */
START_TEST(record_numbers)
{
	struct err e = ERR_INIT;
	struct sample s = { .m = plain_manifest(3 * CHUNK_SIZE, EXT_USED) };
	struct piece list[32];

	s.disks[0] = malloc(3 * CHUNK_SIZE);
	memset(s.disks[0], 'a', 3 * CHUNK_SIZE);
	ok(write_image(s.m, s.disks, path, -1, &e), &e);
	s.file = file_read(path, &s.len);
	unlink(path);
	file_pieces(s.file, s.len, list, 32);
	put_le64(s.file + list[4].start, 16, 5);
	seal_piece(s.file, &list[4]);
	refused(s.file, s.len, ERR_CORRUPT, "out of order");
	s.file[list[4].start + 24] ^= 1; /* the origin */
	seal_piece(s.file, &list[4]);
	AUTO(img_reader) struct img_reader *r = open_bytes(s.file, s.len, &e);
	walk(r, &s);
	release(&s);
}
END_TEST

/* A head that wants to become 64 MiB from a few KiB, and one that claims a pebibyte. */
START_TEST(bombs)
{
	struct err e = ERR_INIT;
	struct fmt_preamble pre = { .mandatory = 0 };
	struct fmt_part p = { .type = "CORE", .flags = FMT_MANDATORY | FMT_ZSTD, .raw_len = 64 << 20 };
	AUTO_FREE uint8_t *raw = calloc(1, (size_t)p.raw_len);
	AUTO_FREE uint8_t *f = malloc(1 << 20);

	p.stored_len = ZSTD_compress(f + 96, (1 << 20) - 96, raw, (size_t)p.raw_len, 19);
	p.crc = crc32_of(f + 96, p.stored_len);
	fmt_put_preamble(f, &pre);
	fmt_put_part(f + 64, &p);
	refused(f, 96 + p.stored_len, ERR_CORRUPT, "wants to become");
	/* The writer keeps to it as well: a core of this kind is stored as it is. */
	ck_assert(fmt_ratio_ok("CORE", FMT_RATIO_FREE, 1) && !fmt_ratio_ok("CORE", FMT_RATIO_FREE + 1024, 3));
	ck_assert(fmt_ratio_ok("INDX", 1 << 30, 1));
	/* A file has no room for the ids of a used pebibyte. */
	struct sample s = { .m = plain_manifest(1ULL << 50, EXT_USED) };
	uint8_t *core, *envelope;
	size_t core_len, envelope_len;
	ok(img_core_encode(s.m, &core, &core_len, &e), &e);
	ok(img_envelope_encode(s.m, &envelope, &envelope_len, &e), &e);
	p = (struct fmt_part){ .type = "CORE", .flags = FMT_MANDATORY, .raw_len = core_len, .stored_len = core_len, .crc = crc32_of(core, core_len) };
	fmt_put_part(f + 64, &p);
	memcpy(f + 96, core, core_len);
	p = (struct fmt_part){ .type = "ENVL", .raw_len = envelope_len, .stored_len = envelope_len, .crc = crc32_of(envelope, envelope_len) };
	fmt_put_part(f + 96 + core_len, &p);
	memcpy(f + 128 + core_len, envelope, envelope_len);
	ck_assert_ptr_null(open_bytes(f, 128 + core_len + envelope_len, &e));
	ck_assert_int_eq(e.code, ERR_CORRUPT);
	ck_assert_ptr_nonnull(strstr(e.msg, "more chunks"));
	free(core);
	free(envelope);
	release(&s);
}
END_TEST

START_TEST(what_is_no_image)
{
	struct err e = ERR_INIT;
	static uint8_t zeros[5000];
	static const size_t sizes[] = { 0, 1, 8, 63, 64, 96, 5000 };

	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++)
		refused(zeros, sizes[i], ERR_CORRUPT, "");
	ck_assert_ptr_null(img_reader_open("/nonexistent", -1, NULL, &e));
	ck_assert_int_eq(e.code, ERR_USAGE);
	ck_assert_ptr_null(img_reader_open(dir, -1, NULL, &e));
	ck_assert_int_eq(e.code, ERR_USAGE);
	img_reader_close(NULL);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("writer_reader");
	TCase *t = tcase_create("writer_reader");

	suite_add_tcase(s, t);
	tcase_set_timeout(t, 60);
	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_loop_test(t, round_trip, 0, 12);
	tcase_add_loop_test(t, written_to_a_pipe, 0, 3);
	tcase_add_loop_test(t, no_records, 0, 3);
	tcase_add_test(t, parts_and_names);
	tcase_add_test(t, wrong_puts);
	tcase_add_test(t, unknown_parts);
	tcase_add_test(t, features_and_versions);
	tcase_add_test(t, sealed_changes);
	tcase_add_test(t, hostile_payloads);
	tcase_add_test(t, content_and_head_must_agree);
	tcase_add_loop_test(t, resync, 0, 2);
	tcase_add_test(t, chunks_during_a_walk);
	tcase_add_test(t, record_numbers);
	tcase_add_test(t, bombs);
	tcase_add_test(t, what_is_no_image);
	return run_suite(s);
}
