/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Images, versions and tags as names in folders; see versions.h. */
#include "imager/repo/versions.h"

#include "base/arith.h"
#include "imager/image/manifest.h"
#include "imager/repo/files.h"
#include "imager/repo/folder_packs.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* A decimal number without leading zeros, above 0. */
static bool parse_number(const char *text, size_t len, uint64_t *ret)
{
	uint64_t n = 0;

	if (!len || text[0] == '0')
		return false;
	for (size_t i = 0; i < len; i++) {
		if (text[i] < '0' || text[i] > '9' || !mul_u64(n, 10, &n) || !add_u64(n, (uint64_t)(text[i] - '0'), &n))
			return false;
	}
	*ret = n;
	return true;
}

bool tag_name_ok(const char *tag)
{
	return img_name_ok(tag) && strspn(tag, "0123456789") != strlen(tag);
}

/* Does a file's name end so? Then *ret_len is the length of what stands before. */
static bool ends_in(const char *file, const char *ending, size_t *ret_len)
{
	size_t len = strlen(file), n = strlen(ending);

	if (len <= n || strcmp(file + len - n, ending))
		return false;
	*ret_len = len - n;
	return true;
}

/* A list of equal things that grows. */
struct list {
	char *items;
	size_t nr, size; /* of one */
};

static void *list_add(struct list *l)
{
	char *grown = realloc(l->items, (l->nr + 1) * l->size);

	if (!grown)
		return NULL;
	l->items = grown;
	return memset(l->items + l->nr++ * l->size, 0, l->size);
}

/* Each name in a folder of the repository; one that may be missing is empty then. */
static int each_name(const struct repo *r, const char *folder, bool may_miss, int (*fn)(void *arg, const char *name, struct err *e), void *arg, struct err *e)
{
	struct err why = ERR_INIT;
	int fd = repo_open_folder(r, folder, &why);
	DIR *d = fd < 0 ? NULL : fdopendir(fd);
	int result = 0;

	if (fd < 0) {
		if (may_miss && (why.sys_errno == ENOENT || why.sys_errno == ENOTDIR)) /* gone, or a file beside the images */
			return 0;
		*e = why;
		return -1;
	}
	if (!d) {
		close(fd);
		return err_nomem(e, "reading a folder");
	}
	errno = 0;
	for (struct dirent *x; result == 0 && (x = readdir(d)); errno = 0)
		result = fn(arg, x->d_name, e);
	if (result == 0 && errno)
		result = err_set(e, ERR_FAILED, errno, "reading the folder '%s/%s'", r->dir, folder);
	closedir(d);
	return result;
}

struct walk {
	const struct repo *r;
	const char *name;  /* of the image whose folder is read */
	struct list *list;
	int (*file)(void *arg, const char *name, struct err *e);
	int (*odd)(void *arg, const char *text, struct err *e); /* NULL, or a link in the place of a folder is told and left out */
	void *odd_arg;
	uint64_t highest;
};

static int add_version(void *arg, const char *file, struct err *e)
{
	struct walk *w = arg;
	struct repo_version *v;
	uint64_t number;
	size_t len;

	if (!ends_in(file, ".version", &len) || !parse_number(file, len, &number))
		return 0;
	if (!(v = list_add(w->list)))
		return err_nomem(e, "the list of versions");
	snprintf(v->name, sizeof(v->name), "%s", w->name);
	v->number = number;
	return 0;
}

static int note_number(void *arg, const char *file, struct err *e)
{
	struct walk *w = arg;
	uint64_t number;
	size_t len;

	(void)e;
	if ((ends_in(file, ".version", &len) || ends_in(file, ".gone", &len)) && parse_number(file, len, &number))
		w->highest = max_u64(w->highest, number);
	return 0;
}

static void tag_path(const char *name, const char *tag, char *ret, size_t size)
{
	snprintf(ret, size, "images/%s/%s.tag", name, tag);
}

