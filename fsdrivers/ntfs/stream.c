/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Streams: an attribute gathered from all records that hold a piece of it, and reading from it.
 *
 * A file whose attributes do not fit into one record has an attribute list (NTFS docs, "$ATTRIBUTE_LIST") that names
 * the others. The $MFT itself may be such a file: its records are then read through the runs known so far, which is
 * how it was written.
 */
#include "fsdrivers/ntfs/ntfs.h"

#include <stdlib.h>
#include <string.h>

#define MAX_LIST   (256U << 10) /* of Windows */
#define MAX_RUNS   (1U << 20)   /* 24 MiB; a file of Windows has less, since its attribute list is bounded */
#define REF_NUMBER 0xFFFFFFFFFFFFULL

void ntfs_stream_release(struct ntfs_stream *s)
{
	free(s->value);
	free(s->runs);
	*s = (struct ntfs_stream){ 0 };
}

static int add_run(const struct ntfs_volume *v, struct ntfs_stream *s, const struct ntfs_run *r, struct err *e)
{
	if (s->nr_runs == MAX_RUNS)
		return err_set(e, ERR_CORRUPT, 0, "a stream in more than %u runs", MAX_RUNS);
	if (s->nr_runs == s->room) {
		size_t room = s->room ? s->room * 2 : 8;
		struct ntfs_run *grown = reallocarray(s->runs, room, sizeof(*grown));
		if (!grown)
			return err_nomem(e, "a list of runs");
		s->runs = grown;
		s->room = room;
	}
	s->runs[s->nr_runs++] = (struct ntfs_run){ .vcn = s->nr_vcns, .lcn = r->lcn, .nr = r->nr };
	s->nr_stored += r->lcn == NTFS_HOLE ? 0 : r->nr; /* no overflow: it stays below 2^33 by the next check */
	if (s->nr_stored > v->boot.nr_clusters)
		return err_set(e, ERR_CORRUPT, 0, "a stream has more clusters than the volume");
	if (!add_u64(s->nr_vcns, r->nr, &s->nr_vcns) || s->nr_vcns > INT64_MAX / v->boot.cluster_size)
		return err_set(e, ERR_CORRUPT, 0, "a stream of an impossible size");
	return 0;
}

static int add_value(struct ntfs_stream *s, const struct ntfs_attr *a, struct err *e)
{
	s->value = alloc_array(1, a->value.len);
	if (!s->value)
		return err_nomem(e, "an attribute");
	memcpy(s->value, a->value.p, a->value.len);
	s->size = s->initialized = a->value.len;
	s->flags = a->flags;
	return 0;
}

/* One extent of the attribute, the next in order. */
static int add_extent(const struct ntfs_volume *v, struct ntfs_stream *s, const struct ntfs_attr *a, struct err *e)
{
	struct ntfs_run_iter it = ntfs_run_iter(v, a);
	struct ntfs_run r;
	int more;

	if (s->value || a->first_vcn != s->nr_vcns || (a->is_resident && s->nr_runs))
		return err_set(e, ERR_CORRUPT, 0, "the extents of an attribute do not follow each other");
	if (a->is_resident)
		return add_value(s, a, e);
	if (!a->first_vcn) {
		s->size = a->size;
		s->initialized = min_u64(a->initialized, a->size);
		s->flags = a->flags;
	}
	while ((more = ntfs_run_next(&it, &r, e)) > 0)
		if (add_run(v, s, &r, e) < 0)
			return -1;
	if (more < 0)
		return -1;
	/* An empty attribute may say 0 instead of -1. */
	if (a->last_vcn + 1 != s->nr_vcns && (a->last_vcn || s->nr_vcns))
		return err_set(e, ERR_CORRUPT, 0, "the runs of an attribute end at cluster %llu instead of %lld of it",
			(unsigned long long)s->nr_vcns, (long long)a->last_vcn + 1);
	return 0;
}

struct gather {
	struct ntfs_volume *v;
	uint64_t number;
	uint32_t type;
	const char *name;
	struct ntfs_stream *s;
	bool found;
};

static bool is_wanted(const struct gather *g, const struct ntfs_attr *a)
{
	return a->type == g->type && !strcmp(a->name, g->name);
}

/* The extent that begins at first_vcn; 1, 0 when the record has none, -1 */
static int gather_from(struct gather *g, const struct ntfs_record *r, uint64_t first_vcn, struct err *e)
{
	struct ntfs_attr a;
	size_t pos = 0;
	int more;

	while ((more = ntfs_attr_next(r, &pos, &a, e)) > 0) {
		if (!is_wanted(g, &a) || a.first_vcn != first_vcn)
			continue;
		g->found = true;
		return add_extent(g->v, g->s, &a, e) < 0 ? -1 : 1;
	}
	return more;
}

