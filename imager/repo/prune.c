/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Prune; see maintain.h and docs/repository.md section 3. What is copied is copied before the lock is taken; under it everything is read
 * anew, so that what was committed meanwhile counts.
 */
#include "imager/repo/maintain.h"

#include "base/arith.h"
#include "base/hash.h"
#include "base/hex.h"
#include "imager/repo/damaged.h"
#include "imager/repo/folder_packs.h"
#include "imager/repo/leaf_cache.h"
#include "imager/repo/moved.h"
#include "imager/repo/needed.h"
#include "imager/repo/retired.h"
#include "imager/repo/unfinished.h"

#include <stdlib.h>
#include <string.h>

struct prune {
	struct repo *r;
	const struct prune_options *o;
	struct prune_result *ret;
	const struct progress *p;
	struct moved *moved;
	struct helper_lists *lists;
	struct img_packs *packs; /* what is copied from */
	struct pack_writer *to;  /* NULL: nothing is copied */
	uint64_t to_copy;
};

/* Is so much of it not needed that it is written anew? */
static bool is_worth_copying(const struct prune *u, const struct needed_pack *x)
{
	return x->needed_bytes && !x->is_retired && (x->record_bytes - x->needed_bytes) * 100 > x->record_bytes * u->o->max_unused;
}

static int refuse_damaged(const struct prune *u, const uint8_t pack[16], uint64_t offset, struct err *e)
{
	char hex[33];

	err_set(e, ERR_CORRUPT, 0, "pack %s is damaged at %llu", hex_of(pack, 16, hex), (unsigned long long)offset);
	return err_hint(e, "calco repo check %s tells what that hits, and may heal it (--heal); nothing was taken away", u->r->dir);
}

/* As it is: its header too, so that it keeps its name. @leaves: its leaf list, or NULL. */
static int copy_record(struct prune *u, const uint8_t pack[16], const struct pack_entry *from, const uint8_t *leaves, uint8_t *payload, struct err *e)
{
	uint8_t b[FMT_RECORD_SIZE];
	struct fmt_record head;
	struct pack_entry entry;

	if (u->packs->ops->read(u->packs, pack, from->offset, from->len, b, payload, e) < 0)
		return -1;
	if (fmt_get_pack_record(b, u->r->slots, &head, e) < 0 || head.stored_len != from->len - FMT_RECORD_SIZE || memcmp(head.id, from->id, sizeof(head.id)) ||
	    crc32_of(payload, head.stored_len) != head.crc)
		return refuse_damaged(u, pack, from->offset, e);
	u->ret->copied_bytes += from->len;
	if (pack_writer_put(u->to, &head, true, payload, from->lends, (const uint8_t(*)[HASH_SIZE])leaves, &entry, e) < 0)
		return -1;
	return moved_add(u->moved, pack, from->offset, entry.offset, e);
}

static int copy_pack(struct prune *u, const struct needed_pack *x, struct err *e)
{
	AUTO_FREE uint8_t *payload = malloc(CHUNK_PAYLOAD_MAX);
	AUTO(leaf_cache) struct leaf_cache *lists = leaf_cache_open(u->r, x->toc);
	uint8_t list[LEAF_LIST];
	struct damaged noted;
	int failed = damaged_read(u->r, x->toc->id, &noted, e);

	if (!payload)
		failed = err_nomem(e, "a record");
	for (uint64_t i = 0; failed == 0 && i < x->toc->nr; i++) {
		if (x->is_needed[i] && damaged_holds(&noted, x->toc->entries[i].offset))
			failed = refuse_damaged(u, x->toc->id, x->toc->entries[i].offset, e);
		else if (x->is_needed[i])
			failed = copy_record(u, x->toc->id, &x->toc->entries[i], leaf_cache_read(lists, i, 0, CHUNK_LEAVES, list) ? list : NULL, payload, e);
		if (failed == 0 && i % 64 == 0) {
			progress_update(u->p, "copy", u->ret->copied_bytes, u->to_copy);
			failed = progress_check(u->p, e);
		}
	}
	free(noted.offsets);
	return failed;
}

/* Phase 1: into one new pack. */
static int copy_needed(struct prune *u, const struct needed *n, struct err *e)
{
	for (size_t i = 0; i < n->nr; i++)
		if (is_worth_copying(u, &n->packs[i]))
			u->to_copy += n->packs[i].needed_bytes;
	if (!u->to_copy)
		return 0;
	if (!(u->packs = folder_packs_open(u->r, e)) || !(u->to = pack_writer_open(u->r, e)))
		return -1;
	for (size_t i = 0; i < n->nr; i++)
		if (is_worth_copying(u, &n->packs[i]) && copy_pack(u, &n->packs[i], e) < 0)
			return -1;
	u->ret->written_packs = 1;
	moved_to(u->moved, pack_writer_id(u->to));
	return pack_writer_finish(u->to, e);
}

