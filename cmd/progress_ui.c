/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Progress on standard error; see progress_ui.h. Drawn at most ten times, written as JSON at most four times a second. */
#include "cmd/progress_ui.h"

#include "base/json.h"
#include "base/size.h"
#include "cmd/signals.h"
#include "cmd/text.h"

#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#define BAR_INTERVAL  0.1
#define JSON_INTERVAL 0.25
#define RATE_WINDOW   8.0

struct figures {
	double rate; /* bytes per second, 0 while not known */
	double eta;  /* seconds, negative while not known */
};

static double now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

static struct figures figures_of(struct progress_ui *ui, double t, uint64_t done, uint64_t total)
{
	struct figures f = { .eta = -1 };

	if (t - ui->mark_time > RATE_WINDOW / 2) {
		ui->older_mark_time = ui->mark_time;
		ui->older_mark_done = ui->mark_done;
		ui->mark_time = t;
		ui->mark_done = done;
	}
	double seconds = t - ui->older_mark_time;
	if (seconds > 0.5 && done > ui->older_mark_done)
		f.rate = (double)(done - ui->older_mark_done) / seconds;
	if (f.rate > 0 && total >= done && total)
		f.eta = (double)(total - done) / f.rate;
	return f;
}

static void begin_phase(struct progress_ui *ui, const char *phase, double t, uint64_t done)
{
	snprintf(ui->phase, sizeof(ui->phase), "%s", phase);
	ui->phase_began = ui->mark_time = ui->older_mark_time = t;
	ui->mark_done = ui->older_mark_done = done;
	ui->drawn = 0;
}

static void clear_bar(struct progress_ui *ui)
{
	if (ui->bar_shown)
		fputs("\r\033[K", stderr);
	ui->bar_shown = false;
}

static int terminal_width(void)
{
	struct winsize w;

	if (ioctl(STDERR_FILENO, TIOCGWINSZ, &w) < 0 || w.ws_col < 20)
		return 80;
	return w.ws_col;
}

/* "capture    [=====>     ]  45 %  5.4 GiB of 12.1 GiB  412.0 MiB/s  0:17 left"; the bar takes the room that is left. */
static void draw_bar(struct progress_ui *ui, const struct figures *f, uint64_t done, uint64_t total)
{
	char tail[160], a[32], b[32], bar[128];
	int used;

	size_format(done, a);
	size_format(total, b);
	tail[0] = '\0';
	used = total ? snprintf(tail, sizeof(tail), "%3d %%  %s of %s", (int)(100.0 * (double)done / (double)total), a, b)
	     : done ? snprintf(tail, sizeof(tail), "%s", a) : 0; /* a phase without bytes is only named */
	if (f->rate > 0) {
		size_format((uint64_t)f->rate, a);
		used += snprintf(tail + used, sizeof(tail) - (size_t)used, "  %s/s", a);
	}
	if (f->eta >= 0 && f->eta < 360000) {
		unsigned s = (unsigned)(f->eta + 0.5);
		used += s < 3600 ? snprintf(tail + used, sizeof(tail) - (size_t)used, "  %u:%02u left", s / 60, s % 60)
				 : snprintf(tail + used, sizeof(tail) - (size_t)used, "  %u:%02u:%02u left", s / 3600, s / 60 % 60, s % 60);
	}
	int width = terminal_width();
	int room = width - 1 - 10 - used - 4; /* phase, tail, brackets and spaces */
	bar[0] = '\0';
	if (total && room >= 8) {
		room = room > 60 ? 60 : room;
		int full = (int)((double)room * (double)done / (double)total);
		for (int i = 0; i < room; i++)
			bar[i + 1] = i < full ? '=' : i == full ? '>' : ' ';
		bar[0] = '[';
		memcpy(bar + room + 1, "]  ", 4);
	}
	char line[400];
	snprintf(line, sizeof(line), "%-9s %s%s", ui->phase, bar, tail);
	fprintf(stderr, "\r%s%.*s%s\033[K", ui->colour ? "\033[36m" : "", width - 1, line, ui->colour ? "\033[0m" : "");
	ui->bar_shown = true;
}

/* One line in one write, so that lines of several programs on one pipe stay whole. */
static void write_json_line(struct json *j)
{
	struct err e = ERR_INIT;

	if (!json_finish(j, &e) && signals_may_write(STDERR_FILENO))
		fputs(json_text(j), stderr);
	json_release(j);
}

static void write_event(const struct progress_ui *ui, const struct figures *f, uint64_t done, uint64_t total)
{
	struct json j;

	json_to_buffer(&j, false);
	json_object(&j, NULL);
	json_str(&j, "event", "progress");
	json_str(&j, "phase", ui->phase);
	json_u64(&j, "done", done);
	if (total)
		json_u64(&j, "total", total);
	else
		json_null(&j, "total");
	json_u64(&j, "rate", (uint64_t)f->rate);
	if (f->eta >= 0 && f->eta < 1e9)
		json_u64(&j, "eta", (uint64_t)(f->eta + 0.5));
	else
		json_null(&j, "eta");
	json_end(&j);
	write_json_line(&j);
}

static void on_update(void *arg, const char *phase, uint64_t done, uint64_t total)
{
	struct progress_ui *ui = arg;
	double t = now();

	if (ui->mode == PROGRESS_NONE)
		return;
	pthread_mutex_lock(&ui->lock);
	bool is_new = strcmp(ui->phase, phase) != 0;
	if (is_new)
		begin_phase(ui, phase, t, done);
	if (total && done > total)
		done = total;
	double interval = ui->mode == PROGRESS_JSON ? JSON_INTERVAL : BAR_INTERVAL;
	/* The end of a phase is always shown: a listener may wait for it. */
	if (is_new || t - ui->drawn >= interval || (total && done == total && ui->drawn > 0)) {
		struct figures f = figures_of(ui, t, done, total);
		if (ui->mode == PROGRESS_JSON)
			write_event(ui, &f, done, total);
		else if (signals_may_write(STDERR_FILENO))
			draw_bar(ui, &f, done, total);
		ui->drawn = t;
	}
	pthread_mutex_unlock(&ui->lock);
}

static void on_notice(void *arg, const char *text)
{
	struct progress_ui *ui = arg;
	struct json j;

	pthread_mutex_lock(&ui->lock);
	if (ui->mode == PROGRESS_JSON) {
		json_to_buffer(&j, false);
		json_object(&j, NULL);
		json_str(&j, "event", "notice");
		json_str(&j, "text", text);
		json_end(&j);
		write_json_line(&j);
	} else if (signals_may_write(STDERR_FILENO)) {
		clear_bar(ui);
		fputs("note: ", stderr);
		text_put(stderr, text, 0, false);
		fputc('\n', stderr);
	}
	pthread_mutex_unlock(&ui->lock);
}

void progress_ui_open(struct progress_ui *ui, enum progress_mode mode)
{
	*ui = (struct progress_ui){ .lock = PTHREAD_MUTEX_INITIALIZER };
	ui->progress = (struct progress){ .update = on_update, .notice = on_notice, .stopped = signals_stopped, .arg = ui };
	if (mode == PROGRESS_AUTO)
		mode = isatty(STDERR_FILENO) ? PROGRESS_TTY : PROGRESS_NONE;
	ui->mode = mode;
	ui->colour = mode == PROGRESS_TTY && text_use_colour(stderr);
}

void progress_ui_close(struct progress_ui *ui)
{
	if (ui->bar_shown && signals_may_write(STDERR_FILENO))
		clear_bar(ui);
	pthread_mutex_destroy(&ui->lock);
}
