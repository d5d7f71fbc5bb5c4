/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * crashcheck LOG DISK OLD FINAL: is a target dead wherever a restore is cut short?
 *
 * DISK is a copy of OLD, what stood on the target before; FINAL is the restored target. The steps of the log (writelog) are done to DISK
 * one after the other, and at every prefix libblkid, which shares no code with calco, is asked what the partitions of the old and
 * the new table hold:
 *
 *   before the disarming is flushed    nothing but zeros and the stub in sector 0 was written
 *   then, until arming begins          no file system is recognised in either layout, and sector 0 has no boot code but the stub
 *   then, until the last stage         nothing that firmware starts from is recognised, and the stub stands
 *   when the last stage begins         everything outside of the boot volumes and sector 0 is final
 *   in the end                         the disk equals FINAL
 *
 * Writes are also torn at multiples of 512 bytes (each when arming, one of each while data is written). Since a disk may keep the writes
 * between two flushes in any order, random subsets of them are tried too.
 * Environment: CRASHCHECK_SUBSETS (12 for each flush), CRASHCHECK_SEED (1), REPLAY_DISK. Prints what was checked; exit 1 on violations.
 */
#include "tests/tools/crashlog.h"

#include <blkid/blkid.h>

#define MAX_VOLUMES 64U
#define SECTOR      512U
#define MAX_SHOWN   20U

struct place {
	uint64_t start, len;
	bool boots;    /* firmware starts from it */
	bool is_new;
	bool is_empty; /* nothing is recognised there */
	char name[48];
};

struct check {
	struct log log;
	struct log_points points;
	int fd;
	uint64_t size;
	struct place places[MAX_VOLUMES];
	size_t nr_places;
	uint64_t seed;
	size_t nr_prefixes, nr_torn, nr_subsets, nr_probes, nr_violations;
};

static uint64_t next_random(struct check *c)
{
	c->seed ^= c->seed << 13;
	c->seed ^= c->seed >> 7;
	c->seed ^= c->seed << 17;
	return c->seed;
}

/* What libblkid recognises there, into ret; false: nothing. */
static bool recognised(int fd, uint64_t start, uint64_t len, char *ret, size_t size)
{
	blkid_probe pr = blkid_new_probe();
	const char *type = NULL;

	if (!pr || blkid_probe_set_device(pr, fd, (blkid_loff_t)start, (blkid_loff_t)len) < 0)
		log_die("libblkid does not take the range at %llu", (unsigned long long)start);
	blkid_probe_enable_superblocks(pr, 1);
	blkid_probe_set_superblocks_flags(pr, BLKID_SUBLKS_TYPE | BLKID_SUBLKS_USAGE);
	int r = blkid_do_safeprobe(pr);
	if (r == 0 && blkid_probe_lookup_value(pr, "TYPE", &type, NULL) == 0)
		snprintf(ret, size, "%s", type);
	else if (r == -2)
		snprintf(ret, size, "several file systems");
	else if (r < 0)
		log_die("libblkid cannot read the range at %llu", (unsigned long long)start);
	blkid_free_probe(pr);
	return r == -2 || type;
}

static void add_place(struct check *c, int fd, uint64_t start, uint64_t len, bool is_new, bool boots, const char *what)
{
	char type[32] = "nothing";

	if (c->nr_places == MAX_VOLUMES || !len || start + len > c->size)
		return;
	struct place *p = &c->places[c->nr_places++];
	/* UEFI starts from any FAT file system it finds (UEFI 2.10 section 13.3.1). */
	bool is_empty = !recognised(fd, start, len, type, sizeof(type));
	*p = (struct place){ .start = start, .len = len, .boots = boots || !strcmp(type, "vfat"), .is_new = is_new, .is_empty = is_empty };
	snprintf(p->name, sizeof(p->name), "%s %s (%s)", is_new ? "new" : "old", what, type);
}

static void read_layout(struct check *c, const char *path, bool is_new)
{
	blkid_probe pr = blkid_new_probe_from_filename(path);
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	if (!pr || fd < 0)
		log_die("%s: %s", path, strerror(errno));
	/* A file system on the whole disk: BIOS starts from its first sector. */
	add_place(c, fd, 0, c->size, is_new, true, "whole disk");
	blkid_probe_enable_partitions(pr, 1);
	blkid_partlist list = blkid_probe_get_partitions(pr);
	for (int i = 0; list && i < blkid_partlist_numof_partitions(list); i++) {
		blkid_partition part = blkid_partlist_get_partition(list, i);
		const char *type = blkid_partition_get_type_string(part);
		char what[24];
		if (blkid_partition_is_extended(part))
			continue;
		bool is_esp = type && !strcasecmp(type, "c12a7328-f81f-11d2-ba4b-00a0c93ec93b");
		bool is_active = blkid_partition_get_flags(part) == 0x80 || blkid_partition_get_type(part) == 0xEF;
		snprintf(what, sizeof(what), "partition %d", blkid_partition_get_partno(part));
		add_place(c, fd, (uint64_t)blkid_partition_get_start(part) * SECTOR, (uint64_t)blkid_partition_get_size(part) * SECTOR, is_new,
			is_esp || is_active, what);
	}
	blkid_free_probe(pr);
	close(fd);
}

