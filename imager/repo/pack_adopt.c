/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Packs whose writers are gone; see packs_adopt() in pack.h. */
#include "base/arith.h"
#include "base/hex.h"
#include "imager/image/chunk.h"
#include "imager/image/composed.h"
#include "imager/image/stream.h"
#include "imager/repo/files.h"
#include "imager/repo/folder_packs.h"
#include "imager/repo/pack_parts.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* One whole record; 0 where there is none any more. @codec: opens what is encrypted; NULL: nothing is. */
static int next_record(struct stream *s, struct pack_scan *a, struct chunk_codec *codec, uint8_t *payload, struct err *e)
{
	uint8_t b[FMT_RECORD_SIZE];
	struct err ignored = ERR_INIT; /* what is no whole record is the end */
	struct fmt_record head;
	const uint8_t *opened = payload;
	struct composed c;

	if (!range_inside(s->pos, FMT_RECORD_SIZE, s->size))
		return 0;
	if (stream_read(s, b, sizeof(b), e) < 0)
		return -1;
	if (fmt_get_pack_record(b, codec, &head, &ignored) < 0 || !range_inside(s->pos, head.stored_len, s->size))
		return 0;
	if (stream_read(s, payload, head.stored_len, e) < 0)
		return -1;
	uint32_t len = FMT_RECORD_SIZE + head.stored_len;
	if (crc32_of(payload, head.stored_len) != head.crc || (codec && chunk_payload(codec, &head, payload, &opened, &ignored) < 0) ||
	    (head.kind == FMT_COMPOSED && composed_parse(&head, opened, &c, &ignored) < 0))
		return 0;
	if (!pack_reserve(&a->entries, a->nr, &a->room))
		return err_nomem(e, "the table of contents of a pack");
	struct pack_entry *x = &a->entries[a->nr++];
	*x = (struct pack_entry){ .offset = a->end, .lends = head.kind == FMT_COMPOSED ? c.fresh : UINT64_MAX,
		.len = len, .kind = head.kind };
	memcpy(x->id, head.id, 32);
	memcpy(x->name.origin, head.origin, 16);
	x->name.number = head.number;
	a->end += x->len;
	return 1;
}

int pack_scan_records(const struct repo *r, struct stream *s, const uint8_t id[16], struct pack_scan *a, struct err *e)
{
	AUTO(chunk_codec) struct chunk_codec *codec = NULL;
	uint8_t head[FMT_PREAMBLE_SIZE];
	struct err ignored = ERR_INIT;
	struct fmt_preamble pre;
	AUTO_FREE uint8_t *payload = malloc(CHUNK_PAYLOAD_MAX);

	if (!payload)
		return err_nomem(e, "a read buffer");
	if (repo_need_keys(r, e) < 0 || (r->seal && !(codec = chunk_codec_for(r->seal, 0, e))))
		return -1;
	if (s->size < sizeof(head))
		return 0;
	if (stream_read(s, head, sizeof(head), e) < 0)
		return -1;
	if (fmt_get_preamble(head, FMT_IS_PACK, &pre, &ignored) < 0 || memcmp(pre.pack_id, id, 16))
		return 0;
	if (pack_check_features(r, &pre, &ignored) < 0) {
		if (ignored.code != ERR_CORRUPT)
			*e = ignored;
		return ignored.code == ERR_CORRUPT ? 0 : -1;
	}
	a->end = sizeof(head);
	int found;
	while ((found = next_record(s, a, codec, payload, e)) == 1)
		continue;
	return found < 0 ? -1 : a->nr != 0;
}