static int read_tag(const struct repo *r, const char *name, const char *tag, uint64_t *ret, struct err *e)
{
	char path[PATH_MAX], text[32];

	tag_path(name, tag, path, sizeof(path));
	AUTO_CLOSE_FD int fd = repo_open_file(r, path, O_RDONLY, e);
	if (fd < 0 && e->sys_errno == ENOENT)
		return err_set(e, ERR_USAGE, 0, "'%s' has no tag '%s'", name, tag);
	if (fd < 0 && e->code != ERR_CORRUPT)
		return -1;
	ssize_t n = fd < 0 ? 0 : read(fd, text, sizeof(text));
	if (n < 0)
		return err_set(e, ERR_FAILED, errno, "reading '%s/%s'", r->dir, path);
	if (n < 2 || text[n - 1] != '\n' || !parse_number(text, (size_t)n - 1, ret)) {
		err_set(e, ERR_CORRUPT, 0, "the tag '%s' of '%s' is damaged", tag, name);
		return err_hint(e, "set it again: calco repo tag %s %s@N %s", r->dir, name, tag);
	}
	return 0;
}

static int add_tag(void *arg, const char *file, struct err *e)
{
	struct walk *w = arg;
	char tag[REPO_NAME_SIZE];
	size_t len;

	if (!ends_in(file, ".tag", &len) || len >= sizeof(tag))
		return 0;
	snprintf(tag, sizeof(tag), "%.*s", (int)len, file);
	if (!tag_name_ok(tag))
		return 0;
	struct repo_tag *t = list_add(w->list);
	if (!t)
		return err_nomem(e, "the list of tags");
	snprintf(t->name, sizeof(t->name), "%s", w->name);
	snprintf(t->tag, sizeof(t->tag), "%s", tag);
	return read_tag(w->r, w->name, tag, &t->number, e);
}

static int walk_image(void *arg, const char *name, struct err *e)
{
	struct walk *w = arg;
	char folder[128];

	if (!img_name_ok(name))
		return 0;
	snprintf(folder, sizeof(folder), "images/%s", name);
	w->name = name;
	int failed = each_name(w->r, folder, true, w->file, w, e);
	if (failed == 0 || !w->odd || strcmp(e->reason, "link"))
		return failed;
	struct err why = *e;
	*e = (struct err)ERR_INIT;
	return w->odd(w->odd_arg, why.msg, e);
}

/* The folder of all images was made with the repository: without it nobody knows which versions there are, and none is not the answer. */
static int find_images(const struct repo *r, struct err *e)
{
	struct stat st;

	if (fstatat(r->fd, "images", &st, 0) == 0 && S_ISDIR(st.st_mode))
		return 0;
	return err_set(e, ERR_CORRUPT, 0, "'%s': the folder 'images' is missing", r->dir);
}

static int walk_images(struct walk *w, const char *name, struct err *e)
{
	if (find_images(w->r, e) < 0)
		return -1;
	return name ? walk_image(w, name, e) : each_name(w->r, "images", false, walk_image, w, e);
}

static int version_cmp(const void *a, const void *b)
{
	const struct repo_version *x = a, *y = b;
	int r = strcmp(x->name, y->name);

	return r ? r : x->number < y->number ? -1 : x->number > y->number;
}

static int tag_cmp(const void *a, const void *b)
{
	const struct repo_tag *x = a, *y = b;
	int r = strcmp(x->name, y->name);

	return r ? r : strcmp(x->tag, y->tag);
}

static int list_versions(struct walk *w, const char *name, struct repo_version **ret, size_t *ret_nr, struct err *e)
{
	struct list list = { .size = sizeof(**ret) };

	w->list = &list;
	w->file = add_version;
	if (walk_images(w, name, e) < 0) {
		free(list.items);
		return -1;
	}
	if (list.nr)
		qsort(list.items, list.nr, list.size, version_cmp);
	*ret = (struct repo_version *)list.items;
	*ret_nr = list.nr;
	return 0;
}

