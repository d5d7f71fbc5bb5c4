/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Notes of a check; see check_notes.h. Under the lock they are read anew: captures and other checks note too. */
#include "imager/repo/check_notes.h"

#include "imager/repo/damaged.h"
#include "imager/repo/folder_packs.h"

#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

int check_notes_read(const struct repo *r, struct checked_pack *x, struct err *e)
{
	struct damaged d;

	int failed = damaged_read(r, x->toc->id, &d, e);
	for (size_t i = 0; i < d.nr; i++) {
		const struct pack_entry *entry = pack_toc_find(x->toc, d.offsets[i]);
		if (entry)
			x->is_bad[entry - x->toc->entries] = RECORD_NOTED;
	}
	free(d.offsets);
	return failed;
}

/* Under the lock. What cannot be read today may be readable tomorrow: that is not noted. */
static int note_pack(const struct repo *r, const struct checked_pack *x, bool looked_at_all, struct err *e)
{
	struct damaged d;
	char path[64];
	bool differs = false;

	int failed = damaged_read(r, x->toc->id, &d, e);
	for (uint64_t i = 0; failed == 0 && i < x->toc->nr; i++) {
		uint64_t offset = x->toc->entries[i].offset;
		bool is_noted = damaged_holds(&d, offset), is_wrong = x->is_bad[i] == RECORD_BAD || x->is_bad[i] == RECORD_NOTED;
		if (is_wrong && !is_noted)
			failed = damaged_add(&d, offset, e);
		else if (!x->is_bad[i] && is_noted && looked_at_all)
			damaged_drop(&d, offset);
		else
			continue;
		differs = true;
	}
	pack_path(x->toc->id, path, sizeof(path));
	if (failed == 0 && differs && faccessat(r->fd, path, F_OK, 0) == 0)
		failed = damaged_write(r, x->toc->id, &d, e);
	free(d.offsets);
	return failed;
}

int check_notes_write(struct repo *r, const struct checked_packs *c, bool looked_at_all, const struct progress *p, struct err *e)
{
	struct err why = ERR_INIT;

	if (r->lease_fd < 0) /* a folder that may only be read */
		return 0;
	int failed = repo_lock(r, p, &why);
	for (size_t i = 0; failed == 0 && i < c->nr; i++)
		failed = note_pack(r, &c->items[i], looked_at_all, &why);
	repo_unlock(r);
	if (failed < 0 && why.code == ERR_STOPPED) {
		*e = why;
		return -1;
	}
	if (failed < 0)
		progress_notice(p, "%s: what is damaged is not noted", why.msg);
	return 0;
}
