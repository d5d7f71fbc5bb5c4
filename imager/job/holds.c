/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Holding back what arms a disk; see holds.h. */
#include "imager/job/holds.h"

#include "base/arith.h"

#include <string.h>

#define BOOT_CODE 440U
#define DISK_TAIL ((uint64_t)128 << 10)
#define SEEN_OF_HOLD ((uint64_t)1 << 20) /* of each */

/*
 * Real-mode code at 0000:7C00: print the message with INT 10h AH=0Eh, then INT 18h, with which firmware tries the next boot
 * device (BIOS Boot Specification 1.01 §6.7).
 */
static const uint8_t stub[] = {
	0x31, 0xC0,             /* xor ax, ax */
	0x8E, 0xD8,             /* mov ds, ax */
	0xBE, 0x1B, 0x7C,       /* mov si, 7C1Bh: the message behind the code */
	0xFC,                   /* cld */
	0xAC,                   /* next: lodsb */
	0x84, 0xC0,             /* test al, al */
	0x74, 0x09,             /* jz done */
	0xB4, 0x0E,             /* mov ah, 0Eh */
	0xBB, 0x07, 0x00,       /* mov bx, 7 */
	0xCD, 0x10,             /* int 10h */
	0xEB, 0xF2,             /* jmp next */
	0xCD, 0x18,             /* done: int 18h */
	0xF4,                   /* hlt */
	0xEB, 0xFD,             /* jmp to the hlt */
};
static const char stub_message[] = "\r\ncalco: this disk is not complete, run the restore again\r\n";

void holds_stub(uint8_t *sector)
{
	memset(sector, 0, BOOT_CODE);
	memcpy(sector, stub, sizeof(stub));
	memcpy(sector + sizeof(stub), stub_message, sizeof(stub_message));
}

bool holds_could_leave(uint64_t start, const uint8_t *was, const uint8_t *now, size_t len)
{
	uint8_t code[BOOT_CODE];

	holds_stub(code);
	for (size_t i = 0; i < len; i++) {
		bool in_code = start < BOOT_CODE && i < BOOT_CODE - start;
		if (now[i] != was[i] && now[i] != 0 && !(in_code && now[i] == code[start + i]))
			return false;
	}
	return true;
}

/* Candidates before they are sorted and merged. */
struct hold_list {
	struct hold *p;
	size_t nr, room;
};

static int add_hold(struct hold_list *l, uint32_t disk, uint64_t start, uint64_t len, enum hold_stage stage, struct err *e)
{
	if (!len)
		return 0;
	if (l->nr == l->room) {
		size_t room = l->room ? l->room * 2 : 64;
		struct hold *p = realloc(l->p, room * sizeof(*p));
		if (!p)
			return err_nomem(e, "the plan");
		l->p = p;
		l->room = room;
	}
	l->p[l->nr++] = (struct hold){ .disk = disk, .start = start, .len = len, .stage = stage };
	return 0;
}

/* The part of a range that lies in a region; empty when there is none. */
static struct img_range cut_range(const struct img_range *r, const struct img_region *reg)
{
	uint64_t start = max_u64(r->start, reg->start), end = min_u64(r->start + r->len, reg->start + reg->len);
	bool inside = r->disk == reg->disk && start < end;

	return (struct img_range){ .disk = reg->disk, .start = start, .len = inside ? end - start : 0 };
}

/* Does firmware start from this volume? EDK2 looks for \EFI\BOOT (UEFI 2.10 §3.5.1.1) in every FAT, whatever the type of its partition. */
static bool is_boot_volume(const struct img_manifest *m, const struct img_volume *v)
{
	return m->regions[v->region].flags & (IMG_REGION_BOOT | IMG_REGION_ACTIVE) || v->kind == IMG_VOL_DISK || !strcmp(v->type, "vfat");
}

static int collect_volumes(const struct expected *x, struct hold_list *l, struct err *e)
{
	const struct img_manifest *m = x->m;

	for (size_t i = 0; i < m->nr_volumes; i++) {
		const struct img_volume *v = &m->volumes[i];
		bool has_place = v->region != IMG_NO_INDEX; /* else it lies on others: what counts is where */
		if (has_place && x->only_region != SIZE_MAX && v->region != x->only_region)
			continue;
		enum hold_stage stage = has_place && is_boot_volume(m, v) ? HOLD_BOOT : HOLD_SUPER;
		for (uint32_t k = 0; k < v->nr_arm; k++) {
			/* A hostile image may name what lies elsewhere; of a single volume nothing outside it is touched. */
			struct img_range r = x->only_region == SIZE_MAX ? v->arm[k] : cut_range(&v->arm[k], &m->regions[x->only_region]);
			if (add_hold(l, r.disk, r.start, r.len, stage, e) < 0)
				return -1;
		}
	}
	return 0;
}

