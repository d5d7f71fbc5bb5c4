/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Asking before a disk is written; see confirm.h. */
#include "cmd/confirm.h"

#include "base/auto.h"
#include "base/size.h"
#include "base/wait.h"
#include "cmd/signals.h"
#include "cmd/text.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

bool confirm_possible(bool stdin_is_image)
{
	if (!isatty(STDERR_FILENO))
		return false;
	if (!stdin_is_image)
		return isatty(STDIN_FILENO);
	AUTO_CLOSE_FD int fd = open("/dev/tty", O_RDWR | O_CLOEXEC);
	return fd >= 0;
}

/*
 * One line from the terminal, without its end. Ctrl-C at the question must end the program: no reading before there is something.
 * 0, or -1 at the end of input or when stopped.
 */
static int read_answer(int fd, char *out, size_t size)
{
	struct err ignored = ERR_INIT;

	if (wait_readable(fd, "the terminal", &signals_only, &ignored) < 0)
		return -1;
	ssize_t n = read(fd, out, size - 1); /* a terminal gives a line at a time */
	if (n <= 0)
		return -1;
	out[n] = '\0';
	out[strcspn(out, "\r\n")] = '\0';
	return 0;
}

static void show_target(const struct guard_verdict *v)
{
	char size[32], line[1024];

	size_format(v->dev.size, size);
	snprintf(line, sizeof(line), "%s: %s%s%s%s%s, %s", v->dev.path, v->dev.model[0] ? v->dev.model : "disk",
		v->dev.serial[0] ? ", serial " : "", v->dev.serial, v->dev.bus[0] ? ", " : "", v->dev.bus, size);
	fputc('\n', stderr);
	text_put(stderr, line, 0, false);
	snprintf(line, sizeof(line), "  on it now: %s", v->is_empty ? "nothing that is recognised" : v->holds);
	fputc('\n', stderr);
	text_put(stderr, line, 0, false);
	fputs(v->is_empty ? "\n  It will be overwritten.\n" : "\n  ALL OF THIS WILL BE LOST.\n", stderr);
}

static void show_question(const struct guard_verdict *v)
{
	char line[400];

	if (v->is_empty)
		snprintf(line, sizeof(line), "Type 'yes' to go on: ");
	else
		snprintf(line, sizeof(line), "To go on, type %s (%s): ", v->confirm_what, v->confirm_text);
	text_put(stderr, line, 0, false);
	fflush(stderr);
}

int confirm_target(const struct guard_request *rq, const struct guard_verdict *v, bool may_ask, struct err *e)
{
	struct guard_request answered = *rq;
	char answer[512]; /* the whole line is taken, so that nothing of it is left for the shell */

	/* A wrong --confirm is a mistake in a command, not a question to repeat. */
	if (!guard_confirm(rq, v, e))
		return 0;
	if (!may_ask || rq->confirm)
		return -1;
	AUTO_CLOSE_FD int fd = open("/dev/tty", O_RDWR | O_CLOEXEC);
	if (fd < 0)
		return -1;
	show_target(v);
	show_question(v);
	int got = read_answer(fd, answer, sizeof(answer));
	if (signals_stopped(NULL))
		return err_set(e, ERR_STOPPED, 0, "stopped at the question; nothing was written");
	if (got < 0)
		return -1;
	if (v->is_empty)
		answered.yes = !strcmp(answer, "yes");
	else
		answered.confirm = answer;
	return guard_confirm(&answered, v, e);
}

static int refuse_removal(const char *what, struct err *e)
{
	err_set(e, ERR_REFUSED, 0, "removing %.400s was not confirmed", what);
	err_hint(e, "add --yes");
	return err_reason(e, "not-confirmed");
}

int confirm_removal(const char *what, bool yes, bool may_ask, struct err *e)
{
	char answer[512], line[1024];

	if (yes)
		return 0;
	if (!may_ask)
		return refuse_removal(what, e);
	AUTO_CLOSE_FD int fd = open("/dev/tty", O_RDWR | O_CLOEXEC);
	if (fd < 0)
		return refuse_removal(what, e);
	snprintf(line, sizeof(line), "%s", what);
	fputc('\n', stderr);
	text_put(stderr, line, 0, false);
	fputs("\n  IT WILL BE REMOVED FOR EVER.\nType 'yes' to go on: ", stderr);
	fflush(stderr);
	int got = read_answer(fd, answer, sizeof(answer));
	if (signals_stopped(NULL))
		return err_set(e, ERR_STOPPED, 0, "stopped at the question; nothing was removed");
	return got < 0 || strcmp(answer, "yes") != 0 ? refuse_removal(what, e) : 0;
}
