/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Reading an image; see reader.h. One walk serves files and pipes; a file additionally knows ids and index before it begins. */
#include "imager/image/reader_parts.h"

#include "base/arith.h"
#include "base/blk.h"
#include "base/hash.h"
#include "imager/image/rules.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

static int open_image(struct img_reader *r, const char *path, int fd, bool front_to_back, const struct progress *p, struct err *e)
{
	if ((size_t)snprintf(r->name, sizeof(r->name), "%s", path) >= sizeof(r->name))
		return err_set(e, ERR_USAGE, ENAMETOOLONG, "opening an image");
	r->owns_fd = fd < 0;
	/* O_NONBLOCK: a named pipe that nobody writes yet is opened, and waited for where it can be stopped. */
	r->s.fd = fd < 0 ? open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC) : fd;
	if (r->s.fd < 0)
		return errno == ENOENT ? err_set(e, ERR_USAGE, errno, "opening '%s'", path) : blk_not_opened(path, errno, e);
	if (stream_open(&r->s, r->s.fd, r->name, p, e) < 0)
		return -1;
	if (!(r->payload = malloc(CHUNK_PAYLOAD_MAX)))
		return err_nomem(e, "a read buffer");
	r->s.seekable = r->s.seekable && !front_to_back;
	if (reader_head(r, e) < 0 || !(r->codec = chunk_codec_for(r->m->seal, 0, e)))
		return -1;
	img_cursor_begin(&r->at);
	if (r->s.seekable)
		return reader_file_tail(r, e);
	if (!(r->m->ids = alloc_array(r->m->nr_present, IMG_ID_SIZE)))
		return err_nomem(e, "the ids");
	return 0;
}

struct img_reader *img_reader_open(const char *path, int fd, const struct progress *p, struct err *e)
{
	return img_reader_open_with(path, fd, NULL, p, e);
}

struct img_reader *img_reader_open_with(const char *path, int fd, const struct img_access *a, const struct progress *p, struct err *e)
{
	return img_reader_examine(path, fd, false, a, NULL, p, e);
}

/* Signing leaves this beside an image while it changes it (sign.h). */
static void tell_of_signing(const char *path, struct err *e)
{
	char journal[PATH_MAX];

	if (e->code == ERR_CORRUPT && (size_t)snprintf(journal, sizeof(journal), "%s.sign", path) < sizeof(journal) && access(journal, F_OK) == 0)
		err_hint(e, "signing it was cut short, and '%.80s.sign' holds what is missing: the same 'calco sign' finishes it", path);
}

static struct img_reader *new_reader(struct err *e)
{
	struct img_reader *r = alloc_array(1, sizeof(*r));

	if (!r) {
		err_nomem(e, "the image reader");
		return NULL;
	}
	r->s.fd = -1;
	r->owns_manifest = true;
	return r;
}

struct img_reader *img_reader_open_version(const char *name, int fd, struct img_packs *packs, const struct img_seal *seal, const struct img_access *a,
	const struct progress *p, struct err *e)
{
	struct img_reader *r = new_reader(e);

	if (!r) {
		packs->ops->close(packs);
		return NULL;
	}
	r->packs = packs;
	r->repo_seal = seal;
	r->access = a;
	if (open_image(r, name, fd, false, p, e) == 0)
		return r;
	img_reader_close(r);
	return NULL;
}

struct img_reader *img_reader_examine(const char *path, int fd, bool front_to_back, const struct img_access *a, struct img_place *ret_place,
	const struct progress *p, struct err *e)
{
	struct img_reader *r = new_reader(e);

	if (!r)
		return NULL;
	r->access = a;
	if (open_image(r, path, fd, front_to_back, p, e) == 0)
		return r;
	if (ret_place)
		*ret_place = r->s.place;
	if (fd < 0)
		tell_of_signing(path, e);
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
	if (r->packs)
		r->packs->ops->close(r->packs);
	locations_free(r->located.l);
	stream_close(&r->s);
	chunk_codec_free(r->codec);
	seal_box_free(r->s.box);
	free(r->index);
	free(r->payload);
	free(r);
}

struct img_sign_places img_reader_sign_places(const struct img_reader *r)
{
	struct img_sign_places p = r->places;

	p.index_at = r->index_offset;
	return p;
}

