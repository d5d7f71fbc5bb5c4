/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What the two tests of partition tables share: a scratch folder, real tools in it, and a GPT writer of our own. */
#ifndef CALCO_TESTS_UNIT_TABLE_UTIL_H
#define CALCO_TESTS_UNIT_TABLE_UTIL_H

#include "base/blk.h"
#include "base/span.h"
#include "imager/disk/table.h"

#include <check.h>
#include <fcntl.h>
#include <libdeflate.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define MIB (1ULL << 20)
#define NR(array) (sizeof(array) / sizeof((array)[0]))

static char scratch[64];

static inline void scratch_setup(void)
{
	snprintf(scratch, sizeof(scratch), "/tmp/calco-table-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(scratch));
	ck_assert_int_eq(chdir(scratch), 0);
}

static inline void scratch_teardown(void)
{
	char cmd[128];

	ck_assert_int_eq(chdir("/"), 0);
	snprintf(cmd, sizeof(cmd), "rm -rf '%s'", scratch);
	ck_assert_int_eq(system(cmd), 0);
}

/* Run a shell script in the scratch folder; its output is shown when it fails. */
static inline int try_shell(const char *script)
{
	char cmd[4096];

	snprintf(cmd, sizeof(cmd), "set -eu; PATH=$PATH:/usr/sbin:/sbin; export PATH; { %s\n} >log 2>&1", script);
	return system(cmd);
}

static inline void shell(const char *script)
{
	if (try_shell(script) != 0) {
		(void)!system("cat log >&2");
		ck_abort_msg("failed: %s", script);
	}
}

static inline struct pt_table *must_read(const char *path, uint32_t sector_size)
{
	struct err e = ERR_INIT;
	AUTO(blk_source) struct blk_source *src = blk_open(path, 0, false, &e);
	struct pt_table *t = NULL;

	ck_assert_msg(src != NULL, "%s", e.msg);
	ck_assert_msg(pt_read(src, sector_size, &t, &e) == 0, "%s", e.msg);
	return t;
}

static inline bool has_notice(const struct pt_table *t, const char *part)
{
	for (size_t i = 0; i < t->nr_notices; i++)
		if (strstr(t->notices[i], part))
			return true;
	return false;
}

static inline void poke(const char *path, uint64_t off, const void *bytes, size_t len)
{
	AUTO_CLOSE_FD int fd = open(path, O_WRONLY | O_CLOEXEC);

	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(pwrite(fd, bytes, len, (off_t)off), (ssize_t)len);
}

/* The value behind "key": in a JSON text up to the next object; false when it is not there. */
static inline bool json_value(const char *text, const char *key, char *out, size_t size)
{
	char want[64];
	const char *end = strchr(text, '}');

	snprintf(want, sizeof(want), "\"%s\": ", key);
	const char *p = strstr(text, want);
	if (!p || (end && p > end))
		return false;
	p += strlen(want);
	size_t n = *p == '"' ? strcspn(++p, "\"") : strcspn(p, ",\n }");
	snprintf(out, size, "%.*s", (int)n, p);
	return true;
}

/* A GPT of our own making, for what the tools do not write. */
struct gpt_maker {
	uint8_t *disk;
	size_t size;
	uint32_t ss, nr_entries, entry_size, header_size;
	uint64_t entries_lba;
};

static inline void make_header(struct gpt_maker *g, uint64_t lba, uint64_t other, uint64_t array_lba, uint64_t first,
	uint64_t last)
{
	uint8_t *h = g->disk + lba * g->ss;

	memcpy(h, "EFI PART\0\0\1\0", 12);
	put_le32(h, 0x0C, g->header_size);
	put_le64(h, 0x18, lba);
	put_le64(h, 0x20, other);
	put_le64(h, 0x28, first);
	put_le64(h, 0x30, last);
	memset(h + 0x38, 0x77, 16);
	put_le64(h, 0x48, array_lba);
	put_le32(h, 0x50, g->nr_entries);
	put_le32(h, 0x54, g->entry_size);
	put_le32(h, 0x58, libdeflate_crc32(0, g->disk + array_lba * g->ss, (size_t)g->nr_entries * g->entry_size));
	put_le32(h, 0x10, 0);
	put_le32(h, 0x10, libdeflate_crc32(0, h, g->header_size < g->ss ? g->header_size : g->ss)); /* none is longer than its sector */
}

static inline void make_entry(struct gpt_maker *g, unsigned i, uint64_t first, uint64_t last)
{
	uint8_t *p = g->disk + g->entries_lba * g->ss + (size_t)i * g->entry_size;

	memset(p, 0x11, 16);
	memset(p + 16, (int)(0x20 + i), 16);
	put_le64(p, 0x20, first);
	put_le64(p, 0x28, last);
	put_le64(p, 0x30, 0);
}

/* Copies the array, writes both headers and the protective MBR. Call it after the entries were made. */
static inline void make_gpt(struct gpt_maker *g)
{
	uint64_t last = g->size / g->ss - 1, n = ((uint64_t)g->nr_entries * g->entry_size + g->ss - 1) / g->ss;

	memcpy(g->disk + (last - n) * g->ss, g->disk + g->entries_lba * g->ss, (size_t)(n * g->ss));
	make_header(g, 1, last, g->entries_lba, g->entries_lba + n, last - n - 1);
	make_header(g, last, 1, last - n, g->entries_lba + n, last - n - 1);
	memset(g->disk + 446, 0, 64);
	g->disk[446 + 4] = 0xEE;
	put_le32(g->disk, 446 + 8, 1);
	put_le32(g->disk, 446 + 12, (uint32_t)last);
	put_le16(g->disk, 510, 0xAA55);
}

static inline struct gpt_maker new_gpt(size_t size, uint32_t ss)
{
	struct gpt_maker g = { .size = size, .ss = ss, .nr_entries = 128, .entry_size = 128, .header_size = 92, .entries_lba = 2 };

	g.disk = calloc(1, size);
	ck_assert_ptr_nonnull(g.disk);
	return g;
}

static inline struct pt_table *read_memory(const void *data, size_t size, uint32_t sector_size, struct err *e)
{
	AUTO(blk_source) struct blk_source *src = blk_mem(data, size, 512, "memory", e);
	struct pt_table *t = NULL;

	ck_assert_ptr_nonnull(src);
	if (pt_read(src, sector_size, &t, e) < 0)
		return NULL;
	return t;
}

/* One slot of an MBR or EBR. */
static inline void make_slot(uint8_t *sector, int i, uint8_t type, uint32_t first, uint32_t nr)
{
	uint8_t *p = sector + 446 + i * 16;

	p[4] = type;
	put_le32(p, 8, first);
	put_le32(p, 12, nr);
	put_le16(sector, 510, 0xAA55);
}

#endif
