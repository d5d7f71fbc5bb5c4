/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Arithmetic on outside values: every function returns false on overflow and then leaves *ret alone. */
#ifndef CALCO_BASE_ARITH_H
#define CALCO_BASE_ARITH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

static inline bool add_u64(uint64_t a, uint64_t b, uint64_t *ret)
{
	uint64_t r;
	if (__builtin_add_overflow(a, b, &r))
		return false;
	*ret = r;
	return true;
}

static inline bool sub_u64(uint64_t a, uint64_t b, uint64_t *ret)
{
	uint64_t r;
	if (__builtin_sub_overflow(a, b, &r))
		return false;
	*ret = r;
	return true;
}

static inline bool mul_u64(uint64_t a, uint64_t b, uint64_t *ret)
{
	uint64_t r;
	if (__builtin_mul_overflow(a, b, &r))
		return false;
	*ret = r;
	return true;
}

static inline bool shl_u64(uint64_t a, unsigned shift, uint64_t *ret)
{
	if (shift > 63 || (shift && a >> (64 - shift)))
		return false;
	*ret = a << shift;
	return true;
}

/* range_inside - does [start, start+len) lie in [0, size)? Never overflows; an empty range at the end is inside. */
static inline bool range_inside(uint64_t start, uint64_t len, uint64_t size)
{
	return start <= size && len <= size - start;
}

static inline uint64_t min_u64(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

static inline uint64_t max_u64(uint64_t a, uint64_t b)
{
	return a > b ? a : b;
}

/* ceil_div_u64 - a / b rounded up; b must not be 0. Never overflows. */
static inline uint64_t ceil_div_u64(uint64_t a, uint64_t b)
{
	return a / b + (a % b != 0);
}

static inline uint64_t round_down_u64(uint64_t a, uint64_t pow2)
{
	return a & ~(pow2 - 1);
}

/* round_up_u64 - only for values already checked to lie far below 2^64 */
static inline uint64_t round_up_u64(uint64_t a, uint64_t pow2)
{
	return (a + pow2 - 1) & ~(pow2 - 1);
}

static inline bool is_pow2(uint64_t a)
{
	return a && !(a & (a - 1));
}

/* alloc_array - zeroed memory for nr elements, NULL when the product overflows or memory is gone. Free with free(). */
static inline void *alloc_array(size_t nr, size_t size)
{
	return calloc(nr ? nr : 1, size);
}

#endif
