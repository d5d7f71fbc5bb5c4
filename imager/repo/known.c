/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Open-addressing tables over the tables of contents; see known.h. A record is a number: packs in order, entries in order. A leaf is a
 * record's number among those that lend (26 bits) and its place (6 bits), behind 32 bits of its hash, which say where it stands in the table; the whole
 * hash is compared in the cache.
 */
#include "imager/repo/known.h"

#include "base/arith.h"
#include "base/span.h"
#include "imager/image/chunk.h"
#include "imager/repo/damaged.h"
#include "imager/repo/leaf_cache.h"

#include <stdatomic.h>
#include <string.h>

#define MAX_LENDERS ((uint64_t)1 << 26)

/* A pack, and its leaf cache as it lies on disk. */
struct known_pack {
	struct pack_toc *toc;
	uint64_t first;         /* number of its first record */
	bool has_leaves;        /* there is a cache */
	bool was_asked;         /* for its cache */
};

struct known {
	const struct repo *r;
	struct chunk_codec *codec;
	struct leaf_caches *caches;
	struct known_pack *packs; /* ascending by id */
	size_t nr_packs;
	uint64_t nr_records;
	uint32_t *by_id, *by_name; /* number + 1, 0: free */
	uint64_t table_size;       /* of both, a power of two */
	_Atomic uint8_t *states;   /* of each record, enum known_state */
	atomic_bool any_bad;       /* told */
	uint32_t *lenders;         /* numbers of records */
	uint64_t nr_lenders, lender_room;
	uint64_t *leaves;          /* hash << 32 | lender << 6 | leaf, + 1 in effect: see leaf_slot() */
	uint64_t leaf_size, nr_leaves;
};

static const struct pack_entry *entry_of(const struct known *k, uint64_t number, const struct known_pack **ret_pack)
{
	size_t from = 0, to = k->nr_packs - 1;

	while (from < to) {
		size_t middle = from + (to - from + 1) / 2;
		if (k->packs[middle].first <= number)
			from = middle;
		else
			to = middle - 1;
	}
	/* Packs without a record share their first number with the next one; the last of them holds it. */
	*ret_pack = &k->packs[from];
	return &k->packs[from].toc->entries[number - k->packs[from].first];
}

static uint64_t name_hash(const struct img_record_name *n)
{
	return (get_le64(n->origin) + n->number) * UINT64_C(0x9E3779B97F4A7C15);
}

static void table_put(uint32_t *table, uint64_t size, uint64_t hash, uint64_t number)
{
	uint64_t i = hash & (size - 1);

	while (table[i])
		i = (i + 1) & (size - 1);
	table[i] = (uint32_t)number + 1;
}

static int index_records(struct known *k, struct err *e)
{
	if (k->nr_records >= UINT32_MAX)
		return err_set(e, ERR_UNSUPPORTED, 0, "the repository '%s' has more than 2^32 records", k->r->dir);
	for (k->table_size = 1024; k->table_size < k->nr_records * 2; k->table_size *= 2)
		continue;
	k->by_id = alloc_array(k->table_size, sizeof(*k->by_id));
	k->by_name = alloc_array(k->table_size, sizeof(*k->by_name));
	k->states = alloc_array(k->nr_records, sizeof(*k->states));
	if (!k->by_id || !k->by_name || !k->states)
		return err_nomem(e, "the index of the repository");
	for (size_t i = 0; i < k->nr_packs; i++)
		for (uint64_t n = 0; n < k->packs[i].toc->nr; n++) {
			const struct pack_entry *x = &k->packs[i].toc->entries[n];
			table_put(k->by_id, k->table_size, get_le64(x->id), k->packs[i].first + n);
			table_put(k->by_name, k->table_size, name_hash(&x->name) >> 16, k->packs[i].first + n);
		}
	return 0;
}

