/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Sound records; see reuse.h. */
#include "imager/repo/reuse.h"

#include "base/hash.h"
#include "imager/repo/damaged.h"

#include <stdlib.h>
#include <string.h>

/* The record and, opened, its payload; which may live in the codec. */
static int read_record(const struct reuse *u, struct chunk_codec *codec, const struct known_record *r, uint8_t *payload, struct fmt_record *ret,
	const uint8_t **ret_opened, struct err *e)
{
	const struct pack_entry *x = r->entry;
	uint8_t b[FMT_RECORD_SIZE];

	if (u->packs->ops->read(u->packs, r->toc->id, x->offset, x->len, b, payload, e) < 0 || fmt_get_pack_record(b, u->sealed, ret, e) < 0)
		return -1;
	if (ret->stored_len != x->len - FMT_RECORD_SIZE || ret->kind != x->kind || memcmp(ret->id, x->id, sizeof(x->id)) ||
	    memcmp(ret->origin, x->name.origin, sizeof(ret->origin)) || ret->number != x->name.number)
		return err_set(e, ERR_CORRUPT, 0, "not the record that the table of contents names");
	if (crc32_of(payload, ret->stored_len) != ret->crc)
		return err_set(e, ERR_CORRUPT, 0, "it is damaged (checksum)");
	return chunk_payload(codec, ret, payload, ret_opened, e);
}

int reuse_helpers(const struct reuse *u, struct chunk_codec *codec, const struct known_record *r, uint8_t *payload, struct composed *ret, struct err *e)
{
	struct fmt_record head;
	const uint8_t *opened;

	return read_record(u, codec, r, payload, &head, &opened, e) < 0 ? -1 : composed_parse(&head, opened, ret, e);
}

static int check_record(const struct reuse *u, struct chunk_codec *codec, const struct known_record *r, uint8_t *payload, struct err *e)
{
	struct fmt_record head;
	const uint8_t *opened;
	struct composed c;

	if (read_record(u, codec, r, payload, &head, &opened, e) < 0)
		return -1;
	if (head.kind == FMT_WHOLE)
		return 0;
	if (composed_parse(&head, opened, &c, e) < 0)
		return -1;
	return c.fresh == r->entry->lends ? 0 : err_set(e, ERR_CORRUPT, 0, "it does not hold the leaves that the table of contents names");
}

/* Is it one of those that are taken as they are? */
static bool is_trusted(const struct reuse *u, const struct known_record *r)
{
	uint64_t x = (r->number ^ u->random) * UINT64_C(0x9E3779B97F4A7C15);

	return (x >> 32) % u->every && !known_any_bad(u->known);
}

static bool use_record(const struct reuse *u, struct chunk_codec *codec, const struct known_record *r, bool may_trust, uint8_t *payload)
{
	struct err ignored = ERR_INIT; /* a record that cannot be used is stored again */
	enum known_state state = known_state(u->known, r);

	if (state == KNOWN_UNREAD && may_trust && is_trusted(u, r))
		state = known_tell(u->known, r, KNOWN_TRUSTED);
	if (state == KNOWN_UNREAD)
		state = known_tell(u->known, r, check_record(u, codec, r, payload, &ignored) == 0 ? KNOWN_SOUND : KNOWN_BAD);
	return state != KNOWN_BAD;
}

static bool use_lender(const struct reuse *u, struct chunk_codec *codec, const struct img_record_name *name, bool may_trust, uint8_t *payload)
{
	struct known_record r;

	while (known_name(u->known, name, &r)) /* a bad one is not found again; the record may lie in another pack too */
		if (use_record(u, codec, &r, may_trust, payload))
			return true;
	return false;
}

bool reuse_lender(const struct reuse *u, struct chunk_codec *codec, const struct img_record_name *name, uint8_t *payload)
{
	return use_lender(u, codec, name, false, payload);
}

static bool is_complete(const struct reuse *u, struct chunk_codec *codec, const struct known_record *r, uint8_t *payload)
{
	struct err ignored = ERR_INIT;
	struct composed c;

	if (r->entry->kind == FMT_WHOLE)
		return true;
	enum known_state state = known_state(u->known, r);
	if (state == KNOWN_SOUND || state == KNOWN_TRUSTED) {
		bool complete = reuse_helpers(u, codec, r, payload, &c, &ignored) == 0;
		for (unsigned i = 0; complete && i < c.nr_helpers; i++)
			complete = use_lender(u, codec, &c.helpers[i], true, payload);
		state = known_tell(u->known, r, complete ? KNOWN_COMPLETE : KNOWN_INCOMPLETE);
	}
	return state == KNOWN_COMPLETE;
}

/* Composed ones are read anyway: they say who lends to them. */
bool reuse_chunk(const struct reuse *u, struct chunk_codec *codec, const uint8_t id[32], struct known_record *ret, uint8_t *payload)
{
	while (known_chunk(u->known, id, ret)) /* nor is one that is of no use found again */
		if (use_record(u, codec, ret, ret->entry->kind == FMT_WHOLE, payload) && is_complete(u, codec, ret, payload))
			return true;
	return false;
}

/* The records come pack by pack. */
int reuse_note_damage(const struct reuse *u, const struct repo *r, struct chunk_codec *codec, uint8_t *payload, uint64_t *ret_nr, struct err *e)
{
	const struct pack_toc *toc = NULL;
	struct damaged noted = { .nr = 0 };
	struct known_record x;
	uint64_t number = 0;
	bool is_new = false;
	int failed = 0;

	*ret_nr = 0;
	while (failed == 0 && known_any_bad(u->known) && known_next_bad(u->known, &number, &x)) {
		struct err why = ERR_INIT;
		if (x.toc != toc) {
			failed = toc && is_new ? damaged_write(r, toc->id, &noted, e) : 0;
			free(noted.offsets);
			if (damaged_read(r, x.toc->id, &noted, e) < 0)
				failed = -1;
			toc = x.toc;
			is_new = false;
		}
		if (failed == 0 && !damaged_holds(&noted, x.entry->offset)) {
			++*ret_nr;
			if (check_record(u, codec, &x, payload, &why) < 0 && why.code == ERR_CORRUPT) {
				failed = damaged_add(&noted, x.entry->offset, e);
				is_new = true;
			}
		}
	}
	if (failed == 0 && is_new)
		failed = damaged_write(r, toc->id, &noted, e);
	free(noted.offsets);
	return failed;
}
