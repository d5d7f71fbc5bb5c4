/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Chunk maps; see chunkmap.h. One 32-bit word for each chunk, in pages of 1024 words (256 MiB of disk) that exist only where
 * something is not unused; pages in which every chunk is used (or zero) are one constant page, copied before it changes.
 * Words below FIRST_BITMAP are states of the whole chunk, others number a pair of bitmaps (used, zero) in a pool that grows
 * by blocks, each twice as large as the one before, so nothing is ever moved and a small region stays small.
 */
#include "imager/image/chunkmap.h"

#include "base/arith.h"

#include <string.h>

#define PAGE_CHUNKS  1024U
#define FIRST_PAIRS  16U /* in block 0 */
#define MAX_BLOCKS   28U
#define FIRST_BITMAP 3U
#define MAX_LEN      ((uint64_t)1 << 50)

/* Pages of chunks that are all used, all zero. */
static const uint32_t uniform[3][PAGE_CHUNKS] = {
	[CMAP_USED] = { [0 ... PAGE_CHUNKS - 1] = CMAP_USED },
	[CMAP_ZERO] = { [0 ... PAGE_CHUNKS - 1] = CMAP_ZERO },
};

struct chunk_map {
	uint64_t len, nr_chunks, nr_pages;
	unsigned granule_log2;
	uint32_t bitmap_bytes;
	const uint32_t **pages;     /* NULL: all absent; uniform[...]; else owned, a word for each of its chunks */
	uint64_t *present_before;   /* for each page: present chunks in earlier pages; set by cmap_freeze() */
	uint8_t *blocks[MAX_BLOCKS];/* of FIRST_PAIRS << i pairs of bitmaps */
	uint32_t nr_pairs;
	uint64_t recent;            /* the chunk that got used granules last, and its used bits; NULL: none */
	uint8_t *recent_used;
	uint64_t own_words;         /* words in pages of our own */
	uint64_t nr_present, used_bytes, zero_bytes;
};

static bool is_uniform(const uint32_t *page)
{
	return page == uniform[CMAP_USED] || page == uniform[CMAP_ZERO];
}

struct chunk_map *cmap_new(uint64_t len, unsigned granule_log2, struct err *e)
{
	if (len == 0 || len > MAX_LEN || granule_log2 < 9 || granule_log2 > 12) {
		err_set(e, ERR_CORRUPT, 0, "a region of %llu bytes with granules of 2^%u is not possible",
			(unsigned long long)len, granule_log2);
		return NULL;
	}
	struct chunk_map *m = alloc_array(1, sizeof(*m));
	if (m) {
		m->len = len;
		m->granule_log2 = granule_log2;
		m->bitmap_bytes = (CHUNK_SIZE >> granule_log2) / 8;
		m->nr_chunks = ceil_div_u64(len, CHUNK_SIZE);
		m->nr_pages = ceil_div_u64(m->nr_chunks, PAGE_CHUNKS);
		m->pages = alloc_array(m->nr_pages, sizeof(*m->pages));
		m->present_before = alloc_array(m->nr_pages, sizeof(*m->present_before));
	}
	if (!m || !m->pages || !m->present_before) {
		err_nomem(e, "a chunk map");
		cmap_free(m);
		return NULL;
	}
	return m;
}

void cmap_free(struct chunk_map *m)
{
	if (!m)
		return;
	for (uint64_t i = 0; m->pages && i < m->nr_pages; i++)
		if (!is_uniform(m->pages[i]))
			free((void *)m->pages[i]);
	free(m->present_before);
	for (size_t i = 0; i < MAX_BLOCKS; i++)
		free(m->blocks[i]);
	free(m->pages);
	free(m);
}

static size_t page_words(const struct chunk_map *m, uint64_t page)
{
	return (size_t)min_u64(PAGE_CHUNKS, m->nr_chunks - page * PAGE_CHUNKS);
}

/* The word of chunk i, for changing: its page exists and is its own afterwards. */
static uint32_t *word_of(struct chunk_map *m, uint64_t i, struct err *e)
{
	const uint32_t **p = &m->pages[i / PAGE_CHUNKS];

	if (!*p || is_uniform(*p)) {
		size_t nr = page_words(m, i / PAGE_CHUNKS);
		uint32_t *own = alloc_array(nr, sizeof(*own));
		if (!own) {
			err_nomem(e, "a chunk map");
			return NULL;
		}
		if (*p)
			memcpy(own, *p, nr * sizeof(*own));
		*p = own;
		m->own_words += nr;
	}
	return (uint32_t *)&(*p)[i % PAGE_CHUNKS];
}

