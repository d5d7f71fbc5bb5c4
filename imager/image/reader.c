/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Reading an image; see reader.h. One walk serves files and pipes; a file additionally knows ids and index before it begins. */
#include "imager/image/reader.h"

#include "base/arith.h"
#include "base/hash.h"
#include "imager/image/stream.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

struct img_reader {
	struct stream s;
	char name[PATH_MAX];
	bool owns_fd;
	struct fmt_preamble preamble;
	struct img_manifest *m;
	bool owns_manifest;
	struct chunk_codec *codec;  /* for img_reader_chunk() and the id of zeros */
	uint64_t cids_offset;       /* of a file; of a pipe once it was reached */
	uint64_t *index;            /* of a file: offset of each present chunk's record, 0: none */
	uint64_t end_record;        /* of a file: place in ids behind the last chunk that has a record */
	struct img_cursor at;       /* the chunk given out last */
	bool has_pending;           /* a record's header was read and its chunk not yet given out */
	struct fmt_record pending;
	uint64_t pending_offset;
	bool records_over;
	uint64_t nr_records;        /* headers seen */
	uint8_t *payload;           /* CHUNK_SIZE, for img_reader_chunk() */
};

static int read_head(struct img_reader *r, struct err *e)
{
	uint8_t pre[FMT_PREAMBLE_SIZE], next[4];
	AUTO_FREE uint8_t *core = NULL;
	AUTO_FREE uint8_t *envelope = NULL;
	AUTO_FREE uint8_t *signature = NULL;
	size_t len;

	if (stream_read(&r->s, pre, sizeof(pre), e) < 0)
		return -1;
	if (fmt_get_preamble(pre, &r->preamble, e) < 0)
		return err_wrap(e, "'%s'", r->name);
	if (stream_part(&r->s, "CORE", FMT_MAX_CORE, UINT64_MAX, &core, &len, e) < 0)
		return -1;
	if (img_core_decode(core, len, &r->m, e) < 0)
		return err_wrap(e, "'%s'", r->name);
	memcpy(r->m->pack_id, r->preamble.pack_id, 16);
	if (stream_part(&r->s, "ENVL", FMT_MAX_SMALL, UINT64_MAX, &envelope, &len, e) < 0)
		return -1;
	if (img_envelope_decode(r->m, envelope, len, e) < 0)
		return err_wrap(e, "'%s'", r->name);
	int n = stream_peek(&r->s, next, 4, e);
	if (n == 4 && !memcmp(next, "CSIG", 4))
		return stream_part(&r->s, "CSIG", FMT_MAX_SMALL, UINT64_MAX, &signature, &len, e);
	return n < 0 ? -1 : 0;
}

static int decode_bad(struct img_manifest *m, const uint8_t *p, size_t len, struct err *e)
{
	uint32_t disk = 0;
	uint64_t end = 0;

	if (len % FMT_BAD_SIZE)
		return err_set(e, ERR_CORRUPT, 0, "the list of unreadable ranges is damaged");
	if (!(m->bad = alloc_array(len / FMT_BAD_SIZE, sizeof(*m->bad))))
		return err_nomem(e, "the unreadable ranges");
	m->nr_bad = len / FMT_BAD_SIZE;
	for (size_t i = 0; i < m->nr_bad; i++, p += FMT_BAD_SIZE) {
		struct img_range *b = &m->bad[i];
		*b = (struct img_range){ .disk = get_le32(p), .start = get_le64(p + 8), .len = get_le64(p + 16) };
		bool ordered = b->disk > disk || (b->disk == disk && b->start >= end);
		if (get_le32(p + 4) || b->disk >= m->nr_disks || !ordered || !b->len || !range_inside(b->start, b->len, m->disks[b->disk].size))
			return err_set(e, ERR_CORRUPT, 0, "the list of unreadable ranges is damaged");
		disk = b->disk;
		end = b->start + b->len;
	}
	return 0;
}

