/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Writing an image; see writer.h. The ids and the index are kept in memory until the end: 40 bytes for each present chunk.
 */
#include "imager/image/writer.h"

#include "base/arith.h"
#include "base/buf.h"
#include "base/file_out.h"
#include "base/folder.h"
#include "base/hash.h"
#include "base/random.h"
#include "imager/image/format.h"
#include "imager/image/keys.h"
#include "imager/image/locations.h"
#include "imager/image/sealed_part.h"
#include "imager/image/sigs.h"
#include "imager/image/summary.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <zstd.h>

#define COPY_SIZE ((size_t)256 << 10)

struct img_writer {
	struct img_manifest *m; /* borrowed */
	char path[PATH_MAX], part[PATH_MAX];
	struct seal_box *box;      /* NULL: not encrypted */
	const struct key *signer;  /* borrowed; NULL: signatures are left free */
	int fd;
	bool owns_fd, committed;
	struct file_out out;
	uint64_t *index;     /* for each present chunk */
	uint64_t nr_put, nr_records;
	uint64_t next_chunk; /* lowest number the next put may have */
	uint64_t cids_offset, index_offset;
	const struct img_locations *locations; /* of a version, else NULL; borrowed */
	uint64_t features;
};

static int emit(struct img_writer *w, const void *data, size_t len, struct err *e)
{
	return file_out_add(&w->out, data, len, e);
}

/* A part whose payload is compressed when that makes it smaller. */
static int emit_part(struct img_writer *w, const char *type, uint16_t flags, const void *payload, size_t len, struct err *e)
{
	struct fmt_part p = { .flags = flags & FMT_MANDATORY, .raw_len = len, .stored_len = len };
	uint8_t head[FMT_PART_SIZE];
	AUTO_FREE uint8_t *packed = NULL;
	const void *stored = payload;

	memcpy(p.type, type, 5);
	if (flags & FMT_ZSTD && len > 64) {
		size_t bound = ZSTD_compressBound(len);
		if (!(packed = malloc(bound)))
			return err_nomem(e, type);
		size_t n = ZSTD_compress(packed, bound, payload, len, 3);
		if (!ZSTD_isError(n) && n < len && fmt_ratio_ok(type, len, n)) {
			stored = packed;
			p.stored_len = n;
			p.flags |= FMT_ZSTD;
		}
	}
	AUTO_FREE uint8_t *sealed = NULL;
	if (w->box && fmt_is_sealed(type)) {
		if (sealed_part_close(w->box, w->m->pack_id, &p, stored, &sealed, e) < 0)
			return -1;
		stored = sealed;
	}
	p.crc = crc32_of(stored, (size_t)p.stored_len);
	fmt_put_part(head, &p);
	if (emit(w, head, sizeof(head), e) < 0)
		return -1;
	return emit(w, stored, (size_t)p.stored_len, e);
}

/* CSIG or SIGS: free entries for later signers, the first of them used when there is a key. */
static int emit_signatures(struct img_writer *w, enum sigs_part part, struct err *e)
{
	uint8_t entries[SIGS_RESERVED * SIGS_ENTRY_SIZE] = { 0 };

	if (w->signer && sigs_entry(w->m, part, w->signer->bytes, w->signer->public_bytes, entries, e) < 0)
		return -1;
	if (w->signer && sigs_read(w->m, part, entries, sizeof(entries), e) < 0) /* is it right? and the manifest knows */
		return -1;
	return emit_part(w, part == SIGS_CORE ? "CSIG" : "SIGS", part == SIGS_CORE ? 0 : FMT_MANDATORY, entries, sizeof(entries), e);
}

