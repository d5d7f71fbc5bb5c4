/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * A restore is stopped: with every call to its targets in turn, and at every place where it asks. Nothing is written any more, and undo
 * gives back all that was not written to, above all a disk of which only the superblocks were cleared.
 */
#include "tests/unit/exact_util.h"

#define SIZE    (5 * CHUNK_SIZE + 77)
#define NR_OLD  4 /* partitions of the old disks */
#define THREADS 3

static const char *const records[] = { "state", "state.2" };

struct scene;

/* A target that sees what is done to it. */
struct watched {
	struct mem_sink mem;
	struct scene *sc;
	uint64_t reached; /* where data was written, or discarded, up to */
};

struct scene {
	struct model md;
	size_t nr; /* disks */
	uint8_t *old[2], *data[2];
	struct watched targets[2];
	struct progress progress;
	const char *phase;
	long calls, stop_call;  /* to all targets; the signal comes with this one, 0: never */
	long asked, stop_asked; /* whether to stop; the signal comes before this one, 0: never */
	bool heard;             /* it was told that it shall stop */
	long late;              /* changes after it was told */
};

static bool is_stopped(void *arg)
{
	struct scene *sc = arg;
	long asked = __atomic_add_fetch(&sc->asked, 1, __ATOMIC_SEQ_CST);
	bool stop = (sc->stop_asked && asked >= sc->stop_asked) || (sc->stop_call && __atomic_load_n(&sc->calls, __ATOMIC_SEQ_CST) >= sc->stop_call);

	if (stop)
		__atomic_store_n(&sc->heard, true, __ATOMIC_SEQ_CST);
	return stop;
}

static void note_phase(void *arg, const char *phase, uint64_t done, uint64_t total)
{
	(void)done, (void)total;
	__atomic_store_n(&((struct scene *)arg)->phase, phase, __ATOMIC_SEQ_CST);
}

static void note_change(struct watched *w, uint64_t end)
{
	struct scene *sc = w->sc;
	const char *phase = __atomic_load_n(&sc->phase, __ATOMIC_SEQ_CST);

	__atomic_add_fetch(&sc->calls, 1, __ATOMIC_SEQ_CST);
	if (__atomic_load_n(&sc->heard, __ATOMIC_SEQ_CST))
		__atomic_add_fetch(&sc->late, 1, __ATOMIC_SEQ_CST);
	uint64_t was = __atomic_load_n(&w->reached, __ATOMIC_SEQ_CST);
	while (strcmp(phase, "disarm") != 0 && was < end && !__atomic_compare_exchange_n(&w->reached, &was, end, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST))
		;
}

static int watch_write(struct blk_sink *s, uint64_t off, const void *buf, size_t len, struct err *e)
{
	note_change((struct watched *)s, off + len);
	return mem_write(s, off, buf, len, e);
}

static int watch_zero(struct blk_sink *s, uint64_t off, uint64_t len, struct err *e)
{
	note_change((struct watched *)s, off + len);
	return mem_zero(s, off, len, e);
}

static int watch_discard(struct blk_sink *s, uint64_t off, uint64_t len, struct err *e)
{
	note_change((struct watched *)s, off + len);
	return mem_discard(s, off, len, e);
}

static int watch_flush(struct blk_sink *s, struct err *e)
{
	__atomic_add_fetch(&((struct watched *)s)->sc->calls, 1, __ATOMIC_SEQ_CST);
	return mem_flush(s, e);
}

static int watch_read_back(struct blk_sink *s, uint64_t off, void *buf, size_t len, struct err *e)
{
	__atomic_add_fetch(&((struct watched *)s)->sc->calls, 1, __ATOMIC_SEQ_CST);
	return mem_read_back(s, off, buf, len, e);
}

