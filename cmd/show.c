/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The manifest on the screen; see show.h. */
#include "cmd/show.h"

#include "base/arith.h"
#include "base/auto.h"
#include "base/hex.h"
#include "base/size.h"
#include "cmd/text.h"
#include "fsdrivers/fsdriver.h"
#include "imager/disk/table.h"
#include "imager/image/manifest.h"

#include <string.h>

#define MAX_BAD_LINES 50
#define NAME_WIDTH    18

const char *show_table_name(uint8_t table)
{
	return pt_kind_name(table == PT_GPT ? PT_GPT : table == PT_MBR ? PT_MBR : PT_NONE);
}

/* The type's name is found by the table code, which asks for its own structs. */
const char *show_type_name(const struct img_manifest *m, const struct img_region *r)
{
	struct pt_table t = { .kind = m->disks[r->disk].table };
	struct pt_entry en = { .mbr_type = r->mbr_type };

	memcpy(en.type_guid, r->type_guid, sizeof(en.type_guid));
	return pt_type_name(&t, &en);
}

uint64_t show_stored_bytes(const struct img_manifest *m, int disk)
{
	uint64_t sum = 0; /* at most the sum of the disks' sizes, which the decoder checked */

	for (size_t i = 0; i < m->nr_regions; i++)
		if (disk < 0 || m->regions[i].disk == (uint32_t)disk)
			sum += cmap_bytes(m->regions[i].map, EXT_USED);
	return sum;
}

char *show_volume_at(const struct img_manifest *m, uint32_t disk, uint64_t offset, char *out, size_t size)
{
	out[0] = '\0';
	for (size_t i = 0; i < m->nr_regions; i++) {
		const struct img_region *r = &m->regions[i];
		if (r->disk == disk && offset >= r->start && offset - r->start < r->len) {
			img_describe_region(m, i, out, size);
			break;
		}
	}
	return out;
}

void show_identity(struct out *o, const struct img_manifest *m)
{
	char hex[2 * IMG_ID_SIZE + 1], text[40];

	out_str(o, "name", "name", m->name);
	out_u64(o, "image_version", "version", m->version);
	out_str(o, "created", NULL, text_time(m->created, true, text));
	out_str(o, NULL, "captured", text_time(m->created, false, text));
	out_str(o, "tool", "by", m->tool);
	out_str(o, "note", "note", m->note);
	out_str(o, "lineage", "lineage", text_uuid(m->lineage, text));
	out_str(o, "root", "root", m->has_root ? hex_of(m->root, IMG_ID_SIZE, hex) : NULL);
	out_u64(o, "level", NULL, m->level);
	out_u64(o, "chunks", NULL, m->nr_present);
	out_u64(o, "read_bytes", NULL, m->read_bytes);
}

static const struct img_volume *volume_of(const struct img_manifest *m, size_t region_index)
{
	for (size_t i = 0; i < m->nr_volumes; i++)
		if (m->volumes[i].region == region_index)
			return &m->volumes[i];
	return NULL;
}

static void state_cell(struct out_table *t, const struct img_volume *v)
{
	char text[96];

	if (v->flags & (IMG_VOL_RAW_ASKED | IMG_VOL_RAW_FALLBACK))
		snprintf(text, sizeof(text), "taken raw%s", v->flags & IMG_VOL_RAW_ASKED ? " as asked" : "");
	else
		snprintf(text, sizeof(text), "%s%s%s", fsd_state_name(v->state), v->flags & IMG_VOL_REPLAYED ? ", journal replayed" : "",
			v->flags & IMG_VOL_SKIPPED ? ", content skipped" : "");
	out_cell_str(t, text);
}

static void volume_row(struct out_table *t, const struct img_manifest *m, size_t index)
{
	const struct img_region *r = &m->regions[index];
	const struct img_volume *v = volume_of(m, index);
	char name[sizeof(r->name) * 3];

	if (r->number)
		out_cell_u64(t, r->number);
	else
		out_cell_str(t, "-");
	out_cell_str(t, v ? v->type : r->kind == PT_REGION_OVERLAP ? "overlap" : "");
	out_cell_str(t, v ? v->label : "");
	/* A GPT name of up to 36 characters, often one that says what TYPE says: not at the cost of a line that is too long */
	out_cell_str(t, text_cut(r->name, NAME_WIDTH, name, sizeof(name)));
	out_cell_bytes(t, r->len);
	out_cell_bytes(t, cmap_bytes(r->map, EXT_USED));
	if (v)
		state_cell(t, v);
	else
		out_cell_none(t);
}

static void gap_row(struct out_table *t, const struct img_manifest *m, size_t disk)
{
	uint64_t size = 0, used = 0;

	for (size_t i = 0; i < m->nr_regions; i++) {
		const struct img_region *r = &m->regions[i];
		if (r->disk == disk && r->kind == PT_REGION_GAP) {
			size += r->len;
			used += cmap_bytes(r->map, EXT_USED);
		}
	}
	if (!size)
		return;
	out_cell_str(t, "-");
	out_cell_str(t, "gaps");
	out_cell_none(t);
	out_cell_none(t);
	out_cell_bytes(t, size);
	out_cell_bytes(t, used);
	out_cell_none(t);
}

static void disk_table(struct out *o, const struct img_manifest *m, size_t disk)
{
	static const struct out_column columns[] = {
		{ .title = "PART", .right = true }, { .title = "TYPE" }, { .title = "LABEL" }, { .title = "NAME" },
		{ .title = "SIZE", .right = true }, { .title = "STORED", .right = true }, { .title = "STATE" },
	};
	struct out_table t;

	out_table_begin(&t, o, NULL, columns, sizeof(columns) / sizeof(columns[0]));
	for (size_t i = 0; i < m->nr_regions; i++)
		if (m->regions[i].disk == disk && m->regions[i].kind != PT_REGION_GAP)
			volume_row(&t, m, i);
	gap_row(&t, m, disk);
	out_table_end(&t);
}

