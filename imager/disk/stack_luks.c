/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * LUKS: a container with one volume. Locked it is taken whole. Unlocked, what is used inside is found, and the ciphertext of that is taken: the copy
 * opens with the same keys, and no plain byte is stored.
 */
#include "imager/disk/stack.h"

#include "base/arith.h"
#include "imager/disk/luks.h"

#include <stdio.h>
#include <string.h>

static int luks_probe(struct blk_source *src, struct err *e)
{
	struct luks_head head;

	return luks_head_read(src, &head, e);
}

/* What a mounter looks at: the first header, and the places where a second one may begin. */
static int add_arm(struct stack_set *set, size_t member, uint64_t start, struct err *e)
{
	if (stack_add_arm(set, member, 0, min_u64(4096, start), e) < 0)
		return -1;
	for (uint64_t at = 0x4000; at <= 0x400000 && at < start; at *= 2) /* LUKS2 specification, section 2.1 */
		if (stack_add_arm(set, member, at, min_u64(4096, start - at), e) < 0)
			return -1;
	return 0;
}

static int add_opened(struct stack_sets *ret, size_t member, struct blk_source *src, const struct luks_head *head, const struct luks_payload *p, struct err *e)
{
	struct stack_set *set = stack_add_set(ret, e);
	const struct map_leg leg = { member, p->start };

	if (!set || stack_add_member(set, member, e) < 0)
		return -1;
	snprintf(set->name, sizeof(set->name), "luks-%s", head->uuid);
	snprintf(set->type, sizeof(set->type), "LUKS%u", head->version);
	struct stack_volume *v = stack_add_volume(set, e);
	if (!v)
		return -1;
	snprintf(v->name, sizeof(v->name), "luks-%s", head->uuid);
	v->unit = p->sector_size;
	v->src = luks_source(src, p, v->name, e);
	if (!v->src || mapping_add(&v->map, v->src->size, 0, &leg, 1, e) < 0)
		return -1;
	uint64_t end = p->start + v->src->size;
	if (stack_add_used(set, member, 0, p->start, e) < 0 || (end < src->size && stack_add_used(set, member, end, src->size - end, e) < 0))
		return -1;
	return add_arm(set, member, p->start, e);
}

static int open_one(struct stack_sets *ret, size_t member, struct blk_source *src, const struct stack_keys *keys, struct err *e)
{
	struct luks_payload p;
	struct luks_head head;
	char why[200], reason[100];

	int r = luks_head_read(src, &head, e);
	if (r <= 0)
		return r < 0 ? -1 : stack_add_raw(ret, member, "taken raw: its header changed", e);
	const char *file = keys->key_file(keys->arg, member, head.label, head.uuid);
	if (!file)
		return stack_add_raw(ret, member,
			"LUKS is locked: every block is copied, also what is free; with --unlock VOL=FILE only what is used inside, still encrypted", e);
	r = luks_unlock(src, &head, file, keys->progress, &p, reason, sizeof(reason), e);
	if (r < 0 && e->code == ERR_FAILED && blk_is_medium_error(e)) {
		snprintf(reason, sizeof(reason), "its header cannot be read");
		r = 0;
	}
	if (r < 0)
		return -1;
	if (r == 0) {
		snprintf(why, sizeof(why), "LUKS taken raw: %s", reason);
		return stack_add_raw(ret, member, why, e);
	}
	r = add_opened(ret, member, src, &head, &p, e);
	luks_forget(&p);
	return r;
}

static int luks_assemble(struct blk_source *const *members, size_t nr, const struct stack_keys *keys, struct stack_sets *ret, struct err *e)
{
	for (size_t i = 0; i < nr; i++)
		if (open_one(ret, i, members[i], keys, e) < 0)
			return -1;
	return 0;
}

const struct stack_kind stack_luks = {
	.name = "luks",
	.type = "crypto_LUKS",
	.shape = STACK_CONTAINER,
	.probe = luks_probe,
	.assemble = luks_assemble,
};
