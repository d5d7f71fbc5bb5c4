/* SPDX-License-Identifier: GPL-3.0-or-later */
/* calco info: what an image holds, from its head and tail; the content is not read. */
#include "base/arith.h"
#include "cmd/access.h"
#include "cmd/cmd.h"
#include "cmd/operands.h"
#include "cmd/out.h"
#include "cmd/show.h"
#include "cmd/signals.h"
#include "imager/image/manifest.h"
#include "imager/image/reader.h"
#include "imager/repo/image.h"

#include <string.h>
#include <unistd.h>

struct info_args {
	struct common_args common;
	struct access_args access;
	bool extents;
};

static const struct opt options[] = {
	{ .name = "extents", .kind = OPT_FLAG, .offset = offsetof(struct info_args, extents),
		.help = "list the used and zero ranges of every disk" },
	OPT_KEYS(struct info_args),
	OPT_TRUST(struct info_args),
	OPT_JSON,
	{ .name = NULL },
};

/* Ranges of equal state, merged over chunk borders, on their way out. */
struct extent_list {
	struct out *out;
	const struct img_region *region;
	uint64_t start, len; /* bytes from the region's start */
	enum ext_state state;
};

static void flush_extent(struct extent_list *l)
{
	if (l->len && l->state != EXT_UNUSED) {
		const char *state = l->state == EXT_USED ? "used" : "zero";
		uint64_t start = l->region->start + l->start;
		out_line(l->out, "  disk %u  %-4s  %20llu %20llu", l->region->disk + 1, state, (unsigned long long)start,
			(unsigned long long)l->len);
		out_object(l->out, NULL);
		out_u64(l->out, "disk", NULL, l->region->disk);
		out_str(l->out, "state", NULL, state);
		out_u64(l->out, "start", NULL, start);
		out_u64(l->out, "length", NULL, l->len);
		out_end(l->out);
	}
	l->start += l->len;
	l->len = 0;
}

static void add_extent(struct extent_list *l, enum ext_state state, uint64_t len)
{
	if (l->state != state)
		flush_extent(l);
	l->state = state;
	l->len += len;
}

static void add_chunk(struct extent_list *l, uint64_t i)
{
	struct cmap_chunk c;
	enum ext_state state;

	cmap_get(l->region->map, i, &c);
	for (uint32_t off = 0; off < c.len;) {
		uint32_t n = cmap_state_run(l->region->map, &c, off, &state);
		add_extent(l, state, n);
		off += n;
	}
}

static void region_extents(struct extent_list *l, const struct img_region *r)
{
	enum cmap_kind kind;

	*l = (struct extent_list){ .out = l->out, .region = r };
	for (uint64_t i = 0, nr; i < cmap_nr_chunks(r->map); i += nr) {
		nr = cmap_run(r->map, i, &kind);
		if (kind == CMAP_BITMAP || kind == CMAP_BITMAP_ZERO) {
			nr = 1;
			add_chunk(l, i);
			continue;
		}
		uint64_t start = i * CHUNK_SIZE; /* below the region's length */
		uint64_t len = min_u64(nr * CHUNK_SIZE, r->len - start);
		add_extent(l, kind == CMAP_USED ? EXT_USED : kind == CMAP_ZERO ? EXT_ZERO : EXT_UNUSED, len);
	}
	flush_extent(l);
}

static void show_extents(struct out *out, const struct img_manifest *m)
{
	struct extent_list l = { .out = out };

	out_line(out, "extents:");
	out_line(out, "  DISK    STATE                START               LENGTH");
	out_array(out, "extents");
	for (size_t i = 0; i < m->nr_regions; i++)
		region_extents(&l, &m->regions[i]);
	out_end(out);
}

/* Without a key that is all; but what was asked of its signers and version cannot be answered, and is not answered with yes. */
static int show_what_is_locked(struct out *out, const char *image, const struct access *x, struct err *e)
{
	if (x->a.trust.nr_signers || x->a.trust.min_version || x->a.trust.lineage)
		return -1;
	(void)e;
	out_result(out);
	out_str(out, "image", "image", image);
	show_locked(out, &x->locked);
	return 0;
}

static int run(struct invocation *inv, struct err *e)
{
	const struct info_args *a = inv->args;
	const char *image = inv->operands[0];
	struct out *out = inv->out;

	if (image_check_pipe(image, e) < 0)
		return -1;
	AUTO(access) struct access *access = access_open(&a->access, e);
	if (!access)
		return -1;
	AUTO(img_reader) struct img_reader *r = image_open(image, image_is_pipe(image) ? STDIN_FILENO : -1, &access->a, &signals_only, e);
	if (!r && access->locked.is_locked && !strcmp(e->reason, "locked"))
		return show_what_is_locked(out, image, access, e);
	if (!r)
		return -1;
	const struct img_manifest *m = img_reader_manifest(r);
	out_result(out);
	out_str(out, "image", "image", image);
	show_identity(out, m);
	show_encryption(out, m);
	show_signers(out, m, &access->a);
	out_bytes(out, "stored_bytes", "stored", show_stored_bytes(m, -1));
	if (img_reader_seekable(r))
		out_bytes(out, "image_bytes", "image size", img_reader_size(r));
	show_layout(out, m);
	show_notices(out, m);
	show_bad_ranges(out, m);
	if (a->extents)
		show_extents(out, m);
	return 0;
}

const struct cmd cmd_info = {
	.name = "info",
	.summary = "Show what an image holds",
	.operands = "IMAGE",
	.details =
		"Name, version, disks, partitions and file systems, how much of each is stored,\n"
		"and what could not be read. The content is not examined: that is 'calco verify'.",
	.options = options,
	.args_size = sizeof(struct info_args),
	.min_operands = 1,
	.max_operands = 1,
	.run = run,
};
