/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Records that moved; see moved.h. */
#include "imager/repo/moved.h"

#include "base/arith.h"
#include "base/span.h"
#include "imager/image/writer.h"
#include "imager/repo/draft.h"
#include "imager/repo/files.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

struct place {
	uint8_t pack[16];
	uint64_t from, to;
};

struct moved {
	struct place *places;
	uint64_t nr, room;
	uint64_t *table; /* open addressing: number + 1; made when the first version is looked at */
	uint64_t table_size;
	uint8_t to[16];
};

struct moved *moved_new(struct err *e)
{
	struct moved *m = alloc_array(1, sizeof(*m));

	if (!m)
		err_nomem(e, "the records that move");
	return m;
}

void moved_free(struct moved *m)
{
	if (!m)
		return;
	free(m->places);
	free(m->table);
	free(m);
}

int moved_add(struct moved *m, const uint8_t pack[16], uint64_t from, uint64_t to, struct err *e)
{
	if (m->nr == m->room) {
		uint64_t room = m->room * 2 + 1024;
		struct place *grown = realloc(m->places, room * sizeof(*grown));
		if (!grown)
			return err_nomem(e, "the records that move");
		m->places = grown;
		m->room = room;
	}
	struct place *x = &m->places[m->nr++];
	memcpy(x->pack, pack, 16);
	x->from = from;
	x->to = to;
	return 0;
}

static uint64_t hash_of(const uint8_t pack[16], uint64_t offset)
{
	return (get_le64(pack) ^ offset) * UINT64_C(0x9E3779B97F4A7C15) >> 20;
}

/* The pack got its id when it was opened; all records are known when it is finished. */
void moved_to(struct moved *m, const uint8_t pack[16])
{
	memcpy(m->to, pack, 16);
}

static int index_places(struct moved *m, struct err *e)
{
	for (m->table_size = 1024; m->table_size < m->nr * 2; m->table_size *= 2)
		continue;
	if (!(m->table = alloc_array(m->table_size, sizeof(*m->table))))
		return err_nomem(e, "the records that move");
	for (uint64_t i = 0; i < m->nr; i++) {
		uint64_t at = hash_of(m->places[i].pack, m->places[i].from) & (m->table_size - 1);
		while (m->table[at])
			at = (at + 1) & (m->table_size - 1);
		m->table[at] = i + 1;
	}
	return 0;
}

static const struct place *find(const struct moved *m, const uint8_t pack[16], uint64_t offset)
{
	for (uint64_t at = hash_of(pack, offset) & (m->table_size - 1); m->table[at]; at = (at + 1) & (m->table_size - 1)) {
		const struct place *x = &m->places[m->table[at] - 1];
		if (x->from == offset && !memcmp(x->pack, pack, 16))
			return x;
	}
	return NULL;
}

/* The pack and offset where a record is now. */
static const uint8_t *now_at(const struct moved *m, const struct img_locations *l, const struct img_where *w, uint64_t *ret_offset, bool *any)
{
	const struct place *x = find(m, l->packs[w->pack], w->offset);

	*ret_offset = x ? x->to : w->offset;
	*any |= x != NULL;
	return x ? m->to : l->packs[w->pack];
}

/* The same table with the new places; *any: whether there is any. */
static struct img_locations *translate(const struct moved *m, const struct img_reader *reader, bool *any, struct err *e)
{
	const struct img_locations *l = img_reader_locations(reader);
	const struct img_manifest *man = img_reader_manifest(reader);
	AUTO(draft) struct draft *d = draft_new(l->nr_chunks, e);
	uint64_t offset;

	if (!d)
		return NULL;
	for (uint64_t i = 0; i < l->nr_chunks; i++) {
		const struct img_where *w = &l->chunks[i];
		const uint8_t *pack = w->offset ? now_at(m, l, w, &offset, any) : NULL;
		if ((pack ? draft_chunk(d, man->ids[i], pack, offset, w->len, e) : draft_zero(d, e)) < 0)
			return NULL;
	}
	for (uint64_t i = 0; i < l->nr_helpers; i++) {
		const struct img_helper *h = &l->helpers[i];
		const uint8_t *pack = now_at(m, l, &h->at, &offset, any);
		if (draft_helper(d, &h->name, pack, offset, h->at.len, e) < 0)
			return NULL;
	}
	return draft_finish(d, e);
}

/* A new file beside the old one, and then in its place. */
int version_replace(struct repo *r, const struct repo_version *v, const struct img_locations *l, struct err *e)
{
	char id[33], new[64], path[PATH_MAX], folder[128];

	if (repo_random_id(id, e) < 0)
		return -1;
	snprintf(new, sizeof(new), "new/%s.version", id);
	snprintf(folder, sizeof(folder), "images/%s", v->name);
	version_path(v, path, sizeof(path));
	AUTO_CLOSE_FD int in = repo_open_folder(r, folder, e);
	AUTO_CLOSE_FD int from = in < 0 ? -1 : repo_open_file(r, path, O_RDONLY, e);
	if (from < 0)
		return -1;
	AUTO_CLOSE_FD int to = openat(r->fd, new, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (to < 0)
		return err_set(e, ERR_FAILED, errno, "replacing '%s/%s'", r->dir, path);
	int failed = img_version_relocate(path, from, to, r->seal, l, e);
	if (failed == 0 && (fsync(to) < 0 || renameat(r->fd, new, in, strrchr(path, '/') + 1) < 0))
		failed = err_set(e, ERR_FAILED, errno, "replacing '%s/%s'", r->dir, path);
	if (failed < 0) {
		unlinkat(r->fd, new, 0);
		return -1;
	}
	return versions_flush(r, v->name, e);
}

int moved_rewrite(struct moved *m, struct repo *r, const struct repo_version *v, const struct progress *p, struct err *e)
{
	AUTO(img_reader) struct img_reader *reader = NULL;
	bool any = false;

	if (!m->table && index_places(m, e) < 0)
		return -1;
	if (!(reader = version_open(r, v, p, e)))
		return -1;
	AUTO(img_locations) struct img_locations *l = translate(m, reader, &any, e);
	if (!l)
		return -1;
	return any ? (version_replace(r, v, l, e) < 0 ? -1 : 1) : 0;
}
