/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The checksums of self-describing metadata: CRC-32C (XFS docs, "Metadata Integrity"). */
#include "fsdrivers/xfs/xfs.h"

bool xfs_crc_good(const struct crc32c *c, const uint8_t *buf, size_t len, size_t off)
{
	static const uint8_t none[4];
	uint32_t crc = crc32c_more(c, ~0U, buf, off);

	crc = crc32c_more(c, crc, none, 4);
	return ~crc32c_more(c, crc, buf + off + 4, len - off - 4) == get_le32(buf + off);
}
