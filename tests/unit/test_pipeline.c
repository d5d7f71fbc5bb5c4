/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The pipeline: order, the error that comes first, cancelling, and that it always ends, for all numbers of threads and for pools as
 * small as one item. Meant to be run with SAN=thread too.
 */
#include "base/pipeline.h"
#include "tests/unit/image_util.h"

#include <sched.h>
#include <stdatomic.h>

#define NR_ITEMS 23
#define NEVER    UINT64_MAX

struct job {
	uint64_t nr;                              /* items to produce */
	uint64_t fail_produce, fail_work, fail_consume; /* at which item, NEVER */
	uint64_t fail_item_new, fail_worker_new;  /* at which call */
	uint64_t stop_after;                      /* questions until stopped() says yes */
	uint64_t produced, consumed, asked;
	atomic_uint_fast64_t worked, items, workers; /* items and workers that exist now */
	uint64_t new_items;
	atomic_uint_fast64_t new_workers;
	atomic_bool inside[2];                    /* produce and consume must not overlap themselves */
};

struct item {
	struct job *job;
	uint64_t seq, worked;
};

struct worker {
	struct job *job;
	atomic_bool busy;
};

static void *item_new(void *arg, struct err *e)
{
	struct job *j = arg;
	struct item *it = j->new_items++ == j->fail_item_new ? NULL : calloc(1, sizeof(*it));

	if (!it) {
		err_set(e, ERR_FAILED, 0, "item_new");
		return NULL;
	}
	it->job = j;
	j->items++;
	return it;
}

static void item_free(void *item)
{
	((struct item *)item)->job->items--;
	free(item);
}

static void *worker_new(void *arg, struct err *e)
{
	struct job *j = arg;
	struct worker *w = j->new_workers++ == j->fail_worker_new ? NULL : calloc(1, sizeof(*w));

	if (!w) {
		err_set(e, ERR_FAILED, 0, "worker_new");
		return NULL;
	}
	w->job = j;
	j->workers++;
	return w;
}

static void worker_free(void *worker)
{
	((struct worker *)worker)->job->workers--;
	free(worker);
}

/* Now and then another thread goes first. */
static void jitter(uint64_t seq, uint64_t salt)
{
	for (uint64_t n = (seq * 2654435761U + salt * 40503U) >> 7 & 3; n; n--)
		sched_yield();
}

static int produce(void *arg, void *item, struct err *e)
{
	struct job *j = arg;
	struct item *it = item;

	/* No assertions in what runs in threads: they write, and writing orders the threads. */
	if (atomic_exchange(&j->inside[0], true))
		abort();
	jitter(j->produced, 1);
	int r = 1;
	if (j->produced == j->fail_produce) {
		r = err_set(e, ERR_CORRUPT, 0, "produce %llu", (unsigned long long)j->produced);
	} else if (j->produced == j->nr) {
		r = 0;
	} else {
		it->seq = j->produced++;
		it->worked = 0;
	}
	atomic_store(&j->inside[0], false);
	return r;
}

static int work(void *arg, void *worker, void *item, struct err *e)
{
	struct job *j = arg;
	struct worker *w = worker;
	struct item *it = item;

	if (atomic_exchange(&w->busy, true))
		abort();
	jitter(it->seq, 2);
	it->worked++;
	j->worked++;
	atomic_store(&w->busy, false);
	return it->seq == j->fail_work ? err_set(e, ERR_REFUSED, 0, "work %llu", (unsigned long long)it->seq) : 0;
}

static int consume(void *arg, void *item, struct err *e)
{
	struct job *j = arg;
	struct item *it = item;

	if (atomic_exchange(&j->inside[1], true) || it->seq != j->consumed || it->worked != 1)
		abort();
	jitter(it->seq, 3);
	atomic_store(&j->inside[1], false);
	if (it->seq == j->fail_consume)
		return err_set(e, ERR_UNSUPPORTED, 0, "consume %llu", (unsigned long long)it->seq);
	j->consumed++;
	return 0;
}

static bool stopped(void *arg)
{
	struct job *j = arg;
	return j->asked++ >= j->stop_after;
}

static struct job new_job(void)
{
	return (struct job){ .nr = NR_ITEMS, .fail_produce = NEVER, .fail_work = NEVER, .fail_consume = NEVER, .fail_item_new = NEVER,
		.fail_worker_new = NEVER, .stop_after = NEVER };
}

static int run_job(struct job *j, unsigned workers, unsigned depth, struct err *e)
{
	static const struct pipe_ops ops = {
		.item_new = item_new,
		.item_free = item_free,
		.worker_new = worker_new,
		.worker_free = worker_free,
		.produce = produce,
		.work = work,
		.consume = consume,
	};
	struct progress p = { .stopped = stopped, .arg = j };

	*e = (struct err)ERR_INIT;
	int r = pipe_run(&ops, j, workers, depth, &p, e);
	ck_assert_uint_eq(j->items, 0);
	ck_assert_uint_eq(j->workers, 0);
	ck_assert_uint_le(j->new_items, depth);
	return r;
}

