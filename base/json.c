/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The JSON writer; see json.h. */
#include "base/json.h"

#include "base/utf8.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

static void put(struct json *j, const char *s, size_t n)
{
	if (j->failed || !n)
		return;
	if (!j->f) {
		buf_bytes(&j->buf, s, n);
		if (j->buf.failed)
			j->failed = ENOMEM;
		return;
	}
	errno = 0;
	if (fwrite(s, 1, n, j->f) != n)
		j->failed = errno ? errno : EIO;
}

static void put_text(struct json *j, const char *s)
{
	put(j, s, strlen(s));
}

static void put_newline(struct json *j)
{
	if (!j->indent)
		return;
	put(j, "\n", 1);
	for (unsigned i = 0; i < j->depth; i++)
		put(j, "  ", 2);
}

/* RFC 8259 §7: quotation mark, reverse solidus and U+0000..U+001F must be escaped; DEL is too, for terminals. */
static void put_escaped(struct json *j, unsigned char c)
{
	static const char names[] = "\bb\ff\nn\rr\tt\"\"\\\\";
	char text[8];

	for (size_t i = 0; i + 1 < sizeof(names); i += 2) {
		if ((unsigned char)names[i] == c) {
			text[0] = '\\';
			text[1] = names[i + 1];
			put(j, text, 2);
			return;
		}
	}
	snprintf(text, sizeof(text), "\\u%04x", c);
	put_text(j, text);
}

static void put_string(struct json *j, const char *s)
{
	size_t left = strlen(s);

	put(j, "\"", 1);
	while (left) {
		size_t n = utf8_len(s, left);
		unsigned char c = (unsigned char)*s;
		if (!n) {
			put_text(j, "\xEF\xBF\xBD");
			n = 1;
		} else if (n == 1 && (c < 0x20 || c == '"' || c == '\\' || c == 0x7F)) {
			put_escaped(j, c);
		} else {
			put(j, s, n);
		}
		s += n;
		left -= n;
	}
	put(j, "\"", 1);
}

/* What stands before every value: a comma behind its elder brother, the indentation, the key. */
static void begin_value(struct json *j, const char *key)
{
	if (j->depth) {
		assert(j->is_array[j->depth] == !key);
		if (j->has_items[j->depth])
			put(j, ",", 1);
		put_newline(j);
	} else {
		assert(!key && !j->has_items[0]);
	}
	j->has_items[j->depth] = true;
	if (!key)
		return;
	put_string(j, key);
	put(j, ": ", j->indent ? 2 : 1);
}

static void begin_nest(struct json *j, const char *key, bool is_array)
{
	begin_value(j, key);
	assert(j->depth < JSON_MAX_DEPTH);
	j->depth++;
	j->is_array[j->depth] = is_array;
	j->has_items[j->depth] = false;
	put(j, is_array ? "[" : "{", 1);
}

void json_to_stream(struct json *j, FILE *f, bool indent)
{
	*j = (struct json){ .f = f, .indent = indent };
}

void json_to_buffer(struct json *j, bool indent)
{
	*j = (struct json){ .indent = indent };
}

void json_object(struct json *j, const char *key)
{
	begin_nest(j, key, false);
}

void json_array(struct json *j, const char *key)
{
	begin_nest(j, key, true);
}

void json_end(struct json *j)
{
	assert(j->depth > 0);
	bool had_items = j->has_items[j->depth];
	bool was_array = j->is_array[j->depth];
	j->depth--;
	if (had_items)
		put_newline(j);
	put(j, was_array ? "]" : "}", 1);
}

void json_str(struct json *j, const char *key, const char *value)
{
	begin_value(j, key);
	if (value)
		put_string(j, value);
	else
		put_text(j, "null");
}

void json_u64(struct json *j, const char *key, uint64_t value)
{
	char text[24];

	snprintf(text, sizeof(text), "%" PRIu64, value);
	begin_value(j, key);
	put_text(j, text);
}

void json_i64(struct json *j, const char *key, int64_t value)
{
	char text[24];

	snprintf(text, sizeof(text), "%" PRId64, value);
	begin_value(j, key);
	put_text(j, text);
}

void json_double(struct json *j, const char *key, double value)
{
	char text[40];

	if (!isfinite(value)) {
		json_null(j, key);
		return;
	}
	/* Both calls follow the same locale, so the comparison holds; its decimal comma is replaced afterwards. */
	for (int digits = 6; digits <= 17; digits++) {
		snprintf(text, sizeof(text), "%.*g", digits, value);
		if (strtod(text, NULL) == value)
			break;
	}
	for (char *p = text; *p; p++)
		if (*p == ',')
			*p = '.';
	begin_value(j, key);
	put_text(j, text);
}

void json_bool(struct json *j, const char *key, bool value)
{
	begin_value(j, key);
	put_text(j, value ? "true" : "false");
}

void json_null(struct json *j, const char *key)
{
	begin_value(j, key);
	put_text(j, "null");
}

void json_hex(struct json *j, const char *key, const uint8_t *bytes, size_t len)
{
	static const char digits[] = "0123456789abcdef";

	begin_value(j, key);
	put(j, "\"", 1);
	for (size_t i = 0; i < len; i++) {
		char pair[2] = { digits[bytes[i] >> 4], digits[bytes[i] & 15] };
		put(j, pair, 2);
	}
	put(j, "\"", 1);
}

const char *json_text(const struct json *j)
{
	return j->failed ? NULL : (const char *)j->buf.p;
}

int json_finish(struct json *j, struct err *e)
{
	assert(j->depth == 0);
	put(j, "\n", j->f ? 1 : 2); /* in memory with the NUL */
	if (j->failed)
		return err_set(e, ERR_FAILED, j->failed, "writing the JSON document");
	return 0;
}

void json_release(struct json *j)
{
	free(j->buf.p);
	*j = (struct json){ .failed = EBADF };
}
