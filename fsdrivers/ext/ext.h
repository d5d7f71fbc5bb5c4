/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * What the files of the ext2/3/4 driver share. Block numbers count file-system blocks from the start of the volume.
 *
 * Field offsets are those of the kernel's Documentation/filesystems/ext4 (super.rst, group_descr.rst, inodes.rst,
 * journal.rst, mmp.rst), called "ext4 docs" in the comments of this folder.
 */
#ifndef CALCO_FSDRIVERS_EXT_EXT_H
#define CALCO_FSDRIVERS_EXT_EXT_H

#include "base/arith.h"
#include "base/crc32c.h"
#include "fsdrivers/fsdriver.h"

#define EXT_SUPER_OFFSET 1024U
#define EXT_SUPER_SIZE   1024U
#define EXT_MAGIC        0xEF53U

#define EXT_COMPAT_HAS_JOURNAL   0x0004U
#define EXT_COMPAT_SPARSE_SUPER2 0x0200U

#define EXT_INCOMPAT_FILETYPE    0x00002U
#define EXT_INCOMPAT_RECOVER     0x00004U
#define EXT_INCOMPAT_JOURNAL_DEV 0x00008U
#define EXT_INCOMPAT_META_BG     0x00010U
#define EXT_INCOMPAT_EXTENTS     0x00040U
#define EXT_INCOMPAT_64BIT       0x00080U
#define EXT_INCOMPAT_MMP         0x00100U
#define EXT_INCOMPAT_FLEX_BG     0x00200U
#define EXT_INCOMPAT_EA_INODE    0x00400U
#define EXT_INCOMPAT_DIRDATA     0x01000U
#define EXT_INCOMPAT_CSUM_SEED   0x02000U
#define EXT_INCOMPAT_LARGEDIR    0x04000U
#define EXT_INCOMPAT_INLINE_DATA 0x08000U
#define EXT_INCOMPAT_ENCRYPT     0x10000U
#define EXT_INCOMPAT_CASEFOLD    0x20000U

#define EXT_RO_SPARSE_SUPER   0x00001U
#define EXT_RO_LARGE_FILE     0x00002U
#define EXT_RO_BTREE_DIR      0x00004U
#define EXT_RO_HUGE_FILE      0x00008U
#define EXT_RO_GDT_CSUM       0x00010U
#define EXT_RO_DIR_NLINK      0x00020U
#define EXT_RO_EXTRA_ISIZE    0x00040U
#define EXT_RO_QUOTA          0x00100U
#define EXT_RO_BIGALLOC       0x00200U
#define EXT_RO_METADATA_CSUM  0x00400U
#define EXT_RO_READONLY       0x01000U
#define EXT_RO_PROJECT        0x02000U
#define EXT_RO_SHARED_BLOCKS  0x04000U
#define EXT_RO_VERITY         0x08000U
#define EXT_RO_ORPHAN_PRESENT 0x10000U

/* s_state */
#define EXT_STATE_VALID  0x0001U
#define EXT_STATE_ERRORS 0x0002U

/* bg_flags */
#define EXT_BG_INODE_UNINIT 0x0001U
#define EXT_BG_BLOCK_UNINIT 0x0002U

/* i_mode */
#define EXT_S_IFMT  0xF000U
#define EXT_S_IFDIR 0x4000U
#define EXT_S_IFREG 0x8000U
#define EXT_S_IFLNK 0xA000U

/* i_flags */
#define EXT_INODE_COMPRESSED  0x00000004U
#define EXT_INODE_ENCRYPTED   0x00000800U
#define EXT_INODE_EXTENTS     0x00080000U
#define EXT_INODE_VERITY      0x00100000U
#define EXT_INODE_INLINE_DATA 0x10000000U

/* where an inode's blocks are: direct pointers, extents */
#define EXT_NR_DIRECT    12U
#define EXT_EXTENT_MAGIC 0xF30AU
#define EXT_MAX_DEPTH    5
#define EXT_MAX_INIT_LEN 32768U /* a longer extent is unwritten, and that much shorter */

/* The superblock after decoding and checking: every relation below holds once ext_super_check() returned 0. */
struct ext_super {
	uint32_t compat, incompat, ro_compat;
	uint32_t rev, log_block, log_cluster; /* as on disk */
	uint32_t block_size;                  /* bytes, 1024..65536, power of two */
	uint32_t cluster_blocks; /* blocks that one bit of a block bitmap stands for; 1 without bigalloc */
	uint64_t nr_blocks, nr_free_blocks;
	uint32_t first_data_block;            /* 1 with 1 KiB blocks and no bigalloc, else 0 */
	uint32_t blocks_per_group;
	uint32_t clusters_per_group;          /* bits in a block bitmap, at most block_size * 8 */
	uint32_t nr_groups;
	uint32_t nr_inodes, inodes_per_group; /* nr_inodes = nr_groups * inodes_per_group */
	uint32_t inode_size;                  /* bytes, power of two, at most a block */
	uint32_t inodes_per_block;
	uint32_t itable_blocks;               /* blocks of one group's inode table */
	uint32_t desc_size, descs_per_block;
	uint32_t desc_blocks;                 /* blocks that hold all group descriptors once */
	uint32_t first_meta_bg, reserved_gdt_blocks;
	uint32_t backup_bgs[2];               /* with sparse_super2 */
	uint16_t state;
	uint32_t journal_inum, journal_dev;
	uint8_t journal_uuid[16];
	uint8_t journal_backup_type; /* 1: journal_backup is a copy of the journal inode's block map and size */
	uint32_t journal_backup[17];
	uint64_t mmp_block;
	uint8_t uuid[16];
	char label[17];
	uint8_t csum_type;
	uint32_t csum_seed;                   /* for metadata_csum */
	bool csum_bad;                        /* the superblock's own checksum does not match */
};

