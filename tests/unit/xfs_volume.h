/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * What the tests of the XFS driver share: volumes made by mkfs.xfs and filled through the kernel or, where that does not know them (version 4),
 * by mkfs itself; the driver opened over them; an editor of their structures that shares nothing with the driver.
 */
#ifndef CALCO_TESTS_UNIT_XFS_VOLUME_H
#define CALCO_TESTS_UNIT_XFS_VOLUME_H

#include "base/span.h"
#include "tests/unit/fsd_collect.h"

#define NR(a) ((int)(sizeof(a) / sizeof((a)[0])))
#define KIB   1024ULL
#define MIB   (1024 * KIB)

#ifndef TEST_ROOT
#define TEST_ROOT "/tmp"
#endif

static char dir[64], img[96];

/* ---- volumes ---- */

/* Once, outside the forks, so that a failed test leaves nothing behind. */
static inline void setup(void)
{
	snprintf(dir, sizeof(dir), "%s/test_xfs.XXXXXX", TEST_ROOT);
	ck_assert_ptr_nonnull(mkdtemp(dir));
	snprintf(img, sizeof(img), "%s/img", dir);
	setenv("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", 1);
	/* mkfs.xfs makes volumes of less than 300 MiB only for its own tests; these variables make it think that it is in one. */
	setenv("TEST_DIR", "1", 1);
	setenv("TEST_DEV", "1", 1);
	setenv("QA_CHECK_FS", "1", 1);
	ck_assert_int_eq(run("cd %s && mkdir mnt mnt2 tree && cd tree && i=0 && while [ $i -lt 60 ]; do mkdir -p d$((i / 20)) && "
			     "head -c $((i * i * 70)) /dev/urandom >d$((i / 20))/file-$i && : >d$((i / 20))/empty-$i || exit 1; i=$((i + 1)); done",
				     dir), 0);
}

static inline void teardown(void)
{
	remove_tree(dir);
}

/* A shell script in the scratch folder; its output is shown when it fails. */
__attribute__((format(printf, 1, 2))) static inline int try_sh(const char *fmt, ...)
{
	char cmd[4096];
	va_list ap;

	int n = snprintf(cmd, sizeof(cmd), "cd %s && exec >log 2>&1; ", dir);
	va_start(ap, fmt);
	vsnprintf(cmd + n, sizeof(cmd) - (size_t)n, fmt, ap);
	va_end(ap);
	return system(cmd);
}

#define SH(...)                                                                                    \
	do {                                                                                       \
		if (try_sh(__VA_ARGS__) != 0) {                                                    \
			run("cat %s/log >&2", dir);                                                \
			ck_abort_msg("the script at %s:%d failed", __FILE__, __LINE__);            \
		}                                                                                  \
	} while (0)

/* What a command prints first, as a number. */
__attribute__((format(printf, 1, 2))) static inline uint64_t number_of(const char *fmt, ...)
{
	char cmd[2048], text[256] = "", *end;
	va_list ap;

	int n = snprintf(cmd, sizeof(cmd), "cd %s && ", dir);
	va_start(ap, fmt);
	vsnprintf(cmd + n, sizeof(cmd) - (size_t)n, fmt, ap);
	va_end(ap);
	FILE *f = popen(cmd, "r");
	ck_assert_ptr_nonnull(f);
	(void)!fgets(text, sizeof(text), f);
	pclose(f);
	uint64_t number = strtoull(text, &end, 0);
	ck_assert_msg(end != text, "'%s' says '%s'", cmd, text);
	return number;
}

/* A field as xfs_db shows it. */
#define DB(position, field) number_of("xfs_db -r %s -c 'p %s' img | sed 's/.*= //'", position, field)

static inline void mkfs(unsigned mib, const char *options)
{
	SH("rm -f img && truncate -s %uM img && mkfs.xfs -q -f -L label %s img", mib, options);
}

/* Mounts that end with the script, wherever it fails. */
#define MOUNTED(script) SH("unshare -m sh -ec 'mount -o loop img mnt; cd mnt; %s; cd ..; umount mnt'", script) /* -e: nothing is written where no mount is */

static inline bool can_mount(void)
{
	return try_sh("rm -f m && truncate -s 320M m && mkfs.xfs -q m && unshare -m sh -c 'mount -o loop m mnt' && rm m") == 0;
}

/* An open volume over the file img. */
struct opened {
	struct blk_source *src;
	struct blk_set set;
	struct fsd_volume *v;
	struct err e;
};

static inline int try_open(struct opened *o)
{
	memset(o, 0, sizeof(*o));
	o->src = blk_open(img, 0, false, &o->e);
	ck_assert_ptr_nonnull(o->src);
	o->set = (struct blk_set){ &o->src, 1 };
	ck_assert_int_eq(fsd_xfs.probe(o->src, &o->e), 1);
	return fsd_xfs.open(&o->set, &o->v, &o->e);
}

