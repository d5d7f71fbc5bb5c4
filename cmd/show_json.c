/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The manifest as JSON; see show.h. The names are a contract: docs/man/calco-info.1 lists them. */
#include "cmd/show.h"

#include "base/arith.h"
#include "cmd/text.h"
#include "fsdrivers/fsdriver.h"
#include "imager/disk/table.h"
#include "imager/image/manifest.h"

#include <string.h>

static const char *region_kind(uint8_t kind)
{
	switch (kind) {
	case PT_REGION_GAP: return "gap";
	case PT_REGION_PARTITION: return "partition";
	case PT_REGION_OVERLAP: return "overlap";
	default: return "whole";
	}
}

static const char *volume_kind(uint8_t kind)
{
	switch (kind) {
	case IMG_VOL_PARTITION: return "partition";
	case IMG_VOL_DISK: return "disk";
	case IMG_VOL_LV: return "lv";
	case IMG_VOL_CRYPT: return "crypt";
	default: return "set";
	}
}

static void guid(struct out *o, const char *key, const uint8_t bytes[16])
{
	static const uint8_t none[16];
	char text[37];

	pt_format_guid(bytes, text);
	out_str(o, key, NULL, memcmp(bytes, none, 16) ? text : NULL);
}

static void disks(struct out *o, const struct img_manifest *m)
{
	out_array(o, "disks");
	for (size_t i = 0; i < m->nr_disks; i++) {
		const struct img_disk *d = &m->disks[i];
		out_object(o, NULL);
		out_u64(o, "size", NULL, d->size);
		out_u64(o, "sector_size", NULL, d->sector_size);
		out_u64(o, "physical_sector_size", NULL, d->phys_sector_size);
		out_str(o, "table", NULL, show_table_name(d->table));
		guid(o, "guid", d->guid);
		out_u64(o, "mbr_signature", NULL, d->mbr_signature);
		out_str(o, "model", NULL, d->model);
		out_str(o, "serial", NULL, d->serial);
		out_str(o, "source", NULL, d->source);
		out_u64(o, "stored_bytes", NULL, show_stored_bytes(m, (int)i));
		out_end(o);
	}
	out_end(o);
}

static void region(struct out *o, const struct img_manifest *m, const struct img_region *r)
{
	bool is_partition = r->kind == PT_REGION_PARTITION;

	out_object(o, NULL);
	out_u64(o, "disk", NULL, r->disk);
	out_u64(o, "start", NULL, r->start);
	out_u64(o, "length", NULL, r->len);
	out_str(o, "kind", NULL, region_kind(r->kind));
	out_u64(o, "partition", NULL, r->number);
	if (is_partition) {
		out_str(o, "type", NULL, show_type_name(m, r));
		out_u64(o, "mbr_type", NULL, r->mbr_type);
		guid(o, "type_guid", r->type_guid);
		guid(o, "guid", r->guid);
		out_str(o, "name", NULL, r->name);
		out_u64(o, "attributes", NULL, r->attributes);
	}
	out_bool(o, "boot", NULL, r->flags & IMG_REGION_BOOT);
	out_bool(o, "active", NULL, r->flags & IMG_REGION_ACTIVE);
	out_bool(o, "logical", NULL, r->flags & IMG_REGION_LOGICAL);
	out_u64(o, "chunks", NULL, cmap_nr_present(r->map));
	out_u64(o, "stored_bytes", NULL, cmap_bytes(r->map, EXT_USED));
	out_u64(o, "zero_bytes", NULL, cmap_bytes(r->map, EXT_ZERO));
	out_end(o);
}

static const char *raw_word(uint16_t flags)
{
	if (flags & IMG_VOL_RAW_ASKED)
		return "asked";
	return flags & IMG_VOL_RAW_FALLBACK ? "fallback" : NULL;
}

static void segments(struct out *o, const struct img_volume *v)
{
	out_array(o, "segments");
	for (uint32_t i = 0; i < v->nr_segments; i++) {
		out_object(o, NULL);
		out_u64(o, "disk", NULL, v->segments[i].disk);
		out_u64(o, "start", NULL, v->segments[i].start);
		out_u64(o, "length", NULL, v->segments[i].len);
		out_end(o);
	}
	out_end(o);
}

static uint64_t skipped_bytes(const struct img_volume *v)
{
	uint64_t sum = 0;

	for (uint32_t i = 0; i < v->nr_skipped; i++)
		if (!add_u64(sum, v->skipped[i].len, &sum)) /* they may overlap */
			return UINT64_MAX;
	return sum;
}

static void volume(struct out *o, const struct img_volume *v)
{
	out_object(o, NULL);
	out_str(o, "kind", NULL, volume_kind(v->kind));
	if (v->region != IMG_NO_INDEX)
		out_u64(o, "region", NULL, v->region);
	if (v->parent != IMG_NO_INDEX)
		out_u64(o, "parent", NULL, v->parent);
	out_str(o, "name", NULL, v->name[0] ? v->name : NULL);
	out_str(o, "driver", NULL, v->driver);
	out_str(o, "type", NULL, v->type);
	out_str(o, "label", NULL, v->label);
	out_str(o, "uuid", NULL, v->uuid);
	out_str(o, "state", NULL, fsd_state_name(v->state));
	out_str(o, "reason", NULL, v->reason[0] ? v->reason : NULL);
	out_str(o, "raw", NULL, raw_word(v->flags));
	out_u64(o, "skipped_bytes", NULL, skipped_bytes(v));
	out_bool(o, "replayed", NULL, v->flags & IMG_VOL_REPLAYED);
	out_str(o, "notice", NULL, v->notice[0] ? v->notice : NULL);
	out_u64(o, "size", NULL, v->size);
	out_u64(o, "used_bytes", NULL, v->used_bytes);
	out_u64(o, "block_size", NULL, v->block_size);
	out_u64(o, "sector_size", NULL, v->sector_size);
	segments(o, v);
	out_end(o);
}

void show_ranges_json(struct out *o, const struct img_manifest *m, const char *name, const struct img_range *list, size_t nr)
{
	char text[256];

	out_array(o, name);
	for (size_t i = 0; i < nr; i++) {
		out_object(o, NULL);
		out_u64(o, "disk", NULL, list[i].disk);
		out_u64(o, "start", NULL, list[i].start);
		out_u64(o, "length", NULL, list[i].len);
		out_str(o, "volume", NULL, show_volume_at(m, list[i].disk, list[i].start, text, sizeof(text)));
		out_end(o);
	}
	out_end(o);
}

void show_layout_json(struct out *o, const struct img_manifest *m)
{
	disks(o, m);
	out_array(o, "regions");
	for (size_t i = 0; i < m->nr_regions; i++)
		region(o, m, &m->regions[i]);
	out_end(o);
	out_array(o, "volumes");
	for (size_t i = 0; i < m->nr_volumes; i++)
		volume(o, &m->volumes[i]);
	out_end(o);
	show_ranges_json(o, m, "bad_ranges", m->bad, m->nr_bad);
}
