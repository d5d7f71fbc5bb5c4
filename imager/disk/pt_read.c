/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Which partition table is on a disk? The order is the kernel's and libblkid's:
 *
 * 1. An MBR with an 0xEE slot and at least one intact copy: GPT, hybrid or not.
 * 2. A FAT, exFAT or NTFS boot sector: no table. Unless the slots are real partitions all the same: partitioning and boot
 *    loader tools keep the BPB of what stood there before, the kernel then goes by the slots, and so do the bytes.
 * 3. 0xEE, but no intact copy: an error, since to treat the disk as empty or raw would hide the damage.
 * 4. Valid boot indicators and a slot in use that begins on the disk: MBR. A GPT header without a protective MBR is a leftover.
 * 5. No table.
 */
#include "imager/disk/pt_internal.h"

#include "base/arith.h"
#include "base/span.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

struct sector0 {
	struct mbr mbr;
	int protective;          /* slot, or -1 */
	const char *file_system; /* whose boot sector it is, or NULL */
};

static bool is_device(struct blk_source *src)
{
	uint64_t off;
	struct stat st;
	int fd = blk_fd(src, &off);

	return fd >= 0 && fstat(fd, &st) == 0 && S_ISBLK(st.st_mode);
}

static int read_sector0(struct blk_source *src, struct sector0 *ret, struct pt_table *t, struct err *e)
{
	uint8_t sector[MBR_SIZE];

	*ret = (struct sector0){ .protective = -1 };
	if (src->size < MBR_SIZE)
		return 0;
	if (blk_read(src, 0, sector, sizeof(sector), e) < 0)
		return err_wrap(e, "reading the partition table");
	/* 'IBMA' in EBCDIC: an AIX disk, whose first sector only resembles an MBR (kernel block/partitions/msdos.c) */
	if (get_le32(sector) == 0xC1D4C2C9)
		return 0;
	ret->mbr = pt_mbr_decode(sector);
	if (!ret->mbr.has_magic)
		return 0;
	ret->protective = pt_mbr_protective(&ret->mbr);
	ret->file_system = pt_is_boot_sector(sector);
	t->mbr_signature = get_le32(sector + 440);
	for (int i = 0; i < 440; i++)
		t->boot_code |= sector[i] != 0;
	return 0;
}

static int score(const struct gpt_pair *g)
{
	return g->primary.is_ok ? 2 : g->backup.is_ok ? 1 : 0;
}

/* The sector size with the better GPT, the first one if they are equal: *ret is what was found with it. */
static int find_gpt(struct blk_source *src, const uint32_t *sizes, size_t nr, const struct mbr_slot *protective,
	struct gpt_pair *ret, struct err *e)
{
	if (pt_gpt_find(src, sizes[0], protective, ret, e) < 0)
		return -1;
	for (size_t i = 1; i < nr && score(ret) < 2; i++) {
		struct gpt_pair other;
		if (pt_gpt_find(src, sizes[i], protective, &other, e) < 0) {
			pt_gpt_pair_free(ret);
			return -1;
		}
		struct gpt_pair worse = score(&other) > score(ret) ? *ret : other;
		if (score(&other) > score(ret))
			*ret = other;
		pt_gpt_pair_free(&worse);
	}
	return 0;
}

static int gpt_damaged(struct blk_source *src, const struct gpt_pair *g, const struct mbr_slot *protective,
	struct err *e)
{
	uint32_t other = g->sector_size == 512 ? 4096 : 512;
	struct gpt_pair o;

	if (g->primary.is_too_big || g->backup.is_too_big)
		return err_set(e, ERR_UNSUPPORTED, 0, "the GPT of '%s' has %u entries of %u bytes (at most %d of %u)", blk_name(src),
			g->primary.is_too_big ? g->primary.nr_entries : g->backup.nr_entries,
			g->primary.is_too_big ? g->primary.entry_size : g->backup.entry_size, PT_MAX_ENTRIES, GPT_MAX_ENTRY);
	err_set(e, ERR_CORRUPT, 0, "both copies of the GPT of '%s' are damaged (primary: %s; backup: %s)", blk_name(src),
		g->primary.why, g->backup.why);
	err_hint(e, "repair the table first, for example with gdisk");
	struct err local = ERR_INIT;
	if (pt_gpt_find(src, other, protective, &o, &local) == 0) {
		if (score(&o))
			err_hint(e, "the table was written for sectors of %u bytes, this disk has %u", other, g->sector_size);
		pt_gpt_pair_free(&o);
	}
	return -1;
}

