/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The pipeline; see pipeline.h. One lock guards everything: it is taken three times for an item of up to a mebibyte, some
 * thousand times a second at most, so finer locking would buy nothing.
 *
 * An item is in one of: the free list, the producer's hands, the work queue, a worker's hands, the ring of finished
 * items (at its sequence number modulo depth), the consumer's hands.
 */
#include "base/pipeline.h"

#include "base/arith.h"
#include "base/auto.h"

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

struct pipe_run_state {
	const struct pipe_ops *ops;
	void *arg;
	unsigned depth;
	pthread_mutex_t lock;
	pthread_cond_t changed;
	void **items;      /* all of the pool, for releasing */
	void **free_items; /* stack */
	unsigned nr_free;
	void **queue;      /* produced, waiting for a worker: ring of depth, by sequence number */
	void **done;       /* worked, waiting for the consumer: ring of depth, by sequence number */
	uint64_t produced, taken, consumed; /* sequence numbers: next to produce, next to work on, next to consume */
	bool ended;        /* the producer made its last item */
	uint64_t failed_at;/* sequence number of the error that counts, UINT64_MAX: none; nothing from there on is worked on or consumed */
	struct err error;
};

/*
 * Keep the error that comes first in the order of items. What comes before it still goes its way: it may fail too, and then that
 * is the error, however the threads were scheduled. Called with the lock held.
 */
static void fail_at(struct pipe_run_state *s, uint64_t seq, const struct err *e)
{
	if (seq < s->failed_at) {
		s->error = *e;
		s->failed_at = seq;
	}
	pthread_cond_broadcast(&s->changed);
}

static bool has_failed(const struct pipe_run_state *s)
{
	return s->failed_at != UINT64_MAX;
}

static void *take_free(struct pipe_run_state *s)
{
	pthread_mutex_lock(&s->lock);
	while (!has_failed(s) && s->nr_free == 0)
		pthread_cond_wait(&s->changed, &s->lock);
	void *item = has_failed(s) ? NULL : s->free_items[--s->nr_free];
	pthread_mutex_unlock(&s->lock);
	return item;
}

static void *producer_main(void *arg)
{
	struct pipe_run_state *s = arg;
	void *item;

	while ((item = take_free(s))) {
		struct err e = ERR_INIT;
		int r = s->ops->produce(s->arg, item, &e);
		pthread_mutex_lock(&s->lock);
		if (r < 0) {
			fail_at(s, s->produced, &e);
		} else if (r == 0) {
			s->ended = true;
		} else {
			s->queue[s->produced % s->depth] = item;
			s->produced++;
		}
		pthread_cond_broadcast(&s->changed);
		pthread_mutex_unlock(&s->lock);
		if (r <= 0)
			break;
	}
	return NULL;
}

/* The next item to work on, its number in *ret_seq; NULL when there will be none. */
static void *take_work(struct pipe_run_state *s, uint64_t *ret_seq)
{
	void *item = NULL;

	pthread_mutex_lock(&s->lock);
	while (!has_failed(s) && s->taken == s->produced && !s->ended)
		pthread_cond_wait(&s->changed, &s->lock);
	if (s->taken < min_u64(s->produced, s->failed_at)) {
		*ret_seq = s->taken++;
		item = s->queue[*ret_seq % s->depth];
	}
	pthread_mutex_unlock(&s->lock);
	return item;
}

static void *worker_main(void *arg)
{
	struct pipe_run_state *s = arg;
	struct err e = ERR_INIT;
	void *worker = s->ops->worker_new(s->arg, &e);
	uint64_t seq;
	void *item;

	if (!worker) {
		pthread_mutex_lock(&s->lock);
		fail_at(s, 0, &e);
		pthread_mutex_unlock(&s->lock);
		return NULL;
	}
	while ((item = take_work(s, &seq))) {
		int r = s->ops->work(s->arg, worker, item, &e);
		pthread_mutex_lock(&s->lock);
		if (r < 0)
			fail_at(s, seq, &e);
		else
			s->done[seq % s->depth] = item;
		pthread_cond_broadcast(&s->changed);
		pthread_mutex_unlock(&s->lock);
	}
	s->ops->worker_free(worker);
	return NULL;
}