static void __attribute__((format(printf, 2, 3))) violation(struct check *c, const char *fmt, ...)
{
	va_list ap;

	if (c->nr_violations++ >= MAX_SHOWN)
		return;
	va_start(ap, fmt);
	printf("VIOLATION ");
	vprintf(fmt, ap);
	printf("\n");
	va_end(ap);
}

/* No boot code: without its signature firmware does not start the sector, with the stub it says so and goes on. */
static bool boot_code_is_dead(const struct check *c)
{
	static const char message[] = "calco: this disk is not complete";
	uint8_t sector[SECTOR];

	if (pread(c->fd, sector, sizeof(sector), 0) != sizeof(sector))
		log_die("sector 0 cannot be read");
	if (sector[510] != 0x55 || sector[511] != 0xAA)
		return true;
	return memmem(sector, 440, message, sizeof(message) - 1);
}

/* Nothing may be recognised, or when arming has begun nothing that boots. */
static void check_dead(struct check *c, size_t step, const char *how)
{
	bool arming = step >= c->points.arm;

	if (!boot_code_is_dead(c))
		violation(c, "%s step %zu: sector 0 has boot code", how, step);
	for (size_t i = 0; i < c->nr_places; i++) {
		const struct place *p = &c->places[i];
		char type[32];
		if (arming && !p->boots)
			continue;
		c->nr_probes++;
		/* Nothing starts from a member of a set. */
		if (recognised(c->fd, p->start, p->len, type, sizeof(type)) && !(arming && strstr(type, "_member")))
			violation(c, "%s step %zu (%s): %s holds %s", how, step, c->log.steps[step].phase, p->name, type);
	}
}

static bool is_zero(const uint8_t *p, uint64_t len)
{
	return !len || (!p[0] && !memcmp(p, p + 1, len - 1));
}

/* Disarming changes nothing but what it clears. */
static void check_disarming(struct check *c)
{
	for (size_t i = 0; i < c->points.disarmed; i++) {
		const struct log_step *s = &c->log.steps[i];
		bool ok = s->rec->kind == 'F' || (s->rec->kind == 'W' && (s->rec->off == 0 || is_zero(s->data, s->rec->len)));
		if (!ok || strcmp(s->phase, "disarm"))
			violation(c, "step %zu: '%c' at %llu before the disk is disarmed", i, s->rec->kind, (unsigned long long)s->rec->off);
	}
}

/* In the last stage only sector 0 and volumes that boot are written. */
static void check_boot_stage(struct check *c)
{
	for (size_t i = c->points.boot; i < c->points.end; i++) {
		const struct log_record *r = c->log.steps[i].rec;
		bool ok = r->kind == 'F' || (r->kind == 'W' && r->off == 0 && r->len <= 4096) || r->disk != log_disk();
		for (size_t k = 0; !ok && k < c->nr_places; k++)
			ok = c->places[k].boots && c->places[k].is_new && !c->places[k].is_empty && r->off >= c->places[k].start &&
				r->off + r->len <= c->places[k].start + c->places[k].len;
		if (!ok)
			violation(c, "step %zu: '%c' at %llu+%llu comes as late as what boots", i, r->kind, (unsigned long long)r->off,
				(unsigned long long)r->len);
	}
}

static bool in_boot_stage(const struct check *c, uint64_t off)
{
	for (size_t i = c->points.boot; i < c->points.end; i++) {
		const struct log_record *r = c->log.steps[i].rec;
		if (r->disk == log_disk() && off >= r->off && off < r->off + r->len)
			return true;
	}
	return false;
}

static void check_equal(struct check *c, const char *path, bool but_boot)
{
	static uint8_t a[1 << 20], b[1 << 20];
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	for (uint64_t at = 0; at < c->size; at += sizeof(a)) {
		ssize_t n = pread(fd, a, sizeof(a), (off_t)at);
		if (n <= 0 || pread(c->fd, b, (size_t)n, (off_t)at) != n)
			log_die("%s: cannot be read", path);
		ssize_t i = memcmp(a, b, (size_t)n) ? 0 : n;
		for (; i < n; i++) {
			if (a[i] == b[i] || (but_boot && in_boot_stage(c, at + (uint64_t)i)))
				continue;
			violation(c, "byte %llu is not final %s", (unsigned long long)at + (unsigned long long)i, but_boot ? "when the last stage begins" : "in the end");
			close(fd);
			return;
		}
	}
	close(fd);
}

static void check_torn(struct check *c, size_t step)
{
	const struct log_step *s = &c->log.steps[step];

	if (s->rec->kind != 'W' || s->rec->len <= SECTOR || s->rec->disk != log_disk())
		return;
	uint64_t nr = (s->rec->len - 1) / SECTOR, from = 1, to = nr;
	if (step < c->points.arm)
		from = to = 1 + next_random(c) % nr;
	for (uint64_t i = from; i <= to; i++) {
		log_apply(s, c->fd, i * SECTOR);
		c->nr_torn++;
		check_dead(c, step, "torn");
	}
}

