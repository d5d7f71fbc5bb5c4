/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The four checksums a btrfs file system can be made with (btrfs docs, "Checksumming"); one of them guards all superblocks and tree blocks. */
#include "fsdrivers/btrfs/btrfs.h"

#include "base/blake2b.h"

#include <xxhash.h>

#define SUM_SIZE 32U /* room in front of each block, whatever the type */

enum { CRC32C, XXHASH64, SHA256, BLAKE2B, NR_TYPES };

static const uint8_t sizes[NR_TYPES] = { [CRC32C] = 4, [XXHASH64] = 8, [SHA256] = 32, [BLAKE2B] = 32 };

int btrfs_csum_init(struct btrfs_csum *c, uint16_t type, struct err *e)
{
	if (type >= NR_TYPES)
		return err_set(e, ERR_UNSUPPORTED, 0, "btrfs with checksums of the unknown type %u", type);
	c->type = type;
	if (type == CRC32C)
		crc32c_init(&c->crc32c);
	if (type == SHA256 && !c->sha256 && !(c->sha256 = hasher_new(e)))
		return -1;
	return 0;
}

void btrfs_csum_release(struct btrfs_csum *c)
{
	hasher_free(take(&c->sha256));
}

static void compute(struct btrfs_csum *c, const uint8_t *block, size_t len, uint8_t ret[SUM_SIZE])
{
	const uint8_t *data = block + SUM_SIZE;

	memset(ret, 0, SUM_SIZE);
	len -= SUM_SIZE;
	switch (c->type) {
	case CRC32C:
		put_le32(ret, 0, ~crc32c_more(&c->crc32c, ~0U, data, len));
		break;
	case XXHASH64:
		put_le64(ret, 0, XXH64(data, len, 0));
		break;
	case SHA256:
		hasher_begin(c->sha256);
		hasher_add(c->sha256, data, len);
		hasher_end(c->sha256, ret);
		break;
	default:
		blake2b(data, len, ret, SUM_SIZE);
	}
}

bool btrfs_csum_good(struct btrfs_csum *c, const uint8_t *block, size_t len)
{
	uint8_t sum[SUM_SIZE];

	compute(c, block, len, sum);
	return !memcmp(sum, block, sizes[c->type]);
}

void btrfs_csum_set(struct btrfs_csum *c, uint8_t *block, size_t len)
{
	uint8_t sum[SUM_SIZE];

	compute(c, block, len, sum);
	memcpy(block, sum, SUM_SIZE);
}
