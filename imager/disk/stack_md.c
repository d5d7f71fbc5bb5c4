/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Linux RAID (md). A mirror whose members are all at hand and in step is mapped: what its content uses is taken of each member, the rest of the
 * data must be zero on a restored one, so that the members stay equal: "check" compares all of them and counts what differs in free space, too, and
 * whatever is read there before it is written would depend on the member. Everything else is taken whole.
 *
 * Sources: kernel include/uapi/linux/raid/md_p.h (structures), drivers/md/md.c (super_90_load, super_1_load: places and checksums).
 */
#include "imager/disk/stack.h"

#include "base/arith.h"
#include "base/span.h"

#include <stdio.h>
#include <string.h>

#define MAGIC     0xa92b4efcU
#define SECTOR    512U
#define SB_BYTES  4096U
#define MAX_DISKS 1024U
#define IN_BITMAP 1U /* feature: a write-intent bitmap */
#define NO_ROLE   0xffffU

/* A superblock of either generation. */
struct md_super {
	uint8_t set[16];
	char name[33];
	uint64_t at;                /* of the superblock, bytes */
	int32_t level;
	uint32_t nr_disks, role;
	uint64_t events;
	uint64_t data, len;         /* the member's part of the content, bytes */
	bool is_clean, is_plain;    /* nothing but a bitmap */
	bool is_whole;              /* it knows of no missing or failed member */
};

static uint32_t fold(uint64_t sum)
{
	return (uint32_t)sum + (uint32_t)(sum >> 32);
}

static uint64_t sum_words(const uint8_t *p, size_t len, size_t skip)
{
	uint64_t sum = 0;

	for (size_t i = 0; i + 4 <= len; i += 4)
		sum += i == skip ? 0 : get_le32(p + i);
	return sum + (len % 4 == 2 ? get_le16(p + len - 2) : 0);
}

/* Does this member know each place of the array to be filled? One that was used without the others calls them missing, however equal the event counts. */
static bool knows_all_roles(const uint8_t *b, uint32_t max_dev, uint32_t nr_disks)
{
	for (uint32_t role = 0; role < nr_disks; role++) {
		unsigned nr = 0;
		for (uint32_t i = 0; i < max_dev; i++)
			nr += get_le16(b + 256 + 2 * i) == role;
		if (nr != 1)
			return false;
	}
	return true;
}

/* Version 1, at a place that must be its own. */
static bool decode_1(const uint8_t *b, uint64_t at, uint64_t size, struct md_super *s)
{
	uint32_t max_dev = get_le32(b + 220), number = get_le32(b + 160);

	if (get_le32(b) != MAGIC || get_le32(b + 4) != 1 || get_le64(b + 144) != at / SECTOR || max_dev > (SB_BYTES - 256) / 2)
		return false;
	if (get_le32(b + 216) != fold(sum_words(b, 256 + 2 * (size_t)max_dev, 216)))
		return false;
	*s = (struct md_super){ .at = at, .level = (int32_t)get_le32(b + 72), .nr_disks = get_le32(b + 92), .events = get_le64(b + 200) };
	memcpy(s->set, b + 16, 16);
	memcpy(s->name, b + 32, 32);
	s->role = number < max_dev ? get_le16(b + 256 + 2 * number) : NO_ROLE;
	s->is_clean = get_le64(b + 208) == UINT64_MAX;
	s->is_plain = !(get_le32(b + 8) & ~IN_BITMAP);
	s->is_whole = s->nr_disks <= MAX_DISKS && knows_all_roles(b, max_dev, s->nr_disks);
	if (!mul_u64(get_le64(b + 128), SECTOR, &s->data) || !mul_u64(get_le64(b + 80), SECTOR, &s->len) || !range_inside(s->data, s->len, size))
		s->is_plain = false;
	return true;
}

/* Version 0.90: as the machine wrote it, which is little-endian here. */
static bool decode_90(const uint8_t *b, uint64_t at, uint64_t size, struct md_super *s)
{
	if (get_le32(b) != MAGIC || get_le32(b + 4) != 0 || get_le32(b + 8) != 90 || get_le32(b + 38 * 4) != fold(sum_words(b, SB_BYTES, 38 * 4)))
		return false;
	*s = (struct md_super){ .at = at, .level = (int32_t)get_le32(b + 28), .nr_disks = get_le32(b + 40), .role = get_le32(b + 995 * 4) };
	memcpy(s->set, b + 20, 4);
	memcpy(s->set + 4, b + 52, 12);
	s->events = get_le32(b + 39 * 4) | (uint64_t)get_le32(b + 40 * 4) << 32;
	s->is_clean = get_le32(b + 33 * 4) & 1;
	s->is_plain = get_le32(b + 36 * 4) == 0 && !(get_le32(b + 33 * 4) & ~0x101U); /* nothing failed; clean, bitmap */
	s->is_whole = get_le32(b + 34 * 4) == s->nr_disks; /* active disks */
	s->len = (uint64_t)get_le32(b + 32) * 1024;
	if (!range_inside(0, s->len, size))
		s->is_plain = false;
	return true;
}

/* 1 and *ret, 0, -1 */
static int read_super(struct blk_source *src, struct md_super *ret, struct err *e)
{
	uint8_t b[SB_BYTES];
	uint64_t sectors = src->size / SECTOR;
	const uint64_t places[] = { 8 * SECTOR, 0, sectors < 32 ? UINT64_MAX : (sectors - 16) / 8 * 8 * SECTOR,
		src->size < (128 << 10) ? UINT64_MAX : src->size / 65536 * 65536 - 65536 };

	for (size_t i = 0; i < 4; i++) {
		if (!range_inside(places[i], SB_BYTES, src->size))
			continue;
		if (blk_read(src, places[i], b, sizeof(b), e) < 0)
			return -1;
		if (i < 3 ? decode_1(b, places[i], src->size, ret) : decode_90(b, places[i], src->size, ret))
			return 1;
	}
	return 0;
}

