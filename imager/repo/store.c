/* SPDX-License-Identifier: GPL-3.0-or-later */
/* A repository as the store of a capture; see store.h. The order of writing is docs/repository.md section 3. */
#include "imager/repo/store.h"

#include "base/arith.h"
#include "base/random.h"
#include "base/size.h"
#include "imager/image/access.h"
#include "imager/image/composed.h"
#include "imager/image/writer.h"
#include "imager/repo/compose.h"
#include "imager/repo/draft.h"
#include "imager/repo/files.h"
#include "imager/repo/folder_packs.h"
#include "imager/repo/retired.h"
#include "imager/repo/versions.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/*
 * One of so many records that a version shares is read before it is referred to. A capture that finds all of 3.1 GB known then reads 2.4 to
 * 3.0 % more, with nothing cached; with one in eight 5 to 7 %, with one in 32 1.2 to 1.8 %.
 */
#define READ_EVERY 16U

struct repo_store {
	struct img_store base;
	struct repo *r;
	struct repo_name name;
	bool no_recheck;
	const struct key *signer;     /* borrowed; NULL: nobody */
	struct img_manifest *m;       /* borrowed */
	const struct progress *p;     /* borrowed */
	struct known *known;
	struct img_packs *packs;
	struct reuse reuse;           /* of these two */
	struct chunk_codec *codec;    /* of the thread that puts, and its */
	uint8_t *payload;             /* CHUNK_PAYLOAD_MAX */
	struct img_reader *parent;    /* the newest version, NULL: there is none */
	uint64_t parent_number;
	struct pack_writer *pack;
	struct draft *draft;          /* the location table in the making */
	uint64_t nr_put, version_bytes;
	bool has_composed;
};

/* -1. No room: what was stored is kept for the next capture, and the person may want to have the room back instead. */
static int tell_room(const struct repo_store *s, struct err *e)
{
	if (e->sys_errno == ENOSPC || e->sys_errno == EDQUOT)
		err_hint(e, "make room, and the same capture goes on with what was stored; to give that back instead: calco repo prune %.150s --unfinished", s->r->dir);
	return -1;
}

static int repo_look(struct img_store *base, struct chunk_codec *codec, const uint8_t *content, struct packed_chunk *c, uint8_t *payload, struct err *e)
{
	struct repo_store *s = (struct repo_store *)base;
	struct known_record r;

	if (reuse_chunk(&s->reuse, codec, c->id, &r, payload)) {
		c->is_known = true;
		return 1;
	}
	return compose_chunk(&s->reuse, codec, content, c, s->no_recheck, payload, e);
}

/* The version's table lists the lenders too. */
static int note_lenders(struct repo_store *s, const struct composed *c, struct err *e)
{
	struct known_record r;

	s->has_composed = true;
	for (unsigned i = 0; i < c->nr_helpers; i++) {
		if (!known_name(s->known, &c->helpers[i], &r))
			return err_set(e, ERR_FAILED, 0, "a record that lends leaves is not known any more");
		if (draft_helper(s->draft, &r.entry->name, r.toc->id, r.entry->offset, r.entry->len, e) < 0)
			return -1;
	}
	return 0;
}

static int put_known(struct repo_store *s, const struct packed_chunk *c, struct err *e)
{
	struct known_record r;
	struct composed made;

	if (!known_chunk(s->known, c->id, &r))
		return err_set(e, ERR_FAILED, 0, "a chunk is not known any more");
	if (r.entry->kind == FMT_COMPOSED && (reuse_helpers(&s->reuse, s->codec, &r, s->payload, &made, e) < 0 || note_lenders(s, &made, e) < 0))
		return -1;
	return draft_chunk(s->draft, c->id, r.toc->id, r.entry->offset, r.entry->len, e);
}

