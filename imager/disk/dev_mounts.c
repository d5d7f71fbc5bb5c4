/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Mounts of every mount namespace, and swap areas, from /proc (proc(5): /proc/pid/mountinfo, /proc/swaps).
 *
 * A container or a service with a private /tmp may have a disk mounted that our own namespace does not show, so each
 * namespace that some process has is read once.
 */
#include "imager/disk/dev_view.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#define MAX_MOUNTS (1U << 20)

/* Blanks and such are written as \040. */
static void decode_octal(char *s)
{
	char *out = s;

	for (; *s; s++) {
		if (s[0] == '\\' && s[1] >= '0' && s[1] <= '3' && s[2] >= '0' && s[2] <= '7' && s[3] >= '0' && s[3] <= '7') {
			*out++ = (char)((s[1] - '0') << 6 | (s[2] - '0') << 3 | (s[3] - '0'));
			s += 3;
		} else {
			*out++ = *s;
		}
	}
	*out = '\0';
}

/* "/dev/sda1" stands for a node below env->dev, which only in tests is another folder. */
static int stat_source(const struct dev_env *env, const char *source, struct stat *st)
{
	char path[PATH_MAX];

	if (strncmp(source, "/dev/", 5))
		return stat(source, st);
	return dev_join(path, env->dev, source + 5) ? stat(path, st) : -1;
}

/* Where the source is a path: the file or device behind it. Network file systems are not touched: they may hang. */
static void find_origin(const struct dev_env *env, struct dev_mount *m)
{
	static const char *const remote[] = { "nfs", "nfs4", "cifs", "smb3", "autofs", "ceph", "9p", "virtiofs" };
	struct stat st;

	for (size_t i = 0; i < sizeof(remote) / sizeof(remote[0]); i++)
		if (!strcmp(m->fstype, remote[i]))
			return;
	if (m->source[0] != '/' || stat_source(env, m->source, &st) < 0)
		return;
	if (S_ISBLK(st.st_mode)) {
		m->origin = DEV_ORIGIN_BLOCK;
		m->dev = st.st_rdev;
	} else if (S_ISREG(st.st_mode)) {
		m->origin = DEV_ORIGIN_FILE;
		m->dev = st.st_dev;
		m->ino = st.st_ino;
	}
}

/* Takes m->point and m->source. */
static int add_mount(struct dev_view *v, struct dev_mount *m, struct err *e)
{
	struct dev_mount *more = NULL;

	if (m->point && m->source && v->nr_mounts < MAX_MOUNTS)
		more = reallocarray(v->mounts, v->nr_mounts + 1, sizeof(*m));
	if (!more) {
		free(m->point);
		free(m->source);
		return err_nomem(e, "the list of mounts");
	}
	v->mounts = more;
	v->mounts[v->nr_mounts++] = *m;
	return 0;
}

/* Other namespaces mostly repeat ours: one mount of each file system is enough. */
static bool is_known(const struct dev_view *v, const struct dev_mount *m, const char *source)
{
	for (size_t i = 0; i < v->nr_mounts; i++) {
		const struct dev_mount *o = &v->mounts[i];
		if (!o->is_swap && o->dev == m->dev && !strcmp(o->source, source) && !strcmp(o->fstype, m->fstype))
			return true;
	}
	return false;
}

/*
 * 36 35 98:0 /root /mnt rw,noatime master:1 - ext4 /dev/sda1 rw,errors=continue
 * id parent major:minor root point options [optional...] - fstype source superblock-options
 */
static int parse_mount(const struct dev_env *env, struct dev_view *v, char *line, int pid, struct err *e)
{
	struct dev_mount m = { .pid = pid };
	unsigned long long id;
	unsigned dev_major, dev_minor;
	char *save, *save2, *field[6], *fstype, *source, *options;

	line[strcspn(line, "\n")] = '\0';
	char *rest = strstr(line, " - ");
	if (!rest)
		return err_set(e, ERR_FAILED, 0, "mountinfo has a line that cannot be understood: '%.80s'", line);
	*rest = '\0';
	for (size_t i = 0; i < 6; i++)
		if (!(field[i] = strtok_r(i ? NULL : line, " ", &save)))
			return err_set(e, ERR_FAILED, 0, "mountinfo has a line with only %zu fields", i);
	fstype = strtok_r(rest + 3, " ", &save2);
	source = strtok_r(NULL, " ", &save2);
	options = strtok_r(NULL, " ", &save2);
	if (!options) { /* an empty source leaves two words only */
		options = source;
		source = "";
	}
	if (!options || sscanf(field[0], "%llu", &id) != 1 || sscanf(field[2], "%u:%u", &dev_major, &dev_minor) != 2)
		return err_set(e, ERR_FAILED, 0, "mountinfo has a line that cannot be understood: '%.80s'", line);
	m.id = id;
	m.is_rw = !strncmp(options, "rw", 2) && (!options[2] || options[2] == ',');
	snprintf(m.fstype, sizeof(m.fstype), "%s", fstype);
	if (*source)
		decode_octal(source);
	decode_octal(field[4]);
	if (dev_major) {
		m.origin = DEV_ORIGIN_BLOCK;
		m.dev = makedev(dev_major, dev_minor);
	}
	m.source = strdup(source);
	m.point = strdup(field[4]);
	if (m.source && !dev_major)
		find_origin(env, &m);
	if (pid && m.source && is_known(v, &m, m.source)) {
		free(m.source);
		free(m.point);
		return 0;
	}
	return add_mount(v, &m, e);
}

