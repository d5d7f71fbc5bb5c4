/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Signing in place; see sign.h. A signature changes some bytes of the file, which a power cut could tear. So the pieces that will be written go to a
 * journal beside the image first: it is whole or it does not count, and writing its pieces again and again gives the same image.
 */
#include "imager/image/sign.h"

#include "base/arith.h"
#include "base/buf.h"
#include "base/folder.h"
#include "base/hash.h"
#include "imager/image/access.h"
#include "imager/image/format.h"
#include "imager/image/reader.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#define JOURNAL_MAGIC "calco signing\0\0"
#define JOURNAL_HEAD  80U
#define PIECE_HEAD    16U

struct signing {
	const char *path;
	char journal[PATH_MAX];
	int fd;
	struct buf b;     /* the journal's bytes */
	uint32_t nr_pieces;
};

static int open_image(struct signing *s, const char *path, struct err *e)
{
	struct stat st;

	s->path = path;
	if ((size_t)snprintf(s->journal, sizeof(s->journal), "%s.sign", path) >= sizeof(s->journal))
		return err_set(e, ERR_USAGE, ENAMETOOLONG, "signing an image");
	s->fd = open(path, O_RDWR | O_NONBLOCK | O_CLOEXEC);
	if (s->fd < 0)
		return err_set(e, errno == ENOENT ? ERR_USAGE : ERR_FAILED, errno, "opening '%s' to sign it", path);
	if (fstat(s->fd, &st) < 0)
		return err_set(e, ERR_FAILED, errno, "looking at '%s'", path);
	if (!S_ISREG(st.st_mode))
		return err_set(e, ERR_USAGE, 0, "'%s' is no plain file: only the file of an image can be signed", path);
	if (flock(s->fd, LOCK_EX | LOCK_NB) < 0) {
		err_set(e, ERR_REFUSED, 0, "'%s' is being written by another program", path);
		return err_reason(e, "in-use");
	}
	return 0;
}

static int read_at(int fd, const char *name, void *buf, size_t len, uint64_t at, struct err *e)
{
	for (uint8_t *p = buf; len;) {
		ssize_t n = pread(fd, p, len, (off_t)at);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return err_set(e, ERR_FAILED, n < 0 ? errno : EIO, "reading '%s' at %llu", name, (unsigned long long)at);
		p += n;
		at += (uint64_t)n;
		len -= (size_t)n;
	}
	return 0;
}

static int write_at(int fd, const char *name, const void *buf, size_t len, uint64_t at, struct err *e)
{
	for (const uint8_t *p = buf; len;) {
		ssize_t n = pwrite(fd, p, len, (off_t)at);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return err_set(e, ERR_FAILED, n < 0 ? errno : EIO, "writing '%s' at %llu", name, (unsigned long long)at);
		p += n;
		at += (uint64_t)n;
		len -= (size_t)n;
	}
	return 0;
}

/* ---- the journal */

static void journal_begin(struct signing *s, const struct img_manifest *m, uint64_t new_len)
{
	buf_bytes(&s->b, JOURNAL_MAGIC, 16);
	buf_bytes(&s->b, m->pack_id, 16);
	buf_bytes(&s->b, m->root, 32);
	buf_le64(&s->b, new_len);
	buf_le64(&s->b, 0); /* number of pieces, reserved */
}

/* Room for one piece; NULL when memory is gone. */
static uint8_t *journal_piece(struct signing *s, uint64_t at, size_t len)
{
	buf_le64(&s->b, at);
	buf_le64(&s->b, len);
	uint8_t *p = buf_extend(&s->b, len);
	if (p)
		put_le32(s->b.p, 72, ++s->nr_pieces);
	return p;
}

static int journal_hash(const struct signing *s, size_t len, uint8_t ret[HASH_SIZE], struct err *e)
{
	AUTO(hasher) struct hasher *h = hasher_new(e);

	if (!h)
		return -1;
	hasher_begin(h);
	hasher_add(h, s->b.p, len);
	hasher_end(h, ret);
	return hasher_check(h, e);
}

