/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Is a repository what it must be? What must be true is told in lines:
 *
 *   may NAME N FILE      the version may be there; then it holds what is in FILE
 *   have NAME N FILE     it must be there
 *   maygone NAME N       it may be there no more; when it is, it is whole
 *   gone NAME N          it must not be there
 *   maytag NAME TAG N    the tag may mean that; 0: it may not be there
 *   tag NAME TAG N       it must mean that
 *
 * A version or tag that no line names must not be there. A version is read to the last byte and compared with FILE, a disk of one piece.
 */
#ifndef CALCO_TESTS_TOOLS_REPOJUDGE_H
#define CALCO_TESTS_TOOLS_REPOJUDGE_H

#include "imager/image/chunk.h"
#include "imager/image/locations.h"
#include "imager/repo/maintain.h"
#include "imager/repo/versions.h"
#include "tests/tools/crashfs.h"

#define MAX_CONTENTS 8U
#define MAX_WANTS    512U

struct want {
	char name[REPO_NAME_SIZE], tag[REPO_NAME_SIZE]; /* tag "": a version */
	uint64_t number;                 /* of the version */
	uint64_t numbers[MAX_CONTENTS];  /* that the tag may mean */
	unsigned files[MAX_CONTENTS];    /* that the version may hold */
	unsigned nr;
	bool must;
	bool was_seen;
};

struct content {
	char path[FS_PATH];
	uint8_t *bytes;
	uint64_t len;
};

struct judge {
	struct want wants[MAX_WANTS];
	size_t nr_wants;
	struct content *contents;
	size_t nr_contents;
	struct chunk_codec *codec;
	uint8_t *disk, *payload, *chunk; /* buffers */
	uint64_t disk_room;
	uint64_t *proved; /* set of (version file, packs, content) that were read to the last byte: open addressing */
	uint64_t nr_proved, proved_room;
	uint64_t nr_versions, nr_read, nr_checks;
	char why[700];
};

static inline struct want *judge_want(struct judge *j, const char *name, const char *tag, uint64_t number)
{
	for (size_t i = 0; i < j->nr_wants; i++) {
		struct want *w = &j->wants[i];
		if (!strcmp(w->name, name) && !strcmp(w->tag, tag) && (*tag || w->number == number))
			return w;
	}
	if (j->nr_wants == MAX_WANTS)
		fs_die("more than %u things are expected", MAX_WANTS);
	struct want *w = &j->wants[j->nr_wants++];
	*w = (struct want){ .number = number };
	snprintf(w->name, sizeof(w->name), "%s", name);
	snprintf(w->tag, sizeof(w->tag), "%s", tag);
	return w;
}

static inline unsigned judge_content(struct judge *j, const char *path)
{
	for (size_t i = 0; i < j->nr_contents; i++)
		if (!strcmp(j->contents[i].path, path))
			return (unsigned)i;
	j->contents = fs_grow(j->contents, j->nr_contents, sizeof(*j->contents));
	struct content *c = &j->contents[j->nr_contents++];
	*c = (struct content){ .len = 0 };
	snprintf(c->path, sizeof(c->path), "%s", path);
	c->bytes = fs_read_file(path, &c->len);
	return (unsigned)j->nr_contents - 1;
}

static inline void judge_allow(struct want *w, uint64_t number, unsigned file)
{
	if (w->nr == MAX_CONTENTS)
		fs_die("'%s' may be more than %u things", w->name, MAX_CONTENTS);
	w->numbers[w->nr] = number;
	w->files[w->nr++] = file;
}

/* judge_expect - one line */
static inline void judge_expect(struct judge *j, const char *line)
{
	char word[16], name[REPO_NAME_SIZE], third[REPO_NAME_SIZE], rest[FS_PATH] = "";

	if (sscanf(line, "%15s %64s %64s %299s", word, name, third, rest) < 3)
		fs_die("what is expected is not understood: %s", line);
	bool is_tag = strstr(word, "tag") != NULL;
	struct want *w = judge_want(j, name, is_tag ? third : "", is_tag ? 0 : strtoull(third, NULL, 10));
	uint64_t meant = is_tag ? strtoull(rest, NULL, 10) : 0;
	bool is_certain = strncmp(word, "may", 3) != 0, may_lack = !strcmp(word, "gone") || !strcmp(word, "maygone") || (is_tag && !meant);
	if (is_certain)
		w->nr = 0;
	w->must = !may_lack && (w->must || is_certain);
	if (!may_lack)
		judge_allow(w, meant, is_tag ? 0 : judge_content(j, rest));
}

