/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * LVM2 on disk: the label and the metadata areas of a physical volume (PV), and the text that describes the volume group (VG). All of it is
 * hostile. Private to imager/disk and its tests.
 *
 * Sources: lvm2 lib/format_text/layout.h, lib/label/label.h (structures), lib/misc/crc.c (the checksum), lib/format_text/
 * format-text.c (ring buffer), and what "vgcfgbackup" writes.
 */
#ifndef CALCO_IMAGER_DISK_LVM_H
#define CALCO_IMAGER_DISK_LVM_H

#include "base/auto.h"
#include "base/blk.h"
#include "base/err.h"
#include "base/extent.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define LVM_SECTOR    512U /* the unit of all sizes in the metadata, whatever the disk's sectors are */
#define LVM_UUID      33   /* 32 characters and NUL */
#define LVM_NAME      128
#define LVM_MAX_TEXT  (16U << 20)
#define LVM_MAX_AREAS 16U

/* ---- lvm_label.c ---- */

/* What stands at the begin of a PV. */
struct lvm_label {
	char uuid[LVM_UUID];
	uint64_t size;                       /* of the PV as noted, bytes */
	struct range mdas[LVM_MAX_AREAS];    /* metadata areas, inside the source */
	size_t nr_mdas;
	struct range boots[LVM_MAX_AREAS];   /* bootloader areas */
	size_t nr_boots;
	bool is_used;                        /* "belongs to a VG", where the extension of the header says so */
};

/* lvm_label_probe - 1: a label stands in one of the first four sectors; 0; -1 when they cannot be read */
int lvm_label_probe(struct blk_source *src, struct err *e);
/* lvm_label_read - ERR_CORRUPT when the label contradicts itself */
int lvm_label_read(struct blk_source *src, struct lvm_label *ret, struct err *e);
/*
 * lvm_mda_read - the committed text of one metadata area
 *
 * 1 and the text (owned by the caller: free(); NUL-terminated), 0 when the area is valid and empty or marked to be ignored,
 * -1 (ERR_CORRUPT: damaged).
 */
int lvm_mda_read(struct blk_source *src, const struct range *mda, char **ret, size_t *ret_len, struct err *e);

/* ---- lvm_text.c ---- */

enum lvm_kind { LVM_SECTION, LVM_STRING, LVM_NUMBER, LVM_LIST };

/* A node of the text: name { ... }, name = "s", name = 12, name = [ ... ]; elements of a list have no name. */
struct lvm_node {
	enum lvm_kind kind;
	const char *name, *s; /* in the text; not terminated */
	size_t name_len, len;
	int64_t n;
	uint32_t child, next; /* places in the tree; 0: none */
};

struct lvm_tree {
	struct lvm_node *nodes; /* owned; [0] is the whole text, a section */
	uint32_t nr, room;
};

/* lvm_parse - ERR_CORRUPT for what is no such text, or too deep. The text must outlive the tree. */
int lvm_parse(const char *text, size_t len, struct lvm_tree *ret, struct err *e);
void lvm_tree_release(struct lvm_tree *t);
/* lvm_find - the child of a section with this name, NULL when there is none */
const struct lvm_node *lvm_find(const struct lvm_tree *t, const struct lvm_node *section, const char *name);
/* lvm_first, lvm_next - the children of a section or list; NULL behind the last */
const struct lvm_node *lvm_first(const struct lvm_tree *t, const struct lvm_node *n);
const struct lvm_node *lvm_next(const struct lvm_tree *t, const struct lvm_node *n);

/* ---- lvm_vg.c ---- */

struct lvm_pv {
	char name[LVM_NAME];   /* "pv0": within the text */
	char uuid[LVM_UUID];
	char device[LVM_NAME]; /* where it was last seen; only a hint */
	bool is_missing, is_strange; /* flags say so; flags that are not known */
	uint64_t pe_start, pe_count; /* bytes; extents */
};

/* A place of a segment. */
struct lvm_area {
	uint32_t pv;
	uint64_t extent;
};

struct lvm_segment {
	uint64_t extents;
	uint64_t stripe; /* bytes; 0 with one area */
	uint32_t first_area, nr_areas;
};

struct lvm_lv {
	char name[LVM_NAME], uuid[LVM_UUID];
	bool is_visible;
	bool is_plain;      /* only linear and striped segments on PVs, and no other LV is made of it */
	char why[64];       /* not plain: the reason, in words */
	uint32_t first_segment, nr_segments; /* of those that are linear or striped on PVs */
};

struct lvm_vg {
	char name[LVM_NAME], uuid[LVM_UUID];
	uint64_t seqno, extent_size; /* bytes */
	uint32_t text_sum;  /* tells versions with the same seqno apart; for the caller of lvm_vg_read() */
	char strange[64];   /* "" or what makes all of it too strange to map: "exported", "PVMOVE" */
	struct lvm_pv *pvs;
	struct lvm_lv *lvs;
	struct lvm_segment *segments;
	struct lvm_area *areas;
	uint32_t nr_pvs, nr_lvs, nr_segments, nr_areas;
};

/* lvm_vg_read - from the text of a metadata area. Everything that is kept was checked against each other. ERR_CORRUPT. */
int lvm_vg_read(const char *text, size_t len, struct lvm_vg **ret, struct err *e);
void lvm_vg_free(struct lvm_vg *vg);
AUTO_DEFINE(lvm_vg, lvm_vg_free)
/* lvm_format_uuid - "abcdef-0123-...": 38 characters and NUL, as LVM prints it */
void lvm_format_uuid(const char uuid[LVM_UUID], char out[39]);

#endif