/* Make a whole page one in which every chunk is kind (CMAP_USED or CMAP_ZERO). */
static void share_page(struct chunk_map *m, uint64_t page, enum cmap_kind kind)
{
	if (m->pages[page] && !is_uniform(m->pages[page])) {
		free((void *)m->pages[page]);
		m->own_words -= PAGE_CHUNKS;
	}
	m->pages[page] = uniform[kind];
}

/* Block b holds the pairs from FIRST_PAIRS × (2^b - 1) on. */
static unsigned block_of(uint32_t pair, uint32_t *ret_first)
{
	unsigned b = 31 - (unsigned)__builtin_clz(pair / FIRST_PAIRS + 1);

	*ret_first = FIRST_PAIRS * ((1U << b) - 1);
	return b;
}

static uint8_t *pair_at(const struct chunk_map *m, uint32_t pair)
{
	uint32_t first;
	unsigned b = block_of(pair, &first);

	return m->blocks[b] + (size_t)(pair - first) * 2 * m->bitmap_bytes;
}

static uint8_t *used_bits(const struct chunk_map *m, uint32_t word)
{
	return pair_at(m, word - FIRST_BITMAP);
}

static uint8_t *zero_bits(const struct chunk_map *m, uint32_t word)
{
	return used_bits(m, word) + m->bitmap_bytes;
}

/* A new cleared pair of bitmaps; its word in *ret. */
static int new_pair(struct chunk_map *m, uint32_t *ret, struct err *e)
{
	uint32_t first;
	unsigned b = block_of(m->nr_pairs, &first);

	if (b == MAX_BLOCKS || m->nr_pairs >= UINT32_MAX - FIRST_BITMAP)
		return err_set(e, ERR_UNSUPPORTED, 0, "the disk is too fragmented");
	if (!m->blocks[b] && !(m->blocks[b] = alloc_array((size_t)FIRST_PAIRS << b, (size_t)2 * m->bitmap_bytes)))
		return err_nomem(e, "a chunk map");
	*ret = FIRST_BITMAP + m->nr_pairs++;
	return 0;
}

static uint32_t chunk_len(const struct chunk_map *m, uint64_t i)
{
	return (uint32_t)min_u64(CHUNK_SIZE, m->len - i * CHUNK_SIZE);
}

static uint32_t chunk_granules(const struct chunk_map *m, uint64_t i)
{
	return (uint32_t)ceil_div_u64(chunk_len(m, i), (uint64_t)1 << m->granule_log2);
}

static void set_bits(uint8_t *bits, uint32_t first, uint32_t end)
{
	for (; first < end && first % 8; first++)
		bits[first / 8] |= (uint8_t)(1 << first % 8);
	for (; first + 8 <= end; first += 8)
		bits[first / 8] = 0xFF;
	for (; first < end; first++)
		bits[first / 8] |= (uint8_t)(1 << first % 8);
}

static bool bit(const uint8_t *bits, uint32_t i)
{
	return bits[i / 8] >> i % 8 & 1;
}

/* Granules [first, end) of chunk i become `state`, which is stronger than what may be there for EXT_USED, weaker for EXT_ZERO. */
static int add_to_chunk(struct chunk_map *m, uint64_t i, uint32_t first, uint32_t end, enum ext_state state, struct err *e)
{
	uint32_t *w = word_of(m, i, e);

	if (!w)
		return -1;
	if (*w == CMAP_USED || (*w == CMAP_ZERO && state == EXT_ZERO))
		return 0;
	bool whole = first == 0 && end == chunk_granules(m, i);
	if (whole && (state == EXT_USED || *w == CMAP_ABSENT)) {
		*w = state == EXT_USED ? CMAP_USED : CMAP_ZERO;
		return 0;
	}
	if (*w < FIRST_BITMAP) {
		uint32_t pair;
		if (new_pair(m, &pair, e) < 0)
			return -1;
		if (*w == CMAP_ZERO)
			set_bits(zero_bits(m, pair), 0, chunk_granules(m, i));
		*w = pair;
	}
	set_bits(state == EXT_USED ? used_bits(m, *w) : zero_bits(m, *w), first, end);
	if (state == EXT_USED) {
		m->recent = i;
		m->recent_used = used_bits(m, *w);
	}
	return 0;
}