static int emit_head(struct img_writer *w, struct err *e)
{
	struct fmt_preamble pre = { .mandatory = w->features };
	uint8_t b[FMT_PREAMBLE_SIZE];
	AUTO_FREE uint8_t *core = NULL;
	AUTO_FREE uint8_t *envelope = NULL;
	size_t core_len, envelope_len;

	if (img_core_encode(w->m, &core, &core_len, e) < 0 || img_envelope_encode(w->m, &envelope, &envelope_len, e) < 0)
		return -1;
	if (core_len > FMT_MAX_CORE)
		return err_set(e, ERR_UNSUPPORTED, 0, "the disk is too fragmented: its map takes %zu bytes", core_len);
	AUTO(hasher) struct hasher *h = hasher_new(e);
	if (!h)
		return -1;
	hasher_begin(h);
	hasher_add(h, core, core_len);
	hasher_end(h, w->m->core_hash);
	memcpy(pre.pack_id, w->m->pack_id, 16);
	pre.mandatory |= w->m->seal ? FMT_FEATURE_ENCRYPTED : 0;
	fmt_put_preamble(b, &pre);
	if (hasher_check(h, e) < 0 || emit(w, b, sizeof(b), e) < 0)
		return -1;
	if (emit_part(w, "CORE", FMT_MANDATORY | FMT_ZSTD, core, core_len, e) < 0)
		return -1;
	if (emit_part(w, "ENVL", FMT_ZSTD, envelope, envelope_len, e) < 0)
		return -1;
	if (w->m->seal && !w->locations && emit_part(w, "KEYS", FMT_MANDATORY, w->m->seal->slots, w->m->seal->slots_len, e) < 0)
		return -1;
	return emit_signatures(w, SIGS_CORE, e);
}

int img_writer_may_make(const char *path, struct err *e)
{
	char folder[PATH_MAX];
	struct stat st;

	if (lstat(path, &st) == 0) {
		err_set(e, ERR_REFUSED, 0, "'%s' exists already; an image is never overwritten", path);
		err_hint(e, "choose another name, or remove the old image first");
		return err_reason(e, "exists");
	}
	if (folder_of(path, folder, sizeof(folder)) < 0)
		return err_set(e, ERR_USAGE, ENAMETOOLONG, "making an image");
	if (stat(folder, &st) < 0)
		return err_set(e, errno == ENOENT || errno == ENOTDIR ? ERR_USAGE : ERR_FAILED, errno, "the folder '%s' for the image", folder);
	return 0;
}

/* Is this what an earlier attempt left, and nothing that somebody needs: a disk of this very name, another name of an image? */
static int is_left_over(int fd, const char *part, struct err *e)
{
	uint8_t magic[8];
	struct stat st;

	if (fstat(fd, &st) < 0)
		return err_set(e, ERR_FAILED, errno, "looking at '%s'", part);
	ssize_t n = S_ISREG(st.st_mode) && st.st_nlink == 1 ? pread(fd, magic, sizeof(magic), 0) : -1;
	if (n == 0 || (n == (ssize_t)sizeof(magic) && !memcmp(magic, FMT_MAGIC, sizeof(magic))))
		return 0;
	err_set(e, ERR_REFUSED, 0, "'%s' is there already, and is not the left-over of a capture", part);
	err_hint(e, "choose another name, or move that file away first");
	return err_reason(e, "exists");
}

/* Open PATH.part; a left-over of an earlier attempt is written anew, one that is being written by somebody is not. */
static int open_part(struct img_writer *w, struct err *e)
{
	if (img_writer_may_make(w->path, e) < 0)
		return -1;
	if ((size_t)snprintf(w->part, sizeof(w->part), "%s.part", w->path) >= sizeof(w->part))
		return err_set(e, ERR_USAGE, ENAMETOOLONG, "making '%s'", w->path);
	int fd = open(w->part, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0600); /* it holds what only root may read */
	if (fd < 0)
		return err_set(e, ERR_FAILED, errno, "making '%s'", w->part);
	if (flock(fd, LOCK_EX | LOCK_NB) < 0) {
		close(fd);
		err_set(e, ERR_REFUSED, 0, "'%s' is being written by another program", w->part);
		return err_reason(e, "in-use");
	}
	if (is_left_over(fd, w->part, e) < 0) {
		close(fd);
		return -1;
	}
	w->fd = fd;
	w->owns_fd = true;
	if (ftruncate(fd, 0) < 0)
		return err_set(e, ERR_FAILED, errno, "making '%s'", w->part);
	return 0;
}

