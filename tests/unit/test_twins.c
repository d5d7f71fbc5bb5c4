/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * What the medium lost in one place of a mirror is taken from another place that holds the same, and nothing else is: mirrors of md over two
 * disks, btrfs that keeps everything twice on one.
 */
#include "base/span.h"
#include "imager/job/twins.h"
#include "tests/unit/bad_disk.h"

#define SECTOR 512U

static char notice[600];

static void keep_notice(void *arg, const char *text)
{
	(void)arg;
	snprintf(notice, sizeof(notice), "%s", text);
}

static int capture(struct bad_disk *d, size_t nr, bool dry_run, struct capture_result *res, struct err *e)
{
	static const char *const paths[] = { "one", "two" };
	struct blk_source *sources[] = { &d[0].base, &d[nr - 1].base };
	struct capture_options o = { .disks = paths, .nr_disks = nr, .image = "image", .level = 1, .threads = 2, .dry_run = dry_run, .sources = sources };
	struct progress p = { .notice = keep_notice };

	unlink("image");
	notice[0] = '\0';
	return capture_run(&o, res, &p, e);
}

static void release(struct capture_result *res)
{
	img_manifest_free(res->manifest);
	free(res->recovered);
}

/* ---- what a sector must be: each has at most one twin here */

struct sector {
	size_t disk;
	uint64_t nr;
};

typedef bool (*twin_fn)(const void *arg, struct sector s, struct sector *ret);

enum fate { READ, RECOVERED, LOST };

static enum fate fate_of(const struct bad_disk *d, twin_fn twin, const void *arg, struct sector s)
{
	struct sector other;

	if (!d[s.disk].is_bad[s.nr])
		return READ;
	return twin(arg, s, &other) && !d[other.disk].is_bad[other.nr] ? RECOVERED : LOST;
}

static bool is_listed(const struct img_range *list, size_t nr, struct sector s)
{
	for (size_t i = 0; i < nr; i++)
		if (list[i].disk == s.disk && s.nr * SECTOR >= list[i].start && s.nr * SECTOR < list[i].start + list[i].len)
			return true;
	return false;
}

/* Both lists hold exactly the used sectors that they must; *ret_lost, *ret_found: how many. */
static void check_lists(const struct bad_disk *d, size_t nr, twin_fn twin, const void *arg, const struct capture_result *res, uint64_t count[3])
{
	uint64_t bytes[3] = { 0 };

	count[READ] = count[RECOVERED] = count[LOST] = 0;
	for (size_t i = 0; i < res->manifest->nr_bad; i++)
		bytes[LOST] += res->manifest->bad[i].len;
	for (size_t i = 0; i < res->nr_recovered; i++)
		bytes[RECOVERED] += res->recovered[i].len;
	for (size_t i = 0; i < nr; i++) {
		AUTO_FREE uint8_t *state = states_of_disk(res->manifest, (uint32_t)i);
		for (uint64_t k = 0; k < d[i].nr_sectors; k++) {
			struct sector s = { i, k };
			if (state[k * SECTOR] != EXT_USED || !d[i].is_bad[k])
				continue;
			enum fate f = fate_of(d, twin, arg, s);
			count[f]++;
			if (is_listed(res->manifest->bad, res->manifest->nr_bad, s) != (f == LOST) || is_listed(res->recovered, res->nr_recovered, s) != (f == RECOVERED))
				ck_abort_msg("disk %zu sector %llu: must be %d", i, (unsigned long long)k, f);
		}
	}
	ck_assert_uint_eq(bytes[LOST], count[LOST] * SECTOR);
	ck_assert_uint_eq(bytes[RECOVERED], count[RECOVERED] * SECTOR);
	ck_assert_uint_eq(res->bad_bytes, bytes[LOST]);
	ck_assert_uint_eq(res->recovered_bytes, bytes[RECOVERED]);
}

/* Restored, each used byte is what the disks held, zero where it is lost. */
static void check_restored(const struct bad_disk *d, size_t nr, twin_fn twin, const void *arg, const struct img_manifest *m)
{
	struct restore_options o = { .threads = 2, .scrub = SCRUB_NONE };
	struct mem_sink sinks[2];
	uint8_t *got[2];
	struct err e = ERR_INIT;

	for (size_t i = 0; i < nr; i++) {
		got[i] = calloc(1, d[i].base.size);
		sinks[i] = mem_sink(got[i], d[i].base.size, false);
	}
	ck_assert_msg(restore_to("image", sinks, nr, o, &e) == 0, "%s", e.msg);
	for (size_t i = 0; i < nr; i++) {
		AUTO_FREE uint8_t *state = states_of_disk(m, (uint32_t)i);
		for (uint64_t b = 0; b < d[i].base.size; b++) {
			bool is_lost = fate_of(d, twin, arg, (struct sector){ i, b / SECTOR }) == LOST;
			if (state[b] == EXT_USED && got[i][b] != (is_lost ? 0 : d[i].data[b]))
				ck_abort_msg("disk %zu byte %llu", i, (unsigned long long)b);
		}
		free(got[i]);
	}
}

