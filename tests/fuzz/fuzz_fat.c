/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The FAT driver. The input is the boot sector and what follows it; the volume goes on with zeros for as many sectors
 * as the input's first two bytes say (they hold no more than a jump, which the driver does not look at).
 */
#include "tests/fuzz/fsd_fuzz.h"

#include "fsdrivers/fat/remake.h"

/* Whatever can be made anew is a file system, of the same size, and can be made anew once more. */
static void fuzz_remake(const uint8_t *volume, size_t size, uint32_t sector)
{
	struct err e = ERR_INIT;
	struct blk_source *src = blk_mem(volume, size, 512, "fuzz", &e), *again;
	struct blk_source *made = src ? fat_remake(src, sector, &e) : NULL;

	if (made) {
		uint8_t *bytes = malloc(size);
		FUZZ_CHECK(bytes && made->size == size && blk_read(made, 0, bytes, size, &e) == 0);
		struct blk_source *new = blk_mem(bytes, size, sector, "made", &e);
		struct blk_set set = { &new, 1 };
		struct fsd_volume *v;
		FUZZ_CHECK(new && fsd_fat.probe(new, &e) == 1);
		if (fsd_fat.open(&set, &v, &e) == 0)
			fsd_fat.close(v);
		else
			FUZZ_CHECK(e.code == ERR_UNSUPPORTED); /* a signature that was there before */
		FUZZ_CHECK((again = fat_remake(new, sector, &e)) != NULL);
		blk_close(again);
		blk_close(new);
		free(bytes);
	} else {
		FUZZ_CHECK(e.code != ERR_NONE && e.msg[0]);
	}
	blk_close(made);
	blk_close(src);
}

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
	if (volume_size)
		fuzz_remake(volume, volume_size, size >= 4 && data[3] & 1 ? 512 : 4096);
	free(volume);
	return 0;
}