const struct img_place *img_reader_place(const struct img_reader *r)
{
	return &r->s.place;
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

const struct img_locations *img_reader_locations(const struct img_reader *r)
{
	return r->located.l;
}

uint64_t img_reader_size(const struct img_reader *r)
{
	return r->s.seekable ? r->s.size : r->s.pos;
}

/* Of a pipe: do the records end here? What is no record must be a sound part, or chunks would be taken for zeros before that is found. */
static int is_part_next(struct img_reader *r, struct err *e)
{
	uint8_t head[FMT_PART_SIZE];
	struct fmt_part part;
	int n = stream_peek(&r->s, head, sizeof(head), e);

	if (n < 0)
		return -1;
	if (n >= 4 && !memcmp(head, "CHNK", 4))
		return 0;
	stream_at(&r->s, "", r->s.pos, FMT_PART_SIZE);
	if (n < (int)sizeof(head))
		return stream_read(&r->s, head, sizeof(head), e); /* fails: there are not so many */
	if (fmt_get_part(head, &part, e) < 0)
		return err_wrap(e, "'%s' at %llu", r->name, (unsigned long long)r->s.pos);
	return 1;
}

/* Make the next record's header pending, or find that the records are over. */
static int look_ahead(struct img_reader *r, struct err *e)
{
	uint8_t head[FMT_RECORD_SIZE];
	uint64_t at = r->s.pos;

	if (r->has_pending || r->records_over)
		return 0;
	int over = r->s.seekable ? r->at.present + 1 >= r->end_record : is_part_next(r, e);
	if (over) {
		r->records_over = over > 0;
		return over < 0 ? -1 : 0;
	}
	stream_at(&r->s, "", at, FMT_RECORD_SIZE);
	if (stream_read(&r->s, head, sizeof(head), e) < 0)
		return -1;
	if (fmt_get_record(head, r->s.sealed, &r->pending, e) < 0)
		return err_wrap(e, "'%s' at %llu", r->name, (unsigned long long)at);
	memcpy(r->pending_head, head, sizeof(head));
	r->s.place.len += r->pending.stored_len;
	if (!memcmp(r->pending.origin, r->preamble.pack_id, 16)) {
		if (r->pending.number < r->next_number || r->pending.number == UINT64_MAX)
			return err_set(e, ERR_CORRUPT, 0, "'%s' at %llu: record number %llu is out of order", r->name, (unsigned long long)at,
				(unsigned long long)r->pending.number);
		r->next_number = r->pending.number + 1;
	}
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
	/* Of a pipe the ids are kept as they come; one of zeros stays unset until CIDS names it, as a head can claim billions of them. */
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
	ret->head = *p;
	ret->file_offset = r->pending_offset;
	memcpy(ret->sealed_head, r->pending_head, sizeof(ret->sealed_head));
	ret->located = NULL;
	r->has_pending = false;
	return stream_read(&r->s, payload, p->stored_len, e);
}

/* Of a version: the record of a chunk, from its pack. */
static int located_next(struct img_reader *r, const struct img_cursor *at, struct img_record *ret, uint8_t *payload, struct err *e)
{
	const struct img_where *where = &r->located.l->chunks[at->present];

	ret->file_offset = where->offset;
	ret->located = &r->located;
	ret->is_zero = !where->offset;
	memcpy(ret->id, r->m->ids[at->present], IMG_ID_SIZE);
	if (ret->is_zero && memcmp(ret->id, chunk_zero_id(r->codec), IMG_ID_SIZE))
		return err_set(e, ERR_CORRUPT, 0, "'%s': the record of chunk %llu is missing", r->name, (unsigned long long)at->chunk);
	if (ret->is_zero)
		return 0;
	if (located_read(&r->located, where, &ret->head, payload, e) < 0)
		return -1;
	if (memcmp(ret->head.id, ret->id, IMG_ID_SIZE))
		return err_set(e, ERR_CORRUPT, 0, "'%s': the record of chunk %llu is not the one the ids name", r->name, (unsigned long long)at->chunk);
	fmt_put_record(ret->sealed_head, &ret->head);
	return 0;
}

static int version_next(struct img_reader *r, struct img_record *ret, uint8_t *payload, struct err *e)
{
	struct img_cursor at = r->at;

	if (!img_cursor_next(r->m, &at))
		return 0;
	ret->at = at;
	if (located_next(r, &at, ret, payload, e) < 0)
		return -1;
	r->at = at;
	return 1;
}

int img_reader_next(struct img_reader *r, struct img_record *ret, uint8_t *payload, struct err *e)
{
	struct img_cursor at = r->at;

	if (r->packs)
		return version_next(r, ret, payload, e);
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

static int unpack(struct chunk_codec *codec, const struct img_record *rec, const uint8_t *payload, uint32_t len, uint8_t *content, struct err *e)
{
	if (rec->head.kind != FMT_COMPOSED)
		return chunk_unpack(codec, rec->head.codec, payload, len, content, e);
	struct fmt_record head = rec->head;
	head.stored_len = len;
	return located_compose(rec->located, codec, &head, payload, content, e);
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
		return rules_content(m, &rec->at, content, e);
	}
	if (crc32_of(payload, rec->head.stored_len) != rec->head.crc)
		return err_set(e, ERR_CORRUPT, 0, "chunk %llu is damaged (checksum)", (unsigned long long)rec->at.chunk);
	uint32_t len = rec->head.stored_len;
	if (m->seal && chunk_open(codec, rec->sealed_head, payload, len, &payload, &len, e) < 0)
		return -1;
	if (unpack(codec, rec, payload, len, content, e) < 0)
		return -1;
	if (chunk_id(codec, content, id, &is_zero, e) < 0)
		return -1;
	if (memcmp(id, rec->id, IMG_ID_SIZE))
		return err_set(e, ERR_CORRUPT, 0, "the content of chunk %llu does not match its id", (unsigned long long)rec->at.chunk);
	cmap_get(map, rec->at.i, &c);
	if (is_zero || !cmap_is_masked(map, &c, content))
		return err_set(e, ERR_CORRUPT, 0, "chunk %llu has content where the image uses nothing", (unsigned long long)rec->at.chunk);
	return rules_content(m, &rec->at, content, e);
}

int img_reader_finish(struct img_reader *r, struct err *e)
{
	if (r->packs)
		return 0; /* all that stands in the version file was read when it was opened */
	if (!r->s.seekable)
		return reader_pipe_tail(r, e);
	if (stream_skip_unknown(&r->s, e) < 0)
		return -1;
	if (r->s.pos != r->cids_offset)
		return err_set(e, ERR_CORRUPT, 0, "'%s': bytes %llu..%llu belong to nothing", r->name, (unsigned long long)r->s.pos,
			(unsigned long long)r->cids_offset);
	return 0;
}

/* Each record has a place of its own: the next one is as good as if this had been. */
static int version_resync(struct img_reader *r, struct img_record *ret)
{
	struct img_cursor at = r->at;

	if (!img_cursor_next(r->m, &at))
		return 0;
	memset(ret, 0, sizeof(*ret));
	ret->at = at;
	ret->file_offset = r->located.l->chunks[at.present].offset;
	r->at = at;
	return 1;
}

int img_reader_resync(struct img_reader *r, struct img_record *ret)
{
	const uint8_t *zero = chunk_zero_id(r->codec);
	struct img_cursor at = r->at;

	if (r->packs)
		return version_resync(r, ret);
	if (!r->index)
		return 0;
	/* What failed is the next chunk that has a record, or should have one; zero chunks before it are sound. */
	do {
		if (!img_cursor_next(r->m, &at))
			return 0;
	} while (!r->index[at.present] && !memcmp(r->m->ids[at.present], zero, IMG_ID_SIZE));
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

/* The record of a file, wherever its walk stands. */
static int indexed_record(struct img_reader *r, struct img_record *rec, uint8_t *payload, struct err *e)
{
	uint64_t at = r->index[rec->at.present];
	uint8_t b[FMT_RECORD_SIZE];

	rec->is_zero = !at;
	memcpy(rec->id, r->m->ids[rec->at.present], IMG_ID_SIZE);
	if (rec->is_zero && memcmp(rec->id, chunk_zero_id(r->codec), IMG_ID_SIZE))
		return err_set(e, ERR_CORRUPT, 0, "'%s': the record of chunk %llu is missing", r->name, (unsigned long long)rec->at.chunk);
	if (rec->is_zero)
		return 0;
	struct stream s = r->s;
	stream_seek(&r->s, r->s.pos); /* the buffer is shared and will hold something else */
	stream_seek(&s, at);
	if (stream_read(&s, b, sizeof(b), e) < 0 || fmt_get_record(b, r->s.sealed, &rec->head, e) < 0)
		return err_wrap(e, "'%s' at %llu", r->name, (unsigned long long)at);
	memcpy(rec->sealed_head, b, sizeof(b));
	return stream_read(&s, payload, rec->head.stored_len, e);
}

int img_reader_record(struct img_reader *r, const struct img_cursor *at, struct img_record *ret, uint8_t *payload, struct err *e)
{
	memset(ret, 0, sizeof(*ret));
	ret->at = *at;
	return r->packs ? located_next(r, &ret->at, ret, payload, e) : indexed_record(r, ret, payload, e);
}

int img_reader_chunk(struct img_reader *r, size_t region, uint64_t i, uint8_t *content, struct err *e)
{
	const struct img_region *reg = &r->m->regions[region];
	struct img_cursor at = { .region = region, .i = i, .chunk = reg->first_chunk + i, .present = img_present_index(reg, i) };
	struct img_record rec;

	return img_reader_record(r, &at, &rec, r->payload, e) < 0 ? -1 : img_decode(r->codec, r->m, &rec, r->payload, content, e);
}