/* Onto the medium, name included, before the image changes. */
static int journal_write(struct signing *s, struct err *e)
{
	uint8_t hash[HASH_SIZE];

	if (journal_hash(s, s->b.len, hash, e) < 0)
		return -1;
	buf_bytes(&s->b, hash, sizeof(hash));
	if (s->b.failed)
		return err_nomem(e, "the signature");
	AUTO_CLOSE_FD int fd = open(s->journal, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (fd < 0)
		return err_set(e, ERR_FAILED, errno, "making '%s'", s->journal);
	int r = write_at(fd, s->journal, s->b.p, s->b.len, 0, e);
	if (r == 0 && fsync(fd) < 0)
		r = err_set(e, ERR_FAILED, errno, "flushing '%s'", s->journal);
	if (r == 0)
		r = folder_flush(s->journal, e);
	if (r < 0) {
		unlink(s->journal);
		return err_hint(e, "the image was not changed");
	}
	return 0;
}

static int journal_remove(const struct signing *s, struct err *e)
{
	if (unlink(s->journal) < 0)
		return err_set(e, ERR_FAILED, errno, "removing '%s'", s->journal);
	return folder_flush(s->journal, e);
}

/* Is what was read a whole journal? What was cut short did not touch the image yet. */
static bool journal_is_whole(const struct signing *s)
{
	struct span p = span_of(s->b.p, s->b.len);
	struct err ignored = ERR_INIT;
	uint8_t hash[HASH_SIZE];
	uint64_t at = JOURNAL_HEAD, new_len = span_le64(&p, 64);

	if (s->b.len < JOURNAL_HEAD + HASH_SIZE || memcmp(s->b.p, JOURNAL_MAGIC, 16) || journal_hash(s, s->b.len - HASH_SIZE, hash, &ignored) < 0 ||
		memcmp(hash, s->b.p + s->b.len - HASH_SIZE, HASH_SIZE))
		return false;
	for (uint32_t i = 0; i < span_le32(&p, 72); i++) {
		uint64_t where = span_le64(&p, at), len = span_le64(&p, at + 8);
		if (p.bad || !range_inside(at + PIECE_HEAD, len, s->b.len - HASH_SIZE) || !range_inside(where, len, new_len))
			return false;
		at += PIECE_HEAD + len;
	}
	return at == s->b.len - HASH_SIZE;
}

/* Room for a longer file is taken before anything changes: then the image is as it was when there is none. */
static int take_room(const struct signing *s, uint64_t new_len, struct err *e)
{
	struct stat st;

	if (fstat(s->fd, &st) < 0)
		return err_set(e, ERR_FAILED, errno, "looking at '%s'", s->path);
	uint64_t len = (uint64_t)st.st_size;
	if (new_len > len && fallocate(s->fd, FALLOC_FL_KEEP_SIZE, (off_t)len, (off_t)(new_len - len)) < 0 && errno == ENOSPC) {
		err_set(e, ERR_FAILED, ENOSPC, "making '%s' longer for a signature", s->path);
		return err_hint(e, "free some space where the image lies; it was not changed");
	}
	return 0;
}

/* Write the pieces: all of them, also those that a cut-short attempt may have written. */
static int journal_apply(struct signing *s, struct err *e)
{
	uint64_t at = JOURNAL_HEAD, new_len = get_le64(s->b.p + 64);

	for (uint32_t i = 0; i < get_le32(s->b.p + 72); i++) {
		uint64_t where = get_le64(s->b.p + at), len = get_le64(s->b.p + at + 8);
		if (write_at(s->fd, s->path, s->b.p + at + PIECE_HEAD, (size_t)len, where, e) < 0)
			return -1;
		at += PIECE_HEAD + len;
	}
	if (ftruncate(s->fd, (off_t)new_len) < 0 || fsync(s->fd) < 0)
		return err_set(e, ERR_FAILED, errno, "flushing '%s'", s->path);
	return 0;
}

static int cut_short(const struct signing *s, struct err *e)
{
	return err_hint(e, "the image is not whole now; the same command finishes it from '%.80s'", s->journal);
}

/* ---- finishing what was cut short */

static int read_journal(struct signing *s, int fd, struct err *e)
{
	struct stat st;

	if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode))
		return err_set(e, ERR_FAILED, errno, "'%s' is no journal of a signing", s->journal);
	uint8_t *p = buf_extend(&s->b, (size_t)st.st_size);
	if (!p)
		return err_nomem(e, "the journal of a signing");
	return read_at(fd, s->journal, p, (size_t)st.st_size, 0, e);
}

