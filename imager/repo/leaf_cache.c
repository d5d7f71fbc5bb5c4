/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Leaf lists as files; see leaf_cache.h. */
#include "imager/repo/leaf_cache.h"

#include "base/hex.h"
#include "base/random.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define SEALED_LIST (LEAF_LIST + SEAL_TAG_SIZE)

uint64_t leaf_cache_size(const struct repo *r, uint64_t nr)
{
	return r->slots ? SEAL_SALT_SIZE + nr * SEALED_LIST : nr * LEAF_LIST;
}

/* A list that does not open stays zero: it is not the list of any chunk. */
static int open_lists(const struct repo *r, const struct pack_toc *t, const uint8_t *sealed, uint8_t *lists)
{
	struct err ignored = ERR_INIT; /* without a cache leaves are read again when they are needed */
	AUTO(seal_box) struct seal_box *box = seal_box_new(r->seal, &ignored);

	for (uint64_t i = 0; box && i < t->nr; i++) {
		struct seal_what w = { .pack_id = t->id, .salt = sealed, .type = "LEAF", .number = i };
		seal_open(box, &w, sealed + SEAL_SALT_SIZE + i * SEALED_LIST, SEALED_LIST, lists + i * LEAF_LIST, &ignored);
	}
	return box ? 0 : -1;
}

static const uint8_t *decrypt(const struct repo *r, const struct pack_toc *t, void *sealed, size_t size)
{
	void *lists = r->seal ? mmap(NULL, t->nr * LEAF_LIST, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) : MAP_FAILED;

	if (lists != MAP_FAILED && open_lists(r, t, sealed, lists) < 0) {
		munmap(lists, t->nr * LEAF_LIST);
		lists = MAP_FAILED;
	}
	munmap(sealed, size);
	return lists == MAP_FAILED ? NULL : lists;
}

const uint8_t *leaf_cache_map(const struct repo *r, const struct pack_toc *t)
{
	char path[64], hex[33];
	struct stat st;

	snprintf(path, sizeof(path), "leaves/%s", hex_of(t->id, 16, hex));
	AUTO_CLOSE_FD int fd = openat(r->fd, path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	if (fd < 0 || fstat(fd, &st) < 0 || !t->nr || (uint64_t)st.st_size != leaf_cache_size(r, t->nr))
		return NULL;
	void *map = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
	if (map == MAP_FAILED)
		return NULL;
	return r->slots ? decrypt(r, t, map, (size_t)st.st_size) : map;
}

void leaf_cache_unmap(const uint8_t *map, const struct pack_toc *t)
{
	if (map)
		munmap((void *)map, t->nr * LEAF_LIST);
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
