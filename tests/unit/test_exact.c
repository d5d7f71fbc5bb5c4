/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The masked ids and the adaptations describe a disk exactly. Random disks with random states are stored, restored over
 * garbage and compared byte by byte; then single bits of what was restored are flipped: verify finds each of them in
 * a used or zero byte, at its place, and none in an unused one.
 */
#include "tests/unit/exact_util.h"

#include "imager/job/plan.h"

#define NR_RANDOM 24
#define FLIPS 40

static const struct restore_options ways[] = {
	{ .threads = 1, .scrub = SCRUB_NONE },
	{ .threads = 2, .scrub = SCRUB_ZERO },
	{ .threads = 3, .scrub = SCRUB_DISCARD },
	{ .threads = 4, .scrub = SCRUB_DISCARD, .no_verify = true },
	{ .threads = 1, .scrub = SCRUB_DISCARD },
	{ .threads = 4, .scrub = SCRUB_NONE, .no_verify = true },
};
#define NR_WAYS (sizeof(ways) / sizeof(ways[0]))

/* ---- what verify says about flipped bits */

struct flips {
	const struct model *md;
	size_t disk;
	uint64_t shift;        /* of the file under test against the image's disk */
	uint64_t image_end;    /* where chunks end and adaptations begin, on the image's disk */
	uint64_t nr;
	uint64_t at[FLIPS];    /* image offsets */
	bool counts[FLIPS];    /* in a used or zero byte, or in one that adaptations wrote */
	struct verify_result res;
};

static bool reports(const struct flips *f, uint64_t at)
{
	for (size_t i = 0; i < f->res.nr_kept; i++) {
		const struct damage *d = &f->res.damages[i];
		if (d->disk == (int)f->disk && at - f->shift >= d->start && at - f->shift - d->start < d->len)
			return true;
	}
	return false;
}

static const struct img_region *region_at(const struct flips *f, uint64_t at)
{
	const struct img_manifest *m = f->md->m;

	for (size_t i = 0; i < m->nr_regions; i++)
		if (m->regions[i].disk == f->disk && at >= m->regions[i].start && at - m->regions[i].start < m->regions[i].len)
			return &m->regions[i];
	ck_abort_msg("a report outside the disk: %llu", (unsigned long long)at);
}

/* The end of the leaf that image byte at lies in. What lies behind the image's end is reported structure by structure. */
static uint64_t leaf_end(const struct flips *f, uint64_t at, uint64_t report_end)
{
	if (at >= f->image_end)
		return report_end;
	const struct img_region *r = region_at(f, at);
	return min_u64(r->start + ((at - r->start) / LEAF_SIZE + 1) * LEAF_SIZE, r->start + r->len);
}

/* Each leaf of a report holds a flipped bit: nothing is reported that is not wrong. */
static void check_report(const struct flips *f, const struct damage *d)
{
	ck_assert_int_eq(d->disk, (int)f->disk);
	ck_assert_uint_gt(d->len, 0);
	for (uint64_t at = d->start + f->shift, end = at + d->len; at < end;) {
		uint64_t stop = leaf_end(f, at, end);
		bool any = false;
		ck_assert_uint_le(stop, end);
		for (uint64_t i = 0; i < f->nr; i++)
			any |= f->counts[i] && f->at[i] >= at && f->at[i] < stop;
		ck_assert_msg(any, "%llu+%llu is reported and nothing is wrong there", (unsigned long long)at, (unsigned long long)(stop - at));
		at = stop;
	}
}