/* CIDS, BADR, ROOT: the ids go to *ret_ids, the rest into the manifest; the root is computed and compared. */
static int read_tail(struct img_reader *r, uint8_t **ret_ids, struct err *e)
{
	AUTO_FREE uint8_t *ids = NULL;
	AUTO_FREE uint8_t *bad = NULL;
	AUTO_FREE uint8_t *root = NULL;
	uint64_t ids_len = r->m->nr_present * IMG_ID_SIZE;
	size_t len, bad_len;

	if (stream_part(&r->s, "CIDS", ids_len, ids_len, &ids, &len, e) < 0)
		return -1;
	if (stream_part(&r->s, "BADR", FMT_MAX_BAD * FMT_BAD_SIZE, UINT64_MAX, &bad, &bad_len, e) < 0)
		return -1;
	if (stream_part(&r->s, "ROOT", 32, 32, &root, &len, e) < 0)
		return -1;
	if (img_root(r->m->core_hash, ids, r->m->nr_present, bad, bad_len, r->m->root, e) < 0)
		return -1;
	if (memcmp(r->m->root, root, 32))
		return err_set(e, ERR_CORRUPT, 0, "'%s': the root does not match the image's head and ids", r->name);
	r->m->has_root = true;
	if (decode_bad(r->m, bad, bad_len, e) < 0)
		return err_wrap(e, "'%s'", r->name);
	*ret_ids = take(&ids);
	return 0;
}

/* INDX and TRLR. *ret_index is in the file's byte order. */
static int read_end(struct img_reader *r, uint64_t *ret_index_offset, uint8_t **ret_index, struct fmt_trailer *ret, struct err *e)
{
	AUTO_FREE uint8_t *signatures = NULL;
	AUTO_FREE uint8_t *trailer = NULL;
	uint64_t index_len = r->m->nr_present * 8;
	uint8_t next[4];
	size_t len;

	int n = stream_peek(&r->s, next, 4, e);
	if (n < 0)
		return -1;
	if (n == 4 && !memcmp(next, "SIGS", 4) && stream_part(&r->s, "SIGS", FMT_MAX_SMALL, UINT64_MAX, &signatures, &len, e) < 0)
		return -1;
	if (stream_skip_unknown(&r->s, "INDX", e) < 0)
		return -1;
	*ret_index_offset = r->s.pos;
	if (stream_part(&r->s, "INDX", index_len, index_len, ret_index, &len, e) < 0)
		return -1;
	if (stream_part(&r->s, "TRLR", FMT_TRAILER_SIZE, FMT_TRAILER_SIZE, &trailer, &len, e) < 0)
		return -1;
	if (fmt_get_trailer(trailer, ret, e) < 0)
		return err_wrap(e, "'%s'", r->name);
	return 0;
}

static int check_trailer(struct img_reader *r, const struct fmt_trailer *t, uint64_t index_offset, struct err *e)
{
	bool same = t->file_len == r->s.pos && t->cids_offset == r->cids_offset && t->index_offset == index_offset &&
		t->nr_present == r->m->nr_present && !memcmp(t->pack_id, r->preamble.pack_id, 16) && !memcmp(t->root, r->m->root, 32);

	return same ? 0 : err_set(e, ERR_CORRUPT, 0, "'%s': the trailer does not belong to this image", r->name);
}

/* Offsets must ascend between head and tail: later code trusts that they do. */
static int decode_index(struct img_reader *r, const uint8_t *p, uint64_t head_end, uint64_t nr_records, struct err *e)
{
	uint64_t last = head_end, nr = 0;

	if (!(r->index = alloc_array(r->m->nr_present, sizeof(*r->index))))
		return err_nomem(e, "the index");
	for (uint64_t i = 0; i < r->m->nr_present; i++) {
		uint64_t at = get_le64(p + i * 8);
		r->index[i] = at;
		if (!at)
			continue;
		if (at < last || at > r->cids_offset - FMT_RECORD_SIZE)
			return err_set(e, ERR_CORRUPT, 0, "'%s': the index is damaged", r->name);
		last = at + FMT_RECORD_SIZE;
		r->end_record = i + 1;
		nr++;
	}
	if (nr != nr_records)
		return err_set(e, ERR_CORRUPT, 0, "'%s': the trailer does not belong to this image", r->name);
	return 0;
}

