/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The one engine behind capture, restore and verify: produce in order, work in parallel, consume in order.
 *
 *   produce (one thread) → bounded queue → work (n threads) → order restored → consume (the caller's thread)
 *
 * Items come from a fixed pool, so memory is bounded and the main path never allocates. An item has one owner at a time.
 */
#ifndef CALCO_BASE_PIPELINE_H
#define CALCO_BASE_PIPELINE_H

#include "base/err.h"
#include "base/progress.h"

#include <stddef.h>

struct pipe_ops {
	/* Make and release one item of the pool. */
	void *(*item_new)(void *arg, struct err *e);
	void (*item_free)(void *item);
	/* Make and release what one worker keeps between items (contexts, scratch buffers). */
	void *(*worker_new)(void *arg, struct err *e);
	void (*worker_free)(void *worker);
	/* Fill the next item: 1 done, 0 there are no more, -1. Runs in its own thread. */
	int (*produce)(void *arg, void *item, struct err *e);
	/* Runs in any worker thread, several at once on different items. 0 / -1. */
	int (*work)(void *arg, void *worker, void *item, struct err *e);
	/* Called for each item in the order of produce, in the thread that called pipe_run. 0 / -1. */
	int (*consume)(void *arg, void *item, struct err *e);
};

/*
 * pipe_run - run until produce ends, or the first error
 * @workers: threads for work(), at least 1
 * @depth: items in the pool, at least workers + 2
 * @stop: asked once an item; may be NULL
 *
 * On an error all threads end and the error that comes first in the order of items is returned; items behind it are not consumed.
 * ERR_STOPPED when stop says so.
 */
int pipe_run(const struct pipe_ops *ops, void *arg, unsigned workers, unsigned depth, const struct progress *stop, struct err *e);

#endif