static int recover(struct signing *s, bool *ret_recovered, struct err *e)
{
	AUTO_CLOSE_FD int fd = open(s->journal, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
	uint8_t pre[FMT_PREAMBLE_SIZE];

	if (fd < 0 && errno == ENOENT)
		return 0;
	if (fd < 0)
		return err_set(e, ERR_FAILED, errno, "opening '%s'", s->journal);
	if (read_journal(s, fd, e) < 0)
		return -1;
	if (journal_is_whole(s)) {
		if (read_at(s->fd, s->path, pre, sizeof(pre), 0, e) < 0)
			return -1;
		if (memcmp(pre + 32, s->b.p + 16, 16)) {
			err_set(e, ERR_REFUSED, 0, "'%s' is what is left of signing another image than '%s'", s->journal, s->path);
			err_hint(e, "put that image in its place, or remove the file if you know better");
			return err_reason(e, "state");
		}
		if (journal_apply(s, e) < 0)
			return cut_short(s, e);
		*ret_recovered = true;
	}
	s->b.len = 0;
	return journal_remove(s, e);
}

/* ---- a new signature */

static bool is_signer(const struct img_manifest *m, const struct key *k, enum sigs_part part)
{
	for (size_t i = 0; i < m->nr_signers; i++)
		if (!memcmp(m->signers[i].key, k->public_bytes, sizeof(k->public_bytes)))
			return part == SIGS_CORE ? m->signers[i].core : m->signers[i].root;
	return false;
}

/* A part of entries as it will stand: header and payload at p. */
static void seal_entries(uint8_t *p, const char *type, uint16_t flags, size_t entries_len)
{
	struct fmt_part part = { .flags = flags, .raw_len = entries_len, .stored_len = entries_len, .crc = crc32_of(p + FMT_PART_SIZE, entries_len) };

	memcpy(part.type, type, 5);
	fmt_put_part(p, &part);
}

/* Fill a free entry of the part of `len` bytes at `at`. 1 done, 0 there is none, -1. */
static int fill_entry(struct signing *s, const struct img_manifest *m, const struct key *k, enum sigs_part part, uint64_t at, uint64_t len, struct err *e)
{
	size_t entries = len > FMT_PART_SIZE ? (size_t)len - FMT_PART_SIZE : 0;
	AUTO_FREE uint8_t *bytes = malloc((size_t)len + 1);

	if (!bytes)
		return err_nomem(e, "the signatures");
	if (read_at(s->fd, s->path, bytes, (size_t)len, at, e) < 0)
		return -1;
	size_t place = sigs_free_entry(bytes + FMT_PART_SIZE, entries);
	if (place >= entries)
		return 0;
	if (sigs_entry(m, part, k->bytes, k->public_bytes, bytes + FMT_PART_SIZE + place, e) < 0)
		return -1;
	seal_entries(bytes, part == SIGS_CORE ? "CSIG" : "SIGS", part == SIGS_CORE ? 0 : FMT_MANDATORY, entries);
	uint8_t *piece = journal_piece(s, at, (size_t)len);
	if (!piece)
		return err_nomem(e, "the signatures");
	memcpy(piece, bytes, (size_t)len);
	return 1;
}

/* SIGS anew and longer, and all that stands behind it: the index as it is, the trailer with new places. */
static int grow_tail(struct signing *s, const struct img_manifest *m, const struct key *k, const struct img_sign_places *at, uint64_t size, uint64_t more,
	struct err *e)
{
	uint64_t old_end = at->sigs_at + at->sigs_len, old_entries = at->sigs_len ? at->sigs_len - FMT_PART_SIZE : 0;
	uint64_t new_entries = old_entries + SIGS_RESERVED * SIGS_ENTRY_SIZE, rest = size - old_end;
	struct fmt_trailer t;

	if (new_entries > FMT_MAX_SMALL)
		return err_set(e, ERR_UNSUPPORTED, 0, "'%s' has as many signatures as an image can have", s->path);
	uint8_t *p = journal_piece(s, at->sigs_at, (size_t)(FMT_PART_SIZE + new_entries + rest));
	if (!p)
		return err_nomem(e, "the signatures");
	uint8_t *entries = p + FMT_PART_SIZE, *tail = entries + new_entries, *trailer = tail + rest - FMT_TRAILER_SIZE;
	if (old_entries && read_at(s->fd, s->path, entries, (size_t)old_entries, at->sigs_at + FMT_PART_SIZE, e) < 0)
		return -1;
	if (read_at(s->fd, s->path, tail, (size_t)rest, old_end, e) < 0 || fmt_get_trailer(trailer, &t, e) < 0)
		return -1;
	if (sigs_entry(m, SIGS_ROOT, k->bytes, k->public_bytes, entries + old_entries, e) < 0)
		return -1;
	seal_entries(p, "SIGS", FMT_MANDATORY, (size_t)new_entries);
	t.file_len = size + more;
	t.index_offset = at->index_at + more;
	fmt_put_trailer(trailer, &t);
	seal_entries(trailer - FMT_PART_SIZE, "TRLR", FMT_MANDATORY, FMT_TRAILER_SIZE);
	return 0;
}

static int plan(struct signing *s, struct img_reader *r, const struct key *k, struct img_sign_result *ret, struct err *e)
{
	const struct img_manifest *m = img_reader_manifest(r);
	struct img_sign_places at = img_reader_sign_places(r);
	uint64_t size = img_reader_size(r), more = (at.sigs_len ? 0 : FMT_PART_SIZE) + SIGS_RESERVED * SIGS_ENTRY_SIZE;
	int filled = is_signer(m, k, SIGS_CORE);

	ret->in_head = filled;
	journal_begin(s, m, size);
	if (!filled && at.csig_len && (filled = fill_entry(s, m, k, SIGS_CORE, at.csig_at, at.csig_len, e)) < 0)
		return -1;
	ret->in_head = filled;
	if (!is_signer(m, k, SIGS_ROOT)) {
		filled = fill_entry(s, m, k, SIGS_ROOT, at.sigs_at, at.sigs_len, e);
		if (filled < 0 || (!filled && grow_tail(s, m, k, &at, size, more, e) < 0))
			return -1;
		if (!filled && !s->b.failed)
			put_le64(s->b.p, 64, size + more);
	}
	return s->b.failed ? err_nomem(e, "the signatures") : 0;
}

static void tell(const struct img_manifest *m, struct img_sign_result *ret)
{
	snprintf(ret->name, sizeof(ret->name), "%s", m->name);
	ret->version = m->version;
	memcpy(ret->root, m->root, sizeof(ret->root));
}

static int commit(struct signing *s, struct err *e)
{
	if (take_room(s, get_le64(s->b.p + 64), e) < 0 || journal_write(s, e) < 0)
		return -1;
	return journal_apply(s, e) < 0 ? cut_short(s, e) : 0;
}

/* Read it again, as anybody will. */
static int check(struct signing *s, const struct img_access *a, const struct key *k, struct err *e)
{
	AUTO(img_reader) struct img_reader *r = img_reader_open_with(s->path, s->fd, a, NULL, e);

	if (!r)
		return -1;
	if (!is_signer(img_reader_manifest(r), k, SIGS_ROOT))
		return err_set(e, ERR_FAILED, 0, "'%s' did not keep its signature", s->path);
	return 0;
}

static int sign(struct signing *s, const struct img_access *a, const struct key *k, struct img_sign_result *ret, struct err *e)
{
	if (recover(s, &ret->recovered, e) < 0)
		return -1;
	AUTO(img_reader) struct img_reader *r = img_reader_open_with(s->path, s->fd, a, NULL, e);
	if (!r)
		return -1;
	tell(img_reader_manifest(r), ret);
	if (plan(s, r, k, ret, e) < 0)
		return -1;
	ret->was_signed = !s->nr_pieces;
	if (ret->was_signed)
		return 0;
	return commit(s, e) < 0 || check(s, a, k, e) < 0 ? -1 : journal_remove(s, e);
}

int img_sign(const char *path, const struct img_access *a, const struct key *k, struct img_sign_result *ret, struct err *e)
{
	struct signing s = { .fd = -1 };

	memset(ret, 0, sizeof(*ret));
	if (k->kind != KEY_SIGN_SECRET) {
		err_set(e, ERR_USAGE, 0, "that is no secret key for signing, but a %s", key_kind_name(k->kind));
		return err_hint(e, "'calco key new FILE' makes one");
	}
	int r = open_image(&s, path, e);
	if (r == 0)
		r = sign(&s, a, k, ret, e);
	free(s.b.p);
	if (s.fd >= 0)
		close(s.fd);
	return r;
}