/* Flip, ask verify, flip back. */
static void check_flips(struct flips *f, const char *image, const char *only, const char *const *paths)
{
	AUTO_CLOSE_FD int fd = open(paths[only ? 0 : f->disk], O_RDWR | O_CLOEXEC);
	struct verify_options o = { .image = image, .against = paths, .threads = 1 + (unsigned)(f->nr % 4), .only = only };
	struct err e = ERR_INIT;
	bool any = false;
	uint8_t b;

	for (uint64_t i = 0; i < f->nr; i++) {
		ck_assert_int_eq(pread(fd, &b, 1, (off_t)(f->at[i] - f->shift)), 1);
		b ^= (uint8_t)(1 << i % 8);
		ck_assert_int_eq(pwrite(fd, &b, 1, (off_t)(f->at[i] - f->shift)), 1);
		any |= f->counts[i];
	}
	int r = verify_run(&o, &f->res, NULL, &e);
	ck_assert_msg(r == (any ? -1 : 0), "%d flips: %d %s", (int)f->nr, r, e.msg);
	ck_assert_int_eq(e.code, any ? ERR_CORRUPT : ERR_NONE);
	for (uint64_t i = 0; i < f->nr; i++)
		if (f->counts[i])
			ck_assert_msg(reports(f, f->at[i]), "a flip at %llu of disk %zu was not found", (unsigned long long)f->at[i], f->disk);
	for (size_t i = 0; i < f->res.nr_kept; i++)
		check_report(f, &f->res.damages[i]);
	img_manifest_free(f->res.manifest);
	free(f->res.damages);
	for (uint64_t i = f->nr; i--;) {
		ck_assert_int_eq(pread(fd, &b, 1, (off_t)(f->at[i] - f->shift)), 1);
		b ^= (uint8_t)(1 << i % 8);
		ck_assert_int_eq(pwrite(fd, &b, 1, (off_t)(f->at[i] - f->shift)), 1);
	}
}

/* A different place for each flip, so that no two undo each other. */
static bool is_taken(const struct flips *f, uint64_t at)
{
	for (uint64_t i = 0; i < f->nr; i++)
		if (f->at[i] == at)
			return true;
	return false;
}

/* Many at once all over [from, from+len), then a few alone. */
static void flip_region(struct model *md, size_t disk, uint64_t from, uint64_t len, const char *image, const char *only, const char *const *paths)
{
	for (unsigned round = 0; round < 9; round++) {
		struct flips f = { .md = md, .disk = disk, .shift = only ? from : 0, .image_end = md->size[disk] };
		for (uint64_t tries = round < 5 ? FLIPS : 1; tries; tries--) {
			uint64_t at = from + draw_below(&md->c, len);
			if (is_taken(&f, at))
				continue;
			f.at[f.nr] = at;
			f.counts[f.nr++] = md->state[disk][at] != EXT_UNUSED;
		}
		check_flips(&f, image, only, paths);
	}
}

/* ---- random disks */

static struct model random_model(uint64_t seed)
{
	struct model md = model_new(seed);

	for (uint64_t n = draw_between(&md.c, 1, 3); n; n--)
		model_random_disk(&md);
	return md;
}

static void restore_and_check(struct model *md, const struct restore_options *o, uint64_t *ret_sizes, uint8_t **ret_data)
{
	struct mem_sink sinks[MAX_MODEL_DISKS];
	struct err e = ERR_INIT;

	for (size_t i = 0; i < md->nr; i++) {
		ret_sizes[i] = md->size[i] + (draw_below(&md->c, 2) ? draw_below(&md->c, 3 * MIB) : 0);
		ret_data[i] = garbage(&md->c, ret_sizes[i]);
		sinks[i] = mem_sink(ret_data[i], ret_sizes[i], draw_below(&md->c, 4) == 0);
	}
	ck_assert_msg(restore_to("image", sinks, md->nr, *o, &e) == 0, "%s", e.msg);
	for (size_t i = 0; i < md->nr; i++)
		check_bytes(md, i, md->data[i], ret_data[i], 0, md->size[i]);
}

START_TEST(random_disks)
{
	struct model md = random_model(1000 + (uint64_t)_i);
	const char *paths[MAX_MODEL_DISKS + 1] = { NULL };
	char names[MAX_MODEL_DISKS][32];
	uint64_t sizes[MAX_MODEL_DISKS];
	uint8_t *data[MAX_MODEL_DISKS];

	model_store(&md, "image");
	restore_and_check(&md, &ways[(size_t)_i % NR_WAYS], sizes, data);
	for (size_t i = 0; i < md.nr; i++) {
		snprintf(names[i], sizeof(names[i]), "disk%zu", i);
		paths[i] = names[i];
		put_file(paths[i], data[i], sizes[i]);
		free(data[i]);
	}
	for (size_t i = 0; i < md.nr; i++)
		flip_region(&md, i, 0, md.size[i], "image", NULL, paths);
	model_free(&md);
}
END_TEST