/* What one entry of the attribute list says. */
struct entry {
	uint32_t type;
	size_t len;
	uint64_t first_vcn, ref;
	struct ntfs_attr named; /* only its type and name */
};

static bool read_entry(struct span *list, size_t pos, struct entry *ret)
{
	size_t len = span_le16(list, pos + 4);
	struct span s = span_sub(list, pos, len);
	size_t nr = span_u8(&s, 6), at = span_u8(&s, 7);

	ret->len = len;
	ret->first_vcn = span_le64(&s, 8);
	ret->ref = span_le64(&s, 0x10);
	ret->named = (struct ntfs_attr){ .type = span_le32(&s, 0) };
	if (nr >= sizeof(ret->named.name)) {
		memcpy(ret->named.name, "?", 2);
		return !list->bad && !s.bad;
	}
	for (size_t i = 0; i < nr; i++) {
		uint16_t c = span_le16(&s, at + 2 * i);
		ret->named.name[i] = c && c < 0x80 ? (char)c : '?';
	}
	return !list->bad && !s.bad;
}

/* Follow the list: each extent from the record that holds it. */
static int gather_listed(struct gather *g, const struct ntfs_record *base, struct span *list, struct err *e)
{
	AUTO_FREE uint8_t *buf = alloc_array(1, g->v->boot.record_size);
	struct ntfs_record other;
	struct entry en;

	if (!buf)
		return err_nomem(e, "a record of the $MFT");
	for (size_t pos = 0; pos < list->len; pos += en.len) {
		if (!read_entry(list, pos, &en))
			return err_set(e, ERR_CORRUPT, 0, "the attribute list of record %llu is damaged", (unsigned long long)g->number);
		if (!is_wanted(g, &en.named))
			continue;
		uint64_t number = en.ref & REF_NUMBER;
		if (number != g->number && ntfs_record_read(g->v, number, buf, &other, e) < 0)
			return -1;
		if (number != g->number && (other.base != g->number || other.sequence != en.ref >> 48))
			return err_set(e, ERR_CORRUPT, 0, "record %llu of the $MFT does not belong to record %llu",
				(unsigned long long)number, (unsigned long long)g->number);
		int found = gather_from(g, number == g->number ? base : &other, en.first_vcn, e);
		if (found < 0)
			return -1;
		if (!found)
			return err_set(e, ERR_CORRUPT, 0, "an attribute of record %llu is not where its list says", (unsigned long long)g->number);
	}
	return 0;
}

/* The list's own content, resident or not. */
static int read_list(struct ntfs_volume *v, const struct ntfs_attr *a, uint8_t **ret, size_t *ret_len, struct err *e)
{
	struct ntfs_stream s = { 0 };

	if (add_extent(v, &s, a, e) < 0) {
		ntfs_stream_release(&s);
		return -1;
	}
	if (s.size > MAX_LIST || (!s.value && s.size > s.nr_vcns * v->boot.cluster_size)) {
		ntfs_stream_release(&s);
		return err_set(e, ERR_CORRUPT, 0, "an attribute list of an impossible size");
	}
	AUTO_FREE uint8_t *buf = alloc_array(1, (size_t)s.size);
	int r = buf ? ntfs_stream_read(v, &s, 0, buf, (size_t)s.size, e) : err_nomem(e, "an attribute list");
	*ret_len = (size_t)s.size;
	ntfs_stream_release(&s);
	if (r < 0)
		return -1;
	*ret = take(&buf);
	return 0;
}

static int gather(struct gather *g, const struct ntfs_record *base, struct err *e)
{
	AUTO_FREE uint8_t *list = NULL;
	struct ntfs_attr a;
	size_t len = 0;

	if (base->base)
		return err_set(e, ERR_CORRUPT, 0, "record %llu of the $MFT is a part of another file", (unsigned long long)g->number);
	int has_list = ntfs_attr_find(base, NTFS_AT_LIST, &a, e);
	if (has_list < 0)
		return -1;
	if (!has_list)
		return gather_from(g, base, 0, e) < 0 ? -1 : 0;
	if (read_list(g->v, &a, &list, &len, e) < 0)
		return err_wrap(e, "reading the attribute list of record %llu", (unsigned long long)g->number);
	struct span s = span_of(list, len);
	return gather_listed(g, base, &s, e);
}

int ntfs_stream_open(struct ntfs_volume *v, uint64_t number, uint32_t type, const char *name, struct ntfs_stream *ret, struct err *e)
{
	AUTO_FREE uint8_t *buf = alloc_array(1, v->boot.record_size);
	struct ntfs_stream s = { 0 };
	struct gather g = { .v = v, .number = number, .type = type, .name = name, .s = &s };
	struct ntfs_record base;

	if (!buf)
		return err_nomem(e, "a record of the $MFT");
	if (ntfs_record_read(v, number, buf, &base, e) < 0 || gather(&g, &base, e) < 0) {
		ntfs_stream_release(&s);
		return -1;
	}
	*ret = s;
	return g.found;
}

