/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * writelog IMAGE STATE LOG DISK...: restore the image like "calco restore --state STATE", and keep a log of everything that
 * was done to the targets and to the state record (crashlog.h). The workers of a restore write in parallel; the log's lock is held across each
 * effect, so its order is the order of the effects.
 * Environment: WRITELOG_SCRUB=discard|zero|none, WRITELOG_THREADS, WRITELOG_REFRESH=1: by "calco refresh".
 */
#include "base/arith.h"
#include "base/blk.h"
#include "base/progress.h"
#include "imager/image/manifest.h"
#include "imager/job/job.h"
#include "tests/tools/crashlog.h"

#include <pthread.h>
#include <sys/syscall.h>

#define MAX_DISKS 8U

struct recorder {
	FILE *out;
	pthread_mutex_t lock;
	char state[4096];
	uint8_t *last[MAX_DISKS]; /* the state records as logged last */
	size_t last_len[MAX_DISKS];
	char phase[32];
};

/* The interposed fsync() below has no argument to find it by. */
static struct recorder recorder = { .lock = PTHREAD_MUTEX_INITIALIZER };

struct logging_sink {
	struct blk_sink base;
	struct blk_sink *of;
	uint32_t disk;
};

int fsync(int fd);

static void put_record(char kind, uint32_t disk, uint64_t off, uint64_t len, const void *data, uint64_t data_len)
{
	static const uint8_t padding[8];
	struct log_record r = { .kind = kind, .disk = disk, .off = off, .len = len, .data_len = data_len };

	if (fwrite(&r, sizeof(r), 1, recorder.out) != 1 || (data_len && fwrite(data, data_len, 1, recorder.out) != 1))
		log_die("the log: %s", strerror(errno));
	fwrite(padding, 1, log_padded(data_len) - data_len, recorder.out);
}

static void state_name(uint32_t disk, char *ret, size_t size)
{
	if (disk)
		snprintf(ret, size, "%.4000s.%u", recorder.state, disk + 1);
	else
		snprintf(ret, size, "%.4000s", recorder.state);
}

/* Log the state record of a disk if it is not as logged last. */
static void put_state(uint32_t disk, char kind)
{
	char path[4200];
	struct stat st;

	state_name(disk, path, sizeof(path));
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0 || fstat(fd, &st) < 0) {
		if (fd >= 0)
			close(fd);
		return;
	}
	size_t len = (size_t)st.st_size;
	uint8_t *content = malloc(len + 1);
	if (!content || read(fd, content, len) != (ssize_t)len)
		log_die("%s: cannot be read", path);
	close(fd);
	bool same = len == recorder.last_len[disk] && len && !memcmp(content, recorder.last[disk], len);
	if (kind == 'S' || !same)
		put_record(kind, disk, 0, len, content, len);
	free(recorder.last[disk]);
	recorder.last[disk] = content;
	recorder.last_len[disk] = len;
}

/* In place of the C library's: what a sync of a state record made durable is logged. */
int fsync(int fd)
{
	struct stat st, of;
	int r = (int)syscall(SYS_fsync, fd);

	if (r < 0 || fstat(fd, &st) < 0)
		return r;
	for (uint32_t d = 0; recorder.out && d < MAX_DISKS; d++) {
		char path[4200];
		state_name(d, path, sizeof(path));
		if (stat(path, &of) < 0 || of.st_ino != st.st_ino || of.st_dev != st.st_dev)
			continue;
		pthread_mutex_lock(&recorder.lock);
		put_state(d, 'S');
		pthread_mutex_unlock(&recorder.lock);
	}
	return r;
}

static void lock_for(struct logging_sink *l)
{
	pthread_mutex_lock(&recorder.lock);
	put_state(l->disk, 'U');
}

static int log_write(struct blk_sink *s, uint64_t off, const void *buf, size_t len, struct err *e)
{
	struct logging_sink *l = (struct logging_sink *)s;

	lock_for(l);
	put_record('W', l->disk, off, len, buf, len);
	int r = blk_write(l->of, off, buf, len, e);
	pthread_mutex_unlock(&recorder.lock);
	return r;
}

static int log_zero(struct blk_sink *s, uint64_t off, uint64_t len, struct err *e)
{
	struct logging_sink *l = (struct logging_sink *)s;

	lock_for(l);
	put_record('Z', l->disk, off, len, NULL, 0);
	int r = blk_zero(l->of, off, len, e);
	pthread_mutex_unlock(&recorder.lock);
	return r;
}

