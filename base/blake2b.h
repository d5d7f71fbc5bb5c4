/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * BLAKE2b without a key (RFC 7693), with any length of the digest. The length goes into the first state, so a digest of 256 bits is
 * not the beginning of one of 512, the only one that OpenSSL 3.0 computes without a key.
 */
#ifndef CALCO_BASE_BLAKE2B_H
#define CALCO_BASE_BLAKE2B_H

#include <stddef.h>
#include <stdint.h>

#define BLAKE2B_MAX_SIZE 64

/* blake2b - the digest of a whole buffer; @size: 1 .. BLAKE2B_MAX_SIZE bytes of digest */
void blake2b(const void *data, size_t len, uint8_t *ret, size_t size);

#endif