/* Whole, and stored as it is. In a record it always is; there the flags of a folder mean the files made in it. */
static int check_plain(const struct ntfs_volume *v, uint64_t number, const struct ntfs_stream *s, struct err *e)
{
	const char *odd = s->flags & NTFS_AF_COMPRESSED ? "compressed" : s->flags & NTFS_AF_ENCRYPTED ? "encrypted" :
		s->flags & NTFS_AF_SPARSE || s->nr_stored != s->nr_vcns ? "sparse" :
		s->size > s->nr_vcns * v->boot.cluster_size ? "incomplete" : NULL;

	return odd && !s->value ? err_set(e, ERR_CORRUPT, 0, "system file %llu is %s", (unsigned long long)number, odd) : 0;
}

int ntfs_metadata_open(struct ntfs_volume *v, uint64_t number, uint32_t type, const char *name, struct ntfs_stream *ret, struct err *e)
{
	struct ntfs_stream s = { 0 };

	int found = ntfs_stream_open(v, number, type, name, &s, e);
	if (found == 0)
		err_set(e, ERR_CORRUPT, 0, "system file %llu lacks attribute 0x%x", (unsigned long long)number, type);
	if (found <= 0 || check_plain(v, number, &s, e) < 0) {
		ntfs_stream_release(&s);
		return -1;
	}
	*ret = s;
	return 0;
}

/* Record 0 describes the $MFT; the boot sector says where it stands. */
int ntfs_mft_open(struct ntfs_volume *v, struct err *e)
{
	uint32_t len = v->boot.record_size;
	uint64_t at = v->boot.mft_lcn * v->boot.cluster_size;
	AUTO_FREE uint8_t *buf = alloc_array(1, len);
	struct gather g = { .v = v, .type = NTFS_AT_DATA, .name = "", .s = &v->mft };
	struct ntfs_record base;

	if (!buf)
		return err_nomem(e, "a record of the $MFT");
	if (!range_inside(at, len, v->src->size))
		return err_set(e, ERR_CORRUPT, 0, "the $MFT begins in the volume's last cluster");
	if (blk_read(v->src, at, buf, len, e) < 0)
		return err_wrap(e, "reading the $MFT's own record");
	if (!ntfs_record_parse(buf, len, NTFS_FILE_MFT, &base) || !base.in_use)
		return err_set(e, ERR_CORRUPT, 0, "the $MFT's own record is damaged");
	if (gather(&g, &base, e) < 0)
		return -1;
	if (!g.found || !v->mft.nr_runs || v->mft.runs[0].lcn != v->boot.mft_lcn)
		return err_set(e, ERR_CORRUPT, 0, "the $MFT does not begin where the boot sector says");
	return check_plain(v, NTFS_FILE_MFT, &v->mft, e);
}

/* The run that holds a VCN below nr_vcns */
static const struct ntfs_run *find_run(const struct ntfs_stream *s, uint64_t vcn)
{
	size_t low = 0, high = s->nr_runs;

	while (high - low > 1) {
		size_t mid = low + (high - low) / 2;
		if (s->runs[mid].vcn <= vcn)
			low = mid;
		else
			high = mid;
	}
	return &s->runs[low];
}

static int read_runs(struct ntfs_volume *v, const struct ntfs_stream *s, uint64_t off, uint8_t *buf, size_t len, struct err *e)
{
	uint64_t cluster = v->boot.cluster_size;

	while (len) {
		if (off / cluster >= s->nr_vcns)
			return err_set(e, ERR_CORRUPT, 0, "a stream ends at cluster %llu of it, before its size", (unsigned long long)s->nr_vcns);
		const struct ntfs_run *r = find_run(s, off / cluster);
		uint64_t inside = off - r->vcn * cluster;
		size_t n = (size_t)min_u64(len, r->nr * cluster - inside);
		if (r->lcn == NTFS_HOLE)
			memset(buf, 0, n);
		else if (blk_read(v->src, r->lcn * cluster + inside, buf, n, e) < 0)
			return -1;
		buf += n;
		off += n;
		len -= n;
	}
	return 0;
}

int ntfs_stream_read(struct ntfs_volume *v, const struct ntfs_stream *s, uint64_t off, void *buf, size_t len, struct err *e)
{
	if (!range_inside(off, len, s->size))
		return err_set(e, ERR_CORRUPT, 0, "a stream of %llu bytes ends before %llu", (unsigned long long)s->size,
			(unsigned long long)off + len);
	size_t written = off < s->initialized ? (size_t)min_u64(len, s->initialized - off) : 0;
	memset((uint8_t *)buf + written, 0, len - written);
	if (!s->value)
		return read_runs(v, s, off, buf, written, e);
	if (written)
		memcpy(buf, s->value + off, written);
	return 0;
}