int versions_list(const struct repo *r, const char *name, struct repo_version **ret, size_t *ret_nr, struct err *e)
{
	struct walk w = { .r = r };

	return list_versions(&w, name, ret, ret_nr, e);
}

int versions_list_all(const struct repo *r, int (*odd)(void *arg, const char *text, struct err *e), void *arg, struct repo_version **ret, size_t *ret_nr,
	struct err *e)
{
	struct walk w = { .r = r, .odd = odd, .odd_arg = arg };

	return list_versions(&w, NULL, ret, ret_nr, e);
}

static int leave_out(void *arg, const char *text, struct err *e)
{
	(void)arg, (void)text, (void)e;
	return 0;
}

int tags_list(const struct repo *r, const char *name, struct repo_tag **ret, size_t *ret_nr, struct err *e)
{
	struct list list = { .size = sizeof(**ret) };
	struct walk w = { .r = r, .list = &list, .file = add_tag, .odd = name ? NULL : leave_out };

	if (walk_images(&w, name, e) < 0) {
		free(list.items);
		return -1;
	}
	if (list.nr)
		qsort(list.items, list.nr, list.size, tag_cmp);
	*ret = (struct repo_tag *)list.items;
	*ret_nr = list.nr;
	return 0;
}

int version_next_number(const struct repo *r, const char *name, uint64_t *ret, struct err *e)
{
	struct walk w = { .r = r, .file = note_number };

	if (walk_image(&w, name, e) < 0)
		return -1;
	if (w.highest == UINT64_MAX)
		return err_set(e, ERR_FAILED, 0, "'%s' has no number left for a version", name);
	*ret = w.highest + 1;
	return 0;
}

void version_path(const struct repo_version *v, char *ret, size_t size)
{
	snprintf(ret, size, "images/%s/%llu.version", v->name, (unsigned long long)v->number);
}

static int flush_image(void *arg, const char *name, struct err *e)
{
	const struct walk *w = arg;
	char folder[128];
	struct stat st;

	if (!img_name_ok(name))
		return 0;
	snprintf(folder, sizeof(folder), "images/%s", name);
	if (fstatat(w->r->fd, folder, &st, AT_SYMLINK_NOFOLLOW) < 0 || !S_ISDIR(st.st_mode))
		return 0; /* no image */
	return repo_flush_folder(w->r, folder, e);
}

int versions_flush(const struct repo *r, const char *name, struct err *e)
{
	struct walk w = { .r = r };

	if ((name ? flush_image(&w, name, e) : each_name(r, "images", false, flush_image, &w, e)) < 0)
		return -1;
	return repo_flush_folder(r, "images", e);
}

static bool version_is_there(const struct repo *r, const struct repo_version *v)
{
	char path[PATH_MAX];

	version_path(v, path, sizeof(path));
	return faccessat(r->fd, path, F_OK, 0) == 0;
}

int version_find(const struct repo *r, const struct repo_name *what, uint64_t *ret, struct err *e)
{
	AUTO_FREE struct repo_version *list = NULL;
	struct repo_version wanted = { .number = 0 };
	size_t nr;

	if (versions_list(r, what->name, &list, &nr, e) < 0)
		return -1;
	if (!nr) {
		err_set(e, ERR_USAGE, 0, "there is no image '%s' in the repository '%s'", what->name, r->dir);
		return err_hint(e, "calco repo list %s shows what there is", r->dir);
	}
	if (!what->which[0]) {
		*ret = list[nr - 1].number;
		return 0;
	}
	snprintf(wanted.name, sizeof(wanted.name), "%s", what->name);
	if (!parse_number(what->which, strlen(what->which), &wanted.number) && read_tag(r, what->name, what->which, &wanted.number, e) < 0)
		return -1;
	if (!version_is_there(r, &wanted)) {
		err_set(e, ERR_USAGE, 0, "there is no version %llu of '%s' in the repository '%s'", (unsigned long long)wanted.number, what->name, r->dir);
		return err_hint(e, "calco repo list %s shows what there is", r->dir);
	}
	*ret = wanted.number;
	return 0;
}

