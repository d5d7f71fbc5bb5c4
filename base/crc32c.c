/* SPDX-License-Identifier: GPL-3.0-or-later */
/* CRC-32C by tables, eight bytes a step; see crc32c.h. It runs over each block of metadata, so it must not be slow. */
#include "base/crc32c.h"

#include "base/span.h"

#define POLY 0x82F63B78U

void crc32c_init(struct crc32c *c)
{
	for (uint32_t i = 0; i < 256; i++) {
		uint32_t a = i;
		for (int bit = 0; bit < 8; bit++)
			a = a >> 1 ^ (a & 1 ? POLY : 0);
		c->table[0][i] = a;
	}
	for (int s = 1; s < 8; s++)
		for (uint32_t i = 0; i < 256; i++) {
			uint32_t a = c->table[s - 1][i];
			c->table[s][i] = a >> 8 ^ c->table[0][a & 0xff];
		}
}

uint32_t crc32c_more(const struct crc32c *c, uint32_t crc, const void *buf, size_t len)
{
	const uint32_t(*t)[256] = c->table;
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