static int put_new(struct repo_store *s, uint64_t chunk, const struct packed_chunk *c, const uint8_t *payload, struct err *e)
{
	struct fmt_record head = c->head, opened_head;
	const uint8_t *opened;
	struct pack_entry entry;
	struct composed made;

	if (c->is_sealed != !!s->r->slots)
		return err_set(e, ERR_FAILED, 0, "a chunk was to be stored %s in the repository '%s'", c->is_sealed ? "encrypted" : "in clear", s->r->dir);
	if (!s->pack && !(s->pack = pack_writer_open(s->r, e)))
		return tell_room(s, e);
	head.chunk = chunk;
	memcpy(head.id, c->id, IMG_ID_SIZE);
	if (pack_writer_put(s->pack, &head, c->is_sealed, payload, head.kind == FMT_COMPOSED ? c->fresh : UINT64_MAX, c->leaves, &entry, e) < 0)
		return tell_room(s, e);
	opened_head = head;
	if (head.kind == FMT_COMPOSED && (chunk_payload(s->codec, &opened_head, payload, &opened, e) < 0 ||
					  composed_parse(&opened_head, opened, &made, e) < 0 || note_lenders(s, &made, e) < 0))
		return -1;
	return draft_chunk(s->draft, c->id, pack_writer_id(s->pack), entry.offset, entry.len, e);
}

static int repo_put(struct img_store *base, uint64_t chunk, const struct packed_chunk *c, const uint8_t *payload, struct err *e)
{
	struct repo_store *s = (struct repo_store *)base;

	if (s->nr_put == s->m->nr_present)
		return err_set(e, ERR_FAILED, 0, "chunk %llu was put out of order", (unsigned long long)chunk);
	memcpy(s->m->ids[s->nr_put++], c->id, IMG_ID_SIZE);
	if (c->is_zero)
		return draft_zero(s->draft, e);
	if (draft_again(s->draft, c->id)) /* the same content as an earlier chunk of this version */
		return 0;
	return c->is_known ? put_known(s, c, e) : put_new(s, chunk, c, payload, e);
}

static int find_parent(struct repo_store *s, const struct progress *p, struct err *e)
{
	AUTO_FREE struct repo_version *list = NULL;
	size_t nr;

	if (versions_list(s->r, s->name.name, &list, &nr, e) < 0 || !nr)
		return nr ? -1 : 0;
	struct err why = ERR_INIT;
	s->parent_number = list[nr - 1].number;
	s->parent = version_open(s->r, &list[nr - 1], p, &why);
	if (!s->parent && why.code != ERR_CORRUPT) {
		*e = why;
		return -1;
	}
	if (!s->parent)
		progress_notice(p, "%s; the new version is not based on it", why.msg);
	return 0;
}

static int adopt(struct repo_store *s, const struct progress *p, struct err *e)
{
	uint64_t bytes;
	char text[32];

	if (repo_lock(s->r, p, e) < 0)
		return -1;
	int failed = packs_adopt(s->r, &bytes, e);
	repo_unlock(s->r);
	if (failed < 0)
		return tell_room(s, e);
	if (bytes) {
		size_format(bytes, text);
		progress_notice(p, "%s that an interrupted capture had stored are used", text);
	}
	return 0;
}

/* What is sealed names its pack. */
static int begin_sealed(struct repo_store *s, struct err *e)
{
	if (!s->m->seal)
		return err_set(e, ERR_FAILED, 0, "a capture would be stored in clear in the encrypted repository '%s'", s->r->dir);
	if (!(s->pack = pack_writer_open(s->r, e)))
		return tell_room(s, e);
	memcpy(s->m->pack_id, pack_writer_id(s->pack), sizeof(s->m->pack_id));
	return 0;
}

static int repo_begin(struct img_store *base, struct img_manifest *m, const struct progress *p, struct err *e)
{
	struct repo_store *s = (struct repo_store *)base;

	s->m = m;
	s->p = p;
	snprintf(m->name, sizeof(m->name), "%s", s->name.name);
	if (!m->ids && !(m->ids = alloc_array(m->nr_present, IMG_ID_SIZE)))
		return err_nomem(e, "the ids");
	if (repo_take_lease(s->r, true, e) < 0 || adopt(s, p, e) < 0)
		return -1;
	if (s->r->slots && begin_sealed(s, e) < 0)
		return -1;
	if (!(s->codec = chunk_codec_for(s->r->seal, 0, e)))
		return -1;
	if (!(s->packs = folder_packs_open(s->r, e)) || !(s->known = known_open(s->r, p, e)) || !(s->draft = draft_new(m->nr_present, e)))
		return -1;
	if (!(s->payload = malloc(CHUNK_PAYLOAD_MAX)))
		return err_nomem(e, "a record");
	s->reuse = (struct reuse){ .known = s->known, .packs = s->packs, .sealed = s->r->slots, .every = READ_EVERY };
	if (random_bytes(&s->reuse.random, sizeof(s->reuse.random), e) < 0)
		return -1;
	if (find_parent(s, p, e) < 0)
		return -1;
	return s->parent ? known_add_base(s->known, s->parent, p, e) : 0;
}

