/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Leaf lists from files; see leaf_cache.h. Of an encrypted one the list that was asked for last is kept: its leaves are asked for one after the other. */
#include "imager/repo/leaf_cache.h"

#include "base/arith.h"
#include "base/hex.h"
#include "base/random.h"
#include "imager/repo/files.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define MAX_OPEN    64U
#define SEALED_LIST (LEAF_LIST + SEAL_TAG_SIZE)

struct leaf_cache {
	uint8_t pack[16];
	int fd;
	struct seal_box *box;  /* NULL: not encrypted, and nothing of what follows is used */
	uint8_t salt[SEAL_SALT_SIZE];
	pthread_mutex_t lock;  /* over the box and what follows */
	uint64_t last;         /* the record whose list this is, UINT64_MAX: of none */
	uint8_t list[SEALED_LIST];
};

struct open_cache {
	const struct pack_toc *toc; /* NULL: free */
	struct leaf_cache *cache;   /* NULL: there is none */
};

struct leaf_caches {
	const struct repo *r;
	pthread_rwlock_t lock; /* over what follows: alone to open, together to read */
	struct open_cache items[MAX_OPEN];
};

uint64_t leaf_cache_size(const struct repo *r, uint64_t nr)
{
	return r->slots ? SEAL_SALT_SIZE + nr * SEALED_LIST : nr * LEAF_LIST;
}

static bool read_at(int fd, uint8_t *ret, size_t len, uint64_t at)
{
	for (size_t done = 0; done < len;) {
		ssize_t n = pread(fd, ret + done, len - done, (off_t)(at + done));
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return false;
		done += (size_t)n;
	}
	return true;
}

static int open_file(const struct repo *r, const struct pack_toc *t)
{
	struct err ignored = ERR_INIT; /* what cannot be read is not there */
	char path[64], hex[33];
	struct stat st;

	snprintf(path, sizeof(path), "leaves/%s", hex_of(t->id, 16, hex));
	int fd = repo_open_file(r, path, O_RDONLY, &ignored);
	if (fd >= 0 && fstat(fd, &st) == 0 && t->nr && (uint64_t)st.st_size == leaf_cache_size(r, t->nr))
		return fd;
	if (fd >= 0)
		close(fd);
	return -1;
}

/* What it takes to open its lists. */
static bool prepare(struct leaf_cache *c, const struct repo *r)
{
	struct err ignored = ERR_INIT; /* without a cache leaves are read again when they are needed */

	if (!r->slots)
		return true;
	if (!r->seal || !read_at(c->fd, c->salt, sizeof(c->salt), 0) || !(c->box = seal_box_new(r->seal, &ignored)))
		return false;
	if (pthread_mutex_init(&c->lock, NULL) == 0)
		return true;
	seal_box_free(c->box);
	c->box = NULL;
	return false;
}

struct leaf_cache *leaf_cache_open(const struct repo *r, const struct pack_toc *t)
{
	int fd = open_file(r, t);

	if (fd < 0)
		return NULL;
	struct leaf_cache *c = alloc_array(1, sizeof(*c));
	if (c) {
		c->fd = fd;
		c->last = UINT64_MAX;
		memcpy(c->pack, t->id, sizeof(c->pack));
		if (prepare(c, r))
			return c;
	}
	free(c);
	close(fd);
	return NULL;
}

void leaf_cache_close(struct leaf_cache *c)
{
	if (!c)
		return;
	if (c->box)
		pthread_mutex_destroy(&c->lock);
	seal_box_free(c->box);
	close(c->fd);
	free(c);
}

/* With the lock held. */
static bool open_list(struct leaf_cache *c, uint64_t record)
{
	struct seal_what w = { .pack_id = c->pack, .salt = c->salt, .type = "LEAF", .number = record };
	struct err ignored = ERR_INIT; /* a list that was changed is not there */

	if (c->last == record)
		return true;
	c->last = UINT64_MAX;
	if (!read_at(c->fd, c->list, SEALED_LIST, SEAL_SALT_SIZE + record * SEALED_LIST) || seal_open(c->box, &w, c->list, SEALED_LIST, c->list, &ignored) < 0)
		return false;
	c->last = record;
	return true;
}

bool leaf_cache_read(struct leaf_cache *c, uint64_t record, unsigned first, unsigned nr, uint8_t *ret)
{
	if (!c || !nr)
		return c;
	if (!c->box)
		return read_at(c->fd, ret, (size_t)nr * HASH_SIZE, record * LEAF_LIST + (uint64_t)first * HASH_SIZE);
	pthread_mutex_lock(&c->lock);
	bool done = open_list(c, record);
	if (done)
		memcpy(ret, c->list + (size_t)first * HASH_SIZE, (size_t)nr * HASH_SIZE);
	pthread_mutex_unlock(&c->lock);
	return done;
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
		leaf_cache_close(c->items[i].cache);
	pthread_rwlock_destroy(&c->lock);
	free(c);
}

/* Pack ids are random: each has its slot, and one that comes later takes it over. */
bool leaf_caches_read(struct leaf_caches *c, const struct pack_toc *t, uint64_t record, unsigned first, unsigned nr, uint8_t *ret)
{
	struct open_cache *slot = &c->items[t->id[0] % MAX_OPEN];

	pthread_rwlock_rdlock(&c->lock);
	bool is_open = slot->toc == t, done = is_open && leaf_cache_read(slot->cache, record, first, nr, ret);
	pthread_rwlock_unlock(&c->lock);
	if (is_open)
		return done;
	pthread_rwlock_wrlock(&c->lock);
	if (slot->toc != t) {
		leaf_cache_close(slot->cache);
		*slot = (struct open_cache){ .toc = t, .cache = leaf_cache_open(c->r, t) };
	}
	done = leaf_cache_read(slot->cache, record, first, nr, ret);
	pthread_rwlock_unlock(&c->lock);
	return done;
}

int leaf_writer_begin(struct leaf_writer *w, const struct repo *r, const uint8_t pack[16], struct file_out *out, struct err *e)
{
	*w = (struct leaf_writer){ .out = out };
	memcpy(w->pack, pack, sizeof(w->pack));
	if (!r->slots)
		return 0;
	if (repo_need_keys(r, e) < 0 || !(w->box = seal_box_new(r->seal, e)) || random_bytes(w->salt, sizeof(w->salt), e) < 0)
		return -1;
	return file_out_add(out, w->salt, sizeof(w->salt), e);
}

int leaf_writer_put(struct leaf_writer *w, const uint8_t list[CHUNK_LEAVES][HASH_SIZE], struct err *e)
{
	struct seal_what what = { .pack_id = w->pack, .salt = w->salt, .type = "LEAF", .number = w->nr++ };
	uint8_t sealed[SEALED_LIST];

	if (!w->box)
		return file_out_add(w->out, list, LEAF_LIST, e);
	return seal_close(w->box, &what, list[0], LEAF_LIST, sealed, e) < 0 ? -1 : file_out_add(w->out, sealed, sizeof(sealed), e);
}

void leaf_writer_release(struct leaf_writer *w)
{
	seal_box_free(w->box);
	w->box = NULL;
}
