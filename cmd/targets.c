/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Targets of a restore; see targets.h. */
#include "cmd/targets.h"

#include "base/arith.h"
#include "base/blk.h"
#include "base/folder.h"
#include "cmd/confirm.h"
#include "imager/image/manifest.h"
#include "imager/job/job.h"
#include "imager/repo/repo.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

/* A word of these a shell takes as it is. */
#define PLAIN "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-+,:@/"

/* A file can be made under this name: nothing is there, not even a link that leads nowhere, and its folder is. */
static int check_missing(const char *path, struct err *e)
{
	char folder[PATH_MAX];
	struct stat st;

	/* A mistyped disk must not become a file that fills the memory behind /dev. */
	if (!strncmp(path, "/dev/", 5) && strncmp(path, "/dev/shm/", 9))
		return blk_missing(path, e);
	if (!lstat(path, &st)) {
		err_set(e, ERR_USAGE, 0, "the target '%s' is a symbolic link to something that does not exist", path);
		return err_hint(e, "remove the link, or name the file that shall be made");
	}
	if (folder_of(path, folder, sizeof(folder)) < 0)
		return err_set(e, ERR_USAGE, ENAMETOOLONG, "making the target '%s'", path);
	if (stat(folder, &st) < 0)
		return err_set(e, ERR_USAGE, errno, "the folder '%s' for the target", folder);
	return 0;
}

static int kind_of(const char *path, enum target_kind *ret, struct err *e)
{
	struct stat st;

	*ret = TARGET_EXISTS;
	if (!stat(path, &st)) {
		if (S_ISREG(st.st_mode) && !st.st_size)
			*ret = TARGET_EMPTY_FILE;
		return 0;
	}
	if (errno != ENOENT)
		return err_set(e, errno == ENOTDIR || errno == ELOOP || errno == ENAMETOOLONG ? ERR_USAGE : ERR_FAILED, errno,
			"looking at the target '%s'", path);
	*ret = TARGET_MISSING;
	return check_missing(path, e);
}

/* Bytes the target must have: the disk's size. A single volume needs its own at least; where it goes on a disk, the job decides. */
static uint64_t need_of(const struct targets_request *rq, const struct targets *all, const struct target *t)
{
	if (!rq->m)
		return 0;
	return all->only_region == SIZE_MAX ? rq->m->disks[t->disk].size : rq->m->regions[all->only_region].len;
}

static int check_new_file(const struct target *t, struct err *e)
{
	if (t->need_size)
		return 0;
	err_set(e, ERR_USAGE, 0, "the target '%s' is %s, and the image from standard input does not tell its size in time", t->path,
		t->kind == TARGET_MISSING ? "not there" : "an empty file");
	return err_hint(e, "make the file first, at least as large as the disk: truncate -s SIZE %.100s", t->path);
}

static int check_target(const struct targets_request *rq, struct targets *all, size_t i, struct err *e)
{
	struct target *t = &all->list[i];
	bool exists = t->kind == TARGET_EXISTS;

	t->need_size = need_of(rq, all, t);
	if (!exists && rq->sector_size) /* a disk ends with a whole sector */
		t->need_size = round_up_u64(t->need_size, rq->sector_size);
	if (!exists && check_new_file(t, e) < 0)
		return -1;
	t->rq = (struct guard_request){
		.target = t->path,
		.need_size = exists ? t->need_size : 0,
		.in_use = all->in_use,
		.in_use_tree = all->repository[0] ? all->repository : NULL,
		.yes = rq->yes,
	};
	if (t->kind == TARGET_MISSING)
		return t->rq.in_use_tree ? guard_new_file(t->path, t->rq.in_use_tree, e) : 0;
	if (guard_check(&t->rq, &t->verdict, e) < 0)
		return -1;
	/* What an earlier attempt left in a file that was new then: the same command finishes it. A disk may be another one by now. */
	enum restore_held held = t->verdict.is_empty ? RESTORE_HELD_NOTHING : t->verdict.is_unrecognised ? RESTORE_HELD_UNNAMED : RESTORE_HELD_NAMED;
	t->resumes = t->verdict.dev.is_file && restore_resumes(rq->state_file, t->disk, t->path, t->verdict.dev.size, held);
	return 0;
}

/* A volume that lies on several disks; NULL when each disk is complete by itself. */
static const struct img_volume *volume_across(const struct img_manifest *m)
{
	for (size_t i = 0; i < m->nr_volumes; i++)
		for (uint32_t k = 1; k < m->volumes[i].nr_segments; k++)
			if (m->volumes[i].segments[k].disk != m->volumes[i].segments[0].disk)
				return &m->volumes[i];
	return NULL;
}