static int prepare(struct img_writer *w, struct img_manifest *m, struct err *e)
{
	w->m = m;
	w->index = alloc_array(m->nr_present, sizeof(*w->index));
	if (!m->ids)
		m->ids = alloc_array(m->nr_present, IMG_ID_SIZE);
	if (!w->index || !m->ids)
		return err_nomem(e, "the index of the image");
	if (random_bytes(m->pack_id, sizeof(m->pack_id), e) < 0)
		return -1;
	if (!m->seal)
		return 0;
	if (!m->seal->slots_len)
		return err_set(e, ERR_FAILED, 0, "an image would be encrypted that nobody can open");
	return (w->box = seal_box_new(m->seal, e)) ? 0 : -1;
}

struct img_writer *img_writer_open(const char *path, int fd, struct img_manifest *m, const struct progress *p, struct err *e)
{
	return img_writer_open_signed(path, fd, m, NULL, p, e);
}

struct img_writer *img_writer_open_signed(const char *path, int fd, struct img_manifest *m, const struct key *k, const struct progress *p, struct err *e)
{
	struct img_writer *w = alloc_array(1, sizeof(*w));

	if (!w) {
		err_nomem(e, "the image writer");
		return NULL;
	}
	w->fd = fd;
	w->signer = k;
	if ((size_t)snprintf(w->path, sizeof(w->path), "%s", path) >= sizeof(w->path)) {
		err_set(e, ERR_USAGE, ENAMETOOLONG, "making an image");
	} else if (prepare(w, m, e) == 0 && (fd >= 0 || open_part(w, e) == 0) &&
		   file_out_open(&w->out, w->fd, w->path, p, e) == 0 && emit_head(w, e) == 0) {
		return w;
	}
	img_writer_close(w);
	return NULL;
}

int img_writer_put(struct img_writer *w, uint64_t chunk, const uint8_t id[IMG_ID_SIZE], uint8_t codec, const uint8_t *payload,
	uint32_t stored_len, uint32_t payload_crc, struct err *e)
{
	if (w->nr_put == w->m->nr_present || chunk < w->next_chunk)
		return err_set(e, ERR_FAILED, 0, "chunk %llu was put out of order", (unsigned long long)chunk);
	memcpy(w->m->ids[w->nr_put], id, IMG_ID_SIZE);
	w->index[w->nr_put] = payload ? w->out.written : 0;
	w->nr_put++;
	w->next_chunk = chunk + 1;
	if (!payload)
		return 0;
	struct fmt_record r = { .kind = FMT_WHOLE, .codec = codec, .raw_len = CHUNK_SIZE, .chunk = chunk, .number = w->nr_put - 1, .stored_len = stored_len,
		.crc = payload_crc };
	uint8_t head[FMT_RECORD_SIZE];
	w->nr_records++;
	memcpy(r.origin, w->m->pack_id, 16);
	memcpy(r.id, id, IMG_ID_SIZE);
	fmt_put_record(head, &r);
	if (emit(w, head, sizeof(head), e) < 0)
		return -1;
	return emit(w, payload, stored_len, e);
}

static int emit_ids_and_root(struct img_writer *w, struct err *e)
{
	struct img_manifest *m = w->m;
	struct buf bad = { 0 };

	for (size_t i = 0; i < m->nr_bad; i++) {
		buf_le32(&bad, m->bad[i].disk);
		buf_le32(&bad, 0);
		buf_le64(&bad, m->bad[i].start);
		buf_le64(&bad, m->bad[i].len);
	}
	AUTO_FREE uint8_t *bad_bytes = bad.p;
	if (bad.failed)
		return err_nomem(e, "the bad ranges");
	w->cids_offset = w->out.written;
	if (emit_part(w, "CIDS", FMT_MANDATORY, m->ids, m->nr_present * IMG_ID_SIZE, e) < 0)
		return -1;
	if (emit_part(w, "BADR", FMT_MANDATORY | FMT_ZSTD, bad_bytes, bad.len, e) < 0)
		return -1;
	if (img_root(m->core_hash, m->ids, m->nr_present, bad_bytes, bad.len, m->root, e) < 0)
		return -1;
	m->has_root = true;
	if (emit_part(w, "ROOT", FMT_MANDATORY, m->root, sizeof(m->root), e) < 0)
		return -1;
	return emit_signatures(w, SIGS_ROOT, e);
}

