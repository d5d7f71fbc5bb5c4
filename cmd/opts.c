/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The option parser; see opts.h. Our own instead of getopt_long(): it follows the tables directly, suggests what was
 * meant, and takes no abbreviations, which would turn every new option into a possible break of somebody's script.
 */
#include "cmd/opts.h"

#include "base/arith.h"
#include "base/size.h"

#include <errno.h>
#include <string.h>

#define WORD_MAX_LEN 32U /* longer words are not compared: no command or option is that long */

/* Edit distance with transpositions of neighbours ("captrue"), between short words. */
static unsigned distance(const char *a, const char *b)
{
	unsigned d[WORD_MAX_LEN + 1][WORD_MAX_LEN + 1];
	size_t na = strlen(a), nb = strlen(b);

	if (na > WORD_MAX_LEN || nb > WORD_MAX_LEN)
		return WORD_MAX_LEN;
	for (size_t i = 0; i <= na; i++)
		d[i][0] = (unsigned)i;
	for (size_t j = 0; j <= nb; j++)
		d[0][j] = (unsigned)j;
	for (size_t i = 1; i <= na; i++) {
		for (size_t j = 1; j <= nb; j++) {
			unsigned best = d[i - 1][j - 1] + (a[i - 1] != b[j - 1]);
			if (d[i - 1][j] + 1 < best)
				best = d[i - 1][j] + 1;
			if (d[i][j - 1] + 1 < best)
				best = d[i][j - 1] + 1;
			if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] && d[i - 2][j - 2] + 1 < best)
				best = d[i - 2][j - 2] + 1;
			d[i][j] = best;
		}
	}
	return d[na][nb];
}

const char *opts_nearest(const char *word, const char *(*next)(const void *arg, size_t i), const void *arg)
{
	const char *nearest = NULL, *candidate;
	size_t len = strlen(word);
	unsigned best = len < 4 ? 2 : len < 8 ? 3 : 4; /* farther than this is another word */

	for (size_t i = 0; (candidate = next(arg, i)); i++) {
		/* The beginning of a word counts as one mistake: "--no-ver" means "--no-verify". */
		unsigned d = len >= 3 && !strncmp(word, candidate, len) ? 1 : distance(word, candidate);
		if (d < best) {
			best = d;
			nearest = candidate;
		}
	}
	return nearest;
}

static const char *option_name(const void *arg, size_t i)
{
	const struct opt *options = arg;

	return options[i].name;
}

static const struct opt *find_option(const struct cmd *cmd, const char *name, size_t len)
{
	for (const struct opt *o = cmd->options; o->name; o++)
		if (strlen(o->name) == len && !memcmp(o->name, name, len))
			return o;
	return NULL;
}

static int unknown_option(const struct cmd *cmd, const char *arg, size_t len, struct err *e)
{
	char name[WORD_MAX_LEN + 1] = "";

	if (!strncmp(arg, "--", 2) && len - 2 < sizeof(name))
		memcpy(name, arg + 2, len - 2);
	err_set(e, ERR_USAGE, 0, "'calco %s' has no option '%.*s'", cmd->name, (int)len, arg);
	const char *near = opts_nearest(name, option_name, cmd->options);
	if (near)
		return err_hint(e, "did you mean --%s?", near);
	return err_hint(e, "'calco %s --help' lists the options", cmd->name);
}

static int parse_number(const struct opt *o, const char *text, uint64_t *ret, struct err *e)
{
	if (o->kind == OPT_SIZE) {
		if (size_parse(text, ret, e) < 0)
			return err_wrap(e, "--%s", o->name);
	} else {
		char *end;
		errno = 0;
		unsigned long long n = strtoull(text, &end, 10);
		if (errno || *end || *text < '0' || *text > '9')
			return err_set(e, ERR_USAGE, 0, "--%s: '%s' is not a whole number", o->name, text);
		*ret = n;
	}
	if (*ret < o->min || *ret > o->max)
		return err_set(e, ERR_USAGE, 0, "--%s: %s is outside %llu to %llu", o->name, text, (unsigned long long)o->min,
			(unsigned long long)o->max);
	return 0;
}

/* parse_choice - the place of text among the words of "a|b|c" */
static int parse_choice(const struct opt *o, const char *text, unsigned *ret, struct err *e)
{
	size_t len = strlen(text);
	unsigned i = 0;

	for (const char *word = o->value; word; i++) {
		const char *bar = strchr(word, '|');
		size_t n = bar ? (size_t)(bar - word) : strlen(word);
		if (n == len && !memcmp(word, text, n)) {
			*ret = i;
			return 0;
		}
		word = bar ? bar + 1 : NULL;
	}
	err_set(e, ERR_USAGE, 0, "--%s: '%s' is not one of its values", o->name, text);
	return err_hint(e, "--%s takes %s", o->name, o->value);
}

