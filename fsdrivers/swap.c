/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Linux swap: only the header page is in use, what stands behind it is dead once the machine is off. Exception: a
 * hibernated system, whose memory lies there; it is reported, and copied whole for those who insist.
 *
 * Because a wrong answer would declare a whole volume unused, the header must be exactly what mkswap writes, and
 * libblkid must not see anything else.
 *
 * Sources: kernel include/linux/swap.h (union swap_header), mm/swapfile.c (read_swap_header), kernel/power/swap.c
 * (struct swsusp_header); util-linux libblkid/src/superblocks/swap.c for the other suspend signatures.
 */
#include "fsdrivers/fsdriver.h"

#include "base/arith.h"
#include "base/span.h"
#include "fsdrivers/label.h"
#include "fsdrivers/signature.h"

#include <stdio.h>
#include <string.h>

#define MIN_PAGE  4096U
#define MAX_PAGE  65536U
#define SIG_LEN   10U   /* at the end of the first page */
#define INFO_OFF  1024U /* version, last page, number of bad pages, uuid, label, zeros */
#define LABEL_LEN 16U
#define PAD_OFF   (INFO_OFF + 44U)
#define PAD_END   (INFO_OFF + 512U) /* the list of bad pages follows */

struct swap_header {
	uint32_t page_size;
	bool is_old;       /* version 0: a bitmap instead of the fields below */
	bool is_suspended;
	bool has_info;     /* the fields below were readable */
	uint64_t nr_pages; /* including the header page */
	uint8_t uuid[16];
	char label[LABEL_LEN];
};

struct swap_volume {
	struct fsd_volume base;
	struct swap_header h;
};

static const uint8_t tuxonice_magic[8] = { 0xed, 0xc3, 0x02, 0xe9, 0x98, 0x56, 0xe5, 0x0c };

static bool is_suspend_signature(const uint8_t *sig)
{
	static const char *const words[] = { "S1SUSPEND", "S2SUSPEND", "ULSUSPEND", "LINHIB0001" };

	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
		if (memcmp(sig, words[i], strlen(words[i])) == 0)
			return true;
	}
	return memcmp(sig, tuxonice_magic, sizeof(tuxonice_magic)) == 0;
}

/* Finds the signature, which also tells the page size. False: no swap. */
static bool find_signature(struct span *s, struct swap_header *h)
{
	for (uint32_t page = MIN_PAGE; page <= MAX_PAGE; page *= 2) {
		const uint8_t *sig = page <= s->len ? span_at(s, page - SIG_LEN, SIG_LEN) : NULL;
		if (!sig)
			return false;
		h->page_size = page;
		h->is_old = memcmp(sig, "SWAP-SPACE", SIG_LEN) == 0;
		h->is_suspended = is_suspend_signature(sig);
		if (h->is_old || h->is_suspended || memcmp(sig, "SWAPSPACE2", SIG_LEN) == 0)
			return true;
	}
	return false;
}

/* Version 0 (Linux before 2.1.117): bit n of the first page says that page n may be used. */
static uint64_t count_old_pages(struct span *s, uint32_t page_size)
{
	const uint8_t *map = span_at(s, 0, page_size - SIG_LEN);

	for (size_t i = map ? page_size - SIG_LEN : 0; i-- > 0;) {
		if (map[i])
			return i * 8 + (size_t)(32 - __builtin_clz(map[i]));
	}
	return 0;
}

static bool is_zero(const uint8_t *p, size_t len)
{
	while (len && !*p) {
		p++;
		len--;
	}
	return !len;
}

/* The header is in the byte order of the machine that wrote it; the version, always 1, tells which. */
static void read_info(struct span *s, struct swap_header *h)
{
	uint32_t version = span_le32(s, INFO_OFF), last_page = span_le32(s, INFO_OFF + 4);
	const uint8_t *padding = span_at(s, PAD_OFF, PAD_END - PAD_OFF);

	if (version == __builtin_bswap32(1))
		last_page = __builtin_bswap32(last_page);
	else if (version != 1)
		return;
	if (!padding || !is_zero(padding, PAD_END - PAD_OFF))
		return;
	h->has_info = true;
	h->nr_pages = (uint64_t)last_page + 1;
	span_copy(s, INFO_OFF + 12, h->uuid, sizeof(h->uuid));
	span_copy(s, INFO_OFF + 28, h->label, LABEL_LEN);
}

/* 1: filled; 0: not swap; -1: not readable */
static int read_header(struct blk_source *src, struct swap_header *ret, struct err *e)
{
	size_t len = (size_t)min_u64(src->size, MAX_PAGE);
	AUTO_FREE uint8_t *buf = alloc_array(1, len);
	struct swap_header h = { 0 };

	if (!buf)
		return err_nomem(e, "the header of a swap area");
	if (len < MIN_PAGE)
		return 0;
	if (blk_read(src, 0, buf, len, e) < 0)
		return err_wrap(e, "looking for a swap header");
	struct span s = span_of(buf, len);
	if (!find_signature(&s, &h))
		return 0;
	if (h.is_old)
		h.nr_pages = count_old_pages(&s, h.page_size);
	else
		read_info(&s, &h);
	/* TuxOnIce leaves the swap signature where it is and puts its own in front. */
	if (memcmp(buf, tuxonice_magic, sizeof(tuxonice_magic)) == 0)
		h.is_suspended = true;
	*ret = h;
	return h.is_old || h.has_info || h.is_suspended;
}