static int emit_index(struct img_writer *w, struct err *e)
{
	/* In place: the index is not needed any more in the machine's byte order. */
	for (uint64_t i = 0; i < w->nr_put; i++) {
		uint64_t v = w->index[i];
		put_le64((uint8_t *)&w->index[i], 0, v);
	}
	w->index_offset = w->out.written;
	return emit_part(w, "INDX", FMT_MANDATORY | FMT_ZSTD, w->index, w->nr_put * sizeof(*w->index), e);
}

static int emit_summary(struct img_writer *w, struct err *e)
{
	uint8_t b[SUMMARY_SIZE];
	struct img_summary s;

	summary_of(w->m, &s);
	summary_put(b, &s);
	return emit_part(w, "SUMM", 0, b, sizeof(b), e);
}

static int emit_locations(struct img_writer *w, struct err *e)
{
	AUTO_FREE uint8_t *table = NULL;
	size_t len;

	if (locations_encode(w->locations, &table, &len, e) < 0)
		return -1;
	w->index_offset = w->out.written;
	return emit_part(w, "LOCS", FMT_MANDATORY | FMT_ZSTD, table, len, e);
}

static int emit_trailer(struct img_writer *w, struct err *e)
{
	uint8_t trailer[FMT_TRAILER_SIZE];
	struct fmt_trailer t = {
		.file_len = w->out.written + FMT_PART_SIZE + FMT_TRAILER_SIZE,
		.cids_offset = w->cids_offset,
		.index_offset = w->index_offset,
		.nr_present = w->nr_put,
		.nr_records = w->nr_records,
	};
	memcpy(t.pack_id, w->m->pack_id, 16);
	memcpy(t.root, w->m->root, 32);
	fmt_put_trailer(trailer, &t);
	return emit_part(w, "TRLR", FMT_MANDATORY, trailer, sizeof(trailer), e);
}

/* Never over an existing file; a file system that cannot promise that (EINVAL) was asked for the name when the part was opened. */
static int give_name(struct img_writer *w, struct err *e)
{
	if (fsync(w->fd) < 0)
		return err_set(e, ERR_FAILED, errno, "flushing '%s'", w->part);
	int r = renameat2(AT_FDCWD, w->part, AT_FDCWD, w->path, RENAME_NOREPLACE);
	if (r < 0 && errno == EINVAL)
		r = rename(w->part, w->path);
	if (r < 0 && errno == EEXIST) {
		err_set(e, ERR_REFUSED, 0, "'%s' appeared while it was being made", w->path);
		return err_reason(e, "exists");
	}
	if (r < 0)
		return err_set(e, ERR_FAILED, errno, "naming '%s'", w->path);
	w->committed = true;
	return folder_flush(w->path, e);
}

int img_writer_commit(struct img_writer *w, struct err *e)
{
	if (w->nr_put != w->m->nr_present)
		return err_set(e, ERR_FAILED, 0, "%llu of %llu chunks are missing", (unsigned long long)(w->m->nr_present - w->nr_put),
			(unsigned long long)w->m->nr_present);
	if (emit_ids_and_root(w, e) < 0 || emit_index(w, e) < 0 || emit_trailer(w, e) < 0 || file_out_drain(&w->out, e) < 0)
		return -1;
	if (w->owns_fd)
		return give_name(w, e);
	w->committed = true;
	return 0;
}

