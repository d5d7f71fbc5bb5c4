/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Targets that fail or lie. Every write of a small restore in turn is dropped, torn or flipped: read-back finds it, and nothing
 * that comes after is written, above all not what arms the disk. Every call in turn fails: restore says so, and the
 * same restore run again completes the target.
 */
#include "tests/unit/exact_util.h"

#define SIZE (5 * CHUNK_SIZE + 77)

/* What the image and the targets of all tests here look like. */
struct scene {
	struct model md;
	uint8_t *old;        /* the target before */
	uint8_t *data;       /* the target */
	const char *phase;   /* of the restore that runs */
	bool has_old_table;
	struct progress progress;
};

static void note_phase(void *arg, const char *phase, uint64_t done, uint64_t total)
{
	(void)done;
	(void)total;
	__atomic_store_n(&((struct scene *)arg)->phase, phase, __ATOMIC_RELAXED);
}

static void add_region(struct model *md, uint64_t start, uint64_t end, uint16_t flags)
{
	struct img_manifest *m = md->m;
	struct err e = ERR_INIT;

	m->regions = grow_list(m->regions, m->nr_regions, sizeof(*m->regions));
	struct img_region *r = &m->regions[m->nr_regions++];
	*r = (struct img_region){ .start = start, .len = end - start, .kind = start ? PT_REGION_PARTITION : PT_REGION_GAP, .flags = flags,
		.number = (uint32_t)m->nr_regions - 1 };
	r->map = cmap_new(r->len, 9, &e);
	ck_assert_ptr_nonnull(r->map);
}

static void add_volume(struct model *md, size_t region, uint64_t arm1, uint64_t arm2)
{
	struct img_region *r = &md->m->regions[region];
	const uint64_t starts[] = { arm1, arm2 };

	md->m->volumes = grow_list(md->m->volumes, md->m->nr_volumes, sizeof(struct img_volume));
	struct img_volume *v = &md->m->volumes[md->m->nr_volumes++];
	*v = (struct img_volume){ .parent = IMG_NO_INDEX, .kind = IMG_VOL_PARTITION, .region = (uint32_t)region, .size = r->len };
	v->arm = calloc(2, sizeof(*v->arm));
	for (v->nr_arm = 0; v->nr_arm < 2; v->nr_arm++) {
		v->arm[v->nr_arm] = (struct img_range){ .start = r->start + starts[v->nr_arm], .len = 1024 };
		model_extent(md, r, starts[v->nr_arm], 1024, EXT_USED);
	}
}

/* An MBR with its gap, an active partition and another one, with all states; a target with or without a table of its own. */
static void make_scene(struct scene *sc, bool has_old_table)
{
	*sc = (struct scene){ .md = model_new(4711), .has_old_table = has_old_table };
	struct model *md = &sc->md;
	struct img_manifest *m = md->m;

	sc->progress = (struct progress){ .update = note_phase, .arg = sc };
	model_disk(md, SIZE);
	free(md->data[0]);
	md->data[0] = garbage(&md->c, SIZE);
	m->disks[0].table = PT_MBR;
	add_region(md, 0, 64 * KIB, 0);
	add_region(md, 64 * KIB, 300 * KIB, IMG_REGION_ACTIVE);
	add_region(md, 300 * KIB, SIZE, 0);
	model_extent(md, &m->regions[0], 0, 20 * KIB, EXT_USED);
	model_extent(md, &m->regions[1], 30 * KIB, 100 * KIB, EXT_ZERO);
	model_extent(md, &m->regions[1], 60 * KIB, 10 * KIB, EXT_USED);
	model_extent(md, &m->regions[2], 20 * KIB, 300 * KIB, EXT_USED);
	model_extent(md, &m->regions[2], 322 * KIB, 5 * KIB, EXT_ZERO);
	model_extent(md, &m->regions[2], 2 * CHUNK_SIZE, SIZE - 300 * KIB - 2 * CHUNK_SIZE, EXT_ZERO);
	add_volume(md, 1, 0, 100 * KIB);
	add_volume(md, 2, 1024, 200 * KIB);
	put_le16(md->data[0], 510, 0xAA55);
	m->tables = calloc(1, sizeof(*m->tables));
	m->tables[m->nr_tables++] = (struct img_table_copy){ .len = 512, .bytes = malloc(512) };
	memcpy(m->tables[0].bytes, md->data[0], 512);
	model_store(md, "image");

	sc->old = garbage(&md->c, SIZE);
	sc->data = malloc(SIZE);
	if (!has_old_table)
		return;
	memset(sc->old + 446, 0, 64);
	sc->old[446 + 4] = 0x82;
	put_le32(sc->old, 446 + 8, 200);
	put_le32(sc->old, 446 + 12, 100);
	put_le16(sc->old, 510, 0xAA55);
	memcpy(sc->old + 200 * 512 + 4086, "SWAPSPACE2", 10);
}