/* Retired packs are about to go; a capture that refers to one would have to know that it stays. */
static int load_packs(struct known *k, const struct progress *p, struct err *e)
{
	uint8_t (*ids)[16] = NULL;
	size_t nr;

	if (packs_list(k->r, false, &ids, &nr, e) < 0)
		return -1;
	AUTO_FREE void *owned = ids;
	if (!(k->packs = alloc_array(nr, sizeof(*k->packs))))
		return err_nomem(e, "the index of the repository");
	for (size_t i = 0; i < nr; i++) {
		struct err why = ERR_INIT;
		struct pack_toc *toc = pack_toc_read(k->r, ids[i], &why);
		if (progress_check(p, e) < 0) {
			pack_toc_free(toc);
			return -1;
		}
		if (!toc && why.code != ERR_CORRUPT) {
			*e = why;
			return -1;
		}
		if (!toc) {
			progress_notice(p, "%s; what it holds is stored anew", why.msg);
			continue;
		}
		k->packs[k->nr_packs++] = (struct known_pack){ .toc = toc, .first = k->nr_records };
		k->nr_records += toc->nr;
	}
	return 0;
}

/* What was found damaged before is of no use. */
static int mark_damaged(struct known *k, struct err *e)
{
	for (size_t i = 0; i < k->nr_packs; i++) {
		struct damaged d;
		int failed = damaged_read(k->r, k->packs[i].toc->id, &d, e);
		for (size_t n = 0; n < d.nr; n++) {
			const struct pack_entry *x = pack_toc_find(k->packs[i].toc, d.offsets[n]);
			if (x)
				k->states[k->packs[i].first + (uint64_t)(x - k->packs[i].toc->entries)] = KNOWN_BAD;
		}
		free(d.offsets);
		if (failed < 0)
			return -1;
	}
	return 0;
}

struct known *known_open(const struct repo *r, const struct progress *p, struct err *e)
{
	AUTO(known) struct known *k = alloc_array(1, sizeof(*k));

	if (!k) {
		err_nomem(e, "the index of the repository");
		return NULL;
	}
	k->r = r;
	k->codec = chunk_codec_for(r->seal, 0, e);
	if (!k->codec || !(k->caches = leaf_caches_new(r, e)) || load_packs(k, p, e) < 0 || index_records(k, e) < 0 || mark_damaged(k, e) < 0)
		return NULL;
	return take(&k);
}

void known_close(struct known *k)
{
	if (!k)
		return;
	leaf_caches_free(k->caches);
	for (size_t i = 0; i < k->nr_packs; i++)
		pack_toc_free(k->packs[i].toc);
	chunk_codec_free(k->codec);
	free(k->packs);
	free(k->by_id);
	free(k->by_name);
	free((void *)k->states);
	free(k->lenders);
	free(k->leaves);
	free(k);
}

/* The first record of a table that is the one which is looked for, and not in one of two states. */
static bool find(const struct known *k, const uint32_t *table, uint64_t hash, bool (*is_it)(const struct pack_entry *x, const void *what),
	const void *what, enum known_state not, enum known_state nor, struct known_record *ret)
{
	const struct known_pack *pack;

	for (uint64_t i = hash & (k->table_size - 1); table[i]; i = (i + 1) & (k->table_size - 1)) {
		const struct pack_entry *x = entry_of(k, table[i] - 1, &pack);
		enum known_state state = k->states[table[i] - 1];
		if (state != not && state != nor && is_it(x, what)) {
			*ret = (struct known_record){ .toc = pack->toc, .entry = x, .number = table[i] - 1 };
			return true;
		}
	}
	return false;
}

static bool has_id(const struct pack_entry *x, const void *id)
{
	return !memcmp(x->id, id, sizeof(x->id));
}

static bool has_name(const struct pack_entry *x, const void *name)
{
	return record_name_cmp(&x->name, name) == 0;
}

bool known_chunk(const struct known *k, const uint8_t id[32], struct known_record *ret)
{
	return find(k, k->by_id, get_le64(id), has_id, id, KNOWN_BAD, KNOWN_INCOMPLETE, ret);
}

