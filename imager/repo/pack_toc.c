/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Tables of contents; see pack.h. */
#include "base/arith.h"
#include "base/hash.h"
#include "base/hex.h"
#include "imager/image/chunk.h"
#include "imager/image/stream.h"
#include "imager/repo/files.h"
#include "imager/repo/folder_packs.h"
#include "imager/repo/pack_parts.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

void pack_toc_free(struct pack_toc *t)
{
	if (!t)
		return;
	free(t->entries);
	free(t);
}

int pack_toc_encode(const struct pack_entry *entries, uint64_t nr, struct buf *ret, struct err *e)
{
	for (uint64_t i = 0; i < nr; i++) {
		const struct pack_entry *x = &entries[i];
		uint8_t *p = buf_extend(ret, PTOC_ENTRY);
		if (!p)
			return err_nomem(e, "the table of contents of a pack");
		memcpy(p, x->id, 32);
		memcpy(p + 32, x->name.origin, 16);
		put_le64(p, 48, x->name.number);
		put_le64(p, 56, x->offset);
		put_le32(p, 64, x->len);
		put_le64(p, 68, x->lends);
		p[76] = x->kind;
	}
	return 0;
}

static bool get_entry(const uint8_t *p, uint64_t from, uint64_t end, uint32_t max_payload, struct pack_entry *ret)
{
	memcpy(ret->id, p, 32);
	memcpy(ret->name.origin, p + 32, 16);
	ret->name.number = get_le64(p + 48);
	ret->offset = get_le64(p + 56);
	ret->len = get_le32(p + 64);
	ret->lends = get_le64(p + 68);
	ret->kind = p[76];
	bool kind_ok = ret->kind == FMT_WHOLE ? ret->lends == UINT64_MAX : ret->kind == FMT_COMPOSED;
	return kind_ok && !p[77] && !p[78] && !p[79] && ret->offset >= from && ret->len > FMT_RECORD_SIZE && ret->len <= FMT_RECORD_SIZE + max_payload &&
		range_inside(ret->offset, ret->len, end);
}

static int decode(struct pack_toc *t, const uint8_t *p, size_t len, uint64_t nr, uint64_t end, bool sealed, struct err *e)
{
	uint64_t from = FMT_PREAMBLE_SIZE;

	if (len / PTOC_ENTRY != nr || len % PTOC_ENTRY)
		return err_set(e, ERR_CORRUPT, 0, "the table of contents has a wrong length");
	if (!(t->entries = alloc_array(nr, sizeof(*t->entries))))
		return err_nomem(e, "the table of contents of a pack");
	t->nr = nr;
	for (uint64_t i = 0; i < nr; i++, p += PTOC_ENTRY) {
		if (!get_entry(p, from, end, sealed ? CHUNK_PAYLOAD_MAX : CHUNK_SIZE, &t->entries[i]) || t->entries[i].offset != from)
			return err_set(e, ERR_CORRUPT, 0, "entry %llu of the table of contents is damaged", (unsigned long long)i);
		from = t->entries[i].offset + t->entries[i].len;
	}
	return from == end ? 0 : err_set(e, ERR_CORRUPT, 0, "its records do not end where its table of contents begins");
}

static int hash_of(const uint8_t *p, size_t len, uint8_t ret[HASH_SIZE], struct err *e)
{
	AUTO(hasher) struct hasher *h = hasher_new(e);

	if (!h)
		return -1;
	hasher_begin(h);
	hasher_add(h, p, len);
	hasher_end(h, ret);
	return hasher_check(h, e);
}

int pack_toc_hash(const struct buf *toc, uint8_t ret[HASH_SIZE], struct err *e)
{
	return hash_of(toc->p, toc->len, ret, e);
}

int pack_check_features(const struct repo *r, const struct fmt_preamble *pre, struct err *e)
{
	uint64_t features = FMT_IS_PACK | (r->slots ? FMT_FEATURE_ENCRYPTED : 0);

	if (pre->mandatory == features)
		return 0;
	if (pre->mandatory == FMT_IS_PACK)
		return err_set(e, ERR_CORRUPT, 0, "it is not encrypted, in a repository that is");
	if (pre->mandatory != (FMT_IS_PACK | FMT_FEATURE_ENCRYPTED))
		return err_set(e, ERR_CORRUPT, 0, "it is another file");
	err_set(e, ERR_REFUSED, 0, "it is encrypted, and its repository says that it is not");
	err_hint(e, "the file 'calco-repo' of the repository was changed or exchanged");
	return err_reason(e, "mixed");
}

