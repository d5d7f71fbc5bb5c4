/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Buffered reading of images; see stream.h. */
#include "imager/image/stream.h"

#include "base/arith.h"
#include "base/auto.h"
#include "base/hash.h"
#include "base/wait.h"
#include "imager/image/sealed_part.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zstd.h>
#include <zstd_errors.h>

#define BUFFER_SIZE ((size_t)256 << 10)
#define STEP        ((size_t)16 << 20) /* memory for a payload grows with what really comes */

void stream_at(struct stream *s, const char *part, uint64_t start, uint64_t len)
{
	snprintf(s->place.part, sizeof(s->place.part), "%s", part);
	s->place.start = start;
	s->place.len = len;
}

int stream_open(struct stream *s, int fd, const char *name, const struct progress *p, struct err *e)
{
	struct stat st;

	*s = (struct stream){ .fd = fd, .name = name, .waits = wait_is_needed(fd), .p = p };
	if (fstat(fd, &st) < 0)
		return err_set(e, ERR_FAILED, errno, "looking at '%s'", name);
	if (S_ISDIR(st.st_mode)) {
		err_set(e, ERR_USAGE, 0, "'%s' is a folder, not an image", name);
		return err_hint(e, "of a repository name a version: %.120s::NAME ('calco repo list %.120s' shows them)", name, name);
	}
	s->seekable = S_ISREG(st.st_mode) && lseek(fd, 0, SEEK_CUR) == 0;
	s->size = s->seekable ? (uint64_t)st.st_size : 0;
	s->buffer = malloc(BUFFER_SIZE);
	if (!s->buffer)
		return err_nomem(e, "a read buffer");
	if (s->seekable)
		posix_fadvise(fd, 0, 0, POSIX_FADV_SEQUENTIAL);
	return 0;
}

void stream_close(struct stream *s)
{
	free(s->buffer);
	s->buffer = NULL;
}

/* Read what is there, at most len bytes: 0 at the end, -1 on an error. */
static ssize_t read_some(struct stream *s, uint64_t at, void *buf, size_t len, struct err *e)
{
	for (;;) {
		if (s->waits && wait_readable(s->fd, s->name, s->p, e) < 0)
			return -1;
		ssize_t n = s->seekable ? pread(s->fd, buf, len, (off_t)at) : read(s->fd, buf, len);
		if (n >= 0)
			return n;
		if (errno != EINTR && errno != EAGAIN)
			return err_set(e, ERR_FAILED, errno, "reading '%s' at %llu", s->name, (unsigned long long)at);
	}
}

static int ended(const struct stream *s, struct err *e)
{
	err_set(e, ERR_CORRUPT, 0, "'%s' ends at %llu, in the middle of the image: it is cut short or was never finished", s->name,
		(unsigned long long)s->pos);
	return err_reason(e, "truncated");
}

int stream_read(struct stream *s, void *buf, size_t len, struct err *e)
{
	uint8_t *p = buf;

	while (len) {
		if (s->start == s->end && len < BUFFER_SIZE / 4) {
			ssize_t n = read_some(s, s->pos, s->buffer, BUFFER_SIZE, e);
			if (n <= 0)
				return n < 0 ? -1 : ended(s, e);
			s->start = 0;
			s->end = (size_t)n;
		}
		size_t n = s->end - s->start;
		if (n) {
			n = n < len ? n : len;
			memcpy(p, s->buffer + s->start, n);
			s->start += n;
		} else {
			ssize_t direct = read_some(s, s->pos, p, len, e);
			if (direct <= 0)
				return direct < 0 ? -1 : ended(s, e);
			n = (size_t)direct;
		}
		p += n;
		len -= n;
		s->pos += n;
	}
	return 0;
}

int stream_peek(struct stream *s, void *buf, size_t len, struct err *e)
{
	while (s->end - s->start < len) {
		memmove(s->buffer, s->buffer + s->start, s->end - s->start);
		s->end -= s->start;
		s->start = 0;
		ssize_t n = read_some(s, s->pos + s->end, s->buffer + s->end, BUFFER_SIZE - s->end, e);
		if (n < 0)
			return -1;
		if (n == 0)
			break;
		s->end += (size_t)n;
	}
	size_t n = s->end - s->start < len ? s->end - s->start : len;
	memcpy(buf, s->buffer + s->start, n);
	return (int)n;
}

int stream_next_is(struct stream *s, const char *type, struct err *e)
{
	uint8_t head[FMT_PART_SIZE];
	int n = stream_peek(s, head, sizeof(head), e);

	if (n < 4)
		return n < 0 ? -1 : 0;
	if (!memcmp(head, type, 4))
		return 1;
	memcpy(head, type, 4);
	return n == (int)sizeof(head) && get_le32(head + 28) == crc32_of(head, 28);
}

void stream_seek(struct stream *s, uint64_t pos)
{
	s->pos = pos;
	s->start = s->end = 0;
}

