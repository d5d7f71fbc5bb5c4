/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The kinds of stacks, in the order in which they are asked, and the lists they fill; see stack.h. */
#include "imager/disk/stack.h"

#include "base/arith.h"

#include <stdio.h>
#include <string.h>

const struct stack_kind *const stack_kinds[] = { &stack_md, &stack_lvm, &stack_luks, NULL };

/* One more zeroed element at the end of a list; room is a power of two. */
static void *grow(void *list, size_t *nr, size_t size, struct err *e)
{
	void *p;

	memcpy(&p, list, sizeof(p)); /* a pointer to one of several types */
	if (*nr == 0 || is_pow2(*nr)) {
		p = realloc(p, (*nr ? *nr * 2 : 1) * size);
		if (!p) {
			err_nomem(e, "the volumes");
			return NULL;
		}
		memcpy(list, &p, sizeof(p));
	}
	return memset((char *)p + (*nr)++ * size, 0, size);
}

struct stack_set *stack_add_set(struct stack_sets *s, struct err *e)
{
	return grow(&s->list, &s->nr, sizeof(*s->list), e);
}

int stack_add_member(struct stack_set *s, size_t member, struct err *e)
{
	size_t *place = grow(&s->members, &s->nr_members, sizeof(*place), e);

	if (!place)
		return -1;
	*place = member;
	return 0;
}

struct stack_volume *stack_add_volume(struct stack_set *s, struct err *e)
{
	return grow(&s->volumes, &s->nr_volumes, sizeof(*s->volumes), e);
}

int stack_add_used(struct stack_set *s, size_t member, uint64_t start, uint64_t len, struct err *e)
{
	struct stack_range *r = grow(&s->used, &s->nr_used, sizeof(*r), e);

	if (!r)
		return -1;
	*r = (struct stack_range){ member, start, len };
	return 0;
}

int stack_add_zero(struct stack_set *s, size_t member, uint64_t start, uint64_t len, struct err *e)
{
	struct stack_range *r = grow(&s->zero, &s->nr_zero, sizeof(*r), e);

	if (!r)
		return -1;
	*r = (struct stack_range){ member, start, len };
	return 0;
}

int stack_add_arm(struct stack_set *s, size_t member, uint64_t start, uint64_t len, struct err *e)
{
	struct stack_range *r = grow(&s->arm, &s->nr_arm, sizeof(*r), e);

	if (!r)
		return -1;
	*r = (struct stack_range){ member, start, len };
	return 0;
}

int stack_add_raw(struct stack_sets *s, size_t member, const char *why, struct err *e)
{
	struct stack_set *set = stack_add_set(s, e);

	if (!set)
		return -1;
	set->verdict = STACK_RAW;
	snprintf(set->notice, sizeof(set->notice), "%s", why);
	return stack_add_member(set, member, e);
}

void stack_sets_release(struct stack_sets *s)
{
	for (size_t i = 0; i < s->nr; i++) {
		struct stack_set *set = &s->list[i];
		for (size_t k = 0; k < set->nr_volumes; k++) {
			mapping_release(&set->volumes[k].map);
			blk_close(set->volumes[k].src);
		}
		free(set->members);
		free(set->volumes);
		free(set->used);
		free(set->zero);
		free(set->arm);
	}
	free(s->list);
	*s = (struct stack_sets){ 0 };
}
