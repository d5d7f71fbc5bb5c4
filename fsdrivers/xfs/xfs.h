/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * What the files of the XFS driver share.
 *
 * Specification: "XFS Algorithms & Data Structures", 3rd edition (kernel.org, xfs-documentation), called "XFS docs" in the comments of
 * this folder. Words: the volume is cut into allocation groups (AG), the last one may be shorter. A block's number (fsblock) holds the
 * number of its group above super.agblk_log bits, and its number inside the group (agblock) below. A basic block (BB) has 512 bytes,
 * whatever the sector or block size; the log counts in them. Everything is big-endian but for the checksums.
 */
#ifndef CALCO_FSDRIVERS_XFS_XFS_H
#define CALCO_FSDRIVERS_XFS_XFS_H

#include "base/arith.h"
#include "base/crc32c.h"
#include "base/span.h"
#include "fsdrivers/fsdriver.h"

#define XFS_SUPER_SIZE 512U
#define XFS_BB         512U
#define XFS_NO_BLOCK   UINT64_MAX
#define XFS_MAX_LEVELS 12U /* of any tree; the kernel's limit is 9 */

/* sb_features_ro_compat */
#define XFS_RO_FINOBT   0x1U
#define XFS_RO_RMAPBT   0x2U
#define XFS_RO_REFLINK  0x4U
#define XFS_RO_INOBTCNT 0x8U

/* sb_features_incompat */
#define XFS_INCOMPAT_FTYPE       0x01U
#define XFS_INCOMPAT_SPINODES    0x02U
#define XFS_INCOMPAT_META_UUID   0x04U
#define XFS_INCOMPAT_BIGTIME     0x08U
#define XFS_INCOMPAT_NEEDSREPAIR 0x10U
#define XFS_INCOMPAT_NREXT64     0x20U
#define XFS_INCOMPAT_EXCHRANGE   0x40U
#define XFS_INCOMPAT_PARENT      0x80U

/* The superblock after decoding and checking: every relation below holds once xfs_super_check() returned 0. */
struct xfs_super {
	uint32_t block_size, sector_size, inode_size; /* bytes, powers of two; sector and inode are at most a block */
	uint32_t agblk_log;     /* bits of a block number inside its group: 2^agblk_log >= ag_blocks */
	uint32_t inopb_log;     /* 2^inopb_log inodes per block */
	uint64_t nr_blocks, nr_free_blocks;
	uint32_t ag_blocks, nr_ags;
	uint64_t log_start;     /* fsblock; 0: on another device */
	uint32_t log_blocks;
	uint64_t rt_blocks, rt_extents;
	uint32_t version, version_bits, features2;
	uint32_t ro_compat, incompat, log_incompat; /* 0 without has_crc */
	bool has_crc;           /* version 5 */
	uint64_t lsn;           /* where in the log it was written last; 0 without has_crc */
	bool has_log_v2, in_progress;
	uint8_t uuid[16];       /* what the person sees; the log carries it, too */
	uint8_t meta_uuid[16];  /* what all other structures carry */
	char label[13];
	/* as on disk, for the check */
	uint8_t block_log, sector_log, inode_log;
	uint16_t inopb;
};

struct xfs_root {
	uint32_t block, levels; /* agblock; 1 level: the root is a leaf. 0 levels: there is no such tree */
};

/* What the headers of one allocation group say. */
struct xfs_ag {
	uint32_t nr_blocks;
	struct xfs_root bno, cnt, rmap, refcount, ino, fino;
	uint32_t nr_free, longest;             /* free blocks in bno, and in its longest extent */
	uint32_t fl_first, fl_last, fl_count;  /* the part of the free list (AGFL) in use; a ring */
	uint32_t nr_inodes, nr_free_inodes;
};

/* The free extents of one group (space.c). */
struct xfs_space {
	struct xfs_extent {
		uint32_t start, nr; /* agblocks */
	} *v;                       /* sorted; NULL when there are bits */
	size_t nr, room;
	uint64_t *bits;             /* one for each block, set: free. Where that is smaller than the list. */
	uint32_t nr_blocks;
};

