/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Inside the F2FS driver: where things stand on the volume, the checkpoint that counts, and the two tables that it selects: SIT (which
 * blocks of a segment are valid) and NAT (where a node, by number, stands).
 *
 * Sources: kernel Documentation/filesystems/f2fs.rst, "On-disk Layout" and "Filesystem Metadata Consistency", and the structures in
 * include/linux/f2fs_fs.h, which are named.
 */
#ifndef CALCO_FSDRIVERS_F2FS_H
#define CALCO_FSDRIVERS_F2FS_H

#include "base/blk.h"
#include "base/err.h"
#include "base/span.h"
#include "fsdrivers/fsdriver.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define F2FS_MAGIC        0xF2F52010U /* also what checksums begin with */
#define F2FS_SUPER_OFFSET 1024U       /* in each of the first two blocks */
#define F2FS_SUPER_SIZE   3072U
#define F2FS_SEG_BLOCKS   512U        /* a segment has as many blocks, whatever their size */
#define F2FS_MAP_SIZE     64U         /* one bit for each */
#define F2FS_PACKS        2U
#define F2FS_NULL_ADDR    0U
#define F2FS_NEW_ADDR     0xffffffffU /* reserved, not yet anywhere */
#define F2FS_COMPRESSED   0xfffffffeU /* in front of the blocks of a compressed cluster */

/* struct f2fs_super_block, feature */
#define F2FS_FEATURE_ZONED        0x00002U
#define F2FS_FEATURE_FLEX_XATTR   0x00040U
#define F2FS_FEATURE_SB_CHECKSUM  0x00800U
#define F2FS_FEATURE_READ_ONLY    0x04000U
#define F2FS_FEATURE_DEVICE_ALIAS 0x08000U
#define F2FS_FEATURE_PACKED_SSA   0x10000U

/* struct f2fs_checkpoint, ckpt_flags */
#define F2FS_CP_UMOUNT      0x0001U
#define F2FS_CP_ORPHANS     0x0002U
#define F2FS_CP_COMPACT_SUM 0x0004U
#define F2FS_CP_ERROR       0x0008U
#define F2FS_CP_FSCK        0x0010U
#define F2FS_CP_NAT_BITS    0x0080U
#define F2FS_CP_LARGE_NAT   0x0400U
#define F2FS_CP_QUOTA_FSCK  0x0800U
#define F2FS_CP_DISABLED    0x1000U
#define F2FS_CP_RESIZE      0x4000U
#define F2FS_CP_KNOWN       0x7fffU

/* Checked against each other and the source's size. Places are block numbers from the volume's start. */
struct f2fs_super {
	uint32_t block_size, feature, cp_payload;
	uint64_t nr_blocks; /* that the file system covers, on this device if it has one */
	uint32_t seg0, cp, sit, nat, ssa, main;
	uint32_t segs_sit, segs_nat, segs_main, segs_per_section;
	uint32_t node_ino, meta_ino;
	uint8_t uuid[16];
	char label[128];      /* UTF-8 */
	unsigned nr_devices;  /* 1, or more: the others have no superblock */
	char others[110];     /* what those were called when it was made: "'/dev/sdb', '/dev/sdc'" */
	bool is_second;       /* the first superblock is damaged */
	bool has_errors;      /* the kernel noted some */
};

/* f2fs_is_super - does a superblock begin here? */
bool f2fs_is_super(const uint8_t magic[4]);

/*
 * f2fs_read_super - the first superblock that is whole
 *
 * ERR_CORRUPT, ERR_UNSUPPORTED: what is wrong with the first one, when the second is no better. Of a file system over several
 * devices nothing but nr_devices, the label, the UUID and the sizes of blocks and device is checked.
 */
int f2fs_read_super(struct blk_source *src, struct f2fs_super *ret, struct err *e);

/* f2fs_crc - of more bytes, after @crc; F2FS_MAGIC begins */
uint32_t f2fs_crc(uint32_t crc, const void *buf, size_t len);

