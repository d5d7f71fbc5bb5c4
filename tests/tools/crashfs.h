/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * A folder as a power cut leaves it: what was flushed is there, of the rest nothing, all, or any part.
 *
 * A file keeps what it held when it was flushed last; of the writes since then a cut keeps what fs_choice says. A name that was made, moved
 * or taken away is kept for certain when its folder was flushed afterwards. Nothing else is promised: a file's flush does not keep
 * its name, a folder's does not keep the folder's own name.
 */
#ifndef CALCO_TESTS_TOOLS_CRASHFS_H
#define CALCO_TESTS_TOOLS_CRASHFS_H

#include "tests/tools/oplog.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <xxhash.h>

#define FS_PATH 300

struct fs_node;

/* A name is made (node) or taken away (NULL). */
struct fs_name_op {
	char name[128];
	struct fs_node *node;
	bool is_stable;
	struct fs_name_op *partner; /* the other half of a rename */
	bool is_kept;               /* in the state that is being made */
};

struct fs_data_op {
	uint64_t off, len;
	const uint8_t *data; /* NULL: the file gets the length off */
};

struct fs_node {
	uint64_t ino;
	bool is_dir;
	/* a folder */
	struct fs_name_op **names;
	size_t nr_names;
	/* a file */
	uint8_t *bytes;     /* as it was flushed last */
	uint64_t len;
	struct fs_data_op *pending;
	size_t nr_pending;
};

struct fs_file {
	char path[FS_PATH];
	bool is_dir;
	const struct fs_node *node; /* two names of a torn rename are one file */
	uint64_t hash;      /* of the content */
	uint8_t *bytes;
	uint64_t len;
};

/* All that a folder holds, sorted by path. */
struct fs_state {
	struct fs_file *files;
	size_t nr, room;
};

enum fs_names { NAMES_ALL, NAMES_NONE, NAMES_PREFIX, NAMES_SUBSET, NR_NAMES };
enum fs_data { DATA_ALL, DATA_NONE, DATA_LENGTH, DATA_PREFIX, DATA_BLOCKS, DATA_SECTORS, DATA_CUT_SHORT, DATA_GARBAGE, DATA_MIXED };

/* What a cut keeps of that which was not flushed. */
struct fs_choice {
	enum fs_names names;
	enum fs_data data;  /* DATA_MIXED: another one for each file */
	bool torn_renames;  /* both names, or neither, may be left of a rename */
};

struct fs {
	struct fs_node *root;
	struct fs_node **nodes; /* the youngest of an inode number is the last */
	size_t nr_nodes;
	uint64_t seed;
};

static inline void __attribute__((format(printf, 1, 2), noreturn)) fs_die(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	fputc('\n', stderr);
	exit(2);
}

static inline void *fs_grow(void *p, size_t nr, size_t size)
{
	void *grown = nr & (nr - 1) ? p : realloc(p, (nr ? nr * 2 : 1) * size);

	if (!grown)
		fs_die("no memory");
	return grown;
}

static inline uint64_t fs_random(struct fs *f, uint64_t below)
{
	f->seed ^= f->seed << 13;
	f->seed ^= f->seed >> 7;
	f->seed ^= f->seed << 17;
	return below ? (f->seed >> 11) % below : 0;
}

static inline struct fs_node *fs_node_new(struct fs *f, uint64_t ino, bool is_dir)
{
	struct fs_node *n = calloc(1, sizeof(*n));

	if (!n)
		fs_die("no memory");
	n->ino = ino;
	n->is_dir = is_dir;
	f->nodes = fs_grow(f->nodes, f->nr_nodes, sizeof(*f->nodes));
	return f->nodes[f->nr_nodes++] = n;
}

static inline struct fs_node *fs_node_of(const struct fs *f, uint64_t ino)
{
	for (size_t i = f->nr_nodes; i-- > 0;)
		if (f->nodes[i]->ino == ino)
			return f->nodes[i];
	fs_die("the log names inode %llu, which nobody made", (unsigned long long)ino);
}

