/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Operands; see operands.h. */
#include "cmd/operands.h"

#include "base/arith.h"
#include "imager/disk/device.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct disk_paths *disk_paths_resolve(const char *const *words, size_t nr, struct err *e)
{
	AUTO(disk_paths) struct disk_paths *d = calloc(1, sizeof(*d));

	if (d) {
		d->items = alloc_array(nr + 1, sizeof(*d->items));
		d->text = alloc_array(nr, sizeof(*d->text));
	}
	if (!d || !d->items || !d->text) {
		err_nomem(e, "the list of disks");
		return NULL;
	}
	for (; d->nr < nr; d->nr++) {
		if (!strcmp(words[d->nr], "-")) {
			err_set(e, ERR_USAGE, 0, "'-' stands for an image that comes or goes through a pipe, not for a disk");
			err_hint(e, "a file of that name is './-'");
			return NULL;
		}
		if (dev_resolve(words[d->nr], d->text[d->nr], sizeof(d->text[0]), e) < 0)
			return NULL;
		d->items[d->nr] = d->text[d->nr];
	}
	return take(&d);
}

void disk_paths_free(struct disk_paths *d)
{
	if (!d)
		return;
	free(d->items);
	free(d->text);
	free(d);
}

bool image_is_pipe(const char *image)
{
	return !strcmp(image, "-");
}

int image_check_pipe(const char *image, struct err *e)
{
	if (!image_is_pipe(image) || !isatty(STDIN_FILENO))
		return 0;
	err_set(e, ERR_USAGE, 0, "'-' reads the image from standard input, which is a terminal");
	return err_hint(e, "pipe an image into it: calco capture /dev/sdX - | ssh host calco ... -");
}