/* The cache beside it: as many lists as there are records, else none. */
static void adopt_leaves(const struct repo *r, const char *hex, uint64_t nr)
{
	char from[64], to[64];
	struct stat st;

	pack_new_path(hex, "leaves", from, sizeof(from));
	snprintf(to, sizeof(to), "leaves/%s", hex);
	struct err ignored = ERR_INIT;
	AUTO_CLOSE_FD int fd = repo_open_file(r, from, O_RDWR, &ignored);
	if (fd < 0)
		return;
	uint64_t size = leaf_cache_size(r, nr);
	if (fstat(fd, &st) < 0 || (uint64_t)st.st_size < size || ftruncate(fd, (off_t)size) < 0 ||
	    renameat(r->fd, from, r->fd, to) < 0)
		unlinkat(r->fd, from, 0);
}

static int adopt_pack(const struct repo *r, const char *path, const char *hex, int fd, uint64_t *bytes, struct err *e)
{
	struct pack_scan a = { .nr = 0 };
	struct stream s;
	uint8_t id[16];
	char finished[64];

	if (!hex_parse(hex, id, sizeof(id)))
		return 0;
	pack_path(id, finished, sizeof(finished));
	if (faccessat(r->fd, finished, F_OK, AT_SYMLINK_NOFOLLOW) == 0) { /* a power cut left both names of a rename: perhaps one file */
		unlinkat(r->fd, path, 0);
		return 0;
	}
	int r1 = stream_open(&s, fd, path, NULL, e);
	if (r1 == 0)
		r1 = pack_scan_records(r, &s, id, &a, e);
	stream_close(&s);
	AUTO_FREE struct pack_entry *entries = a.entries;
	if (r1 < 0)
		return -1;
	if (r1 == 0) {
		char leaves[64];
		pack_new_path(hex, "leaves", leaves, sizeof(leaves));
		unlinkat(r->fd, leaves, 0);
		unlinkat(r->fd, path, 0);
		return 0;
	}
	if (ftruncate(fd, (off_t)a.end) < 0 || lseek(fd, 0, SEEK_END) < 0)
		return err_set(e, ERR_FAILED, errno, "finishing '%s/%s'", r->dir, path);
	if (pack_end(r, id, fd, a.end, entries, a.nr, path, e) < 0)
		return -1;
	adopt_leaves(r, hex, a.nr);
	*bytes += a.end;
	return 0;
}

/* A file under "new": a pack that nobody holds is adopted, anything else that nobody holds is removed. Leaves go with their pack. */
static int look_at(const struct repo *r, const char *name, uint64_t *bytes, struct err *e)
{
	char path[PATH_MAX], hex[33];

	snprintf(path, sizeof(path), "new/%s", name);
	snprintf(hex, sizeof(hex), "%.32s", name);
	const char *ending = strlen(name) > 32 ? name + 32 : "";
	if (!strcmp(ending, ".leaves")) {
		char pack[64];
		pack_new_path(hex, "pack", pack, sizeof(pack));
		if (faccessat(r->fd, pack, F_OK, 0) == 0)
			return 0;
	}
	struct err ignored = ERR_INIT;
	AUTO_CLOSE_FD int fd = repo_open_file(r, path, O_RDWR, &ignored);
	if (fd < 0)
		return 0; /* gone, or not ours to touch */
	int locked = repo_lock_file(fd, path, e);
	if (locked <= 0)
		return locked;
	/* It may have been finished and renamed between opening and locking it. */
	if (!repo_is_still(r, path, fd))
		return 0;
	if (!strcmp(ending, ".pack"))
		return adopt_pack(r, path, hex, fd, bytes, e);
	unlinkat(r->fd, path, 0);
	return 0;
}

int packs_adopt(const struct repo *r, uint64_t *ret_bytes, struct err *e)
{
	int fd = openat(r->fd, "new", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *d = fd < 0 ? NULL : fdopendir(fd);
	int result = 0;

	*ret_bytes = 0;
	if (!d)
		return err_set(e, ERR_FAILED, errno, "reading the folder '%s/new'", r->dir);
	for (struct dirent *x; result == 0 && (x = readdir(d));)
		if (x->d_name[0] != '.')
			result = look_at(r, x->d_name, ret_bytes, e);
	closedir(d);
	return result;
}