/* A disk with boot code and four partitions that each hold swap space, the last one behind everything the image has. */
static uint8_t *old_disk(struct chance *c)
{
	uint8_t *old = garbage(c, SIZE);

	memset(old + 446, 0, 64);
	put_le16(old, 510, 0xAA55);
	for (uint32_t i = 0; i < NR_OLD; i++) {
		uint32_t lba = 100 + i * 600;
		old[446 + 16 * i + 4] = 0x82;
		put_le32(old, 446 + 16 * i + 8, lba);
		put_le32(old, 446 + 16 * i + 12, 500);
		memcpy(old + lba * 512 + 4086, "SWAPSPACE2", 10);
	}
	return old;
}

static void make_scene(struct scene *sc, size_t nr)
{
	*sc = (struct scene){ .md = model_new(815), .nr = nr };
	struct img_manifest *m = sc->md.m;

	sc->progress = (struct progress){ .update = note_phase, .stopped = is_stopped, .arg = sc };
	for (uint32_t d = 0; d < nr; d++) {
		struct err e = ERR_INIT;
		model_disk(&sc->md, SIZE);
		m->regions = grow_list(m->regions, m->nr_regions, sizeof(*m->regions));
		struct img_region *r = &m->regions[m->nr_regions++];
		*r = (struct img_region){ .disk = d, .len = SIZE, .kind = PT_REGION_PARTITION };
		r->map = cmap_new(SIZE, 9, &e);
		ck_assert_ptr_nonnull(r->map);
		model_extent(&sc->md, r, 0, 600 * KIB, EXT_USED);
		model_extent(&sc->md, r, 640 * KIB, 100 * KIB, EXT_ZERO);
		model_extent(&sc->md, r, 800 * KIB, 100 * KIB, EXT_USED);
		m->volumes = grow_list(m->volumes, m->nr_volumes, sizeof(*m->volumes));
		struct img_volume *v = &m->volumes[m->nr_volumes++];
		*v = (struct img_volume){ .parent = IMG_NO_INDEX, .kind = IMG_VOL_PARTITION, .region = (uint32_t)m->nr_regions - 1, .size = SIZE };
		v->arm = calloc(2, sizeof(*v->arm));
		v->arm[v->nr_arm++] = (struct img_range){ .disk = d, .start = 1024, .len = 1024 };
		v->arm[v->nr_arm++] = (struct img_range){ .disk = d, .start = 500 * KIB, .len = 4096 };
		sc->old[d] = old_disk(&sc->md.c);
		sc->data[d] = malloc(SIZE);
	}
	model_store(&sc->md, "image");
}

static void free_scene(struct scene *sc)
{
	model_free(&sc->md);
	for (size_t d = 0; d < sc->nr; d++) {
		free(sc->old[d]);
		free(sc->data[d]);
	}
}

static int restore(struct scene *sc, unsigned threads, enum scrub scrub, struct err *e)
{
	static const struct blk_sink_ops ops = { .write = watch_write, .zero = watch_zero, .discard = watch_discard, .flush = watch_flush,
		.read_back = watch_read_back, .close = mem_close };
	struct restore_options o = { .image = "image", .nr_disks = sc->nr, .state_file = "state", .threads = threads, .scrub = scrub };
	struct blk_sink *sinks[2];
	struct restore_result res;

	for (size_t d = 0; d < sc->nr; d++) {
		sc->targets[d] = (struct watched){ .mem = mem_sink(sc->data[d], SIZE, false), .sc = sc };
		sc->targets[d].mem.base.ops = &ops;
		sinks[d] = &sc->targets[d].mem.base;
	}
	o.sinks = sinks;
	sc->phase = "plan";
	sc->calls = sc->asked = sc->late = 0;
	sc->heard = false;
	int r = restore_run(&o, &res, &sc->progress, e);
	if (r == 0)
		img_manifest_free(res.manifest);
	return r;
}

static int undo(struct scene *sc, size_t disk, struct undo_result *ret, struct err *e)
{
	struct mem_sink sink = mem_sink(sc->data[disk], SIZE, false);
	struct undo_options o = { .disk = "memory", .state_file = records[disk], .sink = &sink.base };

	return undo_run(&o, ret, NULL, e);
}

