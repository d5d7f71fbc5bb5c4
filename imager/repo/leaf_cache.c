/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Leaf lists as mapped files; see leaf_cache.h. */
#include "imager/repo/leaf_cache.h"

#include "base/hex.h"
#include "imager/repo/files.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

const uint8_t *leaf_cache_map(const struct repo *r, const struct pack_toc *t)
{
	char path[64], hex[33];
	struct stat st;

	snprintf(path, sizeof(path), "leaves/%s", hex_of(t->id, 16, hex));
	struct err ignored = ERR_INIT; /* what cannot be read is not there */
	AUTO_CLOSE_FD int fd = repo_open_file(r, path, O_RDONLY, &ignored);
	if (fd < 0 || fstat(fd, &st) < 0 || !t->nr || (uint64_t)st.st_size != t->nr * LEAF_LIST)
		return NULL;
	void *map = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
	return map == MAP_FAILED ? NULL : map;
}

void leaf_cache_unmap(const uint8_t *map, const struct pack_toc *t)
{
	if (map)
		munmap((void *)map, t->nr * LEAF_LIST);
}
