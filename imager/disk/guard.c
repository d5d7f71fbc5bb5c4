/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The target guard; see guard.h. The questions are asked from the worst mistake to the smallest: is it the source
 * itself, does the image lie on it, does anybody use it, can it be written, does it fit. The first "no" is the answer.
 */
#include "imager/disk/guard.h"

#include "base/auto.h"
#include "base/blk.h"
#include "base/size.h"
#include "imager/disk/dev_view.h"
#include "imager/disk/guard_content.h"
#include "imager/disk/guard_tree.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

int guard_check(const struct guard_request *rq, struct guard_verdict *ret, struct err *e)
{
	return guard_check_env(&dev_env_system, rq, ret, e);
}

int guard_source(const char *path, struct err *e)
{
	return guard_source_env(&dev_env_system, path, e);
}

static int refuse(struct err *e, const char *reason, const char *hint)
{
	err_hint(e, "%s", hint);
	return err_reason(e, reason);
}

/* The folder a path lies in ("." for a plain name), resolved; NULL when it does not exist. */
static char *real_folder(const char *path, char out[PATH_MAX])
{
	char dir[PATH_MAX];

	if (snprintf(dir, sizeof(dir), "%s", path) >= (int)sizeof(dir))
		return NULL;
	char *slash = strrchr(dir, '/');
	if (!slash)
		strcpy(dir, ".");
	else
		slash[slash == dir] = '\0';
	return realpath(dir, out);
}

static const char *file_name(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash ? slash + 1 : path;
}

/* A plain file that is still to be made: fine where its folder exists, and not where device nodes live. */
static int new_file(const struct dev_env *env, const char *path, struct dev_info *ret, struct err *e)
{
	char dir[PATH_MAX];
	struct stat st;
	size_t dev_len = strlen(env->dev);

	if (lstat(path, &st) == 0)
		return err_set(e, ERR_USAGE, 0, "'%s' is a symbolic link to something that does not exist", path);
	const char *name = file_name(path);
	if (!*name || !strcmp(name, ".") || !strcmp(name, "..") || !real_folder(path, dir) ||
		stat(dir, &st) < 0 || !S_ISDIR(st.st_mode))
		return err_set(e, ERR_USAGE, 0, "there is no disk or file '%s', and no folder to make it in", path);
	if (!strncmp(dir, env->dev, dev_len) && (!dir[dev_len] || dir[dev_len] == '/') &&
		strncmp(dir + dev_len, "/shm", 4))
		return blk_missing(path, e);
	struct dev_info d = { .is_file = true, .sector_size = 512, .phys_sector_size = 512 };
	if (snprintf(d.path, sizeof(d.path), "%s/%s", strcmp(dir, "/") ? dir : "", name) >= (int)sizeof(d.path))
		return err_set(e, ERR_USAGE, 0, "the path '%s' is longer than %zu characters", path, sizeof(d.path) - 1);
	d.read_only = access(dir, W_OK) != 0;
	*ret = d;
	return 0;
}

static void find_confirmation(struct guard_verdict *v)
{
	size_t len = strlen(v->dev.serial);

	if (v->dev.is_file) {
		snprintf(v->confirm_text, sizeof(v->confirm_text), "%s", file_name(v->dev.path));
		snprintf(v->confirm_what, sizeof(v->confirm_what), "its file name");
	} else if (len) {
		const char *tail = v->dev.serial + (len > 4 ? len - 4 : 0);
		snprintf(v->confirm_text, sizeof(v->confirm_text), "%s", tail + strspn(tail, " "));
		snprintf(v->confirm_what, sizeof(v->confirm_what),
			len > 4 ? "the last 4 characters of its serial number" : "its serial number");
	} else {
		snprintf(v->confirm_text, sizeof(v->confirm_text), "%llu", (unsigned long long)v->dev.size);
		snprintf(v->confirm_what, sizeof(v->confirm_what), "its exact size in bytes");
	}
}

static int look_at_content(struct guard_verdict *v, struct err *e)
{
	AUTO_CLOSE_FD int fd = open(v->dev.path, O_RDONLY | O_CLOEXEC | O_NOCTTY);

	if (fd < 0 && errno == ENOMEDIUM)
		return err_set(e, ERR_USAGE, 0, "there is no medium in '%s'", v->dev.path);
	if (fd < 0) { /* there may be a better reason to refuse it; if not, opening it for writing will say why */
		snprintf(v->holds, sizeof(v->holds), "data that cannot be read: %s", strerrordesc_np(errno));
		return 0;
	}
	v->is_empty = guard_content(fd, v->dev.size, v->dev.is_file, v->holds, sizeof(v->holds));
	v->is_unrecognised = !v->is_empty && !strcmp(v->holds, GUARD_UNRECOGNISED);
	return 0;
}

