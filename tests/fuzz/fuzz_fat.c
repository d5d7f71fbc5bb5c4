/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The FAT driver. The input is the boot sector and what follows it; the volume goes on with zeros for as many sectors
 * as the input's first two bytes say (they hold no more than a jump, which the driver does not look at).
 */
#include "tests/fuzz/fsd_fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	size_t volume_size = size;

	if (size >= 2)
		volume_size += 512u * (data[0] + 256u * (data[1] & 0x1f));
	uint8_t *volume = calloc(1, volume_size + 1);
	if (!volume)
		return 0;
	if (size)
		memcpy(volume, data, size);
	/* Without the mark, nothing behind it would be tried. */
	if (size >= 512 && !(data[1] & 0x80))
		memcpy(volume + 510, "\x55\xaa", 2);
	fuzz_driver(&fsd_fat, volume, volume_size);
	free(volume);
	return 0;
}
