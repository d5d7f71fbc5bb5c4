/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Text for a terminal; see text.h. */
#include "cmd/text.h"

#include "base/hex.h"
#include "base/utf8.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define REPLACEMENT "\xEF\xBF\xBD"

/* Characters that are valid UTF-8 and still change what a terminal shows elsewhere. n: length of the one at s. */
static bool is_dangerous(const char *s, size_t n)
{
	const unsigned char *p = (const unsigned char *)s;

	if (n == 1)
		return p[0] < 0x20 || p[0] == 0x7F;
	if (n == 2) /* C1 controls U+0080..U+009F */
		return p[0] == 0xC2 && p[1] < 0xA0;
	if (n == 3 && p[0] == 0xE2 && p[1] == 0x80) /* separators and overrides U+2028..U+202E */
		return p[2] >= 0xA8 && p[2] <= 0xAE;
	return n == 3 && p[0] == 0xE2 && p[1] == 0x81 && p[2] >= 0xA6 && p[2] <= 0xA9; /* isolates U+2066..U+2069 */
}

char *text_clean(const char *s, char *out, size_t size)
{
	size_t left = strlen(s), used = 0;

	while (left) {
		size_t n = utf8_len(s, left);
		size_t take = n ? n : 1;
		const char *put = s;
		if (!n || is_dangerous(s, n)) {
			put = REPLACEMENT;
			n = sizeof(REPLACEMENT) - 1;
		}
		if (used + n >= size)
			break;
		memcpy(out + used, put, n);
		used += n;
		s += take;
		left -= take;
	}
	out[used] = '\0';
	return out;
}

size_t text_width(const char *s)
{
	size_t width = 0;

	for (; *s; s++)
		width += ((unsigned char)*s & 0xC0) != 0x80; /* not a continuation byte */
	return width;
}

char *text_cut(const char *s, size_t width, char *out, size_t size)
{
	size_t at = 0, shown = 0;

	text_clean(s, out, size);
	if (text_width(out) <= width)
		return out;
	for (; out[at] && shown < width - 2; shown++)
		for (at++; ((unsigned char)out[at] & 0xC0) == 0x80;)
			at++;
	snprintf(out + at, size - at, "..");
	return out;
}

void text_put(FILE *f, const char *s, size_t width, bool right)
{
	char clean[1024];

	text_clean(s, clean, sizeof(clean));
	size_t have = text_width(clean);
	int pad = have < width ? (int)(width - have) : 0;
	if (right)
		fprintf(f, "%*s%s", pad, "", clean);
	else
		fprintf(f, "%s%*s", clean, pad, "");
}

bool text_use_colour(FILE *f)
{
	const char *no = getenv("NO_COLOR"), *term = getenv("TERM");

	return !(no && *no) && term && strcmp(term, "dumb") && isatty(fileno(f));
}

char *text_uuid(const uint8_t bytes[16], char out[37])
{
	char hex[33];

	hex_of(bytes, 16, hex);
	snprintf(out, 37, "%.8s-%.4s-%.4s-%.4s-%.12s", hex, hex + 8, hex + 12, hex + 16, hex + 20);
	return out;
}

char *text_duration(double seconds, char out[32])
{
	unsigned long long s = seconds > 0 && seconds < 1e15 ? (unsigned long long)seconds : 0;

	if (s < 60)
		snprintf(out, 32, s < 10 ? "%.2f s" : "%.1f s", s || seconds > 0 ? seconds : 0.0);
	else if (s < 3600)
		snprintf(out, 32, "%llu:%02llu min", s / 60, s % 60);
	else
		snprintf(out, 32, "%llu:%02llu:%02llu h", s / 3600, s / 60 % 60, s % 60);
	return out;
}

char *text_time(uint64_t seconds, bool utc, char out[32])
{
	struct tm tm;
	time_t t = (time_t)seconds;

	/* A year beyond what struct tm holds can only come from a damaged image; it is said, not guessed. */
	if (t < 0 || !(utc ? gmtime_r(&t, &tm) : localtime_r(&t, &tm)) || tm.tm_year > 8099)
		snprintf(out, 32, "unknown");
	else
		strftime(out, 32, utc ? "%Y-%m-%dT%H:%M:%SZ" : "%Y-%m-%d %H:%M", &tm);
	return out;
}