static int collect_tables(const struct expected *x, const struct img_range *old, size_t nr_old, struct hold_list *l, struct err *e)
{
	const struct img_manifest *m = x->m;

	for (size_t i = 0; x->only_region == SIZE_MAX && i < m->nr_tables; i++)
		if (add_hold(l, m->tables[i].disk, m->tables[i].start, m->tables[i].len, HOLD_TABLE, e) < 0)
			return -1;
	for (size_t i = 0; i < nr_old; i++)
		if (add_hold(l, old[i].disk, old[i].start, old[i].len, HOLD_TABLE, e) < 0)
			return -1;
	/* Without a table BIOS starts whatever stands in the first sector; with one, metadata of a RAID over the whole disk may stand at its end. */
	for (uint32_t d = 0; x->only_region == SIZE_MAX && d < m->nr_disks; d++) {
		const struct img_disk *disk = &m->disks[d];
		uint64_t tail = round_down_u64(disk->size - min_u64(DISK_TAIL, disk->size), disk->sector_size);
		int r = disk->table == PT_NONE ? add_hold(l, d, 0, min_u64(disk->sector_size, disk->size), HOLD_BOOT, e)
					       : add_hold(l, d, tail, disk->size - tail, HOLD_TABLE, e);
		if (r < 0)
			return -1;
	}
	for (uint32_t d = 0; d < m->nr_disks; d++)
		for (size_t i = 0; i < x->disks[d].nr_patches; i++)
			if (add_hold(l, d, x->disks[d].patches[i].start, x->disks[d].patches[i].len, HOLD_TABLE, e) < 0)
				return -1;
	return 0;
}

static int by_place(const void *a, const void *b)
{
	const struct hold *x = a, *y = b;

	if (x->disk != y->disk)
		return x->disk < y->disk ? -1 : 1;
	return x->start < y->start ? -1 : x->start > y->start;
}

/* Cut overlaps: the range that begins first keeps its place, of equal stages neighbours become one. */
static void merge(struct hold_list *l)
{
	size_t n = 0;

	qsort(l->p, l->nr, sizeof(*l->p), by_place);
	for (size_t i = 0; i < l->nr; i++) {
		struct hold h = l->p[i];
		struct hold *last = n ? &l->p[n - 1] : NULL;
		if (last && last->disk == h.disk && h.start < last->start + last->len) {
			uint64_t end = last->start + last->len;
			last->stage = h.stage > last->stage ? h.stage : last->stage;
			if (h.start + h.len <= end)
				continue;
			h.len = h.start + h.len - end;
			h.start = end;
		}
		l->p[n++] = h;
	}
	l->nr = n;
}

/* On sectors of another size than the image's, what is held is held in whole sectors. */
static void round_to_sectors(const struct expected *x, struct hold_list *l)
{
	for (size_t i = 0; i < l->nr; i++) {
		const struct expected_disk *d = &x->disks[l->p[i].disk];
		if (!d->other_sectors)
			continue;
		uint64_t end = min_u64(round_up_u64(l->p[i].start + l->p[i].len, d->sector_size), max_u64(d->size, l->p[i].start + l->p[i].len));
		l->p[i].start = round_down_u64(l->p[i].start, d->sector_size);
		l->p[i].len = end - l->p[i].start;
	}
}

static int by_present(const void *a, const void *b)
{
	const struct special_chunk *x = a, *y = b;

	return x->present < y->present ? -1 : x->present > y->present;
}

static int add_special(struct holds *h, uint64_t present, size_t room, struct err *e)
{
	if (h->nr_special && h->special[h->nr_special - 1].present == present)
		return 0;
	if (h->nr_special == room)
		return err_set(e, ERR_CORRUPT, 0, "the image's arm ranges contradict its regions");
	h->special[h->nr_special++].present = present;
	return 0;
}

/* The present chunks of a region that held ranges lie in; all of one that is made anew. */
static int find_in_region(struct holds *h, size_t index, size_t room, struct err *e)
{
	const struct img_region *reg = &h->x->m->regions[index];

	if (expected_is_remade(h->x, index)) {
		for (uint64_t k = 0; k < cmap_nr_present(reg->map); k++)
			if (add_special(h, reg->first_present + k, room, e) < 0)
				return -1;
		return 0;
	}
	for (const struct hold *hold = holds_next(h, reg->disk, reg->start); hold && hold->start < reg->start + reg->len;
		hold = holds_next(h, reg->disk, hold->start + hold->len)) {
		uint64_t from = max_u64(hold->start, reg->start) - reg->start;
		uint64_t to = min_u64(hold->start + hold->len, reg->start + reg->len) - reg->start;
		for (uint64_t i = from / CHUNK_SIZE; i <= (to - 1) / CHUNK_SIZE; i++)
			if (cmap_next_present(reg->map, i) == i && add_special(h, img_present_index(reg, i), room, e) < 0)
				return -1;
	}
	return 0;
}

