/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Leaf lists from files; see leaf_cache.h. */
#include "imager/repo/leaf_cache.h"

#include "base/arith.h"
#include "base/hex.h"
#include "imager/repo/files.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#define MAX_OPEN 64U

struct open_cache {
	const struct pack_toc *toc; /* NULL: free */
	int fd;
};

struct leaf_caches {
	const struct repo *r;
	pthread_rwlock_t lock; /* over what follows: alone to open, together to read */
	struct open_cache items[MAX_OPEN];
};

int leaf_cache_open(const struct repo *r, const struct pack_toc *t)
{
	char path[64], hex[33];
	struct stat st;

	snprintf(path, sizeof(path), "leaves/%s", hex_of(t->id, 16, hex));
	struct err ignored = ERR_INIT; /* what cannot be read is not there */
	int fd = repo_open_file(r, path, O_RDONLY, &ignored);
	if (fd >= 0 && fstat(fd, &st) == 0 && t->nr && (uint64_t)st.st_size == t->nr * LEAF_LIST)
		return fd;
	if (fd >= 0)
		close(fd);
	return -1;
}

bool leaf_cache_read(int fd, uint64_t record, unsigned first, unsigned nr, uint8_t *ret)
{
	size_t len = (size_t)nr * HASH_SIZE, done = 0;
	uint64_t at = record * LEAF_LIST + (uint64_t)first * HASH_SIZE;

	while (fd >= 0 && done < len) {
		ssize_t n = pread(fd, ret + done, len - done, (off_t)(at + done));
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return false;
		done += (size_t)n;
	}
	return fd >= 0;
}

struct leaf_caches *leaf_caches_new(const struct repo *r, struct err *e)
{
	struct leaf_caches *c = alloc_array(1, sizeof(*c));

	if (!c || pthread_rwlock_init(&c->lock, NULL)) {
		free(c);
		err_nomem(e, "the leaf caches");
		return NULL;
	}
	c->r = r;
	return c;
}

void leaf_caches_free(struct leaf_caches *c)
{
	if (!c)
		return;
	for (unsigned i = 0; i < MAX_OPEN; i++)
		if (c->items[i].toc && c->items[i].fd >= 0)
			close(c->items[i].fd);
	pthread_rwlock_destroy(&c->lock);
	free(c);
}

/* Pack ids are random: each has its slot, and one that comes later takes it over. */
bool leaf_caches_read(struct leaf_caches *c, const struct pack_toc *t, uint64_t record, unsigned first, unsigned nr, uint8_t *ret)
{
	struct open_cache *slot = &c->items[t->id[0] % MAX_OPEN];

	pthread_rwlock_rdlock(&c->lock);
	bool is_open = slot->toc == t, done = is_open && leaf_cache_read(slot->fd, record, first, nr, ret);
	pthread_rwlock_unlock(&c->lock);
	if (is_open)
		return done;
	pthread_rwlock_wrlock(&c->lock);
	if (slot->toc != t) {
		if (slot->toc && slot->fd >= 0)
			close(slot->fd);
		*slot = (struct open_cache){ .toc = t, .fd = leaf_cache_open(c->r, t) };
	}
	done = leaf_cache_read(slot->fd, record, first, nr, ret);
	pthread_rwlock_unlock(&c->lock);
	return done;
}
