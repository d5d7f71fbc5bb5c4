/* SPDX-License-Identifier: GPL-3.0-or-later */
/* CRC-32C (Castagnoli, RFC 3720 appendix B.4): the checksum of ext4's, btrfs' and XFS' metadata. */
#ifndef CALCO_BASE_CRC32C_H
#define CALCO_BASE_CRC32C_H

#include <stddef.h>
#include <stdint.h>

/* Tables, 8 KiB; constant after crc32c_init(), so any number of threads may share them. */
struct crc32c {
	uint32_t table[8][256];
};

void crc32c_init(struct crc32c *c);

/* crc32c_more - the bare register: start with ~0, or with what a file system seeds it with; who wants the usual CRC inverts the result */
uint32_t crc32c_more(const struct crc32c *c, uint32_t crc, const void *buf, size_t len);

#endif
