/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Words of the command line that mean no volume; see plan_volumes.h. */
#include "imager/job/plan_volumes.h"

#include "fsdrivers/signature.h"

#include <stdio.h>
#include <string.h>

/* By number and names, by what libblkid reads in it, or by what its driver reads. What cannot be read has no label. */
static bool is_meant(const struct plan *p, size_t dev, const char *word)
{
	struct plan_device *d = p->devices[dev];
	struct blk_set set = { .members = &d->src, .nr = 1 };
	AUTO(fsd_volume) struct fsd_volume *v = NULL;
	struct err ignored = ERR_INIT;
	struct fsd_signature s;

	if (device_is_called(p, dev, word, "", ""))
		return true;
	if (fsd_signature_read(d->src, &s, &ignored) == 0 && device_is_called(p, dev, word, s.label, s.uuid))
		return true;
	return fsd_open(&set, false, &v, &ignored) == 0 && device_is_called(p, dev, word, fsd_get_info(v)->label, fsd_get_info(v)->uuid);
}

/* A device with this name. SIZE_MAX: none */
static size_t find_meant(const struct plan *p, const char *word)
{
	for (size_t i = 0; i < p->nr_devices; i++)
		if (is_meant(p, i, word))
			return i;
	return SIZE_MAX;
}

static int refuse_unlock(const struct plan *p, const char *word, struct err *e)
{
	size_t dev = find_meant(p, word);

	if (dev == SIZE_MAX || !p->devices[dev]->raw_asked)
		return err_set(e, ERR_USAGE, 0, "--unlock: there is no LUKS container '%s' (a partition number, label or UUID)", word);
	err_set(e, ERR_USAGE, 0, "--unlock: '%s' is taken raw, as --raw asks for, and so it is not opened", word);
	return err_hint(e, "leave out one of them: --raw copies every block of a container, --unlock only what is used in it; both leave it encrypted");
}

int plan_words(const struct plan *p, int r, struct err *e)
{
	const struct plan_options *o = p->o;
	char word[300];

	for (size_t i = 0; o->raw_found && o->raw_volumes && o->raw_volumes[i]; i++) {
		const char *raw = o->raw_volumes[i];
		/* After a refusal not every volume was asked for its name. */
		if (o->raw_found[i] || (r < 0 && (!strcmp(raw, "all") || find_meant(p, raw) != SIZE_MAX)))
			continue;
		return err_set(e, ERR_USAGE, 0, "--raw: there is no volume '%s' (a partition number, label, UUID or GPT name, 'all' or 'gaps')", raw);
	}
	for (size_t i = 0; o->unlock_found && o->unlocks && o->unlocks[i]; i++) {
		if (o->unlock_found[i])
			continue;
		snprintf(word, sizeof(word), "%.*s", (int)strcspn(o->unlocks[i], "="), o->unlocks[i]);
		return refuse_unlock(p, word, e);
	}
	return r;
}