/* What the log says; see log.c. */
struct xfs_log {
	bool is_clean;
	char why[120];        /* when it is not clean */
	uint32_t nr;          /* its length in basic blocks */
	uint32_t head;        /* the next basic block to be written, 1..nr; 0 when all of it is zero */
	uint32_t gap_end;     /* blocks from the head up to here are zero, or it is the head */
	uint32_t cycle, last; /* cycle numbers in front of the head, and from there on */
};

struct xfs_volume {
	struct fsd_volume base;
	struct blk_source *src;
	struct xfs_super sb;
	struct xfs_ag *ags;       /* nr_ags of them; NULL when it is not clean */
	struct xfs_space *spaces; /* while map() runs */
	struct xfs_log log;
	struct crc32c crc;
};

static inline uint16_t get_be16(const uint8_t *p)
{
	return (uint16_t)(p[0] << 8 | p[1]);
}

static inline uint32_t get_be32(const uint8_t *p)
{
	return __builtin_bswap32(get_le32(p));
}

static inline uint64_t get_be64(const uint8_t *p)
{
	return __builtin_bswap64(get_le64(p));
}

/* csum.c */
/* xfs_crc_good - the checksum at off of a structure of len bytes, in which it counts as zero */
bool xfs_crc_good(const struct crc32c *c, const uint8_t *buf, size_t len, size_t off);

/* super.c */
/* xfs_super_decode - fields only; false when the magic number is missing */
bool xfs_super_decode(const uint8_t raw[XFS_SUPER_SIZE], struct xfs_super *ret);
/* xfs_super_check - every range and relation, for a source of src_size bytes. ERR_CORRUPT or ERR_UNSUPPORTED. */
int xfs_super_check(const struct xfs_super *sb, uint64_t src_size, struct err *e);
/* xfs_ag_length - blocks of a group; only the last one may be shorter than the others */
uint32_t xfs_ag_length(const struct xfs_super *sb, uint32_t agno);
/* xfs_head_blocks - blocks at the start of each group for superblock, AGF, AGI and AGFL */
uint32_t xfs_head_blocks(const struct xfs_super *sb);

/* xfs_fsblock - XFS_NO_BLOCK where no group can have such a block */
static inline uint64_t xfs_fsblock(const struct xfs_super *sb, uint32_t agno, uint32_t agblock)
{
	return agblock >> sb->agblk_log ? XFS_NO_BLOCK : (uint64_t)agno << sb->agblk_log | agblock;
}
static inline uint64_t xfs_ag_of(const struct xfs_super *sb, uint64_t fsblock)
{
	return fsblock >> sb->agblk_log;
}
static inline uint32_t xfs_agblock_of(const struct xfs_super *sb, uint64_t fsblock)
{
	return (uint32_t)(fsblock & ((1ULL << sb->agblk_log) - 1));
}
/* xfs_is_inside - do nr blocks from this one on lie inside one group, behind its headers? */
bool xfs_is_inside(const struct xfs_super *sb, uint64_t fsblock, uint64_t nr);
/* xfs_byte_of - where a block stands, from the volume's start */
uint64_t xfs_byte_of(const struct xfs_super *sb, uint64_t fsblock);

/* ag.c */
/* xfs_ags_read - the headers of all groups into v->ags */
int xfs_ags_read(struct xfs_volume *v, struct err *e);
/* xfs_ag_sector - sector nr (0..3) of a group into buf, a sector; what it must be is checked: magic, CRC at crc_off, uuid at uuid_off */
int xfs_ag_sector(struct xfs_volume *v, uint32_t agno, uint32_t nr, uint8_t *buf, struct err *e);

/* btree.c */
struct xfs_tree {
	const char *name;
	uint32_t magic, magic_crc;
	uint32_t rec_size, key_size; /* bytes; a key of a node, which may be a pair */
	bool is_long;                /* pointers are fsblocks, of 8 bytes, and the owner is an inode */
};
extern const struct xfs_tree xfs_tree_bno, xfs_tree_cnt, xfs_tree_ino, xfs_tree_fino, xfs_tree_rmap, xfs_tree_refcount, xfs_tree_bmap;

