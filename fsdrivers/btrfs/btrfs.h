/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * What the files of the btrfs driver share.
 *
 * The format is described in "On-disk Format" of the btrfs documentation (btrfs.readthedocs.io, "btrfs docs" in the comments of
 * this folder) and by the layouts in the kernel's include/uapi/linux/btrfs_tree.h. Words: everything but superblocks is addressed by a
 * logical address; a chunk maps a range of them to stripes on devices; for each chunk there is one block group, which
 * counts what is allocated in it. An extent is an allocated range of logical addresses; a tree block is one node of a tree.
 */
#ifndef CALCO_FSDRIVERS_BTRFS_BTRFS_H
#define CALCO_FSDRIVERS_BTRFS_BTRFS_H

#include "base/arith.h"
#include "base/crc32c.h"
#include "base/hash.h"
#include "base/span.h"
#include "fsdrivers/fsdriver.h"

#define BTRFS_SUPER_SIZE   4096U
#define BTRFS_SUPER_OFFSET (64ULL << 10)
#define BTRFS_NR_SUPERS    3U           /* on a device that is large enough; see btrfs_super_offset() */
#define BTRFS_HEAD         (1ULL << 20) /* no chunk begins below: boot loaders live there, and the first superblock */
#define BTRFS_STRIPE_LEN   65536U
#define BTRFS_MAX_NODE     65536U
#define BTRFS_MAX_LEVEL    8U
#define BTRFS_UUID_SIZE    16U
#define BTRFS_SYS_ARRAY    2048U

/* Objects: trees, and the ids in their keys */
#define BTRFS_ROOT_TREE        1ULL
#define BTRFS_EXTENT_TREE      2ULL
#define BTRFS_CHUNK_TREE       3ULL
#define BTRFS_DEV_TREE         4ULL
#define BTRFS_FREE_SPACE_TREE  10ULL
#define BTRFS_BLOCK_GROUP_TREE 11ULL
#define BTRFS_DEV_ITEMS        1ULL
#define BTRFS_FIRST_CHUNK_TREE 256ULL
#define BTRFS_DEV_REPLACE      0ULL
#define BTRFS_BALANCE          (-4ULL)

/* Types of items */
#define BTRFS_EXTENT_DATA       108U
#define BTRFS_ROOT_ITEM         132U
#define BTRFS_EXTENT_ITEM       168U
#define BTRFS_METADATA_ITEM     169U
#define BTRFS_EXTENT_OWNER_REF  172U
#define BTRFS_TREE_BLOCK_REF    176U
#define BTRFS_EXTENT_DATA_REF   178U
#define BTRFS_SHARED_BLOCK_REF  182U
#define BTRFS_SHARED_DATA_REF   184U
#define BTRFS_BLOCK_GROUP_ITEM  192U
#define BTRFS_FREE_SPACE_INFO   198U
#define BTRFS_FREE_SPACE_EXTENT 199U
#define BTRFS_FREE_SPACE_BITMAP 200U
#define BTRFS_DEV_EXTENT        204U
#define BTRFS_DEV_ITEM          216U
#define BTRFS_CHUNK_ITEM        228U
#define BTRFS_TEMPORARY_ITEM    248U
#define BTRFS_DEV_REPLACE_ITEM  250U

/* Types of chunks and block groups */
#define BTRFS_GROUP_DATA     (1ULL << 0)
#define BTRFS_GROUP_SYSTEM   (1ULL << 1)
#define BTRFS_GROUP_METADATA (1ULL << 2)
#define BTRFS_GROUP_RAID0    (1ULL << 3)
#define BTRFS_GROUP_RAID1    (1ULL << 4)
#define BTRFS_GROUP_DUP      (1ULL << 5)
#define BTRFS_GROUP_RAID10   (1ULL << 6)
#define BTRFS_GROUP_RAID5    (1ULL << 7)
#define BTRFS_GROUP_RAID6    (1ULL << 8)
#define BTRFS_GROUP_RAID1C3  (1ULL << 9)
#define BTRFS_GROUP_RAID1C4  (1ULL << 10)
#define BTRFS_GROUP_KINDS    (BTRFS_GROUP_DATA | BTRFS_GROUP_SYSTEM | BTRFS_GROUP_METADATA)

/* Features */
#define BTRFS_INCOMPAT_MIXED_BACKREF    (1ULL << 0)
#define BTRFS_INCOMPAT_METADATA_UUID    (1ULL << 10)
#define BTRFS_INCOMPAT_SKINNY_METADATA  (1ULL << 8)
#define BTRFS_RO_FREE_SPACE_TREE        (1ULL << 0)
#define BTRFS_RO_FREE_SPACE_TREE_VALID  (1ULL << 1)
#define BTRFS_RO_BLOCK_GROUP_TREE       (1ULL << 3)
#define BTRFS_SUPER_FLAG_ERROR          (1ULL << 2)

