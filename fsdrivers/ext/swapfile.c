/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Swap files: what stands in them is worth nothing once the computer is off. Known by their usual names, in the root folder and in /var, and
 * by the mark of mkswap at the end of the first page, which is kept so that swapon takes the file. A system that sleeps in one has another
 * mark there, and keeps it whole. Folders are read through, block by block; the blocks of a hashed index look like empty ones then
 * (ext4 docs, directory.rst).
 */
#include "fsdrivers/ext/ext.h"

#include "base/span.h"

#include <stdio.h>
#include <string.h>

#define ROOT_INODE   2U
#define PAGE_SIZE    4096U
#define MARK_OFFSET  4086U
#define MAX_FOLDER   (64U << 20) /* bytes of a folder that are looked through */
#define ENTRY_HEADER 8U

static const char *const names[] = { "swapfile", "swap.img", "swap" };
#define NR_NAMES (sizeof(names) / sizeof(names[0]))

static int compare(const void *a, const void *b)
{
	const struct ext_skip *x = a, *y = b;

	return (x->start > y->start) - (x->start < y->start);
}

bool ext_skips_other(const struct ext_volume *v, uint64_t start, uint64_t nr, uint32_t owner)
{
	size_t lo = 0, hi = v->nr_skips;

	while (lo < hi) { /* the first that ends behind the run's start */
		size_t mid = lo + (hi - lo) / 2;
		if (v->skips[mid].start + v->skips[mid].nr_blocks <= start)
			lo = mid + 1;
		else
			hi = mid;
	}
	for (; lo < v->nr_skips && v->skips[lo].start < start + nr; lo++)
		if (v->skips[lo].owner != owner)
			return true;
	return false;
}

/* The inode that a block of a folder has for a name; 0: none. Damage ends the search in that block. */
static uint32_t find_in_block(const uint8_t *block, uint32_t size, const char *name)
{
	struct span s = span_of(block, size);

	for (size_t at = 0, len; at + ENTRY_HEADER <= size; at += len) {
		len = span_le16(&s, at + 4);
		if (size == 65536 && (len == 65535 || len == 0)) /* does not fit into 16 bits */
			len = size;
		if (len < ENTRY_HEADER || len > size - at)
			return 0;
		const uint8_t *is = span_at(&s, at + ENTRY_HEADER, strlen(name));
		if (is && span_le32(&s, at) && span_u8(&s, at + 6) == strlen(name) && !memcmp(is, name, strlen(name)))
			return span_le32(&s, at);
	}
	return 0;
}

/* The inode of a name in a folder; 1, 0: there is none, or the folder is of no common kind, -1 */
static int find_name(struct ext_volume *v, uint32_t folder, const char *name, uint32_t *ret, struct err *e)
{
	uint32_t size = v->sb.block_size;
	AUTO_FREE uint8_t *block = alloc_array(1, size);
	struct ext_runs runs = { 0 };
	struct ext_inode inode;

	if (!block)
		return err_nomem(e, "a block of a folder");
	*ret = 0;
	if (ext_inode_read(v, folder, &inode, e) < 0)
		return -1;
	if ((inode.mode & EXT_S_IFMT) != EXT_S_IFDIR || inode.flags & (EXT_INODE_INLINE_DATA | EXT_INODE_ENCRYPTED) || inode.size > MAX_FOLDER)
		return 0;
	int r = ext_inode_runs(v, &inode, inode.size / size, &runs, e);
	for (size_t i = 0; r == 0 && !*ret && i < runs.nr; i++)
		for (uint64_t k = 0; r == 0 && !*ret && k < runs.v[i].nr_blocks; k++)
			if ((r = ext_read_blocks(v, runs.v[i].start + k, 1, block, e)) == 0)
				*ret = find_in_block(block, size, name);
	ext_runs_free(&runs);
	return r < 0 ? -1 : *ret != 0;
}

/* Does the file's first page, which must have been written, have the mark? 1, 0, -1 */
static int has_mark(struct ext_volume *v, const struct ext_inode *inode, struct err *e)
{
	uint32_t size = v->sb.block_size;
	AUTO_FREE uint8_t *block = alloc_array(1, size);
	struct ext_runs runs = { 0 };

	if (!block)
		return err_nomem(e, "the head of a swap file");
	uint64_t want = MARK_OFFSET / size, at = 0;
	int r = ext_inode_runs(v, inode, want + 1, &runs, e);
	for (size_t i = 0; r == 0 && i < runs.nr; at += runs.v[i++].nr_blocks)
		if (want >= at && want - at < runs.v[i].nr_blocks)
			r = ext_read_blocks(v, runs.v[i].start + (want - at), 1, block, e);
	ext_runs_free(&runs);
	return r < 0 ? -1 : !memcmp(block + MARK_OFFSET % size, "SWAPSPACE2", 10);
}

