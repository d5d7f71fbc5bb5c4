/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The manifest: what an image is, without its content (docs/format.md sections 1 and 3). Plain data, filled by the
 * planner or by the decoder, then only read.
 */
#ifndef CALCO_IMAGER_IMAGE_MANIFEST_H
#define CALCO_IMAGER_IMAGE_MANIFEST_H

#include "base/auto.h"
#include "base/err.h"
#include "imager/image/chunkmap.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define IMG_ID_SIZE     32
#define IMG_MAX_DISKS   64
#define IMG_MAX_REGIONS 65536
#define IMG_MAX_VOLUMES 65536
#define IMG_MAX_PARENTS 16
#define IMG_NO_INDEX    0xFFFFFFFFU

struct img_seal;

struct img_range {
	uint32_t disk;
	uint64_t start, len; /* bytes on the disk */
};

struct img_disk {
	uint64_t size;
	uint32_t sector_size, phys_sector_size;
	uint8_t table; /* enum pt_kind: 0 none, 1 MBR, 2 GPT */
	uint32_t mbr_signature;
	uint8_t guid[16];
	char model[64], serial[64], source[256];
};

enum img_region_flags { IMG_REGION_BOOT = 1, IMG_REGION_LOGICAL = 2, IMG_REGION_ACTIVE = 4 };

struct img_region {
	uint32_t disk;
	uint64_t start, len;
	uint8_t kind; /* 0 gap, 1 partition, 2 overlap, 3 whole: enum pt_region_kind */
	uint16_t flags;
	uint32_t number; /* of the partition, 0 none */
	uint8_t mbr_type;
	uint8_t type_guid[16], guid[16];
	uint64_t attributes;
	char name[112];
	struct chunk_map *map; /* owned */
	uint64_t first_chunk;  /* chunk number of the map's chunk 0 */
	uint64_t first_present;/* place of its first present chunk in ids */
};

enum img_volume_kind { IMG_VOL_PARTITION = 1, IMG_VOL_DISK = 2, IMG_VOL_LV = 3, IMG_VOL_CRYPT = 4, IMG_VOL_SET = 5 };
enum img_volume_flags { IMG_VOL_RAW_ASKED = 1, IMG_VOL_RAW_FALLBACK = 2, IMG_VOL_SKIPPED = 4, IMG_VOL_REPLAYED = 8 };

struct img_volume {
	uint32_t parent;  /* index of an earlier volume, or IMG_NO_INDEX */
	uint8_t kind, state; /* enum img_volume_kind, enum fsd_state */
	uint16_t flags;
	uint64_t size, used_bytes;
	uint32_t block_size;
	uint32_t sector_size; /* the smallest piece the file system reads or writes; 0: not known */
	uint32_t region;  /* index, or IMG_NO_INDEX */
	char driver[16], type[32], label[128], uuid[48], reason[32], notice[200];
	char name[272];   /* "vg/lv", "" for what has its place in the partition table */
	struct img_range *segments, *arm, *skipped; /* owned */
	uint32_t nr_segments, nr_arm, nr_skipped;
};

/* A copy of bytes a partition table consists of. */
struct img_table_copy {
	uint32_t disk, len;
	uint64_t start;
	uint8_t *bytes; /* owned */
};

struct img_parent {
	uint8_t lineage[16], root[32];
	uint64_t version;
};

/* Who signed, by entries that are right; whether that is somebody to trust is another question (sigs.h). */
struct img_signer {
	uint8_t key[32]; /* public, Ed25519 */
	bool core, root; /* what: CSIG, SIGS */
};

struct img_manifest {
	uint8_t lineage[16];
	uint64_t version;
	char name[65];
	struct img_parent *parents;
	size_t nr_parents;
	struct img_disk *disks;
	size_t nr_disks;
	struct img_region *regions; /* sorted by disk and start */
	size_t nr_regions;
	struct img_volume *volumes;
	size_t nr_volumes;
	struct img_table_copy *tables;
	size_t nr_tables;