/* Phase 2, under the lock: the versions that name records which moved. */
static int move_versions(struct prune *u, struct err *e)
{
	AUTO_FREE struct repo_version *versions = NULL;
	size_t nr;

	if (!u->ret->written_packs)
		return 0;
	if (versions_list(u->r, NULL, &versions, &nr, e) < 0)
		return -1;
	for (size_t i = 0; i < nr; i++) {
		int r = moved_rewrite(u->moved, u->r, &versions[i], u->p, e);
		if (r < 0)
			return -1;
		u->ret->rewritten_versions += (size_t)r;
	}
	return 0;
}

/*
 * Phase 3, under the lock. What is not needed is so because versions went or were replaced, perhaps by somebody who was killed before it was
 * flushed: they must not come back when their packs are gone.
 */
static int take_away(struct prune *u, const struct needed *n, struct err *e)
{
	if (versions_flush(u->r, NULL, e) < 0)
		return -1;
	for (size_t i = 0; i < n->nr; i++) {
		const struct needed_pack *x = &n->packs[i];
		uint64_t bytes = x->toc->file_len;
		if (x->needed_bytes) {
			u->ret->needed_bytes += x->needed_bytes;
			if (x->is_retired && retired_take_back(u->r, x->toc->id, e) < 0)
				return -1;
			continue;
		}
		if (!x->is_retired && retired_put(u->r, x->toc->id, e) < 0)
			return -1;
		int gone = retired_remove(u->r, x->toc->id, e);
		if (gone < 0)
			return -1;
		u->ret->removed_packs += (size_t)gone;
		*(gone ? &u->ret->freed_bytes : &u->ret->waiting_bytes) += bytes;
	}
	return retired_tidy(u->r, e);
}

static void foretell(struct prune *u, const struct needed *n)
{
	for (size_t i = 0; i < n->nr; i++) {
		const struct needed_pack *x = &n->packs[i];
		u->ret->needed_bytes += x->needed_bytes;
		if (!x->needed_bytes || is_worth_copying(u, x)) {
			u->ret->freed_bytes += x->toc->file_len;
			u->ret->copied_bytes += x->needed_bytes;
			u->ret->removed_packs++;
		}
	}
	u->ret->written_packs = u->ret->copied_bytes != 0;
}

static int run(struct prune *u, struct err *e)
{
	AUTO(needed) struct needed *before = needed_find(u->r, u->lists, u->p, e);

	if (!before)
		return -1;
	if (u->o->dry_run) {
		foretell(u, before);
		return unfinished_count(u->r, false, &u->ret->unfinished_bytes, e);
	}
	if (copy_needed(u, before, e) < 0 || repo_lock(u->r, u->p, e) < 0)
		return -1;
	if (move_versions(u, e) < 0)
		return -1;
	AUTO(needed) struct needed *now = needed_find(u->r, u->lists, u->p, e);
	if (!now || take_away(u, now, e) < 0)
		return -1;
	return unfinished_count(u->r, u->o->unfinished, &u->ret->unfinished_bytes, e);
}

/* First of all: where the disk is full, the rest needs the room that this gives back. */
static int remove_unfinished(struct prune *u, struct err *e)
{
	if (!u->o->unfinished || u->o->dry_run)
		return 0;
	if (repo_lock(u->r, u->p, e) < 0)
		return -1;
	int failed = unfinished_count(u->r, true, &u->ret->unfinished_bytes, e);
	repo_unlock(u->r);
	return failed;
}

int repo_prune(struct repo *r, const struct prune_options *o, struct prune_result *ret, const struct progress *p, struct err *e)
{
	struct prune u = { .r = r, .o = o, .ret = ret, .p = p };

	memset(ret, 0, sizeof(*ret));
	if (repo_need_keys(r, e) < 0)
		return -1;
	if (repo_take_lease(r, true, e) < 0 || remove_unfinished(&u, e) < 0 || !(u.moved = moved_new(e)))
		return -1;
	int failed = (u.lists = helper_lists_new(r, e)) ? run(&u, e) : -1;
	helper_lists_free(u.lists);
	moved_free(u.moved);
	if (u.packs)
		u.packs->ops->close(u.packs);
	pack_writer_close(u.to);
	repo_unlock(r);
	return failed;
}
