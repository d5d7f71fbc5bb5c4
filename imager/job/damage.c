/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Collecting damage; see damage.h. */
#include "imager/job/damage.h"

#include "base/arith.h"

#include <stdio.h>
#include <string.h>

int damage_add(struct verify_result *r, const struct damage *d, struct err *e)
{
	if (d->disk >= 0)
		r->wrong_disks |= (uint64_t)1 << d->disk;
	struct damage *last = r->nr_kept ? &r->damages[r->nr_kept - 1] : NULL;

	if (last && last->disk == d->disk && last->start + last->len == d->start && !strcmp(last->what, d->what) &&
		!strcmp(last->volume, d->volume)) {
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

/* "'lab.calco': the root does not match" and "'lab.calco' at 5: ..." without what everybody knows. */
static const char *without_name(const char *message, const char *image)
{
	size_t n = strlen(image);

	if (message[0] != '\'' || strncmp(message + 1, image, n) || message[n + 1] != '\'')
		return message;
	const char *p = message + n + 2;
	if (!strncmp(p, " at ", 4))
		p += 4 + strspn(p + 4, "0123456789");
	return strncmp(p, ": ", 2) ? message : p + 2;
}

int damage_at_place(struct verify_result *r, const char *image, const struct img_place *place, const char *message, struct err *e)
{
	struct damage d = { .disk = -1, .start = place->start, .len = place->len };
	const char *words = without_name(message, image);

	if (place->part[0] && !strstr(words, place->part))
		snprintf(d.what, sizeof(d.what), "part '%s': %.100s", place->part, words);
	else
		snprintf(d.what, sizeof(d.what), "%.119s", words);
	return damage_add(r, &d, e);
}
