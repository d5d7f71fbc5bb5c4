/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The manifest as a value: making, numbering, naming its parts; see manifest.h. */
#include "imager/image/manifest.h"

#include "base/arith.h"
#include "base/hash.h"
#include "imager/image/seal.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

struct img_manifest *img_manifest_new(struct err *e)
{
	struct img_manifest *m = alloc_array(1, sizeof(*m));

	if (!m)
		err_nomem(e, "the manifest");
	return m;
}

void img_manifest_free(struct img_manifest *m)
{
	if (!m)
		return;
	for (size_t i = 0; i < m->nr_regions; i++)
		cmap_free(m->regions[i].map);
	for (size_t i = 0; i < m->nr_volumes; i++) {
		free(m->volumes[i].segments);
		free(m->volumes[i].arm);
		free(m->volumes[i].skipped);
	}
	for (size_t i = 0; i < m->nr_tables; i++)
		free(m->tables[i].bytes);
	free(m->parents);
	free(m->disks);
	free(m->regions);
	free(m->volumes);
	free(m->tables);
	free(m->ids);
	free(m->bad);
	free(m->signers);
	seal_free(m->seal);
	free(m->note);
	free(m);
}

void img_manifest_number(struct img_manifest *m)
{
	m->nr_chunks = m->nr_present = 0;
	for (size_t i = 0; i < m->nr_regions; i++) {
		m->regions[i].first_chunk = m->nr_chunks;
		m->regions[i].first_present = m->nr_present;
		m->nr_chunks += cmap_nr_chunks(m->regions[i].map);
		m->nr_present += cmap_nr_present(m->regions[i].map);
	}
}

size_t img_region_of_chunk(const struct img_manifest *m, uint64_t n)
{
	size_t lo = 0, hi = m->nr_regions;

	while (hi - lo > 1) {
		size_t mid = lo + (hi - lo) / 2;
		if (m->regions[mid].first_chunk <= n)
			lo = mid;
		else
			hi = mid;
	}
	return lo;
}

uint64_t img_present_index(const struct img_region *r, uint64_t i)
{
	return r->first_present + cmap_present_index(r->map, i);
}

void img_cursor_begin(struct img_cursor *c)
{
	*c = (struct img_cursor){ .i = UINT64_MAX, .present = UINT64_MAX };
}

bool img_cursor_next(const struct img_manifest *m, struct img_cursor *c)
{
	bool is_first = c->present == UINT64_MAX;

	for (c->i++; c->region < m->nr_regions; c->region++, c->i = 0, is_first = true) {
		const struct img_region *r = &m->regions[c->region];
		c->i = cmap_next_present(r->map, c->i);
		if (c->i < cmap_nr_chunks(r->map)) {
			c->present = is_first ? r->first_present : c->present + 1;
			c->chunk = r->first_chunk + c->i;
			return true;
		}
	}
	return false;
}

static const struct img_volume *volume_of(const struct img_manifest *m, size_t region)
{
	for (size_t i = 0; i < m->nr_volumes; i++)
		if (m->volumes[i].region == region)
			return &m->volumes[i];
	return NULL;
}

void img_describe_region(const struct img_manifest *m, size_t region, char *out, size_t size)
{
	static const char *const kinds[] = { "gap", "partition", "overlapping partitions", "whole disk" };
	const struct img_region *r = &m->regions[region];
	const struct img_volume *v = volume_of(m, region);
	char what[200] = "", disk[32] = "";

	if (m->nr_disks > 1)
		snprintf(disk, sizeof(disk), "disk %u, ", r->disk + 1);
	if (v && v->type[0])
		snprintf(what, sizeof(what), v->label[0] ? " (%s '%s')" : " (%s)", v->type, v->label);
	if (r->number)
		snprintf(out, size, "%s%s %u%s", disk, kinds[r->kind & 3], r->number, what);
	else
		snprintf(out, size, "%s%s%s", disk, kinds[r->kind & 3], what);
}