/* The versions of one name share a lineage; the parent is the version this one was compared with. */
static int join_lineage(struct repo_store *s, struct err *e)
{
	struct img_manifest *m = s->m;

	if (!s->parent)
		return 0;
	const struct img_manifest *from = img_reader_manifest(s->parent);
	memcpy(m->lineage, from->lineage, sizeof(m->lineage));
	if (!(m->parents = alloc_array(1, sizeof(*m->parents))))
		return err_nomem(e, "the parent of the image");
	m->nr_parents = 1;
	memcpy(m->parents[0].lineage, from->lineage, sizeof(from->lineage));
	memcpy(m->parents[0].root, from->root, sizeof(from->root));
	m->parents[0].version = from->version;
	return 0;
}

/* Under the lock: every pack is there, has its length, and stays. Who wrote it may have been killed after it got its name, before that was flushed. */
static int hold_packs(const struct repo_store *s, const struct img_locations *l, struct err *e)
{
	AUTO_FREE uint64_t *sizes = alloc_array(l->nr_packs, sizeof(*sizes));
	char path[64];
	struct stat st;

	if (!sizes)
		return err_nomem(e, "the sizes of packs");
	for (uint32_t i = 0; i < l->nr_packs; i++) {
		pack_path(l->packs[i], path, sizeof(path));
		if (fstatat(s->r->fd, path, &st, AT_SYMLINK_NOFOLLOW) < 0)
			return err_set(e, ERR_FAILED, errno, "the pack '%s/%s' is gone", s->r->dir, path);
		sizes[i] = (uint64_t)st.st_size;
		if (retired_take_back(s->r, l->packs[i], e) < 0)
			return -1;
	}
	for (uint64_t i = 0; i < l->nr_chunks; i++)
		if (l->chunks[i].offset && !range_inside(l->chunks[i].offset, l->chunks[i].len, sizes[l->chunks[i].pack]))
			return err_set(e, ERR_FAILED, 0, "a pack of '%s' became shorter", s->r->dir);
	return repo_flush_folder(s->r, "packs", e);
}

/* A folder for the first version of a name. */
static int make_image_folder(const struct repo_store *s, struct err *e)
{
	char folder[128];

	snprintf(folder, sizeof(folder), "images/%s", s->name.name);
	return mkdirat(s->r->fd, folder, 0700) == 0 || errno == EEXIST ? 0 : err_set(e, ERR_FAILED, errno, "making the folder '%s/%s'", s->r->dir, folder);
}

/* The rename is the commit. */
static int write_version(struct repo_store *s, const struct img_locations *l, struct err *e)
{
	struct repo_version v = { .number = s->m->version };
	char id[33], new[64], path[PATH_MAX], folder[128];
	struct stat st;

	if (make_image_folder(s, e) < 0 || repo_random_id(id, e) < 0)
		return -1;
	snprintf(v.name, sizeof(v.name), "%s", s->name.name);
	snprintf(folder, sizeof(folder), "images/%s", v.name);
	snprintf(new, sizeof(new), "new/%s.version", id);
	version_path(&v, path, sizeof(path));
	AUTO_CLOSE_FD int to = repo_open_folder(s->r, folder, e);
	if (to < 0)
		return -1;
	AUTO_CLOSE_FD int fd = openat(s->r->fd, new, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0)
		return err_set(e, ERR_FAILED, errno, "making '%s/%s'", s->r->dir, new);
	int failed = img_version_write(new, fd, s->m, l, s->has_composed, s->signer, e);
	if (failed == 0 && (fsync(fd) < 0 || fstat(fd, &st) < 0 || renameat2(s->r->fd, new, to, strrchr(path, '/') + 1, RENAME_NOREPLACE) < 0))
		failed = err_set(e, ERR_FAILED, errno, "naming version %llu of '%s'", (unsigned long long)v.number, v.name);
	if (failed < 0) {
		unlinkat(s->r->fd, new, 0);
		return -1;
	}
	s->version_bytes = (uint64_t)st.st_size;
	return versions_flush(s->r, v.name, e);
}