bool known_name(const struct known *k, const struct img_record_name *name, struct known_record *ret)
{
	return find(k, k->by_name, name_hash(name) >> 16, has_name, name, KNOWN_BAD, KNOWN_BAD, ret);
}

enum known_state known_state(const struct known *k, const struct known_record *r)
{
	return k->states[r->number];
}

static unsigned stage(enum known_state state)
{
	return state == KNOWN_UNREAD ? 0 : state <= KNOWN_BAD ? 1 : 2;
}

enum known_state known_tell(struct known *k, const struct known_record *r, enum known_state state)
{
	uint8_t was = k->states[r->number];

	if (state == KNOWN_BAD)
		k->any_bad = true;
	while (stage(was) < stage(state))
		if (atomic_compare_exchange_weak(&k->states[r->number], &was, (uint8_t)state))
			return state;
	return was;
}

bool known_any_bad(const struct known *k)
{
	return k->any_bad;
}

bool known_next_bad(const struct known *k, uint64_t *number, struct known_record *ret)
{
	const struct known_pack *pack;

	for (; *number < k->nr_records; ++*number) {
		if (k->states[*number] != KNOWN_BAD)
			continue;
		const struct pack_entry *x = entry_of(k, *number, &pack);
		*ret = (struct known_record){ .toc = pack->toc, .entry = x, .number = (*number)++ };
		return true;
	}
	return false;
}

/* 0 is a free slot: a leaf whose slot would be 0 is left out. */
static uint64_t leaf_slot(const uint8_t *hash, uint64_t lender, unsigned leaf)
{
	return (uint64_t)get_le32(hash) << 32 | lender << 6 | leaf;
}

/* From what a slot holds itself: the table grows without a look at the caches. */
static uint64_t leaf_place(const struct known *k, uint64_t slot)
{
	return (uint64_t)((unsigned __int128)(slot >> 32) * k->leaf_size >> 32);
}

/* Is it this leaf that the slot means? One whose hash cannot be read any more is another. */
static bool is_leaf(const struct known *k, uint64_t slot, const uint8_t *hash)
{
	const struct known_pack *pack;
	uint8_t there[HASH_SIZE];

	if (slot >> 32 != get_le32(hash))
		return false;
	uint64_t number = k->lenders[(uint32_t)slot >> 6];
	entry_of(k, number, &pack);
	return leaf_caches_read(k->caches, pack->toc, number - pack->first, slot & 63, 1, there) && !memcmp(there, hash, HASH_SIZE);
}

static int grow_leaves(struct known *k, uint64_t more, struct err *e)
{
	uint64_t size = k->leaf_size ? k->leaf_size : 1024;

	while (size * 2 < (k->nr_leaves + more) * 3)
		size *= 2;
	if (size == k->leaf_size)
		return 0;
	uint64_t *old = k->leaves, old_size = k->leaf_size;
	uint64_t *grown = alloc_array(size, sizeof(*grown));
	if (!grown)
		return err_nomem(e, "the index of leaves");
	k->leaves = grown;
	k->leaf_size = size;
	for (uint64_t i = 0; i < old_size; i++) {
		if (!old[i])
			continue;
		uint64_t at = leaf_place(k, old[i]);
		while (k->leaves[at])
			at = (at + 1) & (size - 1);
		k->leaves[at] = old[i];
	}
	free(old);
	return 0;
}

static void put_leaf(struct known *k, const uint8_t *hash, uint64_t lender, unsigned leaf)
{
	uint64_t slot = leaf_slot(hash, lender, leaf), at = leaf_place(k, slot);

	if (!slot)
		return;
	for (; k->leaves[at]; at = (at + 1) & (k->leaf_size - 1))
		if (is_leaf(k, k->leaves[at], hash))
			return;
	k->leaves[at] = slot;
	k->nr_leaves++;
}

