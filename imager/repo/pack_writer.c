/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Writing a pack; see pack.h. The entries are kept in memory until the end: 88 bytes for each record. */
#include "base/arith.h"
#include "base/file_out.h"
#include "base/hex.h"
#include "base/random.h"
#include "imager/image/sealed_part.h"
#include "imager/repo/files.h"
#include "imager/repo/folder_packs.h"
#include "imager/repo/pack_parts.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define WORTH_KEEPING ((uint64_t)1 << 20) /* bytes; less is not left for the next writer */

struct pack_writer {
	const struct repo *r;
	uint8_t id[16];
	char hex[33];
	char path[64], leaves_path[64], name[PATH_MAX + 80];
	int fd, leaves_fd;
	struct file_out out, leaves;
	struct leaf_writer lists; /* into leaves */
	struct pack_entry *entries;
	uint64_t nr, room;
	uint64_t next_number;
	bool has_leaves;  /* of every record so far */
	bool is_finished;
};

void pack_new_path(const char *id, const char *ending, char *ret, size_t size)
{
	snprintf(ret, size, "new/%s.%s", id, ending);
}

bool pack_reserve(struct pack_entry **entries, uint64_t nr, uint64_t *room)
{
	if (nr < *room)
		return true;
	uint64_t more = *room * 2 + 1024;
	struct pack_entry *grown = realloc(*entries, more * sizeof(**entries));
	if (!grown)
		return false;
	*entries = grown;
	*room = more;
	return true;
}

/* The two files. 0: one of them was taken for left over before it was locked; it is empty, and others are made. */
static int make_files(struct pack_writer *w, struct err *e)
{
	if (random_bytes(w->id, sizeof(w->id), e) < 0)
		return -1;
	hex_of(w->id, sizeof(w->id), w->hex);
	pack_new_path(w->hex, "pack", w->path, sizeof(w->path));
	pack_new_path(w->hex, "leaves", w->leaves_path, sizeof(w->leaves_path));
	snprintf(w->name, sizeof(w->name), "%s/%s", w->r->dir, w->path);
	/* The leaves first: who finds a pack that nobody holds takes what lies beside it. */
	int made = repo_make_file(w->r, w->leaves_path, &w->leaves_fd, e);
	if (made == 1)
		made = repo_make_file(w->r, w->path, &w->fd, e);
	if (made == 1 && repo_is_still(w->r, w->leaves_path, w->leaves_fd)) /* they went with a pack that was taken */
		return 1;
	if (w->leaves_fd >= 0) {
		unlinkat(w->r->fd, w->leaves_path, 0);
		close(w->leaves_fd);
	}
	if (w->fd >= 0) {
		unlinkat(w->r->fd, w->path, 0);
		close(w->fd);
	}
	w->fd = w->leaves_fd = -1;
	return made < 0 ? -1 : 0;
}

static int begin(struct pack_writer *w, struct err *e)
{
	struct fmt_preamble pre = { .mandatory = FMT_IS_PACK | (w->r->slots ? FMT_FEATURE_ENCRYPTED : 0) };
	uint8_t head[FMT_PREAMBLE_SIZE];
	int made;

	while ((made = make_files(w, e)) == 0)
		continue;
	if (made < 0)
		return -1;
	if (file_out_open(&w->out, w->fd, w->name, NULL, e) < 0 || file_out_open(&w->leaves, w->leaves_fd, w->name, NULL, e) < 0)
		return -1;
	memcpy(pre.pack_id, w->id, 16);
	fmt_put_preamble(head, &pre);
	if (leaf_writer_begin(&w->lists, w->r, w->id, &w->leaves, e) < 0)
		return -1;
	return file_out_add(&w->out, head, sizeof(head), e);
}

