/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * What the files of the NTFS driver share.
 *
 * There is no official specification. Field offsets are those of the Linux-NTFS project's documentation
 * (flatcap.github.io/linux-ntfs, called "NTFS docs" in the comments of this folder), which libfsntfs' "NTFS format"
 * and the kernel's fs/ntfs3/ntfs.h confirm. Words: a cluster's place on the volume is its LCN, its place in a
 * stream its VCN; a file is a record of the $MFT and consists of attributes, and the attribute with the data is a
 * stream here, whether its bytes stand in the record ("resident") or in runs of clusters.
 */
#ifndef CALCO_FSDRIVERS_NTFS_NTFS_H
#define CALCO_FSDRIVERS_NTFS_NTFS_H

#include "base/arith.h"
#include "base/span.h"
#include "fsdrivers/bits.h"
#include "fsdrivers/fsdriver.h"

#define NTFS_BOOT_SIZE  512U
#define NTFS_STRIDE     512U        /* update sequences protect pieces of this size, whatever the sector size */
#define NTFS_MAX_RECORD (64U << 10) /* of an MFT record or an index block, bytes */
#define NTFS_HOLE       UINT64_MAX  /* as an LCN: these clusters of the stream stand nowhere and are zero */

/* Records with a fixed number (NTFS docs, "Files") */
#define NTFS_FILE_MFT     0U
#define NTFS_FILE_LOGFILE 2U
#define NTFS_FILE_VOLUME  3U
#define NTFS_FILE_ROOT    5U
#define NTFS_FILE_BITMAP  6U
#define NTFS_FILE_BADCLUS 8U

/* Attribute types */
#define NTFS_AT_LIST         0x20U
#define NTFS_AT_VOLUME_NAME  0x60U
#define NTFS_AT_VOLUME_INFO  0x70U
#define NTFS_AT_DATA         0x80U
#define NTFS_AT_INDEX_ROOT   0x90U
#define NTFS_AT_INDEX_BLOCKS 0xA0U
#define NTFS_AT_BITMAP       0xB0U

/* The boot sector after decoding and checking. LCNs lie below nr_clusters; the sizes are powers of two. */
struct ntfs_boot {
	uint32_t sector_size, cluster_size; /* bytes: 512..4096, 512..2 MiB */
	uint32_t record_size, index_size;   /* bytes: 512..NTFS_MAX_RECORD */
	uint64_t nr_sectors;                /* the backup boot sector stands behind them */
	uint64_t nr_clusters;               /* whole ones, at most 2^32 */
	uint64_t mft_lcn, mirror_lcn;
	uint64_t serial;
};

/* nr clusters of a stream from vcn on, at lcn (or NTFS_HOLE) */
struct ntfs_run {
	uint64_t vcn, lcn, nr;
};

struct ntfs_stream {
	uint16_t flags;            /* 0: plain; see NTFS_AF_ */
	uint64_t size, initialized; /* bytes; what is behind initialized reads as zero */
	uint8_t *value;            /* of a resident attribute, else NULL */
	struct ntfs_run *runs;     /* in the stream's order, without gaps */
	size_t nr_runs, room;
	uint64_t nr_vcns;          /* clusters that the runs cover */
	uint64_t nr_stored;        /* those that are no holes */
};

#define NTFS_AF_COMPRESSED 0x00FFU
#define NTFS_AF_ENCRYPTED  0x4000U
#define NTFS_AF_SPARSE     0x8000U

/* Clusters whose content is left out, and the only record of the $MFT that may claim them. */
struct ntfs_skip {
	uint64_t lcn, nr, owner;
};

struct ntfs_volume {
	struct fsd_volume base;
	struct blk_source *src;
	struct ntfs_boot boot;
	struct ntfs_stream mft;
	struct fsd_bits used; /* bad clusters cleared; without words when the volume is not clean */
	uint64_t nr_bad;
	struct ntfs_skip *skips; /* sorted by lcn; what volatile.c emitted, to be proved by claims.c */
	size_t nr_skips;
};

/* boot.c */
/* ntfs_is_boot_sector - the OEM name alone */
bool ntfs_is_boot_sector(struct span *s);
/* ntfs_boot_read - decode and check, for a volume of volume_size bytes. ERR_CORRUPT, ERR_UNSUPPORTED. */
int ntfs_boot_read(struct span *s, uint64_t volume_size, struct ntfs_boot *ret, struct err *e);

/* record.c */
/*
 * ntfs_fixup - check and undo the update sequence of a record of len bytes, a multiple of NTFS_STRIDE
 *
 * False when it was not written as a whole, or never was one.
 */
bool ntfs_fixup(uint8_t *rec, size_t len);
/* A record of the $MFT, its update sequence undone. */
struct ntfs_record {
	uint64_t number;
	uint16_t sequence;
	bool in_use, is_folder;
	uint64_t base;      /* number of the record that this one extends; 0: none */
	struct span attrs;  /* all attributes */
};
/* ntfs_record_parse - 1: it is one; 0: it has no "FILE" mark or was not written as a whole. Undoes the update sequence in buf. */
bool ntfs_record_parse(uint8_t *buf, size_t len, uint64_t number, struct ntfs_record *ret);
/* ntfs_record_read - read record number into buf (boot.record_size bytes). ERR_CORRUPT when it is none in use. */
int ntfs_record_read(struct ntfs_volume *v, uint64_t number, uint8_t *buf, struct ntfs_record *ret, struct err *e);