static int md_probe(struct blk_source *src, struct err *e)
{
	struct md_super s;

	return read_super(src, &s, e);
}

struct md {
	struct blk_source *const *sources;
	struct md_super *m; /* owned */
	bool *is_placed;    /* owned */
	size_t nr;
	struct stack_sets *ret;
};

/* Why a member cannot be mapped although all of its set may be there; "" when it can. */
static void find_reason(const struct md *md, size_t i, char *out, size_t size)
{
	const struct md_super *s = &md->m[i];

	out[0] = '\0';
	if (s->level != 1)
		snprintf(out, size, "a member of a RAID of level %d, taken raw: every block is copied", s->level);
	else if (!s->nr_disks || s->nr_disks > MAX_DISKS || s->role >= s->nr_disks)
		snprintf(out, size, "a spare or failed member of a mirror, taken raw: every block is copied");
	else if (!s->is_plain || !s->len)
		snprintf(out, size, "a member of a mirror in a state that is not understood (reshape, bad blocks), taken raw: every block is copied");
	else if (!s->is_whole)
		snprintf(out, size, "a member of a mirror that was used without the others, taken raw: every block is copied");
	else if (!s->is_clean)
		snprintf(out, size, "a member of a mirror that was not stopped cleanly, taken raw: every block is copied");
}

/* The member with this role of the same set, in step with it; SIZE_MAX. */
static size_t find_role(const struct md *md, const struct md_super *s, uint32_t role)
{
	char reason[200];

	for (size_t i = 0; i < md->nr; i++) {
		const struct md_super *o = &md->m[i];
		if (memcmp(o->set, s->set, 16) || o->role != role || o->events != s->events || o->nr_disks != s->nr_disks || o->len != s->len ||
			md->is_placed[i])
			continue;
		find_reason(md, i, reason, sizeof(reason));
		if (!reason[0])
			return i;
	}
	return SIZE_MAX;
}

/* What is not content of the array is metadata; the content is zero until something says that it is used. */
static int add_metadata(struct stack_set *set, size_t member, const struct md_super *s, uint64_t size, struct err *e)
{
	uint64_t end = s->data + s->len;

	if ((s->data && stack_add_used(set, member, 0, s->data, e) < 0) || (end < size && stack_add_used(set, member, end, size - end, e) < 0))
		return -1;
	return stack_add_zero(set, member, s->data, s->len, e) < 0 ? -1 : stack_add_arm(set, member, s->at, min_u64(SB_BYTES, size - s->at), e);
}

static int add_mirror(struct md *md, size_t first, struct err *e)
{
	const struct md_super *s = &md->m[first];
	AUTO_FREE struct map_leg *legs = alloc_array(s->nr_disks, sizeof(*legs));
	struct stack_set *set = stack_add_set(md->ret, e);

	if (!legs || !set)
		return err_nomem(e, "the members of a mirror");
	snprintf(set->type, sizeof(set->type), "raid1");
	snprintf(set->name, sizeof(set->name), "md-%02x%02x%02x%02x", s->set[0], s->set[1], s->set[2], s->set[3]);
	for (uint32_t role = 0; role < s->nr_disks; role++) {
		size_t i = find_role(md, s, role);
		md->is_placed[i] = true;
		legs[role] = (struct map_leg){ i, md->m[i].data };
		if (stack_add_member(set, i, e) < 0 || add_metadata(set, i, &md->m[i], md->sources[i]->size, e) < 0)
			return -1;
	}
	struct stack_volume *v = stack_add_volume(set, e);
	if (!v)
		return -1;
	snprintf(v->name, sizeof(v->name), "%s", set->name);
	return mapping_add(&v->map, s->len, 0, legs, s->nr_disks, e);
}

static int place(struct md *md, size_t i, struct err *e)
{
	char reason[200];
	uint32_t role = 0;

	find_reason(md, i, reason, sizeof(reason));
	if (reason[0]) {
		md->is_placed[i] = true;
		return stack_add_raw(md->ret, i, reason, e);
	}
	while (role < md->m[i].nr_disks && find_role(md, &md->m[i], role) != SIZE_MAX)
		role++;
	if (role == md->m[i].nr_disks)
		return add_mirror(md, i, e);
	struct stack_set *set = stack_add_set(md->ret, e);
	if (!set)
		return -1;
	md->is_placed[i] = true;
	set->verdict = STACK_ALONE;
	return stack_add_member(set, i, e);
}

static int md_assemble(struct blk_source *const *members, size_t nr, const struct stack_keys *keys, struct stack_sets *ret, struct err *e)
{
	struct md md = { .sources = members, .m = alloc_array(nr, sizeof(*md.m)), .is_placed = alloc_array(nr, sizeof(bool)), .nr = nr, .ret = ret };
	int r = md.m && md.is_placed ? 0 : err_nomem(e, "the members of an array");

	(void)keys;
	for (size_t i = 0; r == 0 && i < nr; i++)
		if (read_super(members[i], &md.m[i], e) < 0)
			r = -1;
	for (size_t i = 0; r == 0 && i < nr; i++)
		if (!md.is_placed[i])
			r = place(&md, i, e);
	free(md.m);
	free(md.is_placed);
	return r;
}

const struct stack_kind stack_md = {
	.name = "md",
	.type = "linux_raid_member",
	.shape = STACK_ARRAY,
	.probe = md_probe,
	.assemble = md_assemble,
};