/* The superblock of one device after decoding; btrfs_super_check() makes the rest of it fit for use. */
struct btrfs_super {
	uint8_t fsid[BTRFS_UUID_SIZE];
	uint8_t metadata_fsid[BTRFS_UUID_SIZE]; /* what tree blocks carry: the fsid unless that was changed */
	uint64_t flags, generation;
	uint64_t root, chunk_root, log_root; /* logical */
	uint64_t chunk_root_generation;
	uint8_t root_level, chunk_root_level;
	uint64_t bytes_used;                 /* of all block groups, logical */
	uint64_t nr_devices;
	uint32_t sector_size, node_size;     /* powers of two, 4096 .. BTRFS_MAX_NODE */
	uint64_t compat_ro, incompat;
	uint16_t csum_type;
	uint8_t label[256];
	uint32_t sys_array_size;
	uint8_t sys_array[BTRFS_SYS_ARRAY];
	/* of the device it stands on */
	uint64_t devid, dev_size;
	uint8_t dev_uuid[BTRFS_UUID_SIZE], dev_fsid[BTRFS_UUID_SIZE];
};

/* A device of the file system, as the chunk tree lists it. */
struct btrfs_device {
	uint64_t devid, size;
	uint8_t uuid[BTRFS_UUID_SIZE], fsid[BTRFS_UUID_SIZE];
	bool is_here;
	size_t member; /* of the set, when it is here */
};

/* One stripe of a chunk: a contiguous piece of one device, as long as chunk.dev_len says. */
struct btrfs_stripe {
	uint64_t devid, start;
	size_t chunk; /* its index */
};

struct btrfs_chunk {
	uint64_t start, len;                   /* logical */
	uint64_t type;
	uint64_t dev_len;                      /* of each stripe */
	size_t first_stripe;                   /* in btrfs_chunks.stripes */
	uint32_t nr_stripes, nr_copies, nr_columns; /* columns: over how many stripes (or groups of copies) the data is dealt */
	bool has_parity;                       /* RAID5, RAID6 */
	/* What the extent tree says; see space.c and map.c */
	bool has_group;
	uint64_t group_used, nr_found;         /* bytes: by the block group's own count, and of all extents */
	uint64_t *blocks;                      /* a bit for each sector at which an allocated tree block begins; NULL: none */
	uint64_t *looks;                       /* those of them whose pointers are looked at; NULL: none */
};

/* Sorted by start once all are there; never overlapping. */
struct btrfs_chunks {
	struct btrfs_chunk *v;
	size_t nr, room;
	struct btrfs_stripe *stripes;
	size_t nr_stripes, stripes_room;
};

/* Which checksum, and what computing it takes. */
struct btrfs_csum {
	uint16_t type;
	struct crc32c crc32c;
	struct hasher *sha256;
};

/* Allocated extents of data without gaps between them. */
struct btrfs_run {
	uint64_t start, len; /* logical */
};

struct btrfs_volume {
	struct fsd_volume base;
	struct btrfs_csum csum;
	struct btrfs_super *supers; /* of each member */
	struct btrfs_super *sb;     /* the newest of them: speaks for the file system */
	struct btrfs_device *devices;
	size_t nr_devices, devices_room;
	struct btrfs_chunks chunks;
	uint64_t *walked;           /* logical addresses of all tree blocks that were read */
	size_t nr_walked, walked_room;
	uint64_t nr_bad_copies;     /* of tree blocks that have another, good one */
	struct btrfs_run *runs;     /* sorted; while a map is made */
	size_t nr_runs, runs_room;
};

/* csum.c */
/* btrfs_csum_init - make ready for a type; ERR_UNSUPPORTED when it is unknown. Release with btrfs_csum_release(). */
int btrfs_csum_init(struct btrfs_csum *c, uint16_t type, struct err *e);
void btrfs_csum_release(struct btrfs_csum *c);
/* btrfs_csum_good - of a superblock or tree block: its first 32 bytes hold the sum of the rest */
bool btrfs_csum_good(struct btrfs_csum *c, const uint8_t *block, size_t len);
/* btrfs_csum_set - the same, written; for tests and the fuzzer, which make blocks of their own */
void btrfs_csum_set(struct btrfs_csum *c, uint8_t *block, size_t len);