struct ntfs_attr {
	uint32_t type;
	uint16_t flags;
	bool is_resident;
	char name[16];      /* ASCII; "" when it has none, "?" when it has a longer or other one */
	struct span value;  /* resident */
	uint64_t first_vcn, last_vcn, size, initialized; /* the rest: not resident */
	struct span runs;   /* mapping pairs */
};
/* ntfs_attr_next - the attribute at *pos, which moves on; 1, 0 at the end, -1 ERR_CORRUPT */
int ntfs_attr_next(const struct ntfs_record *r, size_t *pos, struct ntfs_attr *ret, struct err *e);
/* ntfs_attr_find - the first one of this type in the record itself; 1, 0, -1 */
int ntfs_attr_find(const struct ntfs_record *r, uint32_t type, struct ntfs_attr *ret, struct err *e);

/* runs.c */
struct ntfs_run_iter {
	struct span s;
	size_t pos;
	uint64_t lcn;         /* of the last run that was no hole */
	uint64_t nr_clusters; /* of the volume */
};
static inline struct ntfs_run_iter ntfs_run_iter(const struct ntfs_volume *v, const struct ntfs_attr *a)
{
	return (struct ntfs_run_iter){ .s = a->runs, .nr_clusters = v->boot.nr_clusters };
}
/* ntfs_run_next - the next run, inside the volume (vcn is left alone); 1, 0 at the end, -1 ERR_CORRUPT */
int ntfs_run_next(struct ntfs_run_iter *it, struct ntfs_run *ret, struct err *e);

/* stream.c */
/*
 * ntfs_stream_open - gather an attribute of a file from its record and from those of its attribute list
 *
 * 1: found, release it with ntfs_stream_release(); 0: the file has none; -1: ERR_CORRUPT, ERR_FAILED. The $MFT's own
 * stream is gathered into v->mft with ntfs_mft_open().
 */
int ntfs_stream_open(struct ntfs_volume *v, uint64_t number, uint32_t type, const char *name, struct ntfs_stream *ret, struct err *e);
/* ntfs_metadata_open - the same for what must be there, whole, and neither sparse, compressed nor encrypted: else ERR_CORRUPT */
int ntfs_metadata_open(struct ntfs_volume *v, uint64_t number, uint32_t type, const char *name, struct ntfs_stream *ret, struct err *e);
int ntfs_mft_open(struct ntfs_volume *v, struct err *e);
/* ntfs_stream_read - [off, off+len), which must lie inside stream.size */
int ntfs_stream_read(struct ntfs_volume *v, const struct ntfs_stream *s, uint64_t off, void *buf, size_t len, struct err *e);
void ntfs_stream_release(struct ntfs_stream *s);

/* bitmap.c: v->used */
/* ntfs_bitmap_read - read $Bitmap, take the clusters out that $BadClus lists, and count these */
int ntfs_bitmap_read(struct ntfs_volume *v, struct err *e);

/* claims.c */
/* ntfs_claims_check - every cluster that a file of the $MFT claims must be in v->used; ERR_CORRUPT names the record */
int ntfs_claims_check(struct ntfs_volume *v, struct err *e);

/* root.c */
/* ntfs_root_find - the record of a file (no folder) in the root folder, by its name in lower case, ASCII; 1, 0, -1 */
int ntfs_root_find(struct ntfs_volume *v, const char *name, uint64_t *ret, struct err *e);

/* hiberfile.c */
/* ntfs_is_hibernated - does a suspended Windows wait in hiberfil.sys? 1, 0, -1 */
int ntfs_is_hibernated(struct ntfs_volume *v, struct err *e);

/* volatile.c */
/* ntfs_volatile_ranges - see fsd_driver.volatile_ranges */
int ntfs_volatile_ranges(struct fsd_volume *volume, fsd_skip_fn emit, void *arg, struct err *e);
/* ntfs_skips_other - does a run hit clusters that are left out and belong to another record? */
bool ntfs_skips_other(const struct ntfs_volume *v, const struct ntfs_run *run, uint64_t owner);

/* logfile.c */
enum ntfs_log { NTFS_LOG_CLEAN, NTFS_LOG_OPEN, NTFS_LOG_KEPT, NTFS_LOG_BROKEN };
/* ntfs_log_read - what $LogFile says about the last unmount */
int ntfs_log_read(struct ntfs_volume *v, enum ntfs_log *ret, struct err *e);

/* state.c */
/* ntfs_judge - read $Volume, $LogFile and hiberfil.sys; fill label, state, reason, detail and advice */
int ntfs_judge(struct ntfs_volume *v, struct err *e);

#endif