/* Of a seekable file: everything behind the records, found through the trailer. */
static int read_file_tail(struct img_reader *r, struct err *e)
{
	AUTO_FREE uint8_t *ids = NULL;
	AUTO_FREE uint8_t *index = NULL;
	AUTO_FREE uint8_t *trailer = NULL;
	struct fmt_trailer t, again;
	uint64_t head_end = r->s.pos, index_offset;
	size_t len;

	if (r->s.size < head_end + FMT_PART_SIZE + FMT_TRAILER_SIZE) {
		err_set(e, ERR_CORRUPT, 0, "'%s' has no trailer: it is cut short or was never finished", r->name);
		return err_reason(e, "truncated");
	}
	stream_seek(&r->s, r->s.size - FMT_PART_SIZE - FMT_TRAILER_SIZE);
	if (stream_part(&r->s, "TRLR", FMT_TRAILER_SIZE, FMT_TRAILER_SIZE, &trailer, &len, e) < 0 || fmt_get_trailer(trailer, &t, e) < 0) {
		err_wrap(e, "'%s' has no valid trailer: it is cut short or was never finished", r->name);
		return err_reason(e, "truncated");
	}
	if (t.cids_offset < head_end || t.cids_offset > r->s.size)
		return err_set(e, ERR_CORRUPT, 0, "'%s': the trailer does not belong to this image", r->name);
	r->cids_offset = t.cids_offset;
	stream_seek(&r->s, t.cids_offset);
	if (read_tail(r, &ids, e) < 0 || read_end(r, &index_offset, &index, &again, e) < 0)
		return -1;
	if (r->s.pos != r->s.size || check_trailer(r, &t, index_offset, e) < 0)
		return err_set(e, ERR_CORRUPT, 0, "'%s': the trailer does not belong to this image", r->name);
	r->m->ids = (uint8_t(*)[IMG_ID_SIZE])take(&ids);
	if (decode_index(r, index, head_end, t.nr_records, e) < 0)
		return -1;
	stream_seek(&r->s, head_end);
	return 0;
}

static int open_image(struct img_reader *r, const char *path, int fd, struct err *e)
{
	if ((size_t)snprintf(r->name, sizeof(r->name), "%s", path) >= sizeof(r->name))
		return err_set(e, ERR_USAGE, ENAMETOOLONG, "opening an image");
	r->owns_fd = fd < 0;
	r->s.fd = fd < 0 ? open(path, O_RDONLY | O_CLOEXEC) : fd;
	if (r->s.fd < 0)
		return err_set(e, errno == ENOENT ? ERR_USAGE : ERR_FAILED, errno, "opening '%s'", path);
	r->codec = chunk_codec_new(0, e);
	if (!r->codec || stream_open(&r->s, r->s.fd, r->name, e) < 0)
		return -1;
	if (!(r->payload = malloc(CHUNK_SIZE)))
		return err_nomem(e, "a read buffer");
	if (read_head(r, e) < 0)
		return -1;
	img_cursor_begin(&r->at);
	if (r->s.seekable)
		return read_file_tail(r, e);
	if (!(r->m->ids = alloc_array(r->m->nr_present, IMG_ID_SIZE)))
		return err_nomem(e, "the ids");
	return 0;
}

struct img_reader *img_reader_open(const char *path, int fd, struct err *e)
{
	struct img_reader *r = alloc_array(1, sizeof(*r));

	if (!r) {
		err_nomem(e, "the image reader");
		return NULL;
	}
	r->s.fd = -1;
	r->owns_manifest = true;
	if (open_image(r, path, fd, e) == 0)
		return r;
	img_reader_close(r);
	return NULL;
}

void img_reader_close(struct img_reader *r)
{
	if (!r)
		return;
	if (r->owns_fd && r->s.fd >= 0)
		close(r->s.fd);
	if (r->owns_manifest)
		img_manifest_free(r->m);
	stream_close(&r->s);
	chunk_codec_free(r->codec);
	free(r->index);
	free(r->payload);
	free(r);
}

const struct img_manifest *img_reader_manifest(const struct img_reader *r)
{
	return r->m;
}

struct img_manifest *img_reader_take_manifest(struct img_reader *r)
{
	r->owns_manifest = false;
	return r->m;
}

bool img_reader_seekable(const struct img_reader *r)
{
	return r->s.seekable;
}

uint64_t img_reader_size(const struct img_reader *r)
{
	return r->s.seekable ? r->s.size : r->s.pos;
}

