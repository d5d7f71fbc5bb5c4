/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The verbs of "calco repo"; see repo_verbs.h. */
#include "cmd/repo_verbs.h"

#include "base/arith.h"
#include "base/hex.h"
#include "base/size.h"
#include "cmd/out.h"
#include "cmd/progress_ui.h"
#include "cmd/show.h"
#include "cmd/signals.h"
#include "cmd/text.h"
#include "imager/image/locations.h"
#include "imager/repo/maintain.h"
#include "imager/repo/versions.h"

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

struct repo *repo_verb_open(const struct invocation *inv, bool may_be_locked, struct err *e)
{
	const struct repo_args *a = inv->args;
	AUTO(access) struct access *access = access_open(&a->access, e);
	AUTO(repo) struct repo *r = access ? repo_open(inv->operands[1], e) : NULL;

	if (!r)
		return NULL;
	if ((!may_be_locked || img_keys_given(&access->a.keys)) && repo_use_keys(r, &access->a, e) < 0)
		return NULL;
	return take(&r);
}

int repo_verb_init(struct invocation *inv, struct err *e)
{
	const struct repo_args *a = inv->args;
	const struct access_args none = { .passphrase_file = NULL };
	const char *dir = inv->operands[1];
	AUTO(access) struct access *access = access_open(&none, e);

	if (!access || access_keys(access, &a->access.key, a->access.passphrase_file, true, e) < 0)
		return -1;
	bool is_sealed = img_keys_given(&access->a.keys);
	if (repo_init(dir, is_sealed ? &access->a.keys : NULL, e) < 0)
		return -1;
	AUTO(repo) struct repo *r = repo_open(dir, e);
	if (!r)
		return -1;
	out_result(inv->out);
	out_str(inv->out, "repository", NULL, dir);
	out_hex(inv->out, "id", r->id, sizeof(r->id));
	out_bool(inv->out, "encrypted", NULL, is_sealed);
	out_line(inv->out, "made the %srepository '%s'", is_sealed ? "encrypted " : "", dir);
	out_line(inv->out, "next: calco capture /dev/sdX %s::NAME%s", dir, !is_sealed ? "" : a->access.key.nr ? " --key FILE" : " --passphrase-file FILE");
	return 0;
}

static const struct out_column columns[] = {
	{ .key = "name", .title = "NAME" },
	{ .key = "version", .title = "VERSION", .right = true },
	{ .key = "state" },
	{ .key = "complete" },
	{ .key = NULL, .title = "CREATED" },
	{ .key = "created" },
	{ .key = NULL, .title = "TAGS" },
	{ .key = "disk_bytes", .title = "DISKS", .right = true },
	{ .key = "stored_bytes", .title = "STORED", .right = true },
	{ .key = "root" },
	{ .key = "error", .title = "ERROR" },
};

/* The tags of a version in one word, "stable,week-3". */
static void tags_of(const struct repo_tag *tags, size_t nr, const struct repo_version *v, char *ret, size_t size)
{
	size_t used = 0;

	ret[0] = '\0';
	for (size_t i = 0; i < nr && used < size; i++)
		if (tags[i].number == v->number && !strcmp(tags[i].name, v->name))
			used += (size_t)snprintf(ret + used, size - used, "%s%s", used ? "," : "", tags[i].tag);
}

static void row_of_version(struct out_table *t, const struct repo *r, const struct repo_version *v, const char *tags)
{
	char text[2 * IMG_ID_SIZE + 1];
	struct err e = ERR_INIT;
	struct img_summary s;
	bool is_sound = version_summary(r, v, &s, &signals_only, &e) == 0;

	out_cell_str(t, v->name);
	out_cell_u64(t, v->number);
	bool is_locked = !is_sound && !strcmp(e.reason, "locked");
	out_cell_str(t, is_sound ? "complete" : is_locked ? "locked" : "damaged");
	out_cell_bool(t, is_sound);
	out_cell_str(t, is_sound ? text_time(s.created, true, text) : NULL);
	out_cell_str(t, is_sound ? text_time(s.created, false, text) : NULL);
	out_cell_str(t, tags);
	if (!is_sound) {
		for (unsigned i = 0; i < 3; i++)
			out_cell_none(t);
		if (is_locked)
			out_cell_none(t);
		else
			out_cell_str(t, e.msg);
		return;
	}
	out_cell_bytes(t, s.disk_bytes);
	out_cell_bytes(t, s.stored_bytes);
	out_cell_str(t, hex_of(s.root, IMG_ID_SIZE, text));
	out_cell_none(t);
}