static inline struct fs_name_op *fs_name(struct fs_node *dir, const char *name, struct fs_node *node, bool is_stable)
{
	struct fs_name_op *x = calloc(1, sizeof(*x));

	if (!x || strlen(name) >= sizeof(x->name))
		fs_die("a name that is too long");
	strcpy(x->name, name);
	x->node = node;
	x->is_stable = is_stable;
	dir->names = fs_grow(dir->names, dir->nr_names, sizeof(*dir->names));
	return dir->names[dir->nr_names++] = x;
}

/* What a name means now, with all that was done so far. */
static inline struct fs_node *fs_lookup(const struct fs_node *dir, const char *name)
{
	for (size_t i = dir->nr_names; i-- > 0;)
		if (!strcmp(dir->names[i]->name, name))
			return dir->names[i]->node;
	return NULL;
}

/* The folder of a path, and its last part. */
static inline struct fs_node *fs_folder(const struct fs *f, const char *path, const char **ret_name)
{
	struct fs_node *at = f->root;

	for (const char *slash; (slash = strchr(path, '/')); path = slash + 1) {
		char part[128];
		snprintf(part, sizeof(part), "%.*s", (int)(slash - path), path);
		if (!(at = fs_lookup(at, part)) || !at->is_dir)
			fs_die("the log names a folder that is not there: %s", path);
	}
	*ret_name = path;
	return at;
}

static inline uint8_t *fs_read_file(const char *path, uint64_t *ret_len)
{
	struct stat st;
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);

	if (fd < 0 || fstat(fd, &st) < 0)
		fs_die("%s: %s", path, strerror(errno));
	uint8_t *p = malloc((size_t)st.st_size + 1);
	if (!p || read(fd, p, (size_t)st.st_size) != st.st_size)
		fs_die("%s: cannot be read", path);
	close(fd);
	*ret_len = (uint64_t)st.st_size;
	return p;
}

/* A folder as it is, all of it flushed. The inode numbers are those in @inodes, "NUMBER PATH" to a line: it is a copy. */
static inline void fs_load(struct fs *f, const char *dir, const char *inodes)
{
	FILE *list = fopen(inodes, "r");
	unsigned long long ino;
	char path[FS_PATH], full[2 * FS_PATH];

	if (!list)
		fs_die("%s: %s", inodes, strerror(errno));
	while (fscanf(list, "%llu %299s", &ino, path) == 2) {
		struct stat st;
		const char *name = "";
		snprintf(full, sizeof(full), "%s/%s", dir, path);
		if (lstat(full, &st) < 0)
			fs_die("%s: %s", full, strerror(errno));
		struct fs_node *n = fs_node_new(f, ino, S_ISDIR(st.st_mode));
		if (!n->is_dir)
			n->bytes = fs_read_file(full, &n->len);
		struct fs_node *folder = strcmp(path, ".") ? fs_folder(f, path, &name) : NULL;
		if (folder)
			fs_name(folder, name, n, true);
		else
			f->root = n;
	}
	fclose(list);
	if (!f->root)
		fs_die("%s: names no root", inodes);
}

static inline void fs_resize(uint8_t **bytes, uint64_t *len, uint64_t want)
{
	if (want > *len) {
		uint8_t *grown = realloc(*bytes, want + 1);
		if (!grown)
			fs_die("no memory");
		memset(grown + *len, 0, want - *len);
		*bytes = grown;
	}
	*len = want;
}

static inline void fs_write(uint8_t **bytes, uint64_t *len, uint64_t off, const uint8_t *data, uint64_t n)
{
	if (off + n > *len)
		fs_resize(bytes, len, off + n);
	memcpy(*bytes + off, data, n);
}

static inline void fs_do(uint8_t **bytes, uint64_t *len, const struct fs_data_op *op)
{
	if (op->data)
		fs_write(bytes, len, op->off, op->data, op->len);
	else
		fs_resize(bytes, len, op->off);
}

static inline void fs_sync(struct fs_node *n)
{
	for (size_t i = 0; i < n->nr_names; i++)
		n->names[i]->is_stable = true;
	for (size_t i = 0; i < n->nr_pending; i++)
		fs_do(&n->bytes, &n->len, &n->pending[i]);
	n->nr_pending = 0;
}