static bool region_is_called(const struct img_manifest *m, size_t region, const char *word)
{
	const struct img_region *r = &m->regions[region];
	const struct img_volume *v = volume_of(m, region);
	char number[32];

	snprintf(number, sizeof(number), "%u", r->number);
	if (r->number && !strcmp(number, word))
		return true;
	snprintf(number, sizeof(number), "%u:%u", r->disk + 1, r->number); /* where several disks have a partition 2 */
	if (r->number && !strcmp(number, word))
		return true;
	if (r->name[0] && !strcmp(r->name, word))
		return true;
	return v && ((v->label[0] && !strcmp(v->label, word)) || (v->uuid[0] && !strcasecmp(v->uuid, word)));
}

/* "1, 2, 5" with the names of what can be asked for. */
static void list_choices(const struct img_manifest *m, char *out, size_t size)
{
	size_t used = 0;

	out[0] = '\0';
	for (size_t i = 0; i < m->nr_regions && used + 1 < size; i++) {
		char one[300];
		if (!m->regions[i].number)
			continue;
		img_describe_region(m, i, one, sizeof(one));
		int n = snprintf(out + used, size - used, "%s%s", used ? ", " : "", one);
		used += n > 0 ? (size_t)n : 0;
	}
}

/* A logical volume, or what else has no region of its own. */
static const struct img_volume *volume_above(const struct img_manifest *m, const char *word)
{
	for (size_t i = 0; i < m->nr_volumes; i++) {
		const struct img_volume *v = &m->volumes[i];
		if (v->region == IMG_NO_INDEX && ((v->name[0] && !strcmp(v->name, word)) || (v->label[0] && !strcmp(v->label, word)) ||
			(v->uuid[0] && !strcasecmp(v->uuid, word))))
			return v;
	}
	return NULL;
}

int img_find_region(const struct img_manifest *m, const char *word, size_t *ret, struct err *e)
{
	size_t found = 0;
	char choices[300];

	for (size_t i = 0; i < m->nr_regions; i++) {
		if (m->regions[i].kind == 0 || !region_is_called(m, i, word))
			continue;
		*ret = i;
		found++;
	}
	if (found == 1)
		return 0;
	const struct img_volume *above = found ? NULL : volume_above(m, word);
	if (above) {
		err_set(e, ERR_USAGE, 0, "'%s' lies on other volumes of the image and has no place of its own", word);
		return err_hint(e, "name what it lies on, as 'calco info' shows it, or leave --only out");
	}
	list_choices(m, choices, sizeof(choices));
	if (found) {
		err_set(e, ERR_USAGE, 0, "'%s' names %zu volumes of the image; it has %s", word, found, choices);
		return err_hint(e, "say DISK:PARTITION, as in 1:2 for partition 2 of disk 1, or the UUID");
	}
	if (!choices[0]) {
		err_set(e, ERR_USAGE, 0, "no volume '%s' in the image, which has no partitions", word);
		return err_hint(e, "leave --only out, or name a label or UUID that 'calco info' shows");
	}
	return err_set(e, ERR_USAGE, 0, "no volume '%s' in the image; it has %s", word, choices);
}

bool img_name_ok(const char *name)
{
	size_t n = strlen(name);

	if (n < 1 || n > 64 || name[0] == '.' || name[0] == '-')
		return false;
	return strspn(name, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-") == n;
}

int img_root(const uint8_t core_hash[32], const void *ids, uint64_t nr_ids, const void *bad, size_t bad_len, uint8_t ret[32],
	struct err *e)
{
	static const uint8_t prefix[16] = "calco root v1\0\0";
	AUTO(hasher) struct hasher *h = hasher_new(e);
	uint8_t ids_hash[HASH_SIZE], bad_hash[HASH_SIZE];

	if (!h)
		return -1;
	hasher_begin(h);
	hasher_add(h, ids, nr_ids * IMG_ID_SIZE);
	hasher_end(h, ids_hash);
	hasher_begin(h);
	hasher_add(h, bad, bad_len);
	hasher_end(h, bad_hash);
	hasher_begin(h);
	hasher_add(h, prefix, sizeof(prefix));
	hasher_add(h, core_hash, HASH_SIZE);
	hasher_add(h, ids_hash, HASH_SIZE);
	hasher_add(h, bad_hash, HASH_SIZE);
	hasher_end(h, ret);
	return hasher_check(h, e);
}