/* Everything behind the first page. */
static int add_runs(struct ext_volume *v, const struct ext_inode *inode, const struct ext_runs *runs, struct err *e)
{
	uint64_t head = ceil_div_u64(PAGE_SIZE, v->sb.block_size);
	struct ext_skip *grown = reallocarray(v->skips, v->nr_skips + runs->nr + 1, sizeof(*grown));

	if (!grown)
		return err_nomem(e, "the blocks of a swap file");
	v->skips = grown;
	for (size_t i = 0; i < runs->nr; i++) {
		uint64_t cut = min_u64(head, runs->v[i].nr_blocks);
		head -= cut;
		if (runs->v[i].nr_blocks > cut)
			v->skips[v->nr_skips++] = (struct ext_skip){
				.start = runs->v[i].start + cut, .nr_blocks = runs->v[i].nr_blocks - cut, .owner = inode->number };
	}
	return 0;
}

static int add_file(struct ext_volume *v, uint32_t folder, const char *name, struct err *e)
{
	const uint32_t odd = EXT_INODE_INLINE_DATA | EXT_INODE_ENCRYPTED | EXT_INODE_COMPRESSED | EXT_INODE_VERITY;
	struct ext_runs runs = { 0 };
	struct ext_inode inode;
	uint32_t number;

	int r = find_name(v, folder, name, &number, e);
	if (r <= 0)
		return r;
	if (ext_inode_read(v, number, &inode, e) < 0)
		return -1;
	for (size_t i = 0; i < v->nr_skips; i++) /* by a second name */
		if (v->skips[i].owner == number)
			return 0;
	if ((inode.mode & EXT_S_IFMT) != EXT_S_IFREG || !inode.nr_links || inode.flags & odd || inode.size < 2 * PAGE_SIZE)
		return 0;
	if ((r = has_mark(v, &inode, e)) <= 0)
		return r;
	r = ext_inode_places(v, &inode, inode.size / v->sb.block_size, &runs, e);
	if (r == 0)
		r = add_runs(v, &inode, &runs, e);
	ext_runs_free(&runs);
	return r;
}

/* A swap file that makes no sense (a hole: it would not work) is a file like any other. */
static int try_file(struct ext_volume *v, uint32_t folder, const char *path, const char *name, fsd_skip_fn emit, void *arg, struct err *e)
{
	size_t first = v->nr_skips;
	char full[64];

	snprintf(full, sizeof(full), "%s%s", path, name);
	if (add_file(v, folder, name, e) < 0) {
		v->nr_skips = first;
		return e->code == ERR_CORRUPT ? 0 : -1;
	}
	for (size_t i = first; i < v->nr_skips; i++)
		if (emit(arg, 0, v->skips[i].start * v->sb.block_size, v->skips[i].nr_blocks * v->sb.block_size, full, e) < 0)
			return -1;
	return 0;
}

static int find_all(struct ext_volume *v, fsd_skip_fn emit, void *arg, struct err *e)
{
	uint32_t var;

	for (size_t i = 0; i < NR_NAMES; i++)
		if (try_file(v, ROOT_INODE, "/", names[i], emit, arg, e) < 0)
			return -1;
	int r = find_name(v, ROOT_INODE, "var", &var, e);
	for (size_t i = 0; r > 0 && i < NR_NAMES; i++)
		if (try_file(v, var, "/var/", names[i], emit, arg, e) < 0)
			return -1;
	if (v->nr_skips)
		qsort(v->skips, v->nr_skips, sizeof(*v->skips), compare);
	for (size_t i = 1; i < v->nr_skips; i++)
		if (v->skips[i].start - v->skips[i - 1].start < v->skips[i - 1].nr_blocks)
			return err_set(e, ERR_CORRUPT, 0, "ext swap files name a block twice");
	return r < 0 && e->code != ERR_CORRUPT ? -1 : 0;
}

int ext_volatile_ranges(struct fsd_volume *fv, fsd_skip_fn emit, void *arg, struct err *e)
{
	struct ext_volume *v = (struct ext_volume *)fv;

	v->nr_skips = 0;
	if (v->sb.ro_compat & EXT_RO_SHARED_BLOCKS) /* files share blocks by design */
		return 0;
	if (find_all(v, emit, arg, e) == 0)
		return 0;
	v->nr_skips = 0;
	return -1;
}
