/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The parts before and behind the records; see reader_parts.h. */
#include "imager/image/reader_parts.h"

#include "base/arith.h"
#include "base/hash.h"
#include "imager/image/summary.h"

#include <string.h>

/*
 * What a head may cost before its claims are proved. Of a file: each present chunk has 32 bytes in CIDS, which is never compressed. Of
 * a pipe nothing is known but what has come: a map may have 128 MiB, and more only with more head.
 */
static struct img_limits limits_of(const struct img_reader *r)
{
	if (r->s.seekable)
		return (struct img_limits){ .present = r->s.size / IMG_ID_SIZE, .memory = UINT64_MAX };
	return (struct img_limits){ .present = UINT64_MAX, .memory = ((uint64_t)128 << 20) + r->s.pos * 1024 };
}

/* CSIG, which may be missing; then the head is judged. */
static int read_core_signatures(struct img_reader *r, struct err *e)
{
	AUTO_FREE uint8_t *entries = NULL;
	size_t len;
	int n = stream_next_is(&r->s, "CSIG", e);

	if (n < 0)
		return -1;
	r->places.csig_at = r->s.pos;
	if (n) {
		if (stream_part(&r->s, "CSIG", FMT_MAX_SMALL, UINT64_MAX, &entries, &len, e) < 0 || sigs_read(r->m, SIGS_CORE, entries, len, e) < 0)
			return -1;
		r->places.csig_len = r->s.pos - r->places.csig_at;
	}
	return sigs_trust_core(r->name, r->m, r->access ? &r->access->trust : NULL, !r->s.seekable, e);
}

/* A repository is encrypted as a whole: what is not like the rest was put there by somebody else. */
static int check_kind_of_version(const struct img_reader *r, struct err *e)
{
	if (r->s.sealed == !!r->repo_seal)
		return 0;
	if (r->repo_seal)
		return err_set(e, ERR_CORRUPT, 0, "'%s' is not encrypted, in a repository that is", r->name);
	err_set(e, ERR_REFUSED, 0, "'%s' is encrypted, and its repository says that it is not", r->name);
	err_hint(e, "the file 'calco-repo' of the repository was changed or exchanged");
	return err_reason(e, "mixed");
}

/* The preamble, and what goes with it: an image that must be encrypted is, and the other way round. */
static int read_preamble(struct img_reader *r, struct err *e)
{
	uint8_t pre[FMT_PREAMBLE_SIZE];

	stream_at(&r->s, "", 0, FMT_PREAMBLE_SIZE);
	if (stream_read(&r->s, pre, sizeof(pre), e) < 0)
		return -1;
	if (fmt_get_preamble(pre, r->packs ? FMT_IN_PACKS | FMT_HAS_COMPOSED : 0, &r->preamble, e) < 0)
		return err_wrap(e, "'%s'", r->name);
	if (r->packs && (!(r->preamble.mandatory & FMT_IN_PACKS) || !r->s.seekable))
		return err_set(e, ERR_CORRUPT, 0, "'%s' is not a version of a repository", r->name);
	r->s.sealed = r->preamble.mandatory & FMT_FEATURE_ENCRYPTED;
	r->s.pack_id = r->preamble.pack_id;
	if (r->packs)
		return check_kind_of_version(r, e);
	if (r->s.sealed || !r->access || !img_keys_given(&r->access->keys))
		return 0;
	err_set(e, ERR_REFUSED, 0, "'%s' is not encrypted, and a key was given for it", r->name);
	err_hint(e, "is it the image you mean? leave the key away to use it all the same");
	return err_reason(e, "not-encrypted");
}

/* No key at all. A file that was cut short is told so, though: that can be seen without one. */
static int locked(struct img_reader *r, const struct slots_count *slots, uint64_t core_bytes, struct err *e)
{
	AUTO_FREE uint8_t *trailer = NULL;
	struct fmt_trailer t;
	size_t len;

	if (r->s.seekable && r->s.size >= r->s.pos + FMT_PART_SIZE + FMT_TRAILER_SIZE)
		stream_seek(&r->s, r->s.size - FMT_PART_SIZE - FMT_TRAILER_SIZE);
	if (r->s.seekable && (stream_part(&r->s, "TRLR", FMT_TRAILER_SIZE, FMT_TRAILER_SIZE, &trailer, &len, e) < 0 || fmt_get_trailer(trailer, &t, e) < 0)) {
		if (e->code != ERR_CORRUPT)
			return -1;
		err_set(e, ERR_CORRUPT, 0, "'%s': no valid trailer: the file is cut short, was never finished, or its end is damaged", r->name);
		return err_reason(e, "truncated");
	}
	if (r->access && r->access->locked)
		*r->access->locked = (struct img_locked){ .is_locked = true, .core_bytes = core_bytes, .file_bytes = r->s.size, .slots = *slots };
	err_set(e, ERR_REFUSED, 0, "'%s' is encrypted, and no key was given", r->name);
	err_hint(e, "--key FILE or --passphrase-file FILE opens it");
	return err_reason(e, "locked");
}

