/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Images by name; see image.h. */
#include "imager/repo/image.h"

#include "imager/repo/versions.h"

#include <stdio.h>

static struct img_reader *open_version(const char *image, const struct img_access *a, const struct progress *p, struct err *e)
{
	struct repo_version v;
	struct repo_name name;

	if (repo_parse(image, &name, e) < 0)
		return NULL;
	AUTO(repo) struct repo *r = repo_open(name.dir, e);
	if (!r || repo_take_lease(r, false, e) < 0 || version_find(r, &name, &v.number, e) < 0)
		return NULL;
	if (repo_use_keys(r, a, e) < 0)
		return NULL;
	snprintf(v.name, sizeof(v.name), "%s", name.name);
	return version_open_own(take(&r), &v, a, p, e);
}

struct img_reader *image_open(const char *image, int fd, const struct img_access *a, const struct progress *p, struct err *e)
{
	return image_examine(image, fd, false, a, NULL, p, e);
}

struct img_reader *image_examine(const char *image, int fd, bool front_to_back, const struct img_access *a, struct img_place *ret_place,
	const struct progress *p, struct err *e)
{
	if (fd >= 0 || !repo_is_name(image))
		return img_reader_examine(image, fd, front_to_back, a, ret_place, p, e);
	if (ret_place)
		*ret_place = (struct img_place){ .part = "" };
	return open_version(image, a, p, e);
}
