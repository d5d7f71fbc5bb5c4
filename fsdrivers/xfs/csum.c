/* SPDX-License-Identifier: GPL-3.0-or-later */
/* CRC-32C (XFS docs, "Metadata Integrity"). It runs over every block of every tree, so it takes eight bytes a step. */
#include "fsdrivers/xfs/xfs.h"

#define CRC32C_POLY 0x82F63B78U

void xfs_crc_init(struct xfs_crc *c)
{
	for (uint32_t i = 0; i < 256; i++) {
		uint32_t a = i;
		for (int bit = 0; bit < 8; bit++)
			a = a >> 1 ^ (a & 1 ? CRC32C_POLY : 0);
		c->t[0][i] = a;
	}
	for (int s = 1; s < 8; s++)
		for (uint32_t i = 0; i < 256; i++) {
			uint32_t a = c->t[s - 1][i];
			c->t[s][i] = a >> 8 ^ c->t[0][a & 0xff];
		}
}

uint32_t xfs_crc32c(const struct xfs_crc *c, uint32_t crc, const void *buf, size_t len)
{
	const uint32_t(*t)[256] = c->t;
	const uint8_t *p = buf;

	for (; len >= 8; len -= 8, p += 8) {
		uint32_t lo = crc ^ get_le32(p), hi = get_le32(p + 4);
		crc = t[7][lo & 0xff] ^ t[6][lo >> 8 & 0xff] ^ t[5][lo >> 16 & 0xff] ^ t[4][lo >> 24] ^
			t[3][hi & 0xff] ^ t[2][hi >> 8 & 0xff] ^ t[1][hi >> 16 & 0xff] ^ t[0][hi >> 24];
	}
	while (len--)
		crc = crc >> 8 ^ t[0][(crc ^ *p++) & 0xff];
	return crc;
}

bool xfs_crc_good(const struct xfs_crc *c, const uint8_t *buf, size_t len, size_t off)
{
	static const uint8_t none[4];
	uint32_t crc = xfs_crc32c(c, ~0U, buf, off);

	crc = xfs_crc32c(c, crc, none, 4);
	return ~xfs_crc32c(c, crc, buf + off + 4, len - off - 4) == get_le32(buf + off);
}
