/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * repocrash run LOG BASE INODES FINAL WORK STATES SEED SAMPLE
 *
 * What is left of a repository when the power goes? LOG (tests/preload/oplog.c) tells what was done to BASE, a copy of the repository as it was,
 * with the inode numbers it had; FINAL is the repository afterwards: what the log leads to must be equal to it, or the log lacks something.
 * At each place of the log up to STATES different states are made (crashfs.h) in WORK/state and judged (repojudge.h; the log holds what
 * is expected). Each SAMPLE-th is left in WORK/sample-N, with WORK/sample-N.expect, for somebody to go on working with; 0: none.
 *
 * repocrash judge DIR EXPECT [LIST]: one repository; LIST gets lines that say what it holds
 *
 * Exit 1: a state is wrong; it is in WORK/state, and WORK/wrong tells.
 */
#include "tests/tools/repojudge.h"

#include <limits.h>

struct record {
	struct oplog_head head;
	const uint8_t *a, *b;
};

struct run {
	struct fs fs;
	struct judge judge;
	const char *work;
	char dir[PATH_MAX];
	int dir_fd;
	struct fs_state now;    /* what dir holds */
	struct record *records;
	size_t nr_records, at;  /* records that have happened */
	uint64_t *seen, nr_seen, seen_room; /* hashes of states */
	uint64_t nr_expected;   /* lines */
	uint64_t nr_states, nr_samples;
	uint64_t sample_each, next_sample;
};

static void read_log(struct run *r, const char *path)
{
	uint64_t len, at = 0;
	uint8_t *p = fs_read_file(path, &len);

	while (at + sizeof(struct oplog_head) <= len) {
		struct record x;
		memcpy(&x.head, p + at, sizeof(x.head));
		at += sizeof(x.head);
		x.a = p + at;
		x.b = x.a + x.head.a_len;
		at += (uint64_t)x.head.a_len + x.head.b_len;
		if (at > len)
			fs_die("the log is cut short");
		r->records = fs_grow(r->records, r->nr_records, sizeof(*r->records));
		r->records[r->nr_records++] = x;
	}
}

/* Is this state, with what is expected of it, a new one? */
static bool note_state(struct run *r, uint64_t hash)
{
	if (r->nr_seen * 2 >= r->seen_room) {
		uint64_t *old = r->seen, room = r->seen_room;
		r->seen_room = room ? room * 2 : 4096;
		r->nr_seen = 0;
		if (!(r->seen = calloc(r->seen_room, sizeof(*r->seen))))
			fs_die("no memory");
		for (uint64_t i = 0; i < room; i++)
			if (old[i])
				note_state(r, old[i]);
		free(old);
	}
	hash |= 1;
	uint64_t i = (hash >> 1) & (r->seen_room - 1);
	while (r->seen[i] && r->seen[i] != hash)
		i = (i + 1) & (r->seen_room - 1);
	if (r->seen[i])
		return false;
	r->seen[i] = hash;
	r->nr_seen++;
	return true;
}

/* What is expected here, as lines. */
static void write_expected(const struct run *r, const char *path, size_t end)
{
	FILE *f = fopen(path, "w");

	for (size_t i = 0; f && i < end; i++)
		if (r->records[i].head.kind == OPLOG_EXPECT)
			fprintf(f, "%.*s\n", (int)r->records[i].head.a_len, (const char *)r->records[i].a);
	if (!f || fclose(f))
		fs_die("%s: %s", path, strerror(errno));
}

static void write_sample(struct run *r)
{
	char path[PATH_MAX];

	snprintf(path, sizeof(path), "%s/sample-%llu", r->work, (unsigned long long)r->nr_samples);
	int fd = mkdir(path, 0700) < 0 ? -1 : open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		fs_die("%s: %s", path, strerror(errno));
	for (size_t i = 0; i < r->now.nr; i++) {
		const struct fs_file *files = r->now.files, *other = files;
		while (other->node != files[i].node)
			other++;
		if (other == &files[i])
			fs_put_file(fd, &files[i]);
		else if (linkat(fd, other->path, fd, files[i].path, 0) < 0)
			fs_die("linking %s: %s", files[i].path, strerror(errno));
	}
	close(fd);
	strcat(path, ".expect");
	write_expected(r, path, r->at);
	r->nr_samples++;
}

static void report(struct run *r, const struct fs_choice *c)
{
	char path[PATH_MAX];

	snprintf(path, sizeof(path), "%s/wrong", r->work);
	FILE *f = fopen(path, "w");
	if (!f)
		fs_die("%s: %s", path, strerror(errno));
	fprintf(f, "after step %zu, names %d, data %d, torn renames %d: %s\n", r->at, c->names, c->data, c->torn_renames, r->judge.why);
	for (size_t i = 0; i < r->at; i++) {
		const struct record *x = &r->records[i];
		if (x->head.kind == OPLOG_WRITE)
			fprintf(f, "%zu W inode %llu at %llu, %u bytes\n", i, (unsigned long long)x->head.ino, (unsigned long long)x->head.off, x->head.a_len);
		else
			fprintf(f, "%zu %c inode %llu %llu %.*s %.*s\n", i, (int)x->head.kind, (unsigned long long)x->head.ino, (unsigned long long)x->head.off,
				(int)x->head.a_len, (const char *)x->a, (int)x->head.b_len, (const char *)x->b);
	}
	fprintf(f, "what is left:\n");
	for (size_t i = 0; i < r->now.nr; i++)
		fprintf(f, "%s %llu\n", r->now.files[i].path, (unsigned long long)r->now.files[i].len);
	fclose(f);
	fprintf(stderr, "%s\n", r->judge.why);
	exit(1);
}

