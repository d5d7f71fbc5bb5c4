/* SPDX-License-Identifier: GPL-3.0-or-later */
/* calco ls: the images of a folder, and whether they are complete. */
#include "base/auto.h"
#include "base/hex.h"
#include "cmd/access.h"
#include "cmd/cmd.h"
#include "cmd/out.h"
#include "cmd/show.h"
#include "cmd/text.h"
#include "imager/image/manifest.h"
#include "imager/image/reader.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>

struct ls_args {
	struct common_args common;
	struct access_args access;
};

static const struct opt options[] = {
	OPT_KEYS(struct ls_args),
	OPT_JSON,
	{ .name = NULL },
};

static const struct out_column columns[] = {
	{ .key = "file", .title = "FILE" }, { .key = "state", .title = "STATE" }, { .key = "complete" },
	{ .key = "name", .title = "NAME" }, { .key = "image_version", .title = "VERSION", .right = true },
	{ .key = "created" }, { .title = "CAPTURED" }, { .key = "nr_disks" }, { .key = "disk_bytes", .title = "DISKS", .right = true },
	{ .key = "stored_bytes", .title = "STORED", .right = true }, { .key = "file_bytes", .title = "SIZE", .right = true },
	{ .key = "root" }, { .key = "message", .title = "NOTE" },
};

static bool ends_with(const char *s, const char *end)
{
	size_t n = strlen(s), m = strlen(end);

	return n > m && !strcmp(s + n - m, end);
}

static int is_image_name(const struct dirent *d)
{
	return ends_with(d->d_name, ".calco") || ends_with(d->d_name, ".calco.part");
}

static const char *state_of_error(const struct err *e)
{
	if (!strcmp(e->reason, "locked") || !strcmp(e->reason, "wrong-key"))
		return "locked";
	return e->code == ERR_CORRUPT ? "damaged" : e->code == ERR_UNSUPPORTED ? "unsupported" : "unreadable";
}

static void row_of_failure(struct out_table *t, const char *file, const char *state, uint64_t size, const char *message)
{
	out_cell_str(t, file);
	out_cell_str(t, state);
	out_cell_bool(t, false);
	for (int i = 0; i < 7; i++) /* name to stored_bytes */
		out_cell_none(t);
	out_cell_bytes(t, size);
	out_cell_none(t);
	out_cell_str(t, message);
}

static void row_of_image(struct out_table *t, const char *file, uint64_t size, const struct img_manifest *m)
{
	char text[2 * IMG_ID_SIZE + 1];
	uint64_t disk_bytes = 0;

	for (size_t i = 0; i < m->nr_disks; i++)
		disk_bytes += m->disks[i].size; /* for show: at most 64 disks, and the decoder limits each */
	out_cell_str(t, file);
	out_cell_str(t, "complete");
	out_cell_bool(t, true);
	out_cell_str(t, m->name);
	out_cell_u64(t, m->version);
	out_cell_str(t, text_time(m->created, true, text));
	out_cell_str(t, text_time(m->created, false, text));
	out_cell_u64(t, m->nr_disks);
	out_cell_bytes(t, disk_bytes);
	out_cell_bytes(t, show_stored_bytes(m, -1));
	out_cell_bytes(t, size);
	out_cell_str(t, m->has_root ? hex_of(m->root, IMG_ID_SIZE, text) : NULL);
	out_cell_none(t);
}

static void list_file(struct out_table *t, const struct access *access, const char *dir, const char *name)
{
	char path[PATH_MAX];
	struct err e = ERR_INIT;
	struct stat st = { .st_size = 0 };

	if (snprintf(path, sizeof(path), "%s/%s", dir, name) >= (int)sizeof(path))
		return;
	/* A FIFO or a device with such a name would block or be read: only plain files are opened. */
	if (stat(path, &st) < 0 || !S_ISREG(st.st_mode))
		return;
	if (ends_with(name, ".part")) {
		row_of_failure(t, name, "unfinished", (uint64_t)st.st_size, "a capture that is running or was cut short");
		return;
	}
	AUTO(img_reader) struct img_reader *r = img_reader_open_with(path, -1, &access->a, NULL, &e);
	if (!r && !strcmp(e.reason, "not-encrypted")) /* among others that are, and the key is for those */
		r = img_reader_open(path, -1, NULL, &e);
	if (r)
		row_of_image(t, name, (uint64_t)st.st_size, img_reader_manifest(r));
	else
		row_of_failure(t, name, state_of_error(&e), (uint64_t)st.st_size, e.msg);
}

static int run(struct invocation *inv, struct err *e)
{
	const char *dir = inv->nr_operands ? inv->operands[0] : ".";
	struct dirent **names;
	struct out_table t;

	AUTO(access) struct access *access = access_open(&((const struct ls_args *)inv->args)->access, e);
	if (!access)
		return -1;
	int nr = scandir(dir, &names, is_image_name, alphasort);
	if (nr < 0) {
		err_set(e, errno == ENOENT || errno == ENOTDIR ? ERR_USAGE : ERR_FAILED, errno, "listing '%s'", dir);
		return errno == ENOTDIR ? err_hint(e, "'calco info %.100s' shows one image", dir) : -1;
	}
	out_result(inv->out);
	out_str(inv->out, "folder", NULL, dir);
	out_table_begin(&t, inv->out, "images", columns, sizeof(columns) / sizeof(columns[0]));
	for (int i = 0; i < nr; i++) {
		list_file(&t, access, dir, names[i]->d_name);
		free(names[i]);
	}
	out_table_end(&t);
	free(names);
	if (!nr)
		out_line(inv->out, "no images (*.calco) in '%s'", dir);
	return 0;
}

const struct cmd cmd_ls = {
	.name = "ls",
	.summary = "List the images of a folder",
	.operands = "[DIR]",
	.details =
		"Every *.calco in the folder (default: here), with name, version and sizes. A file\n"
		"that is not complete is listed as unfinished or damaged, never as an image.",
	.options = options,
	.args_size = sizeof(struct ls_args),
	.min_operands = 0,
	.max_operands = 1,
	.run = run,
};