static void list_tags_json(struct out *out, const struct repo_tag *tags, size_t nr)
{
	out_array(out, "tags");
	for (size_t i = 0; i < nr && out->is_json; i++) {
		out_object(out, NULL);
		out_str(out, "name", NULL, tags[i].name);
		out_str(out, "tag", NULL, tags[i].tag);
		out_u64(out, "version", NULL, tags[i].number);
		out_end(out);
	}
	out_end(out);
}

static int tell_odd(void *arg, const char *text, struct err *e)
{
	(void)e;
	progress_notice(arg, "%s", text);
	return 0;
}

/* All versions, or those of one image; what does not belong there is told. */
static int list_versions(struct invocation *inv, const struct repo *r, const char *name, struct repo_version **ret, size_t *ret_nr, struct err *e)
{
	const struct repo_args *a = inv->args;
	struct progress_ui ui;

	if (name)
		return versions_list(r, name, ret, ret_nr, e);
	progress_ui_open(&ui, a->common.progress);
	int failed = versions_list_all(r, tell_odd, &ui.progress, ret, ret_nr, e);
	progress_ui_close(&ui);
	return failed;
}

int repo_verb_list(struct invocation *inv, struct err *e)
{
	const char *name = inv->nr_operands > 2 ? inv->operands[2] : NULL;
	AUTO(repo) struct repo *r = repo_verb_open(inv, true, e);
	AUTO_FREE struct repo_version *list = NULL;
	AUTO_FREE struct repo_tag *tags = NULL;
	size_t nr, nr_tags;
	struct out_table t;

	if (name && !img_name_ok(name))
		return err_set(e, ERR_USAGE, 0, "'%s' is not a name for an image", name);
	if (!r || repo_take_lease(r, false, e) < 0)
		return -1;
	if (list_versions(inv, r, name, &list, &nr, e) < 0 || tags_list(r, name, &tags, &nr_tags, e) < 0)
		return -1;
	out_result(inv->out);
	out_str(inv->out, "repository", NULL, r->dir);
	out_bool(inv->out, "encrypted", NULL, r->slots);
	out_table_begin(&t, inv->out, "versions", columns, sizeof(columns) / sizeof(columns[0]));
	for (size_t i = 0; i < nr; i++) {
		char words[1024];
		tags_of(tags, nr_tags, &list[i], words, sizeof(words));
		row_of_version(&t, r, &list[i], words[0] ? words : NULL);
	}
	out_table_end(&t);
	list_tags_json(inv->out, tags, nr_tags);
	if (!nr)
		out_line(inv->out, "no %s in '%s'", name ? "such image" : "images", r->dir);
	else if (r->slots && !r->seal)
		out_line(inv->out, "encrypted: --key FILE or --passphrase-file FILE shows what they hold");
	return 0;
}

/* "NAME" or "NAME@N" of an operand. */
static int find_version(const struct repo *r, const char *word, bool needs_number, struct repo_version *ret, struct err *e)
{
	char image[PATH_MAX];
	struct repo_name name;

	if ((size_t)snprintf(image, sizeof(image), "x::%s", word) >= sizeof(image) || repo_parse(image, &name, e) < 0)
		return err_set(e, ERR_USAGE, 0, "'%.100s' is not NAME@N", word);
	if (needs_number && !name.which[0]) {
		err_set(e, ERR_USAGE, 0, "'%s' does not say which version", word);
		return err_hint(e, "NAME@N, with a number or a tag; calco repo list %s shows them", r->dir);
	}
	snprintf(ret->name, sizeof(ret->name), "%s", name.name);
	return version_find(r, &name, &ret->number, e);
}