static inline bool judge_wrong(struct judge *j, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static inline bool judge_wrong(struct judge *j, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(j->why, sizeof(j->why), fmt, ap);
	va_end(ap);
	return false;
}

static inline void judge_begin(struct judge *j)
{
	struct err e = ERR_INIT;

	j->codec = chunk_codec_new(0, &e);
	j->payload = malloc(CHUNK_SIZE + 64);
	j->chunk = malloc(CHUNK_SIZE);
	if (!j->codec || !j->payload || !j->chunk)
		fs_die("no memory");
}

/* All of a version into j->disk. */
static inline bool read_version(struct judge *j, struct img_reader *reader, uint64_t *ret_len, struct err *e)
{
	const struct img_manifest *m = img_reader_manifest(reader);
	struct img_record rec;
	int r;

	if (m->nr_disks != 1 || m->disks[0].size > (UINT64_C(1) << 30)) {
		err_set(e, ERR_FAILED, 0, "this is no disk that was captured here");
		return false;
	}
	*ret_len = m->disks[0].size;
	fs_resize(&j->disk, &j->disk_room, *ret_len + CHUNK_SIZE);
	memset(j->disk, 0, *ret_len);
	while ((r = img_reader_next(reader, &rec, j->payload, e)) == 1) {
		const struct img_region *reg = &m->regions[rec.at.region];
		uint64_t start = rec.at.i * CHUNK_SIZE, n = reg->len - start < CHUNK_SIZE ? reg->len - start : CHUNK_SIZE;
		if (rec.is_zero)
			continue;
		if (img_decode(j->codec, m, &rec, j->payload, j->chunk, e) < 0)
			return false;
		memcpy(j->disk + reg->start + start, j->chunk, n);
	}
	return r == 0 && img_reader_finish(reader, e) == 0;
}

/* Is a number in the set of what was proved? Puts it there when asked. */
static inline bool is_proved(struct judge *j, uint64_t key, bool put)
{
	if (j->nr_proved * 2 >= j->proved_room) {
		uint64_t *old = j->proved, room = j->proved_room;
		j->proved_room = room ? room * 2 : 4096;
		j->nr_proved = 0;
		if (!(j->proved = calloc(j->proved_room, sizeof(*j->proved))))
			fs_die("no memory");
		for (uint64_t i = 0; i < room; i++)
			if (old[i])
				is_proved(j, old[i], true);
		free(old);
	}
	key |= 1;
	uint64_t at = (key >> 1) & (j->proved_room - 1);
	while (j->proved[at] && j->proved[at] != key)
		at = (at + 1) & (j->proved_room - 1);
	bool was = j->proved[at] == key;
	if (put && !was) {
		j->proved[at] = key;
		j->nr_proved++;
	}
	return was;
}

static inline uint64_t hash_of_file(const struct fs_state *s, const char *path)
{
	struct fs_file key;

	snprintf(key.path, sizeof(key.path), "%s", path);
	const struct fs_file *x = bsearch(&key, s->files, s->nr, sizeof(*s->files), fs_file_cmp);
	return x ? x->hash : 0;
}

/* Of all bytes that a version is made of. */
static inline uint64_t version_key(const struct fs_state *s, const char *path, const struct img_locations *l)
{
	uint64_t h = hash_of_file(s, path);
	char pack[64];

	for (uint32_t i = 0; i < l->nr_packs; i++) {
		int n = snprintf(pack, sizeof(pack), "packs/");
		for (unsigned k = 0; k < 16; k++)
			n += snprintf(pack + n, sizeof(pack) - (size_t)n, "%02x", l->packs[i][k]);
		strcat(pack, ".pack");
		h = (h ^ hash_of_file(s, pack)) * UINT64_C(0x9E3779B97F4A7C15) + i;
	}
	return h;
}

/*
 * @s: what the folder holds, so that a version whose bytes are the same as in an earlier state need not be read again; NULL: read it
 * @list: NULL, or gets a "have" line
 */
static inline bool judge_version(struct judge *j, const struct repo *r, const struct repo_version *v, const struct fs_state *s, FILE *list)
{
	struct want *w = judge_want(j, v->name, "", v->number);
	struct err e = ERR_INIT;
	char path[FS_PATH];
	uint64_t len;

	j->nr_versions++;
	w->was_seen = true;
	if (!w->nr)
		return judge_wrong(j, "version %llu of '%s' is there and must not be", (unsigned long long)v->number, v->name);
	AUTO(img_reader) struct img_reader *reader = version_open(r, v, NULL, &e);
	if (!reader)
		return judge_wrong(j, "version %llu of '%s' cannot be opened: %s", (unsigned long long)v->number, v->name, e.msg);
	version_path(v, path, sizeof(path));
	uint64_t key = s ? version_key(s, path, img_reader_locations(reader)) : 0;
	for (unsigned i = 0; s && i < w->nr; i++)
		if (is_proved(j, key * 31 + w->files[i], false))
			return true;
	j->nr_read++;
	if (!read_version(j, reader, &len, &e))
		return judge_wrong(j, "version %llu of '%s' is damaged: %s", (unsigned long long)v->number, v->name, e.msg);
	for (unsigned i = 0; i < w->nr; i++) {
		const struct content *c = &j->contents[w->files[i]];
		if (c->len != len || memcmp(c->bytes, j->disk, len))
			continue;
		if (s)
			is_proved(j, key * 31 + w->files[i], true);
		if (list)
			fprintf(list, "have %s %llu %s\n", v->name, (unsigned long long)v->number, c->path);
		return true;
	}
	return judge_wrong(j, "version %llu of '%s' holds something else", (unsigned long long)v->number, v->name);
}

static inline bool judge_tag(struct judge *j, const struct repo_tag *t, const struct repo_version *versions, size_t nr)
{
	struct want *w = judge_want(j, t->name, t->tag, 0);
	bool is_there = false, is_allowed = false;

	w->was_seen = true;
	for (size_t i = 0; i < nr; i++)
		is_there |= !strcmp(versions[i].name, t->name) && versions[i].number == t->number;
	for (unsigned i = 0; i < w->nr; i++)
		is_allowed |= w->numbers[i] == t->number;
	if (!is_allowed)
		return judge_wrong(j, "the tag '%s' of '%s' means %llu", t->tag, t->name, (unsigned long long)t->number);
	return is_there || judge_wrong(j, "the tag '%s' of '%s' means version %llu, which is not there", t->tag, t->name, (unsigned long long)t->number);
}

static inline bool judge_names(struct judge *j, const struct repo *r, const struct fs_state *s, FILE *list)
{
	AUTO_FREE struct repo_version *versions = NULL;
	AUTO_FREE struct repo_tag *tags = NULL;
	struct err e = ERR_INIT;
	size_t nr, nr_tags;

	if (versions_list(r, NULL, &versions, &nr, &e) < 0 || tags_list(r, NULL, &tags, &nr_tags, &e) < 0)
		return judge_wrong(j, "the repository cannot be listed: %s", e.msg);
	for (size_t i = 0; i < j->nr_wants; i++)
		j->wants[i].was_seen = false;
	for (size_t i = 0; i < nr; i++)
		if (!judge_version(j, r, &versions[i], s, list))
			return false;
	for (size_t i = 0; i < nr_tags; i++) {
		if (!judge_tag(j, &tags[i], versions, nr))
			return false;
		if (list)
			fprintf(list, "tag %s %s %llu\n", tags[i].name, tags[i].tag, (unsigned long long)tags[i].number);
	}
	for (size_t i = 0; i < j->nr_wants; i++) {
		const struct want *w = &j->wants[i];
		if (w->must && !w->was_seen)
			return judge_wrong(j, "%s '%s' of '%s' is lost (version %llu)", *w->tag ? "the tag" : "a version", w->tag, w->name, (unsigned long long)w->number);
	}
	return true;
}

/* judge_repo - false: j->why says what is wrong. @check: let repo_check() look too */
static inline bool judge_repo(struct judge *j, const char *dir, const struct fs_state *s, bool check, FILE *list)
{
	struct err e = ERR_INIT;
	AUTO(repo) struct repo *r = repo_open(dir, &e);

	if (!r)
		return judge_wrong(j, "the repository cannot be opened: %s", e.msg);
	if (!judge_names(j, r, s, list))
		return false;
	if (!check)
		return true;
	struct check_options o = { .read_data = true, .sample = 100, .threads = 1 };
	struct check_result ret;
	j->nr_checks++;
	int failed = repo_check(r, &o, &ret, NULL, &e);
	bool fine = failed == 0 || judge_wrong(j, "repo check: %s%s%s", e.msg, ret.nr_kept ? ": " : "", ret.nr_kept ? ret.problems[0] : "");
	check_result_release(&ret);
	return fine;
}

#endif
