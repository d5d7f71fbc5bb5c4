/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Buffered writing; see file_out.h. */
#include "base/file_out.h"

#include "base/arith.h"
#include "base/wait.h"

#include <errno.h>
#include <limits.h>
#include <string.h>
#include <unistd.h>

#define BUFFER_SIZE ((size_t)1 << 20)

int file_out_open(struct file_out *o, int fd, const char *name, const struct progress *p, struct err *e)
{
	*o = (struct file_out){ .fd = fd, .name = name, .waits = wait_is_needed(fd), .p = p, .buffer = malloc(BUFFER_SIZE) };
	return o->buffer ? 0 : err_nomem(e, "a write buffer");
}

void file_out_close(struct file_out *o)
{
	free(o->buffer);
	o->buffer = NULL;
}

static int write_all(struct file_out *o, const uint8_t *p, size_t len, struct err *e)
{
	while (len) {
		if (o->waits && wait_writable(o->fd, o->name, o->p, e) < 0)
			return -1;
		ssize_t n = write(o->fd, p, o->waits ? min_u64(len, PIPE_BUF) : len);
		if (n < 0 && (errno == EINTR || errno == EAGAIN))
			continue;
		if (n < 0 && errno == ENOSPC) {
			err_set(e, ERR_FAILED, ENOSPC, "writing '%s'", o->name);
			return err_hint(e, "free some space where the image is to lie, or choose another place");
		}
		if (n <= 0)
			return err_set(e, ERR_FAILED, n < 0 ? errno : EIO, "writing '%s'", o->name);
		p += n;
		len -= (size_t)n;
	}
	return 0;
}

int file_out_drain(struct file_out *o, struct err *e)
{
	size_t n = o->buffered;

	o->buffered = 0;
	return write_all(o, o->buffer, n, e);
}

int file_out_add(struct file_out *o, const void *data, size_t len, struct err *e)
{
	const uint8_t *p = data;

	while (len) {
		size_t n = len < BUFFER_SIZE - o->buffered ? len : BUFFER_SIZE - o->buffered;
		memcpy(o->buffer + o->buffered, p, n);
		o->buffered += n;
		o->written += n;
		p += n;
		len -= n;
		if (o->buffered == BUFFER_SIZE) {
			if (file_out_drain(o, e) < 0)
				return -1;
			write_behind(&o->behind, o->fd, BUFFER_SIZE);
		}
	}
	return 0;
}