static bool is_proved(const struct known *k, const struct pack_entry *x, const uint8_t *list)
{
	struct err ignored = ERR_INIT; /* a list that cannot be proved is not used */
	uint8_t id[32];

	return chunk_list_id(k->codec, (const uint8_t(*)[HASH_SIZE])list, id, &ignored) == 0 && !memcmp(id, x->id, sizeof(id));
}

static int add_lender(struct known *k, struct known_pack *pack, const struct pack_entry *x, struct err *e)
{
	uint64_t record = (uint64_t)(x - pack->toc->entries), number = pack->first + record;
	uint8_t list[LEAF_LIST];

	if (!pack->was_asked)
		pack->has_leaves = leaf_caches_read(k->caches, pack->toc, 0, 0, 0, list);
	pack->was_asked = true;
	if (!pack->has_leaves || k->nr_lenders == MAX_LENDERS || !leaf_caches_read(k->caches, pack->toc, record, 0, CHUNK_LEAVES, list) || !is_proved(k, x, list))
		return 0;
	if (k->nr_lenders == k->lender_room) {
		uint64_t room = k->lender_room * 2 + 1024;
		uint32_t *grown = realloc(k->lenders, room * sizeof(*grown));
		if (!grown)
			return err_nomem(e, "the index of leaves");
		k->lenders = grown;
		k->lender_room = room;
	}
	if (grow_leaves(k, CHUNK_LEAVES, e) < 0)
		return -1;
	uint64_t lender = k->nr_lenders++;
	k->lenders[lender] = (uint32_t)number;
	const uint8_t *zero = chunk_zero_leaf(k->codec);
	for (unsigned i = 0; i < CHUNK_LEAVES; i++)
		if (x->lends >> i & 1 && memcmp(list + i * HASH_SIZE, zero, HASH_SIZE))
			put_leaf(k, list + i * HASH_SIZE, lender, i);
	return 0;
}

static int add_place(struct known *k, const struct img_locations *l, const struct img_where *at, struct err *e)
{
	if (!at->offset)
		return 0;
	for (size_t from = 0, to = k->nr_packs; from < to;) {
		size_t middle = from + (to - from) / 2;
		int r = memcmp(k->packs[middle].toc->id, l->packs[at->pack], 16);
		if (r == 0) {
			const struct pack_entry *x = pack_toc_find(k->packs[middle].toc, at->offset);
			return x ? add_lender(k, &k->packs[middle], x, e) : 0;
		}
		if (r < 0)
			from = middle + 1;
		else
			to = middle;
	}
	return 0;
}

int known_add_base(struct known *k, const struct img_reader *base, const struct progress *p, struct err *e)
{
	const struct img_locations *l = img_reader_locations(base);

	for (uint64_t i = 0; i < l->nr_chunks; i++)
		if (add_place(k, l, &l->chunks[i], e) < 0 || (i % 1024 == 0 && progress_check(p, e) < 0))
			return -1;
	for (uint64_t i = 0; i < l->nr_helpers; i++)
		if (add_place(k, l, &l->helpers[i].at, e) < 0)
			return -1;
	return 0;
}

bool known_leaf(const struct known *k, const uint8_t hash[32], struct known_record *ret, unsigned *ret_leaf)
{
	const struct known_pack *pack;

	if (!k->leaf_size)
		return false;
	for (uint64_t at = leaf_place(k, leaf_slot(hash, 0, 0)); k->leaves[at]; at = (at + 1) & (k->leaf_size - 1)) {
		uint64_t slot = k->leaves[at];
		uint64_t number = k->lenders[(uint32_t)slot >> 6];
		if (k->states[number] == KNOWN_BAD || !is_leaf(k, slot, hash))
			continue;
		const struct pack_entry *x = entry_of(k, number, &pack);
		*ret = (struct known_record){ .toc = pack->toc, .entry = x, .number = number };
		*ret_leaf = slot & 63;
		return true;
	}
	return false;
}