/* One group descriptor; 48 bytes, because a 16 TiB file system has 131072 of them. */
struct ext_group {
	uint64_t block_bitmap, inode_bitmap, inode_table; /* block numbers, inside the file system */
	uint32_t block_bitmap_csum, inode_bitmap_csum;    /* as on disk; 16 bits with 32-byte descriptors */
	uint32_t itable_used;                             /* blocks of the inode table that may hold inodes */
	uint32_t nr_free;                                 /* clusters, by the descriptor's count */
	uint32_t nr_inodes;                               /* that may be in use, by the descriptor; behind them may be garbage */
	uint16_t flags;                                   /* 0 where no checksum vouches for them */
};

/* A run of blocks. */
struct ext_run {
	uint64_t start, nr_blocks;
};

/* A growing list of runs. */
struct ext_runs {
	struct ext_run *v;
	size_t nr, room;
};

/* Tables for the two checksums; computed at open so that there is no global state. */
struct ext_crc {
	struct crc32c crc32c;
	uint16_t crc16[256];
};

enum ext_journal_kind { EXT_JOURNAL_NONE, EXT_JOURNAL_INTERNAL, EXT_JOURNAL_EXTERNAL };

struct ext_journal {
	enum ext_journal_kind kind;
	bool has_transactions;  /* its superblock names a start of the log */
	bool has_error;         /* jbd2 recorded that it gave up */
	struct ext_runs body;   /* everything behind its superblock, sorted; empty when it is to be kept whole */
	char odd[160];          /* "", or why it is kept whole */
};

/* Blocks whose content is left out, and the only inode that may name them. */
struct ext_skip {
	uint64_t start, nr_blocks;
	uint32_t owner;
};

struct ext_volume {
	struct fsd_volume base;
	struct blk_source *src;
	struct ext_super sb;
	struct ext_group *groups; /* sb.nr_groups of them */
	struct ext_journal journal;
	struct ext_crc crc;
	struct ext_skip *skips;   /* sorted by start; what swapfile.c emitted, to be proved by files.c */
	size_t nr_skips;
};

/* csum.c */
void ext_crc_init(struct ext_crc *c);
/* CRC-32C without the final inversion, as ext4 chains it; start with ~0 or a seed */
uint32_t ext_crc32c(const struct ext_crc *c, uint32_t crc, const void *buf, size_t len);
/* CRC-16 (polynomial 0x8005, reflected), start with ~0 */
uint16_t ext_crc16(const struct ext_crc *c, uint16_t crc, const void *buf, size_t len);

/* super.c */
/* ext_super_decode - fields only; looks at the magic, believes nothing. ERR_CORRUPT when the magic is missing. */
int ext_super_decode(
	const struct ext_crc *c, const uint8_t raw[EXT_SUPER_SIZE], struct ext_super *ret, struct err *e);
/* ext_super_check - every range and relation, for a source of src_size bytes. ERR_CORRUPT or ERR_UNSUPPORTED. */
int ext_super_check(struct ext_super *sb, uint64_t src_size, struct err *e);
static inline bool ext_has_metadata_csum(const struct ext_super *sb)
{
	return sb->ro_compat & EXT_RO_METADATA_CSUM;
}
/* Only then are the flags and counts in group descriptors vouched for. */
static inline bool ext_has_group_csum(const struct ext_super *sb)
{
	return sb->ro_compat & (EXT_RO_METADATA_CSUM | EXT_RO_GDT_CSUM);
}

/* layout.c: what stands where by arithmetic alone */
uint64_t ext_group_start(const struct ext_super *sb, uint32_t group);
uint32_t ext_group_blocks(const struct ext_super *sb, uint32_t group);
uint32_t ext_group_of(const struct ext_super *sb, uint64_t block); /* block must be >= first_data_block */
bool ext_has_super(const struct ext_super *sb, uint32_t group);
/* the block whose first bytes hold the superblock copy of a group that has one (group 0: see EXT_SUPER_OFFSET) */
uint64_t ext_super_block(const struct ext_super *sb, uint32_t group);
/* blocks from a group's start taken by superblock and descriptor copies, with or without those reserved for growth */
uint32_t ext_head_blocks(const struct ext_super *sb, uint32_t group, bool with_reserved);
/* where the primary copy of block nr of the descriptor table stands */
uint64_t ext_desc_block(const struct ext_super *sb, uint32_t nr);

