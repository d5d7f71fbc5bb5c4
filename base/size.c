/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Sizes as text; see size.h. Whole numbers throughout: a double cannot hold every size of a disk. */
#include "base/size.h"

#include "base/arith.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

static const char unit_letters[] = "KMGTPE";

void size_format(uint64_t bytes, char out[32])
{
	if (bytes < 10 << 10) {
		snprintf(out, 32, "%llu byte%s", (unsigned long long)bytes, bytes == 1 ? "" : "s");
		return;
	}
	unsigned n = 1;
	while (n < 6 && bytes >> (10 * (n + 1)))
		n++;
	uint64_t unit = 1ULL << (10 * n);
	uint64_t whole = bytes / unit;
	uint64_t tenths = (bytes % unit * 10 + unit / 2) / unit; /* the product stays below 10 * 2^60 */
	if (tenths == 10) {
		whole++;
		tenths = 0;
	}
	if (whole == 1024 && n < 6) { /* 1023.97 MiB reads as 1.0 GiB */
		whole = 1;
		n++;
	}
	snprintf(out, 32, "%u.%u %ciB", (unsigned)whole, (unsigned)tenths, unit_letters[n - 1]);
}

/* What one unit word is worth; 0 when there is no such unit. */
static uint64_t unit_value(const char *s)
{
	if (!*s || !strcasecmp(s, "B"))
		return 1;
	const char *letter = strchr(unit_letters, toupper((unsigned char)s[0]));
	if (!letter)
		return 0;
	unsigned power = (unsigned)(letter - unit_letters) + 1;
	if (!s[1] || !strcasecmp(s + 1, "iB"))
		return 1ULL << (10 * power);
	if (strcasecmp(s + 1, "B"))
		return 0;
	uint64_t value = 1;
	while (power--)
		value *= 1000;
	return value;
}

struct number {
	uint64_t whole;
	uint64_t fraction, scale; /* fraction / scale; scale is 0 when there was no point */
};

/* Reads DIGITS[.DIGITS] and moves *s behind it. */
static bool scan_number(const char **s, struct number *ret)
{
	const char *p = *s;

	*ret = (struct number){ 0 };
	if (!isdigit((unsigned char)*p))
		return false;
	for (; isdigit((unsigned char)*p); p++) {
		if (!mul_u64(ret->whole, 10, &ret->whole) || !add_u64(ret->whole, (uint64_t)(*p - '0'), &ret->whole))
			return false;
	}
	if (*p == '.') {
		if (!isdigit((unsigned char)*++p))
			return false;
		for (ret->scale = 1; isdigit((unsigned char)*p); p++) {
			if (ret->scale > 1000000000000000ULL)
				return false;
			ret->fraction = ret->fraction * 10 + (uint64_t)(*p - '0');
			ret->scale *= 10;
		}
	}
	*s = p;
	return true;
}

static int bad_size(const char *text, const char *why, struct err *e)
{
	err_set(e, ERR_USAGE, 0, "'%s' is not a size: %s", text, why);
	return err_hint(e, "write a number of bytes, or a number and a unit: 64K, 1.5G, 20GiB, 500GB");
}

int size_parse(const char *text, uint64_t *ret, struct err *e)
{
	const char *p = text;
	struct number n;
	uint64_t value;

	if (!scan_number(&p, &n))
		return bad_size(text, isdigit((unsigned char)*text) ? "the number is malformed or too large" : "it must begin with a digit", e);
	if (*p == ' ' && p[1])
		p++;
	uint64_t unit = unit_value(p);
	if (!unit)
		return bad_size(text, "the unit is not known", e);
	if (n.scale && unit == 1)
		return bad_size(text, "there is no part of a byte", e);
	if (!mul_u64(n.whole, unit, &value))
		return bad_size(text, "it does not fit in 64 bits", e);
	/* fraction < scale, so the part is below one unit */
	uint64_t part = n.scale ? (uint64_t)((unsigned __int128)n.fraction * unit / n.scale) : 0;
	if (!add_u64(value, part, &value))
		return bad_size(text, "it does not fit in 64 bits", e);
	*ret = value;
	return 0;
}