static int read_mounts(const struct dev_env *env, struct dev_view *v, int pid, struct err *e)
{
	char path[PATH_MAX], *line = NULL;
	size_t room = 0;
	int r = 0;

	if (pid)
		snprintf(path, sizeof(path), "%s/%d/mountinfo", env->proc, pid);
	else
		snprintf(path, sizeof(path), "%s/self/mountinfo", env->proc);
	FILE *f = fopen(path, "re");
	if (!f) /* a process that ended, or (without root) one we may not look at */
		return pid && dev_is_absent(errno) ? 0 : err_set(e, ERR_FAILED, errno, "reading '%s'", path);
	errno = 0;
	while (r == 0 && getline(&line, &room, f) > 0)
		r = parse_mount(env, v, line, pid, e);
	/* Not at the end: for want of memory, or a read failed. Of a process that ended nothing is left to be read. */
	if (r == 0 && !feof(f) && !(pid && (dev_is_absent(errno) || errno == EINVAL)))
		r = err_set(e, ERR_FAILED, errno, "reading '%s'", path);
	free(line);
	fclose(f);
	return r;
}

struct namespaces {
	ino_t *v;
	size_t nr;
};

/* Is it a namespace not seen before? Counts it as seen. */
static bool is_new(struct namespaces *seen, const char *proc, const char *pid)
{
	char path[PATH_MAX];
	struct stat st;

	if (snprintf(path, sizeof(path), "%s/%s/ns/mnt", proc, pid) >= (int)sizeof(path) || stat(path, &st) < 0)
		return false;
	for (size_t i = 0; i < seen->nr; i++)
		if (seen->v[i] == st.st_ino)
			return false;
	ino_t *more = reallocarray(seen->v, seen->nr + 1, sizeof(*more));
	if (more) { /* without memory a namespace is read twice: harmless */
		seen->v = more;
		seen->v[seen->nr++] = st.st_ino;
	}
	return true;
}

static int read_other_namespaces(const struct dev_env *env, struct dev_view *v, struct err *e)
{
	struct namespaces seen = { 0 };
	int r = 0;
	DIR *d = opendir(env->proc);

	if (!d)
		return err_set(e, ERR_FAILED, errno, "listing '%s'", env->proc);
	is_new(&seen, env->proc, "self");
	for (struct dirent *en; r == 0 && (errno = 0, en = readdir(d));)
		if (isdigit((unsigned char)en->d_name[0]) && is_new(&seen, env->proc, en->d_name))
			r = read_mounts(env, v, atoi(en->d_name), e);
	if (r == 0 && errno)
		r = err_set(e, ERR_FAILED, errno, "listing '%s'", env->proc);
	closedir(d);
	free(seen.v);
	return r;
}

/* Filename  Type  Size  Used  Priority: the name is a device or a file, and ends in " (deleted)" where it is gone. */
static int read_swaps(const struct dev_env *env, struct dev_view *v, struct err *e)
{
	char path[PATH_MAX], *line = NULL;
	size_t room = 0;
	int r = 0;

	snprintf(path, sizeof(path), "%s/swaps", env->proc);
	FILE *f = fopen(path, "re");
	if (!f) /* a kernel without swap */
		return errno == ENOENT ? 0 : err_set(e, ERR_FAILED, errno, "reading '%s'", path);
	while (r == 0 && getline(&line, &room, f) > 0) {
		if (line[0] != '/')
			continue;
		struct dev_mount m = { .is_swap = true, .is_rw = true };
		line[strcspn(line, " \t\n")] = '\0';
		decode_octal(line);
		m.source = strdup(line);
		m.point = strdup("");
		if (m.source)
			find_origin(env, &m);
		if (m.source && m.origin == DEV_ORIGIN_NONE && !strncmp(line, "/dev/", 5)) { /* its node is gone */
			size_t node = dev_view_find_name(v, strtok(line + 5, " "));
			if (node != DEV_NO_NODE) {
				m.origin = DEV_ORIGIN_BLOCK;
				m.dev = makedev(v->nodes[node].dev_major, v->nodes[node].dev_minor);
			}
		}
		r = add_mount(v, &m, e);
	}
	if (r == 0 && !feof(f))
		r = err_set(e, ERR_FAILED, errno, "reading '%s'", path);
	free(line);
	fclose(f);
	return r;
}

int dev_view_mounts(const struct dev_env *env, struct dev_view *v, struct err *e)
{
	if (read_mounts(env, v, 0, e) < 0 || read_other_namespaces(env, v, e) < 0)
		return -1;
	return read_swaps(env, v, e);
}