/* KEYS; the secrets go to *ret. */
static int unlock(struct img_reader *r, uint64_t core_bytes, struct img_seal **ret, struct err *e)
{
	AUTO_FREE uint8_t *slots = NULL;
	struct slots_count count;
	size_t len;

	if (stream_part(&r->s, "KEYS", FMT_MAX_SMALL, UINT64_MAX, &slots, &len, e) < 0)
		return -1;
	if (slots_check(slots, len, &count, e) < 0)
		return err_wrap(e, "'%s'", r->name);
	if (!r->access || !img_keys_given(&r->access->keys))
		return locked(r, &count, core_bytes, e);
	int opened = slots_open(slots, len, &r->access->keys, ret, e);
	if (opened < 0)
		return err_wrap(e, "'%s'", r->name);
	if (opened)
		return 0;
	err_set(e, ERR_REFUSED, 0, "'%s' is encrypted, and not for the key or passphrase that was given", r->name);
	err_hint(e, "it has %zu slots for symmetric keys, %zu for passphrases, %zu for recipients", count.nr_symmetric, count.nr_passphrase, count.nr_recipient);
	return err_reason(e, "wrong-key");
}

static int open_box(struct img_reader *r, struct img_seal *seal, struct err *e)
{
	r->s.box = seal_box_new(seal, e);
	return r->s.box ? 0 : -1;
}

/* CORE and ENVL, opened. */
static int decode_head(struct img_reader *r, struct stored_part *core, struct stored_part *envelope, struct err *e)
{
	AUTO_FREE uint8_t *core_bytes = NULL;
	AUTO_FREE uint8_t *envelope_bytes = NULL;
	struct img_limits limits = limits_of(r);
	size_t len;

	if (stream_part_open(&r->s, core, &core_bytes, &len, e) < 0)
		return -1;
	if (img_core_decode(core_bytes, len, &limits, &r->m, e) < 0)
		return err_wrap(e, "'%s'", r->name);
	memcpy(r->m->pack_id, r->preamble.pack_id, 16);
	if (stream_part_open(&r->s, envelope, &envelope_bytes, &len, e) < 0)
		return -1;
	if (img_envelope_decode(r->m, envelope_bytes, len, e) < 0)
		return err_wrap(e, "'%s'", r->name);
	return 0;
}

/* In an encrypted image the key comes behind what it opens. */
static int read_head_parts(struct img_reader *r, struct stored_part *core, struct stored_part *envelope, struct err *e)
{
	AUTO(img_seal) struct img_seal *seal = NULL;
	struct img_place core_place, envelope_place;

	if (stream_part_read(&r->s, "CORE", FMT_MAX_CORE, UINT64_MAX, core, e) < 0)
		return -1;
	core_place = r->s.place;
	if (stream_part_read(&r->s, "ENVL", FMT_MAX_SMALL, UINT64_MAX, envelope, e) < 0)
		return -1;
	envelope_place = r->s.place;
	if (r->s.sealed && r->packs && !(seal = seal_copy(r->repo_seal, e)))
		return -1;
	if (r->s.sealed && !seal && unlock(r, core->p.raw_len, &seal, e) < 0)
		return -1;
	if (r->s.sealed && open_box(r, seal, e) < 0)
		return -1;
	struct img_place last = r->s.place;
	r->s.place = core_place;
	if (decode_head(r, core, envelope, e) < 0) {
		if (r->m)
			r->s.place = envelope_place;
		return -1; /* the box is not used any more */
	}
	r->s.place = last;
	r->m->seal = take(&seal);
	return 0;
}

int reader_head(struct img_reader *r, struct err *e)
{
	struct stored_part core = { .bytes = NULL }, envelope = { .bytes = NULL };

	if (read_preamble(r, e) < 0)
		return -1;
	int failed = read_head_parts(r, &core, &envelope, e);
	free(core.bytes);
	free(envelope.bytes);
	return failed < 0 ? -1 : read_core_signatures(r, e);
}