/* One volume to a target of its own: what it holds moves to the target's start. */
static void restore_only(struct model *md, const struct img_region *r, const struct restore_options *way)
{
	uint64_t size = r->len + (draw_below(&md->c, 2) ? draw_below(&md->c, MIB) : 0);
	AUTO_FREE uint8_t *data = garbage(&md->c, size);
	AUTO_FREE uint8_t *before = malloc(size);
	struct mem_sink sink = mem_sink(data, size, false);
	struct restore_options o = *way;
	const char *const paths[] = { "volume", NULL };
	struct err e = ERR_INIT;
	char number[16];

	memcpy(before, data, size);
	snprintf(number, sizeof(number), "%u", r->number);
	o.only = number;
	ck_assert_msg(restore_to("image", &sink, 1, o, &e) == 0, "%s", e.msg);
	check_bytes(md, r->disk, md->data[r->disk], data, r->start, r->len);
	ck_assert_msg(!memcmp(data + r->len, before + r->len, size - r->len), "bytes behind the volume changed");
	put_file("volume", data, size);
	flip_region(md, r->disk, r->start, r->len, "image", number, paths);
}

START_TEST(random_volumes)
{
	struct model md = random_model(5000 + (uint64_t)_i);
	unsigned done = 0;

	model_store(&md, "image");
	for (size_t i = 0; i < md.m->nr_regions && done < 4; i++)
		if (md.m->regions[i].kind)
			restore_only(&md, &md.m->regions[i], &ways[done++ % NR_WAYS]);
	model_free(&md);
}
END_TEST

/* A hostile image: what a volume wants cleared and written lies in another partition. Only the named region is touched. */
START_TEST(only_stays_inside)
{
	struct err e = ERR_INIT;
	struct model md = model_new(7);
	struct img_manifest *m = md.m;
	AUTO_FREE uint8_t *data = garbage(&md.c, 64 * KIB);
	AUTO_FREE uint8_t *before = malloc(64 * KIB);
	struct mem_sink sink = mem_sink(data, 64 * KIB, false);

	model_disk(&md, 64 * KIB);
	m->regions = calloc(2, sizeof(*m->regions));
	m->nr_regions = 2;
	for (unsigned i = 0; i < 2; i++) {
		m->regions[i] = (struct img_region){ .start = i * 32 * KIB, .len = 32 * KIB, .kind = PT_REGION_PARTITION, .number = i + 1,
			.map = cmap_new(32 * KIB, 9, &e) };
		model_extent(&md, &m->regions[i], 4096, 512, EXT_USED);
	}
	model_arm(&md, 0);
	struct img_volume *v = &m->volumes[0];
	free(v->arm);
	v->nr_arm = 2;
	v->arm = calloc(2, sizeof(*v->arm));
	v->arm[0] = (struct img_range){ .start = 0, .len = 1024 };
	v->arm[1] = (struct img_range){ .start = 31 * KIB, .len = 16 * KIB };
	model_store(&md, "image");
	memcpy(before, data, 64 * KIB);
	struct restore_options o = { .threads = 1, .only = "1", .scrub = SCRUB_DISCARD };
	ck_assert_msg(restore_to("image", &sink, 1, o, &e) == 0, "%s", e.msg);
	check_bytes(&md, 0, md.data[0], data, 0, 32 * KIB);
	ck_assert_msg(!memcmp(data + 32 * KIB, before + 32 * KIB, 32 * KIB), "bytes of the other partition changed");
	model_free(&md);
}
END_TEST

/* ---- adaptations: a GPT on a larger disk */

struct growth {
	uint64_t old_size, new_size;
	uint64_t nr_array;  /* sectors of the entry array */
};

#define OLD (6 * MIB)
static const struct growth growths[] = {
	{ OLD, 9 * MIB + 1000, 32 },
	{ OLD, OLD + 512, 32 },
	{ OLD, OLD + 16 * KIB, 32 },
	{ OLD + 1000, OLD + 16 * KIB + 200, 32 },
	{ OLD, OLD + 33 * 512, 32 },
	{ OLD, OLD + 3 * MIB + 512, 32 },
	{ OLD, OLD, 32 },
	{ OLD + 77, OLD + 77 + 300, 32 },
	{ OLD, OLD + 512 * KIB, 256 },
};
#define NR_GROWTHS (sizeof(growths) / sizeof(growths[0]))