/* The stored payload; a lying length costs no more memory than bytes come. */
static int read_payload(struct stream *s, uint64_t len, uint8_t **ret, struct err *e)
{
	size_t have = 0;
	AUTO_FREE uint8_t *buf = NULL;

	if (s->seekable && !range_inside(s->pos, len, s->size))
		return ended(s, e);
	while (!buf || have < len) {
		size_t n = (size_t)min_u64(len - have, STEP);
		uint8_t *grown = realloc(buf, have + n + 1);
		if (!grown)
			return err_nomem(e, "a part of the image");
		buf = grown;
		if (stream_read(s, buf + have, n, e) < 0)
			return -1;
		have += n;
	}
	*ret = take(&buf);
	return 0;
}

static int decompress(const char *type, const uint8_t *stored, size_t len, size_t raw_len, uint8_t **ret, struct err *e)
{
	if (!fmt_is_frame(stored, len, raw_len))
		return err_set(e, ERR_CORRUPT, 0, "part '%s' is not one zstd frame of %zu bytes", type, raw_len);
	AUTO_FREE uint8_t *raw = malloc(raw_len ? raw_len : 1);
	if (!raw)
		return err_nomem(e, "a part of the image");
	size_t n = ZSTD_decompress(raw, raw_len, stored, len);
	if (ZSTD_isError(n) && ZSTD_getErrorCode(n) == ZSTD_error_memory_allocation)
		return err_nomem(e, "decompression");
	if (ZSTD_isError(n) || n != raw_len)
		return err_set(e, ERR_CORRUPT, 0, "part '%s' does not decompress", type);
	*ret = take(&raw);
	return 0;
}

/* Types that have a place of their own, where they are asked for. */
static bool is_known(const uint8_t *type)
{
	static const char known[][5] = { "CORE", "ENVL", "KEYS", "CSIG", "CHNK", "CIDS", "BADR", "ROOT", "SIGS", "INDX", "LOCS", "PTOC",
		"SUMM", "TRLR" };

	for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++)
		if (!memcmp(type, known[i], 4))
			return true;
	return false;
}

static int unknown_mandatory(const struct stream *s, const struct fmt_part *p, struct err *e)
{
	return err_set(e, ERR_UNSUPPORTED, 0, "'%s' needs a newer calco: this version does not know its mandatory part '%s'", s->name, p->type);
}

static bool may_shrink(const char *type)
{
	return !strcmp(type, "CORE") || !strcmp(type, "ENVL") || !strcmp(type, "BADR") || !strcmp(type, "INDX") ||
		!strcmp(type, "LOCS") || !strcmp(type, "PTOC");
}

/* In an encrypted image each of these is, and in another none: a part in clear is never taken for one that was encrypted. */
static int check_sealed(const struct stream *s, const struct fmt_part *p, struct err *e)
{
	bool must = s->sealed && fmt_is_sealed(p->type);

	if (must == !!(p->flags & FMT_ENCRYPTED))
		return 0;
	return err_set(e, ERR_CORRUPT, 0, must ? "part '%s' is not encrypted in an image that is" :
		s->sealed ? "part '%s' is encrypted and must not be" : "part '%s' is encrypted in an image that is not", p->type);
}

static int check_part(const struct stream *s, const struct fmt_part *p, const char *type, uint64_t max_raw, uint64_t exact_raw, struct err *e)
{
	uint64_t extra = p->flags & FMT_ENCRYPTED ? sealed_part_extra(type) : 0, packed = p->stored_len - extra;

	if (strcmp(p->type, type))
		return err_set(e, ERR_CORRUPT, 0, "part '%s' stands where '%s' is expected", p->type, type);
	if (check_sealed(s, p, e) < 0)
		return -1;
	if (p->raw_len > max_raw || (exact_raw != UINT64_MAX && p->raw_len != exact_raw))
		return err_set(e, ERR_CORRUPT, 0, "part '%s' has a length of %llu bytes", type, (unsigned long long)p->raw_len);
	if (p->stored_len < extra || (!(p->flags & FMT_ZSTD) && packed != p->raw_len))
		return err_set(e, ERR_CORRUPT, 0, "part '%s' contradicts itself in its lengths", type);
	if (p->flags & FMT_ZSTD && (packed >= p->raw_len || !may_shrink(type)))
		return err_set(e, ERR_CORRUPT, 0, "part '%s' is compressed and must not be", type);
	if (p->flags & FMT_ZSTD && !fmt_ratio_ok(type, p->raw_len, packed))
		return err_set(e, ERR_CORRUPT, 0, "part '%s' wants to become %llu bytes from %llu", type, (unsigned long long)p->raw_len,
			(unsigned long long)packed);
	bool optional = !strcmp(type, "ENVL") || !strcmp(type, "CSIG") || !strcmp(type, "SUMM");
	if (!(p->flags & FMT_MANDATORY) != optional)
		return err_set(e, ERR_CORRUPT, 0, "part '%s' has wrong flags", type);
	return 0;
}

