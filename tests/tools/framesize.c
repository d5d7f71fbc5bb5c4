/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * framesize [FILE START LENGTH]... - prints how long a file is, or these places of files, and how long when each 256 KiB of it are compressed for
 * themselves by zstd, level 3, those of zeros left out: what an image that can be read at any place costs at least. Standard input without arguments.
 * It knows nothing of calco; piece and level are those of a default capture.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zstd.h>

#define PIECE 262144U

static char piece[PIECE], frame[ZSTD_COMPRESSBOUND(PIECE)];
static unsigned long long plain, packed;

static int add(FILE *f, unsigned long long len)
{
	size_t n;

	for (; len > 0 && (n = fread(piece, 1, len < PIECE ? (size_t)len : PIECE, f)) > 0; len -= n) {
		if (piece[0] == 0 && !memcmp(piece, piece + 1, n - 1))
			continue;
		size_t size = ZSTD_compress(frame, sizeof(frame), piece, n, 3);
		if (ZSTD_isError(size)) {
			fprintf(stderr, "framesize: %s\n", ZSTD_getErrorName(size));
			return -1;
		}
		plain += n;
		packed += size;
	}
	return ferror(f) ? -1 : 0;
}

int main(int argc, char **argv)
{
	if (argc == 1 && add(stdin, ~0ULL) < 0)
		return 1;
	for (int i = 1; i + 2 < argc; i += 3) {
		FILE *f = fopen(argv[i], "rb");
		if (!f || fseeko(f, (off_t)strtoull(argv[i + 1], NULL, 10), SEEK_SET) < 0 || add(f, strtoull(argv[i + 2], NULL, 10)) < 0) {
			perror(argv[i]);
			return 1;
		}
		fclose(f);
	}
	printf("%llu %llu\n", plain, packed);
	return 0;
}
