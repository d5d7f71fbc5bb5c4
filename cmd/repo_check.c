/* SPDX-License-Identifier: GPL-3.0-or-later */
/* calco repo check: what is told of a check; see repo_verbs.h. */
#include "base/size.h"
#include "cmd/out.h"
#include "cmd/progress_ui.h"
#include "cmd/repo_verbs.h"
#include "cmd/text.h"
#include "imager/repo/maintain.h"

#define MAX_SHOWN 20U /* places of one version in text; JSON has more */

static void show_damages(struct out *out, const struct check_version *v)
{
	out_array(out, "damages");
	for (size_t i = 0; i < v->nr_damages; i++) {
		const struct check_damage *d = &v->damages[i];
		out_object(out, NULL);
		out_u64(out, "disk", NULL, d->disk + 1);
		out_str(out, "volume", NULL, d->volume);
		out_u64(out, "start", NULL, d->start);
		out_u64(out, "length", NULL, d->len);
		out_end(out);
		if (i < MAX_SHOWN)
			out_line(out, "    disk %u, %s: %llu+%llu", d->disk + 1, d->volume, (unsigned long long)d->start, (unsigned long long)d->len);
	}
	out_end(out);
	if (v->nr_damages > MAX_SHOWN)
		out_line(out, "    and %zu more places", v->nr_damages - MAX_SHOWN);
}

static void show_version(struct out *out, const struct check_version *v)
{
	bool is_whole = !v->why[0] && !v->nr_bad;

	out_object(out, NULL);
	out_str(out, "name", NULL, v->name);
	out_u64(out, "version", NULL, v->number);
	out_bool(out, "whole", NULL, is_whole);
	out_u64(out, "chunks", NULL, v->nr_chunks);
	out_u64(out, "bad_chunks", NULL, v->nr_bad);
	if (v->why[0]) {
		out_str(out, "error", NULL, v->why);
		out_line(out, "  lost     %s@%llu: %s", v->name, (unsigned long long)v->number, v->why);
	} else if (is_whole) {
		out_line(out, "  whole    %s@%llu", v->name, (unsigned long long)v->number);
	} else {
		out_line(out, "  damaged  %s@%llu: %llu of %llu chunks", v->name, (unsigned long long)v->number, (unsigned long long)v->nr_bad,
			(unsigned long long)v->nr_chunks);
	}
	show_damages(out, v);
	out_end(out);
}

static void report(struct out *out, const struct check_options *o, const struct check_result *r)
{
	char size[32], seconds[32];

	out_result(out);
	out_bool(out, "read_data", NULL, o->read_data);
	out_bool(out, "complete", NULL, !r->is_part);
	out_array(out, "versions");
	for (size_t i = 0; i < r->nr_versions; i++)
		show_version(out, &r->versions[i]);
	out_end(out);
	out_array(out, "problems");
	for (size_t i = 0; i < r->nr_kept; i++) {
		out_object(out, NULL);
		out_str(out, "problem", NULL, r->problems[i]);
		out_end(out);
		if (i < MAX_SHOWN)
			out_line(out, "  %s", r->problems[i]);
	}
	out_end(out);
	out_u64(out, "packs", NULL, r->nr_packs);
	out_u64(out, "records", NULL, r->nr_records);
	out_u64(out, "checked_records", NULL, r->nr_checked);
	out_u64(out, "checked_bytes", NULL, r->checked_bytes);
	out_u64(out, "rebuilt", NULL, r->nr_rebuilt);
	out_seconds(out, "seconds", NULL, r->seconds);
	size_format(r->checked_bytes, size);
	out_line(out, "  %llu of %llu records in %zu packs, %s, %s in %s", (unsigned long long)r->nr_checked, (unsigned long long)r->nr_records, r->nr_packs,
		size, o->read_data ? "unpacked" : "by their checksums", text_duration(r->seconds, seconds));
	out_u64(out, "healed_chunks", NULL, r->nr_healed);
	if (r->nr_healed)
		out_line(out, "  %llu chunks of versions were healed: the same content was stored elsewhere too", (unsigned long long)r->nr_healed);
	if (r->nr_rebuilt)
		out_line(out, "  %zu files were written anew", r->nr_rebuilt);
}

int repo_verb_check(struct invocation *inv, struct err *e)
{
	const struct repo_args *a = inv->args;
	struct check_options o = { .read_data = a->read_data, .sample = a->sample.given ? (unsigned)a->sample.n : 100, .seconds = a->time_limit.n,
		.heal = a->heal, .rebuild_index = a->rebuild_index };
	AUTO(repo) struct repo *r = repo_verb_open(inv, false, e);
	struct check_result result;
	struct progress_ui ui;

	if (!r)
		return -1;
	if (a->heal && (a->sample.given || a->time_limit.given))
		return err_set(e, ERR_USAGE, 0, "repo check: --heal looks at every record: it does not go with --sample and --time-limit");
	progress_ui_open(&ui, a->common.progress);
	int failed = repo_check(r, &o, &result, &ui.progress, e);
	progress_ui_close(&ui);
	if (failed == 0 || e->code == ERR_CORRUPT)
		report(inv->out, &o, &result);
	check_result_release(&result);
	return failed;
}
