/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The MBR and the chain of extended boot records (EBR) behind logical partitions.
 *
 * There is no standard for the chain; what Linux does (block/partitions/msdos.c) decides what a disk contains: in each
 * EBR up to four slots are partitions that start relative to the EBR, the first slot of an extended type links to the
 * next EBR relative to the start of the extended partition. A slot is in use when its size is not zero, whatever its type.
 */
#include "imager/disk/pt_internal.h"

#include "base/arith.h"
#include "base/span.h"

#define SLOT_OFFSET 446
#define SLOT_SIZE   16
#define MAX_EBRS    1024U

struct mbr pt_mbr_decode(const uint8_t sector[MBR_SIZE])
{
	struct span s = span_of(sector, MBR_SIZE);
	struct mbr m = { .has_magic = span_le16(&s, 510) == 0xAA55 };

	for (size_t i = 0; m.has_magic && i < 4; i++) {
		size_t at = SLOT_OFFSET + i * SLOT_SIZE;
		m.slot[i] = (struct mbr_slot){
			.boot = span_u8(&s, at),
			.type = span_u8(&s, at + 4),
			.first_lba = span_le32(&s, at + 8),
			.nr_sectors = span_le32(&s, at + 12),
		};
	}
	return m;
}

/* For 255 heads and 63 sectors. */
void pt_mbr_put_chs(uint8_t *p, uint64_t lba)
{
	uint64_t cylinder = lba / (255 * 63);

	if (cylinder > 1023) {
		p[0] = p[1] = p[2] = 0xFF;
		return;
	}
	p[0] = (uint8_t)(lba / 63 % 255);
	p[1] = (uint8_t)((lba % 63 + 1) | (cylinder >> 8) << 6);
	p[2] = (uint8_t)cylinder;
}

int pt_mbr_protective(const struct mbr *m)
{
	for (int i = 0; i < 4; i++)
		if (m->slot[i].type == MBR_TYPE_GPT)
			return i;
	return -1;
}

bool pt_mbr_is_table(const struct mbr *m)
{
	bool is_used = false;

	for (int i = 0; i < 4; i++) {
		if (m->slot[i].boot != 0x00 && m->slot[i].boot != 0x80)
			return false;
		is_used |= m->slot[i].nr_sectors != 0;
	}
	return m->has_magic && is_used;
}

static bool slots_overlap(const struct mbr_slot *a, const struct mbr_slot *b)
{
	return a->first_lba < (uint64_t)b->first_lba + b->nr_sectors && b->first_lba < (uint64_t)a->first_lba + a->nr_sectors;
}

bool pt_mbr_is_plausible(const struct mbr *m, uint64_t nr_sectors)
{
	for (int i = 0; i < 4; i++) {
		const struct mbr_slot *s = &m->slot[i];
		if (!s->nr_sectors)
			continue;
		if (!s->type || !s->first_lba || !range_inside(s->first_lba, s->nr_sectors, nr_sectors))
			return false;
		for (int k = 0; k < i; k++)
			if (m->slot[k].nr_sectors && slots_overlap(s, &m->slot[k]))
				return false;
	}
	return pt_mbr_is_table(m);
}

static bool is_extended(const struct mbr_slot *s)
{
	return s->nr_sectors && (s->type == 0x05 || s->type == 0x0F || s->type == 0x85);
}

/* The walk through the chains of one disk. Sector numbers are at most a few times 2^32: sums cannot overflow. */
struct walk {
	struct blk_source *src;
	struct pt_table *t;
	uint64_t ext_lba, nr_ext;  /* the extended partition */
	uint64_t seen[MAX_EBRS];   /* EBRs read so far, of all extended partitions */
	size_t nr_seen;
	unsigned next_number;
};

static int add_slot(struct walk *w, unsigned number, uint64_t base_lba, const struct mbr_slot *s, struct err *e)
{
	uint32_t ss = w->t->sector_size;
	struct pt_entry en = {
		.number = number,
		.start = (base_lba + s->first_lba) * ss,
		.len = (uint64_t)s->nr_sectors * ss,
		.mbr_type = s->type,
		.active = s->boot == 0x80,
		.is_logical = number > 4,
	};

	return pt_add_entry(w->t, &en, e);
}

static bool was_seen(const struct walk *w, uint64_t lba)
{
	for (size_t i = 0; i < w->nr_seen; i++)
		if (w->seen[i] == lba)
			return true;
	return false;
}