/* group.c */
/* ext_groups_read - read and check all descriptors into v->groups; *ret_nr_bad counts wrong checksums */
int ext_groups_read(struct ext_volume *v, uint32_t *ret_nr_bad, struct err *e);

/* runs.c */
int ext_runs_add(struct ext_runs *r, uint64_t start, uint64_t nr_blocks, size_t max, struct err *e);
/* Sort by start. Returns false when two runs overlap. */
bool ext_runs_sort(struct ext_runs *r);
void ext_runs_free(struct ext_runs *r);

/* inode.c */
struct ext_inode {
	uint32_t number, generation, flags;
	uint16_t mode, nr_links;
	uint64_t size;
	uint64_t xattr_block; /* 0: none */
	uint8_t i_block[60];
};
/* ext_inode_decode - fields only; raw has sb->inode_size bytes */
void ext_inode_decode(const struct ext_super *sb, uint32_t number, const uint8_t *raw, struct ext_inode *ret);
/* ext_inode_csum_good - with metadata_csum. raw is changed: the checksum fields count as zero. */
bool ext_inode_csum_good(const struct ext_volume *v, uint32_t number, uint8_t *raw);
/* ext_node_csum_good - with metadata_csum, of a block of an inode's extent tree */
bool ext_node_csum_good(const struct ext_volume *v, const struct ext_inode *inode, const uint8_t *node);
int ext_inode_read(struct ext_volume *v, uint32_t number, struct ext_inode *ret, struct err *e);
/* ext_inode_runs - where the first nr_blocks blocks of a file stand, in the file's order; a hole is ERR_CORRUPT */
int ext_inode_runs(struct ext_volume *v, const struct ext_inode *inode, uint64_t nr_blocks, struct ext_runs *ret,
	struct err *e);
/* ext_inode_places - the same, where extents that were allocated but never written count, too */
int ext_inode_places(struct ext_volume *v, const struct ext_inode *inode, uint64_t nr_blocks, struct ext_runs *ret, struct err *e);

/* journal.c */
/* ext_journal_read - find out about the journal. Fails only without memory: whatever looks odd is noted in .odd. */
int ext_journal_read(struct ext_volume *v, struct err *e);

/* swapfile.c */
/* ext_volatile_ranges - see fsd_driver.volatile_ranges */
int ext_volatile_ranges(struct fsd_volume *fv, fsd_skip_fn emit, void *arg, struct err *e);
/* ext_skips_other - does a run hit blocks that are left out and belong to another inode? 0 is none: the layout itself */
bool ext_skips_other(const struct ext_volume *v, uint64_t start, uint64_t nr, uint32_t owner);

/* replay.c */
/* ext_replay - see fsd_driver.replay */
int ext_replay(struct fsd_volume *fv, fsd_patch_fn emit, void *arg, struct fsd_replayed *ret, struct err *e);

/* state.c */
/* ext_judge - fill state, reason, detail, advice and notice */
int ext_judge(struct ext_volume *v, uint32_t nr_bad_groups, struct err *e);

/* marks.c */
/* ext_next_bit - the first bit of the wanted value in [from, nr), or nr. The map holds whole 64-bit words. */
uint32_t ext_next_bit(const uint8_t *map, uint32_t nr, uint32_t from, bool value);
/* Blocks marked as used; what is asked for lies inside the file system, behind first_data_block. */
struct ext_marks {
	const struct ext_super *sb;
	uint8_t **maps; /* for each group a bitmap, or NULL: nothing is marked */
};
int ext_marks_init(struct ext_marks *m, const struct ext_super *sb, struct err *e);
void ext_marks_free(struct ext_marks *m);
/* ext_marks_load - the bitmap of a group, as on the disk */
int ext_marks_load(struct ext_marks *m, uint32_t group, const uint8_t *bitmap, struct err *e);
int ext_marks_add(struct ext_marks *m, uint64_t start, uint64_t nr, struct err *e);
/* ext_marks_has - are all these blocks marked? *ret_free is the first that is not */
bool ext_marks_has(const struct ext_marks *m, uint64_t start, uint64_t nr, uint64_t *ret_free);

/* files.c */
/*
 * ext_check_files - what the layout demands and what inodes use is marked as used, else ERR_CORRUPT
 * @marks: all bitmaps; groups without one get their marks here
 * @buf: 1 MiB for reading
 */
int ext_check_files(struct ext_volume *v, struct ext_marks *marks, uint8_t *buf, struct err *e);

/* map.c */
int ext_map(struct fsd_volume *fv, fsd_extent_fn emit, void *arg, struct err *e);

/* ext_read_blocks - whole blocks, which must lie inside the file system */
int ext_read_blocks(struct ext_volume *v, uint64_t start, uint32_t nr_blocks, void *buf, struct err *e);

#endif
