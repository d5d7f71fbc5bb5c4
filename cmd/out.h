/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * What a command says, as text or as one JSON document, from the same calls.
 *
 *   {"version": 1, "command": "capture", "result": {...}, "error": {...}}
 *
 * "result" is there as soon as there is one, also next to an error (a capture with unreadable sectors); "error" only when the exit code is
 * not 0. Text goes through text_clean(). A field without a label is JSON only, one without a key is text only.
 */
#ifndef CALCO_CMD_OUT_H
#define CALCO_CMD_OUT_H

#include "base/err.h"
#include "base/json.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

struct out {
	FILE *f;           /* stderr; or what goes to standard output, as long as somebody takes it */
	int write_errno;   /* of the write to standard output that failed; 0: none did */
	bool is_json;
	bool begun, in_result;
	const char *command;
	const char *done; /* NULL, or what was done and stays done if its report cannot be written: "the restore is complete" */
	struct json json;
};

/* out_init - nothing is written yet; *o stays where it is until out_finish(). @command: NULL when it is not known. */
void out_init(struct out *o, const char *command, bool json);
/* out_to_stderr - standard output carries the image: what is said goes to standard error, JSON as one line */
void out_to_stderr(struct out *o);

/* out_result - the fields of the result follow. NULL-safe to call once; text needs no beginning. */
void out_result(struct out *o);
/* out_finish - close the document, with the error if there is one, and flush. 0, or -1 when what was said did not get out. */
int out_finish(struct out *o, const struct err *error, struct err *e);

/* out_line - one line of text; nothing in JSON */
void out_line(struct out *o, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

void out_str(struct out *o, const char *key, const char *label, const char *value);
void out_bytes(struct out *o, const char *key, const char *label, uint64_t value); /* text: "1.5 GiB" */
void out_u64(struct out *o, const char *key, const char *label, uint64_t value);
void out_seconds(struct out *o, const char *key, const char *label, double value);
void out_bool(struct out *o, const char *key, const char *label, bool value);     /* text: yes, no */

/* JSON only: nesting and bare values. */
void out_object(struct out *o, const char *key);
void out_array(struct out *o, const char *key);
void out_end(struct out *o);
void out_hex(struct out *o, const char *key, const uint8_t *bytes, size_t len);

/* ---- tables: aligned columns in text, an array of objects in JSON ---- */

struct out_column {
	const char *key;   /* NULL: text only */
	const char *title; /* NULL: JSON only */
	bool right;        /* numbers */
};

#define OUT_MAX_COLUMNS 24

struct out_table {
	struct out *out;
	const struct out_column *columns;
	size_t nr_columns, column; /* column: the next cell's */
	char **cells;              /* text: all cells of shown columns, row after row; NULL cells are empty */
	size_t nr_cells, capacity;
	size_t width[OUT_MAX_COLUMNS];
	bool failed;
};

/* out_table_begin - @key: of the array. Then nr cells for each row, in the order of the columns; then out_table_end(). */
void out_table_begin(struct out_table *t, struct out *o, const char *key, const struct out_column *columns, size_t nr);
void out_cell_str(struct out_table *t, const char *value);
void out_cell_u64(struct out_table *t, uint64_t value);
void out_cell_bytes(struct out_table *t, uint64_t value);
void out_cell_bool(struct out_table *t, bool value);
void out_cell_none(struct out_table *t); /* empty; null in JSON */
/* out_table_end - the text comes now, columns in which every cell is empty are left out */
void out_table_end(struct out_table *t);

/* ---- errors ---- */

/* out_error_text - "calco: message" and "hint: ..." on standard error */
void out_error_text(const struct err *e);
/* out_error_word - "refused": the stable word of an error's kind */
const char *out_error_word(enum err_code code);
/* out_exit_code - the exit code that an error means; 128+n when a signal stopped the job */
int out_exit_code(const struct err *e);

#endif