/*
 * The short way for the next of many small extents: a full disk in pieces of 4 KiB has 134 million of them for each TiB. The bitmap may be
 * that of a chunk that is all used by now; then it is not looked at any more.
 */
static bool add_to_recent(struct chunk_map *m, uint64_t first, uint64_t end)
{
	uint64_t per_chunk = CHUNK_SIZE >> m->granule_log2, base = m->recent * per_chunk;

	if (!m->recent_used || first < base || end > base + per_chunk)
		return false;
	set_bits(m->recent_used, (uint32_t)(first - base), (uint32_t)(end - base));
	return true;
}

static int add_granules(struct chunk_map *m, uint64_t first, uint64_t end, enum ext_state state, struct err *e)
{
	uint64_t per_chunk = CHUNK_SIZE >> m->granule_log2;

	while (first < end) {
		uint64_t i = first / per_chunk;
		uint64_t page = i / PAGE_CHUNKS, page_end = (page + 1) * PAGE_CHUNKS * per_chunk;
		if (first == page * PAGE_CHUNKS * per_chunk && end >= page_end && (state == EXT_USED || !m->pages[page])) {
			share_page(m, page, state == EXT_USED ? CMAP_USED : CMAP_ZERO);
			first = page_end;
			continue;
		}
		uint64_t stop = min_u64(end, (i + 1) * per_chunk);
		if (add_to_chunk(m, i, (uint32_t)(first - i * per_chunk), (uint32_t)(stop - i * per_chunk), state, e) < 0)
			return -1;
		first = stop;
	}
	return 0;
}

int cmap_add(struct chunk_map *m, uint64_t start, uint64_t len, enum ext_state state, struct err *e)
{
	uint64_t g = (uint64_t)1 << m->granule_log2;

	if (!range_inside(start, len, m->len))
		return err_set(e, ERR_CORRUPT, 0, "extent %llu+%llu lies outside its region of %llu bytes", (unsigned long long)start,
			(unsigned long long)len, (unsigned long long)m->len);
	if (!len || state == EXT_UNUSED)
		return 0;
	uint64_t end = start + len;
	uint64_t outer_first = start / g, outer_end = ceil_div_u64(end, g);
	if (state == EXT_USED)
		return add_to_recent(m, outer_first, outer_end) ? 0 : add_granules(m, outer_first, outer_end, EXT_USED, e);
	/* A zero extent shrinks to whole granules; the region's end counts as a boundary. */
	uint64_t inner_first = ceil_div_u64(start, g), inner_end = end == m->len ? outer_end : end / g;
	if (inner_first >= inner_end)
		return add_granules(m, outer_first, outer_end, EXT_USED, e);
	if (add_granules(m, outer_first, inner_first, EXT_USED, e) < 0 || add_granules(m, inner_end, outer_end, EXT_USED, e) < 0)
		return -1;
	return add_granules(m, inner_first, inner_end, EXT_ZERO, e);
}

/* What the bitmaps of a chunk amount to. */
struct bit_counts {
	uint32_t used, zero, granules;
};

static struct bit_counts count_bits(const struct chunk_map *m, uint64_t i, const uint8_t *used, const uint8_t *zero)
{
	struct bit_counts c = { .granules = chunk_granules(m, i) };

	for (uint32_t b = 0; b < m->bitmap_bytes; b++) {
		c.used += (uint32_t)__builtin_popcount(used[b]);
		c.zero += zero ? (uint32_t)__builtin_popcount(zero[b]) : 0;
	}
	return c;
}

static bool is_canonical(const struct chunk_map *m, uint64_t i, enum cmap_kind kind, const uint8_t *used, const uint8_t *zero)
{
	struct bit_counts c = count_bits(m, i, used, zero);

	for (uint32_t g = c.granules; g < m->bitmap_bytes * 8; g++)
		if (bit(used, g) || (zero && bit(zero, g)))
			return false;
	for (uint32_t b = 0; zero && b < m->bitmap_bytes; b++)
		if (used[b] & zero[b])
			return false;
	if (kind == CMAP_BITMAP)
		return c.used > 0 && c.used < c.granules;
	return c.zero > 0 && c.zero < c.granules;
}

int cmap_set_run(struct chunk_map *m, uint64_t first, uint64_t nr, enum cmap_kind kind, struct err *e)
{
	if (kind == CMAP_ABSENT)
		return 0;
	for (uint64_t i = first, end = first + nr; i < end;) {
		if (i % PAGE_CHUNKS == 0 && end - i >= PAGE_CHUNKS) {
			share_page(m, i / PAGE_CHUNKS, kind);
			i += PAGE_CHUNKS;
			continue;
		}
		uint32_t *w = word_of(m, i, e);
		if (!w)
			return -1;
		*w = kind;
		i++;
	}
	return 0;
}