/* Each as "d0" and, as sgdisk would have it on the larger disk, "grown0". All at once: sgdisk sleeps. */
static void setup_gpts(void)
{
	AUTO_FREE char *script = NULL;
	size_t size;

	scratch_setup();
	FILE *f = open_memstream(&script, &size);
	ck_assert_ptr_nonnull(f);
	fprintf(f, "PATH=$PATH:/usr/sbin:/sbin\n");
	for (size_t i = 0; i < NR_GROWTHS; i++)
		fprintf(f, "(set -e; truncate -s %llu d%zu; sgdisk -a1 -S %llu -n1:600:1000 -n2:1001:+301 -n3:2048:+1M -c3:third d%zu; "
			"cp d%zu new%zu; truncate -s %llu new%zu; %s new%zu; mv new%zu grown%zu) >log%zu 2>&1 &\n",
			(unsigned long long)growths[i].old_size, i, (unsigned long long)growths[i].nr_array * 4, i, i, i,
			(unsigned long long)growths[i].new_size, i,
			growths[i].old_size / 512 == growths[i].new_size / 512 ? "ls" : "sgdisk -e", i, i, i, i);
	fprintf(f, "wait\n");
	fclose(f);
	ck_assert_int_eq(system(script), 0);
}

static uint8_t *get_gpt(const char *word, size_t i, uint64_t want_len)
{
	char name[32];
	uint64_t len;

	snprintf(name, sizeof(name), "%s%zu", word, i);
	if (access(name, F_OK) != 0)
		shell("cat log%zu; false", i);
	uint8_t *bytes = get_file(name, &len);
	ck_assert_uint_eq(len, want_len);
	return bytes;
}

/* Regions as capture plans them, but the partitions get random states and garbage. Takes the disk's bytes. */
static struct model gpt_model(uint8_t *disk, uint64_t size, uint64_t seed)
{
	static const char *const all[] = { "all", NULL };
	struct plan_options po = { .raw_volumes = all };
	struct model md = model_new(seed);
	struct err e = ERR_INIT;

	md.nr = 1;
	md.data[0] = disk;
	md.size[0] = size;
	md.state[0] = calloc(1, size);
	AUTO(blk_source) struct blk_source *src = blk_mem(disk, size, 512, "d", &e);
	ck_assert_msg(plan_disk(md.m, src, &po, NULL, &e) == 0, "%s", e.msg);
	struct blk_source *disks[] = { src };
	ck_assert_msg(plan_volumes(md.m, disks, &po, NULL, &e) == 0, "%s", e.msg);
	for (size_t i = 0; i < md.m->nr_regions; i++) {
		struct img_region *r = &md.m->regions[i];
		AUTO_FREE uint8_t *fill = garbage(&md.c, r->len);
		if (r->kind == PT_REGION_PARTITION) {
			memcpy(disk + r->start, fill, r->len);
			model_fill(&md, r);
			model_arm(&md, i);
			continue;
		}
		/* Of gaps, both ends of the disk are used, and the table. */
		for (uint64_t at = r->start; at < r->start + r->len; at++)
			md.state[0][at] = (r->start == 0 && at < MIB) || at + MIB >= size ? EXT_USED : EXT_UNUSED;
		for (size_t k = 0; k < md.m->nr_tables; k++)
			memset(md.state[0] + md.m->tables[k].start, EXT_USED, md.m->tables[k].len);
	}
	return md;
}

/* What must stand on the larger disk, by sgdisk; the old backup's place is zero (docs/format.md section 5). */
static uint8_t *grown_disk(const struct growth *g, const struct model *md, size_t i)
{
	uint64_t last = g->new_size / 512 - 1, old_last = g->old_size / 512 - 1;
	uint8_t *grown = get_gpt("grown", i, g->new_size);

	for (uint64_t s = old_last - g->nr_array; s <= old_last && s < last - g->nr_array; s++)
		memset(grown + s * 512, 0, 512);
	for (size_t k = 0; k < md->m->nr_regions; k++) {
		const struct img_region *r = &md->m->regions[k];
		if (r->kind == PT_REGION_PARTITION)
			memcpy(grown + r->start, md->data[0] + r->start, r->len);
	}
	return grown;
}