int repo_verb_tag(struct invocation *inv, struct err *e)
{
	const struct repo_args *a = inv->args;
	const char *tag = inv->operands[3];
	AUTO(repo) struct repo *r = repo_verb_open(inv, true, e);
	struct repo_version v;

	if (!r || repo_lock(r, &signals_only, e) < 0 || find_version(r, inv->operands[2], false, &v, e) < 0)
		return -1;
	if ((a->is_delete ? tag_remove(r, v.name, tag, e) : tag_set(r, v.name, tag, v.number, e)) < 0)
		return -1;
	out_result(inv->out);
	out_str(inv->out, "name", NULL, v.name);
	out_str(inv->out, "tag", NULL, tag);
	out_u64(inv->out, "version", NULL, v.number);
	if (a->is_delete)
		out_line(inv->out, "removed the tag '%s' of '%s'", tag, v.name);
	else
		out_line(inv->out, "%s@%s is now version %llu", v.name, tag, (unsigned long long)v.number);
	return 0;
}

int repo_verb_rm(struct invocation *inv, struct err *e)
{
	const struct repo_args *a = inv->args;
	size_t nr = inv->nr_operands - 2;
	AUTO(repo) struct repo *r = repo_verb_open(inv, true, e);
	AUTO_FREE struct repo_version *list = alloc_array(nr, sizeof(*list));

	if (!list)
		return err_nomem(e, "the list of versions");
	if (!r || repo_lock(r, &signals_only, e) < 0)
		return -1;
	for (size_t i = 0; i < nr; i++) /* all of them, before the first goes */
		if (find_version(r, inv->operands[i + 2], true, &list[i], e) < 0 || version_may_go(r, &list[i], e) < 0)
			return -1;
	out_result(inv->out);
	out_bool(inv->out, "dry_run", NULL, a->dry_run);
	out_array(inv->out, "removed");
	for (size_t i = 0; i < nr; i++) {
		if (!a->dry_run && version_remove(r, &list[i], e) < 0)
			return -1;
		out_object(inv->out, NULL);
		out_str(inv->out, "name", NULL, list[i].name);
		out_u64(inv->out, "version", NULL, list[i].number);
		out_end(inv->out);
		out_line(inv->out, "%s version %llu of '%s'", a->dry_run ? "would remove" : "removed", (unsigned long long)list[i].number, list[i].name);
	}
	out_end(inv->out);
	return 0;
}

static void report_prune(struct out *out, const struct prune_options *o, const struct prune_result *r)
{
	out_result(out);
	out_bool(out, "dry_run", NULL, o->dry_run);
	out_bytes(out, "freed_bytes", o->dry_run ? "would free" : "freed", r->freed_bytes > r->copied_bytes ? r->freed_bytes - r->copied_bytes : 0);
	out_bytes(out, "copied_bytes", "rewritten", r->copied_bytes);
	out_bytes(out, "needed_bytes", "needed", r->needed_bytes);
	out_bytes(out, "waiting_bytes", NULL, r->waiting_bytes);
	out_bytes(out, "unfinished_bytes", NULL, r->unfinished_bytes);
	out_u64(out, "removed_packs", NULL, r->removed_packs);
	out_u64(out, "written_packs", NULL, r->written_packs);
	out_u64(out, "rewritten_versions", NULL, r->rewritten_versions);
	char size[32];
	size_format(r->waiting_bytes, size);
	if (r->waiting_bytes)
		out_line(out, "  %s are not needed, but somebody may be reading them: prune again later", size);
	size_format(r->unfinished_bytes, size);
	if (r->unfinished_bytes)
		out_line(out, o->unfinished && !o->dry_run ? "  %s of interrupted captures are gone"
							   : "  %s of interrupted captures wait for the next capture (or for --unfinished)", size);
}