	uint64_t nr_chunks, nr_present; /* set by img_manifest_number() */

	uint8_t (*ids)[IMG_ID_SIZE]; /* nr_present; NULL while not known (a pipe that is still being read) */
	struct img_range *bad;
	size_t nr_bad;
	uint8_t core_hash[32];
	uint8_t root[32];
	bool has_root;
	struct img_signer *signers;
	size_t nr_signers;

	struct img_seal *seal; /* owned; NULL: the image is not encrypted */

	/* the envelope: not covered by the root */
	uint8_t pack_id[16];
	uint64_t created; /* seconds since 1970 UTC */
	char tool[64];
	uint32_t level;
	char *note; /* owned, NULL when none */
	uint64_t read_bytes; /* to be read from the source, as planned */
};

/* img_manifest_new - empty; NULL and *e when memory is gone */
struct img_manifest *img_manifest_new(struct err *e);
void img_manifest_free(struct img_manifest *m);
AUTO_DEFINE(img_manifest, img_manifest_free)

/* img_manifest_number - after the maps are frozen: give each region its chunk numbers and places in ids */
void img_manifest_number(struct img_manifest *m);

/* img_region_of_chunk - index of the region that holds chunk number n (< nr_chunks) */
size_t img_region_of_chunk(const struct img_manifest *m, uint64_t n);

/* img_present_index - place of chunk i of a region in ids; the chunk must be present */
uint64_t img_present_index(const struct img_region *r, uint64_t i);

/* A walk over all present chunks of an image, in order of their numbers. */
struct img_cursor {
	size_t region;
	uint64_t i;       /* chunk of the region's map */
	uint64_t present; /* place in ids */
	uint64_t chunk;   /* chunk number */
};

/* img_cursor_begin - before the first present chunk; img_cursor_next - to the next one, false when there is none */
void img_cursor_begin(struct img_cursor *c);
bool img_cursor_next(const struct img_manifest *m, struct img_cursor *c);

/* img_describe_region - "partition 2 (ext4 'root')", "gap", "whole disk (vfat)" */
void img_describe_region(const struct img_manifest *m, size_t region, char *out, size_t size);

/*
 * img_find_region - the region a user means by a partition number, a label, a UUID or a GPT partition name
 *
 * ERR_USAGE when none or more than one matches, with what there is in the message.
 */
int img_find_region(const struct img_manifest *m, const char *word, size_t *ret, struct err *e);

/* img_core_encode - the bytes of the CORE part, raw. Owned by the caller: free(). */
int img_core_encode(const struct img_manifest *m, uint8_t **ret, size_t *ret_len, struct err *e);

/* What a head may ask for while nobody knows whether it is honest. */
struct img_limits {
	uint64_t present; /* chunks; more are ERR_CORRUPT: there is no room for them in the file */
	uint64_t memory;  /* bytes for the maps; more are ERR_UNSUPPORTED */
};

/*
 * img_core_decode - from hostile bytes; everything is checked, ERR_CORRUPT or ERR_UNSUPPORTED
 * @limits: NULL: none
 *
 * Sets core_hash, freezes and numbers the maps.
 */
int img_core_decode(const uint8_t *bytes, size_t len, const struct img_limits *limits, struct img_manifest **ret, struct err *e);

/* img_envelope_encode, img_envelope_decode - the ENVL part; decode fills an existing manifest and skips what it does not know */
int img_envelope_encode(const struct img_manifest *m, uint8_t **ret, size_t *ret_len, struct err *e);
int img_envelope_decode(struct img_manifest *m, const uint8_t *bytes, size_t len, struct err *e);

/* img_root - the root over the three parts (docs/format.md section 1). @bad: the raw payload of BADR. */
int img_root(const uint8_t core_hash[32], const void *ids, uint64_t nr_ids, const void *bad, size_t bad_len, uint8_t ret[32],
	struct err *e);

/* img_name_ok - the one function that decides about image names: [A-Za-z0-9._-]{1,64}, not beginning with '.' or '-' */
bool img_name_ok(const char *name);

#endif