int img_version_write(const char *name, int fd, struct img_manifest *m, const struct img_locations *l, bool has_composed, const struct key *k, struct err *e)
{
	struct img_writer w = { .m = m, .fd = fd, .signer = k, .locations = l, .nr_put = m->nr_present };

	w.features = FMT_IN_PACKS | (has_composed ? FMT_HAS_COMPOSED : 0);
	for (uint64_t i = 0; i < l->nr_chunks; i++)
		w.nr_records += l->chunks[i].offset != 0;
	if (random_bytes(m->pack_id, sizeof(m->pack_id), e) < 0)
		return -1;
	if (m->seal && !(w.box = seal_box_new(m->seal, e)))
		return -1;
	int r = file_out_open(&w.out, fd, name, NULL, e);
	if (r == 0 && (emit_head(&w, e) < 0 || emit_ids_and_root(&w, e) < 0 || emit_summary(&w, e) < 0 || emit_locations(&w, e) < 0 || emit_trailer(&w, e) < 0))
		r = -1;
	if (r == 0)
		r = file_out_drain(&w.out, e);
	file_out_close(&w.out);
	seal_box_free(w.box);
	return r;
}

static int read_exactly(int fd, uint64_t at, void *buf, size_t len, const char *name, struct err *e)
{
	ssize_t n = pread(fd, buf, len, (off_t)at);

	return n == (ssize_t)len ? 0 : err_set(e, ERR_FAILED, n < 0 ? errno : EIO, "reading '%s'", name);
}

/* Everything before the table is copied byte by byte: signatures and what a later version added stay what they are. */
int img_version_relocate(const char *name, int from, int to, const struct img_seal *seal, const struct img_locations *l, struct err *e)
{
	uint8_t trailer[FMT_TRAILER_SIZE];
	struct fmt_trailer t;
	struct stat st;
	AUTO_FREE uint8_t *block = malloc(COPY_SIZE);

	if (!block)
		return err_nomem(e, "a copy buffer");
	if (fstat(from, &st) < 0 || st.st_size < (off_t)(FMT_PART_SIZE + FMT_TRAILER_SIZE))
		return err_set(e, ERR_FAILED, errno, "reading '%s'", name);
	if (read_exactly(from, (uint64_t)st.st_size - FMT_TRAILER_SIZE, trailer, sizeof(trailer), name, e) < 0 || fmt_get_trailer(trailer, &t, e) < 0)
		return -1;
	struct img_manifest m = { .nr_disks = 0 }; /* what the trailer repeats */
	struct img_writer w = { .m = &m, .fd = to, .locations = l, .nr_put = t.nr_present, .nr_records = t.nr_records, .cids_offset = t.cids_offset };
	memcpy(m.pack_id, t.pack_id, sizeof(m.pack_id));
	memcpy(m.root, t.root, sizeof(m.root));
	if (seal && !(w.box = seal_box_new(seal, e)))
		return -1;
	int r = file_out_open(&w.out, to, name, NULL, e);
	for (uint64_t at = 0; r == 0 && at < t.index_offset; at += COPY_SIZE) {
		size_t n = (size_t)min_u64(t.index_offset - at, COPY_SIZE);
		r = read_exactly(from, at, block, n, name, e) < 0 ? -1 : emit(&w, block, n, e);
	}
	if (r == 0 && (emit_locations(&w, e) < 0 || emit_trailer(&w, e) < 0 || file_out_drain(&w.out, e) < 0))
		r = -1;
	file_out_close(&w.out);
	seal_box_free(w.box);
	return r;
}

uint64_t img_writer_bytes(const struct img_writer *w)
{
	return w->out.written;
}

void img_writer_close(struct img_writer *w)
{
	if (!w)
		return;
	if (w->owns_fd) {
		if (!w->committed)
			unlink(w->part);
		close(w->fd);
	}
	seal_box_free(w->box);
	file_out_close(&w->out);
	free(w->index);
	free(w);
}
