/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Fuzz target: members of md and heads of LUKS (locked), alone and two of the same bytes. What is made of them must lie inside them.
 *
 * Input: one byte of choices, then the device. The checksums of md would stop a fuzzer at the door: they are repaired where the
 * choices say so, and the second device gets the role behind the first one's.
 */
#include "base/arith.h"
#include "base/span.h"
#include "imager/disk/stack.h"
#include "tests/fuzz/fuzz.h"

#define CHOICE_PLACE  0x03 /* 1.2, 1.1, 1.0, 0.90 */
#define CHOICE_REPAIR 0x04
#define CHOICE_TWICE  0x08
#define DEVICE_SIZE   ((size_t)256 << 10)

static const char *no_key(void *arg, size_t member, const char *label, const char *uuid)
{
	(void)arg;
	(void)member;
	FUZZ_CHECK(strlen(label) < 49 && strlen(uuid) < 41);
	return NULL;
}

static int check_area(void *arg, size_t member, uint64_t start, uint64_t len, struct err *e)
{
	(void)e;
	FUZZ_CHECK(member < *(size_t *)arg && len && range_inside(start, len, DEVICE_SIZE));
	return 0;
}

static void check_ranges(const struct stack_range *r, size_t nr, size_t nr_members)
{
	for (size_t i = 0; i < nr; i++)
		FUZZ_CHECK(r[i].member < nr_members && r[i].len && range_inside(r[i].start, r[i].len, DEVICE_SIZE));
}

static void check_sets(const struct stack_sets *sets, size_t nr)
{
	size_t placed = 0;
	struct err e = ERR_INIT;

	for (size_t i = 0; i < sets->nr; i++) {
		const struct stack_set *s = &sets->list[i];
		FUZZ_CHECK(s->nr_members);
		placed += s->nr_members;
		check_ranges(s->used, s->nr_used, nr);
		check_ranges(s->zero, s->nr_zero, nr);
		check_ranges(s->arm, s->nr_arm, nr);
		for (size_t k = 0; s->verdict == STACK_OPEN && k < s->nr_volumes; k++)
			FUZZ_CHECK(mapping_areas(&s->volumes[k].map, check_area, &nr, &e) == 0);
	}
	FUZZ_CHECK(placed == nr);
}

static uint32_t fold(const uint8_t *p, size_t len)
{
	uint64_t sum = 0;

	for (size_t i = 0; i + 4 <= len; i += 4)
		sum += get_le32(p + i);
	sum += len % 4 == 2 ? get_le16(p + len - 2) : 0;
	return (uint32_t)sum + (uint32_t)(sum >> 32);
}

static void repair(uint8_t *disk, unsigned place)
{
	static const uint64_t places[] = { 4096, 0, DEVICE_SIZE - 8192, DEVICE_SIZE - 65536 };
	uint8_t *b = disk + places[place];

	put_le32(b, 0, 0xa92b4efc);
	put_le32(b, 4, place < 3);
	if (place < 3) {
		uint32_t max_dev = get_le32(b + 220) % 1921;
		put_le64(b, 144, places[place] / 512);
		put_le32(b, 220, max_dev);
		put_le32(b, 216, 0);
		put_le32(b, 216, fold(b, 256 + 2 * (size_t)max_dev));
	} else {
		put_le32(b, 8, 90);
		put_le32(b, 38 * 4, 0);
		put_le32(b, 38 * 4, fold(b, 4096));
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct stack_kind *const kinds[] = { &stack_md, &stack_luks };
	struct stack_keys keys = { .key_file = no_key };
	struct blk_source *members[2];
	struct err e = ERR_INIT;
	size_t nr = size && data[0] & CHOICE_TWICE ? 2 : 1;
	uint8_t *disks = calloc(nr, DEVICE_SIZE);

	FUZZ_CHECK(disks);
	for (size_t i = 0; i < nr; i++) {
		uint8_t *disk = disks + i * DEVICE_SIZE;
		if (size)
			memcpy(disk, data + 1, size - 1 < DEVICE_SIZE ? size - 1 : DEVICE_SIZE);
		if (i)
			put_le32(disk, 4096 + 160, get_le32(disk + 4096 + 160) + 1);
		if (size && data[0] & CHOICE_REPAIR)
			repair(disk, data[0] & CHOICE_PLACE);
		FUZZ_CHECK(members[i] = blk_mem(disk, DEVICE_SIZE, 512, "d", &e));
	}
	for (size_t k = 0; k < 2; k++) {
		struct stack_sets sets = { 0 };
		bool all = true;
		for (size_t i = 0; i < nr; i++)
			all &= kinds[k]->probe(members[i], &e) > 0;
		if (all && kinds[k]->assemble(members, nr, &keys, &sets, &e) == 0)
			check_sets(&sets, nr);
		stack_sets_release(&sets);
	}
	for (size_t i = 0; i < nr; i++)
		blk_close(members[i]);
	free(disks);
	return 0;
}
