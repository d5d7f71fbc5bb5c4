/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Packs as files; see folder_packs.h. Their descriptors are kept open, the least used is closed when there are many. */
#include "imager/repo/folder_packs.h"

#include "base/arith.h"
#include "base/hex.h"
#include "imager/image/format.h"
#include "imager/repo/files.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

#define MAX_OPEN 64U

struct open_pack {
	uint8_t id[16];
	int fd;
	unsigned readers; /* threads that read from it now */
	uint64_t last_use;
};

struct folder_packs {
	struct img_packs base;
	const struct repo *r;
	struct repo *owned; /* NULL, or r */
	pthread_mutex_t lock; /* over what follows */
	struct open_pack items[MAX_OPEN];
	unsigned nr;
	uint64_t clock;
};

void pack_path(const uint8_t pack[16], char *ret, size_t size)
{
	char hex[33];

	snprintf(ret, size, "packs/%s.pack", hex_of(pack, 16, hex));
}

static int open_pack(const struct folder_packs *f, const uint8_t pack[16], struct err *e)
{
	char path[64];

	pack_path(pack, path, sizeof(path));
	int fd = repo_open_file(f->r, path, O_RDONLY, e);
	if (fd < 0 && e->sys_errno == ENOENT) {
		err_set(e, ERR_CORRUPT, 0, "the pack '%s/%s' is missing", f->r->dir, path);
		return err_hint(e, "calco repo check %s tells what it held", f->r->dir);
	}
	return fd;
}

/* A slot that is free or can be freed; NULL when all are being read from. */
static struct open_pack *free_slot(struct folder_packs *f)
{
	struct open_pack *oldest = NULL;

	if (f->nr < MAX_OPEN)
		return &f->items[f->nr++];
	for (unsigned i = 0; i < f->nr; i++)
		if (!f->items[i].readers && (!oldest || f->items[i].last_use < oldest->last_use))
			oldest = &f->items[i];
	if (oldest)
		close(oldest->fd);
	return oldest;
}

/* With the lock held. A pack for which there is no slot is opened for this one read: *ret_slot is NULL. */
static int begin_read(struct folder_packs *f, const uint8_t pack[16], struct open_pack **ret_slot, struct err *e)
{
	for (unsigned i = 0; i < f->nr; i++)
		if (!memcmp(f->items[i].id, pack, 16)) {
			*ret_slot = &f->items[i];
			f->items[i].readers++;
			f->items[i].last_use = ++f->clock;
			return f->items[i].fd;
		}
	int fd = open_pack(f, pack, e);
	if (fd < 0)
		return -1;
	if ((*ret_slot = free_slot(f))) {
		**ret_slot = (struct open_pack){ .fd = fd, .readers = 1, .last_use = ++f->clock };
		memcpy((*ret_slot)->id, pack, 16);
	}
	return fd;
}

static int read_both(int fd, uint64_t offset, uint8_t *head, uint8_t *payload, uint32_t len)
{
	size_t done = 0;

	while (done < len) {
		struct iovec v[2] = { { head + done, done < FMT_RECORD_SIZE ? FMT_RECORD_SIZE - done : 0 }, { payload, len - FMT_RECORD_SIZE } };
		if (done >= FMT_RECORD_SIZE)
			v[0] = (struct iovec){ payload + (done - FMT_RECORD_SIZE), len - done };
		ssize_t n = preadv(fd, v, done < FMT_RECORD_SIZE ? 2 : 1, (off_t)(offset + done));
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n < 0 ? -1 : 1;
		done += (size_t)n;
	}
	return 0;
}

static int folder_read(struct img_packs *p, const uint8_t pack[16], uint64_t offset, uint32_t len, uint8_t *head, uint8_t *payload, struct err *e)
{
	struct folder_packs *f = (struct folder_packs *)p;
	struct open_pack *slot = NULL;
	char path[64];

	pthread_mutex_lock(&f->lock);
	int fd = begin_read(f, pack, &slot, e);
	pthread_mutex_unlock(&f->lock);
	if (fd < 0)
		return -1;
	int r = read_both(fd, offset, head, payload, len), error = errno;
	pthread_mutex_lock(&f->lock);
	if (slot)
		slot->readers--;
	else
		close(fd);
	pthread_mutex_unlock(&f->lock);
	pack_path(pack, path, sizeof(path));
	if (r < 0)
		return err_set(e, ERR_FAILED, error, "reading '%s/%s' at %llu", f->r->dir, path, (unsigned long long)offset);
	if (r > 0)
		return err_set(e, ERR_CORRUPT, 0, "the pack '%s/%s' ends before %llu", f->r->dir, path, (unsigned long long)offset + len);
	return 0;
}

static void folder_close(struct img_packs *p)
{
	struct folder_packs *f = (struct folder_packs *)p;

	for (unsigned i = 0; i < f->nr; i++)
		close(f->items[i].fd);
	pthread_mutex_destroy(&f->lock);
	repo_close(f->owned);
	free(f);
}

void folder_packs_own(struct img_packs *p, struct repo *r)
{
	((struct folder_packs *)p)->owned = r;
}

struct img_packs *folder_packs_open(const struct repo *r, struct err *e)
{
	static const struct img_packs_ops ops = { .read = folder_read, .close = folder_close };
	struct folder_packs *f = alloc_array(1, sizeof(*f));

	if (!f || pthread_mutex_init(&f->lock, NULL)) {
		free(f);
		err_nomem(e, "the packs");
		return NULL;
	}
	f->base.ops = &ops;
	f->r = r;
	return &f->base;
}