struct pack_writer *pack_writer_open(const struct repo *r, struct err *e)
{
	if (repo_need_keys(r, e) < 0)
		return NULL;
	struct pack_writer *w = alloc_array(1, sizeof(*w));
	if (!w) {
		err_nomem(e, "the pack writer");
		return NULL;
	}
	w->r = r;
	w->fd = w->leaves_fd = -1;
	w->has_leaves = true;
	if (begin(w, e) == 0)
		return w;
	pack_writer_close(w);
	return NULL;
}

int pack_writer_put(struct pack_writer *w, struct fmt_record *head, bool keep_name, const uint8_t *payload, uint64_t lends,
	const uint8_t leaves[CHUNK_LEAVES][32], struct pack_entry *ret, struct err *e)
{
	uint8_t b[FMT_RECORD_SIZE];

	if (!pack_reserve(&w->entries, w->nr, &w->room))
		return err_nomem(e, "the table of contents of a pack");
	if (w->r->slots && !keep_name)
		return err_set(e, ERR_FAILED, 0, "a record was to be stored in clear in the encrypted repository '%s'", w->r->dir);
	if (!keep_name) {
		memcpy(head->origin, w->id, 16);
		head->number = w->next_number++;
	}
	struct pack_entry *x = &w->entries[w->nr];
	*x = (struct pack_entry){ .offset = w->out.written, .lends = lends, .len = FMT_RECORD_SIZE + head->stored_len, .kind = head->kind };
	memcpy(x->id, head->id, 32);
	memcpy(x->name.origin, head->origin, 16);
	x->name.number = head->number;
	fmt_put_record(b, head);
	if (file_out_add(&w->out, b, sizeof(b), e) < 0 || file_out_add(&w->out, payload, head->stored_len, e) < 0)
		return -1;
	w->has_leaves = w->has_leaves && leaves;
	if (w->has_leaves && leaf_writer_put(&w->lists, leaves, e) < 0)
		return -1;
	w->nr++;
	*ret = *x;
	return 0;
}

/* PTOC, with its header. */
static int put_toc(const struct repo *r, const uint8_t id[16], const struct buf *toc, struct buf *ret, struct err *e)
{
	struct fmt_part part = { .type = "PTOC", .flags = FMT_MANDATORY, .raw_len = toc->len, .stored_len = toc->len };
	AUTO(seal_box) struct seal_box *box = NULL;
	AUTO_FREE uint8_t *sealed = NULL;
	uint8_t head[FMT_PART_SIZE];

	if (repo_need_keys(r, e) < 0 || (r->seal && !(box = seal_box_new(r->seal, e))))
		return -1;
	if (box && sealed_part_close(box, id, &part, toc->p, &sealed, e) < 0)
		return -1;
	part.crc = crc32_of(sealed ? sealed : toc->p, (size_t)part.stored_len);
	fmt_put_part(head, &part);
	buf_bytes(ret, head, sizeof(head));
	buf_bytes(ret, sealed ? sealed : toc->p, (size_t)part.stored_len);
	return 0;
}

int pack_put_end(const struct repo *r, const uint8_t id[16], uint64_t end, const struct pack_entry *entries, uint64_t nr, struct buf *ret, struct err *e)
{
	struct buf toc = { 0 };
	size_t before = ret->len;
	struct fmt_trailer t = { .cids_offset = end, .index_offset = end, .nr_present = nr, .nr_records = nr };
	struct fmt_part last = { .type = "TRLR", .flags = FMT_MANDATORY, .raw_len = FMT_TRAILER_SIZE, .stored_len = FMT_TRAILER_SIZE };
	uint8_t trailer[FMT_TRAILER_SIZE], head[FMT_PART_SIZE];

	int failed = pack_toc_encode(entries, nr, &toc, e);
	AUTO_FREE uint8_t *toc_bytes = toc.p;
	if (failed < 0 || pack_toc_hash(&toc, t.root, e) < 0)
		return -1;
	if (put_toc(r, id, &toc, ret, e) < 0)
		return -1;
	t.file_len = end + (ret->len - before) + FMT_PART_SIZE + FMT_TRAILER_SIZE;
	memcpy(t.pack_id, id, 16);
	fmt_put_trailer(trailer, &t);
	last.crc = crc32_of(trailer, sizeof(trailer));
	fmt_put_part(head, &last);
	buf_bytes(ret, head, sizeof(head));
	buf_bytes(ret, trailer, sizeof(trailer));
	return ret->failed ? err_nomem(e, "the table of contents of a pack") : 0;
}