static int decode_bad(struct img_manifest *m, const uint8_t *p, size_t len, struct err *e)
{
	uint32_t disk = 0;
	uint64_t end = 0;

	if (len % FMT_BAD_SIZE)
		return err_set(e, ERR_CORRUPT, 0, "the list of unreadable ranges is damaged");
	if (!(m->bad = alloc_array(len / FMT_BAD_SIZE, sizeof(*m->bad))))
		return err_nomem(e, "the unreadable ranges");
	m->nr_bad = len / FMT_BAD_SIZE;
	for (size_t i = 0; i < m->nr_bad; i++, p += FMT_BAD_SIZE) {
		struct img_range *b = &m->bad[i];
		*b = (struct img_range){ .disk = get_le32(p), .start = get_le64(p + 8), .len = get_le64(p + 16) };
		bool ordered = b->disk > disk || (b->disk == disk && b->start >= end);
		if (get_le32(p + 4) || b->disk >= m->nr_disks || !ordered || !b->len || !range_inside(b->start, b->len, m->disks[b->disk].size))
			return err_set(e, ERR_CORRUPT, 0, "the list of unreadable ranges is damaged");
		disk = b->disk;
		end = b->start + b->len;
	}
	return 0;
}

/* CIDS, BADR, ROOT: the ids go to *ret_ids, the rest into the manifest; the root is computed and compared. */
static int read_tail(struct img_reader *r, uint8_t **ret_ids, struct err *e)
{
	AUTO_FREE uint8_t *ids = NULL;
	AUTO_FREE uint8_t *bad = NULL;
	AUTO_FREE uint8_t *root = NULL;
	uint64_t ids_len = r->m->nr_present * IMG_ID_SIZE;
	size_t len, bad_len;

	if (stream_part(&r->s, "CIDS", ids_len, ids_len, &ids, &len, e) < 0)
		return -1;
	if (stream_part(&r->s, "BADR", FMT_MAX_BAD * FMT_BAD_SIZE, UINT64_MAX, &bad, &bad_len, e) < 0)
		return -1;
	if (stream_part(&r->s, "ROOT", 32, 32, &root, &len, e) < 0)
		return -1;
	if (img_root(r->m->core_hash, ids, r->m->nr_present, bad, bad_len, r->m->root, e) < 0)
		return -1;
	if (memcmp(r->m->root, root, 32))
		return err_set(e, ERR_CORRUPT, 0, "'%s': the root does not match the image's head and ids", r->name);
	r->m->has_root = true;
	if (decode_bad(r->m, bad, bad_len, e) < 0)
		return err_wrap(e, "'%s'", r->name);
	*ret_ids = take(&ids);
	return 0;
}

/* SUMM of a version, which those of the first programs do not have. It is no news, so it must be true. */
static int read_summary(struct img_reader *r, struct err *e)
{
	AUTO_FREE uint8_t *bytes = NULL;
	struct img_summary said, is;
	size_t len;
	int n = r->packs ? stream_next_is(&r->s, "SUMM", e) : 0;

	if (n <= 0)
		return n;
	if (stream_part(&r->s, "SUMM", SUMMARY_SIZE, SUMMARY_SIZE, &bytes, &len, e) < 0)
		return -1;
	summary_of(r->m, &is);
	if (summary_get(bytes, &said) && summary_equal(&said, &is))
		return 0;
	return err_set(e, ERR_CORRUPT, 0, "'%s': the summary is not that of this version", r->name);
}

/* INDX in the file's byte order; of a version LOCS, which is decoded at once. */
static int read_index(struct img_reader *r, uint8_t **ret, struct err *e)
{
	uint64_t index_len = r->m->nr_present * 8;
	AUTO_FREE uint8_t *table = NULL;
	size_t len;

	if (!r->packs)
		return stream_part(&r->s, "INDX", index_len, index_len, ret, &len, e);
	if (stream_part(&r->s, "LOCS", FMT_MAX_LOCS, UINT64_MAX, &table, &len, e) < 0)
		return -1;
	if (!(r->located.l = locations_decode(table, len, r->m->nr_present, r->s.sealed, e)))
		return err_wrap(e, "'%s'", r->name);
	r->located.packs = r->packs;
	r->located.sealed = r->s.sealed;
	return 0;
}

