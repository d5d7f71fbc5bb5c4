/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What is on a disk; see guard_content.h. Signatures are libblkid's business, "all zeros" is ours. */
#include "imager/disk/guard_content.h"

#include "base/arith.h"
#include "base/auto.h"
#include "imager/disk/dev_env.h"

#include <blkid/blkid.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define EDGE        (1U << 20)   /* read in full at both ends */
#define SAMPLE      4096U
#define NR_SAMPLES  64U
#define READ_LIMIT  (256U << 20) /* of what is allocated in a sparse file */
#define SMALL_DISK  (64U << 20)  /* read in full */
#define MAX_NAMED   12           /* partitions that fit in one line */

static void add(char *holds, size_t size, const char *fmt, ...) __attribute__((format(printf, 3, 4)));

static void add(char *holds, size_t size, const char *fmt, ...)
{
	size_t used = strlen(holds);
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(holds + used, size - used, fmt, ap);
	va_end(ap);
}

static bool lookup(blkid_probe pr, const char *name, char *out, size_t size)
{
	const char *data;
	size_t len;

	if (blkid_probe_lookup_value(pr, name, &data, &len) < 0)
		return false;
	dev_clean(out, size, data, strnlen(data, len));
	return out[0];
}

/* A probe for a part of the disk (0, 0: all of it); NULL when there is none to be had. */
static blkid_probe new_probe(int fd, uint64_t start, uint64_t len, unsigned sector_size)
{
	blkid_probe pr = blkid_new_probe();

	if (!pr)
		return NULL;
	blkid_probe_enable_superblocks(pr, 1);
	blkid_probe_set_superblocks_flags(pr, BLKID_SUBLKS_TYPE | BLKID_SUBLKS_LABEL | BLKID_SUBLKS_BADCSUM);
	blkid_probe_enable_partitions(pr, 1);
	/* A GPT whose protective MBR was wiped is not what "empty" means. */
	blkid_probe_set_partitions_flags(pr, BLKID_PARTS_FORCE_GPT);
	if (blkid_probe_set_device(pr, fd, (blkid_loff_t)start, (blkid_loff_t)len) < 0
		|| (sector_size && blkid_probe_set_sectorsize(pr, sector_size) < 0)) {
		blkid_free_probe(pr);
		return NULL;
	}
	return pr;
}

/* "ext4 'root'" */
static void name_content(blkid_probe pr, char *holds, size_t size)
{
	char type[32], label[64];

	if (lookup(pr, "TYPE", type, sizeof(type)) || lookup(pr, "PTTYPE", type, sizeof(type)))
		add(holds, size, "%s", type);
	else
		add(holds, size, "unknown");
	if (lookup(pr, "LABEL", label, sizeof(label)))
		add(holds, size, " '%s'", label);
}

static void name_partition(int fd, blkid_partition part, char *holds, size_t size)
{
	/* libblkid counts in 512 bytes whatever the sector size is. */
	uint64_t start, len;

	add(holds, size, "%d ", blkid_partition_get_partno(part));
	if (!mul_u64((uint64_t)blkid_partition_get_start(part), 512, &start) ||
		!mul_u64((uint64_t)blkid_partition_get_size(part), 512, &len) || !len) {
		add(holds, size, "unknown");
		return;
	}
	blkid_probe pr = new_probe(fd, start, len, 0);
	if (pr && blkid_do_safeprobe(pr) == 0)
		name_content(pr, holds, size);
	else
		add(holds, size, "unknown");
	blkid_free_probe(pr);
}

/* "gpt: 1 vfat 'EFI', 2 ext4 'root'" */
static void name_table(int fd, blkid_probe pr, const char *kind, char *holds, size_t size)
{
	blkid_partlist list = blkid_probe_get_partitions(pr);
	int nr = list ? blkid_partlist_numof_partitions(list) : 0;
	int named = 0;

	add(holds, size, "%s: ", strcmp(kind, "dos") ? kind : "mbr");
	for (int i = 0; i < nr; i++) {
		blkid_partition part = blkid_partlist_get_partition(list, i);
		if (!part || blkid_partition_is_extended(part))
			continue;
		if (named == MAX_NAMED) {
			add(holds, size, ", and more");
			break;
		}
		if (named++)
			add(holds, size, ", ");
		name_partition(fd, part, holds, size);
	}
	if (!named)
		add(holds, size, "no partitions");
}