/* One walk over a tree, from left to right. Set what is above the line, zero the rest, and release it with xfs_walk_end(). */
struct xfs_walk {
	struct xfs_volume *v;
	const struct xfs_tree *tree;
	uint32_t agno;       /* of a short tree */
	uint64_t owner;      /* the inode of a long one */
	bool without_leaves; /* their blocks are told, but not read */
	bool pass_lost;      /* what the medium lost is passed over */
	int (*on_block)(void *arg, uint64_t fsblock, struct err *e);                       /* before it is read; NULL is fine */
	int (*on_leaf)(void *arg, const uint8_t *recs, uint32_t nr, struct err *e);        /* NULL is fine */
	void *arg;
	/* ---- */
	struct {
		uint8_t *buf;
		uint64_t block, right; /* visited last, and its sibling to the right */
		bool is_begun, is_lost;
	} level[XFS_MAX_LEVELS];
};
/* xfs_walk_tree - from the root of a group's tree on. Every block is visited once at most. ERR_CORRUPT, ERR_FAILED. */
int xfs_walk_tree(struct xfs_walk *w, struct xfs_root root, struct err *e);
/* xfs_walk_child - the same for a part of a tree whose root stands elsewhere; level 0 is a leaf. Call it for all children, then xfs_walk_check(). */
int xfs_walk_child(struct xfs_walk *w, uint64_t fsblock, uint32_t level, struct err *e);
/* xfs_walk_check - did the walk come to the right end of each level? */
int xfs_walk_check(struct xfs_walk *w, struct err *e);
void xfs_walk_end(struct xfs_walk *w);
/* xfs_is_lost - could the medium not read it? Our own lack of memory is another matter. */
bool xfs_is_lost(const struct err *e);

/* space.c */
/* xfs_space_add - behind everything that was added before */
int xfs_space_add(struct xfs_space *s, uint32_t start, uint32_t nr, struct err *e);
/* xfs_space_next - the first free extent that ends behind from; false when there is none. Its start is at least from. */
bool xfs_space_next(const struct xfs_space *s, uint32_t from, struct xfs_extent *ret);
/* xfs_space_has - is one of these blocks free? *ret is the first one. */
bool xfs_space_has(const struct xfs_space *s, uint32_t start, uint32_t nr, uint32_t *ret);
void xfs_space_release(struct xfs_space *s);

/* free.c */
/* xfs_free_read - v->spaces, with everything the groups' headers say about free space checked against them */
int xfs_free_read(struct xfs_volume *v, struct err *e);

/* claims.c */
/* xfs_claim - ERR_CORRUPT when one of these blocks, which lie inside one group, is free; fmt tells who uses them */
int xfs_claim(const struct xfs_volume *v, uint64_t fsblock, uint64_t nr, const char *who, uint64_t number, struct err *e);
/* xfs_claims_check - nothing that is reached from the headers or from an inode may be free */
int xfs_claims_check(struct xfs_volume *v, struct err *e);

/* inode.c */
struct xfs_inode_check {
	struct xfs_volume *v;
	uint64_t number;      /* of the inode under work */
	uint64_t blocks_left; /* that files may still name, where they share none: each block belongs to one of them at most */
	uint64_t nodes_left;  /* the same for blocks of trees of extents, which are never shared */
	uint64_t next_offset, nr_extents; /* of the fork under work */
};
/* xfs_inode_check - an inode as it stands in its chunk; is_free: the tree of inodes calls it so */
int xfs_inode_check(struct xfs_inode_check *c, const uint8_t *raw, uint64_t number, bool is_free, struct err *e);

/* log.c */
/* xfs_log_read - is the log clean? Fails only where it cannot be read. */
int xfs_log_read(struct xfs_volume *v, struct err *e);
/*
 * xfs_lsn_is_possible - can a structure have been written with this position (round, basic block) of the log?
 *
 * One that is ahead of the log is newer than it: the log was cleared, or is another one. The kernel refuses that, too.
 */
bool xfs_lsn_is_possible(const struct xfs_volume *v, uint64_t lsn);
/* xfs_log_check - are the cycle numbers of the whole log what xfs_log_read() made of it? Else ERR_CORRUPT. */
int xfs_log_check(struct xfs_volume *v, struct err *e);

/* state.c */
/* xfs_judge - fill state, reason, detail and advice */
int xfs_judge(struct xfs_volume *v, struct err *e);

/* xfs.c */
/* xfs_read - everything that open() does but for asking libblkid; v has its source */
int xfs_read(struct xfs_volume *v, struct err *e);

#endif
