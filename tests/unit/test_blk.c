/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Block sources and sinks over files, loop devices and memory, against the bytes they must hold. pread and pwrite are ours here: they
 * give less than asked for, are interrupted, and fail.
 */
#include "base/arith.h"
#include "base/blk.h"
#include "tests/unit/image_util.h"

#include <errno.h>
#include <sys/syscall.h>

/* What happens to I/O; 0: nothing. */
static size_t shorten;   /* at most so many bytes at once */
static unsigned interrupt_every, nr_calls;
static int read_error, write_error; /* errno of every call */

static char dir[64], path[96];

ssize_t pread64(int fd, void *buf, size_t len, off_t off);
ssize_t pwrite64(int fd, const void *buf, size_t len, off_t off);

static bool is_interrupted(void)
{
	errno = EINTR;
	return interrupt_every && ++nr_calls % interrupt_every == 0;
}

ssize_t pread64(int fd, void *buf, size_t len, off_t off)
{
	if (is_interrupted())
		return -1;
	errno = read_error;
	if (read_error)
		return -1;
	return syscall(SYS_pread64, fd, buf, shorten && len > shorten ? shorten : len, off);
}

ssize_t pwrite64(int fd, const void *buf, size_t len, off_t off)
{
	if (is_interrupted())
		return -1;
	errno = write_error;
	if (write_error)
		return -1;
	return syscall(SYS_pwrite64, fd, buf, shorten && len > shorten ? shorten : len, off);
}

static void setup(void)
{
	temp_dir(dir, sizeof(dir), "blk");
	snprintf(path, sizeof(path), "%s/disk", dir);
}

static void teardown(void)
{
	temp_remove(dir);
}

/* A file of random bytes; free() what is returned. */
static uint8_t *make_file(size_t len, uint64_t seed)
{
	uint8_t *p = malloc(len + 1);

	rnd_fill(&seed, p, len);
	file_write(path, p, len);
	return p;
}

static void random_reads(struct blk_source *s, const uint8_t *want, size_t len, uint64_t seed, int rounds)
{
	struct err e = ERR_INIT;
	uint8_t *room = aligned_alloc(4096, round_up_u64(len + 8192, 4096));

	for (int i = 0; i < rounds; i++) {
		size_t off = rnd_below(&seed, len + 1), n = rnd_below(&seed, len - off + 1);
		if (i % 3 == 0) { /* aligned, as O_DIRECT wants it */
			off = off / 4096 * 4096;
			n = n / 4096 * 4096;
		}
		uint8_t *buf = room + (i % 2 ? rnd_below(&seed, 4096) : 0);
		memset(buf, 0x77, n + 1);
		ok(blk_read(s, off, buf, n, &e), &e);
		ck_assert(!memcmp(buf, want + off, n) && buf[n] == 0x77);
	}
	free(room);
}

START_TEST(file_source)
{
	const size_t len = 300000 + 77;
	struct err e = ERR_INIT;
	AUTO_FREE uint8_t *want = make_file(len, 1);
	uint64_t off = 5;
	uint8_t b[8];

	for (int direct = 0; direct < 2; direct++) {
		AUTO(blk_source) struct blk_source *s = blk_open(path, 0, direct, &e);
		ck_assert_ptr_nonnull(s);
		ck_assert(s->size == len && s->sector_size == 512 && !strcmp(blk_name(s), path));
		ck_assert_int_ge(blk_fd(s, &off), 0);
		ck_assert_uint_eq(off, 0);
		random_reads(s, want, len, 3, 100);
		shorten = 1000;
		interrupt_every = 3;
		random_reads(s, want, len, 4, 100);
		shorten = interrupt_every = 0;
		fails(blk_read(s, len, b, 1, &e), ERR_CORRUPT, &e);
		fails(blk_read(s, len - 1, b, 2, &e), ERR_CORRUPT, &e);
		fails(blk_read(s, UINT64_MAX, b, 2, &e), ERR_CORRUPT, &e);
		ok(blk_read(s, len, b, 0, &e), &e);
		read_error = EIO;
		fails(blk_read(s, 0, b, 1, &e), ERR_FAILED, &e);
		ck_assert_int_eq(e.sys_errno, EIO);
		read_error = 0;
		ck_assert_int_eq(truncate(path, 1000), 0);
		fails(blk_read(s, 990, b, 8, &e) == 0 ? blk_read(s, 996, b, 8, &e) : 0, ERR_FAILED, &e);
		ck_assert_ptr_nonnull(strstr(e.msg, "too early"));
		file_write(path, want, len);
	}
	AUTO(blk_source) struct blk_source *s = blk_open(path, 4096, false, &e);
	ck_assert(s->sector_size == 4096 && s->phys_sector_size == 4096);
}
END_TEST