/* @room: how many items any list can ever get: the number of arguments */
static int append(struct opt_list *list, const char *text, size_t room, struct err *e)
{
	if (!list->items)
		list->items = alloc_array(room + 1, sizeof(*list->items));
	if (!list->items)
		return err_nomem(e, "the command line");
	list->items[list->nr++] = text;
	return 0;
}

static int set_option(struct invocation *inv, const struct opt *o, const char *text, size_t room, struct err *e)
{
	void *field = (char *)inv->args + o->offset;
	struct opt_number number = { .given = true };

	switch (o->kind) {
	case OPT_FLAG:
		*(bool *)field = true;
		return 0;
	case OPT_TEXT:
		*(const char **)field = text;
		return 0;
	case OPT_LIST:
		return append(field, text, room, e);
	case OPT_CHOICE:
		return parse_choice(o, text, field, e);
	case OPT_NUMBER:
	case OPT_SIZE:
		break;
	}
	if (parse_number(o, text, &number.n, e) < 0)
		return -1;
	*(struct opt_number *)field = number;
	return 0;
}

/* One argument that begins with '-': the option, and its value from behind '=' or from the next argument. *i moves on. */
static int parse_option(struct invocation *inv, int argc, char **argv, int *i, struct err *e)
{
	const char *arg = argv[*i];
	size_t len = strcspn(arg, "=");

	if (!strcmp(arg, "--help") || !strcmp(arg, "-h")) {
		inv->wants_help = true;
		return 0;
	}
	const struct opt *o = strncmp(arg, "--", 2) ? NULL : find_option(inv->cmd, arg + 2, len - 2);
	if (!o)
		return unknown_option(inv->cmd, arg, len, e);
	const char *text = arg[len] ? arg + len + 1 : NULL;
	if (o->kind == OPT_FLAG && text)
		return err_set(e, ERR_USAGE, 0, "--%s takes no value", o->name);
	if (o->kind != OPT_FLAG && !text) {
		if (*i + 1 >= argc)
			return err_set(e, ERR_USAGE, 0, "--%s needs a value (%s)", o->name, o->value);
		text = argv[++*i];
	}
	return set_option(inv, o, text, (size_t)argc, e);
}

static int check_operands(const struct invocation *inv, struct err *e)
{
	const struct cmd *cmd = inv->cmd;

	if (inv->nr_operands < cmd->min_operands)
		err_set(e, ERR_USAGE, 0, "'calco %s' needs %s", cmd->name, cmd->operands);
	else if (inv->nr_operands > cmd->max_operands && !cmd->max_operands)
		err_set(e, ERR_USAGE, 0, "'calco %s' takes no '%s'", cmd->name, inv->operands[0]);
	else if (inv->nr_operands > cmd->max_operands)
		err_set(e, ERR_USAGE, 0, "'%s' is one too many for 'calco %s'", inv->operands[cmd->max_operands], cmd->name);
	else
		return 0;
	return err_hint(e, "usage: calco %s [OPTION]...%s%s", cmd->name, cmd->operands[0] ? " " : "", cmd->operands);
}

int opts_parse(const struct cmd *cmd, int argc, char **argv, struct invocation *ret, struct err *e)
{
	bool options_end = false;

	*ret = (struct invocation){ .cmd = cmd, .args = calloc(1, cmd->args_size) };
	ret->operands = alloc_array((size_t)argc + 1, sizeof(*ret->operands));
	if (!ret->args || !ret->operands)
		return err_nomem(e, "the command line");
	for (int i = 0; i < argc; i++) {
		if (!options_end && !strcmp(argv[i], "--"))
			options_end = true;
		else if (options_end || argv[i][0] != '-' || !argv[i][1])
			ret->operands[ret->nr_operands++] = argv[i];
		else if (parse_option(ret, argc, argv, &i, e) < 0)
			return -1;
		else if (ret->wants_help)
			return 0;
	}
	return check_operands(ret, e);
}

void opts_release(struct invocation *inv)
{
	if (inv->cmd && inv->args)
		for (const struct opt *o = inv->cmd->options; o->name; o++)
			if (o->kind == OPT_LIST)
				free(((struct opt_list *)((char *)inv->args + o->offset))->items);
	free(inv->args);
	free(inv->operands);
	*inv = (struct invocation){ .cmd = NULL };
}