START_TEST(all_items_in_order)
{
	struct err e;

	for (unsigned workers = 1; workers <= 8; workers++) {
		for (unsigned depth = 1; depth <= workers + 4; depth++) {
			for (uint64_t nr = 0; nr <= NR_ITEMS; nr += nr < 3 ? 1 : 10) {
				struct job j = new_job();
				j.nr = nr;
				ok(run_job(&j, workers, depth, &e), &e);
				ck_assert_uint_eq(j.consumed, nr);
				ck_assert_uint_eq(j.worked, nr);
			}
		}
	}
}
END_TEST

/* What must come out when three things go wrong: the first in order, and for one item in the order of the stages. */
static void expect_first_error(struct job *j, int r, const struct err *e)
{
	char want[64];
	uint64_t first = j->nr;
	const char *stage = NULL;
	enum err_code code = ERR_NONE;

	if (j->fail_consume < first)
		first = j->fail_consume, stage = "consume", code = ERR_UNSUPPORTED;
	if (j->fail_work < j->nr && j->fail_work <= first)
		first = j->fail_work, stage = "work", code = ERR_REFUSED;
	if (j->fail_produce <= j->nr && j->fail_produce <= first)
		first = j->fail_produce, stage = "produce", code = ERR_CORRUPT;
	ck_assert_uint_eq(j->consumed, first);
	ck_assert_int_eq(r, stage ? -1 : 0);
	ck_assert_int_eq(e->code, code);
	if (!stage)
		return;
	snprintf(want, sizeof(want), "%s %llu", stage, (unsigned long long)first);
	ck_assert_str_eq(e->msg, want);
}

START_TEST(an_error_at_every_index)
{
	unsigned workers = (unsigned)_i;
	struct err e;

	for (uint64_t at = 0; at <= NR_ITEMS; at++) {
		for (int stage = 0; stage < 3; stage++) {
			for (unsigned depth = 1; depth <= workers + 2; depth += workers) {
				struct job j = new_job();
				*(stage == 0 ? &j.fail_produce : stage == 1 ? &j.fail_work : &j.fail_consume) = at;
				expect_first_error(&j, run_job(&j, workers, depth, &e), &e);
			}
		}
	}
}
END_TEST

START_TEST(the_first_of_several_errors_counts)
{
	uint64_t seed = 17 + (uint64_t)_i;
	struct err e;

	for (int round = 0; round < 300; round++) {
		struct job j = new_job();
		unsigned workers = 1 + (unsigned)rnd_below(&seed, 8);
		j.fail_produce = rnd_below(&seed, NR_ITEMS + 5);
		j.fail_work = rnd_below(&seed, NR_ITEMS + 5);
		j.fail_consume = rnd_below(&seed, NR_ITEMS + 5);
		expect_first_error(&j, run_job(&j, workers, 1 + (unsigned)rnd_below(&seed, workers + 6), &e), &e);
	}
}
END_TEST

START_TEST(stopping)
{
	struct err e;

	for (unsigned workers = 1; workers <= 8; workers += 3) {
		for (uint64_t after = 0; after <= NR_ITEMS; after++) {
			struct job j = new_job();
			j.stop_after = after;
			int r = run_job(&j, workers, workers + 2, &e);
			ck_assert_int_eq(r, after < NR_ITEMS ? -1 : 0);
			ck_assert_int_eq(e.code, after < NR_ITEMS ? ERR_STOPPED : ERR_NONE);
			ck_assert_uint_eq(j.consumed, after);
		}
	}
}
END_TEST

START_TEST(what_cannot_be_made)
{
	struct err e;

	for (unsigned workers = 1; workers <= 8; workers++) {
		for (uint64_t at = 0; at < workers + 2; at++) {
			struct job j = new_job();
			j.fail_item_new = at;
			fails(run_job(&j, workers, workers + 2, &e), ERR_FAILED, &e);
			ck_assert_str_eq(e.msg, "item_new");
			ck_assert_uint_eq(j.consumed, 0);
		}
		for (uint64_t at = 0; at < workers; at++) {
			struct job j = new_job();
			j.fail_worker_new = at;
			/* Enough items that all workers are there before the end. */
			j.nr = 100000;
			fails(run_job(&j, workers, workers + 2, &e), ERR_FAILED, &e);
			ck_assert_str_eq(e.msg, "worker_new");
		}
	}
}
END_TEST

START_TEST(nobody_asks_to_stop)
{
	static const struct pipe_ops ops = {
		.item_new = item_new, .item_free = item_free, .worker_new = worker_new, .worker_free = worker_free,
		.produce = produce, .work = work, .consume = consume,
	};
	struct job j = new_job();
	struct err e = ERR_INIT;

	ok(pipe_run(&ops, &j, 2, 4, NULL, &e), &e);
	ck_assert_uint_eq(j.consumed, NR_ITEMS);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("pipeline");
	TCase *t = tcase_create("pipeline");

	suite_add_tcase(s, t);
	tcase_set_timeout(t, 120);
	tcase_add_test(t, all_items_in_order);
	tcase_add_loop_test(t, an_error_at_every_index, 1, 9);
	tcase_add_loop_test(t, the_first_of_several_errors_counts, 0, 4);
	tcase_add_test(t, stopping);
	tcase_add_test(t, what_cannot_be_made);
	tcase_add_test(t, nobody_asks_to_stop);
	return run_suite(s);
}
