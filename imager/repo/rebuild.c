/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Tables of contents and leaf caches from the records; see rebuild.h. */
#include "imager/repo/rebuild.h"

#include "base/arith.h"
#include "base/file_out.h"
#include "base/hex.h"
#include "imager/image/chunk.h"
#include "imager/image/located.h"
#include "imager/image/stream.h"
#include "imager/repo/files.h"
#include "imager/repo/folder_packs.h"
#include "imager/repo/pack_parts.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static int write_end(int fd, const char *path, const struct pack_scan *scan, const uint8_t *bytes, size_t len, struct err *e)
{
	for (size_t done = 0; done < len;) {
		ssize_t n = pwrite(fd, bytes + done, len - done, (off_t)(scan->end + done));
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return err_set(e, ERR_FAILED, n < 0 ? errno : EIO, "writing '%s'", path);
		done += (size_t)n;
	}
	return fsync(fd) < 0 ? err_set(e, ERR_FAILED, errno, "flushing '%s'", path) : 0;
}

/* Only where the end would be exactly as long as what stands there: else records are damaged too, and nothing may be lost over it. */
static int make_end(const struct repo *r, int fd, const char *path, uint64_t size, const uint8_t id[16], const struct pack_scan *scan, bool write,
	struct err *e)
{
	struct buf tail = { 0 };

	int failed = pack_put_end(r, id, scan->end, scan->entries, scan->nr, &tail, e);
	AUTO_FREE uint8_t *bytes = tail.p;
	if (failed < 0)
		return -1;
	if (scan->end + tail.len != size)
		return err_set(e, ERR_CORRUPT, 0, "the pack '%s': its table of contents is damaged, and so is what stands at %llu", path,
			(unsigned long long)scan->end);
	return write ? write_end(fd, path, scan, bytes, tail.len, e) : 0;
}

struct pack_toc *rebuild_toc(const struct repo *r, const uint8_t pack[16], bool write, const struct progress *p, struct err *e)
{
	AUTO(pack_toc) struct pack_toc *t = alloc_array(1, sizeof(*t));
	struct pack_scan scan = { .nr = 0 };
	struct stream s;
	char path[64];

	pack_path(pack, path, sizeof(path));
	AUTO_CLOSE_FD int fd = repo_open_file(r, path, write ? O_RDWR : O_RDONLY, e);
	if (!t)
		err_nomem(e, "the table of contents of a pack");
	if (!t || fd < 0)
		return NULL;
	int found = stream_open(&s, fd, path, p, e);
	if (found == 0)
		found = pack_scan_records(r, &s, pack, &scan, e);
	stream_close(&s);
	memcpy(t->id, pack, sizeof(t->id));
	t->entries = scan.entries;
	t->nr = scan.nr;
	t->file_len = s.size;
	if (found == 0)
		err_set(e, ERR_CORRUPT, 0, "the pack '%s/%s' holds no whole record", r->dir, path);
	if (found <= 0 || make_end(r, fd, path, s.size, pack, &scan, write, e) < 0)
		return NULL;
	return take(&t);
}

static const uint8_t no_list[LEAF_LIST]; /* of a record whose leaves cannot be known: it never is the list of a chunk */

static bool is_proved(struct chunk_codec *codec, const uint8_t *list, const struct pack_entry *x)
{
	struct err ignored = ERR_INIT; /* then it is made anew */
	uint8_t id[HASH_SIZE];

	return chunk_list_id(codec, (const uint8_t(*)[HASH_SIZE])list, id, &ignored) == 0 && !memcmp(id, x->id, sizeof(id));
}

/* The leaf list of one record. One that only lends its own leaves any more has none but the one that was written when it was stored. */
static int read_list(const struct located *all, const struct pack_entry *x, uint32_t pack, struct chunk_codec *codec, uint8_t *payload, uint8_t *content,
	uint8_t list[CHUNK_LEAVES][HASH_SIZE], struct err *e)
{
	struct img_where at = { .offset = x->offset, .pack = pack, .len = x->len };
	const uint8_t *opened;
	struct fmt_record head;
	uint64_t present;
	int whole = 1;

	if (located_read(all, &at, &head, payload, e) < 0 || chunk_payload(codec, &head, payload, &opened, e) < 0)
		return -1;
	if (head.kind == FMT_COMPOSED)
		whole = located_compose_own(all, codec, &head, opened, content, e);
	else if (chunk_unpack(codec, head.codec, opened, head.stored_len, content, e) < 0)
		return -1;
	if (whole == 0)
		memcpy(list, no_list, LEAF_LIST);
	return whole <= 0 ? whole : chunk_leaves(codec, content, list, &present, e);
}

