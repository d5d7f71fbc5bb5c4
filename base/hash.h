/* SPDX-License-Identifier: GPL-3.0-or-later */
/* SHA-256 (FIPS 180-4, through libcrypto), HMAC with it, and the CRC-32 of IEEE 802.3 (through libdeflate). */
#ifndef CALCO_BASE_HASH_H
#define CALCO_BASE_HASH_H

#include "base/auto.h"
#include "base/err.h"

#include <stddef.h>
#include <stdint.h>

#define HASH_SIZE 32

/* One running SHA-256 that can be started again and again without allocating. Belongs to one thread at a time. */
struct hasher;

struct hasher *hasher_new(struct err *e);
/* hasher_new_keyed - the same for HMAC-SHA-256 (RFC 2104) with this key of 32 bytes; NULL: no key, plain SHA-256 */
struct hasher *hasher_new_keyed(const uint8_t *key, struct err *e);
void hasher_free(struct hasher *h);
AUTO_DEFINE(hasher, hasher_free)

/* hasher_begin, _add, _end - one digest. They cannot fail for SHA-256; a failure of libcrypto itself is remembered and makes hasher_ok() false. */
void hasher_begin(struct hasher *h);
void hasher_add(struct hasher *h, const void *data, size_t len);
void hasher_end(struct hasher *h, uint8_t ret[HASH_SIZE]);

/* hasher_check - 0, or -1 when libcrypto failed at any time since hasher_new(): then no digest of this hasher is to be trusted */
int hasher_check(const struct hasher *h, struct err *e);

/* crc32_of - CRC-32 of a buffer; crc32_more - of what had crc (0: nothing) with more behind it */
uint32_t crc32_of(const void *data, size_t len);
uint32_t crc32_more(uint32_t crc, const void *data, size_t len);

#endif
