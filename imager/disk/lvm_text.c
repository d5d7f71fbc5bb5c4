/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The text that LVM keeps its metadata in, as a tree; see lvm.h. Recursive descent with a limit; nodes point into the text and into one
 * array, so a hostile text costs memory in proportion to its length.
 */
#include "imager/disk/lvm.h"

#include "base/arith.h"

#include <string.h>

#define MAX_DEPTH 8U /* LVM itself nests five deep */

struct parser {
	const char *p, *end, *text;
	struct lvm_tree *t;
};

static int bad(const struct parser *ps, const char *what, struct err *e)
{
	return err_set(e, ERR_CORRUPT, 0, "the metadata of LVM cannot be read at byte %zu: %s", (size_t)(ps->p - ps->text), what);
}

static void skip_space(struct parser *ps)
{
	while (ps->p < ps->end) {
		if (*ps->p == '#')
			while (ps->p < ps->end && *ps->p != '\n')
				ps->p++;
		else if (*ps->p == ' ' || *ps->p == '\t' || *ps->p == '\n' || *ps->p == '\r' || *ps->p == '\0') /* the text ends with a NUL */
			ps->p++;
		else
			break;
	}
}

static bool accept(struct parser *ps, char c)
{
	skip_space(ps);
	if (ps->p == ps->end || *ps->p != c)
		return false;
	ps->p++;
	return true;
}

/* A new node; its place in *ret. Links it behind *last, or as the first child of parent. */
static int add_node(struct parser *ps, uint32_t parent, uint32_t *last, struct err *e)
{
	struct lvm_tree *t = ps->t;

	if (t->nr == t->room) {
		uint32_t room = t->room ? t->room * 2 : 256; /* the text's length bounds it */
		struct lvm_node *grown = realloc(t->nodes, (size_t)room * sizeof(*grown));
		if (!grown)
			return err_nomem(e, "the metadata of LVM");
		t->nodes = grown;
		t->room = room;
	}
	uint32_t at = t->nr++;
	t->nodes[at] = (struct lvm_node){ .kind = LVM_SECTION };
	if (*last)
		t->nodes[*last].next = at;
	else if (at)
		t->nodes[parent].child = at;
	*last = at;
	return 0;
}

static bool is_word(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || strchr("_-.+/@:", c) != NULL;
}

static int get_word(struct parser *ps, const char **ret, size_t *ret_len, struct err *e)
{
	skip_space(ps);
	const char *start = ps->p;
	while (ps->p < ps->end && *ps->p && is_word(*ps->p))
		ps->p++;
	if (ps->p == start)
		return bad(ps, "a name is missing", e);
	*ret = start;
	*ret_len = (size_t)(ps->p - start);
	return 0;
}

/* The characters between the quotes as they stand: no name or UUID has one that must be escaped. */
static int get_string(struct parser *ps, struct lvm_node *n, struct err *e)
{
	n->kind = LVM_STRING;
	n->s = ps->p;
	while (ps->p < ps->end && *ps->p != '"')
		ps->p += *ps->p == '\\' && ps->p + 1 < ps->end ? 2 : 1;
	if (ps->p >= ps->end)
		return bad(ps, "a text has no end", e);
	n->len = (size_t)(ps->p - n->s);
	ps->p++;
	return 0;
}

static int get_number(struct parser *ps, struct lvm_node *n, struct err *e)
{
	bool is_negative = accept(ps, '-');
	uint64_t v = 0;
	const char *start = ps->p;

	n->kind = LVM_NUMBER;
	for (; ps->p < ps->end && *ps->p >= '0' && *ps->p <= '9'; ps->p++)
		if (!mul_u64(v, 10, &v) || !add_u64(v, (uint64_t)(*ps->p - '0'), &v) || v > INT64_MAX)
			return bad(ps, "a number is too large", e);
	if (ps->p == start)
		return bad(ps, "a value is missing", e);
	n->n = is_negative ? -(int64_t)v : (int64_t)v;
	return 0;
}

static int get_scalar(struct parser *ps, uint32_t at, struct err *e)
{
	struct lvm_node *n = &ps->t->nodes[at];

	return accept(ps, '"') ? get_string(ps, n, e) : get_number(ps, n, e);
}

static int get_value(struct parser *ps, uint32_t at, struct err *e)
{
	uint32_t last = 0;

	if (!accept(ps, '['))
		return get_scalar(ps, at, e);
	ps->t->nodes[at].kind = LVM_LIST;
	if (accept(ps, ']'))
		return 0;
	do {
		if (add_node(ps, at, &last, e) < 0 || get_scalar(ps, last, e) < 0)
			return -1;
	} while (accept(ps, ','));
	return accept(ps, ']') ? 0 : bad(ps, "a list has no end", e);
}

static int get_section(struct parser *ps, uint32_t at, unsigned depth, struct err *e)
{
	uint32_t last = 0;

	if (depth > MAX_DEPTH)
		return bad(ps, "too many levels", e);
	for (;;) {
		const char *name = NULL;
		size_t len = 0;
		if (depth && accept(ps, '}'))
			return 0;
		skip_space(ps);
		if (!depth && ps->p == ps->end)
			return 0;
		if (get_word(ps, &name, &len, e) < 0 || add_node(ps, at, &last, e) < 0)
			return -1;
		ps->t->nodes[last].name = name;
		ps->t->nodes[last].name_len = len;
		if (accept(ps, '{') ? get_section(ps, last, depth + 1, e) < 0 : !accept(ps, '=') ? bad(ps, "neither '{' nor '='", e) < 0 : get_value(ps, last, e) < 0)
			return -1;
	}
}

int lvm_parse(const char *text, size_t len, struct lvm_tree *ret, struct err *e)
{
	struct parser ps = { .p = text, .end = text + len, .text = text, .t = ret };
	uint32_t root = 0;

	*ret = (struct lvm_tree){ 0 };
	if (len > LVM_MAX_TEXT)
		return err_set(e, ERR_CORRUPT, 0, "the metadata of LVM are too long");
	if (add_node(&ps, 0, &root, e) == 0 && get_section(&ps, 0, 0, e) == 0)
		return 0;
	lvm_tree_release(ret);
	return -1;
}

void lvm_tree_release(struct lvm_tree *t)
{
	free(t->nodes);
	*t = (struct lvm_tree){ 0 };
}

const struct lvm_node *lvm_first(const struct lvm_tree *t, const struct lvm_node *n)
{
	return n->child ? &t->nodes[n->child] : NULL;
}

const struct lvm_node *lvm_next(const struct lvm_tree *t, const struct lvm_node *n)
{
	return n->next ? &t->nodes[n->next] : NULL;
}

const struct lvm_node *lvm_find(const struct lvm_tree *t, const struct lvm_node *section, const char *name)
{
	for (const struct lvm_node *n = lvm_first(t, section); n; n = lvm_next(t, n))
		if (n->name_len == strlen(name) && !memcmp(n->name, name, n->name_len))
			return n;
	return NULL;
}
