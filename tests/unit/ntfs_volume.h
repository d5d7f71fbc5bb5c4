/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * What the tests of the NTFS driver share: volumes made by mkntfs and filled by ntfscp, opened by the driver, and an
 * editor of MFT records that shares nothing with the driver.
 */
#ifndef CALCO_TESTS_UNIT_NTFS_VOLUME_H
#define CALCO_TESTS_UNIT_NTFS_VOLUME_H

#include "base/arith.h"
#include "base/span.h"

#define DRIVER fsd_ntfs
#include "tests/unit/driver_volume.h"

#define NR(a) ((int)(sizeof(a) / sizeof((a)[0])))
#define KIB   1024ULL
#define MIB   (1024 * KIB)

static inline void setup(void)
{
	make_folder();
	setenv("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", 1);
}

/* ---- volumes ---- */

static inline void mkfs(unsigned kib, const char *options)
{
	ck_assert_int_eq(run("rm -f %s && truncate -s %uK %s && mkntfs -q -F %s %s >/dev/null 2>&1", img, kib, img, options, img), 0);
}

/* Copies a file made by a shell command into the volume under this name. */
static inline void put_file(const char *name, const char *made_by)
{
	ck_assert_int_eq(run("cd %s && { %s; } > file && ntfscp -q img file '%s' >/dev/null 2>&1", dir, made_by, name), 0);
}

/* open() or, where that is content, map() must fail with ERR_CORRUPT and these words. */
static inline void expect_corrupt(const char *words)
{
	struct opened o;

	int r = try_open(&o);
	if (r == 0) {
		ck_assert_msg(o.v->info.state == FSD_CLEAN, "'%s': %s", words, o.v->info.reason);
		r = fsd_ntfs.map(o.v, ignore_extent, NULL, &o.e);
		fsd_ntfs.close(o.v);
	}
	ck_assert_msg(r < 0 && o.e.code == ERR_CORRUPT && strstr(o.e.msg, words), "'%s': %d, %d: %s", words, r, o.e.code, o.e.msg);
	blk_close(o.src);
}

static inline void expect_state(enum fsd_state state, const char *reason)
{
	struct opened o;

	open_img(&o);
	ck_assert_msg(o.v->info.state == state, "%d, '%s' instead of %s", o.v->info.state, o.v->info.reason, reason);
	ck_assert_str_eq(o.v->info.reason, reason);
	ck_assert_int_eq(o.v->info.advice[0] != '\0', state != FSD_CLEAN);
	/* The hint of a refusal has room for so many. */
	ck_assert_uint_le(strlen(o.v->info.advice), 140);
	close_img(&o);
}

/* ---- a plain look at the structures ---- */

struct plain {
	uint32_t sector, cluster, record;
	uint64_t sectors, nr, mft, mirror;
};

static inline struct plain plain_read(void)
{
	uint8_t b[512];
	struct plain p;

	peek(img, 0, b, sizeof(b));
	p.sector = b[11] + b[12] * 256U;
	p.cluster = p.sector * (b[13] > 128 ? 1U << (256 - b[13]) : b[13]);
	p.record = b[64] > 128 ? 1U << (256 - b[64]) : b[64] * p.cluster;
	p.sectors = get_le64(b + 40);
	p.nr = p.sectors / (p.cluster / p.sector);
	p.mft = get_le64(b + 48) * p.cluster;
	p.mirror = get_le64(b + 56) * p.cluster;
	return p;
}

/* A record of an $MFT whose first piece holds it, without its update sequence. */
struct rec {
	struct plain p;
	unsigned number;
	uint8_t b[4096];
};

static inline struct rec rec_load(unsigned number)
{
	struct rec r = { .p = plain_read(), .number = number };

	peek(img, r.p.mft + (uint64_t)number * r.p.record, r.b, r.p.record);
	uint8_t *usa = r.b + r.b[4];
	for (uint32_t i = 1; i <= r.p.record / 512; i++)
		memcpy(r.b + i * 512 - 2, usa + 2 * i, 2);
	return r;
}

static inline void rec_save(const struct rec *from)
{
	struct rec r = *from;
	uint8_t *usa = r.b + r.b[4];

	for (uint32_t i = 1; i <= r.p.record / 512; i++) {
		memcpy(usa + 2 * i, r.b + i * 512 - 2, 2);
		memcpy(r.b + i * 512 - 2, usa, 2);
	}
	poke(img, r.p.mft + (uint64_t)r.number * r.p.record, r.b, r.p.record);
	if (r.number < 4)
		poke(img, r.p.mirror + (uint64_t)r.number * r.p.record, r.b, r.p.record);
}