static inline void open_img(struct opened *o)
{
	ck_assert_msg(try_open(o) == 0, "%s", o->e.msg);
}

static inline void close_img(struct opened *o)
{
	fsd_xfs.close(o->v);
	blk_close(o->src);
}

static inline int emit_nothing(void *arg, size_t member, uint64_t start, uint64_t len, enum ext_state state, struct err *e)
{
	(void)arg, (void)member, (void)start, (void)len, (void)state, (void)e;
	return 0;
}

/* open() or, where that is content, map() must fail so and with these words. */
static inline void expect_failure(enum err_code code, const char *words)
{
	struct opened o;

	int r = try_open(&o);
	if (r == 0) {
		ck_assert_msg(o.v->info.state == FSD_CLEAN, "'%s': %s", words, o.v->info.detail);
		r = fsd_xfs.map(o.v, emit_nothing, NULL, &o.e);
	}
	ck_assert_msg(r < 0 && o.e.code == code && strstr(o.e.msg, words), "'%s': %d, %d: %s", words, r, o.e.code, o.e.msg);
	close_img(&o);
}

static inline void expect_state(enum fsd_state state, const char *reason)
{
	struct opened o;

	open_img(&o);
	ck_assert_msg(o.v->info.state == state, "%d, '%s' instead of '%s'", o.v->info.state, o.v->info.detail, reason);
	ck_assert_str_eq(o.v->info.reason, reason);
	ck_assert_int_eq(o.v->info.advice[0] != '\0', state != FSD_CLEAN);
	ck_assert_int_eq(o.v->info.detail[0] != '\0', state != FSD_CLEAN);
	/* The hint of a refusal has room for so many. */
	ck_assert_uint_le(strlen(o.v->info.advice), 140);
	close_img(&o);
}

/* ---- the editor ---- */

static inline uint16_t be16(const uint8_t *p)
{
	return (uint16_t)(p[0] << 8 | p[1]);
}

static inline uint32_t be32(const uint8_t *p)
{
	return (uint32_t)be16(p) << 16 | be16(p + 2);
}

static inline uint64_t be64(const uint8_t *p)
{
	return (uint64_t)be32(p) << 32 | be32(p + 4);
}

static inline void put_be32(uint8_t *p, uint32_t v)
{
	for (int i = 0; i < 4; i++)
		p[i] = (uint8_t)(v >> (24 - 8 * i));
}

/* Bit by bit, from the definition */
static inline uint32_t plain_crc32c(uint32_t crc, const uint8_t *p, size_t len)
{
	while (len--) {
		crc ^= *p++;
		for (int i = 0; i < 8; i++)
			crc = crc >> 1 ^ (crc & 1 ? 0x82F63B78U : 0);
	}
	return crc;
}

/* Makes the checksum of a structure right. */
static inline void sum_up(uint64_t off, size_t len, size_t crc_off)
{
	uint8_t *buf = malloc(len);

	ck_assert_ptr_nonnull(buf);
	peek(img, off, buf, len);
	put_le32(buf, crc_off, 0);
	put_le32(buf, crc_off, ~plain_crc32c(~0U, buf, len));
	poke(img, off, buf, len);
	free(buf);
}

struct plain {
	uint32_t block, sector, ag_blocks, nr_ags, agblk_log, log_blocks, inode;
	uint64_t nr_blocks, log_start;
	bool has_crc;
};

static inline struct plain plain_read(void)
{
	uint8_t b[512];

	peek(img, 0, b, sizeof(b));
	return (struct plain){ .block = be32(b + 4), .nr_blocks = be64(b + 8), .log_start = be64(b + 48), .ag_blocks = be32(b + 84),
		.nr_ags = be32(b + 88), .log_blocks = be32(b + 96), .has_crc = (b[101] & 15) == 5, .sector = be16(b + 102), .inode = be16(b + 104),
		.agblk_log = b[124] };
}

static inline uint64_t plain_byte(const struct plain *p, uint32_t agno, uint32_t agblock)
{
	return ((uint64_t)agno * p->ag_blocks + agblock) * p->block;
}

/* Where a fsblock of the volume stands */
static inline uint64_t plain_place(const struct plain *p, uint64_t fsblock)
{
	return plain_byte(p, (uint32_t)(fsblock >> p->agblk_log), (uint32_t)(fsblock & ((1U << p->agblk_log) - 1)));
}

static inline void poke32(uint64_t off, uint32_t v)
{
	uint8_t b[4];

	put_be32(b, v);
	poke(img, off, b, 4);
}

static inline uint32_t peek32(uint64_t off)
{
	uint8_t b[4];

	peek(img, off, b, 4);
	return be32(b);
}

#endif
