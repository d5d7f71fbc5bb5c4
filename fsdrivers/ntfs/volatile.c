/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * What Windows writes anew: the page and swap files, and the memory image of a hibernation that is over. Their heads are kept, so that what
 * reads them sees what it saw before; hiberfil.sys of a Windows that waits for it never comes here, for such a volume is not clean.
 */
#include "fsdrivers/ntfs/ntfs.h"

#include <stdlib.h>

#define HEAD_SIZE 4096U

static int compare(const void *a, const void *b)
{
	const struct ntfs_skip *x = a, *y = b;

	return (x->lcn > y->lcn) - (x->lcn < y->lcn);
}

bool ntfs_skips_other(const struct ntfs_volume *v, const struct ntfs_run *run, uint64_t owner)
{
	size_t lo = 0, hi = v->nr_skips;

	while (lo < hi) { /* the first that ends behind the run's start */
		size_t mid = lo + (hi - lo) / 2;
		if (v->skips[mid].lcn + v->skips[mid].nr <= run->lcn)
			lo = mid + 1;
		else
			hi = mid;
	}
	for (; lo < v->nr_skips && v->skips[lo].lcn < run->lcn + run->nr; lo++)
		if (v->skips[lo].owner != owner)
			return true;
	return false;
}

static int add(struct ntfs_volume *v, const struct ntfs_stream *s, uint64_t owner, uint64_t head, struct err *e)
{
	struct ntfs_skip *grown = reallocarray(v->skips, v->nr_skips + s->nr_runs, sizeof(*grown));

	if (!grown)
		return err_nomem(e, "a list of runs");
	v->skips = grown;
	for (size_t i = 0; i < s->nr_runs; i++) {
		const struct ntfs_run *r = &s->runs[i];
		uint64_t cut = r->vcn < head ? min_u64(head - r->vcn, r->nr) : 0;
		if (r->nr > cut)
			v->skips[v->nr_skips++] = (struct ntfs_skip){ .lcn = r->lcn + cut, .nr = r->nr - cut, .owner = owner };
	}
	return 0;
}

/* A file that is compressed, encrypted or sparse is none that Windows uses for this. */
static int add_file(struct ntfs_volume *v, const char *name, struct err *e)
{
	struct ntfs_stream s = { 0 };
	uint64_t number;

	int r = ntfs_root_find(v, name, &number, e);
	if (r > 0)
		r = ntfs_stream_open(v, number, NTFS_AT_DATA, "", &s, e);
	if (r > 0 && s.nr_runs && !s.flags && s.nr_stored == s.nr_vcns)
		r = add(v, &s, number, ceil_div_u64(HEAD_SIZE, v->boot.cluster_size), e);
	ntfs_stream_release(&s);
	return r < 0 ? -1 : 0;
}

int ntfs_volatile_ranges(struct fsd_volume *volume, fsd_skip_fn emit, void *arg, struct err *e)
{
	static const char *const names[] = { "pagefile.sys", "swapfile.sys", "hiberfil.sys" };
	struct ntfs_volume *v = (struct ntfs_volume *)volume;
	uint64_t size = v->boot.cluster_size;
	int r = 0;

	v->nr_skips = 0;
	for (size_t i = 0; r == 0 && i < sizeof(names) / sizeof(names[0]); i++) {
		size_t first = v->nr_skips;
		r = add_file(v, names[i], e);
		for (size_t k = first; r == 0 && k < v->nr_skips; k++)
			r = emit(arg, 0, v->skips[k].lcn * size, v->skips[k].nr * size, names[i], e);
	}
	if (v->nr_skips)
		qsort(v->skips, v->nr_skips, sizeof(*v->skips), compare);
	for (size_t i = 1; r == 0 && i < v->nr_skips; i++)
		if (v->skips[i].lcn - v->skips[i - 1].lcn < v->skips[i - 1].nr)
			r = err_set(e, ERR_CORRUPT, 0, "page and hibernation files claim a cluster twice");
	if (r < 0)
		v->nr_skips = 0;
	return r;
}