/* Every present chunk that is not on the target as it is in the image. Patches are held too, so these are all. */
static int find_special(struct holds *h, struct err *e)
{
	const struct img_manifest *m = h->x->m;
	size_t room = h->nr; /* a range may cross from one region into the next */

	for (size_t i = 0; i < h->nr; i++)
		room += (size_t)(h->list[i].len / CHUNK_SIZE) + 2;
	for (size_t r = 0; r < m->nr_regions; r++)
		room += expected_is_remade(h->x, r) ? (size_t)cmap_nr_present(m->regions[r].map) : 0;
	if (!(h->special = alloc_array(room, sizeof(*h->special))))
		return err_nomem(e, "the plan");
	for (size_t r = 0; r < m->nr_regions; r++)
		if (find_in_region(h, r, room, e) < 0)
			return -1;
	/* Regions that are made anew have numbers behind all others. */
	if (h->nr_special)
		qsort(h->special, h->nr_special, sizeof(*h->special), by_present);
	return 0;
}

static int make_buffers(struct holds *h, struct err *e)
{
	uint64_t total = 0;

	for (size_t i = 0; i < h->nr; i++) {
		total += h->list[i].len;
		if (total > (uint64_t)64 << 20)
			return err_set(e, ERR_CORRUPT, 0, "the image holds back more than 64 MiB of boot sectors and superblocks");
		h->list[i].bytes = alloc_array((size_t)h->list[i].len, 1);
		if (!h->list[i].bytes)
			return err_nomem(e, "what is held back");
		/* Patches may lie where the image has no chunk: behind its end. */
		expected_adapt(h->x, h->list[i].disk, h->list[i].start, h->list[i].bytes, (size_t)h->list[i].len);
	}
	return 0;
}

int holds_new(const struct expected *x, const struct img_range *old, size_t nr_old, struct holds **ret, struct err *e)
{
	AUTO(holds) struct holds *h = alloc_array(1, sizeof(*h));
	struct hold_list l = { 0 };

	if (!h)
		return err_nomem(e, "the plan");
	h->x = x;
	int r = collect_volumes(x, &l, e);
	if (r == 0)
		r = collect_tables(x, old, nr_old, &l, e);
	round_to_sectors(x, &l);
	if (r == 0 && l.nr)
		merge(&l);
	h->list = l.p;
	h->nr = l.nr;
	if (r < 0 || make_buffers(h, e) < 0 || find_special(h, e) < 0)
		return -1;
	*ret = take(&h);
	return 0;
}

void holds_free(struct holds *h)
{
	if (!h)
		return;
	for (size_t i = 0; i < h->nr; i++)
		free(h->list[i].bytes);
	free(h->list);
	free(h->special);
	free(h);
}