int pack_end(const struct repo *r, const uint8_t id[16], int fd, uint64_t end, const struct pack_entry *entries, uint64_t nr, const char *new_name,
	struct err *e)
{
	struct buf tail = { 0 };
	struct file_out out = { .fd = fd };
	char path[64];

	pack_path(id, path, sizeof(path));
	int failed = pack_put_end(r, id, end, entries, nr, &tail, e);
	AUTO_FREE uint8_t *bytes = tail.p;
	if (failed < 0)
		return -1;
	failed = file_out_open(&out, fd, path, NULL, e);
	if (failed == 0 && (file_out_add(&out, bytes, tail.len, e) < 0 || file_out_drain(&out, e) < 0))
		failed = -1;
	file_out_close(&out);
	if (failed < 0)
		return -1;
	if (fsync(fd) < 0)
		return err_set(e, ERR_FAILED, errno, "flushing '%s/%s'", r->dir, path);
	if (renameat(r->fd, new_name, r->fd, path) < 0)
		return err_set(e, ERR_FAILED, errno, "naming '%s/%s'", r->dir, path);
	return repo_flush_folder(r, "packs", e);
}

/* The cache gets its name if it is whole; it may be lost at any time, so nothing is flushed. */
static void keep_leaves(struct pack_writer *w)
{
	struct err ignored = ERR_INIT; /* without a cache leaves are read again when they are needed */
	char path[64];

	snprintf(path, sizeof(path), "leaves/%s", w->hex);
	if (!w->has_leaves || !w->nr || file_out_drain(&w->leaves, &ignored) < 0 || renameat(w->r->fd, w->leaves_path, w->r->fd, path) < 0)
		unlinkat(w->r->fd, w->leaves_path, 0);
}

int pack_writer_finish(struct pack_writer *w, struct err *e)
{
	if (w->nr && (file_out_drain(&w->out, e) < 0 || pack_end(w->r, w->id, w->fd, w->out.written, w->entries, w->nr, w->path, e) < 0))
		return -1;
	keep_leaves(w);
	if (!w->nr)
		unlinkat(w->r->fd, w->path, 0);
	w->is_finished = true;
	return 0;
}

const uint8_t *pack_writer_id(const struct pack_writer *w)
{
	return w->id;
}

uint64_t pack_writer_bytes(const struct pack_writer *w)
{
	return w->out.written;
}

uint64_t pack_writer_nr(const struct pack_writer *w)
{
	return w->nr;
}

/* Enough was stored that it would be a pity: what is buffered goes to the file, and the next writer adopts it. */
static bool leave_to_next(struct pack_writer *w)
{
	struct err ignored = ERR_INIT; /* what cannot be written is cut off by who adopts it */

	if (w->fd < 0 || w->out.written < WORTH_KEEPING)
		return false;
	if (file_out_drain(&w->leaves, &ignored) == 0)
		file_out_drain(&w->out, &ignored);
	return true;
}

void pack_writer_close(struct pack_writer *w)
{
	if (!w)
		return;
	if (!w->is_finished && !leave_to_next(w)) {
		if (w->leaves_fd >= 0)
			unlinkat(w->r->fd, w->leaves_path, 0);
		if (w->fd >= 0)
			unlinkat(w->r->fd, w->path, 0);
	}
	file_out_close(&w->out);
	file_out_close(&w->leaves);
	leaf_writer_release(&w->lists);
	if (w->fd >= 0)
		close(w->fd);
	if (w->leaves_fd >= 0)
		close(w->leaves_fd);
	free(w->entries);
	free(w);
}