static void free_scene(struct scene *sc)
{
	model_free(&sc->md);
	free(sc->old);
	free(sc->data);
}

static struct mem_sink new_target(struct scene *sc)
{
	struct mem_sink sink = mem_sink(sc->data, SIZE, false);

	memcpy(sc->data, sc->old, SIZE);
	sink.phase = &sc->phase;
	sc->phase = "plan";
	unlink("state");
	return sink;
}

static bool stands(const struct scene *sc, uint64_t start, uint64_t len)
{
	return !memcmp(sc->data + start, sc->md.data[0] + start, len);
}

static bool volume_stands(const struct scene *sc, size_t volume)
{
	const struct img_volume *v = &sc->md.m->volumes[volume];
	return stands(sc, v->arm[0].start, v->arm[0].len) || stands(sc, v->arm[1].start, v->arm[1].len);
}

static bool lies_in(const struct mem_sink *s, const struct img_volume *v)
{
	for (uint32_t i = 0; i < v->nr_arm; i++)
		if (s->fault_off >= v->arm[i].start && s->fault_off < v->arm[i].start + v->arm[i].len)
			return true;
	return false;
}

/* Nothing that comes behind the stage in which it went wrong was written: superblocks, table, what firmware starts from. */
static void check_unarmed(const struct scene *sc, const struct mem_sink *s, const char *what)
{
	bool in_arm = !strcmp(s->fault_phase, "arm"), in_super = in_arm && lies_in(s, &sc->md.m->volumes[1]);
	bool in_table = in_arm && s->fault_off == 0 && s->fault_armed == 1;

	if (!in_arm)
		ck_assert_msg(!volume_stands(sc, 1), "%s: a superblock was written", what);
	if (!in_arm || in_super)
		ck_assert_msg(!stands(sc, 440, 72), "%s: the partition table was written", what);
	if (!in_arm || in_super || in_table)
		ck_assert_msg(!volume_stands(sc, 0) && !stands(sc, 0, 440), "%s: a boot volume was armed", what);
}

static void run_again(struct scene *sc, const struct restore_options *o)
{
	struct mem_sink sink = mem_sink(sc->data, SIZE, false);
	struct err e = ERR_INIT;

	ck_assert_msg(restore_with("image", &sink, 1, *o, NULL, &e) == 0, "run again: %s", e.msg);
	check_bytes(&sc->md, 0, sc->md.data[0], sc->data, 0, SIZE);
}

static const enum mem_fault lies[] = { FAULT_DROP, FAULT_TEAR, FAULT_FLIP };

/* Drops, tears or flips the n-th change, for every n. */
START_TEST(lies_are_found)
{
	enum mem_fault lie = lies[_i % 3];
	struct restore_options o = { .threads = 1, .scrub = _i % 2 ? SCRUB_ZERO : SCRUB_DISCARD };
	unsigned found = 0;
	struct scene sc;
	long n = 0;

	make_scene(&sc, _i >= 3);
	for (;;) {
		struct mem_sink sink = new_target(&sc);
		struct err e = ERR_INIT;
		char what[100];
		sink.fault = lie;
		sink.fault_ops = MEM_CHANGES;
		sink.fault_at = ++n;
		int r = restore_with("image", &sink, 1, o, &sc.progress, &e);
		if (!sink.fault_phase) {
			ck_assert_msg(r == 0, "%s", e.msg);
			break;
		}
		snprintf(what, sizeof(what), "change %ld (%s, %llu+%llu)", n, sink.fault_phase, (unsigned long long)sink.fault_off,
			(unsigned long long)sink.fault_len);
		if (r == 0) { /* then what the lie spoiled is not used, or was written again */
			check_bytes(&sc.md, 0, sc.md.data[0], sc.data, 0, SIZE);
			continue;
		}
		found++;
		ck_assert_msg(e.code == ERR_CORRUPT, "%s: %s", what, e.msg);
		ck_assert_str_eq(e.reason, "read-back");
		check_unarmed(&sc, &sink, what);
		run_again(&sc, &o);
	}
	ck_assert_int_ge(n, 15);
	ck_assert_uint_ge(found, 10);
	free_scene(&sc);
}
END_TEST