/* Of what undo says of a disk that was written to: everything behind is back, and it is. */
static void check_parts(const struct scene *sc, size_t disk, const struct undo_result *u, const char *what)
{
	uint64_t reached = sc->targets[disk].reached;

	ck_assert_uint_eq(u->nr_parts, NR_OLD + 1);
	for (size_t i = 0; i < u->nr_parts; i++) {
		const struct undo_part *part = &u->parts[i];
		ck_assert_msg(part->is_back == (part->start >= reached), "%s: disk %zu was written up to %llu, the part at %llu: %s", what, disk,
			(unsigned long long)reached, (unsigned long long)part->start, part->is_back ? "back" : part->why);
		if (part->is_back)
			ck_assert_msg(!memcmp(sc->data[disk] + part->start, sc->old[disk] + part->start, part->len), "%s: not back", what);
	}
}

/* Where no data was written the old disk comes back, to the byte; else every partition that begins behind it. */
static void check_undo(struct scene *sc, size_t disk, const char *what)
{
	struct undo_result u;
	struct err e = ERR_INIT;
	bool has_record = access(records[disk], F_OK) == 0;

	ck_assert_msg(has_record || !sc->targets[disk].reached, "%s: no record", what);
	int r = has_record ? undo(sc, disk, &u, &e) : 0;
	if (sc->targets[disk].reached) {
		ck_assert_int_eq(r, -1);
		check_parts(sc, disk, &u, what);
	} else {
		for (size_t i = 0; r && i < u.nr_parts; i++)
			printf("%s: the part at %llu: %s\n", what, (unsigned long long)u.parts[i].start, u.parts[i].why);
		ck_assert_msg(r == 0, "%s: %s", what, e.msg);
		ck_assert_msg(!memcmp(sc->data[disk], sc->old[disk], SIZE), "%s: disk %zu is not as it was", what, disk);
		ck_assert_msg(access(records[disk], F_OK) < 0, "%s: a record is left", what);
	}
	if (has_record)
		free(u.parts);
}

static void finish(struct scene *sc, unsigned threads, enum scrub scrub)
{
	struct err e = ERR_INIT;

	sc->stop_call = sc->stop_asked = 0;
	ck_assert_msg(restore(sc, threads, scrub, &e) == 0, "the same command: %s", e.msg);
	for (size_t d = 0; d < sc->nr; d++)
		check_bytes(&sc->md, d, sc->md.data[d], sc->data[d], 0, SIZE);
}

struct seen {
	unsigned untouched, undone, partly;
};

static void look_at_stopped(struct scene *sc, struct seen *seen, const char *what)
{
	bool is_written = false, is_changed = false;

	for (size_t d = 0; d < sc->nr; d++) {
		is_written |= sc->targets[d].reached > 0;
		is_changed |= memcmp(sc->data[d], sc->old[d], SIZE) != 0;
	}
	for (size_t d = 0; d < sc->nr; d++)
		check_undo(sc, d, what);
	seen->untouched += !is_changed;
	seen->undone += is_changed && !is_written;
	seen->partly += is_written;
}