/* The number of a pack among those whose records are listed. Packs that came later have none: their places in all->items are others. */
static bool number_of(const struct img_locations *listed, const uint8_t id[16], uint32_t *ret)
{
	for (uint32_t from = 0, to = listed->nr_packs; from < to;) {
		uint32_t middle = from + (to - from) / 2;
		int r = memcmp(listed->packs[middle], id, 16);
		if (r == 0) {
			*ret = middle;
			return true;
		}
		if (r < 0)
			from = middle + 1;
		else
			to = middle;
	}
	return false;
}

/* All lists to a new file. 1: it differs from the old one; 0: it does not. */
static int write_lists(const struct repo *r, const struct checked_packs *all, const struct checked_pack *pack, uint32_t number,
	struct chunk_codec *codec, struct file_out *out, const struct progress *p, struct err *e)
{
	struct located located = { .l = all->all, .packs = all->packs, .sealed = r->slots };
	const struct pack_toc *t = pack->toc;
	AUTO(leaf_cache) struct leaf_cache *old = leaf_cache_open(r, t);
	AUTO_FREE uint8_t *payload = malloc(CHUNK_PAYLOAD_MAX);
	AUTO_FREE uint8_t *content = malloc(CHUNK_SIZE);
	uint8_t list[CHUNK_LEAVES][HASH_SIZE], was[LEAF_LIST];
	int failed = payload && content ? 0 : err_nomem(e, "a read buffer");
	struct leaf_writer lists;
	bool differs = !old;

	if (leaf_writer_begin(&lists, r, t->id, out, e) < 0)
		failed = -1;

	for (uint64_t i = 0; failed == 0 && i < t->nr; i++) {
		if (!leaf_cache_read(old, i, 0, CHUNK_LEAVES, was))
			memcpy(was, no_list, LEAF_LIST);
		if (is_proved(codec, was, &t->entries[i]))
			memcpy(list, was, LEAF_LIST);
		else
			failed = read_list(&located, &t->entries[i], number, codec, payload, content, list, e);
		differs |= failed == 0 && memcmp(list, was, LEAF_LIST);
		if (failed == 0)
			failed = leaf_writer_put(&lists, (const uint8_t(*)[HASH_SIZE])list, e);
		if (failed == 0 && i % 64 == 0)
			failed = progress_check(p, e);
	}
	leaf_writer_release(&lists);
	return failed < 0 || file_out_drain(out, e) < 0 ? -1 : differs;
}

int rebuild_leaves(struct repo *r, const struct checked_packs *all, const struct checked_pack *pack, const struct progress *p, struct err *e)
{
	AUTO(chunk_codec) struct chunk_codec *codec = chunk_codec_for(r->seal, 0, e);
	char id[33], hex[33], new[64], path[64];
	struct file_out out = { .fd = -1 };
	uint32_t number;

	if (!codec || repo_random_id(id, e) < 0)
		return -1;
	if (!number_of(all->all, pack->toc->id, &number)) /* its records were not looked at, and whoever wrote it has written its cache */
		return 0;
	for (uint64_t i = 0; i < pack->toc->nr; i++)
		if (pack->is_bad[i])
			return 0;
	pack_new_path(id, "leaves", new, sizeof(new));
	snprintf(path, sizeof(path), "leaves/%s", hex_of(pack->toc->id, 16, hex));
	AUTO_CLOSE_FD int fd = -1;
	int made;
	while ((made = repo_make_file(r, new, &fd, e)) == 0) /* held: who adopts leaves it alone */
		continue;
	made = made < 0 ? -1 : file_out_open(&out, fd, new, NULL, e);
	if (made == 0)
		made = write_lists(r, all, pack, number, codec, &out, p, e);
	file_out_close(&out);
	if (made == 1 && renameat(r->fd, new, r->fd, path) < 0)
		made = err_set(e, ERR_FAILED, errno, "naming '%s/%s'", r->dir, path);
	if (made != 1)
		unlinkat(r->fd, new, 0);
	return made;
}
