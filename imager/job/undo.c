/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Undo: put back the bytes that a restore saved and cleared before it was cut short; see undo_run() in job.h.
 *
 * A restore writes upwards and keeps a mark ahead of its writes (at their end, once it is stopped). The record tells how the disk was divided before (of an older one, or where nobody could
 * read the table then, what stands there now must do), and a part that begins at or behind the mark was not written to. The saved bytes are gone through four times:
 * to find the parts, to compare what stands there, to write, and to read back. Before anything is written the notes of the record must prove that
 * the target is the one it is of.
 */
#include "imager/job/job.h"

#include "base/arith.h"
#include "base/blk.h"
#include "fsdrivers/fsdriver.h"
#include "imager/disk/table.h"
#include "imager/job/holds.h"
#include "imager/job/state.h"

#include <limits.h>
#include <stdio.h>
#include <string.h>

struct undo {
	const struct undo_options *o;
	const struct progress *p;
	struct blk_sink *sink;
	struct state *state;
	struct undo_part *parts; /* every part of the disk, sorted, without holes */
	size_t nr;
	struct undo_result *ret;
	bool boot_code;          /* this pass is for the first sector; the one before it was for all others */
};

static int refuse_part(struct undo_part *part, const char *why)
{
	if (!part->why[0])
		snprintf(part->why, sizeof(part->why), "%s", why);
	return 0;
}

static int add_parts(struct undo *u, struct pt_table *t, struct err *e)
{
	struct pt_region *regions = NULL;
	size_t nr = 0;

	if (pt_regions(t, u->sink->size, false, &regions, &nr, e) < 0)
		return -1;
	u->parts = alloc_array(nr, sizeof(*u->parts));
	for (size_t i = 0; u->parts && i < nr; i++) {
		struct undo_part *part = &u->parts[u->nr++];
		part->start = regions[i].start;
		part->len = regions[i].len;
		part->partition = regions[i].kind == PT_REGION_PARTITION ? t->entries[regions[i].entry].number : 0;
	}
	pt_regions_free(regions, nr);
	return u->parts ? 0 : err_nomem(e, "the parts of the disk");
}

/* As the record tells them. */
static int take_parts(struct undo *u, const struct state_part *list, size_t nr, struct err *e)
{
	uint64_t at = 0;

	u->parts = alloc_array(nr, sizeof(*u->parts));
	if (!u->parts)
		return err_nomem(e, "the parts of the disk");
	for (size_t i = 0; i < nr; i++) {
		if (list[i].start < at || !range_inside(list[i].start, list[i].len, u->sink->size)) {
			err_set(e, ERR_CORRUPT, 0, "the state record '%s' divides '%s' in parts that it has not", u->ret->state_file, u->sink->name);
			return err_reason(e, "state");
		}
		at = list[i].start + list[i].len;
		u->parts[u->nr++] = (struct undo_part){ .start = list[i].start, .len = list[i].len, .partition = list[i].partition };
	}
	return 0;
}

/* A table that cannot be read divides nothing: the disk is one part. */
static int find_parts(struct undo *u, struct err *e)
{
	size_t nr;
	const struct state_part *list = state_parts(u->state, &nr);

	if (nr)
		return take_parts(u, list, nr, e);
	AUTO(blk_source) struct blk_source *src = blk_sink_source(u->sink, e);
	AUTO(pt_table) struct pt_table *t = NULL;
	struct err table_error = ERR_INIT;

	if (!src)
		return -1;
	if (pt_read(src, 0, &t, &table_error) == 0)
		return add_parts(u, t, e);
	if (table_error.code != ERR_CORRUPT && table_error.code != ERR_UNSUPPORTED) {
		*e = table_error;
		return -1;
	}
	u->parts = alloc_array(1, sizeof(*u->parts));
	if (!u->parts)
		return err_nomem(e, "the parts of the disk");
	u->parts[0].len = u->sink->size;
	u->nr = 1;
	return 0;
}

static struct undo_part *part_of(const struct undo *u, uint64_t start)
{
	for (size_t i = 0; i < u->nr; i++)
		if (start >= u->parts[i].start && start - u->parts[i].start < u->parts[i].len)
			return &u->parts[i];
	return NULL;
}

