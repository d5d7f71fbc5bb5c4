/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The entries of a state record, one behind the other from byte 2048 on:
 *
 * "SAVE" or "LATE", u32 length, u64 start, u32 CRC of the bytes, u32 CRC of the 20 bytes before, then the bytes.
 * "SAVE" is what stood there before the first attempt; "LATE" is what a later attempt found below the mark, where an
 * earlier one may have written. Without bytes behind it, "SEEN" tells the CRC of what stood in a place that was not saved,
 * "LEFT" that of what a restore is about to write over a place the record knows: by these the target is known again. The
 * place of a note lies within 512 bytes (state_known.c). "PART" is a part of the disk as it was divided before the first attempt: its
 * start, and as bytes u64 length, u32 number of the partition or 0
 *
 * A torn entry at the end was never synced, so the target was not changed for it: it is written over.
 */
#include "imager/job/state_inner.h"

#include "base/arith.h"
#include "base/hash.h"
#include "base/span.h"

#include <string.h>

#define PART_SIZE 12U

/* The entry that begins at s->end */
static int remember(struct state *s, uint64_t start, uint64_t len, struct err *e)
{
	struct saved_range *grown = realloc(s->saved, (s->nr_saved + 1) * sizeof(*grown));

	if (!grown)
		return err_nomem(e, "the state record");
	s->saved = grown;
	s->saved[s->nr_saved++] = (struct saved_range){ start, len, s->end + ENTRY_HEADER };
	free(take(&s->places));
	s->end += ENTRY_HEADER + len;
	return 0;
}

static int remember_part(struct state *s, uint64_t start, uint64_t len, uint32_t number, struct err *e)
{
	struct state_part *grown = reallocarray(s->parts, s->nr_parts + 1, sizeof(*grown));

	if (!grown)
		return err_nomem(e, "the state record");
	s->parts = grown;
	s->parts[s->nr_parts++] = (struct state_part){ .start = start, .len = len, .partition = number };
	return 0;
}

static bool is_note(const uint8_t h[ENTRY_HEADER])
{
	return !memcmp(h, "SEEN", 4) || !memcmp(h, "LEFT", 4);
}

static uint32_t bytes_behind(const uint8_t h[ENTRY_HEADER])
{
	return is_note(h) ? 0 : get_le32(h + 4);
}

/* The entry at `at` into h and bytes (MAX_ENTRY of them): 1; 0 behind the last whole one; -1. */
static int read_entry(const struct state *s, uint64_t at, uint8_t h[ENTRY_HEADER], uint8_t *bytes, struct err *e)
{
	int r = state_read_at(s, at, h, ENTRY_HEADER, e);

	if (r <= 0 || (memcmp(h, "SAVE", 4) && memcmp(h, "LATE", 4) && memcmp(h, "PART", 4) && !is_note(h)) || get_le32(h + 20) != crc32_of(h, 20))
		return r < 0 ? -1 : 0;
	uint32_t len = get_le32(h + 4);
	if (len == 0 || len > MAX_ENTRY)
		return 0;
	if (is_note(h))
		return 1;
	r = state_read_at(s, at + ENTRY_HEADER, bytes, len, e);
	return r <= 0 ? r : crc32_of(bytes, len) == get_le32(h + 16);
}

int state_each(struct state *s, state_saved_fn fn, void *arg, struct err *e)
{
	uint8_t h[ENTRY_HEADER];
	int r;
	AUTO_FREE uint8_t *bytes = malloc(MAX_ENTRY);

	if (!bytes)
		return err_nomem(e, "the state record");
	for (uint64_t at = FIRST_ENTRY; (r = read_entry(s, at, h, bytes, e)) == 1; at += ENTRY_HEADER + bytes_behind(h))
		if (!is_note(h) && h[0] != 'P' && fn(arg, get_le64(h + 8), bytes, get_le32(h + 4), h[0] == 'L', e) < 0)
			return -1;
	return r;
}

int state_read_entries(struct state *s, struct err *e)
{
	uint8_t h[ENTRY_HEADER];
	int r;
	AUTO_FREE uint8_t *bytes = malloc(MAX_ENTRY);

	if (!bytes)
		return err_nomem(e, "the state record");
	while ((r = read_entry(s, s->end, h, bytes, e)) == 1) {
		struct known_note n = { .start = get_le64(h + 8), .len = get_le32(h + 4), .crc = get_le32(h + 16), .is_left = h[0] == 'L' };
		bool is_part = h[0] == 'P' && n.len == PART_SIZE;
		if (is_part && remember_part(s, n.start, get_le64(bytes), get_le32(bytes + 8), e) < 0)
			return -1;
		if (h[0] == 'P')
			s->end += ENTRY_HEADER + n.len;
		else if (is_note(h) ? state_remember_note(s, &n, e) < 0 : remember(s, n.start, n.len, e) < 0)
			return -1;
	}
	state_sort_notes(s);
	return r;
}

static int append_entry(const struct state *s, const char *kind, uint64_t start, const uint8_t *bytes, size_t len, struct err *e)
{
	uint8_t h[ENTRY_HEADER];

	memcpy(h, kind, 4);
	put_le32(h, 4, (uint32_t)len);
	put_le64(h, 8, start);
	put_le32(h, 16, crc32_of(bytes, len));
	put_le32(h, 20, crc32_of(h, 20));
	return state_write_at(s, s->end, h, sizeof(h), e) < 0 ? -1 : state_write_at(s, s->end + sizeof(h), bytes, len, e);
}

int state_append(struct state *s, uint64_t start, const uint8_t *bytes, size_t len, struct err *e)
{
	if (append_entry(s, start < s->mark ? "LATE" : "SAVE", start, bytes, len, e) < 0)
		return -1;
	return remember(s, start, len, e);
}

int state_add_part(struct state *s, uint64_t start, uint64_t len, unsigned partition, struct err *e)
{
	uint8_t b[PART_SIZE];

	put_le64(b, 0, len);
	put_le32(b, 8, partition);
	if ((s->fd < 0 && state_sync(s, e) < 0) || append_entry(s, "PART", start, b, sizeof(b), e) < 0)
		return -1;
	s->end += ENTRY_HEADER + sizeof(b);
	return remember_part(s, start, len, partition, e);
}

const struct state_part *state_parts(const struct state *s, size_t *ret_nr)
{
	*ret_nr = s->nr_parts;
	return s->parts;
}