/* The version file says itself what it is. */
static int check_identity(const struct img_reader *reader, const struct repo_version *v, const char *name, struct err *e)
{
	const struct img_manifest *m = img_reader_manifest(reader);

	if (!strcmp(m->name, v->name) && m->version == v->number)
		return 0;
	return err_set(e, ERR_CORRUPT, 0, "'%s' is in truth version %llu of '%s'", name, (unsigned long long)m->version, m->name);
}

/* Takes the packs. */
static struct img_reader *open_with(const struct repo *r, const struct repo_version *v, struct img_packs *packs, const struct img_access *a,
	const struct progress *p, struct err *e)
{
	char path[PATH_MAX], name[2 * PATH_MAX];
	struct img_reader *reader = NULL;

	if (repo_need_keys(r, e) < 0) {
		packs->ops->close(packs);
		return NULL;
	}
	version_path(v, path, sizeof(path));
	snprintf(name, sizeof(name), "%s::%s@%llu", r->dir, v->name, (unsigned long long)v->number);
	int fd = repo_open_file(r, path, O_RDONLY, e);
	if (fd < 0) {
		if (e->sys_errno == ENOENT)
			err_set(e, ERR_USAGE, ENOENT, "opening '%s'", name);
		packs->ops->close(packs);
		return NULL;
	}
	reader = img_reader_open_version(name, fd, packs, r->seal, a, p, e); /* reads all of it at once */
	close(fd);
	if (!reader || check_identity(reader, v, name, e) == 0)
		return reader;
	img_reader_close(reader);
	return NULL;
}

struct img_reader *version_open(const struct repo *r, const struct repo_version *v, const struct progress *p, struct err *e)
{
	struct img_packs *packs = folder_packs_open(r, e);

	return packs ? open_with(r, v, packs, NULL, p, e) : NULL;
}

struct img_reader *version_open_own(struct repo *r, const struct repo_version *v, const struct img_access *a, const struct progress *p, struct err *e)
{
	struct img_packs *packs = folder_packs_open(r, e);

	if (!packs) {
		repo_close(r);
		return NULL;
	}
	folder_packs_own(packs, r);
	return open_with(r, v, packs, a, p, e);
}

int version_summary(const struct repo *r, const struct repo_version *v, struct img_summary *ret, const struct progress *p, struct err *e)
{
	char path[PATH_MAX];

	version_path(v, path, sizeof(path));
	struct err ignored = ERR_INIT;
	AUTO_CLOSE_FD int fd = repo_open_file(r, path, O_RDONLY, &ignored);
	/* Of an encrypted repository only what is authentic counts. */
	if (fd >= 0 && !r->slots && summary_read(fd, ret) && !strcmp(ret->name, v->name) && ret->version == v->number)
		return 0;
	AUTO(img_reader) struct img_reader *reader = version_open(r, v, p, e);
	if (!reader)
		return -1;
	summary_of(img_reader_manifest(reader), ret);
	return 0;
}