/* Everything but the protective slot: is some other slot in use? */
static bool is_hybrid(const struct mbr *m)
{
	for (int i = 0; i < 4; i++)
		if (m->slot[i].nr_sectors && m->slot[i].type != MBR_TYPE_GPT && m->slot[i].type != 0)
			return true;
	return false;
}

/* Returns 1 when the disk has a GPT (t is filled), 0 when it has none, -1 on errors. */
static int read_gpt(struct blk_source *src, bool try_both, const struct sector0 *s, struct pt_table *t, struct err *e)
{
	uint32_t sizes[2] = { t->sector_size, t->sector_size == 512 ? 4096 : 512 };
	const struct mbr_slot *protective = &s->mbr.slot[s->protective];
	struct gpt_pair g;
	int r;

	if (find_gpt(src, sizes, try_both ? 2 : 1, protective, &g, e) < 0)
		return -1;
	if (!score(&g)) {
		r = s->file_system ? 0 : gpt_damaged(src, &g, protective, e);
	} else {
		if (g.sector_size != t->sector_size)
			pt_notice(t, "the GPT was made for sectors of %u bytes; that size is used", g.sector_size);
		r = pt_gpt_read(&g, src->size, t, e) < 0 ? -1 : 1;
		t->is_hybrid = is_hybrid(&s->mbr);
		if (t->is_hybrid)
			pt_notice(t, "a hybrid MBR stands beside the GPT; the GPT is used");
	}
	pt_gpt_pair_free(&g);
	return r;
}

/* A GPT without a protective MBR is no table for Linux and firmware; say so when one is there in full. */
static int note_leftover_gpt(struct blk_source *src, struct pt_table *t, struct err *e)
{
	struct gpt_copy c;

	if (pt_gpt_load(src, t->sector_size, 1, &c, e) < 0)
		return -1;
	if (c.is_ok)
		pt_notice(t, "a GPT without a protective MBR is on the disk; it is ignored");
	pt_gpt_copy_free(&c);
	return 0;
}

/* Slots that all lie outside of the disk are no table: nothing would be read of a disk that may be full. */
static void drop_if_nothing_fits(struct pt_table *t, uint64_t size)
{
	for (size_t i = 0; i < t->nr; i++)
		if (t->entries[i].start < size)
			return;
	pt_notice(t, "no partition of the MBR lies on the disk; it is taken as a disk without a table");
	t->kind = PT_NONE;
	t->nr = t->nr_structures = 0;
	t->mbr_signature = 0;
	t->boot_code = false;
}

static int decide(struct blk_source *src, bool try_both, struct pt_table *t, struct err *e)
{
	struct sector0 s;

	if (read_sector0(src, &s, t, e) < 0)
		return -1;
	if (s.protective >= 0) {
		int r = read_gpt(src, try_both, &s, t, e);
		if (r)
			return r < 0 ? -1 : 0;
	}
	bool is_plausible = s.protective < 0 && pt_mbr_is_plausible(&s.mbr, src->size / t->sector_size);
	if (s.protective < 0 && pt_mbr_is_table(&s.mbr) && (!s.file_system || is_plausible)) {
		if (s.file_system)
			pt_notice(t, "sector 0 is also a %s boot sector; its partition table is used", s.file_system);
		if (pt_mbr_read(src, &s.mbr, t, e) < 0)
			return -1;
		drop_if_nothing_fits(t, src->size);
		return note_leftover_gpt(src, t, e);
	}
	t->mbr_signature = 0;
	t->boot_code = false;
	return s.file_system ? 0 : note_leftover_gpt(src, t, e);
}

int pt_read(struct blk_source *src, uint32_t sector_size, struct pt_table **ret, struct err *e)
{
	if (sector_size && !pt_is_sector_size(sector_size))
		return err_set(e, ERR_USAGE, 0, "a sector size of %u bytes is not possible (512, 1024, 2048 or 4096)", sector_size);
	AUTO(pt_table) struct pt_table *t = alloc_array(1, sizeof(*t));
	if (!t)
		return err_nomem(e, "the partition table");
	t->sector_size = sector_size ? sector_size : pt_is_sector_size(src->sector_size) ? src->sector_size : 512;
	if (decide(src, !sector_size && !is_device(src), t, e) < 0)
		return -1;
	pt_finish(t, src->size);
	*ret = take(&t);
	return 0;
}