/*
 * A table in two copies, of which a bit for each block says which one counts, and with entries in a journal that count instead of
 * those in the table (f2fs.rst, "Filesystem Metadata Consistency").
 */
struct f2fs_table {
	const char *name;
	uint32_t nr_blocks; /* that mean something */
	uint32_t start, second; /* blocks between the copies; half of the table, or a segment */
	bool is_interleaved;    /* copies alternate segment by segment: NAT */
	const uint8_t *bits;
	uint32_t entry_size, per_block;
	uint32_t nr_entries;
	const uint8_t *journal; /* numbers of 4 bytes, each with an entry behind it */
	uint32_t nr_journal;
};

/* One of the two checkpoint packs. */
struct f2fs_pack {
	bool is_valid;
	uint32_t start, total; /* blocks */
	uint32_t flags;
	uint64_t version;
};

struct f2fs_volume {
	struct fsd_volume base;
	struct blk_source *src;
	struct f2fs_super sb;
	struct f2fs_pack packs[F2FS_PACKS];
	const struct f2fs_pack *pack; /* the one that counts */
	uint64_t nr_valid;            /* blocks, reserved ones too */
	uint32_t nr_nodes;
	uint32_t next_node;           /* where roll forward looks for nodes behind this checkpoint, 0: nowhere */
	uint8_t *cp;                  /* its first block and the payload */
	uint8_t *journals;            /* the blocks that the tables' journals are in */
	struct f2fs_table sit, nat;
};

/* f2fs_read_blocks - @what is for the message */
int f2fs_read_blocks(const struct f2fs_volume *v, uint64_t block, uint64_t nr, void *buf, const char *what, struct err *e);

/* f2fs_read_checkpoint - find the newest valid pack, and the tables by it. ERR_CORRUPT when there is none or it contradicts itself. */
int f2fs_read_checkpoint(struct f2fs_volume *v, struct err *e);

/* f2fs_table_run - the place of block i of a table in the copy that counts; *ret_nr: as many blocks follow there, too */
uint32_t f2fs_table_run(const struct f2fs_table *t, uint32_t i, uint32_t *ret_nr);

/* @nr entries, the first of them of number @first. 0: go on; -1 to stop. */
typedef int (*f2fs_entries_fn)(void *arg, uint32_t first, const uint8_t *entries, uint32_t nr, struct err *e);

/* f2fs_table_each - the entries that count, block by block. ERR_CORRUPT when the journal has one that the table has no place for. */
int f2fs_table_each(const struct f2fs_volume *v, const struct f2fs_table *t, f2fs_entries_fn fn, void *arg, struct err *e);

/* One bit for each block of the main area. The first of a word is its highest, as in the maps of the SIT read as big-endian numbers. */
struct f2fs_bits {
	uint64_t *words;
	uint64_t nr;
};

/* f2fs_bits_new - all clear. Memory is touched only where bits are set. Release with f2fs_bits_release(). */
int f2fs_bits_new(struct f2fs_bits *b, uint64_t nr, struct err *e);
void f2fs_bits_release(struct f2fs_bits *b);
/* f2fs_bits_find - the first index in [from, nr) whose bit equals @value; nr when there is none */
uint64_t f2fs_bits_find(const struct f2fs_bits *b, uint64_t from, bool value);
bool f2fs_bits_test(const struct f2fs_bits *b, uint64_t i);
/* f2fs_bits_set - false when it was set before */
bool f2fs_bits_set(struct f2fs_bits *b, uint64_t i);

/*
 * f2fs_read_valid - which blocks of the main area are valid
 *
 * ERR_CORRUPT when a segment's map and count, or all of them and the checkpoint, contradict each other. Release *ret.
 */
int f2fs_read_valid(const struct f2fs_volume *v, struct f2fs_bits *ret, struct err *e);

/*
 * f2fs_check_claims - are all nodes, and all blocks that they name, valid and named once?
 *
 * Nodes that cannot be read name nothing.
 */
int f2fs_check_claims(const struct f2fs_volume *v, const struct f2fs_bits *valid, struct err *e);

#endif
