/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The state records there are, and giving one up; see undo_records.h. */
#include "cmd/undo_records.h"

#include "base/folder.h"
#include "base/size.h"
#include "cmd/confirm.h"
#include "cmd/operands.h"
#include "cmd/out.h"
#include "cmd/text.h"
#include "imager/job/state.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *state_word(const struct state_entry *s)
{
	if (s->is_damaged)
		return "damaged";
	if (s->in_use)
		return "in-use";
	if (s->is_finished)
		return "finished";
	return s->is_aside ? "set-aside" : "unfinished";
}

int undo_list(struct out *out, struct err *e)
{
	static const struct out_column columns[] = {
		{ .key = "target", .title = "TARGET" }, { .key = "target_size", .title = "SIZE", .right = true }, { .key = "state", .title = "STATE" },
		{ .key = "saved_bytes", .title = "SAVED", .right = true }, { .key = "changed" }, { .title = "WRITTEN" }, { .key = "file", .title = "RECORD" },
	};
	struct state_entry *list;
	struct out_table t;
	size_t nr;
	char text[32];

	if (state_list(&list, &nr, e) < 0)
		return -1;
	out_result(out);
	out_table_begin(&t, out, "records", columns, sizeof(columns) / sizeof(columns[0]));
	for (size_t i = 0; i < nr; i++) {
		const struct state_entry *s = &list[i];
		out_cell_str(&t, s->is_damaged ? NULL : s->target);
		out_cell_bytes(&t, s->target_size);
		out_cell_str(&t, state_word(s));
		out_cell_bytes(&t, s->saved_bytes);
		out_cell_str(&t, text_time(s->changed, true, text));
		out_cell_str(&t, text_time(s->changed, false, text));
		out_cell_str(&t, s->path);
	}
	out_table_end(&t);
	if (!nr)
		out_line(out, "there are no records of restores");
	free(list);
	return 0;
}

/* The target of a record may be gone: then its name is what realpath() would make of it. */
static void name_missing(const char *path, char ret[PATH_MAX])
{
	char folder[PATH_MAX], real[PATH_MAX];
	const char *slash = strrchr(path, '/');

	if (folder_of(path, folder, sizeof(folder)) < 0 || !realpath(folder, real) ||
		snprintf(ret, PATH_MAX, "%s/%s", strcmp(real, "/") ? real : "", slash ? slash + 1 : path) >= PATH_MAX)
		snprintf(ret, PATH_MAX, "%.4000s", path);
}

/* The path of the record of a disk that is there; "" when there is no such disk. */
static void usual_record(const char *target, char ret[PATH_MAX])
{
	struct err ignored = ERR_INIT;
	AUTO(disk_paths) struct disk_paths *disk = disk_paths_resolve(&target, 1, &ignored);

	if (!disk || state_default(disk->items[0], ret, PATH_MAX, &ignored) < 0)
		ret[0] = '\0';
}

static int find_record(const char *target, struct state_entry *ret, struct err *e)
{
	char usual[PATH_MAX], missing[PATH_MAX];
	struct state_entry *list;
	const struct state_entry *found = NULL, *aside = NULL;
	size_t nr;

	usual_record(target, usual);
	name_missing(target, missing);
	if (state_list(&list, &nr, e) < 0)
		return -1;
	for (size_t i = 0; i < nr; i++) {
		const struct state_entry *s = &list[i];
		bool is_target = !strcmp(s->target, target) || !strcmp(s->target, missing);
		if (!strcmp(s->path, target) || (!s->is_aside && (is_target || !strcmp(s->path, usual))))
			found = s;
		else if (s->is_aside && is_target)
			aside = s;
	}
	if (found)
		*ret = *found;
	else
		err_set(e, ERR_USAGE, 0, "there is no record of a restore to '%s'", target);
	if (!found && aside)
		err_hint(e, "one that was set aside is named by its file: calco undo --forget %.150s", aside->path);
	else if (!found)
		err_hint(e, "'calco undo --list' shows all there are");
	free(list);
	return found ? 0 : err_reason(e, "no-record");
}

int undo_forget(struct out *out, const char *target, const char *state_file, bool yes, struct err *e)
{
	struct state_entry s;
	char size[32], what[900];

	if ((state_file ? state_peek(state_file, &s, e) : find_record(target, &s, e)) < 0)
		return -1;
	size_format(s.saved_bytes, size);
	if (s.is_finished)
		snprintf(what, sizeof(what), "the record of a finished restore to '%.400s'", s.target);
	else
		snprintf(what, sizeof(what), "the record of %s restore to '%.400s', with %s of what stood there before", s.is_damaged ? "a" : "an unfinished",
			s.is_damaged ? s.path : s.target, s.is_damaged ? "an unknown part" : size);
	if (confirm_removal(what, yes, !out->is_json && confirm_possible(false), e) < 0 || state_forget(s.path, e) < 0)
		return -1;
	out_result(out);
	out_str(out, "file", NULL, s.path);
	out_str(out, "target", NULL, s.is_damaged ? NULL : s.target);
	out_u64(out, "saved_bytes", NULL, s.saved_bytes);
	out_line(out, "removed %s", what);
	return 0;
}