/* INDX and TRLR. *ret_index is in the file's byte order. */
static int read_end(struct img_reader *r, uint64_t *ret_index_offset, uint8_t **ret_index, struct fmt_trailer *ret, struct err *e)
{
	AUTO_FREE uint8_t *signatures = NULL;
	AUTO_FREE uint8_t *trailer = NULL;
	size_t len;

	int n = stream_next_is(&r->s, "SIGS", e);
	if (n < 0)
		return -1;
	r->places.sigs_at = r->s.pos;
	if (n) {
		if (stream_part(&r->s, "SIGS", FMT_MAX_SMALL, UINT64_MAX, &signatures, &len, e) < 0)
			return -1;
		if (sigs_read(r->m, SIGS_ROOT, signatures, len, e) < 0)
			return -1;
		r->places.sigs_len = r->s.pos - r->places.sigs_at;
	}
	if (sigs_trust_root(r->name, r->m, r->access ? &r->access->trust : NULL, e) < 0)
		return -1;
	if (stream_skip_unknown(&r->s, e) < 0) {
		if (r->s.seekable && r->s.place.start == r->index_offset)
			stream_at(&r->s, r->packs ? "LOCS" : "INDX", r->index_offset, FMT_PART_SIZE);
		return -1;
	}
	if (read_summary(r, e) < 0)
		return -1;
	*ret_index_offset = r->s.pos;
	if (read_index(r, ret_index, e) < 0)
		return -1;
	if (stream_part(&r->s, "TRLR", FMT_TRAILER_SIZE, FMT_TRAILER_SIZE, &trailer, &len, e) < 0)
		return -1;
	if (fmt_get_trailer(trailer, ret, e) < 0)
		return err_wrap(e, "'%s'", r->name);
	return 0;
}

static int check_trailer(struct img_reader *r, const struct fmt_trailer *t, uint64_t index_offset, struct err *e)
{
	bool same = t->file_len == r->s.pos && t->cids_offset == r->cids_offset && t->index_offset == index_offset &&
		t->nr_present == r->m->nr_present && !memcmp(t->pack_id, r->preamble.pack_id, 16) && !memcmp(t->root, r->m->root, 32);

	return same ? 0 : err_set(e, ERR_CORRUPT, 0, "'%s': the trailer does not belong to this image", r->name);
}

/* Offsets must ascend between head and tail: later code trusts that they do. */
static int decode_index(struct img_reader *r, const uint8_t *p, uint64_t head_end, uint64_t nr_records, struct err *e)
{
	uint64_t last = head_end, nr = 0;

	if (!(r->index = alloc_array(r->m->nr_present, sizeof(*r->index))))
		return err_nomem(e, "the index");
	for (uint64_t i = 0; i < r->m->nr_present; i++) {
		uint64_t at = get_le64(p + i * 8);
		r->index[i] = at;
		if (!at)
			continue;
		if (at < last || at > r->cids_offset - FMT_RECORD_SIZE)
			return err_set(e, ERR_CORRUPT, 0, "'%s': the index is damaged", r->name);
		last = at + FMT_RECORD_SIZE;
		r->end_record = i + 1;
		nr++;
	}
	if (nr != nr_records)
		return err_set(e, ERR_CORRUPT, 0, "'%s': the trailer does not belong to this image", r->name);
	return 0;
}

/* Of a version: nothing stands between head and tail, and the table names as many records as the trailer. */
static int check_locations(const struct img_reader *r, uint64_t head_end, uint64_t nr_records, struct err *e)
{
	uint64_t nr = 0;

	for (uint64_t i = 0; i < r->located.l->nr_chunks; i++)
		nr += r->located.l->chunks[i].offset != 0;
	if (nr != nr_records || r->cids_offset != head_end)
		return err_set(e, ERR_CORRUPT, 0, "'%s': the trailer does not belong to this image", r->name);
	return 0;
}

/*
 * Parts of a later version may stand between the last record and CIDS. Who walks the records meets them there, but one that must be known
 * is told before anything is shown or written. A damaged record hides them: then the walk finds that.
 */
static int refuse_mandatory(struct img_reader *r, uint64_t head_end, struct err *e)
{
	uint8_t head[FMT_RECORD_SIZE];
	struct err ignored = ERR_INIT;
	struct fmt_record rec;

	stream_seek(&r->s, head_end);
	if (r->end_record) {
		stream_seek(&r->s, r->index[r->end_record - 1]);
		if (stream_read(&r->s, head, sizeof(head), e) < 0)
			return -1;
		if (fmt_get_record(head, r->s.sealed, &rec, &ignored) < 0 || !range_inside(r->s.pos, rec.stored_len, r->cids_offset))
			return 0;
		stream_seek(&r->s, r->s.pos + rec.stored_len);
	}
	return stream_find_mandatory(&r->s, r->cids_offset, e);
}