static inline void fs_rename(struct fs *f, const char *from, const char *to)
{
	const char *old, *new;
	struct fs_node *a = fs_folder(f, from, &old), *b = fs_folder(f, to, &new), *n = fs_lookup(a, old);

	if (!n)
		fs_die("the log renames what is not there: %s", from);
	struct fs_name_op *gone = fs_name(a, old, NULL, false), *made = fs_name(b, new, n, false);
	gone->partner = made;
	made->partner = gone;
}

/* fs_step - one record of the log (not OPLOG_EXPECT) happens; @a and @b stay where they are */
static inline void fs_step(struct fs *f, const struct oplog_head *h, const uint8_t *a, const uint8_t *b)
{
	char from[FS_PATH] = "", to[FS_PATH] = "";
	const char *name;

	if (h->kind != OPLOG_WRITE) {
		snprintf(from, sizeof(from), "%.*s", (int)h->a_len, (const char *)a);
		snprintf(to, sizeof(to), "%.*s", (int)h->b_len, (const char *)b);
	}
	if (h->kind == OPLOG_CREATE || h->kind == OPLOG_MKDIR) {
		struct fs_node *dir = fs_folder(f, from, &name);
		fs_name(dir, name, fs_node_new(f, h->ino, h->kind == OPLOG_MKDIR), false);
	} else if (h->kind == OPLOG_UNLINK) {
		struct fs_node *dir = fs_folder(f, from, &name);
		fs_name(dir, name, NULL, false);
	} else if (h->kind == OPLOG_RENAME) {
		fs_rename(f, from, to);
	} else if (h->kind == OPLOG_SYNC) {
		fs_sync(fs_node_of(f, h->ino));
	} else if (h->kind == OPLOG_WRITE || h->kind == OPLOG_TRUNCATE) {
		struct fs_node *n = fs_node_of(f, h->ino);
		n->pending = fs_grow(n->pending, n->nr_pending, sizeof(*n->pending));
		n->pending[n->nr_pending++] = (struct fs_data_op){ .off = h->off, .len = h->a_len, .data = h->kind == OPLOG_WRITE ? a : NULL };
	} else {
		fs_die("the log is damaged");
	}
}

/* ---- states */

static inline void fs_choose_names(struct fs *f, const struct fs_choice *c)
{
	for (size_t i = 0; i < f->nr_nodes; i++) {
		struct fs_node *n = f->nodes[i];
		size_t first = 0;
		while (first < n->nr_names && n->names[first]->is_stable)
			first++;
		size_t end = first + fs_random(f, n->nr_names - first + 1);
		for (size_t k = 0; k < n->nr_names; k++) {
			struct fs_name_op *x = n->names[k];
			x->is_kept = x->is_stable || c->names == NAMES_ALL || (c->names == NAMES_PREFIX && k < end) ||
				(c->names == NAMES_SUBSET && fs_random(f, 2));
		}
	}
	/* A rename that is one with its other half: both are kept, or none is. */
	for (size_t i = 0; !c->torn_renames && i < f->nr_nodes; i++)
		for (size_t k = 0; k < f->nodes[i]->nr_names; k++) {
			struct fs_name_op *x = f->nodes[i]->names[k];
			if (x->partner && x->node)
				x->is_kept = x->partner->is_kept = x->is_kept || x->partner->is_stable;
		}
}

/* Of what was written since the last flush, the pieces (of one size) that chance wants. */
static inline void fs_keep_pieces(struct fs *f, const struct fs_node *n, uint64_t piece, uint8_t **bytes, uint64_t *len)
{
	uint8_t *whole = malloc(n->len + 1);
	uint64_t whole_len = n->len;

	if (!whole)
		fs_die("no memory");
	memcpy(whole, n->bytes ? n->bytes : (const uint8_t *)"", n->len);
	for (size_t i = 0; i < n->nr_pending; i++)
		fs_do(&whole, &whole_len, &n->pending[i]);
	fs_resize(bytes, len, whole_len);
	uint64_t share = 1 + fs_random(f, 15); /* of 16 */
	for (uint64_t at = 0; at < whole_len; at += piece)
		if (fs_random(f, 16) < share)
			memcpy(*bytes + at, whole + at, whole_len - at < piece ? whole_len - at : piece);
	free(whole);
}

