/* SPDX-License-Identifier: GPL-3.0-or-later */
/* An image's manifest on the screen and in JSON, the same for every command that shows one. */
#ifndef CALCO_CMD_SHOW_H
#define CALCO_CMD_SHOW_H

#include "cmd/out.h"

#include <stddef.h>
#include <stdint.h>

struct img_manifest;
struct img_range;
struct img_region;

/* show_identity - name, version, root, times and numbers, as fields of the open result or object */
void show_identity(struct out *o, const struct img_manifest *m);

/*
 * show_layout - disks, regions and volumes
 *
 * JSON: the arrays "disks", "regions", "volumes" and "bad_ranges" in the open object. Text: for each disk a headline and a table of
 * its volumes.
 */
void show_layout(struct out *o, const struct img_manifest *m);

/* show_notices - text only: what is worth saying about the volumes; a capture has said it already when it found it */
void show_notices(struct out *o, const struct img_manifest *m);

/* show_layout_json - the JSON half of show_layout() */
void show_layout_json(struct out *o, const struct img_manifest *m);

/* show_ranges - text only: a title and ranges of disks, at most 50 of them; nothing when there are none */
void show_ranges(struct out *o, const struct img_manifest *m, const char *title, const struct img_range *list, size_t nr);

/* show_ranges_json - the same as an array of this name in the open object */
void show_ranges_json(struct out *o, const struct img_manifest *m, const char *name, const struct img_range *list, size_t nr);

/* show_bad_ranges - text only: what could not be read */
void show_bad_ranges(struct out *o, const struct img_manifest *m);

/* show_volume_at - "partition 2 (ext4 'root')": what lies at a byte of a disk; "" when the disk is not in the image. Returns out. */
char *show_volume_at(const struct img_manifest *m, uint32_t disk, uint64_t offset, char *out, size_t size);

/* show_stored_bytes - used bytes of the regions of one disk, or of all when disk is negative */
uint64_t show_stored_bytes(const struct img_manifest *m, int disk);

/* show_table_name - "gpt", "mbr", "none" of a disk of an image */
const char *show_table_name(uint8_t table);

/* show_type_name - what the partition table says of a region: "EFI System", "Linux"; "" when that is not known */
const char *show_type_name(const struct img_manifest *m, const struct img_region *r);

#endif