/* The offset of the first attribute of this type (or the end mark, 0xffffffff). */
static inline uint32_t rec_attr(const struct rec *r, uint32_t type)
{
	uint32_t off = r->b[0x14];

	while (get_le32(r->b + off) != type) {
		ck_assert_uint_ne(get_le32(r->b + off), 0xffffffff);
		off += get_le32(r->b + off + 4);
		ck_assert_uint_lt(off, r->p.record);
	}
	return off;
}

/* Make an attribute longer or shorter; what follows moves. */
static inline void rec_resize(struct rec *r, uint32_t off, uint32_t len)
{
	uint32_t old = get_le32(r->b + off + 4), end = get_le32(r->b + 0x18);

	ck_assert_uint_le(end - old + len, r->p.record);
	memmove(r->b + off + len, r->b + off + old, end - off - old);
	put_le32(r->b, off + 4, len);
	put_le32(r->b, 0x18, end - old + len);
}

static inline void rec_set_runs(struct rec *r, uint32_t off, const void *runs, uint32_t len)
{
	uint32_t at = r->b[off + 0x20];

	rec_resize(r, off, (at + len + 7) & ~7U);
	memcpy(r->b + off + at, runs, len);
}

/* One run as it stands in a record; the bytes used. */
static inline uint32_t put_run(uint8_t *dst, uint64_t nr, int64_t delta)
{
	dst[0] = 0x84;
	put_le32(dst, 1, (uint32_t)nr);
	put_le64(dst, 5, (uint64_t)delta);
	return 13;
}

static inline uint32_t put_hole(uint8_t *dst, uint64_t nr)
{
	dst[0] = 0x04;
	put_le32(dst, 1, (uint32_t)nr);
	return 5;
}

/* Where the first run of an attribute stands, in bytes from the volume's start. */
static inline uint64_t rec_first_run(const struct rec *r, uint32_t off)
{
	const uint8_t *p = r->b + off + r->b[off + 0x20];
	uint64_t lcn = 0;

	for (unsigned i = 0; i < p[0] >> 4; i++)
		lcn |= (uint64_t)p[1 + (p[0] & 15) + i] << (8 * i);
	return lcn * r->p.cluster;
}

/* A bit of $Bitmap as it was; set: 1 or 0 to write it, -1 to look */
static inline bool bitmap_bit(const struct plain *p, uint64_t cluster, int set)
{
	struct rec r = rec_load(6);
	uint64_t at = rec_first_run(&r, rec_attr(&r, 0x80)) + cluster / 8;
	uint8_t byte;

	ck_assert_uint_lt(cluster, p->nr);
	peek(img, at, &byte, 1);
	bool was = byte >> (cluster % 8) & 1;
	byte = (uint8_t)((byte & ~(1U << (cluster % 8))) | (unsigned)(set > 0) << (cluster % 8));
	if (set >= 0)
		poke(img, at, &byte, 1);
	return was;
}

/* The clusters that ntfsclone would save: its image is a list of gaps and clusters (ntfsclone.c, image header 10.1). */
static inline uint8_t *clusters_of_ntfsclone(const struct plain *p)
{
	char path[128];
	uint8_t head[56], cmd, number[8];
	uint64_t at = 0;

	ck_assert_int_eq(run("cd %s && rm -f clone && ntfsclone -q -f --save-image -o clone img >/dev/null 2>&1", dir), 0);
	snprintf(path, sizeof(path), "%s/clone", dir);
	FILE *f = fopen(path, "rb");
	uint8_t *used = calloc(p->nr + 1, 1);
	ck_assert(f && used && fread(head, sizeof(head), 1, f) == 1);
	ck_assert_uint_eq(get_le64(head + 30), p->nr);
	ck_assert_int_eq(fseek(f, (long)get_le32(head + 46), SEEK_SET), 0);
	while (at < p->nr && fread(&cmd, 1, 1, f) == 1) {
		if (cmd == 0) {
			ck_assert_int_eq((int)fread(number, 8, 1, f), 1);
			at += get_le64(number);
			continue;
		}
		used[at++] = 1;
		ck_assert_int_eq(fseek(f, (long)p->cluster, SEEK_CUR), 0);
	}
	fclose(f);
	return used;
}

#endif