/* More than one signature on the same disk, of which none is certain. */
static void name_ambiguous(blkid_probe pr, char *holds, size_t size)
{
	blkid_reset_probe(pr);
	for (int n = 0; n < 8 && blkid_do_probe(pr) == 0; n++) {
		if (n)
			add(holds, size, " or ");
		name_content(pr, holds, size);
	}
}

/* Returns 1 when something was found and named, 0 when nothing, -1 when the disk could not be read. */
static int name_signatures(int fd, unsigned sector_size, char *holds, size_t size)
{
	blkid_probe pr = new_probe(fd, 0, 0, sector_size);
	char kind[32];

	if (!pr)
		return -1;
	int found = blkid_do_safeprobe(pr);
	int r = found == 1 ? 0 : found == -1 ? -1 : 1;
	if (found == -2)
		name_ambiguous(pr, holds, size);
	else if (found == 0 && lookup(pr, "PTTYPE", kind, sizeof(kind)))
		name_table(fd, pr, kind, holds, size);
	else if (found == 0)
		name_content(pr, holds, size);
	blkid_free_probe(pr);
	return r;
}

/* Returns 1 when the range reads as zero, 0 when not, -1 when it cannot be read. buf has EDGE bytes. */
static int is_zero(int fd, uint64_t off, uint64_t len, uint8_t *buf)
{
	while (len) {
		ssize_t n = pread(fd, buf, (size_t)min_u64(len, EDGE), (off_t)off);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n < 0 ? -1 : 1; /* a file that shrank meanwhile has no data there */
		if (buf[0] || memcmp(buf, buf + 1, (size_t)n - 1))
			return 0;
		off += (uint64_t)n;
		len -= (uint64_t)n;
	}
	return 1;
}

static int is_zero_sampled(int fd, uint64_t size, uint8_t *buf)
{
	int r = is_zero(fd, 0, min_u64(size, EDGE), buf);

	if (r == 1 && size > EDGE)
		r = is_zero(fd, size - EDGE, EDGE, buf);
	if (size <= 2 * EDGE)
		return r;
	uint64_t step = (size - 2 * EDGE) / NR_SAMPLES;
	for (unsigned i = 0; r == 1 && i < NR_SAMPLES; i++)
		r = is_zero(fd, round_down_u64(EDGE + i * step + step / 2, SAMPLE), SAMPLE, buf);
	return r;
}

/* Holes are zero for certain, so what is allocated decides. Gives up beyond READ_LIMIT and samples. */
static int is_zero_sparse(int fd, uint64_t size, uint8_t *buf)
{
	uint64_t budget = READ_LIMIT;
	off_t pos = 0;
	int r = 1;

	while (r == 1 && (uint64_t)pos < size) {
		off_t data = lseek(fd, pos, SEEK_DATA);
		if (data < 0)
			return errno == ENXIO ? 1 : is_zero_sampled(fd, size, buf);
		off_t end = lseek(fd, data, SEEK_HOLE);
		if (end <= data)
			return is_zero_sampled(fd, size, buf);
		uint64_t len = (uint64_t)(end - data);
		if (len > budget)
			return is_zero_sampled(fd, size, buf);
		budget -= len;
		r = is_zero(fd, (uint64_t)data, len, buf);
		pos = end;
	}
	return r;
}

static int is_all_zero(int fd, uint64_t size, bool is_file, uint8_t *buf)
{
	if (is_file)
		return is_zero_sparse(fd, size, buf);
	return size <= SMALL_DISK ? is_zero(fd, 0, size, buf) : is_zero_sampled(fd, size, buf);
}

bool guard_content(int fd, uint64_t disk_size, bool is_file, char *holds, size_t size)
{
	AUTO_FREE uint8_t *buf = malloc(EDGE);

	holds[0] = '\0';
	if (!disk_size)
		return true;
	errno = 0;
	int found = name_signatures(fd, 0, holds, size);
	if (found == 0 && is_file) /* a file does not say its sector size; the other one that disks have */
		found = name_signatures(fd, 4096, holds, size);
	if (found == 1)
		return false;
	int zero = buf ? is_all_zero(fd, disk_size, is_file, buf) : -1;
	if (zero == 1 && found == 0)
		return true;
	if (zero < 0 || found < 0)
		snprintf(holds, size, "data that cannot be read%s%s", errno ? ": " : "", errno ? strerrordesc_np(errno) : "");
	else
		snprintf(holds, size, "%s", GUARD_UNRECOGNISED);
	return false;
}