static int judge(void *arg, uint64_t start, const uint8_t *bytes, size_t len, bool is_late, struct err *e)
{
	struct undo *u = arg;
	struct undo_part *part = part_of(u, start);
	AUTO_FREE uint8_t *now = malloc(len);

	if (!now)
		return err_nomem(e, "undo");
	if (progress_check(u->p, e) < 0)
		return -1;
	if (!part || len > part->start + part->len - start) {
		err_set(e, ERR_CORRUPT, 0, "the state record holds bytes for %llu, where '%s' has no place for them", (unsigned long long)start,
			u->sink->name);
		return err_reason(e, "state");
	}
	part->saved_bytes += len;
	if (is_late || part->start < state_get_mark(u->state))
		return refuse_part(part, "the restore may have written there");
	if (blk_read_back(u->sink, start, now, len, e) < 0)
		return -1;
	return holds_could_leave(start, bytes, now, len) ? 0 : refuse_part(part, "something else was written there since");
}

/* What was not saved tells as well that a part was used since. */
static int judge_seen(void *arg, uint64_t start, uint64_t len, bool is_seen, struct err *e)
{
	struct undo_part *part = part_of(arg, start);

	(void)len, (void)e;
	return is_seen && part ? refuse_part(part, "something else was written there since") : 0;
}

static int refuse_other(const struct undo *u, const char *what, struct err *e)
{
	err_set(e, ERR_REFUSED, 0, "'%s' %s: nothing is put back there", u->sink->name, what);
	err_hint(e, "the record '%.200s' stays; when what it saved is not needed any more: calco undo --forget %.100s", u->ret->state_file, u->o->disk);
	return err_reason(e, "state");
}

/* Another disk in the old one's place, or the old one used anew: where anything differs, something must prove that it is this one. */
static int judge_target(struct undo *u, struct err *e)
{
	AUTO(blk_source) struct blk_source *src = blk_sink_source(u->sink, e);
	struct state_match match;

	if (!src || state_compare(u->state, src, &match, judge_seen, u, e) < 0)
		return -1;
	if (match.nr_differing && !match.nr_proofs)
		return refuse_other(u, "is not as the restore left it: another disk, or one that was used anew", e);
	return 0;
}

/* Has this pass to put a piece back? 1; 0: it stands there, or its part stays as it is, or the other pass is for it; -1 */
static int is_missing(const struct undo *u, uint64_t start, const uint8_t *bytes, size_t len, struct err *e)
{
	if (part_of(u, start)->why[0] || (start == 0) != u->boot_code)
		return 0;
	if (progress_check(u->p, e) < 0)
		return -1;
	AUTO_FREE uint8_t *now = malloc(len);
	if (!now)
		return err_nomem(e, "undo");
	return blk_read_back(u->sink, start, now, len, e) < 0 ? -1 : memcmp(now, bytes, len) != 0;
}

static int put_back(void *arg, uint64_t start, const uint8_t *bytes, size_t len, bool is_late, struct err *e)
{
	struct undo *u = arg;
	int missing = is_missing(u, start, bytes, len, e);

	(void)is_late;
	if (missing <= 0)
		return missing;
	u->ret->back_bytes += len;
	return u->o->dry_run ? 0 : blk_write(u->sink, start, bytes, len, e);
}

static int compare(void *arg, uint64_t start, const uint8_t *bytes, size_t len, bool is_late, struct err *e)
{
	struct undo *u = arg;
	int missing = is_missing(u, start, bytes, len, e);

	(void)is_late;
	if (missing <= 0)
		return missing;
	return err_set(e, ERR_CORRUPT, 0, "'%s' did not keep what was put back at %llu: do not trust this disk", u->sink->name,
		(unsigned long long)start);
}

/* Boot code last, when everything it starts is proved to be back. */
static int write_all(struct undo *u, struct err *e)
{
	for (int pass = 0; pass < 2; pass++) {
		u->boot_code = pass == 1;
		if (state_each(u->state, put_back, u, e) < 0)
			return -1;
		if (!u->o->dry_run && (blk_flush(u->sink, e) < 0 || state_each(u->state, compare, u, e) < 0))
			return -1;
	}
	return 0;
}

/* What a part holds now, for the report; that nothing is recognised is no error. */
static void name_content(const struct undo *u, struct undo_part *part)
{
	struct err ignored = ERR_INIT;
	AUTO(blk_source) struct blk_source *src = blk_sink_source(u->sink, &ignored);
	AUTO(blk_source) struct blk_source *window = src ? blk_window(src, part->start, part->len, u->sink->name, &ignored) : NULL;
	struct blk_set set = { .members = &window, .nr = 1 };
	AUTO(fsd_volume) struct fsd_volume *v = NULL;

	if (!window || fsd_open(&set, false, &v, &ignored) < 0 || !fsd_get_info(v)->type[0] || !strcmp(fsd_get_info(v)->type, "raw"))
		return;
	const struct fsd_info *info = fsd_get_info(v);
	if (info->label[0])
		snprintf(part->content, sizeof(part->content), "%s '%.130s'", info->type, info->label);
	else
		snprintf(part->content, sizeof(part->content), "%s", info->type);
}