/* How many volumes it stands upon; parents come first, so this ends. */
static unsigned depth_of(const struct img_manifest *m, const struct img_volume *v)
{
	unsigned depth = 0;

	for (; v->parent != IMG_NO_INDEX && depth < 16; v = &m->volumes[v->parent])
		depth += m->volumes[v->parent].region == IMG_NO_INDEX;
	return depth;
}

static size_t region_of(const struct img_manifest *m, const struct img_range *piece)
{
	size_t r = 0;

	while (r < m->nr_regions && !(m->regions[r].disk == piece->disk && piece->start >= m->regions[r].start &&
		piece->start - m->regions[r].start < m->regions[r].len))
		r++;
	return r;
}

/* "1:2, 2:1": disk and partition of the pieces, each once; as many as there is room for. */
static void places(const struct img_manifest *m, const struct img_volume *v, char *out, size_t size)
{
	AUTO_FREE bool *is_told = alloc_array(m->nr_regions, sizeof(*is_told));
	char one[40];
	size_t at = 0;

	out[0] = '\0';
	for (uint32_t i = 0; is_told && i < v->nr_segments; i++) {
		size_t r = region_of(m, &v->segments[i]);
		if (r == m->nr_regions || is_told[r])
			continue;
		is_told[r] = true;
		size_t n = (size_t)snprintf(one, sizeof(one), m->regions[r].number ? "%s%u:%u" : "%s%u", at ? ", " : "", m->regions[r].disk + 1,
			m->regions[r].number);
		bool fits = at + n + sizeof(", ...") <= size;
		at += (size_t)snprintf(out + at, size - at, "%s", fits ? one : ", ...");
		if (!fits)
			return;
	}
}

static const struct out_column stacked_columns[] = {
	{ .title = "VOLUME" }, { .title = "TYPE" }, { .title = "LABEL" }, { .title = "SIZE", .right = true },
	{ .title = "ON DISK:PART" }, { .title = "STATE" },
};

/* What has no place of its own in a partition table: groups, logical volumes, opened containers. */
static void stacked_volumes(struct out *o, const struct img_manifest *m)
{
	struct out_table t;
	char text[320];
	size_t nr = 0;

	for (size_t i = 0; i < m->nr_volumes; i++)
		nr += m->volumes[i].region == IMG_NO_INDEX;
	if (!nr)
		return;
	out_line(o, "volumes on these:");
	out_table_begin(&t, o, NULL, stacked_columns, sizeof(stacked_columns) / sizeof(stacked_columns[0]));
	for (size_t i = 0; i < m->nr_volumes; i++) {
		const struct img_volume *v = &m->volumes[i];
		if (v->region != IMG_NO_INDEX)
			continue;
		snprintf(text, sizeof(text), "%*s%s", 2 * (int)depth_of(m, v), "", v->name[0] ? v->name : "(set)");
		out_cell_str(&t, text);
		out_cell_str(&t, v->type);
		out_cell_str(&t, v->label);
		out_cell_bytes(&t, v->size);
		places(m, v, text, 60);
		out_cell_str(&t, text);
		state_cell(&t, v);
	}
	out_table_end(&t);
}

static void disk_headline(struct out *o, const struct img_manifest *m, size_t disk)
{
	const struct img_disk *d = &m->disks[disk];
	char size[32];

	size_format(d->size, size);
	out_line(o, "disk %zu of %zu: %s%s%s%s%s, %s, table %s, sectors of %u bytes", disk + 1, m->nr_disks,
		d->source[0] ? d->source : "(no name)", d->model[0] ? ", " : "", d->model, d->serial[0] ? ", serial " : "", d->serial,
		size, show_table_name(d->table), d->sector_size);
}

void show_notices(struct out *o, const struct img_manifest *m)
{
	char what[320];

	for (size_t i = 0; i < m->nr_volumes; i++) {
		const struct img_volume *v = &m->volumes[i];
		if (!v->notice[0])
			continue;
		snprintf(what, sizeof(what), "%s%s%s", v->name, v->name[0] ? ", " : "", v->type);
		if (v->region != IMG_NO_INDEX)
			img_describe_region(m, v->region, what, sizeof(what));
		out_line(o, "  note: %s: %s", what, v->notice);
	}
}

void show_layout(struct out *o, const struct img_manifest *m)
{
	if (o->is_json) {
		show_layout_json(o, m);
		return;
	}
	for (size_t i = 0; i < m->nr_disks; i++) {
		disk_headline(o, m, i);
		disk_table(o, m, i);
	}
	stacked_volumes(o, m);
}

void show_ranges(struct out *o, const struct img_manifest *m, const char *title, const struct img_range *list, size_t nr)
{
	char what[256];

	if (o->is_json || !nr)
		return;
	out_line(o, "%s:", title);
	for (size_t i = 0; i < nr && i < MAX_BAD_LINES; i++)
		out_line(o, "  disk %u, %llu bytes at %llu, in %s", list[i].disk + 1, (unsigned long long)list[i].len,
			(unsigned long long)list[i].start, show_volume_at(m, list[i].disk, list[i].start, what, sizeof(what)));
	if (nr > MAX_BAD_LINES)
		out_line(o, "  and %zu more; --json lists all", nr - MAX_BAD_LINES);
}

void show_bad_ranges(struct out *o, const struct img_manifest *m)
{
	show_ranges(o, m, "unreadable, stored as zeros", m->bad, m->nr_bad);
}