/* Make the next record's header pending, or find that the records are over. */
static int look_ahead(struct img_reader *r, struct err *e)
{
	uint8_t head[FMT_RECORD_SIZE];

	if (r->has_pending || r->records_over)
		return 0;
	uint64_t at = r->s.pos;
	int n = stream_peek(&r->s, head, 4, e);
	if (n < 0)
		return -1;
	bool is_record = n == 4 && !memcmp(head, "CHNK", 4);
	if (r->s.seekable ? r->at.present + 1 >= r->end_record : !is_record) {
		r->records_over = true;
		return 0;
	}
	if (stream_read(&r->s, head, sizeof(head), e) < 0)
		return -1;
	if (fmt_get_record(head, &r->pending, e) < 0)
		return err_wrap(e, "'%s' at %llu", r->name, (unsigned long long)at);
	r->has_pending = true;
	r->pending_offset = at;
	r->nr_records++;
	return 0;
}

static int no_record(struct img_reader *r, const struct img_cursor *at, struct img_record *ret, struct err *e)
{
	const uint8_t *zero = chunk_zero_id(r->codec);

	if (r->s.seekable && (memcmp(r->m->ids[at->present], zero, IMG_ID_SIZE) || r->index[at->present]))
		return err_set(e, ERR_CORRUPT, 0, "'%s': the record of chunk %llu is missing", r->name, (unsigned long long)at->chunk);
	if (!r->s.seekable)
		memcpy(r->m->ids[at->present], zero, IMG_ID_SIZE);
	ret->is_zero = true;
	memcpy(ret->id, zero, IMG_ID_SIZE);
	return 0;
}

static int this_record(struct img_reader *r, const struct img_cursor *at, struct img_record *ret, uint8_t *payload, struct err *e)
{
	const struct fmt_record *p = &r->pending;

	if (r->s.seekable && (memcmp(r->m->ids[at->present], p->id, IMG_ID_SIZE) || r->index[at->present] != r->pending_offset))
		return err_set(e, ERR_CORRUPT, 0, "'%s' at %llu: the record of chunk %llu is not the one the ids and the index name", r->name,
			(unsigned long long)r->pending_offset, (unsigned long long)at->chunk);
	if (!r->s.seekable)
		memcpy(r->m->ids[at->present], p->id, IMG_ID_SIZE);
	ret->is_zero = false;
	memcpy(ret->id, p->id, IMG_ID_SIZE);
	ret->codec = p->codec;
	ret->stored_len = p->stored_len;
	ret->crc = p->crc;
	ret->file_offset = r->pending_offset;
	r->has_pending = false;
	return stream_read(&r->s, payload, p->stored_len, e);
}

int img_reader_next(struct img_reader *r, struct img_record *ret, uint8_t *payload, struct err *e)
{
	struct img_cursor at = r->at;

	if (look_ahead(r, e) < 0)
		return -1;
	bool more = img_cursor_next(r->m, &at);
	if (r->has_pending && (!more || r->pending.chunk < at.chunk))
		return err_set(e, ERR_CORRUPT, 0, "'%s' at %llu: a record of chunk %llu, which is not expected there", r->name,
			(unsigned long long)r->pending_offset, (unsigned long long)r->pending.chunk);
	if (!more)
		return 0;
	ret->at = at;
	int failed = r->has_pending && r->pending.chunk == at.chunk ? this_record(r, &at, ret, payload, e) : no_record(r, &at, ret, e);
	if (failed < 0)
		return -1;
	r->at = at;
	return 1;
}

int img_decode(struct chunk_codec *codec, const struct img_manifest *m, const struct img_record *rec, const uint8_t *payload,
	uint8_t *content, struct err *e)
{
	const struct chunk_map *map = m->regions[rec->at.region].map;
	uint8_t id[IMG_ID_SIZE];
	struct cmap_chunk c;
	bool is_zero;

	if (rec->is_zero) {
		memset(content, 0, CHUNK_SIZE);
		return 0;
	}
	if (crc32_of(payload, rec->stored_len) != rec->crc)
		return err_set(e, ERR_CORRUPT, 0, "chunk %llu is damaged (checksum)", (unsigned long long)rec->at.chunk);
	if (chunk_unpack(codec, rec->codec, payload, rec->stored_len, content, e) < 0)
		return -1;
	if (chunk_id(codec, content, id, &is_zero, e) < 0)
		return -1;
	if (memcmp(id, rec->id, IMG_ID_SIZE))
		return err_set(e, ERR_CORRUPT, 0, "the content of chunk %llu does not match its id", (unsigned long long)rec->at.chunk);
	cmap_get(map, rec->at.i, &c);
	if (is_zero || !cmap_is_masked(map, &c, content))
		return err_set(e, ERR_CORRUPT, 0, "chunk %llu has content where the image uses nothing", (unsigned long long)rec->at.chunk);
	return 0;
}