static int judge_all(const struct undo *u, size_t nr_back, struct err *e)
{
	size_t nr = u->ret->nr_parts;

	if (u->ret->is_complete)
		return u->o->dry_run ? 0 : state_remove(u->state, e);
	if (nr_back) {
		err_set(e, ERR_PARTIAL, 0, "%zu of %zu parts of '%s' %s; the restore had begun to write data", nr_back, nr, u->sink->name,
			u->o->dry_run ? "can be put back" : "are back");
		return err_hint(e, "the same restore command completes the disk instead");
	}
	if (nr)
		err_set(e, ERR_REFUSED, 0, "nothing of '%s' can be put back", u->sink->name);
	else
		err_set(e, ERR_REFUSED, 0, "nothing had to be saved of '%s', and the restore had begun to write data: there is nothing to put back",
			u->sink->name);
	err_hint(e, "the same restore command completes the disk");
	return err_reason(e, "written");
}

/* Only the parts from which something was taken are told. Nothing is as it was, whatever is back, once data was written anywhere. */
static int report(struct undo *u, struct err *e)
{
	size_t nr = 0, nr_back = 0;

	for (size_t i = 0; i < u->nr; i++) {
		if (!u->parts[i].saved_bytes)
			continue;
		u->parts[i].is_back = !u->parts[i].why[0];
		nr_back += u->parts[i].is_back;
		if (u->parts[i].is_back && (u->parts[i].partition || u->nr == 1))
			name_content(u, &u->parts[i]);
		u->parts[nr++] = u->parts[i];
	}
	u->ret->parts = take(&u->parts);
	u->ret->nr_parts = nr;
	u->ret->is_complete = nr_back == nr && state_get_mark(u->state) == 0;
	return judge_all(u, nr_back, e);
}

/* No restore of this disk is on record where restores keep their records: nothing to undo, as far as we know. */
static int refuse_unknown(const struct undo *u, const char *path, struct err *e)
{
	err_set(e, ERR_REFUSED, 0, "there is nothing to undo on '%s': this machine has no record of a restore to it that was cut short", u->sink->name);
	err_hint(e, "a restore that was given --state FILE keeps its record there: calco undo --state FILE %.100s (looked for: %.150s)", u->o->disk, path);
	return err_reason(e, "no-record");
}

static int run(struct undo *u, struct err *e)
{
	char path[PATH_MAX];

	u->sink = u->o->sink ? u->o->sink : blk_sink_open(u->o->disk, e);
	if (!u->sink)
		return -1;
	if (u->o->state_file)
		snprintf(path, sizeof(path), "%.4000s", u->o->state_file);
	else if (state_default(u->sink->name, path, sizeof(path), e) < 0)
		return -1;
	snprintf(u->ret->state_file, sizeof(u->ret->state_file), "%.500s", path);
	if (state_open_unfinished(path, u->sink->name, u->sink->size, &u->state, e) < 0)
		return !u->o->state_file && !strcmp(e->reason, "no-record") ? refuse_unknown(u, path, e) : -1;
	if (state_is_other(u->state))
		return refuse_other(u, "is not what the restore was of: another file of this name, or its size changed", e);
	if (find_parts(u, e) < 0)
		return -1;
	progress_update(u->p, "undo", 0, 0);
	if (state_each(u->state, judge, u, e) < 0 || judge_target(u, e) < 0 || write_all(u, e) < 0)
		return -1;
	if (!u->o->dry_run)
		blk_rescan(u->sink);
	return report(u, e);
}

int undo_run(const struct undo_options *o, struct undo_result *ret, const struct progress *p, struct err *e)
{
	struct undo u = { .o = o, .p = p, .ret = ret };

	memset(ret, 0, sizeof(*ret));
	int r = run(&u, e);
	if (r < 0 && e->code == ERR_STOPPED && !o->dry_run)
		err_hint(e, "what was put back stays; the same command puts back the rest");
	free(u.parts);
	state_close(u.state);
	if (!o->sink)
		blk_sink_close(u.sink);
	return r;
}