static void one_state(struct run *r, const struct fs_choice *c)
{
	struct fs_state s = fs_cut(&r->fs, c);

	if (!note_state(r, fs_state_hash(&s) + r->nr_expected)) {
		fs_state_release(&s);
		return;
	}
	fs_put(r->dir_fd, &r->now, &s);
	/* Now and then nothing is believed from before, and repo_check() is asked too. */
	bool thorough = r->nr_states++ % 16 == 0;
	if (!judge_repo(&r->judge, r->dir, thorough ? NULL : &r->now, thorough, NULL))
		report(r, c);
	if (r->sample_each && r->nr_states >= r->next_sample) {
		write_sample(r);
		r->next_sample += r->sample_each;
	}
}

static void states_here(struct run *r, uint64_t nr)
{
	static const struct fs_choice always[] = {
		{ NAMES_ALL, DATA_ALL, false }, { NAMES_NONE, DATA_NONE, false }, { NAMES_ALL, DATA_NONE, false }, { NAMES_ALL, DATA_LENGTH, false },
		{ NAMES_NONE, DATA_ALL, false }, { NAMES_ALL, DATA_PREFIX, false },
	};

	for (uint64_t i = 0; i < nr; i++) {
		struct fs_choice c = { .data = fs_random(&r->fs, 2) ? DATA_MIXED : (enum fs_data)fs_random(&r->fs, DATA_MIXED) };
		c.names = fs_random(&r->fs, 4) ? (enum fs_names)(NAMES_PREFIX + fs_random(&r->fs, 2)) : NAMES_ALL;
		c.torn_renames = fs_random(&r->fs, 4) == 0;
		if (i < sizeof(always) / sizeof(*always))
			c = always[i];
		one_state(r, &c);
	}
}

static void check_log(struct run *r, const char *final)
{
	static const struct fs_choice all = { NAMES_ALL, DATA_ALL, false };
	struct fs_state s = fs_cut(&r->fs, &all);

	if (!fs_equals(final, &s))
		fs_die("the log does not lead to %s", final);
	fs_state_release(&s);
}

static void run(struct run *r, char **args)
{
	uint64_t each = strtoull(args[5], NULL, 10);

	fs_load(&r->fs, args[1], args[2]);
	read_log(r, args[0]);
	r->work = args[4];
	r->fs.seed = (strtoull(args[6], NULL, 10) + 1) * UINT64_C(0x9E3779B97F4A7C15);
	r->sample_each = strtoull(args[7], NULL, 10);
	r->next_sample = r->sample_each ? 1 + fs_random(&r->fs, r->sample_each) : 0;
	snprintf(r->dir, sizeof(r->dir), "%s/state", r->work);
	if (mkdir(r->dir, 0700) < 0 || (r->dir_fd = open(r->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC)) < 0)
		fs_die("%s: %s", r->dir, strerror(errno));
	for (size_t i = 0; i <= r->nr_records; i++) {
		r->at = i;
		if (i == r->nr_records || r->records[i].head.kind != OPLOG_EXPECT)
			states_here(r, each);
		if (i == r->nr_records)
			break;
		const struct record *x = &r->records[i];
		char line[512];
		snprintf(line, sizeof(line), "%.*s", (int)x->head.a_len, (const char *)x->a);
		if (x->head.kind == OPLOG_EXPECT)
			judge_expect(&r->judge, line);
		else
			fs_step(&r->fs, &x->head, x->a, x->b);
		r->nr_expected += x->head.kind == OPLOG_EXPECT;
	}
	check_log(r, args[3]);
	printf("%llu %zu %llu %llu %llu %llu\n", (unsigned long long)r->nr_states, r->nr_records,
		(unsigned long long)r->judge.nr_versions, (unsigned long long)r->judge.nr_read, (unsigned long long)r->judge.nr_checks,
		(unsigned long long)r->nr_samples);
}

static int judge_one(struct judge *j, const char *dir, const char *expect, const char *list)
{
	FILE *f = fopen(expect, "r"), *out = list ? fopen(list, "w") : NULL;
	char line[512];

	if (!f || (list && !out))
		fs_die("%s: %s", expect, strerror(errno));
	while (fgets(line, sizeof(line), f))
		judge_expect(j, line);
	fclose(f);
	bool fine = judge_repo(j, dir, NULL, true, out);
	if (out)
		fclose(out);
	if (!fine)
		fprintf(stderr, "%s\n", j->why);
	return !fine;
}

int main(int argc, char **argv)
{
	struct run *r = calloc(1, sizeof(*r));

	if (!r)
		return 2;
	judge_begin(&r->judge);
	if (argc == 10 && !strcmp(argv[1], "run")) {
		run(r, argv + 2);
		return 0;
	}
	if ((argc == 4 || argc == 5) && !strcmp(argv[1], "judge"))
		return judge_one(&r->judge, argv[2], argv[3], argv[4]);
	fs_die("usage: repocrash run LOG BASE INODES FINAL WORK STATES SEED SAMPLE | judge DIR EXPECT [LIST]");
}