/* Half of a volume is of no use, so one disk alone is only offered where each stands alone. It needs no mode of its own. */
static int hint_number(const struct targets_request *rq, struct err *e)
{
	const struct img_volume *across = volume_across(rq->m);

	if (rq->m->nr_disks < 2 || rq->nr_disks > rq->m->nr_disks)
		return err_hint(e, "name one target for each disk, in the order of 'calco info %.100s'", rq->image);
	if (across)
		return err_hint(e, "'%.100s' (%s) lies on several of them: name one target for each disk, in the order of 'calco info %.100s'",
			across->name[0] ? across->name : across->label, across->type, rq->image);
	return err_hint(e, "name one target for each disk, in the order of 'calco info %.100s'; where one disk is wanted alone, name new files for the "
		"others and delete them afterwards; a single volume is written with --only DISK:PARTITION", rq->image);
}

/* One target for each disk, or with --only one for the volume. */
static int check_numbers(const struct targets_request *rq, const struct targets *all, struct err *e)
{
	size_t nr = rq->nr_disks;

	if (all->only_region != SIZE_MAX)
		nr = 1;
	else if (rq->m)
		nr = rq->m->nr_disks;
	if (rq->nr_disks != nr && rq->only) {
		return err_set(e, ERR_USAGE, 0, "--only writes one volume to one target, %zu are named", rq->nr_disks);
	} else if (rq->nr_disks != nr) {
		err_set(e, ERR_USAGE, 0, "the image holds %zu disk%s, %zu target%s named", nr, nr == 1 ? "" : "s", rq->nr_disks,
			rq->nr_disks == 1 ? " is" : "s are");
		return hint_number(rq, e);
	}
	if (rq->confirm->nr > rq->nr_disks)
		return err_set(e, ERR_USAGE, 0, "--confirm is given %zu times for %zu target%s", rq->confirm->nr, rq->nr_disks,
			rq->nr_disks == 1 ? "" : "s");
	return 0;
}

static int name_targets(const struct targets_request *rq, struct targets *ret, struct err *e)
{
	ret->paths = disk_paths_resolve(rq->disks, rq->nr_disks, e);
	if (!ret->paths)
		return -1;
	ret->list = alloc_array(rq->nr_disks, sizeof(*ret->list));
	if (!ret->list)
		return err_nomem(e, "the list of targets");
	ret->nr = rq->nr_disks;
	for (size_t i = 0; i < ret->nr; i++) {
		struct target *t = &ret->list[i];
		t->path = ret->paths->items[i];
		t->disk = ret->only_region == SIZE_MAX ? i : rq->m->regions[ret->only_region].disk;
		if (kind_of(t->path, &t->kind, e) < 0)
			return -1;
	}
	return 0;
}

int targets_find_place(struct targets *t, const struct img_manifest *m, struct err *e)
{
	struct target *only = &t->list[0];

	only->place = (struct restore_place){ .at_start = true };
	if (only->kind == TARGET_EXISTS && restore_find_place(m, t->only_region, only->path, &only->place, e) < 0)
		return -1;
	only->has_place = true;
	return 0;
}

/* What the job will change, or why it will refuse; of an image from a pipe it tells later. */
static int foresee(const struct targets_request *rq, struct targets *t, struct err *e)
{
	AUTO_FREE struct restore_target *list = alloc_array(rq->m->nr_disks, sizeof(*list));

	if (!list)
		return err_nomem(e, "the plan");
	for (size_t i = 0; i < t->nr; i++) {
		const struct target *g = &t->list[i];
		bool is_device = g->kind == TARGET_EXISTS && !g->verdict.dev.is_file;
		if (is_device && rq->sector_size && rq->sector_size != g->verdict.dev.sector_size) {
			err_set(e, ERR_USAGE, 0, "'%s' is a device with sectors of %u bytes: --sector-size is for plain files", g->path,
				g->verdict.dev.sector_size);
			return err_hint(e, "leave --sector-size out");
		}
		list[g->disk] = (struct restore_target){ .name = g->path, .sector_size = is_device ? g->verdict.dev.sector_size : rq->sector_size,
			.size = g->kind == TARGET_EXISTS ? g->verdict.dev.size : g->need_size };
	}
	return restore_foresee(rq->reader, t->only_region, list, rq->as_is, &t->changes, &t->nr_changes, e);
}

enum target_wants target_wants(const struct target *t)
{
	if (t->kind != TARGET_EXISTS || t->resumes)
		return WANTS_NOTHING;
	return t->verdict.is_empty ? WANTS_YES : WANTS_TEXT;
}

/* One text for each target that needs one; where that does not come out even, one for each target by its place. */
static void assign_texts(const struct targets_request *rq, struct targets *t)
{
	size_t needed = 0, next = 0;

	for (size_t i = 0; i < t->nr; i++)
		needed += target_wants(&t->list[i]) == WANTS_TEXT;
	for (size_t i = 0; i < t->nr; i++) {
		bool by_need = rq->confirm->nr == needed;
		if (by_need && target_wants(&t->list[i]) != WANTS_TEXT)
			continue;
		size_t place = by_need ? next++ : i;
		t->list[i].rq.confirm = place < rq->confirm->nr ? rq->confirm->items[place] : NULL;
	}
}

