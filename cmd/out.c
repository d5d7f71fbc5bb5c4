/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Documents, fields and errors; see out.h. */
#include "cmd/out.h"

#include "base/size.h"
#include "cmd/signals.h"
#include "cmd/text.h"

#include <errno.h>
#include <limits.h>
#include <string.h>
#include <unistd.h>

#define LABEL_WIDTH 12

/* A report for a reader who does not read is given up when the program is told to stop. */
static ssize_t write_stdout(void *cookie, const char *bytes, size_t len)
{
	struct out *o = cookie;

	for (size_t done = 0; done < len;) {
		bool may_write = signals_may_write(STDOUT_FILENO);
		ssize_t n = may_write ? write(STDOUT_FILENO, bytes + done, len - done < PIPE_BUF ? len - done : PIPE_BUF) : -1;
		if (may_write && n < 0 && (errno == EINTR || errno == EAGAIN))
			continue;
		if (n < 0) {
			o->write_errno = may_write ? errno : EINTR;
			return 0;
		}
		done += (size_t)n;
	}
	return (ssize_t)len;
}

void out_init(struct out *o, const char *command, bool json)
{
	static const cookie_io_functions_t io = { .write = write_stdout };

	*o = (struct out){ .f = fopencookie(o, "w", io), .is_json = json, .command = command };
	if (!o->f)
		o->f = stdout;
	else if (isatty(STDOUT_FILENO))
		setvbuf(o->f, NULL, _IOLBF, BUFSIZ);
}

static void close_stream(struct out *o)
{
	if (o->f != stdout && o->f != stderr)
		fclose(o->f);
	o->f = stderr;
}

void out_to_stderr(struct out *o)
{
	close_stream(o);
}

static void begin_document(struct out *o)
{
	if (o->begun)
		return;
	o->begun = true;
	json_to_stream(&o->json, o->f, o->f != stderr);
	json_object(&o->json, NULL);
	json_u64(&o->json, "version", 1);
	if (o->command)
		json_str(&o->json, "command", o->command);
}

void out_result(struct out *o)
{
	if (!o->is_json || o->in_result)
		return;
	begin_document(o);
	json_object(&o->json, "result");
	o->in_result = true;
}

static void write_error(struct out *o, const struct err *error)
{
	json_object(&o->json, "error");
	json_str(&o->json, "code", out_error_word(error->code));
	json_u64(&o->json, "exit", (uint64_t)out_exit_code(error));
	json_str(&o->json, "reason", error->reason[0] ? error->reason : NULL);
	json_str(&o->json, "message", error->msg);
	json_str(&o->json, "hint", error->hint[0] ? error->hint : NULL);
	json_end(&o->json);
}

static int lost(const struct out *o, int number, struct err *e)
{
	if (number == EINTR)
		return err_set(e, ERR_STOPPED, 0, "writing to standard output: stopped");
	return err_set(e, ERR_FAILED, number, "writing to standard %s", o->f == stderr ? "error" : "output");
}

int out_finish(struct out *o, const struct err *error, struct err *e)
{
	bool has_error = error && error->code != ERR_NONE;
	int ret = 0;

	if (o->is_json) {
		begin_document(o);
		if (o->in_result)
			json_end(&o->json);
		if (has_error)
			write_error(o, error);
		json_end(&o->json);
		ret = json_finish(&o->json, e);
	}
	if (fflush(o->f) || ferror(o->f))
		ret = lost(o, o->write_errno ? o->write_errno : errno, e);
	close_stream(o);
	return ret;
}

void out_line(struct out *o, const char *fmt, ...)
{
	char line[2048];
	va_list ap;

	if (o->is_json)
		return;
	va_start(ap, fmt);
	vsnprintf(line, sizeof(line), fmt, ap);
	va_end(ap);
	text_put(o->f, line, 0, false);
	fputc('\n', o->f);
}

static void put_field(struct out *o, const char *label, const char *value)
{
	fprintf(o->f, "  %-*s ", LABEL_WIDTH, label);
	text_put(o->f, value, 0, false);
	fputc('\n', o->f);
}

void out_str(struct out *o, const char *key, const char *label, const char *value)
{
	if (o->is_json && key)
		json_str(&o->json, key, value);
	else if (!o->is_json && label && value && *value)
		put_field(o, label, value);
}

void out_bytes(struct out *o, const char *key, const char *label, uint64_t value)
{
	char text[32];

	size_format(value, text);
	if (o->is_json && key)
		json_u64(&o->json, key, value);
	else if (!o->is_json && label)
		put_field(o, label, text);
}

void out_u64(struct out *o, const char *key, const char *label, uint64_t value)
{
	char text[32];

	snprintf(text, sizeof(text), "%llu", (unsigned long long)value);
	if (o->is_json && key)
		json_u64(&o->json, key, value);
	else if (!o->is_json && label)
		put_field(o, label, text);
}

void out_seconds(struct out *o, const char *key, const char *label, double value)
{
	char text[32];

	if (o->is_json && key)
		json_double(&o->json, key, value);
	else if (!o->is_json && label)
		put_field(o, label, text_duration(value, text));
}

void out_bool(struct out *o, const char *key, const char *label, bool value)
{
	if (o->is_json && key)
		json_bool(&o->json, key, value);
	else if (!o->is_json && label)
		put_field(o, label, value ? "yes" : "no");
}

void out_object(struct out *o, const char *key)
{
	if (o->is_json)
		json_object(&o->json, key);
}

void out_array(struct out *o, const char *key)
{
	if (o->is_json)
		json_array(&o->json, key);
}

void out_end(struct out *o)
{
	if (o->is_json)
		json_end(&o->json);
}

void out_hex(struct out *o, const char *key, const uint8_t *bytes, size_t len)
{
	if (o->is_json)
		json_hex(&o->json, key, bytes, len);
}

void out_error_text(const struct err *e)
{
	bool colour = text_use_colour(stderr);

	if (!signals_may_write(STDERR_FILENO))
		return;
	fputs(colour ? "\033[31mcalco:\033[0m " : "calco: ", stderr);
	text_put(stderr, e->msg, 0, false);
	fputc('\n', stderr);
	if (e->hint[0]) {
		fputs("hint: ", stderr);
		text_put(stderr, e->hint, 0, false);
		fputc('\n', stderr);
	}
}

const char *out_error_word(enum err_code code)
{
	switch (code) {
	case ERR_NONE: return "none";
	case ERR_FAILED: return "failed";
	case ERR_USAGE: return "usage";
	case ERR_CORRUPT: return "corrupt";
	case ERR_REFUSED: return "refused";
	case ERR_PARTIAL: return "partial";
	case ERR_UNSUPPORTED: return "unsupported";
	case ERR_STOPPED: return "stopped";
	}
	return "failed";
}

int out_exit_code(const struct err *e)
{
	int number = signals_last();

	if (e->code == ERR_STOPPED)
		return 128 + (number ? number : 2);
	return (int)e->code;
}
