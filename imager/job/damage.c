/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Collecting damage; see damage.h. */
#include "imager/job/damage.h"

#include "base/arith.h"

#include <stdio.h>
#include <string.h>

int damage_add(struct verify_result *r, const struct damage *d, struct err *e)
{
	struct damage *last = r->nr_kept ? &r->damages[r->nr_kept - 1] : NULL;

	if (last && last->disk == d->disk && last->start + last->len == d->start && !strcmp(last->what, d->what) && !strcmp(last->volume, d->volume)) {
		last->len += d->len;
		return 0;
	}
	r->nr_damages++;
	if (r->nr_kept == VERIFY_MAX_DAMAGES)
		return 0;
	if (!r->damages && !(r->damages = alloc_array(VERIFY_MAX_DAMAGES, sizeof(*r->damages))))
		return err_nomem(e, "the list of damage");
	r->damages[r->nr_kept++] = *d;
	return 0;
}

int damage_on_disk(struct verify_result *r, const struct img_manifest *m, size_t region, uint64_t start, uint64_t len, const char *what,
	struct err *e)
{
	struct damage d = { .disk = (int)m->regions[region].disk, .start = start, .len = len };
	char where[200];

	img_describe_region(m, region, where, sizeof(where));
	snprintf(d.volume, sizeof(d.volume), "%.95s", where);
	snprintf(d.what, sizeof(d.what), "%s", what);
	return damage_add(r, &d, e);
}

int damage_in_file(struct verify_result *r, uint64_t start, uint64_t len, const char *what, struct err *e)
{
	struct damage d = { .disk = -1, .start = start, .len = len };

	snprintf(d.what, sizeof(d.what), "%.119s", what);
	return damage_add(r, &d, e);
}
