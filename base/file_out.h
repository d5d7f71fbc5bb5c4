/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Writing a file or pipe front to back through one buffer of 1 MiB. One thread. */
#ifndef CALCO_BASE_FILE_OUT_H
#define CALCO_BASE_FILE_OUT_H

#include "base/err.h"
#include "base/progress.h"
#include "base/write_behind.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct file_out {
	int fd;                  /* borrowed */
	const char *name;        /* borrowed; for messages */
	bool waits;              /* a pipe: what is written may be long in being taken */
	const struct progress *p; /* borrowed; asked while it waits; NULL: nobody */
	uint8_t *buffer;         /* owned */
	size_t buffered;
	uint64_t written;        /* bytes given to file_out_add(), buffered ones included */
	struct write_behind behind;
};

/* file_out_open - from where fd stands; file_out_close releases the buffer, not the descriptor, and writes nothing */
int file_out_open(struct file_out *o, int fd, const char *name, const struct progress *p, struct err *e);
void file_out_close(struct file_out *o);

int file_out_add(struct file_out *o, const void *data, size_t len, struct err *e);
/* file_out_drain - what is buffered goes to the file; not flushed to the medium */
int file_out_drain(struct file_out *o, struct err *e);

#endif