/* Returns true with the EBR at lba in *ret; otherwise the chain ends there, with a notice. */
static bool read_ebr(struct walk *w, uint64_t lba, struct mbr *ret)
{
	uint32_t ss = w->t->sector_size;
	uint8_t sector[MBR_SIZE];
	struct err local = ERR_INIT;
	const char *what = NULL;

	if (!lba || was_seen(w, lba))
		what = "it leads back to a sector it came from";
	else if (w->nr_seen == MAX_EBRS)
		what = "it is too long";
	else if (!range_inside(lba * ss, ss, w->src->size))
		what = "it leads beyond the end of the disk";
	else if (blk_read(w->src, lba * ss, sector, sizeof(sector), &local) < 0)
		what = "a sector of it cannot be read";
	else if (!(*ret = pt_mbr_decode(sector)).has_magic)
		what = "an extended boot record is missing";
	if (what)
		pt_notice(w->t, "the chain of logical partitions is broken at sector %llu: %s", (unsigned long long)lba, what);
	else
		w->seen[w->nr_seen++] = lba;
	return !what;
}

/* Slots 3 and 4 often hold garbage; they count only when they lie inside the link and inside the extended partition. */
static bool is_logical_slot(const struct walk *w, const struct mbr *ebr, int i, uint64_t ebr_lba, uint64_t nr_link)
{
	const struct mbr_slot *s = &ebr->slot[i];

	if (!s->nr_sectors || is_extended(s))
		return false;
	if (i < 2)
		return true;
	uint64_t end = (uint64_t)s->first_lba + s->nr_sectors;
	return end <= nr_link && ebr_lba + end <= w->ext_lba + w->nr_ext;
}

static int add_logicals(struct walk *w, const struct mbr *ebr, uint64_t ebr_lba, uint64_t nr_link, struct err *e)
{
	for (int i = 0; i < 4; i++) {
		if (!is_logical_slot(w, ebr, i, ebr_lba, nr_link))
			continue;
		if (w->t->nr >= PT_MAX_ENTRIES) {
			pt_notice(w->t, "there are more than %d partitions; the rest is not listed", PT_MAX_ENTRIES);
			return 0;
		}
		if (!ebr->slot[i].first_lba)
			pt_notice(w->t, "partition %u starts on its own boot record", w->next_number);
		if (add_slot(w, w->next_number++, ebr_lba, &ebr->slot[i], e) < 0)
			return -1;
	}
	return 0;
}

static const struct mbr_slot *next_link(const struct mbr *ebr)
{
	for (int i = 0; i < 4; i++)
		if (is_extended(&ebr->slot[i]))
			return &ebr->slot[i];
	return NULL;
}

static int walk_chain(struct walk *w, const struct mbr_slot *ext, struct err *e)
{
	uint64_t lba = ext->first_lba, nr_link = ext->nr_sectors;
	struct mbr ebr;

	w->ext_lba = lba;
	w->nr_ext = nr_link;
	while (read_ebr(w, lba, &ebr)) {
		if (pt_add_structure(w->t, lba * w->t->sector_size, w->t->sector_size, e) < 0 ||
			add_logicals(w, &ebr, lba, nr_link, e) < 0)
			return -1;
		const struct mbr_slot *link = next_link(&ebr);
		if (!link)
			break;
		lba = w->ext_lba + link->first_lba;
		nr_link = link->nr_sectors;
	}
	return 0;
}

int pt_mbr_read(struct blk_source *src, const struct mbr *m, struct pt_table *t, struct err *e)
{
	AUTO_FREE struct walk *w = alloc_array(1, sizeof(*w));

	if (!w)
		return err_nomem(e, "the partition table");
	w->src = src;
	w->t = t;
	w->next_number = 5;
	t->kind = PT_MBR;
	if (pt_add_structure(t, 0, t->sector_size, e) < 0)
		return -1;
	for (unsigned i = 0; i < 4; i++)
		if (m->slot[i].nr_sectors && !is_extended(&m->slot[i]) && add_slot(w, i + 1, 0, &m->slot[i], e) < 0)
			return -1;
	for (unsigned i = 0; i < 4; i++)
		if (is_extended(&m->slot[i]) && walk_chain(w, &m->slot[i], e) < 0)
			return -1;
	return 0;
}