static int swap_probe(struct blk_source *src, struct err *e)
{
	struct swap_header h;

	return read_header(src, &h, e);
}

static int check_header(struct blk_source *src, const struct swap_header *h, struct err *e)
{
	if (h->is_suspended)
		return fsd_signature_check(src, "swsuspend", "swap", e);
	if (h->nr_pages < 2)
		return err_set(e, ERR_CORRUPT, 0, "the swap header of '%s' claims no pages", blk_name(src));
	/* At most 2^32 pages of 2^16 bytes. */
	if (h->nr_pages * h->page_size > src->size)
		return err_set(e, ERR_CORRUPT, 0, "the swap area is larger than its partition ('%s'): %llu of %llu bytes", blk_name(src),
			(unsigned long long)(h->nr_pages * h->page_size), (unsigned long long)src->size);
	return fsd_signature_check(src, "swap", NULL, e);
}

static void format_uuid(const uint8_t *u, char *dst, size_t size)
{
	if (is_zero(u, 16))
		return;
	snprintf(dst, size, "%02x%02x%02x%02x-%02x%02x-%02x%02x-%02x%02x-%02x%02x%02x%02x%02x%02x", u[0], u[1], u[2], u[3], u[4],
		u[5], u[6], u[7], u[8], u[9], u[10], u[11], u[12], u[13], u[14], u[15]);
}

static void describe_suspended(struct fsd_info *info)
{
	info->state = FSD_HIBERNATED;
	info->used_bytes = info->size;
	snprintf(info->reason, sizeof(info->reason), "suspended");
	snprintf(info->detail, sizeof(info->detail), "the swap area holds the memory of a hibernated Linux system");
	snprintf(info->advice, sizeof(info->advice), "boot the machine and shut it down properly");
}

static void describe(struct swap_volume *v)
{
	struct fsd_info *info = &v->base.info;
	uint64_t source_size = v->base.set.members[0]->size;

	snprintf(info->type, sizeof(info->type), "swap");
	info->block_size = info->sector_size = v->h.page_size;
	info->granule = MIN_PAGE;
	info->size = v->h.nr_pages * v->h.page_size;
	info->used_bytes = v->h.page_size;
	if (v->h.has_info) {
		fsd_label_copy(info->label, sizeof(info->label), v->h.label, sizeof(v->h.label));
		format_uuid(v->h.uuid, info->uuid, sizeof(info->uuid));
	}
	snprintf(info->detail, sizeof(info->detail), "swap area of %llu pages of %u bytes", (unsigned long long)v->h.nr_pages,
		v->h.page_size);
	if (v->h.is_suspended) {
		/* The suspended system's header may claim anything; all of the volume is kept for it. */
		info->size = source_size;
		describe_suspended(info);
	}
}

static int swap_open(const struct blk_set *set, struct fsd_volume **ret, struct err *e)
{
	struct blk_source *src = set->members[0];
	struct swap_header h;

	if (set->nr != 1)
		return err_set(e, ERR_UNSUPPORTED, 0, "a swap area over %zu devices", set->nr);
	int mine = read_header(src, &h, e);
	if (mine < 0)
		return -1;
	if (!mine)
		return err_set(e, ERR_UNSUPPORTED, 0, "'%s' is not a swap area", blk_name(src));
	if (check_header(src, &h, e) < 0)
		return -1;
	struct swap_volume *v = alloc_array(1, sizeof(*v));
	if (!v)
		return err_nomem(e, blk_name(src));
	v->base.driver = &fsd_swap;
	v->base.set = *set;
	v->h = h;
	describe(v);
	*ret = &v->base;
	return 0;
}

static int swap_map(struct fsd_volume *volume, fsd_extent_fn emit, void *arg, struct err *e)
{
	struct swap_volume *v = (struct swap_volume *)volume;

	/* The header page is never larger than the source: its last bytes were read. */
	return emit(arg, 0, 0, v->h.is_suspended ? v->base.info.size : v->h.page_size, EXT_USED, e);
}

/* The first 4 KiB (version, TuxOnIce) and the 4 KiB that end with the signature: the same for most machines. */
static int swap_arm_ranges(struct fsd_volume *volume, fsd_range_fn emit, void *arg, struct err *e)
{
	struct swap_volume *v = (struct swap_volume *)volume;

	if (emit(arg, 0, 0, MIN_PAGE, e) < 0)
		return -1;
	return v->h.page_size > MIN_PAGE ? emit(arg, 0, v->h.page_size - MIN_PAGE, MIN_PAGE, e) : 0;
}

static void swap_close(struct fsd_volume *v)
{
	free(v);
}

const struct fsd_driver fsd_swap = {
	.name = "swap",
	.summary = "Linux swap areas: the header is copied, the content is not",
	.probe = swap_probe,
	.open = swap_open,
	.map = swap_map,
	.arm_ranges = swap_arm_ranges,
	.close = swap_close,
};