/* Even: the signal comes with the n-th call to a target; odd: before the n-th time that the job asks. One disk or two, one thread or some. */
START_TEST(stopped_anywhere)
{
	bool by_asking = _i % 2, is_done = false;
	unsigned threads = _i & 4 ? THREADS : 1;
	enum scrub scrub = _i & 4 ? SCRUB_ZERO : SCRUB_DISCARD;
	struct seen seen = { 0 };
	struct scene sc;

	make_scene(&sc, _i & 2 ? 2 : 1);
	for (long n = 1; !is_done;) {
		struct err e = ERR_INIT;
		char what[100];
		for (size_t d = 0; d < sc.nr; d++) {
			memcpy(sc.data[d], sc.old[d], SIZE);
			unlink(records[d]);
		}
		*(by_asking ? &sc.stop_asked : &sc.stop_call) = n;
		is_done = restore(&sc, threads, scrub, &e) == 0;
		snprintf(what, sizeof(what), "%s %ld (%s)", by_asking ? "question" : "call", n, sc.phase);
		if (is_done) {
			ck_assert_msg(!sc.heard, "%s: it was told to stop and went on", what);
		} else {
			ck_assert_msg(e.code == ERR_STOPPED && e.hint[0], "%s: %s", what, e.msg);
			/* What other threads had asked for just before is on its way. */
			ck_assert_msg(sc.late <= threads - 1, "%s: %ld changes after the stop", what, sc.late);
			for (size_t d = 0; d < sc.nr && !strcmp(e.hint, "nothing was written to the target"); d++)
				ck_assert_msg(access(records[d], F_OK) < 0, "%s: a record of nothing", what);
			look_at_stopped(&sc, &seen, what);
		}
		if (n % 8 == 0 || is_done)
			finish(&sc, threads, scrub);
		n += strcmp(sc.phase, "plan") ? 1 : 10; /* what the target holds is read in many small pieces */
	}
	ck_assert_uint_ge(seen.untouched, 10);
	ck_assert_uint_ge(seen.undone, 10 * (unsigned)sc.nr);
	ck_assert_uint_ge(seen.partly, 5);
	free_scene(&sc);
}
END_TEST

/* In the middle of clearing: the boot code stands, and some of what is saved. */
static int cut_while_disarming(struct scene *sc)
{
	struct err e = ERR_INIT;
	int r = -1;

	sc->stop_asked = sc->stop_asked ? sc->stop_asked : 1;
	for (; r < 0 && !memcmp(sc->data[0], sc->old[0], SIZE); sc->stop_asked += 7) {
		unlink(records[0]);
		r = restore(sc, 1, SCRUB_NONE, &e);
	}
	sc->stop_asked -= 7;
	ck_assert_uint_eq(sc->targets[0].reached, 0);
	return r;
}

static bool stop_later(void *arg)
{
	long *left = arg;

	return (*left)-- <= 0;
}

/* An undo that is stopped, wherever, is completed by the same command. */
START_TEST(undo_is_stopped)
{
	struct err e = ERR_INIT;
	struct undo_result u;
	struct scene sc;
	bool is_done = false;
	long n = 0;

	make_scene(&sc, 1);
	for (; !is_done; n++) {
		long left = n;
		struct progress p = { .stopped = stop_later, .arg = &left };
		memcpy(sc.data[0], sc.old[0], SIZE);
		unlink(records[0]);
		ck_assert_int_eq(cut_while_disarming(&sc), -1);
		struct mem_sink sink = mem_sink(sc.data[0], SIZE, false);
		struct undo_options o = { .disk = "memory", .state_file = records[0], .sink = &sink.base };
		is_done = undo_run(&o, &u, &p, &e) == 0;
		free(u.parts);
		if (!is_done) {
			ck_assert_msg(e.code == ERR_STOPPED && e.hint[0], "%s", e.msg);
			ck_assert_msg(undo(&sc, 0, &u, &e) == 0, "%s", e.msg);
			free(u.parts);
		}
		ck_assert(!memcmp(sc.data[0], sc.old[0], SIZE) && access(records[0], F_OK) < 0);
	}
	ck_assert_int_ge(n, 10);
	free_scene(&sc);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("stop_restore");
	TCase *t = tcase_create("stop_restore");

	tcase_add_checked_fixture(t, scratch_setup, scratch_teardown);
	tcase_set_timeout(t, 600);
	tcase_add_loop_test(t, stopped_anywhere, 0, 8);
	tcase_add_test(t, undo_is_stopped);
	suite_add_tcase(s, t);

	SRunner *runner = srunner_create(s);
	srunner_run_all(runner, CK_ENV);
	int failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