/* The end of the file: what the trailer says must agree with where everything stands. */
static int read_toc(const struct repo *r, struct stream *s, struct pack_toc *t, struct err *e)
{
	uint8_t head[FMT_PREAMBLE_SIZE], hash[HASH_SIZE];
	AUTO_FREE uint8_t *trailer_bytes = NULL;
	AUTO_FREE uint8_t *toc = NULL;
	struct fmt_preamble pre;
	struct fmt_trailer trailer;
	size_t len;

	if (stream_read(s, head, sizeof(head), e) < 0 || fmt_get_preamble(head, FMT_IS_PACK, &pre, e) < 0)
		return -1;
	if (pack_check_features(r, &pre, e) < 0)
		return -1;
	if (memcmp(pre.pack_id, t->id, 16))
		return err_set(e, ERR_CORRUPT, 0, "it is another file");
	if (s->size < FMT_PREAMBLE_SIZE + 2 * FMT_PART_SIZE + FMT_TRAILER_SIZE)
		return err_set(e, ERR_CORRUPT, 0, "it is cut short");
	stream_seek(s, s->size - FMT_PART_SIZE - FMT_TRAILER_SIZE);
	if (stream_part(s, "TRLR", FMT_TRAILER_SIZE, FMT_TRAILER_SIZE, &trailer_bytes, &len, e) < 0 || fmt_get_trailer(trailer_bytes, &trailer, e) < 0)
		return -1;
	if (trailer.file_len != s->size || trailer.cids_offset != trailer.index_offset || trailer.nr_present != trailer.nr_records ||
	    memcmp(trailer.pack_id, t->id, 16) || trailer.nr_records > PACK_MAX_RECORDS || trailer.index_offset > s->size)
		return err_set(e, ERR_CORRUPT, 0, "its trailer does not belong to it");
	stream_seek(s, trailer.index_offset);
	if (stream_part(s, "PTOC", trailer.nr_records * PTOC_ENTRY, trailer.nr_records * PTOC_ENTRY, &toc, &len, e) < 0)
		return -1;
	if (hash_of(toc, len, hash, e) < 0)
		return -1;
	if (s->pos != s->size - FMT_PART_SIZE - FMT_TRAILER_SIZE || memcmp(hash, trailer.root, HASH_SIZE))
		return err_set(e, ERR_CORRUPT, 0, "its trailer does not belong to its table of contents");
	t->file_len = s->size;
	return decode(t, toc, len, trailer.nr_records, trailer.index_offset, s->sealed, e);
}

struct pack_toc *pack_toc_read(const struct repo *r, const uint8_t pack[16], struct err *e)
{
	AUTO(pack_toc) struct pack_toc *t = alloc_array(1, sizeof(*t));
	struct stream s = { .fd = -1 };
	char path[64];

	if (!t) {
		err_nomem(e, "the table of contents of a pack");
		return NULL;
	}
	if (repo_need_keys(r, e) < 0)
		return NULL;
	memcpy(t->id, pack, 16);
	pack_path(pack, path, sizeof(path));
	AUTO_CLOSE_FD int fd = repo_open_file(r, path, O_RDONLY, e);
	if (fd < 0) {
		if (e->sys_errno == ENOENT)
			err_set(e, ERR_CORRUPT, ENOENT, "opening the pack '%s/%s'", r->dir, path);
		return NULL;
	}
	AUTO(seal_box) struct seal_box *box = r->seal ? seal_box_new(r->seal, e) : NULL;
	if (r->slots && !box)
		return NULL;
	int failed = stream_open(&s, fd, path, NULL, e);
	s.sealed = r->slots;
	s.box = box;
	s.pack_id = t->id;
	if (failed == 0 && (failed = read_toc(r, &s, t, e)) < 0)
		err_wrap(e, "the pack '%s/%s'", r->dir, path);
	stream_close(&s);
	return failed < 0 ? NULL : take(&t);
}

const struct pack_entry *pack_toc_find(const struct pack_toc *t, uint64_t offset)
{
	uint64_t from = 0, to = t->nr;

	while (from < to) {
		uint64_t middle = from + (to - from) / 2;
		if (t->entries[middle].offset == offset)
			return &t->entries[middle];
		if (t->entries[middle].offset < offset)
			from = middle + 1;
		else
			to = middle;
	}
	return NULL;
}

bool pack_is_retired(const struct repo *r, const uint8_t pack[16])
{
	char path[64], hex[33];

	snprintf(path, sizeof(path), "retired/%s", hex_of(pack, 16, hex));
	return faccessat(r->fd, path, F_OK, 0) == 0;
}

static int id_cmp(const void *a, const void *b)
{
	return memcmp(a, b, 16);
}

int packs_list(const struct repo *r, bool with_retired, uint8_t (**ret)[16], size_t *ret_nr, struct err *e)
{
	int fd = openat(r->fd, "packs", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *d = fd < 0 ? NULL : fdopendir(fd);
	struct buf list = { 0 };

	if (!d)
		return err_set(e, ERR_FAILED, errno, "reading the folder '%s/packs'", r->dir);
	errno = 0;
	for (struct dirent *x; (x = readdir(d)); errno = 0) {
		uint8_t id[16];
		char hex[33];
		if (strlen(x->d_name) != 37 || strcmp(x->d_name + 32, ".pack"))
			continue;
		snprintf(hex, sizeof(hex), "%.32s", x->d_name);
		if (hex_parse(hex, id, 16) && (with_retired || !pack_is_retired(r, id)))
			buf_bytes(&list, id, 16);
	}
	int error = errno;
	closedir(d);
	if (error || list.failed) {
		free(list.p);
		return error ? err_set(e, ERR_FAILED, error, "reading the folder '%s/packs'", r->dir) : err_nomem(e, "the list of packs");
	}
	if (list.len)
		qsort(list.p, list.len / 16, 16, id_cmp);
	*ret = (uint8_t(*)[16])list.p;
	*ret_nr = list.len / 16;
	return 0;
}
