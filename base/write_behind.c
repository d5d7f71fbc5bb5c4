/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Have the kernel begin early with what was written; see write_behind.h. */
#include "base/write_behind.h"

#include <fcntl.h>

#define STEP (UINT64_C(16) << 20)

void write_behind(struct write_behind *w, int fd, uint64_t len)
{
	if (atomic_fetch_add(&w->waiting, len) + len < STEP)
		return;
	atomic_store(&w->waiting, 0);
	sync_file_range(fd, 0, 0, SYNC_FILE_RANGE_WRITE);
}
