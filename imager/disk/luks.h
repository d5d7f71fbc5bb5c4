/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * LUKS: the header, the key, and a source that decrypts. Header and key slots are libcryptsetup's matter, which gets a copy of them in memory:
 * it repairs what it finds damaged, and nothing may be written to a disk that is captured. The sectors are decrypted by libcrypto, so
 * that no device-mapper is needed. Private to imager/disk.
 *
 * Sources: LUKS1 On-Disk Format Specification 1.2.3; LUKS2 On-Disk Format Specification 1.1.0; kernel
 * Documentation/admin-guide/device-mapper/dm-crypt.rst (plain64).
 */
#ifndef CALCO_IMAGER_DISK_LUKS_H
#define CALCO_IMAGER_DISK_LUKS_H

#include "base/blk.h"
#include "base/err.h"
#include "base/progress.h"

#include <stddef.h>
#include <stdint.h>

#define LUKS_MAX_KEY 64U

/* What is readable without a key. */
struct luks_head {
	unsigned version; /* 1 or 2 */
	uint32_t payload; /* LUKS1: sector of 512 bytes where the payload begins */
	char uuid[41], label[49];
};

/* luks_head_read - 1 and *ret; 0: no LUKS; -1 */
int luks_head_read(struct blk_source *src, struct luks_head *ret, struct err *e);

/* How the payload is encrypted. Holds a secret: luks_forget(). */
struct luks_payload {
	uint64_t start;       /* bytes in the container */
	uint64_t first_iv;    /* of the first sector, in units of 512 bytes */
	uint32_t sector_size;
	uint8_t key[LUKS_MAX_KEY];
	size_t key_len;
};

/*
 * luks_unlock - find the key of the payload with a passphrase or key file
 * @why, @why_size: filled when 0 is returned
 *
 * 1 and *ret; 0: it is encrypted in a way that this program does not know; -1: ERR_REFUSED "wrong-key", or another error. A file that ends with a newline is
 * tried with it and without.
 */
int luks_unlock(struct blk_source *src, const struct luks_head *head, const char *key_file, const struct progress *progress,
	struct luks_payload *ret, char *why, size_t why_size, struct err *e);
void luks_forget(struct luks_payload *p);

/* luks_source - the plain content: aes-xts-plain64; whole sectors only. Borrows src, copies *p. */
struct blk_source *luks_source(struct blk_source *src, const struct luks_payload *p, const char *name, struct err *e);

#endif
