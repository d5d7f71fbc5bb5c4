/* SPDX-License-Identifier: GPL-3.0-or-later */
/* calco repo keys: the key slots of an encrypted repository, shown and changed; see repo_verbs.h. */
#include "cmd/out.h"
#include "cmd/repo_verbs.h"
#include "cmd/signals.h"
#include "imager/repo/repo.h"

#include <stdlib.h>
#include <string.h>

static const char *kind_name(unsigned kind)
{
	return kind == SLOT_SYMMETRIC ? "symmetric" : kind == SLOT_PASSPHRASE ? "passphrase" : kind == SLOT_RECIPIENT ? "recipient" : "unknown";
}

static void report(struct out *out, const struct repo *r, const uint8_t *slots, size_t len)
{
	unsigned kind;

	out_result(out);
	out_str(out, "repository", NULL, r->dir);
	out_bool(out, "encrypted", NULL, r->slots);
	out_array(out, "slots");
	for (size_t i = 0; (kind = slots_kind(slots, len, i)); i++) {
		out_object(out, NULL);
		out_u64(out, "slot", NULL, i + 1);
		out_str(out, "kind", NULL, kind_name(kind));
		out_end(out);
		out_line(out, "  slot %-3zu %s", i + 1, kind_name(kind));
	}
	out_end(out);
	if (!r->slots)
		out_line(out, "the repository '%s' is not encrypted", r->dir);
}

static int descending(const void *a, const void *b)
{
	size_t x = *(const size_t *)a, y = *(const size_t *)b;

	return x < y ? 1 : x > y ? -1 : 0;
}

/* All numbers are those that were shown: the highest goes first. */
static int remove_slots(struct img_seal *s, const struct opt_list *words, struct err *e)
{
	size_t numbers[SLOTS_MAX], nr = 0;

	for (; nr < words->nr; nr++) {
		char *end;
		unsigned long n = strtoul(words->items[nr], &end, 10);
		if (nr == SLOTS_MAX || !n || n > SLOTS_MAX || *end || strspn(words->items[nr], "0123456789") != strlen(words->items[nr]))
			return err_set(e, ERR_USAGE, 0, "--remove-slot: '%.40s' is not the number of a slot", words->items[nr]);
		numbers[nr] = n;
	}
	qsort(numbers, nr, sizeof(numbers[0]), descending);
	for (size_t i = 0; i < nr; i++) {
		if (i && numbers[i] == numbers[i - 1])
			return err_set(e, ERR_USAGE, 0, "--remove-slot: %zu is named twice", numbers[i]);
		if (slots_remove(s, numbers[i] - 1, e) < 0)
			return -1;
	}
	return 0;
}

static int change(const struct invocation *inv, struct img_seal *s, struct err *e)
{
	const struct repo_args *a = inv->args;
	const struct access_args none = { .passphrase_file = NULL };
	AUTO(access) struct access *added = access_open(&none, e);

	if (!added || access_keys(added, &a->add_key, a->add_passphrase_file, true, e) < 0 || remove_slots(s, &a->remove_slot, e) < 0)
		return -1;
	if (!img_keys_given(&added->a.keys))
		return 0;
	if (s->slots_len)
		return slots_add(s, &added->a.keys, e);
	return slots_make(s, &added->a.keys, e); /* all of the old ones went */
}

int repo_verb_keys(struct invocation *inv, struct err *e)
{
	const struct repo_args *a = inv->args;
	bool changes = a->add_key.nr || a->add_passphrase_file || a->remove_slot.nr;
	AUTO(repo) struct repo *r = repo_verb_open(inv, !changes, e);
	AUTO(img_seal) struct img_seal *s = NULL;

	if (!r)
		return -1;
	if (!changes) {
		report(inv->out, r, r->slots, r->slots_len);
		return 0;
	}
	if (!r->slots) {
		err_set(e, ERR_REFUSED, 0, "the repository '%s' is not encrypted, and cannot become so", r->dir);
		err_hint(e, "calco repo init DIR --key FILE makes one that is");
		return err_reason(e, "not-encrypted");
	}
	/* Under the lock they are read again: somebody else may have changed them meanwhile. */
	if (repo_lock(r, &signals_only, e) < 0)
		return -1;
	AUTO(repo) struct repo *now = repo_verb_open(inv, false, e);
	if (!now || !(s = seal_copy(now->seal, e)) || change(inv, s, e) < 0 || repo_set_slots(now, s->slots, s->slots_len, e) < 0)
		return -1;
	report(inv->out, r, s->slots, s->slots_len);
	return 0;
}
