/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Fuzz target: the metadata of LVM2, as text or as physical volumes.
 *
 * Input: one byte of choices, then the text, or the first MiB of a device whose checksums are repaired. Whatever is accepted
 * must be mapped inside the devices.
 */
#include "base/arith.h"
#include "imager/disk/lvm.h"
#include "imager/disk/stack.h"
#include "tests/fuzz/fuzz.h"
#include "tests/unit/lvm_image.h"

#define CHOICE_DEVICE 0x01 /* the input is a device; else a text that is put into one */
#define CHOICE_TWICE  0x02 /* two devices of the same bytes */
#define DEVICE_SIZE   ((size_t)4 << 20)

static int check_area(void *arg, size_t member, uint64_t start, uint64_t len, struct err *e)
{
	(void)e;
	FUZZ_CHECK(member < *(size_t *)arg && len && range_inside(start, len, DEVICE_SIZE));
	return 0;
}

static void check_sets(const struct stack_sets *sets, size_t nr)
{
	uint8_t *seen = calloc(nr, 1);
	struct err e = ERR_INIT;

	FUZZ_CHECK(seen);
	for (size_t i = 0; i < sets->nr; i++) {
		const struct stack_set *s = &sets->list[i];
		FUZZ_CHECK(s->nr_members);
		for (size_t k = 0; k < s->nr_members; k++)
			FUZZ_CHECK(s->members[k] < nr && !seen[s->members[k]]++);
		for (size_t k = 0; k < s->nr_used; k++)
			FUZZ_CHECK(s->used[k].member < nr && range_inside(s->used[k].start, s->used[k].len, DEVICE_SIZE));
		for (size_t k = 0; k < s->nr_arm; k++)
			FUZZ_CHECK(s->arm[k].member < nr && range_inside(s->arm[k].start, s->arm[k].len, DEVICE_SIZE));
		for (size_t k = 0; s->verdict == STACK_OPEN && k < s->nr_volumes; k++) {
			FUZZ_CHECK(mapping_areas(&s->volumes[k].map, check_area, &nr, &e) == 0);
			FUZZ_CHECK(memchr(s->volumes[k].name, 0, sizeof(s->volumes[k].name)));
		}
	}
	for (size_t i = 0; i < nr; i++)
		FUZZ_CHECK(seen[i]);
	free(seen);
}

static void run_device(uint8_t *disk, size_t nr)
{
	struct blk_source *members[2];
	struct stack_sets sets = { 0 };
	struct err e = ERR_INIT;

	for (size_t i = 0; i < nr; i++)
		FUZZ_CHECK(members[i] = blk_mem(disk, DEVICE_SIZE, 512, "d", &e));
	if (stack_lvm.probe(members[0], &e) > 0 && stack_lvm.assemble(members, nr, NULL, &sets, &e) == 0)
		check_sets(&sets, nr);
	stack_sets_release(&sets);
	for (size_t i = 0; i < nr; i++)
		blk_close(members[i]);
}

/* The checksums would stop a fuzzer at the door. */
static void repair(uint8_t *disk)
{
	memcpy(disk + 512, "LABELONE", 8);
	put_le64(disk, 520, 1);
	memcpy(disk + 512 + 24, "LVM2 001", 8);
	uint64_t mda = get_le64(disk + 512 + 104), off, len;
	lvm_seal_label(disk);
	if (mda > DEVICE_SIZE - 512 || mda < 1024)
		return;
	uint8_t *h = disk + mda;
	off = get_le64(h + 40);
	len = get_le64(h + 48);
	if (range_inside(mda, off, DEVICE_SIZE) && range_inside(mda + off, len, DEVICE_SIZE))
		put_le32(h, 56, lvm_crc(h + off, (size_t)len));
	lvm_seal_mda(disk, mda);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint8_t *disk = calloc(1, DEVICE_SIZE);

	FUZZ_CHECK(disk);
	if (size && data[0] & CHOICE_DEVICE) {
		memcpy(disk, data + 1, size - 1 < DEVICE_SIZE ? size - 1 : DEVICE_SIZE);
		repair(disk);
	} else if (size) {
		size_t len = size - 1 < 900000 ? size - 1 : 900000;
		lvm_put_label(disk, "aaaaaabbbbccccddddeeeeffffgggggg", DEVICE_SIZE, 4096, 1044480);
		if (len)
			lvm_put_text(disk, 4096, 1044480, 512, (const char *)data + 1, len);
	}
	if (size)
		run_device(disk, data[0] & CHOICE_TWICE ? 2 : 1);
	free(disk);
	return 0;
}
