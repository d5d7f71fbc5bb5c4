/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The two checksums of ext4 (ext4 docs, checksums.rst): CRC-16 for group descriptors under gdt_csum, CRC-32C for everything under metadata_csum. */
#include "fsdrivers/ext/ext.h"

#define CRC16_POLY 0xA001U

void ext_crc_init(struct ext_crc *c)
{
	crc32c_init(&c->crc32c);
	for (uint32_t i = 0; i < 256; i++) {
		uint16_t b = (uint16_t)i;
		for (int bit = 0; bit < 8; bit++)
			b = (uint16_t)(b >> 1 ^ (b & 1 ? CRC16_POLY : 0));
		c->crc16[i] = b;
	}
}

uint32_t ext_crc32c(const struct ext_crc *c, uint32_t crc, const void *buf, size_t len)
{
	return crc32c_more(&c->crc32c, crc, buf, len);
}

uint16_t ext_crc16(const struct ext_crc *c, uint16_t crc, const void *buf, size_t len)
{
	const uint8_t *p = buf;

	while (len--)
		crc = (uint16_t)(crc >> 8 ^ c->crc16[(crc ^ *p++) & 0xff]);
	return crc;
}