static int finish_pipe(struct img_reader *r, struct err *e)
{
	AUTO_FREE uint8_t *ids = NULL;
	AUTO_FREE uint8_t *index = NULL;
	struct fmt_trailer t;
	uint64_t index_offset;
	uint8_t more;

	if (stream_skip_unknown(&r->s, "CIDS", e) < 0)
		return -1;
	r->cids_offset = r->s.pos;
	if (read_tail(r, &ids, e) < 0)
		return -1;
	if (memcmp(ids, r->m->ids, r->m->nr_present * IMG_ID_SIZE))
		return err_set(e, ERR_CORRUPT, 0, "'%s': a record is missing or is not the one the ids name", r->name);
	if (read_end(r, &index_offset, &index, &t, e) < 0 || check_trailer(r, &t, index_offset, e) < 0)
		return -1;
	if (t.nr_records != r->nr_records || stream_peek(&r->s, &more, 1, e) != 0)
		return err_set(e, ERR_CORRUPT, 0, "'%s': there is something behind the trailer", r->name);
	return 0;
}

int img_reader_finish(struct img_reader *r, struct err *e)
{
	if (!r->s.seekable)
		return finish_pipe(r, e);
	if (stream_skip_unknown(&r->s, "CIDS", e) < 0)
		return -1;
	if (r->s.pos != r->cids_offset)
		return err_set(e, ERR_CORRUPT, 0, "'%s': bytes %llu..%llu belong to nothing", r->name, (unsigned long long)r->s.pos,
			(unsigned long long)r->cids_offset);
	return 0;
}

int img_reader_resync(struct img_reader *r, struct img_record *ret)
{
	struct img_cursor at = r->at;

	if (!r->index)
		return 0;
	/* The record that failed is the next one the index has a place for; zero chunks before it have none. */
	do {
		if (!img_cursor_next(r->m, &at))
			return 0;
	} while (!r->index[at.present]);
	memset(ret, 0, sizeof(*ret));
	ret->at = at;
	ret->file_offset = r->index[at.present];
	r->at = at;
	r->has_pending = r->records_over = false;
	uint64_t next = at.present + 1;
	while (next < r->m->nr_present && !r->index[next])
		next++;
	stream_seek(&r->s, next < r->m->nr_present ? r->index[next] : r->cids_offset);
	return 1;
}

int img_reader_chunk(struct img_reader *r, size_t region, uint64_t i, uint8_t *content, struct err *e)
{
	const struct img_region *reg = &r->m->regions[region];
	struct img_record rec = { .at = { .region = region, .i = i, .chunk = reg->first_chunk + i } };
	struct fmt_record head;
	uint8_t b[FMT_RECORD_SIZE];

	rec.at.present = img_present_index(reg, i);
	rec.is_zero = !r->index[rec.at.present];
	memcpy(rec.id, r->m->ids[rec.at.present], IMG_ID_SIZE);
	if (rec.is_zero && memcmp(rec.id, chunk_zero_id(r->codec), IMG_ID_SIZE))
		return err_set(e, ERR_CORRUPT, 0, "'%s': the record of chunk %llu is missing", r->name, (unsigned long long)rec.at.chunk);
	if (!rec.is_zero) {
		struct stream s = r->s;
		stream_seek(&s, r->index[rec.at.present]);
		if (stream_read(&s, b, sizeof(b), e) < 0 || fmt_get_record(b, &head, e) < 0)
			return err_wrap(e, "'%s' at %llu", r->name, (unsigned long long)r->index[rec.at.present]);
		rec.codec = head.codec;
		rec.stored_len = head.stored_len;
		rec.crc = head.crc;
		if (stream_read(&s, r->payload, rec.stored_len, e) < 0)
			return -1;
		stream_seek(&r->s, r->s.pos); /* the buffer is shared and now holds something else */
	}
	return img_decode(r->codec, r->m, &rec, r->payload, content, e);
}
