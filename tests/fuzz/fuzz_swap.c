/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The swap driver. The input is, so that it stays small: 1 byte that picks the page size, the bytes at 1024, and up to
 * the last 10 bytes of the header page; a first byte above 127 means that the rest is the volume as it is.
 */
#include "tests/fuzz/fsd_fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const size_t volume_size = 256 << 10;
	size_t page;

	if (size < 11 || data[0] > 127) {
		fuzz_driver(&fsd_swap, data + (size > 0), size - (size > 0));
		return 0;
	}
	uint8_t *volume = calloc(1, volume_size);
	if (!volume)
		return 0;
	page = 4096u << data[0] % 5;
	memcpy(volume + page - 10, data + size - 10, 10);
	size_t rest = size - 11 < 2048 ? size - 11 : 2048;
	memcpy(volume + 1024, data + 1, rest);
	if (data[0] & 64)
		memcpy(volume, data + 1, rest < 1024 ? rest : 1024);
	fuzz_driver(&fsd_swap, volume, volume_size);
	free(volume);
	return 0;
}
