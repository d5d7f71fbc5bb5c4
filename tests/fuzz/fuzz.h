/* SPDX-License-Identifier: GPL-3.0-or-later */
/* For every fuzz target: the check, and without FUZZ_ENGINE a main() that replays the files and folders it is given. */
#ifndef CALCO_TESTS_FUZZ_H
#define CALCO_TESTS_FUZZ_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define FUZZ_CHECK(x)                                                                              \
	do {                                                                                       \
		if (!(x)) {                                                                        \
			fprintf(stderr, "%s:%d: not true: %s\n", __FILE__, __LINE__, #x);           \
			abort();                                                                   \
		}                                                                                  \
	} while (0)

#ifndef FUZZ_ENGINE
#include <ftw.h>

/* An input has exactly its size on the heap, so that a sanitizer sees each byte that is read behind the end. */
static int replay_one(const char *path, const struct stat *st, int flag, struct FTW *ftw)
{
	size_t size = (size_t)st->st_size;

	(void)ftw;
	if (flag == FTW_D)
		return 0;
	FILE *f = fopen(path, "rb");
	uint8_t *data = malloc(size ? size : 1);
	if (!f || !data || fread(data, 1, size, f) != size) {
		perror(path);
		exit(EXIT_FAILURE);
	}
	LLVMFuzzerTestOneInput(data, size);
	free(data);
	fclose(f);
	return 0;
}

int main(int argc, char **argv)
{
	for (int i = 1; i < argc; i++) {
		if (nftw(argv[i], replay_one, 16, FTW_PHYS) < 0) {
			perror(argv[i]);
			return EXIT_FAILURE;
		}
	}
	return EXIT_SUCCESS;
}
#endif

#endif