/* ---- a mirror of md: superblock 1.2, the same ext4 behind 1 MiB of each disk */

#define DATA     MIB
#define FS_BYTES (8 * MIB)
#define MD_SIZE  (10 * MIB)

static void put_md_super(uint8_t *disk, unsigned role)
{
	uint8_t *b = disk + 4096;
	uint64_t sum = 0;

	put_le32(b, 0, 0xa92b4efc);
	put_le32(b, 4, 1);
	memcpy(b + 16, "set-uuid-set-uui", 16);
	put_le32(b, 72, 1); /* level */
	put_le64(b, 80, FS_BYTES / SECTOR);
	put_le32(b, 92, 2);
	put_le64(b, 128, DATA / SECTOR);
	put_le64(b, 136, FS_BYTES / SECTOR);
	put_le64(b, 144, 8);
	put_le32(b, 160, role);
	b[168] = (uint8_t)(role + 1); /* uuid of the device */
	put_le64(b, 200, 42);
	put_le64(b, 208, UINT64_MAX);
	put_le32(b, 220, 2);
	put_le16(b, 258, 1);
	for (size_t i = 0; i < 260; i += 4)
		sum += get_le32(b + i);
	put_le32(b, 216, (uint32_t)sum + (uint32_t)(sum >> 32));
}

static void make_mirror(struct bad_disk d[2], uint64_t seed)
{
	struct chance c = { seed };
	AUTO_FREE uint8_t *file = garbage(&c, 900 * KIB);
	uint64_t size;

	shell("mkdir -p tree");
	put_file("tree/one", file, 900 * KIB);
	put_file("tree/two", file, 5000);
	shell("truncate -s 8M ext; mke2fs -q -t ext4 -b 1024 -d tree ext");
	AUTO_FREE uint8_t *fs = get_file("ext", &size);
	for (unsigned i = 0; i < 2; i++) {
		uint8_t *data = calloc(1, MD_SIZE);
		memcpy(data + DATA, fs, FS_BYTES);
		put_md_super(data, i);
		d[i] = bad_disk(data, MD_SIZE, SECTOR);
	}
	shell("rm -rf tree ext");
}

static bool md_twin(const void *arg, struct sector s, struct sector *ret)
{
	(void)arg;
	*ret = (struct sector){ !s.disk, s.nr };
	return s.nr >= DATA / SECTOR && s.nr < (DATA + FS_BYTES) / SECTOR;
}

/* Sectors of both legs at random, sometimes the same; also those that planning needs, which then come from the other leg, too. */
START_TEST(mirror_of_md)
{
	struct chance c = { 500 + (uint64_t)_i };
	struct bad_disk d[2];
	struct capture_result res;
	struct err e = ERR_INIT;
	uint64_t count[3];

	make_mirror(d, (uint64_t)_i);
	ck_assert_msg(capture(d, 2, true, &res, &e) == 0, "%s", e.msg);
	AUTO_FREE uint8_t *clean = states_of_disk(res.manifest, 0);
	release(&res);
	for (uint64_t k = DATA / SECTOR; k < (DATA + FS_BYTES) / SECTOR; k++) {
		bool is_wide = clean[k * SECTOR] == EXT_USED && draw_below(&c, 20) == 0;
		d[0].is_bad[k] = is_wide;
		d[1].is_bad[k] = (!is_wide || (_i % 2 && k > (DATA + FS_BYTES / 2) / SECTOR)) && draw_below(&c, 20) == 0;
	}
	d[0].is_bad[(DATA + 1024) / SECTOR] = true; /* ext4's superblock; in one leg */
	d[1].is_bad[(DATA + 1024) / SECTOR] = false;
	d[_i % 2].is_bad[DATA / SECTOR - 1] = true; /* no content of the mirror */
	int r = capture(d, 2, false, &res, &e);
	ck_assert_msg(r < 0 && e.code == ERR_PARTIAL, "%s", e.msg);
	ck_assert_uint_eq(res.manifest->nr_volumes, 3);
	ck_assert_str_eq(res.manifest->volumes[2].driver, "ext");
	check_lists(d, 2, md_twin, NULL, &res, count);
	ck_assert_uint_gt(count[RECOVERED], 10);
	ck_assert_uint_ge(count[LOST], 1);
	check_restored(d, 2, md_twin, NULL, res.manifest);
	release(&res);
	/* Nothing but what the other leg has is bad: then nothing is lost. */
	for (uint64_t k = 0; k < d[0].nr_sectors; k++)
		d[1].is_bad[k] = false;
	d[0].is_bad[DATA / SECTOR - 1] = false;
	ck_assert_msg(capture(d, 2, false, &res, &e) == 0, "%s", e.msg);
	ck_assert_uint_eq(res.manifest->nr_bad, 0);
	check_lists(d, 2, md_twin, NULL, &res, count);
	check_restored(d, 2, md_twin, NULL, res.manifest);
	release(&res);
	free_disk(&d[0]);
	free_disk(&d[1]);
}
END_TEST