const struct hold *holds_next(const struct holds *h, uint32_t disk, uint64_t at)
{
	size_t lo = 0, hi = h->nr;

	while (lo < hi) { /* the first that does not lie wholly before (disk, at) */
		size_t mid = lo + (hi - lo) / 2;
		const struct hold *x = &h->list[mid];
		if (x->disk < disk || (x->disk == disk && x->start + x->len <= at))
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo < h->nr && h->list[lo].disk == disk ? &h->list[lo] : NULL;
}

struct special_chunk *holds_special(const struct holds *h, uint64_t present)
{
	struct special_chunk key = { .present = present };

	return bsearch(&key, h->special, h->nr_special, sizeof(key), by_present);
}

void holds_take(const struct holds *h, uint32_t disk, uint64_t start, const uint8_t *content, uint32_t len)
{
	for (const struct hold *x = holds_next(h, disk, start); x && x->start < start + len; x = holds_next(h, disk, x->start + x->len)) {
		uint64_t from = max_u64(x->start, start), to = min_u64(x->start + x->len, start + len);
		memcpy(x->bytes + (from - x->start), content + (from - start), (size_t)(to - from));
	}
}

void holds_clear(const struct holds *h, uint32_t disk, uint64_t start, uint8_t *buf, uint32_t len)
{
	for (const struct hold *x = holds_next(h, disk, start); x && x->start < start + len; x = holds_next(h, disk, x->start + x->len)) {
		uint64_t from = max_u64(x->start, start), to = min_u64(x->start + x->len, start + len);
		memset(buf + (from - start), 0, (size_t)(to - from));
	}
}

/* Does this range begin with the MBR sector of a disk that has a table? */
static bool is_mbr(const struct holds *h, const struct hold *x)
{
	return x->start == 0 && x->stage == HOLD_TABLE && h->x->m->disks[x->disk].table != PT_NONE && x->len >= 512;
}

typedef int (*held_fn)(void *arg, uint64_t off, const uint8_t *bytes, uint64_t len, struct err *e);

static int with_stub(const struct hold *x, held_fn fn, void *arg, struct err *e)
{
	AUTO_FREE uint8_t *copy = malloc((size_t)x->len);

	if (!copy)
		return err_nomem(e, "the boot sector");
	memcpy(copy, x->bytes, (size_t)x->len);
	holds_stub(copy);
	return fn(arg, 0, copy, x->len, e);
}

/* Everything of one stage, highest offset first. */
static int each_held(const struct holds *h, uint32_t disk, enum hold_stage stage, held_fn fn, void *arg, struct err *e)
{
	uint64_t shift = h->x->disks[disk].shift;

	for (size_t i = h->nr; i-- > 0;) {
		const struct hold *x = &h->list[i];
		if (x->disk != disk)
			continue;
		int r = 0;
		if (is_mbr(h, x) && stage == HOLD_TABLE)
			r = with_stub(x, fn, arg, e);
		else if (is_mbr(h, x) && stage == HOLD_BOOT) /* a GPT behind it stands already and is not touched again */
			r = fn(arg, 0, x->bytes, min_u64(x->len, h->x->m->disks[disk].sector_size), e);
		else if (x->stage == stage)
			r = fn(arg, x->start - shift, x->bytes, x->len, e);
		if (r < 0)
			return -1;
	}
	return 0;
}

static int write_held(void *sink, uint64_t off, const uint8_t *bytes, uint64_t len, struct err *e)
{
	return blk_write(sink, off, bytes, (size_t)len, e);
}

int holds_write(const struct holds *h, uint32_t disk, enum hold_stage stage, struct blk_sink *sink, struct err *e)
{
	return each_held(h, disk, stage, write_held, sink, e);
}

static int note_held(void *state, uint64_t off, const uint8_t *bytes, uint64_t len, struct err *e)
{
	return state_note_write(state, off, bytes, len, e) < 0 ? -1 : 0;
}

int holds_will_write(const struct holds *h, uint32_t disk, struct state *state, struct err *e)
{
	for (enum hold_stage stage = HOLD_SUPER; stage <= HOLD_BOOT; stage++)
		if (each_held(h, disk, stage, note_held, state, e) < 0)
			return -1;
	return state_sync(state, e);
}

int holds_see(const struct holds *h, uint32_t disk, struct blk_sink *sink, struct state *state, struct err *e)
{
	uint64_t shift = h->x->disks[disk].shift;
	uint8_t buf[4096];

	for (size_t i = 0; i < h->nr; i++) {
		const struct hold *x = &h->list[i];
		uint64_t end = min_u64(x->start - shift + min_u64(x->len, SEEN_OF_HOLD), sink->size);
		if (x->disk != disk)
			continue;
		for (uint64_t at = x->start - shift; at < end; at += sizeof(buf)) {
			size_t len = (size_t)min_u64(sizeof(buf), end - at);
			if (blk_read_back(sink, at, buf, len, e) < 0)
				return -1;
			/* The boot code may be the stub by now, which goes as it came. */
			size_t skip = at == 0 && len > BOOT_CODE ? BOOT_CODE : 0;
			if (state_see(state, at + skip, buf + skip, len - skip, e) < 0)
				return -1;
		}
	}
	return 0;
}

static int verify_held(void *arg, uint64_t off, const uint8_t *bytes, uint64_t len, struct err *e)
{
	struct blk_sink *sink = arg;
	AUTO_FREE uint8_t *got = malloc((size_t)len);

	if (!got)
		return err_nomem(e, "a read buffer");
	if (blk_read_back(sink, off, got, (size_t)len, e) < 0)
		return -1;
	if (!memcmp(got, bytes, (size_t)len))
		return 0;
	err_set(e, ERR_CORRUPT, 0, "'%s' did not keep what was written at %llu+%llu", sink->name, (unsigned long long)off,
		(unsigned long long)len);
	return err_reason(e, "read-back");
}

int holds_verify(const struct holds *h, uint32_t disk, enum hold_stage stage, struct blk_sink *sink, struct err *e)
{
	return each_held(h, disk, stage, verify_held, sink, e);
}
