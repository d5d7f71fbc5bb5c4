/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The goal's yardstick for make bench: what a capture cannot do without, and nothing else. Two threads take chunks of 256 KiB in
 * turn, hash each 4 KiB with libcrypto, compress each chunk at zstd's level 3 into a frame of its own and write it out; no table,
 * no map, no order, no flush.
 * Usage: prototype [--recheck] FILE OUT
 */
#include <fcntl.h>
#include <openssl/evp.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <zstd.h>

#define CHUNK ((size_t)256 << 10)
#define LEAF  ((size_t)4096)

static struct {
	int in, out;
	bool recheck;
	atomic_ullong next, end; /* chunk to take; where the next frame goes */
} job;

static void demand(bool is_good, const char *what)
{
	if (!is_good) {
		perror(what);
		exit(1);
	}
}

static void hash_leaves(EVP_MD_CTX *ctx, const uint8_t *content, size_t len)
{
	uint8_t hash[32];

	for (size_t at = 0; at < len; at += LEAF) {
		demand(EVP_DigestInit_ex2(ctx, NULL, NULL) == 1, "hashing");
		demand(EVP_DigestUpdate(ctx, content + at, len - at < LEAF ? len - at : LEAF) == 1, "hashing");
		demand(EVP_DigestFinal_ex(ctx, hash, NULL) == 1, "hashing");
	}
}

static void *thread_main(void *arg)
{
	size_t bound = ZSTD_compressBound(CHUNK);
	uint8_t *content = malloc(CHUNK), *frame = malloc(bound), *again = malloc(CHUNK);
	ZSTD_CCtx *cctx = ZSTD_createCCtx();
	ZSTD_DCtx *dctx = ZSTD_createDCtx();
	EVP_MD *md = EVP_MD_fetch(NULL, "SHA256", NULL);
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	ssize_t len;

	demand(content && frame && again && cctx && dctx && md && ctx && EVP_DigestInit_ex2(ctx, md, NULL) == 1, "starting");
	while ((len = pread(job.in, content, CHUNK, (off_t)(atomic_fetch_add(&job.next, 1) * CHUNK))) > 0) {
		hash_leaves(ctx, content, (size_t)len);
		size_t n = ZSTD_compressCCtx(cctx, frame, bound, content, (size_t)len, 3);
		demand(!ZSTD_isError(n), "compressing");
		if (job.recheck)
			demand(ZSTD_decompressDCtx(dctx, again, CHUNK, frame, n) == (size_t)len && !memcmp(again, content, (size_t)len), "rechecking");
		demand(pwrite(job.out, frame, n, (off_t)atomic_fetch_add(&job.end, n)) == (ssize_t)n, "writing");
	}
	demand(len == 0, "reading");
	EVP_MD_CTX_free(ctx);
	EVP_MD_free(md);
	ZSTD_freeDCtx(dctx);
	ZSTD_freeCCtx(cctx);
	free(again);
	free(frame);
	free(content);
	return arg;
}

int main(int argc, char **argv)
{
	pthread_t threads[2];

	job.recheck = argc == 4 && !strcmp(argv[1], "--recheck");
	if (argc != 3 + job.recheck) {
		fprintf(stderr, "usage: prototype [--recheck] FILE OUT\n");
		return 2;
	}
	job.in = open(argv[argc - 2], O_RDONLY | O_CLOEXEC);
	job.out = open(argv[argc - 1], O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
	demand(job.in >= 0 && job.out >= 0, "opening");
	for (int i = 0; i < 2; i++)
		demand(pthread_create(&threads[i], NULL, thread_main, NULL) == 0, "starting a thread");
	for (int i = 0; i < 2; i++)
		pthread_join(threads[i], NULL);
	return 0;
}
