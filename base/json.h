/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * A streaming JSON writer (RFC 8259): values go out as they are named, nothing is kept in memory but the nesting.
 *
 * Writes to a stdio stream, or to a growing buffer. Failures (no memory, a full disk, a closed pipe) are sticky and
 * reported once, by json_finish(). Wrong nesting is our own mistake and an assertion. One thread.
 */
#ifndef CALCO_BASE_JSON_H
#define CALCO_BASE_JSON_H

#include "base/buf.h"
#include "base/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#define JSON_MAX_DEPTH 32

/* All fields are private; begin with json_to_stream() or json_to_buffer(). */
struct json {
	FILE *f;             /* NULL: the buffer */
	struct buf buf;
	bool indent;
	int failed;          /* 0, or the errno of the first failure */
	unsigned depth;
	bool is_array[JSON_MAX_DEPTH + 1];
	bool has_items[JSON_MAX_DEPTH + 1];
};

/* json_to_stream - write to f, which the caller flushes and closes. @indent: one value a line, for people. */
void json_to_stream(struct json *j, FILE *f, bool indent);
/* json_to_buffer - write to memory; json_release() frees it */
void json_to_buffer(struct json *j, bool indent);

/* In an object every value has a key; in an array, and for the outermost value, key is NULL. */
void json_object(struct json *j, const char *key);
void json_array(struct json *j, const char *key);
/* json_end - close the innermost object or array */
void json_end(struct json *j);
/* json_str - NULL is written as null. Bytes that are not UTF-8 become U+FFFD, control characters are escaped. */
void json_str(struct json *j, const char *key, const char *value);
void json_u64(struct json *j, const char *key, uint64_t value);
void json_i64(struct json *j, const char *key, int64_t value);
/* json_double - the shortest text that reads back as the same number; NaN and infinities become null */
void json_double(struct json *j, const char *key, double value);
void json_bool(struct json *j, const char *key, bool value);
void json_null(struct json *j, const char *key);
/* json_hex - bytes as lower-case hexadecimal digits in a string */
void json_hex(struct json *j, const char *key, const uint8_t *bytes, size_t len);

/* json_text - after json_finish() succeeded: what was written to the buffer, NUL-terminated; owned by the writer */
const char *json_text(const struct json *j);

/* json_finish - all objects and arrays are closed: end the line. 0, or -1 with the first failure. */
int json_finish(struct json *j, struct err *e);
/* json_release - free the buffer, if any */
void json_release(struct json *j);

#endif
