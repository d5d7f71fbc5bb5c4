/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Random bytes; see random.h. */
#include "base/random.h"

#include <errno.h>
#include <stdint.h>
#include <sys/random.h>

int random_bytes(void *ret, size_t len, struct err *e)
{
	uint8_t *p = ret;

	while (len) {
		ssize_t n = getrandom(p, len, 0);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return err_set(e, ERR_FAILED, errno, "getting random bytes from the kernel");
		p += n;
		len -= (size_t)n;
	}
	return 0;
}