/* Bits of what adaptations wrote, sector by sector and in no order, and of what they left. */
static void flip_adapted(struct model *md, const struct growth *g, uint64_t image_end)
{
	uint64_t last = g->new_size / 512 - 1, old_last = g->old_size / 512 - 1, first_new = (last - g->nr_array) * 512, end = (last + 1) * 512;
	const struct {
		uint64_t start, end;
	} places[] = {
		{ 0, 1024 }, { 1024, 34 * 512 }, { (old_last - g->nr_array) * 512, g->old_size }, { first_new, end - 512 }, { end - 512, g->new_size },
		{ min_u64(g->old_size, g->new_size - 1), g->new_size }, { 0, g->new_size },
	};
	static const char *const paths[] = { "target", NULL };

	for (unsigned round = 0; round < 84; round++) {
		unsigned place = round % 7;
		struct flips f = { .md = md, .image_end = image_end, .nr = 1 };
		uint64_t at = f.at[0] = places[place].start + draw_below(&md->c, places[place].end - places[place].start);
		if (at < md->size[0])
			f.counts[0] = md->state[0][at] != EXT_UNUSED;
		else
			f.counts[0] = g->new_size / 512 != g->old_size / 512 && at >= first_new && at < end;
		check_flips(&f, "image", NULL, paths);
	}
}

START_TEST(larger_gpt)
{
	size_t which = (size_t)_i % NR_GROWTHS;
	const struct growth *g = &growths[which];
	struct model md = gpt_model(get_gpt("d", which, g->old_size), g->old_size, 9000 + (uint64_t)_i);
	AUTO_FREE uint8_t *want = grown_disk(g, &md, which);
	AUTO_FREE uint8_t *data = garbage(&md.c, g->new_size);
	struct mem_sink sink = mem_sink(data, g->new_size, false);
	static const char *const paths[] = { "target", NULL };
	struct err e = ERR_INIT;

	model_store(&md, "image");
	ck_assert_msg(restore_to("image", &sink, 1, ways[(size_t)_i % NR_WAYS], &e) == 0, "%s", e.msg);
	check_bytes(&md, 0, want, data, 0, md.size[0]);
	uint64_t end = g->new_size / 512 * 512, backup = end - (g->nr_array + 1) * 512;
	if (end != g->old_size / 512 * 512)
		ck_assert_msg(!memcmp(data + backup, want + backup, end - backup), "not the backup GPT that sgdisk writes");
	put_file("target", data, g->new_size);
	flip_region(&md, 0, 0, md.size[0], "image", NULL, paths);
	flip_adapted(&md, g, g->old_size);
	model_free(&md);
}
END_TEST

/* One copy of a GPT: header at one sector, its array at another. */
static void put_gpt(uint8_t *disk, uint64_t lba, uint64_t other, uint64_t array, uint64_t nr_array, uint64_t last_usable)
{
	uint8_t *h = disk + lba * 512;

	memcpy(h, "EFI PART\0\0\1\0", 12);
	put_le32(h, 0x0C, 92);
	put_le64(h, 0x18, lba);
	put_le64(h, 0x20, other);
	put_le64(h, 0x28, 2 + nr_array);
	put_le64(h, 0x30, last_usable);
	memset(h + 0x38, 0x77, 16);
	put_le64(h, 0x48, array);
	put_le32(h, 0x50, 1024);
	put_le32(h, 0x54, (uint32_t)nr_array / 2);
	put_le32(h, 0x58, crc32_of(disk + array * 512, nr_array * 512));
	put_le32(h, 0x10, 0);
	put_le32(h, 0x10, crc32_of(h, 92));
}

/*
 * A GPT with 2 MiB of entries whose backup lies in the middle of the disk, as after the disk grew: on a slightly larger target
 * the new backup covers bytes that the image does not use, and its very end.
 */