/* What the target is and holds. *ret_exists is false for a plain file that is still to be made. */
static int look_at_target(
	const struct dev_env *env, const char *path, struct guard_verdict *v, bool *ret_exists, struct err *e)
{
	struct stat st;

	*ret_exists = stat(path, &st) == 0 || (errno != ENOENT && errno != ENOTDIR);
	if (!*ret_exists) {
		if (new_file(env, path, &v->dev, e) < 0)
			return -1;
		v->is_empty = true;
		find_confirmation(v);
		return 0;
	}
	if (dev_inspect_env(env, path, &v->dev, e) < 0)
		return -1;
	find_confirmation(v);
	if (!v->dev.is_file && !v->dev.size)
		return err_set(e, ERR_USAGE, 0, "there is no medium in '%s'", v->dev.path);
	return look_at_content(v, e);
}

/* Cuts a path down to the part of it that exists: the folder where a state file will be made. */
static bool existing_part(const char *path, char out[PATH_MAX])
{
	struct stat st;

	if (snprintf(out, PATH_MAX, "%s", path) >= PATH_MAX)
		return false;
	while (stat(out, &st) < 0) {
		char *slash = strrchr(out, '/');
		if (!slash || slash == out) {
			strcpy(out, slash ? "/" : ".");
			return true;
		}
		*slash = '\0';
	}
	return true;
}

/* Two names for a file that does not exist yet. */
static bool will_be_same(const struct dev_info *target, const char *path)
{
	char dir[PATH_MAX], full[PATH_MAX];

	return real_folder(path, dir) && dev_join(full, strcmp(dir, "/") ? dir : "", file_name(path)) &&
	       !strcmp(full, target->path);
}

static const char *verb_of(const struct guard_request *rq)
{
	return rq->is_given ? "cannot be written to" : "cannot be the target";
}

static int refuse_source(const struct guard_request *rq, const struct guard_verdict *v, const char *path, struct err *e)
{
	if (!strcmp(path, v->dev.path))
		err_set(e, ERR_REFUSED, 0, "'%s' %s: this job reads it or keeps its records in it", v->dev.path, verb_of(rq));
	else
		err_set(e, ERR_REFUSED, 0, "'%s' %s: it is the same as '%s', which this job needs", v->dev.path, verb_of(rq), path);
	return refuse(e, "is-source", rq->is_given ? "copy the state record to another disk first, and name it" : "choose another target");
}

/* One path that the job needs: it must neither be the target nor lie on it. */
static int check_needed(const struct dev_view *view, const struct guard_request *rq, const struct guard_verdict *v,
	const struct dev_places *target, const char *path, struct err *e)
{
	AUTO_PLACES struct dev_places direct = { 0 };
	AUTO_PLACES struct dev_places under = { 0 };
	char existing[PATH_MAX];

	if (!target->nr) /* a new file: it has no place yet */
		return will_be_same(&v->dev, path) ? refuse_source(rq, v, path, e) : 0;
	if (!existing_part(path, existing))
		return err_set(e, ERR_USAGE, 0, "the path '%s' is too long", path);
	if (dev_below_path(view, existing, &direct, e) < 0 || dev_under_path(view, existing, &under, e) < 0)
		return -1;
	/* Either stands on the other: the LV of a disk that is captured, the disk under an LV that is captured. */
	if (direct.nr && (dev_place_hits(&target->v[0], &direct) || dev_place_hits(&direct.v[0], target)))
		return refuse_source(rq, v, path, e);
	if (!dev_place_hits(&target->v[0], &under))
		return 0;
	err_set(e, ERR_REFUSED, 0, "'%s' %s: '%s', which this job needs, lies on it", v->dev.path, verb_of(rq), path);
	return refuse(e, "holds-store", rq->is_given ? "copy the state record to another disk first, and name it"
						     : "choose another target, or move the image to another disk");
}

/* A folder that the job needs as a whole: it must not lie on the target, nor the target be a file in it. */
static int check_tree(const struct dev_view *view, const struct guard_request *rq, const struct guard_verdict *v,
	const struct dev_places *target, struct err *e)
{
	char path[PATH_MAX];

	if (check_needed(view, rq, v, target, rq->in_use_tree, e) < 0)
		return -1;
	int found = guard_tree(rq->in_use_tree, target, path, e);
	return found == 1 ? refuse_source(rq, v, path, e) : found;
}