/* Members that are in step by their superblocks and differ all the same: each is stored as it is, and that is said. What is not used does not count. */
START_TEST(members_differ)
{
	struct bad_disk d[2];
	struct capture_result res;
	struct err e = ERR_INIT;
	uint64_t used = 0, unused = 0, count[3];

	make_mirror(d, 55);
	ck_assert_msg(capture(d, 2, false, &res, &e) == 0, "%s", e.msg);
	ck_assert_uint_eq(res.nr_differing, 0);
	AUTO_FREE uint8_t *state = states_of_disk(res.manifest, 1);
	release(&res);
	for (uint64_t b = DATA + MIB; b < DATA + FS_BYTES; b++) {
		used = !used && state[b] == EXT_USED && d[1].data[b] ? b : used;
		unused = state[b] == EXT_ZERO ? b : unused;
	}
	d[1].data[unused] ^= 1;
	ck_assert_msg(capture(d, 2, false, &res, &e) == 0, "%s", e.msg);
	ck_assert_uint_eq(res.nr_differing, 0);
	ck_assert_str_eq(notice, "");
	release(&res);
	d[1].data[unused] ^= 1;
	d[1].data[used] ^= 1;
	ck_assert_msg(capture(d, 2, false, &res, &e) == 0, "%s", e.msg);
	ck_assert_uint_eq(res.nr_differing, 1);
	char words[100];
	snprintf(words, sizeof(words), "differ in 1 pieces of 256 KiB, the first at %llu ", (unsigned long long)(used / CHUNK_SIZE * CHUNK_SIZE));
	ck_assert_msg(strstr(notice, words), "%s", notice);
	check_lists(d, 2, md_twin, NULL, &res, count);
	check_restored(d, 2, md_twin, NULL, res.manifest);
	release(&res);
	free_disk(&d[0]);
	free_disk(&d[1]);
}
END_TEST

/* One leg that is captured alone: what it lost is lost. */
START_TEST(half_a_mirror)
{
	struct bad_disk d[2];
	struct capture_result res;
	struct err e = ERR_INIT;

	make_mirror(d, 77);
	d[0].is_bad[(DATA + 1024) / SECTOR] = true;
	ck_assert_int_eq(capture(d, 1, false, &res, &e), -1);
	ck_assert_int_eq(e.code, ERR_PARTIAL);
	ck_assert_uint_eq(res.bad_bytes, SECTOR);
	ck_assert_uint_eq(res.nr_recovered, 0);
	release(&res);
	free_disk(&d[0]);
	free_disk(&d[1]);
}
END_TEST

/* ---- btrfs with two copies of everything on one disk: its own tool says where */

#define MAX_STRIPES 32

struct stripes {
	size_t nr;
	struct {
		unsigned long long len, start[2];
	} list[MAX_STRIPES];
};

static void read_stripes(struct stripes *s)
{
	FILE *f = fopen("chunks", "r");
	char line[300];
	unsigned k;
	unsigned long long n;

	*s = (struct stripes){ 0 };
	ck_assert_ptr_nonnull(f);
	while (fgets(line, sizeof(line), f)) {
		if (sscanf(line, " length %llu owner", &n) == 1)
			s->list[s->nr++].len = n;
		else if (sscanf(line, " stripe %u devid 1 offset %llu", &k, &n) == 2)
			s->list[s->nr - 1].start[k] = n;
		ck_assert_uint_lt(s->nr, MAX_STRIPES);
	}
	fclose(f);
	ck_assert_uint_gt(s->nr, 0);
}

static bool dup_twin(const void *arg, struct sector s, struct sector *ret)
{
	const struct stripes *st = arg;
	uint64_t at = s.nr * SECTOR;

	for (size_t i = 0; i < st->nr; i++)
		for (unsigned k = 0; k < 2; k++)
			if (at >= st->list[i].start[k] && at < st->list[i].start[k] + st->list[i].len) {
				*ret = (struct sector){ 0, (st->list[i].start[!k] + (at - st->list[i].start[k])) / SECTOR };
				return at / 4096 != 64 * MIB / 4096; /* but the second superblock, which stands in a chunk and is no part of it */
			}
	return false;
}