/* super.c */
/* btrfs_super_offset - of copy number i */
uint64_t btrfs_super_offset(unsigned i);
/* btrfs_super_magic - has the block a superblock's mark? */
bool btrfs_super_magic(const uint8_t raw[BTRFS_SUPER_SIZE]);
/*
 * btrfs_super_read - read and decode the superblock of a device and check what does not depend on its features
 * @c: made ready for its checksum; released by the caller, also after a failure
 */
int btrfs_super_read(struct blk_source *src, struct btrfs_csum *c, struct btrfs_super *ret, struct err *e);
/* btrfs_super_check - every field that is used, and the features; for a device of dev_size bytes. ERR_CORRUPT, ERR_UNSUPPORTED. */
int btrfs_super_check(const struct btrfs_super *sb, uint64_t dev_size, struct err *e);
/* btrfs_super_copies - compare the copies of a device with its superblock; what is wrong with one becomes the notice */
void btrfs_super_copies(struct btrfs_volume *v, size_t member);
/* btrfs_format_uuid - as blkid prints it; room: at least 37 */
void btrfs_format_uuid(char *dst, size_t room, const uint8_t u[BTRFS_UUID_SIZE]);

/* chunk.c */
void btrfs_chunks_release(struct btrfs_chunks *c);
/* btrfs_chunks_add - decode a chunk item (btrfs docs, CHUNK_ITEM) that begins at the logical address */
int btrfs_chunks_add(struct btrfs_volume *v, struct btrfs_chunks *c, uint64_t logical, struct span *item, struct err *e);
/* btrfs_chunks_sort - when all were added: ERR_CORRUPT when some overlap */
int btrfs_chunks_sort(struct btrfs_chunks *c, struct err *e);
/* btrfs_chunks_bootstrap - those of the superblock's array into v->chunks; and, later, compare the array with what the chunk tree had */
int btrfs_chunks_bootstrap(struct btrfs_volume *v, struct err *e);
int btrfs_chunks_confirm(struct btrfs_volume *v, const struct btrfs_chunks *boot, struct err *e);
/* btrfs_chunk_find - the one that holds a logical address; NULL: none */
struct btrfs_chunk *btrfs_chunk_find(const struct btrfs_volume *v, uint64_t logical);
/* btrfs_read_logical - [logical, +len), inside one chunk, from this copy of it; ERR_CORRUPT where there is nothing to read from */
int btrfs_read_logical(struct btrfs_volume *v, const struct btrfs_chunk *c, uint64_t logical, uint8_t *buf, size_t len, unsigned copy, struct err *e);
/* btrfs_emit_logical - emit all copies of [start, +len) as used; inside one chunk, all of whose devices are here. With parity: nothing. */
int btrfs_emit_logical(struct btrfs_volume *v, const struct btrfs_chunk *c, uint64_t start, uint64_t len, fsd_extent_fn emit, void *arg, struct err *e);
/* btrfs_emit_stripes - all of the chunk, parity included */
int btrfs_emit_stripes(struct btrfs_volume *v, const struct btrfs_chunk *c, fsd_extent_fn emit, void *arg, struct err *e);

/* btrfs_copies - what every chunk with copies keeps more than once; all devices are here */
int btrfs_copies(struct fsd_volume *v, fsd_copies_fn emit, void *arg, struct err *e);

/* tree.c */
struct btrfs_key {
	uint64_t objectid;
	uint8_t type;
	uint64_t offset;
};

/* Where a tree begins. */
struct btrfs_root {
	uint64_t owner, logical, generation;
	uint8_t level;
};

struct btrfs_item {
	struct btrfs_key key;
	struct span data; /* valid until the cursor moves or is released */
};

struct btrfs_level {
	uint8_t *buf;
	uint32_t nr, slot;
	uint64_t generation;
};

/* Reads a tree in the order of its keys, one block for each level in memory. Every block is checked before it is used. */
struct btrfs_cursor {
	struct btrfs_volume *v;
	struct btrfs_root root;
	struct btrfs_level level[BTRFS_MAX_LEVEL];
	struct btrfs_key last;
	bool is_started, has_last;
	struct btrfs_key from;
};

/* btrfs_cursor - at the first key that is not below from; release with btrfs_cursor_release() */
struct btrfs_cursor btrfs_cursor(struct btrfs_volume *v, const struct btrfs_root *root, struct btrfs_key from);
void btrfs_cursor_release(struct btrfs_cursor *c);
/* btrfs_cursor_next - 1, 0 at the end, -1: ERR_CORRUPT, ERR_FAILED */
int btrfs_cursor_next(struct btrfs_cursor *c, struct btrfs_item *ret, struct err *e);
struct btrfs_root btrfs_tree_root(const struct btrfs_super *sb);
struct btrfs_root btrfs_chunk_root(const struct btrfs_super *sb);
/* btrfs_root_decode - a root item */
int btrfs_root_decode(const struct btrfs_volume *v, struct btrfs_item *item, struct btrfs_root *ret, struct err *e);
/* btrfs_root_find - a tree by its id in the root tree; ERR_CORRUPT when it is not there */
int btrfs_root_find(struct btrfs_volume *v, uint64_t id, struct btrfs_root *ret, struct err *e);