START_TEST(what_cannot_be_opened)
{
	struct err e = ERR_INIT;

	ck_assert_ptr_null(blk_open("/nonexistent/x", 0, false, &e));
	ck_assert_int_eq(e.code, ERR_USAGE);
	ck_assert_ptr_null(blk_open(dir, 0, false, &e));
	ck_assert_int_eq(e.code, ERR_USAGE);
	ck_assert_ptr_null(blk_open("/dev/null", 0, false, &e));
	ck_assert_int_eq(e.code, ERR_USAGE);
	ck_assert_ptr_null(blk_sink_open("/nonexistent/x", &e));
	ck_assert_int_eq(e.code, ERR_USAGE);
	ck_assert_ptr_null(blk_sink_open(dir, &e));
	ck_assert_ptr_null(blk_sink_open("/dev/null", &e));
	blk_close(NULL);
	blk_sink_close(NULL);
}
END_TEST

START_TEST(windows)
{
	struct err e = ERR_INIT;
	const size_t len = 50000;
	AUTO_FREE uint8_t *want = make_file(len, 5);
	uint8_t b[4];
	uint64_t off;
	AUTO(blk_source) struct blk_source *file = blk_open(path, 0, false, &e);
	AUTO(blk_source) struct blk_source *outer = blk_window(file, 1000, 30000, "outer", &e);
	AUTO(blk_source) struct blk_source *inner = blk_window(outer, 512, 20000, "inner", &e);
	AUTO(blk_source) struct blk_source *none = blk_window(outer, 30000, 0, "none", &e);
	AUTO(blk_source) struct blk_source *mem = blk_mem(want, len, 512, "memory", &e);
	AUTO(blk_source) struct blk_source *in_mem = blk_window(mem, 7, 100, "in memory", &e);

	ck_assert(file && outer && inner && none && mem && in_mem);
	random_reads(inner, want + 1512, 20000, 6, 50);
	random_reads(in_mem, want + 7, 100, 7, 50);
	ck_assert_int_eq(blk_fd(inner, &off), blk_fd(file, &(uint64_t){ 0 }));
	ck_assert_uint_eq(off, 1512);
	ck_assert_int_eq(blk_fd(in_mem, &off), -1);
	fails(blk_read(inner, 19999, b, 2, &e), ERR_CORRUPT, &e);
	ck_assert_ptr_nonnull(strstr(e.msg, "inner"));
	fails(blk_read(none, 0, b, 1, &e), ERR_CORRUPT, &e);
	ck_assert_ptr_null(blk_window(outer, 30000, 1, "x", &e));
	ck_assert_ptr_null(blk_window(outer, 30001, 0, "x", &e));
	ck_assert_ptr_null(blk_window(outer, UINT64_MAX, 2, "x", &e));
	ck_assert_int_eq(e.code, ERR_CORRUPT);
}
END_TEST

/* Random writes, zeros and discards against a copy in memory. What a discard touches is undefined until it is written again. */
static void random_writes(struct blk_sink *s, uint8_t *want, uint64_t seed, int rounds)
{
	struct err e = ERR_INIT;
	size_t len = (size_t)s->size;
	AUTO_FREE uint8_t *buf = malloc(len + 1);

	for (int i = 0; i < rounds; i++) {
		size_t off = rnd_below(&seed, len + 1), n = rnd_below(&seed, len - off + 1);
		if (i % 2) {
			off = off / 512 * 512;
			n = n / 512 * 512;
		}
		switch (rnd_below(&seed, 4)) {
		case 0:
			ok(blk_zero(s, off, n, &e), &e);
			memset(want + off, 0, n);
			break;
		case 1: {
			uint64_t phys = s->phys_sector_size, from = round_up_u64(off, phys), to = round_down_u64(off + n, phys);
			ok(blk_discard(s, off, n, &e), &e);
			if (from < to) {
				rnd_fill(&seed, want + from, to - from);
				ok(blk_write(s, from, want + from, to - from, &e), &e);
			}
			break;
		}
		default:
			rnd_fill(&seed, want + off, n);
			ok(blk_write(s, off, want + off, n, &e), &e);
		}
		ok(blk_read_back(s, off, buf, n, &e), &e);
		ck_assert(!memcmp(buf, want + off, n));
	}
	ok(blk_flush(s, &e), &e);
	ok(blk_read_back(s, 0, buf, len, &e), &e);
	ck_assert(!memcmp(buf, want, len));
}

START_TEST(file_sink)
{
	const size_t len = 200000 + 123;
	struct err e = ERR_INIT;
	AUTO_FREE uint8_t *want = make_file(len, 11);
	AUTO(blk_sink) struct blk_sink *s = blk_sink_open(path, &e);
	size_t n;
	uint64_t off;

	ck_assert(s && s->is_file && s->size == len);
	random_writes(s, want, 12, 150);
	shorten = 1536; /* O_DIRECT gives whole sectors */
	interrupt_every = 4;
	random_writes(s, want, 13, 60);
	shorten = interrupt_every = 0;
	AUTO_FREE uint8_t *got = file_read(path, &n);
	ck_assert(n == len && !memcmp(got, want, len));
	AUTO(blk_source) struct blk_source *src = blk_sink_source(s, &e);
	random_reads(src, want, len, 14, 60);
	ck_assert_int_ge(blk_fd(src, &off), 0);
	fails(blk_write(s, len, want, 1, &e), ERR_CORRUPT, &e);
	fails(blk_zero(s, len - 1, 2, &e), ERR_CORRUPT, &e);
	fails(blk_discard(s, UINT64_MAX, 2, &e), ERR_CORRUPT, &e);
	fails(blk_read_back(s, 1, got, len, &e), ERR_CORRUPT, &e);
	write_error = ENOSPC;
	fails(blk_write(s, 0, want, 10, &e), ERR_FAILED, &e);
	ck_assert_int_eq(e.sys_errno, ENOSPC);
	write_error = 0;
	/* Nobody else writes to it meanwhile. */
	ck_assert_ptr_null(blk_sink_open(path, &e));
	ck_assert_int_eq(e.code, ERR_REFUSED);
	ck_assert_str_eq(e.reason, "in-use");
}
END_TEST

