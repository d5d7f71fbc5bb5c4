/* SPDX-License-Identifier: GPL-3.0-or-later */
/* BLAKE2b; see blake2b.h. Names and section numbers are those of RFC 7693. */
#include "base/blake2b.h"

#include "base/arith.h"
#include "base/span.h"

#define BLOCK     128U
#define NR_ROUNDS 12U

/* 2.6: the first 64 bits of the fraction of the square roots of the first eight primes */
static const uint64_t iv[8] = {
	0x6A09E667F3BCC908, 0xBB67AE8584CAA73B, 0x3C6EF372FE94F82B, 0xA54FF53A5F1D36F1,
	0x510E527FADE682D1, 0x9B05688C2B3E6C1F, 0x1F83D9ABFB41BD6B, 0x5BE0CD19137E2179,
};

/* 2.7: in which order a round takes the words of the message; round 10 begins again */
static const uint8_t sigma[10][16] = {
	{ 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15 },
	{ 14, 10, 4, 8, 9, 15, 13, 6, 1, 12, 0, 2, 11, 7, 5, 3 },
	{ 11, 8, 12, 0, 5, 2, 15, 13, 10, 14, 3, 6, 7, 1, 9, 4 },
	{ 7, 9, 3, 1, 13, 12, 11, 14, 2, 6, 5, 10, 4, 0, 15, 8 },
	{ 9, 0, 5, 7, 2, 4, 10, 15, 14, 1, 11, 12, 6, 8, 3, 13 },
	{ 2, 12, 6, 10, 0, 11, 8, 3, 4, 13, 7, 5, 15, 14, 1, 9 },
	{ 12, 5, 1, 15, 14, 13, 4, 10, 0, 7, 6, 3, 9, 2, 8, 11 },
	{ 13, 11, 7, 14, 12, 1, 3, 9, 5, 0, 15, 4, 8, 6, 2, 10 },
	{ 6, 15, 14, 9, 11, 3, 0, 8, 12, 2, 13, 7, 1, 4, 10, 5 },
	{ 10, 2, 8, 4, 7, 6, 1, 5, 15, 11, 9, 14, 3, 12, 13, 0 },
};

static uint64_t rotate_right(uint64_t x, unsigned n)
{
	return x >> n | x << (64 - n);
}

/* 3.1: the mixing function G */
static inline void mix(uint64_t v[16], unsigned a, unsigned b, unsigned c, unsigned d, uint64_t x, uint64_t y)
{
	v[a] += v[b] + x;
	v[d] = rotate_right(v[d] ^ v[a], 32);
	v[c] += v[d];
	v[b] = rotate_right(v[b] ^ v[c], 24);
	v[a] += v[b] + y;
	v[d] = rotate_right(v[d] ^ v[a], 16);
	v[c] += v[d];
	v[b] = rotate_right(v[b] ^ v[c], 63);
}

/* 3.2: the compression function F; nr_bytes: of the message up to the end of this block */
static void compress(uint64_t h[8], const uint8_t *block, uint64_t nr_bytes, uint64_t is_last)
{
	uint64_t v[16], m[16];

	for (unsigned i = 0; i < 16; i++)
		m[i] = get_le64(block + 8 * i);
	for (unsigned i = 0; i < 8; i++) {
		v[i] = h[i];
		v[i + 8] = iv[i];
	}
	v[12] ^= nr_bytes;
	v[14] ^= is_last ? ~0ULL : 0;
	for (unsigned r = 0; r < NR_ROUNDS; r++) {
		const uint8_t *s = sigma[r % 10];
		for (unsigned i = 0; i < 4; i++) /* columns */
			mix(v, i, i + 4, i + 8, i + 12, m[s[2 * i]], m[s[2 * i + 1]]);
		for (unsigned i = 0; i < 4; i++) /* diagonals */
			mix(v, i, 4 + (i + 1) % 4, 8 + (i + 2) % 4, 12 + (i + 3) % 4, m[s[8 + 2 * i]], m[s[9 + 2 * i]]);
	}
	for (unsigned i = 0; i < 8; i++)
		h[i] ^= v[i] ^ v[i + 8];
}

void blake2b(const void *data, size_t len, uint8_t *ret, size_t size)
{
	const uint8_t *p = data;
	uint8_t last[BLOCK] = { 0 }, digest[BLAKE2B_MAX_SIZE];
	uint64_t h[8], done = 0;

	memcpy(h, iv, sizeof(h));
	h[0] ^= 0x01010000U ^ size; /* 2.8: one leaf, no key */
	for (; len - done > BLOCK; done += BLOCK)
		compress(h, p + done, done + BLOCK, 0);
	if (len)
		memcpy(last, p + done, (size_t)(len - done));
	compress(h, last, len, 1);
	for (unsigned i = 0; i < 8; i++)
		put_le64(digest, 8 * i, h[i]);
	memcpy(ret, digest, min_u64(size, sizeof(digest)));
}
