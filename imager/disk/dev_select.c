/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Disks by what they are instead of by a name that changes with the next boot; see device.h. */
#include "imager/disk/device.h"

#include "base/auto.h"
#include "base/size.h"
#include "imager/disk/dev_env.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

int dev_resolve(const char *selector, char *ret_path, size_t size, struct err *e)
{
	return dev_resolve_env(&dev_env_system, selector, ret_path, size, e);
}

static bool match_serial(const struct dev_env *env, const struct dev_info *d, const char *text)
{
	(void)env;
	return !strcasecmp(d->serial, text);
}

/* The same name is written "naa.5000c500a1b2c3d4" by the kernel and "0x5000c500a1b2c3d4" by udev. */
static const char *wwn_digits(const char *wwn)
{
	static const char *const prefixes[] = { "0x", "naa.", "eui.", "uuid.", "nvme." };

	for (size_t i = 0; i < sizeof(prefixes) / sizeof(prefixes[0]); i++)
		if (!strncasecmp(wwn, prefixes[i], strlen(prefixes[i])))
			return wwn + strlen(prefixes[i]);
	return wwn;
}

static bool match_wwn(const struct dev_env *env, const struct dev_info *d, const char *text)
{
	(void)env;
	return d->wwn[0] && !strcasecmp(wwn_digits(d->wwn), wwn_digits(text));
}

static bool match_model(const struct dev_env *env, const struct dev_info *d, const char *text)
{
	(void)env;
	return strcasestr(d->model, text) != NULL;
}

static const struct selector {
	const char *start;
	bool (*match)(const struct dev_env *env, const struct dev_info *d, const char *text);
} selectors[] = {
	{ "serial=", match_serial },
	{ "wwn=", match_wwn },
	{ "model~", match_model },
	{ "by-path=", dev_is_at_path },
};

static const struct selector *find_selector(const char *text)
{
	for (size_t i = 0; i < sizeof(selectors) / sizeof(selectors[0]); i++)
		if (!strncmp(text, selectors[i].start, strlen(selectors[i].start)))
			return &selectors[i];
	return NULL;
}

/* "/dev/sda (Samsung SSD 870, serial S6PX123, 931.5 GiB)", as far as there is room. */
static void add_candidate(char *list, size_t size, const struct dev_info *d)
{
	char bytes[32];
	size_t used = strlen(list);

	size_format(d->size, bytes);
	snprintf(list + used, size - used, "%s%s (%s%s%s%s%s%s)", used ? ", " : "", d->path, d->model,
		d->model[0] ? ", " : "", d->serial[0] ? "serial " : "", d->serial, d->serial[0] ? ", " : "",
		bytes);
}

static int complain(const char *text, const struct dev_info *disks, size_t nr, const bool *hit, size_t nr_hits,
	struct err *e)
{
	char list[400] = "";

	for (size_t i = 0; i < nr; i++)
		if (hit[i] || !nr_hits)
			add_candidate(list, sizeof(list), &disks[i]);
	if (nr_hits) {
		err_set(e, ERR_USAGE, 0, "'%s' matches %zu disks: %s", text, nr_hits, list);
		return err_hint(e, "use a selector that only one disk matches, serial= or by-path=");
	}
	err_set(e, ERR_USAGE, 0, "no disk matches '%s'; there %s %s", text, nr == 1 ? "is" : "are",
		nr ? list : "no disks at all");
	return err_hint(e, "\"calco disks\" shows what is attached");
}

static int select_disk(const struct dev_env *env, const struct selector *s, const char *text, char *ret_path,
	size_t size, struct err *e)
{
	AUTO_FREE struct dev_info *disks = NULL;
	AUTO_FREE bool *hit = NULL;
	const char *value = text + strlen(s->start);
	size_t nr, nr_hits = 0, found = 0;

	if (!*value)
		return err_set(e, ERR_USAGE, 0, "'%s' says nothing to look for", text);
	if (dev_list_env(env, &disks, &nr, e) < 0)
		return err_wrap(e, "looking for '%s'", text);
	if (!(hit = calloc(nr + 1, sizeof(*hit))))
		return err_nomem(e, "the list of disks");
	for (size_t i = 0; i < nr; i++) {
		if ((hit[i] = s->match(env, &disks[i], value))) {
			nr_hits++;
			found = i;
		}
	}
	if (nr_hits != 1)
		return complain(text, disks, nr, hit, nr_hits, e);
	if (strlen(disks[found].path) >= size)
		return err_set(e, ERR_USAGE, 0, "the path '%s' is too long", disks[found].path);
	strcpy(ret_path, disks[found].path);
	return 0;
}

/* A mistyped selector ("model=Foo") must not turn into the name of a new file. */
static bool looks_like_selector(const char *text)
{
	size_t word = strspn(text, "abcdefghijklmnopqrstuvwxyz-");

	return word && (text[word] == '=' || text[word] == '~') && access(text, F_OK) < 0;
}

int dev_resolve_env(const struct dev_env *env, const char *text, char *ret_path, size_t size, struct err *e)
{
	const struct selector *s = find_selector(text);

	if (s)
		return select_disk(env, s, text, ret_path, size, e);
	if (!*text)
		return err_set(e, ERR_USAGE, 0, "the name of a disk is empty");
	if (looks_like_selector(text)) {
		err_set(e, ERR_USAGE, 0, "'%s' is neither a path nor a selector", text);
		return err_hint(e,
			"selectors are serial=TEXT, wwn=TEXT, model~TEXT and by-path=TEXT; a file of this name is ./%s",
			text);
	}
	if (strlen(text) >= size)
		return err_set(e, ERR_USAGE, 0, "the path '%s' is longer than %zu characters", text, size - 1);
	strcpy(ret_path, text);
	return 0;
}