/* The first of the writes, the last of them torn. */
static inline void fs_keep_first(struct fs *f, const struct fs_node *n, uint8_t **bytes, uint64_t *len)
{
	static const uint64_t borders[] = { 1, 512, 4096, 4096 };
	size_t nr = fs_random(f, n->nr_pending);
	uint64_t border = borders[fs_random(f, 4)];

	for (size_t i = 0; i < nr; i++)
		fs_do(bytes, len, &n->pending[i]);
	struct fs_data_op last = n->pending[nr];
	if (last.data) {
		last.len = fs_random(f, last.len / border + 1) * border;
		fs_do(bytes, len, &last);
	}
}

static inline void fs_content(struct fs *f, const struct fs_node *n, enum fs_data how, uint8_t **bytes, uint64_t *len)
{
	if (!(*bytes = malloc(n->len + 1)))
		fs_die("no memory");
	memcpy(*bytes, n->bytes ? n->bytes : (const uint8_t *)"", n->len);
	*len = n->len;
	if (!n->nr_pending)
		return;
	if (how == DATA_MIXED)
		how = (enum fs_data)fs_random(f, DATA_MIXED);
	if (how == DATA_ALL)
		for (size_t i = 0; i < n->nr_pending; i++)
			fs_do(bytes, len, &n->pending[i]);
	if (how == DATA_PREFIX)
		fs_keep_first(f, n, bytes, len);
	if (how == DATA_BLOCKS || how == DATA_CUT_SHORT || how == DATA_GARBAGE)
		fs_keep_pieces(f, n, 4096, bytes, len);
	if (how == DATA_SECTORS)
		fs_keep_pieces(f, n, 512, bytes, len);
	if (how == DATA_LENGTH) { /* the length came to the medium, what stands there did not */
		uint64_t end = *len;
		for (size_t i = 0; i < n->nr_pending; i++)
			end = n->pending[i].data ? (n->pending[i].off + n->pending[i].len > end ? n->pending[i].off + n->pending[i].len : end) : n->pending[i].off;
		fs_resize(bytes, len, end);
	}
	if (how == DATA_CUT_SHORT && *len > n->len)
		*len -= fs_random(f, *len - n->len);
	if (how == DATA_GARBAGE) /* blocks that were given to the file still hold what another one had left there */
		for (uint64_t at = n->len; at + 8 <= *len; at += 8)
			if (!(*bytes)[at] && !(*bytes)[at + 7])
				memcpy(*bytes + at, &f->seed, 8);
}

static inline void fs_collect(struct fs *f, struct fs_state *s, struct fs_node *dir, const char *path, enum fs_data how, unsigned depth)
{
	for (size_t i = 0; i < dir->nr_names; i++) {
		struct fs_name_op *x = dir->names[i];
		bool is_last = x->is_kept && x->node;
		for (size_t k = i + 1; is_last && k < dir->nr_names; k++)
			is_last = !dir->names[k]->is_kept || strcmp(dir->names[k]->name, x->name);
		if (!is_last || depth > 8)
			continue;
		if (s->nr == s->room) {
			s->room = s->room * 2 + 64;
			if (!(s->files = realloc(s->files, s->room * sizeof(*s->files))))
				fs_die("no memory");
		}
		struct fs_file *file = &s->files[s->nr++];
		*file = (struct fs_file){ .is_dir = x->node->is_dir, .node = x->node };
		if (snprintf(file->path, sizeof(file->path), "%s%s%s", path, *path ? "/" : "", x->name) >= FS_PATH)
			fs_die("a path that is too long");
		if (!file->is_dir) {
			fs_content(f, x->node, how, &file->bytes, &file->len);
			file->hash = XXH3_64bits(file->bytes, file->len) ^ file->len;
		} else {
			char below[FS_PATH];
			strcpy(below, file->path);
			fs_collect(f, s, x->node, below, how, depth + 1);
		}
	}
}

static inline int fs_file_cmp(const void *a, const void *b)
{
	return strcmp(((const struct fs_file *)a)->path, ((const struct fs_file *)b)->path);
}