int guard_new_file(const char *path, const char *tree, struct err *e)
{
	char folder[PATH_MAX];
	struct stat top, st;

	if (!real_folder(path, folder) || stat(folder, &st) < 0 || stat(tree, &top) < 0)
		return err_set(e, ERR_FAILED, errno, "looking for the folder of '%s'", path);
	/* By their numbers: a folder may be reached through bind mounts too. */
	for (;;) {
		if (st.st_dev == top.st_dev && st.st_ino == top.st_ino) {
			err_set(e, ERR_REFUSED, 0, "'%s' cannot be the target: it would be a file in '%s', which this job needs", path, tree);
			return refuse(e, "is-source", "choose another target");
		}
		if (!strcmp(folder, "/"))
			return 0;
		char *slash = strrchr(folder, '/');
		slash[slash == folder] = '\0';
		if (stat(folder, &st) < 0)
			return err_set(e, ERR_FAILED, errno, "looking at '%s'", folder);
	}
}

#define OR_ANOTHER ", or choose another disk"

static const struct {
	const char *reason;
	const char *hint;
} uses[] = { /* the order in which they are reported */
	{ "mounted", "unmount it first" },
	{ "swap", "turn that swap off first (swapoff)" },
	{ "held", "stop what holds it first (vgchange -an, mdadm --stop, cryptsetup close)" },
	{ "in-use", "detach it first (losetup -d)" },
};

/* Refuses when there is a user of one of the first nr kinds; names up to three of them. or_else: a second half of the hint. */
static int refuse_users(const char *path, const struct dev_user *users, size_t nr_users, size_t nr_kinds,
	const char *verb, const char *or_else, struct err *e)
{
	char list[480] = "";

	for (size_t k = 0; k < nr_kinds; k++) {
		size_t nr = 0;
		for (size_t i = 0; i < nr_users; i++) {
			size_t used = strlen(list);
			if (strcmp(users[i].reason, uses[k].reason))
				continue;
			if (nr++ < 3)
				snprintf(list + used, sizeof(list) - used, "%s%.140s", used ? "; " : "", users[i].text);
		}
		if (!nr)
			continue;
		if (nr > 3)
			err_set(e, ERR_REFUSED, 0, "'%s' %s: %s; and %zu more", path, verb, list, nr - 3);
		else
			err_set(e, ERR_REFUSED, 0, "'%s' %s: %s", path, verb, list);
		err_hint(e, "%s%s", uses[k].hint, or_else);
		return err_reason(e, uses[k].reason);
	}
	return 0;
}

/* Somebody has claimed the device whom sysfs and mountinfo do not name (ZFS, a running restore, an iSCSI target). */
static bool is_claimed(const char *path)
{
	AUTO_CLOSE_FD int fd = open(path, O_RDONLY | O_EXCL | O_CLOEXEC);

	return fd < 0 && errno == EBUSY;
}

/* A virtual machine locks byte ranges of its disk files (QEMU: open file description locks). */
static bool is_locked(const char *path)
{
	AUTO_CLOSE_FD int fd = open(path, O_RDONLY | O_CLOEXEC);
	struct flock lock = { .l_type = F_WRLCK, .l_whence = SEEK_SET };

	return fd >= 0 && fcntl(fd, F_OFD_GETLK, &lock) == 0 && lock.l_type != F_UNLCK;
}

static int check_users(const struct dev_view *view, const struct guard_request *rq, const struct guard_verdict *v, struct err *e)
{
	AUTO_FREE struct dev_user *users = NULL;
	const char *or_else = rq->is_given ? "" : OR_ANOTHER;
	size_t nr;

	if (dev_view_users(view, &v->dev, false, &users, &nr, e) < 0)
		return -1;
	if (refuse_users(v->dev.path, users, nr, sizeof(uses) / sizeof(uses[0]), verb_of(rq), or_else, e) < 0)
		return -1;
	if (v->dev.is_file ? !is_locked(v->dev.path) : !is_claimed(v->dev.path))
		return 0;
	err_set(e, ERR_REFUSED, 0, "'%s' %s: another program has %s it", v->dev.path, verb_of(rq),
		v->dev.is_file ? "locked" : "claimed");
	err_hint(e, "stop the program that uses it (a virtual machine, another restore)%s", or_else);
	return err_reason(e, "in-use");
}

