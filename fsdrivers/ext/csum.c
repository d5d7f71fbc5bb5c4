/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The two checksums of ext4 (ext4 docs, checksums.rst): CRC-16 for group descriptors under gdt_csum, CRC-32C for
 * everything under metadata_csum. CRC-32C runs over each block bitmap, so it takes eight bytes a step.
 */
#include "fsdrivers/ext/ext.h"

#include "base/span.h"

#define CRC32C_POLY 0x82F63B78U
#define CRC16_POLY  0xA001U

void ext_crc_init(struct ext_crc *c)
{
	for (uint32_t i = 0; i < 256; i++) {
		uint32_t a = i;
		uint16_t b = (uint16_t)i;
		for (int bit = 0; bit < 8; bit++) {
			a = a >> 1 ^ (a & 1 ? CRC32C_POLY : 0);
			b = (uint16_t)(b >> 1 ^ (b & 1 ? CRC16_POLY : 0));
		}
		c->crc32c[0][i] = a;
		c->crc16[i] = b;
	}
	for (int s = 1; s < 8; s++)
		for (uint32_t i = 0; i < 256; i++) {
			uint32_t a = c->crc32c[s - 1][i];
			c->crc32c[s][i] = a >> 8 ^ c->crc32c[0][a & 0xff];
		}
}

uint32_t ext_crc32c(const struct ext_crc *c, uint32_t crc, const void *buf, size_t len)
{
	const uint32_t(*t)[256] = c->crc32c;
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

uint16_t ext_crc16(const struct ext_crc *c, uint16_t crc, const void *buf, size_t len)
{
	const uint8_t *p = buf;

	while (len--)
		crc = (uint16_t)(crc >> 8 ^ c->crc16[(crc ^ *p++) & 0xff]);
	return crc;
}