static int log_discard(struct blk_sink *s, uint64_t off, uint64_t len, struct err *e)
{
	struct logging_sink *l = (struct logging_sink *)s;
	/* Rounded inward, as the file sink does it. */
	uint64_t start = round_up_u64(off, s->phys_sector_size), end = round_down_u64(off + len, s->phys_sector_size);

	lock_for(l);
	if (end > start)
		put_record('D', l->disk, start, end - start, NULL, 0);
	int r = blk_discard(l->of, off, len, e);
	pthread_mutex_unlock(&recorder.lock);
	return r;
}

static int log_flush(struct blk_sink *s, struct err *e)
{
	struct logging_sink *l = (struct logging_sink *)s;

	/* Not under the lock: it calls our fsync(). The job flushes when nothing else is under way. */
	int r = blk_flush(l->of, e);
	lock_for(l);
	put_record('F', l->disk, 0, 0, NULL, 0);
	pthread_mutex_unlock(&recorder.lock);
	return r;
}

static int log_read_back(struct blk_sink *s, uint64_t off, void *buf, size_t len, struct err *e)
{
	return blk_read_back(((struct logging_sink *)s)->of, off, buf, len, e);
}

static void log_close(struct blk_sink *s)
{
	blk_sink_close(((struct logging_sink *)s)->of);
}

static void on_update(void *arg, const char *phase, uint64_t done, uint64_t total)
{
	(void)arg;
	(void)done;
	(void)total;
	if (!strcmp(recorder.phase, phase))
		return;
	snprintf(recorder.phase, sizeof(recorder.phase), "%s", phase);
	pthread_mutex_lock(&recorder.lock);
	put_record('P', 0, 0, 0, recorder.phase, strlen(recorder.phase) + 1);
	pthread_mutex_unlock(&recorder.lock);
}

static void open_sink(struct logging_sink *ret, uint32_t disk, const char *path)
{
	static const struct blk_sink_ops ops = {
		.write = log_write,
		.zero = log_zero,
		.discard = log_discard,
		.flush = log_flush,
		.read_back = log_read_back,
		.close = log_close,
	};
	struct err e = ERR_INIT;
	struct blk_sink *of = blk_sink_open(path, &e);

	if (!of)
		log_die("%s", e.msg);
	ret->base = *of;
	ret->base.ops = &ops;
	ret->of = of;
	ret->disk = disk;
}

static enum scrub scrub_of(const char *word)
{
	return !word || !strcmp(word, "discard") ? SCRUB_DISCARD : !strcmp(word, "zero") ? SCRUB_ZERO : SCRUB_NONE;
}

int main(int argc, char **argv)
{
	const struct progress progress = { .update = on_update };
	struct logging_sink sinks[MAX_DISKS];
	struct blk_sink *list[MAX_DISKS];
	struct restore_result result;
	struct err e = ERR_INIT;
	const char *threads = getenv("WRITELOG_THREADS");
	size_t nr = argc > 4 ? (size_t)argc - 4 : 0;

	if (!nr || nr > MAX_DISKS)
		log_die("usage: writelog IMAGE STATE LOG DISK...");
	snprintf(recorder.state, sizeof(recorder.state), "%s", argv[2]);
	for (uint32_t i = 0; i < nr; i++) {
		open_sink(&sinks[i], i, argv[4 + i]);
		list[i] = &sinks[i].base;
	}
	recorder.out = fopen(argv[3], "wb");
	if (!recorder.out)
		log_die("%s: %s", argv[3], strerror(errno));
	struct restore_options o = {
		.image = argv[1],
		.disks = (const char *const *)argv + 4,
		.nr_disks = nr,
		.threads = threads ? (unsigned)atoi(threads) : 4,
		.scrub = scrub_of(getenv("WRITELOG_SCRUB")),
		.state_file = recorder.state,
		.refresh = getenv("WRITELOG_REFRESH") != NULL,
		.sinks = list,
	};
	if (restore_run(&o, &result, &progress, &e) < 0)
		log_die("%s", e.msg);
	if (fclose(recorder.out))
		log_die("the log: %s", strerror(errno));
	recorder.out = NULL;
	img_manifest_free(result.manifest);
	for (size_t i = 0; i < nr; i++)
		blk_sink_close(list[i]);
	for (size_t i = 0; i < MAX_DISKS; i++)
		free(recorder.last[i]);
	return 0;
}