int repo_verb_prune(struct invocation *inv, struct err *e)
{
	const struct repo_args *a = inv->args;
	struct prune_options o = { .max_unused = a->max_unused.given ? (unsigned)a->max_unused.n : 25, .unfinished = a->unfinished, .dry_run = a->dry_run };
	AUTO(repo) struct repo *r = repo_verb_open(inv, false, e);
	struct prune_result result;
	struct progress_ui ui;

	if (!r)
		return -1;
	progress_ui_open(&ui, a->common.progress);
	int failed = repo_prune(r, &o, &result, &ui.progress, e);
	progress_ui_close(&ui);
	if (failed == 0)
		report_prune(inv->out, &o, &result);
	return failed;
}

static void report_stats(struct out *out, const struct repo *r, const struct repo_stats *s)
{
	uint64_t all = s->pack_bytes + s->version_bytes + s->cache_bytes;

	out_result(out);
	out_str(out, "repository", NULL, r->dir);
	out_u64(out, "images", "images", s->nr_images);
	out_u64(out, "versions", "versions", s->nr_versions);
	out_bytes(out, "content_bytes", "content of all", s->content_bytes);
	out_bytes(out, "total_bytes", "takes", all);
	out_bytes(out, "pack_bytes", "  packs", s->pack_bytes);
	out_bytes(out, "version_bytes", "  versions", s->version_bytes);
	out_bytes(out, "cache_bytes", "  caches", s->cache_bytes);
	if (all)
		out_line(out, "  ratio        %.2f : 1", (double)s->content_bytes / (double)all);
	out_bytes(out, "unneeded_bytes", "not needed", s->pack_bytes - s->needed_bytes);
	out_bytes(out, "unfinished_bytes", "unfinished", s->unfinished_bytes);
	out_u64(out, "packs", "packs", s->nr_packs);
	out_u64(out, "records", "records", s->nr_records);
	out_u64(out, "composed_records", "composed", s->nr_composed);
}

int repo_verb_stats(struct invocation *inv, struct err *e)
{
	const struct repo_args *a = inv->args;
	AUTO(repo) struct repo *r = repo_verb_open(inv, false, e);
	struct repo_stats stats;
	struct progress_ui ui;

	if (!r)
		return -1;
	progress_ui_open(&ui, a->common.progress);
	int failed = repo_stats(r, &stats, &ui.progress, e);
	progress_ui_close(&ui);
	if (failed == 0)
		report_stats(inv->out, r, &stats);
	return failed;
}

/* What "calco info" shows, and what the version shares. */
int repo_verb_show(struct invocation *inv, struct err *e)
{
	AUTO(repo) struct repo *r = repo_verb_open(inv, false, e);
	struct repo_version v;

	if (!r || repo_take_lease(r, false, e) < 0 || find_version(r, inv->operands[2], false, &v, e) < 0)
		return -1;
	AUTO(img_reader) struct img_reader *reader = version_open(r, &v, &signals_only, e);
	if (!reader)
		return -1;
	const struct img_manifest *m = img_reader_manifest(reader);
	const struct img_locations *l = img_reader_locations(reader);
	uint64_t stored = 0;
	for (uint64_t i = 0; i < l->nr_chunks; i++)
		stored += l->chunks[i].len;
	for (uint64_t i = 0; i < l->nr_helpers; i++)
		stored += l->helpers[i].at.len;
	out_result(inv->out);
	show_identity(inv->out, m);
	out_bytes(inv->out, "stored_bytes", "stored", show_stored_bytes(m, -1));
	out_bytes(inv->out, "record_bytes", "in records of", stored);
	out_u64(inv->out, "packs", "packs", l->nr_packs);
	show_layout(inv->out, m);
	show_notices(inv->out, m);
	show_bad_ranges(inv->out, m);
	return 0;
}
