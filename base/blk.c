/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The checks in front of every source and sink, and the defaults of the optional calls; see blk.h. */
#include "base/blk.h"

#include "base/arith.h"

#include <errno.h>
#include <string.h>

#define ZERO_STEP (1U << 20)

static int outside(const char *name, uint64_t off, uint64_t len, uint64_t size, struct err *e)
{
	return err_set(e, ERR_CORRUPT, 0, "bytes %llu+%llu lie beyond the end of '%s' (%llu bytes)", (unsigned long long)off,
		(unsigned long long)len, name, (unsigned long long)size);
}

int blk_read(struct blk_source *s, uint64_t off, void *buf, size_t len, struct err *e)
{
	if (!range_inside(off, len, s->size))
		return outside(s->name, off, len, s->size, e);
	return len ? s->ops->read(s, off, buf, len, e) : 0;
}

int blk_fd(struct blk_source *s, uint64_t *ret_off)
{
	return s->ops->fd ? s->ops->fd(s, ret_off) : -1;
}

bool blk_claim(struct blk_source *s)
{
	return s->ops->claim && s->ops->claim(s);
}

int blk_unchanged(struct blk_source *s, struct err *e)
{
	return s->ops->unchanged ? s->ops->unchanged(s, e) : 0;
}

const char *blk_name(const struct blk_source *s)
{
	return s->name;
}

void blk_close(struct blk_source *s)
{
	if (s)
		s->ops->close(s);
}

int blk_write(struct blk_sink *s, uint64_t off, const void *buf, size_t len, struct err *e)
{
	if (!range_inside(off, len, s->size))
		return outside(s->name, off, len, s->size, e);
	return len ? s->ops->write(s, off, buf, len, e) : 0;
}

static int zero_by_writing(struct blk_sink *s, uint64_t off, uint64_t len, struct err *e)
{
	AUTO_FREE uint8_t *zeros = alloc_array(1, ZERO_STEP);

	if (!zeros)
		return err_nomem(e, "a buffer of zeros");
	while (len) {
		size_t n = (size_t)min_u64(len, ZERO_STEP);
		if (s->ops->write(s, off, zeros, n, e) < 0)
			return -1;
		off += n;
		len -= n;
	}
	return 0;
}

int blk_zero(struct blk_sink *s, uint64_t off, uint64_t len, struct err *e)
{
	if (!range_inside(off, len, s->size))
		return outside(s->name, off, len, s->size, e);
	if (!len)
		return 0;
	return s->ops->zero ? s->ops->zero(s, off, len, e) : zero_by_writing(s, off, len, e);
}

int blk_discard(struct blk_sink *s, uint64_t off, uint64_t len, struct err *e)
{
	if (!range_inside(off, len, s->size))
		return outside(s->name, off, len, s->size, e);
	return len && s->ops->discard ? s->ops->discard(s, off, len, e) : 0;
}

int blk_flush(struct blk_sink *s, struct err *e)
{
	return s->ops->flush(s, e);
}

int blk_read_back(struct blk_sink *s, uint64_t off, void *buf, size_t len, struct err *e)
{
	if (!range_inside(off, len, s->size))
		return outside(s->name, off, len, s->size, e);
	return len ? s->ops->read_back(s, off, buf, len, e) : 0;
}

void blk_rescan(struct blk_sink *s)
{
	if (s->ops->rescan)
		s->ops->rescan(s);
}

int blk_still_there(struct blk_sink *s, struct err *e)
{
	return s->ops->still_there ? s->ops->still_there(s, e) : 0;
}

void blk_sink_close(struct blk_sink *s)
{
	if (s)
		s->ops->close(s);
}

bool blk_is_medium_error(const struct err *e)
{
	return e->sys_errno == EIO || e->sys_errno == ENODATA || e->sys_errno == EILSEQ || e->sys_errno == EREMOTEIO;
}