/* Under the lock. The version itself is there, and whole: what was bad was stored again. */
static void tell_damage(struct repo_store *s)
{
	struct err why = ERR_INIT;
	uint64_t nr;

	if (reuse_note_damage(&s->reuse, s->r, s->codec, s->payload, &nr, &why) < 0)
		progress_notice(s->p, "%s", why.msg);
	if (nr)
		progress_notice(s->p, "%llu records of '%s' are damaged and were stored anew; calco repo check %s tells which versions that hits",
			(unsigned long long)nr, s->r->dir, s->r->dir);
}

static int repo_commit(struct img_store *base, struct err *e)
{
	struct repo_store *s = (struct repo_store *)base;

	if (s->nr_put != s->m->nr_present)
		return err_set(e, ERR_FAILED, 0, "%llu chunks are missing", (unsigned long long)(s->m->nr_present - s->nr_put));
	if (s->pack && pack_writer_finish(s->pack, e) < 0)
		return tell_room(s, e);
	AUTO(img_locations) struct img_locations *l = draft_finish(s->draft, e);
	if (!l || join_lineage(s, e) < 0 || repo_lock(s->r, s->p, e) < 0)
		return -1;
	int failed = hold_packs(s, l, e);
	if (failed == 0)
		failed = version_next_number(s->r, s->name.name, &s->m->version, e);
	if (failed == 0)
		failed = write_version(s, l, e);
	if (failed == 0)
		tell_damage(s);
	repo_unlock(s->r);
	return failed < 0 ? tell_room(s, e) : 0;
}

static uint64_t repo_bytes(const struct img_store *base)
{
	const struct repo_store *s = (const struct repo_store *)base;

	return (s->pack ? pack_writer_bytes(s->pack) : 0) + s->version_bytes;
}

static void repo_store_close(struct img_store *base)
{
	struct repo_store *s = (struct repo_store *)base;

	pack_writer_close(s->pack);
	chunk_codec_free(s->codec);
	draft_free(s->draft);
	img_reader_close(s->parent);
	known_close(s->known);
	if (s->packs)
		s->packs->ops->close(s->packs);
	free(s->payload);
	repo_close(s->r);
	free(s);
}

struct img_seal *repo_store_seal(const struct img_store *base, struct err *e)
{
	return seal_copy(((const struct repo_store *)base)->r->seal, e);
}

struct img_store *repo_store_new(const char *image, bool no_recheck, const struct img_keys *keys, const struct key *k, struct err *e)
{
	const struct img_access access = { .keys = keys ? *keys : (struct img_keys){ .nr_keys = 0 } };
	static const struct img_store_ops ops = {
		.begin = repo_begin,
		.look = repo_look,
		.put = repo_put,
		.commit = repo_commit,
		.bytes = repo_bytes,
		.close = repo_store_close,
	};
	struct repo_store *s = alloc_array(1, sizeof(*s));

	if (!s) {
		err_nomem(e, "the repository");
		return NULL;
	}
	s->base.ops = &ops;
	s->no_recheck = no_recheck;
	s->signer = k;
	if (repo_parse(image, &s->name, e) == 0) {
		if (s->name.which[0]) {
			err_set(e, ERR_USAGE, 0, "'%s' names a version, and a capture makes a new one", image);
			err_hint(e, "leave out '@%s'; a tag is set afterwards by 'calco repo tag'", s->name.which);
		} else if ((s->r = repo_open(s->name.dir, e)) && repo_use_keys(s->r, &access, e) == 0) {
			return &s->base;
		}
		repo_close(s->r);
	}
	free(s);
	return NULL;
}