/* The next finished item in order; NULL when all are consumed, or all before the error. */
static void *take_done(struct pipe_run_state *s)
{
	void **slot = &s->done[s->consumed % s->depth], *item = NULL;

	pthread_mutex_lock(&s->lock);
	while (!*slot && s->consumed < s->failed_at && !(s->ended && s->consumed == s->produced))
		pthread_cond_wait(&s->changed, &s->lock);
	if (s->consumed < s->failed_at)
		item = *slot;
	*slot = NULL;
	pthread_mutex_unlock(&s->lock);
	return item;
}

static void consume_all(struct pipe_run_state *s, const struct progress *stop)
{
	void *item;

	while ((item = take_done(s))) {
		struct err e = ERR_INIT;
		int r = progress_check(stop, &e);
		if (r == 0)
			r = s->ops->consume(s->arg, item, &e);
		pthread_mutex_lock(&s->lock);
		s->free_items[s->nr_free++] = item;
		if (r < 0)
			fail_at(s, s->consumed, &e);
		s->consumed++;
		pthread_cond_broadcast(&s->changed);
		pthread_mutex_unlock(&s->lock);
		if (r < 0)
			break;
	}
}

static int make_pool(struct pipe_run_state *s, struct err *e)
{
	s->items = alloc_array(s->depth, sizeof(void *));
	s->free_items = alloc_array(s->depth, sizeof(void *));
	s->queue = alloc_array(s->depth, sizeof(void *));
	s->done = alloc_array(s->depth, sizeof(void *));
	if (!s->items || !s->free_items || !s->queue || !s->done)
		return err_nomem(e, "the pipeline");
	for (unsigned i = 0; i < s->depth; i++) {
		s->items[i] = s->ops->item_new(s->arg, e);
		if (!s->items[i])
			return -1;
		s->free_items[s->nr_free++] = s->items[i];
	}
	return 0;
}

static void free_pool(struct pipe_run_state *s)
{
	for (unsigned i = 0; s->items && i < s->depth; i++)
		if (s->items[i])
			s->ops->item_free(s->items[i]);
	free(s->items);
	free(s->free_items);
	free(s->queue);
	free(s->done);
}

static void run_threads(struct pipe_run_state *s, unsigned workers, const struct progress *stop)
{
	AUTO_FREE pthread_t *threads = alloc_array(workers + 1, sizeof(*threads));
	unsigned started = 0;
	struct err e = ERR_INIT;

	while (threads && started <= workers) {
		int r = pthread_create(&threads[started], NULL, started ? worker_main : producer_main, s);
		if (r) {
			err_set(&e, ERR_FAILED, r, "starting a thread");
			break;
		}
		started++;
	}
	if (started <= workers) {
		if (!threads)
			err_nomem(&e, "the pipeline");
		pthread_mutex_lock(&s->lock);
		fail_at(s, 0, &e);
		pthread_mutex_unlock(&s->lock);
	}
	consume_all(s, stop);
	for (unsigned i = 0; i < started; i++)
		pthread_join(threads[i], NULL);
}

int pipe_run(const struct pipe_ops *ops, void *arg, unsigned workers, unsigned depth, const struct progress *stop, struct err *e)
{
	struct pipe_run_state s = { .ops = ops, .arg = arg, .depth = depth, .failed_at = UINT64_MAX };

	if (make_pool(&s, e) < 0) {
		free_pool(&s);
		return -1;
	}
	pthread_mutex_init(&s.lock, NULL);
	pthread_cond_init(&s.changed, NULL);
	run_threads(&s, workers, stop);
	pthread_cond_destroy(&s.changed);
	pthread_mutex_destroy(&s.lock);
	free_pool(&s);
	if (!has_failed(&s))
		return 0;
	/* Ctrl-C reaches every process of a shell's pipe: that the image ends then is a consequence, not damage. */
	if (progress_check(stop, e) < 0)
		return -1;
	*e = s.error;
	return -1;
}