/* The image: a file, or the folder of the repository it lies in. */
static int name_image(const struct targets_request *rq, struct targets *ret, size_t *nr, struct err *e)
{
	struct repo_name name;

	if (image_is_pipe(rq->image))
		return 0;
	if (!repo_is_name(rq->image)) {
		ret->in_use[(*nr)++] = rq->image;
		return 0;
	}
	if (repo_parse(rq->image, &name, e) < 0)
		return -1;
	snprintf(ret->repository, sizeof(ret->repository), "%s", name.dir);
	return 0;
}

int targets_check(const struct targets_request *rq, struct targets *ret, struct err *e)
{
	*ret = (struct targets){ .only_region = SIZE_MAX, .state_file = rq->state_file };
	if (rq->only && rq->m && img_find_region(rq->m, rq->only, &ret->only_region, e) < 0)
		return err_wrap(e, "--only");
	if (check_numbers(rq, ret, e) < 0)
		return -1;
	if (rq->state_file)
		(void)folder_of(rq->state_file, ret->state_folder, sizeof(ret->state_folder)); /* too long: nothing will be saved there */
	if (name_targets(rq, ret, e) < 0 || guard_distinct("target", ret->paths->items, ret->nr, e) < 0)
		return -1;
	size_t nr = 0;
	if (name_image(rq, ret, &nr, e) < 0)
		return -1;
	if (ret->state_folder[0])
		ret->in_use[nr++] = ret->state_folder;
	for (size_t i = 0; i < ret->nr; i++)
		if (check_target(rq, ret, i, e) < 0)
			return -1;
	assign_texts(rq, ret);
	if (ret->only_region != SIZE_MAX && targets_find_place(ret, rq->m, e) < 0)
		return -1;
	if (rq->m && foresee(rq, ret, e) < 0)
		return -1;
	return rq->m ? restore_check_room(rq->m, ret->only_region, ret->paths->items, ret->nr, e) : 0;
}

/* In the hint of a refusal exactly what confirms all of several targets, as far as it has room for that. */
static void tell_all(const struct targets *t, struct err *e)
{
	char what[sizeof(e->hint)] = "";
	size_t used = 0, nr = 0;
	bool wants_yes = false;

	for (size_t i = 0; i < t->nr; i++) {
		const char *text = t->list[i].verdict.confirm_text;
		wants_yes |= target_wants(&t->list[i]) == WANTS_YES;
		if (target_wants(&t->list[i]) != WANTS_TEXT)
			continue;
		const char *quote = text[strspn(text, PLAIN)] || !text[0] ? "'" : "";
		used += (size_t)snprintf(what + used, sizeof(what) - used, " --confirm %s%s%s", quote, text, quote);
		if (used >= sizeof(what) - 60)
			return;
		nr++;
	}
	err_hint(e, "all targets are confirmed by%s%s%s", nr > 1 ? ", in this order:" : ":", what, wants_yes ? " --yes" : "");
}

int targets_confirm(const struct targets *t, bool may_ask, struct err *e)
{
	for (size_t i = 0; i < t->nr; i++) {
		if (target_wants(&t->list[i]) == WANTS_NOTHING)
			continue;
		if (confirm_target(&t->list[i].rq, &t->list[i].verdict, may_ask, e) < 0) {
			if (t->nr > 1 && e->code == ERR_REFUSED)
				tell_all(t, e);
			return -1;
		}
	}
	return 0;
}

/* In this order: the same command asks nothing about an empty file, nor about one of which a record tells that it was made by it. */
int targets_create(struct targets *t, const struct progress *p, struct err *e)
{
	for (size_t i = 0; i < t->nr; i++) {
		const struct target *g = &t->list[i];
		if (g->kind == TARGET_EXISTS)
			continue;
		int flags = O_WRONLY | O_CLOEXEC | (g->kind == TARGET_MISSING ? O_CREAT | O_EXCL : 0);
		AUTO_CLOSE_FD int fd = open(g->path, flags, 0600); /* a disk holds what only root may read */
		if (fd < 0)
			return err_set(e, ERR_FAILED, errno, "making the target '%s'", g->path);
		if (restore_announce(t->state_file, g->disk, g->path, g->need_size, p, t->set_aside, e) < 0)
			return -1;
		if (ftruncate(fd, (off_t)g->need_size) < 0)
			return err_set(e, ERR_FAILED, errno, "giving the target '%s' %llu bytes", g->path,
				(unsigned long long)g->need_size);
	}
	return 0;
}

void targets_free(struct targets *t)
{
	disk_paths_free(t->paths);
	free(t->changes);
	free(t->list);
	*t = (struct targets){ .only_region = SIZE_MAX };
}