/* A step that can be taken back. */
struct undo {
	uint8_t *old;
	const struct log_record *rec;
};

static void apply_undoable(struct check *c, const struct log_step *s, struct undo *ret)
{
	*ret = (struct undo){ .rec = s->rec };
	if (s->rec->kind == 'F' || s->rec->disk != log_disk())
		return;
	ret->old = malloc(s->rec->len);
	if (!ret->old || pread(c->fd, ret->old, s->rec->len, (off_t)s->rec->off) != (ssize_t)s->rec->len)
		log_die("reading %llu bytes", (unsigned long long)s->rec->len);
	log_apply(s, c->fd, UINT64_MAX);
}

static void take_back(struct check *c, struct undo *u)
{
	const uint64_t piece = 64 << 10;

	for (uint64_t at = 0; u->old && at < u->rec->len; at += piece) {
		uint64_t n = u->rec->len - at < piece ? u->rec->len - at : piece;
		/* What was cleared and zero before stays a hole. */
		if (u->rec->kind == 'W' || !is_zero(u->old + at, n))
			log_pwrite(c->fd, u->old + at, n, u->rec->off + at);
	}
	free(u->old);
}

/* The steps from `from` to the next flush: random subsets of them. */
static void check_subsets(struct check *c, size_t from)
{
	const char *setting = getenv("CRASHCHECK_SUBSETS");
	size_t to = from, wanted = setting ? (size_t)atoi(setting) : 12;

	while (to < c->points.boot && c->log.steps[to].rec->kind != 'F')
		to++;
	if (to - from < 2)
		return;
	struct undo *undo = calloc(to - from, sizeof(*undo));
	for (size_t n = 0; undo && n < wanted; n++) {
		uint64_t threshold = next_random(c) % 256;
		for (size_t i = from; i < to; i++) {
			undo[i - from] = (struct undo){ .old = NULL };
			if (next_random(c) % 256 < threshold)
				apply_undoable(c, &c->log.steps[i], &undo[i - from]);
		}
		c->nr_subsets++;
		check_dead(c, from, "some writes behind");
		for (size_t i = to; i-- > from;)
			take_back(c, &undo[i - from]);
	}
	free(undo);
}

static void run(struct check *c, const char *final)
{
	check_disarming(c);
	check_boot_stage(c);
	for (size_t i = 0; i <= c->points.end; i++) {
		bool dead = i >= c->points.disarmed && i <= c->points.boot;
		c->nr_prefixes++;
		if (dead)
			check_dead(c, i, "before");
		if (dead && i < c->points.boot && (i == c->points.disarmed || c->log.steps[i - 1].rec->kind == 'F'))
			check_subsets(c, i);
		if (i == c->points.boot)
			check_equal(c, final, true);
		if (i == c->points.end)
			break;
		if (dead && i < c->points.boot)
			check_torn(c, i);
		if (c->log.steps[i].rec->disk == log_disk())
			log_apply(&c->log.steps[i], c->fd, UINT64_MAX);
	}
	check_equal(c, final, false);
}

/* The test itself must be able to see: what the layouts hold is recognised in the old and in the final disk. */
static size_t nr_visible(const struct check *c)
{
	size_t n = 0;

	for (size_t i = 0; i < c->nr_places; i++)
		n += !c->places[i].is_empty;
	return n;
}

int main(int argc, char **argv)
{
	const char *seed = getenv("CRASHCHECK_SEED");
	struct check c = { .seed = seed ? strtoull(seed, NULL, 10) * 2 + 1 : 3 };
	struct stat st;

	if (argc != 5)
		log_die("usage: crashcheck LOG DISK OLD FINAL");
	log_open(&c.log, argv[1]);
	c.points = log_find_points(&c.log);
	c.fd = open(argv[2], O_RDWR | O_CLOEXEC);
	if (c.fd < 0 || fstat(c.fd, &st) < 0)
		log_die("%s: %s", argv[2], strerror(errno));
	c.size = (uint64_t)st.st_size;
	read_layout(&c, argv[3], false);
	read_layout(&c, argv[4], true);
	if (!c.points.disarmed || c.points.disarmed >= c.points.arm || c.points.arm > c.points.boot)
		log_die("the log has no disarming or no arming");
	run(&c, argv[4]);
	printf("%zu prefixes (disarmed %zu, arm %zu, boot %zu), %zu torn, %zu subsets, %zu volumes, %zu probes, %zu violations\n", c.nr_prefixes,
		c.points.disarmed, c.points.arm, c.points.boot, c.nr_torn, c.nr_subsets, nr_visible(&c), c.nr_probes, c.nr_violations);
	close(c.fd);
	free(c.log.steps);
	return c.nr_violations != 0;
}