int cmap_set_bitmaps(struct chunk_map *m, uint64_t i, enum cmap_kind kind, const uint8_t *used, const uint8_t *zero, struct err *e)
{
	uint32_t *w, pair;

	if (!(w = word_of(m, i, e)))
		return -1;
	if (!is_canonical(m, i, kind, used, kind == CMAP_BITMAP_ZERO ? zero : NULL))
		return err_set(e, ERR_CORRUPT, 0, "the extent bitmaps of a chunk contradict the format");
	if (new_pair(m, &pair, e) < 0)
		return -1;
	memcpy(used_bits(m, pair), used, m->bitmap_bytes);
	if (kind == CMAP_BITMAP_ZERO)
		memcpy(zero_bits(m, pair), zero, m->bitmap_bytes);
	*w = pair;
	return 0;
}

/* Bytes of the granules set in bits; the last granule of the region may be short. */
static uint64_t bytes_of(const struct chunk_map *m, uint64_t i, uint32_t nr_set, const uint8_t *bits)
{
	uint64_t bytes = (uint64_t)nr_set << m->granule_log2;
	uint32_t last = chunk_granules(m, i) - 1;
	uint64_t full = ((uint64_t)last + 1) << m->granule_log2;

	return bit(bits, last) ? bytes - (full - chunk_len(m, i)) : bytes;
}

static void freeze_chunk(struct chunk_map *m, uint64_t i, uint32_t *w)
{
	if (*w >= FIRST_BITMAP) {
		uint8_t *used = used_bits(m, *w), *zero = zero_bits(m, *w);
		for (uint32_t b = 0; b < m->bitmap_bytes; b++)
			zero[b] &= (uint8_t)~used[b];
		struct bit_counts c = count_bits(m, i, used, zero);
		if (c.used == c.granules)
			*w = CMAP_USED;
		else if (c.zero == c.granules)
			*w = CMAP_ZERO;
		else if (!c.used && !c.zero)
			*w = CMAP_ABSENT;
		else {
			m->used_bytes += c.used ? bytes_of(m, i, c.used, used) : 0;
			m->zero_bytes += c.zero ? bytes_of(m, i, c.zero, zero) : 0;
		}
	}
	m->used_bytes += *w == CMAP_USED ? chunk_len(m, i) : 0;
	m->zero_bytes += *w == CMAP_ZERO ? chunk_len(m, i) : 0;
	m->nr_present += *w != CMAP_ABSENT;
}

void cmap_freeze(struct chunk_map *m)
{
	m->nr_present = m->used_bytes = m->zero_bytes = 0;
	for (uint64_t p = 0; p < m->nr_pages; p++) {
		uint64_t first = p * PAGE_CHUNKS, end = min_u64(first + PAGE_CHUNKS, m->nr_chunks);
		m->present_before[p] = m->nr_present;
		if (is_uniform(m->pages[p])) {
			uint64_t bytes = min_u64(end * CHUNK_SIZE, m->len) - first * CHUNK_SIZE;
			*(m->pages[p] == uniform[CMAP_USED] ? &m->used_bytes : &m->zero_bytes) += bytes;
			m->nr_present += end - first;
		} else if (m->pages[p]) {
			for (uint64_t i = first; i < end; i++)
				freeze_chunk(m, i, (uint32_t *)&m->pages[p][i - first]);
		}
	}
}

uint64_t cmap_nr_chunks(const struct chunk_map *m)
{
	return m->nr_chunks;
}

uint64_t cmap_nr_present(const struct chunk_map *m)
{
	return m->nr_present;
}

uint64_t cmap_bytes(const struct chunk_map *m, enum ext_state state)
{
	return state == EXT_USED ? m->used_bytes : state == EXT_ZERO ? m->zero_bytes : m->len - m->used_bytes - m->zero_bytes;
}

unsigned cmap_granule_log2(const struct chunk_map *m)
{
	return m->granule_log2;
}

size_t cmap_bitmap_bytes(const struct chunk_map *m)
{
	return m->bitmap_bytes;
}

uint64_t cmap_len(const struct chunk_map *m)
{
	return m->len;
}