/* Of a seekable file: everything behind the records, found through the trailer. */
int reader_file_tail(struct img_reader *r, struct err *e)
{
	AUTO_FREE uint8_t *ids = NULL;
	AUTO_FREE uint8_t *index = NULL;
	AUTO_FREE uint8_t *trailer = NULL;
	struct fmt_trailer t, again;
	uint64_t head_end = r->s.pos, index_offset;
	size_t len;

	if (r->s.size < head_end + FMT_PART_SIZE + FMT_TRAILER_SIZE) {
		err_set(e, ERR_CORRUPT, 0, "'%s': no trailer: the file is cut short or was never finished", r->name);
		return err_reason(e, "truncated");
	}
	stream_seek(&r->s, r->s.size - FMT_PART_SIZE - FMT_TRAILER_SIZE);
	if (stream_part(&r->s, "TRLR", FMT_TRAILER_SIZE, FMT_TRAILER_SIZE, &trailer, &len, e) < 0 || fmt_get_trailer(trailer, &t, e) < 0) {
		if (e->code != ERR_CORRUPT)
			return -1;
		err_set(e, ERR_CORRUPT, 0, "'%s': no valid trailer: the file is cut short, was never finished, or its end is damaged", r->name);
		return err_reason(e, "truncated");
	}
	if (t.cids_offset < head_end || t.cids_offset > r->s.size)
		return err_set(e, ERR_CORRUPT, 0, "'%s': the trailer does not belong to this image", r->name);
	r->cids_offset = t.cids_offset;
	r->index_offset = t.index_offset;
	stream_seek(&r->s, t.cids_offset);
	if (read_tail(r, &ids, e) < 0 || read_end(r, &index_offset, &index, &again, e) < 0)
		return -1;
	if (r->s.pos != r->s.size || check_trailer(r, &t, index_offset, e) < 0)
		return err_set(e, ERR_CORRUPT, 0, "'%s': the trailer does not belong to this image", r->name);
	r->m->ids = (uint8_t(*)[IMG_ID_SIZE])take(&ids);
	if (r->packs)
		return check_locations(r, head_end, t.nr_records, e);
	if (decode_index(r, index, head_end, t.nr_records, e) < 0) {
		stream_at(&r->s, "INDX", index_offset, 0);
		return -1;
	}
	if (refuse_mandatory(r, head_end, e) < 0)
		return -1;
	stream_seek(&r->s, head_end);
	return 0;
}

/* The ids of the records that came by; what had no record was left as it was allocated and stands for zeros. */
static bool ids_agree(const struct img_reader *r, uint8_t (*ids)[IMG_ID_SIZE])
{
	static const uint8_t none[IMG_ID_SIZE];

	for (uint64_t i = 0; i < r->m->nr_present; i++) {
		const uint8_t *seen = r->m->ids[i];
		if (memcmp(ids[i], memcmp(seen, none, IMG_ID_SIZE) ? seen : chunk_zero_id(r->codec), IMG_ID_SIZE))
			return false;
	}
	return true;
}

int reader_pipe_tail(struct img_reader *r, struct err *e)
{
	AUTO_FREE uint8_t *ids = NULL;
	AUTO_FREE uint8_t *index = NULL;
	struct fmt_trailer t;
	uint64_t index_offset;
	uint8_t more;

	if (stream_skip_unknown(&r->s, e) < 0)
		return -1;
	r->cids_offset = r->s.pos;
	if (read_tail(r, &ids, e) < 0)
		return -1;
	if (!ids_agree(r, (uint8_t(*)[IMG_ID_SIZE])ids))
		return err_set(e, ERR_CORRUPT, 0, "'%s': a record is missing or is not the one the ids name", r->name);
	free(r->m->ids);
	r->m->ids = (uint8_t(*)[IMG_ID_SIZE])take(&ids);
	if (read_end(r, &index_offset, &index, &t, e) < 0 || check_trailer(r, &t, index_offset, e) < 0)
		return -1;
	if (t.nr_records != r->nr_records || stream_peek(&r->s, &more, 1, e) != 0)
		return err_set(e, ERR_CORRUPT, 0, "'%s': there is something behind the trailer", r->name);
	return 0;
}
