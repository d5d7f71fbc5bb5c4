/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What a repository holds; see maintain.h. */
#include "imager/repo/maintain.h"

#include "base/arith.h"
#include "base/hex.h"
#include "imager/repo/needed.h"
#include "imager/repo/unfinished.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

/* 0 when it is not there. */
static uint64_t size_of(const struct repo *r, const char *path)
{
	struct stat st;

	return fstatat(r->fd, path, &st, AT_SYMLINK_NOFOLLOW) < 0 ? 0 : (uint64_t)st.st_size;
}

static int add_version(const struct repo *r, const struct repo_version *v, struct repo_stats *ret, const struct progress *p, struct err *e)
{
	struct img_summary s; /* the whole file is read when what it needs is looked for */
	char path[PATH_MAX];

	if (version_summary(r, v, &s, p, e) < 0)
		return -1;
	ret->content_bytes += s.stored_bytes;
	version_path(v, path, sizeof(path));
	ret->version_bytes += size_of(r, path);
	return progress_check(p, e);
}

static void add_pack(const struct repo *r, const struct needed_pack *x, struct repo_stats *ret)
{
	char path[64], hex[33];

	ret->nr_packs++;
	ret->nr_records += x->toc->nr;
	for (uint64_t i = 0; i < x->toc->nr; i++)
		ret->nr_composed += x->toc->entries[i].kind == FMT_COMPOSED;
	ret->pack_bytes += x->toc->file_len;
	ret->needed_bytes += x->needed_bytes;
	snprintf(path, sizeof(path), "leaves/%s", hex_of(x->toc->id, 16, hex));
	ret->cache_bytes += size_of(r, path);
}

int repo_stats(struct repo *r, struct repo_stats *ret, const struct progress *p, struct err *e)
{
	AUTO_FREE struct repo_version *versions = NULL;
	size_t nr;

	memset(ret, 0, sizeof(*ret));
	if (repo_need_keys(r, e) < 0)
		return -1;
	if (repo_take_lease(r, false, e) < 0 || versions_list(r, NULL, &versions, &nr, e) < 0)
		return -1;
	for (size_t i = 0; i < nr; i++) {
		ret->nr_images += !i || strcmp(versions[i].name, versions[i - 1].name);
		if (add_version(r, &versions[i], ret, p, e) < 0)
			return -1;
	}
	ret->nr_versions = nr;
	AUTO(needed) struct needed *n = needed_find(r, NULL, p, e);
	if (!n)
		return -1;
	for (size_t i = 0; i < n->nr; i++)
		add_pack(r, &n->packs[i], ret);
	return unfinished_count(r, false, &ret->unfinished_bytes, e);
}