START_TEST(table_on_unused_bytes)
{
	static const uint64_t nr_array = 4096, size = 12 * MIB;
	const struct growth g = { size, size + 100 * KIB, nr_array };
	uint8_t *disk = calloc(1, size);
	struct err e = ERR_INIT;

	memset(disk + 2 * 512, 0x11, 16);
	memset(disk + 2 * 512 + 16, 0x22, 16);
	put_le64(disk, 2 * 512 + 32, 5000);
	put_le64(disk, 2 * 512 + 40, 5999);
	memcpy(disk + 8000 * 512, disk + 2 * 512, nr_array * 512);
	put_gpt(disk, 1, 8000 + nr_array, 2, nr_array, 7999);
	put_gpt(disk, 8000 + nr_array, 1, 8000, nr_array, 7999);
	disk[446 + 4] = 0xEE;
	put_le32(disk, 446 + 8, 1);
	put_le32(disk, 446 + 12, 8000 + (uint32_t)nr_array);
	put_le16(disk, 510, 0xAA55);
	struct model md = gpt_model(disk, size, 31);
	AUTO_FREE uint8_t *data = garbage(&md.c, g.new_size);
	struct mem_sink sink = mem_sink(data, g.new_size, false);
	uint64_t first_new = (g.new_size / 512 - 1 - nr_array) * 512;
	ck_assert_int_eq(md.state[0][first_new], EXT_UNUSED);
	model_store(&md, "image");
	ck_assert_msg(restore_to("image", &sink, 1, ways[1], &e) == 0, "%s", e.msg);
	put_file("target", data, g.new_size);
	memset(md.state[0] + first_new, EXT_USED, size - first_new);
	flip_adapted(&md, &g, first_new);
	model_free(&md);
}
END_TEST

/* A volume to its own place on a disk that has a table with a fitting partition: everything else stays. */
START_TEST(only_in_place)
{
	struct model md = gpt_model(get_gpt("d", 0, OLD), OLD, 77);
	AUTO_FREE uint8_t *data = garbage(&md.c, md.size[0]);
	AUTO_FREE uint8_t *before = malloc(md.size[0]);
	struct mem_sink sink = mem_sink(data, md.size[0], false);
	struct restore_options o = { .threads = 2, .only = "2", .scrub = SCRUB_DISCARD };
	const struct img_region *r = NULL;
	struct err e = ERR_INIT;

	model_store(&md, "image");
	for (size_t i = 0; i < md.m->nr_regions; i++)
		if (md.m->regions[i].number == 2)
			r = &md.m->regions[i];
	memcpy(data, md.data[0], 34 * 512);
	memcpy(data + md.size[0] - 33 * 512, md.data[0] + md.size[0] - 33 * 512, 33 * 512);
	memcpy(before, data, md.size[0]);
	ck_assert_msg(restore_to("image", &sink, 1, o, &e) == 0, "%s", e.msg);
	check_bytes(&md, 0, md.data[0], data + r->start, r->start, r->len);
	ck_assert_msg(!memcmp(data, before, r->start), "bytes before the volume changed");
	uint64_t end = r->start + r->len;
	ck_assert_msg(!memcmp(data + end, before + end, md.size[0] - end), "bytes behind the volume changed");
	model_free(&md);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("exact");
	TCase *t = tcase_create("exact");

	tcase_add_checked_fixture(t, scratch_setup, scratch_teardown);
	tcase_set_timeout(t, 300);
	tcase_add_loop_test(t, random_disks, 0, NR_RANDOM);
	tcase_add_loop_test(t, random_volumes, 0, 12);
	tcase_add_test(t, only_stays_inside);
	tcase_add_test(t, table_on_unused_bytes);
	suite_add_tcase(s, t);

	TCase *gpt = tcase_create("gpt");
	tcase_add_unchecked_fixture(gpt, setup_gpts, scratch_teardown);
	tcase_set_timeout(gpt, 300);
	tcase_add_loop_test(gpt, larger_gpt, 0, NR_GROWTHS);
	tcase_add_test(gpt, only_in_place);
	suite_add_tcase(s, gpt);

	SRunner *runner = srunner_create(s);
	srunner_run_all(runner, CK_ENV);
	int failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