int tag_set(struct repo *r, const char *name, const char *tag, uint64_t number, struct err *e)
{
	char path[PATH_MAX], folder[128], text[32], id[33], new[64];
	struct repo_version v = { .number = number };

	if (!tag_name_ok(tag)) {
		err_set(e, ERR_USAGE, 0, "'%.80s' is not a name for a tag", tag);
		return err_hint(e, "use letters, digits, '.', '_' and '-', 64 at most, and not a number");
	}
	snprintf(v.name, sizeof(v.name), "%s", name);
	if (!version_is_there(r, &v))
		return err_set(e, ERR_USAGE, 0, "there is no version %llu of '%s' in '%s'", (unsigned long long)number, name, r->dir);
	/* Before the tag: who made the version may have been killed before the flush, and no tag is to mean what is not there. */
	if (versions_flush(r, name, e) < 0 || repo_random_id(id, e) < 0)
		return -1;
	tag_path(name, tag, path, sizeof(path));
	snprintf(folder, sizeof(folder), "images/%s", name);
	AUTO_CLOSE_FD int to = repo_open_folder(r, folder, e);
	if (to < 0)
		return -1;
	snprintf(new, sizeof(new), "new/%s.tag", id);
	int len = snprintf(text, sizeof(text), "%llu\n", (unsigned long long)number);
	AUTO_CLOSE_FD int fd = openat(r->fd, new, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0 || write(fd, text, (size_t)len) != len || fsync(fd) < 0 || renameat(r->fd, new, to, strrchr(path, '/') + 1) < 0) {
		err_set(e, ERR_FAILED, errno, "setting the tag '%s' of '%s'", tag, name);
		unlinkat(r->fd, new, 0);
		return -1;
	}
	return versions_flush(r, name, e);
}

int tag_remove(struct repo *r, const char *name, const char *tag, struct err *e)
{
	char path[PATH_MAX], folder[128];

	tag_path(name, tag, path, sizeof(path));
	snprintf(folder, sizeof(folder), "images/%s", name);
	AUTO_CLOSE_FD int from = repo_open_folder(r, folder, e);
	if (from < 0)
		return -1;
	if (unlinkat(from, strrchr(path, '/') + 1, 0) < 0)
		return errno == ENOENT ? err_set(e, ERR_USAGE, 0, "'%s' has no tag '%s'", name, tag)
				       : err_set(e, ERR_FAILED, errno, "removing the tag '%s' of '%s'", tag, name);
	return versions_flush(r, name, e);
}

int version_may_go(const struct repo *r, const struct repo_version *v, struct err *e)
{
	AUTO_FREE struct repo_tag *tags = NULL;
	size_t nr;

	if (tags_list(r, v->name, &tags, &nr, e) < 0)
		return -1;
	for (size_t i = 0; i < nr; i++)
		if (tags[i].number == v->number) {
			err_set(e, ERR_REFUSED, 0, "version %llu of '%s' has the tag '%s'", (unsigned long long)v->number, v->name, tags[i].tag);
			err_hint(e, "move the tag (calco repo tag) or remove it (calco repo tag --delete) first");
			return err_reason(e, "tagged");
		}
	return 0;
}

int version_remove(struct repo *r, const struct repo_version *v, struct err *e)
{
	char file[32], gone[PATH_MAX], folder[128];
	struct stat st;

	if (version_may_go(r, v, e) < 0)
		return -1;
	snprintf(file, sizeof(file), "%llu.version", (unsigned long long)v->number);
	snprintf(gone, sizeof(gone), "images/%s/%llu.gone", v->name, (unsigned long long)v->number);
	snprintf(folder, sizeof(folder), "images/%s", v->name);
	AUTO_CLOSE_FD int from = repo_open_folder(r, folder, e);
	if (from < 0)
		return -1;
	if (fstatat(from, file, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISDIR(st.st_mode))
		return err_set(e, ERR_REFUSED, EISDIR, "removing '%s/%s/%s'", r->dir, folder, file);
	AUTO_CLOSE_FD int fd = repo_open_file(r, gone, O_WRONLY | O_CREAT, e);
	if (fd < 0)
		return err_wrap(e, "noting that version %llu of '%s' is gone", (unsigned long long)v->number, v->name);
	if (versions_flush(r, v->name, e) < 0)
		return -1;
	if (unlinkat(from, file, 0) < 0)
		return err_set(e, errno == ENOENT ? ERR_USAGE : ERR_FAILED, errno, "removing version %llu of '%s'", (unsigned long long)v->number, v->name);
	return versions_flush(r, v->name, e);
}