/* A sink that can do no more than it must. */
struct plain_sink {
	struct blk_sink base;
	uint8_t bytes[3 << 20];
	unsigned nr_writes;
};

static int plain_write(struct blk_sink *s, uint64_t off, const void *buf, size_t len, struct err *e)
{
	struct plain_sink *p = (struct plain_sink *)s;

	memcpy(p->bytes + off, buf, len);
	return ++p->nr_writes == 4 ? err_set(e, ERR_FAILED, EIO, "the fourth write") : 0;
}

START_TEST(defaults_of_optional_calls)
{
	static const struct blk_sink_ops ops = { .write = plain_write };
	static struct plain_sink p = { .base = { .ops = &ops, .size = sizeof(p.bytes), .sector_size = 512, .phys_sector_size = 512 } };
	struct err e = ERR_INIT;

	memset(p.bytes, 1, sizeof(p.bytes));
	ok(blk_zero(&p.base, 100, (2 << 20) + 50, &e), &e);
	ck_assert_uint_eq(p.nr_writes, 3);
	for (size_t i = 0; i < sizeof(p.bytes); i++)
		if (p.bytes[i] != (i < 100 || i >= 100 + (2 << 20) + 50))
			ck_abort_msg("byte %zu", i);
	ok(blk_discard(&p.base, 0, 512, &e), &e);
	fails(blk_zero(&p.base, 0, 512, &e), ERR_FAILED, &e);
}
END_TEST

/* losetup with this sector size on our file; false when that does not work here. */
static bool loop_up(const char *sector, char *dev, size_t size)
{
	char cmd[300];

	snprintf(cmd, sizeof(cmd), "losetup --find --show --sector-size %s %s 2>/dev/null", sector, path);
	FILE *f = popen(cmd, "r");
	bool good = f && fgets(dev, (int)size, f) && dev[0] == '/';
	dev[strcspn(dev, "\n")] = '\0';
	return f && pclose(f) == 0 && good;
}

static void loop_down(const char *dev)
{
	char cmd[120];

	snprintf(cmd, sizeof(cmd), "losetup -d %s", dev);
	ck_assert_int_eq(system(cmd), 0);
}

/* A device whose end is no multiple of what O_DIRECT likes. */
START_TEST(loop_device)
{
	static const char *const sectors[] = { "512", "4096" };
	const size_t len = _i ? 80 * 4096 : 4096 * 70 + 512 * 5;
	struct err e = ERR_INIT;
	AUTO_FREE uint8_t *want = make_file(len, 21);
	char dev[64] = "";
	uint64_t off;

	if (!loop_up(sectors[_i], dev, sizeof(dev)))
		return; /* no right to, or no loop devices here */
	struct blk_source *src = blk_open(dev, 0, true, &e);
	ck_assert(src && src->size == len && src->sector_size == (uint32_t)atoi(sectors[_i]));
	random_reads(src, want, len, 22, 200);
	ck_assert_int_ge(blk_fd(src, &off), 0);
	blk_close(src);
	struct blk_sink *s = blk_sink_open(dev, &e);
	ck_assert(s && !s->is_file && s->size == len);
	random_writes(s, want, 23, 150);
	ck_assert_ptr_null(blk_sink_open(dev, &e)); /* O_EXCL */
	ck_assert_int_eq(e.code, ERR_REFUSED);
	blk_sink_close(s);
	src = blk_open(dev, 0, true, &e);
	random_reads(src, want, len, 24, 50);
	blk_close(src);
	loop_down(dev);
	size_t n;
	AUTO_FREE uint8_t *got = file_read(path, &n);
	ck_assert(n == len && !memcmp(got, want, len));
}
END_TEST

int main(void)
{
	Suite *s = suite_create("blk");
	TCase *t = tcase_create("blk");

	suite_add_tcase(s, t);
	tcase_set_timeout(t, 60);
	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, file_source);
	tcase_add_test(t, what_cannot_be_opened);
	tcase_add_test(t, windows);
	tcase_add_test(t, file_sink);
	tcase_add_test(t, defaults_of_optional_calls);
	tcase_add_loop_test(t, loop_device, 0, 2);
	return run_suite(s);
}