int stream_part_read(struct stream *s, const char *type, uint64_t max_raw, uint64_t exact_raw, struct stored_part *ret, struct err *e)
{
	AUTO_FREE uint8_t *stored = NULL;
	struct fmt_part *p = &ret->p;
	uint64_t at = s->pos;

	stream_at(s, type, at, FMT_PART_SIZE);
	if (stream_read(s, ret->head, sizeof(ret->head), e) < 0)
		return -1;
	int r = fmt_get_part(ret->head, p, e);
	if (r == 0 && p->flags & FMT_MANDATORY && !is_known(ret->head))
		return unknown_mandatory(s, p, e);
	if (r < 0 || check_part(s, p, type, max_raw, exact_raw, e) < 0)
		return err_wrap(e, "'%s': part '%s' at %llu", s->name, type, (unsigned long long)at);
	s->place.len += p->stored_len;
	if (read_payload(s, p->stored_len, &stored, e) < 0)
		return -1;
	if (crc32_of(stored, (size_t)p->stored_len) != p->crc)
		return err_set(e, ERR_CORRUPT, 0, "'%s': part '%s' at %llu+%llu is damaged (checksum)", s->name, type,
			(unsigned long long)at, (unsigned long long)p->stored_len + FMT_PART_SIZE);
	ret->bytes = take(&stored);
	return 0;
}

int stream_part_open(const struct stream *s, struct stored_part *part, uint8_t **ret, size_t *ret_len, struct err *e)
{
	const struct fmt_part *p = &part->p;
	AUTO_FREE uint8_t *stored = take(&part->bytes);
	const uint8_t *payload = stored;
	size_t len = (size_t)p->stored_len;

	if (p->flags & FMT_ENCRYPTED) {
		if (!s->box)
			return err_set(e, ERR_FAILED, 0, "part '%s' of '%s' was to be decrypted without a key", p->type, s->name);
		if (sealed_part_open(s->box, s->pack_id, p, part->head, stored, &payload, &len, e) < 0)
			return err_wrap(e, "'%s': part '%s'", s->name, p->type);
	}
	*ret_len = (size_t)p->raw_len;
	if (p->flags & FMT_ZSTD)
		return decompress(p->type, payload, len, (size_t)p->raw_len, ret, e);
	memmove(stored, payload, len); /* a table's stands behind its salt */
	*ret = take(&stored);
	return 0;
}

int stream_part(struct stream *s, const char *type, uint64_t max_raw, uint64_t exact_raw, uint8_t **ret, size_t *ret_len, struct err *e)
{
	struct stored_part part = { .bytes = NULL };

	if (stream_part_read(s, type, max_raw, exact_raw, &part, e) < 0)
		return -1;
	return stream_part_open(s, &part, ret, ret_len, e);
}

/* Of any length: it is read, but not kept. */
static int skip_payload(struct stream *s, const struct fmt_part *p, struct err *e)
{
	uint8_t block[4096];
	uint32_t crc = 0;

	for (uint64_t left = p->stored_len; left;) {
		size_t n = (size_t)min_u64(left, sizeof(block));
		if (stream_read(s, block, n, e) < 0)
			return -1;
		crc = crc32_more(crc, block, n);
		left -= n;
	}
	if (crc != p->crc)
		return err_set(e, ERR_CORRUPT, 0, "'%s': part '%s' is damaged (checksum)", s->name, p->type);
	return 0;
}

int stream_find_mandatory(struct stream *s, uint64_t end, struct err *e)
{
	uint8_t head[FMT_PART_SIZE];
	struct err ignored = ERR_INIT;
	struct fmt_part p;

	while (s->pos < end && end - s->pos >= FMT_PART_SIZE) {
		uint64_t at = s->pos;
		if (stream_read(s, head, sizeof(head), e) < 0)
			return -1;
		if (is_known(head) || fmt_get_part(head, &p, &ignored) < 0)
			return 0;
		stream_at(s, p.type, at, FMT_PART_SIZE);
		if (p.flags & FMT_MANDATORY)
			return unknown_mandatory(s, &p, e);
		if (!range_inside(s->pos, p.stored_len, end))
			return 0;
		stream_seek(s, s->pos + p.stored_len);
	}
	return 0;
}

int stream_skip_unknown(struct stream *s, struct err *e)
{
	uint8_t head[FMT_PART_SIZE];
	struct fmt_part p;

	for (;;) {
		int n = stream_peek(s, head, sizeof(head), e);
		if (n < 0)
			return -1;
		if (n < (int)sizeof(head) || is_known(head))
			return 0;
		stream_at(s, "", s->pos, FMT_PART_SIZE);
		if (fmt_get_part(head, &p, e) < 0)
			return err_wrap(e, "'%s' at %llu", s->name, (unsigned long long)s->pos);
		if (!s->sealed && p.flags & FMT_ENCRYPTED)
			return check_sealed(s, &p, e);
		stream_at(s, p.type, s->pos, FMT_PART_SIZE);
		if (p.flags & FMT_MANDATORY)
			return unknown_mandatory(s, &p, e);
		s->place.len += p.stored_len;
		if (stream_read(s, head, sizeof(head), e) < 0 || skip_payload(s, &p, e) < 0)
			return -1;
	}
}