static inline void fs_state_release(struct fs_state *s)
{
	for (size_t i = 0; i < s->nr; i++)
		free(s->files[i].bytes);
	free(s->files);
	*s = (struct fs_state){ .nr = 0 };
}

/* fs_cut - what a power cut now may leave */
static inline struct fs_state fs_cut(struct fs *f, const struct fs_choice *c)
{
	struct fs_state s = { .nr = 0 };

	fs_choose_names(f, c);
	fs_collect(f, &s, f->root, "", c->data, 0);
	qsort(s.files, s.nr, sizeof(*s.files), fs_file_cmp);
	return s;
}

static inline void fs_put_file(int dir, const struct fs_file *x)
{
	if (x->is_dir) {
		if (mkdirat(dir, x->path, 0700) < 0)
			fs_die("making %s: %s", x->path, strerror(errno));
		return;
	}
	int fd = openat(dir, x->path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (fd < 0 || write(fd, x->bytes, x->len) != (ssize_t)x->len || close(fd) < 0)
		fs_die("making %s: %s", x->path, strerror(errno));
}

/* fs_put - let a folder, which holds *was, hold *s: only what differs is touched. Takes *s, which becomes *was. */
static inline void fs_put(int dir, struct fs_state *was, struct fs_state *s)
{
	bool *is_same = calloc(s->nr + 1, sizeof(*is_same));

	if (!is_same)
		fs_die("no memory");
	for (size_t i = was->nr; i-- > 0;) { /* what lies in a folder comes after it */
		const struct fs_file *x = &was->files[i];
		struct fs_file *y = bsearch(x, s->files, s->nr, sizeof(*s->files), fs_file_cmp);
		if (y && y->is_dir == x->is_dir && y->hash == x->hash)
			is_same[y - s->files] = true;
		else if (unlinkat(dir, x->path, x->is_dir ? AT_REMOVEDIR : 0) < 0)
			fs_die("removing %s: %s", x->path, strerror(errno));
	}
	for (size_t i = 0; i < s->nr; i++)
		if (!is_same[i])
			fs_put_file(dir, &s->files[i]);
	free(is_same);
	fs_state_release(was);
	*was = *s;
	*s = (struct fs_state){ .nr = 0 };
}

static inline uint64_t fs_state_hash(const struct fs_state *s)
{
	uint64_t h = 0;

	for (size_t i = 0; i < s->nr; i++)
		h = h * UINT64_C(0x9E3779B97F4A7C15) + XXH3_64bits_withSeed(s->files[i].path, strlen(s->files[i].path), s->files[i].hash + s->files[i].is_dir);
	return h;
}

/* fs_equals - does a folder hold exactly that? Says what differs. */
static inline bool fs_equals(const char *dir, const struct fs_state *s)
{
	char path[2 * FS_PATH];
	size_t nr = 0;

	for (size_t i = 0; i < s->nr; i++) {
		const struct fs_file *x = &s->files[i];
		struct stat st;
		snprintf(path, sizeof(path), "%s/%s", dir, x->path);
		if (lstat(path, &st) < 0 || S_ISDIR(st.st_mode) != x->is_dir) {
			fprintf(stderr, "%s is not there\n", path);
			return false;
		}
		if (x->is_dir) {
			DIR *d = opendir(path);
			for (struct dirent *e; d && (e = readdir(d));)
				nr += strcmp(e->d_name, ".") && strcmp(e->d_name, "..");
			closedir(d);
			continue;
		}
		uint64_t len;
		uint8_t *p = fs_read_file(path, &len);
		bool same = len == x->len && !memcmp(p, x->bytes, len);
		free(p);
		if (!same) {
			fprintf(stderr, "%s holds something else\n", path);
			return false;
		}
	}
	DIR *d = opendir(dir);
	for (struct dirent *e; d && (e = readdir(d));)
		nr += strcmp(e->d_name, ".") && strcmp(e->d_name, "..");
	closedir(d);
	if (nr != s->nr)
		fprintf(stderr, "%s holds %zu files instead of %zu\n", dir, nr, s->nr);
	return nr == s->nr;
}

#endif