START_TEST(twice_on_one_disk)
{
	struct chance c = { 900 };
	AUTO_FREE uint8_t *file = garbage(&c, 2 * MIB);
	struct capture_result res;
	struct stripes st;
	struct err e = ERR_INIT;
	uint64_t size, count[3], super = 64 * MIB / SECTOR;

	shell("mkdir tree; { yes garbage || true; } | head -c 232M >disk");
	put_file("tree/one", file, 2 * MIB);
	shell("mkfs.btrfs -q -K -m dup -d dup --rootdir tree disk; btrfs inspect-internal dump-tree -t chunk disk >chunks");
	read_stripes(&st);
	struct sector second;
	ck_assert(!dup_twin(&st, (struct sector){ 0, super }, &second) && dup_twin(&st, (struct sector){ 0, super + 8 }, &second));
	uint8_t *data = get_file("disk", &size);
	struct bad_disk d = bad_disk(data, size, SECTOR);
	unlink("disk");
	d.note_reads = true;
	ck_assert_msg(capture(&d, 1, true, &res, &e) == 0, "%s", e.msg);
	d.note_reads = false;
	AUTO_FREE uint8_t *clean = states_of_disk(res.manifest, 0);
	release(&res);
	for (uint64_t k = 0; k < d.nr_sectors; k++)
		d.is_bad[k] = !d.was_read[k] && clean[k * SECTOR] == EXT_USED && draw_below(&c, 20) == 0;
	d.is_bad[super + 1] = true;
	int r = capture(&d, 1, false, &res, &e);
	ck_assert_msg(r < 0 && e.code == ERR_PARTIAL, "%s", e.msg);
	ck_assert_str_eq(res.manifest->volumes[0].driver, "btrfs");
	check_lists(&d, 1, dup_twin, &st, &res, count);
	ck_assert_uint_gt(count[RECOVERED], 100);
	ck_assert(is_listed(res.manifest->bad, res.manifest->nr_bad, (struct sector){ 0, super + 1 }));
	check_restored(&d, 1, dup_twin, &st, res.manifest);
	release(&res);
	free_disk(&d);
}
END_TEST

/* ---- the list itself */

START_TEST(only_what_is_said)
{
	uint8_t bytes[3][100];
	struct blk_source *disks[3];
	struct twins t = { 0 };
	struct err e = ERR_INIT;
	uint8_t got[10];

	for (unsigned i = 0; i < 3; i++) {
		memset(bytes[i], 10 * (int)i, 100);
		for (unsigned b = 0; b < 100; b++)
			bytes[i][b] = (uint8_t)(100 * i + b);
		disks[i] = blk_mem(bytes[i], 100, 512, "m", &e);
	}
	ck_assert(!twins_read(&t, disks, 0, 0, got, 1));
	const struct twin_place a[] = { { 1, 50 }, { 0, 10 } }, b[] = { { 0, 20 }, { 0, 80 }, { 2, 95 } };
	ck_assert_int_eq(twins_add(&t, a, 2, 10, &e), 0);
	ck_assert_int_eq(twins_add(&t, b, 3, 10, &e), 0); /* the third place reaches beyond its disk */
	twins_sort(&t);
	ck_assert(twins_read(&t, disks, 0, 10, got, 10) && got[0] == bytes[1][50] && got[9] == bytes[1][59]);
	ck_assert(twins_read(&t, disks, 1, 59, got, 1) && got[0] == bytes[0][19]);
	ck_assert(twins_read(&t, disks, 0, 25, got, 5) && got[0] == bytes[0][85] && got[4] == bytes[0][89]);
	ck_assert(twins_read(&t, disks, 2, 95, got, 3) && got[0] == bytes[0][20]);
	ck_assert(!twins_read(&t, disks, 0, 9, got, 1));
	ck_assert(!twins_read(&t, disks, 0, 19, got, 2)); /* over the border of two */
	ck_assert(!twins_read(&t, disks, 0, 30, got, 1));
	ck_assert(!twins_read(&t, disks, 1, 49, got, 1));
	ck_assert(!twins_read(&t, disks, 2, 10, got, 1));
	twins_release(&t);
	for (unsigned i = 0; i < 3; i++)
		blk_close(disks[i]);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("twins");
	TCase *t = tcase_create("twins");

	tcase_add_checked_fixture(t, scratch_setup, scratch_teardown);
	tcase_set_timeout(t, 300);
	tcase_add_test(t, only_what_is_said);
	tcase_add_loop_test(t, mirror_of_md, 0, 6);
	tcase_add_test(t, members_differ);
	tcase_add_test(t, half_a_mirror);
	tcase_add_test(t, twice_on_one_disk);
	suite_add_tcase(s, t);

	SRunner *runner = srunner_create(s);
	srunner_run_all(runner, CK_ENV);
	int failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