/* Twice five hundred lies that matter, of any kind at any change: all are found, and the same restore repairs the target. */
START_TEST(a_thousand_lies)
{
	struct restore_options o = { .threads = 1, .scrub = SCRUB_DISCARD };
	struct chance chance = { 20 + (uint64_t)_i };
	unsigned found = 0, harmless = 0;
	struct err e = ERR_INIT;
	struct scene sc;

	make_scene(&sc, _i);
	struct mem_sink sink = new_target(&sc);
	sink.fault_ops = MEM_CHANGES;
	ck_assert_msg(restore_with("image", &sink, 1, o, NULL, &e) == 0, "%s", e.msg);
	uint64_t nr_changes = (uint64_t)sink.count;
	while (found < 500) {
		sink = new_target(&sc);
		sink.fault = lies[draw_below(&chance, 3)];
		sink.tear = 1 + (unsigned)draw_below(&chance, 7);
		sink.fault_ops = MEM_CHANGES;
		sink.fault_at = 1 + (long)draw_below(&chance, nr_changes);
		if (restore_with("image", &sink, 1, o, &sc.progress, &e) == 0) { /* it hit what is not used, or is written again */
			ck_assert_ptr_nonnull(sink.fault_phase);
			check_bytes(&sc.md, 0, sc.md.data[0], sc.data, 0, SIZE);
			harmless++;
			continue;
		}
		ck_assert_msg(e.code == ERR_CORRUPT, "change %ld: %s", sink.fault_at, e.msg);
		if (++found % 20 == 0)
			run_again(&sc, &o);
	}
	ck_assert_uint_lt(harmless, 2 * found);
	free_scene(&sc);
}
END_TEST

static const enum mem_op ops[] = { MEM_WRITE, MEM_ZERO, MEM_DISCARD, MEM_FLUSH, MEM_READ_BACK };

/* The n-th call of a kind fails, for every n. */
START_TEST(errors_are_told)
{
	enum mem_op op = ops[_i % 5];
	struct restore_options o = { .threads = 1 + (unsigned)_i / 10 * 2, .scrub = SCRUB_DISCARD };
	struct scene sc;
	long n = 0;

	make_scene(&sc, _i / 5 % 2);
	for (;;) {
		struct mem_sink sink = new_target(&sc);
		struct err e = ERR_INIT;
		char what[100];
		sink.fault = FAULT_EIO;
		sink.fault_ops = op;
		sink.fault_at = ++n;
		int r = restore_with("image", &sink, 1, o, &sc.progress, &e);
		if (!sink.fault_phase) {
			ck_assert_msg(r == 0, "%s", e.msg);
			break;
		}
		snprintf(what, sizeof(what), "call %ld (%s, %llu+%llu)", n, sink.fault_phase, (unsigned long long)sink.fault_off,
			(unsigned long long)sink.fault_len);
		/* What is unreadable on a target that is only looked at may be of no importance. */
		if (r == 0 && op == MEM_READ_BACK && !strcmp(sink.fault_phase, "plan")) {
			check_bytes(&sc.md, 0, sc.md.data[0], sc.data, 0, SIZE);
			continue;
		}
		ck_assert_msg(r < 0 && e.code == ERR_FAILED && e.sys_errno == EIO, "%s: %d %d %s", what, r, e.code, e.msg);
		if (op != MEM_FLUSH || strcmp(sink.fault_phase, "arm") != 0)
			check_unarmed(&sc, &sink, what);
		run_again(&sc, &o);
	}
	ck_assert_int_ge(n, 2);
	free_scene(&sc);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("lies");
	TCase *t = tcase_create("lies");

	tcase_add_checked_fixture(t, scratch_setup, scratch_teardown);
	tcase_set_timeout(t, 300);
	tcase_add_loop_test(t, lies_are_found, 0, 6);
	tcase_add_loop_test(t, errors_are_told, 0, 20);
	tcase_add_loop_test(t, a_thousand_lies, 0, 2);
	suite_add_tcase(s, t);

	SRunner *runner = srunner_create(s);
	srunner_run_all(runner, CK_ENV);
	int failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