static int check_size(const struct guard_request *rq, const struct dev_info *d, struct err *e)
{
	char have[32], less[32];

	if (d->size >= rq->need_size)
		return 0;
	uint64_t shortage = rq->need_size - d->size;
	size_format(d->size, have);
	size_format(shortage, less);
	if (shortage < 10 << 10)
		err_set(e, ERR_REFUSED, 0,
			"'%s' (%s, %llu bytes) is %s smaller than the image's disk (%llu bytes)", d->path, have,
			(unsigned long long)d->size, less, (unsigned long long)rq->need_size);
	else
		err_set(e, ERR_REFUSED, 0,
			"'%s' (%s, %llu bytes) is %s (%llu bytes) smaller than the image's disk (%llu bytes)",
			d->path, have, (unsigned long long)d->size, less, (unsigned long long)shortage,
			(unsigned long long)rq->need_size);
	return refuse(e, "too-small",
		d->is_file ? "make the file larger (truncate -s), or name one that does not exist yet"
			   : "choose a larger disk, or restore single volumes with --only");
}

static int check_fit(const struct guard_request *rq, const struct guard_verdict *v, struct err *e)
{
	const struct dev_info *d = &v->dev;

	if (d->read_only) {
		err_set(e, ERR_REFUSED, 0, "'%s' is read-only", d->path);
		return refuse(e, "read-only", d->is_file ? "make it writable, or choose another file"
						       : "look for a write-protect switch, or use blockdev --setrw");
	}
	if (!d->is_file && access(d->path, W_OK) < 0 && errno == EACCES) {
		err_set(e, ERR_FAILED, errno, "'%s' cannot be opened for writing", d->path);
		return refuse(e, "no-permission", "run it as root (sudo calco ...)");
	}
	if (d->is_file && !d->size) /* new, or empty: it is made as large as needed */
		return 0;
	return check_size(rq, d, e);
}

int guard_check_env(
	const struct dev_env *env, const struct guard_request *rq, struct guard_verdict *ret, struct err *e)
{
	AUTO(dev_view) struct dev_view *view = NULL;
	AUTO_PLACES struct dev_places target = { 0 };
	bool exists;

	memset(ret, 0, sizeof(*ret));
	if (look_at_target(env, rq->target, ret, &exists, e) < 0)
		return -1;
	if (dev_view_load(env, &view, e) < 0)
		return -1;
	if (exists && dev_below_path(view, ret->dev.path, &target, e) < 0)
		return -1;
	for (const char *const *p = rq->in_use; p && *p; p++)
		if (check_needed(view, rq, ret, &target, *p, e) < 0)
			return -1;
	if (rq->in_use_tree && check_tree(view, rq, ret, &target, e) < 0)
		return -1;
	if (exists && check_users(view, rq, ret, e) < 0)
		return -1;
	return check_fit(rq, ret, e);
}

int guard_confirm(const struct guard_request *rq, const struct guard_verdict *v, struct err *e)
{
	bool is_named = rq->confirm && !strcmp(rq->confirm, v->confirm_text);

	if (is_named || (v->is_empty && rq->yes && !rq->confirm))
		return 0;
	if (rq->confirm)
		err_set(e, ERR_REFUSED, 0, "the confirmation '%.60s' does not fit '%s'%s%s", rq->confirm, v->dev.path,
			v->is_empty ? "" : ", which holds ", v->holds);
	else if (v->is_empty)
		err_set(e, ERR_REFUSED, 0, "writing to '%s' was not confirmed; nothing was found on it", v->dev.path);
	else
		err_set(e, ERR_REFUSED, 0, "overwriting '%s' was not confirmed; it holds %s", v->dev.path, v->holds);
	err_reason(e, "not-confirmed");
	if (v->is_empty && !rq->confirm)
		return err_hint(e, "add --yes");
	return err_hint(e, "to overwrite it add --confirm '%s' (%s)", v->confirm_text, v->confirm_what);
}

int guard_source_env(const struct dev_env *env, const char *path, struct err *e)
{
	AUTO(dev_view) struct dev_view *view = NULL;
	AUTO_FREE struct dev_user *users = NULL;
	AUTO_FREE struct dev_user *all = NULL;
	struct dev_info dev;
	size_t nr, nr_all;

	if (dev_inspect_env(env, path, &dev, e) < 0 || dev_view_load(env, &view, e) < 0)
		return -1;
	if (dev_view_users(view, &dev, true, &users, &nr, e) < 0 ||
		dev_view_users(view, &dev, false, &all, &nr_all, e) < 0)
		return -1;
	if (refuse_users(dev.path, users, nr, 2, "changes while it is read", OR_ANOTHER, e) < 0)
		return -1;
	/* Read-only mounts and idle holders claim a device too; only a claim that nothing explains is a danger. */
	if (dev.is_file || nr_all || !is_claimed(dev.path))
		return 0;
	err_set(e, ERR_REFUSED, 0, "'%s' may change while it is read: another program has claimed it", dev.path);
	return refuse(e, "in-use", "stop the program that uses it (a restore, ZFS, a disk server)");
}
