/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * SHA-256 of many short messages of one length. Where the processor has wide registers, several are computed side by side
 * (libIPSec_MB): twice as fast as one after the other with the SHA instructions, and more where those are missing.
 * Elsewhere libcrypto computes one after the other. The digests are the same.
 */
#ifndef CALCO_BASE_HASH_LANES_H
#define CALCO_BASE_HASH_LANES_H

#include "base/hash.h"

#include <stdbool.h>

/* Belongs to one thread at a time. */
struct hash_lanes;

/* hash_lanes_new - compares what the lanes compute with libcrypto before it trusts them. NULL: err is set. */
struct hash_lanes *hash_lanes_new(struct err *e);
/* hash_lanes_new_keyed - the same for HMAC-SHA-256 with this key of 32 bytes; NULL: no key */
struct hash_lanes *hash_lanes_new_keyed(const uint8_t *key, struct err *e);
void hash_lanes_free(struct hash_lanes *l);
AUTO_DEFINE(hash_lanes, hash_lanes_free)

/*
 * hash_lanes_run - the digest of data[i], len bytes (1 .. 64 KiB), to ret[i], for i below n
 * Returns 0, or -1 when libcrypto fails; then no digest is to be trusted.
 */
int hash_lanes_run(struct hash_lanes *l, const uint8_t *const data[], size_t len, size_t n, uint8_t ret[][HASH_SIZE], struct err *e);

/* hash_lanes_are_wide - whether several digests are computed at once */
bool hash_lanes_are_wide(const struct hash_lanes *l);

#endif
