/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The second opinion of libblkid; see signature.h.
 *
 * libblkid reads with lseek() and read() and turns read-ahead off (POSIX_FADV_RANDOM) for the descriptor it is given.
 * Position and read-ahead belong to the open file description, which other threads use at the same time, so it gets
 * one of its own.
 */
#include "fsdrivers/signature.h"

#include "base/arith.h"
#include "base/size.h"

#include <blkid.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

#define EDGE_SIZE  (1U << 20) /* of a source without a descriptor: where nearly all signatures stand */
#define PIECE_SIZE 4096U

static int reopen(int fd)
{
	char path[64];

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	return open(path, O_RDONLY | O_CLOEXEC);
}

/* What cannot be read stays a hole: others decide whether that matters. False: memory is gone. */
static bool copy_range(struct blk_source *src, int fd, uint64_t off, uint64_t end)
{
	uint8_t buf[PIECE_SIZE];
	struct err ignored = ERR_INIT;

	for (; off < end; off += PIECE_SIZE) {
		size_t n = (size_t)min_u64(PIECE_SIZE, end - off);
		if (blk_read(src, off, buf, n, &ignored) == 0 && pwrite(fd, buf, n, (off_t)off) != (ssize_t)n)
			return false;
	}
	return true;
}

/* A sparse file in memory with the source's size and edges; -1 where there is no room for one. */
static int copy_edges(struct blk_source *src)
{
	AUTO_CLOSE_FD int fd = memfd_create("edges", MFD_CLOEXEC);
	uint64_t head = min_u64(src->size, EDGE_SIZE), tail = max_u64(head, src->size - head);

	if (fd < 0 || ftruncate(fd, (off_t)src->size) < 0)
		return -1;
	if (!copy_range(src, fd, 0, head) || !copy_range(src, fd, tail, src->size))
		return -1;
	int ret = fd;
	fd = -1;
	return ret;
}

static void copy_value(blkid_probe pr, const char *name, char *dst, size_t size)
{
	const char *value;

	if (blkid_probe_lookup_value(pr, name, &value, NULL) == 0)
		snprintf(dst, size, "%s", value);
}

static void add_magic(blkid_probe pr, struct fsd_signature *s)
{
	const char *offset, *magic;
	size_t len;

	if (s->nr_magics == FSD_SIGNATURE_MAGICS)
		return;
	if (blkid_probe_lookup_value(pr, "SBMAGIC_OFFSET", &offset, NULL) ||
		blkid_probe_lookup_value(pr, "SBMAGIC", &magic, &len) || !len)
		return;
	s->magics[s->nr_magics++] = (struct range){ .start = strtoull(offset, NULL, 10), .len = len };
}

static void ask(blkid_probe pr, struct fsd_signature *s)
{
	blkid_probe_enable_partitions(pr, 0);
	blkid_probe_enable_superblocks(pr, 1);
	blkid_probe_set_superblocks_flags(pr, BLKID_SUBLKS_TYPE | BLKID_SUBLKS_LABEL | BLKID_SUBLKS_UUID | BLKID_SUBLKS_MAGIC);
	int r = blkid_do_safeprobe(pr);
	s->is_ambivalent = r == -2;
	if (r == 0) {
		copy_value(pr, "TYPE", s->type, sizeof(s->type));
		copy_value(pr, "LABEL", s->label, sizeof(s->label));
		copy_value(pr, "UUID", s->uuid, sizeof(s->uuid));
	}
	blkid_reset_probe(pr);
	/* blkid_do_probe() goes on behind the last hit, so it ends; the limit is for a library that does not. */
	for (unsigned i = 0; i < 2 * FSD_SIGNATURE_MAGICS && blkid_do_probe(pr) == 0; i++)
		add_magic(pr, s);
}

int fsd_signature_read(struct blk_source *src, struct fsd_signature *ret, struct err *e)
{
	uint64_t off = 0;
	int shared = blk_fd(src, &off);
	AUTO_CLOSE_FD int fd = shared >= 0 ? reopen(shared) : -1;

	memset(ret, 0, sizeof(*ret));
	if (!src->size || src->size > INT64_MAX || off > INT64_MAX)
		return 0;
	if (fd < 0) {
		off = 0;
		fd = copy_edges(src);
	}
	if (fd < 0)
		return 0;
	blkid_probe pr = blkid_new_probe();
	if (!pr)
		return err_nomem(e, "libblkid");
	if (blkid_probe_set_device(pr, fd, (blkid_loff_t)off, (blkid_loff_t)src->size) == 0)
		ask(pr, ret);
	blkid_free_probe(pr);
	return 0;
}

/*
 * A file system inside an md member with its superblock at the end (metadata 0.90 or 1.0), as an ESP on a mirror is made. Of a part of
 * the blocks the restored members of a set would differ from each other wherever no file lies: mismatches for every check of the array.
 */
static int refuse_raid_member(struct blk_source *src, const char *type, struct err *e)
{
	char size[32];

	size_format(src->size, size);
	return err_set(e, ERR_UNSUPPORTED, 0,
		"%s in a member of a Linux RAID (superblock at the end); members stay equal only block for block, so all %s are copied, free space too",
		type, size);
}

int fsd_signature_check(struct blk_source *src, const char *type, const char *also, struct err *e)
{
	struct fsd_signature s;

	if (fsd_signature_read(src, &s, e) < 0)
		return -1;
	if (s.is_ambivalent)
		return err_set(e, ERR_UNSUPPORTED, 0, "'%s' carries signatures of %s and of another file system", blk_name(src), type);
	if (!strcmp(s.type, "linux_raid_member"))
		return refuse_raid_member(src, type, e);
	if (s.type[0] && strcmp(s.type, type) != 0 && !(also && strcmp(s.type, also) == 0))
		return err_set(e, ERR_UNSUPPORTED, 0, "'%s' looks like %s, but is %s for libblkid", blk_name(src), type, s.type);
	return 0;
}
