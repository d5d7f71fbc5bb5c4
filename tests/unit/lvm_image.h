/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Physical volumes of LVM2 made by hand, after lvm2 lib/format_text/layout.h: for unit tests and the fuzz target. */
#ifndef CALCO_TESTS_LVM_IMAGE_H
#define CALCO_TESTS_LVM_IMAGE_H

#include "base/span.h"

#include <libdeflate.h>
#include <stdint.h>
#include <string.h>

static inline uint32_t lvm_crc(const void *p, size_t len)
{
	return ~libdeflate_crc32(~0xf597a6cfU, p, len);
}

/* The checksum of a label in sector 1. */
static inline void lvm_seal_label(uint8_t *disk)
{
	put_le32(disk, 512 + 16, lvm_crc(disk + 512 + 20, 492));
}

static inline void lvm_seal_mda(uint8_t *disk, uint64_t mda)
{
	put_le32(disk, mda, lvm_crc(disk + mda + 4, 508));
}

/* A label in sector 1 with one metadata area (len 0: none), and the flag "used". */
static inline void lvm_put_label(uint8_t *disk, const char uuid[32], uint64_t size, uint64_t mda, uint64_t mda_len)
{
	uint8_t *l = disk + 512;

	memset(l, 0, 512);
	memcpy(l, "LABELONE", 8);
	put_le64(l, 8, 1);
	put_le32(l, 20, 32);
	memcpy(l + 24, "LVM2 001", 8);
	memcpy(l + 32, uuid, 32);
	put_le64(l, 64, size);
	put_le64(l, 72, 1 << 20); /* data area, to the end */
	put_le64(l, 104, mda_len ? mda : 0);
	put_le64(l, 112, mda_len);
	size_t at = mda_len ? 136 : 120;
	put_le32(l, at, 2);
	put_le32(l, at + 4, 1);
	lvm_seal_label(disk);
}

/* The text goes into the ring from byte `off` of the area on. */
static inline void lvm_put_text(uint8_t *disk, uint64_t mda, uint64_t mda_len, uint64_t off, const char *text, size_t len)
{
	uint8_t *h = disk + mda;

	memset(h, 0, 512);
	memcpy(h + 4, " LVM2 x[5A%r0N*>", 16);
	put_le32(h, 20, 1);
	put_le64(h, 24, mda);
	put_le64(h, 32, mda_len);
	put_le64(h, 40, off);
	put_le64(h, 48, len);
	put_le32(h, 56, lvm_crc(text, len));
	lvm_seal_mda(disk, mda);
	for (size_t i = 0; i < len; i++)
		h[off + i < mda_len ? off + i : 512 + (off + i - mda_len)] = (uint8_t)text[i];
}

#endif