/* btrfs_block_check - a tree block in memory, by itself: whatever led there. ERR_CORRUPT. */
int btrfs_block_check(struct btrfs_volume *v, uint64_t logical, const uint8_t *block, struct err *e);
/* btrfs_block_read - the first copy of a tree block that passes that */
int btrfs_block_read(struct btrfs_volume *v, const struct btrfs_chunk *c, uint64_t logical, uint8_t *block, struct err *e);
/* btrfs_block_child, btrfs_block_item - what stands in slot i of a checked node, or leaf; false behind the last one, and of the other kind of block */
bool btrfs_block_child(const uint8_t *block, uint32_t i, uint64_t *ret);
bool btrfs_block_item(const uint8_t *block, uint32_t i, struct btrfs_item *ret);

/* devices.c */
/* btrfs_read_chunk_tree - fill v->devices and v->chunks */
int btrfs_read_chunk_tree(struct btrfs_volume *v, struct err *e);
/* btrfs_check_devices - chunks and devices fit together: places, sizes, nothing twice. All devices are here. */
int btrfs_check_devices(struct btrfs_volume *v, struct err *e);
/* btrfs_check_dev_tree - every stripe is known to the device tree and the other way round; *ret_replacing: a device is being replaced */
int btrfs_check_dev_tree(struct btrfs_volume *v, bool *ret_replacing, struct err *e);

/* state.c */
/* btrfs_judge_set - are all members here, and of one state? Sets info.state when not. Before anything but superblocks was read. */
void btrfs_judge_set(struct btrfs_volume *v);
/* btrfs_judge_devices - the same with what the chunk tree says */
void btrfs_judge_devices(struct btrfs_volume *v);
/* btrfs_judge - the other reasons; reads the trees */
int btrfs_judge(struct btrfs_volume *v, struct err *e);

/* space.c: the free space tree */
struct btrfs_space {
	struct btrfs_cursor cursor;
	bool is_known;          /* there is a tree, and it is valid */
	bool is_stale;          /* the items under the cursor belong to no chunk */
	uint64_t start, end;    /* what is left of the range of free space under the cursor */
	struct btrfs_item bitmap;
	uint64_t bits_at;       /* in the bitmap: the next sector */
	uint64_t bits_end;
};
int btrfs_space_open(struct btrfs_volume *v, struct btrfs_space *s, struct err *e);
void btrfs_space_release(struct btrfs_space *s);
/* btrfs_space_take - exactly this range comes next; ERR_CORRUPT when it does not. Ascending. */
int btrfs_space_take(struct btrfs_space *s, uint64_t start, uint64_t len, struct err *e);
/* btrfs_space_end - nothing is left; ERR_CORRUPT */
int btrfs_space_end(struct btrfs_space *s, struct err *e);

/* btrfs.c */
/* btrfs_fill - all that open() does with base.set, but for asking libblkid */
int btrfs_fill(struct btrfs_volume *v, struct err *e);

/* map.c */
int btrfs_map(struct fsd_volume *v, fsd_extent_fn emit, void *arg, struct err *e);

/* btrfs_is_block - does an allocated tree block begin here? btrfs_is_in_run - is this range of data allocated? While a map is made, when all extents are in. */
bool btrfs_is_block(const struct btrfs_volume *v, uint64_t start);
bool btrfs_is_in_run(const struct btrfs_volume *v, uint64_t start, uint64_t len);

static inline bool btrfs_bit(const uint64_t *bits, uint64_t i)
{
	return bits[i / 64] >> (i % 64) & 1;
}

/* refs.c */
/* btrfs_is_for_refs - must the tree block of this extent item be looked at? */
bool btrfs_is_for_refs(const struct btrfs_item *item);
/* btrfs_check_extent_data - a file extent item: is what it names allocated? */
int btrfs_check_extent_data(const struct btrfs_volume *v, const struct btrfs_item *item, struct err *e);
/* btrfs_check_refs - read all blocks of chunk.looks: everything they point to is allocated */
int btrfs_check_refs(struct btrfs_volume *v, struct err *e);

/* btrfs_grow - room for one more element in an array whose size doubles when it is full; NULL pointer and 0 to begin with */
int btrfs_grow(void *array, size_t nr, size_t *room, size_t size, struct err *e);

#endif