uint64_t cmap_memory(const struct chunk_map *m)
{
	return m->own_words * sizeof(uint32_t) + (uint64_t)m->nr_pairs * 2 * m->bitmap_bytes;
}

static uint32_t word_at(const struct chunk_map *m, uint64_t i)
{
	const uint32_t *page = m->pages[i / PAGE_CHUNKS];
	return page ? page[i % PAGE_CHUNKS] : CMAP_ABSENT;
}

static enum cmap_kind kind_of(const struct chunk_map *m, uint32_t word)
{
	if (word < FIRST_BITMAP)
		return (enum cmap_kind)word;
	const uint8_t *zero = zero_bits(m, word);
	for (uint32_t b = 0; b < m->bitmap_bytes; b++)
		if (zero[b])
			return CMAP_BITMAP_ZERO;
	return CMAP_BITMAP;
}

void cmap_get(const struct chunk_map *m, uint64_t i, struct cmap_chunk *ret)
{
	uint32_t w = word_at(m, i);

	*ret = (struct cmap_chunk){ .kind = kind_of(m, w), .len = chunk_len(m, i) };
	if (w >= FIRST_BITMAP) {
		ret->used = used_bits(m, w);
		ret->zero = ret->kind == CMAP_BITMAP_ZERO ? zero_bits(m, w) : NULL;
	}
}

uint64_t cmap_next_present(const struct chunk_map *m, uint64_t i)
{
	while (i < m->nr_chunks) {
		const uint32_t *page = m->pages[i / PAGE_CHUNKS];
		if (!page)
			i = (i / PAGE_CHUNKS + 1) * PAGE_CHUNKS;
		else if (page[i % PAGE_CHUNKS] == CMAP_ABSENT)
			i++;
		else
			return i;
	}
	return m->nr_chunks;
}

uint64_t cmap_run(const struct chunk_map *m, uint64_t i, enum cmap_kind *ret_kind)
{
	uint64_t start = i;

	*ret_kind = kind_of(m, word_at(m, i));
	if (*ret_kind == CMAP_ABSENT)
		return cmap_next_present(m, i) - start;
	for (i++; i < m->nr_chunks;) {
		if (*ret_kind < CMAP_BITMAP && i % PAGE_CHUNKS == 0 && m->pages[i / PAGE_CHUNKS] == uniform[*ret_kind])
			i += PAGE_CHUNKS;
		else if (kind_of(m, word_at(m, i)) == *ret_kind)
			i++;
		else
			break;
	}
	return i - start;
}

uint64_t cmap_present_index(const struct chunk_map *m, uint64_t i)
{
	const uint32_t *page = m->pages[i / PAGE_CHUNKS];
	uint64_t n = m->present_before[i / PAGE_CHUNKS];

	for (uint64_t k = 0; page && k < i % PAGE_CHUNKS; k++)
		n += page[k] != CMAP_ABSENT;
	return n;
}

static enum ext_state granule_state(const struct cmap_chunk *c, uint32_t g)
{
	if (bit(c->used, g))
		return EXT_USED;
	return c->zero && bit(c->zero, g) ? EXT_ZERO : EXT_UNUSED;
}

uint32_t cmap_state_run(const struct chunk_map *m, const struct cmap_chunk *c, uint32_t off, enum ext_state *ret_state)
{
	if (c->kind < CMAP_BITMAP) {
		*ret_state = c->kind == CMAP_USED ? EXT_USED : c->kind == CMAP_ZERO ? EXT_ZERO : EXT_UNUSED;
		return c->len - off;
	}
	uint32_t nr = (uint32_t)ceil_div_u64(c->len, (uint64_t)1 << m->granule_log2);
	uint32_t g = off >> m->granule_log2;
	*ret_state = granule_state(c, g);
	while (++g < nr && granule_state(c, g) == *ret_state)
		;
	return (uint32_t)min_u64(c->len, (uint64_t)g << m->granule_log2) - off;
}

bool cmap_equal(const struct chunk_map *a, const struct chunk_map *b)
{
	if (a->len != b->len || a->granule_log2 != b->granule_log2)
		return false;
	for (uint64_t i = 0; i < a->nr_chunks; i++) {
		struct cmap_chunk ca, cb;
		cmap_get(a, i, &ca);
		cmap_get(b, i, &cb);
		if (ca.kind != cb.kind || (ca.used && memcmp(ca.used, cb.used, a->bitmap_bytes)) ||
			(ca.zero && memcmp(ca.zero, cb.zero, a->bitmap_bytes)))
			return false;
	}
	return true;
}
