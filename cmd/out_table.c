/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Tables; see out.h. JSON goes out at once, text is kept until the widths are known. */
#include "cmd/out.h"

#include "base/size.h"
#include "cmd/text.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

void out_table_begin(struct out_table *t, struct out *o, const char *key, const struct out_column *columns, size_t nr)
{
	assert(nr <= OUT_MAX_COLUMNS);
	*t = (struct out_table){ .out = o, .columns = columns, .nr_columns = nr };
	out_array(o, key);
}

/* next_column - the column the coming cell belongs to; opens and counts rows. NULL: not shown in this kind of output. */
static const struct out_column *next_column(struct out_table *t)
{
	const struct out_column *c = &t->columns[t->column];

	if (t->column == 0)
		out_object(t->out, NULL);
	return (t->out->is_json ? c->key : c->title) ? c : NULL;
}

static void end_cell(struct out_table *t)
{
	t->column = (t->column + 1) % t->nr_columns;
	if (t->column == 0)
		out_end(t->out);
}

/* Keep a text cell. @text: NULL for an empty one, and for columns that are not shown. */
static void keep(struct out_table *t, const char *text)
{
	char clean[512];
	char *copy = NULL;

	if (text) {
		size_t width = text_width(text_clean(text, clean, sizeof(clean)));
		if (width > t->width[t->column])
			t->width[t->column] = width;
		copy = strdup(clean);
		t->failed |= !copy;
	}
	if (t->nr_cells == t->capacity) {
		size_t want = t->capacity ? 2 * t->capacity : 64;
		char **grown = reallocarray(t->cells, want, sizeof(*grown));
		if (!grown) {
			t->failed = true;
			free(copy);
			return;
		}
		t->cells = grown;
		t->capacity = want;
	}
	t->cells[t->nr_cells++] = copy;
}

void out_cell_str(struct out_table *t, const char *value)
{
	const struct out_column *c = next_column(t);

	if (!t->out->is_json)
		keep(t, c && value && *value ? value : NULL);
	else if (c)
		json_str(&t->out->json, c->key, value);
	end_cell(t);
}

void out_cell_u64(struct out_table *t, uint64_t value)
{
	const struct out_column *c = next_column(t);
	char text[32];

	snprintf(text, sizeof(text), "%llu", (unsigned long long)value);
	if (!t->out->is_json)
		keep(t, c ? text : NULL);
	else if (c)
		json_u64(&t->out->json, c->key, value);
	end_cell(t);
}

void out_cell_bytes(struct out_table *t, uint64_t value)
{
	const struct out_column *c = next_column(t);
	char text[32];

	size_format(value, text);
	if (!t->out->is_json)
		keep(t, c ? text : NULL);
	else if (c)
		json_u64(&t->out->json, c->key, value);
	end_cell(t);
}

void out_cell_bool(struct out_table *t, bool value)
{
	const struct out_column *c = next_column(t);

	if (!t->out->is_json)
		keep(t, c ? (value ? "yes" : "no") : NULL);
	else if (c)
		json_bool(&t->out->json, c->key, value);
	end_cell(t);
}

void out_cell_none(struct out_table *t)
{
	out_cell_str(t, NULL);
}

/* One row: get(c) is the text of column c. The last column is not padded, so that lines carry no trailing spaces. */
static void print_row(const struct out_table *t, char *const *cells)
{
	size_t last = 0;

	for (size_t c = 0; c < t->nr_columns; c++)
		if (t->width[c] && (!cells || cells[c]))
			last = c;
	fputc(' ', t->out->f);
	for (size_t c = 0; c <= last; c++) {
		if (!t->width[c])
			continue;
		const char *text = cells ? (cells[c] ? cells[c] : "") : t->columns[c].title;
		fputc(' ', t->out->f);
		text_put(t->out->f, text, c == last && !t->columns[c].right ? 0 : t->width[c], t->columns[c].right);
		if (c < last)
			fputc(' ', t->out->f);
	}
	fputc('\n', t->out->f);
}

static void print_text(struct out_table *t)
{
	if (!t->nr_cells)
		return;
	for (size_t c = 0; c < t->nr_columns; c++) {
		size_t title = t->columns[c].title ? strlen(t->columns[c].title) : 0;
		if (t->width[c] && t->width[c] < title)
			t->width[c] = title;
	}
	print_row(t, NULL);
	for (size_t i = 0; i + t->nr_columns <= t->nr_cells; i += t->nr_columns)
		print_row(t, t->cells + i);
}

void out_table_end(struct out_table *t)
{
	assert(t->column == 0);
	if (t->failed)
		out_line(t->out, "  (no memory to show this table)");
	else if (!t->out->is_json)
		print_text(t);
	out_end(t->out);
	for (size_t i = 0; i < t->nr_cells; i++)
		free(t->cells[i]);
	free(t->cells);
	t->cells = NULL;
	t->nr_cells = 0;
}
